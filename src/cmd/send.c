/*
 * `veredus send`: one message by SMTP, to the server that is named. What is wrong with the
 * arguments or the text is said before anything is connected.
 */
#include "cmd/command.h"
#include "cmd/send.h"
#include "cmd/tool.h"
#include "text/encode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#define BODY_MAX  (256u << 20) /* octets read from the input */
#define ARENA_MAX (64u << 20)  /* recipients, and texts of replies: a KB each at most */

static const char usage[] =
	"usage: veredus send --server ADDRESS:PORT --from ADDRESS --to ADDRESS [OPTION...]\n"
	"\n"
	"Sends a message by SMTP. Its text is read from the standard input.\n"
	"\n"
	"      --server ADDRESS:PORT   127.0.0.1:25, [::1]:25, unix:/path (names are not looked "
	"up)\n"
	"      --from ADDRESS          the sender; <> with --raw only\n"
	"      --to ADDRESS            a recipient; may be repeated\n"
	"      --subject TEXT\n"
	"      --file FILE             the text, instead of the standard input\n"
	"      --raw                   the input is the whole message, with its header\n"
	"      --helo NAME             what to say in EHLO; default: the own address\n"
	"      --notify WHEN           reports wanted: never, or success, failure, delay with "
	"commas\n"
	"      --ret full|hdrs         what comes back with a report of failure\n"
	"      --envid TEXT            a name for the message, which reports repeat\n"
	"      --tls if-offered        STARTTLS where the server offers it, whoever it is "
	"(default)\n"
	"      --tls off               in clear text\n"
	"      --tls required          STARTTLS, with a certificate that is verified\n"
	"      --tls implicit          the same from the first octet on (port 465)\n"
	"      --tls-name NAME         whom the certificate must be for; default: the address\n"
	"      --tls-ca FILE           who signs certificates, in PEM; default: the system's\n"
	"      --insecure              any certificate will do\n"
	"      --user NAME             log in, over TLS alone: --tls required is the default "
	"then\n"
	"      --password-file FILE    its password; default: asked for on the terminal\n"
	"  -v, --verbose               the dialogue on standard error\n"
	"      --json                  an object for each recipient\n"
	"\n"
	"Exit code: 0 accepted for all; 75 refused for now, 77 refused for good for at least one;\n"
	"69 no connection, or lost; 76 not SMTP; 64 wrong arguments; 65 wrong text; 66 no such "
	"file.\n";

enum {
	OPTION_SERVER = 256,
	OPTION_FROM,
	OPTION_TO,
	OPTION_SUBJECT,
	OPTION_FILE,
	OPTION_RAW,
	OPTION_HELO,
	OPTION_JSON,
	OPTION_TLS,
	OPTION_TLS_NAME,
	OPTION_TLS_CA,
	OPTION_INSECURE,
	OPTION_USER,
	OPTION_PASSWORD_FILE,
	OPTION_NOTIFY,
	OPTION_RET,
	OPTION_ENVID
};

static const struct option options[] = {
	{"server", required_argument, NULL, OPTION_SERVER},
	{"from", required_argument, NULL, OPTION_FROM},
	{"to", required_argument, NULL, OPTION_TO},
	{"subject", required_argument, NULL, OPTION_SUBJECT},
	{"file", required_argument, NULL, OPTION_FILE},
	{"raw", no_argument, NULL, OPTION_RAW},
	{"helo", required_argument, NULL, OPTION_HELO},
	{"notify", required_argument, NULL, OPTION_NOTIFY},
	{"ret", required_argument, NULL, OPTION_RET},
	{"envid", required_argument, NULL, OPTION_ENVID},
	{"tls", required_argument, NULL, OPTION_TLS},
	{"tls-name", required_argument, NULL, OPTION_TLS_NAME},
	{"tls-ca", required_argument, NULL, OPTION_TLS_CA},
	{"insecure", no_argument, NULL, OPTION_INSECURE},
	{"user", required_argument, NULL, OPTION_USER},
	{"password-file", required_argument, NULL, OPTION_PASSWORD_FILE},
	{"verbose", no_argument, NULL, 'v'},
	{"json", no_argument, NULL, OPTION_JSON},
	{"help", no_argument, NULL, 'h'},
	{0},
};

