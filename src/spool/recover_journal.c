/*
 * The journal's part of recovery. A journal is used when its state is whole; the newest such is the
 * one that answers were given on. If none is whole (damage, not a crash: a crash leaves the one
 * before), the newest that got to its STATE_END serves as far as it can be read, and every segment
 * is read from its start: mail may then be delivered twice, and is not lost.
 *
 * In the last batch, records are taken all or none: it was never acknowledged if it is torn.
 */
#include "spool/recover_private.h"

#define STATE_PAYLOAD_MAX 262144 /* 72 octets and the set of SPOOL_RECIPIENTS_MAX recipients */

_Static_assert(STATE_PAYLOAD_MAX <= READER_BYTES_MAX, "a record must fit into the window");

/* One pass over a journal. */
struct replay {
	struct recovery *recovery;
	struct reader reader;
	struct found_batch batch;
	bool is_last;
	bool apply;    /* else only whether it is whole is found */
	bool has_end;  /* STATE_END was seen */
	bool has_hole; /* something could not be read */
	uint64_t messages;
};

static struct slice
record_payload(struct replay *replay, const struct found_record *found)
{
	return reader_bytes(&replay->reader, found->payload, (size_t)found->record.size);
}

static bool
batch_is_sound(struct replay *replay)
{
	struct found_record found;
	uint32_t count = 0;

	for (uint64_t at = replay->batch.offset + BATCH_HEAD_BYTES;
		reader_next_record(&replay->reader, &replay->batch, &at, &found); count++) {
		if (found.record.size > STATE_PAYLOAD_MAX ||
			!reader_payload_is_sound(&replay->reader, &found))
			return false;
	}
	return count == replay->batch.head.count;
}

static enum error
apply_open(struct replay *replay, const struct journal_segment *record)
{
	struct spool *spool = replay->recovery->spool;
	struct segment *segment;

	enum error error = segment_add(spool, record->number, &segment);
	if (error == ERROR_EXISTS)
		return ERROR_DAMAGED;
	if (error != OK)
		return error;
	segment->generation = record->generation;
	segment->flags = record->flags;
	segment->is_apart = record->is_apart;
	segment->walk_offset = record->offset;
	segment->first_sequence = record->sequence;
	segment->header = (struct logfile_header){
		.kind = LOGFILE_SEGMENT,
		.is_apart = record->is_apart,
		.number = record->number,
		.generation = record->generation,
		.block = record->block,
		.size = record->size,
		.id_floor = record->id_floor,
		.key = record->key,
	};
	return OK;
}

static enum error
apply_sealed(struct spool *spool, const struct journal_segment *record)
{
	struct segment *segment = segment_find(spool, record->number);

	if (!segment)
		return ERROR_DAMAGED;
	segment->end_sequence = record->sequence + 1;
	segment->end_offset = record->offset;
	/* It may have ended with a batch that failed, whose number is not given again. */
	if (spool->next_sequence < record->sequence + 2)
		spool->next_sequence = record->sequence + 2;
	return OK;
}

static enum error
apply_segment(struct replay *replay, uint32_t type, struct slice payload)
{
	struct spool *spool = replay->recovery->spool;
	struct journal_segment record;

	enum error error = journal_decode_segment(payload, &record);
	if (error != OK)
		return error;
	spool_see_id(spool, record.id_floor);
	if (record.number >= spool->next_segment && record.number < LOGFILE_NUMBER_END)
		spool->next_segment = record.number + 1;
	if (type == RECORD_SEGMENT_OPEN)
		return apply_open(replay, &record);
	if (type == RECORD_SEGMENT_FREE)
		return number_list_add(replay->recovery, &replay->recovery->freed, record.number);
	return apply_sealed(spool, &record);
}

static enum error
apply_state(struct replay *replay, uint64_t queue_id, struct slice payload)
{
	struct index *index = &replay->recovery->spool->index;
	struct index_entry *entry;

	enum error error = index_add(index, queue_id, &entry);
	if (error == ERROR_EXISTS || error == ERROR_LIMIT)
		return ERROR_DAMAGED;
	if (error != OK)
		return error;
	error = journal_decode_state(index, payload, entry);
	if (error != OK)
		index_remove(index, entry);
	return error;
}

