/*
 * `veredus queue`: asks the running server over its control socket, page by page, so that a long
 * queue needs no memory here and no long pause there.
 */
#include "base/log_record.h"
#include "cmd/command.h"
#include "cmd/control.h"
#include "cmd/queue_list.h"
#include "cmd/queue_summary.h"
#include "cmd/tool.h"
#include "ipc/queue_id.h"

#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#define NAME      "queue"
#define PAGE      2000 /* messages asked for at once */
#define ANSWER_US (60 * US_PER_S)

#define NOTHING_MATCHED 1
#define TOP_S           2 /* between two looks */
#define CLEAR_SCREEN    "\033[H\033[2J"
#define RECIPIENTS_MAX  (256u << 20) /* octets of what is shown of one message's recipients */

static const char usage[] =
	"usage: veredus queue list [OPTION]... [FILTER]...\n"
	"       veredus queue show ID... [--json]\n"
	"       veredus queue summary|top [FILTER]...\n"
	"       veredus queue retry|hold|release|delete [--yes] ID...|FILTER...|--all\n"
	"       veredus queue pause|resume LANE...|--outgoing\n"
	"\n"
	"Shows the messages that wait for delivery, the oldest first, or deals with them:\n"
	"retry (or flush) tries them now, hold keeps them, release lets held ones go, delete\n"
	"removes them for good; their senders hear nothing of that. summary counts them by state,\n"
	"lane and last reply; top does so every two seconds, until it is ended. pause leaves what "
	"lies in a\n"
	"lane there until resume, also over restarts; LANE is a pattern, --outgoing all that goes\n"
	"to other servers.\n"
	"\n"
	"Filters, all of which must be true; a pattern may have * in it:\n"
	"      --state STATE        waiting, deferred, held, active or damaged\n"
	"      --sender PATTERN     an address or a domain; <> for none\n"
	"      --recipient PATTERN  of one recipient at least\n"
	"      --lane PATTERN       where one recipient is to go: \"mx example.org\", \"maildir "
	"*\"\n"
	"      --older DURATION     received longer ago: 30m, 4h, 2d\n"
	"\n"
	"  -c, --config FILE    the configuration of the server (" VEREDUS_CONF ")\n"
	"      --control PATH   the server's control socket, instead of what the configuration "
	"says\n"
	"      --json           an object for each message\n"
	"      --limit N        list no more than so many\n"
	"      --yes            delete more than one without a question\n"
	"\n"
	"Exit code: 0; 1 nothing matched; 69 no server answers; 75 it can't be done now; 77 not\n"
	"permitted.\n";

enum verb { LIST, SHOW, SUMMARY, TOP, RETRY, HOLD, RELEASE, DELETE, PAUSE, RESUME, VERBS };

static const struct {
	const char *name;
	enum queue_action action;
	const char *done; /* what happened to messages */
} verbs[VERBS] = {
	[LIST] = {"list", QUEUE_SHOW, NULL},
	[SHOW] = {"show", QUEUE_SHOW, NULL},
	[SUMMARY] = {"summary", QUEUE_SHOW, NULL},
	[TOP] = {"top", QUEUE_SHOW, NULL},
	[RETRY] = {"retry", QUEUE_RETRY, "will be tried now"},
	[HOLD] = {"hold", QUEUE_HOLD, "held"},
	[RELEASE] = {"release", QUEUE_RELEASE, "released"},
	[DELETE] = {"delete", QUEUE_DELETE, "deleted"},
	[PAUSE] = {"pause", QUEUE_PAUSE, NULL},
	[RESUME] = {"resume", QUEUE_RESUME, NULL},
};

struct queue_list {
	struct env env;
	struct arena arena;
	const char *file; /* NULL: VEREDUS_CONF */
	struct control control;
	enum verb verb;
	char **ids;
	int id_count;
	struct ipc_queue_list filter;
	bool has_filter;
	uint64_t limit; /* 0: none */
	bool is_all;
	bool is_json;
	bool is_sure;
	bool counts_only;
	bool wants_help;
	struct buffer line;
	struct buffer recipients; /* of the message that is being received */
	struct buffer paused;     /* patterns of lanes: lines, or a list in JSON */
	bool is_outgoing;
	uint64_t shown;
	uint64_t done;
	struct queue_summary summary;
	int code;
};

