/*
 * A table of known names (the local parts of one domain) as read-only shared memory: made by
 * `lookup`, sealed against any change, mapped by sessions, so that RCPT for a known local address
 * asks nobody. Holds names only, never passwords or their hashes; in a table of aliases a NUL and
 * the targets follow each name.
 */
#ifndef IPC_SNAPSHOT_H
#define IPC_SNAPSHOT_H

#include "base/env.h"
#include "base/error.h"

#define SNAPSHOT_NAME_MAX  512
#define SNAPSHOT_BYTES_MAX (1u << 30)

/* Sealed memory with these names, which are sorted (slice_compare) and differ. */
MUST_CHECK enum error
snapshot_new(struct env *env, const struct slice *names, size_t count, int *ret_fd);

struct snapshot {
	struct env *env;
	const uint8_t *bytes; /* NULL: none */
	size_t mapped_bytes;
	uint32_t count;
};

/* Maps and checks it; the descriptor stays the caller's. ERROR_FORMAT for memory that is no sealed,
 * sound snapshot. */
MUST_CHECK enum error snapshot_open(struct snapshot *snapshot, struct env *env, int fd);
void snapshot_close(struct snapshot *snapshot);

bool snapshot_contains(const struct snapshot *snapshot, struct slice name);

/* For tables whose names carry a value: the rest of the first name that begins with `prefix`. */
bool snapshot_find(const struct snapshot *snapshot, struct slice prefix, struct slice *ret_rest);

#endif
