/*
 * The payloads of journal records, and of the part of a message record that is ours: bytes and
 * back. Decoders take any bytes: ERROR_DAMAGED for what our encoders never make. Trailing bytes are
 * refused; a later version that needs more uses new types (docs/spool.md, "Versions").
 */
#include "spool/spool_private.h"

#include "base/cursor.h"

#define STATE_FIXED_BYTES 72
#define STATE_FLAGS                                                                               \
	(ENTRY_HELD | ENTRY_DAMAGED | ENTRY_STUB | ENTRY_DONE | ENTRY_FAILED | ENTRY_DELAY_TOLD | \
		ENTRY_COPIED)
#define SEQUENCE_MAX   (INT64_MAX - 2) /* so that there is a next one */
#define DONE_WORDS_MAX (SPOOL_RECIPIENTS_MAX / 64)

static void
append_place(struct buffer *bytes, const struct spool_reference *reference)
{
	buffer_append_u32(bytes, reference->segment);
	buffer_append_u32(bytes, reference->generation);
	buffer_append_u64(bytes, reference->offset);
	buffer_append_u64(bytes, reference->size);
}

static struct spool_reference
take_place(struct cursor *cursor, uint64_t queue_id)
{
	struct spool_reference reference = {.queue_id = queue_id};

	reference.segment = cursor_take_u32(cursor);
	reference.generation = cursor_take_u32(cursor);
	reference.offset = cursor_take_u64(cursor);
	reference.size = cursor_take_u64(cursor);
	return reference;
}

static enum error
cursor_end(const struct cursor *cursor)
{
	return cursor->error != OK || cursor_left(cursor) > 0 ? ERROR_DAMAGED : OK;
}

void
message_prefix_encode(const struct message_prefix *prefix, uint8_t ret_bytes[MESSAGE_PREFIX_BYTES])
{
	struct buffer bytes;

	buffer_init_fixed(&bytes, ret_bytes, MESSAGE_PREFIX_BYTES);
	append_place(&bytes, &prefix->content);
	buffer_append_u32(&bytes, prefix->content_crc);
	buffer_append_u32(&bytes, prefix->content_flags);
}

enum error
message_prefix_decode(struct slice bytes, uint64_t queue_id, struct message_prefix *ret_prefix)
{
	struct cursor cursor = cursor_of(bytes);
	struct message_prefix prefix;

	prefix.content = take_place(&cursor, queue_id);
	prefix.content_crc = cursor_take_u32(&cursor);
	prefix.content_flags = cursor_take_u32(&cursor);
	if (cursor_end(&cursor) != OK)
		return ERROR_DAMAGED;
	*ret_prefix = prefix;
	return OK;
}

void
settles_head_encode(uint32_t len, uint8_t ret_bytes[SETTLES_HEAD_BYTES])
{
	struct buffer bytes;

	buffer_init_fixed(&bytes, ret_bytes, SETTLES_HEAD_BYTES);
	buffer_append_u32(&bytes, len);
}

#define RESULT_FIXED_BYTES 48

enum error
journal_add_result(struct spool *spool, const struct spool_result *result)
{
	uint8_t fixed[RESULT_FIXED_BYTES];
	struct buffer bytes;
	struct slice text = slice_sub(result->text, 0, SPOOL_RESULT_TEXT_MAX);

	buffer_init_fixed(&bytes, fixed, sizeof fixed);
	buffer_append_u32(&bytes, (uint32_t)result->kind);
	buffer_append_u32(&bytes, result->recipient);
	append_place(&bytes, &result->message);
	buffer_append_u32(&bytes, result->attempts);
	buffer_append_u32(&bytes, (uint32_t)text.len);
	buffer_append_u64(&bytes, (uint64_t)result->next_attempt_at);
	return batch_image_add(&spool->pending, RECORD_RESULT, result->message.queue_id,
		buffer_slice(&bytes), text);
}

enum error
journal_decode_result(uint64_t queue_id, struct slice payload, struct spool_result *ret_result)
{
	struct cursor cursor = cursor_of(payload);
	struct spool_result result = {0};

	uint32_t kind = cursor_take_u32(&cursor);
	result.recipient = cursor_take_u32(&cursor);
	result.message = take_place(&cursor, queue_id);
	result.attempts = cursor_take_u32(&cursor);
	uint32_t text_len = cursor_take_u32(&cursor);
	result.next_attempt_at = (wall_us)cursor_take_u64(&cursor);
	result.text = cursor_take(&cursor, text_len);
	if (cursor_end(&cursor) != OK || kind < SPOOL_RECIPIENT_DELIVERED ||
		kind > SPOOL_DELAY_TOLD)
		return ERROR_DAMAGED;
	result.kind = (enum spool_result_kind)kind;
	*ret_result = result;
	return OK;
}

#define MOVED_PAYLOAD_BYTES 48

