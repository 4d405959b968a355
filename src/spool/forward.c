/*
 * Copying forward: a few messages that stay must not hold the segments of all those that went (I4).
 * While sealed segments are more than twice what lives in them, and a few besides, the one with the
 * least is emptied: its messages are added to the present batch as copies, and only once that is
 * flushed they have another place (RECORD_MOVED). The segment goes as any other, by SEGMENT_FREE
 * behind that in the journal, and not before all readers have heard of the new places.
 *
 * Beside new mail no more is copied than half of what was written, and always little a commit: the
 * clients wait for it.
 */
#include "spool/spool_private.h"

#define FORWARD_BYTES      262144u          /* a commit, or one message that is larger */
#define FORWARD_BYTES_MIN  32768u           /* of credit, so that a commit is worth its looking */
#define FORWARD_ENTRIES    4096u            /* of the index that are looked at in a call */
#define FORWARD_LOOK_US    (50 * US_PER_MS) /* between looks for a segment, beside new mail */
#define FORWARD_RETRY_US   (10 * US_PER_S)
#define FORWARD_CREDIT_PER 2 /* of so many octets written one may be copied */

static uint64_t
file_bytes(const struct spool *spool, const struct segment *segment)
{
	return segment->header.block != 0 ? segment->header.size : spool->options.segment_bytes;
}

static bool
can_be_emptied(const struct segment *segment)
{
	return segment->flags == SEGMENT_SEALED && !segment->is_left && !segment->stays &&
	       !segment->is_apart;
}

static uint64_t
live_bytes(const struct segment *segment)
{
	return segment->live > 0 ? segment->live_bytes : 0;
}

/* The one to empty; NULL: there is enough in them. */
static struct segment *
choose(const struct spool *spool, bool is_idle)
{
	uint64_t sparse = spool->options.sparse_segments + (is_idle ? 0 : 1);
	uint64_t bytes = 0, live = 0;
	struct segment *least = NULL;

	for (size_t i = 0; i < spool->segment_count; i++) {
		struct segment *segment = &spool->segments[i];
		if (!can_be_emptied(segment))
			continue;
		bytes += file_bytes(spool, segment);
		live += live_bytes(segment);
		if (segment->live > 0 && (!least || live_bytes(segment) < live_bytes(least)))
			least = segment;
	}
	return bytes > 2 * live + sparse * spool->options.segment_bytes ? least : NULL;
}

static void
leave(struct spool *spool)
{
	if (spool->forward.fd != NO_FD)
		spool->env->disk->close(spool->env->world, spool->forward.fd);
	spool->forward.fd = NO_FD;
}

/* What can't be copied (damaged, or not to be read) stays, and with it the segment. */
static void
give_up(struct spool *spool)
{
	struct segment *segment = segment_find(spool, spool->forward.segment);

	if (segment)
		segment->stays = true;
	leave(spool);
}

static bool
begin(struct spool *spool, bool is_idle)
{
	struct forward *forward = &spool->forward;
	mono_us now = env_monotonic(spool->env);

	if (!is_idle && now < forward->look_at)
		return false;
	struct segment *segment = choose(spool, is_idle);
	if (!segment) {
		forward->look_at = now + FORWARD_LOOK_US;
		return false;
	}
	forward->segment = segment->number;
	forward->next_entry = 0;
	enum error error =
		spool_open_segment(spool->env, spool->dir_fd, segment->number, &forward->fd);
	if (error == OK)
		return true;
	forward->fd = NO_FD;
	forward->retry_at = now + FORWARD_RETRY_US;
	segment->stays = error != ERROR_NO_MEMORY && error != ERROR_NO_DESCRIPTORS;
	return false;
}

/* Of this segment, and such that it can be copied. `ret_bad`: it can't be. */
static bool
entry_is_wanted(const struct forward *forward, const struct index_entry *entry, bool *ret_bad)
{
	if (entry->flags & (ENTRY_PENDING | ENTRY_STUB | ENTRY_MOVING) ||
		!(entry->flags & ENTRY_COUNTED))
		return false;
	if (entry->message_segment != forward->segment)
		return false;
	*ret_bad = (entry->flags & ENTRY_DAMAGED) != 0;
	return true;
}

static bool
lies_apart(const struct index_entry *entry)
{
	return entry->message_segment != entry->content_segment;
}

/* A content with a file of its own stays there; its head says what the copy has to. */
static enum error
read_apart_head(struct spool *spool, const struct spool_reference *content, struct record *ret_head)
{
	int fd;
	enum error error = spool_open_segment(spool->env, spool->dir_fd, content->segment, &fd);

	if (error != OK)
		return error == ERROR_NOT_FOUND ? ERROR_DAMAGED : error;
	error = record_read_head(spool->env, fd, content, ret_head);
	spool->env->disk->close(spool->env->world, fd);
	return error;
}

