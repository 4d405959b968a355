#include "smtp/reply.h"

#include "unit.h"

static void
check_written(struct smtp_reply reply, const char *expected)
{
	uint8_t bytes[SMTP_REPLY_BYTES_MAX];
	struct buffer buffer;

	buffer_init_fixed(&buffer, bytes, sizeof bytes);
	smtp_reply_append(&buffer, &reply);
	ck_assert_ok(buffer_error(&buffer));
	ck_assert_slice_eq(buffer_slice(&buffer), expected);
}

START_TEST(replies_are_written)
{
	check_written(SMTP_REPLY(250, 2, 1, 5, "ok"), "250 2.1.5 ok\r\n");
	check_written(SMTP_REPLY(354, 0, 0, 0, "go"), "354 go\r\n");
	check_written(SMTP_REPLY(214, 2, 0, 0, "a\nb\n\nc"),
		"214-2.0.0 a\r\n214-2.0.0 b\r\n214-2.0.0 \r\n214 2.0.0 c\r\n");
	check_written(
		SMTP_REPLY(550, 5, 7, 1, "a\rb\x1b[2J\xff\x7f\0"), "550 5.7.1 a?b?[2J???\r\n");
}
END_TEST

START_TEST(replies_fit_their_maximum)
{
	char text[2 * SMTP_REPLY_TEXT_MAX];
	uint8_t bytes[SMTP_REPLY_BYTES_MAX];
	struct buffer buffer;
	struct smtp_reply reply = {550, {5, 999, 999}, slice_of(text, sizeof text)};

	memset(text, 'x', sizeof text);
	buffer_init_fixed(&buffer, bytes, sizeof bytes);
	smtp_reply_append(&buffer, &reply);
	ck_assert_ok(buffer_error(&buffer));
	ck_assert_uint_le(buffer.len, 512); /* RFC 5321 section 4.5.3.1.5 */
	ck_assert(slice_has_suffix(buffer_slice(&buffer), SLICE("xxx...\r\n")));
	memset(text, '\n', sizeof text);
	buffer_clear(&buffer);
	smtp_reply_append(&buffer, &reply);
	ck_assert_ok(buffer_error(&buffer));
	ck_assert(slice_has_suffix(buffer_slice(&buffer), SLICE("550 5.999.999 ...\r\n")));
}
END_TEST

START_TEST(replies_are_read)
{
	struct memory *memory = memory_new(0);
	struct smtp_reply_reader reader;
	bool is_last;

	smtp_reply_reader_init(&reader, memory);
	ck_assert_ok(smtp_reply_reader_line(&reader, SLICE("250-mx.test hello"), &is_last));
	ck_assert(!is_last);
	ck_assert_ok(smtp_reply_reader_line(&reader, SLICE("250-"), &is_last));
	ck_assert_ok(smtp_reply_reader_line(&reader, SLICE("250 SIZE 10"), &is_last));
	ck_assert(is_last);
	ck_assert_slice_eq(smtp_reply_reader_reply(&reader).text, "mx.test hello\n\nSIZE 10");
	ck_assert_uint_eq(reader.enhanced[0], 0);

	smtp_reply_reader_clear(&reader);
	ck_assert_ok(smtp_reply_reader_line(&reader, SLICE("550-5.7.26 no\x01way"), &is_last));
	ck_assert_ok(smtp_reply_reader_line(&reader, SLICE("550 5.7.26 a\rb\0c\n"), &is_last));
	struct smtp_reply reply = smtp_reply_reader_reply(&reader);
	ck_assert_uint_eq(reply.code, 550);
	ck_assert(reply.enhanced[0] == 5 && reply.enhanced[1] == 7 && reply.enhanced[2] == 26);
	ck_assert_slice_eq(reply.text, "5.7.26 no?way\n5.7.26 a?b?c?");
	smtp_reply_reader_done(&reader);
	ck_assert_uint_eq(memory_used(memory), 0);
	memory_free(&memory);
}
END_TEST

