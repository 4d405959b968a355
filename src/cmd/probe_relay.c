/*
 * `veredus probe relay`: does this server carry strangers' mail to strangers? Every form of address
 * by which servers were ever talked into it is tried up to RCPT, in a transaction of its own that
 * is taken back. No content is sent, so nothing is delivered, whatever the server says.
 *
 * Some forms name the server itself in the recipient's domain: a server that takes every local part
 * of its own may accept them and mean a mailbox. They are told apart.
 */
#include "base/log_record.h"
#include "cmd/command.h"
#include "cmd/probe.h"
#include "cmd/tool.h"
#include "text/address.h"

#include <stdio.h>
#include <sysexits.h>

#define EXIT_OPEN    1
#define EXIT_SUSPECT 2
#define PATH_OCTETS  1200

/* %U and %D: local part and domain of --to; %S and %I: the server's name and literal address. */
struct form {
	const char *from, *to;
	bool is_foreign; /* who accepts it can only mean the other domain */
};

static const struct form forms[] = {
	{"", "%U@%D", true},
	{"%U@%D", "%U@%D", true},
	{"%U@%S", "%U@%D", true},
	{"%U@%I", "%U@%D", true},
	{"%U@%S", "%U%%D@%I", false},
	{"%U@%S", "%U%%D@%S", false},
	{"%U@%S", "\"%U@%D\"", false},
	{"%U@%S", "\"%U%%D\"", false},
	{"%U@%S", "%U@%D@%I", false},
	{"%U@%S", "\"%U@%D\"@%I", false},
	{"%U@%S", "%U@%D@%S", false},
	{"%U@%S", "@%I:%U@%D", true},
	{"%U@%S", "@%S:%U@%D", true},
	{"%U@%S", "%D!%U", false},
	{"%U@%S", "%D!%U@%I", false},
	{"%U@%S", "%D!%U@%S", false},
	/* beyond those that nmap knows */
	{"%U@%S", "%U%%D", false},
	{"%U@%S", "\"%U@%D\"@%S", false},
	{"%U@%S", "\"%U%%D\"@%S", false},
	{"%U@%S", "\"%D!%U\"@%S", false},
	{"%U@%S", "@%S,@%I:%U@%D", true},
};
#define FORMS (sizeof forms / sizeof *forms)

enum outcome { NOT_ANSWERED, REFUSED, DEFERRED, ACCEPTED };
static const char *const outcome_words[] = {"unanswered", "refused", "deferred", "accepted"};

struct result {
	enum outcome outcome;
	uint16_t code;
	struct slice from, to, text; /* in the arena */
};

struct relay_probe {
	struct env env;
	struct arena arena;
	struct endpoint peer;
	struct address to;
	struct slice hello, server_name, literal;
	bool is_json, has_greeted;
	enum error error;   /* of the first connection */
	struct slice words; /* with which the server refused us */
	struct result results[FORMS];
};

static const char usage[] =
	"usage: veredus probe relay [OPTION...] HOST[:PORT]\n"
	"\n"
	"Does this server carry strangers' mail to strangers? Each known form of address is tried\n"
	"up to RCPT, and taken back: nothing is delivered. Ask servers of your own alone.\n"
	"\n"
	"      --to ADDRESS     whom mail would be for; default: relay-test@example.org\n"
	"      --helo NAME      what to say in EHLO; default: probe.invalid\n"
	"      --name NAME      the server's name; default: what its banner says\n"
	"      --json           one object\n"
	"\n"
	"The first line is the result: closed, open, suspect (forms were accepted that may mean a\n"
	"mailbox of the server's own) or unknown (some forms got no answer, or \"not now\").\n"
	"Exit code: 0 closed; 1 open; 2 suspect; 75 unknown; 64 wrong arguments; 68 no such host;\n"
	"69 no connection, or the server takes no mail from here.\n";

