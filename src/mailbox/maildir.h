/*
 * Deliveries into Maildirs, in batches: write all files into tmp/, flush them, rename all into
 *new/, flush the folders, and only then call them delivered. Every call blocks on the disk; none
 *waits for anything else, none starts a thread.
 *
 * A file's name derives from queue id, recipient number, time of acceptance, host and size, never
 *from the present, so that a delivery that is repeated after a crash finds its file in new/ or cur/
 *and counts as done:
 *
 *	<seconds>.V<queue id>R<recipient>.<host>,S=<octets of the file>
 *
 * Two deliveries of the same queue id and recipient must not run at the same time; `queue` sees to
 *that.
 *
 * Folders are opened component by component from a root descriptor, never through a symbolic link.
 */
#ifndef MAILBOX_MAILDIR_H
#define MAILBOX_MAILDIR_H

#include "base/clock.h"
#include "base/env.h"
#include "base/error.h"
#include "base/slice.h"
#include "text/enhanced_status.h"

#define MAILDIR_BATCH_MAX \
	64 /* deliveries written and flushed together; bounds the open descriptors */
#define MAILDIR_PIECE_BYTES (64 * 1024) /* of content in memory at a time */
#define MAILDIR_HOST_MAX \
	128 /* octets of the host name that go into file names; more are left off */
#define MAILDIR_NAME_BYTES 256 /* a file name (NAME_MAX) and its NUL */
#define MAILDIR_VOLUMES    4   /* file systems whose speed is remembered */
#define MAILDIR_SYNCFS_MIN \
	8 /* files on one file system from which on one syncfs may serve for all */

struct maildir_content {
	int fd; /* read with pread only; -1: the content is `bytes` */
	uint64_t offset;
	uint64_t size;
	struct slice bytes;
	/* CRC-32C of what `fd` gives, if it is known: content that is not it is never published
	 * (ERROR_DAMAGED). */
	bool has_sum;
	uint32_t sum;
};

/* Whom new folders and files shall belong to. Not given: whom the process belongs to. */
struct maildir_owner {
	bool given;
	uid_t uid;
	gid_t gid;
};

enum maildir_status { MAILDIR_DELIVERED, MAILDIR_TEMPORARY, MAILDIR_PERMANENT };

struct maildir_result {
	enum maildir_status status;
	enum error error;
	struct enhanced_status enhanced;
	const char *text;                  /* for the sender: a phrase without paths */
	const char *stage;                 /* for the log: where it failed; NULL when delivered */
	bool found;                        /* an earlier attempt had delivered it */
	char path[4 + MAILDIR_NAME_BYTES]; /* delivered: new/NAME or cur/NAME:2,FLAGS below the
					      Maildir */
};

struct maildir_delivery {
	/*
	 * The Maildir: components separated by single slashes, from the root descriptor on (a
	 * leading slash means the same). `.` and `..` are refused.
	 */
	struct slice path;
	uint64_t queue_id;
	uint32_t recipient; /* its number in the envelope */
	wall_us received_at;
	struct slice head; /* goes in front of the content; CRLF line ends, as the content */
	struct maildir_content content;
	struct maildir_owner owner;
	/* Nobody can have tried this delivery before: new/ and cur/ are not searched for an earlier
	 * file, which is slow in large folders. */
	bool first_attempt;
	struct maildir_result result; /* out */
};

/* How long flushes took of late on one file system. */
struct maildir_volume {
	dev_t device;
	bool used;
	int64_t syncfs_us;
	int64_t fsync_us;
};

struct maildir {
	struct env *env;
	int root_fd;
	char host[MAILDIR_HOST_MAX + 1];
	struct maildir_volume volumes[MAILDIR_VOLUMES];
	unsigned next_volume;
	uint64_t flush_count; /* flushes of any kind so far */
};

/*
 * `root_fd` is a folder opened for reading (not O_PATH); it stays the caller's. Octets of the host
 * name other than letters, digits, `-`, `.` and `_` become `_`. The struct owns nothing and needs
 * no end.
 */
void maildir_init(struct maildir *maildir, struct env *env, int root_fd, struct slice hostname);

/*
 * Tries all deliveries and fills in their results; any number, MAILDIR_BATCH_MAX at a time. The
 * failure of one never touches another. A result of `delivered` means that file and folders are on
 * stable storage; after any other nothing of the message is in new/, except where taking it back
 * failed too, and then the next attempt finds it.
 */
void
maildir_deliver_batch(struct maildir *maildir, struct maildir_delivery *deliveries, size_t count);

#endif
