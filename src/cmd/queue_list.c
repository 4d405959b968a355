/* The table of `veredus queue list`: what comes from strangers (addresses, replies) is made
 * harmless for terminals here. */
#include "cmd/queue_list.h"

#include "base/log_record.h"
#include "cmd/tool.h"
#include "ipc/queue_id.h"

#define CELL_MAX 32

static const char *const state_words[] = {
	[QUEUE_WAITING] = "waiting",
	[QUEUE_ACTIVE] = "active",
	[QUEUE_HELD] = "held",
	[QUEUE_DEFERRED] = "deferred",
	[QUEUE_DAMAGED] = "damaged",
};

static const char *
recipient_word(const struct ipc_queue_recipient *recipient)
{
	static const char *const words[] = {
		[RECIPIENT_WAITING] = "waiting",
		[RECIPIENT_ACTIVE] = "active",
		[RECIPIENT_HELD] = "held",
		[RECIPIENT_FAILED] = "failed",
		[RECIPIENT_DONE] = "done",
	};

	return recipient->state == RECIPIENT_WAITING && recipient->attempts > 0
		       ? "deferred"
		       : words[recipient->state];
}

bool
queue_state_parse(struct slice word, uint32_t *ret_state)
{
	for (uint32_t i = 0; i < sizeof state_words / sizeof *state_words; i++)
		if (slice_equal(word, slice_text(state_words[i]))) {
			*ret_state = i;
			return true;
		}
	return false;
}

const char *
queue_state_word(uint32_t state)
{
	return state_words[state];
}

void
queue_list_append_heading(struct buffer *text)
{
	buffer_printf(text, "%-13s  %5s  %5s  %-8s  %5s  %-5s  FROM -> TO", "ID", "AGE", "SIZE",
		"STATE", "TRIES", "NEXT");
}

/* In the largest unit of which there is at least one: 59s, 3m, 4h, 2d. */
void
queue_append_duration(struct buffer *buffer, int64_t us)
{
	static const struct {
		int64_t seconds;
		char unit;
	} units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
	int64_t seconds = us > 0 ? us / US_PER_S : 0;
	size_t i = 0;

	while (i < 3 && seconds < units[i].seconds)
		i++;
	buffer_printf(buffer, "%lld%c", (long long)(seconds / units[i].seconds), units[i].unit);
}

/* 999, 1.5K, 25M */
static void
append_size(struct buffer *buffer, uint64_t octets)
{
	static const char units[] = "KMGTPE";
	uint64_t unit = 1024;
	size_t i = 0;

	if (octets < 1000) {
		buffer_append_number(buffer, octets);
		return;
	}
	while (i < 5 && octets / unit >= 1000) {
		unit *= 1024;
		i++;
	}
	uint64_t whole = octets / unit;
	if (whole < 10)
		buffer_printf(buffer, "%llu.%llu%c", (unsigned long long)whole,
			(unsigned long long)(octets % unit * 10 / unit), units[i]);
	else
		buffer_printf(buffer, "%llu%c", (unsigned long long)whole, units[i]);
}

/* When the next attempt is due; nothing of the kind for messages that do not wait. */
static void
append_next(struct buffer *buffer, const struct ipc_queue_item *item, wall_us now)
{
	if (item->state != QUEUE_WAITING && item->state != QUEUE_DEFERRED)
		buffer_append_octet(buffer, '-');
	else if ((wall_us)item->next_attempt_at <= now)
		buffer_append_text(buffer, "now");
	else
		queue_append_duration(buffer, (wall_us)item->next_attempt_at - now);
}

static void
append_path(struct buffer *text, struct slice path)
{
	if (path.len == 0)
		buffer_append_text(text, "<>");
	else
		tool_append_harmless(text, path);
}

static void
append_addresses(struct buffer *text, const struct ipc_queue_item *item)
{
	append_path(text, item->reverse_path);
	buffer_append_text(text, " -> ");
	append_path(text, item->first_recipient);
	if (item->recipients > 1)
		buffer_printf(text, " (+%u)", item->recipients - 1);
	if (item->recipients_left < item->recipients)
		buffer_printf(text, " (%u left)", item->recipients_left);
}

struct cells {
	uint8_t age[CELL_MAX], size[CELL_MAX], next[CELL_MAX];
};

static const char *
cell(uint8_t *storage, struct buffer *buffer)
{
	buffer_init_fixed(buffer, storage, CELL_MAX);
	return (const char *)storage;
}

