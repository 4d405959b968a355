/*
 * Lanes: a destination's due parts, what is under way to it and how much may be, and its back-off.
 * A pool is the lanes that the same carriers serve. The question is always "what next?", and its
 * answer costs the same however many lanes and parts there are. Pure: clock values come in as
 * arguments, parts and lanes lie in their owners' structs.
 *
 * Rules: round robin between the lanes that are ready; in a lane seven parts that were never tried
 * to one that was; among the new ones by turn between groups of senders, oldest first in a group.
 * Lanes without success of late hold at most half of the pool's window together, so that a thousand
 * destinations that hang leave room for the others. A lane whose destination does not work is
 * closed for a while, then gets one part as a probe.
 */
#ifndef SCHEDULE_LANE_H
#define SCHEDULE_LANE_H

#include "base/clock.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/memory.h"

#define LANE_SPLIT     32 /* new parts from which on each group of senders has a line of its own */
#define LANE_LINES     64 /* groups of senders, by hash */
#define LANE_NEW_TURNS 7  /* new parts for one that was tried before */

/* Zeroed at first. */
struct lane_part {
	struct list link;
	uint32_t sender; /* a keyed hash of who sent it: login or network, never the reverse path */
	bool was_tried;
};

struct lane_limits {
	uint32_t window_first; /* under way at the same time before the first success; at least 1 */
	uint32_t window_max;
	int64_t close_first_us; /* the first time that a destination does not work; doubles */
	int64_t close_max_us;
};

enum lane_outcome {
	LANE_WORKED,  /* the destination took part, whatever it said of recipients */
	LANE_DEFERS,  /* it answers, but takes nothing now */
	LANE_FAILED,  /* no connection, no answer */
	LANE_UNTRIED, /* for reasons of ours */
};

struct lane_pool {
	struct memory *memory;
	struct list ready[2]; /* lanes with success of late, and without; they take turns */
	unsigned turn;
	struct heap closed;
	size_t lanes;
	uint32_t window; /* of its carriers together; 0: there is none now */
	uint32_t under_way;
	uint32_t unproven_under_way;
};

struct lane {
	struct lane_limits limits;
	struct list ready;       /* of the pool */
	struct heap_node closed; /* in the pool's while it is */
	struct list fresh;       /* new parts while they are few */
	struct list *lines;      /* LANE_LINES of them, once there were many */
	unsigned line;           /* whose turn it is */
	struct list tried;
	uint32_t fresh_count, tried_count;
	unsigned turn; /* new parts since one that was tried before */
	uint32_t window;
	uint32_t under_way;
	uint32_t closings; /* in a row */
	bool is_closed;
	bool is_paused; /* by a person, until a person says otherwise */
	bool is_proven; /* the last outcome was LANE_WORKED */
	uint64_t worked, failed, deferred;
};

void lane_pool_init(struct lane_pool *pool, struct memory *memory);
void lane_pool_done(struct lane_pool *pool);

/* How much its carriers take together from now on. */
void lane_pool_set_window(struct lane_pool *pool, uint32_t window);

/* The lane, zeroed, joins the pool. ERROR_NO_MEMORY. */
MUST_CHECK enum error
lane_init(struct lane *lane, struct lane_pool *pool, const struct lane_limits *limits);

/* With no part in it and none under way. */
void lane_done(struct lane *lane, struct lane_pool *pool);

/* Nothing due, nothing under way, open: nothing would be lost with it. */
bool lane_is_idle(const struct lane *lane);

/* The part is due. */
void lane_add(struct lane *lane, struct lane_pool *pool, struct lane_part *part);

/* Takes a part out of its line; harmless for one that is in none. */
void lane_remove(struct lane *lane, struct lane_pool *pool, struct lane_part *part);

/*
 * The next part and its lane; the part is in no line then and counts as under way until lane_end.
 * False: nothing is ready, or there is no room; something may be at lane_pool_next_open.
 */
bool lane_pool_take(
	struct lane_pool *pool, mono_us now, struct lane **ret_lane, struct lane_part **ret_part);

/* What lane_pool_take gave out is over. */
void lane_end(struct lane *lane, struct lane_pool *pool, mono_us now, enum lane_outcome outcome);

/* Opens a closed lane before its time: what closed it is over. */
void lane_open(struct lane *lane, struct lane_pool *pool);

/* Nothing is given out of a paused lane; what is under way goes on. */
void lane_set_paused(struct lane *lane, struct lane_pool *pool, bool is_paused);

/* When the next closed lane opens; MONO_NEVER. */
mono_us lane_pool_next_open(const struct lane_pool *pool);

#endif
