/*
 * One link a ring: the mapping, its private list of block chains. A link lives until the last
 * acceptance that has blocks in it is over. The worker's loop publishes submissions and takes
 * completions once a turn (the hook), so that a burst of finished messages costs the queue one
 * wake-up.
 *
 * Blocks are shared by rule, since a message holds its own until its end, which is as far off as
 * its sender likes. Each has a floor that is its alone, enough to stream a content: what is behind
 * its first octets goes to the queue in pieces. The rest is lent, so that what is not large travels
 * whole, and while it is scarce, the slowest for what it holds hands over what it has. The first
 * octets are held back, since a header may be changed until the end.
 */
#include "session/ring_store.h"
#include "base/log_record.h"
#include "ipc/ring.h"
#include "session/ring_patch.h"

#include <stdlib.h>

#define NO_BLOCK        UINT32_MAX
#define RING_RECLAIM_US (US_PER_S / 4) /* between two looks for one that is slow */

struct ring_acceptance;

struct ring_link {
	struct ring_producer ring;
	uint32_t *next; /* the chains as we made them: the shared links are never read back */
	int memory_fd;
	int queue_wake_fd;
	uint32_t floor_taken; /* blocks that acceptances have of their floors */
	unsigned users;
	bool dead;
};

struct ring_acceptance {
	struct acceptance acceptance;
	struct ring_store *store;
	struct ring_link *link;
	uint32_t token;
	uint32_t first, last;
	uint64_t bytes;    /* filled so far: content, later content and envelope */
	uint64_t capacity; /* of the chain's blocks */
	bool submitted;    /* and not answered */
	bool is_ending;    /* what was submitted is the last: all, the commit, or the abort */
	bool waits_for_block;
	/* A content that goes to the queue in pieces: the first RING_STREAM_HEAD octets are held
	 * back, behind them in the chain is what was not sent yet. */
	uint64_t streamed;     /* octets behind the head that the queue has */
	uint32_t piece_blocks; /* of the piece that is under way; 0: none is */
	uint64_t piece_bytes;
	bool is_streamed; /* the queue knows of it */
	enum error lost;  /* what was streamed is gone: it will be refused at its end */
	struct ring_patch *patches, *last_patch;
	mono_us window_at; /* of its pace: since when it is looked at */
	uint64_t window_bytes;
	bool answered;
	bool abandoned; /* nobody waits for the answer any more; the token is free when it comes */
	struct ring_completion answer;
	struct task_event settled; /* the answer is there, or the link is dead */
};

struct ring_store {
	struct accept_store accept;
	struct env *env;
	struct ring_link *link; /* NULL while there is no queue */
	int wake_fd;
	struct watch wake;
	struct ring_acceptance *slots[RING_ENTRIES];
	uint32_t free_tokens[RING_ENTRIES];
	uint32_t free_token_count;
	struct task_event changed; /* a free block or token, another link */
	struct ring_acceptance
		*large;  /* the one that may take the last blocks; NULL: the next that wants to */
	uint32_t active; /* tokens that are taken */
	mono_us reclaim_at; /* when slow ones are looked for again */
	struct loop_hook hook;
	void (*broken)(void *arg); /* NULL: nobody asks */
	void *broken_arg;
};

static struct ring_acceptance *
of(struct acceptance *acceptance)
{
	return (struct ring_acceptance *)acceptance;
}

static void
link_unuse(struct ring_store *store, struct ring_link *link)
{
	struct env *env = store->env;

	if (--link->users > 0 || !link->dead)
		return;
	ring_producer_close(&link->ring);
	memory_put(env->memory, link->next);
	env->net->close(env->world, link->memory_fd);
	env->net->close(env->world, link->queue_wake_fd);
	memory_put(env->memory, link);
}

/* So many may be under way in it. */
static uint32_t
acceptances_max(const struct ring_link *link)
{
	uint32_t max = link->ring.blocks / RING_BLOCKS_EACH;

	return max < RING_ENTRIES ? max : RING_ENTRIES;
}

/* Blocks that are nobody's floor. */
static uint32_t
link_shared(const struct ring_link *link)
{
	return link->ring.blocks - acceptances_max(link) * RING_FLOOR_BLOCKS;
}