static void
expand(const struct relay_probe *probe, const char *form, struct buffer *text)
{
	for (const char *at = form; *at; at++) {
		/* "%%D" is a percent sign and the domain. */
		if (at[0] != '%' || at[1] == '%') {
			buffer_append_octet(text, (uint8_t)*at);
			continue;
		}
		at++;
		buffer_append(text, *at == 'U'   ? probe->to.local_part
				    : *at == 'D' ? probe->to.domain
				    : *at == 'S' ? probe->server_name
						 : probe->literal);
	}
}

static struct slice
make_path(struct relay_probe *probe, const char *form)
{
	uint8_t storage[PATH_OCTETS];
	struct buffer text;
	struct slice kept;

	buffer_init_fixed(&text, storage, sizeof storage);
	expand(probe, form, &text);
	return buffer_error(&text) == OK && arena_copy(&probe->arena, buffer_slice(&text), &kept)
		       ? kept
		       : SLICE("");
}

/* May wait. */
static enum error
say_path(struct probe_session *session, const char *verb, struct slice path)
{
	uint8_t storage[PATH_OCTETS + 32];
	struct buffer line;

	buffer_init_fixed(&line, storage, sizeof storage);
	buffer_printf(&line, "%s:<%.*s>", verb, SLICE_ARGS(path));
	enum error error = buffer_error(&line);
	return error == OK ? probe_ask(session, buffer_slice(&line)) : error;
}

/* The first word behind 220 is the server's name. */
static void
note_name(struct relay_probe *probe, const struct probe_session *session)
{
	struct slice text = buffer_slice(&session->reply.text);
	size_t len = 0;

	if (probe->server_name.len > 0)
		return;
	while (len < text.len &&
		(ascii_is_alnum(text.ptr[len]) || text.ptr[len] == '.' || text.ptr[len] == '-'))
		len++;
	if (len == 0 || !arena_copy(&probe->arena, slice_sub(text, 0, len), &probe->server_name))
		probe->server_name = probe->literal;
}

/* May wait: a greeted session. False: there is none to be had. */
static bool
begin(struct relay_probe *probe, struct probe_session *session)
{
	uint8_t storage[300];
	struct buffer line;

	if (session->is_open)
		return true;
	enum error error = probe_open(session, &probe->peer);
	if (error == OK && session->reply.code == 220) {
		note_name(probe, session);
		buffer_init_fixed(&line, storage, sizeof storage);
		buffer_printf(&line, "EHLO %.*s", SLICE_ARGS(probe->hello));
		error = probe_ask(session, buffer_slice(&line));
	}
	bool is_greeted = error == OK && session->reply.code / 100 == 2;
	if (is_greeted && session->is_open)
		return probe->has_greeted = true;
	if (!probe->has_greeted) {
		probe->error = error;
		if (!arena_copy(&probe->arena, buffer_slice(&session->reply.text), &probe->words))
			probe->words = SLICE("");
	}
	probe_close(session);
	return false;
}

static void
note_reply(struct relay_probe *probe, struct result *result, const struct probe_session *session)
{
	uint16_t code = session->reply.code;
	struct slice text = buffer_slice(&session->reply.text);
	ssize_t end = slice_find(text, 0, '\n');

	result->code = code;
	result->outcome = code / 100 == 2 ? ACCEPTED : code / 100 == 5 ? REFUSED : DEFERRED;
	if (!arena_copy(
		    &probe->arena, end < 0 ? text : slice_sub(text, 0, (size_t)end), &result->text))
		result->text = SLICE("");
}

/* May wait. False: the session ended before it was decided. */
static bool
try_form(struct relay_probe *probe, struct probe_session *session, struct result *result)
{
	enum error error = say_path(session, "MAIL FROM", result->from);

	if (error == OK && session->is_open && session->reply.code / 100 == 2)
		error = say_path(session, "RCPT TO", result->to);
	if (error != OK || session->reply.code == 421)
		return false;
	note_reply(probe, result, session);
	if (probe_ask(session, SLICE("RSET")) != OK || session->reply.code / 100 != 2)
		probe_close(session);
	return true;
}