void
queue_list_append_row(struct buffer *text, const struct ipc_queue_item *item, wall_us now)
{
	char id[QUEUE_ID_DIGITS + 1];
	struct cells cells = {0};
	struct buffer buffer;

	queue_id_print(item->queue_id, id);
	const char *age = cell(cells.age, &buffer);
	queue_append_duration(&buffer, now - (wall_us)item->received_at);
	const char *size = cell(cells.size, &buffer);
	append_size(&buffer, item->size);
	const char *next = cell(cells.next, &buffer);
	append_next(&buffer, item, now);
	buffer_printf(text, "%s  %5s  %5s  %-8s  %5u  %-5s  ", id, age, size,
		state_words[item->state], item->attempts, next);
	append_addresses(text, item);
	if (item->last_reply.len > 0) {
		buffer_append_text(text, "\n               ");
		tool_append_harmless(text, item->last_reply);
	}
}

/* A time in quotes, or null. */
static void
json_append_time(struct buffer *text, uint64_t at)
{
	if (at == 0) {
		buffer_append_text(text, "null");
		return;
	}
	buffer_append_octet(text, '"');
	time_append_rfc3339(text, (wall_us)at);
	buffer_append_octet(text, '"');
}

void
queue_recipient_append_json(struct buffer *text, const struct ipc_queue_recipient *recipient)
{
	buffer_append_text(text, recipient->number > 0 ? ",{\"address\":" : "{\"address\":");
	json_append_string(text, recipient->address);
	buffer_printf(text, ",\"state\":\"%s\",\"reply\":", recipient_word(recipient));
	json_append_string(text, recipient->reply);
	buffer_printf(text, ",\"attempts\":%u,\"next\":", recipient->attempts);
	json_append_time(text, recipient->next_attempt_at);
	buffer_append_octet(text, '}');
}

void
queue_recipient_append_row(
	struct buffer *text, const struct ipc_queue_recipient *recipient, wall_us now)
{
	buffer_printf(text, "\n    %-8s  ", recipient_word(recipient));
	append_path(text, recipient->address);
	if (recipient->attempts > 0)
		buffer_printf(text, "  attempts %u", recipient->attempts);
	if (recipient->next_attempt_at > 0) {
		buffer_append_text(text, "  next in ");
		queue_append_duration(text, (wall_us)recipient->next_attempt_at - now);
	}
	if (recipient->reply.len > 0) {
		buffer_append_text(text, "\n              ");
		tool_append_harmless(text, recipient->reply);
	}
}

void
queue_show_append(struct buffer *text, const struct ipc_queue_item *item, wall_us now)
{
	char id[QUEUE_ID_DIGITS + 1];

	queue_id_print(item->queue_id, id);
	buffer_printf(text, "id        %s\nstate     %s\nreceived  ", id, state_words[item->state]);
	time_append_rfc3339(text, (wall_us)item->received_at);
	buffer_append_text(text, " (");
	queue_append_duration(text, now - (wall_us)item->received_at);
	buffer_append_text(text, " ago) from ");
	if (item->client.len > 0)
		tool_append_harmless(text, item->client);
	else
		buffer_append_text(text, "this server");
	buffer_append_text(text, "\nsize      ");
	append_size(text, item->size);
	buffer_append_text(text, "\nsender    ");
	append_path(text, item->reverse_path);
	buffer_append_text(text, "\nlane      ");
	tool_append_harmless(text, item->lane);
	if (item->last_reply.len > 0) {
		buffer_append_text(text, "\nreply     ");
		tool_append_harmless(text, item->last_reply);
	}
	buffer_append_text(text, "\nrecipients");
}

void
queue_list_append_json(
	struct buffer *text, const struct ipc_queue_item *item, struct slice recipients)
{
	char id[QUEUE_ID_DIGITS + 1];
	bool waits = item->state == QUEUE_WAITING || item->state == QUEUE_DEFERRED;

	queue_id_print(item->queue_id, id);
	buffer_printf(
		text, "{\"id\":\"%s\",\"state\":\"%s\",\"sender\":", id, state_words[item->state]);
	json_append_string(text, item->reverse_path);
	buffer_append_text(text, ",\"recipients\":[");
	buffer_append(text, recipients);
	buffer_printf(text, "],\"size\":%llu,\"received\":", (unsigned long long)item->size);
	json_append_time(text, item->received_at);
	buffer_append_text(text, ",\"lane\":");
	json_append_string(text, item->lane);
	buffer_append_text(text, ",\"client\":");
	json_append_string(text, item->client);
	buffer_printf(text, ",\"attempts\":%u,\"next\":", item->attempts);
	json_append_time(text, waits ? item->next_attempt_at : 0);
	buffer_append_text(text, ",\"reply\":");
	json_append_string(text, item->last_reply);
	buffer_append_octet(text, '}');
}
