/* What the files of the Maildir code share: the batch at work, its folders and files, and flushing.
 */
#ifndef MAILBOX_MAILDIR_PRIVATE_H
#define MAILBOX_MAILDIR_PRIVATE_H

#include "mailbox/maildir.h"

#define MAILDIR_DEPTH_MAX 16 /* components of a path */
#define MAILDIR_NODES_MAX                                                                        \
	(1 + MAILDIR_BATCH_MAX * MAILDIR_DEPTH_MAX) /* the root, folders above the Maildirs of a \
						       batch, and these */

/* Where a delivery can fail; chooses the text of the result. */
enum maildir_stage {
	STAGE_PATH,
	STAGE_FOLDER,
	STAGE_SEARCH,
	STAGE_WRITE,
	STAGE_FLUSH,
	STAGE_PUBLISH,
	STAGE_FOLDER_FLUSH,
};

/* A descriptor to flush. `error` gets the first error of all flushes that name it. */
struct maildir_flush {
	int fd;
	dev_t device;
	enum error *error;
};

/* A folder on the way to a Maildir, or the Maildir itself; each is opened once a batch. */
struct maildir_node {
	struct slice path; /* from the root descriptor, in the memory of a delivery; the root's is
			      empty */
	int parent;        /* place among the nodes; -1: this is the root, node 0 */
	int fd;            /* O_PATH if it existed: folders above may be closed for reading */
	bool changed;      /* something was made in it */
	bool made;         /* by this batch */
	bool wanted;       /* must be flushed before a new tmp/ */
	int flush_fd;      /* open during that, else -1 */
	enum error flush_error;
};

/* One Maildir of the batch. */
struct maildir_folder {
	struct slice path;
	struct maildir_owner owner; /* of the first delivery that named it */
	enum error error;           /* why it can't be used */
	int node;                   /* its place among the nodes */
	int tmp_fd;
	int new_fd;
	int cur_fd; /* opened by the search only, else -1 */
	dev_t device;
	bool made_new; /* by this batch */
	bool made_cur;
	bool incomplete; /* tmp/ or new/ is missing: it and the folders above are flushed before
			    tmp/ is made */
	enum error search_error;
	enum error flush_error;
};

enum maildir_file_state {
	FILE_WAITING,
	FILE_FAILED,   /* the result is filled in */
	FILE_FOUND,    /* in new/ or cur/ since an earlier attempt */
	FILE_WRITTEN,  /* in tmp/ */
	FILE_FLUSHED,  /* in tmp/, on stable storage */
	FILE_PUBLISHED /* in new/ */
};

struct maildir_file {
	enum maildir_file_state state;
	struct maildir_folder *folder;
	int fd;        /* -1 when closed */
	uint64_t size; /* octets written */
	enum error flush_error;
	char base[MAILDIR_NAME_BYTES]; /* name without its size; also the name in tmp/ */
	char name[MAILDIR_NAME_BYTES]; /* name in new/, or what was found */
	bool in_cur;
};

struct maildir_batch {
	struct maildir *maildir;
	struct maildir_delivery *deliveries;
	struct maildir_file files[MAILDIR_BATCH_MAX];
	size_t count;
	struct maildir_folder folders[MAILDIR_BATCH_MAX];
	size_t folder_count;
	struct maildir_node nodes[MAILDIR_NODES_MAX];
	size_t node_count;
	struct maildir_flush flushes[MAILDIR_NODES_MAX];
	uint8_t piece[MAILDIR_PIECE_BYTES];
};

/* maildir_folder.c: finds or makes the folder of every delivery; errors lie in the folders. */
void maildir_folders_open(struct maildir_batch *batch);
void maildir_folders_close(struct maildir_batch *batch);
/* The state of a file that an earlier attempt left in new/ or cur/ becomes FILE_FOUND. */
void maildir_folders_search(struct maildir_batch *batch);
/* Flushes new/ (and cur/, where a file was found) of every folder that got or had a file;
 * flush_error tells. */
void maildir_folders_flush(struct maildir_batch *batch);

/* maildir_file.c: tmp/ file of one delivery, whole, not yet flushed. */
MUST_CHECK enum error maildir_file_write(struct maildir_batch *batch, size_t index);

/* maildir_flush.c: by one syncfs a file system, or one by one. */
void maildir_flush_all(struct maildir *maildir, struct maildir_flush *flushes, size_t count);

static inline enum error
maildir_error(ssize_t result)
{
	return result < 0 ? error_from_errno((int)-result) : OK;
}

#endif
