/*
 * A lane is in its pool's ready list exactly while it has parts, room in its own window, and is
 * open. The pool's own room is looked at when a part is taken, so that a change of it costs nothing
 * for 50,000 lanes. Closed lanes lie in a heap by the time they open.
 *
 * Nothing here fails after lane_init but the splitting of a lane into lines, and without memory for
 * those its parts stay in one line: later, not lost.
 */
#include "schedule/lane.h"

#define OPENED_A_TURN 16 /* closed lanes that open with one part that is taken */

enum { READY_PROVEN, READY_UNPROVEN };

void
lane_pool_init(struct lane_pool *pool, struct memory *memory)
{
	*pool = (struct lane_pool){.memory = memory};
	list_init(&pool->ready[READY_PROVEN]);
	list_init(&pool->ready[READY_UNPROVEN]);
	heap_init(&pool->closed, memory);
}

void
lane_pool_done(struct lane_pool *pool)
{
	heap_done(&pool->closed);
}

void
lane_pool_set_window(struct lane_pool *pool, uint32_t window)
{
	pool->window = window;
}

/* Puts the lane where it belongs now: at the end of a ready list, or into none. */
static void
lane_place(struct lane *lane, struct lane_pool *pool)
{
	bool is_ready = lane->fresh_count + lane->tried_count > 0 && !lane->is_closed &&
			!lane->is_paused && lane->under_way < lane->window;

	if (is_ready && list_is_empty(&lane->ready))
		list_append(&pool->ready[lane->is_proven ? READY_PROVEN : READY_UNPROVEN],
			&lane->ready);
	else if (!is_ready)
		list_remove(&lane->ready);
}

enum error
lane_init(struct lane *lane, struct lane_pool *pool, const struct lane_limits *limits)
{
	enum error error = heap_reserve(&pool->closed, pool->lanes + 1);

	if (error != OK)
		return error;
	pool->lanes++;
	lane->limits = *limits;
	lane->window = limits->window_first;
	list_init(&lane->ready);
	list_init(&lane->fresh);
	list_init(&lane->tried);
	return OK;
}

void
lane_done(struct lane *lane, struct lane_pool *pool)
{
	heap_remove(&pool->closed, &lane->closed);
	list_remove(&lane->ready);
	memory_put(pool->memory, lane->lines);
	lane->lines = NULL;
	pool->lanes--;
}

bool
lane_is_idle(const struct lane *lane)
{
	return lane->fresh_count + lane->tried_count + lane->under_way == 0 && !lane->is_closed;
}

static struct list *
line_of(struct lane *lane, const struct lane_part *part)
{
	if (part->was_tried)
		return &lane->tried;
	return lane->lines ? &lane->lines[part->sender % LANE_LINES] : &lane->fresh;
}

/* One sender's thousands shall not stand before another's one. */
static void
lane_split(struct lane *lane, struct lane_pool *pool)
{
	struct list *link;

	lane->lines = memory_try(pool->memory, LANE_LINES * sizeof *lane->lines);
	if (!lane->lines)
		return;
	for (unsigned i = 0; i < LANE_LINES; i++)
		list_init(&lane->lines[i]);
	while ((link = list_take(&lane->fresh)) != NULL)
		list_append(line_of(lane, list_entry(link, struct lane_part, link)), link);
}

/* The lines go when they are empty, so that 50,000 lanes that were long once keep none. */
static void
lane_unsplit(struct lane *lane, struct lane_pool *pool)
{
	if (lane->fresh_count > 0 || !lane->lines)
		return;
	memory_put(pool->memory, lane->lines);
	lane->lines = NULL;
}

void
lane_add(struct lane *lane, struct lane_pool *pool, struct lane_part *part)
{
	if (!part->was_tried && !lane->lines && lane->fresh_count >= LANE_SPLIT)
		lane_split(lane, pool);
	list_append(line_of(lane, part), &part->link);
	lane->tried_count += part->was_tried;
	lane->fresh_count += !part->was_tried;
	lane_place(lane, pool);
}

static void
lane_forget(struct lane *lane, struct lane_pool *pool, struct lane_part *part)
{
	list_remove(&part->link);
	lane->tried_count -= part->was_tried;
	lane->fresh_count -= !part->was_tried;
	lane_unsplit(lane, pool);
}

void
lane_remove(struct lane *lane, struct lane_pool *pool, struct lane_part *part)
{
	if (!part->link.next || list_is_empty(&part->link))
		return;
	lane_forget(lane, pool, part);
	lane_place(lane, pool);
}

/* The first of the line whose turn it is. */
static struct list *
next_fresh(struct lane *lane)
{
	if (!lane->lines)
		return lane->fresh.next;
	while (list_is_empty(&lane->lines[lane->line % LANE_LINES]))
		lane->line++;
	return lane->lines[lane->line++ % LANE_LINES].next;
}

