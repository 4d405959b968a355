/*
 * Work that may block for long or needs a deep stack (getpwnam and what its plug-ins do), done on a
 * thread while a task waits for it. A job has memory of its own, which is the thread's from start
 * to end: nothing else is shared, so that a task that cannot wait any longer just leaves.
 */
#ifndef TASK_OFFLOAD_H
#define TASK_OFFLOAD_H

#include "task/task.h"

struct offload;

/* On the thread. `env` is a copy of the caller's without loop and log, with the job's memory. */
typedef void offload_body(struct env *env, void *data);

/* A job with so many zeroed octets of data. */
struct offload *offload_new(struct env *env, offload_body *body, size_t data_bytes);

/* What the body works on: the caller's before and after the run, and gone when it was not OK. */
void *offload_data(struct offload *job);

/*
 * May wait: until the body has returned. Once. Called where no task runs, it runs the body at once.
 * When the deadline passes or the task is cancelled, the body goes on without anybody looking.
 */
MUST_CHECK enum error offload_run(struct offload *job, mono_us deadline);

/* Frees the data and all that hangs on the job's memory (when its thread ends, if it still runs).
 * After an offload_run that was OK the thread is gone: filters may be installed. */
void offload_free(struct offload **job);

#endif
