/*
 * tally.h: what a load run counts, and how it is printed.
 */
#ifndef BENCH_TALLY_H
#define BENCH_TALLY_H

#include <stddef.h>
#include <stdint.h>

#define TALLY_REPLIES      5
#define TALLY_REPLY_LENGTH 160

struct tally {
	uint64_t ok;              /* messages that got 250 after their content */
	uint64_t failed;          /* messages refused, or cut off after MAIL */
	uint64_t connects;        /* connections opened */
	uint64_t connects_failed; /* of these: ended before a message could be sent */
	uint64_t unfinished;      /* messages without an outcome when the time was over */
	double begin;             /* tool_now() at the first connection */
	double last_ok;           /* tool_now() at the last 250 */
	double begin_wall_clock;
	float *latencies_ms; /* one for each ok message: last byte of content written, to 250 read
			      */
	size_t latencies_capacity;
	size_t replies;
	char reply[TALLY_REPLIES][TALLY_REPLY_LENGTH]; /* the first unexpected ones */
};

void tally_begin(struct tally *tally);
void tally_add_ok(struct tally *tally, double sent_at);

/* Remembers the first few unexpected replies (or our own words where there was none). */
void tally_remember(struct tally *tally, const char *reply, size_t length);

/* One JSON object on one line of standard output. */
void tally_print(struct tally *tally);

void tally_done(struct tally *tally);

#endif
