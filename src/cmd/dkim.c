/*
 * `veredus dkim verify`: which domains vouch for a message. The result word comes first, then a
 * line for each signature. What makes signatures and keys is in dkim_tool.c.
 */
#include "base/log_record.h"
#include "cmd/command.h"
#include "cmd/dkim_tool.h"
#include "cmd/tool.h"
#include "cmd/tool_dns.h"
#include "cmd/tool_message.h"
#include "mailauth/dkim.h"

#include <stdio.h>
#include <sysexits.h>

#define NAME DKIM_COMMAND

static const char usage[] =
	"usage: veredus dkim verify [--dns ADDRESS:PORT] [--json] [FILE]\n"
	"       veredus dkim sign --key FILE --domain DOMAIN --selector NAME [OPTION...] [FILE]\n"
	"       veredus dkim key new --domain DOMAIN --selector NAME [--rsa BITS | --ed25519] "
	"--out "
	"FILE\n"
	"       veredus dkim key list [-c FILE] [--dns ADDRESS:PORT] [--json]\n"
	"       veredus dkim key rotate DOMAIN [-c FILE] [--selector NAME]\n"
	"\n"
	"verify says what the DKIM signatures (RFC 6376) of a message come to: the result first,\n"
	"then a line for each signature. sign prints the header field that signs a message. The\n"
	"message is on standard input if there is no FILE. key new makes a private key and prints\n"
	"the record to publish. key list shows the keys of the configuration, and whether the DNS\n"
	"has them. key rotate makes the next key for each key of a domain, in a file beside the\n"
	"old one, and says what to do in which order.\n"
	"\n" TOOL_DNS_HELP
	"      --json               verify: one object; key list: one for each key\n"
	"  -c, --config FILE        the configuration (" VEREDUS_CONF ")\n"
	"      --key FILE           the private key, in PEM\n"
	"      --domain DOMAIN      that signs\n"
	"      --selector NAME      of the key; key rotate: default is today, as s20261130\n"
	"      --headers A:B:C      the fields to sign; default: those that matter, oversigned\n"
	"      --canon HEADER/BODY  the canonical forms; default: relaxed/relaxed\n"
	"      --time SECONDS       since 1970; default: now\n"
	"      --rsa BITS           2048 (the default) to 4096\n"
	"      --ed25519            instead of RSA\n"
	"      --out FILE           where the private key goes; a new file, for its owner alone\n"
	"\n"
	"Exit code: 0 whenever there is a result, also for a bad signature; 64 wrong arguments;\n"
	"65 no usable message or key; 66 no such file; 69 no DNS server is known.\n";

enum {
	OPTION_DNS = 256,
	OPTION_JSON,
	OPTION_KEY,
	OPTION_DOMAIN,
	OPTION_SELECTOR,
	OPTION_HEADERS,
	OPTION_CANON,
	OPTION_TIME,
	OPTION_RSA,
	OPTION_ED25519,
	OPTION_OUT
};

static const struct option options[] = {
	{"dns", required_argument, NULL, OPTION_DNS},
	{"config", required_argument, NULL, 'c'},
	{"json", no_argument, NULL, OPTION_JSON},
	{"key", required_argument, NULL, OPTION_KEY},
	{"domain", required_argument, NULL, OPTION_DOMAIN},
	{"selector", required_argument, NULL, OPTION_SELECTOR},
	{"headers", required_argument, NULL, OPTION_HEADERS},
	{"canon", required_argument, NULL, OPTION_CANON},
	{"time", required_argument, NULL, OPTION_TIME},
	{"rsa", required_argument, NULL, OPTION_RSA},
	{"ed25519", no_argument, NULL, OPTION_ED25519},
	{"out", required_argument, NULL, OPTION_OUT},
	{"help", no_argument, NULL, 'h'},
	{0},
};

struct verification {
	struct env env;
	struct dkim_options options;
	struct arena arena;
	struct dns_stub stub;
	struct dns_source source;
	struct content *content;
	struct dkim dkim;
};

static int
read_number(const char *name, uint64_t min, uint64_t max, uint64_t *ret_number)
{
	if (slice_number(slice_text(optarg), max, ret_number) && *ret_number >= min)
		return EX_OK;
	return tool_misused(NAME, "--%s %s is no number that it may be", name, optarg);
}

