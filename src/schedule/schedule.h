/*
 * When a message is tried next, and which messages are due. Pure: clock values and random numbers
 * come in as arguments; the same arguments give the same answers on every machine.
 */
#ifndef SCHEDULE_SCHEDULE_H
#define SCHEDULE_SCHEDULE_H

#include "base/clock.h"
#include "base/heap.h"

#define SCHEDULE_JITTER_PERCENT 10

struct schedule_policy {
	int64_t first_us;  /* from the first failure to the second attempt; at least 1 */
	int64_t max_us;    /* intervals double up to this; at least first_us */
	int64_t expire_us; /* from arrival to giving up */
};

struct schedule_decision {
	bool expired;    /* no further attempt: the message has failed */
	wall_us next_at; /* else */
};

/*
 * After attempt number `attempts` (from 1) has failed at `now`. The interval is first_us doubled
 * attempts-1 times, at most max_us, moved by up to 10 % either way as `random` says, so that what
 * failed together does not come back together. What would be due after the message's end is tried
 * once more at that end; at or after it the message has expired. A clock that was set back never
 * makes `next_at` lie before `now`.
 */
struct schedule_decision schedule_retry(const struct schedule_policy *policy, wall_us arrived_at,
	wall_us now, uint32_t attempts, uint64_t random);

/* What waits for its time. The entry lies in the owner's struct, zeroed at first. */
struct schedule_entry {
	struct heap_node node;
};

#define schedule_owner(entry, type, member) ((type *)((char *)(entry)-offsetof(type, member)))

/* Entries by due time, those of one time in the order in which they were added. */
struct schedule_queue {
	struct heap heap;
};

void schedule_queue_init(struct schedule_queue *queue, struct memory *memory);

/* The entries stay the owners'. */
void schedule_queue_done(struct schedule_queue *queue);

/* ERROR_NO_MEMORY; ERROR_EXISTS: it waits already (schedule_move). */
MUST_CHECK enum error
schedule_add(struct schedule_queue *queue, struct schedule_entry *entry, wall_us due_at);

/* Gives a waiting entry another time; never fails. False: it does not wait. */
bool schedule_move(struct schedule_queue *queue, struct schedule_entry *entry, wall_us due_at);

/* Harmless for an entry that does not wait. */
void schedule_remove(struct schedule_queue *queue, struct schedule_entry *entry);

bool schedule_contains(const struct schedule_queue *queue, const struct schedule_entry *entry);
size_t schedule_count(const struct schedule_queue *queue);

/* When the first entry is due; INT64_MAX when none waits. */
wall_us schedule_next_due(const struct schedule_queue *queue);

/*
 * Takes out what is due at `now`, the longest due first, at most `max` entries: the bound of one
 * turn. Their number; if it is `max`, more may be due.
 */
size_t schedule_take_due(
	struct schedule_queue *queue, wall_us now, struct schedule_entry **ret_entries, size_t max);

#endif
