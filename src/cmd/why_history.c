/*
 * The history is read twice: for the ids of messages that match, then for all that is said of
 * these.
 */
#include "cmd/history_files.h"
#include "cmd/why.h"
#include "ipc/queue_id.h"

#include <stdlib.h>

void
why_messages_init(struct why_messages *messages, struct env *env, size_t limit)
{
	messages->env = env;
	messages->limit = limit;
	messages->count = 0;
	arena_init(&messages->arena, env->memory, WHY_EVENTS_MAX);
}

static void
message_done(struct why_messages *messages, struct why_message *message)
{
	memory_put(messages->env->memory, message->events);
	buffer_done(&message->json);
	buffer_done(&message->text);
}

void
why_messages_done(struct why_messages *messages)
{
	for (size_t i = 0; i < messages->count; i++)
		message_done(messages, &messages->list[i]);
	arena_done(&messages->arena);
}

/* Where it stands, or would: refusals have no id, and never are the same. */
static size_t
place_of(const struct why_messages *messages, uint64_t id, wall_us at)
{
	size_t low = 0, high = messages->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		const struct why_message *message = &messages->list[middle];
		if (message->at < at || (message->at == at && message->id < id))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct why_message *
why_add(struct why_messages *messages, uint64_t id, wall_us at)
{
	size_t place = place_of(messages, id, at);

	if (id != 0 && place < messages->count && messages->list[place].id == id)
		return &messages->list[place];
	if (messages->count == messages->limit) {
		messages->has_more = true;
		if (place == 0)
			return NULL;
		message_done(messages, &messages->list[0]);
		memmove(&messages->list[0], &messages->list[1],
			--messages->count * sizeof *messages->list);
		place--;
	}
	memmove(&messages->list[place + 1], &messages->list[place],
		(messages->count - place) * sizeof *messages->list);
	messages->count++;
	struct why_message *message = &messages->list[place];
	*message = (struct why_message){.id = id, .at = at};
	buffer_init(&message->json, messages->env->memory, WHY_EVENTS_MAX);
	buffer_init(&message->text, messages->env->memory, WHY_EVENTS_MAX);
	return message;
}

static void
keep_event(struct why_messages *messages, struct why_message *message, struct slice record)
{
	if (message->event_count == message->event_capacity) {
		size_t capacity = message->event_capacity ? 2 * message->event_capacity : 8;
		struct why_event *events = memory_resize(
			messages->env->memory, message->events, capacity * sizeof *events);
		if (!events) {
			messages->is_cut = true;
			return;
		}
		message->events = events;
		message->event_capacity = capacity;
	}
	struct why_event *event = &message->events[message->event_count];
	if (!arena_copy(&messages->arena, record, &event->record)) {
		messages->is_cut = true;
		return;
	}
	event->at = log_record_time(record);
	event->order = message->event_count++;
}

/* Each record of all files. */
static int
read_history(struct env *env, struct slice spool, history_each *each, void *arg)
{
	struct history_scan scan = {.env = env,
		.command = WHY_NAME,
		.spool = spool,
		.first = HISTORY_MAIL,
		.last = HISTORY_REFUSED,
		.each = each,
		.arg = arg};

	return history_scan(&scan);
}

/* An address, or every address of a domain. */
static bool
address_matches(const struct why_word *word, struct slice address)
{
	if (slice_equal_nocase(address, word->text))
		return true;
	if (!word->is_domain || address.len <= word->text.len)
		return false;
	size_t at = address.len - word->text.len;
	return address.ptr[at - 1] == '@' &&
	       slice_equal_nocase(slice_from(address, at), word->text);
}

/* One of several, with a space between. */
static bool
some_address_matches(const struct why_word *word, struct slice addresses)
{
	bool matches = false;

	while (addresses.len > 0 && !matches) {
		ssize_t end = slice_find(addresses, 0, ' ');
		size_t len = end < 0 ? addresses.len : (size_t)end;
		matches = address_matches(word, slice_sub(addresses, 0, len));
		addresses = slice_from(addresses, len + 1);
	}
	return matches;
}

/* "RCPT TO:<a@b> NOTIFY=NEVER": what stands in the brackets. */
static struct slice
address_of_command(struct slice command)
{
	ssize_t from = slice_find(command, 0, '<');
	ssize_t to = from < 0 ? -1 : slice_find(command, (size_t)from, '>');

	return to < 0 ? slice_of(NULL, 0)
		      : slice_sub(command, (size_t)from + 1, (size_t)(to - from) - 1);
}

static bool
message_id_matches(struct slice text, struct slice message_id)
{
	return slice_equal(text, message_id) ||
	       (message_id.len == text.len + 2 &&
		       slice_equal(text, slice_sub(message_id, 1, text.len)));
}

/* Ids are taken in any form that names them. */
static bool
id_field(struct slice record, const char *key, uint64_t *ret_id)
{
	struct slice text;

	return log_record_text(record, key, &text) == OK && queue_id_parse(text, ret_id) == OK;
}

static bool
record_matches(const struct why_word *word, struct slice record)
{
	struct slice text;
	uint64_t id;

	if (word->id != 0)
		return (id_field(record, "id", &id) && id == word->id) ||
		       (id_field(record, "report", &id) && id == word->id);
	return (log_record_text(record, "from", &text) == OK && address_matches(word, text)) ||
	       (log_record_text(record, "to", &text) == OK && some_address_matches(word, text)) ||
	       (log_record_text(record, "command", &text) == OK &&
		       address_matches(word, address_of_command(text))) ||
	       (log_record_text(record, "message_id", &text) == OK &&
		       message_id_matches(word->text, text));
}

struct finding {
	struct why_messages *messages;
	const struct why_word *word;
};

static void
find_each(void *arg, struct slice record)
{
	struct finding *finding = arg;
	uint64_t id = 0;

	if (!record_matches(finding->word, record))
		return;
	if (id_field(record, "id", &id)) {
		why_add(finding->messages, id, (wall_us)id);
	} else if (log_record_is(record, "refused")) {
		struct why_message *message =
			why_add(finding->messages, 0, log_record_time(record));
		if (message)
			keep_event(finding->messages, message, record);
	}
}

int
why_find(struct why_messages *messages, struct slice spool, const struct why_word *word)
{
	struct finding finding = {messages, word};

	return read_history(messages->env, spool, find_each, &finding);
}

static void
gather_for(struct why_messages *messages, uint64_t id, struct slice record)
{
	size_t place = place_of(messages, id, (wall_us)id);

	if (place < messages->count && messages->list[place].id == id)
		keep_event(messages, &messages->list[place], record);
}

static void
gather_each(void *arg, struct slice record)
{
	struct why_messages *messages = arg;
	uint64_t id, report;
	bool has_id = id_field(record, "id", &id);

	if (has_id)
		gather_for(messages, id, record);
	if (id_field(record, "report", &report) && !(has_id && id == report))
		gather_for(messages, report, record);
}

/* A message is under way before the session, whose word `received` is, has been answered: that it
 * came stands first all the same. */
static int
compare_events(const void *left, const void *right)
{
	const struct why_event *a = left, *b = right;
	bool a_came = log_record_is(a->record, "received");
	bool b_came = log_record_is(b->record, "received");

	if (a_came != b_came)
		return a_came ? -1 : 1;
	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

int
why_gather(struct why_messages *messages, struct slice spool)
{
	int code = read_history(messages->env, spool, gather_each, messages);

	for (size_t i = 0; i < messages->count; i++)
		if (messages->list[i].event_count > 1)
			qsort(messages->list[i].events, messages->list[i].event_count,
				sizeof *messages->list[i].events, compare_events);
	return code;
}
