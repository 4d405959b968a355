/*
 * `veredus spool`: what lies on the disk, seen without a server. check reads all of it, export
 * writes messages as files, repair makes a sound spool of what can be read.
 */
#include "cmd/command.h"
#include "cmd/spool_tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static const char usage[] =
	"usage: veredus spool check [--json] [-c FILE | --spool FOLDER]\n"
	"       veredus spool export --to FOLDER [ID...] [-c FILE | --spool FOLDER]\n"
	"       veredus spool repair [-c FILE | --spool FOLDER]\n"
	"\n"
	"Looks into the spool of a server that does not run.\n"
	"\n"
	"check reads every message and says what is there and what is damaged; it changes "
	"nothing.\n"
	"export writes each message, or those named, as ID.eml (with its Received field) and\n"
	"ID.json (envelope and state) into a folder; it changes nothing in the spool.\n"
	"repair makes a new spool of all messages that are sound, with their states, puts it in\n"
	"the place of the old one, and keeps that beside it under another name.\n"
	"\n"
	"  -c, --config FILE    the configuration, whose spool it is (" VEREDUS_CONF ")\n"
	"      --spool FOLDER   this spool instead\n"
	"      --to FOLDER      export: where to; made if it is not there\n"
	"      --json           check: an object for each message, and one at the end\n"
	"\n"
	"Exit code: 0; 64 wrong arguments; 65 there is damage (after a repair: there was); 66 "
	"there is no such folder or\n"
	"message; 73 something can't be written; 74 something can't be read; 75 a server has it\n"
	"open; 78 the configuration is wrong.\n";

enum { OPTION_SPOOL = 256, OPTION_TO, OPTION_JSON };

static const struct option options[] = {{"config", required_argument, NULL, 'c'},
	{"spool", required_argument, NULL, OPTION_SPOOL},
	{"to", required_argument, NULL, OPTION_TO}, {"json", no_argument, NULL, OPTION_JSON},
	{"help", no_argument, NULL, 'h'}, {0}};

#define SEGMENT_BYTES (64u << 20) /* where no configuration says otherwise */

static const struct word {
	const char *name;
	int (*run)(const struct spool_order *order);
	bool takes_to, takes_ids, takes_json;
} words[] = {{"check", spool_check, false, false, true},
	{"export", spool_export, true, true, false}, {"repair", spool_repair, false, false, false}};
#define WORDS (sizeof words / sizeof *words)

static int
take_word(const char *name, const struct spool_order *order, const struct word **ret_word)
{
	size_t i = 0;

	while (i < WORDS && strcmp(words[i].name, name) != 0)
		i++;
	if (i == WORDS)
		return tool_misused(SPOOL_TOOL, "there is no \"%s\"", name);
	*ret_word = &words[i];
	if (order->to && !words[i].takes_to)
		return tool_misused(SPOOL_TOOL, "--to goes with export");
	if (!order->to && words[i].takes_to)
		return tool_misused(SPOOL_TOOL, "%s needs --to FOLDER", name);
	if (order->is_json && !words[i].takes_json)
		return tool_misused(SPOOL_TOOL, "--json goes with check");
	if (order->id_count > 0 && !words[i].takes_ids)
		return tool_misused(SPOOL_TOOL, "%s takes no ids: it is about all messages", name);
	return EX_OK;
}

static int
find_folder(struct spool_order *order, const char *conf_file)
{
	struct conf conf;

	order->segment_bytes = SEGMENT_BYTES;
	if (!order->path) {
		if (conf_load_or_say(order->env, order->arena, conf_file, &conf) != OK)
			return EX_CONFIG;
		order->path = arena_text(order->arena, conf.spool);
		order->segment_bytes = conf.spool_segment;
	}
	order->dir_fd = order->path ? open(order->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (order->dir_fd >= 0)
		return EX_OK;
	return tool_fail(SPOOL_TOOL, errno == ENOENT || errno == ENOTDIR ? EX_NOINPUT : EX_IOERR,
		"%s: %s", order->path ? order->path : "?", strerror(order->path ? errno : ENOMEM));
}

struct request {
	struct spool_order order;
	const char *conf_file;
	bool wants_help;
};

static int
take_options(struct request *request, int argc, char **argv, const struct word **ret_word)
{
	struct spool_order *order = &request->order;
	int option;

	while ((option = tool_option(SPOOL_TOOL, argc, argv, ":c:h", options)) != -1) {
		if (option == 'c')
			request->conf_file = optarg;
		else if (option == OPTION_SPOOL)
			order->path = optarg;
		else if (option == OPTION_TO)
			order->to = optarg;
		else if (option == OPTION_JSON)
			order->is_json = true;
		else if (option == 'h')
			request->wants_help = true;
		else
			return EX_USAGE;
	}
	if (request->wants_help)
		return EX_OK;
	if (optind == argc)
		return tool_misused(SPOOL_TOOL, "what is to be done?");
	order->ids = (const char *const *)argv + optind + 1;
	order->id_count = argc - optind - 1;
	return take_word(argv[optind], order, ret_word);
}

int
cmd_spool(int argc, char **argv)
{
	struct request request = {.conf_file = VEREDUS_CONF, .order = {.dir_fd = -1}};
	const struct word *word = NULL;
	struct arena arena;
	struct env env;

	env_init_linux(&env);
	arena_init(&arena, env.memory, CONF_ARENA_MAX);
	request.order.env = &env;
	request.order.arena = &arena;
	int code = take_options(&request, argc, argv, &word);
	if (code == EX_OK && request.wants_help) {
		fputs(usage, stdout);
	} else if (code == EX_OK) {
		code = find_folder(&request.order, request.conf_file);
		if (code == EX_OK)
			code = word->run(&request.order);
	}
	if (request.order.dir_fd >= 0)
		close(request.order.dir_fd);
	arena_done(&arena);
	env_done(&env);
	return tool_finish(SPOOL_TOOL, code);
}
