/* Messages that settle recipients of others: both or none, and for good. */
#include "spool/spool_test.h"

#define SETTLING_BYTES 4096

static struct slice
settles_of(uint8_t *storage, enum spool_result_kind kind, const struct spool_reference *message,
	const uint32_t *recipients, uint32_t count)
{
	struct buffer settles;

	buffer_init_fixed(&settles, storage, SETTLING_BYTES);
	spool_settle_append(&settles, kind, message, recipients, count);
	ck_assert_ok(buffer_error(&settles));
	return buffer_slice(&settles);
}

static enum error
try_settle(struct fixture *f, uint64_t queue_id, size_t size, struct slice settles,
	struct added *ret_added)
{
	uint8_t *bytes = memory_get(f->scratch, size + ENVELOPE_BYTES + 1);

	make_bytes(bytes, size, queue_id);
	make_bytes(bytes + size, ENVELOPE_BYTES, queue_id + 1);
	struct iovec piece = {bytes, size};
	enum error error = spool_add_settling(f->spool, queue_id, &piece, 1, 5,
		slice_of(bytes + size, ENVELOPE_BYTES), settles, &ret_added->message,
		&ret_added->content);
	if (error == OK)
		commit_ok(f);
	memory_put(f->scratch, bytes);
	return error;
}

static struct added
settle(struct fixture *f, uint64_t queue_id, size_t size, struct slice settles)
{
	struct added added;

	ck_assert_ok(try_settle(f, queue_id, size, settles, &added));
	return added;
}

static void
check_done(struct fixture *f, uint64_t queue_id, const uint32_t *recipients, uint32_t count)
{
	const struct seen_message *seen = find_seen(f, queue_id);

	ck_assert_ptr_nonnull(seen);
	ck_assert_uint_eq(seen->done_count, count);
	for (uint32_t i = 0; i < count; i++)
		ck_assert_uint_eq(seen->done[i], recipients[i]);
	ck_assert(!seen->failed);
	ck_assert_uint_eq(f->seen->damage, 0);
}

START_TEST(what_a_message_settles_is_finished)
{
	static const uint32_t recipients[] = {0, 1, 2, 70, 900000};
	uint8_t storage[SETTLING_BYTES];
	struct fixture f;

	fixture_init(&f);
	fixture_open(&f);
	struct added a = put(&f, 1, 100);
	settle(&f, 2, 300, settles_of(storage, SPOOL_RECIPIENT_ENDED, &a.message, recipients, 5));
	for (int i = 0; i < 3; i++) {
		fixture_open(&f);
		ck_assert_uint_eq(f.seen->count, 2);
		check_done(&f, 1, recipients, 5);
		ck_assert(message_is_whole(&f, find_seen(&f, 1)));
		ck_assert(message_is_whole(&f, find_seen(&f, 2)));
	}
	fixture_done(&f);
}
END_TEST

START_TEST(one_settles_many_and_delays_are_told)
{
	static const uint32_t one[] = {3};
	uint8_t storage[SETTLING_BYTES];
	struct buffer settles;
	struct fixture f;

	fixture_init(&f);
	fixture_open(&f);
	struct added a = put(&f, 1, 100), b = put(&f, 2, 100), c = put(&f, 3, 100);
	buffer_init_fixed(&settles, storage, sizeof storage);
	spool_settle_append(&settles, SPOOL_RECIPIENT_ENDED, &a.message, one, 1);
	spool_settle_append(&settles, SPOOL_DELAY_TOLD, &b.message, NULL, 0);
	spool_settle_append(&settles, SPOOL_RECIPIENT_DELIVERED, &c.message, one, 1);
	settle(&f, 4, 10, buffer_slice(&settles));
	for (int i = 0; i < 3; i++) {
		fixture_open(&f);
		check_done(&f, 1, one, 1);
		check_done(&f, 2, one, 0);
		check_done(&f, 3, one, 1);
		ck_assert(!find_seen(&f, 1)->delay_told);
		ck_assert(find_seen(&f, 2)->delay_told);
	}
	fixture_done(&f);
}
END_TEST

