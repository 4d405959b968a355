/*
 * What adding a message settles of others (docs/spool.md, "Settling"): the report of a failure and
 * the end of the recipients that it reports are one record, so that a crash leaves both or none.
 * Bytes and back, and what they do to the index.
 *
 * The record alone would not do: its segment is freed when the report is delivered, and the message
 * it reports on may live on. So the journal gets the same as results, behind the segment's flush
 * and before anything can free it.
 */
#include "spool/spool_private.h"

#include "base/cursor.h"

#define RANGE_BYTES 8

/* The recipients from `at` on that follow one another without a gap. */
static uint32_t
run_of(const uint32_t *recipients, uint32_t count, uint32_t at)
{
	uint32_t end = at + 1;

	while (end < count && recipients[end] == recipients[end - 1] + 1)
		end++;
	return end;
}

void
spool_settle_append(struct buffer *settles, enum spool_result_kind kind,
	const struct spool_reference *message, const uint32_t *recipients, uint32_t count)
{
	uint32_t ranges = 0;

	for (uint32_t at = 0; at < count; at = run_of(recipients, count, at))
		ranges++;
	buffer_append_u64(settles, message->queue_id);
	buffer_append_u32(settles, message->segment);
	buffer_append_u32(settles, message->generation);
	buffer_append_u64(settles, message->offset);
	buffer_append_u64(settles, message->size);
	buffer_append_u32(settles, (uint32_t)kind);
	buffer_append_u32(settles, ranges);
	for (uint32_t at = 0, end; at < count; at = end) {
		end = run_of(recipients, count, at);
		buffer_append_u32(settles, recipients[at]);
		buffer_append_u32(settles, recipients[end - 1]);
	}
}

/* Ascending, without overlap. */
static bool
ranges_are_right(struct slice ranges, bool has_recipients)
{
	struct cursor cursor = cursor_of(ranges);
	uint32_t next = 0;

	while (cursor_left(&cursor) > 0) {
		uint32_t first = cursor_take_u32(&cursor), last = cursor_take_u32(&cursor);
		if (first < next || last < first || last >= SPOOL_RECIPIENTS_MAX)
			return false;
		next = last + 1;
	}
	return (ranges.len > 0) == has_recipients;
}

enum error
settle_next(struct cursor *cursor, struct settle *ret_settle)
{
	struct settle settle = {.message = {.queue_id = cursor_take_u64(cursor)}};

	settle.message.segment = cursor_take_u32(cursor);
	settle.message.generation = cursor_take_u32(cursor);
	settle.message.offset = cursor_take_u64(cursor);
	settle.message.size = cursor_take_u64(cursor);
	settle.kind = (enum spool_result_kind)cursor_take_u32(cursor);
	uint32_t ranges = cursor_take_u32(cursor);
	if (cursor->error != OK || ranges > cursor_left(cursor) / RANGE_BYTES)
		return ERROR_DAMAGED;
	settle.ranges = cursor_take(cursor, (size_t)ranges * RANGE_BYTES);
	bool has_recipients = spool_kind_is_recipients(settle.kind);
	if ((!has_recipients && settle.kind != SPOOL_DELAY_TOLD) || settle.message.queue_id == 0 ||
		!ranges_are_right(settle.ranges, has_recipients))
		return ERROR_DAMAGED;
	*ret_settle = settle;
	return OK;
}

bool
settle_next_result(
	const struct settle *settle, struct settle_place *place, struct spool_result *ret_result)
{
	*ret_result = (struct spool_result){.kind = settle->kind, .message = settle->message};
	if (settle->kind == SPOOL_DELAY_TOLD)
		return !place->began && (place->began = true);
	if (place->began && place->next <= place->last) {
		ret_result->recipient = place->next++;
		return true;
	}
	struct cursor cursor = cursor_of(slice_from(settle->ranges, place->at));
	if (cursor_left(&cursor) == 0)
		return false;
	ret_result->recipient = cursor_take_u32(&cursor);
	place->last = cursor_take_u32(&cursor);
	place->next = ret_result->recipient + 1;
	place->at += RANGE_BYTES;
	place->began = true;
	return true;
}

/* The highest number of a recipient. */
static uint32_t
settle_last(const struct settle *settle)
{
	struct cursor cursor =
		cursor_of(slice_from(settle->ranges, settle->ranges.len - sizeof(uint32_t)));

	return cursor_take_u32(&cursor);
}

enum error
settles_prepare(struct spool *spool, struct slice settles)
{
	struct cursor cursor = cursor_of(settles);
	struct settle settle;

	while (cursor_left(&cursor) > 0) {
		enum error error = settle_next(&cursor, &settle);
		if (error != OK)
			return error;
		struct index_entry *entry = index_find(&spool->index, settle.message.queue_id);
		if (!entry || entry->flags & (ENTRY_PENDING | ENTRY_STUB))
			return ERROR_NOT_FOUND;
		if (settle.ranges.len > 0)
			error = entry_reserve_done(&spool->index, entry, settle_last(&settle));
		if (error != OK)
			return error;
	}
	return OK;
}

/* The index first, so that a state that has to take the place of these results has them too. */
static void
settle_result(struct spool *spool, const struct spool_result *result)
{
	struct index_entry *entry = index_find(&spool->index, result->message.queue_id);

	/* settles_prepare has found the entry and made room in it. */
	struct spool_result known = *result;
	if (entry)
		known.message = entry_message(entry);
	if (!entry || entry_apply(&spool->index, entry, result) != OK ||
		journal_add_result(spool, &known) != OK)
		spool->journal.broken = true;
	else
		spool->pending_results++;
}

void
settles_apply(struct spool *spool, struct slice settles)
{
	struct cursor cursor = cursor_of(settles);
	struct settle settle;
	struct spool_result result;

	while (cursor_left(&cursor) > 0 && settle_next(&cursor, &settle) == OK) {
		struct settle_place place = {0};
		while (settle_next_result(&settle, &place, &result))
			settle_result(spool, &result);
	}
}
