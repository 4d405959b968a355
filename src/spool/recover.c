/*
 * Recovery: from the files in the folder to an index of live messages and a new journal. It never
 * stops at damage, only when it can't know (a later version, no memory) or can't write.
 *
 * Order: list; journal; segments; the new journal with all that was found, flushed; only then does
 * anything go that an older journal needs. A crash in between finds the older journal as it was.
 */
#include "spool/recover_private.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static enum error
list_grow(struct recovery *recovery, struct number_list *list)
{
	if (list->count < list->capacity)
		return OK;
	size_t capacity = list->capacity ? list->capacity * 2 : 64;
	uint32_t *numbers = memory_resize(
		recovery->spool->env->memory, list->numbers, capacity * sizeof *numbers);
	if (!numbers)
		return ERROR_NO_MEMORY;
	list->numbers = numbers;
	list->capacity = capacity;
	return OK;
}

enum error
number_list_add(struct recovery *recovery, struct number_list *list, uint32_t number)
{
	if (list_grow(recovery, list) != OK)
		return ERROR_NO_MEMORY;
	size_t place = list->count;
	for (; place > 0 && list->numbers[place - 1] > number; place--)
		list->numbers[place] = list->numbers[place - 1];
	list->numbers[place] = number;
	list->count++;
	return OK;
}

bool
number_list_has(const struct number_list *list, uint32_t number)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (list->numbers[middle] < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low < list->count && list->numbers[low] == number;
}

void
recovery_damage(struct recovery *recovery, enum logfile_kind kind, uint32_t number, uint64_t offset,
	const char *what)
{
	char name[LOGFILE_NAME_BYTES];

	logfile_name(kind, number, name);
	recovery->visitor->damage(recovery->visitor->arg, name, offset, what);
}

void
recovery_unread(struct recovery *recovery, uint32_t number, uint64_t offset, const char *what)
{
	recovery->unread = true;
	recovery_damage(recovery, LOGFILE_SEGMENT, number, offset, what);
}

enum error
recovery_open(
	struct recovery *recovery, enum logfile_kind kind, uint32_t number, struct reader *reader)
{
	struct spool *spool = recovery->spool;

	enum error error = reader_open(reader, spool->env, spool->dir_fd, kind, number);
	if (error == ERROR_UNSUPPORTED)
		recovery_damage(recovery, kind, number, 4,
			"the format of another version, not 2: only the veredus that wrote it "
			"reads it");
	return error;
}

bool
recovery_must_end(enum error error)
{
	return error == ERROR_UNSUPPORTED || error == ERROR_NO_MEMORY ||
	       error == ERROR_NO_DESCRIPTORS;
}

struct listing {
	struct recovery *recovery;
	enum error error;
};

static bool
list_entry_file(void *arg, const struct disk_entry *entry)
{
	struct listing *listing = arg;
	struct recovery *recovery = listing->recovery;
	enum logfile_kind kind;
	uint32_t number;

	if (!logfile_parse_name(entry->name, &kind, &number))
		return true;
	if (number >= LOGFILE_NUMBER_END) {
		recovery_damage(recovery, kind, number, 0, "no name of the spool's: left alone");
		return true;
	}
	if (number >= recovery->next_number[kind])
		recovery->next_number[kind] = number + 1;
	if (entry->type != DT_REG && entry->type != DT_UNKNOWN) {
		recovery_damage(recovery, kind, number, 0, "no file: left alone");
		return true;
	}
	listing->error = number_list_add(recovery,
		kind == LOGFILE_SEGMENT ? &recovery->segments : &recovery->journals, number);
	return listing->error == OK;
}

static enum error
list_folder(struct recovery *recovery)
{
	struct spool *spool = recovery->spool;
	struct listing listing = {.recovery = recovery, .error = OK};

	int listed =
		spool->env->disk->list(spool->env->world, spool->dir_fd, list_entry_file, &listing);
	if (listing.error != OK)
		return listing.error;
	spool->next_segment = recovery->next_number[LOGFILE_SEGMENT];
	spool->next_journal = recovery->next_number[LOGFILE_JOURNAL];
	return error_from_errno(-listed);
}

static int
compare_entries(const void *left, const void *right)
{
	const struct ordered_entry *a = left, *b = right;

	if (a->major != b->major)
		return a->major < b->major ? -1 : 1;
	return a->minor < b->minor ? -1 : a->minor > b->minor;
}

enum error
recovery_order_entries(struct recovery *recovery, enum recovery_order order,
	struct ordered_entry **ret_entries, size_t *ret_count)
{
	struct spool *spool = recovery->spool;
	size_t count = 0;