struct arguments {
	const char *from;
	const char *subject;
	const char *hello;
	const char *tls;
	const char *tls_name;
	const char *notify, *returns, *envelope_id;
	bool wants_help;
};

/* Reads the options; recipients are counted and kept as they stand. EX_OK or EX_USAGE. */
static int
read_options(struct send *send, struct arguments *arguments, int argc, char **argv)
{
	int option;

	while ((option = tool_option(SEND_NAME, argc, argv, ":vh", options)) != -1) {
		switch (option) {
		case OPTION_SERVER:
			send->server = optarg;
			break;
		case OPTION_FROM:
			arguments->from = optarg;
			break;
		case OPTION_TO:
			send->recipients[send->count++] =
				(struct smtp_client_recipient){.address = slice_text(optarg)};
			break;
		case OPTION_SUBJECT:
			arguments->subject = optarg;
			break;
		case OPTION_FILE:
			send->file = optarg;
			break;
		case OPTION_RAW:
			send->is_raw = true;
			break;
		case OPTION_HELO:
			arguments->hello = optarg;
			break;
		case OPTION_NOTIFY:
			arguments->notify = optarg;
			break;
		case OPTION_RET:
			arguments->returns = optarg;
			break;
		case OPTION_ENVID:
			arguments->envelope_id = optarg;
			break;
		case OPTION_TLS:
			arguments->tls = optarg;
			break;
		case OPTION_TLS_NAME:
			arguments->tls_name = optarg;
			break;
		case OPTION_TLS_CA:
			send->tls_ca = optarg;
			break;
		case OPTION_INSECURE:
			send->is_insecure = true;
			break;
		case OPTION_USER:
			send->user = slice_text(optarg);
			break;
		case OPTION_PASSWORD_FILE:
			send->password_file = optarg;
			break;
		case 'v':
			send->is_verbose = true;
			break;
		case OPTION_JSON:
			send->is_json = true;
			break;
		case 'h':
			arguments->wants_help = true;
			break;
		default:
			return EX_USAGE;
		}
	}
	if (optind < argc)
		return tool_misused(SEND_NAME, "\"%s\" is too much: recipients stand behind --to",
			argv[optind]);
	return EX_OK;
}

/* A password in the clear is everybody's, and one that may be is so too. */
static int
check_login(const struct send *send)
{
	if (send->user.len == 0)
		return send->password_file
			       ? tool_misused(SEND_NAME, "--password-file goes with --user NAME")
			       : EX_OK;
	if (send->user.len > SASL_LOGIN_MAX)
		return tool_misused(SEND_NAME, "--user: more than %d octets", SASL_LOGIN_MAX);
	if (send->tls != SEND_TLS_REQUIRED && send->tls != SEND_TLS_IMPLICIT)
		return tool_misused(SEND_NAME,
			"--user goes with --tls required or --tls implicit: a password in the "
			"clear is everybody's");
	return EX_OK;
}

static int
check_tls(struct send *send, const struct arguments *arguments)
{
	static const char *const words[] = {[SEND_TLS_IF_OFFERED] = "if-offered",
		[SEND_TLS_OFF] = "off",
		[SEND_TLS_REQUIRED] = "required",
		[SEND_TLS_IMPLICIT] = "implicit"};
	enum send_tls fallback = send->user.len > 0 ? SEND_TLS_REQUIRED : SEND_TLS_IF_OFFERED;
	const char *word = arguments->tls ? arguments->tls : words[fallback];

	send->tls_name = slice_text(arguments->tls_name);
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcmp(words[i], word) == 0) {
			send->tls = (enum send_tls)i;
			return check_login(send);
		}
	return tool_misused(
		SEND_NAME, "--tls %s: it is one of if-offered, off, required, implicit", word);
}

