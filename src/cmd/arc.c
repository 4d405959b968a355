/*
 * `veredus arc verify`: does the chain of those who forwarded a message hold? `veredus arc seal`:
 * the fields that continue it.
 */
#include "base/log_record.h"
#include "cmd/command.h"
#include "cmd/dkim_tool.h"
#include "cmd/tool.h"
#include "cmd/tool_dns.h"
#include "cmd/tool_message.h"
#include "mailauth/arc.h"

#include <stdio.h>
#include <sysexits.h>

#define NAME        "arc"
#define FIELDS_MAX  (256u << 10)
#define RESULTS_MAX (32u << 10)
#define ARENA_BYTES (8u << 20)
#define DEADLINE_US (30 * US_PER_S)

static const char usage[] =
	"usage: veredus arc verify [--dns ADDRESS:PORT] [--json] [FILE]\n"
	"       veredus arc seal --key FILE --domain DOMAIN --selector NAME --authserv-id ID\n"
	"                        [--headers A:B:C] [--time SECONDS] [--dns ADDRESS:PORT] [FILE]\n"
	"\n"
	"verify says whether the ARC chain (RFC 8617) of a message holds: the result first, then "
	"a\n"
	"line for each set. seal prints the three header fields that continue it, with what the\n"
	"message's Authentication-Results of ID say; nothing if there are none, or if the chain "
	"has\n"
	"ended. The message is on standard input if there is no FILE.\n"
	"\n" TOOL_DNS_HELP "      --json               verify: one object\n"
	"      --key FILE           the private key, in PEM\n"
	"      --domain DOMAIN      that seals\n"
	"      --selector NAME      of the key\n"
	"      --authserv-id ID     whose Authentication-Results are ours\n"
	"      --headers A:B:C      the fields to sign; default: those that matter\n"
	"      --time SECONDS       since 1970; default: now\n"
	"\n"
	"Exit code: 0 whenever there is a result; 64 wrong arguments; 65 no usable message or "
	"key;\n"
	"66 no such file; 69 no DNS server is known.\n";

enum {
	OPTION_DNS = 256,
	OPTION_JSON,
	OPTION_KEY,
	OPTION_DOMAIN,
	OPTION_SELECTOR,
	OPTION_ID,
	OPTION_HEADERS,
	OPTION_TIME
};

static const struct option options[] = {
	{"dns", required_argument, NULL, OPTION_DNS},
	{"json", no_argument, NULL, OPTION_JSON},
	{"key", required_argument, NULL, OPTION_KEY},
	{"domain", required_argument, NULL, OPTION_DOMAIN},
	{"selector", required_argument, NULL, OPTION_SELECTOR},
	{"authserv-id", required_argument, NULL, OPTION_ID},
	{"headers", required_argument, NULL, OPTION_HEADERS},
	{"time", required_argument, NULL, OPTION_TIME},
	{"help", no_argument, NULL, 'h'},
	{0},
};

struct arc_tool {
	struct env env;
	struct arena arena;
	struct dns_stub stub;
	struct dns_source source;
	struct content *content;
	struct arc arc;
	struct arc_sealing sealing;
	const char *dns, *key, *path;
	bool is_json, is_seal, wants_help;
};

static int
read_time(struct arc_tool *tool)
{
	uint64_t seconds;

	if (!slice_number(slice_text(optarg), INT32_MAX * UINT64_C(1000), &seconds))
		return tool_misused(NAME, "--time %s is no number of seconds", optarg);
	tool->sealing.now = (wall_us)seconds * US_PER_S;
	return EX_OK;
}

static int
read_option(struct arc_tool *tool, int option)
{
	switch (option) {
	case OPTION_DNS:
		tool->dns = optarg;
		break;
	case OPTION_KEY:
		tool->key = optarg;
		break;
	case OPTION_DOMAIN:
		tool->sealing.domain = slice_text(optarg);
		break;
	case OPTION_SELECTOR:
		tool->sealing.selector = slice_text(optarg);
		break;
	case OPTION_ID:
		tool->sealing.authserv_id = slice_text(optarg);
		break;
	case OPTION_HEADERS:
		tool->sealing.names = slice_text(optarg);
		break;
	case OPTION_TIME:
		return read_time(tool);
	case OPTION_JSON:
		tool->is_json = true;
		break;
	case 'h':
		tool->wants_help = true;
		break;
	default:
		return EX_USAGE;
	}
	return EX_OK;
}

