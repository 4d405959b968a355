/*
 * Where a session puts a message while it arrives: begin, room and fill for each piece, commit,
 * abort. The reply 250 may be said only after ACCEPT_DURABLE. Back ends: the ring to `queue`
 * (session/), and memory with faults (tests).
 */
#ifndef IPC_ACCEPT_STORE_H
#define IPC_ACCEPT_STORE_H

#include "ipc/envelope.h"

enum accept_outcome {
	ACCEPT_DURABLE,     /* on stable storage: 250 */
	ACCEPT_FAILED,      /* certainly not stored, a later try may succeed: 451 4.3.0 */
	ACCEPT_NO_SPACE,    /* certainly not stored, disk full: 452 4.3.1 */
	ACCEPT_UNKNOWN,     /* it may be stored or not: 451 4.3.0 */
	ACCEPT_UNAVAILABLE, /* the queue is away and did not come back in time: 421 4.3.2 */
};

struct accept_store {
	const struct accept_store_ops *ops;
};

/* One message on its way in; each back end embeds it. */
struct acceptance {
	struct accept_store *store;
};

struct accept_store_ops {
	/* Whether begin would say ERROR_NO_SPACE now: for the reply to MAIL. Never waits. */
	bool (*is_full)(const struct accept_store *store);

	/* May wait, for the queue to be there and for space. ERROR_CLOSED: unavailable;
	 * ERROR_NO_SPACE: the disk is full. */
	enum error (*begin)(
		struct accept_store *store, mono_us deadline, struct acceptance **ret_acceptance);

	/*
	 * May wait. Memory for the next octets of content, at least one octet of room; the same
	 * room again until some of it is filled. ERROR_TIMEOUT when nothing became free,
	 * ERROR_CLOSED when the queue died.
	 */
	enum error (*room)(struct acceptance *acceptance, mono_us deadline, uint8_t **ret_ptr,
		size_t *ret_len);

	/* The first `len` octets of the last room are content now (0 is allowed). */
	void (*fill)(struct acceptance *acceptance, size_t len);

	/* Puts these octets in the place of as many that are content already. */
	void (*overwrite)(struct acceptance *acceptance, uint64_t at, struct slice octets);

	/* May wait. Ends the acceptance. ret_id is written on ACCEPT_DURABLE. */
	enum accept_outcome (*commit)(struct acceptance *acceptance,
		const struct envelope *envelope, mono_us deadline, uint64_t *ret_id);

	/* Ends the acceptance; nothing of it is kept. Takes NULL. */
	void (*abort)(struct acceptance *acceptance);
};

#endif
