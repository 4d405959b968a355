/*
 * Slabs of STACKS_A_SLAB stacks in one mapping. The guard page is a guard region of the page tables
 * where the kernel has it (MADV_GUARD_INSTALL, Linux 6.13): it splits no mapping, so there is no
 * limit near 32,000 stacks as with mprotect, the fallback.
 *
 * A painted pool fills a stack when it is taken and reads the peak when it is put back. Painting
 * touches every page: test builds only.
 */
#include "task/stack.h"

#include <string.h>
#include <sys/mman.h>

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef VALGRIND_STACK_REGISTER
#define VALGRIND_STACK_REGISTER(start, end) 0
#define VALGRIND_STACK_DEREGISTER(id)       ((void)(id))
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define STACKS_A_SLAB 32
#define SLAB_BYTES    ((size_t)STACKS_A_SLAB * STACK_BYTES)
#define PAINT         0xa5

struct stack_slab {
	struct stack_slab *next;
	uint8_t *low;
};

struct free_stack {
	struct free_stack *next;
};

struct stack_pool {
	struct env *env;
	struct stack_slab *slabs;
	struct free_stack *free; /* the link lies in the top bytes of the free stack, which are
				    resident anyway */
	bool paint;
};

struct stack_pool *
stack_pool_new(struct env *env, bool paint)
{
	struct stack_pool *pool = memory_get(env->memory, sizeof *pool);

	pool->env = env;
	pool->paint = paint;
	return pool;
}

void
stack_pool_free(struct stack_pool **pool)
{
	struct stack_slab *next;

	if (!*pool)
		return;
	for (struct stack_slab *slab = (*pool)->slabs; slab; slab = next) {
		next = slab->next;
		munmap(slab->low, SLAB_BYTES);
		memory_put((*pool)->env->memory, slab);
	}
	memory_put((*pool)->env->memory, *pool);
	*pool = NULL;
}

/* UNSAFE: the link of a free stack lies at its very top */
static struct free_stack *
free_stack_of(uint8_t *slot)
{
	return (struct free_stack *)(void *)(slot + STACK_BYTES - sizeof(struct free_stack));
}

static bool
stack_guard(uint8_t *slot)
{
	if (madvise(slot, STACK_GUARD_BYTES, MADV_GUARD_INSTALL) == 0)
		return true;
	return mprotect(slot, STACK_GUARD_BYTES, PROT_NONE) == 0;
}

static enum error
stack_pool_grow(struct stack_pool *pool)
{
	struct stack_slab *slab = memory_try(pool->env->memory, sizeof *slab);

	if (!slab)
		return ERROR_NO_MEMORY;
	void *low = mmap(NULL, SLAB_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (low == MAP_FAILED) {
		memory_put(pool->env->memory, slab);
		return ERROR_NO_MEMORY;
	}
	slab->low = low;
	slab->next = pool->slabs;
	pool->slabs = slab;
	for (size_t i = STACKS_A_SLAB; i-- > 0;) {
		/* UNSAFE: slot i of the mapping just made */
		uint8_t *slot = slab->low + i * STACK_BYTES;
		if (!stack_guard(slot))
			continue; /* a stack that can't be guarded is never used */
		struct free_stack *link = free_stack_of(slot);
		link->next = pool->free;
		pool->free = link;
	}
	return pool->free ? OK : ERROR_NO_MEMORY;
}

enum error
stack_take(struct stack_pool *pool, struct stack *ret_stack)
{
	if (!pool->free) {
		enum error error = stack_pool_grow(pool);
		if (error != OK)
			return error;
	}
	struct free_stack *link = pool->free;
	pool->free = link->next;
	/* UNSAFE: back from the link to the bottom of its slot, above the guard */
	ret_stack->low = (uint8_t *)(link + 1) - STACK_BYTES + STACK_GUARD_BYTES;
	ret_stack->bytes = STACK_BYTES - STACK_GUARD_BYTES;
	ret_stack->valgrind_id =
		VALGRIND_STACK_REGISTER(ret_stack->low, ret_stack->low + ret_stack->bytes);
	if (pool->paint)
		memset(ret_stack->low, PAINT, ret_stack->bytes);
	return OK;
}

void
stack_put(struct stack_pool *pool, struct stack *stack)
{
	VALGRIND_STACK_DEREGISTER(stack->valgrind_id);
	/* UNSAFE: as in stack_take, the other way round */
	struct free_stack *link = free_stack_of(stack->low - STACK_GUARD_BYTES);
	link->next = pool->free;
	pool->free = link;
	*stack = (struct stack){0};
}

void
stack_trim(const struct stack *stack, const void *used_from)
{
	uintptr_t low = (uintptr_t)stack->low;
	uintptr_t used = (uintptr_t)used_from & ~(uintptr_t)(STACK_GUARD_BYTES - 1);

	if (used > low)
		madvise(stack->low, used - low, MADV_DONTNEED);
}

__attribute__((no_sanitize("address"))) size_t
stack_peak(const struct stack *stack)
{
	size_t untouched = 0;

	while (untouched < stack->bytes && stack->low[untouched] == PAINT)
		untouched++;
	return stack->bytes - untouched;
}
