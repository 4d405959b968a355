/*
 * Records of what DMARC said of messages (`dmarc_seen`, session/session_dmarc.h), added up: a
 * report for each policy domain and day of UTC, a row for each kind of message in it. Pure; with
 * limits on everything, and what is over them counted.
 */
#ifndef AGGREGATE_COLLECT_H
#define AGGREGATE_COLLECT_H

#include "aggregate/report.h"
#include "base/cursor.h"
#include "base/hash.h"
#include "base/log_record.h"

#define COLLECT_ARENA_BYTES (512u << 20)
#define COLLECT_REPORTS_MAX 20000
#define COLLECT_DAY_S       86400u
#define COLLECT_ALIKE_MAX   2048 /* octets: more than a record has */

struct collected {
	struct collected *next;  /* in the order of domains and days, after collection_sort */
	struct collected *alike; /* of the same hash */
	struct aggregate_report report;
	struct slice uris; /* rua= of the newest policy */
	wall_us newest;    /* record, by which the policy goes */
	uint64_t left_out; /* messages for which there was no room */
};

struct collection {
	struct arena *arena;
	struct siphash_key key;
	struct collected_row **rows; /* by hash */
	struct collected **index;    /* likewise */
	struct collected *reports;
	size_t count;
	uint64_t left_out;               /* messages of domains for which there was no room */
	uint8_t same[COLLECT_ALIKE_MAX]; /* of the record under way */
};

/* The arena is of COLLECT_ARENA_BYTES, and all that is collected lives in it. */
MUST_CHECK enum error
collection_init(struct collection *collection, struct arena *arena, const struct siphash_key *key);

/* Takes a record if it is of this kind and of this day (seconds of its begin; 0: any), and of this
 * domain unless that is empty. */
void collection_take(
	struct collection *collection, struct slice record, uint64_t day, struct slice domain);

/* By domain and day. ERROR_NO_MEMORY: it stays as it was. */
MUST_CHECK enum error collection_sort(struct collection *collection, struct memory *memory);

#endif