/* The message may stand in a segment that is read later: a stub keeps the place. */
static enum error
find_or_stub(
	struct index *index, const struct spool_reference *message, struct index_entry **ret_entry)
{
	*ret_entry = index_find(index, message->queue_id);
	if (*ret_entry)
		return OK;
	enum error error = index_add(index, message->queue_id, ret_entry);
	if (error != OK)
		return error == ERROR_LIMIT ? ERROR_DAMAGED : error;
	(*ret_entry)->flags = ENTRY_STUB;
	entry_set_message(*ret_entry, message);
	return OK;
}

static enum error
apply_result(struct replay *replay, uint64_t queue_id, struct slice payload)
{
	struct index *index = &replay->recovery->spool->index;
	struct spool_result result;
	struct index_entry *entry;

	enum error error = journal_decode_result(queue_id, payload, &result);
	if (error == OK)
		error = find_or_stub(index, &result.message, &entry);
	if (error != OK)
		return error;
	if (result.kind == SPOOL_DONE)
		entry->flags |= ENTRY_DONE;
	error = entry_apply(index, entry, &result);
	return error == ERROR_LIMIT ? ERROR_DAMAGED : error;
}

static enum error
apply_moved(struct replay *replay, uint64_t queue_id, struct slice payload)
{
	struct spool_move move;
	struct index_entry *entry;

	enum error error = journal_decode_moved(queue_id, payload, &move);
	if (error == OK)
		error = find_or_stub(&replay->recovery->spool->index, &move.message, &entry);
	if (error != OK)
		return error;
	entry_set_message(entry, &move.message);
	entry_set_content(entry, &move.content);
	entry->flags |= ENTRY_COPIED;
	return OK;
}

static enum error
apply_end(struct replay *replay, struct slice payload)
{
	struct spool *spool = replay->recovery->spool;
	struct journal_end end;

	enum error error = journal_decode_end(payload, &end);
	if (error != OK)
		return error;
	if (end.messages != replay->messages)
		replay->has_hole = true;
	replay->has_end = true;
	if (end.next_segment > spool->next_segment)
		spool->next_segment = end.next_segment;
	if (end.next_sequence > spool->next_sequence)
		spool->next_sequence = end.next_sequence;
	return OK;
}

static enum error
apply_record(struct replay *replay, const struct found_record *found)
{
	uint64_t queue_id = found->record.queue_id;
	struct slice payload = record_payload(replay, found);

	spool_see_id(replay->recovery->spool, queue_id);
	switch (found->record.type) {
	case RECORD_SEGMENT_OPEN:
	case RECORD_SEGMENT_FREE:
	case RECORD_SEGMENT_SEALED:
		return replay->apply ? apply_segment(replay, found->record.type, payload) : OK;
	case RECORD_STATE:
		replay->messages++;
		return replay->apply ? apply_state(replay, queue_id, payload) : OK;
	case RECORD_RESULT:
		return replay->apply ? apply_result(replay, queue_id, payload) : OK;
	case RECORD_MOVED:
		return replay->apply ? apply_moved(replay, queue_id, payload) : OK;
	case RECORD_STATE_END:
		return apply_end(replay, payload);
	default:
		return ERROR_DAMAGED;
	}
}

static void
replay_damage(struct replay *replay, uint64_t offset, const char *what)
{
	replay->has_hole = true;
	if (!replay->apply || replay->reader.error != OK)
		return;
	replay->recovery->keep_journals = true;
	recovery_damage(
		replay->recovery, LOGFILE_JOURNAL, replay->reader.header.number, offset, what);
}

static enum error
replay_batch(struct replay *replay)
{
	struct found_record found;

	if (!batch_is_sound(replay)) {
		if (replay->is_last)
			return OK;
		replay_damage(replay, replay->batch.offset, "journal batch with damaged records");
	}
	for (uint64_t at = replay->batch.offset + BATCH_HEAD_BYTES;
		reader_next_record(&replay->reader, &replay->batch, &at, &found);) {
		if (found.record.size > STATE_PAYLOAD_MAX ||
			!reader_payload_is_sound(&replay->reader, &found))
			continue;
		enum error error = apply_record(replay, &found);
		if (error == ERROR_DAMAGED)
			replay_damage(replay, found.head, "journal record without meaning");
		else if (error != OK)
			return error;
		if (replay->has_end && !replay->apply)
			return OK;
	}
	return OK;
}

