/*
 * `veredus spf verify`: may this address send mail for that domain, and why. The result word comes
 * first, so that a script reads one word and a person goes on reading.
 */
#include "base/log_record.h"
#include "cmd/command.h"
#include "cmd/tool.h"
#include "cmd/tool_dns.h"
#include "mailauth/spf.h"

#include <stdio.h>
#include <sysexits.h>

#define NAME "spf"

static const char usage[] =
	"usage: veredus spf verify --ip ADDRESS --helo NAME [--from ADDRESS] [OPTION...]\n"
	"\n"
	"Says what SPF (RFC 7208) says of a client: the result first, then how it came about.\n"
	"\n"
	"      --ip ADDRESS         the client's address, IPv4 or IPv6\n"
	"      --helo NAME          what it said in HELO or EHLO\n"
	"      --from ADDRESS       the sender (MAIL FROM); <> or left out: the HELO name is "
	"judged\n"
	"      --receiver NAME      our own name, for macros\n" TOOL_DNS_HELP
	"      --json               one object\n"
	"\n"
	"Exit code: 0 whenever there is a result, also for an error of the domain's; 64 wrong\n"
	"arguments; 69 no DNS server is known.\n";

enum { OPTION_IP = 256, OPTION_HELO, OPTION_FROM, OPTION_RECEIVER, OPTION_DNS, OPTION_JSON };

static const struct option options[] = {
	{"ip", required_argument, NULL, OPTION_IP},
	{"helo", required_argument, NULL, OPTION_HELO},
	{"from", required_argument, NULL, OPTION_FROM},
	{"receiver", required_argument, NULL, OPTION_RECEIVER},
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
	struct spf_request request;
	struct spf_verdict verdict;
	struct buffer steps;
	uint8_t ip[16];
	const char *ip_text, *dns;
	bool is_json, wants_help;
};

static int
read_options(struct verification *v, int argc, char **argv)
{
	int option;

	while ((option = tool_option(NAME, argc, argv, ":h", options)) != -1) {
		switch (option) {
		case OPTION_IP:
			v->ip_text = optarg;
			break;
		case OPTION_HELO:
			v->request.helo = slice_text(optarg);
			break;
		case OPTION_FROM:
			v->request.sender = tool_bare_address(slice_text(optarg));
			break;
		case OPTION_RECEIVER:
			v->request.receiver = slice_text(optarg);
			break;
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
		return tool_misused(NAME, "say what to do: veredus spf verify");
	if (optind + 1 < argc)
		return tool_misused(NAME, "\"%s\" is too much", argv[optind + 1]);
	if (!v->ip_text)
		return tool_misused(NAME, "--ip ADDRESS is missing");
	if (v->request.helo.len == 0 && v->request.sender.len == 0)
		return tool_misused(NAME, "--helo NAME is missing");
	if (!tool_parse_ip(v->ip_text, v->ip, &v->request.ip))
		return tool_misused(NAME, "--ip %s is no address of IPv4 or IPv6", v->ip_text);
	return tool_dns_open(NAME, v->dns, &v->stub);
}

static void
note_step(void *arg, const struct spf_step *step)
{
	struct buffer *steps = &((struct verification *)arg)->steps;

	buffer_printf(steps, "  %*s", (int)step->depth * 2, "");
	tool_append_harmless(steps, step->domain);
	buffer_append_text(steps, ": ");
	tool_append_harmless(steps, step->term);
	buffer_printf(steps, "%s%s", step->term.len > 0 ? " " : "", step->what);
	if (step->detail.len > 0) {
		buffer_append_text(steps, ": ");
		tool_append_harmless(steps, step->detail);
	}
	buffer_append_octet(steps, '\n');
}

static void
verify_run(void *arg)
{
	struct verification *v = arg;
	struct loop *loop = v->env.loop;

	v->stub.loop = loop;
	v->source = dns_stub_source(&v->stub);
	v->request.dns = &v->source;
	v->request.arena = &v->arena;
	v->request.deadline = loop_deadline(loop, SPF_DEADLINE_US);
	v->request.now = env_wall(&v->env);
	v->request.step = note_step;
	v->request.step_arg = v;
	spf_check(&v->request, &v->verdict);
}

static void
append_labelled(struct buffer *text, const char *label, struct slice value)
{
	if (value.len == 0)
		return;
	buffer_printf(text, "%s", label);
	tool_append_harmless(text, value);
	buffer_append_octet(text, '\n');
}

static void
print_verdict(struct verification *v, struct buffer *text)
{
	const struct spf_verdict *verdict = &v->verdict;

	buffer_printf(text, "%s\n", spf_result_text(verdict->result));
	append_labelled(text, "domain: ", verdict->domain);
	append_labelled(text, "decided by: ", verdict->term);
	append_labelled(text, "reason: ", verdict->reason);
	append_labelled(text, "explanation: ", verdict->explanation);
	buffer_printf(text, "look-ups: %u of %d, %u of %d found nothing\n", verdict->lookups,
		SPF_LOOKUPS_MAX, verdict->void_lookups, SPF_VOID_LOOKUPS_MAX);
	buffer_append_text(text, "Received-SPF: ");
	spf_append_received(text, &v->request, verdict, false);
	buffer_append_text(text, "\nsteps:\n");
	buffer_append(text, buffer_slice(&v->steps));
}

static void
print_json(struct verification *v, struct buffer *text)
{
	const struct spf_verdict *verdict = &v->verdict;

	buffer_append_text(text, "{\"result\":");
	json_append_string(text, slice_text(spf_result_text(verdict->result)));
	buffer_append_text(text, ",\"domain\":");
	json_append_string(text, verdict->domain);
	buffer_append_text(text, ",\"term\":");
	json_append_string(text, verdict->term);
	buffer_append_text(text, ",\"reason\":");
	json_append_string(text, verdict->reason);
	buffer_append_text(text, ",\"explanation\":");
	json_append_string(text, verdict->explanation);
	buffer_printf(text, ",\"lookups\":%u,\"void_lookups\":%u}\n", verdict->lookups,
		verdict->void_lookups);
}

static int
verify(struct verification *v)
{
	struct buffer text;
	enum error error = tool_run(&v->env, NAME, verify_run, v);

	if (error != OK)
		return tool_fail(NAME, EX_OSERR, "can't start: %s", error_text(error));
	buffer_init(&text, v->env.memory, SIZE_MAX);
	if (v->is_json)
		print_json(v, &text);
	else
		print_verdict(v, &text);
	error = buffer_error(&text);
	fwrite(text.ptr, 1, text.len, stdout);
	buffer_done(&text);
	return error == OK ? tool_finish(NAME, EX_OK)
			   : tool_fail(NAME, EX_OSERR, "%s", error_text(error));
}

int
cmd_spf(int argc, char **argv)
{
	struct verification v = {0};

	env_init_linux(&v.env);
	arena_init(&v.arena, v.env.memory, SPF_ARENA_BYTES);
	buffer_init(&v.steps, v.env.memory, SIZE_MAX);
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
	buffer_done(&v.steps);
	arena_done(&v.arena);
	env_done(&v.env);
	return code;
}