/* The record is in the report's segment, which goes when the report is delivered. */
START_TEST(what_was_settled_outlives_the_report)
{
	static const uint32_t recipients[] = {5};
	uint8_t storage[SETTLING_BYTES];
	struct fixture f;

	fixture_init(&f);
	fixture_open(&f);
	struct added a = put(&f, 1, 700000);
	struct added report = settle(&f, 2, 700000,
		settles_of(storage, SPOOL_RECIPIENT_ENDED, &a.message, recipients, 1));
	ck_assert_uint_ne(report.message.segment, a.message.segment);
	put(&f, 3, 700000);
	size_t before = count_files(&f).segments;
	add_result(&f, &report.message, SPOOL_DONE, 0, 0);
	commit_ok(&f);
	ck_assert_uint_lt(count_files(&f).segments, before);
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->count, 2);
	check_done(&f, 1, recipients, 1);
	fixture_done(&f);
}
END_TEST

/* The other way round: the message is done, and what settled it is read again. */
START_TEST(a_message_that_is_done_is_not_missed)
{
	static const uint32_t recipients[] = {5};
	uint8_t storage[SETTLING_BYTES];
	struct fixture f;

	fixture_init(&f);
	fixture_open(&f);
	struct added a = put(&f, 1, 100);
	settle(&f, 2, 100, settles_of(storage, SPOOL_RECIPIENT_ENDED, &a.message, recipients, 1));
	add_result(&f, &a.message, SPOOL_DONE, 0, 0);
	commit_ok(&f);
	for (int i = 0; i < 2; i++) {
		fixture_open(&f);
		ck_assert_uint_eq(f.seen->count, 1);
		ck_assert_uint_eq(f.seen->damage, 0);
	}
	fixture_done(&f);
}
END_TEST

START_TEST(only_what_lives_is_settled)
{
	static const uint32_t recipients[] = {5};
	uint8_t storage[SETTLING_BYTES];
	struct added none;
	struct fixture f;

	fixture_init(&f);
	fixture_open(&f);
	struct added a = put(&f, 1, 100), b = put(&f, 2, 100);
	add_result(&f, &a.message, SPOOL_DONE, 0, 0);
	commit_ok(&f);
	struct slice dead = settles_of(storage, SPOOL_RECIPIENT_ENDED, &a.message, recipients, 1);
	ck_assert_int_eq(try_settle(&f, 3, 10, dead, &none), ERROR_NOT_FOUND);
	struct spool_reference wrong = b.message;
	wrong.queue_id = 1000;
	struct slice elsewhere = settles_of(storage, SPOOL_RECIPIENT_ENDED, &wrong, recipients, 1);
	ck_assert_int_eq(try_settle(&f, 3, 10, elsewhere, &none), ERROR_NOT_FOUND);
	struct slice cut = slice_sub(elsewhere, 0, elsewhere.len - 1);
	ck_assert_int_eq(try_settle(&f, 3, 10, cut, &none), ERROR_DAMAGED);
	struct slice held = settles_of(storage, SPOOL_HELD, &b.message, recipients, 1);
	ck_assert_int_eq(try_settle(&f, 3, 10, held, &none), ERROR_DAMAGED);
	struct slice empty = settles_of(storage, SPOOL_RECIPIENT_ENDED, &b.message, NULL, 0);
	ck_assert_int_eq(try_settle(&f, 3, 10, empty, &none), ERROR_DAMAGED);
	settle(&f, 3, 10, settles_of(storage, SPOOL_RECIPIENT_ENDED, &b.message, recipients, 1));
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->count, 2);
	check_done(&f, 2, recipients, 1);
	fixture_done(&f);
}
END_TEST

UNIT_MAIN("spool/spool_settle", what_a_message_settles_is_finished,
	one_settles_many_and_delays_are_told, what_was_settled_outlives_the_report,
	a_message_that_is_done_is_not_missed, only_what_lives_is_settled)