/* Content, unless it stays where it is, and envelope, one behind the other. */
static enum error
read_both(struct spool *spool, const struct index_entry *entry, struct record *ret_content,
	struct buffer *bytes)
{
	struct spool_reference message = entry_message(entry), content = entry_content(entry);
	int fd = spool->forward.fd;

	enum error error = lies_apart(entry)
				   ? read_apart_head(spool, &content, ret_content)
				   : record_read_head(spool->env, fd, &content, ret_content);
	if (error == OK && !lies_apart(entry))
		error = spool_read_record(spool->env, fd, &content, bytes);
	if (error == OK)
		error = spool_read_record(spool->env, fd, &message, bytes);
	return error;
}

/* ERROR_LIMIT: the batch, or the segment that takes it, has no room. */
static enum error
add_copy(struct spool *spool, struct index_entry *entry, const struct record *content,
	const struct buffer *bytes)
{
	struct forward *forward = &spool->forward;
	struct moving *moving = &forward->moving[forward->count];
	size_t size = lies_apart(entry) ? 0 : (size_t)content->size;
	struct iovec piece = {bytes->ptr, size};
	struct message_prefix apart = {entry_content(entry), content->crc, content->flags};
	struct addition adding = {.content = &piece,
		.content_pieces = 1,
		.apart = lies_apart(entry) ? &apart : NULL,
		.content_flags = content->flags,
		.payload = slice_from(buffer_slice(bytes), size),
		.is_copy = true};
	uint64_t payload = adding.payload.len;

	if (!spool_has_room(spool, size, payload))
		return ERROR_LIMIT;
	enum error error = spool_begin_batch(spool, spool_message_bytes(size, payload));
	if (error == OK)
		error = spool_add_records(
			spool, &adding, entry->queue_id, &moving->to.message, &moving->to.content);
	if (error != OK)
		return error;
	entry->flags |= ENTRY_MOVING;
	moving->bytes = bytes->ptr;
	forward->count++;
	return OK;
}

/* The batch holds the octets until it is written. */
static enum error
copy(struct spool *spool, struct index_entry *entry)
{
	struct record content;
	struct buffer bytes;

	buffer_init(&bytes, spool->env->memory, SIZE_MAX);
	enum error error = read_both(spool, entry, &content, &bytes);
	if (error == OK)
		error = add_copy(spool, entry, &content, &bytes);
	if (error != OK)
		buffer_done(&bytes);
	return error;
}

/* Without a batch to go with it a copy must not be what makes a segment: only one that is there, or
 * ready, takes it. */
static bool
has_place(const struct spool *spool, uint64_t bytes)
{
	const struct active *active = &spool->active;

	if (spool->batch.count > 0)
		return true; /* spool_has_room tells */
	if (active->state == ACTIVE_STARTED &&
		logfile_round_up(BATCH_HEAD_BYTES + bytes, active->header.block) <=
			active->header.size - active->end)
		return true;
	return spool->spare_count > 0 && spool->spares[0].flushed;
}

/* What a call may still copy. */
struct allowance {
	uint32_t messages;
	uint64_t bytes;
	bool is_idle;
};

/* Whether so much may go now: one large message may be more than a call's share. */
static bool
allow(struct spool *spool, struct allowance *left, uint64_t bytes)
{
	struct forward *forward = &spool->forward;

	if (left->messages == 0 || (bytes > left->bytes && forward->count > 0) ||
		(!left->is_idle && bytes > forward->credit) || !has_place(spool, bytes))
		return false;
	left->messages--;
	left->bytes -= bytes < left->bytes ? bytes : left->bytes;
	if (!left->is_idle)
		forward->credit -= bytes;
	return true;
}

/* False: no more in this call. */
static bool
look_at_entry(struct spool *spool, struct index_entry *entry, struct allowance *left)
{
	struct forward *forward = &spool->forward;
	bool is_bad = false;

	if (!entry || !entry_is_wanted(forward, entry, &is_bad))
		return true;
	if (is_bad) {
		give_up(spool);
		return false;
	}
	uint64_t content_bytes = lies_apart(entry) ? 0 : entry->content_size;
	if (!allow(spool, left, spool_message_bytes(content_bytes, entry->message_size)))
		return false;
	enum error error = copy(spool, entry);
	if (error == ERROR_DAMAGED || error == ERROR_IO) {
		give_up(spool);
		return false;
	}
	if (error != OK && error != ERROR_LIMIT) /* as it is with no memory */
		forward->retry_at = env_monotonic(spool->env) + FORWARD_RETRY_US;
	return error == OK;
}

