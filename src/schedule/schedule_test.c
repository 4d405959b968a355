/* Retry times and due times, on a clock of the test's own. */
#include "schedule/schedule.h"
#include "unit.h"

#define MINUTE (60 * US_PER_S)
#define START  INT64_C(1795600000000000)

static const struct schedule_policy policy = {
	.first_us = 5 * MINUTE, .max_us = 60 * MINUTE, .expire_us = 5 * 24 * 60 * MINUTE};

/* The random number that moves an interval by nothing, least or most. */
static uint64_t
random_for(int64_t interval, int percent)
{
	int64_t reach = interval / 10;

	return (uint64_t)(reach + reach * percent / SCHEDULE_JITTER_PERCENT);
}

START_TEST(intervals_double_up_to_the_maximum)
{
	static const int minutes[] = {5, 10, 20, 40, 60, 60, 60};

	for (uint32_t i = 0; i < 7; i++) {
		int64_t interval = minutes[i] * MINUTE;
		for (int percent = -10; percent <= 10; percent += 10) {
			struct schedule_decision decision = schedule_retry(
				&policy, START, START + 7, i + 1, random_for(interval, percent));
			ck_assert(!decision.expired);
			ck_assert_int_eq(
				decision.next_at, START + 7 + interval + interval / 100 * percent);
		}
	}
	struct schedule_decision last =
		schedule_retry(&policy, START, START, UINT32_MAX, random_for(60 * MINUTE, 0));
	ck_assert_int_eq(last.next_at, START + 60 * MINUTE);
	/* Before any attempt is counted as after the first. */
	ck_assert_int_eq(
		schedule_retry(&policy, START, START, 0, random_for(5 * MINUTE, 0)).next_at,
		START + 5 * MINUTE);
}
END_TEST

START_TEST(jitter_stays_within_ten_percent)
{
	uint64_t random = 1;
	int64_t least = INT64_MAX, most = INT64_MIN;

	for (int i = 0; i < 10000; i++) {
		random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		int64_t interval = schedule_retry(&policy, START, START, 1, random).next_at - START;
		ck_assert_int_ge(interval, 5 * MINUTE * 9 / 10);
		ck_assert_int_le(interval, 5 * MINUTE * 11 / 10);
		least = interval < least ? interval : least;
		most = interval > most ? interval : most;
	}
	/* And it uses the whole range. */
	ck_assert_int_lt(least, 5 * MINUTE * 91 / 100);
	ck_assert_int_gt(most, 5 * MINUTE * 109 / 100);
	ck_assert_int_ge(schedule_retry(&policy, START, START, 1, UINT64_MAX).next_at,
		START + 5 * MINUTE * 9 / 10);
}
END_TEST

START_TEST(last_attempt_is_at_the_end)
{
	wall_us end = START + policy.expire_us;

	struct schedule_decision decision =
		schedule_retry(&policy, START, end - 3 * MINUTE, 100, 5);
	ck_assert(!decision.expired);
	ck_assert_int_eq(decision.next_at, end);
	ck_assert_int_eq(schedule_retry(&policy, START, end - 1, 100, 5).next_at, end);
	ck_assert(schedule_retry(&policy, START, end, 101, 5).expired);
	ck_assert(schedule_retry(&policy, START, end + MINUTE, 101, 5).expired);
}
END_TEST

START_TEST(a_whole_life)
{
	wall_us now = START;
	uint32_t attempts = 0;

	for (;;) {
		attempts++;
		struct schedule_decision decision =
			schedule_retry(&policy, START, now, attempts, attempts * 7919u);
		if (decision.expired)
			break;
		ck_assert_int_gt(decision.next_at, now);
		now = decision.next_at;
	}
	ck_assert_int_eq(now, START + policy.expire_us);
	/* 120 hours, nearly all of them at one an hour. */
	ck_assert(attempts > 110 && attempts < 140);
}
END_TEST

START_TEST(extreme_times_do_not_overflow)
{
	const struct schedule_policy extreme = {
		.first_us = INT64_MAX / 2 + 1, .max_us = INT64_MAX, .expire_us = INT64_MAX};

	ck_assert(!schedule_retry(&extreme, START, START, 2, UINT64_MAX).expired);
	ck_assert_int_gt(schedule_retry(&extreme, START, START, 9, 0).next_at, START);
	ck_assert(schedule_retry(&policy, INT64_MIN, START, 1, 0).expired);
	ck_assert(!schedule_retry(&policy, INT64_MAX, START, 1, 0).expired);
	/* The clock was set back behind the message's arrival. */
	ck_assert_int_gt(schedule_retry(&policy, START, START - policy.expire_us, 1, 0).next_at,
		START - policy.expire_us);
	const struct schedule_policy least = {.first_us = 1, .max_us = 1, .expire_us = 10};
	ck_assert_int_eq(schedule_retry(&least, START, START, 3, UINT64_MAX).next_at, START + 1);
}
END_TEST

