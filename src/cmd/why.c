/*
 * `veredus why`: what the history (base/history.h) and the running server know of a message,
 * together. The history is read here, from the spool's folder, so that a search in it takes no time
 * of the server's; the queue is asked over the control socket.
 */
#include "cmd/why.h"
#include "cmd/command.h"
#include "cmd/queue_list.h"
#include "cmd/tool.h"
#include "ipc/queue_id.h"

#include <stdio.h>
#include <sysexits.h>

#define NOTHING_KNOWN 1
#define ANSWER_US     (60 * US_PER_S)
#define PAGE          1000

static const char usage[] =
	"usage: veredus why [OPTION]... WORD\n"
	"\n"
	"Tells what became of mail, and why: where it came from, what was checked, every try,\n"
	"where it is now. WORD is an id, a Message-ID, the address of a sender or a recipient,\n"
	"or a domain. Mail that was refused, and mail that is finished, is known for as long as\n"
	"the history is kept (history in veredus.conf).\n"
	"\n"
	"  -c, --config FILE    the configuration of the server (" VEREDUS_CONF ")\n"
	"      --control PATH   the server's control socket, instead of what the configuration "
	"says\n"
	"      --limit N        tell of the N newest messages that match (10)\n"
	"      --json           an object for each message, on a line of its own\n"
	"\n"
	"Exit code: 0; 1 nothing is known of it; 69 no server answers, and the history knows\n"
	"nothing of it; 77 not permitted.\n";

struct why {
	struct env env;
	struct arena arena;
	const char *file;
	struct control control;
	struct conf conf;
	struct why_word word;
	struct why_messages *messages;
	struct buffer recipients; /* as lines, of the message that is being received */
	struct buffer json;       /* the same as JSON */
	uint64_t limit;
	bool is_json;
	bool wants_help;
	bool knows_queue;
	int history_code;
	int code;
};

static void
take_recipient(struct why *why, const struct ipc_queue_recipient *recipient)
{
	queue_recipient_append_json(&why->json, recipient);
	queue_recipient_append_row(&why->recipients, recipient, env_wall(&why->env));
}

static void
take_item(struct why *why, const struct ipc_queue_item *item)
{
	struct why_message *message =
		why_add(why->messages, item->queue_id, (wall_us)item->queue_id);

	if (message && !message->state) {
		message->state = queue_state_word(item->state);
		queue_list_append_json(&message->json, item, buffer_slice(&why->json));
		queue_show_append(&message->text, item, env_wall(&why->env));
		buffer_append(&message->text, buffer_slice(&why->recipients));
	}
	buffer_clear(&why->recipients);
	buffer_clear(&why->json);
}

/* May wait: the answer to one question; where to go on, 0 at the end. */
static int
receive_page(struct why *why, uint64_t *ret_next)
{
	struct ipc_message message;

	for (;;) {
		enum error error = channel_receive(
			&why->control.channel, loop_deadline(why->env.loop, ANSWER_US), &message);
		if (error != OK)
			return control_no_answer(&why->control, error_text(error));
		if (message.kind == IPC_REFUSED)
			return control_refused(&why->control, message.refused.reason);
		if (message.kind == IPC_QUEUE_END) {
			*ret_next = message.queue_end.next_id;
			return EX_OK;
		}
		if (message.kind == IPC_QUEUE_RECIPIENT)
			take_recipient(why, &message.queue_recipient);
		else
			take_item(why, &message.queue_item);
	}
}

/* May wait: all pages. */
static int
ask(struct why *why, struct ipc_queue_list question)
{
	uint64_t next = question.from_id;
	int code = EX_OK;

	question.max = PAGE;
	question.with_recipients = 1;
	do {
		question.from_id = next;
		struct ipc_message message = {.kind = IPC_QUEUE_LIST, .queue_list = question};
		enum error error = channel_send(
			&why->control.channel, &message, loop_deadline(why->env.loop, ANSWER_US));
		code = error == OK ? receive_page(why, &next)
				   : control_no_answer(&why->control, error_text(error));
		if (code == EX_OK && next != 0 && next <= question.from_id)
			code = control_fail(&why->control, EX_PROTOCOL, "wrong answers from");
	} while (code == EX_OK && next != 0 && !question.only);
	return code;
}

/* May wait. What waits there and may not be in the history. */
static int
ask_for_word(struct why *why)
{
	struct slice text = why->word.text;
	bool is_bracketed = text.len > 0 && text.ptr[0] == '<';
	int code = EX_OK;

	if (why->word.id != 0)
		return ask(why, (struct ipc_queue_list){.from_id = why->word.id, .only = 1});
	if (message_id_is_valid(text))
		return ask(why, (struct ipc_queue_list){.message_id = text});
	if (!is_bracketed)
		code = ask(why, (struct ipc_queue_list){.sender = text});
	if (code == EX_OK && !is_bracketed)
		code = ask(why, (struct ipc_queue_list){.recipient = text});
	return code;
}

/* May wait. How those that the history has named stand. */
static int
ask_for_known(struct why *why)
{
	int code = EX_OK;

	for (size_t i = 0; code == EX_OK && i < why->messages->count; i++) {
		struct ipc_queue_list question = {.from_id = why->messages->list[i].id, .only = 1};
		if (question.from_id != 0 && !why->messages->list[i].state)
			code = ask(why, question);
	}
	return code;
}

