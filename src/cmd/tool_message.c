#include "cmd/tool_message.h"
#include "cmd/tool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#define PIECE_BYTES (64u << 10)

/* Lines with their CR, from lines that may lack it. */
static void
feed_lines(struct content *content, struct slice octets, uint8_t *last)
{
	size_t start = 0;
	ssize_t line_feed;

	while ((line_feed = slice_find(octets, start, '\n')) >= 0) {
		size_t end = (size_t)line_feed;
		uint8_t before = end > 0 ? octets.ptr[end - 1] : *last;
		content_feed(content, slice_sub(octets, start, end - start));
		content_feed(content, before == '\r' ? SLICE("\n") : SLICE("\r\n"));
		start = end + 1;
	}
	content_feed(content, slice_from(octets, start));
	if (octets.len > 0)
		*last = octets.ptr[octets.len - 1];
}

int
tool_message_feed(const char *command, const char *path, struct content *content)
{
	static uint8_t piece[PIECE_BYTES];
	bool is_stdin = !path || strcmp(path, "-") == 0;
	FILE *file = is_stdin ? stdin : fopen(path, "re");
	uint8_t last = 0;
	size_t len;

	if (!file)
		return tool_fail(command, EX_NOINPUT, "%s: %s", path, strerror(errno));
	while ((len = fread(piece, 1, sizeof piece, file)) > 0)
		feed_lines(content, slice_of(piece, len), &last);
	bool is_bad = ferror(file);
	int error = errno;
	if (!is_stdin)
		fclose(file);
	if (is_bad)
		return tool_fail(command, EX_IOERR, "%s: %s", is_stdin ? "standard input" : path,
			strerror(error));
	content_end(content);
	return EX_OK;
}

int
tool_file_read(const char *command, const char *path, struct buffer *buffer)
{
	uint8_t piece[1024];
	FILE *file = fopen(path, "re");
	size_t len;

	if (!file)
		return tool_fail(command, EX_NOINPUT, "%s: %s", path, strerror(errno));
	setvbuf(file, NULL, _IONBF, 0);
	while ((len = fread(piece, 1, sizeof piece, file)) > 0)
		buffer_append(buffer, slice_of(piece, len));
	bool is_bad = ferror(file);
	int error = errno;
	fclose(file);
	memory_wipe(piece, sizeof piece);
	if (is_bad)
		return tool_fail(command, EX_IOERR, "%s: %s", path, strerror(error));
	if (buffer->error != OK)
		return tool_fail(command, EX_DATAERR, "%s is too large", path);
	return EX_OK;
}