/* What it has of its floor. */
static uint32_t
acceptance_floor_blocks(const struct ring_acceptance *a)
{
	uint64_t held = a->capacity / RING_BLOCK_BYTES;

	return held < RING_FLOOR_BLOCKS ? (uint32_t)held : RING_FLOOR_BLOCKS;
}

static void
acceptance_free_blocks(struct ring_acceptance *a)
{
	a->link->floor_taken -= acceptance_floor_blocks(a);
	for (uint32_t block = a->first, next; block != NO_BLOCK; block = next) {
		next = a->link->next[block];
		ring_block_put(&a->link->ring, block);
	}
	a->first = a->last = NO_BLOCK;
	a->bytes = a->capacity = 0;
}

static void
acceptance_end(struct ring_acceptance *a)
{
	struct ring_store *store = a->store;

	acceptance_free_blocks(a);
	ring_patches_free(store->env->memory, &a->patches);
	link_unuse(store, a->link);
	if (store->large == a)
		store->large = NULL;
	store->slots[a->token] = NULL;
	store->free_tokens[store->free_token_count++] = a->token;
	store->active--;
	memory_put(store->env->memory, a);
	task_event_signal(&store->changed);
}

/* May wait: until there is a living link. */
static enum error
store_wait_for_link(struct ring_store *store, mono_us deadline)
{
	struct loop *loop = store->env->loop;
	mono_us hold = loop_deadline(loop, RING_STORE_HOLD_US);

	if (deadline > hold)
		deadline = hold;
	while (!store->link) {
		enum error error = task_event_wait(loop, &store->changed, deadline);
		if (error == ERROR_TIMEOUT)
			return ERROR_CLOSED;
		if (error != OK)
			return error;
	}
	return OK;
}

static bool
ring_is_full(const struct accept_store *accept)
{
	const struct ring_store *store = (const struct ring_store *)accept;

	return store->link && ring_producer_no_space(&store->link->ring);
}

static enum error
ring_begin(struct accept_store *accept, mono_us deadline, struct acceptance **ret_acceptance)
{
	struct ring_store *store = (struct ring_store *)accept;
	enum error error = store_wait_for_link(store, deadline);

	while (error == OK && store->active >= acceptances_max(store->link)) {
		error = task_event_wait(store->env->loop, &store->changed, deadline);
		if (error == OK)
			error = store_wait_for_link(store, deadline);
	}
	if (error != OK)
		return error;
	if (ring_is_full(accept))
		return ERROR_NO_SPACE;
	struct ring_acceptance *a = memory_try(store->env->memory, sizeof *a);
	if (!a)
		return ERROR_NO_MEMORY;
	*a = (struct ring_acceptance){.acceptance = {accept},
		.store = store,
		.link = store->link,
		.first = NO_BLOCK,
		.last = NO_BLOCK};
	task_event_init(&a->settled);
	a->token = store->free_tokens[--store->free_token_count];
	store->active++;
	a->window_at = loop_now(store->env->loop);
	a->link->users++;
	store->slots[a->token] = a;
	*ret_acceptance = &a->acceptance;
	return OK;
}

/* What it holds beyond its floor. */
static uint32_t
acceptance_shared_blocks(const struct ring_acceptance *a)
{
	uint64_t held = a->capacity / RING_BLOCK_BYTES;

	return held > RING_FLOOR_BLOCKS ? (uint32_t)(held - RING_FLOOR_BLOCKS) : 0;
}

/* Free blocks of the link that are nobody's floor. */
static uint32_t
link_shared_free(const struct ring_link *link)
{
	uint32_t floors = acceptances_max(link) * RING_FLOOR_BLOCKS - link->floor_taken;

	return link->ring.free_count > floors ? link->ring.free_count - floors : 0;
}

/*
 * A message lies in the ring as a whole before it is handed over. Each has a floor that no other
 * can take. Beyond it, if all took blocks as they come, large messages could take them all, each
 * waiting for the others'. So whoever would leave less than half of them free becomes the large
 * one, of which there is one at a time; what it has counts as free here, since it gives it back. A
 * message of up to half of what is no floor always comes to its end.
 */
