/* The lists of DELIVER and RESULT: there and back, and what is refused. */
#include "ipc/delivery.h"

#include "unit.h"

static struct memory *memory;
static struct buffer list;

static void
start(void)
{
	memory = memory_new(0);
	buffer_init(&list, memory, 65536);
}

static void
end(void)
{
	buffer_done(&list);
	memory_free(&memory);
}

static const struct delivery_wish no_wish;

START_TEST(recipients_survive_the_trip)
{
	struct delivery_recipient back[DELIVERY_RECIPIENTS_MAX];
	uint32_t count = 0;

	start();
	for (uint32_t i = 0; i < DELIVERY_RECIPIENTS_MAX; i++) {
		struct delivery_recipient one = {i * 3, SLICE("anna@example.org")};
		ck_assert_ok(delivery_recipient_append(&list, &one, &no_wish));
	}
	ck_assert_ok(delivery_recipients_decode(buffer_slice(&list), back, &count));
	ck_assert_uint_eq(count, DELIVERY_RECIPIENTS_MAX);
	ck_assert_uint_eq(back[5].number, 15);
	ck_assert_slice_eq(back[63].address, "anna@example.org");
	for (size_t len = 0; len < list.len; len += 7)
		ck_assert_int_eq(delivery_recipients_decode(slice_sub(buffer_slice(&list), 0, len),
					 back, &count) == OK,
			len > 0 && len % 27 == 0);
	struct delivery_recipient more = {1000, SLICE("b@example.org")};
	ck_assert_ok(delivery_recipient_append(&list, &more, &no_wish));
	ck_assert_int_eq(
		delivery_recipients_decode(buffer_slice(&list), back, &count), ERROR_FORMAT);
	end();
}
END_TEST

START_TEST(wishes_survive_the_trip)
{
	static const struct delivery_wish wishes[] = {
		{DSN_NOTIFY_NEVER, SLICE_INIT("rfc822;a+2Bb@c")}, {0},
		{DSN_NOTIFY_SUCCESS | DSN_NOTIFY_DELAY, {0}}};
	struct delivery_recipient one = {0, SLICE("anna@example.org")};
	struct delivery_recipient recipients[DELIVERY_RECIPIENTS_MAX];
	struct delivery_wish back[DELIVERY_RECIPIENTS_MAX];
	struct delivery_wish bad[] = {{DSN_NOTIFY_NEVER | DSN_NOTIFY_DELAY, SLICE("")},
		{0, SLICE("rfc822;a b")}, {0, SLICE("a")}};
	uint32_t count;

	start();
	for (uint32_t i = 0; i < 3; i++, one.number++)
		ck_assert_ok(delivery_recipient_append(&list, &one, &wishes[i]));
	ck_assert_ok(delivery_wishes_decode(buffer_slice(&list), back));
	for (uint32_t i = 0; i < 3; i++) {
		ck_assert_uint_eq(back[i].notify, wishes[i].notify);
		ck_assert(slice_equal(back[i].original, wishes[i].original));
	}
	for (uint32_t i = 0; i < 3; i++) {
		buffer_clear(&list);
		ck_assert_ok(delivery_recipient_append(&list, &one, &bad[i]));
		ck_assert_int_eq(
			delivery_recipients_decode(buffer_slice(&list), recipients, &count),
			ERROR_FORMAT);
		ck_assert_int_eq(delivery_wishes_decode(buffer_slice(&list), back), ERROR_FORMAT);
	}
	end();
}
END_TEST

START_TEST(recipients_ascend_and_are_numbers_of_an_envelope)
{
	static const uint32_t bad[][2] = {
		{5, 5}, {5, 4}, {5, DELIVERY_RECIPIENT_NUMBER}, {5, UINT32_MAX}};
	struct delivery_recipient back[DELIVERY_RECIPIENTS_MAX];
	uint32_t count;

	start();
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		buffer_clear(&list);
		for (size_t k = 0; k < 2; k++) {
			struct delivery_recipient one = {bad[i][k], SLICE("a@b")};
			ck_assert_ok(delivery_recipient_append(&list, &one, &no_wish));
		}
		ck_assert_int_eq(delivery_recipients_decode(buffer_slice(&list), back, &count),
			ERROR_FORMAT);
	}
	end();
}
END_TEST

START_TEST(a_list_of_recipients_has_an_end)
{
	static uint8_t octets[DELIVERY_ADDRESS_MAX + 1];
	struct delivery_recipient one = {1, slice_of(octets, sizeof octets)};
	size_t before;

	start();
	ck_assert_int_eq(delivery_recipient_append(&list, &one, &no_wish), ERROR_LIMIT);
	one.address.len--;
	do
		before = list.len;
	while (delivery_recipient_append(&list, &one, &no_wish) == OK);
	ck_assert_uint_eq(list.len, before);
	ck_assert_uint_le(list.len, DELIVERY_LIST_BYTES);
	ck_assert_uint_gt(list.len + sizeof octets + 11, DELIVERY_LIST_BYTES);
	end();
}
END_TEST

