/*
 * `veredus dmarc verify`: does SPF or DKIM vouch for the domain that a reader sees in From, and
 * what does that domain want done if not? SPF, DKIM and ARC are judged on the way.
 */
#include "base/log_record.h"
#include "cmd/command.h"
#include "cmd/dmarc_pending.h"
#include "cmd/tool.h"
#include "cmd/tool_dns.h"
#include "cmd/tool_message.h"
#include "mailauth/arc.h"
#include "mailauth/auth_results.h"
#include "mailauth/author.h"
#include "mailauth/dmarc.h"

#include <stdio.h>
#include <sysexits.h>

#define NAME        "dmarc"
#define DEADLINE_US (40 * US_PER_S)
#define DEFAULT_ID  "localhost"

static const char usage[] =
	"usage: veredus dmarc verify --ip ADDRESS --helo NAME [--from ADDRESS] [OPTION...] [FILE]\n"
	"       veredus dmarc report [--json] [FILE...]\n"
	"       veredus dmarc report --pending [--config FILE] [--json] [DOMAIN]\n"
	"       veredus dmarc send [--dry-run] [OPTION...] [DOMAIN]\n"
	"\n"
	"verify says whether SPF or DKIM vouch for the domain in a message's From field (DMARC, "
	"RFC "
	"9989):\n"
	"the result first, then the policy and what led there. The message is on standard input "
	"if\n"
	"there is no FILE.\n"
	"\n"
	"      --ip ADDRESS         the client's address, IPv4 or IPv6\n"
	"      --helo NAME          what it said in HELO or EHLO\n"
	"      --from ADDRESS       the sender (MAIL FROM); <> or left out: the HELO name is "
	"judged\n"
	"      --authserv-id ID     for the header field that is shown; default: " DEFAULT_ID
	"\n" TOOL_DNS_HELP "      --json               one object\n"
	"\n"
	"report shows aggregate reports that others sent: see `veredus dmarc report --help`.\n"
	"\n"
	"Exit code: 0 whenever there is a result; 64 wrong arguments; 66 no such file; 69 no DNS\n"
	"server is known.\n";

enum { OPTION_IP = 256, OPTION_HELO, OPTION_FROM, OPTION_ID, OPTION_DNS, OPTION_JSON };

static const struct option options[] = {
	{"ip", required_argument, NULL, OPTION_IP},
	{"helo", required_argument, NULL, OPTION_HELO},
	{"from", required_argument, NULL, OPTION_FROM},
	{"authserv-id", required_argument, NULL, OPTION_ID},
	{"dns", required_argument, NULL, OPTION_DNS},
	{"json", no_argument, NULL, OPTION_JSON},
	{"help", no_argument, NULL, 'h'},
	{0},
};

struct judgement {
	struct env env;
	struct arena arena;
	struct dns_stub stub;
	struct dns_source source;
	struct content *content;
	struct spf_request spf_request;
	struct spf_verdict spf;
	struct dkim dkim;
	struct arc arc;
	enum author_fault author_fault;
	struct slice author;
	struct dmarc_verdict dmarc;
	uint8_t ip[16];
	const char *ip_text, *dns, *path, *authserv_id;
	bool is_json, wants_help;
};

static int
read_option(struct judgement *j, int option)
{
	switch (option) {
	case OPTION_IP:
		j->ip_text = optarg;
		break;
	case OPTION_HELO:
		j->spf_request.helo = slice_text(optarg);
		break;
	case OPTION_FROM:
		j->spf_request.sender = tool_bare_address(slice_text(optarg));
		break;
	case OPTION_ID:
		j->authserv_id = optarg;
		break;
	case OPTION_DNS:
		j->dns = optarg;
		break;
	case OPTION_JSON:
		j->is_json = true;
		break;
	case 'h':
		j->wants_help = true;
		break;
	default:
		return EX_USAGE;
	}
	return EX_OK;
}

static int
read_options(struct judgement *j, int argc, char **argv)
{
	int option, code = EX_OK;

	while (code == EX_OK && (option = tool_option(NAME, argc, argv, ":h", options)) != -1)
		code = read_option(j, option);
	return code;
}

static int
check_options(struct judgement *j, int argc, char **argv)
{
	if (optind >= argc || strcmp(argv[optind], "verify") != 0)
		return tool_misused(NAME, "say what to do: veredus dmarc verify, or report");
	if (optind + 2 < argc)
		return tool_misused(NAME, "\"%s\" is too much", argv[optind + 2]);
	if (!j->ip_text)
		return tool_misused(NAME, "--ip ADDRESS is missing");
	if (j->spf_request.helo.len == 0 && j->spf_request.sender.len == 0)
		return tool_misused(NAME, "--helo NAME is missing");
	if (!tool_parse_ip(j->ip_text, j->ip, &j->spf_request.ip))
		return tool_misused(NAME, "--ip %s is no address of IPv4 or IPv6", j->ip_text);
	if (!domain_is_signable(slice_text(j->authserv_id)))
		return tool_misused(NAME, "--authserv-id %s is no name", j->authserv_id);
	j->path = argv[optind + 1];
	return tool_dns_open(NAME, j->dns, &j->stub);
}

