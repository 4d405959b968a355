/*
 * One thread a job, made for it and gone with it: jobs are rare (a user looked up, the list of
 * users once a minute), and a thread that waits for them would cost every process memory and a
 * restart after its filters. Whoever comes second, the task that leaves or the thread that ends,
 * frees the job; one exchange of its state decides.
 *
 * Threads are reached through env: a simulator runs the body whenever it likes between start and
 * join, on its own thread.
 */
#include "task/offload.h"

#include <stdatomic.h>

enum offload_state { OFFLOAD_NEW, OFFLOAD_RUNNING, OFFLOAD_ENDED, OFFLOAD_LEFT };

struct offload {
	struct env env; /* the body's; its memory holds this struct and the data */
	struct loop *loop;
	offload_body *body;
	void *data;
	int wake_fd;
	uintptr_t thread;
	_Atomic int state;
};

struct offload *
offload_new(struct env *env, offload_body *body, size_t data_bytes)
{
	struct memory *memory = memory_new(0);
	struct offload *job = memory_get(memory, sizeof *job);

	*job = (struct offload){.env = *env, .loop = env->loop, .body = body, .wake_fd = -1};
	job->env.memory = memory;
	job->env.log = NULL;
	job->env.loop = NULL;
	job->data = memory_get(memory, data_bytes);
	return job;
}

void *
offload_data(struct offload *job)
{
	return job->data;
}

static void
offload_destroy(struct offload *job)
{
	struct memory *memory = job->env.memory;

	if (job->wake_fd >= 0)
		job->env.poll->close(job->env.world, job->wake_fd);
	memory_free(&memory);
}

static void
offload_thread(void *arg)
{
	struct offload *job = arg;

	job->body(&job->env, job->data);
	if (atomic_exchange(&job->state, OFFLOAD_ENDED) == OFFLOAD_LEFT)
		offload_destroy(job);
	else
		job->env.poll->wake_signal(job->env.world, job->wake_fd);
}

/* May wait: for the thread's signal. Signals are remembered by the counter, so none is missed. */
static enum error
offload_await(struct offload *job, mono_us deadline)
{
	struct watch watch;
	enum error error = watch_open(&watch, job->loop, job->wake_fd, POLL_READABLE);

	while (error == OK && atomic_load(&job->state) != OFFLOAD_ENDED)
		error = watch_wait(&watch, POLL_READABLE, deadline);
	watch_close(&watch);
	return error;
}

enum error
offload_run(struct offload *job, mono_us deadline)
{
	struct env *env = &job->env;

	if (!loop_is_in_task(job->loop)) {
		job->body(env, job->data);
		return OK;
	}
	job->wake_fd = env->poll->wake_create(env->world);
	if (job->wake_fd < 0)
		return error_from_errno(-job->wake_fd);
	atomic_store(&job->state, OFFLOAD_RUNNING);
	int result = env->threads->start(env->world, offload_thread, job, &job->thread);
	if (result < 0) {
		atomic_store(&job->state, OFFLOAD_NEW);
		return error_from_errno(-result);
	}
	enum error error = offload_await(job, deadline);
	if (error == OK) {
		env->threads->join(env->world, job->thread);
		atomic_store(&job->state, OFFLOAD_NEW);
	}
	return error;
}

void
offload_free(struct offload **job_pointer)
{
	struct offload *job = *job_pointer;

	if (!job)
		return;
	*job_pointer = NULL;
	if (atomic_load(&job->state) == OFFLOAD_NEW) {
		offload_destroy(job);
		return;
	}
	/* After the exchange the job may be gone: what is needed of it is copied before. */
	struct env env = job->env;
	uintptr_t thread = job->thread;
	if (atomic_exchange(&job->state, OFFLOAD_LEFT) == OFFLOAD_ENDED) {
		env.threads->join(env.world, thread);
		offload_destroy(job);
	} else {
		env.threads->leave(env.world, thread);
	}
}
