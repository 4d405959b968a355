/*
 * Memory of one role, counted. Everything a role allocates hangs on its `struct memory`, so that a
 * role can be dropped whole (the simulator's kill) and so that a limit can be set. Not shared
 * between threads.
 */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include "base/error.h"

#include <stddef.h>

struct memory;

/* No limit when limit_bytes is 0. Aborts when even this small allocation fails. */
struct memory *memory_new(size_t limit_bytes);

/* Frees the account and everything that still hangs on it. */
void memory_free(struct memory **memory);

/* For sizes that input decides: NULL when the limit or the machine says no. Zeroed. */
MUST_CHECK void *memory_try(struct memory *memory, size_t size);

/* For small fixed sizes of our own: aborts instead of returning NULL. Zeroed. */
MUST_CHECK void *memory_get(struct memory *memory, size_t size);

/* As realloc; on failure NULL, and the old block stays. New bytes are not zeroed. */
MUST_CHECK void *memory_resize(struct memory *memory, void *block, size_t size);

/* Takes NULL. */
void memory_put(struct memory *memory, void *block);

/* Bytes asked for and not yet given back. */
size_t memory_used(const struct memory *memory);

#endif