enum error
journal_add_moved(struct spool *spool, const struct spool_move *move)
{
	uint8_t storage[MOVED_PAYLOAD_BYTES];
	struct buffer bytes;

	buffer_init_fixed(&bytes, storage, sizeof storage);
	append_place(&bytes, &move->message);
	append_place(&bytes, &move->content);
	return batch_image_add(&spool->pending, RECORD_MOVED, move->message.queue_id,
		buffer_slice(&bytes), (struct slice){0});
}

enum error
journal_decode_moved(uint64_t queue_id, struct slice payload, struct spool_move *ret_move)
{
	struct cursor cursor = cursor_of(payload);
	struct spool_move move;

	move.message = take_place(&cursor, queue_id);
	move.content = take_place(&cursor, queue_id);
	if (cursor_end(&cursor) != OK)
		return ERROR_DAMAGED;
	*ret_move = move;
	return OK;
}

enum error
entry_apply(struct index *index, struct index_entry *entry, const struct spool_result *result)
{
	enum error error;

	switch (result->kind) {
	case SPOOL_RECIPIENT_DELIVERED:
	case SPOOL_RECIPIENT_ENDED:
		return entry_set_done(index, entry, result->recipient);
	case SPOOL_RECIPIENT_FAILED:
		error = entry_set_done(index, entry, result->recipient);
		entry->flags |= error == OK ? ENTRY_FAILED : 0;
		return error;
	case SPOOL_DEFERRED:
		entry->attempts = result->attempts;
		entry->next_attempt_at = result->next_attempt_at;
		entry_set_text(index, entry, result->text);
		return OK;
	case SPOOL_HELD:
		entry->flags |= ENTRY_HELD;
		entry_set_text(index, entry, result->text);
		return OK;
	case SPOOL_RELEASED:
		entry->flags &= ~(uint32_t)ENTRY_HELD;
		return OK;
	case SPOOL_DELAY_TOLD:
		entry->flags |= ENTRY_DELAY_TOLD;
		return OK;
	case SPOOL_DONE:
		return OK;
	}
	return ERROR_FORMAT;
}

#define SEGMENT_PAYLOAD_BYTES 64
#define JOURNAL_SEGMENT_APART 16
#define JOURNAL_SEGMENT_FLAGS (SEGMENT_SEALED | SEGMENT_KEEP | SEGMENT_UNREAD)

/* Of SEGMENT_OPEN, SEGMENT_FREE and SEGMENT_SEALED, which differ in what offset and sequence mean.
 */
static enum error
add_segment(struct batch_image *image, uint32_t type, const struct journal_segment *segment)
{
	uint8_t storage[SEGMENT_PAYLOAD_BYTES];
	struct buffer bytes;

	buffer_init_fixed(&bytes, storage, sizeof storage);
	buffer_append_u32(&bytes, segment->number);
	buffer_append_u32(&bytes, segment->generation);
	buffer_append_u32(&bytes, segment->flags | (segment->is_apart ? JOURNAL_SEGMENT_APART : 0));
	buffer_append_u32(&bytes, segment->block);
	buffer_append_u64(&bytes, segment->offset);
	buffer_append_u64(&bytes, segment->sequence);
	buffer_append_u64(&bytes, segment->id_floor);
	buffer_append_u64(&bytes, segment->size);
	buffer_append(&bytes, slice_of(segment->key.bytes, SIPHASH_KEY_BYTES));
	return batch_image_add(image, type, 0, buffer_slice(&bytes), (struct slice){0});
}

enum error
journal_image_segment(struct batch_image *image, const struct spool *spool, uint32_t type,
	const struct segment *segment)
{
	struct journal_segment record = {
		.number = segment->number,
		.generation = segment->generation,
		.flags = segment->flags & JOURNAL_SEGMENT_FLAGS,
		.is_apart = segment->is_apart,
		.offset = segment->walk_offset,
		.sequence = segment->first_sequence,
		.id_floor = spool->last_id,
		.block = segment->header.block,
		.size = segment->header.size,
		.key = segment->header.key,
	};

	if (type == RECORD_SEGMENT_SEALED) {
		record.offset = segment->end_offset;
		record.sequence = segment->end_sequence - 1;
	}
	return add_segment(image, type, &record);
}

enum error
journal_add_segment(struct spool *spool, uint32_t type, const struct segment *segment)
{
	return journal_image_segment(&spool->pending, spool, type, segment);
}

enum error
journal_decode_segment(struct slice payload, struct journal_segment *ret_segment)
{
	struct cursor cursor = cursor_of(payload);
	struct journal_segment segment;

	segment.number = cursor_take_u32(&cursor);
	segment.generation = cursor_take_u32(&cursor);
	segment.flags = cursor_take_u32(&cursor);
	segment.is_apart = (segment.flags & JOURNAL_SEGMENT_APART) != 0;
	segment.flags &= ~(uint32_t)JOURNAL_SEGMENT_APART;
	segment.block = cursor_take_u32(&cursor);
	segment.offset = cursor_take_u64(&cursor);
	segment.sequence = cursor_take_u64(&cursor);
	segment.id_floor = cursor_take_u64(&cursor);
	segment.size = cursor_take_u64(&cursor);
	struct slice key = cursor_take(&cursor, SIPHASH_KEY_BYTES);
	if (cursor_end(&cursor) != OK)
		return ERROR_DAMAGED;
	memcpy(segment.key.bytes, key.ptr, SIPHASH_KEY_BYTES);
	if (segment.number >= LOGFILE_NUMBER_END ||
		(segment.block != 0 && !logfile_block_is_right(segment.block)) ||
		segment.size > INT64_MAX || segment.sequence > SEQUENCE_MAX ||
		segment.offset > INT64_MAX || segment.id_floor > SPOOL_ID_MAX ||
		(segment.flags & ~(uint32_t)JOURNAL_SEGMENT_FLAGS) != 0)
		return ERROR_DAMAGED;
	*ret_segment = segment;
	return OK;
}