	*ret_entries = NULL;
	*ret_count = 0;
	if (spool->index.count == 0)
		return OK;
	struct ordered_entry *entries =
		memory_try(spool->env->memory, spool->index.count * sizeof *entries);
	if (!entries)
		return ERROR_NO_MEMORY;
	for (uint32_t i = 0; i < index_limit(&spool->index); i++) {
		struct index_entry *entry = index_at(&spool->index, i);
		if (!entry || (entry->flags & (ENTRY_STUB | ENTRY_DONE)))
			continue;
		entries[count++] = (struct ordered_entry){
			order == BY_PLACE ? entry->message_segment : entry->queue_id,
			order == BY_PLACE ? entry->message_offset : 0, i};
	}
	qsort(entries, count, sizeof *entries, compare_entries);
	*ret_entries = entries;
	*ret_count = count;
	return OK;
}

/* A segment file that the journal does not name, when the journal can't be relied on for that. */
static enum error
adopt_segment(struct recovery *recovery, uint32_t number)
{
	struct spool *spool = recovery->spool;
	struct segment *segment;
	struct reader reader;

	enum error header = recovery_open(recovery, LOGFILE_SEGMENT, number, &reader);
	if (header == ERROR_NOT_FOUND)
		return OK; /* never written to */
	if (recovery_must_end(header))
		return header;
	if (header == OK)
		reader_close(&reader);
	enum error error = segment_add(spool, number, &segment);
	if (error != OK)
		return error;
	if (header == OK && reader.header.is_apart) {
		/* Whether a message names it shows when those are read. */
		segment->flags |= SEGMENT_SEALED;
		segment->is_apart = true;
		segment->header = reader.header;
		return OK;
	}
	/* What can't be read now is the walk's to report. */
	if (header != OK && header != ERROR_DAMAGED)
		return OK;
	if (header != OK)
		segment->flags |= SEGMENT_SEALED | SEGMENT_KEEP;
	recovery->keep_journals = true;
	recovery_damage(recovery, LOGFILE_SEGMENT, number, 0,
		header == OK ? "not in the journal, which is damaged: read from its start"
			     : "segment without a sound header");
	return OK;
}

/*
 * Whether a segment that the journal does not name holds a batch that is younger than the journal's
 * state. By I1 there can be none before SEGMENT_OPEN was durable: so the record was there and is
 * unreadable now, and the mail in the segment was acknowledged. Leftovers of freed segments are
 * older than the state. A file that can't be read may hold anything, and stays (R1).
 */
static enum error
segment_holds_news(struct recovery *recovery, uint32_t number, bool *ret_news)
{
	struct spool *spool = recovery->spool;
	struct found_batch batch;
	struct reader reader;

	*ret_news = false;
	enum error error = recovery_open(recovery, LOGFILE_SEGMENT, number, &reader);
	if (error == ERROR_NOT_FOUND || error == ERROR_DAMAGED)
		return OK;
	if (error == OK && reader.header.is_apart) {
		reader_close(&reader);
		return OK;
	}
	if (error == OK) {
		*ret_news = reader_next_batch(
			&reader, reader.header.block, spool->next_sequence - 1, &batch);
		error = reader.error;
		reader_close(&reader);
	}
	if (error != OK && !recovery_must_end(error)) {
		recovery_unread(recovery, number, 0, "segment can't be read");
		error = OK;
	}
	return error;
}

/* The segments to read: those that the journal calls open (I2), or more if it can't be relied on.
 */
static enum error
choose_segments(struct recovery *recovery)
{
	struct spool *spool = recovery->spool;
	size_t kept = 0;

	for (size_t i = 0; i < spool->segment_count; i++) {
		struct segment *segment = &spool->segments[i];
		if (number_list_has(&recovery->freed, segment->number))
			continue;
		segment->was_unread = (segment->flags & SEGMENT_UNREAD) != 0;
		segment->flags &= ~(uint32_t)SEGMENT_UNREAD;
		if (recovery->state_lost) {
			segment->walk_offset = 0;
			segment->first_sequence = 0;
			if (!segment->is_apart)
				segment->flags &= ~(uint32_t)SEGMENT_SEALED;
		}
		spool->segments[kept++] = *segment;
	}
	spool->segment_count = kept;
	bool all = recovery->state_lost || recovery->records_lost;
	for (size_t i = 0; i < recovery->segments.count; i++) {
		uint32_t number = recovery->segments.numbers[i];
		if (segment_find(spool, number) || number_list_has(&recovery->freed, number))
			continue;
		bool news = true;
		enum error error = all ? OK : segment_holds_news(recovery, number, &news);
		if (error == OK && news)
			error = adopt_segment(recovery, number);
		if (error != OK)
			return error;
	}
	return OK;
}