static void
header_done(void *arg, struct content *content)
{
	struct judgement *j = arg;

	dkim_begin(&j->dkim, content);
	arc_begin(&j->arc, content);
	j->author_fault = author_of_content(content, &j->author);
}

static void
judge_author(struct judgement *j)
{
	struct dmarc_request request = {.dns = &j->source,
		.arena = &j->arena,
		.deadline = j->spf_request.deadline,
		.author = j->author,
		.spf = &j->spf,
		.dkim = &j->dkim};

	if (content_fault(j->content))
		j->dmarc = (struct dmarc_verdict){
			.result = DMARC_PERMERROR, .reason = content_fault(j->content)};
	else if (j->author_fault != AUTHOR_OK)
		j->dmarc = (struct dmarc_verdict){
			.result = DMARC_PERMERROR, .reason = author_fault_text(j->author_fault)};
	else
		dmarc_check(&request, &j->dmarc);
}

static void
judge_run(void *arg)
{
	struct judgement *j = arg;
	struct loop *loop = j->env.loop;

	j->stub.loop = loop;
	j->source = dns_stub_source(&j->stub);
	struct signature_request request = {.dns = &j->source,
		.arena = &j->arena,
		.deadline = loop_deadline(loop, DEADLINE_US),
		.now = env_wall(&j->env)};
	j->spf_request.dns = &j->source;
	j->spf_request.arena = &j->arena;
	j->spf_request.deadline = request.deadline;
	j->spf_request.now = request.now;
	spf_check(&j->spf_request, &j->spf);
	dkim_check(&j->dkim, j->content, &request, j->env.memory);
	arc_check(&j->arc, j->content, &request, j->env.memory);
	judge_author(j);
}

static void
append_dkim(struct buffer *text, const struct judgement *j)
{
	for (size_t i = 0; i < j->dkim.count; i++) {
		const struct signature *s = &j->dkim.signatures[i];
		auth_results_append_result(text, "dkim", dkim_result_text(s->result), s->reason);
		if (s->domain.len > 0)
			auth_results_append_property(text, "header.d", s->domain);
		if (s->selector.len > 0)
			auth_results_append_property(text, "header.s", s->selector);
		if (s->algorithm.len > 0)
			auth_results_append_property(text, "header.a", s->algorithm);
	}
	if (j->dkim.count == 0)
		auth_results_append_result(
			text, "dkim", dkim_result_text(j->dkim.result), j->dkim.reason);
}

static void
append_field(struct buffer *text, const struct judgement *j)
{
	bool has_sender = j->spf_request.sender.len > 0;

	buffer_printf(text, "Authentication-Results: %s", j->authserv_id);
	auth_results_append_result(text, "spf", spf_result_text(j->spf.result), NULL);
	auth_results_append_property(text, has_sender ? "smtp.mailfrom" : "smtp.helo",
		has_sender ? j->spf_request.sender : j->spf_request.helo);
	append_dkim(text, j);
	auth_results_append_result(
		text, "dmarc", dmarc_result_text(j->dmarc.result), j->dmarc.reason);
	if (j->author.len > 0)
		auth_results_append_property(text, "header.from", j->author);
	if (j->dmarc.policy_domain.len > 0)
		auth_results_append_property(
			text, "policy.dmarc", slice_text(dmarc_policy_text(j->dmarc.requested)));
	auth_results_append_result(text, "arc", arc_status_text(j->arc.status), j->arc.reason);
	buffer_append_text(text, "\r\n");
}

static void
append_policy(struct buffer *text, const struct dmarc_verdict *verdict)
{
	if (verdict->policy_domain.len == 0)
		return;
	buffer_printf(text, "policy: %s, of ", dmarc_policy_text(verdict->policy));
	tool_append_harmless(text, verdict->policy_domain);
	if (verdict->is_absent)
		buffer_append_text(text, "; the author's domain does not exist");
	if (verdict->requested != verdict->policy)
		buffer_printf(text, "; tests only: %s", dmarc_policy_text(verdict->requested));
	buffer_append_octet(text, '\n');
}

/* The field as it would stand there, with the lines of a terminal. */
static void
append_shown_field(struct buffer *text, const struct judgement *j)
{
	struct buffer field;

	buffer_init(&field, j->env.memory, CONTENT_HEADER_MAX);
	append_field(&field, j);
	for (size_t i = 0; i < field.len; i++)
		if (field.ptr[i] != '\r')
			buffer_append_octet(text, field.ptr[i]);
	if (text->error == OK)
		text->error = field.error;
	buffer_done(&field);
}