static int
read_options(struct arc_tool *tool, int argc, char **argv)
{
	int option, code = EX_OK;

	while (code == EX_OK && (option = tool_option(NAME, argc, argv, ":h", options)) != -1)
		code = read_option(tool, option);
	return code;
}

static int
check_sealing(const struct arc_tool *tool)
{
	const struct arc_sealing *sealing = &tool->sealing;

	if (!tool->key)
		return tool_misused(NAME, "--key FILE is missing");
	if (!domain_is_signable(sealing->domain))
		return tool_misused(NAME, "--domain DOMAIN is missing, or no domain");
	if (!domain_is_signable(sealing->selector))
		return tool_misused(NAME, "--selector NAME is missing, or no selector");
	if (!domain_is_signable(sealing->authserv_id))
		return tool_misused(NAME, "--authserv-id ID is missing, or no name");
	if (sealing->names.len > 0 && !tag_has_item(sealing->names, "from"))
		return tool_misused(NAME, "--headers must name From");
	if (tag_has_item(sealing->names, "arc-seal"))
		return tool_misused(NAME, "--headers must not name ARC-Seal");
	return EX_OK;
}

static int
check_options(struct arc_tool *tool, int argc, char **argv)
{
	const char *word = optind < argc ? argv[optind] : "";

	tool->is_seal = strcmp(word, "seal") == 0;
	if (!tool->is_seal && strcmp(word, "verify") != 0)
		return tool_misused(NAME, "say what to do: verify or seal");
	if (optind + 2 < argc)
		return tool_misused(NAME, "\"%s\" is too much", argv[optind + 2]);
	tool->path = argv[optind + 1];
	int code = tool->is_seal ? check_sealing(tool) : EX_OK;
	return code == EX_OK ? tool_dns_open(NAME, tool->dns, &tool->stub) : code;
}

static void
header_done(void *arg, struct content *content)
{
	struct arc_tool *tool = arg;

	arc_begin(&tool->arc, content);
	/* A content of two hashes at most has room for this one. */
	if (tool->is_seal && !arc_seal_begin(&tool->sealing, content))
		tool->sealing.cv = ARC_FAIL;
}

static void
verify_run(void *arg)
{
	struct arc_tool *tool = arg;
	struct loop *loop = tool->env.loop;

	tool->stub.loop = loop;
	tool->source = dns_stub_source(&tool->stub);
	struct signature_request request = {.dns = &tool->source,
		.arena = &tool->arena,
		.deadline = loop_deadline(loop, DEADLINE_US),
		.now = env_wall(&tool->env)};
	arc_check(&tool->arc, tool->content, &request, tool->env.memory);
}

static void
append_set(struct buffer *text, const struct arc_set *set, size_t index)
{
	buffer_printf(text, "i=%zu cv=%s seal=%s domain=", index + 1, arc_status_text(set->cv),
		dkim_result_text(set->seal.result));
	tool_append_harmless(text, set->seal.domain);
	buffer_append_text(text, " selector=");
	tool_append_harmless(text, set->seal.selector);
	buffer_append_text(text, " signed-by=");
	tool_append_harmless(text, set->message.domain);
	buffer_append_octet(text, '\n');
}

static void
print_verdict(const struct arc *arc, struct buffer *text)
{
	buffer_printf(text, "%s\n", arc_status_text(arc->status));
	if (arc->reason && arc->instance > 0)
		buffer_printf(text, "reason: set %u: %s\n", arc->instance, arc->reason);
	else if (arc->reason)
		buffer_printf(text, "reason: %s\n", arc->reason);
	for (size_t i = arc->count; i > 0; i--)
		append_set(text, &arc->sets[i - 1], i - 1);
}

