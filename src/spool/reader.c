/*
 * Reading through one window of a quarter MiB. A head that passes its keyed check stands where our
 * writer put it; looking for the next one block by block (batches) or by eight bytes (records)
 * can't be led astray by what a mail holds (W2).
 */
#include "spool/reader.h"

/* With this header, or with the file's own when there is none. */
static enum error
open_with(struct reader *reader, struct env *env, int dir_fd, enum logfile_kind kind,
	uint32_t number, const struct logfile_header *header)
{
	struct stat file;
	struct reader opened = {.env = env};

	enum error error = logfile_open(env, dir_fd, kind, number, &opened.fd);
	if (error != OK)
		return error;
	if (header)
		opened.header = *header;
	else
		error = logfile_read_header(env, opened.fd, kind, &opened.header);
	if (error == OK && opened.header.number != number)
		error = ERROR_DAMAGED;
	if (error != OK)
		goto fail;
	error = ERROR_IO;
	if (env->disk->fstat(env->world, opened.fd, &file) < 0)
		goto fail;
	opened.size = (uint64_t)file.st_size;
	error = ERROR_NO_MEMORY;
	opened.window = memory_try(env->memory, READER_BYTES_MAX);
	if (!opened.window)
		goto fail;
	*reader = opened;
	return OK;
fail:
	env->disk->close(env->world, opened.fd);
	return error;
}

enum error
reader_open(
	struct reader *reader, struct env *env, int dir_fd, enum logfile_kind kind, uint32_t number)
{
	return open_with(reader, env, dir_fd, kind, number, NULL);
}

enum error
reader_open_as(
	struct reader *reader, struct env *env, int dir_fd, const struct logfile_header *header)
{
	return open_with(reader, env, dir_fd, header->kind, header->number, header);
}

void
reader_close(struct reader *reader)
{
	if (!reader->env)
		return;
	memory_put(reader->env->memory, reader->window);
	reader->env->disk->close(reader->env->world, reader->fd);
	*reader = (struct reader){0};
}

static bool
window_holds(const struct reader *reader, uint64_t offset, size_t len)
{
	return offset >= reader->window_start && len <= reader->window_len &&
	       offset - reader->window_start <= reader->window_len - len;
}

static enum error
window_load(struct reader *reader, uint64_t offset, size_t len)
{
	reader->window_len = 0;
	enum error error = logfile_read(reader->env, reader->fd, reader->window, len, offset);
	if (error != OK)
		return error;
	reader->window_start = offset;
	reader->window_len = len;
	return OK;
}

/* A bad sector behind must not hide what was asked for. */
static bool
window_load_some(struct reader *reader, uint64_t offset, size_t all, size_t len)
{
	if (window_load(reader, offset, all) == OK)
		return true;
	enum error error = window_load(reader, offset, len);
	if (error != OK && error != ERROR_DAMAGED && reader->error == OK)
		reader->error = error;
	return error == OK;
}

struct slice
reader_bytes(struct reader *reader, uint64_t offset, size_t len)
{
	if (len > READER_BYTES_MAX || offset > reader->size || len > reader->size - offset)
		return (struct slice){0};
	if (!window_holds(reader, offset, len)) {
		uint64_t left = reader->size - offset;
		size_t all = left < READER_BYTES_MAX ? (size_t)left : READER_BYTES_MAX;
		if (!window_load_some(reader, offset, all, len))
			return (struct slice){0};
	}
	return slice_sub(slice_of(reader->window, reader->window_len),
		(size_t)(offset - reader->window_start), len);
}

bool
reader_next_batch(struct reader *reader, uint64_t from, uint64_t after_sequence,
	struct found_batch *ret_batch)
{
	struct found_batch batch;

	if (from > reader->size)
		return false;
	for (batch.offset = logfile_round_up(from, reader->header.block);
		batch.offset < reader->size; batch.offset += reader->header.block) {
		struct slice head = reader_bytes(reader, batch.offset, BATCH_HEAD_BYTES);
		if (batch_head_decode(head, &reader->header.key, batch.offset, &batch.head) != OK)
			continue;
		if (batch.head.sequence <= after_sequence ||
			batch.head.bytes > reader->size - batch.offset)
			continue;
		batch.end = batch.offset + batch.head.bytes;
		*ret_batch = batch;
		return true;
	}
	return false;
}

uint64_t
reader_after(const struct reader *reader, const struct found_batch *batch)
{
	return logfile_round_up(batch->end, reader->header.block);
}

/* A record that ends at or before `end`. */
static bool
record_before(struct reader *reader, uint64_t head, uint64_t end, struct found_record *ret_record)
{
	struct found_record found = {.head = head, .payload = head + RECORD_HEAD_BYTES};
	struct slice bytes = reader_bytes(reader, head, RECORD_HEAD_BYTES);

	if (record_head_decode(bytes, &reader->header.key, head, &found.record) != OK ||
		found.payload > end || found.record.size > end - found.payload)
		return false;
	*ret_record = found;
	return true;
}

bool
reader_next_record(struct reader *reader, const struct found_batch *batch, uint64_t *at,
	struct found_record *ret_record)
{
	for (; *at < batch->end; *at += RECORD_ALIGN) {
		if (!record_before(reader, *at, batch->end, ret_record))
			continue;
		*at += record_bytes(ret_record->record.size);
		return true;
	}
	return false;
}

bool
reader_record_at(struct reader *reader, uint64_t payload, struct found_record *ret_record)
{
	return payload >= RECORD_HEAD_BYTES && payload <= reader->size &&
	       record_before(reader, payload - RECORD_HEAD_BYTES, reader->size, ret_record);
}

bool
reader_payload_is_sound(struct reader *reader, const struct found_record *found)
{
	uint64_t left = found->record.size, at = found->payload;
	uint32_t crc = 0;

	while (left > 0) {
		size_t len = left < READER_BYTES_MAX ? (size_t)left : READER_BYTES_MAX;
		struct slice bytes = reader_bytes(reader, at, len);
		if (bytes.len == 0)
			return false;
		crc = crc32c(crc, bytes);
		at += len;
		left -= len;
	}
	return crc == found->record.crc;
}
