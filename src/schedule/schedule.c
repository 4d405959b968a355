/*
 * Retry times (RFC 5321 section 4.5.4.1: not at once, with growing intervals, for days) and the
 * queue of due times over the heap of base/.
 *
 * Every sum is bounded before it is made: the times come from records on disk, which may be
 * damaged, and from a clock that anybody may have set.
 */
#include "schedule/schedule.h"

static int64_t
add_bounded(int64_t a, int64_t b)
{
	int64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return b < 0 ? INT64_MIN : INT64_MAX;
	return sum;
}

static int64_t
interval_of(const struct schedule_policy *policy, uint32_t attempts)
{
	int64_t interval = policy->first_us;

	for (uint32_t i = 1; i < attempts && interval < policy->max_us; i++)
		interval = interval > policy->max_us / 2 ? policy->max_us : interval * 2;
	return interval < policy->max_us ? interval : policy->max_us;
}

/* Between -10 % and +10 % of the interval, each microsecond about equally likely. */
static int64_t
jitter_of(int64_t interval, uint64_t random)
{
	int64_t reach = interval / 100 * SCHEDULE_JITTER_PERCENT +
			interval % 100 * SCHEDULE_JITTER_PERCENT / 100;

	return (int64_t)(random % ((uint64_t)reach * 2 + 1)) - reach;
}

struct schedule_decision
schedule_retry(const struct schedule_policy *policy, wall_us arrived_at, wall_us now,
	uint32_t attempts, uint64_t random)
{
	wall_us expires_at = add_bounded(arrived_at, policy->expire_us);
	int64_t interval = interval_of(policy, attempts);

	if (now >= expires_at)
		return (struct schedule_decision){.expired = true};
	wall_us next_at = add_bounded(now, add_bounded(interval, jitter_of(interval, random)));
	return (struct schedule_decision){.next_at = next_at < expires_at ? next_at : expires_at};
}

void
schedule_queue_init(struct schedule_queue *queue, struct memory *memory)
{
	heap_init(&queue->heap, memory);
}

void
schedule_queue_done(struct schedule_queue *queue)
{
	heap_done(&queue->heap);
}

enum error
schedule_add(struct schedule_queue *queue, struct schedule_entry *entry, wall_us due_at)
{
	if (heap_contains(&queue->heap, &entry->node))
		return ERROR_EXISTS;
	entry->node.key = due_at;
	return heap_insert(&queue->heap, &entry->node);
}

bool
schedule_move(struct schedule_queue *queue, struct schedule_entry *entry, wall_us due_at)
{
	if (!heap_contains(&queue->heap, &entry->node))
		return false;
	heap_remove(&queue->heap, &entry->node);
	entry->node.key = due_at;
	/* The heap keeps room for the node that just left, so this can't fail. */
	return heap_insert(&queue->heap, &entry->node) == OK;
}

void
schedule_remove(struct schedule_queue *queue, struct schedule_entry *entry)
{
	heap_remove(&queue->heap, &entry->node);
}

bool
schedule_contains(const struct schedule_queue *queue, const struct schedule_entry *entry)
{
	return heap_contains(&queue->heap, &entry->node);
}

size_t
schedule_count(const struct schedule_queue *queue)
{
	return queue->heap.count;
}

wall_us
schedule_next_due(const struct schedule_queue *queue)
{
	const struct heap_node *first = heap_first(&queue->heap);

	return first ? first->key : INT64_MAX;
}

size_t
schedule_take_due(
	struct schedule_queue *queue, wall_us now, struct schedule_entry **ret_entries, size_t max)
{
	size_t count = 0;

	while (count < max) {
		struct heap_node *first = heap_first(&queue->heap);
		if (!first || first->key > now)
			break;
		heap_remove(&queue->heap, first);
		ret_entries[count++] = heap_entry(first, struct schedule_entry, node);
	}
	return count;
}
