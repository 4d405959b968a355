/*
 * A counted allocator on malloc. Each block carries its size and its place in the account's list:
 * 32 bytes, small beside the few and large blocks that roles take; what exists by the million
 * (queue entries) comes from tables of its own.
 */
#include "base/memory.h"
#include "base/list.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct block {
	struct list link;
	size_t size;
	size_t reserved; /* keeps the payload 16-byte aligned */
};

struct memory {
	struct list blocks;
	size_t used;
	size_t limit;
};

struct memory *
memory_new(size_t limit_bytes)
{
	struct memory *memory = malloc(sizeof *memory);

	if (!memory)
		abort();
	list_init(&memory->blocks);
	memory->used = 0;
	memory->limit = limit_bytes ? limit_bytes : SIZE_MAX;
	return memory;
}

void
memory_free(struct memory **memory)
{
	if (!*memory)
		return;
	list_for_each_safe (link, next, &(*memory)->blocks)
		free(list_entry(link, struct block, link));
	free(*memory);
	*memory = NULL;
}

static bool
memory_admits(const struct memory *memory, size_t size)
{
	return size <= memory->limit - memory->used && size <= SIZE_MAX - sizeof(struct block);
}

void *
memory_try(struct memory *memory, size_t size)
{
	if (!memory_admits(memory, size))
		return NULL;
	struct block *block = calloc(1, sizeof *block + size);
	if (!block)
		return NULL;
	block->size = size;
	memory->used += size;
	list_append(&memory->blocks, &block->link);
	return block + 1;
}

void *
memory_get(struct memory *memory, size_t size)
{
	void *block = memory_try(memory, size);

	if (!block)
		abort();
	return block;
}

void *
memory_resize(struct memory *memory, void *old, size_t size)
{
	if (!old)
		return memory_try(memory, size);
	struct block *block = (struct block *)old - 1;
	size_t old_size = block->size;
	if (size > old_size && !memory_admits(memory, size - old_size))
		return NULL;
	list_remove(&block->link);
	struct block *moved = realloc(block, sizeof *block + size);
	if (!moved) {
		list_append(&memory->blocks, &block->link);
		return NULL;
	}
	moved->size = size;
	memory->used += size - old_size;
	list_append(&memory->blocks, &moved->link);
	return moved + 1;
}

void
memory_put(struct memory *memory, void *payload)
{
	if (!payload)
		return;
	struct block *block = (struct block *)payload - 1;
	list_remove(&block->link);
	memory->used -= block->size;
	free(block);
}

size_t
memory_used(const struct memory *memory)
{
	return memory->used;
}
