/*
 * The file in which quotas survive a restart: two places, written by turns, so that the older
 * snapshot is whole while the newer one is being written. No mail depends on it: without a sound
 * snapshot counting begins anew.
 *
 * A place: "VEREDUSQ", u32 version, u32 length of the snapshot, u64 its number, u32 CRC-32C of all
 * of it but this sum, the snapshot.
 */
#ifndef GUARD_QUOTA_FILE_H
#define GUARD_QUOTA_FILE_H

#include "guard/quotas.h"

#define QUOTA_PLACE_HEAD  28
#define QUOTA_PLACE_BYTES (2u << 20) /* from the beginning of one to that of the next */

struct quota_file {
	struct env *env;
	int fd;          /* -1: there is none */
	uint64_t number; /* of the newest snapshot */
};

/* The descriptor is owned from here on. ERROR_FORMAT: it holds no sound snapshot, though it is not
 * empty; quotas begin anew. */
MUST_CHECK enum error
quota_file_open(struct quota_file *file, struct env *env, int fd, struct quotas *quotas);

MUST_CHECK enum error quota_file_write(struct quota_file *file, struct quotas *quotas);

void quota_file_close(struct quota_file *file);

#endif
