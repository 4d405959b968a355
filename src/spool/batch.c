/*
 * Making batches. Relies on logfile_write; promises that a batch starts on a block, is padded to
 * one with zeros and never shares a block with another (W1), and that each piece of the caller's
 * memory is read once here, for the sum, and once by the write.
 *
 * A check covers its head and the head's offset in the file: while it is computed, the offset
 * stands where the check will.
 */
#include "spool/batch.h"

#include "base/cursor.h"

#define HEAD_CHECK_BYTES  8
#define FIRST_PIECES      256
#define PIECES_PER_RECORD 3 /* head with prefix, padding, and the next batch's own */
#define IMAGE_RECORDS_MAX 65536

struct batch_small {
	uint8_t bytes[RECORD_HEAD_BYTES + RECORD_PREFIX_MAX];
};

static const uint8_t padding[LOGFILE_BLOCK_MAX];

static void
head_seal(struct buffer *head, const struct siphash_key *key, uint64_t offset)
{
	struct buffer open = *head;

	buffer_append_u64(&open, offset);
	buffer_append_u64(head, siphash(key, buffer_slice(&open)));
}

/* Compares without a copy of the head: the check's place is the last of it. */
static bool
head_is_sound(struct slice head, const struct siphash_key *key, uint64_t offset)
{
	uint8_t copy[RECORD_HEAD_BYTES > BATCH_HEAD_BYTES ? RECORD_HEAD_BYTES : BATCH_HEAD_BYTES];
	struct buffer open;
	struct slice fields = slice_sub(head, 0, head.len - HEAD_CHECK_BYTES);
	struct cursor check = cursor_of(slice_from(head, fields.len));

	buffer_init_fixed(&open, copy, sizeof copy);
	buffer_append(&open, fields);
	buffer_append_u64(&open, offset);
	return siphash(key, buffer_slice(&open)) == cursor_take_u64(&check);
}

void
record_head_encode(const struct record *record, const struct siphash_key *key, uint64_t offset,
	uint8_t *ret_head)
{
	struct buffer head;

	buffer_init_fixed(&head, ret_head, RECORD_HEAD_BYTES);
	buffer_append(&head, SLICE("VREC"));
	buffer_append_u32(&head, record->type);
	buffer_append_u64(&head, record->queue_id);
	buffer_append_u64(&head, record->size);
	buffer_append_u32(&head, record->crc);
	buffer_append_u32(&head, record->flags);
	head_seal(&head, key, offset);
}

enum error
record_head_decode(struct slice head, const struct siphash_key *key, uint64_t offset,
	struct record *ret_record)
{
	struct cursor cursor = cursor_of(head);
	struct record record;

	/* The magic spares the keyed sum: recovery looks for heads in bytes that are anything. */
	if (head.len != RECORD_HEAD_BYTES || !slice_equal(cursor_take(&cursor, 4), SLICE("VREC")) ||
		!head_is_sound(head, key, offset))
		return ERROR_DAMAGED;
	record.type = cursor_take_u32(&cursor);
	record.queue_id = cursor_take_u64(&cursor);
	record.size = cursor_take_u64(&cursor);
	record.crc = cursor_take_u32(&cursor);
	record.flags = cursor_take_u32(&cursor);
	if (record.size > INT64_MAX || record.queue_id > SPOOL_ID_MAX)
		return ERROR_DAMAGED;
	*ret_record = record;
	return OK;
}

void
batch_head_encode(const struct batch_head *batch, const struct siphash_key *key, uint64_t offset,
	uint8_t *ret_head)
{
	struct buffer head;

	buffer_init_fixed(&head, ret_head, BATCH_HEAD_BYTES);
	buffer_append(&head, SLICE("VBAT"));
	buffer_append_u32(&head, batch->count);
	buffer_append_u64(&head, batch->sequence);
	buffer_append_u64(&head, batch->bytes);
	head_seal(&head, key, offset);
}

enum error
batch_head_decode(struct slice head, const struct siphash_key *key, uint64_t offset,
	struct batch_head *ret_head)
{
	struct cursor cursor = cursor_of(head);
	struct batch_head batch;