/*
 * Files that no journal ever called open hold nothing, and their space may be what the new journal
 * lacks. Those that were freed stay until it is flushed: so far the record that says so may not be.
 * While anything is unread, none goes (R1).
 */
static void
remove_unused(struct recovery *recovery)
{
	struct spool *spool = recovery->spool;

	if (recovery->unread)
		return;
	for (size_t i = 0; i < recovery->segments.count; i++) {
		uint32_t number = recovery->segments.numbers[i];
		if (segment_find(spool, number) || number_list_has(&recovery->freed, number))
			continue;
		/* If it stays, the next start tries again; the same holds below. */
		enum error ignored =
			logfile_remove(spool->env, spool->dir_fd, LOGFILE_SEGMENT, number);
		(void)ignored;
	}
}

/* A journal that is not read again: gone, or out of the way for whoever repairs damage. */
static void
retire_journal(struct recovery *recovery, uint32_t number)
{
	struct spool *spool = recovery->spool;
	struct env *env = spool->env;
	char name[LOGFILE_NAME_BYTES], aside[LOGFILE_NAME_BYTES + sizeof "damaged-"];

	logfile_name(LOGFILE_JOURNAL, number, name);
	snprintf(aside, sizeof aside, "damaged-%s", name);
	/* If it stays under its name, the next start finds a newer one and tries this again. */
	if (recovery->keep_journals)
		env->disk->renameat(env->world, spool->dir_fd, name, spool->dir_fd, aside);
	else
		env->disk->unlinkat(env->world, spool->dir_fd, name, 0);
}

static void
remove_superseded(struct recovery *recovery)
{
	struct spool *spool = recovery->spool;
	enum error ignored = OK;

	for (size_t i = 0; i < recovery->journals.count; i++)
		retire_journal(recovery, recovery->journals.numbers[i]);
	for (size_t i = 0; i < recovery->segments.count; i++) {
		if (number_list_has(&recovery->freed, recovery->segments.numbers[i]))
			ignored = logfile_remove(spool->env, spool->dir_fd, LOGFILE_SEGMENT,
				recovery->segments.numbers[i]);
	}
	(void)ignored;
	segment_remove_freed(spool);
}

/* A result whose message was not found: the message may be where nothing could be read. */
static bool
stub_may_stay(const struct segment *segment)
{
	return segment && segment->flags & SEGMENT_UNREAD && !(segment->flags & SEGMENT_SEALED);
}

static bool
is_done_copy(const struct index_entry *entry)
{
	return entry->flags & ENTRY_DONE && entry->flags & ENTRY_COPIED;
}

/*
 * Live messages stay in the index, and each segment learns how many it has. So do results for a
 * segment that could not be read: without them its mail would be sent again when it can. Where the
 * original of a message that was copied forward lies is not known, so that it is done is kept while
 * any segment is unread.
 */
static void
settle_messages(struct recovery *recovery)
{
	struct spool *spool = recovery->spool;

	for (uint32_t i = 0; i < index_limit(&spool->index); i++) {
		struct index_entry *entry = index_at(&spool->index, i);
		if (!entry)
			continue;
		struct segment *segment = segment_find(spool, entry->message_segment);
		if (!(entry->flags & (ENTRY_DONE | ENTRY_STUB))) {
			segment_count_entry(spool, entry, true);
			continue;
		}
		if (is_done_copy(entry) && recovery->unread) {
			entry->flags |= ENTRY_STUB;
			continue;
		}
		if (entry->flags & ENTRY_STUB && stub_may_stay(segment))
			continue;
		if (!(entry->flags & (ENTRY_DONE | ENTRY_SETTLED)) &&
			!(segment && segment->flags & SEGMENT_KEEP))
			recovery_damage(recovery, LOGFILE_SEGMENT, entry->message_segment,
				entry->message_offset, "a message with results is not there");
		index_remove(&spool->index, entry);
	}
}

/* Contents that no message names, as far as could be read: what could not be, or is damaged, may do
 * so (R1). */
static void
keep_contents(struct recovery *recovery)
{
	struct spool *spool = recovery->spool;
	uint32_t keep = 0;

	for (size_t i = 0; i < spool->segment_count; i++)
		keep |= spool->segments[i].flags & SEGMENT_KEEP;
	for (size_t i = 0; i < spool->segment_count; i++) {
		struct segment *segment = &spool->segments[i];
		if (segment->is_apart && segment->live == 0)
			segment->flags |= keep | (recovery->unread ? SEGMENT_UNREAD : 0);
	}
}

