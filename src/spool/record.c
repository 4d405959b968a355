/*
 * Reading one record through a descriptor of its segment, for whoever has a reference: any thread,
 * any process. Nothing of it is believed before its keyed head, its place and its sum were checked
 * (I3).
 */
#include "spool/spool_private.h"

#define RECORD_SMALL_BYTES 1024 /* with its head; on the stack */

enum error
spool_open_segment(struct env *env, int dir_fd, uint32_t segment, int *ret_fd)
{
	return logfile_open(env, dir_fd, LOGFILE_SEGMENT, segment, ret_fd);
}

/* Of the file, which must be the one that is meant. */
static enum error
read_header(struct env *env, int fd, const struct spool_reference *reference,
	struct logfile_header *ret_header)
{
	struct logfile_header header;

	enum error error = logfile_read_header(env, fd, LOGFILE_SEGMENT, &header);
	if (error != OK)
		return error == ERROR_NOT_FOUND ? ERROR_DAMAGED : error;
	if (header.number != reference->segment || header.generation != reference->generation ||
		reference->offset < header.block)
		return ERROR_DAMAGED;
	*ret_header = header;
	return OK;
}

static enum error
check_head(struct slice head, const struct logfile_header *header,
	const struct spool_reference *reference, struct record *ret_record)
{
	struct record record;

	enum error error = record_head_decode(
		head, &header->key, reference->offset - RECORD_HEAD_BYTES, &record);
	if (error != OK)
		return error;
	if (record.queue_id != reference->queue_id || record.size != reference->size ||
		(record.type != RECORD_CONTENT && !record_is_message(&record)) ||
		(record_is_message(&record) && record.size < MESSAGE_PREFIX_BYTES))
		return ERROR_DAMAGED;
	*ret_record = record;
	return OK;
}

enum error
record_read_head(
	struct env *env, int fd, const struct spool_reference *reference, struct record *ret_record)
{
	struct logfile_header header;
	uint8_t head[RECORD_HEAD_BYTES];

	enum error error = read_header(env, fd, reference, &header);
	if (error == OK)
		error = logfile_read(
			env, fd, head, sizeof head, reference->offset - RECORD_HEAD_BYTES);
	return error == OK ? check_head(slice_of(head, sizeof head), &header, reference, ret_record)
			   : error;
}

/* How much of a record stands before the caller's part; not checked but for its end. */
static enum error
own_bytes(struct env *env, int fd, const struct record *record, uint64_t offset, uint64_t *ret_own)
{
	uint8_t head[SETTLES_HEAD_BYTES];
	struct cursor cursor = cursor_of(slice_of(head, sizeof head));

	*ret_own = record->type == RECORD_CONTENT ? 0 : MESSAGE_PREFIX_BYTES;
	if (record->type != RECORD_SETTLING)
		return OK;
	*ret_own += SETTLES_HEAD_BYTES;
	if (record->size < *ret_own)
		return ERROR_DAMAGED;
	enum error error = logfile_read(env, fd, head, sizeof head, offset + MESSAGE_PREFIX_BYTES);
	*ret_own += cursor_take_u32(&cursor);
	return error == OK && *ret_own > record->size ? ERROR_DAMAGED : error;
}

static enum error
sum_bytes(struct env *env, int fd, uint64_t offset, uint64_t count, uint32_t *sum)
{
	uint8_t piece[512];
	enum error error = OK;

	for (uint64_t at = 0; at < count && error == OK;) {
		size_t len = count - at < sizeof piece ? (size_t)(count - at) : sizeof piece;
		error = logfile_read(env, fd, piece, len, offset + at);
		*sum = crc32c(*sum, slice_of(piece, len));
		at += len;
	}
	return error;
}

/* Head and payload at once: a list of a million messages is a million of these. */
static enum error
read_small(struct env *env, int fd, const struct spool_reference *reference,
	struct buffer *ret_payload)
{
	uint8_t bytes[RECORD_SMALL_BYTES];
	size_t len = RECORD_HEAD_BYTES + (size_t)reference->size;
	struct slice payload = slice_from(slice_of(bytes, len), RECORD_HEAD_BYTES);
	struct logfile_header header;
	struct record record;
	uint64_t own;

	enum error error = read_header(env, fd, reference, &header);
	if (error == OK)
		error = logfile_read(env, fd, bytes, len, reference->offset - RECORD_HEAD_BYTES);
	if (error == OK)
		error = check_head(slice_of(bytes, RECORD_HEAD_BYTES), &header, reference, &record);
	if (error == OK)
		error = own_bytes(env, fd, &record, reference->offset, &own);
	if (error != OK)
		return error;
	if (crc32c(0, payload) != record.crc)
		return ERROR_DAMAGED;
	buffer_append(ret_payload, slice_from(payload, (size_t)own));
	return buffer_error(ret_payload);
}

enum error
spool_read_record(struct env *env, int segment_fd, const struct spool_reference *reference,
	struct buffer *ret_payload)
{
	size_t before = ret_payload->len;
	struct record record;
	uint32_t crc = 0;
	uint64_t own;

	if (reference->size <= RECORD_SMALL_BYTES - RECORD_HEAD_BYTES)
		return read_small(env, segment_fd, reference, ret_payload);
	enum error error = record_read_head(env, segment_fd, reference, &record);
	if (error == OK)
		error = own_bytes(env, segment_fd, &record, reference->offset, &own);
	if (error == OK)
		error = sum_bytes(env, segment_fd, reference->offset, own, &crc);
	if (error != OK)
		return error;
	size_t rest = (size_t)(record.size - own);
	uint8_t *bytes = rest > 0 ? buffer_reserve(ret_payload, rest) : NULL;
	if (rest > 0 && !bytes)
		return buffer_error(ret_payload);
	error = logfile_read(env, segment_fd, bytes, rest, reference->offset + own);
	if (error == OK && crc32c(crc, slice_of(bytes, rest)) != record.crc)
		error = ERROR_DAMAGED;
	if (error != OK)
		ret_payload->len = before;
	return error;
}

enum error
spool_record_sum(
	struct env *env, int segment_fd, const struct spool_reference *reference, uint32_t *ret_sum)
{
	struct record record;
	enum error error = record_read_head(env, segment_fd, reference, &record);

	if (error == OK)
		*ret_sum = record.crc;
	return error;
}
