/*
 * The segments' part of recovery. Messages that the journal's state names are looked up: their
 * message record whole, of their content the head (whoever reads the content finds the rest).
 * Batches that are newer than the state are read whole, sums and all.
 *
 * What is damaged is reported and its file kept (SEGMENT_KEEP). The one exception is the last batch
 * of the newest segment: batch n is written after the flush of n-1 has returned, so a torn batch
 * with nothing behind it was never acknowledged (W2).
 */
#include "spool/recover_private.h"

/* A walk over one segment. */
struct walk {
	struct recovery *recovery;
	struct segment *segment;
	struct reader reader;
	struct found_batch batch;
	struct found_record content; /* the last sound one of the batch; head 0: none */
	uint64_t bad;                /* the first thing in the batch that is not sound; 0: none */
};

/* Behind a read that failed, nothing that is missing is known to be missing (R1). */
static void
walk_damage(struct walk *walk, uint64_t offset, const char *what)
{
	if (walk->reader.error != OK)
		return;
	walk->segment->flags |= SEGMENT_KEEP;
	recovery_damage(walk->recovery, LOGFILE_SEGMENT, walk->segment->number, offset, what);
}

/*
 * One wrong bit in a header must not hide a segment: the journal has its second copy. It is the
 * file's if a batch is sound with its key; then the header is mended, for readers who have only
 * that. Gives `why` when it is not, or there is no file.
 */
static enum error
open_by_copy(
	struct recovery *recovery, struct segment *segment, struct reader *reader, enum error why)
{
	struct spool *spool = recovery->spool;
	struct found_batch batch;
	struct found_record found;

	if (reader_open_as(reader, spool->env, spool->dir_fd, &segment->header) != OK)
		return why;
	bool is_its =
		segment->is_apart
			? reader_record_at(reader, apart_payload(reader->header.block), &found)
			: reader_next_batch(reader, reader->header.block, 0, &batch);
	if (!is_its) {
		reader_close(reader);
		return why;
	}
	/* What can't be read is not written to either (R1). */
	bool mended = !spool->is_inspection && (why == ERROR_DAMAGED || why == ERROR_NOT_FOUND) &&
		      logfile_mend_header(spool->env, spool->dir_fd, &segment->header) == OK;
	recovery_damage(recovery, LOGFILE_SEGMENT, segment->number, 0,
		mended ? "header mended from its copy in the journal"
		       : "header can't be used; its copy in the journal is");
	return OK;
}

/* Opens a segment that the journal calls open. ERROR_NOT_FOUND: can't be, which is reported. */
static enum error
open_segment(struct recovery *recovery, struct segment *segment, struct reader *reader)
{
	struct spool *spool = recovery->spool;

	enum error error = recovery_open(recovery, LOGFILE_SEGMENT, segment->number, reader);
	if (recovery_must_end(error))
		return error;
	if (error != OK && segment->header.block != 0)
		error = open_by_copy(recovery, segment, reader, error);
	if (error == OK && reader->header.generation == segment->generation &&
		reader->header.is_apart == segment->is_apart) {
		spool_see_id(spool, reader->header.id_floor);
		segment->header = reader->header;
		return OK;
	}
	/* It may be back at the next start, from a copy or since the disk thinks better of it. */
	segment->flags |= SEGMENT_UNREAD;
	recovery_unread(recovery, segment->number, 0,
		error == OK ? "segment of another generation" : "segment can't be read");
	if (error == OK)
		reader_close(reader);
	return ERROR_NOT_FOUND;
}

static void
walk_bad(struct walk *walk, uint64_t offset)
{
	if (walk->bad == 0)
		walk->bad = offset;
}

static bool
record_is_content(const struct found_record *found, const struct message_prefix *prefix)
{
	return found->record.type == RECORD_CONTENT &&
	       found->record.queue_id == prefix->content.queue_id &&
	       found->record.size == prefix->content.size &&
	       found->record.crc == prefix->content_crc;
}

/*
 * Whether the content that lies in a file of its own is the one that is named: its head, as it was
 * durable, sum and all, before any message named it; who reads it compares the sum. What is wrong
 * is reported.
 */
static enum error
check_apart(struct recovery *recovery, const struct message_prefix *prefix, bool *ret_sound)
{
	struct segment *segment = segment_find(recovery->spool, prefix->content.segment);
	struct found_record found;
	struct reader reader;

	*ret_sound = false;
	enum error error = segment && segment->is_apart ? open_segment(recovery, segment, &reader)
							: ERROR_NOT_FOUND;
	if (error != OK)
		return error == ERROR_NOT_FOUND ? OK : error;
	*ret_sound = segment->generation == prefix->content.generation &&
		     reader_record_at(&reader, prefix->content.offset, &found) &&
		     record_is_content(&found, prefix);
	if (reader.error != OK) {
		segment->flags |= SEGMENT_UNREAD;
		recovery_unread(
			recovery, segment->number, prefix->content.offset, "content can't be read");
	} else if (!*ret_sound) {
		segment->flags |= SEGMENT_KEEP;
		recovery_damage(recovery, LOGFILE_SEGMENT, segment->number, prefix->content.offset,
			"damaged content");
	}
	reader_close(&reader);
	return OK;
}

