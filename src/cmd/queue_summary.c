#include "cmd/queue_summary.h"
#include "base/log_record.h"
#include "cmd/queue_list.h"
#include "cmd/tool.h"

#include <stdlib.h>

#define ARENA_MAX     (4u << 20)
#define REPLIES_SHOWN 10

void
queue_summary_init(struct queue_summary *summary, struct memory *memory)
{
	*summary = (struct queue_summary){.messages = 0};
	arena_init(&summary->arena, memory, ARENA_MAX);
}

void
queue_summary_done(struct queue_summary *summary)
{
	arena_done(&summary->arena);
}

static void
count_in(struct queue_summary *summary, struct summary_table *table, struct slice name,
	const struct ipc_queue_item *item)
{
	struct summary_row row = {.oldest = item->received_at};
	size_t i = 0;

	while (i < table->count && !slice_equal(table->rows[i].name, name))
		i++;
	if (i == SUMMARY_ROWS_MAX ||
		(i == table->count && !arena_copy(&summary->arena, name, &row.name))) {
		table->others++;
		return;
	}
	if (i == table->count)
		table->rows[table->count++] = row;
	table->rows[i].messages++;
	if (item->received_at < table->rows[i].oldest)
		table->rows[i].oldest = item->received_at;
}

void
queue_summary_count(struct queue_summary *summary, const struct ipc_queue_item *item)
{
	summary->messages++;
	summary->states[item->state]++;
	count_in(summary, &summary->lanes, item->lane, item);
	if (item->last_reply.len > 0)
		count_in(summary, &summary->replies, item->last_reply, item);
}

static int
compare(const void *left, const void *right)
{
	const struct summary_row *a = left, *b = right;

	if (a->messages != b->messages)
		return a->messages < b->messages ? 1 : -1;
	return slice_compare(a->name, b->name);
}

static void
sort(struct summary_table *table)
{
	qsort(table->rows, table->count, sizeof *table->rows, compare);
}

static void
append_rows(const struct summary_table *table, size_t max, wall_us now, struct buffer *text)
{
	uint64_t others = table->others;

	for (size_t i = 0; i < table->count; i++) {
		const struct summary_row *row = &table->rows[i];
		if (i >= max) {
			others += row->messages;
			continue;
		}
		buffer_printf(text, "\n%8llu  ", (unsigned long long)row->messages);
		tool_append_harmless(text, row->name);
		buffer_append_text(text, "  oldest ");
		queue_append_duration(text, now - (wall_us)row->oldest);
	}
	if (others > 0)
		buffer_printf(text, "\n%8llu  others", (unsigned long long)others);
}

void
queue_summary_append(
	struct queue_summary *summary, struct slice paused, wall_us now, struct buffer *text)
{
	sort(&summary->lanes);
	sort(&summary->replies);
	buffer_printf(text, "%llu messages", (unsigned long long)summary->messages);
	for (uint32_t i = 0; i <= QUEUE_DAMAGED; i++)
		if (summary->states[i] > 0)
			buffer_printf(text, ", %llu %s", (unsigned long long)summary->states[i],
				queue_state_word(i));
	append_rows(&summary->lanes, SUMMARY_ROWS_MAX, now, text);
	if (paused.len > 0)
		buffer_append_octet(text, '\n');
	buffer_append(text, paused);
	if (summary->replies.count == 0)
		return;
	buffer_append_text(text, "\nand the last replies:");
	append_rows(&summary->replies, REPLIES_SHOWN, now, text);
}

static void
append_rows_json(const struct summary_table *table, const char *word, struct buffer *text)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct summary_row *row = &table->rows[i];
		buffer_printf(text, "%s{\"%s\":", i > 0 ? "," : "", word);
		json_append_string(text, row->name);
		buffer_printf(text, ",\"messages\":%llu,\"oldest\":\"",
			(unsigned long long)row->messages);
		time_append_rfc3339(text, (wall_us)row->oldest);
		buffer_append_text(text, "\"}");
	}
}

void
queue_summary_append_json(struct queue_summary *summary, struct slice paused, struct buffer *text)
{
	sort(&summary->lanes);
	sort(&summary->replies);
	buffer_printf(text, "{\"messages\":%llu", (unsigned long long)summary->messages);
	for (uint32_t i = 0; i <= QUEUE_DAMAGED; i++)
		buffer_printf(text, ",\"%s\":%llu", queue_state_word(i),
			(unsigned long long)summary->states[i]);
	buffer_append_text(text, ",\"lanes\":[");
	append_rows_json(&summary->lanes, "lane", text);
	buffer_printf(text, "],\"in_other_lanes\":%llu,\"replies\":[",
		(unsigned long long)summary->lanes.others);
	append_rows_json(&summary->replies, "reply", text);
	buffer_append_text(text, "],\"paused\":[");
	buffer_append(text, paused);
	buffer_append_text(text, "]}");
}
