/* The watchdog on the real clock and the real alarm, and on a clock that stands still. */
#include "base/log_record.h"
#include "task/task.h"
#include "unit.h"
#include "virtual_env.h"

#include <time.h>
#include <unistd.h>

#define MARK_BYTES 64

/* A sink that an alarm may call: it takes no memory. */
struct held_log {
	struct log_sink sink;
	mono_us holds_at;
	unsigned holds;
	unsigned helds;
	unsigned others;
	char task[MARK_BYTES];
	struct env *env;
};

struct world {
	struct env *env;
	struct loop *loop;
	struct task_group group;
	struct held_log log;
	mono_us spun_from;
	mono_us spun_to;
	int64_t spin_us;
	unsigned sets; /* of the alarm */
	struct alarm_ops alarm;
};

static mono_us
real_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * US_PER_S + now.tv_nsec / 1000;
}

static void
held_log_write(struct log_sink *sink, struct slice record)
{
	struct held_log *log = (struct held_log *)sink;
	struct slice task;

	if (log_record_is(record, "task_holds_loop")) {
		log->holds++;
		log->holds_at = real_now();
	} else if (log_record_is(record, "task_held_loop")) {
		log->helds++;
	} else {
		log->others++;
	}
	if (log_record_text(record, "task", &task) == OK && task.len < MARK_BYTES) {
		memcpy(log->task, task.ptr, task.len);
		log->task[task.len] = 0;
	}
}

static void
world_init(struct world *world, struct env *env)
{
	struct loop_options options = {.watchdog_us = LOOP_WATCHDOG_US};

	*world = (struct world){.env = env, .log = {.sink = {held_log_write, true}, .env = env}};
	env->log = &world->log.sink;
	world->loop = loop_new(env, &options);
	task_group_init(&world->group, world->loop);
}

static void
spin(void *arg)
{
	struct world *world = arg;

	world->spun_from = real_now();
	while (real_now() - world->spun_from < world->spin_us)
		;
	world->spun_to = real_now();
}

static void
spin_later(void *arg)
{
	struct world *world = arg;

	ck_assert_ok(task_sleep(world->loop, loop_deadline(world->loop, 30 * US_PER_MS)));
	spin(world);
}

START_TEST(who_holds_the_loop_is_named_while_it_does)
{
	struct env env;
	struct world world;

	env_init_linux(&env);
	world_init(&world, &env);
	world.spin_us = 120 * US_PER_MS;
	ck_assert_ok(task_start(&world.group, "spinner", spin_later, &world));
	loop_run(world.loop);
	ck_assert_uint_eq(world.log.holds, 1);
	ck_assert_uint_eq(world.log.helds, 1);
	ck_assert_uint_eq(world.log.others, 0);
	ck_assert_str_eq(world.log.task, "spinner");
	ck_assert_int_ge(world.log.holds_at - world.spun_from, LOOP_WATCHDOG_US - US_PER_MS);
	ck_assert_int_lt(world.log.holds_at, world.spun_to);
	loop_free(&world.loop);
	env_done(&env);
}
END_TEST

static void
spin_twice(void *arg)
{
	struct world *world = arg;

	spin(world);
	task_yield(world->loop);
	spin(world);
}

/* Each hold is told once, also when one follows the other; short ones are not. */
START_TEST(each_hold_is_told_once)
{
	struct env env;
	struct world world;

	env_init_linux(&env);
	world_init(&world, &env);
	world.spin_us = 250 * US_PER_MS;
	ck_assert_ok(task_start(&world.group, "twice", spin_twice, &world));
	loop_run(world.loop);
	ck_assert_uint_eq(world.log.holds, 2);
	ck_assert_uint_eq(world.log.helds, 2);
	world.spin_us = 5 * US_PER_MS;
	for (int i = 0; i < 20; i++)
		ck_assert_ok(task_start(&world.group, "short", spin, &world));
	loop_run(world.loop);
	ck_assert_uint_eq(world.log.holds, 2);
	loop_free(&world.loop);
	env_done(&env);
}
END_TEST

static void
hold_while_logging(void *arg)
{
	struct world *world = arg;

	/* As if the alarm came in the midst of a record. */
	world->env->logging = true;
	spin(world);
	ck_assert_uint_eq(world->log.holds, 0);
	world->env->logging = false;
	spin(world);
	ck_assert_uint_eq(world->log.holds, 1);
}

START_TEST(a_record_under_way_is_not_torn)
{
	struct env env;
	struct world world;

	env_init_linux(&env);
	world_init(&world, &env);
	world.spin_us = 120 * US_PER_MS;
	ck_assert_ok(task_start(&world.group, "logger", hold_while_logging, &world));
	loop_run(world.loop);
	ck_assert_uint_eq(world.log.holds, 1);
	ck_assert_uint_eq(world.log.helds, 1);
	loop_free(&world.loop);
	env_done(&env);
}
END_TEST

