/*
 * A connection to another process of ours (or a person's tool) that carries internal messages with
 * descriptors, in order, over a SOCK_SEQPACKET socket. What the other side's role may not say to
 * ours is refused like malformed bytes.
 */
#ifndef IPC_CHANNEL_H
#define IPC_CHANNEL_H

#include "ipc/message.h"
#include "task/task.h"

struct channel {
	struct loop *loop;
	struct watch watch;
	int fd; /* -1: closed */
	enum role self;
	enum role peer;
	uint8_t *received; /* the bytes of the last message; NULL while idle */
	size_t received_len;
	bool relaxes;         /* by itself, whenever it waits: set for one that is often silent */
	bool received_secret; /* wiped before the memory is used again or given back */
	struct task_event sent;
};

/* The channel owns the descriptor from here on, also when opening fails. */
MUST_CHECK enum error
channel_open(struct channel *channel, struct loop *loop, int fd, enum role self, enum role peer);

/* No task may wait on it. Takes a channel that was never opened if it is zeroed but for fd = -1. */
void channel_close(struct channel *channel);

/*
 * May wait: the next message. Its slices hold until the next call; its descriptors are the caller's
 * (ipc_close_fds for those not wanted). ERROR_CLOSED when the other side is gone, ERROR_FORMAT when
 * it said what it may not: close it then.
 */
MUST_CHECK enum error
channel_receive(struct channel *channel, mono_us deadline, struct ipc_message *ret_message);

/* Gives the receive buffer back until the next message: for channels that are mostly silent. Slices
 * end here. */
void channel_relax(struct channel *channel);

/* The bytes of the last message, for who keeps a copy; they hold as long as its slices. */
struct slice channel_received(const struct channel *channel);

/* May wait, for room. The message and its descriptors stay the caller's. */
MUST_CHECK enum error
channel_send(struct channel *channel, const struct ipc_message *message, mono_us deadline);

/* As channel_send, but ERROR_AGAIN instead of waiting. */
MUST_CHECK enum error channel_try_send(struct channel *channel, const struct ipc_message *message);

/*
 * A message ready to be sent, in memory of its own: for those who keep it until there is room.
 * ERROR_LIMIT as ipc_encode. The descriptors stay whose they were.
 */
struct packed {
	uint8_t *bytes;
	size_t len;
	enum ipc_kind kind;
	unsigned fd_count;
	int fds[IPC_FDS_MAX];
};
MUST_CHECK enum error
packed_init(struct packed *packed, struct env *env, const struct ipc_message *message);

/* Wiped if it held a secret. Takes one that is zeroed. */
void packed_done(struct packed *packed, struct env *env);

/* ERROR_AGAIN when there is no room. */
MUST_CHECK enum error channel_try_send_packed(struct channel *channel, const struct packed *packed);

/* May wait: until there may be room. Call it after ERROR_AGAIN only. */
MUST_CHECK enum error channel_wait_for_room(struct channel *channel, mono_us deadline);

void ipc_close_fds(struct env *env, struct ipc_message *message);

#endif
