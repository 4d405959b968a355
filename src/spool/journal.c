/*
 * The journal: results and the opening and freeing of segments, in batches of their own; and the
 * new journal that starts with everything that is known (STATE ... STATE_END) when the present one
 * is full or can't be trusted any more.
 *
 * A journal counts for recovery only once STATE_END is in it, and the one before is removed only
 * after the new one and its name are flushed: whenever the power goes, one whole journal is there.
 */
#include "spool/spool_private.h"

#define STATE_BATCH_BYTES 1048576u /* a batch of the state is written once it is this large */
#define STATE_ROOM_BYTES  (STATE_BATCH_BYTES + 262144u)
#define ROOM_BYTES_MIN    65536u
#define STATE_GROWTH      3 /* a journal is this many times as large as the state it starts with */

/* A journal in the making. */
struct fresh {
	struct spool *spool;
	struct spare file;
	struct logfile_header header;
	struct batch_image image;
	uint64_t end;
	uint64_t sequence;
};

static enum error
fresh_write(struct fresh *fresh)
{
	struct spool *spool = fresh->spool;

	if (fresh->image.count == 0)
		return OK;
	enum error error = batch_image_write(&fresh->image, spool->env, fresh->file.fd,
		&fresh->header, fresh->end, fresh->sequence);
	if (error != OK)
		return error;
	fresh->end += batch_image_disk_bytes(&fresh->image, fresh->header.block);
	fresh->sequence++;
	batch_image_clear(&fresh->image);
	return OK;
}

static enum error
fresh_write_full(struct fresh *fresh)
{
	return fresh->image.bytes.len < STATE_BATCH_BYTES ? OK : fresh_write(fresh);
}

static enum error
fresh_add_segments(struct fresh *fresh)
{
	struct spool *spool = fresh->spool;
	enum error error = OK;

	for (size_t i = 0; i < spool->segment_count && error == OK; i++) {
		struct segment *segment = &spool->segments[i];
		if (segment->flags & SEGMENT_FREEING || segment->is_unsaid)
			continue;
		struct segment now = *segment;
		if (!(segment->flags & SEGMENT_UNREAD)) {
			bool active = !(segment->flags & SEGMENT_SEALED);
			now.walk_offset = active ? spool->active.end : 0;
			now.first_sequence = active ? spool->next_sequence : 0;
		}
		error = journal_image_segment(&fresh->image, spool, RECORD_SEGMENT_OPEN, &now);
		if (error == OK && segment->end_sequence > 0)
			error = journal_image_segment(
				&fresh->image, spool, RECORD_SEGMENT_SEALED, segment);
		if (error == OK)
			error = fresh_write_full(fresh);
	}
	return error;
}

static enum error
fresh_add_messages(struct fresh *fresh)
{
	struct index *index = &fresh->spool->index;
	struct journal_end end = {0, fresh->spool->next_sequence, fresh->spool->next_segment};

	for (uint32_t i = 0; i < index_limit(index); i++) {
		struct index_entry *entry = index_at(index, i);
		if (!entry || (entry->flags & ENTRY_PENDING))
			continue;
		enum error error = journal_image_state(&fresh->image, fresh->spool->env, entry);
		if (error == OK)
			error = fresh_write_full(fresh);
		if (error != OK)
			return error;
		end.messages++;
	}
	return journal_image_end(&fresh->image, &end);
}

/* Zeros behind the state up to the size that the header will name. */
static enum error
fresh_fill(struct fresh *fresh)
{
	struct spare *file = &fresh->file;
	uint64_t size = fresh->end * STATE_GROWTH;

	if (file->size < size)
		file->size = logfile_round_up(size, LOGFILE_SLICE_BYTES);
	if (file->filled < fresh->end)
		file->filled = fresh->end;
	while (file->filled < file->size) {
		enum error error =
			logfile_fill(fresh->spool->env, file->fd, &file->filled, file->size);
		/* A journal that is full soon is better than none: the disk may be full of what it
		 * will free. */
		if (error == ERROR_NO_SPACE && file->filled >= fresh->end + ROOM_BYTES_MIN)
			break;
		if (error != OK)
			return error;
	}
	file->size = file->filled;
	fresh->header.size = file->size;
	return OK;
}

static enum error
fresh_write_all(struct fresh *fresh)
{
	struct spool *spool = fresh->spool;

	enum error error = fresh_add_segments(fresh);
	if (error == OK)
		error = fresh_add_messages(fresh);
	if (error == OK)
		error = fresh_write(fresh);
	if (error == OK)
		error = fresh_fill(fresh);
	if (error == OK)
		error = logfile_write_header(spool->env, fresh->file.fd, &fresh->header);
	if (error == OK)
		error = spool_flush(spool, fresh->file.fd);
	if (error == OK)
		error = spool_flush_folder(spool);
	return error;
}