static void
print_item(struct queue_list *list, const struct ipc_queue_item *item)
{
	struct slice recipients = buffer_slice(&list->recipients);
	wall_us now = env_wall(&list->env);

	buffer_clear(&list->line);
	if (list->shown == 1 && !list->is_json && list->verb == LIST) {
		queue_list_append_heading(&list->line);
		buffer_append_octet(&list->line, '\n');
	}
	if (list->is_json) {
		queue_list_append_json(&list->line, item, recipients);
	} else if (list->verb == SHOW) {
		queue_show_append(&list->line, item, now);
		buffer_append(&list->line, recipients);
	} else {
		queue_list_append_row(&list->line, item, now);
	}
	tool_print(buffer_slice(&list->line));
}

static void
show_item(struct queue_list *list, const struct ipc_queue_item *item)
{
	if (list->limit > 0 && list->shown == list->limit)
		return;
	list->shown++;
	list->done += item->done;
	if (list->verb == SUMMARY || list->verb == TOP)
		queue_summary_count(&list->summary, item);
	else if (verbs[list->verb].action == QUEUE_SHOW && !list->counts_only)
		print_item(list, item);
	buffer_clear(&list->recipients);
}

static void
keep_recipient(struct queue_list *list, const struct ipc_queue_recipient *recipient)
{
	if (list->is_json)
		queue_recipient_append_json(&list->recipients, recipient);
	else
		queue_recipient_append_row(&list->recipients, recipient, env_wall(&list->env));
}

static void
keep_paused(struct queue_list *list, struct slice pattern)
{
	struct buffer *paused = &list->paused;

	if (list->is_json) {
		buffer_append_text(paused, paused->len > 0 ? "," : "");
		json_append_string(paused, pattern);
		return;
	}
	buffer_append_text(paused, paused->len > 0 ? "\n  paused  " : "  paused  ");
	tool_append_harmless(paused, pattern);
}

static void
take_listed(struct queue_list *list, const struct ipc_message *message)
{
	if (message->kind == IPC_QUEUE_RECIPIENT)
		keep_recipient(list, &message->queue_recipient);
	else
		show_item(list, &message->queue_item);
}

/* False: the server says what it may not. */
static bool
take_bundle(struct queue_list *list, struct slice messages)
{
	struct cursor cursor = cursor_of(messages);
	struct ipc_message message = {.fd_count = 0};

	while (cursor_left(&cursor) > 0) {
		struct slice bytes = cursor_take(&cursor, cursor_take_u32(&cursor));
		if (cursor.error != OK || ipc_decode(bytes, &message) != OK ||
			(message.kind != IPC_QUEUE_RECIPIENT && message.kind != IPC_QUEUE_ITEM))
			return false;
		take_listed(list, &message);
	}
	return true;
}

/* May wait: the answer to one question; where to go on, 0 at the end. */
static int
receive_page(struct queue_list *list, uint64_t *ret_next)
{
	struct ipc_message message;

	for (;;) {
		enum error error = channel_receive(
			&list->control.channel, loop_deadline(list->env.loop, ANSWER_US), &message);
		if (error != OK)
			return control_no_answer(&list->control, error_text(error));
		if (message.kind == IPC_REFUSED)
			return control_refused(&list->control, message.refused.reason);
		if (message.kind == IPC_QUEUE_END) {
			*ret_next = message.queue_end.next_id;
			return EX_OK;
		}
		if (message.kind == IPC_QUEUE_PAUSED)
			keep_paused(list, message.queue_paused.lane);
		else if (message.kind != IPC_QUEUE_BUNDLE)
			take_listed(list, &message);
		else if (!take_bundle(list, message.queue_bundle.messages))
			return control_fail(&list->control, EX_PROTOCOL, "wrong answers from");
	}
}

/* May wait: one question. */
static int
ask(struct queue_list *list, const struct ipc_queue_list *question, uint64_t *ret_next)
{
	struct ipc_message message = {.kind = IPC_QUEUE_LIST, .queue_list = *question};
	enum error error = channel_send(
		&list->control.channel, &message, loop_deadline(list->env.loop, ANSWER_US));

	return error == OK ? receive_page(list, ret_next)
			   : control_no_answer(&list->control, error_text(error));
}

/* May wait: all pages. Ids grow, so a server that sends us back is wrong, and would do so for ever.
 */
static int
ask_all(struct queue_list *list, struct ipc_queue_list question)
{
	uint64_t next = 0;

	do {
		question.from_id = next;
		int code = ask(list, &question, &next);
		if (code != EX_OK)
			return code;
		if (next != 0 && next <= question.from_id)
			return control_fail(&list->control, EX_PROTOCOL, "wrong answers from");
	} while (next != 0 && (list->limit == 0 || list->shown < list->limit));
	return EX_OK;
}

