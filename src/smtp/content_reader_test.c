#include "smtp/content_reader.h"

#include "smtp/content_reference_test.h"
#include "unit.h"

#define LIMIT 16384

/* Feeds the wire's octets cut at two places; the pieces produced are joined in ret_content. */
static struct content_reader
read_in_pieces(struct slice wire, size_t first_cut, size_t second_cut, uint8_t *ret_content,
	size_t *ret_len, size_t *ret_consumed)
{
	const size_t cuts[] = {0, first_cut, second_cut, wire.len};
	struct content_reader reader;
	uint8_t block[4096];

	content_reader_init(&reader, LIMIT, false);
	*ret_len = *ret_consumed = 0;
	for (int i = 0; i < 3; i++) {
		size_t len = cuts[i + 1] - cuts[i];
		ck_assert_uint_le(len, sizeof block);
		memcpy(block, wire.ptr + cuts[i], len);
		struct content_step step = content_reader_step(&reader, block, len);
		ck_assert_uint_le(step.produced, step.consumed);
		ck_assert(step.consumed == len || content_reader_is_done(&reader));
		memcpy(ret_content + *ret_len, block, step.produced);
		*ret_len += step.produced;
		*ret_consumed += step.consumed;
		if (content_reader_is_done(&reader))
			break;
	}
	return reader;
}

/* In one, two and three pieces, cut at every place: always the same as the reference. */
static void
check_all_cuts(struct slice wire)
{
	uint8_t content[4096], expected[4096];
	struct reference reference;
	size_t len, consumed;

	reference_read(&reference, wire, LIMIT, expected);
	for (size_t first = 0; first <= wire.len; first++) {
		for (size_t second = first; second <= wire.len; second++) {
			struct content_reader reader =
				read_in_pieces(wire, first, second, content, &len, &consumed);
			ck_assert_int_eq(content_reader_is_done(&reader), reference.ended);
			ck_assert_uint_eq(consumed, reference.consumed);
			if (!reference.ended)
				continue;
			ck_assert_uint_eq(reader.errors, reference.errors);
			if (reference.errors != 0)
				continue;
			ck_assert_uint_eq(reader.flags, reference.flags);
			ck_assert(slice_equal(
				slice_of(content, len), buffer_slice(&reference.content)));
		}
	}
}

static uint8_t
errors_of(struct slice wire)
{
	struct content_reader reader;
	uint8_t block[4096];

	memcpy(block, wire.ptr, wire.len);
	content_reader_init(&reader, LIMIT, false);
	(void)content_reader_step(&reader, block, wire.len);
	return reader.errors;
}

START_TEST(ends_only_where_it_ends)
{
	static const struct slice ending[] = {SLICE_INIT(".\r\n"), SLICE_INIT("\r\n.\r\n"),
		SLICE_INIT("a\r\n.\r\nb"), SLICE_INIT("..\r\n.\r\n"), SLICE_INIT(".a\r\n.\r\n"),
		SLICE_INIT("a\r\n..\r\n...\r\n.\r\n.\r\n"), SLICE_INIT("\r\n\r\n\r\n.\r\nQUIT\r\n"),
		SLICE_INIT("\xff\r\n.\r\n")};
	static const struct slice open[] = {SLICE_INIT("."), SLICE_INIT(".\r"), SLICE_INIT(".\n"),
		SLICE_INIT("a.\r\n"), SLICE_INIT("a\r\n."), SLICE_INIT("a\r\n.\r"),
		SLICE_INIT("a\r\n. \r\n"), SLICE_INIT("a\r\n..\r\n"), SLICE_INIT("\n.\r\n"),
		SLICE_INIT("a\r.\r\n")};

	for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
		check_all_cuts(ending[i]);
	for (size_t i = 0; i < sizeof open / sizeof *open; i++)
		check_all_cuts(open[i]);
	ck_assert_uint_eq(errors_of(ending[5]), 0);
}
END_TEST

START_TEST(smuggling_sequences_do_not_end)
{
	static const struct slice sequences[] = {SLICE_INIT("\n.\n"), SLICE_INIT("\n.\r\n"),
		SLICE_INIT("\r\n.\n"), SLICE_INIT("\r.\r"), SLICE_INIT("\r\n.\r"),
		SLICE_INIT("\n.\r"), SLICE_INIT("\r.\r\n"), SLICE_INIT("\r.\n"),
		SLICE_INIT("\n\r.\r\n"), SLICE_INIT("\r\n.\r\r\n"), SLICE_INIT("\r\n.\n\r\n"),
		SLICE_INIT("\r\r\n.\r\r"), SLICE_INIT("\r\n\r.\r\n"), SLICE_INIT("\r\n\n.\r\n"),
		SLICE_INIT("\r\n.\0\r\n"), SLICE_INIT("\r\n\0.\r\n"), SLICE_INIT("\r\0\n.\r\n"),
		SLICE_INIT("\r\n.\r\0\n")};

	for (size_t i = 0; i < sizeof sequences / sizeof *sequences; i++) {
		uint8_t bytes[64];
		struct buffer wire;
		struct reference reference;
		uint8_t storage[64];
		buffer_init_fixed(&wire, bytes, sizeof bytes);
		buffer_append_text(&wire, "a");
		buffer_append(&wire, sequences[i]);
		buffer_append_text(&wire, "b");
		reference_read(&reference, buffer_slice(&wire), LIMIT, storage);
		ck_assert_msg(!reference.ended, "sequence %zu", i);
		check_all_cuts(buffer_slice(&wire));
		ck_assert_msg(errors_of(buffer_slice(&wire)) != 0, "sequence %zu", i);
		buffer_append_text(&wire, "\r\n.\r\nQUIT\r\n");
		check_all_cuts(buffer_slice(&wire));
	}
}
END_TEST

