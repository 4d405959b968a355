/*
 * A message's story for people: a line for each thing that happened, in order, then how it stands
 * now. All that comes from strangers is made harmless for terminals.
 */
#include "cmd/tool.h"
#include "cmd/why.h"
#include "ipc/queue_id.h"

#define INDENT "\n    "
#define MARGIN "\n                                   " /* below what follows a time */

/* How an event reads: words and the fields between them, in order. */
struct phrase {
	const char *before;
	const char *key;
	bool is_number;
};

#define PHRASES 12

struct story {
	const char *event;
	const char *verb;
	struct phrase phrases[PHRASES];
};

static const struct story stories[] = {
	{"received", "received",
		{{" from ", "from", false}, {" for ", "to", false},
			{MARGIN "came from ", "client", false},
			{", which said it was ", "helo", false},
			{", to the listener ", "listener", false}, {MARGIN "TLS: ", "tls", false},
			{"; login: ", "login", false}, {"; recipients: ", "recipients", true},
			{"; octets: ", "size", true}, {MARGIN "checks: ", "authentication", false},
			{"; Message-ID: ", "message_id", false}}},
	{"refused", "refused",
		{{": ", "code", true}, {" ", "reply", false},
			{MARGIN "to the command ", "command", false},
			{MARGIN "sender ", "from", false}, {", for ", "to", false},
			{MARGIN "came from ", "client", false},
			{", to the listener ", "listener", false},
			{MARGIN "checks: ", "authentication", false},
			{"; Message-ID: ", "message_id", false}}},
	{"deferred", "put off",
		{{": ", "reply", false}, {" (", "status", false}, {"), try ", "attempts", true},
			{", for ", "to", false}, {MARGIN "said by ", "remote", false},
			{", lane ", "lane", false}, {", TLS: ", "tls", false},
			{MARGIN "next try after seconds: ", "next_s", true}}},
	{"relayed", "tried",
		{{" by way of ", "remote", false}, {", destination ", "destination", false},
			{": ", "reply", false}, {MARGIN "taken: ", "accepted", true},
			{", put off: ", "deferred", true}, {", refused: ", "failed", true},
			{"; TLS: ", "tls", false}, {"; ms: ", "ms", true},
			{", of them connecting ", "connecting_ms", true},
			{", sending ", "sending_ms", true}}},
	{"delivered", "delivered",
		{{" to ", "to", false}, {MARGIN "file ", "path", false},
			{MARGIN "taken by ", "remote", false}, {": ", "reply", false},
			{"; TLS: ", "tls", false}, {"; ms since it came: ", "delay_ms", true},
			{", of them waiting ", "waited_ms", true},
			{", connecting ", "connecting_ms", true},
			{", sending ", "sending_ms", true}}},
	{"failed", "failed for good",
		{{" for ", "to", false}, {": ", "reply", false}, {" (", "status", false},
			{")" MARGIN "said by ", "remote", false}}},
	{"expired", "given up, too old",
		{{", for ", "to", false}, {"; last reply: ", "reply", false}}},
	{"held", "held", {{": ", "reply", false}, {" by the ", "cause", false}}},
	{"discarded", "discarded, as the route says", {{", for ", "to", false}}},
	{"reported", "reported",
		{{" to the ", "to", false}, {": ", "what", false},
			{", by the message ", "report", false}}},
	{"suppressed", "not reported: too many reports to strangers", {{NULL, NULL, false}}},
	{"not_reported", "not reported, as its sender wished", {{NULL, NULL, false}}},
	{"retried", "to be tried at once", {{", said the ", "cause", false}}},
	{"released", "released", {{" by the ", "cause", false}}},
	{"deleted", "deleted", {{" by the ", "cause", false}}},
};

static void
append_phrase(const struct phrase *phrase, struct slice record, struct buffer *text)
{
	struct slice value;
	int64_t number;

	if (phrase->is_number && log_record_number(record, phrase->key, &number) == OK) {
		buffer_append_text(text, phrase->before);
		buffer_printf(text, "%lld", (long long)number);
	} else if (!phrase->is_number && log_record_text(record, phrase->key, &value) == OK &&
		   (value.len > 0 || slice_equal(slice_text(phrase->key), SLICE("from")))) {
		buffer_append_text(text, phrase->before);
		tool_append_harmless(text, value.len > 0 ? value : SLICE("<>"));
	}
}

static void
append_event(struct slice record, struct buffer *text)
{
	buffer_append_text(text, INDENT);
	time_append_rfc3339(text, log_record_time(record));
	buffer_append_text(text, "  ");
	for (size_t i = 0; i < sizeof stories / sizeof *stories; i++) {
		if (!log_record_is(record, stories[i].event))
			continue;
		buffer_append_text(text, stories[i].verb);
		for (size_t p = 0; p < PHRASES && stories[i].phrases[p].key; p++)
			append_phrase(&stories[i].phrases[p], record, text);
		return;
	}
	/* One that a later version wrote. */
	tool_append_harmless(text, log_record_event(record));
}

static const char *
state_of(const struct why_message *message, bool knows_queue)
{
	if (message->state)
		return message->state;
	return message->id == 0 ? "refused" : knows_queue ? "finished" : "unknown";
}

void
why_print_text(const struct why_message *message, bool knows_queue, struct buffer *text)
{
	char id[QUEUE_ID_DIGITS + 1];

	queue_id_print(message->id, id);
	buffer_append_text(text, message->id == 0 ? "refused mail" : id);
	for (size_t i = 0; i < message->event_count; i++)
		append_event(message->events[i].record, text);
	if (message->id == 0)
		return;
	if (message->state) {
		buffer_append_text(text, INDENT "now in the queue:\n");
		buffer_append(text, buffer_slice(&message->text));
	} else if (knows_queue) {
		buffer_append_text(text, INDENT "finished: it is not in the queue any more");
	} else {
		buffer_append_text(text, INDENT "whether it is in the queue is not known now");
	}
}

void
why_print_json(const struct why_message *message, bool knows_queue, struct buffer *text)
{
	char id[QUEUE_ID_DIGITS + 1];

	queue_id_print(message->id, id);
	if (message->id == 0)
		buffer_append_text(text, "{\"id\":null");
	else
		buffer_printf(text, "{\"id\":\"%s\"", id);
	buffer_printf(text, ",\"state\":\"%s\",\"queue\":", state_of(message, knows_queue));
	buffer_append(text, message->state ? buffer_slice(&message->json) : SLICE("null"));
	buffer_append_text(text, ",\"events\":[");
	for (size_t i = 0; i < message->event_count; i++) {
		size_t before = text->len;
		if (i > 0)
			buffer_append_octet(text, ',');
		if (log_record_json(message->events[i].record, SLICE(""), text) != OK)
			text->len = before;
	}
	buffer_append_text(text, "]}");
}