struct thing {
	int number;
	struct schedule_entry entry;
};

START_TEST(due_in_order_and_bounded)
{
	enum { COUNT = 1000 };
	static struct thing things[COUNT];
	struct memory *memory = memory_new(0);
	struct schedule_queue queue;
	struct schedule_entry *due[64];
	wall_us now = START;
	int taken = 0;

	schedule_queue_init(&queue, memory);
	ck_assert_int_eq(schedule_next_due(&queue), INT64_MAX);
	for (int i = 0; i < COUNT; i++) {
		things[i].number = i;
		ck_assert_ok(schedule_add(
			&queue, &things[i].entry, START + i * 7919 % COUNT / 10 * US_PER_S));
	}
	ck_assert_int_eq(schedule_add(&queue, &things[0].entry, START), ERROR_EXISTS);
	ck_assert_uint_eq(schedule_count(&queue), COUNT);
	ck_assert_uint_eq(schedule_take_due(&queue, START - 1, due, 64), 0);
	while (schedule_count(&queue) > 0) {
		/* Nothing before its time, nothing left that is due. */
		now = schedule_next_due(&queue);
		size_t count = schedule_take_due(&queue, now, due, 4);
		ck_assert_uint_ge(count, 1);
		ck_assert_uint_le(count, 4);
		for (size_t i = 0; i < count; i++) {
			struct thing *thing = schedule_owner(due[i], struct thing, entry);
			ck_assert_int_eq(due[i]->node.key, now);
			ck_assert(!schedule_contains(&queue, due[i]));
			/* Those of one time in the order in which they came. */
			if (i > 0)
				ck_assert_int_gt(thing->number,
					schedule_owner(due[i - 1], struct thing, entry)->number);
			taken++;
		}
	}
	ck_assert_int_eq(taken, COUNT);
	ck_assert_int_eq(now, START + 99 * US_PER_S);
	schedule_queue_done(&queue);
	memory_free(&memory);
}
END_TEST

START_TEST(moved_and_removed)
{
	struct thing things[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
	struct memory *memory = memory_new(0);
	struct schedule_queue queue;
	struct schedule_entry *due[3];

	schedule_queue_init(&queue, memory);
	for (int i = 0; i < 3; i++)
		ck_assert_ok(schedule_add(&queue, &things[i].entry, START + i));
	ck_assert(schedule_move(&queue, &things[0].entry, START + 10));
	schedule_remove(&queue, &things[1].entry);
	schedule_remove(&queue, &things[1].entry);
	ck_assert(!schedule_move(&queue, &things[1].entry, START));
	ck_assert_int_eq(schedule_next_due(&queue), START + 2);
	ck_assert_uint_eq(schedule_take_due(&queue, START + 10, due, 3), 2);
	ck_assert_ptr_eq(due[0], &things[2].entry);
	ck_assert_ptr_eq(due[1], &things[0].entry);
	ck_assert_ok(schedule_add(&queue, &things[1].entry, START));
	schedule_queue_done(&queue);
	ck_assert(!schedule_contains(&queue, &things[1].entry));
	memory_free(&memory);
}
END_TEST

START_TEST(moves_need_no_memory)
{
	enum { COUNT = 64 };
	static struct thing things[COUNT + 1];
	struct memory *memory = memory_new(COUNT * sizeof(void *));
	struct schedule_queue queue;

	schedule_queue_init(&queue, memory);
	for (int i = 0; i < COUNT; i++)
		ck_assert_ok(schedule_add(&queue, &things[i].entry, START + i));
	ck_assert_int_eq(schedule_add(&queue, &things[COUNT].entry, START), ERROR_NO_MEMORY);
	for (int i = 0; i < COUNT; i++)
		ck_assert(schedule_move(&queue, &things[i].entry, START - i));
	ck_assert_uint_eq(schedule_count(&queue), COUNT);
	ck_assert_int_eq(schedule_next_due(&queue), START - COUNT + 1);
	schedule_queue_done(&queue);
	memory_free(&memory);
}
END_TEST

UNIT_MAIN("schedule/schedule", intervals_double_up_to_the_maximum, jitter_stays_within_ten_percent,
	last_attempt_is_at_the_end, a_whole_life, extreme_times_do_not_overflow,
	due_in_order_and_bounded, moved_and_removed, moves_need_no_memory)