/* May wait. */
static int
ask_ids(struct queue_list *list, struct ipc_queue_list question)
{
	uint64_t next;
	int code = EX_OK;

	question.only = 1;
	for (int i = 0; i < list->id_count && code == EX_OK; i++) {
		uint64_t before = list->shown;
		enum error error = queue_id_parse(slice_text(list->ids[i]), &question.from_id);
		code = error == OK ? ask(list, &question, &next)
				   : tool_misused(NAME, "\"%s\" is no id", list->ids[i]);
		if (code == EX_OK && list->shown == before)
			code = tool_fail(
				NAME, NOTHING_MATCHED, "there is no message %s", list->ids[i]);
	}
	return code;
}

/* May wait. */
static int
ask_for(struct queue_list *list, enum queue_action action)
{
	struct ipc_queue_list question = list->filter;

	question.max = PAGE;
	question.bundled = 1;
	question.action = action;
	question.with_recipients =
		!list->counts_only && (list->verb == SHOW || (list->verb == LIST && list->is_json));
	list->shown = list->done = 0;
	return list->id_count > 0 ? ask_ids(list, question) : ask_all(list, question);
}

/* May wait. What is paused in the end is gathered. */
static int
ask_lane(struct queue_list *list, enum queue_action action, struct slice pattern)
{
	struct ipc_queue_list question = {.action = action, .lane = pattern};
	uint64_t next;

	buffer_clear(&list->paused);
	return ask(list, &question, &next);
}

/* May wait. */
static int
ask_lanes(struct queue_list *list)
{
	/* What leaves this machine for other servers. */
	static const struct slice outgoing[] = {SLICE_INIT("mx *"), SLICE_INIT("host *")};
	enum queue_action action = verbs[list->verb].action;
	int code = EX_OK;

	for (size_t i = 0; list->is_outgoing && i < 2 && code == EX_OK; i++)
		code = ask_lane(list, action, outgoing[i]);
	for (int i = 0; i < list->id_count && code == EX_OK; i++)
		code = ask_lane(list, action, slice_text(list->ids[i]));
	if (code != EX_OK)
		return code;
	if (list->is_json) {
		buffer_clear(&list->line);
		buffer_append_text(&list->line, "{\"paused\":[");
		buffer_append(&list->line, buffer_slice(&list->paused));
		buffer_append_text(&list->line, "]}");
		tool_print(buffer_slice(&list->line));
	} else {
		tool_print(list->paused.len > 0 ? buffer_slice(&list->paused)
						: SLICE("No lane is paused."));
	}
	return EX_OK;
}

/* A person at a terminal is asked; a program has to say --yes. */
static int
make_sure(struct queue_list *list)
{
	char answer[8] = "";

	if (list->is_sure || (list->id_count == 1 && !list->has_filter))
		return EX_OK;
	list->counts_only = true;
	int code = ask_for(list, QUEUE_SHOW);
	list->counts_only = false;
	if (code != EX_OK || list->shown <= 1)
		return code;
	if (!isatty(STDIN_FILENO))
		return tool_misused(NAME, "%llu messages would be deleted: say --yes",
			(unsigned long long)list->shown);
	printf("Delete %llu messages? [y/N] ", (unsigned long long)list->shown);
	fflush(stdout);
	if (!fgets(answer, sizeof answer, stdin) || (answer[0] != 'y' && answer[0] != 'Y'))
		return tool_fail(NAME, NOTHING_MATCHED, "nothing was deleted");
	return EX_OK;
}

static void
print_summary(struct queue_list *list)
{
	struct slice paused = buffer_slice(&list->paused);

	buffer_clear(&list->line);
	if (list->is_json)
		queue_summary_append_json(&list->summary, paused, &list->line);
	else
		queue_summary_append(&list->summary, paused, env_wall(&list->env), &list->line);
	tool_print(buffer_slice(&list->line));
}

/* What came of it, in words. */
static int
conclude(struct queue_list *list)
{
	const char *done = verbs[list->verb].done;

	if (list->verb == SUMMARY || list->verb == TOP) {
		print_summary(list);
		return EX_OK;
	}
	if (list->shown == 0 && list->verb == LIST && !list->has_filter) {
		if (!list->is_json)
			tool_print(SLICE("The queue is empty."));
		return EX_OK;
	}
	if (list->shown == 0)
		return tool_fail(NAME, NOTHING_MATCHED, "nothing matched");
	if (!done)
		return EX_OK;
	printf("%llu %s %s\n", (unsigned long long)list->done,
		list->done == 1 ? "message" : "messages", done);
	if (list->done < list->shown)
		return tool_fail(NAME, EX_TEMPFAIL,
			"%llu of %llu can't be now: being delivered, damaged, or not in a state "
			"for it",
			(unsigned long long)(list->shown - list->done),
			(unsigned long long)list->shown);
	return EX_OK;
}

