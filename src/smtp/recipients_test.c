#include "smtp/recipients.h"
#include "base/hash.h"
#include "unit.h"

struct fixture {
	struct memory *memory;
	struct smtp_recipients recipients;
};

static void
fixture_init(struct fixture *fixture, size_t limit)
{
	*fixture = (struct fixture){.memory = memory_new(limit)};
}

static void
fixture_done(struct fixture *fixture)
{
	smtp_recipients_done(&fixture->recipients, fixture->memory);
	smtp_recipients_done(&fixture->recipients, fixture->memory); /* again, with nothing there */
	ck_assert_uint_eq(memory_used(fixture->memory), 0);
	memory_free(&fixture->memory);
}

static uint32_t
count_of(const struct fixture *fixture, uint64_t sum)
{
	uint32_t probes = 0, count = 0;

	while (smtp_recipients_next(&fixture->recipients, sum, &probes))
		count++;
	return count;
}

START_TEST(what_was_added_is_found_in_order)
{
	static const char text[] = "abcdefghijklmnopqrstuvwxyz";
	struct fixture f;

	fixture_init(&f, 0);
	ck_assert_uint_eq(count_of(&f, 0), 0);
	for (uint32_t i = 0; i < 5000; i++) {
		struct slice address = slice_of(text + i % 20, 1 + i % 6);
		ck_assert(smtp_recipients_add(
			&f.recipients, f.memory, i * UINT64_C(7919), address, NULL));
		ck_assert_uint_eq(f.recipients.count, i + 1);
	}
	for (uint32_t i = 0; i < 5000; i++) {
		uint32_t probes = 0;
		const struct envelope_recipient *found =
			smtp_recipients_next(&f.recipients, i * UINT64_C(7919), &probes);
		ck_assert_ptr_eq(found, &f.recipients.items[i]);
		ck_assert_ptr_eq(found->address.ptr, text + i % 20);
		ck_assert_ptr_null(
			smtp_recipients_next(&f.recipients, i * UINT64_C(7919), &probes));
		ck_assert_uint_eq(count_of(&f, i * UINT64_C(7919) + 1), 0);
	}
	fixture_done(&f);
}
END_TEST

/* Different addresses may have the same sum, or meet in the same slot; each is offered. */
START_TEST(those_that_meet_are_all_offered)
{
	struct fixture f;

	fixture_init(&f, 0);
	for (uint32_t i = 0; i < 100; i++) {
		ck_assert(smtp_recipients_add(&f.recipients, f.memory, 15, SLICE("a"), NULL));
		ck_assert(smtp_recipients_add(
			&f.recipients, f.memory, 15 + (UINT64_C(1) << 32), SLICE("bb"), NULL));
	}
	ck_assert_uint_eq(count_of(&f, 15), 100);
	ck_assert_uint_eq(count_of(&f, 15 + (UINT64_C(1) << 32)), 100);
	ck_assert_uint_eq(count_of(&f, 16), 0);
	ck_assert_uint_eq(f.recipients.envelope_bytes, 100 * (5 + 1) + 100 * (5 + 2));
	fixture_done(&f);
}
END_TEST

START_TEST(without_memory_nothing_changes)
{
	struct fixture f;
	uint32_t i = 0;

	fixture_init(&f, 1000);
	while (smtp_recipients_add(&f.recipients, f.memory, i, SLICE("a"), NULL))
		i++;
	ck_assert_uint_eq(i, 16); /* 8 and 16 fit 1,000 octets together, 32 more do not */
	ck_assert_uint_eq(f.recipients.count, 16);
	ck_assert_uint_eq(f.recipients.envelope_bytes, 16 * 6);
	for (uint32_t at = 0; at < i; at++)
		ck_assert_uint_eq(count_of(&f, at), 1);
	ck_assert_uint_eq(count_of(&f, i), 0);
	fixture_done(&f);
}
END_TEST

/* 100,000 of them cost a few probes each: what is slower by the number would take minutes. */
START_TEST(many_are_as_quick_as_few)
{
	static const struct siphash_key key = {{1, 2, 3}};
	struct fixture f;
	uint64_t all_probes = 0;

	fixture_init(&f, 0);
	for (uint32_t i = 0; i < 100000; i++) {
		uint64_t sum = siphash(&key, slice_of(&i, sizeof i));
		uint32_t probes = 0;
		ck_assert_ptr_null(smtp_recipients_next(&f.recipients, sum, &probes));
		ck_assert(smtp_recipients_add(&f.recipients, f.memory, sum, SLICE("a"), NULL));
		all_probes += probes;
	}
	ck_assert_uint_lt(all_probes, 300000);
	ck_assert_uint_lt(memory_used(f.memory), 5u << 20);
	fixture_done(&f);
}
END_TEST

UNIT_MAIN("smtp/recipients", what_was_added_is_found_in_order, those_that_meet_are_all_offered,
	without_memory_nothing_changes, many_are_as_quick_as_few)
