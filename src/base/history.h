/*
 * The files in which `log` keeps what became of mail, and from which `veredus why` answers: a head,
 * then records of log_record.h, each in a frame with its length and sum. A file may end anywhere (a
 * process was killed, the disk was full) and may be written to while it is read: what is no sound
 * frame is skipped, up to the next one.
 *
 * Head: "VEREDUSH", u32 version, u64 time of its start, u32 CRC-32C of what stands before. Frame:
 * u32 mark, u16 length, u32 CRC-32C of the record, the record.
 */
#ifndef BASE_HISTORY_H
#define BASE_HISTORY_H

#include "base/log_record.h"

#define HISTORY_FOLDER      "history" /* in the spool's */
#define HISTORY_FILES       6         /* of a kind; the oldest is emptied when the newest is full */
#define HISTORY_HEAD_BYTES  24
#define HISTORY_FRAME_BYTES 10 /* before the record */
#define HISTORY_FRAME_MAX   (HISTORY_FRAME_BYTES + LOG_RECORD_MAX)

/* Each has room of its own, so that a flood of one kind drives out nothing of another. */
enum history_kind {
	HISTORY_MAIL,    /* received, delivered, failed, reported, what an operator did */
	HISTORY_TRIES,   /* attempts that brought no end */
	HISTORY_REFUSED, /* what was not taken */
	HISTORY_DMARC,   /* what DMARC said, for reports to the authors' domains */
	HISTORY_KINDS
};

/* "mail": what its files are called, with their number behind a hyphen. */
const char *history_kind_name(enum history_kind kind);

/* "history/mail-3" */
bool history_file_parse(struct slice name, enum history_kind *ret_kind, uint32_t *ret_number);

/* The share that a kind has of all octets, for one of its files. */
uint64_t history_file_size(enum history_kind kind, uint64_t all);

/* Whether an event is kept, and as which kind. */
bool history_keeps(struct slice record, enum history_kind *ret_kind);

/* The error is the buffer's. */
void history_head_append(struct buffer *bytes, wall_us started_at);
void history_frame_append(struct buffer *bytes, struct slice record);

/* When the file was begun; ERROR_FORMAT: it has no head of this version. */
MUST_CHECK enum error history_head_read(struct slice bytes, wall_us *ret_started_at);

/*
 * The next record from `at` on, which moves behind it. False: there is none in these octets, and
 * `at` is where a frame may begin that goes on behind them (never when they are the last ones).
 */
bool history_next(struct slice bytes, bool are_last, size_t *at, struct slice *ret_record);

#endif
