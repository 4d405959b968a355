/*
 * `veredus dkim verify`: which domains vouch for a message. The result word comes first, then a
 * line for each signature.
 */
#include "base/log_record.h"
#include "cmd/command.h"
#include "cmd/tool.h"
#include "cmd/tool_dns.h"
#include "cmd/tool_message.h"
#include "mailauth/dkim.h"

#include <stdio.h>
#include <sysexits.h>

#define NAME "dkim"

static const char usage[] =
	"usage: veredus dkim verify [OPTION...] [FILE]\n"
	"\n"
	"Says what the DKIM signatures (RFC 6376) of a message come to: the result first, then a\n"
	"line for each signature. The message is on standard input if there is no FILE.\n"
	"\n" TOOL_DNS_HELP "      --json               one object\n"
	"\n"
	"Exit code: 0 whenever there is a result, also for a bad signature; 64 wrong arguments;\n"
	"66 no such file; 69 no DNS server is known.\n";

enum { OPTION_DNS = 256, OPTION_JSON };

static const struct option options[] = {
	{"dns", required_argument, NULL, OPTION_DNS},
	{"json", no_argument, NULL, OPTION_JSON},
	{"help", no_argument, NULL, 'h'},
	{0},
};

struct verification {
	struct env env;
	struct arena arena;
	struct dns_stub stub;
	struct dns_source source;
	struct content *content;
	struct dkim dkim;
	const char *dns, *path;
	bool is_json, wants_help;
};

static int
read_options(struct verification *v, int argc, char **argv)
{
	int option;

	while ((option = tool_option(NAME, argc, argv, ":h", options)) != -1) {
		switch (option) {
		case OPTION_DNS:
			v->dns = optarg;
			break;
		case OPTION_JSON:
			v->is_json = true;
			break;
		case 'h':
			v->wants_help = true;
			break;
		default:
			return EX_USAGE;
		}
	}
	return EX_OK;
}

static int
check_options(struct verification *v, int argc, char **argv)
{
	if (optind >= argc || strcmp(argv[optind], "verify") != 0)
		return tool_misused(NAME, "say what to do: veredus dkim verify");
	if (optind + 2 < argc)
		return tool_misused(NAME, "\"%s\" is too much", argv[optind + 2]);
	v->path = argv[optind + 1];
	return tool_dns_open(NAME, v->dns, &v->stub);
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

	v->content = content_new(v->env.memory, header_done, v);
	if (!v->content)
		return tool_fail(NAME, EX_OSERR, "%s", error_text(ERROR_NO_MEMORY));
	int code = tool_message_feed(NAME, v->path, v->content);
	if (code != EX_OK)
		return code;
	enum error error = tool_run(&v->env, NAME, verify_run, v);
	if (error != OK)
		return tool_fail(NAME, EX_OSERR, "can't start: %s", error_text(error));
	buffer_init(&text, v->env.memory, SIZE_MAX);
	if (v->is_json)
		print_json(&v->dkim, &text);
	else
		print_verdict(&v->dkim, &text);
	error = buffer_error(&text);
	fwrite(text.ptr, 1, text.len, stdout);
	buffer_done(&text);
	return error == OK ? tool_finish(NAME, EX_OK)
			   : tool_fail(NAME, EX_OSERR, "%s", error_text(error));
}

int
cmd_dkim(int argc, char **argv)
{
	struct verification v = {0};

	env_init_linux(&v.env);
	arena_init(&v.arena, v.env.memory, DKIM_ARENA_BYTES);
	int code = read_options(&v, argc, argv);
	if (code == EX_OK && v.wants_help) {
		fputs(usage, stdout);
		code = tool_finish(NAME, EX_OK);
	} else {
		if (code == EX_OK)
			code = check_options(&v, argc, argv);
		if (code == EX_OK)
			code = verify(&v);
	}
	content_free(&v.content);
	arena_done(&v.arena);
	env_done(&v.env);
	return code;
}