/* May wait. */
static int
do_verb(struct queue_list *list)
{
	if (list->verb == PAUSE || list->verb == RESUME)
		return ask_lanes(list);
	int code = list->verb == DELETE ? make_sure(list) : EX_OK;
	if (code == EX_OK && (list->verb == SUMMARY || list->verb == TOP))
		code = ask_lane(list, QUEUE_PAUSES, SLICE(""));

	if (code == EX_OK)
		code = ask_for(list, verbs[list->verb].action);
	return code == EX_OK ? conclude(list) : code;
}

static void
list_run(void *arg)
{
	struct queue_list *list = arg;

	list->code = control_connect(&list->control);
	if (list->code == EX_OK)
		list->code = do_verb(list);
	control_close(&list->control);
}

enum filter_option { STATE = 256, SENDER, RECIPIENT, LANE, OLDER, LIMIT, YES, ALL, OUTGOING };

/* "30m" in seconds. */
static bool
parse_duration(struct slice text, uint64_t *ret_seconds)
{
	static const struct {
		char letter;
		uint64_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
	uint64_t number;

	if (text.len < 2 || !slice_number(slice_sub(text, 0, text.len - 1), 1000000, &number))
		return false;
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (text.ptr[text.len - 1] == (uint8_t)units[i].letter) {
			*ret_seconds = number * units[i].seconds;
			return true;
		}
	return false;
}

static int
take_filter(struct queue_list *list, int option, struct slice value)
{
	uint64_t number = 0;
	uint32_t state = 0;

	list->has_filter = list->has_filter || option < LIMIT;
	switch (option) {
	case STATE:
		if (!queue_state_parse(value, &state))
			return tool_misused(NAME, "--state: there is no such state");
		list->filter.states |= UINT32_C(1) << state;
		return EX_OK;
	case SENDER:
		list->filter.sender = value;
		break;
	case RECIPIENT:
		list->filter.recipient = value;
		break;
	case LANE:
		list->filter.lane = value;
		break;
	case OLDER:
		if (!parse_duration(value, &number))
			return tool_misused(NAME, "--older: a duration like 4h is needed");
		list->filter.received_before = (uint64_t)env_wall(&list->env) - number * US_PER_S;
		return EX_OK;
	default:
		return slice_number(value, UINT32_MAX, &list->limit) && list->limit > 0
			       ? EX_OK
			       : tool_misused(NAME, "--limit: a number from 1 on is needed");
	}
	return value.len <= IPC_TEXT_MAX && value.len > 0
		       ? EX_OK
		       : tool_misused(NAME, "a pattern of 1 to %d octets is needed", IPC_TEXT_MAX);
}

/* The options; what is not one is left for take_words. */
static int
take_options(struct queue_list *list, int argc, char **argv)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
		{"control", required_argument, NULL, 's'}, {"json", no_argument, NULL, 'j'},
		{"state", required_argument, NULL, STATE},
		{"sender", required_argument, NULL, SENDER},
		{"recipient", required_argument, NULL, RECIPIENT},
		{"lane", required_argument, NULL, LANE}, {"older", required_argument, NULL, OLDER},
		{"limit", required_argument, NULL, LIMIT}, {"yes", no_argument, NULL, YES},
		{"all", no_argument, NULL, ALL}, {"outgoing", no_argument, NULL, OUTGOING},
		{"help", no_argument, NULL, 'h'}, {0}};
	int option, code = EX_OK;

	while (code == EX_OK && (option = tool_option(NAME, argc, argv, ":c:h", options)) != -1) {
		if (option == 'c')
			list->file = optarg;
		else if (option == 's')
			list->control.path = slice_text(optarg);
		else if (option == 'j')
			list->is_json = true;
		else if (option == 'h')
			list->wants_help = true;
		else if (option == YES)
			list->is_sure = true;
		else if (option == OUTGOING)
			list->is_outgoing = true;
		else if (option == ALL)
			list->is_all = true;
		else if (option == '?')
			code = EX_USAGE;
		else
			code = take_filter(list, option, slice_text(optarg));
	}
	return code;
}

static bool
parse_verb(struct slice word, enum verb *ret_verb)
{
	if (slice_equal(word, SLICE("flush")))
		word = SLICE("retry");
	for (int i = 0; i < VERBS; i++)
		if (slice_equal(word, slice_text(verbs[i].name))) {
			*ret_verb = (enum verb)i;
			return true;
		}
	return false;
}

