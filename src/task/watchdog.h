/*
 * Names a task that holds the loop too long, while it still holds it: `task_holds_loop task=NAME
 * ms=N` once a hold, and `task_held_loop` with the whole time when it is over. For task.c alone.
 */
#ifndef TASK_WATCHDOG_H
#define TASK_WATCHDOG_H

#include "base/env.h"

#define WATCHDOG_NAME_BYTES 32

struct watchdog {
	struct env *env;
	int64_t limit_us; /* 0: off */
	struct alarm alarm;
	/* Written by the loop, read by the alarm that interrupts it. */
	const char *volatile running; /* NULL: asleep in the poller */
	volatile uint64_t steps;
	volatile mono_us turn_started;
	volatile uint64_t turn_steps; /* at its start */
	/* Written by the alarm. */
	volatile bool armed;
	volatile bool told; /* of the present hold; ended by the loop */
	uint64_t seen_steps;
	mono_us held_since;
	char name[WATCHDOG_NAME_BYTES];
};

/* Stays off when limit_us is 0 or the machine has no alarm to give. */
void watchdog_open(struct watchdog *watchdog, struct env *env, int64_t limit_us);
void watchdog_close(struct watchdog *watchdog);

void watchdog_arm(struct watchdog *watchdog);
void watchdog_tell_end(struct watchdog *watchdog);

/* What runs from here on: a task's name, "loop", or NULL before the poller may sleep. */
static inline void
watchdog_step(struct watchdog *watchdog, const char *name)
{
	if (watchdog->told)
		watchdog_tell_end(watchdog);
	watchdog->steps++; /* first: an alarm in between sees a new step, which it cannot blame yet
			    */
	watchdog->running = name;
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
