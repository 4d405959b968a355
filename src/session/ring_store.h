/*
 * The accept store of a session worker: content goes straight into the blocks of the ring that the
 * worker shares with `queue` (ipc/ring.h), the envelope behind it, and the answer comes back when
 * the flush that covers both is done.
 *
 * When the queue dies, what was handed over is answered ACCEPT_UNKNOWN at once; what was not is
 * kept in the old ring's memory and copied into the new ring when root brings one, for
 * RING_STORE_HOLD_US at most.
 */
#ifndef SESSION_RING_STORE_H
#define SESSION_RING_STORE_H

#include "ipc/accept_store.h"
#include "task/task.h"

#define RING_STORE_HOLD_US (10 * US_PER_S)

/*
 * A content of up to RING_WHOLE_MAX lies in the ring whole, if there are blocks for it. Else it is
 * streamed: all but its first RING_STREAM_HEAD octets go to the queue as they come, and the session
 * holds RING_STREAM_CHAIN at most.
 */
#define RING_STREAM_HEAD  65536u
#define RING_STREAM_CHAIN (3u * RING_STREAM_HEAD)
#define RING_WHOLE_MAX    524288u

/*
 * Each message under way has RING_FLOOR_BLOCKS for itself, so that small mail never waits for what
 * others have not finished, and a large one goes on by itself. A ring has RING_BLOCKS_EACH for each
 * that it lets begin; beyond the floors they are lent. While they are scarce, what a message holds
 * that would not send so much once more within RING_PATIENCE_US, by what it sent in the last
 * RING_WINDOW_US and more, is handed to the queue.
 */
#define RING_FLOOR_BLOCKS 5u
#define RING_BLOCKS_EACH  8u
#define RING_WINDOW_US    (2 * US_PER_S)
#define RING_PATIENCE_US  (60 * US_PER_S)

struct ring_store;

/* `wake_fd` is what queues signal when answers are there; the store owns it from here on. */
struct ring_store *ring_store_new(struct env *env, int wake_fd);

/* No acceptance is under way. */
void ring_store_free(struct ring_store **store);

struct accept_store *ring_store_accept(struct ring_store *store);

/* The ring to a (new) queue; the store owns the descriptors from here on, also on error. */
MUST_CHECK enum error
ring_store_connect(struct ring_store *store, int memory_fd, int queue_wake_fd);

/* Called when the queue broke the ring's rules: the ring is dropped, and no other will come by
 * itself. May not wait. */
void ring_store_on_broken(struct ring_store *store, void (*broken)(void *arg), void *arg);

/* The queue is gone. */
void ring_store_disconnect(struct ring_store *store);

#endif