/* Entries of the index in turn, a bounded number of them. Whether any was passed. */
static bool
look_at_entries(struct spool *spool, struct allowance *left)
{
	struct forward *forward = &spool->forward;
	uint32_t limit = index_limit(&spool->index), first = forward->next_entry;

	for (uint32_t i = 0; i < FORWARD_ENTRIES && forward->next_entry < limit; i++) {
		struct index_entry *entry = index_at(&spool->index, forward->next_entry);
		if (!look_at_entry(spool, entry, left))
			return forward->fd == NO_FD || forward->next_entry > first;
		forward->next_entry++;
	}
	/* All that lived there is on its way: if it is not, it is not tried over and over. */
	if (forward->next_entry >= limit)
		give_up(spool);
	return true;
}

uint32_t
spool_forward(struct spool *spool, uint32_t messages_max, bool is_idle, bool *ret_more)
{
	struct forward *forward = &spool->forward;
	uint32_t room = SPOOL_MOVES_MAX - forward->count;
	struct allowance left = {messages_max < room ? messages_max : room, FORWARD_BYTES, is_idle};

	*ret_more = false;
	forward->moved = 0;
	if ((!is_idle && forward->credit < FORWARD_BYTES_MIN) ||
		env_monotonic(spool->env) < forward->retry_at)
		return forward->count;
	if (forward->fd == NO_FD && !begin(spool, is_idle))
		return forward->count;
	*ret_more = look_at_entries(spool, &left);
	return forward->count;
}

/* The entry has the new place from here on; what was left of the old segment may go when all
 * readers know. */
static void
move_entry(struct spool *spool, struct index_entry *entry, const struct spool_move *to)
{
	struct segment *from = segment_find(spool, entry->message_segment);

	segment_count_entry(spool, entry, false);
	entry_set_message(entry, &to->message);
	entry_set_content(entry, &to->content);
	entry->flags |= ENTRY_COPIED;
	segment_count_entry(spool, entry, true);
	if (from)
		from->is_left = true;
	/* Without memory for the record only a new journal's state can say it. */
	if (journal_add_moved(spool, to) != OK)
		spool->journal.broken = true;
}

/* Whether the message has a new place. */
static bool
settle_one(struct spool *spool, const struct spool_move *to, bool durable)
{
	struct index_entry *entry = index_find(&spool->index, to->message.queue_id);

	/* It may have ended meanwhile; then the journal does not speak of the copy. */
	if (!entry || entry->flags & ENTRY_STUB)
		return false;
	entry->flags &= ~(uint32_t)ENTRY_MOVING;
	if (durable)
		move_entry(spool, entry, to);
	return durable;
}

/* The segment can be tried again, but not at once. */
static void
step_back(struct spool *spool)
{
	struct segment *segment = segment_find(spool, spool->forward.segment);

	if (segment)
		segment->stays = false;
	leave(spool);
	spool->forward.retry_at = env_monotonic(spool->env) + FORWARD_RETRY_US;
}

void
forward_settle(struct spool *spool, bool durable)
{
	struct forward *forward = &spool->forward;

	forward->moved = 0;
	for (uint32_t i = 0; i < forward->count; i++) {
		struct moving moving = forward->moving[i];
		memory_put(spool->env->memory, moving.bytes);
		moving.bytes = NULL;
		if (settle_one(spool, &moving.to, durable))
			forward->moving[forward->moved++] = moving;
	}
	if (forward->count > 0 && !durable)
		step_back(spool);
	forward->count = 0;
}

void
forward_earn(struct spool *spool, uint64_t bytes)
{
	struct forward *forward = &spool->forward;

	if (spool->added_count == 0)
		return; /* copies alone */
	forward->credit += bytes / FORWARD_CREDIT_PER;
	if (forward->credit > spool->options.segment_bytes)
		forward->credit = spool->options.segment_bytes;
}

const struct spool_move *
spool_moved(const struct spool *spool, uint32_t n)
{
	return n < spool->forward.moved ? &spool->forward.moving[n].to : NULL;
}

bool
spool_moves_are_known(struct spool *spool)
{
	bool any = false;

	for (size_t i = 0; i < spool->segment_count; i++) {
		struct segment *segment = &spool->segments[i];
		any |= segment->is_left && segment->live == 0;
		segment->is_left = false;
	}
	return any;
}

void
forward_done(struct spool *spool)
{
	for (uint32_t i = 0; i < spool->forward.count; i++)
		memory_put(spool->env->memory, spool->forward.moving[i].bytes);
	spool->forward.count = 0;
	memory_put(spool->env->memory, spool->forward.moving);
	leave(spool);
}
