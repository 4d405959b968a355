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
};

void
queue_list_append_heading(struct buffer *text)
{
	buffer_printf(text, "%-13s  %5s  %5s  %-7s  %5s  %-5s  FROM -> TO", "ID", "AGE", "SIZE",
		"STATE", "TRIES", "NEXT");
}

/* In the largest unit of which there is at least one: 59s, 3m, 4h, 2d. */
static void
append_duration(struct buffer *buffer, int64_t us)
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
	if (item->state != QUEUE_WAITING)
		buffer_append_octet(buffer, '-');
	else if ((wall_us)item->next_attempt_at <= now)
		buffer_append_text(buffer, "now");
	else
		append_duration(buffer, (wall_us)item->next_attempt_at - now);
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
	append_duration(&buffer, now - (wall_us)item->received_at);
	const char *size = cell(cells.size, &buffer);
	append_size(&buffer, item->size);
	const char *next = cell(cells.next, &buffer);
	append_next(&buffer, item, now);
	buffer_printf(text, "%s  %5s  %5s  %-7s  %5u  %-5s  ", id, age, size,
		state_words[item->state], item->attempts, next);
	append_addresses(text, item);
	if (item->last_reply.len > 0) {
		buffer_append_text(text, "\n               ");
		tool_append_harmless(text, item->last_reply);
	}
}

void
queue_list_append_json(struct buffer *text, const struct ipc_queue_item *item)
{
	char id[QUEUE_ID_DIGITS + 1];

	queue_id_print(item->queue_id, id);
	buffer_printf(text, "{\"id\":\"%s\",\"received_at\":\"", id);
	time_append_rfc3339(text, (wall_us)item->received_at);
	buffer_printf(text,
		"\",\"size\":%llu,\"state\":\"%s\",\"attempts\":%u,\"next_attempt_at\":",
		(unsigned long long)item->size, state_words[item->state], item->attempts);
	if (item->state == QUEUE_WAITING) {
		buffer_append_octet(text, '"');
		time_append_rfc3339(text, (wall_us)item->next_attempt_at);
		buffer_append_octet(text, '"');
	} else {
		buffer_append_text(text, "null");
	}
	buffer_printf(text, ",\"recipients\":%u,\"recipients_left\":%u,\"from\":", item->recipients,
		item->recipients_left);
	json_append_string(text, item->reverse_path);
	buffer_append_text(text, ",\"first_recipient\":");
	json_append_string(text, item->first_recipient);
	buffer_append_text(text, ",\"last_reply\":");
	json_append_string(text, item->last_reply);
	buffer_append_octet(text, '}');
}