static enum error
acceptance_take_block(struct ring_acceptance *a, uint32_t *ret_block)
{
	struct ring_store *store = a->store;
	struct ring_acceptance *self =
		store->slots[a->token]; /* also for a copy that is being moved */
	const struct ring_acceptance *large = store->large;

	if (a->capacity < (uint64_t)RING_FLOOR_BLOCKS * RING_BLOCK_BYTES) {
		enum error error = ring_block_take(&a->link->ring, ret_block);
		a->link->floor_taken += error == OK;
		return error;
	}
	uint32_t shared = link_shared_free(a->link), free_blocks = shared;
	if (large && large->link == a->link)
		free_blocks += acceptance_shared_blocks(large);
	if (free_blocks <= link_shared(a->link) / 2) {
		if (large && large != self)
			return ERROR_AGAIN;
		store->large = self;
	}
	return shared > 0 ? ring_block_take(&a->link->ring, ret_block) : ERROR_AGAIN;
}

static void
acceptance_watch_pace(struct ring_acceptance *a, mono_us now)
{
	a->window_at = now;
	a->window_bytes = a->bytes;
}

static uint32_t
head_last(const struct ring_acceptance *a)
{
	uint32_t block = a->first;

	for (uint32_t i = 1; i < RING_STREAM_HEAD / RING_BLOCK_BYTES; i++)
		block = a->link->next[block];
	return block;
}

/* Hands over so many octets behind the head, in so many blocks of the chain, without waiting. */
static void
acceptance_submit_piece(struct ring_acceptance *a, uint32_t blocks, uint64_t bytes)
{
	struct ring_submission submission = {.token = a->token,
		.first_block = a->link->next[head_last(a)],
		.content_bytes = bytes,
		.kind = RING_MORE,
		.offset = RING_STREAM_HEAD + a->streamed};

	a->piece_blocks = blocks;
	a->piece_bytes = bytes;
	a->is_streamed = true;
	a->submitted = true;
	a->answered = false;
	ring_submit(&a->link->ring, &submission);
}

/* The queue has the piece, or has given the content up: its blocks are free either way. */
static void
acceptance_end_piece(struct ring_acceptance *a)
{
	uint32_t before = head_last(a), block = a->link->next[before];

	for (uint32_t i = 0; i < a->piece_blocks; i++) {
		uint32_t next = a->link->next[block];
		ring_block_put(&a->link->ring, block);
		block = next;
	}
	a->link->next[before] = block;
	if (block == NO_BLOCK)
		a->last = before;
	else
		ring_block_link(&a->link->ring, before, block);
	a->link->floor_taken -= acceptance_floor_blocks(a);
	a->capacity -= (uint64_t)a->piece_blocks * RING_BLOCK_BYTES;
	a->link->floor_taken += acceptance_floor_blocks(a);
	a->bytes -= a->piece_bytes;
	a->streamed += a->piece_bytes;
	a->piece_blocks = 0;
	if (a->store->large == a && acceptance_shared_blocks(a) == 0)
		a->store->large = NULL;
	acceptance_watch_pace(a, loop_now(a->store->env->loop));
	task_event_signal(&a->store->changed);
}

/* All whole blocks behind the head but the last, into which octets may be on their way. */
static bool
acceptance_can_shrink(const struct ring_acceptance *a)
{
	return !a->submitted && !a->lost && a->capacity > RING_STREAM_HEAD + RING_BLOCK_BYTES;
}

static void
acceptance_shrink(struct ring_acceptance *a)
{
	uint64_t bytes = a->capacity - RING_STREAM_HEAD - RING_BLOCK_BYTES;

	acceptance_submit_piece(a, (uint32_t)(bytes / RING_BLOCK_BYTES), bytes);
}

/*
 * By how many octets it is behind. It must be so fast that it would send what it holds once more in
 * RING_PATIENCE_US: the more it holds, the faster. 0: it is, or it is not known yet.
 */
static uint64_t
acceptance_slowness(struct ring_acceptance *a, mono_us now)
{
	uint64_t held = (uint64_t)acceptance_shared_blocks(a) * RING_BLOCK_BYTES;
	mono_us elapsed = now - a->window_at;

	if (!acceptance_can_shrink(a) || a->waits_for_block || elapsed < RING_WINDOW_US)
		return 0;
	if (elapsed > 2 * RING_WINDOW_US) { /* it says too little of now */
		acceptance_watch_pace(a, now);
		return 0;
	}
	uint64_t sent = a->bytes - a->window_bytes;
	uint64_t needed = held * (uint64_t)elapsed / RING_PATIENCE_US;
	if (sent < needed)
		return needed - sent;
	acceptance_watch_pace(a, now);
	return 0;
}