static void
settle_segments(struct recovery *recovery)
{
	struct spool *spool = recovery->spool;

	keep_contents(recovery);
	for (size_t i = 0; i < spool->segment_count; i++) {
		struct segment *segment = &spool->segments[i];
		if (!(segment->flags & SEGMENT_UNREAD))
			segment->flags |= SEGMENT_SEALED;
		if (segment->flags & SEGMENT_KEEP)
			recovery_damage(
				recovery, LOGFILE_SEGMENT, segment->number, 0, "kept for repair");
		if (segment->live == 0 && segment->flags == SEGMENT_SEALED)
			segment->flags |= SEGMENT_FREEING;
	}
}

static enum error
recover_all(struct recovery *recovery)
{
	enum error error = list_folder(recovery);

	if (error == OK)
		error = recover_journal(recovery);
	if (error == OK)
		error = choose_segments(recovery);
	if (error == OK)
		error = recover_segments(recovery);
	if (error != OK)
		return error;
	settle_messages(recovery);
	settle_segments(recovery);
	recovery->spool->unread_floor = recovery->unread ? recovery->spool->last_id : 0;
	if (recovery->spool->is_inspection)
		return OK;
	/* Of several journals the newest may not have been flushed, nor its name: to the one
	 * before, which may be the newest once more, a file may be open that this one does not
	 * know. */
	bool is_sure = recovery->journals.count <= 1;
	if (is_sure)
		remove_unused(recovery);
	recover_journal_spare(recovery);
	error = journal_start(recovery->spool);
	if (error != OK)
		return error;
	if (!is_sure)
		remove_unused(recovery);
	remove_superseded(recovery);
	return OK;
}

struct done_list {
	uint32_t *numbers;
	uint32_t count;
};

static enum error
list_done(struct memory *memory, const struct index_entry *entry, struct done_list *list)
{
	uint32_t words = entry_done_words(entry);
	uint32_t *numbers =
		memory_resize(memory, list->numbers, (words * 64 + 1) * sizeof *numbers);

	if (!numbers)
		return ERROR_NO_MEMORY;
	list->numbers = numbers;
	list->count = 0;
	for (uint32_t i = 0; i < words * 64; i++) {
		if (entry_done_word(entry, i / 64) >> i % 64 & 1)
			numbers[list->count++] = i;
	}
	return OK;
}

static enum error
visit_entry(struct recovery *recovery, const struct index_entry *entry, struct done_list *done)
{
	const struct spool_visitor *visitor = recovery->visitor;

	enum error error = list_done(recovery->spool->env->memory, entry, done);
	if (error != OK)
		return error;
	struct spool_message message = {
		.message = entry_message(entry),
		.content = entry_content(entry),
		.attempts = entry->attempts,
		.next_attempt_at = entry->next_attempt_at,
		.held = (entry->flags & ENTRY_HELD) != 0,
		.failed = (entry->flags & ENTRY_FAILED) != 0,
		.delay_told = (entry->flags & ENTRY_DELAY_TOLD) != 0,
		.damaged = (entry->flags & ENTRY_DAMAGED) != 0,
		.reason = entry_text(entry),
		.done_recipients = done->numbers,
		.done_count = done->count,
	};
	return visitor->message(visitor->arg, &message);
}

static enum error
visit_messages(struct recovery *recovery)
{
	struct spool *spool = recovery->spool;
	struct ordered_entry *entries;
	struct done_list done = {0};
	size_t count;

	enum error error = recovery_order_entries(recovery, BY_QUEUE_ID, &entries, &count);
	for (size_t i = 0; i < count && error == OK; i++) {
		struct index_entry *entry = index_at(&spool->index, entries[i].number);
		error = visit_entry(recovery, entry, &done);
	}
	memory_put(spool->env->memory, entries);
	memory_put(spool->env->memory, done.numbers);
	return error;
}

enum error
spool_recover(struct spool *spool, const struct spool_visitor *visitor)
{
	struct recovery recovery = {.spool = spool, .visitor = visitor, .next_number = {1, 1}};

	enum error error = recover_all(&recovery);
	memory_put(spool->env->memory, recovery.segments.numbers);
	memory_put(spool->env->memory, recovery.journals.numbers);
	memory_put(spool->env->memory, recovery.freed.numbers);
	return error == OK ? visit_messages(&recovery) : error;
}
