/* The recipients of a transaction: an array for the envelope, and a way to see whether one is there
 * that does not get slower with their number. */
#ifndef SMTP_RECIPIENTS_H
#define SMTP_RECIPIENTS_H

#include "base/memory.h"
#include "ipc/envelope.h"

/* Starts zeroed. */
struct smtp_recipients {
	struct envelope_recipient *items;
	struct envelope_wish *wishes; /* one an item; NULL: nobody asked for anything */
	uint64_t *sums;               /* a keyed hash of each one's form for comparison */
	uint32_t *slots;              /* of the table: number of an item plus one; 0: free */
	uint32_t count;
	uint32_t capacity;
	uint64_t envelope_bytes; /* what they take of an encoded envelope */
};

void smtp_recipients_done(struct smtp_recipients *recipients, struct memory *memory);

/* One after the other, those with this sum; start with *probes 0. NULL: no more. */
const struct envelope_recipient *
smtp_recipients_next(const struct smtp_recipients *recipients, uint64_t sum, uint32_t *probes);

/* Address and ORCPT stay the caller's, and must live as long. `wish` NULL: nothing was asked for.
 * False: no memory. */
MUST_CHECK bool smtp_recipients_add(struct smtp_recipients *recipients, struct memory *memory,
	uint64_t sum, struct slice address, const struct envelope_wish *wish);

/* What was asked for with one of the items. */
struct envelope_wish smtp_recipients_wish(
	const struct smtp_recipients *recipients, const struct envelope_recipient *item);
/* It is asked for anew, and for this as well. False: no memory. */
MUST_CHECK bool smtp_recipients_join(struct smtp_recipients *recipients, struct memory *memory,
	const struct envelope_recipient *item, uint32_t notify);

#endif