/* Somebody waits for blocks: who has many and sends little hands over what is in them, the worst
 * first. */
static void
store_reclaim(struct ring_store *store)
{
	mono_us now = loop_now(store->env->loop);
	struct ring_acceptance *worst = NULL;
	uint64_t most = 0;

	if (now < store->reclaim_at)
		return;
	store->reclaim_at = now + RING_RECLAIM_US;
	for (uint32_t token = 0; token < RING_ENTRIES; token++) {
		struct ring_acceptance *a = store->slots[token];
		if (!a || a->link != store->link)
			continue;
		uint64_t slowness = acceptance_slowness(a, now);
		if (slowness > most) {
			most = slowness;
			worst = a;
		}
	}
	if (worst)
		acceptance_shrink(worst);
}

/* May wait: until there may be a block. */
static enum error
acceptance_wait_for_block(struct ring_acceptance *a, mono_us deadline)
{
	struct ring_store *store = a->store;
	struct loop *loop = store->env->loop;
	mono_us look = loop_deadline(loop, RING_RECLAIM_US);
	bool is_last = deadline <= look;

	a->waits_for_block = true;
	enum error error = task_event_wait(loop, &store->changed, is_last ? deadline : look);
	a->waits_for_block = false;
	acceptance_watch_pace(a, loop_now(loop));
	if (error == OK || (error == ERROR_TIMEOUT && !is_last)) {
		store_reclaim(store);
		return OK;
	}
	return error;
}

/* How long the chain of a content may become. */
static uint64_t
capacity_max(const struct ring_acceptance *a)
{
	return a->is_streamed ? RING_STREAM_CHAIN : RING_WHOLE_MAX;
}

/* May wait: one more block at the end of the chain. ERROR_LIMIT, where the content may be streamed:
 * what is behind its head has to go first. */
static enum error
acceptance_grow(struct ring_acceptance *a, bool may_stream, mono_us deadline)
{
	uint32_t block;

	if (may_stream && a->capacity >= capacity_max(a))
		return ERROR_LIMIT;

	for (;;) {
		enum error error = acceptance_take_block(a, &block);
		if (error == OK)
			break;
		if (may_stream && a->capacity > RING_STREAM_HEAD) {
			/* The caller hands over what it has, so it is none of those. */
			acceptance_watch_pace(a, loop_now(a->store->env->loop));
			store_reclaim(a->store);
			return ERROR_LIMIT;
		}
		error = acceptance_wait_for_block(a, deadline);
		if (error != OK)
			return error;
		if (a->link->dead)
			return ERROR_AGAIN; /* the caller moves to the new link first */
	}
	a->link->next[block] = NO_BLOCK;
	if (a->first == NO_BLOCK) {
		a->first = block;
	} else {
		a->link->next[a->last] = block;
		ring_block_link(&a->link->ring, a->last, block);
	}
	a->last = block;
	a->capacity += RING_BLOCK_BYTES;
	return OK;
}

/* May wait: room behind what is filled. ERROR_AGAIN: the link died meanwhile. */
static enum error
acceptance_room(struct ring_acceptance *a, bool may_stream, mono_us deadline, uint8_t **ret_ptr,
	size_t *ret_len)
{
	size_t used = a->bytes % RING_BLOCK_BYTES;

	if (a->bytes == a->capacity) {
		enum error error = acceptance_grow(a, may_stream, deadline);
		if (error != OK)
			return error;
	}
	*ret_ptr = ring_block_ptr(&a->link->ring, a->last) + used;
	*ret_len = RING_BLOCK_BYTES - used;
	return OK;
}

/* May wait. ERROR_AGAIN: the link died meanwhile. */
static enum error
acceptance_append(struct ring_acceptance *a, struct slice bytes, mono_us deadline)
{
	while (bytes.len > 0) {
		uint8_t *room;
		size_t len;
		enum error error = acceptance_room(a, false, deadline, &room, &len);
		if (error != OK)
			return error;
		struct slice piece = slice_sub(bytes, 0, len);
		memcpy(room, piece.ptr, piece.len);
		a->bytes += piece.len;
		bytes = slice_from(bytes, piece.len);
	}
	return OK;
}

