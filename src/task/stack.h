/* Stacks for tasks: equal in size, each with a guard page below, taken from a pool that grows in
 * slabs and never shrinks. */
#ifndef TASK_STACK_H
#define TASK_STACK_H

#include "base/env.h"

#include <stdbool.h>

#if defined(__SANITIZE_ADDRESS__)
#define STACK_BYTES (256 * 1024)
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STACK_BYTES (256 * 1024)
#endif
#endif
#ifndef STACK_BYTES
#define STACK_BYTES (64 * 1024)
#endif
#define STACK_GUARD_BYTES 4096

struct stack_pool;

/* One stack: [low, low + bytes) is usable, the guard lies below. */
struct stack {
	uint8_t *low;
	size_t bytes;
	unsigned valgrind_id;
};

struct stack_pool *stack_pool_new(struct env *env, bool paint);

/* Unmaps all stacks, also those in use. */
void stack_pool_free(struct stack_pool **pool);

MUST_CHECK enum error stack_take(struct stack_pool *pool, struct stack *ret_stack);
void stack_put(struct stack_pool *pool, struct stack *stack);

/* Gives the pages below `used_from` back to the kernel; the stack keeps working. */
void stack_trim(const struct stack *stack, const void *used_from);

/* Octets from the top down to the deepest one ever written; for painted stacks, while the paint is
 * of this use. */
size_t stack_peak(const struct stack *stack);

#endif