/* Whether this is the content that a message names; its sum is checked unless it was just now. */
static bool
content_is_sound(struct walk *walk, const struct message_prefix *prefix)
{
	struct found_record found = walk->content;

	if (prefix->content.segment != walk->segment->number ||
		prefix->content.generation != walk->segment->generation)
		return false;
	if (found.head == 0 || found.payload != prefix->content.offset) {
		if (!reader_record_at(&walk->reader, prefix->content.offset, &found) ||
			!reader_payload_is_sound(&walk->reader, &found))
			return false;
	}
	return record_is_content(&found, prefix);
}

static bool
is_apart(const struct walk *walk, const struct message_prefix *prefix)
{
	return prefix->content.segment != walk->segment->number;
}

static bool
message_prefix_at(
	struct reader *reader, const struct found_record *found, struct message_prefix *ret_prefix)
{
	if (found->record.size < MESSAGE_PREFIX_BYTES)
		return false;
	struct slice bytes = reader_bytes(reader, found->payload, MESSAGE_PREFIX_BYTES);
	return message_prefix_decode(bytes, found->record.queue_id, ret_prefix) == OK;
}

/*
 * A message that the journal's state does not know. A copy counts only where the journal says that
 * it is the message's place now: until that was durable the original stayed, and it may be where
 * nothing can be read at this start (I4). One that is done stays a stub, for its original's sake.
 */
static enum error
take_message(struct walk *walk, const struct found_record *found,
	const struct message_prefix *prefix, bool is_sound)
{
	struct index *index = &walk->recovery->spool->index;
	struct index_entry *entry = index_find(index, found->record.queue_id);
	struct spool_reference message = {walk->segment->number, walk->segment->generation,
		found->payload, found->record.size, found->record.queue_id};

	if (entry && !(entry->flags & ENTRY_STUB))
		return OK;
	if (found->record.type == RECORD_COPY &&
		(!entry || entry->flags & ENTRY_DONE || !entry_is_message(entry, &message)))
		return OK;
	if (!entry) {
		enum error error = index_add(index, found->record.queue_id, &entry);
		if (error != OK)
			return error;
	}
	entry->flags |= entry->flags & ENTRY_STUB ? ENTRY_WALKED | ENTRY_HAD_STUB : ENTRY_WALKED;
	entry->flags &= ~(uint32_t)ENTRY_STUB;
	if (!is_sound) /* each start looks again */
		entry->flags |= ENTRY_DAMAGED;
	if (found->record.type == RECORD_COPY)
		entry->flags |= ENTRY_COPIED;
	entry_set_message(entry, &message);
	entry_set_content(entry, &prefix->content);
	return OK;
}

/* As a result would: its message may stand in a segment that can't be read now. If it stands
 * nowhere, it was done, and settle_messages drops the stub. */
static enum error
take_settle(struct index *index, const struct settle *settle)
{
	struct index_entry *entry = index_find(index, settle->message.queue_id);
	struct settle_place place = {0};
	struct spool_result result;
	enum error error = OK;

	if (!entry) {
		error = index_add(index, settle->message.queue_id, &entry);
		if (error != OK)
			return error;
		entry->flags = ENTRY_STUB | ENTRY_SETTLED;
		entry_set_message(entry, &settle->message);
	}
	while (error == OK && settle_next_result(settle, &place, &result))
		error = entry_apply(index, entry, &result);
	return error;
}

/*
 * Also when the message itself is known already or is taken back by walk_undo: that it was sound on
 * the disk is what finishes the others.
 */
static enum error
take_settles(struct walk *walk, const struct found_record *found)
{
	struct slice head = reader_bytes(
		&walk->reader, found->payload + MESSAGE_PREFIX_BYTES, SETTLES_HEAD_BYTES);
	struct cursor cursor = cursor_of(head);
	uint64_t at = found->payload + MESSAGE_PREFIX_BYTES + SETTLES_HEAD_BYTES;
	uint32_t len = cursor_take_u32(&cursor);
	struct settle settle;
	enum error error = cursor.error;

	if (error != OK || len > SPOOL_SETTLES_MAX ||
		at + len > found->payload + found->record.size) {
		walk_bad(walk, found->head);
		return OK;
	}
	cursor = cursor_of(reader_bytes(&walk->reader, at, len));
	while (error == OK && cursor_left(&cursor) > 0) {
		error = settle_next(&cursor, &settle);
		if (error == OK)
			error = take_settle(&walk->recovery->spool->index, &settle);
	}
	if (error == ERROR_DAMAGED)
		walk_bad(walk, found->head);
	return error == ERROR_DAMAGED ? OK : error;
}