static enum error
spare_rename(struct spool *spool, const char *name, const char *new_name)
{
	struct env *env = spool->env;

	return error_from_errno(
		-env->disk->renameat(env->world, spool->dir_fd, name, spool->dir_fd, new_name));
}

enum error
journal_spare_keep(struct spool *spool)
{
	char name[LOGFILE_NAME_BYTES];

	logfile_name(LOGFILE_JOURNAL, spool->journal_spare.number, name);
	enum error error = spare_rename(spool, name, JOURNAL_READY);
	spool->journal_spare.ready = error == OK;
	return error;
}

/* A number above those of all others, before anything is in it. If that fails, it is given up. */
static enum error
spare_number(struct fresh *fresh)
{
	struct spool *spool = fresh->spool;
	char name[LOGFILE_NAME_BYTES];
	enum error error = ERROR_NO_SPACE;

	if (spool->next_journal < LOGFILE_NUMBER_END) {
		fresh->file.number = spool->next_journal++;
		logfile_name(LOGFILE_JOURNAL, fresh->file.number, name);
		error = spare_rename(spool, JOURNAL_READY, name);
	}
	if (error == OK)
		fresh->file.ready = false;
	else
		spare_drop(spool, LOGFILE_JOURNAL, &fresh->file);
	return error;
}

/* The pre-written file if there is one, else a new one. */
static enum error
fresh_open(struct fresh *fresh)
{
	struct spool *spool = fresh->spool;

	fresh->file = spool->journal_spare;
	spool->journal_spare = (struct spare){.fd = NO_FD};
	if (fresh->file.fd != NO_FD)
		return fresh->file.ready ? spare_number(fresh) : OK;
	if (spool->next_journal >= LOGFILE_NUMBER_END)
		return ERROR_NO_SPACE;
	return spare_begin(spool, LOGFILE_JOURNAL, spool->next_journal++, &fresh->file);
}

/* From here on the new journal is the journal. */
static void
fresh_adopt(struct fresh *fresh)
{
	struct spool *spool = fresh->spool;
	struct spare old = {.fd = NO_FD};

	if (spool->journal.exists)
		old = (struct spare){
			.fd = spool->journal.fd, .number = spool->journal.header.number};
	spare_drop(spool, LOGFILE_JOURNAL, &old);
	spool->journal = (struct journal){
		.fd = fresh->file.fd,
		.header = fresh->header,
		.end = fresh->end,
		.sequence = fresh->sequence,
		.exists = true,
	};
	/* What was pending is part of the state. */
	batch_image_clear(&spool->pending);
	spool->pending_results = 0;
}

enum error
journal_start(struct spool *spool)
{
	struct fresh fresh = {.spool = spool, .sequence = 1};

	enum error error = fresh_open(&fresh);
	if (error != OK)
		return error;
	fresh.header = (struct logfile_header){
		.kind = LOGFILE_JOURNAL,
		.number = fresh.file.number,
		.generation = SPOOL_GENERATION,
		.block = spool->block,
		.id_floor = spool->last_id,
	};
	env_random(spool->env, fresh.header.key.bytes, SIPHASH_KEY_BYTES);
	fresh.end = spool->block;
	batch_image_init(&fresh.image, spool->env, STATE_ROOM_BYTES);
	error = fresh_write_all(&fresh);
	batch_image_done(&fresh.image);
	if (error == OK)
		fresh_adopt(&fresh);
	else
		spare_drop(spool, LOGFILE_JOURNAL, &fresh.file);
	return error;
}

enum error
journal_flush(struct spool *spool)
{
	struct journal *journal = &spool->journal;
	uint64_t bytes = batch_image_disk_bytes(&spool->pending, spool->block);

	if (spool->pending.count == 0 && !journal->broken)
		return OK;
	if (journal->broken || bytes > journal->header.size - journal->end)
		return journal_start(spool);
	enum error error = batch_image_write(&spool->pending, spool->env, journal->fd,
		&journal->header, journal->end, journal->sequence);
	if (error == OK)
		error = spool_flush(spool, journal->fd);
	if (error != OK) {
		journal->broken = true;
		return error;
	}
	journal->end += bytes;
	journal->sequence++;
	batch_image_clear(&spool->pending);
	spool->pending_results = 0;
	return OK;
}

void
journal_close(struct spool *spool)
{
	if (spool->journal.exists)
		spool->env->disk->close(spool->env->world, spool->journal.fd);
	spool->journal = (struct journal){.fd = NO_FD};
}
