/*
 * The shared memory between one session worker and the queue: how content and envelopes get from
 * the process that parses strangers' bytes to the one that owns the spool, without a copy through a
 * socket.
 *
 * It holds blocks, a submission ring and a completion ring. A session receives content straight
 * into blocks of its own and submits a chain of them: content first, then, at the next multiple of
 * 8, the encoded envelope. The queue answers each submission once. The blocks of a chain are the
 * session's again when the answer is there; only the session writes blocks, so it keeps the free
 * list in its own memory.
 *
 * A large content comes in pieces, each a submission with an answer of its own: RING_MORE at an
 * offset, as often as it takes; RING_PATCH over octets that were handed over before; then
 * RING_COMMIT with the first octets of it, which are held back till then, and the envelope; or
 * RING_ABORT. A token has one unanswered submission at a time. A piece that is not RING_TAKEN ends
 * the transaction: nothing of it is kept.
 *
 * Neither side trusts the other: every index and length is read once and checked; a side that
 * breaks a rule is dropped (ERROR_DAMAGED). Content that changes under the reader damages its own
 * message only. Publishing and waking are explicit: once a turn.
 */
#ifndef IPC_RING_H
#define IPC_RING_H

#include "base/env.h"
#include "base/error.h"

#include <stdatomic.h>
#include <sys/uio.h>

#define RING_BLOCK_BYTES 16384u
#define RING_ENTRIES     1024u /* transactions under way in one worker; a power of two */

enum ring_kind { RING_WHOLE, RING_MORE, RING_PATCH, RING_COMMIT, RING_ABORT, RING_KINDS };

enum ring_status {
	RING_DURABLE,
	RING_FAILED,
	RING_NO_SPACE,
	RING_UNKNOWN,
	RING_TAKEN, /* a piece, or an abort */
	RING_STATUSES
};

struct ring_submission {
	uint32_t token; /* the session's name for the transaction: below RING_ENTRIES */
	uint32_t first_block;
	uint64_t content_bytes;
	uint32_t envelope_bytes;
	uint32_t kind;   /* enum ring_kind */
	uint64_t offset; /* in the content, of MORE and PATCH */
};

struct ring_completion {
	uint32_t token;
	uint32_t status; /* enum ring_status */
	uint64_t queue_id;
};

/* Octets of shared memory for a ring with so many blocks. */
size_t ring_memory_bytes(uint32_t blocks);

/* For root: sealed memory (no shrinking, no growing) of that size with its header written. */
MUST_CHECK enum error ring_memory_new(struct env *env, uint32_t blocks, int *ret_fd);

struct ring_shared;

/* The session's end. */
struct ring_producer {
	struct env *env;
	struct ring_shared *shared;
	size_t mapped_bytes;
	uint32_t blocks;
	uint32_t *free_blocks; /* a stack: the block used last is taken first, its pages are warm */
	uint32_t free_count;
	uint32_t submitted; /* private copy of the tail; published by ring_publish */
	uint32_t published;
	uint32_t completed; /* private copy of the completion head */
	int queue_wake_fd;
};

/* Maps it; the descriptors stay the caller's. ERROR_FORMAT for memory that is no ring. */
MUST_CHECK enum error
ring_producer_open(struct ring_producer *ring, struct env *env, int memory_fd, int queue_wake_fd);
void ring_producer_close(struct ring_producer *ring);

/* ERROR_AGAIN when all blocks are in use. */
MUST_CHECK enum error ring_block_take(struct ring_producer *ring, uint32_t *ret_block);
uint8_t *ring_block_ptr(struct ring_producer *ring, uint32_t block);
/* Makes `next` follow `block` in its chain. */
void ring_block_link(struct ring_producer *ring, uint32_t block, uint32_t next);
/* Gives one block back: the session remembers its chains itself. */
void ring_block_put(struct ring_producer *ring, uint32_t block);

/* Queues a submission for the next ring_publish. At most RING_ENTRIES may be unanswered: the
 * caller's tokens see to it. */
void ring_submit(struct ring_producer *ring, const struct ring_submission *submission);
void ring_publish(struct ring_producer *ring);

/* The next answer; ERROR_AGAIN when there is none, ERROR_DAMAGED when the queue broke the rules. */
MUST_CHECK enum error
ring_take_completion(struct ring_producer *ring, struct ring_completion *ret_completion);

/* Before blocking: false when answers came meanwhile. ring_producer_woke after it in any case. */
bool ring_producer_may_sleep(struct ring_producer *ring);
void ring_producer_woke(struct ring_producer *ring);

/* Whether the queue says that its disk is full: new messages would be refused. */
bool ring_producer_no_space(const struct ring_producer *ring);

/* The queue's end. */
struct ring_consumer {
	struct env *env;
	struct ring_shared *shared;
	size_t mapped_bytes;
	uint32_t blocks;
	uint32_t taken;     /* private copy of the submission head */
	uint32_t answered;  /* private copy of the completion tail */
	uint32_t published; /* of the completion tail */
	int session_wake_fd;
};

MUST_CHECK enum error
ring_consumer_open(struct ring_consumer *ring, struct env *env, int memory_fd, int session_wake_fd);
void ring_consumer_close(struct ring_consumer *ring);

/* Shows the sessions that the disk is full, or is not any more. Wakes nobody: whoever asks, looks.
 */
void ring_consumer_set_no_space(struct ring_consumer *ring, bool no_space);

/*
 * The next submission, copied and checked, and then past it, in two steps: it may have to wait for
 * the next batch. ERROR_AGAIN: none; ERROR_DAMAGED: drop this worker. A second look copies and
 * checks again.
 */
MUST_CHECK enum error
ring_peek_submission(struct ring_consumer *ring, struct ring_submission *ret_submission);
void ring_pass_submission(struct ring_consumer *ring);
/* Both. */
MUST_CHECK enum error
ring_take_submission(struct ring_consumer *ring, struct ring_submission *ret_submission);

/*
 * The pieces of a submission: content as vectors into the shared memory (at most `max`, ERROR_LIMIT
 * beyond), the envelope copied into `envelope` (of envelope_bytes).
 */
MUST_CHECK enum error
ring_gather(const struct ring_consumer *ring, const struct ring_submission *submission,
	struct iovec *content, int max, int *ret_count, uint8_t *envelope);

void ring_complete(struct ring_consumer *ring, const struct ring_completion *completion);
/* Shows the answers to the session and wakes it if it sleeps. */
void ring_publish_completions(struct ring_consumer *ring);

/* Whether a submission waits; and the sleep protocol as on the other side. */
bool ring_consumer_may_sleep(struct ring_consumer *ring);
void ring_consumer_woke(struct ring_consumer *ring);

#endif
