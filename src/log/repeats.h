/*
 * What repeats itself in the log: while a destination is dead, each message for it has the same to
 * say at each try. The first REPEATS_LINES a minute and destination are written; of the others a
 * line at the end of the minute tells how many they were, and what was said last. The history has
 * each of them.
 */
#ifndef LOG_REPEATS_H
#define LOG_REPEATS_H

#include "base/log_record.h"

#define REPEATS_LINES     20
#define REPEATS_MINUTE_US (60 * US_PER_S)
#define REPEATS_LANES     64  /* at a time, of each event; the rest are counted together */
#define REPEATS_KEY_MAX   340 /* octets of a lane's name */
#define REPEATS_REPLY_MAX 256

struct repeats_lane {
	uint32_t event; /* its row in the table of repeats.c */
	uint16_t key_len, reply_len;
	mono_us since; /* 0: free */
	uint32_t lines;
	uint64_t left_out; /* not told yet */
	uint64_t recipients;
	uint8_t key[REPEATS_KEY_MAX];
	uint8_t reply[REPEATS_REPLY_MAX];
};

struct repeats {
	struct repeats_lane lanes[2 * REPEATS_LANES];
	struct repeats_lane others[2]; /* of each event, those that find no place */
	uint64_t left_out;             /* of all lanes */
};

/* Whether the record is one too many. */
bool repeats_take(struct repeats *repeats, struct slice record, mono_us now);

/* Tells of minutes that are over; with `all`, of all. */
void repeats_tell(struct repeats *repeats, struct env *env, mono_us now, bool all);

#endif
