/* Content as it leaves: line ends, dots, cuts; and what the content reader makes of it again. */
#include "smtp/client_content.h"
#include "smtp/content_reader.h"
#include "unit.h"

#define BYTES 4096

struct written {
	uint8_t bytes[BYTES];
	struct buffer output;
};

/* Written in blocks of `piece` octets. */
static struct slice
write_all(struct written *written, struct slice content, size_t piece)
{
	struct smtp_content_writer writer = {0};

	buffer_init_fixed(&written->output, written->bytes, sizeof written->bytes);
	for (size_t at = 0; at < content.len; at += piece)
		smtp_content_write(&writer, slice_sub(content, at, piece), &written->output);
	smtp_content_write_end(&writer, &written->output);
	ck_assert_ok(buffer_error(&written->output));
	return buffer_slice(&written->output);
}

START_TEST(line_ends_and_dots)
{
	static const struct {
		struct slice content, wire;
	} cases[] = {
		{SLICE_INIT(""), SLICE_INIT(".\r\n")},
		{SLICE_INIT("a"), SLICE_INIT("a\r\n.\r\n")},
		{SLICE_INIT("a\n"), SLICE_INIT("a\r\n.\r\n")},
		{SLICE_INIT("a\r\n"), SLICE_INIT("a\r\n.\r\n")},
		{SLICE_INIT("a\r"), SLICE_INIT("a\r\n.\r\n")},
		{SLICE_INIT("\n"), SLICE_INIT("\r\n.\r\n")},
		{SLICE_INIT("\r\r\n"), SLICE_INIT("\r\n\r\n.\r\n")},
		{SLICE_INIT("a\n\rb"), SLICE_INIT("a\r\n\r\nb\r\n.\r\n")},
		{SLICE_INIT("."), SLICE_INIT("..\r\n.\r\n")},
		{SLICE_INIT(".\n"), SLICE_INIT("..\r\n.\r\n")},
		{SLICE_INIT("..\r\n"), SLICE_INIT("...\r\n.\r\n")},
		{SLICE_INIT("a.\n.b\r\n"), SLICE_INIT("a.\r\n..b\r\n.\r\n")},
		{SLICE_INIT("a\n.\nb"), SLICE_INIT("a\r\n..\r\nb\r\n.\r\n")},
		{SLICE_INIT("a\r.\rb"), SLICE_INIT("a\r\n..\r\nb\r\n.\r\n")},
		{SLICE_INIT("a\r\n.\rb"), SLICE_INIT("a\r\n..\r\nb\r\n.\r\n")},
		{SLICE_INIT("a\n.\r\nMAIL"), SLICE_INIT("a\r\n..\r\nMAIL\r\n.\r\n")},
		{SLICE_INIT("\0\xff.\n"), SLICE_INIT("\0\xff.\r\n.\r\n")},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		for (size_t piece = 1; piece <= 4; piece++) {
			struct written written;
			struct slice wire = write_all(&written, cases[i].content, piece);
			ck_assert_msg(slice_equal(wire, cases[i].wire),
				"case %zu, piece %zu: \"%.*s\"", i, piece, SLICE_ARGS(wire));
		}
		size_t stuffed = 0;
		for (size_t at = 0; at + 3 < cases[i].wire.len; at++)
			stuffed += cases[i].wire.ptr[at] == '.' &&
				   (at == 0 || cases[i].wire.ptr[at - 1] == '\n');
		ck_assert_uint_eq(
			smtp_content_size(cases[i].content), cases[i].wire.len - 3 - stuffed);
	}
}
END_TEST

/* Every string of five octets out of the dangerous ones: one end, at the end, and the most octets
 * that the header promises. */
START_TEST(nothing_ends_early)
{
	static const uint8_t octets[] = {'\r', '\n', '.', 'x'};

	for (unsigned number = 0; number < 1024; number++) {
		uint8_t content[5];
		for (unsigned i = 0; i < 5; i++)
			content[i] = octets[number >> 2 * i & 3];
		struct written written;
		struct slice wire = write_all(&written, slice_of(content, 5), 1 + number % 3);
		ck_assert_uint_le(wire.len, SMTP_CONTENT_WRITTEN_MAX(5));
		struct content_reader reader;
		content_reader_init(&reader, 998, false);
		struct content_step step = content_reader_step(&reader, written.bytes, wire.len);
		ck_assert(content_reader_is_done(&reader));
		ck_assert_uint_eq(reader.errors, 0);
		ck_assert_uint_eq(step.consumed, wire.len);
		ck_assert_uint_eq(step.produced, smtp_content_size(slice_of(content, 5)));
	}
}
END_TEST

UNIT_MAIN("smtp/client_content", line_ends_and_dots, nothing_ends_early)