/* A sink that no alarm may call is told when it is over. */
START_TEST(a_sink_that_is_not_signal_safe_is_told_afterwards)
{
	struct env env;
	struct world world;

	env_init_linux(&env);
	world_init(&world, &env);
	world.log.sink.signal_safe = false;
	world.spin_us = 120 * US_PER_MS;
	ck_assert_ok(task_start(&world.group, "spinner", spin_twice, &world));
	loop_run(world.loop);
	ck_assert_uint_eq(world.log.holds, 2);
	ck_assert_uint_eq(world.log.helds, 2);
	ck_assert_str_eq(world.log.task, "spinner");
	ck_assert_int_ge(world.log.holds_at, world.spun_to);
	loop_free(&world.loop);
	env_done(&env);
}
END_TEST

static void
block(void *arg)
{
	struct world *world = arg;

	loop_may_block_begin(world->loop);
	loop_may_block_begin(world->loop);
	spin(world);
	loop_may_block_end(world->loop);
	task_yield(world->loop);
	spin(world);
	loop_may_block_end(world->loop);
}

static void
block_and_spin(void *arg)
{
	struct world *world = arg;

	block(world);
	ck_assert_uint_eq(world->log.holds, 0);
	spin(world);
	ck_assert_uint_eq(world->log.holds, 1);
}

/* Nested and over a wait; the next hold is told with its own time, and so are others' in between.
 */
START_TEST(what_may_block_is_passed_over)
{
	struct env env;
	struct world world;

	env_init_linux(&env);
	world_init(&world, &env);
	world.spin_us = 120 * US_PER_MS;
	loop_may_block_begin(NULL);
	loop_may_block_end(NULL);
	loop_may_block_begin(world.loop); /* outside of tasks */
	ck_assert_ok(task_start(&world.group, "blocker", block_and_spin, &world));
	loop_run(world.loop);
	ck_assert_uint_eq(world.log.holds, 1);
	ck_assert_uint_eq(world.log.helds, 1);
	ck_assert_ok(task_start(&world.group, "blocker", block, &world));
	ck_assert_ok(task_start(&world.group, "spinner", spin, &world));
	loop_run(world.loop);
	ck_assert_uint_eq(world.log.holds, 2);
	ck_assert_str_eq(world.log.task, "spinner");
	loop_free(&world.loop);
	env_done(&env);
}
END_TEST

static void
count_set(void *world_pointer, struct alarm *alarm, int64_t after_us)
{
	struct world *world = alarm->arg ? world_pointer : NULL;
	struct env linux_env;

	ck_assert_ptr_nonnull(world);
	world->sets++;
	env_init_linux(&linux_env);
	linux_env.alarm->set(NULL, alarm, after_us);
	env_done(&linux_env);
}

static void
sleep_long(void *arg)
{
	struct world *world = arg;

	ck_assert_ok(task_sleep(world->loop, loop_deadline(world->loop, 600 * US_PER_MS)));
}

/* Set when the task starts, found asleep once, set again when it wakes, and no more. */
START_TEST(an_idle_loop_is_left_alone)
{
	struct env env;
	struct world world;

	env_init_linux(&env);
	world_init(&world, &env);
	world.alarm = *env.alarm;
	world.alarm.set = count_set;
	env.alarm = &world.alarm;
	env.world = &world;
	ck_assert_ok(task_start(&world.group, "sleeper", sleep_long, &world));
	loop_run(world.loop);
	ck_assert_uint_eq(world.sets, 2);
	ck_assert_uint_eq(world.log.holds, 0);
	env.world = NULL;
	loop_free(&world.loop);
	env_done(&env);
}
END_TEST

START_TEST(a_virtual_clock_stands_still)
{
	struct virtual_env *v = virtual_env_new(0);
	struct world world;

	world_init(&world, &v->env);
	world.spin_us = 120 * US_PER_MS;
	ck_assert_ok(task_start(&world.group, "spinner", spin, &world));
	loop_run(world.loop);
	ck_assert_uint_eq(world.log.holds + world.log.helds, 0);
	loop_free(&world.loop);
	virtual_env_free(v);
}
END_TEST

UNIT_MAIN("task/watchdog", who_holds_the_loop_is_named_while_it_does, each_hold_is_told_once,
	a_record_under_way_is_not_torn, a_sink_that_is_not_signal_safe_is_told_afterwards,
	what_may_block_is_passed_over, an_idle_loop_is_left_alone, a_virtual_clock_stands_still)
