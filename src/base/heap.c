/*
 * A binary heap in an array: the children of place i are 2i and 2i+1, counted from 1, so that a
 * zeroed node is outside any heap. Every move of a node writes its new place into it. The array
 * grows by doubling and is given back when three quarters of a large one are unused, since a burst
 * of a million entries must not hold its memory for ever.
 */
#include "base/heap.h"

#define HEAP_CAPACITY_MIN 64

void
heap_init(struct heap *heap, struct memory *memory)
{
	*heap = (struct heap){.memory = memory};
}

void
heap_done(struct heap *heap)
{
	for (size_t i = 0; i < heap->count; i++)
		heap->nodes[i]->position = 0;
	if (heap->nodes)
		memory_put(heap->memory, heap->nodes);
	*heap = (struct heap){.memory = heap->memory};
}

static enum error
heap_resize(struct heap *heap, size_t capacity)
{
	if (capacity > SIZE_MAX / sizeof *heap->nodes)
		return ERROR_NO_MEMORY;
	struct heap_node **nodes =
		memory_resize(heap->memory, heap->nodes, capacity * sizeof *nodes);
	if (!nodes)
		return ERROR_NO_MEMORY;
	heap->nodes = nodes;
	heap->capacity = capacity;
	return OK;
}

static enum error
heap_make_room(struct heap *heap, size_t count)
{
	if (count <= heap->capacity)
		return OK;
	if (count < HEAP_CAPACITY_MIN)
		count = HEAP_CAPACITY_MIN;
	if (count < heap->capacity * 2)
		count = heap->capacity * 2;
	return heap_resize(heap, count);
}

enum error
heap_reserve(struct heap *heap, size_t count)
{
	enum error error = heap_make_room(heap, count);

	if (error == OK && count > heap->reserved)
		heap->reserved = count;
	return error;
}

static bool
node_is_before(const struct heap_node *a, const struct heap_node *b)
{
	return a->key != b->key ? a->key < b->key : a->order < b->order;
}

static void
heap_set(struct heap *heap, size_t position, struct heap_node *node)
{
	heap->nodes[position - 1] = node;
	node->position = position;
}

/* Finds the place for `node` from the hole at `position` towards the root. */
static void
heap_sift_up(struct heap *heap, size_t position, struct heap_node *node)
{
	while (position > 1) {
		struct heap_node *parent = heap->nodes[position / 2 - 1];
		if (!node_is_before(node, parent))
			break;
		heap_set(heap, position, parent);
		position /= 2;
	}
	heap_set(heap, position, node);
}

/* The same towards the leaves. */
static void
heap_sift_down(struct heap *heap, size_t position, struct heap_node *node)
{
	while (position <= heap->count / 2) {
		size_t child = position * 2;
		if (child < heap->count &&
			node_is_before(heap->nodes[child], heap->nodes[child - 1]))
			child++;
		if (!node_is_before(heap->nodes[child - 1], node))
			break;
		heap_set(heap, position, heap->nodes[child - 1]);
		position = child;
	}
	heap_set(heap, position, node);
}

enum error
heap_insert(struct heap *heap, struct heap_node *node)
{
	if (node->position != 0)
		return ERROR_EXISTS;
	enum error error = heap_make_room(heap, heap->count + 1);
	if (error != OK)
		return error;
	node->order = heap->next_order++;
	heap->count++;
	heap_sift_up(heap, heap->count, node);
	return OK;
}

static void
heap_give_back(struct heap *heap)
{
	size_t half = heap->capacity / 2;

	if (half < HEAP_CAPACITY_MIN || half < heap->reserved || heap->count > half / 2)
		return;
	/* Should the smaller block be refused, the larger one stays, which is no harm. */
	enum error ignored = heap_resize(heap, half);
	(void)ignored;
}

void
heap_remove(struct heap *heap, struct heap_node *node)
{
	if (!heap_contains(heap, node))
		return;
	size_t hole = node->position;
	struct heap_node *last = heap->nodes[heap->count - 1];
	heap->count--;
	node->position = 0;
	if (last != node) {
		if (hole > 1 && node_is_before(last, heap->nodes[hole / 2 - 1]))
			heap_sift_up(heap, hole, last);
		else
			heap_sift_down(heap, hole, last);
	}
	heap_give_back(heap);
}

struct heap_node *
heap_first(const struct heap *heap)
{
	return heap->count > 0 ? heap->nodes[0] : NULL;
}

bool
heap_contains(const struct heap *heap, const struct heap_node *node)
{
	return node->position != 0 && node->position <= heap->count &&
	       heap->nodes[node->position - 1] == node;
}
