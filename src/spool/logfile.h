/*
 * What segments and journals have in common: a file of blocks. Block 0 is a header with a random
 * key, batches follow (batch.h). docs/spool.md, "A file", has the bytes.
 */
#ifndef SPOOL_LOGFILE_H
#define SPOOL_LOGFILE_H

#include "base/env.h"
#include "base/error.h"
#include "base/hash.h"

#define LOGFILE_VERSION     2
#define LOGFILE_BLOCK       4096 /* the least block */
#define LOGFILE_BLOCK_MAX   65536
#define LOGFILE_HEAD_BYTES  64 /* of block 0 that mean something */
#define LOGFILE_NAME_BYTES  32
#define LOGFILE_SLICE_BYTES 1048576 /* zeros written by one call */
/* Numbers of files are below this; a name with another one is nobody's (4 thousand million files).
 */
#define LOGFILE_NUMBER_END 0xfff00000u
/* Queue ids are times in microseconds; one beyond this is no id, and the next one always exists. */
#define SPOOL_ID_MAX ((uint64_t)INT64_MAX - 1)

enum logfile_kind { LOGFILE_SEGMENT, LOGFILE_JOURNAL };

struct logfile_header {
	enum logfile_kind kind;
	bool is_apart;       /* one content and no batch (apart.c) */
	uint32_t number;     /* as in the name */
	uint32_t generation; /* of the bytes */
	uint32_t block;      /* bytes; batches begin at its multiples */
	uint64_t size;       /* of the file once it is pre-written */
	uint64_t id_floor;   /* the last queue id that was given when the header was written */
	struct siphash_key key;
};

static inline uint64_t
logfile_round_up(uint64_t bytes, uint64_t unit)
{
	return (bytes + unit - 1) / unit * unit;
}

static inline bool
logfile_block_is_right(uint32_t block)
{
	return block >= LOGFILE_BLOCK && block <= LOGFILE_BLOCK_MAX && (block & (block - 1)) == 0;
}

void logfile_name(enum logfile_kind kind, uint32_t number, char ret_name[LOGFILE_NAME_BYTES]);

/* False for the name of anything else. */
bool logfile_parse_name(const char *name, enum logfile_kind *ret_kind, uint32_t *ret_number);

/* The block for files of this folder: what the file system prefers, within the bounds. */
uint32_t logfile_block(struct env *env, int dir_fd);

/* A new, empty file, open for writing. ERROR_EXISTS when there is one. */
MUST_CHECK enum error
logfile_create(struct env *env, int dir_fd, enum logfile_kind kind, uint32_t number, int *ret_fd);
/* Of a FIFO, a device, a folder or a link it is ERROR_FORMAT, at once. */
MUST_CHECK enum error
logfile_open(struct env *env, int dir_fd, enum logfile_kind kind, uint32_t number, int *ret_fd);
/* A file of this size of which every octet is zero, open for writing; ERROR_FORMAT for any other.
 */
MUST_CHECK enum error
logfile_open_zeros(struct env *env, int dir_fd, const char *name, uint64_t size, int *ret_fd);
MUST_CHECK enum error
logfile_remove(struct env *env, int dir_fd, enum logfile_kind kind, uint32_t number);

/* Writes all of it, in as many calls as it takes; uses the pieces up. */
MUST_CHECK enum error
logfile_write(struct env *env, int fd, struct iovec *pieces, size_t count, uint64_t offset);

/* Reads exactly this much; ERROR_DAMAGED when the file ends before. */
MUST_CHECK enum error
logfile_read(struct env *env, int fd, void *bytes, size_t len, uint64_t offset);

/* Zeros from *filled on, one slice at most; *filled moves on by what was written. */
MUST_CHECK enum error logfile_fill(struct env *env, int fd, uint64_t *filled, uint64_t size);

/* Writes block 0 whole. */
MUST_CHECK enum error
logfile_write_header(struct env *env, int fd, const struct logfile_header *header);

/* Writes block 0 of a file that is there anew, and flushes it. */
MUST_CHECK enum error
logfile_mend_header(struct env *env, int dir_fd, const struct logfile_header *header);

/*
 * ERROR_NOT_FOUND: block 0 was never written (a pre-written file). ERROR_DAMAGED: not a header of
 * this kind. ERROR_UNSUPPORTED: a sound one of another version. ERROR_IO: it can't be read.
 */
MUST_CHECK enum error logfile_read_header(
	struct env *env, int fd, enum logfile_kind kind, struct logfile_header *ret_header);

#endif