/* May wait: copies what `from` holds behind what `to` holds. */
static enum error
acceptance_copy(struct ring_acceptance *to, struct ring_acceptance *from, mono_us deadline)
{
	uint64_t left = from->bytes;
	enum error error = OK;

	for (uint32_t block = from->first; error == OK && left > 0;
		block = from->link->next[block]) {
		uint64_t piece = left < RING_BLOCK_BYTES ? left : RING_BLOCK_BYTES;
		error = acceptance_append(
			to, slice_of(ring_block_ptr(&from->link->ring, block), piece), deadline);
		left -= piece;
	}
	return error;
}

/* May wait: after the queue died, takes what has not been handed over along to the next one. */
static enum error
acceptance_move(struct ring_acceptance *a, mono_us deadline)
{
	while (a->link->dead) {
		struct ring_acceptance moved = *a;
		enum error error = store_wait_for_link(a->store, deadline);
		if (error != OK)
			return error;
		moved.link = a->store->link;
		moved.link->users++;
		moved.first = moved.last = NO_BLOCK;
		moved.bytes = moved.capacity = 0;
		/* A queue without space may have nobody who takes it. */
		error = ring_producer_no_space(&moved.link->ring)
				? ERROR_NO_SPACE
				: acceptance_copy(&moved, a, deadline);
		if (error == OK) {
			struct ring_link *old = a->link;
			acceptance_free_blocks(a);
			a->link = moved.link;
			a->first = moved.first;
			a->last = moved.last;
			a->bytes = moved.bytes;
			a->capacity = moved.capacity;
			link_unuse(a->store, old);
			continue;
		}
		acceptance_free_blocks(&moved);
		link_unuse(a->store, moved.link);
		if (error != ERROR_AGAIN)
			return error;
	}
	return OK;
}

/* What an answer to a piece means for what follows. */
static enum error
error_of_answer(const struct ring_completion *answer)
{
	switch (answer->status) {
	case RING_TAKEN:
		return OK;
	case RING_NO_SPACE:
		return ERROR_NO_SPACE;
	default:
		return ERROR_IO;
	}
}

/* May wait: until no piece is under way. An error is for good. */
static enum error
acceptance_settle(struct ring_acceptance *a, mono_us deadline)
{
	while (a->submitted && !a->link->dead) {
		enum error error = task_event_wait(a->store->env->loop, &a->settled, deadline);
		if (error != OK)
			return error;
	}
	if (a->is_streamed && a->link->dead && a->lost == OK)
		a->lost = ERROR_IO; /* with the queue that had it */
	return a->lost;
}

/* May wait: all that is behind the head goes to the queue. */
static enum error
acceptance_send_piece(struct ring_acceptance *a, mono_us deadline)
{
	uint64_t bytes = a->bytes - RING_STREAM_HEAD;
	uint64_t blocks = (a->capacity - RING_STREAM_HEAD) / RING_BLOCK_BYTES;

	acceptance_submit_piece(a, (uint32_t)blocks, bytes);
	return acceptance_settle(a, deadline);
}

static enum error
ring_room(struct acceptance *acceptance, mono_us deadline, uint8_t **ret_ptr, size_t *ret_len)
{
	struct ring_acceptance *a = of(acceptance);
	enum error error;

	do {
		error = acceptance_settle(a, deadline);
		if (error == OK)
			error = acceptance_move(a, deadline);
		if (error == OK)
			error = acceptance_room(a, true, deadline, ret_ptr, ret_len);
		if (error == ERROR_LIMIT) {
			error = acceptance_send_piece(a, deadline);
			error = error == OK ? ERROR_AGAIN : error;
		}
	} while (error == ERROR_AGAIN);
	return error;
}

static void
ring_fill(struct acceptance *acceptance, size_t len)
{
	of(acceptance)->bytes += len;
}