/* Servers hang up on who errs too often: each form has a second session in that case. */
static void
relay_run(void *arg)
{
	struct relay_probe *probe = arg;
	struct probe_session session;

	probe_session_init(&session, &probe->env);
	for (size_t i = 0; i < FORMS; i++) {
		struct result *result = &probe->results[i];
		bool is_decided = false;
		for (int round = 0; round < 2 && !is_decided; round++) {
			if (!begin(probe, &session))
				break;
			result->from = make_path(probe, forms[i].from);
			result->to = make_path(probe, forms[i].to);
			is_decided = try_form(probe, &session, result);
		}
		if (!probe->has_greeted)
			break;
	}
	probe_close(&session);
	probe_session_done(&session);
}

struct verdict {
	const char *word;
	int code;
};

static struct verdict
judge(const struct relay_probe *probe)
{
	bool is_open = false, is_suspect = false, is_unknown = false;

	for (size_t i = 0; i < FORMS; i++) {
		bool is_accepted = probe->results[i].outcome == ACCEPTED;
		is_open |= is_accepted && forms[i].is_foreign;
		is_suspect |= is_accepted;
		is_unknown |= probe->results[i].outcome < REFUSED ||
			      probe->results[i].outcome == DEFERRED;
	}
	return is_open      ? (struct verdict){"open", EXIT_OPEN}
	       : is_suspect ? (struct verdict){"suspect", EXIT_SUSPECT}
	       : is_unknown ? (struct verdict){"unknown", EX_TEMPFAIL}
			    : (struct verdict){"closed", EX_OK};
}

static void
print_table(const struct relay_probe *probe, const char *word, struct buffer *text)
{
	buffer_printf(text, "%s\n", word);
	for (size_t i = 0; i < FORMS; i++) {
		const struct result *result = &probe->results[i];
		buffer_printf(text, "%-10s %03u  ", outcome_words[result->outcome], result->code);
		buffer_append_text(text, "<");
		tool_append_harmless(text, result->from);
		buffer_append_text(text, "> to <");
		tool_append_harmless(text, result->to);
		buffer_append_text(text, result->text.len > 0 ? ">: " : ">");
		tool_append_harmless(text, result->text);
		buffer_append_octet(text, '\n');
	}
}

static void
print_json(const struct relay_probe *probe, const char *word, struct buffer *text)
{
	buffer_printf(text, "{\"result\":\"%s\",\"forms\":[", word);
	for (size_t i = 0; i < FORMS; i++) {
		const struct result *result = &probe->results[i];
		buffer_append_text(text, i > 0 ? ",{\"from\":" : "{\"from\":");
		json_append_string(text, result->from);
		buffer_append_text(text, ",\"to\":");
		json_append_string(text, result->to);
		buffer_printf(text, ",\"outcome\":\"%s\",\"code\":%u,\"foreign\":%s,\"reply\":",
			outcome_words[result->outcome], result->code,
			forms[i].is_foreign ? "true" : "false");
		json_append_string(text, result->text);
		buffer_append_octet(text, '}');
	}
	buffer_append_text(text, "]}\n");
}

static int
report(struct relay_probe *probe)
{
	struct verdict verdict = judge(probe);
	struct buffer text;

	buffer_init(&text, probe->env.memory, SIZE_MAX);
	if (!probe->has_greeted) {
		tool_append_harmless(&text, probe->words);
		int code = tool_fail(PROBE_NAME, EX_UNAVAILABLE, "no session: %s",
			probe->error != OK ? error_text(probe->error) : buffer_text(&text));
		buffer_done(&text);
		return code;
	}
	if (probe->is_json)
		print_json(probe, verdict.word, &text);
	else
		print_table(probe, verdict.word, &text);
	enum error error = buffer_error(&text);
	fwrite(text.ptr, 1, text.len, stdout);
	buffer_done(&text);
	return error == OK ? tool_finish(PROBE_NAME, verdict.code)
			   : tool_fail(PROBE_NAME, EX_OSERR, "%s", error_text(error));
}

