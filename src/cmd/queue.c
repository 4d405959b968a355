/*
 * `veredus queue list`: asks the running server over its control socket, page by page, so that a
 * long queue needs no memory here and no long pause there.
 */
#include "cmd/command.h"
#include "cmd/queue_list.h"
#include "cmd/tool.h"
#include "conf/conf.h"
#include "ipc/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/un.h>
#include <sysexits.h>

#define NAME            "queue"
#define PAGE            500 /* messages asked for at once */
#define ANSWER_US       (60 * US_PER_S)
#define DEFAULT_CONTROL "/run/veredus/control" /* when the configuration is not for our eyes */

static const char usage[] =
	"usage: veredus queue list [-c FILE | --control PATH] [--json]\n"
	"\n"
	"Shows the messages that wait for delivery, the oldest first.\n"
	"\n"
	"  -c, --config FILE    the configuration of the server (" VEREDUS_CONF ")\n"
	"      --control PATH   the server's control socket, instead of what the configuration "
	"says\n"
	"      --json           an object for each message\n"
	"\n"
	"Exit code: 0; 69 no server answers; 75 it can't tell now; 77 not permitted.\n";

struct queue_list {
	struct env env;
	struct arena arena;
	const char *file; /* NULL: VEREDUS_CONF */
	struct slice control;
	bool is_json;
	bool wants_help;
	struct channel channel;
	struct buffer line;
	uint64_t shown;
	int code;
};

/* The path is a person's: shown as it is. */
static int
fail_at(const struct queue_list *list, int code, const char *what)
{
	return tool_fail(NAME, code, "%s %.*s", what, SLICE_ARGS(list->control));
}

static int
no_answer(const struct queue_list *list, const char *why)
{
	return tool_fail(NAME, EX_UNAVAILABLE,
		"no answer at %.*s: is veredus running? %s. Start it with `veredus serve`, or "
		"name "
		"its configuration with -c",
		SLICE_ARGS(list->control), why);
}

static void
show_item(struct queue_list *list, const struct ipc_queue_item *item)
{
	buffer_clear(&list->line);
	if (list->shown++ == 0 && !list->is_json) {
		queue_list_append_heading(&list->line);
		buffer_append_octet(&list->line, '\n');
	}
	if (list->is_json)
		queue_list_append_json(&list->line, item);
	else
		queue_list_append_row(&list->line, item, env_wall(&list->env));
	tool_print(buffer_slice(&list->line));
}

static int
explain_refusal(const struct queue_list *list, struct slice reason)
{
	struct buffer text;

	buffer_init(&text, list->env.memory, TOOL_LINE_MAX);
	tool_append_harmless(&text, reason);
	tool_fail(NAME, EX_TEMPFAIL, "%s", buffer_text(&text));
	buffer_done(&text);
	return EX_TEMPFAIL;
}

/* May wait: the answer to one question; where to go on, 0 at the end. */
static int
receive_page(struct queue_list *list, uint64_t *ret_next)
{
	struct ipc_message message;

	for (;;) {
		enum error error = channel_receive(
			&list->channel, loop_deadline(list->env.loop, ANSWER_US), &message);
		if (error != OK)
			return no_answer(list, error_text(error));
		if (message.kind == IPC_REFUSED)
			return explain_refusal(list, message.refused.reason);
		if (message.kind == IPC_QUEUE_END) {
			*ret_next = message.queue_end.next_id;
			return EX_OK;
		}
		show_item(list, &message.queue_item);
	}
}

/* May wait: all pages. Ids grow, so a server that sends us back is wrong, and would do so for ever.
 */
static int
receive_all(struct queue_list *list)
{
	struct ipc_message message = {.kind = IPC_QUEUE_LIST, .queue_list = {.max = PAGE}};
	uint64_t next = 0;

	do {
		message.queue_list.from_id = next;
		enum error error = channel_send(
			&list->channel, &message, loop_deadline(list->env.loop, ANSWER_US));
		if (error != OK)
			return no_answer(list, error_text(error));
		int code = receive_page(list, &next);
		if (code != EX_OK)
			return code;
		if (next != 0 && next <= message.queue_list.from_id)
			return fail_at(list, EX_PROTOCOL, "wrong answers from");
	} while (next != 0);
	if (list->shown == 0 && !list->is_json)
		tool_print(SLICE("The queue is empty."));
	return EX_OK;
}

