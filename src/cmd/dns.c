/*
 * `veredus dns print` and `veredus dns check`: which records a domain of ours needs, and whether
 * the DNS has them.
 */
#include "base/log_record.h"
#include "cmd/command.h"
#include "cmd/dns_records.h"
#include "cmd/tool.h"

#include <stdio.h>
#include <sysexits.h>

#define NAME "dns"

static const char usage[] =
	"usage: veredus dns print DOMAIN [-c FILE]\n"
	"       veredus dns check DOMAIN [-c FILE] [--dns ADDRESS:PORT] [--json]\n"
	"\n"
	"print shows the records that a domain of the configuration needs, as lines of a zone "
	"file:\n"
	"MX, SPF, DKIM for each of its keys, DMARC, TLSA for each certificate, and SRV by which\n"
	"mail programs find the server. check asks the DNS for them: the result first, then a\n"
	"line for each record, and what to do where it is not as it should be.\n"
	"\n"
	"  -c, --config FILE        the configuration (" VEREDUS_CONF ")\n" TOOL_DNS_HELP
	"      --json               check: one object\n"
	"\n"
	"Both read the files of keys and certificates, which root alone may do.\n"
	"\n"
	"Exit code: 0 whenever there is a result; 64 wrong arguments; 65 no such domain, or a key\n"
	"that can't be used; 66 no such file; 69 no DNS server is known; 78 a wrong "
	"configuration.\n";

enum { OPTION_DNS = 256, OPTION_JSON };

static const struct option options[] = {{"config", required_argument, NULL, 'c'},
	{"dns", required_argument, NULL, OPTION_DNS}, {"json", no_argument, NULL, OPTION_JSON},
	{"help", no_argument, NULL, 'h'}, {0}};

struct dns_command {
	struct env env;
	struct arena arena;
	struct conf conf;
	struct dns_stub stub;
	struct wishes wishes;
	struct finding *findings;
	size_t count;
	const char *conf_file, *dns, *domain;
	bool is_json, wants_help, is_check;
};

static int
read_options(struct dns_command *c, int argc, char **argv)
{
	int option;

	while ((option = tool_option(NAME, argc, argv, ":c:h", options)) != -1) {
		switch (option) {
		case 'c':
			c->conf_file = optarg;
			break;
		case OPTION_DNS:
			c->dns = optarg;
			break;
		case OPTION_JSON:
			c->is_json = true;
			break;
		case 'h':
			c->wants_help = true;
			break;
		default:
			return EX_USAGE;
		}
	}
	return EX_OK;
}

static int
check_options(struct dns_command *c, int argc, char **argv)
{
	const char *word = optind < argc ? argv[optind] : "";

	c->is_check = strcmp(word, "check") == 0;
	if (!c->is_check && strcmp(word, "print") != 0)
		return tool_misused(NAME, "say what to do: print or check");
	if (optind + 1 >= argc)
		return tool_misused(NAME, "which domain? veredus dns %s DOMAIN", word);
	if (optind + 2 < argc)
		return tool_misused(NAME, "\"%s\" is too much", argv[optind + 2]);
	if (!c->is_check && (c->dns || c->is_json))
		return tool_misused(NAME, "--dns and --json go with check");
	c->domain = argv[optind + 1];
	return c->is_check ? tool_dns_open(NAME, c->dns, &c->stub) : EX_OK;
}

static void
find_run(void *arg)
{
	struct dns_command *c = arg;

	c->stub.loop = c->env.loop;
	struct dns_source source = dns_stub_source(&c->stub);
	while (c->count < c->wishes.count && finding_make(&c->wishes, &c->wishes.items[c->count],
						     &source, c->env.loop, &c->findings[c->count]))
		c->count++;
}

/* The worst of all; what could not be found out hides no fault. */
static const char *
result_of(const struct dns_command *c)
{
	enum finding_state worst = FINDING_GOOD;

	for (size_t i = 0; i < c->count; i++)
		if (c->findings[i].state > worst)
			worst = c->findings[i].state;
	if (worst == FINDING_ADVICE)
		worst = FINDING_GOOD;
	return finding_state_text(worst == FINDING_MISSING ? FINDING_DIFFERS : worst);
}

static void
append_labelled(struct buffer *text, const char *label, struct slice value)
{
	if (value.len == 0)
		return;
	buffer_append_text(text, label);
	tool_append_harmless(text, value);
	buffer_append_octet(text, '\n');
}

