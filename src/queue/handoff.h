/*
 * A bounded line of equal slots from one thread to another inside `queue`. One side puts, the other
 * takes; neither waits: a full line says so, and the sleeper is woken through a counter.
 */
#ifndef QUEUE_HANDOFF_H
#define QUEUE_HANDOFF_H

#include "base/env.h"

#include <stdatomic.h>

struct handoff {
	uint8_t *slots;
	size_t slot_bytes;
	uint32_t capacity; /* a power of two */
	int wake_fd;       /* of the taker */
	/* The two sides' words lie on cache lines of their own, without asking for more alignment
	 * than memory accounts give. */
	uint8_t apart_before[64];
	_Atomic uint32_t tail;
	_Atomic uint32_t taker_sleeps;
	uint8_t apart_between[64];
	_Atomic uint32_t head;
};

/* wake_fd stays the caller's. */
void handoff_init(struct handoff *handoff, struct env *env, size_t slot_bytes, uint32_t capacity,
	int wake_fd);
void handoff_done(struct handoff *handoff, struct env *env);

/* The putter: how many more fit; the next free slot (NULL: full), shown to the taker by
 * handoff_put. */
uint32_t handoff_room(const struct handoff *handoff);
void *handoff_slot(struct handoff *handoff);
void handoff_put(struct handoff *handoff);
/* Wakes the taker if it sleeps. */
void handoff_wake(struct handoff *handoff, const struct env *env);

/* How many were put so far, modulo 2^32; and whether the taker has freed as many. */
uint32_t handoff_put_count(const struct handoff *handoff);
bool handoff_was_taken(const struct handoff *handoff, uint32_t put_count);

/* The taker: the oldest slot (NULL: empty), its own until handoff_free. */
void *handoff_first(struct handoff *handoff);
void handoff_free(struct handoff *handoff);
/* The n-th oldest; there are more than n. */
void *handoff_nth(struct handoff *handoff, uint32_t n);
bool handoff_may_sleep(struct handoff *handoff);
void handoff_woke(struct handoff *handoff);

#endif
