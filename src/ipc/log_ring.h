/*
 * Log records on their way to `log`: one ring of shared memory a process. A full ring drops the
 * record and counts it: a blocked log never blocks mail, and what was lost is told. The reader
 * trusts nothing it finds.
 */
#ifndef IPC_LOG_RING_H
#define IPC_LOG_RING_H

#include "base/log_record.h"

#define LOG_RING_BYTES 262144u

/* Of these, for records of mail alone: whoever makes us log much else makes none of them vanish. */
#define LOG_RING_MAIL_BYTES (LOG_RING_BYTES / 4)

/* Other records of one process in a second; the rest is counted. Strangers can provoke most of them
 * as often as they like. */
#define LOG_RECORDS_A_SECOND 200

/* For root: sealed memory. */
MUST_CHECK enum error log_ring_memory_new(struct env *env, int *ret_fd);

struct log_ring_shared;

/* The writing end: a log sink for env->log. One thread writes; its signal handler may, too. */
struct log_writer {
	struct log_sink sink;
	struct env *env;
	struct log_ring_shared *shared;
	uint32_t tail;
	int wake_fd;
	wall_us second; /* when the present one began */
	unsigned in_second;
};
MUST_CHECK enum error
log_writer_open(struct log_writer *writer, struct env *env, int memory_fd, int wake_fd);
void log_writer_close(struct log_writer *writer);

struct log_reader {
	struct env *env;
	struct log_ring_shared *shared;
	uint32_t head;
	uint32_t dropped_seen;
	uint32_t left_out_seen;
};
MUST_CHECK enum error log_reader_open(struct log_reader *reader, struct env *env, int memory_fd);
void log_reader_close(struct log_reader *reader);

/*
 * The next record, copied into `storage` (LOG_RECORD_MAX octets). ERROR_AGAIN: none; ERROR_DAMAGED:
 * the writer broke the rules, close it.
 */
MUST_CHECK enum error
log_reader_take(struct log_reader *reader, uint8_t *storage, struct slice *ret_record);

/* Records lost since the last call. */
uint32_t log_reader_dropped(struct log_reader *reader);

/* Records that were over their number a second, since the last call. */
uint32_t log_reader_left_out(struct log_reader *reader);

bool log_reader_may_sleep(struct log_reader *reader);
void log_reader_woke(struct log_reader *reader);

#endif
