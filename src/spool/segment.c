/*
 * The life of a segment: pre-written, planned, started, sealed, freed, gone. docs/spool.md has the
 * table of states; each function here makes one of its transitions.
 *
 * A segment that was open before a restart, or whose write or flush failed, is never added to again
 * (W5): a new one is cheap, and nothing needs to be known about the old one's last block.
 */
#include "spool/spool_private.h"

#define SPACE_RETRY_US (1 * US_PER_S) /* between looks at a full disk */

#define FIRST_SEGMENTS 16

/* Place of the first segment whose number is at least this. */
static size_t
segment_place(const struct spool *spool, uint32_t number)
{
	size_t low = 0, high = spool->segment_count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (spool->segments[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct segment *
segment_find(const struct spool *spool, uint32_t number)
{
	size_t place = segment_place(spool, number);

	if (place == spool->segment_count || spool->segments[place].number != number)
		return NULL;
	return &spool->segments[place];
}

static enum error
segments_reserve(struct spool *spool)
{
	if (spool->segment_count < spool->segment_capacity)
		return OK;
	size_t capacity = spool->segment_capacity ? spool->segment_capacity * 2 : FIRST_SEGMENTS;
	struct segment *segments =
		memory_resize(spool->env->memory, spool->segments, capacity * sizeof *segments);
	if (!segments)
		return ERROR_NO_MEMORY;
	spool->segments = segments;
	spool->segment_capacity = capacity;
	return OK;
}

enum error
segment_add(struct spool *spool, uint32_t number, struct segment **ret_segment)
{
	size_t place = segment_place(spool, number);

	if (place < spool->segment_count && spool->segments[place].number == number)
		return ERROR_EXISTS;
	if (segments_reserve(spool) != OK)
		return ERROR_NO_MEMORY;
	struct segment *segment = &spool->segments[place];
	memmove(segment + 1, segment, (spool->segment_count - place) * sizeof *segment);
	*segment = (struct segment){.number = number, .generation = SPOOL_GENERATION};
	spool->segment_count++;
	*ret_segment = segment;
	return OK;
}

void
segment_forget(struct spool *spool, uint32_t number)
{
	struct segment *segment = segment_find(spool, number);

	if (!segment)
		return;
	size_t behind = (size_t)(&spool->segments[--spool->segment_count] - segment);
	memmove(segment, segment + 1, behind * sizeof *segment);
}

static bool
active_has_room(const struct spool *spool, uint64_t batch_bytes)
{
	const struct logfile_header *header = &spool->active.header;

	return spool->active.state != ACTIVE_NONE &&
	       logfile_round_up(batch_bytes, header->block) <= header->size - spool->active.end;
}

enum error
segment_plan(struct spool *spool, uint64_t batch_bytes)
{
	struct active *active = &spool->active;

	if (active_has_room(spool, batch_bytes))
		return OK;
	segment_seal(spool);
	if (spool->spare_count == 0 && spool->next_segment >= LOGFILE_NUMBER_END)
		return ERROR_NO_SPACE;
	*active = (struct active){.state = ACTIVE_PLANNED, .fd = NO_FD};
	active->header = (struct logfile_header){
		.kind = LOGFILE_SEGMENT,
		.number = spool->spare_count ? spool->spares[0].number : spool->next_segment++,
		.generation = SPOOL_GENERATION,
		.block = spool->block,
		.size = spool->options.segment_bytes,
	};
	env_random(spool->env, active->header.key.bytes, SIPHASH_KEY_BYTES);
	active->end = spool->block;
	return OK;
}

void
segment_seal(struct spool *spool)
{
	struct active *active = &spool->active;

	if (active->state == ACTIVE_STARTED) {
		struct segment *segment = segment_find(spool, active->header.number);
		if (segment) {
			segment->flags |= SEGMENT_SEALED;
			segment->end_sequence = spool->next_sequence;
			segment->end_offset = active->end;
			segment->end_unsaid = true;
			spool->forward.look_at = 0;
		}
		/* All of it is flushed, or given up: what close says changes neither. */
		spool->env->disk->close(spool->env->world, active->fd);
	}
	*active = (struct active){.state = ACTIVE_NONE, .fd = NO_FD};
}

enum error
segment_say_ends(struct spool *spool)
{
	for (size_t i = 0; i < spool->segment_count; i++) {
		struct segment *segment = &spool->segments[i];
		if (!segment->end_unsaid || segment->flags & SEGMENT_FREEING)
			continue;
		enum error error = journal_add_segment(spool, RECORD_SEGMENT_SEALED, segment);
		if (error != OK)
			return error;
		segment->end_unsaid = false;
	}
	return OK;
}

/* The pre-written file of this number, taken from the spares, or a new one filled at once. */
static enum error
take_spare(struct spool *spool, uint32_t number, struct spare *ret_spare)
{
	struct spare spare;
	enum error error = OK;

	if (spool->spare_count > 0 && spool->spares[0].number == number) {
		spare = spool->spares[0];
		spool->spares[0] = spool->spares[1];
		spool->spare_count--;
	} else {
		/* A full disk is not filled up again for each message that asks: others write to it
		 * too. */
		if (env_monotonic(spool->env) < spool->retry_space_at)
			return ERROR_NO_SPACE;
		error = spare_begin(spool, LOGFILE_SEGMENT, number, &spare);
		if (error != OK)
			return error;
	}
	error = spare_finish(spool, &spare);
	if (error != OK)
		spare_drop(spool, LOGFILE_SEGMENT, &spare);
	else
		*ret_spare = spare;
	if (error == ERROR_NO_SPACE)
		spool->retry_space_at = env_monotonic(spool->env) + SPACE_RETRY_US;
	return error;
}

/* I1: header and key are durable, and so is the name, before the journal speaks of the segment. */
static enum error
write_segment_header(struct spool *spool, int fd)
{
	enum error error = logfile_write_header(spool->env, fd, &spool->active.header);

	if (error == OK)
		error = spool_flush(spool, fd);
	if (error == OK)
		error = spool_flush_folder(spool);
	return error;
}

/* SEGMENT_OPEN is durable afterwards, and in one batch with it the end of the segment before (R2).
 * If not, the segment is sealed and empty. */
static enum error
journal_segment_open(struct spool *spool)
{
	struct segment *segment;

	enum error error = segment_add(spool, spool->active.header.number, &segment);
	if (error != OK)
		return error;
	segment->header = spool->active.header;
	segment->walk_offset = spool->active.end;
	segment->first_sequence = spool->next_sequence;
	error = segment_say_ends(spool);
	if (error == OK)
		error = journal_add_segment(spool, RECORD_SEGMENT_OPEN, segment);
	if (error == OK)
		error = journal_flush(spool);
	/* What else is journaled of the segment must not stand behind a record that is not there.
	 */
	if (error != OK)
		spool->journal.broken = true;
	return error;
}

enum error
segment_start(struct spool *spool)
{
	struct active *active = &spool->active;
	struct spare spare;

	if (active->state != ACTIVE_PLANNED)
		return OK;
	active->header.id_floor = spool->last_id;
	enum error error = take_spare(spool, active->header.number, &spare);
	if (error != OK)
		goto fail;
	error = write_segment_header(spool, spare.fd);
	if (error != OK) {
		spare_drop(spool, LOGFILE_SEGMENT, &spare);
		goto fail;
	}
	active->state = ACTIVE_STARTED;
	active->fd = spare.fd;
	error = journal_segment_open(spool);
	if (error != OK)
		goto fail;
	return OK;
fail:
	/* The number is spent. The journal may name the file, so it goes the way of all segments.
	 */
	segment_seal(spool);
	return error;
}

void
segment_count_entry(struct spool *spool, struct index_entry *entry, bool alive)
{
	const uint32_t numbers[] = {entry->message_segment, entry->content_segment};
	const uint64_t bytes[] = {
		record_bytes(entry->message_size), record_bytes(entry->content_size)};

	if (alive == ((entry->flags & ENTRY_COUNTED) != 0))
		return;
	entry->flags ^= ENTRY_COUNTED;
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		struct segment *segment = segment_find(spool, numbers[i]);
		if (!segment)
			continue;
		segment->live += alive ? 1 : UINT32_MAX;
		segment->live_bytes += alive ? bytes[i] : 0 - bytes[i];
	}
}

void
segment_collect(struct spool *spool)
{
	for (size_t i = 0; i < spool->segment_count; i++) {
		struct segment *segment = &spool->segments[i];
		if (segment->live > 0 || segment->is_left || segment->flags != SEGMENT_SEALED)
			continue;
		/* Without memory for the record it is tried again at the next commit. */
		if (journal_add_segment(spool, RECORD_SEGMENT_FREE, segment) == OK)
			segment->flags |= SEGMENT_FREEING;
	}
}

void
segment_remove_freed(struct spool *spool)
{
	size_t kept = 0;

	for (size_t i = 0; i < spool->segment_count; i++) {
		struct segment *segment = &spool->segments[i];
		if (!(segment->flags & SEGMENT_FREEING)) {
			spool->segments[kept++] = *segment;
			continue;
		}
		/*
		 * The journal says that it is free: a file that can't be removed now, or comes back
		 * since the folder was not flushed, is removed by the next start.
		 */
		enum error ignored =
			logfile_remove(spool->env, spool->dir_fd, LOGFILE_SEGMENT, segment->number);
		(void)ignored;
	}
	spool->segment_count = kept;
}