/* Every string of up to seven of the octets that matter, in one piece and octet by octet. */
START_TEST(all_short_strings)
{
	static const char octets[] = "\r\n.x\0";
	uint8_t storage[8], content[8], whole[8], single[8];

	for (size_t len = 0; len <= 7; len++) {
		size_t count = 1;
		for (size_t i = 0; i < len; i++)
			count *= 5;
		for (size_t number = 0; number < count; number++) {
			struct content_reader one, many;
			struct reference reference;
			size_t rest = number, produced = 0, consumed = 0;
			for (size_t i = 0; i < len; i++, rest /= 5)
				whole[i] = (uint8_t)octets[rest % 5];
			memcpy(single, whole, len);
			reference_read(&reference, slice_of(single, len), LIMIT, storage);
			content_reader_init(&one, LIMIT, false);
			content_reader_init(&many, LIMIT, false);
			for (size_t i = 0; i < len && !content_reader_is_done(&many); i++) {
				uint8_t octet = single[i];
				struct content_step step = content_reader_step(&many, &octet, 1);
				consumed += step.consumed;
				if (step.produced > 0)
					content[produced++] = octet;
			}
			struct content_step step = content_reader_step(&one, whole, len);
			ck_assert_uint_eq(step.consumed, reference.consumed);
			ck_assert_uint_eq(consumed, reference.consumed);
			ck_assert_int_eq(content_reader_is_done(&one), reference.ended);
			ck_assert_uint_eq(one.errors, many.errors);
			if (!reference.ended)
				continue;
			ck_assert_uint_eq(one.errors, reference.errors);
			ck_assert(slice_equal(
				slice_of(content, produced), slice_of(whole, step.produced)));
			if (one.errors == 0)
				ck_assert(slice_equal(slice_of(content, produced),
					buffer_slice(&reference.content)));
		}
	}
}
END_TEST

START_TEST(flags_tell_of_lines)
{
	struct content_reader reader;
	uint8_t block[1100];

	for (size_t len = 997; len <= 999; len++) {
		memset(block, 'x', sizeof block);
		block[0] = '.'; /* stuffed: does not count */
		block[1] = 'x';
		memcpy(block + 1 + len, "\r\n.\r\n", 5);
		content_reader_init(&reader, LIMIT, false);
		struct content_step step = content_reader_step(&reader, block, len + 6);
		ck_assert(content_reader_is_done(&reader));
		ck_assert_uint_eq(step.produced, len + 2);
		ck_assert_uint_eq(reader.flags, len > 998 ? CONTENT_LONG_LINE : 0);
	}
	for (size_t at = 0; at < 100; at++) {
		memset(block, 'x', sizeof block);
		block[at] = 0x80;
		content_reader_init(&reader, LIMIT, false);
		(void)content_reader_step(&reader, block, 100);
		ck_assert_uint_eq(reader.flags, CONTENT_8BIT);
	}
}
END_TEST

START_TEST(nothing_behind_the_end_counts)
{
	struct content_reader reader;
	uint8_t block[] = "a\r\n.\r\n\0\n\r\xff....";

	content_reader_init(&reader, LIMIT, false);
	struct content_step step = content_reader_step(&reader, block, sizeof block);
	ck_assert_uint_eq(step.consumed, 6);
	ck_assert_uint_eq(step.produced, 3);
	ck_assert_uint_eq(reader.errors, 0);
	ck_assert_uint_eq(reader.flags, 0);
	step = content_reader_step(&reader, block, sizeof block);
	ck_assert_uint_eq(step.consumed, 0);
	ck_assert_uint_eq(step.produced, 0);
}
END_TEST