static struct lane_part *
lane_take(struct lane *lane, struct lane_pool *pool)
{
	bool takes_tried =
		lane->tried_count > 0 && (lane->fresh_count == 0 || lane->turn >= LANE_NEW_TURNS);
	struct list *link = takes_tried ? lane->tried.next : next_fresh(lane);
	struct lane_part *part = list_entry(link, struct lane_part, link);

	lane->turn = takes_tried ? 0 : lane->turn + 1;
	lane_forget(lane, pool, part);
	return part;
}

/* Those whose time has come get one part each, to see. */
static void
open_due(struct lane_pool *pool, mono_us now)
{
	struct heap_node *first;

	for (int i = 0; i < OPENED_A_TURN; i++) {
		first = heap_first(&pool->closed);
		if (!first || first->key > now)
			return;
		struct lane *lane = heap_entry(first, struct lane, closed);
		heap_remove(&pool->closed, first);
		lane->is_closed = false;
		lane->window = 1;
		lane_place(lane, pool);
	}
}

/* NULL: none is ready, or none that there is room for. */
static struct lane *
next_lane(struct lane_pool *pool)
{
	uint32_t half = pool->window > 1 ? pool->window / 2 : 1;

	for (int i = 0; i < 2; i++) {
		unsigned which = pool->turn++ % 2;
		struct list *ready = &pool->ready[which];
		if (list_is_empty(ready))
			continue;
		if (which == READY_UNPROVEN && pool->unproven_under_way >= half)
			continue;
		return list_entry(ready->next, struct lane, ready);
	}
	return NULL;
}

bool
lane_pool_take(
	struct lane_pool *pool, mono_us now, struct lane **ret_lane, struct lane_part **ret_part)
{
	open_due(pool, now);
	if (pool->under_way >= pool->window)
		return false;
	struct lane *lane = next_lane(pool);
	if (!lane)
		return false;
	*ret_part = lane_take(lane, pool);
	*ret_lane = lane;
	lane->under_way++;
	pool->under_way++;
	pool->unproven_under_way += !lane->is_proven;
	list_remove(&lane->ready);
	lane_place(lane, pool);
	return true;
}

/* What is under way counts as the lane's: proven or not. */
static void
lane_set_proven(struct lane *lane, struct lane_pool *pool, bool is_proven)
{
	if (lane->is_proven == is_proven)
		return;
	lane->is_proven = is_proven;
	if (is_proven)
		pool->unproven_under_way -= lane->under_way;
	else
		pool->unproven_under_way += lane->under_way;
	list_remove(&lane->ready);
}

/* Closed for longer each time in a row; what was under way already is no new reason. */
static void
lane_close(struct lane *lane, struct lane_pool *pool, mono_us now)
{
	int64_t wait_us = lane->limits.close_first_us;

	if (lane->is_closed || wait_us <= 0)
		return;
	for (uint32_t i = 0; i < lane->closings && wait_us < lane->limits.close_max_us; i++)
		wait_us *= 2;
	lane->closings++;
	lane->closed.key =
		now + (wait_us < lane->limits.close_max_us ? wait_us : lane->limits.close_max_us);
	/* lane_init has reserved its place. */
	lane->is_closed = heap_insert(&pool->closed, &lane->closed) == OK;
}

void
lane_end(struct lane *lane, struct lane_pool *pool, mono_us now, enum lane_outcome outcome)
{
	uint32_t max = lane->limits.window_max;

	lane->under_way--;
	pool->under_way--;
	pool->unproven_under_way -= !lane->is_proven;
	lane->worked += outcome == LANE_WORKED;
	lane->deferred += outcome == LANE_DEFERS;
	lane->failed += outcome == LANE_FAILED;
	if (outcome == LANE_WORKED) {
		lane->window = lane->window < max / 2 ? lane->window * 2 : max;
		lane->closings = 0;
		if (lane->is_closed)
			heap_remove(&pool->closed, &lane->closed);
		lane->is_closed = false;
		lane_set_proven(lane, pool, true);
	} else if (outcome == LANE_DEFERS) {
		lane->window = lane->window > 1 ? lane->window / 2 : 1;
	} else if (outcome == LANE_FAILED) {
		lane_set_proven(lane, pool, false);
		lane_close(lane, pool, now);
	}
	lane_place(lane, pool);
}

void
lane_open(struct lane *lane, struct lane_pool *pool)
{
	heap_remove(&pool->closed, &lane->closed);
	lane->is_closed = false;
	lane->closings = 0;
	lane_place(lane, pool);
}

void
lane_set_paused(struct lane *lane, struct lane_pool *pool, bool is_paused)
{
	lane->is_paused = is_paused;
	lane_place(lane, pool);
}

mono_us
lane_pool_next_open(const struct lane_pool *pool)
{
	const struct heap_node *first = heap_first(&pool->closed);

	return first ? first->key : MONO_NEVER;
}
