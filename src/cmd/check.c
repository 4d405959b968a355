/* `veredus check`: reads a configuration as the server would, and starts nothing. */
#include "cmd/check_certificates.h"
#include "cmd/check_surroundings.h"
#include "cmd/check_templates.h"
#include "cmd/command.h"
#include "cmd/tool.h"
#include "conf/conf.h"
#include "proc/rights.h"

#include <fcntl.h>
#include <stdio.h>
#include <sysexits.h>

#define NAME     "check"
#define SHOW_MAX (64u << 20) /* octets of the canonical text */

static const char usage[] =
	"usage: veredus check [-c FILE] [--show]\n"
	"       veredus check --rights [--json]\n"
	"\n"
	"Reads a configuration (" VEREDUS_CONF ") and says what is wrong with it, with lines and\n"
	"columns. Nothing is started.\n"
	"\n"
	"  -c, --config FILE   the configuration\n"
	"      --show          print it with every default written out\n"
	"      --rights        what each process of the server may do; no configuration is read\n"
	"      --json          with --rights: an object for each process\n"
	"\n"
	"What is allowed but hardly meant is said as a warning on standard error.\n"
	"\n"
	"Exit code: 0 when the server would start with it and could deliver; 78 when not, or\n"
	"when a certificate, an account, a folder or a file that it names can't be used (--show\n"
	"does not look at the last three).\n";

struct check {
	struct env env;
	const char *file;
	bool show;
	bool rights;
	bool json;
	struct arena arena;
	struct conf conf;
};

static const char *
plural(size_t count)
{
	return count == 1 ? "" : "s";
}

static int
print_result(struct check *check)
{
	const struct conf *conf = &check->conf;
	struct buffer text;

	/* RFC 5321 section 4.5.1 wants somebody there; a server of routes alone may still be meant.
	 */
	if (conf->listener_count > 0 && conf_postmaster_domain(conf).len == 0)
		fprintf(stderr, "veredus check: warning: nobody receives mail for <postmaster>: "
				"there is no "
				"\"domain\", and no \"route\" for the hostname\n");
	if (!check->show) {
		printf("%s: good: %zu listener%s, %zu domain%s, %zu route%s\n", check->file,
			conf->listener_count, plural(conf->listener_count), conf->domain_count,
			plural(conf->domain_count), conf->route_count, plural(conf->route_count));
		return tool_finish(NAME, EX_OK);
	}
	buffer_init(&text, check->env.memory, SHOW_MAX);
	conf_print(conf, CONF_READERS_ALL, &text);
	enum error error = buffer_error(&text);
	if (error == OK)
		fwrite(text.ptr, 1, text.len, stdout);
	buffer_done(&text);
	if (error != OK)
		return tool_fail(NAME, EX_SOFTWARE, "can't print it: %s", error_text(error));
	return tool_finish(NAME, EX_OK);
}

/* All that is wrong is said at once. */
static bool
is_usable(struct check *check)
{
	bool has_keys = check_certificates(&check->env, &check->conf);
	bool has_place = check->show || check_surroundings(&check->env, &check->conf);
	bool has_texts = check->show || check_templates(&check->env, &check->conf);

	return has_keys && has_place && has_texts;
}

static int
check_file(struct check *check)
{
	env_init_linux(&check->env);
	arena_init(&check->arena, check->env.memory, CONF_ARENA_MAX);
	int code = EX_CONFIG;
	if (conf_load_or_say(&check->env, &check->arena, check->file, &check->conf) == OK &&
		is_usable(check))
		code = print_result(check);
	arena_done(&check->arena);
	env_done(&check->env);
	return code;
}

static int
print_rights(bool json)
{
	struct env env;
	struct buffer text;

	env_init_linux(&env);
	buffer_init(&text, env.memory, SHOW_MAX);
	proc_print_rights(&text, json);
	enum error error = buffer_error(&text);
	if (error == OK)
		fwrite(text.ptr, 1, text.len, stdout);
	buffer_done(&text);
	env_done(&env);
	if (error != OK)
		return tool_fail(NAME, EX_SOFTWARE, "can't print it: %s", error_text(error));
	return tool_finish(NAME, EX_OK);
}

int
cmd_check(int argc, char **argv)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
		{"show", no_argument, NULL, 's'}, {"rights", no_argument, NULL, 'r'},
		{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	struct check check = {.file = VEREDUS_CONF};
	int option;

	while ((option = tool_option(NAME, argc, argv, ":c:h", options)) != -1) {
		switch (option) {
		case 'c':
			check.file = optarg;
			break;
		case 's':
			check.show = true;
			break;
		case 'r':
			check.rights = true;
			break;
		case 'j':
			check.json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return tool_finish(NAME, EX_OK);
		default:
			return EX_USAGE;
		}
	}
	if (optind < argc)
		return tool_misused(
			NAME, "\"%s\" is too much; the file stands behind -c", argv[optind]);
	if (check.json && !check.rights)
		return tool_misused(NAME, "--json goes with --rights");
	return check.rights ? print_rights(check.json) : check_file(&check);
}
