/* Any octets as content, cut by the first octet: what is written reads back as one whole content
 * without errors of line ends, with the size that SIZE would say. */
#include "smtp/client_content.h"
#include "smtp/content_reader.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_content_writer writer = {0};
	struct content_reader reader;
	struct buffer wire;

	if (size < 1)
		return 0;
	struct slice content = slice_of(data + 1, size - 1);
	size_t piece = 1u + data[0];
	uint8_t *storage = malloc(SMTP_CONTENT_WRITTEN_MAX(content.len));
	require(storage != NULL);
	buffer_init_fixed(&wire, storage, SMTP_CONTENT_WRITTEN_MAX(content.len));
	for (size_t at = 0; at < content.len; at += piece)
		smtp_content_write(&writer, slice_sub(content, at, piece), &wire);
	smtp_content_write_end(&writer, &wire);
	require(buffer_error(&wire) == OK);
	content_reader_init(&reader, UINT32_MAX, false);
	struct content_step step = content_reader_step(&reader, storage, wire.len);
	require(content_reader_is_done(&reader) && step.consumed == wire.len);
	require((reader.errors & ~(unsigned)CONTENT_ERROR_NUL) == 0);
	require(step.produced == smtp_content_size(content));
	free(storage);
	return 0;
}
