/*
 * `veredus dmarc report --pending`: the history has a record for each message; here they are added
 * up, a report for each domain and day. Nothing is changed.
 */
#include "cmd/dmarc_pending.h"
#include "cmd/command.h"
#include "cmd/dmarc_show.h"
#include "cmd/history_files.h"
#include "cmd/tool.h"

#include <stdio.h>
#include <sysexits.h>

#define NAME "dmarc"

static const char usage[] =
	"usage: veredus dmarc report --pending [--config FILE] [--json] [DOMAIN]\n"
	"\n"
	"Shows what this server has collected, by domain and day of UTC, for the aggregate\n"
	"reports that other domains ask for (dmarc_report_from in veredus.conf).\n"
	"\n"
	"  -c, --config FILE    the configuration of the server (" VEREDUS_CONF ")\n"
	"      --json           an object for each report, a line each\n"
	"\n"
	"Exit code: 0; 64 wrong arguments; 77 not permitted; 78 the configuration is wrong.\n";

enum { OPTION_PENDING = 256, OPTION_JSON };

static const struct option options[] = {{"pending", no_argument, NULL, OPTION_PENDING},
	{"config", required_argument, NULL, 'c'}, {"json", no_argument, NULL, OPTION_JSON},
	{"help", no_argument, NULL, 'h'}, {0}};

bool
dmarc_is_about_pending(int argc, char **argv)
{
	bool is = false;

	for (int i = 2; i < argc && strcmp(argv[1], "report") == 0; i++)
		is |= strcmp(argv[i], "--pending") == 0;
	return is;
}

void
dmarc_pending_init(struct dmarc_pending *pending)
{
	*pending = (struct dmarc_pending){0};
	env_init_linux(&pending->env);
	arena_init(&pending->conf_arena, pending->env.memory, CONF_ARENA_MAX);
	arena_init(&pending->arena, pending->env.memory, COLLECT_ARENA_BYTES);
}

void
dmarc_pending_done(struct dmarc_pending *pending)
{
	arena_done(&pending->arena);
	arena_done(&pending->conf_arena);
	env_done(&pending->env);
}

static int
read_options(struct dmarc_pending *pending, int argc, char **argv)
{
	int option;

	while ((option = tool_option(NAME, argc, argv, ":hc:", options)) != -1) {
		if (option == 'c')
			pending->config = optarg;
		else if (option == OPTION_JSON)
			pending->is_json = true;
		else if (option == 'h')
			pending->wants_help = true;
		else if (option != OPTION_PENDING)
			return EX_USAGE;
	}
	/* argv[optind] is "report". */
	if (optind + 2 < argc)
		return tool_misused(NAME, "\"%s\" is too much", argv[optind + 2]);
	if (optind + 1 < argc)
		pending->domain = slice_text(argv[optind + 1]);
	return EX_OK;
}

static void
take(void *arg, struct slice record)
{
	struct dmarc_pending *pending = arg;

	collection_take(&pending->collection, record, pending->day, pending->domain);
}

/* What every report says of its maker. */
static enum error
sign_reports(struct dmarc_pending *pending)
{
	uint8_t storage[1024];
	struct buffer id;
	enum error error = OK;

	for (struct collected *c = pending->collection.reports; c && error == OK; c = c->next) {
		buffer_init_fixed(&id, storage, sizeof storage);
		dmarc_report_id(&id, &pending->conf, c);
		error = buffer_error(&id);
		c->report.organization = pending->conf.hostname;
		c->report.email = pending->conf.dmarc_report_from;
		if (error == OK && !arena_copy(&pending->arena, buffer_slice(&id), &c->report.id))
			error = ERROR_NO_MEMORY;
		if ((wall_us)c->report.begin * US_PER_S < pending->complete_from)
			c->report.error = SLICE("The first part of the day is not in it: there was "
						"no room for all.");
	}
	return error;
}

void
dmarc_report_id(struct buffer *text, const struct conf *conf, const struct collected *c)
{
	buffer_append(text, conf->hostname);
	buffer_append_octet(text, '!');
	buffer_append(text, c->report.domain);
	buffer_printf(text, "!%llu!%llu", (unsigned long long)c->report.begin,
		(unsigned long long)c->report.end);
}