/* What must be there, and what may not stand together. */
static int
check_options(struct send *send, const struct arguments *arguments)
{
	if (!send->server)
		return tool_misused(SEND_NAME, "--server ADDRESS:PORT is missing");
	if (!arguments->from)
		return tool_misused(SEND_NAME, "--from ADDRESS is missing");
	if (send->count == 0)
		return tool_misused(SEND_NAME, "--to ADDRESS is missing");
	if (send->is_raw && arguments->subject)
		return tool_misused(SEND_NAME,
			"with --raw the message brings its own Subject; leave --subject out");
	if (endpoint_parse(slice_text(send->server), &send->endpoint) != OK)
		return tool_misused(SEND_NAME,
			"--server %s: give it as 127.0.0.1:25, [::1]:25 or unix:/path; names are "
			"not "
			"looked up",
			send->server);
	return check_tls(send, arguments);
}

/* A stranger may have chosen it, so it is shown without what could harm a terminal. */
static int
refuse_value(struct send *send, const char *option, struct slice value, const char *why)
{
	struct buffer text;

	buffer_init(&text, send->env.memory, TOOL_LINE_MAX);
	tool_append_harmless(&text, slice_sub(value, 0, 1024));
	tool_fail(SEND_NAME, EX_DATAERR, "%s \"%s\": %s", option, buffer_text(&text), why);
	buffer_done(&text);
	return EX_DATAERR;
}

static int
check_address(
	struct send *send, const char *option, struct slice *address, struct address *ret_address)
{
	struct slice bare = tool_bare_address(*address);
	enum address_fault fault = address_parse(bare, ret_address);

	if (fault != ADDRESS_OK)
		return refuse_value(send, option, *address, address_fault_text(fault));
	*address = bare;
	return EX_OK;
}

/* What reports shall come (RFC 3461). */
static int
check_wishes(struct send *send, const struct arguments *arguments)
{
	struct slice returns = slice_text(arguments->returns);
	uint32_t notify = 0;

	if (arguments->notify && !dsn_notify_parse(slice_text(arguments->notify), &notify))
		return tool_misused(SEND_NAME,
			"--notify %s: it is never, or some of success, failure, delay with commas "
			"between them",
			arguments->notify);
	for (size_t i = 0; i < send->count; i++)
		send->recipients[i].notify = notify;
	if (slice_equal_nocase(returns, SLICE("full")))
		send->returns = SLICE("FULL");
	else if (slice_equal_nocase(returns, SLICE("hdrs")))
		send->returns = SLICE("HDRS");
	else if (arguments->returns)
		return tool_misused(SEND_NAME, "--ret %s: it is full or hdrs", arguments->returns);
	return EX_OK;
}

static int
check_envelope_id(struct send *send, struct slice text)
{
	uint8_t storage[DSN_ENVELOPE_ID_MAX];
	struct buffer xtext;

	buffer_init_fixed(&xtext, storage, sizeof storage);
	xtext_append(&xtext, text);
	if (buffer_error(&xtext) != OK || !dsn_envelope_id_is_valid(buffer_slice(&xtext)))
		return refuse_value(send, "--envid", text,
			"it has to be printable ASCII, 100 octets at most as xtext");
	if (!arena_copy(&send->arena, buffer_slice(&xtext), &send->envelope_id))
		return tool_fail(SEND_NAME, EX_OSERR, "out of memory");
	return EX_OK;
}

static int
check_values(struct send *send, const struct arguments *arguments)
{
	int code = EX_OK;

	send->reverse_path = slice_text(arguments->from);
	if (slice_equal(send->reverse_path, SLICE("<>")) && send->is_raw)
		send->reverse_path = (struct slice){0};
	else
		code = check_address(send, "--from", &send->reverse_path, &send->from);
	for (size_t i = 0; code == EX_OK && i < send->count; i++)
		code = check_address(send, "--to", &send->recipients[i].address, &send->to[i]);
	if (code != EX_OK)
		return code;
	send->subject = slice_trim(slice_text(arguments->subject));
	const char *fault = compose_field_fault(slice_text(arguments->subject));
	if (fault)
		return refuse_value(send, "--subject", slice_text(arguments->subject), fault);
	send->hello = slice_text(arguments->hello);
	if (arguments->hello && !domain_is_valid_helo(send->hello) &&
		!address_literal_is_valid(send->hello))
		return refuse_value(
			send, "--helo", send->hello, "neither a domain nor an address in brackets");
	return EX_OK;
}