	if (head.len != BATCH_HEAD_BYTES || !slice_equal(cursor_take(&cursor, 4), SLICE("VBAT")) ||
		!head_is_sound(head, key, offset))
		return ERROR_DAMAGED;
	batch.count = cursor_take_u32(&cursor);
	batch.sequence = cursor_take_u64(&cursor);
	batch.bytes = cursor_take_u64(&cursor);
	if (batch.count == 0 || batch.bytes < BATCH_HEAD_BYTES || batch.bytes > INT64_MAX ||
		batch.sequence == 0 || batch.sequence > INT64_MAX)
		return ERROR_DAMAGED;
	*ret_head = batch;
	return OK;
}

enum error
batch_init(struct batch *batch, struct env *env)
{
	*batch = (struct batch){.env = env};
	batch->small =
		memory_try(env->memory, (BATCH_RECORDS_MAX + 1) * sizeof(struct batch_small));
	batch->pieces = memory_try(env->memory, FIRST_PIECES * sizeof *batch->pieces);
	if (!batch->small || !batch->pieces)
		return ERROR_NO_MEMORY;
	batch->piece_capacity = FIRST_PIECES;
	return OK;
}

void
batch_done(struct batch *batch)
{
	if (!batch->env)
		return;
	memory_put(batch->env->memory, batch->small);
	memory_put(batch->env->memory, batch->pieces);
	*batch = (struct batch){0};
}

void
batch_begin(struct batch *batch, const struct siphash_key *key, uint32_t block, uint64_t start)
{
	batch->key = *key;
	batch->block = block;
	batch->start = start;
	batch->bytes = BATCH_HEAD_BYTES;
	batch->count = 0;
	batch->pieces[0] = (struct iovec){batch->small[0].bytes, BATCH_HEAD_BYTES};
	batch->piece_count = 1;
}

static enum error
pieces_reserve(struct batch *batch, size_t more)
{
	size_t capacity = batch->piece_capacity;

	while (capacity < batch->piece_count + more)
		capacity *= 2;
	if (capacity == batch->piece_capacity)
		return OK;
	struct iovec *grown =
		memory_resize(batch->env->memory, batch->pieces, capacity * sizeof *grown);
	if (!grown)
		return ERROR_NO_MEMORY;
	batch->pieces = grown;
	batch->piece_capacity = capacity;
	return OK;
}

static void
record_measure(struct record *record, const struct batch_payload *payload)
{
	record->size = payload->prefix.len;
	record->crc = crc32c(0, payload->prefix);
	for (int i = 0; i < payload->count; i++) {
		struct iovec piece = payload->pieces[i];
		record->size += piece.iov_len;
		record->crc = crc32c(record->crc, slice_of(piece.iov_base, piece.iov_len));
	}
}

static void
piece_add(struct batch *batch, const void *bytes, size_t len)
{
	if (len > 0)
		batch->pieces[batch->piece_count++] = (struct iovec){(void *)(uintptr_t)bytes, len};
}

enum error
batch_add(struct batch *batch, const struct record *like, const struct batch_payload *payload,
	uint64_t *ret_offset, struct record *ret_record)
{
	struct record record = *like;

	if (batch->count >= BATCH_RECORDS_MAX || payload->prefix.len > RECORD_PREFIX_MAX)
		return ERROR_LIMIT;
	if (pieces_reserve(batch, (size_t)payload->count + PIECES_PER_RECORD) != OK)
		return ERROR_NO_MEMORY;
	record_measure(&record, payload);
	uint8_t *head = batch->small[batch->count + 1].bytes;
	record_head_encode(&record, &batch->key, batch->start + batch->bytes, head);
	if (payload->prefix.len > 0) /* UNSAFE: there is room for head and prefix. */
		memcpy(head + RECORD_HEAD_BYTES, payload->prefix.ptr, payload->prefix.len);
	piece_add(batch, head, RECORD_HEAD_BYTES + payload->prefix.len);
	for (int i = 0; i < payload->count; i++)
		piece_add(batch, payload->pieces[i].iov_base, payload->pieces[i].iov_len);
	piece_add(batch, padding, record_bytes(record.size) - RECORD_HEAD_BYTES - record.size);
	*ret_offset = batch->start + batch->bytes + RECORD_HEAD_BYTES;
	*ret_record = record;
	batch->bytes += record_bytes(record.size);
	batch->count++;
	return OK;
}

struct batch_mark
batch_mark(const struct batch *batch)
{
	return (struct batch_mark){batch->bytes, batch->count, batch->piece_count};
}

