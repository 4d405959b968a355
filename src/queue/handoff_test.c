#include "queue/handoff.h"

#include "unit.h"

#include <pthread.h>
#include <unistd.h>

#define CAPACITY 8

struct item {
	uint64_t number;
	uint8_t filler[50]; /* not a multiple of anything */
};

START_TEST(it_is_bounded_and_keeps_the_order)
{
	struct env env;
	struct handoff line;
	uint64_t put = 0, taken = 0;

	env_init_linux(&env);
	handoff_init(&line, &env, sizeof(struct item), CAPACITY, -1);
	ck_assert_uint_eq(handoff_room(&line), CAPACITY);
	ck_assert_ptr_null(handoff_first(&line));
	for (int round = 0; round < 100; round++) {
		for (struct item *slot; (slot = handoff_slot(&line)) != NULL; handoff_put(&line))
			slot->number = put++;
		ck_assert_uint_eq(put - taken, CAPACITY);
		ck_assert_uint_eq(handoff_room(&line), 0);
		for (uint32_t i = 0; i < CAPACITY; i++)
			ck_assert_uint_eq(
				((struct item *)handoff_nth(&line, i))->number, taken + i);
		for (int i = 0; i < 1 + round % CAPACITY; i++) {
			ck_assert_uint_eq(((struct item *)handoff_first(&line))->number, taken++);
			handoff_free(&line);
		}
		ck_assert_uint_eq(
			handoff_room(&line), put - taken == CAPACITY ? 0 : 1 + round % CAPACITY);
	}
	handoff_done(&line, &env);
	env_done(&env);
}
END_TEST

START_TEST(only_a_sleeper_is_woken)
{
	struct env env;
	struct handoff line;
	uint64_t signals;

	env_init_linux(&env);
	int wake_fd = env.poll->wake_create(NULL);
	handoff_init(&line, &env, sizeof(struct item), CAPACITY, wake_fd);
	ck_assert_ptr_nonnull(handoff_slot(&line));
	handoff_put(&line);
	handoff_wake(&line, &env);
	ck_assert_int_lt(read(wake_fd, &signals, sizeof signals), 0);
	ck_assert(!handoff_may_sleep(&line)); /* something came meanwhile */
	handoff_woke(&line);
	handoff_wake(&line, &env);
	ck_assert_int_lt(read(wake_fd, &signals, sizeof signals), 0);
	handoff_free(&line);
	ck_assert(handoff_may_sleep(&line));
	ck_assert_ptr_nonnull(handoff_slot(&line));
	handoff_put(&line);
	handoff_wake(&line, &env);
	handoff_wake(&line, &env); /* once */
	ck_assert_int_eq(read(wake_fd, &signals, sizeof signals), sizeof signals);
	ck_assert_uint_eq(signals, 1);
	handoff_done(&line, &env);
	close(wake_fd);
	env_done(&env);
}
END_TEST

#define ITEMS 200000

struct pair {
	struct env env;
	struct handoff line;
	int wake_fd;
};

/* Puts all items, waking the taker as the queue does: after each few. */
static void *
putter(void *arg)
{
	struct pair *pair = arg;

	for (uint64_t i = 0; i < ITEMS;) {
		struct item *slot = handoff_slot(&pair->line);
		if (!slot) {
			handoff_wake(&pair->line, &pair->env);
			continue;
		}
		slot->number = i++;
		slot->filler[49] = (uint8_t)slot->number;
		handoff_put(&pair->line);
		if (i % 3 == 0 || i == ITEMS)
			handoff_wake(&pair->line, &pair->env);
	}
	return NULL;
}

/* A lost wake-up leaves the taker asleep, and the test runs into its time limit. */
START_TEST(two_threads_lose_nothing)
{
	struct pair pair;
	pthread_t thread;
	uint64_t next = 0;

	env_init_linux(&pair.env);
	pair.wake_fd = pair.env.poll->wake_create(NULL);
	handoff_init(&pair.line, &pair.env, sizeof(struct item), 64, pair.wake_fd);
	ck_assert_int_eq(pthread_create(&thread, NULL, putter, &pair), 0);
	while (next < ITEMS) {
		const struct item *item = handoff_first(&pair.line);
		if (item) {
			if (item->number != next || item->filler[49] != (uint8_t)next)
				ck_abort_msg("item %llu came in place of %llu",
					(unsigned long long)item->number, (unsigned long long)next);
			next++;
			handoff_free(&pair.line);
			continue;
		}
		if (handoff_may_sleep(&pair.line))
			pair.env.poll->wake_wait(NULL, pair.wake_fd, -1);
		handoff_woke(&pair.line);
	}
	pthread_join(thread, NULL);
	handoff_done(&pair.line, &pair.env);
	close(pair.wake_fd);
	env_done(&pair.env);
}
END_TEST

UNIT_MAIN("queue/handoff", it_is_bounded_and_keeps_the_order, only_a_sleeper_is_woken,
	two_threads_lose_nothing)