static void
print_verdict(const struct judgement *j, struct buffer *text)
{
	const struct dmarc_verdict *verdict = &j->dmarc;

	buffer_printf(text, "%s\n", dmarc_result_text(verdict->result));
	if (verdict->reason)
		buffer_printf(text, "reason: %s\n", verdict->reason);
	if (j->author.len > 0) {
		buffer_append_text(text, "author: ");
		tool_append_harmless(text, j->author);
		buffer_append_text(text, ", of the organization ");
		tool_append_harmless(text, verdict->organization);
		buffer_append_octet(text, '\n');
	}
	append_policy(text, verdict);
	buffer_printf(text, "spf: %s, %saligned\n", spf_result_text(j->spf.result),
		verdict->is_spf_aligned ? "" : "not ");
	buffer_printf(text, "dkim: %s, %saligned\n", dkim_result_text(j->dkim.result),
		verdict->dkim_domain.len > 0 ? "" : "not ");
	append_shown_field(text, j);
}

static void
append_pair(struct buffer *text, const char *name, struct slice value)
{
	buffer_printf(text, "\"%s\":", name);
	json_append_string(text, value);
	buffer_append_octet(text, ',');
}

static void
print_json(const struct judgement *j, struct buffer *text)
{
	const struct dmarc_verdict *verdict = &j->dmarc;
	bool has_policy = verdict->policy_domain.len > 0;

	buffer_append_octet(text, '{');
	append_pair(text, "result", slice_text(dmarc_result_text(verdict->result)));
	append_pair(text, "reason", slice_text(verdict->reason));
	append_pair(text, "author", j->author);
	append_pair(text, "organization", verdict->organization);
	append_pair(text, "policy_domain", verdict->policy_domain);
	append_pair(
		text, "policy", slice_text(has_policy ? dmarc_policy_text(verdict->policy) : NULL));
	append_pair(text, "requested",
		slice_text(has_policy ? dmarc_policy_text(verdict->requested) : NULL));
	append_pair(text, "spf", slice_text(spf_result_text(j->spf.result)));
	append_pair(text, "dkim", slice_text(dkim_result_text(j->dkim.result)));
	append_pair(text, "arc", slice_text(arc_status_text(j->arc.status)));
	buffer_printf(text, "\"spf_aligned\":%s,\"dkim_aligned\":%s}\n",
		verdict->is_spf_aligned ? "true" : "false",
		verdict->dkim_domain.len > 0 ? "true" : "false");
}

static int
judge(struct judgement *j)
{
	struct buffer text;

	j->content = content_new(j->env.memory, header_done, j);
	if (!j->content)
		return tool_fail(NAME, EX_OSERR, "%s", error_text(ERROR_NO_MEMORY));
	int code = tool_message_feed(NAME, j->path, j->content);
	if (code != EX_OK)
		return code;
	enum error error = tool_run(&j->env, NAME, judge_run, j);
	if (error != OK)
		return tool_fail(NAME, EX_OSERR, "can't start: %s", error_text(error));
	buffer_init(&text, j->env.memory, SIZE_MAX);
	if (j->is_json)
		print_json(j, &text);
	else
		print_verdict(j, &text);
	error = buffer_error(&text);
	fwrite(text.ptr, 1, text.len, stdout);
	buffer_done(&text);
	return error == OK ? tool_finish(NAME, EX_OK)
			   : tool_fail(NAME, EX_OSERR, "%s", error_text(error));
}

int
cmd_dmarc(int argc, char **argv)
{
	struct judgement j = {.authserv_id = DEFAULT_ID};

	if (argc > 1 && strcmp(argv[1], "send") == 0)
		return private_exec("veredus-dmarc-send", argv);
	if (dmarc_is_about_pending(argc, argv))
		return dmarc_pending(argc, argv);
	if (argc > 1 && strcmp(argv[1], "report") == 0)
		return private_exec("veredus-dmarc-report", argv);
	env_init_linux(&j.env);
	arena_init(&j.arena, j.env.memory, SPF_ARENA_BYTES + DKIM_ARENA_BYTES + DMARC_ARENA_BYTES);
	int code = read_options(&j, argc, argv);
	if (code == EX_OK && j.wants_help) {
		fputs(usage, stdout);
		code = tool_finish(NAME, EX_OK);
	} else {
		if (code == EX_OK)
			code = check_options(&j, argc, argv);
		if (code == EX_OK)
			code = judge(&j);
	}
	content_free(&j.content);
	arena_done(&j.arena);
	env_done(&j.env);
	return code;
}
