/*
 * Allocations with one common end of life (a session, a transaction, a parse). Nothing is freed
 * alone. The maximum counts all bytes ever taken since the last clear.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/memory.h"
#include "base/slice.h"

struct arena_block;

struct arena {
	struct memory *memory;
	struct arena_block *blocks;
	size_t used;
	size_t max;
};

void arena_init(struct arena *arena, struct memory *memory, size_t max_bytes);
void arena_done(struct arena *arena);

/* Gives all of it back. The arena can be used again. */
void arena_clear(struct arena *arena);

/* Zeroed, 16-byte aligned; NULL when the maximum or the account says no. */
MUST_CHECK void *arena_take(struct arena *arena, size_t size);

/* A copy that lives as long as the arena. False when it does not fit. */
MUST_CHECK bool arena_copy(struct arena *arena, struct slice bytes, struct slice *ret_copy);

/* The same with a NUL behind it, for libc's border; NULL when it does not fit or holds a NUL
 * itself. */
MUST_CHECK char *arena_text(struct arena *arena, struct slice bytes);

#endif
