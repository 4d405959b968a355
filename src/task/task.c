/*
 * Tasks, their groups, events and watches on one loop. A turn: timers that are due, every task that
 * was ready when the turn began, then the hooks, then the poller. Order comes from lists and
 * counters only, never from pointers or from the order in which epoll reports.
 *
 * A task's struct lies at the top of its own stack, so that an idle task costs one page for both. A
 * task that waits is on the list of what it waits for, perhaps in the timer heap, and on the list
 * of parked tasks, oldest first: the sweep gives the unused part of stacks back that have been
 * parked for a second (never at each wait: a madvise costs more than a whole turn).
 */
#include "task/task.h"
#include "base/heap.h"
#include "task/stack.h"
#include "task/switch.h"
#include "task/watchdog.h"

#include <errno.h>
#include <stdlib.h>

#define TASK_NAME_BYTES 32
#define LOOP_EVENTS     64
#define PARKED_SWEEP_US US_PER_S
#define CENSUS_NAMES    64

enum task_state { TASK_READY, TASK_RUNNING, TASK_WAITING };

struct task {
	struct list link;   /* ready list, or the list of what it waits for */
	struct list parked; /* loop->parked while it waits untrimmed */
	struct list all;    /* loop->tasks */
	struct list of_group;
	struct heap_node timer;
	struct switch_context context;
	struct loop *loop;
	struct task_group *group;
	task_body *body;
	void *arg;
	struct stack stack;
	mono_us parked_at;
	enum task_state state;
	enum error wake;    /* what the wait returns */
	unsigned may_block; /* loop_may_block_begin without their ends */
	bool cancelled;
	bool cancellable; /* the present wait may end by cancelling */
	char name[TASK_NAME_BYTES];
};

struct census_entry {
	char name[TASK_NAME_BYTES];
	size_t peak;
};

struct loop {
	struct env *env;
	struct loop_options options;
	struct watchdog watchdog;
	int poll_fd;
	bool stopped;
	mono_us now;
	struct task *current;
	struct list ready;
	struct list parked;
	struct list tasks;
	struct list hooks;
	struct heap timers;
	struct stack_pool *stacks;
	struct switch_context thread;
	struct task *ended; /* its stack is given back by the loop, which stands on another one */
	struct census_entry census[CENSUS_NAMES];
	size_t census_count;
};

struct loop *
loop_new(struct env *env, const struct loop_options *options)
{
	struct loop *loop = memory_get(env->memory, sizeof *loop);

	loop->env = env;
	loop->options = *options;
	list_init(&loop->ready);
	list_init(&loop->parked);
	list_init(&loop->tasks);
	list_init(&loop->hooks);
	heap_init(&loop->timers, env->memory);
	loop->stacks = stack_pool_new(env, options->paint_stacks);
	loop->poll_fd = env->poll->create(env->world);
	if (loop->poll_fd < 0)
		abort(); /* no poller at start-up: there is no process to run */
	loop->now = env_monotonic(env);
	watchdog_open(&loop->watchdog, env, options->watchdog_us);
	env->loop = loop;
	return loop;
}

void
loop_free(struct loop **loop_pointer)
{
	struct loop *loop = *loop_pointer;

	if (!loop)
		return;
	watchdog_close(&loop->watchdog);
	list_for_each_safe (link, next, &loop->tasks)
		switch_done(&list_entry(link, struct task, all)->context);
	stack_pool_free(&loop->stacks);
	heap_done(&loop->timers);
	loop->env->poll->close(loop->env->world, loop->poll_fd);
	loop->env->loop = NULL;
	memory_put(loop->env->memory, loop);
	*loop_pointer = NULL;
}

mono_us
loop_now(const struct loop *loop)
{
	return loop->now;
}

mono_us
loop_deadline(const struct loop *loop, int64_t after_us)
{
	return after_us > MONO_NEVER - loop->now ? MONO_NEVER : loop->now + after_us;
}

void
loop_may_block_begin(struct loop *loop)
{
	if (loop && loop->current && loop->current->may_block++ == 0)
		watchdog_pass_over(&loop->watchdog, true);
}

void
loop_may_block_end(struct loop *loop)
{
	if (loop && loop->current && --loop->current->may_block == 0)
		watchdog_pass_over(&loop->watchdog, false);
}