static void
why_run(void *arg)
{
	struct why *why = arg;

	why->code = control_connect(&why->control);
	if (why->code == EX_OK)
		why->code = ask_for_word(why);
	if (why->code == EX_OK)
		why->code = ask_for_known(why);
	why->knows_queue = why->code == EX_OK;
	control_close(&why->control);
}

static void
print_all(struct why *why)
{
	struct buffer text;

	buffer_init(&text, why->env.memory, SIZE_MAX / 4);
	for (size_t i = 0; i < why->messages->count; i++) {
		buffer_clear(&text);
		if (why->is_json)
			why_print_json(&why->messages->list[i], why->knows_queue, &text);
		else
			why_print_text(&why->messages->list[i], why->knows_queue, &text);
		tool_print(buffer_slice(&text));
	}
	buffer_done(&text);
	if (why->messages->has_more && !why->is_json)
		printf("There is more: these are the %zu newest (--limit).\n",
			why->messages->limit);
	if (why->messages->is_cut)
		tool_fail(WHY_NAME, EX_OK, "there is too much to show all of it");
}

static int
conclude(struct why *why)
{
	if (why->history_code == EX_NOPERM)
		tool_fail(WHY_NAME, EX_NOPERM,
			"the history may not be read: try as root, or as the user of the server");
	if (why->messages->count > 0) {
		print_all(why);
		return EX_OK;
	}
	if (why->history_code != EX_OK)
		return why->history_code;
	if (why->code != EX_OK)
		return why->code;
	struct buffer word;
	buffer_init(&word, why->env.memory, TOOL_LINE_MAX);
	tool_append_harmless(&word, why->word.text);
	tool_fail(WHY_NAME, NOTHING_KNOWN, "nothing is known of %s", buffer_text(&word));
	buffer_done(&word);
	return NOTHING_KNOWN;
}

static int
find_out(struct why *why)
{
	int code = control_find(&why->control, &why->arena, why->file, &why->conf);

	if (code != EX_OK)
		return code;
	why->history_code = why->conf.spool.len == 0
				    ? EX_NOPERM
				    : why_find(why->messages, why->conf.spool, &why->word);
	enum error error = tool_run(&why->env, "why", why_run, why);
	if (error != OK)
		return tool_fail(WHY_NAME, EX_OSERR, "can't start: %s", error_text(error));
	if (why->history_code == EX_OK)
		why->history_code = why_gather(why->messages, why->conf.spool);
	return tool_finish(WHY_NAME, conclude(why));
}

static int
take_word(struct why *why, struct slice text)
{
	if (text.len == 0 || text.len > IPC_TEXT_MAX)
		return tool_misused(WHY_NAME, "a word of 1 to %d octets is needed", IPC_TEXT_MAX);
	why->word.text = text;
	if (queue_id_parse(text, &why->word.id) != OK)
		why->word.id = 0;
	why->word.is_domain = slice_find(text, 0, '@') < 0;
	return EX_OK;
}

static int
read_options(struct why *why, int argc, char **argv)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
		{"control", required_argument, NULL, 's'}, {"json", no_argument, NULL, 'j'},
		{"limit", required_argument, NULL, 'n'}, {"help", no_argument, NULL, 'h'}, {0}};
	int option;

	while ((option = tool_option(WHY_NAME, argc, argv, ":c:h", options)) != -1) {
		if (option == 'c')
			why->file = optarg;
		else if (option == 's')
			why->control.path = slice_text(optarg);
		else if (option == 'j')
			why->is_json = true;
		else if (option == 'h')
			why->wants_help = true;
		else if (option == '?')
			return EX_USAGE;
		else if (!slice_number(slice_text(optarg), WHY_LIMIT_MAX, &why->limit) ||
			 why->limit == 0)
			return tool_misused(WHY_NAME, "--limit: a number from 1 to %d is needed",
				WHY_LIMIT_MAX);
	}
	if (why->wants_help)
		return EX_OK;
	if (optind + 1 != argc)
		return tool_misused(WHY_NAME,
			"one word is needed: an id, a Message-ID, an address or a domain");
	return take_word(why, slice_text(argv[optind]));
}

int
cmd_why(int argc, char **argv)
{
	struct why why = {
		.limit = WHY_LIMIT, .control = {.command = WHY_NAME, .channel = {.fd = -1}}};

	env_init_linux(&why.env);
	why.control.env = &why.env;
	arena_init(&why.arena, why.env.memory, CONF_ARENA_MAX);
	buffer_init(&why.recipients, why.env.memory, WHY_EVENTS_MAX);
	buffer_init(&why.json, why.env.memory, WHY_EVENTS_MAX);
	int code = read_options(&why, argc, argv);
	if (code == EX_OK && why.wants_help) {
		fputs(usage, stdout);
		code = tool_finish(WHY_NAME, EX_OK);
	} else if (code == EX_OK) {
		why.messages = memory_get(why.env.memory, sizeof *why.messages);
		why_messages_init(why.messages, &why.env, (size_t)why.limit);
		code = find_out(&why);
		why_messages_done(why.messages);
		memory_put(why.env.memory, why.messages);
	}
	buffer_done(&why.recipients);
	buffer_done(&why.json);
	arena_done(&why.arena);
	env_done(&why.env);
	return code;
}
