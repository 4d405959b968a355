#include "text/header.h"
#include "unit.h"

static uint32_t
count_in_pieces(struct slice message, struct slice name, size_t piece)
{
	struct header_counter counter;

	header_counter_init(&counter, name);
	for (size_t at = 0; at < message.len; at += piece)
		header_counter_feed(&counter, slice_sub(message, at, piece));
	return counter.count;
}

START_TEST(fields_and_their_bounds)
{
	struct header_scanner scanner =
		header_scanner_of(SLICE("Received: one\r\n\ttwo\r\n three\r\nSubject "
					":x\r\nEmpty:\r\nLf: y\n\r\nbody: no\r\n"));
	struct header_field field;

	ck_assert(header_next(&scanner, &field));
	ck_assert_slice_eq(field.name, "Received");
	ck_assert_slice_eq(field.value, " one\r\n\ttwo\r\n three");
	ck_assert_slice_eq(field.whole, "Received: one\r\n\ttwo\r\n three\r\n");
	ck_assert(header_next(&scanner, &field));
	ck_assert_slice_eq(field.name, "Subject");
	ck_assert_slice_eq(field.value, "x");
	ck_assert(header_next(&scanner, &field));
	ck_assert_slice_eq(field.name, "Empty");
	ck_assert_uint_eq(field.value.len, 0);
	ck_assert(header_next(&scanner, &field));
	ck_assert_slice_eq(field.value, " y");
	ck_assert(!header_next(&scanner, &field));
	ck_assert_slice_eq(slice_from(scanner.bytes, header_body_start(&scanner)), "body: no\r\n");
}
END_TEST

START_TEST(headers_that_end_oddly)
{
	static const struct {
		struct slice message;
		unsigned fields;
		size_t body_start;
	} cases[] = {
		{SLICE_INIT(""), 0, 0},
		{SLICE_INIT("\r\nbody"), 0, 2},
		{SLICE_INIT("\nbody"), 0, 1},
		{SLICE_INIT("A: b"), 1, 4},
		{SLICE_INIT("A: b\r\n"), 1, 6},
		{SLICE_INIT("A: b\r\nno field here\r\nC: d\r\n"), 1, 6},
		{SLICE_INIT("From someone Mon\r\nA: b\r\n"), 0, 0},
		{SLICE_INIT(" folded first\r\nA: b\r\n"), 0, 0},
		{SLICE_INIT(": nameless\r\n"), 0, 0},
		{SLICE_INIT("A\xc3: b\r\n"), 0, 0},
		{SLICE_INIT("A: b\r\n \r\nC: d\r\n\r\n"), 2, 17},
		{SLICE_INIT("A: b\r\n\rC: d\r\n"), 1, 6},
		{SLICE_INIT("A"), 0, 0},
		{SLICE_INIT("A "), 0, 0},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct header_scanner scanner = header_scanner_of(cases[i].message);
		struct header_field field;
		unsigned fields = 0;
		while (header_next(&scanner, &field))
			fields++;
		ck_assert_msg(fields == cases[i].fields, "case %zu: %u fields", i, fields);
		ck_assert_msg(header_body_start(&scanner) == cases[i].body_start,
			"case %zu: body at %zu", i, header_body_start(&scanner));
	}
}
END_TEST

START_TEST(field_is_found_by_name)
{
	struct header_scanner scanner = header_scanner_of(
		SLICE("Delivered-To: a\r\nX: y\r\ndelivered-TO: b\r\n\r\nDelivered-To: c\r\n"));
	struct header_field field;

	ck_assert(header_find(&scanner, SLICE("Delivered-To"), &field));
	ck_assert_slice_eq(field.value, " a");
	ck_assert(header_find(&scanner, SLICE("Delivered-To"), &field));
	ck_assert_slice_eq(field.value, " b");
	ck_assert(!header_find(&scanner, SLICE("Delivered-To"), &field));
}
END_TEST

START_TEST(counter_counts_in_any_pieces)
{
	struct slice message = SLICE("Received: a\r\nreceived : b\r\n Received: fold\r\nReceive: "
				     "c\r\nReceivedX: d\r\nX-Received: e\r\nRECEIVED:\r\n"
				     "\r\nReceived: body\r\n");

	for (size_t piece = 1; piece <= message.len; piece++)
		ck_assert_uint_eq(count_in_pieces(message, SLICE("Received"), piece), 3);
	for (size_t piece = 1; piece < 9; piece++)
		ck_assert_uint_eq(
			count_in_pieces(SLICE("Received: a\r\nnot a field\r\nReceived: b\r\n"),
				SLICE("Received"), piece),
			1);
}
END_TEST

START_TEST(counter_says_when_done)
{
	struct header_counter counter;

	header_counter_init(&counter, SLICE("A"));
	header_counter_feed(&counter, SLICE("A: b\r\n"));
	ck_assert(!header_counter_is_done(&counter));
	header_counter_feed(&counter, SLICE("\r"));
	ck_assert(header_counter_is_done(&counter));
	ck_assert_uint_eq(counter.count, 1);
}
END_TEST

UNIT_MAIN("text/header", fields_and_their_bounds, headers_that_end_oddly, field_is_found_by_name,
	counter_counts_in_any_pieces, counter_says_when_done)