struct env *
loop_env(const struct loop *loop)
{
	return loop->env;
}

void
loop_stop(struct loop *loop)
{
	loop->stopped = true;
}

void
loop_add_hook(struct loop *loop, struct loop_hook *hook)
{
	list_append(&loop->hooks, &hook->link);
}

void
loop_remove_hook(struct loop_hook *hook)
{
	list_remove(&hook->link);
}

static void
task_make_ready(struct task *task, enum error wake)
{
	if (task->state != TASK_WAITING)
		return;
	list_remove(&task->link);
	list_remove(&task->parked);
	heap_remove(&task->loop->timers, &task->timer);
	task->state = TASK_READY;
	task->wake = wake;
	list_append(&task->loop->ready, &task->link);
}

/* Leaves the processor until somebody makes the task ready again. */
static enum error
task_park(struct task *task, struct list *waiters, mono_us deadline, bool cancellable)
{
	struct loop *loop = task->loop;

	if (cancellable && task->cancelled)
		return ERROR_CANCELLED;
	if (deadline != MONO_NEVER) {
		if (deadline <= loop->now)
			return ERROR_TIMEOUT;
		task->timer.key = deadline;
		enum error error = heap_insert(&loop->timers, &task->timer);
		if (error != OK)
			return error;
	}
	if (waiters)
		list_append(waiters, &task->link);
	task->state = TASK_WAITING;
	task->cancellable = cancellable;
	task->parked_at = loop->now;
	list_append(&loop->parked, &task->parked);
	switch_to(&task->context, &loop->thread);
	return task->wake;
}

static void
loop_count_stack(struct loop *loop, const struct task *task)
{
	size_t peak = stack_peak(&task->stack);
	size_t i;

	for (i = 0; i < loop->census_count; i++)
		if (memcmp(loop->census[i].name, task->name, TASK_NAME_BYTES) == 0)
			break;
	if (i == CENSUS_NAMES)
		return;
	if (i == loop->census_count)
		memcpy(loop->census[loop->census_count++].name, task->name, TASK_NAME_BYTES);
	if (peak > loop->census[i].peak)
		loop->census[i].peak = peak;
}

/* On the loop's own stack: takes apart a task that has run to its end. */
static void
loop_bury(struct loop *loop, struct task *task)
{
	struct stack stack = task->stack;
	struct task_group *group = task->group;

	if (loop->options.paint_stacks)
		loop_count_stack(loop, task);
	list_remove(&task->all);
	list_remove(&task->of_group);
	switch_done(&task->context);
	if (list_is_empty(&group->tasks))
		list_for_each_safe (link, next, &group->waiters)
			task_make_ready(list_entry(link, struct task, link), OK);
	stack_put(loop->stacks, &stack);
}

static void
task_entry(void *arg)
{
	struct task *task = arg;

	switch_entered(&task->context);
	task->body(task->arg);
	task->loop->ended = task;
	switch_leave(&task->context, &task->loop->thread);
}

static void
loop_resume(struct loop *loop, struct task *task)
{
	watchdog_step(&loop->watchdog, task->name);
	loop->watchdog.may_block = task->may_block > 0;
	loop->current = task;
	task->state = TASK_RUNNING;
	switch_to(&loop->thread, &task->context);
	loop->current = NULL;
	watchdog_step(&loop->watchdog, "loop"); /* before the task's name goes with its stack */
	loop->watchdog.may_block = false;
	if (loop->ended) {
		loop_bury(loop, loop->ended);
		loop->ended = NULL;
	}
}

static void
loop_run_ready(struct loop *loop)
{
	struct list turn;

	list_init(&turn);
	while (!list_is_empty(&loop->ready))
		list_append(&turn, list_take(&loop->ready));
	for (struct list *link; !loop->stopped && (link = list_take(&turn)) != NULL;)
		loop_resume(loop, list_entry(link, struct task, link));
	for (struct list *link; (link = list_take(&turn)) != NULL;)
		list_append(&loop->ready, link);
}

static void
loop_fire_timers(struct loop *loop)
{
	for (struct heap_node *node;
		(node = heap_first(&loop->timers)) != NULL && node->key <= loop->now;)
		task_make_ready(list_entry(node, struct task, timer), ERROR_TIMEOUT);
}

/* Gives back what long parked stacks do not use. Painted stacks stay: their paint is the
 * measurement. */
