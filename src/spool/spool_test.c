/* The spool on a disk that works: what is added and committed is there after a restart, and no
 * more. */
#include "spool/spool_test.h"

START_TEST(empty_folder_becomes_a_spool)
{
	struct fixture f;

	fixture_init(&f);
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->count + f.seen->damage, 0);
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->count + f.seen->damage, 0);
	ck_assert_uint_eq(count_files(&f).journals, 1);
	ck_assert_uint_eq(count_files(&f).segments, 1);
	ck_assert_uint_eq(count_files(&f).others, 1);
	fixture_done(&f);
}
END_TEST

START_TEST(messages_come_back)
{
	static const size_t sizes[] = {0, 1, 7, 8, 4095, 4096, 4097, 70000};
	struct fixture f;

	fixture_init(&f);
	fixture_open(&f);
	for (uint64_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		put(&f, 100 + i, sizes[i]);
	for (int round = 0; round < 3; round++) {
		fixture_open(&f);
		ck_assert_uint_eq(f.seen->damage, 0);
		ck_assert_uint_eq(f.seen->count, sizeof sizes / sizeof *sizes);
		for (size_t i = 0; i < f.seen->count; i++) {
			ck_assert_uint_eq(f.seen->messages[i].message.queue_id, 100 + i);
			ck_assert_uint_eq(f.seen->messages[i].content.size, sizes[i]);
			ck_assert(message_is_whole(&f, &f.seen->messages[i]));
		}
	}
	fixture_done(&f);
}
END_TEST

UNIT_MAIN("spool/spool", empty_folder_becomes_a_spool, messages_come_back)