static int
explain_connect(const struct queue_list *list, int error)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
		return no_answer(list, "There is no such socket");
	case ECONNREFUSED:
		return no_answer(list, "Nobody listens on the socket");
	case EACCES:
	case EPERM:
		return fail_at(list, EX_NOPERM, "not permitted; try as root: may not connect to");
	default:
		return no_answer(list, strerror(error));
	}
}

static void
list_run(void *arg)
{
	struct queue_list *list = arg;
	struct env *env = &list->env;
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memcpy(address.sun_path, list->control.ptr, list->control.len);
	int fd = env->net->connect(
		env->world, (const struct sockaddr *)&address, sizeof address, SOCK_SEQPACKET);
	if (fd < 0) {
		list->code = explain_connect(list, -fd);
		return;
	}
	enum error error = channel_open(&list->channel, env->loop, fd, ROLE_TOOL, ROLE_ADMIN);
	if (error == OK)
		list->code = receive_all(list);
	else
		list->code = no_answer(list, error_text(error));
	channel_close(&list->channel);
}

/* Where the server listens: as the configuration says. A person who may not read the default one
 * may still be one who may ask. */
static int
find_control(struct queue_list *list)
{
	const char *file = list->file ? list->file : VEREDUS_CONF;
	struct conf_problems problems;
	struct conf conf;

	conf_problems_init(&problems, list->env.memory);
	enum error error = conf_load(&list->env, &list->arena, AT_FDCWD, file, &conf, &problems);
	int code = error == OK ? EX_OK : EX_CONFIG;
	if (error == OK) {
		list->control = conf.control;
	} else if (!list->file && (error == ERROR_NOT_FOUND || error == ERROR_DENIED)) {
		list->control = SLICE(DEFAULT_CONTROL);
		code = EX_OK;
	} else {
		conf_problems_say(&list->env, file, &problems, error);
	}
	conf_problems_done(&problems);
	return code;
}

/* EX_OK, or why not. */
static int
read_options(struct queue_list *list, int argc, char **argv)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
		{"control", required_argument, NULL, 's'}, {"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'}, {0}};
	int option;

	while ((option = tool_option(NAME, argc, argv, ":c:h", options)) != -1) {
		switch (option) {
		case 'c':
			list->file = optarg;
			break;
		case 's':
			list->control = slice_text(optarg);
			break;
		case 'j':
			list->is_json = true;
			break;
		case 'h':
			list->wants_help = true;
			break;
		default:
			return EX_USAGE;
		}
	}
	if (list->wants_help)
		return EX_OK;
	if (optind == argc)
		return tool_misused(NAME, "what about it? `veredus queue list` shows it");
	if (!slice_equal(slice_text(argv[optind]), SLICE("list")))
		return tool_misused(NAME, "\"%s\" is nothing that can be done; there is \"list\"",
			argv[optind]);
	if (optind + 1 < argc)
		return tool_misused(NAME, "\"%s\" is too much", argv[optind + 1]);
	if (list->file && list->control.ptr)
		return tool_misused(NAME, "give -c or --control, not both");
	return EX_OK;
}

static int
list_with(struct queue_list *list)
{
	struct sockaddr_un address;
	int code = list->control.ptr ? EX_OK : find_control(list);

	if (code != EX_OK)
		return code;
	if (list->control.len == 0 || list->control.len >= sizeof address.sun_path)
		return tool_misused(NAME, "--control: a path of 1 to %zu octets is needed",
			sizeof address.sun_path - 1);
	enum error error = tool_run(&list->env, "queue list", list_run, list);
	if (error != OK)
		return tool_fail(NAME, EX_OSERR, "can't start: %s", error_text(error));
	return tool_finish(NAME, list->code);
}

int
cmd_queue(int argc, char **argv)
{
	struct queue_list list = {.channel = {.fd = -1}};

	env_init_linux(&list.env);
	arena_init(&list.arena, list.env.memory, CONF_ARENA_MAX);
	buffer_init(&list.line, list.env.memory, TOOL_LINE_MAX);
	int code = read_options(&list, argc, argv);
	if (code == EX_OK && list.wants_help) {
		fputs(usage, stdout);
		code = tool_finish(NAME, EX_OK);
	} else if (code == EX_OK) {
		code = list_with(&list);
	}
	buffer_done(&list.line);
	arena_done(&list.arena);
	env_done(&list.env);
	return code;
}