START_TEST(results_survive_the_trip)
{
	struct delivery_result all = {.attempt = UINT64_MAX - 1,
		.connecting_ms = 1234,
		.sending_ms = UINT32_MAX,
		.recipient = DELIVERY_ALL,
		.outcome = DELIVER_TEMPORARY,
		.tls = TLS_VERIFIED,
		.status = STATUS(4, 2, 999),
		.text = SLICE("mailbox full"),
		.remote = SLICE("mx.example.net [192.0.2.1]")};
	struct delivery_result one = {.attempt = 7,
		.recipient = 3,
		.outcome = DELIVER_DELIVERED,
		.is_passed_on = true,
		.status = STATUS(2, 0, 0),
		.path = SLICE("/var/mail/anna/new/1")};
	struct delivery_result back;

	start();
	ck_assert_ok(delivery_result_append(&list, &all));
	ck_assert_ok(delivery_result_append(&list, &one));
	struct cursor cursor = cursor_of(buffer_slice(&list));
	ck_assert_ok(delivery_result_take(&cursor, &back));
	ck_assert_uint_eq(back.attempt, UINT64_MAX - 1);
	ck_assert_uint_eq(back.recipient, DELIVERY_ALL);
	ck_assert_int_eq(back.outcome, DELIVER_TEMPORARY);
	ck_assert_int_eq(back.tls, TLS_VERIFIED);
	ck_assert(enhanced_status_equal(back.status, STATUS(4, 2, 999)));
	ck_assert_uint_eq(back.connecting_ms, 1234);
	ck_assert_uint_eq(back.sending_ms, UINT32_MAX);
	ck_assert_slice_eq(back.text, "mailbox full");
	ck_assert_slice_eq(back.remote, "mx.example.net [192.0.2.1]");
	ck_assert_ok(delivery_result_take(&cursor, &back));
	ck_assert_uint_eq(back.recipient, 3);
	ck_assert_slice_eq(back.path, "/var/mail/anna/new/1");
	ck_assert_uint_eq(cursor_left(&cursor), 0);
	for (size_t len = 0; len < list.len; len++) {
		cursor = cursor_of(slice_sub(buffer_slice(&list), 0, len));
		while (cursor_left(&cursor) > 0 && delivery_result_take(&cursor, &back) == OK)
			;
		ck_assert_int_eq(cursor.error == OK && cursor_left(&cursor) == 0,
			len == 0 || len == 32 + 12 + 26);
	}
	end();
}
END_TEST

/* Octet `at` of a good result becomes `to`. */
static enum error
take_changed(size_t at, uint8_t to)
{
	struct delivery_result result = {.attempt = 7, .status = STATUS(2, 0, 0)}, back;
	uint8_t octets[64];

	start();
	ck_assert_ok(delivery_result_append(&list, &result));
	memcpy(octets, list.ptr, list.len);
	octets[at] = to;
	struct cursor cursor = cursor_of(slice_of(octets, list.len));
	enum error error = delivery_result_take(&cursor, &back);
	end();
	return error;
}

START_TEST(results_without_meaning_are_refused)
{
	ck_assert_ok(take_changed(12, DELIVER_PERMANENT));
	ck_assert_int_eq(take_changed(12, DELIVER_OUTCOMES), ERROR_FORMAT);
	ck_assert_int_eq(take_changed(13, TLS_STATES), ERROR_FORMAT);
	ck_assert_int_eq(take_changed(11, 1), ERROR_FORMAT); /* recipient 16,777,216 */
	ck_assert_int_eq(take_changed(17, 1), ERROR_FORMAT); /* status 18.777.216 */
	ck_assert_int_eq(take_changed(27, 0xff), ERROR_FORMAT);
}
END_TEST

START_TEST(texts_are_cut_and_the_list_has_an_end)
{
	static uint8_t octets[DELIVERY_PATH_MAX + 1];
	struct delivery_result result = {.text = slice_of(octets, sizeof octets),
		.remote = slice_of(octets, sizeof octets),
		.path = slice_of(octets, sizeof octets)};
	struct delivery_result back;
	uint32_t count = 0;

	start();
	while (delivery_result_append(&list, &result) == OK)
		count++;
	ck_assert_uint_eq(count, DELIVERY_RESULTS_BYTES / (24 + 1024 + 320 + 4096));
	struct cursor cursor = cursor_of(buffer_slice(&list));
	for (; cursor_left(&cursor) > 0; count--)
		ck_assert_ok(delivery_result_take(&cursor, &back));
	ck_assert_uint_eq(count, 0);
	ck_assert_uint_eq(back.text.len, DELIVERY_TEXT_MAX);
	end();
}
END_TEST

UNIT_MAIN("ipc/delivery", recipients_survive_the_trip, wishes_survive_the_trip,
	recipients_ascend_and_are_numbers_of_an_envelope, a_list_of_recipients_has_an_end,
	results_survive_the_trip, results_without_meaning_are_refused,
	texts_are_cut_and_the_list_has_an_end)