void
batch_rewind(struct batch *batch, struct batch_mark mark)
{
	batch->bytes = mark.bytes;
	batch->count = mark.count;
	batch->piece_count = mark.piece_count;
}

uint64_t
batch_disk_bytes(const struct batch *batch)
{
	return logfile_round_up(batch->bytes, batch->block);
}

enum error
batch_write(struct batch *batch, int fd, uint64_t sequence)
{
	struct batch_head head = {batch->count, sequence, batch->bytes};

	batch_head_encode(&head, &batch->key, batch->start, batch->small[0].bytes);
	piece_add(batch, padding, batch_disk_bytes(batch) - batch->bytes);
	return logfile_write(batch->env, fd, batch->pieces, batch->piece_count, batch->start);
}

void
batch_image_init(struct batch_image *image, struct env *env, size_t max)
{
	*image = (struct batch_image){0};
	buffer_init(&image->bytes, env->memory, max);
}

void
batch_image_done(struct batch_image *image)
{
	buffer_done(&image->bytes);
}

void
batch_image_clear(struct batch_image *image)
{
	buffer_clear(&image->bytes);
	image->count = 0;
}

enum error
batch_image_add(struct batch_image *image, uint32_t type, uint64_t queue_id, struct slice payload,
	struct slice more)
{
	struct buffer *bytes = &image->bytes;
	struct record record = {.type = type, .queue_id = queue_id};
	uint8_t head[RECORD_HEAD_BYTES];
	size_t before = bytes->len;

	if (image->count >= IMAGE_RECORDS_MAX)
		return ERROR_LIMIT;
	if (image->count == 0)
		buffer_reserve(bytes, BATCH_HEAD_BYTES);
	record.size = payload.len + more.len;
	record.crc = crc32c(crc32c(0, payload), more);
	/* The check is made again when the place in the file is known. */
	record_head_encode(&record, &(struct siphash_key){0}, 0, head);
	buffer_append(bytes, slice_of(head, sizeof head));
	buffer_append(bytes, payload);
	buffer_append(bytes, more);
	buffer_append(bytes,
		slice_of(padding, record_bytes(record.size) - RECORD_HEAD_BYTES - record.size));
	enum error error = buffer_error(bytes);
	if (error != OK) {
		bytes->len = before;
		bytes->error = OK;
		return error;
	}
	image->count++;
	return OK;
}

uint64_t
batch_image_disk_bytes(const struct batch_image *image, uint32_t block)
{
	return logfile_round_up(image->bytes.len, block);
}

/* Gives each head the check of its place. */
static enum error
image_seal(struct batch_image *image, const struct siphash_key *key, uint64_t offset)
{
	struct slice bytes = buffer_slice(&image->bytes);

	for (uint64_t at = BATCH_HEAD_BYTES; at < bytes.len;) {
		struct record record = {0};
		struct cursor head = cursor_of(slice_sub(bytes, at, RECORD_HEAD_BYTES));
		cursor_take(&head, 4);
		record.type = cursor_take_u32(&head);
		record.queue_id = cursor_take_u64(&head);
		record.size = cursor_take_u64(&head);
		record.crc = cursor_take_u32(&head);
		record.flags = cursor_take_u32(&head);
		if (head.error != OK || record_bytes(record.size) > bytes.len - at)
			return ERROR_FORMAT;
		/* UNSAFE: the whole record lies in the image. */
		record_head_encode(&record, key, offset + at, image->bytes.ptr + at);
		at += record_bytes(record.size);
	}
	return OK;
}

enum error
batch_image_write(struct batch_image *image, struct env *env, int fd,
	const struct logfile_header *header, uint64_t offset, uint64_t sequence)
{
	struct batch_head head = {image->count, sequence, image->bytes.len};
	uint64_t disk_bytes = batch_image_disk_bytes(image, header->block);

	enum error error = image_seal(image, &header->key, offset);
	if (error != OK)
		return error;
	batch_head_encode(&head, &header->key, offset, image->bytes.ptr);
	struct iovec pieces[] = {
		{image->bytes.ptr, image->bytes.len},
		{(void *)(uintptr_t)padding, (size_t)(disk_bytes - image->bytes.len)},
	};
	return logfile_write(env, fd, pieces, 2, offset);
}