static enum error
take_record(struct walk *walk, const struct found_record *found)
{
	struct message_prefix prefix;

	spool_see_id(walk->recovery->spool, found->record.queue_id);
	if (found->record.queue_id == 0 || !reader_payload_is_sound(&walk->reader, found)) {
		walk_bad(walk, found->head);
		return OK;
	}
	if (found->record.type == RECORD_CONTENT) {
		walk->content = *found;
		return OK;
	}
	if (record_is_message(&found->record) && message_prefix_at(&walk->reader, found, &prefix) &&
		(is_apart(walk, &prefix) || content_is_sound(walk, &prefix))) {
		bool is_sound = true;
		enum error error = is_apart(walk, &prefix)
					   ? check_apart(walk->recovery, &prefix, &is_sound)
					   : OK;
		if (error == OK)
			error = take_message(walk, found, &prefix, is_sound);
		return error == OK && found->record.type == RECORD_SETTLING
			       ? take_settles(walk, found)
			       : error;
	}
	walk_bad(walk, found->head);
	return OK;
}

static enum error
take_batch(struct walk *walk, bool may_be_torn)
{
	struct found_record found;
	uint32_t count = 0;

	walk->bad = 0;
	walk->content = (struct found_record){0};
	for (uint64_t at = walk->batch.offset + BATCH_HEAD_BYTES;
		reader_next_record(&walk->reader, &walk->batch, &at, &found); count++) {
		enum error error = take_record(walk, &found);
		if (error != OK)
			return error;
	}
	if (count != walk->batch.head.count)
		walk_bad(walk, walk->batch.offset);
	if (walk->bad != 0 && !may_be_torn)
		walk_damage(walk, walk->bad, "damaged records");
	return OK;
}

static bool
next_batch(struct walk *walk, uint64_t from, uint64_t sequence, struct found_batch *ret_batch)
{
	uint64_t end = walk->segment->end_sequence;

	return reader_next_batch(&walk->reader, from, sequence, ret_batch) &&
	       (end == 0 || ret_batch->head.sequence < end);
}

static enum error
walk_batches(struct walk *walk, bool may_be_torn)
{
	struct segment *segment = walk->segment;
	struct spool *spool = walk->recovery->spool;
	bool known = segment->first_sequence > 0;
	uint64_t from = segment->walk_offset, sequence = known ? segment->first_sequence - 1 : 0;
	struct found_batch next;

	if (from < walk->reader.header.block)
		from = walk->reader.header.block;
	bool more = next_batch(walk, from, sequence, &next);
	while (more) {
		walk->batch = next;
		if (next.offset != from || (known && next.head.sequence != sequence + 1))
			walk_damage(walk, from, "hole between batches");
		from = reader_after(&walk->reader, &next);
		sequence = next.head.sequence;
		known = true;
		more = next_batch(walk, from, sequence, &next);
		enum error error = take_batch(walk, may_be_torn && !more);
		if (error != OK)
			return error;
	}
	if (segment->end_sequence > 0 && known && sequence + 1 < segment->end_sequence)
		walk_damage(walk, from, "batches at the end are missing");
	if (known && sequence >= spool->next_sequence)
		spool->next_sequence = sequence + 1;
	return OK;
}

/*
 * A segment that could be read in part is read anew at the next start, from where the journal says.
 * What was taken of it goes back to what the journal knows: delivered and done in the meantime, it
 * would be taken a second time.
 */
static void
walk_undo(struct walk *walk)
{
	struct index *index = &walk->recovery->spool->index;

	for (uint32_t i = 0; i < index_limit(index); i++) {
		struct index_entry *entry = index_at(index, i);
		if (!entry || !(entry->flags & ENTRY_WALKED) ||
			entry->message_segment != walk->segment->number)
			continue;
		if (entry->flags & ENTRY_HAD_STUB)
			entry->flags = (entry->flags & ~(uint32_t)ENTRY_RECOVERY) | ENTRY_STUB;
		else
			index_remove(index, entry);
	}
	walk->segment->flags |= SEGMENT_UNREAD;
	recovery_unread(walk->recovery, walk->segment->number, 0, "segment can't be read");
}

/*
 * What is missing before a segment's end was acknowledged. The journal has the end of all but the
 * newest (then or now; R2); that one's last batch may be torn.
 */