/* UNSAFE: they lie in the chain */
static void
chain_overwrite(struct ring_acceptance *a, uint64_t at, struct slice octets)
{
	uint32_t block = a->first;

	for (; at >= RING_BLOCK_BYTES; at -= RING_BLOCK_BYTES)
		block = a->link->next[block];
	while (octets.len > 0) {
		struct slice piece = slice_sub(octets, 0, RING_BLOCK_BYTES - (size_t)at);
		memcpy(ring_block_ptr(&a->link->ring, block) + at, piece.ptr, piece.len);
		octets = slice_from(octets, piece.len);
		block = a->link->next[block];
		at = 0;
	}
}

static void
ring_overwrite(struct acceptance *acceptance, uint64_t at, struct slice octets)
{
	struct ring_acceptance *a = of(acceptance);

	if (!a->is_streamed) {
		chain_overwrite(a, at, octets);
		return;
	}
	if (at < RING_STREAM_HEAD) {
		struct slice piece = slice_sub(octets, 0, (size_t)(RING_STREAM_HEAD - at));
		chain_overwrite(a, at, piece);
		octets = slice_from(octets, piece.len);
		at += piece.len;
	}
	/* What lies behind the head is sent by then. */
	if (octets.len > 0 &&
		!ring_patch_append(a->store->env->memory, &a->patches, &a->last_patch, at, octets))
		a->lost = ERROR_NO_MEMORY;
}

/* May wait: puts the envelope behind the content. */
static enum error
acceptance_add_envelope(struct ring_acceptance *a, const struct envelope *envelope,
	mono_us deadline, uint32_t *ret_bytes)
{
	static const uint8_t padding[8];
	struct memory *memory = a->store->env->memory;
	uint64_t content_bytes = a->bytes;
	struct buffer bytes;

	buffer_init(&bytes, memory, ENVELOPE_BYTES_MAX);
	envelope_encode(envelope, &bytes);
	enum error error = buffer_error(&bytes);
	while (error == OK) {
		/* After a move in mid-copy only the content was complete: start again behind it. */
		error = acceptance_append(
			a, slice_of(padding, (8 - content_bytes % 8) % 8), deadline);
		if (error == OK)
			error = acceptance_append(a, buffer_slice(&bytes), deadline);
		if (error != ERROR_AGAIN)
			break;
		a->bytes = content_bytes;
		error = a->is_streamed ? ERROR_IO : acceptance_move(a, deadline);
	}
	*ret_bytes = (uint32_t)bytes.len;
	buffer_done(&bytes);
	return error;
}

static enum accept_outcome
outcome_of(const struct ring_completion *answer)
{
	static const enum accept_outcome outcomes[RING_STATUSES] = {
		[RING_DURABLE] = ACCEPT_DURABLE,
		[RING_FAILED] = ACCEPT_FAILED,
		[RING_NO_SPACE] = ACCEPT_NO_SPACE,
		[RING_UNKNOWN] = ACCEPT_UNKNOWN,
		[RING_TAKEN] = ACCEPT_FAILED, /* no answer to that */
	};

	return outcomes[answer->status];
}

/* May wait: for the queue's answer. Whoever stops waiting leaves the acceptance to the answer, or
 * to the end of the link. */
static enum accept_outcome
acceptance_await(struct ring_acceptance *a, mono_us deadline, uint64_t *ret_id)
{
	while (!a->answered && !a->link->dead) {
		enum error error = task_event_wait(a->store->env->loop, &a->settled, deadline);
		if (error != OK && !a->answered && !a->link->dead) {
			a->abandoned = true;
			return ACCEPT_UNKNOWN;
		}
	}
	enum accept_outcome outcome = a->answered ? outcome_of(&a->answer) : ACCEPT_UNKNOWN;
	if (outcome == ACCEPT_DURABLE)
		*ret_id = a->answer.queue_id;
	acceptance_end(a);
	return outcome;
}

static enum accept_outcome
outcome_of_error(enum error error)
{
	switch (error) {
	case ERROR_CLOSED:
		return ACCEPT_UNAVAILABLE;
	case ERROR_NO_SPACE:
		return ACCEPT_NO_SPACE;
	default:
		return ACCEPT_FAILED;
	}
}

