/*
 * Reading a log file of which any byte may be wrong: batches, records, sums. What does not pass its
 * check is passed over, and the caller sees where. What can't be *read* is passed over too, but
 * that says nothing about what is stored (R1): `error` keeps it, and whoever concludes anything
 * from what was not found looks there first.
 */
#ifndef SPOOL_READER_H
#define SPOOL_READER_H

#include "spool/batch.h"

struct reader {
	struct env *env;
	int fd;
	struct logfile_header header;
	uint64_t size; /* of the file as it is */
	uint8_t *window;
	uint64_t window_start;
	size_t window_len;
	enum error error; /* of the first read that failed; the caller may set it back to OK */
};

/*
 * Opens the file and reads its header. ERROR_NOT_FOUND: no file, or its header was never written.
 * ERROR_FORMAT: no file at all. ERROR_DAMAGED: a header that is not sound or not this file's.
 * Anything else says nothing about the file.
 */
MUST_CHECK enum error reader_open(struct reader *reader, struct env *env, int dir_fd,
	enum logfile_kind kind, uint32_t number);
/* The same without a look at the file's header: this is it. */
MUST_CHECK enum error reader_open_as(
	struct reader *reader, struct env *env, int dir_fd, const struct logfile_header *header);
void reader_close(struct reader *reader);

struct found_batch {
	struct batch_head head;
	uint64_t offset;
	uint64_t end; /* offset + bytes */
};

/* The first sound batch head at or after `from` with a higher sequence. False: none up to the end.
 */
bool reader_next_batch(struct reader *reader, uint64_t from, uint64_t after_sequence,
	struct found_batch *ret_batch);

/* Where the batch after this one starts. */
uint64_t reader_after(const struct reader *reader, const struct found_batch *batch);

struct found_record {
	struct record record;
	uint64_t head;    /* offset of its head */
	uint64_t payload; /* and of its payload */
};

/*
 * The first sound record head at or after *at in the batch; *at moves behind the record. False:
 * none. The payload lies in the batch; its sum is not looked at.
 */
bool reader_next_record(struct reader *reader, const struct found_batch *batch, uint64_t *at,
	struct found_record *ret_record);

/* Whether the payload has its sum. */
bool reader_payload_is_sound(struct reader *reader, const struct found_record *found);

/* The record with this payload offset, if its head is sound and the record lies in the file. */
bool reader_record_at(struct reader *reader, uint64_t payload, struct found_record *ret_record);

/* Bytes of the file, at most READER_BYTES_MAX; they hold until the next call. Empty: they can't be
 * read (`error`), or the file ends before. */
#define READER_BYTES_MAX 262144
struct slice reader_bytes(struct reader *reader, uint64_t offset, size_t len);

#endif