static void
print_findings(const struct dns_command *c, struct buffer *text)
{
	buffer_printf(text, "%s\n", result_of(c));
	for (size_t i = 0; i < c->count; i++) {
		const struct finding *finding = &c->findings[i];
		buffer_printf(text, "%-8s ", finding_state_text(finding->state));
		tool_append_harmless(text, finding->wish->name);
		buffer_printf(text, " %s\n",
			finding->wish->kind == WISH_ADDRESS ? "A, AAAA"
							    : dns_type_name(finding->wish->type));
		if (finding->state != FINDING_GOOD)
			append_labelled(text, "         found: ", finding->found);
		append_labelled(text, "         to do: ", finding->advice);
	}
}

static void
print_json(const struct dns_command *c, struct buffer *text)
{
	buffer_printf(text, "{\"result\":\"%s\",\"records\":[", result_of(c));
	for (size_t i = 0; i < c->count; i++) {
		const struct finding *finding = &c->findings[i];
		buffer_append_text(text, i > 0 ? ",{\"name\":" : "{\"name\":");
		json_append_string(text, finding->wish->name);
		buffer_printf(text, ",\"type\":\"%s\",\"state\":\"%s\",\"found\":",
			dns_type_name(finding->wish->type), finding_state_text(finding->state));
		json_append_string(text, finding->found);
		buffer_append_text(text, ",\"advice\":");
		json_append_string(text, finding->advice);
		buffer_append_octet(text, '}');
	}
	buffer_append_text(text, "]}\n");
}

static void
print_zone(const struct dns_command *c, struct buffer *text)
{
	for (size_t i = 0; i < c->wishes.count; i++) {
		const struct wish *wish = &c->wishes.items[i];
		if (wish->kind == WISH_ADDRESS) {
			buffer_printf(text,
				"; %.*s. IN A and AAAA: the addresses of this server, and their "
				"reverse names\n",
				SLICE_ARGS(wish->name));
			continue;
		}
		if (wish->kind == WISH_TLSA)
			buffer_append_text(text, "; for a zone with DNSSEC:\n");
		wish_append_record(text, wish);
		buffer_append_octet(text, '\n');
	}
	if (c->conf.dkim_count == 0)
		buffer_append_text(text, "; no key signs (DKIM): veredus dkim key new\n");
	buffer_append_text(text, "; for reading mail add _imaps._tcp (SRV) with the server that "
				 "has the mailboxes\n");
}

static int
show(struct dns_command *c)
{
	struct buffer text;

	buffer_init(&text, c->env.memory, SIZE_MAX);
	if (!c->is_check)
		print_zone(c, &text);
	else if (c->is_json)
		print_json(c, &text);
	else
		print_findings(c, &text);
	enum error error = buffer_error(&text);
	fwrite(text.ptr, 1, text.len, stdout);
	buffer_done(&text);
	return error == OK ? tool_finish(NAME, EX_OK)
			   : tool_fail(NAME, EX_OSERR, "%s", error_text(error));
}

static int
run(struct dns_command *c)
{
	if (conf_load_or_say(&c->env, &c->arena, c->conf_file, &c->conf) != OK)
		return EX_CONFIG;
	c->wishes = (struct wishes){
		.env = &c->env, .arena = &c->arena, .conf = &c->conf, .command = NAME};
	int code = wishes_collect(&c->wishes, slice_text(c->domain));
	if (code != EX_OK)
		return code;
	if (c->is_check) {
		c->findings = arena_take(&c->arena, c->wishes.count * sizeof *c->findings);
		enum error error =
			c->findings ? tool_run(&c->env, NAME, find_run, c) : ERROR_NO_MEMORY;
		if (error == OK && c->count < c->wishes.count)
			error = ERROR_NO_MEMORY;
		if (error != OK)
			return tool_fail(NAME, EX_OSERR, "%s", error_text(error));
	}
	return show(c);
}

int
cmd_dns(int argc, char **argv)
{
	struct dns_command c = {.conf_file = VEREDUS_CONF};

	env_init_linux(&c.env);
	arena_init(&c.arena, c.env.memory, CONF_ARENA_MAX + DNS_RECORDS_ARENA_BYTES);
	int code = read_options(&c, argc, argv);
	if (code == EX_OK && c.wants_help) {
		fputs(usage, stdout);
		code = tool_finish(NAME, EX_OK);
	} else {
		if (code == EX_OK)
			code = check_options(&c, argc, argv);
		if (code == EX_OK)
			code = run(&c);
	}
	arena_done(&c.arena);
	env_done(&c.env);
	return code;
}
