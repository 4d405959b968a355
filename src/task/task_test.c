#include "task/task.h"
#include "unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct world {
	struct env env;
	struct loop *loop;
	struct task_group group;
	char trail[256];
	size_t trail_len;
};

static void
world_init(struct world *world, bool paint)
{
	struct loop_options options = {.paint_stacks = paint};

	memset(world, 0, sizeof *world);
	env_init_linux(&world->env);
	world->loop = loop_new(&world->env, &options);
	task_group_init(&world->group, world->loop);
}

static void
world_done(struct world *world)
{
	loop_free(&world->loop);
	ck_assert_uint_eq(memory_used(world->env.memory), 0);
	env_done(&world->env);
}

static void
leave_mark(struct world *world, char mark)
{
	world->trail[world->trail_len++] = mark;
}

static void
three_turns(void *arg)
{
	struct world *world = arg;
	char mark = (char)('a' + world->trail_len);

	for (int i = 0; i < 3; i++) {
		leave_mark(world, mark);
		task_yield(world->loop);
	}
}

START_TEST(tasks_take_turns)
{
	struct world world;

	world_init(&world, false);
	for (int i = 0; i < 3; i++)
		ck_assert_ok(task_start(&world.group, "turns", three_turns, &world));
	loop_run(world.loop);
	ck_assert_str_eq(world.trail, "abcabcabc");
	world_done(&world);
}
END_TEST

static void
sleep_forever(void *arg)
{
	struct world *world = arg;

	leave_mark(world, task_sleep(world->loop, MONO_NEVER) == ERROR_CANCELLED ? 'c' : '?');
	leave_mark(world, task_sleep(world->loop, MONO_NEVER) == ERROR_CANCELLED ? 'c' : '?');
}

static void
cancel_the_sleepers(void *arg)
{
	struct world *world = arg;
	struct task_group sleepers;

	task_group_init(&sleepers, world->loop);
	for (int i = 0; i < 3; i++)
		ck_assert_ok(task_start(&sleepers, "sleeper", sleep_forever, world));
	ck_assert_ok(task_sleep(world->loop, loop_deadline(world->loop, 5000)));
	task_group_cancel(&sleepers);
	task_group_wait(&sleepers);
	leave_mark(world, 'w');
}

START_TEST(cancelling_ends_every_wait)
{
	struct world world;

	world_init(&world, false);
	ck_assert_ok(task_start(&world.group, "parent", cancel_the_sleepers, &world));
	loop_run(world.loop);
	ck_assert_str_eq(world.trail, "ccccccw");
	world_done(&world);
}
END_TEST

struct sleeper {
	struct world *world;
	char mark;
	int64_t ms;
};

static void
sleep_and_mark(void *arg)
{
	struct sleeper *sleeper = arg;
	mono_us deadline = loop_deadline(sleeper->world->loop, sleeper->ms * US_PER_MS);

	ck_assert_ok(task_sleep(sleeper->world->loop, deadline));
	ck_assert(loop_now(sleeper->world->loop) >= deadline);
	leave_mark(sleeper->world, sleeper->mark);
}

START_TEST(timers_fire_in_order)
{
	struct world world;
	struct sleeper sleepers[] = {
		{&world, 'c', 30}, {&world, 'a', 5}, {&world, 'b', 15}, {&world, 'd', 30}};

	world_init(&world, false);
	for (size_t i = 0; i < 4; i++)
		ck_assert_ok(task_start(&world.group, "sleeper", sleep_and_mark, &sleepers[i]));
	loop_run(world.loop);
	ck_assert_str_eq(world.trail, "abcd");
	world_done(&world);
}
END_TEST

struct event_world {
	struct world world;
	struct task_event event;
};

static void
wait_for_event(void *arg)
{
	struct event_world *w = arg;

	ck_assert_int_eq(
		task_event_wait(w->world.loop, &w->event, loop_deadline(w->world.loop, 1000)),
		ERROR_TIMEOUT);
	leave_mark(&w->world, 't');
	ck_assert_ok(task_event_wait(w->world.loop, &w->event, MONO_NEVER));
	leave_mark(&w->world, 'e');
}

static void
signal_event(void *arg)
{
	struct event_world *w = arg;

	ck_assert_ok(task_sleep(w->world.loop, loop_deadline(w->world.loop, 20000)));
	leave_mark(&w->world, 's');
	task_event_signal(&w->event);
}

START_TEST(events_wake_all_and_time_out)
{
	struct event_world w;

	world_init(&w.world, false);
	task_event_init(&w.event);
	ck_assert_ok(task_start(&w.world.group, "waiter", wait_for_event, &w));
	ck_assert_ok(task_start(&w.world.group, "waiter", wait_for_event, &w));
	ck_assert_ok(task_start(&w.world.group, "signaller", signal_event, &w));
	loop_run(w.world.loop);
	ck_assert_str_eq(w.world.trail, "ttsee");
	world_done(&w.world);
}
END_TEST

struct pipe_world {
	struct world world;
	int fds[2];
};

static void
read_all(void *arg)
{
	struct pipe_world *w = arg;
	struct watch watch;
	char byte;
	ssize_t got;

	ck_assert_ok(watch_open(&watch, w->world.loop, w->fds[0], POLL_READABLE));
	for (;;) {
		got = read(w->fds[0], &byte, 1);
		if (got == 1)
			leave_mark(&w->world, byte);
		if (got == 0)
			break;
		if (got < 0)
			ck_assert_ok(watch_wait(
				&watch, POLL_READABLE, loop_deadline(w->world.loop, US_PER_S)));
	}
	leave_mark(&w->world, '.');
	watch_close(&watch);
}