enum { OPTION_TO = 256, OPTION_HELO, OPTION_NAME, OPTION_JSON };

static const struct option options[] = {
	{"to", required_argument, NULL, OPTION_TO},
	{"helo", required_argument, NULL, OPTION_HELO},
	{"name", required_argument, NULL, OPTION_NAME},
	{"json", no_argument, NULL, OPTION_JSON},
	{"help", no_argument, NULL, 'h'},
	{0},
};

/* Names go into commands as they are: nothing in them may end a line. */
static bool
is_name(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (name.ptr[i] <= ' ' || name.ptr[i] > '~' || name.ptr[i] == '<' ||
			name.ptr[i] == '>')
			return false;
	return name.len > 0 && name.len <= 255;
}

static int
read_options(struct relay_probe *probe, int argc, char **argv, bool *ret_help)
{
	struct slice to = SLICE("relay-test@example.org");
	int option;

	probe->hello = SLICE("probe.invalid");
	while ((option = tool_option(PROBE_NAME, argc, argv, ":h", options)) != -1) {
		if (option == OPTION_TO)
			to = tool_bare_address(slice_text(optarg));
		else if (option == OPTION_HELO)
			probe->hello = slice_text(optarg);
		else if (option == OPTION_NAME)
			probe->server_name = slice_text(optarg);
		else if (option == OPTION_JSON)
			probe->is_json = true;
		else if (option == 'h')
			*ret_help = true;
		else
			return EX_USAGE;
	}
	if (address_parse(to, &probe->to) != ADDRESS_OK || !is_name(to) ||
		probe->to.domain.len == 0 || probe->to.is_literal || probe->to.is_quoted)
		return tool_misused(PROBE_NAME, "--to: it is no address like you@example.org");
	if (!is_name(probe->hello) || (probe->server_name.len > 0 && !is_name(probe->server_name)))
		return tool_misused(PROBE_NAME, "--helo and --name: names of hosts");
	return EX_OK;
}

/* `veredus probe relay`: argv[0] is "relay". */
static int
probe_relay(struct relay_probe *probe, int argc, char **argv)
{
	uint8_t literal[64];
	struct buffer text;
	bool wants_help = false;
	int code = read_options(probe, argc, argv, &wants_help);

	if (code != EX_OK)
		return code;
	if (wants_help) {
		fputs(usage, stdout);
		return tool_finish(PROBE_NAME, EX_OK);
	}
	if (optind + 1 != argc)
		return tool_misused(PROBE_NAME, "one HOST[:PORT] is to be named");
	if (!probe_find_host(argv[optind], "25", &probe->peer, &code))
		return code;
	buffer_init_fixed(&text, literal, sizeof literal);
	endpoint_append_literal(&text, &probe->peer);
	probe->literal = buffer_slice(&text);
	enum error error = tool_run(&probe->env, PROBE_NAME, relay_run, probe);
	if (error != OK)
		return tool_fail(PROBE_NAME, EX_OSERR, "can't start: %s", error_text(error));
	return report(probe);
}

int
cmd_probe(int argc, char **argv)
{
	struct relay_probe probe = {0};
	int code;

	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		fputs(usage, stdout);
		return tool_finish(PROBE_NAME, EX_OK);
	}
	if (argc < 2 || strcmp(argv[1], "relay") != 0)
		return tool_misused(PROBE_NAME, "say what to do: veredus probe relay HOST");
	env_init_linux(&probe.env);
	arena_init(&probe.arena, probe.env.memory, 1u << 20);
	code = probe_relay(&probe, argc - 1, argv + 1);
	arena_done(&probe.arena);
	env_done(&probe.env);
	return code;
}
