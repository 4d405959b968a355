/*
 * Tasks: straight-line code on stacks of their own, taking turns on one loop per process. A task
 * runs until it waits; only the functions that say "May wait" wait, each with a deadline
 * (MONO_NEVER: none). A wait ends with OK, ERROR_TIMEOUT when the deadline passed, or
 * ERROR_CANCELLED when the task was told to end; a cancelled task must return soon and may not wait
 * again with success.
 *
 * A parent owns its tasks in a group, and waits for the group before the memory that they use goes
 * away. Tasks never move between threads; nothing here may be called from another thread.
 */
#ifndef TASK_TASK_H
#define TASK_TASK_H

#include "base/clock.h"
#include "base/env.h"
#include "base/error.h"
#include "base/list.h"

#include <stdbool.h>

struct loop;
struct task;

typedef void task_body(void *arg);

struct loop_options {
	bool paint_stacks;   /* measure the peak use of each stack (touches every page: test builds)
			      */
	mono_us watchdog_us; /* a task that holds the loop longer is named in the log; 0: never */
};

#define LOOP_WATCHDOG_US (50 * US_PER_MS) /* of every process */

/* Sets env->loop. Aborts when the kernel has no poller to give. */
struct loop *loop_new(struct env *env, const struct loop_options *options);

/* All tasks have ended. */
void loop_free(struct loop **loop);

/* Runs tasks until none is left or loop_stop was called. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* The monotonic time of this turn; read once a turn. */
mono_us loop_now(const struct loop *loop);

/* now + microseconds; MONO_NEVER stays MONO_NEVER. */
mono_us loop_deadline(const struct loop *loop, int64_t after_us);

struct env *loop_env(const struct loop *loop);

/*
 * What happens once a turn, whatever the tasks did: end_turn is called before every look at the
 * poller (what the turn produced is published, what came in is taken), before_sleep only when the
 * loop is about to block: it returns false when there is work after all, and the loop then only
 * looks; after_sleep follows it.
 */
struct loop_hook {
	struct list link; /* the loop's */
	void (*end_turn)(void *arg);
	bool (*before_sleep)(void *arg);
	void (*after_sleep)(void *arg);
	void *arg;
};
void loop_add_hook(struct loop *loop, struct loop_hook *hook);
void loop_remove_hook(struct loop_hook *hook);

struct task_group {
	struct loop *loop;
	struct list tasks;
	struct list waiters;
};

void task_group_init(struct task_group *group, struct loop *loop);

/*
 * Starts a task; it first runs in a later turn. `name` is copied (up to 31 octets). ERROR_NO_MEMORY
 * when there is no stack left.
 */
MUST_CHECK enum error
task_start(struct task_group *group, const char *name, task_body *body, void *arg);

/* Tells every task of the group to end: its present or next wait gives ERROR_CANCELLED. */
void task_group_cancel(struct task_group *group);

/* May wait, without a deadline and not cancellable: until every task of the group has ended. */
void task_group_wait(struct task_group *group);

bool task_group_is_empty(const struct task_group *group);

/* The running task; holds until its body returns. */
struct task *task_self(const struct loop *loop);

/* As task_group_cancel, for one task. */
void task_cancel(struct task *task);

/* May wait. OK when the deadline is reached. */
MUST_CHECK enum error task_sleep(struct loop *loop, mono_us deadline);

/* May wait: lets the other ready tasks run once. Outside of tasks it does nothing. */
void task_yield(struct loop *loop);

/*
 * What the running task does from here to the end may hold the loop long, and is known to (disk
 * calls): the watchdog passes over it. They nest, go with the task when it waits in between, and do
 * nothing outside of tasks; the loop may be NULL.
 */
void loop_may_block_begin(struct loop *loop);
void loop_may_block_end(struct loop *loop);

/* Something that tasks wait for: no memory of past signals, so the condition is checked around the
 * wait. */
struct task_event {
	struct list waiters;
};

void task_event_init(struct task_event *event);

/* May wait: until signalled. */
MUST_CHECK enum error
task_event_wait(struct loop *loop, struct task_event *event, mono_us deadline);

/* Wakes all that wait now. */
void task_event_signal(struct task_event *event);

/* False on the thread's own stack; the loop may be NULL. */
bool loop_is_in_task(const struct loop *loop);

/* Whether the running task was told to end. */
bool task_is_cancelled(const struct loop *loop);

/* A descriptor under the loop's poller. At most one task waits for each direction. */
struct watch {
	struct loop *loop;
	int fd;
	uint32_t ready; /* POLL_*: what was reported and not yet used up */
	struct task *reader;
	struct task *writer;
};

/* Interest: POLL_READABLE | POLL_WRITABLE, or POLL_EXCLUSIVE alone for a listener. */
MUST_CHECK enum error watch_open(struct watch *watch, struct loop *loop, int fd, uint32_t interest);

/* Takes the descriptor off the poller (does not close it). No task may wait on it. */
void watch_close(struct watch *watch);

/*
 * May wait: until the descriptor may be read (POLL_READABLE) or written (POLL_WRITABLE). Call it
 * after EAGAIN only: it forgets the readiness that led to the failed try.
 */
MUST_CHECK enum error watch_wait(struct watch *watch, uint32_t what, mono_us deadline);

/* Calls `each` for every task that waits, with how far its stack reaches down (the task's own
 * struct at its top included). Nothing where tasks are switched by ucontext. */
void loop_parked_stacks(const struct loop *loop,
	void (*each)(void *arg, const char *name, size_t depth_bytes), void *arg);

/* For the stack census: calls `each` for every task name seen, with the most octets that one of its
 * stacks used. */
void loop_stack_census(const struct loop *loop,
	void (*each)(void *arg, const char *name, size_t peak_bytes), void *arg);

#endif
