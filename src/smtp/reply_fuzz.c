/*
 * Octets as the lines of a server's reply, and as the text of a reply of ours: what is read holds
 * no control, what is written can be read back with the same code.
 */
#include "smtp/reply.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

/* Feeds lines until one ends the reply, one is wrong, or none is left; whether the reply ended. */
static bool
feed_lines(struct smtp_reply_reader *reader, struct slice bytes)
{
	bool is_last = false;
	size_t at = 0;

	while (at <= bytes.len && !is_last) {
		ssize_t line_feed = slice_find(bytes, at, '\n');
		size_t end = line_feed < 0 ? bytes.len : (size_t)line_feed;
		struct slice line = slice_sub(bytes, at, end - at);
		if (slice_has_suffix(line, SLICE("\r")))
			line.len--;
		if (smtp_reply_reader_line(reader, line, &is_last) != OK)
			return false;
		at = end + 1;
	}
	return is_last;
}

static void
check_read(const struct smtp_reply_reader *reader)
{
	struct smtp_reply reply = smtp_reply_reader_reply(reader);
	size_t lines = 1;

	require(reply.code >= 200 && reply.code <= 599 &&
		reply.text.len <= SMTP_REPLY_READ_TEXT_MAX);
	require(reply.enhanced[0] == 0 || reply.enhanced[0] == reply.code / 100);
	require(reply.enhanced[1] <= 999 && reply.enhanced[2] <= 999);
	for (size_t i = 0; i < reply.text.len; i++) {
		lines += reply.text.ptr[i] == '\n';
		require(reply.text.ptr[i] == '\n' ||
			(reply.text.ptr[i] >= 32 && reply.text.ptr[i] != 127));
	}
	require(lines <= reader->lines);
}

static void
check_written(struct smtp_reply_reader *reader, struct slice text)
{
	uint8_t bytes[SMTP_REPLY_BYTES_MAX];
	struct buffer written;
	struct smtp_reply reply = {550, {5, 7, 1}, text};

	buffer_init_fixed(&written, bytes, sizeof bytes);
	smtp_reply_append(&written, &reply);
	require(buffer_error(&written) == OK);
	smtp_reply_reader_clear(reader);
	require(feed_lines(reader, slice_sub(buffer_slice(&written), 0, written.len - 2)));
	require(reader->code == 550 && reader->enhanced[0] == 5 && reader->enhanced[1] == 7 &&
		reader->enhanced[2] == 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory *memory = memory_new(0);
	struct smtp_reply_reader reader;

	smtp_reply_reader_init(&reader, memory);
	if (feed_lines(&reader, slice_of(data, size)))
		check_read(&reader);
	check_written(&reader, slice_of(data, size));
	smtp_reply_reader_done(&reader);
	require(memory_used(memory) == 0);
	memory_free(&memory);
	return 0;
}
