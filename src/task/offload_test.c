/* Jobs on real threads: their memory, their stack, what is left behind by those who cannot wait. */
#include "task/offload.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#define DEEP_CALLS 300 /* of a KiB and more each: beyond a task's stack, also under sanitizers */

struct world {
	struct env env;
	struct loop *loop;
	struct task_group group;
	struct thread_ops threads;
	enum error error;
	int value;
	int gate; /* a counter: the body waits for it */
	_Atomic int *ended;
};

struct job_data {
	int input;
	int output;
	char *text;
	pid_t thread;
	int gate;
	_Atomic int *ended;
};

static void
run_in_task(struct world *world, task_body *body)
{
	ck_assert_ok(task_start(&world->group, "test", body, world));
	loop_run(world->loop);
}

static void
world_init(struct world *world)
{
	struct loop_options options = {.paint_stacks = false};

	*world = (struct world){.gate = -1};
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

static int
go_deep(int calls)
{
	volatile char room[1024];

	room[0] = (char)calls;
	room[sizeof room - 1] = calls > 0 ? (char)go_deep(calls - 1) : 1;
	return room[sizeof room - 1];
}

static void
deep_body(struct env *env, void *data)
{
	struct job_data *job = data;

	job->text = memory_get(env->memory, 6);
	memcpy(job->text, "hello", 6);
	job->thread = gettid();
	job->output = job->input + go_deep(DEEP_CALLS);
}

static void
run_deep(void *arg)
{
	struct world *world = arg;
	struct offload *job = offload_new(&world->env, deep_body, sizeof(struct job_data));
	struct job_data *data = offload_data(job);

	data->input = 41;
	world->error = offload_run(job, MONO_NEVER);
	world->value = data->output;
	ck_assert_str_eq(data->text, "hello");
	if (loop_is_in_task(world->loop))
		ck_assert_int_ne(data->thread, gettid());
	else
		ck_assert_int_eq(data->thread, gettid());
	offload_free(&job);
	ck_assert_ptr_null(job);
}

START_TEST(a_job_has_a_deep_stack_and_memory_of_its_own)
{
	struct world world;

	world_init(&world);
	run_in_task(&world, run_deep);
	ck_assert_ok(world.error);
	ck_assert_int_eq(world.value, 42);
	world_done(&world);
}
END_TEST

START_TEST(outside_of_tasks_it_runs_at_once)
{
	struct world world;

	world_init(&world);
	run_deep(&world);
	ck_assert_ok(world.error);
	ck_assert_int_eq(world.value, 42);
	world_done(&world);
}
END_TEST

static void
gated_body(struct env *env, void *data)
{
	struct job_data *job = data;
	_Atomic int *ended = job->ended;

	env->poll->wake_wait(env->world, job->gate, -1);
	job->output = 7;
	atomic_store(ended, 1);
}

static void
run_gated(void *arg)
{
	struct world *world = arg;
	struct offload *job = offload_new(&world->env, gated_body, sizeof(struct job_data));
	struct job_data *data = offload_data(job);

	data->gate = world->gate;
	data->ended = world->ended;
	world->error = offload_run(job, loop_deadline(world->loop, 20 * US_PER_MS));
	offload_free(&job);
}

static void
open_gate(struct world *world)
{
	world->env.poll->wake_signal(NULL, world->gate);
	for (int i = 0; atomic_load(world->ended) == 0; i++) {
		ck_assert_int_lt(i, 10000);
		usleep(1000);
	}
	usleep(20000); /* its last steps: sanitizers see what it should not touch */
	close(world->gate);
}

/* The deadline passes: the task leaves, the thread goes on and cleans up. */
START_TEST(who_cannot_wait_leaves)
{
	struct world world;
	_Atomic int ended = 0;

	world_init(&world);
	world.ended = &ended;
	world.gate = world.env.poll->wake_create(NULL);
	run_in_task(&world, run_gated);
	ck_assert_int_eq(world.error, ERROR_TIMEOUT);
	ck_assert_int_eq(ended, 0);
	world_done(&world); /* nothing of it belongs to the task's world */
	open_gate(&world);
}
END_TEST

static void
cancel_group(void *arg)
{
	struct world *world = arg;

	task_group_cancel(&world->group);
}

START_TEST(cancelling_leaves_too)
{
	struct world world;
	struct task_group other;
	_Atomic int ended = 0;

	world_init(&world);
	world.ended = &ended;
	world.gate = world.env.poll->wake_create(NULL);
	task_group_init(&other, world.loop);
	ck_assert_ok(task_start(&world.group, "waiter", run_gated, &world));
	ck_assert_ok(task_start(&other, "canceller", cancel_group, &world));
	loop_run(world.loop);
	ck_assert_int_eq(world.error, ERROR_CANCELLED);
	world_done(&world);
	open_gate(&world);
}
END_TEST

static int
no_thread(void *world, void (*run)(void *arg), void *arg, uintptr_t *ret_thread)
{
	(void)world;
	(void)run;
	(void)arg;
	(void)ret_thread;
	return -EAGAIN;
}

static void
run_without_thread(void *arg)
{
	struct world *world = arg;
	struct offload *job = offload_new(&world->env, deep_body, sizeof(struct job_data));

	world->error = offload_run(job, MONO_NEVER);
	offload_free(&job);
}

START_TEST(no_thread_is_an_error)
{
	struct world world;

	world_init(&world);
	world.threads = *world.env.threads;
	world.threads.start = no_thread;
	world.env.threads = &world.threads;
	run_in_task(&world, run_without_thread);
	ck_assert_int_eq(world.error, ERROR_AGAIN);
	world_done(&world);
}
END_TEST

UNIT_MAIN("task/offload", a_job_has_a_deep_stack_and_memory_of_its_own,
	outside_of_tasks_it_runs_at_once, who_cannot_wait_leaves, cancelling_leaves_too,
	no_thread_is_an_error)