static int
read_history(struct dmarc_pending *pending)
{
	struct siphash_key key;
	struct history_scan scan = {.env = &pending->env,
		.command = NAME,
		.spool = pending->conf.spool,
		.first = HISTORY_DMARC,
		.last = HISTORY_DMARC,
		.each = take,
		.arg = pending};

	env_random(&pending->env, &key, sizeof key);
	if (collection_init(&pending->collection, &pending->arena, &key) != OK)
		return tool_fail(NAME, EX_OSERR, "%s", error_text(ERROR_NO_MEMORY));
	int code = history_scan(&scan);
	if (code == EX_NOPERM)
		return tool_fail(NAME, code, "not permitted to read the history; try as root");
	/* The first file of a life begins when the server is set up; a round of all files has
	 * driven something out. */
	if (scan.started == HISTORY_FILES)
		pending->complete_from = scan.oldest;
	return code;
}

int
dmarc_pending_read(struct dmarc_pending *pending)
{
	struct control control = {.env = &pending->env, .command = NAME};
	int code = control_find(&control, &pending->conf_arena, pending->config, &pending->conf);

	if (code == EX_OK && pending->conf.spool.len == 0)
		code = tool_fail(NAME, EX_NOPERM,
			"not permitted to read the configuration, or there is none; try as root, "
			"or "
			"name it with --config");
	if (code == EX_OK)
		code = read_history(pending);
	if (code != EX_OK)
		return code;
	enum error error = sign_reports(pending);
	if (error == OK)
		error = collection_sort(&pending->collection, pending->env.memory);
	return error == OK ? EX_OK : tool_fail(NAME, EX_OSERR, "%s", error_text(error));
}

static void
append_json(struct buffer *text, const struct collected *c)
{
	buffer_append_text(text, "{\"rua\":");
	json_append_string(text, c->uris);
	buffer_printf(text, ",\"left_out\":%llu,\"report\":", (unsigned long long)c->left_out);
	dmarc_report_json(text, "", &c->report);
	buffer_append_text(text, "}\n");
}

static void
append_text(struct buffer *text, const struct collected *c)
{
	dmarc_report_print(text, &c->report);
	buffer_append_text(text, "to ");
	tool_append_harmless(text, c->uris);
	if (c->left_out > 0)
		buffer_printf(text, "; %llu messages had no room", (unsigned long long)c->left_out);
	buffer_append_text(text, "\n\n");
}

static int
print_report(const struct dmarc_pending *pending, const struct collected *c)
{
	struct buffer text;

	buffer_init(&text, pending->env.memory, COLLECT_ARENA_BYTES);
	if (pending->is_json)
		append_json(&text, c);
	else
		append_text(&text, c);
	enum error error = buffer_error(&text);
	if (error == OK)
		fwrite(text.ptr, 1, text.len, stdout);
	buffer_done(&text);
	return error == OK ? EX_OK : tool_fail(NAME, EX_OSERR, "%s", error_text(error));
}

static int
print_all(const struct dmarc_pending *pending)
{
	int code = EX_OK;

	for (const struct collected *c = pending->collection.reports; c && code == EX_OK;
		c = c->next)
		code = print_report(pending, c);
	if (pending->collection.left_out > 0)
		fprintf(stderr, "veredus dmarc: %llu messages of further domains had no room\n",
			(unsigned long long)pending->collection.left_out);
	return code;
}

int
dmarc_pending(int argc, char **argv)
{
	struct dmarc_pending *pending = &(struct dmarc_pending){0};

	dmarc_pending_init(pending);
	int code = read_options(pending, argc, argv);
	if (code == EX_OK && pending->wants_help) {
		fputs(usage, stdout);
	} else {
		if (code == EX_OK)
			code = dmarc_pending_read(pending);
		if (code == EX_OK)
			code = print_all(pending);
	}
	dmarc_pending_done(pending);
	return tool_finish(NAME, code);
}
