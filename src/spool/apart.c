/*
 * A content that is too large for a batch has a file of its own: a segment that holds one record
 * and no batch. It is written while the content comes in, by whoever has its descriptor; only once
 * it and its name are durable a message may name it (I9). From then on its file has the life of any
 * other segment: the journal calls it open before the message is written, and free when the message
 * is done.
 *
 * What becomes of no message is unknown to the journal, and goes at the next start at the latest.
 */
#include "spool/spool_private.h"

#define APART_PIECE_BYTES 65536
#define APART_FLUSH_BYTES (8u << 20) /* written back as they come: the last flush waits for few */

uint64_t
apart_payload(uint32_t block)
{
	return (uint64_t)block + RECORD_HEAD_BYTES;
}

enum error
spool_apart_begin(struct spool *spool, struct spool_apart *ret_apart)
{
	if (spool->next_segment >= LOGFILE_NUMBER_END)
		return ERROR_NO_SPACE;
	*ret_apart = (struct spool_apart){
		.fd = NO_FD, .number = spool->next_segment++, .names_lost = &spool->names_lost};
	return OK;
}

enum error
spool_apart_create(struct env *env, int dir_fd, struct spool_apart *apart)
{
	apart->block = logfile_block(env, dir_fd);
	apart->names_lost_before = atomic_load(apart->names_lost);
	return logfile_create(env, dir_fd, LOGFILE_SEGMENT, apart->number, &apart->fd);
}

enum error
spool_apart_write(
	struct env *env, struct spool_apart *apart, struct iovec *pieces, int count, uint64_t at)
{
	uint64_t end = at;

	for (int i = 0; i < count; i++)
		end += pieces[i].iov_len;
	enum error error = logfile_write(
		env, apart->fd, pieces, (size_t)count, apart_payload(apart->block) + at);
	if (error != OK)
		return error;
	if (end > apart->size)
		apart->size = end;
	if (apart->size < apart->flushed + APART_FLUSH_BYTES)
		return OK;
	apart->flushed = apart->size;
	return error_from_errno(-env->disk->fdatasync(env->world, apart->fd));
}

static enum error
sum_content(struct env *env, int dir_fd, const struct spool_apart *apart, uint32_t *ret_crc)
{
	uint32_t crc = 0;
	int fd;

	enum error error = logfile_open(env, dir_fd, LOGFILE_SEGMENT, apart->number, &fd);
	if (error != OK)
		return error;
	uint8_t *piece = memory_try(env->memory, APART_PIECE_BYTES);
	error = piece ? OK : ERROR_NO_MEMORY;

	for (uint64_t at = 0; at < apart->size && error == OK;) {
		uint64_t left = apart->size - at;
		size_t len = left < APART_PIECE_BYTES ? (size_t)left : APART_PIECE_BYTES;
		error = logfile_read(env, fd, piece, len, apart_payload(apart->block) + at);
		crc = crc32c(crc, slice_of(piece, len));
		at += len;
	}
	memory_put(env->memory, piece);
	env->disk->close(env->world, fd);
	*ret_crc = crc;
	return error;
}

static enum error
write_heads(struct env *env, struct spool_apart *apart)
{
	struct record record = {RECORD_CONTENT, apart->prefix.content_flags,
		apart->prefix.content.queue_id, apart->size, apart->prefix.content_crc};
	uint8_t head[RECORD_HEAD_BYTES];
	struct iovec piece = {head, sizeof head};

	record_head_encode(&record, &apart->header.key, apart->block, head);
	enum error error = logfile_write(env, apart->fd, &piece, 1, apart->block);
	if (error == OK)
		error = logfile_write_header(env, apart->fd, &apart->header);
	return error;
}

/* W5 for names: a flush of the folder that failed, ours or another's, may have lost the name of any
 * file that was made before, and the next one does not say so. */
static enum error
flush_name(struct env *env, int dir_fd, const struct spool_apart *apart)
{
	enum error error = error_from_errno(-env->disk->fsync(env->world, dir_fd));

	if (error != OK)
		atomic_fetch_add(apart->names_lost, 1);
	else if (atomic_load(apart->names_lost) != apart->names_lost_before)
		error = ERROR_IO;
	return error;
}

/* W5: what failed is not tried again; the caller drops it. */
enum error
spool_apart_finish(struct env *env, int dir_fd, struct spool_apart *apart, uint64_t queue_id,
	uint32_t content_flags)
{
	uint64_t payload = apart_payload(apart->block);

	apart->header = (struct logfile_header){.kind = LOGFILE_SEGMENT,
		.is_apart = true,
		.number = apart->number,
		.generation = SPOOL_GENERATION,
		.block = apart->block,
		.size = logfile_round_up(payload + apart->size, apart->block),
		.id_floor = queue_id};
	env_random(env, apart->header.key.bytes, SIPHASH_KEY_BYTES);
	apart->prefix = (struct message_prefix){
		.content = {apart->number, SPOOL_GENERATION, payload, apart->size, queue_id},
		.content_flags = content_flags};
	enum error error = sum_content(env, dir_fd, apart, &apart->prefix.content_crc);
	if (error == OK)
		error = write_heads(env, apart);
	if (error == OK)
		error = error_from_errno(-env->disk->fdatasync(env->world, apart->fd));
	return error == OK ? flush_name(env, dir_fd, apart) : error;
}

void
spool_apart_close(struct env *env, struct spool_apart *apart)
{
	if (apart->fd != NO_FD)
		env->disk->close(env->world, apart->fd);
	apart->fd = NO_FD;
}

void
spool_apart_drop(struct env *env, int dir_fd, struct spool_apart *apart)
{
	if (apart->fd == NO_FD)
		return;
	spool_apart_close(env, apart);
	/* If it stays, the next start finds that the journal does not know it. */
	enum error ignored = logfile_remove(env, dir_fd, LOGFILE_SEGMENT, apart->number);
	(void)ignored;
}

enum error
apart_adopt(struct spool *spool, const struct spool_apart *apart)
{
	struct segment *segment;
	enum error error = segment_add(spool, apart->number, &segment);

	if (error != OK)
		return error;
	segment->flags = SEGMENT_SEALED;
	segment->is_apart = true;
	segment->is_unsaid = true;
	segment->header = apart->header;
	return OK;
}

/* I9: durable before a message that names one of them is written. */
enum error
apart_say_open(struct spool *spool)
{
	bool any = false;
	enum error error = OK;

	for (size_t i = 0; i < spool->segment_count && error == OK; i++) {
		struct segment *segment = &spool->segments[i];
		if (!segment->is_unsaid)
			continue;
		any = true;
		segment->is_unsaid = false;
		error = journal_add_segment(spool, RECORD_SEGMENT_OPEN, segment);
	}
	if (error == OK && any)
		error = journal_flush(spool);
	/* What else is journaled of them must not stand behind a record that is not there. */
	if (error != OK)
		spool->journal.broken = true;
	return error;
}