/* Code, dash and text in all the ways that servers leave them out. */
START_TEST(single_lines)
{
	static const struct {
		const char *line;
		enum error error;
		bool is_last;
		uint16_t class, subject, detail;
	} cases[] = {
		{"250", OK, true, 0, 0, 0},
		{"250 ", OK, true, 0, 0, 0},
		{"250-", OK, false, 0, 0, 0},
		{"250 2.0.0", OK, true, 2, 0, 0},
		{"250 2.0.0 ok", OK, true, 2, 0, 0},
		{"421 4.999.999 x", OK, true, 4, 999, 999},
		{"550 4.1.1 other class", OK, true, 0, 0, 0},
		{"550 5.1 x", OK, true, 0, 0, 0},
		{"550 5.1. x", OK, true, 0, 0, 0},
		{"550 5..1 x", OK, true, 0, 0, 0},
		{"550 5.1.1x", OK, true, 0, 0, 0},
		{"550 5.1.1000", OK, true, 0, 0, 0},
		{"550 5.1000.1", OK, true, 0, 0, 0},
		{"550 55.1.1", OK, true, 0, 0, 0},
		{"354 3.0.0 x", OK, true, 3, 0, 0},
		{"599 odd", OK, true, 0, 0, 0},
		{"", ERROR_FORMAT, false, 0, 0, 0},
		{"25", ERROR_FORMAT, false, 0, 0, 0},
		{"2500", ERROR_FORMAT, false, 0, 0, 0},
		{"250x", ERROR_FORMAT, false, 0, 0, 0},
		{"250\t", ERROR_FORMAT, false, 0, 0, 0},
		{"150 x", ERROR_FORMAT, false, 0, 0, 0},
		{"600 x", ERROR_FORMAT, false, 0, 0, 0},
		{"2a0 x", ERROR_FORMAT, false, 0, 0, 0},
		{" 250 x", ERROR_FORMAT, false, 0, 0, 0},
		{"-50 x", ERROR_FORMAT, false, 0, 0, 0},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct memory *memory = memory_new(0);
		struct smtp_reply_reader reader;
		bool is_last = false;
		smtp_reply_reader_init(&reader, memory);
		ck_assert_msg(smtp_reply_reader_line(&reader, slice_text(cases[i].line),
				      &is_last) == cases[i].error,
			"%s", cases[i].line);
		ck_assert_msg(is_last == cases[i].is_last, "%s", cases[i].line);
		if (cases[i].error == OK) {
			ck_assert_msg(reader.enhanced[0] == cases[i].class, "%s", cases[i].line);
			ck_assert(reader.enhanced[0] == 0 ||
				  (reader.enhanced[1] == cases[i].subject &&
					  reader.enhanced[2] == cases[i].detail));
		}
		memory_free(&memory);
	}
}
END_TEST

START_TEST(replies_are_bounded)
{
	struct memory *memory = memory_new(0);
	struct smtp_reply_reader reader;
	char line[1000];
	bool is_last;

	memset(line, 'x', sizeof line);
	memcpy(line, "250-", 4);
	smtp_reply_reader_init(&reader, memory);
	for (int i = 0; i < SMTP_REPLY_READ_LINES_MAX; i++)
		ck_assert_ok(
			smtp_reply_reader_line(&reader, slice_of(line, sizeof line), &is_last));
	ck_assert_int_eq(smtp_reply_reader_line(&reader, slice_of(line, sizeof line), &is_last),
		ERROR_LIMIT);
	ck_assert_uint_eq(smtp_reply_reader_reply(&reader).text.len, SMTP_REPLY_READ_TEXT_MAX);
	ck_assert(reader.is_cut);
	ck_assert_uint_le(memory_used(memory), SMTP_REPLY_READ_TEXT_MAX);
	smtp_reply_reader_clear(&reader);
	ck_assert(!reader.is_cut && reader.lines == 0);
	ck_assert_ok(smtp_reply_reader_line(&reader, SLICE("250-a"), &is_last));
	ck_assert_int_eq(smtp_reply_reader_line(&reader, SLICE("251 b"), &is_last), ERROR_FORMAT);
	smtp_reply_reader_done(&reader);
	memory_free(&memory);

	memory = memory_new(10);
	smtp_reply_reader_init(&reader, memory);
	ck_assert_int_eq(
		smtp_reply_reader_line(&reader, SLICE("250 text"), &is_last), ERROR_NO_MEMORY);
	memory_free(&memory);
}
END_TEST

UNIT_MAIN("smtp/reply", replies_are_written, replies_fit_their_maximum, replies_are_read,
	single_lines, replies_are_bounded)
