/*
 * Batches and the records in them: what one write puts behind the header of a log file.
 * docs/spool.md, "A batch", has the bytes. Both heads carry a check keyed with the file's key over
 * themselves and their own offset, so they can't be moved, copied from another file or sent in by a
 * stranger (W2).
 *
 * Two builders: `struct batch` gathers pieces of the caller's memory (segments), `struct
 * batch_image` copies small records into one buffer (journals).
 */
#ifndef SPOOL_BATCH_H
#define SPOOL_BATCH_H

#include "base/buffer.h"
#include "spool/logfile.h"

#define BATCH_HEAD_BYTES  32
#define RECORD_HEAD_BYTES 40
#define RECORD_ALIGN      8
#define BATCH_RECORDS_MAX 1024
/* Of our own bytes before the payload of a record, kept by the batch until it is written. */
#define RECORD_PREFIX_MAX 56

enum record_type {
	RECORD_CONTENT = 1,
	RECORD_MESSAGE = 2,
	RECORD_SETTLING = 3, /* a message whose adding settles others */
	RECORD_COPY = 4,     /* a message copied forward; it counts once the journal says so */
	RECORD_RESULT = 16,
	RECORD_SEGMENT_OPEN = 17,
	RECORD_SEGMENT_FREE = 18,
	RECORD_STATE = 19,
	RECORD_STATE_END = 20,
	RECORD_SEGMENT_SEALED = 21,
	RECORD_MOVED = 22,
};

struct record {
	uint32_t type;
	uint32_t flags;
	uint64_t queue_id;
	uint64_t size; /* of the payload */
	uint32_t crc;  /* CRC-32C of the payload */
};

/* With an envelope. */
static inline bool
record_is_message(const struct record *record)
{
	return record->type == RECORD_MESSAGE || record->type == RECORD_SETTLING ||
	       record->type == RECORD_COPY;
}

/* Writes RECORD_HEAD_BYTES for a record whose head lies at this offset of the file. */
void record_head_encode(const struct record *record, const struct siphash_key *key, uint64_t offset,
	uint8_t *ret_head);

/* ERROR_DAMAGED when it is no record head of this key and place. */
MUST_CHECK enum error record_head_decode(struct slice head, const struct siphash_key *key,
	uint64_t offset, struct record *ret_record);

struct batch_head {
	uint32_t count;    /* of records */
	uint64_t sequence; /* one more than the batch before */
	uint64_t bytes;    /* with this head, without the padding to the block */
};

void batch_head_encode(const struct batch_head *head, const struct siphash_key *key,
	uint64_t offset, uint8_t *ret_head);
MUST_CHECK enum error batch_head_decode(struct slice head, const struct siphash_key *key,
	uint64_t offset, struct batch_head *ret_head);

/* Bytes that a record of this payload takes in a batch. */
static inline uint64_t
record_bytes(uint64_t payload)
{
	return RECORD_HEAD_BYTES + logfile_round_up(payload, RECORD_ALIGN);
}

/* A batch as pieces: what the caller added must hold until it is written. */
struct batch {
	struct env *env;
	struct siphash_key key;
	uint32_t block;
	uint64_t start; /* offset in the file */
	uint64_t bytes; /* so far, with the head */
	uint32_t count;
	struct iovec *pieces;
	size_t piece_count;
	size_t piece_capacity;
	struct batch_small *small; /* the head; then a head and a prefix for each record */
};

MUST_CHECK enum error batch_init(struct batch *batch, struct env *env);
void batch_done(struct batch *batch);

/* Empties it and says where it will stand. */
void
batch_begin(struct batch *batch, const struct siphash_key *key, uint32_t block, uint64_t start);

struct batch_payload {
	struct slice prefix; /* copied; at most RECORD_PREFIX_MAX */
	const struct iovec *pieces;
	int count;
};

/*
 * Adds a record; its size and sum are found here. ERROR_LIMIT: BATCH_RECORDS_MAX. On any error the
 * batch is as before. `ret_offset` is the payload's place in the file.
 */
MUST_CHECK enum error batch_add(struct batch *batch, const struct record *like,
	const struct batch_payload *payload, uint64_t *ret_offset, struct record *ret_record);

/* A place to return to when the second of two records does not fit. */
struct batch_mark {
	uint64_t bytes;
	uint32_t count;
	size_t piece_count;
};
struct batch_mark batch_mark(const struct batch *batch);
void batch_rewind(struct batch *batch, struct batch_mark mark);

/* Bytes on the disk with the padding. */
uint64_t batch_disk_bytes(const struct batch *batch);

/* Writes it; the pieces are used up whatever comes of it. Does not flush. */
MUST_CHECK enum error batch_write(struct batch *batch, int fd, uint64_t sequence);

/* A batch of copies. */
struct batch_image {
	struct buffer bytes; /* room for the head, then the records without their checks */
	uint32_t count;
};

void batch_image_init(struct batch_image *image, struct env *env, size_t max);
void batch_image_done(struct batch_image *image);
void batch_image_clear(struct batch_image *image);
MUST_CHECK enum error batch_image_add(struct batch_image *image, uint32_t type, uint64_t queue_id,
	struct slice payload, struct slice more);
uint64_t batch_image_disk_bytes(const struct batch_image *image, uint32_t block);

/* Writes it and keeps it: batch_image_clear when it is flushed. */
MUST_CHECK enum error batch_image_write(struct batch_image *image, struct env *env, int fd,
	const struct logfile_header *header, uint64_t offset, uint64_t sequence);

#endif
