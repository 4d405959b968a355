#include "smtp/first_line.h"
#include "unit.h"

static bool
is_field(const char *content, size_t piece)
{
	struct slice rest = slice_text(content);
	struct first_line line = {FIRST_LINE_EMPTY};

	while (rest.len > 0) {
		first_line_feed(&line, slice_sub(rest, 0, piece));
		rest = slice_from(rest, piece);
	}
	return first_line_is_field(&line);
}

/* However the octets are cut. */
START_TEST(fields_and_others)
{
	static const char *const fields[] = {
		"Subject: x\r\n", "A:\r\n", "A : b\r\n", "X-\"y\"(:\r\n", "\r\nbody\r\n", "A\t:b"};
	static const char *const others[] = {"", "hello\r\n", " Subject: x\r\n", "\tx: y\r\n",
		": x\r\n", "From me@x Mon: a\r\n", "a b: c\r\n", "h\xc3\xa4: c\r\n", "\r",
		"\rA: b\r\n", "Subject"};

	for (size_t piece = 1; piece < 12; piece++) {
		for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
			ck_assert_msg(is_field(fields[i], piece), "%s", fields[i]);
		for (size_t i = 0; i < sizeof others / sizeof *others; i++)
			ck_assert_msg(!is_field(others[i], piece), "%s", others[i]);
	}
}
END_TEST

UNIT_MAIN("smtp/first_line", fields_and_others)
