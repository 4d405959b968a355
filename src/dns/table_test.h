/* A DNS of a few records in memory, for unit tests and fuzzers: a name's records of one type; what
 * is not there does not exist. */
#ifndef DNS_TABLE_TEST_H
#define DNS_TABLE_TEST_H

#include "dns/source.h"

#include <stdlib.h>

struct table_record {
	const char *name; /* "*": every name */
	enum dns_type type;
	struct slice value; /* A: four octets; TXT: the text; MX and PTR: the name */
};

struct table {
	const struct table_record *records;
	size_t count;
	size_t asked;  /* questions so far */
	size_t broken; /* the number of the question, from 1, that fails; 0: none */
};

static inline void
table_ask(void *arg, struct slice name, enum dns_type type, struct arena *arena, mono_us deadline,
	struct dns_answer *ret_answer)
{
	struct table *table = arg;
	struct dns_record *found = arena_take(arena, (table->count + 1) * sizeof *found);
	size_t count = 0;
	bool is_known = false;

	(void)deadline;
	*ret_answer = (struct dns_answer){.outcome = DNS_FAILED, .reason = "made to fail"};
	if (++table->asked == table->broken || !found)
		return;
	for (size_t i = 0; i < table->count; i++) {
		const struct table_record *record = &table->records[i];
		bool is_any = record->name[0] == '*';
		is_known |= is_any || slice_equal_nocase(slice_text(record->name), name);
		if (record->type != type ||
			(!is_any && !slice_equal_nocase(slice_text(record->name), name)))
			continue;
		found[count++] = (struct dns_record){.ttl_s = 60,
			.name = record->value,
			.data = record->value,
			.preference = 10};
	}
	*ret_answer = (struct dns_answer){.outcome = count > 0  ? DNS_FOUND
						     : is_known ? DNS_NO_DATA
								: DNS_NO_NAME,
		.records = found,
		.count = count,
		.name = name};
}

static inline struct dns_source
table_source(struct table *table)
{
	return (struct dns_source){table_ask, table};
}

#endif
