/* Records of counts: what is taken is written again as it was, counted, and put into a table. */
#include "ipc/tally.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
use(struct tally_table *table, const struct tally_key *key, const struct tally_counts *counts)
{
	mono_us now = 7200 * US_PER_S;
	struct tally *tally = tally_get(table, key, now);
	char storage[64];
	struct buffer text;

	tally_add(&tally->own, counts, now);
	for (enum tally_rate rate = 0; rate < TALLY_RATES; rate++)
		tally_count(&tally->own, rate, now);
	for (enum tally_rate rate = 0; rate < TALLY_RATES; rate++)
		require(tally_rate(&tally->own, rate, now) > 0);
	require(tally_find(table, key) == tally);
	buffer_init_fixed(&text, storage, sizeof storage);
	tally_key_append(&text, key);
	require(buffer_error(&text) == OK && text.len > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor cursor = cursor_of(slice_of(data, size));
	struct tally_key key;
	struct tally_counts counts;
	struct tally_table table;
	uint8_t storage[TALLY_RECORD];
	struct env env;

	env_init_linux(&env);
	tally_table_init(&table, &env);
	while (tally_decode(&cursor, &key, &counts)) {
		struct buffer again;
		buffer_init_fixed(&again, storage, sizeof storage);
		tally_encode(&again, &key, &counts);
		require(buffer_error(&again) == OK && again.len == TALLY_RECORD);
		require(memcmp(storage, data + cursor.at - TALLY_RECORD, TALLY_RECORD) == 0);
		use(&table, &key, &counts);
	}
	require(cursor.error != OK || cursor.at == size);
	tally_table_done(&table);
	env_done(&env);
	return 0;
}