static void
write_some(void *arg)
{
	struct pipe_world *w = arg;

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(write(w->fds[1], "xy", 2), 2);
		ck_assert_ok(task_sleep(w->world.loop, loop_deadline(w->world.loop, 2000)));
	}
	close(w->fds[1]);
}

START_TEST(watches_report_edges)
{
	struct pipe_world w;

	world_init(&w.world, false);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, w.fds), 0);
	ck_assert_ok(task_start(&w.world.group, "reader", read_all, &w));
	ck_assert_ok(task_start(&w.world.group, "writer", write_some, &w));
	loop_run(w.world.loop);
	ck_assert_str_eq(w.world.trail, "xyxyxy.");
	close(w.fds[0]);
	world_done(&w.world);
}
END_TEST

static void
use_stack(void *arg)
{
	volatile char big[20000];

	for (size_t i = 0; i < sizeof big; i += 64)
		big[i] = 1;
	*(int *)arg += big[0];
}

static void
census_entry(void *arg, const char *name, size_t peak_bytes)
{
	ck_assert_str_eq(name, "greedy");
	*(size_t *)arg = peak_bytes;
}

START_TEST(census_finds_the_peak)
{
	struct world world;
	int used = 0;
	size_t peak = 0;

	world_init(&world, true);
	ck_assert_ok(task_start(&world.group, "greedy", use_stack, &used));
	loop_run(world.loop);
	loop_stack_census(world.loop, census_entry, &peak);
	ck_assert(peak >= 20000 && peak < 30000);
	world_done(&world);
}
END_TEST

static size_t
overflow(size_t depth)
{
	volatile char frame[1024];

	frame[0] = (char)depth;
	return depth == 0 ? 0 : overflow(depth - 1) + (size_t)frame[0];
}

static void
overflow_stack(void *arg)
{
	(void)arg;
	_exit(overflow(100000) ? 0 : 1);
}

/* In a process of its own: the guard page must end it with a signal (or ASan with its report),
 * never let it run on. */
START_TEST(guard_stops_an_overflow)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct world world;
		int null = open("/dev/null", O_WRONLY);
		dup2(null, 2);
		world_init(&world, false);
		if (task_start(&world.group, "deep", overflow_stack, NULL) == OK)
			loop_run(world.loop);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
}
END_TEST

struct many {
	struct world world;
	int alive;
	int peak;
};

static void
wait_a_little(void *arg)
{
	struct many *many = arg;

	if (++many->alive > many->peak)
		many->peak = many->alive;
	ck_assert_ok(task_sleep(many->world.loop, loop_deadline(many->world.loop, 50000)));
	many->alive--;
}

START_TEST(thousands_live_at_once)
{
	struct many many = {.alive = 0};

	world_init(&many.world, false);
	for (int i = 0; i < 5000; i++)
		ck_assert_ok(task_start(&many.world.group, "one of many", wait_a_little, &many));
	loop_run(many.world.loop);
	ck_assert_int_eq(many.alive, 0);
	ck_assert_int_eq(many.peak, 5000);
	world_done(&many.world);
}
END_TEST

struct hooked {
	struct world world;
	struct loop_hook hook;
	struct task_event event;
	int turns, before, after;
};

static void
hook_turn(void *arg)
{
	struct hooked *h = arg;

	if (++h->turns == 3)
		task_event_signal(&h->event); /* makes work: the loop must not sleep on it */
}

static bool
hook_before(void *arg)
{
	return ++((struct hooked *)arg)->before > 100; /* until then there is "work after all" */
}

static void
hook_after(void *arg)
{
	((struct hooked *)arg)->after++;
}

static void
wait_for_hook(void *arg)
{
	struct hooked *h = arg;

	leave_mark(
		&h->world, task_event_wait(h->world.loop, &h->event, MONO_NEVER) == OK ? 'h' : '?');
}

START_TEST(hooks_run_around_the_poller)
{
	struct hooked h = {.before = 0};

	world_init(&h.world, false);
	task_event_init(&h.event);
	h.hook = (struct loop_hook){.end_turn = hook_turn,
		.before_sleep = hook_before,
		.after_sleep = hook_after,
		.arg = &h};
	loop_add_hook(h.world.loop, &h.hook);
	ck_assert_ok(task_start(&h.world.group, "hooked", wait_for_hook, &h));
	loop_run(h.world.loop);
	ck_assert_str_eq(h.world.trail, "h");
	ck_assert_int_eq(h.turns, 3);
	ck_assert_int_eq(h.before, 2);
	ck_assert_int_eq(h.after, 2);
	loop_remove_hook(&h.hook);
	world_done(&h.world);
}
END_TEST

/* The simulator's kill: no task code runs, all memory goes. */
START_TEST(dropping_a_loop_runs_no_task)
{
	struct world world;

	world_init(&world, false);
	ck_assert_ok(task_start(&world.group, "sleeper", sleep_forever, &world));
	ck_assert_ok(task_start(&world.group, "never started", sleep_forever, &world));
	world_done(&world);
	ck_assert_uint_eq(world.trail_len, 0);
}
END_TEST

UNIT_MAIN("task/task", tasks_take_turns, cancelling_ends_every_wait, timers_fire_in_order,
	events_wake_all_and_time_out, watches_report_edges, census_finds_the_peak,
	guard_stops_an_overflow, thousands_live_at_once, hooks_run_around_the_poller,
	dropping_a_loop_runs_no_task)