static enum error
walk_segment(struct recovery *recovery, struct segment *segment, bool newest)
{
	struct walk walk = {.recovery = recovery, .segment = segment};
	bool may_be_torn = (newest || segment->was_unread) && segment->end_sequence == 0;

	segment->flags &= ~(uint32_t)SEGMENT_UNREAD;
	enum error error = open_segment(recovery, segment, &walk.reader);
	if (error != OK)
		return error == ERROR_NOT_FOUND ? OK : error;
	if (segment->end_sequence > 0 && segment->end_offset < walk.reader.size)
		walk.reader.size = segment->end_offset;
	error = walk_batches(&walk, may_be_torn);
	if (error == OK && walk.reader.error != OK)
		walk_undo(&walk);
	/* What a process wrote and did not live to flush is about to be relied on. */
	if (error == OK && !recovery->spool->is_inspection &&
		spool_flush(recovery->spool, walk.reader.fd) != OK)
		recovery_damage(
			recovery, LOGFILE_SEGMENT, segment->number, 0, "segment can't be flushed");
	reader_close(&walk.reader);
	return error;
}

static enum error
walk_segments(struct recovery *recovery)
{
	struct spool *spool = recovery->spool;
	size_t newest = spool->segment_count;

	while (newest > 0 && spool->segments[newest - 1].is_apart)
		newest--;
	for (size_t i = 0; i < newest; i++) {
		struct segment *segment = &spool->segments[i];
		if (segment->flags & SEGMENT_SEALED || segment->is_apart)
			continue;
		enum error error = walk_segment(recovery, segment, i + 1 == newest);
		if (error != OK)
			return error;
	}
	return OK;
}

/* The head of a content that lies beside its message. */
static bool
entry_has_content(struct reader *reader, const struct message_prefix *prefix)
{
	struct found_record content;

	return reader_record_at(reader, prefix->content.offset, &content) &&
	       record_is_content(&content, prefix);
}

/* I3, as far as it is cheap: the message record whole, the head of its content. */
static bool
entry_is_sound(
	struct reader *reader, const struct index_entry *entry, struct message_prefix *ret_prefix)
{
	struct spool_reference content = entry_content(entry);
	struct found_record message;

	return reader_record_at(reader, entry->message_offset, &message) &&
	       record_is_message(&message.record) && message.record.queue_id == entry->queue_id &&
	       message.record.size == entry->message_size &&
	       message_prefix_at(reader, &message, ret_prefix) &&
	       reader_payload_is_sound(reader, &message) &&
	       ret_prefix->content.segment == content.segment &&
	       ret_prefix->content.generation == content.generation &&
	       ret_prefix->content.offset == content.offset &&
	       ret_prefix->content.size == content.size &&
	       (content.segment != entry->message_segment || entry_has_content(reader, ret_prefix));
}

static enum error
check_entry(struct recovery *recovery, struct segment *segment, struct reader *reader,
	struct index_entry *entry)
{
	bool is_apart = entry->message_segment != entry->content_segment;
	struct message_prefix prefix;
	bool sound = segment && reader->env && entry->message_generation == segment->generation &&
		     (is_apart || entry->content_generation == segment->generation) &&
		     entry_is_sound(reader, entry, &prefix);

	entry->flags &= ~(uint32_t)ENTRY_DAMAGED;
	if (sound && is_apart) {
		enum error error = check_apart(recovery, &prefix, &sound);
		if (!sound)
			entry->flags |= ENTRY_DAMAGED;
		return error;
	}
	if (sound)
		return OK;
	/* It stays in the index, and so its segment stays too. */
	entry->flags |= ENTRY_DAMAGED;
	enum error unread = reader->env ? reader->error : OK;
	reader->error = OK;
	if (unread != OK)
		recovery_unread(recovery, entry->message_segment, entry->message_offset,
			"message can't be read");
	else
		recovery_damage(recovery, LOGFILE_SEGMENT, entry->message_segment,
			entry->message_offset, "damaged message");
	return OK;
}

/* The entries lie in order of their place, so that each segment is opened once. */
static enum error
check_state(struct recovery *recovery)
{
	struct spool *spool = recovery->spool;
	struct ordered_entry *entries;
	struct reader reader = {0};
	struct segment *segment = NULL;
	size_t count;

	enum error error = recovery_order_entries(recovery, BY_PLACE, &entries, &count);
	for (size_t i = 0; i < count && error == OK; i++) {
		struct index_entry *entry = index_at(&spool->index, entries[i].number);
		if (i == 0 || entries[i].major != entries[i - 1].major) {
			reader_close(&reader);
			segment = segment_find(spool, entry->message_segment);
			error = segment ? open_segment(recovery, segment, &reader) : OK;
			if (error == ERROR_NOT_FOUND)
				error = OK;
		}
		if (error == OK)
			error = check_entry(recovery, segment, &reader, entry);
	}
	reader_close(&reader);
	memory_put(spool->env->memory, entries);
	return error;
}

enum error
recover_segments(struct recovery *recovery)
{
	enum error error = check_state(recovery);

	return error == OK ? walk_segments(recovery) : error;
}
