/*
 * A min-heap of things that lie elsewhere, by a 64-bit key (a due time). Each thing holds a node
 * with its place in the heap, so that it can be removed in O(log n) without a search. Equal keys
 * leave in the order in which they came: nothing depends on pointers. Nothing but the array of
 * pointers is owned.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include "base/error.h"
#include "base/memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed before its first use. */
struct heap_node {
	int64_t key;     /* set by the owner before heap_insert; not changed while in the heap */
	uint64_t order;  /* the heap's: number of the insertion */
	size_t position; /* the heap's: place in the array, counted from 1; 0 is outside */
};

struct heap {
	struct memory *memory;
	struct heap_node **nodes;
	size_t count;
	size_t capacity;
	size_t reserved;
	uint64_t next_order;
};

#define heap_entry(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

void heap_init(struct heap *heap, struct memory *memory);

/* Frees the array; nodes that are still in it become outside. */
void heap_done(struct heap *heap);

/* Room for `count` nodes in all, for ever: inserts up to that number can't fail. ERROR_NO_MEMORY.
 */
MUST_CHECK enum error heap_reserve(struct heap *heap, size_t count);

/* ERROR_NO_MEMORY; ERROR_EXISTS when the node is in a heap already. The heap is then as before. */
MUST_CHECK enum error heap_insert(struct heap *heap, struct heap_node *node);

/* Harmless for a node that is not in. Never fails, never allocates. */
void heap_remove(struct heap *heap, struct heap_node *node);

/* The node with the least key, of equal ones the first that came; NULL when the heap is empty. */
struct heap_node *heap_first(const struct heap *heap);

bool heap_contains(const struct heap *heap, const struct heap_node *node);

#endif