/* Those with a number. */
static int
read_numeric(struct dkim_options *o, int option)
{
	uint64_t number = 0;
	int code = option == OPTION_TIME
			   ? read_number("time", 0, INT32_MAX * UINT64_C(1000), &number)
			   : read_number("rsa", 2048, RSA_BITS_MAX, &number);

	if (option == OPTION_TIME)
		o->now = (wall_us)number * US_PER_S;
	else
		o->rsa_bits = (unsigned)number;
	return code;
}

static const char **
text_option(struct dkim_options *o, int option)
{
	switch (option) {
	case OPTION_DNS:
		return &o->dns;
	case 'c':
		return &o->conf_file;
	case OPTION_KEY:
		return &o->key;
	case OPTION_DOMAIN:
		return &o->domain;
	case OPTION_SELECTOR:
		return &o->selector;
	case OPTION_HEADERS:
		return &o->names;
	case OPTION_CANON:
		return &o->canon;
	case OPTION_OUT:
		return &o->out;
	default:
		return NULL;
	}
}

static int
read_options(struct dkim_options *o, int argc, char **argv)
{
	int option, code = EX_OK;

	while (code == EX_OK && (option = tool_option(NAME, argc, argv, ":c:h", options)) != -1) {
		const char **text = text_option(o, option);
		if (text)
			*text = optarg;
		else if (option == OPTION_JSON)
			o->is_json = true;
		else if (option == OPTION_ED25519)
			o->is_ed25519 = true;
		else if (option == 'h')
			o->wants_help = true;
		else
			code = option == '?' ? EX_USAGE : read_numeric(o, option);
	}
	return code;
}

static void
header_done(void *arg, struct content *content)
{
	dkim_begin(&((struct verification *)arg)->dkim, content);
}

static void
verify_run(void *arg)
{
	struct verification *v = arg;
	struct loop *loop = v->env.loop;

	v->stub.loop = loop;
	v->source = dns_stub_source(&v->stub);
	struct signature_request request = {.dns = &v->source,
		.arena = &v->arena,
		.deadline = loop_deadline(loop, DKIM_DEADLINE_US),
		.now = env_wall(&v->env)};
	dkim_check(&v->dkim, v->content, &request, v->env.memory);
}

/* "pass example.org selector rsa-sha256 (2048 bits): reason", with what is not known left out. */
static void
append_signature(struct buffer *text, const struct signature *signature)
{
	buffer_printf(text, "%s domain=", dkim_result_text(signature->result));
	tool_append_harmless(text, signature->domain);
	buffer_append_text(text, " selector=");
	tool_append_harmless(text, signature->selector);
	buffer_append_text(text, " algorithm=");
	tool_append_harmless(text, signature->algorithm);
	if (signature->identity.len > 0) {
		buffer_append_text(text, " identity=");
		tool_append_harmless(text, signature->identity);
	}
	if (signature->key_bits > 0)
		buffer_printf(text, " bits=%u", signature->key_bits);
	if (signature->is_partial)
		buffer_append_text(text, " (covers only the beginning of the body)");
	if (signature->reason)
		buffer_printf(text, ": %s", signature->reason);
	buffer_append_octet(text, '\n');
}

static void
print_verdict(const struct dkim *dkim, struct buffer *text)
{
	buffer_printf(text, "%s\n", dkim_result_text(dkim->result));
	if (dkim->reason)
		buffer_printf(text, "reason: %s\n", dkim->reason);
	for (size_t i = 0; i < dkim->count; i++)
		append_signature(text, &dkim->signatures[i]);
	if (dkim->ignored > 0)
		buffer_printf(text, "not looked at: %zu more signatures\n", dkim->ignored);
}

static void
json_append_pair(struct buffer *text, const char *name, struct slice value)
{
	buffer_printf(text, "\"%s\":", name);
	json_append_string(text, value);
	buffer_append_octet(text, ',');
}

static void
json_append_signature(struct buffer *text, const struct signature *signature)
{
	buffer_append_octet(text, '{');
	json_append_pair(text, "result", slice_text(dkim_result_text(signature->result)));
	json_append_pair(text, "domain", signature->domain);
	json_append_pair(text, "selector", signature->selector);
	json_append_pair(text, "algorithm", signature->algorithm);
	json_append_pair(text, "identity", signature->identity);
	json_append_pair(text, "reason", slice_text(signature->reason));
	buffer_printf(text, "\"bits\":%u,\"testing\":%s,\"partial\":%s}", signature->key_bits,
		signature->is_testing ? "true" : "false", signature->is_partial ? "true" : "false");
}