enum error
journal_image_state(struct batch_image *image, struct env *env, const struct index_entry *entry)
{
	uint8_t fixed[STATE_FIXED_BYTES];
	struct spool_reference message = entry_message(entry), content = entry_content(entry);
	uint32_t words = entry_done_words(entry);
	struct slice text = entry_text(entry);
	struct buffer bytes, done;

	buffer_init_fixed(&bytes, fixed, sizeof fixed);
	append_place(&bytes, &message);
	append_place(&bytes, &content);
	buffer_append_u32(&bytes, entry->attempts);
	buffer_append_u32(&bytes, entry->flags & STATE_FLAGS);
	buffer_append_u64(&bytes, (uint64_t)entry->next_attempt_at);
	buffer_append_u32(&bytes, words);
	buffer_append_u32(&bytes, (uint32_t)text.len);
	buffer_init(&done, env->memory, DONE_WORDS_MAX * sizeof(uint64_t) + SPOOL_RESULT_TEXT_MAX);
	for (uint32_t i = 0; i < words; i++)
		buffer_append_u64(&done, entry_done_word(entry, i));
	buffer_append(&done, text);
	enum error error = buffer_error(&done);
	if (error == OK)
		error = batch_image_add(image, RECORD_STATE, entry->queue_id, buffer_slice(&bytes),
			buffer_slice(&done));
	buffer_done(&done);
	return error;
}

static enum error
take_done(struct index *index, struct cursor *cursor, uint32_t words, struct index_entry *entry)
{
	enum error error = OK;

	if (words > DONE_WORDS_MAX || cursor_left(cursor) < words * sizeof(uint64_t))
		return ERROR_DAMAGED;
	for (uint32_t i = 0; i < words && error == OK; i++) {
		uint64_t word = cursor_take_u64(cursor);
		for (uint32_t bit = 0; bit < 64 && error == OK; bit++) {
			if (word >> bit & 1)
				error = entry_set_done(index, entry, i * 64 + bit);
		}
	}
	return error;
}

enum error
journal_decode_state(struct index *index, struct slice payload, struct index_entry *entry)
{
	struct cursor cursor = cursor_of(payload);

	struct spool_reference message = take_place(&cursor, entry->queue_id);
	struct spool_reference content = take_place(&cursor, entry->queue_id);
	entry_set_message(entry, &message);
	entry_set_content(entry, &content);
	entry->attempts = cursor_take_u32(&cursor);
	entry->flags = cursor_take_u32(&cursor);
	entry->next_attempt_at = (wall_us)cursor_take_u64(&cursor);
	uint32_t words = cursor_take_u32(&cursor);
	uint32_t text_len = cursor_take_u32(&cursor);
	if (cursor.error != OK || (entry->flags & ~(uint32_t)STATE_FLAGS) != 0 ||
		text_len > SPOOL_RESULT_TEXT_MAX)
		return ERROR_DAMAGED;
	enum error error = take_done(index, &cursor, words, entry);
	if (error != OK)
		return error;
	entry_set_text(index, entry, cursor_take(&cursor, text_len));
	return cursor_end(&cursor);
}

#define END_PAYLOAD_BYTES 24

enum error
journal_image_end(struct batch_image *image, const struct journal_end *end)
{
	uint8_t storage[END_PAYLOAD_BYTES];
	struct buffer bytes;

	buffer_init_fixed(&bytes, storage, sizeof storage);
	buffer_append_u64(&bytes, end->messages);
	buffer_append_u64(&bytes, end->next_sequence);
	buffer_append_u32(&bytes, end->next_segment);
	buffer_append_u32(&bytes, 0);
	return batch_image_add(image, RECORD_STATE_END, 0, buffer_slice(&bytes), (struct slice){0});
}

enum error
journal_decode_end(struct slice payload, struct journal_end *ret_end)
{
	struct cursor cursor = cursor_of(payload);
	struct journal_end end;

	end.messages = cursor_take_u64(&cursor);
	end.next_sequence = cursor_take_u64(&cursor);
	end.next_segment = cursor_take_u32(&cursor);
	cursor_take_u32(&cursor);
	if (cursor_end(&cursor) != OK || end.next_sequence == 0 ||
		end.next_sequence > SEQUENCE_MAX || end.next_segment > LOGFILE_NUMBER_END)
		return ERROR_DAMAGED;
	*ret_end = end;
	return OK;
}
