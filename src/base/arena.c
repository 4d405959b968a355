/* Bump allocation in blocks of 4 KiB and more, given back together. */
#include "base/arena.h"

#include <stdint.h>

#define ARENA_BLOCK_BYTES 4096
#define ARENA_ALIGN       16

struct arena_block {
	struct arena_block *next;
	size_t used;
	size_t size;
	size_t reserved; /* keeps what follows aligned */
};

void
arena_init(struct arena *arena, struct memory *memory, size_t max_bytes)
{
	*arena = (struct arena){.memory = memory, .max = max_bytes};
}

void
arena_clear(struct arena *arena)
{
	struct arena_block *next;

	for (struct arena_block *block = arena->blocks; block; block = next) {
		next = block->next;
		memory_put(arena->memory, block);
	}
	arena->blocks = NULL;
	arena->used = 0;
}

void
arena_done(struct arena *arena)
{
	if (arena->memory)
		arena_clear(arena);
}

static struct arena_block *
arena_add_block(struct arena *arena, size_t at_least)
{
	size_t size = at_least > ARENA_BLOCK_BYTES - sizeof(struct arena_block)
			      ? at_least
			      : ARENA_BLOCK_BYTES - sizeof(struct arena_block);
	struct arena_block *block = memory_try(arena->memory, sizeof *block + size);

	if (!block)
		return NULL;
	block->size = size;
	block->next = arena->blocks;
	arena->blocks = block;
	return block;
}

void *
arena_take(struct arena *arena, size_t size)
{
	if (size > arena->max - arena->used)
		return NULL;
	size_t rounded = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
	struct arena_block *block = arena->blocks;
	if (!block || rounded > block->size - block->used)
		block = arena_add_block(arena, rounded);
	if (!block)
		return NULL;
	void *taken = (uint8_t *)(block + 1) + block->used;
	block->used += rounded;
	arena->used += size;
	return taken;
}

bool
arena_copy(struct arena *arena, struct slice bytes, struct slice *ret_copy)
{
	void *copy = arena_take(arena, bytes.len);

	if (!copy)
		return false;
	if (bytes.len > 0)
		memcpy(copy, bytes.ptr, bytes.len);
	*ret_copy = slice_of(copy, bytes.len);
	return true;
}

char *
arena_text(struct arena *arena, struct slice bytes)
{
	if (slice_find(bytes, 0, 0) >= 0)
		return NULL;
	char *text = arena_take(arena, bytes.len + 1);
	if (text && bytes.len > 0)
		memcpy(text, bytes.ptr, bytes.len);
	return text;
}