static void
loop_sweep_parked(struct loop *loop)
{
	for (struct list *link; (link = loop->parked.next) != &loop->parked;) {
		struct task *task = list_entry(link, struct task, parked);
		if (task->parked_at + PARKED_SWEEP_US > loop->now)
			break;
		list_remove(&task->parked);
#ifndef SWITCH_HAS_UCONTEXT
		/* UNSAFE: 128 octets below the stack pointer belong to it too (the red zone of the
		 * ABI) */
		if (!loop->options.paint_stacks)
			stack_trim(
				&task->stack, (const uint8_t *)task->context.stack_pointer - 128);
#endif
	}
}

static int64_t
loop_poll_timeout(const struct loop *loop)
{
	const struct heap_node *timer = heap_first(&loop->timers);
	mono_us until = timer ? timer->key : MONO_NEVER;

	if (!list_is_empty(&loop->ready))
		return 0;
	if (!list_is_empty(&loop->parked)) {
		mono_us sweep = list_entry(loop->parked.next, struct task, parked)->parked_at +
				PARKED_SWEEP_US;
		if (sweep < until)
			until = sweep;
	}
	if (until == MONO_NEVER)
		return -1;
	return until > loop->now ? until - loop->now : 0;
}

static void
watch_report(struct watch *watch, uint32_t ready)
{
	watch->ready |= ready;
	if ((ready & POLL_READABLE) && watch->reader)
		task_make_ready(watch->reader, OK);
	if ((ready & POLL_WRITABLE) && watch->writer)
		task_make_ready(watch->writer, OK);
}

static void
loop_end_turn(struct loop *loop)
{
	list_for_each (link, &loop->hooks) {
		struct loop_hook *hook = list_entry(link, struct loop_hook, link);
		hook->end_turn(hook->arg);
	}
}

static bool
loop_may_sleep(struct loop *loop)
{
	bool may_sleep = true;

	list_for_each (link, &loop->hooks) {
		struct loop_hook *hook = list_entry(link, struct loop_hook, link);
		may_sleep &= hook->before_sleep(hook->arg);
	}
	return may_sleep;
}

static void
loop_woke(struct loop *loop)
{
	list_for_each (link, &loop->hooks) {
		struct loop_hook *hook = list_entry(link, struct loop_hook, link);
		hook->after_sleep(hook->arg);
	}
}

static void
loop_poll(struct loop *loop)
{
	struct poll_event events[LOOP_EVENTS];

	loop_end_turn(loop);
	int64_t timeout_us = loop_poll_timeout(loop);
	bool sleeps = timeout_us != 0;
	if (sleeps && !loop_may_sleep(loop))
		timeout_us = 0;
	if (timeout_us != 0)
		watchdog_step(&loop->watchdog, NULL);
	int count = loop->env->poll->wait(
		loop->env->world, loop->poll_fd, events, LOOP_EVENTS, timeout_us);
	if (sleeps)
		loop_woke(loop);
	for (int i = 0; i < count; i++)
		watch_report(events[i].tag, events[i].ready);
}

void
loop_run(struct loop *loop)
{
	switch_init_thread(&loop->thread);
	loop->stopped = false;
	while (!loop->stopped && !list_is_empty(&loop->tasks)) {
		loop->now = env_monotonic(loop->env);
		loop_fire_timers(loop);
		watchdog_turn(&loop->watchdog, loop->now, !list_is_empty(&loop->ready));
		loop_run_ready(loop);
		if (loop->stopped || list_is_empty(&loop->tasks))
			break;
		loop_sweep_parked(loop);
		loop_poll(loop);
	}
	watchdog_step(&loop->watchdog, NULL); /* what the caller does now is its own affair */
}

void
task_group_init(struct task_group *group, struct loop *loop)
{
	group->loop = loop;
	list_init(&group->tasks);
	list_init(&group->waiters);
}