/* May wait: one patch, in blocks behind the head that go again with it. */
static enum error
acceptance_send_patch(struct ring_acceptance *a, const struct ring_patch *patch, mono_us deadline)
{
	enum error error = acceptance_append(a, slice_of(patch->octets, patch->len), deadline);

	if (error != OK)
		return error;
	struct ring_submission submission = {.token = a->token,
		.first_block = a->link->next[head_last(a)],
		.content_bytes = patch->len,
		.kind = RING_PATCH,
		.offset = patch->at};
	uint64_t streamed = a->streamed;
	a->piece_blocks = (uint32_t)((a->capacity - RING_STREAM_HEAD) / RING_BLOCK_BYTES);
	a->piece_bytes = patch->len;
	a->submitted = true;
	a->answered = false;
	ring_submit(&a->link->ring, &submission);
	error = acceptance_settle(a, deadline);
	a->streamed = streamed;
	return error;
}

/* May wait: afterwards the chain is the head, and the queue has all that comes behind it as it
 * shall be. */
static enum error
acceptance_end_stream(struct ring_acceptance *a, mono_us deadline)
{
	enum error error = acceptance_settle(a, deadline);

	if (error == OK && a->bytes > RING_STREAM_HEAD)
		error = acceptance_send_piece(a, deadline);
	if (error == OK && a->capacity > RING_STREAM_HEAD) {
		/* A block without octets. */
		a->piece_blocks = (uint32_t)((a->capacity - RING_STREAM_HEAD) / RING_BLOCK_BYTES);
		a->piece_bytes = 0;
		acceptance_end_piece(a);
	}
	for (struct ring_patch *patch = a->patches; error == OK && patch; patch = patch->next)
		error = acceptance_send_patch(a, patch, deadline);
	return error == ERROR_AGAIN ? ERROR_IO : error;
}

/* Ends what was not handed over whole; of a stream the queue has to hear. */
static void
acceptance_abort(struct ring_acceptance *a)
{
	struct ring_submission submission = {.token = a->token, .kind = RING_ABORT};
	bool queue_has_it = a->is_streamed && !a->link->dead && a->lost != ERROR_IO &&
			    a->lost != ERROR_NO_SPACE;

	if (!queue_has_it && !(a->submitted && !a->link->dead)) {
		acceptance_end(a);
		return;
	}
	a->abandoned = true;
	if (a->submitted)
		return; /* first the answer to that */
	a->is_ending = true;
	a->submitted = true;
	a->answered = false;
	ring_submit(&a->link->ring, &submission);
}

static enum accept_outcome
ring_commit(struct acceptance *acceptance, const struct envelope *envelope, mono_us deadline,
	uint64_t *ret_id)
{
	struct ring_acceptance *a = of(acceptance);
	struct ring_submission submission = {.token = a->token};
	enum error error = acceptance_settle(a, deadline);

	if (error == OK && a->is_streamed)
		error = acceptance_end_stream(a, deadline);
	else if (error == OK)
		error = acceptance_move(a, deadline);
	submission.content_bytes = a->bytes;
	if (error == OK)
		error = acceptance_add_envelope(a, envelope, deadline, &submission.envelope_bytes);
	if (error != OK) {
		acceptance_abort(a);
		return outcome_of_error(error);
	}
	submission.first_block = a->first;
	submission.kind = a->is_streamed ? RING_COMMIT : RING_WHOLE;
	ring_submit(&a->link->ring, &submission);
	a->is_ending = true;
	a->submitted = true;
	a->answered = false;
	return acceptance_await(a, deadline, ret_id);
}

static void
ring_abort(struct acceptance *acceptance)
{
	if (acceptance)
		acceptance_abort(of(acceptance));
}

static const struct accept_store_ops ring_accept_ops = {
	ring_is_full, ring_begin, ring_room, ring_fill, ring_overwrite, ring_commit, ring_abort};

static void
acceptance_answered(struct ring_acceptance *a, const struct ring_completion *answer)
{
	a->submitted = false;
	a->answer = *answer;
	a->answered = true;
	if (!a->is_ending) {
		acceptance_end_piece(a);
		if (a->lost == OK)
			a->lost = error_of_answer(answer);
	}
	if (!a->abandoned)
		task_event_signal(&a->settled);
	else if (a->is_ending)
		acceptance_end(a);
	else
		acceptance_abort(a);
}