static int
check_lanes(const struct queue_list *list)
{
	if (list->has_filter || list->is_all || list->limit > 0 || list->is_sure)
		return tool_misused(
			NAME, "%s: lanes are named, nothing else", verbs[list->verb].name);
	if (list->id_count == 0 && !list->is_outgoing)
		return tool_misused(NAME, "%s: which lane? \"mx example.org\", or --outgoing",
			verbs[list->verb].name);
	for (int i = 0; i < list->id_count; i++)
		if (list->ids[i][0] == '\0' || slice_text(list->ids[i]).len > IPC_TEXT_MAX)
			return tool_misused(
				NAME, "a pattern of 1 to %d octets is needed", IPC_TEXT_MAX);
	return EX_OK;
}

/* Whether it is said which messages are meant. */
static int
check_selection(const struct queue_list *list)
{
	bool has_ids = list->id_count > 0;

	if (list->verb == PAUSE || list->verb == RESUME)
		return check_lanes(list);
	if (list->is_outgoing)
		return tool_misused(NAME, "--outgoing is for pause and resume");

	if ((list->verb == LIST || list->verb == SUMMARY || list->verb == TOP) && has_ids)
		return tool_misused(NAME, "\"%s\" is too much", list->ids[0]);
	if (list->verb == SHOW && !has_ids)
		return tool_misused(NAME, "show: which message? Its id is needed");
	if (verbs[list->verb].done && !has_ids && !list->has_filter && !list->is_all)
		return tool_misused(NAME, "%s: which messages? Ids, a filter or --all are needed",
			verbs[list->verb].name);
	if (has_ids && (list->has_filter || list->is_all))
		return tool_misused(NAME, "give ids or filters, not both");
	if (list->limit > 0 && list->verb != LIST)
		return tool_misused(NAME, "--limit is for list");
	return EX_OK;
}

/* EX_OK, or why not. */
static int
read_options(struct queue_list *list, int argc, char **argv)
{
	int code = take_options(list, argc, argv);

	if (code != EX_OK || list->wants_help)
		return code;
	if (optind == argc)
		return tool_misused(NAME, "what about it? `veredus queue list` shows it");
	if (!parse_verb(slice_text(argv[optind]), &list->verb))
		return tool_misused(NAME,
			"\"%s\" is nothing that can be done; there are list, show, summary, "
			"top, retry, hold, release, delete, pause and resume",
			argv[optind]);
	list->ids = argv + optind + 1;
	list->id_count = argc - optind - 1;
	if (list->file && list->control.path.ptr)
		return tool_misused(NAME, "give -c or --control, not both");
	return check_selection(list);
}

static int
list_with(struct queue_list *list)
{
	int code = list->control.path.ptr
			   ? EX_OK
			   : control_find(&list->control, &list->arena, list->file, NULL);

	if (code != EX_OK)
		return code;
	for (;;) {
		queue_summary_init(&list->summary, list->env.memory);
		enum error error = tool_run(&list->env, "queue list", list_run, list);
		queue_summary_done(&list->summary);
		if (error != OK)
			return tool_fail(NAME, EX_OSERR, "can't start: %s", error_text(error));
		/* Without a terminal nobody sees it change. */
		if (list->verb != TOP || list->code != EX_OK || !isatty(STDOUT_FILENO))
			return tool_finish(NAME, list->code);
		sleep(TOP_S);
		fputs(CLEAR_SCREEN, stdout);
	}
}

int
cmd_queue(int argc, char **argv)
{
	struct queue_list list = {.control = {.command = NAME, .channel = {.fd = -1}}};

	env_init_linux(&list.env);
	list.control.env = &list.env;
	arena_init(&list.arena, list.env.memory, CONF_ARENA_MAX);
	buffer_init(&list.line, list.env.memory, TOOL_LINE_MAX + RECIPIENTS_MAX);
	buffer_init(&list.recipients, list.env.memory, RECIPIENTS_MAX);
	buffer_init(&list.paused, list.env.memory, TOOL_LINE_MAX);
	int code = read_options(&list, argc, argv);
	if (code == EX_OK && list.wants_help) {
		fputs(usage, stdout);
		code = tool_finish(NAME, EX_OK);
	} else if (code == EX_OK) {
		code = list_with(&list);
	}
	buffer_done(&list.line);
	buffer_done(&list.recipients);
	buffer_done(&list.paused);
	arena_done(&list.arena);
	env_done(&list.env);
	return code;
}