static void
print_json(const struct arc *arc, struct buffer *text)
{
	buffer_append_text(text, "{\"result\":");
	json_append_string(text, slice_text(arc_status_text(arc->status)));
	buffer_append_text(text, ",\"reason\":");
	json_append_string(text, slice_text(arc->reason));
	buffer_printf(text, ",\"instance\":%u,\"temporary\":%s,\"sets\":[", arc->instance,
		arc->is_temporary ? "true" : "false");
	for (size_t i = 0; i < arc->count; i++) {
		buffer_printf(text, "%s{\"instance\":%zu,\"domain\":", i > 0 ? "," : "", i + 1);
		json_append_string(text, arc->sets[i].seal.domain);
		buffer_append_text(text, ",\"selector\":");
		json_append_string(text, arc->sets[i].seal.selector);
		buffer_append_text(text, ",\"cv\":");
		json_append_string(text, slice_text(arc_status_text(arc->sets[i].cv)));
		buffer_append_octet(text, '}');
	}
	buffer_append_text(text, "]}\n");
}

static int
append_sealed(struct arc_tool *tool, struct buffer *results, struct buffer *text)
{
	struct arc_sealing *sealing = &tool->sealing;
	enum arc_status said = ARC_NONE;
	bool has_said;

	if (content_fault(tool->content))
		return tool_fail(NAME, EX_DATAERR, "not sealed: %s", content_fault(tool->content));
	if (!arc_collect_results(tool->content, sealing->authserv_id, results, &has_said, &said)) {
		tool_fail(NAME, EX_OK, "not sealed: no Authentication-Results are of this id");
		return EX_OK;
	}
	sealing->results = buffer_slice(results);
	sealing->cv = tool->arc.count == 0 ? ARC_NONE : tool->arc.status;
	/* Who wrote them saw the message as it came. */
	if (tool->arc.count > 0 && has_said && said != ARC_PASS)
		sealing->cv = ARC_FAIL;
	enum error error =
		arc_seal_append(sealing, &tool->arc, tool->content, tool->env.memory, text);
	if (error == ERROR_EXISTS)
		tool_fail(NAME, EX_OK, "not sealed: the chain has ended");
	else if (error != OK)
		return tool_fail(NAME, EX_SOFTWARE, "not sealed: %s", error_text(error));
	return EX_OK;
}

static int
seal(struct arc_tool *tool, struct buffer *text)
{
	struct buffer results;
	struct key *key = NULL;

	int code = tool_key_read(NAME, tool->env.memory, tool->key, &key);
	if (code != EX_OK)
		return code;
	tool->sealing.key = key;
	buffer_init(&results, tool->env.memory, RESULTS_MAX);
	code = append_sealed(tool, &results, text);
	buffer_done(&results);
	key_free(&key);
	return code;
}

static int
run(struct arc_tool *tool)
{
	struct buffer text;

	tool->content = content_new(tool->env.memory, header_done, tool);
	if (!tool->content)
		return tool_fail(NAME, EX_OSERR, "%s", error_text(ERROR_NO_MEMORY));
	int code = tool_message_feed(NAME, tool->path, tool->content);
	if (code != EX_OK)
		return code;
	enum error error = tool_run(&tool->env, NAME, verify_run, tool);
	if (error != OK)
		return tool_fail(NAME, EX_OSERR, "can't start: %s", error_text(error));
	buffer_init(&text, tool->env.memory, FIELDS_MAX);
	if (tool->is_seal)
		code = seal(tool, &text);
	else if (tool->is_json)
		print_json(&tool->arc, &text);
	else
		print_verdict(&tool->arc, &text);
	error = buffer_error(&text);
	if (code == EX_OK && error == OK)
		fwrite(text.ptr, 1, text.len, stdout);
	buffer_done(&text);
	if (error != OK)
		return tool_fail(NAME, EX_OSERR, "%s", error_text(error));
	return code == EX_OK ? tool_finish(NAME, EX_OK) : code;
}

int
cmd_arc(int argc, char **argv)
{
	struct arc_tool tool = {0};

	env_init_linux(&tool.env);
	arena_init(&tool.arena, tool.env.memory, ARENA_BYTES);
	tool.sealing.now = env_wall(&tool.env);
	int code = read_options(&tool, argc, argv);
	if (code == EX_OK && tool.wants_help) {
		fputs(usage, stdout);
		code = tool_finish(NAME, EX_OK);
	} else {
		if (code == EX_OK)
			code = check_options(&tool, argc, argv);
		if (code == EX_OK)
			code = run(&tool);
	}
	content_free(&tool.content);
	arena_done(&tool.arena);
	env_done(&tool.env);
	return code;
}
