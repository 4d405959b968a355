/*
 * The writer: the one thread that owns the spool. It gathers what all session workers have ready
 * and what the schedule has decided, writes it, flushes once, and only then answers (SPOOL rule
 * W3). The schedule may stall without delaying it; what passes between the two is bounded: messages
 * that are durable come out of `committed`, results go into `results`.
 */
#ifndef QUEUE_WRITER_H
#define QUEUE_WRITER_H

#include "queue/handoff.h"
#include "queue/streams.h"
#include "spool/spool.h"

#include <pthread.h>

#define WRITER_WORKERS_MAX STREAMS_WORKERS_MAX
#define WRITER_ENVELOPE_BYTES \
	2048 /* of an encoded envelope that travel with the message; a longer one is read back */

/* A message that has just become durable; or, without an envelope, one that has moved. */
struct committed_message {
	bool has_moved;
	struct spool_reference message;
	struct spool_reference content;
	uint32_t envelope_bytes; /* 0: read it from the spool */
	uint8_t envelope[WRITER_ENVELOPE_BYTES];
};

/*
 * A message that the queue itself adds, and what adding it settles of others. It lies in the
 * schedule's memory, which the writer only reads, but for the answer.
 */
#define WRITER_OWN_MAX 16 /* that the writer may have at a time; a power of two */
struct own_message {
	struct slice envelope; /* encoded, without an id */
	struct slice content;
	struct slice settles; /* spool_settle_append */
	enum error error; /* the answer: OK when it is durable; after any other it never will be */
	uint64_t queue_id;
};

struct queued_result {
	struct spool_result result; /* its text lies in `text` */
	uint8_t text[SPOOL_RESULT_TEXT_MAX];
};

/* What the thread did, for the log of the schedule's thread; read and reset by it. */
struct writer_troubles {
	_Atomic uint32_t failed_commits;
	_Atomic uint32_t last_error;
	_Atomic uint32_t damaged_rings;
	_Atomic uint32_t refused_messages;
	_Atomic uint64_t broken_workers; /* a bit each: their rings are dropped */
	_Atomic uint32_t lost_results;
	_Atomic bool space_changed; /* what writer_has_space says */
};

/*
 * Whether the spool's file system has room, looked at now and then, also while nothing else
 * happens, and shown to all sessions through their rings: mail that could not be stored is refused
 * before its content is sent. There is none when less than the reserve is free, or when a write has
 * failed for lack of space; there is again when a quarter of the reserve more is free, and, after a
 * failed write, room for what could not be made.
 */
struct writer_space {
	_Atomic bool is_missing;
	int dir_fd; /* on the spool's file system; -1: nothing is watched */
	uint64_t reserve;
	uint64_t piece;  /* what the spool takes at a time */
	uint64_t wanted; /* free for there to be space again */
	mono_us look_at;
};

struct writer {
	struct env env; /* the thread's own memory account; no log, no loop */
	struct spool *spool;
	struct handoff committed;
	struct handoff results;
	struct handoff own;         /* struct own_message * */
	struct handoff own_answers; /* the same, on their way back */
	struct writer_troubles troubles;
	struct writer_rings *rings;
	struct writer_turn *turn;
	struct writer_space space;
	struct streams streams; /* large contents on their way in */
	bool moves_wait;        /* until the schedule has taken them from the line */
	uint32_t moves_last;    /* where in the line they end */
	int wake_fd;            /* the thread's: sessions and the schedule signal it */
	pthread_t thread;
	bool running;
	_Atomic bool stopping;
	_Atomic bool results_due;
};

/*
 * Takes over the descriptor `wake_fd` and the environment that the spool was opened with;
 * `schedule_wake_fd` stays the caller's.
 */
void writer_init(struct writer *writer, const struct env *env, int schedule_wake_fd, int wake_fd);
void writer_done(struct writer *writer);

/* Before the thread starts: the folder stays the caller's. */
void writer_watch_space(struct writer *writer, int dir_fd, uint64_t reserve, uint64_t piece);

/* Before the thread starts: the spool could not be opened for lack of space. */
void writer_miss_space(struct writer *writer);

/* From any thread. */
bool writer_has_space(const struct writer *writer);

/* Starts the thread; from here on the spool is its alone. */
MUST_CHECK enum error writer_start(struct writer *writer, struct spool *spool);

/* Writes what is pending and ends the thread. Blocks. */
void writer_stop(struct writer *writer);

/* The ring of a session worker; the memory descriptor stays the caller's, the wake-up is owned from
 * here on. Replaces an earlier ring. */
MUST_CHECK enum error
writer_attach(struct writer *writer, uint32_t worker, int memory_fd, int session_wake_fd);

/* The worker is gone: what it had not handed over whole is forgotten. */
void writer_detach(struct writer *writer, uint32_t worker);

void writer_wake(struct writer *writer);

/* The results in the line shall be stored now, not with whatever comes later. Wakes the thread. */
void writer_store_results(struct writer *writer);

#endif
