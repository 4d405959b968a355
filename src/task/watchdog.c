/*
 * An alarm of the loop's own thread looks at what runs. The loop pays two stores a step and reads
 * no clock: what runs first in a turn runs since the turn's start, and of the others the alarm
 * knows that they did not run yet at its last look, a fifth of the limit ago. It is set when a loop
 * with work finds it unset, sets itself again while the loop is busy, and ends when it finds the
 * loop asleep: a process without work is never woken.
 *
 * The alarm interrupts the very thread that writes the log, so the ring keeps its single writer; a
 * record that is being written just then (env->logging) is waited for until the next look. Any
 * other sink (that of `log` itself, which takes memory and writes files) may be in the midst of
 * anything: there the alarm only notes who and since when, and the loop tells it at its next step.
 * A look uses nothing but the clock, the alarm and a sink that says it is signal_safe.
 */
#include "task/watchdog.h"
#include "base/log_record.h"

#define WATCHDOG_LOOKS 5 /* in the time of the limit */

static void
watchdog_tell(struct watchdog *watchdog, const char *event, mono_us now)
{
	log_event(watchdog->env, LOG_WARNING, event, LOG_STRING("task", watchdog->name),
		LOG_NUMBER("ms", (now - watchdog->hold_since) / US_PER_MS));
}

/* In a signal handler: notes what runs if it is a hold. */
static void
watchdog_judge(struct watchdog *watchdog, mono_us now)
{
	if (watchdog->hold != WATCHDOG_NONE || watchdog->may_block ||
		now - watchdog->held_since < watchdog->limit_us)
		return;
	struct slice name =
		slice_sub(slice_text((const char *)watchdog->running), 0, WATCHDOG_NAME_BYTES - 1);
	memcpy(watchdog->name, name.ptr, name.len);
	watchdog->name[name.len] = 0;
	watchdog->hold_since = watchdog->held_since;
	watchdog->hold = WATCHDOG_NOTED;
}

/* In a signal handler: tells the hold once, if that can be done here and now. */
static void
watchdog_tell_hold(struct watchdog *watchdog, mono_us now)
{
	const struct env *env = watchdog->env;

	if (watchdog->hold != WATCHDOG_NOTED || env->logging || !env->log || !env->log->signal_safe)
		return;
	watchdog->hold = WATCHDOG_TOLD;
	watchdog_tell(watchdog, "task_holds_loop", now);
}

static void
watchdog_set(struct watchdog *watchdog)
{
	watchdog->env->alarm->set(
		watchdog->env->world, &watchdog->alarm, watchdog->limit_us / WATCHDOG_LOOKS);
}

/* In a signal handler. */
static void
watchdog_look(void *arg)
{
	struct watchdog *watchdog = arg;
	struct env *env = watchdog->env;
	mono_us now = env_monotonic(env);

	if (!watchdog->running) {
		watchdog->armed = false;
		return;
	}
	if (watchdog->steps != watchdog->seen_steps) {
		watchdog->seen_steps = watchdog->steps;
		watchdog->held_since =
			watchdog->steps - watchdog->turn_steps <= 1 ? watchdog->turn_started : now;
	}
	watchdog_judge(watchdog, now);
	watchdog_tell_hold(watchdog, now);
	watchdog_set(watchdog);
}

void
watchdog_open(struct watchdog *watchdog, struct env *env, int64_t limit_us)
{
	*watchdog = (struct watchdog){.env = env};
	if (limit_us > 0 &&
		env->alarm->open(env->world, &watchdog->alarm, watchdog_look, watchdog) == 0)
		watchdog->limit_us = limit_us;
}

void
watchdog_close(struct watchdog *watchdog)
{
	if (watchdog->limit_us)
		watchdog->env->alarm->close(watchdog->env->world, &watchdog->alarm);
	watchdog->limit_us = 0;
}

void
watchdog_arm(struct watchdog *watchdog)
{
	watchdog->armed = true;
	watchdog->env->alarm->set(watchdog->env->world, &watchdog->alarm, watchdog->limit_us);
}

void
watchdog_tell_end(struct watchdog *watchdog)
{
	mono_us now = env_monotonic(watchdog->env);

	/* An alarm may still come between any two of these. */
	if (atomic_exchange(&watchdog->hold, WATCHDOG_TOLD) == WATCHDOG_NOTED)
		watchdog_tell(watchdog, "task_holds_loop", now);
	watchdog_tell(watchdog, "task_held_loop", now);
	watchdog->steps++; /* what the telling took is nobody's hold */
	watchdog->hold = WATCHDOG_NONE;
}

void
watchdog_pass_over(struct watchdog *watchdog, bool may_block)
{
	watchdog->steps++; /* the time spent blocked is no part of what comes then */
	watchdog->may_block = may_block;
}
