/*
 * Linux with a clock of our own, for tests of what waits: when nothing is ready, the time until the
 * next deadline passes at once. Deadlines of minutes are reached in microseconds, and exactly.
 *
 * With `patience_us` the poller first waits that long in real time, for what another thread or
 * process may still send.
 */
#ifndef TESTS_VIRTUAL_ENV_H
#define TESTS_VIRTUAL_ENV_H

#include "base/env.h"
#include "unit.h"

#include <stdatomic.h>
#include <stdlib.h>

#define VIRTUAL_START_US (1000 * US_PER_S)
#define VIRTUAL_EPOCH_US INT64_C(1795455235000000) /* wall time when the clock stands at 0 */
#define VIRTUAL_NEVER_US (20 * US_PER_S) /* real: a test that waits longer will wait for ever */

struct virtual_env {
	struct env env;
	const struct poll_ops *poll; /* Linux's */
	_Atomic mono_us now;
	int64_t patience_us;
};

static mono_us
virtual_monotonic(void *world)
{
	return atomic_load(&((struct virtual_env *)world)->now);
}

static wall_us
virtual_wall(void *world)
{
	return VIRTUAL_EPOCH_US + virtual_monotonic(world);
}

static int
virtual_wait(void *world, int poll_fd, struct poll_event *ret_events, int max, int64_t timeout_us)
{
	struct virtual_env *v = world;
	int64_t real_us = timeout_us < 0 ? VIRTUAL_NEVER_US : timeout_us == 0 ? 0 : v->patience_us;
	int count = v->poll->wait(world, poll_fd, ret_events, max, real_us);

	if (count == 0 && timeout_us < 0)
		ck_abort_msg("nothing will ever happen");
	if (count == 0 && timeout_us > 0)
		atomic_fetch_add(&v->now, timeout_us);
	return count;
}

/* What a thread is given is done before it starts: virtual time stands still meanwhile. */
static int
virtual_thread_start(void *world, void (*run)(void *arg), void *arg, uintptr_t *ret_thread)
{
	(void)world;
	run(arg);
	*ret_thread = 0;
	return 0;
}

static void
virtual_thread_end(void *world, uintptr_t thread)
{
	(void)world;
	(void)thread;
}

static const struct thread_ops virtual_threads = {
	virtual_thread_start, virtual_thread_end, virtual_thread_end};
static const struct clock_ops virtual_clock = {virtual_monotonic, virtual_wall};

/* On the heap, since `poll` tables and `world` point to it; virtual_env_free ends it. */
struct virtual_tables {
	struct virtual_env v;
	struct poll_ops poll;
};

static inline struct virtual_env *
virtual_env_new(int64_t patience_us)
{
	struct virtual_tables *tables = calloc(1, sizeof *tables);

	ck_assert_ptr_nonnull(tables);
	env_init_linux(&tables->v.env);
	tables->v.poll = tables->v.env.poll;
	tables->poll = *tables->v.poll;
	tables->poll.wait = virtual_wait;
	tables->v.env.poll = &tables->poll;
	tables->v.env.clock = &virtual_clock;
	tables->v.env.threads = &virtual_threads;
	tables->v.env.world = &tables->v;
	tables->v.now = VIRTUAL_START_US;
	tables->v.patience_us = patience_us;
	return &tables->v;
}

static inline void
virtual_env_free(struct virtual_env *v)
{
	env_done(&v->env);
	free((struct virtual_tables *)v); /* its first member */
}

#endif