static void
print_json(const struct dkim *dkim, struct buffer *text)
{
	buffer_append_octet(text, '{');
	json_append_pair(text, "result", slice_text(dkim_result_text(dkim->result)));
	json_append_pair(text, "reason", slice_text(dkim->reason));
	buffer_append_text(text, "\"signatures\":[");
	for (size_t i = 0; i < dkim->count; i++) {
		buffer_append_text(text, i > 0 ? "," : "");
		json_append_signature(text, &dkim->signatures[i]);
	}
	buffer_printf(text, "],\"ignored\":%zu}\n", dkim->ignored);
}

static int
verify(struct verification *v)
{
	struct buffer text;

	int code = tool_dns_open(NAME, v->options.dns, &v->stub);
	if (code != EX_OK)
		return code;
	v->content = content_new(v->env.memory, header_done, v);
	if (!v->content)
		return tool_fail(NAME, EX_OSERR, "%s", error_text(ERROR_NO_MEMORY));
	code = tool_message_feed(NAME, v->options.path, v->content);
	if (code != EX_OK)
		return code;
	enum error error = tool_run(&v->env, NAME, verify_run, v);
	if (error != OK)
		return tool_fail(NAME, EX_OSERR, "can't start: %s", error_text(error));
	buffer_init(&text, v->env.memory, SIZE_MAX);
	if (v->options.is_json)
		print_json(&v->dkim, &text);
	else
		print_verdict(&v->dkim, &text);
	error = buffer_error(&text);
	fwrite(text.ptr, 1, text.len, stdout);
	buffer_done(&text);
	return error == OK ? tool_finish(NAME, EX_OK)
			   : tool_fail(NAME, EX_OSERR, "%s", error_text(error));
}

/* The words behind the options: verify [FILE], sign [FILE], key new. */
/* The words behind "key". */
static int
run_key_action(const struct dkim_options *o, int count, char **words)
{
	const char *word = count > 0 ? words[0] : "";
	bool is_rotate = strcmp(word, "rotate") == 0;

	if (count > 1 + is_rotate)
		return tool_misused(NAME, "\"%s\" is too much", words[1 + is_rotate]);
	if (strcmp(word, "new") == 0)
		return dkim_tool_new_key(o);
	if (strcmp(word, "list") == 0)
		return dkim_keys_list(o);
	if (!is_rotate)
		return tool_misused(NAME, "say what to do: key new, key list or key rotate");
	if (count < 2)
		return tool_misused(NAME, "which domain? veredus dkim key rotate DOMAIN");
	return dkim_keys_rotate(o, words[1]);
}

static int
run_action(struct verification *v, int argc, char **argv)
{
	const char *word = optind < argc ? argv[optind] : "";

	if (strcmp(word, "key") == 0)
		return run_key_action(&v->options, argc - optind - 1, argv + optind + 1);
	if (optind + 2 < argc)
		return tool_misused(NAME, "\"%s\" is too much", argv[optind + 2]);
	v->options.path = optind + 1 < argc ? argv[optind + 1] : NULL;
	if (strcmp(word, "verify") == 0)
		return verify(v);
	if (strcmp(word, "sign") == 0)
		return dkim_tool_sign(&v->options);
	return tool_misused(NAME, "say what to do: verify, sign or key");
}

int
cmd_dkim(int argc, char **argv)
{
	struct verification v = {0};

	env_init_linux(&v.env);
	arena_init(&v.arena, v.env.memory, DKIM_ARENA_BYTES);
	v.options = (struct dkim_options){.env = &v.env,
		.now = env_wall(&v.env),
		.canon = "relaxed/relaxed",
		.conf_file = VEREDUS_CONF,
		.rsa_bits = 2048};
	int code = read_options(&v.options, argc, argv);
	if (code == EX_OK && v.options.wants_help) {
		fputs(usage, stdout);
		code = tool_finish(NAME, EX_OK);
	} else if (code == EX_OK) {
		code = run_action(&v, argc, argv);
	}
	content_free(&v.content);
	arena_done(&v.arena);
	env_done(&v.env);
	return code;
}
