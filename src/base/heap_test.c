/* The heap against a plain array: order, ties, removal from the middle, memory refused. */
#include "base/heap.h"
#include "unit.h"

#define COUNT 500

static uint32_t
random_next(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static void
check_shape(const struct heap *heap)
{
	for (size_t i = 1; i <= heap->count; i++) {
		ck_assert_uint_eq(heap->nodes[i - 1]->position, i);
		if (i > 1)
			ck_assert_int_le(heap->nodes[i / 2 - 1]->key, heap->nodes[i - 1]->key);
	}
}

START_TEST(first_is_least)
{
	struct memory *memory = memory_new(0);
	struct heap_node nodes[4] = {
		{.key = 5}, {.key = -3}, {.key = INT64_MAX}, {.key = INT64_MIN}};
	struct heap heap;

	heap_init(&heap, memory);
	ck_assert_ptr_null(heap_first(&heap));
	for (size_t i = 0; i < 4; i++)
		ck_assert_ok(heap_insert(&heap, &nodes[i]));
	const size_t order[] = {3, 1, 0, 2};
	for (size_t i = 0; i < 4; i++) {
		ck_assert_ptr_eq(heap_first(&heap), &nodes[order[i]]);
		heap_remove(&heap, &nodes[order[i]]);
		ck_assert(!heap_contains(&heap, &nodes[order[i]]));
	}
	ck_assert_ptr_null(heap_first(&heap));
	heap_done(&heap);
	ck_assert_uint_eq(memory_used(memory), 0);
	memory_free(&memory);
}
END_TEST

START_TEST(ties_leave_as_they_came)
{
	struct memory *memory = memory_new(0);
	static struct heap_node nodes[100];
	struct heap heap;

	heap_init(&heap, memory);
	/* From the last address to the first, so that pointers would give the other order. */
	for (size_t i = 100; i-- > 0;)
		ck_assert_ok(heap_insert(&heap, &nodes[i]));
	for (size_t i = 100; i-- > 0;) {
		ck_assert_ptr_eq(heap_first(&heap), &nodes[i]);
		heap_remove(&heap, &nodes[i]);
	}
	heap_done(&heap);
	memory_free(&memory);
}
END_TEST

START_TEST(inserted_twice_is_refused)
{
	struct memory *memory = memory_new(0);
	struct heap_node node = {.key = 1}, stranger = {.key = 0, .position = 1};
	struct heap heap;

	heap_init(&heap, memory);
	heap_remove(&heap, &node);
	ck_assert_ok(heap_insert(&heap, &node));
	ck_assert_int_eq(heap_insert(&heap, &node), ERROR_EXISTS);
	ck_assert_uint_eq(heap.count, 1);
	/* A node of another heap with the same place is not taken for ours. */
	ck_assert(!heap_contains(&heap, &stranger));
	heap_remove(&heap, &stranger);
	ck_assert_uint_eq(heap.count, 1);
	heap_remove(&heap, &node);
	heap_remove(&heap, &node);
	ck_assert_uint_eq(heap.count, 0);
	ck_assert_ok(heap_insert(&heap, &node));
	heap_done(&heap);
	ck_assert_uint_eq(node.position, 0);
	memory_free(&memory);
}
END_TEST

/* The inserted node that must be first, by search. */
static struct heap_node *
least_of(const struct heap *heap, struct heap_node *nodes)
{
	struct heap_node *least = NULL;

	for (size_t i = 0; i < COUNT; i++) {
		struct heap_node *node = &nodes[i];
		if (!heap_contains(heap, node))
			continue;
		if (!least || node->key < least->key ||
			(node->key == least->key && node->order < least->order))
			least = node;
	}
	return least;
}

START_TEST(random_inserts_and_removes)
{
	struct memory *memory = memory_new(0);
	static struct heap_node nodes[COUNT];
	struct heap heap;
	uint32_t state = 7;
	size_t in = 0;

	heap_init(&heap, memory);
	for (int step = 0; step < 20000; step++) {
		struct heap_node *node = &nodes[random_next(&state) % COUNT];
		/* Long phases of growing and shrinking, so that the array does both. */
		bool grows = step / 4000 % 2 == 0;
		bool was_in = heap_contains(&heap, node);
		if (was_in && (!grows || random_next(&state) % 4 == 0)) {
			heap_remove(&heap, node);
			in--;
		} else if (!was_in && (grows || random_next(&state) % 4 == 0)) {
			node->key = (int64_t)(random_next(&state) % 50) - 25;
			ck_assert_ok(heap_insert(&heap, node));
			in++;
		}
		ck_assert_uint_eq(heap.count, in);
		if (step % 16 == 0) {
			check_shape(&heap);
			ck_assert_ptr_eq(heap_first(&heap), least_of(&heap, nodes));
		}
	}
	heap_done(&heap);
	memory_free(&memory);
}
END_TEST

START_TEST(memory_refused_changes_nothing)
{
	struct memory *memory = memory_new(64 * sizeof(struct heap_node *));
	static struct heap_node nodes[65];
	struct heap heap;

	heap_init(&heap, memory);
	for (size_t i = 0; i < 64; i++) {
		nodes[i].key = (int64_t)(64 - i);
		ck_assert_ok(heap_insert(&heap, &nodes[i]));
	}
	ck_assert_int_eq(heap_insert(&heap, &nodes[64]), ERROR_NO_MEMORY);
	ck_assert_int_eq(heap_reserve(&heap, SIZE_MAX), ERROR_NO_MEMORY);
	ck_assert_uint_eq(nodes[64].position, 0);
	ck_assert_uint_eq(heap.count, 64);
	check_shape(&heap);
	ck_assert_ptr_eq(heap_first(&heap), &nodes[63]);
	heap_done(&heap);
	memory_free(&memory);
}
END_TEST

START_TEST(memory_is_given_back)
{
	struct memory *memory = memory_new(0);
	struct heap_node *nodes = memory_get(memory, 10000 * sizeof *nodes);
	size_t before = memory_used(memory);
	struct heap heap;

	heap_init(&heap, memory);
	for (size_t i = 0; i < 10000; i++) {
		nodes[i].key = (int64_t)i;
		ck_assert_ok(heap_insert(&heap, &nodes[i]));
	}
	for (size_t i = 0; i < 9990; i++)
		heap_remove(&heap, &nodes[i]);
	ck_assert_uint_le(memory_used(memory) - before, 128 * sizeof *heap.nodes);
	ck_assert_ptr_eq(heap_first(&heap), &nodes[9990]);
	check_shape(&heap);
	ck_assert_ok(heap_reserve(&heap, 5000));
	heap_remove(&heap, &nodes[9990]);
	ck_assert_uint_ge(heap.capacity, 5000); /* what was promised stays */
	heap_done(&heap);
	memory_free(&memory);
}
END_TEST

UNIT_MAIN("base/heap", first_is_least, ties_leave_as_they_came, inserted_twice_is_refused,
	random_inserts_and_removes, memory_refused_changes_nothing, memory_is_given_back)
