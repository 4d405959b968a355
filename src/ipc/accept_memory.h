/*
 * An accept store that keeps messages in memory, with faults to order: for tests and for tools that
 * want no disk. Never waits.
 */
#ifndef IPC_ACCEPT_MEMORY_H
#define IPC_ACCEPT_MEMORY_H

#include "base/buffer.h"
#include "base/list.h"
#include "ipc/accept_store.h"

/* Zero: nothing fails. Counts start at 1 and go on over all messages of the store. */
struct accept_memory_faults {
	uint32_t begin_at; /* the n-th begin fails with begin_error */
	enum error begin_error;
	uint32_t room_at; /* the n-th room likewise */
	enum error room_error;
	uint32_t commit_at; /* the n-th commit ends with commit_outcome, and the message is kept
			       only if that is ACCEPT_UNKNOWN */
	enum accept_outcome commit_outcome;
	bool is_full;      /* there is no space: begin fails with ERROR_NO_SPACE */
	size_t room_bytes; /* size of each room; 0: ACCEPT_MEMORY_ROOM_BYTES */
};

#define ACCEPT_MEMORY_ROOM_BYTES 65536

struct accept_memory_message {
	struct list link; /* in the store's messages, oldest first */
	struct arena arena;
	struct envelope envelope; /* a copy, with its id; the trace carries it too */
	struct buffer content;
};

struct accept_memory {
	struct accept_store store;
	struct memory *memory;
	size_t content_max; /* ERROR_NO_SPACE from room beyond */
	struct accept_memory_faults faults;
	uint64_t next_id;
	struct list messages;
	uint32_t begins;
	uint32_t rooms;
	uint32_t commits;
	uint32_t aborts;
	uint32_t open; /* acceptances that have not ended */
};

void
accept_memory_init(struct accept_memory *memory_store, struct memory *memory, size_t content_max);

/* Frees the messages. No acceptance is open. */
void accept_memory_done(struct accept_memory *memory_store);

/* The n-th message kept, from 0; NULL when there are fewer. */
const struct accept_memory_message *
accept_memory_message(const struct accept_memory *memory_store, uint32_t number);

#endif
