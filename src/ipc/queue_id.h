/*
 * The name of a message: 64 bits that only `queue` gives out, never the same twice in the life of a
 * spool. It is the wall time of acceptance in microseconds, moved up by one where two would meet,
 * so that ids sort by age. Its text form, 13 digits of base 32 (0-9, a-v: they sort as the numbers
 * do), stands in replies, Received fields, logs and file names.
 */
#ifndef IPC_QUEUE_ID_H
#define IPC_QUEUE_ID_H

#include "base/error.h"
#include "base/slice.h"

#define QUEUE_ID_DIGITS 13

/* Writes 13 digits and a NUL. */
void queue_id_print(uint64_t id, char ret_text[QUEUE_ID_DIGITS + 1]);

/* ERROR_FORMAT for anything but 13 digits that fit 64 bits. */
MUST_CHECK enum error queue_id_parse(struct slice text, uint64_t *ret_id);

#endif
