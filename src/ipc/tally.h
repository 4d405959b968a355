/*
 * What strangers use, counted by address and by network: what is open now, and how often something
 * happened lately. Session workers count in a table of this kind, `guard` holds a copy of each
 * worker's, and records of it travel between them (GUARD_REPORT, GUARD_WORD).
 *
 * A table has a fixed size. When a newcomer finds its bucket full, the entry with the least to its
 * name goes: whoever invents addresses by the million displaces entries as light as his own, never
 * one that holds much.
 */
#ifndef IPC_TALLY_H
#define IPC_TALLY_H

#include "base/buffer.h"
#include "base/clock.h"
#include "base/cursor.h"
#include "base/env.h"
#include "base/hash.h"

enum tally_gauge { TALLY_CONNECTIONS, TALLY_CONTENTS, TALLY_GAUGES };

enum tally_rate {
	TALLY_CONNECTS,
	TALLY_MESSAGES,
	TALLY_ERRORS,
	TALLY_UNKNOWN, /* recipients */
	TALLY_LOGINS,  /* that failed */
	TALLY_RATES
};

enum tally_kind {
	/* IPv4 addresses as they are, IPv6 networks of 64 bits, and the networks around them */
	TALLY_IPV4 = 1,
	TALLY_IPV4_24,
	TALLY_IPV6_64,
	TALLY_IPV6_48,
	/* a login, and a network where it had the right password: its gauge is no longer 0 */
	TALLY_ACCOUNT,
	TALLY_KNOWN,
	TALLY_KINDS
};

#define TALLY_KEY_BYTES 9
struct tally_key {
	uint8_t octets[TALLY_KEY_BYTES]; /* the kind, then the network, then zeros */
};

/* How often in this window of time and in the one before it. Windows of all processes begin at the
 * same moments: they share the monotonic clock. */
struct tally_window {
	uint32_t number;
	uint32_t now;
	uint32_t before;
};

struct tally_counts {
	uint32_t gauges[TALLY_GAUGES];
	struct tally_window rates[TALLY_RATES];
};

struct tally {
	struct tally_key key; /* kind 0: a free place */
	bool is_changed;      /* and not yet reported */
	struct tally_counts own;
	struct tally_counts others; /* what all others have, as it was last heard */
	uint32_t refused;           /* since the last line of the log */
	uint8_t refused_for;
	mono_us logged_at;
};

#define TALLY_BUCKETS   1024
#define TALLY_WAYS      8
#define TALLY_ENTRIES   (TALLY_BUCKETS * TALLY_WAYS)
#define TALLY_RECORD    (TALLY_KEY_BYTES + 4 * TALLY_GAUGES + 12 * TALLY_RATES)
#define TALLY_BYTES_MAX 61440 /* of a list of records */

struct tally_table {
	struct env *env;
	struct siphash_key hash_key;
	struct tally *entries;
};

void tally_table_init(struct tally_table *table, struct env *env);
void tally_table_done(struct tally_table *table);

/* NULL when it is not there. */
struct tally *tally_find(const struct tally_table *table, const struct tally_key *key);

/* The entry of this key, a new one if need be, in the place of a light one perhaps. */
struct tally *tally_get(struct tally_table *table, const struct tally_key *key, mono_us now);

/* The address (4 or 16 octets) alone, and the network around it. */
struct tally_key tally_key_address(struct slice ip);
struct tally_key tally_key_network(struct slice ip);

/* A login as text in any case of its letters, and the network (of tally_key_network) that it came
 * from: hashed with a key that strangers do not know, or they could make logins that meet. */
struct tally_key tally_key_account(const struct siphash_key *hash_key, struct slice login);
struct tally_key tally_key_known(
	const struct siphash_key *hash_key, struct slice login, const struct tally_key *network);

/* "192.0.2.7", "192.0.2.0/24", "2001:db8:0:1::/64"; "account", "known". */
void tally_key_append(struct buffer *buffer, const struct tally_key *key);

/* Over how long a rate is counted. */
int64_t tally_period_us(enum tally_rate rate);

/* How often in the period that ends now, estimated from the two windows that it touches. */
uint32_t tally_rate(const struct tally_counts *counts, enum tally_rate rate, mono_us now);

void tally_count(struct tally_counts *counts, enum tally_rate rate, mono_us now);

/* Adds others' counts. */
void tally_add(struct tally_counts *counts, const struct tally_counts *more, mono_us now);

/* A record of TALLY_RECORD octets: key and counts. */
void
tally_encode(struct buffer *buffer, const struct tally_key *key, const struct tally_counts *counts);

/* False at the end and at the first fault, which is then the cursor's. */
bool
tally_decode(struct cursor *cursor, struct tally_key *ret_key, struct tally_counts *ret_counts);

#endif
