/* The same protocol as the rings between processes (ipc/ring.c), without the mistrust: both sides
 * are this program. */
#include "queue/handoff.h"

void
handoff_init(
	struct handoff *handoff, struct env *env, size_t slot_bytes, uint32_t capacity, int wake_fd)
{
	*handoff = (struct handoff){.slot_bytes = (slot_bytes + 63) & ~(size_t)63,
		.capacity = capacity,
		.wake_fd = wake_fd};
	handoff->slots = memory_get(env->memory, handoff->slot_bytes * capacity);
}

void
handoff_done(struct handoff *handoff, struct env *env)
{
	memory_put(env->memory, handoff->slots);
	handoff->slots = NULL;
}

uint32_t
handoff_room(const struct handoff *handoff)
{
	return handoff->capacity -
	       (atomic_load_explicit(&handoff->tail, memory_order_acquire) -
		       atomic_load_explicit(&handoff->head, memory_order_acquire));
}

uint32_t
handoff_put_count(const struct handoff *handoff)
{
	return atomic_load(&handoff->tail);
}

bool
handoff_was_taken(const struct handoff *handoff, uint32_t put_count)
{
	return (int32_t)(atomic_load(&handoff->head) - put_count) >= 0;
}

void *
handoff_slot(struct handoff *handoff)
{
	uint32_t tail = atomic_load_explicit(&handoff->tail, memory_order_relaxed);

	return handoff_room(handoff) == 0
		       ? NULL
		       : handoff->slots + (tail & (handoff->capacity - 1)) * handoff->slot_bytes;
}

void
handoff_put(struct handoff *handoff)
{
	atomic_fetch_add(&handoff->tail, 1);
}

void
handoff_wake(struct handoff *handoff, const struct env *env)
{
	if (atomic_load(&handoff->taker_sleeps) != 0 &&
		atomic_exchange(&handoff->taker_sleeps, 0) != 0)
		env->poll->wake_signal(env->world, handoff->wake_fd);
}

void *
handoff_first(struct handoff *handoff)
{
	uint32_t head = atomic_load_explicit(&handoff->head, memory_order_relaxed);

	if (atomic_load_explicit(&handoff->tail, memory_order_acquire) == head)
		return NULL;
	return handoff->slots + (head & (handoff->capacity - 1)) * handoff->slot_bytes;
}

void *
handoff_nth(struct handoff *handoff, uint32_t n)
{
	uint32_t head = atomic_load_explicit(&handoff->head, memory_order_relaxed);

	return handoff->slots + ((head + n) & (handoff->capacity - 1)) * handoff->slot_bytes;
}

void
handoff_free(struct handoff *handoff)
{
	atomic_fetch_add(&handoff->head, 1);
}

bool
handoff_may_sleep(struct handoff *handoff)
{
	atomic_store(&handoff->taker_sleeps, 1);
	/* Sequentially consistent, as the store before it and the putter's pair: one of the two
	 * sees the other. */
	return atomic_load(&handoff->tail) == atomic_load(&handoff->head);
}

void
handoff_woke(struct handoff *handoff)
{
	atomic_store_explicit(&handoff->taker_sleeps, 0, memory_order_relaxed);
}
