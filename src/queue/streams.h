/*
 * Large contents on their way in: each becomes a file of its own in the spool while it arrives
 * (docs/spool.md, "Contents apart"). The writer passes on what the rings bring of them and is
 * handed those that are durable; a thread of its own creates, writes, flushes and removes the
 * files, so that no flush of the others waits for them.
 *
 * All functions but for the thread's are the writer's.
 */
#ifndef QUEUE_STREAMS_H
#define QUEUE_STREAMS_H

#include "base/list.h"
#include "ipc/ring.h"
#include "spool/spool.h"

#include <pthread.h>

#define STREAMS_WORKERS_MAX 64

enum stream_job { STREAM_MORE, STREAM_PATCH, STREAM_COMMIT, STREAM_ABORT, STREAM_DROP };

struct stream {
	struct list link; /* in one of the lists of struct streams, or in none */
	uint32_t worker;
	enum stream_job job;
	bool is_given;  /* to the thread, and its answer was not looked at */
	bool is_ready;  /* durable: its message may be added */
	bool is_orphan; /* its ring is gone, or it failed: its file goes */
	struct ring_submission submission;
	const struct ring_consumer *ring; /* not of an orphan */
	uint64_t head;                    /* octets that are held back until the commit */
	uint64_t end;                     /* octets so far, with them */
	uint64_t queue_id;
	uint32_t content_flags;
	struct spool_apart apart;
	enum error error; /* of the job */
};

struct streams {
	struct env env;        /* the thread's */
	struct memory *memory; /* the writer's account */
	int dir_fd;
	uint64_t reserve; /* of the disk that no stream takes */
	int writer_wake_fd;
	pthread_mutex_t mutex; /* of the lists */
	pthread_mutex_t rings; /* held while the thread reads from one */
	pthread_cond_t wanted;
	struct list jobs;
	struct list answers;
	struct list ready;                              /* the writer's alone */
	struct stream **of_worker[STREAMS_WORKERS_MAX]; /* by token; NULL: none yet */
	pthread_t thread;
	bool is_running;
	bool is_stopping;
};

void streams_init(struct streams *streams, const struct env *env, int writer_wake_fd);
/* Before the thread starts. */
void streams_watch_space(struct streams *streams, uint64_t reserve);
MUST_CHECK enum error streams_start(struct streams *streams, int dir_fd);
/* Before the spool is closed, which the thread counts lost names for. Blocks until its job is done.
 */
void streams_stop(struct streams *streams);
/* What is not durable is dropped. Blocks. */
void streams_done(struct streams *streams);

/*
 * A submission that is not RING_WHOLE. ERROR_DAMAGED: drop this worker. Any other error is its
 * answer, and OK means that the answer comes later (`ret_status` RING_STATUSES) or is *ret_status.
 */
MUST_CHECK enum error streams_take(struct streams *streams, struct spool *spool, uint32_t worker,
	const struct ring_consumer *ring, const struct ring_submission *submission,
	uint32_t content_flags, enum ring_status *ret_status);

/* The next that the thread has done and whose worker wants an answer; NULL: none. What is ready is
 * in `ready` instead. */
bool streams_next_answer(
	struct streams *streams, uint32_t *ret_worker, struct ring_completion *ret_answer);

/* The next whose content is durable; it stays the first until streams_take_ready. */
struct stream *streams_ready(struct streams *streams);
void streams_take_ready(struct streams *streams, struct stream *stream);
/* Its message is in the spool's batch, or never will be. */
void streams_end(struct streams *streams, struct stream *stream, bool is_added);

/* Before this worker's ring is closed: nothing of it is read afterwards. */
void streams_detach(struct streams *streams, uint32_t worker);

#endif