/* A queue that breaks the ring's rules is as good as dead. */
static void
store_take_answers(struct ring_store *store)
{
	struct ring_completion answer;
	enum error error = OK;

	while (store->link && (error = ring_take_completion(&store->link->ring, &answer)) == OK) {
		struct ring_acceptance *a = store->slots[answer.token];
		if (!a || a->link != store->link || !a->submitted) {
			error = ERROR_DAMAGED;
			break;
		}
		acceptance_answered(a, &answer);
	}
	if (error == ERROR_DAMAGED) {
		log_event(store->env, LOG_ERROR, "queue_broke_the_rules",
			LOG_STRING("effect", "no mail is taken until there is another"));
		ring_store_disconnect(store);
		if (store->broken)
			store->broken(store->broken_arg);
	}
}

void
ring_store_on_broken(struct ring_store *store, void (*broken)(void *arg), void *arg)
{
	store->broken = broken;
	store->broken_arg = arg;
}

static void
store_end_turn(void *arg)
{
	struct ring_store *store = arg;

	if (!store->link)
		return;
	ring_publish(&store->link->ring);
	store_take_answers(store);
	if (store->link)
		ring_publish(&store->link->ring); /* what an answer has led to */
}

static bool
store_may_sleep(void *arg)
{
	struct ring_store *store = arg;

	return !store->link || ring_producer_may_sleep(&store->link->ring);
}

static void
store_woke(void *arg)
{
	struct ring_store *store = arg;

	if (!store->link)
		return;
	ring_producer_woke(&store->link->ring);
	store_take_answers(store);
}

struct ring_store *
ring_store_new(struct env *env, int wake_fd)
{
	struct ring_store *store = memory_get(env->memory, sizeof *store);

	store->accept.ops = &ring_accept_ops;
	store->env = env;
	store->wake_fd = wake_fd;
	if (watch_open(&store->wake, env->loop, wake_fd, POLL_READABLE) != OK)
		abort(); /* at start-up, with a descriptor from root: without it the worker would
			    never hear an answer */
	task_event_init(&store->changed);
	for (uint32_t token = RING_ENTRIES; token-- > 0;)
		store->free_tokens[store->free_token_count++] = token;
	store->hook = (struct loop_hook){.end_turn = store_end_turn,
		.before_sleep = store_may_sleep,
		.after_sleep = store_woke,
		.arg = store};
	loop_add_hook(env->loop, &store->hook);
	return store;
}

void
ring_store_free(struct ring_store **store)
{
	if (!*store)
		return;
	ring_store_disconnect(*store);
	loop_remove_hook(&(*store)->hook);
	watch_close(&(*store)->wake);
	(*store)->env->net->close((*store)->env->world, (*store)->wake_fd);
	memory_put((*store)->env->memory, *store);
	*store = NULL;
}

struct accept_store *
ring_store_accept(struct ring_store *store)
{
	return &store->accept;
}

enum error
ring_store_connect(struct ring_store *store, int memory_fd, int queue_wake_fd)
{
	struct env *env = store->env;
	struct ring_link *link = memory_get(env->memory, sizeof *link);
	enum error error = ring_producer_open(&link->ring, env, memory_fd, queue_wake_fd);

	ring_store_disconnect(store);
	link->memory_fd = memory_fd;
	link->queue_wake_fd = queue_wake_fd;
	link->users = 1;
	if (error == OK) {
		link->next = memory_try(env->memory, link->ring.blocks * sizeof *link->next);
		error = link->next ? OK : ERROR_NO_MEMORY;
	}
	if (error != OK) {
		link->dead = true;
		link_unuse(store, link);
		return error;
	}
	store->link = link;
	task_event_signal(&store->changed);
	return OK;
}

void
ring_store_disconnect(struct ring_store *store)
{
	struct ring_link *link = store->link;

	if (!link)
		return;
	store->link = NULL;
	link->dead = true;
	store->large = NULL;
	for (uint32_t token = 0; token < RING_ENTRIES; token++) {
		struct ring_acceptance *a = store->slots[token];
		if (!a || a->link != link)
			continue;
		if (a->abandoned)
			acceptance_end(a);
		else
			task_event_signal(&a->settled);
	}
	link_unuse(store, link);
	task_event_signal(&store->changed);
}