enum error
task_start(struct task_group *group, const char *name, task_body *body, void *arg)
{
	struct loop *loop = group->loop;
	struct stack stack;
	enum error error = stack_take(loop->stacks, &stack);

	if (error != OK)
		return error;
	/* UNSAFE: the task struct takes the top of its stack, 64-byte aligned */
	uintptr_t at = ((uintptr_t)stack.low + stack.bytes - sizeof(struct task)) & ~(uintptr_t)63;
	struct task *task = (struct task *)at;
	*task = (struct task){.loop = loop,
		.group = group,
		.body = body,
		.arg = arg,
		.stack = stack,
		.state = TASK_READY};
	struct slice kept_name = slice_sub(slice_text(name), 0, TASK_NAME_BYTES - 1);
	memcpy(task->name, kept_name.ptr, kept_name.len);
	list_init(&task->parked);
	switch_init(&task->context, stack.low, at - (uintptr_t)stack.low, task_entry, task);
	list_append(&loop->tasks, &task->all);
	list_append(&group->tasks, &task->of_group);
	list_append(&loop->ready, &task->link);
	return OK;
}

struct task *
task_self(const struct loop *loop)
{
	return loop->current;
}

void
task_cancel(struct task *task)
{
	task->cancelled = true;
	if (task->cancellable)
		task_make_ready(task, ERROR_CANCELLED);
}

void
task_group_cancel(struct task_group *group)
{
	list_for_each (link, &group->tasks)
		task_cancel(list_entry(link, struct task, of_group));
}

void
task_group_wait(struct task_group *group)
{
	while (!list_is_empty(&group->tasks)) {
		enum error ignored =
			task_park(group->loop->current, &group->waiters, MONO_NEVER, false);
		(void)ignored; /* neither deadline nor cancelling ends this wait */
	}
}

bool
task_group_is_empty(const struct task_group *group)
{
	return list_is_empty(&group->tasks);
}

enum error
task_sleep(struct loop *loop, mono_us deadline)
{
	enum error error = task_park(loop->current, NULL, deadline, true);

	return error == ERROR_TIMEOUT ? OK : error;
}

void
task_yield(struct loop *loop)
{
	struct task *task = loop->current;

	if (!task) /* code under test on the thread's own stack: there is nobody to let run */
		return;
	task->state = TASK_READY;
	list_append(&loop->ready, &task->link);
	switch_to(&task->context, &loop->thread);
}

void
task_event_init(struct task_event *event)
{
	list_init(&event->waiters);
}

enum error
task_event_wait(struct loop *loop, struct task_event *event, mono_us deadline)
{
	return task_park(loop->current, &event->waiters, deadline, true);
}

void
task_event_signal(struct task_event *event)
{
	while (!list_is_empty(&event->waiters))
		task_make_ready(list_entry(event->waiters.next, struct task, link), OK);
}

bool
loop_is_in_task(const struct loop *loop)
{
	return loop && loop->current;
}

bool
task_is_cancelled(const struct loop *loop)
{
	return loop->current && loop->current->cancelled;
}

enum error
watch_open(struct watch *watch, struct loop *loop, int fd, uint32_t interest)
{
	*watch = (struct watch){.loop = loop, .fd = fd};
	return error_from_errno(
		-loop->env->poll->add(loop->env->world, loop->poll_fd, fd, interest, watch));
}

void
watch_close(struct watch *watch)
{
	if (watch->loop)
		watch->loop->env->poll->remove(
			watch->loop->env->world, watch->loop->poll_fd, watch->fd);
	watch->loop = NULL;
}

enum error
watch_wait(struct watch *watch, uint32_t what, mono_us deadline)
{
	struct task **place = what == POLL_READABLE ? &watch->reader : &watch->writer;

	watch->ready &= ~what;
	*place = watch->loop->current;
	enum error error = task_park(watch->loop->current, NULL, deadline, true);
	*place = NULL;
	return error;
}

void
loop_parked_stacks(const struct loop *loop,
	void (*each)(void *arg, const char *name, size_t depth_bytes), void *arg)
{
#ifndef SWITCH_HAS_UCONTEXT
	list_for_each (link, &loop->tasks) {
		const struct task *task = list_entry(link, struct task, all);
		uintptr_t top = (uintptr_t)task->stack.low + task->stack.bytes;
		if (task->state == TASK_WAITING)
			each(arg, task->name, top - (uintptr_t)task->context.stack_pointer);
	}
#else
	(void)loop;
	(void)each;
	(void)arg;
#endif
}

void
loop_stack_census(const struct loop *loop,
	void (*each)(void *arg, const char *name, size_t peak_bytes), void *arg)
{
	for (size_t i = 0; i < loop->census_count; i++)
		each(arg, loop->census[i].name, loop->census[i].peak);
}