/* One octet at a time and in one piece, each with the smallest rooms. */
static void
normalise(struct slice wire, size_t piece, bool is_counted, uint8_t *content, size_t *ret_len,
	size_t *ret_consumed, struct content_reader *reader)
{
	uint8_t block[64];
	size_t at = 0;

	if (is_counted)
		content_reader_init_counted(reader, LIMIT, true);
	else
		content_reader_init(reader, LIMIT, true);
	*ret_len = 0;
	while (at < wire.len && !content_reader_is_done(reader)) {
		size_t len = wire.len - at < piece ? wire.len - at : piece;
		memcpy(block, wire.ptr + at, len);
		struct content_step step = content_reader_step(reader, block, len);
		memcpy(content + *ret_len, block, step.produced);
		*ret_len += step.produced;
		size_t taken = step.consumed;
		while ((taken < len || reader->pending_len > 0) &&
			!content_reader_is_done(reader)) {
			step = content_reader_copy(
				reader, wire.ptr + at + taken, len - taken, content + *ret_len, 1);
			*ret_len += step.produced;
			taken += step.consumed;
		}
		at += taken;
	}
	if (is_counted) {
		content_reader_end(reader);
		*ret_len += content_reader_copy(
			reader, NULL, 0, content + *ret_len, CONTENT_PENDING_MAX)
				    .produced;
	}
	*ret_consumed = at;
}

static bool
is_normalised(struct slice wire, size_t piece, bool is_counted, const struct reference *reference)
{
	uint8_t content[256];
	struct content_reader reader;
	size_t len, consumed;

	normalise(wire, piece, is_counted, content, &len, &consumed, &reader);
	if (content_reader_is_done(&reader) != reference->ended || consumed != reference->consumed)
		return false;
	return !reference->ended ||
	       (reader.errors == reference->errors && reader.flags == reference->flags &&
		       slice_equal(slice_of(content, len), buffer_slice(&reference->content)));
}

/* Nothing is asserted but what is wrong: Check writes a line to a file for each assertion. */
static void
check_normalised(struct slice wire, bool is_counted)
{
	uint8_t expected[512];
	struct reference reference;

	reference_normalise(&reference, wire, LIMIT, expected, is_counted);
	for (size_t piece = 1; piece <= wire.len; piece++)
		if (!is_normalised(wire, piece, is_counted, &reference))
			ck_abort_msg("\"%.*s\" in pieces of %zu", SLICE_ARGS(wire), piece);
}

/* Every content of up to eight of the octets that matter, with the end behind it, cut everywhere.
 */
START_TEST(lone_newlines_become_line_ends)
{
	static const char alphabet[] = "\r\n.a";
	uint8_t wire[32];

	for (unsigned n = 0; n < 1u << 16; n++) {
		for (int i = 0; i < 8; i++)
			wire[i] = (uint8_t)alphabet[n >> 2 * i & 3];
		memcpy(wire + 8, "\r\n.\r\n", 5);
		check_normalised(slice_of(wire, 13), false);
		check_normalised(slice_of(wire, 8), true);
	}
}
END_TEST

/* In the body each CR alone is a line end, in the header it must begin no field. */
START_TEST(a_lone_cr_begins_no_field)
{
	uint8_t content[256];
	struct content_reader reader;
	size_t len, consumed;

	normalise(SLICE("A: b\rX: y\r\n\r\nc\rd\r\n.\r\n"), 64, false, content, &len, &consumed,
		&reader);
	ck_assert(content_reader_is_done(&reader));
	ck_assert_uint_eq(reader.errors, 0);
	content[len] = 0;
	ck_assert_str_eq((const char *)content, "A: b X: y\r\n\r\nc\r\nd\r\n");
}
END_TEST

/* Where lone ones are faults: a CR is one that nothing follows. */
START_TEST(counted_content_is_judged_at_its_end)
{
	static const struct {
		const char *text;
		uint8_t errors;
	} cases[] = {{".\r\n", 0}, {"a", 0}, {"a\r", CONTENT_ERROR_BARE_CR},
		{"a\n", CONTENT_ERROR_BARE_LF}, {"", 0}};
	uint8_t block[8], rest[CONTENT_PENDING_MAX];
	struct content_reader reader;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct slice text = slice_text(cases[i].text);
		content_reader_init_counted(&reader, LIMIT, false);
		memcpy(block, text.ptr, text.len);
		struct content_step step = content_reader_step(&reader, block, text.len);
		ck_assert_uint_eq(step.consumed, text.len);
		content_reader_end(&reader);
		ck_assert_uint_eq(reader.errors, cases[i].errors);
		step = content_reader_copy(&reader, NULL, 0, rest, sizeof rest);
		if (cases[i].errors == 0)
			ck_assert(slice_equal(slice_of(rest, step.produced),
				strcmp(cases[i].text, "a") == 0 ? SLICE("\r\n")
								: slice_of(NULL, 0)));
	}
}
END_TEST

UNIT_MAIN("smtp/content_reader", counted_content_is_judged_at_its_end, ends_only_where_it_ends,
	smuggling_sequences_do_not_end, all_short_strings, flags_tell_of_lines,
	nothing_behind_the_end_counts, lone_newlines_become_line_ends, a_lone_cr_begins_no_field)