static int
read_input(struct send *send, FILE *file)
{
	const char *name = send->file ? send->file : "standard input";
	uint8_t piece[1024];
	size_t len;

	while ((len = fread(piece, 1, sizeof piece, file)) > 0)
		buffer_append(&send->body, slice_of(piece, len));
	if (ferror(file))
		return tool_fail(
			SEND_NAME, EX_NOINPUT, "%s can't be read: %s", name, strerror(errno));
	enum error error = buffer_error(&send->body);
	if (error == ERROR_LIMIT)
		return tool_fail(SEND_NAME, EX_DATAERR, "%s is too large: at most %u MB are sent",
			name, BODY_MAX >> 20);
	return error == OK ? EX_OK : tool_fail(SEND_NAME, EX_OSERR, "%s", error_text(error));
}

static int
read_body(struct send *send)
{
	if (!send->file) {
		if (isatty(STDIN_FILENO))
			fputs("Write the text, and end it with Ctrl-D on a line of its own.\n",
				stderr);
		return read_input(send, stdin);
	}
	FILE *file = fopen(send->file, "re");
	if (!file)
		return tool_fail(SEND_NAME, EX_NOINPUT, "%s can't be opened: %s", send->file,
			strerror(errno));
	int code = read_input(send, file);
	fclose(file);
	return code;
}

static int
check_body(struct send *send)
{
	size_t line;
	const char *fault =
		send->is_raw ? NULL : compose_body_fault(buffer_slice(&send->body), &line);

	if (!fault)
		return EX_OK;
	return tool_fail(SEND_NAME, EX_DATAERR,
		"line %zu of the text %s; convert it with iconv, or give a whole message with "
		"--raw",
		line, fault);
}

static int
send_with(struct send *send, int argc, char **argv)
{
	struct arguments arguments = {0};
	int code = read_options(send, &arguments, argc, argv);

	if (code == EX_OK && arguments.wants_help) {
		fputs(usage, stdout);
		return tool_finish(SEND_NAME, EX_OK);
	}
	if (code == EX_OK)
		code = check_options(send, &arguments);
	if (code == EX_OK)
		code = check_values(send, &arguments);
	if (code == EX_OK)
		code = check_wishes(send, &arguments);
	if (code == EX_OK && arguments.envelope_id)
		code = check_envelope_id(send, slice_text(arguments.envelope_id));
	if (code == EX_OK && send->user.len > 0)
		code = send_prepare_login(send);
	if (code == EX_OK)
		code = read_body(send);
	if (code == EX_OK)
		code = check_body(send);
	if (code == EX_OK)
		code = send_prepare_tls(send);
	if (code != EX_OK)
		return code;
	enum error error = tool_run(&send->env, "send", send_run, send);
	memory_wipe(send->password_storage, sizeof send->password_storage);
	if (error != OK)
		return tool_fail(SEND_NAME, EX_OSERR, "can't start: %s", error_text(error));
	return send_report(send);
}

int
cmd_send(int argc, char **argv)
{
	struct send send = {0};
	int code = EX_OSERR;

	env_init_linux(&send.env);
	arena_init(&send.arena, send.env.memory, ARENA_MAX);
	buffer_init(&send.body, send.env.memory, BODY_MAX);
	/* No more recipients than arguments. */
	send.recipients = arena_take(&send.arena, (size_t)argc * sizeof *send.recipients);
	send.to = arena_take(&send.arena, (size_t)argc * sizeof *send.to);
	if (send.recipients && send.to)
		code = send_with(&send, argc, argv);
	else
		tool_fail(SEND_NAME, code, "out of memory");
	tls_context_free(&send.tls_context);
	buffer_done(&send.body);
	arena_done(&send.arena);
	env_done(&send.env);
	return code;
}
