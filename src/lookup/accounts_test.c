#include "lookup/accounts.h"
#include "unit.h"

struct seen {
	uint32_t lines[8];
	size_t count;
};

static void
see_bad_line(void *arg, uint32_t line, struct slice text)
{
	struct seen *seen = arg;

	ck_assert_uint_gt(text.len, 0);
	seen->lines[seen->count++] = line;
}

START_TEST(logins_become_sorted_names)
{
	struct memory *memory = memory_new(0);
	struct accounts accounts;
	struct seen seen = {.count = 0};

	accounts_init(&accounts, memory, 10000);
	ck_assert_ok(accounts_parse(&accounts, SLICE("example.org"),
		SLICE("# people\nbob\n  Alice  # the boss\r\n\nbad "
		      "name\nalice@EXAMPLE.org\neve@other.example\n\"quoted one\"\nzoe+tag"),
		see_bad_line, &seen));
	accounts_finish(&accounts);
	ck_assert_uint_eq(accounts.count, 4);
	ck_assert_slice_eq(accounts.names[0], "\"quoted one\"");
	ck_assert_slice_eq(accounts.names[1], "alice");
	ck_assert_slice_eq(accounts.names[2], "bob");
	ck_assert_slice_eq(accounts.names[3], "zoe+tag");
	ck_assert_uint_eq(seen.count, 2);
	ck_assert_uint_eq(seen.lines[0], 5);
	ck_assert_uint_eq(seen.lines[1], 7);
	accounts_done(&accounts);
	ck_assert_uint_eq(memory_used(memory), 0);
	memory_free(&memory);
}
END_TEST

START_TEST(a_byte_order_mark_is_no_part_of_a_name)
{
	struct memory *memory = memory_new(0);
	struct accounts accounts;
	struct seen seen = {.count = 0};

	accounts_init(&accounts, memory, 10000);
	ck_assert_ok(accounts_parse(&accounts, SLICE("example.org"),
		SLICE("\xef\xbb\xbf"
		      "alice\r\nbob\r\n"),
		see_bad_line, &seen));
	accounts_finish(&accounts);
	ck_assert_uint_eq(accounts.count, 2);
	ck_assert_slice_eq(accounts.names[0], "alice");
	ck_assert_uint_eq(seen.count, 0);
	accounts_done(&accounts);
	memory_free(&memory);
}
END_TEST

START_TEST(tables_are_bounded)
{
	struct memory *memory = memory_new(0);
	struct accounts accounts;
	struct seen seen = {.count = 0};

	accounts_init(&accounts, memory, 10);
	ck_assert_int_eq(accounts_parse(&accounts, SLICE("example.org"),
				 SLICE("alice\nbobby\ncarol\n"), see_bad_line, &seen),
		ERROR_LIMIT);
	accounts_done(&accounts);
	memory_free(&memory);
}
END_TEST

UNIT_MAIN("lookup/accounts", logins_become_sorted_names, a_byte_order_mark_is_no_part_of_a_name,
	tables_are_bounded)
