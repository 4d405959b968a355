/* UTF-8, encoded words and quoted-printable. */
#include "text/encode.h"
#include "unit.h"

START_TEST(utf8)
{
	static const struct {
		struct slice text;
		ssize_t fault;
	} cases[] = {
		{SLICE_INIT(""), -1},
		{SLICE_INIT("a\0b"), -1},
		{SLICE_INIT("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x8e"), -1},
		{SLICE_INIT("a\xff"), 1},
		{SLICE_INIT("ab\xc3"), 2},
		{SLICE_INIT("\xc3("), 0},
		{SLICE_INIT("\xc0\xaf"), 0},         /* "/" in two octets */
		{SLICE_INIT("\xe0\x80\xaf"), 0},     /* and in three */
		{SLICE_INIT("\xed\xa0\x80"), 0},     /* a surrogate */
		{SLICE_INIT("\xf4\x90\x80\x80"), 0}, /* U+110000 */
		{SLICE_INIT("\xf0\x80\x80\xaf"), 0},
		{SLICE_INIT("a\x80"), 1},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		ck_assert_msg(utf8_find_fault(cases[i].text) == cases[i].fault, "case %zu", i);
	ck_assert_uint_eq(utf8_character(SLICE("\xe2\x82\xac"
					       "a")),
		3);
	ck_assert_uint_eq(utf8_character(SLICE("")), 0);
}
END_TEST

static struct slice
unstructured(struct buffer *buffer, struct slice text, size_t column)
{
	static uint8_t storage[8192];

	buffer_init_fixed(buffer, storage, sizeof storage);
	encode_unstructured(buffer, text, column);
	ck_assert_ok(buffer_error(buffer));
	return buffer_slice(buffer);
}

START_TEST(plain_subjects)
{
	struct buffer buffer;
	uint8_t word[1000];

	ck_assert_slice_eq(unstructured(&buffer, SLICE(""), 9), "");
	ck_assert_slice_eq(unstructured(&buffer, SLICE("hello, world"), 9), "hello, world");
	ck_assert_slice_eq(unstructured(&buffer,
				   SLICE("one two three four five six seven eight nine ten eleven "
					 "twelve thirteen fourteen"),
				   9),
		"one two three four five six seven eight nine ten eleven twelve\r\n"
		" thirteen fourteen");
	memset(word, 'x', sizeof word);
	ck_assert_uint_eq(unstructured(&buffer, slice_of(word, 900), 9).len, 900);
	ck_assert(slice_has_prefix(
		unstructured(&buffer, slice_of(word, 901), 9), SLICE("=?UTF-8?B?")));
}
END_TEST

START_TEST(encoded_subjects)
{
	struct buffer buffer;

	ck_assert_slice_eq(unstructured(&buffer, SLICE("caf\xc3\xa9"), 9), "=?UTF-8?B?Y2Fmw6k=?=");
	ck_assert_slice_eq(unstructured(&buffer, SLICE("=?x?"), 9), "=?UTF-8?B?PT94Pw==?=");
	ck_assert_slice_eq(unstructured(&buffer, SLICE("a  b"), 9), "=?UTF-8?B?YSAgYg==?=");
	ck_assert_slice_eq(unstructured(&buffer, SLICE("a "), 9), "=?UTF-8?B?YSA=?=");
	ck_assert_slice_eq(unstructured(&buffer, SLICE("a\r\nb"), 9), "=?UTF-8?B?YQ0KYg==?=");
	/* No room on the first line: the word goes to the next. */
	ck_assert_slice_eq(unstructured(&buffer, SLICE("\xc3\xa9"), 76), "\r\n =?UTF-8?B?w6k=?=");
	ck_assert_slice_eq(unstructured(&buffer, SLICE("\xc3\xa9"), 60), "=?UTF-8?B?w6k=?=");
	ck_assert_slice_eq(unstructured(&buffer, SLICE("\xc3\xa9"), 61), "\r\n =?UTF-8?B?w6k=?=");
	/* What is no UTF-8 is not written, nor looped on. */
	ck_assert_slice_eq(unstructured(&buffer, SLICE("\xff"), 9), "\r\n ");
}
END_TEST

/* Any column, characters of any length: lines and words stay in their limits. */
START_TEST(encoded_words_are_bounded)
{
	struct buffer buffer, text;
	uint8_t storage[1024];

	buffer_init_fixed(&text, storage, sizeof storage);
	for (int i = 0; i < 80; i++)
		buffer_append(&text, i % 3 == 0   ? SLICE("\xc3\xa9")
				     : i % 3 == 1 ? SLICE("\xf0\x9f\x90\x8e")
						  : SLICE("x"));
	for (size_t column = 0; column < 100; column++) {
		struct slice lines = unstructured(&buffer, buffer_slice(&text), column);
		size_t start = 0, at = column;
		while (start < lines.len) {
			ssize_t end = slice_find(lines, start, '\r');
			size_t len = (end < 0 ? lines.len : (size_t)end) - start;
			ck_assert_uint_le(len > 0 ? at + len : 0, ENCODE_COLUMNS);
			ck_assert_uint_le(len, 75 + 1);
			at = 0;
			start += len + 2;
		}
	}
}
END_TEST

static struct slice
quoted_printable(struct buffer *buffer, struct slice text)
{
	static uint8_t storage[8192];

	buffer_init_fixed(buffer, storage, sizeof storage);
	encode_quoted_printable(buffer, text);
	ck_assert_ok(buffer_error(buffer));
	return buffer_slice(buffer);
}

START_TEST(printable)
{
	struct buffer buffer;

	ck_assert_slice_eq(quoted_printable(&buffer, SLICE("")), "");
	ck_assert_slice_eq(
		quoted_printable(&buffer, SLICE("a=b\nc\r\n\nd")), "a=3Db\r\nc\r\n\r\nd\r\n");
	ck_assert_slice_eq(quoted_printable(&buffer, SLICE("caf\xc3\xa9\n")), "caf=C3=A9\r\n");
	ck_assert_slice_eq(
		quoted_printable(&buffer, SLICE("a \nb\t\n c")), "a=20\r\nb=09\r\n c\r\n");
	ck_assert_slice_eq(quoted_printable(&buffer, SLICE("a\rb\r")), "a=0Db=0D\r\n");
	ck_assert_slice_eq(quoted_printable(&buffer, SLICE("\0")), "=00\r\n");
}
END_TEST

START_TEST(printable_lines_are_bounded)
{
	struct buffer buffer;
	uint8_t text[400];

	memset(text, 'x', sizeof text);
	ck_assert_uint_eq(quoted_printable(&buffer, slice_of(text, 76)).len, 78);
	ck_assert_uint_eq(quoted_printable(&buffer, slice_of(text, 77)).len, 77 + 3 + 2);
	for (size_t shift = 0; shift < 80; shift++) {
		memset(text, 'x', shift);
		memset(text + shift, shift % 2 ? '=' : ' ', sizeof text - shift);
		struct slice lines = quoted_printable(&buffer, slice_of(text, sizeof text));
		for (size_t start = 0; start < lines.len;) {
			ssize_t end = slice_find(lines, start, '\r');
			ck_assert_int_ge(end, 0);
			ck_assert_uint_le((size_t)end - start, ENCODE_COLUMNS);
			ck_assert_uint_ne(lines.ptr[end - 1], ' ');
			start = (size_t)end + 2;
		}
	}
}
END_TEST

UNIT_MAIN("text/encode", utf8, plain_subjects, encoded_subjects, encoded_words_are_bounded,
	printable, printable_lines_are_bounded)