static enum error
replay_batches(struct replay *replay)
{
	struct found_batch next;
	uint64_t from = replay->reader.header.block, sequence = 0;

	bool more = reader_next_batch(&replay->reader, from, sequence, &next);
	while (more && !(replay->has_end && !replay->apply)) {
		replay->batch = next;
		if (next.offset != from || next.head.sequence != sequence + 1)
			replay_damage(replay, from, "hole in the journal");
		from = reader_after(&replay->reader, &next);
		sequence = next.head.sequence;
		more = reader_next_batch(&replay->reader, from, sequence, &next);
		replay->is_last = !more;
		enum error error = replay_batch(replay);
		if (error != OK)
			return error;
	}
	return replay->reader.error;
}

/* R1: nothing is delivered, and nothing removed, from a state that is not known. */
static enum error
journal_unread(struct recovery *recovery, uint32_t number, enum error error)
{
	if (error != OK && !recovery_must_end(error))
		recovery_damage(recovery, LOGFILE_JOURNAL, number, 0,
			"journal can't be read, so the spool is not opened");
	return error;
}

enum journal_state { JOURNAL_INCOMPLETE, JOURNAL_DAMAGED, JOURNAL_WHOLE };

/* How much of its state a journal has. Any error ends the start. */
static enum error
probe_journal(struct recovery *recovery, uint32_t number, enum journal_state *ret_state)
{
	struct replay replay = {.recovery = recovery};

	*ret_state = JOURNAL_INCOMPLETE;
	enum error error = recovery_open(recovery, LOGFILE_JOURNAL, number, &replay.reader);
	if (error == ERROR_DAMAGED || error == ERROR_NOT_FOUND)
		return OK;
	if (error != OK)
		return journal_unread(recovery, number, error);
	error = replay_batches(&replay);
	if (replay.has_end)
		*ret_state = replay.has_hole ? JOURNAL_DAMAGED : JOURNAL_WHOLE;
	reader_close(&replay.reader);
	return journal_unread(recovery, number, error);
}

static enum error
replay_journal(struct recovery *recovery, uint32_t number)
{
	struct spool *spool = recovery->spool;
	struct replay replay = {.recovery = recovery, .apply = true};

	enum error error = recovery_open(recovery, LOGFILE_JOURNAL, number, &replay.reader);
	if (error != OK)
		return journal_unread(recovery, number, error);
	spool_see_id(spool, replay.reader.header.id_floor);
	error = replay_batches(&replay);
	recovery->records_lost = replay.has_hole;
	reader_close(&replay.reader);
	return journal_unread(recovery, number, error);
}

enum error
recover_journal(struct recovery *recovery)
{
	struct number_list *journals = &recovery->journals;
	enum journal_state best = JOURNAL_INCOMPLETE;
	uint32_t number = 0;

	for (size_t i = journals->count; i > 0 && best != JOURNAL_WHOLE; i--) {
		enum journal_state state;
		enum error error = probe_journal(recovery, journals->numbers[i - 1], &state);
		if (error != OK)
			return error;
		if (state > best) {
			best = state;
			number = journals->numbers[i - 1];
		}
	}
	recovery->journal_found = best != JOURNAL_INCOMPLETE;
	recovery->state_lost = best != JOURNAL_WHOLE;
	if (!recovery->journal_found)
		return OK;
	return replay_journal(recovery, number);
}

/*
 * So that a start on a full disk has a journal to go on in. It is as good as new only if all of it
 * is zeros: a power cut may bring the name back from one that was in the making.
 */
void
recover_journal_spare(struct recovery *recovery)
{
	struct spool *spool = recovery->spool;
	struct env *env = spool->env;
	struct spare spare = {.size = spool->options.journal_bytes, .flushed = true, .ready = true};

	enum error error =
		logfile_open_zeros(env, spool->dir_fd, JOURNAL_READY, spare.size, &spare.fd);
	if (error != OK && error != ERROR_NOT_FOUND)
		env->disk->unlinkat(env->world, spool->dir_fd, JOURNAL_READY, 0);
	if (error != OK)
		return;
	spare.filled = spare.size;
	spool->journal_spare = spare;
}
