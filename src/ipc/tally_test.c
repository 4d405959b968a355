/* The table of counts: windows that slide, entries that displace each other, records. */
#include "ipc/tally.h"

#include "unit.h"

#define MINUTE (60 * US_PER_S)

static struct env env;
static struct tally_table table;

static void
table_start(void)
{
	env_init_linux(&env);
	tally_table_init(&table, &env);
}

static void
table_end(void)
{
	tally_table_done(&table);
	env_done(&env);
}

static struct tally_key
key_of_number(uint32_t number)
{
	uint8_t ip[] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8),
		(uint8_t)number};

	return tally_key_address(slice_of(ip, sizeof ip));
}

START_TEST(rates_slide)
{
	struct tally_counts counts = {0};
	mono_us start = 100 * MINUTE;

	for (unsigned i = 0; i < 60; i++)
		tally_count(&counts, TALLY_CONNECTS, start);
	ck_assert_uint_eq(tally_rate(&counts, TALLY_CONNECTS, start), 60);
	ck_assert_uint_eq(tally_rate(&counts, TALLY_MESSAGES, start), 0);
	ck_assert_uint_eq(tally_rate(&counts, TALLY_CONNECTS, start + MINUTE - 1), 60);
	ck_assert_uint_eq(tally_rate(&counts, TALLY_CONNECTS, start + MINUTE), 60);
	ck_assert_uint_eq(tally_rate(&counts, TALLY_CONNECTS, start + MINUTE + MINUTE / 2), 30);
	ck_assert_uint_eq(tally_rate(&counts, TALLY_CONNECTS, start + 2 * MINUTE), 0);
	tally_count(&counts, TALLY_CONNECTS, start + MINUTE + MINUTE / 2);
	ck_assert_uint_eq(tally_rate(&counts, TALLY_CONNECTS, start + MINUTE + MINUTE / 2), 31);
}
END_TEST

START_TEST(counts_of_different_windows_add_up)
{
	struct tally_counts sum = {0}, more = {0};
	mono_us start = 100 * MINUTE;

	tally_count(&sum, TALLY_CONNECTS, start);
	sum.gauges[TALLY_CONNECTIONS] = UINT32_MAX - 1;
	for (unsigned i = 0; i < 4; i++)
		tally_count(&more, TALLY_CONNECTS, start + MINUTE);
	more.gauges[TALLY_CONNECTIONS] = 5;
	tally_add(&sum, &more, start + MINUTE);
	ck_assert_uint_eq(tally_rate(&sum, TALLY_CONNECTS, start + MINUTE), 5);
	ck_assert_uint_eq(sum.gauges[TALLY_CONNECTIONS], UINT32_MAX);
}
END_TEST

START_TEST(a_million_light_ones_displace_no_heavy_one)
{
	struct tally_key heavy = key_of_number(0xc0000201);

	table_start();
	tally_get(&table, &heavy, 1)->own.gauges[TALLY_CONNECTIONS] = 50;
	for (uint32_t i = 0; i < 1000000; i++) {
		struct tally_key key = key_of_number(i);
		tally_count(&tally_get(&table, &key, 1)->own, TALLY_CONNECTS, 1);
	}
	const struct tally *tally = tally_find(&table, &heavy);
	ck_assert_ptr_nonnull(tally);
	ck_assert_uint_eq(tally->own.gauges[TALLY_CONNECTIONS], 50);
	table_end();
}
END_TEST

START_TEST(a_displaced_entry_stays_in_its_list)
{
	struct tally_key key = key_of_number(0);

	table_start();
	for (size_t i = 0; i < TALLY_ENTRIES; i++)
		table.entries[i] = (struct tally){.key = {{TALLY_IPV6_48, 1}}, .is_changed = true};
	struct tally *tally = tally_get(&table, &key, 1);
	ck_assert_mem_eq(&tally->key, &key, sizeof key);
	ck_assert(tally->is_changed);
	table_end();
}
END_TEST

static void
check_text(const struct tally_key *key, const char *text)
{
	char storage[64];
	struct buffer buffer;

	buffer_init_fixed(&buffer, storage, sizeof storage);
	tally_key_append(&buffer, key);
	ck_assert_str_eq(buffer_text(&buffer), text);
}

START_TEST(keys_have_names)
{
	static const uint8_t v4[] = {192, 0, 2, 7};
	static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2, 9, 9, 9, 9};
	struct tally_key key = tally_key_address(slice_of(v4, sizeof v4));

	check_text(&key, "192.0.2.7");
	key = tally_key_network(slice_of(v4, sizeof v4));
	check_text(&key, "192.0.2.0/24");
	key = tally_key_address(slice_of(v6, sizeof v6));
	check_text(&key, "2001:db8:1:2::/64");
	key = tally_key_network(slice_of(v6, sizeof v6));
	check_text(&key, "2001:db8:1::/48");
}
END_TEST

START_TEST(records_come_back)
{
	struct tally_key key = key_of_number(7), other;
	struct tally_counts counts = {.gauges = {1, 2}}, decoded;
	char storage[2 * TALLY_RECORD];
	struct buffer buffer;

	tally_count(&counts, TALLY_LOGINS, 100 * MINUTE);
	buffer_init_fixed(&buffer, storage, sizeof storage);
	tally_encode(&buffer, &key, &counts);
	ck_assert_uint_eq(buffer.len, TALLY_RECORD);
	struct cursor cursor = cursor_of(buffer_slice(&buffer));
	ck_assert(tally_decode(&cursor, &other, &decoded));
	ck_assert_mem_eq(&other, &key, sizeof key);
	ck_assert_mem_eq(&decoded, &counts, sizeof counts);
	ck_assert(!tally_decode(&cursor, &other, &decoded));
	ck_assert_ok(cursor.error);
	cursor = cursor_of(slice_of(storage, TALLY_RECORD - 1));
	ck_assert(!tally_decode(&cursor, &other, &decoded));
	ck_assert_int_ne(cursor.error, OK);
	storage[0] = TALLY_KINDS;
	cursor = cursor_of(buffer_slice(&buffer));
	ck_assert(!tally_decode(&cursor, &other, &decoded));
	ck_assert_int_eq(cursor.error, ERROR_FORMAT);
}
END_TEST

UNIT_MAIN("ipc/tally", rates_slide, counts_of_different_windows_add_up,
	a_million_light_ones_displace_no_heavy_one, a_displaced_entry_stays_in_its_list,
	keys_have_names, records_come_back)
