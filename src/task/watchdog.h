/*
 * Names a task that holds the loop too long: `task_holds_loop task=NAME ms=N` once a hold, while it
 * lasts where the log's sink can be written to from an alarm and else behind it; and
 * `task_held_loop` with the whole time when it is over. For task.c alone.
 */
#ifndef TASK_WATCHDOG_H
#define TASK_WATCHDOG_H

#include "base/env.h"

#include <stdatomic.h>

#define WATCHDOG_NAME_BYTES 32

/* What is known of the present hold: by the alarm, and by those who read the log. */
enum watchdog_hold { WATCHDOG_NONE, WATCHDOG_NOTED, WATCHDOG_TOLD };

struct watchdog {
	struct env *env;
	int64_t limit_us; /* 0: off */
	struct alarm alarm;
	/* Written by the loop, read by the alarm that interrupts it. */
	const char *volatile running; /* NULL: asleep in the poller */
	volatile uint64_t steps;
	volatile mono_us turn_started;
	volatile uint64_t turn_steps; /* at its start */
	volatile bool may_block;      /* what runs: it is passed over */
	/* Written by the alarm. */
	volatile bool armed;
	uint64_t seen_steps;
	mono_us held_since; /* of what runs */
	/* Written by the alarm when there is no hold, which the loop ends. */
	_Atomic enum watchdog_hold hold;
	mono_us hold_since;
	char name[WATCHDOG_NAME_BYTES];
};

/* Stays off when limit_us is 0 or the machine has no alarm to give. */
void watchdog_open(struct watchdog *watchdog, struct env *env, int64_t limit_us);
void watchdog_close(struct watchdog *watchdog);

void watchdog_arm(struct watchdog *watchdog);
void watchdog_tell_end(struct watchdog *watchdog);

/* From here on what runs may block, or may no more. */
void watchdog_pass_over(struct watchdog *watchdog, bool may_block);

/* What runs from here on: a task's name, "loop", or NULL before the poller may sleep. */
static inline void
watchdog_step(struct watchdog *watchdog, const char *name)
{
	watchdog->steps++; /* first: an alarm in between sees a new step, which it cannot blame yet
			    */
	watchdog->running = name;
	if (atomic_load_explicit(&watchdog->hold, memory_order_relaxed) != WATCHDOG_NONE)
		watchdog_tell_end(watchdog);
}

/* At the start of a turn. */
static inline void
watchdog_turn(struct watchdog *watchdog, mono_us now, bool has_work)
{
	watchdog->turn_started = now;
	watchdog_step(watchdog, "loop");
	watchdog->turn_steps = watchdog->steps;
	if (has_work && !watchdog->armed && watchdog->limit_us)
		watchdog_arm(watchdog);
}

#endif
