/* The scanner over a whole message and the counter over the same message in pieces must see the
 * same fields. */
#include "text/header.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static uint32_t
count_by_scanner(struct slice message, struct slice name)
{
	struct header_scanner scanner = header_scanner_of(message);
	struct header_field field;
	uint32_t count = 0;
	size_t at = 0;

	while (header_next(&scanner, &field)) {
		require(field.whole.ptr == message.ptr + at && field.whole.len > 0);
		at += field.whole.len;
		require(field.name.len > 0 &&
			field.name.len + 1 + field.value.len <= field.whole.len);
		count += slice_equal_nocase(field.name, name);
	}
	require(scanner.at == at && header_body_start(&scanner) >= at &&
		header_body_start(&scanner) <= message.len);
	return count;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct header_counter counter;

	if (size < 1)
		return 0;
	struct slice message = slice_of(data + 1, size - 1);
	size_t piece = (size_t)data[0] + 1;
	header_counter_init(&counter, SLICE("Received"));
	for (size_t at = 0; at < message.len; at += piece)
		header_counter_feed(&counter, slice_sub(message, at, piece));
	require(counter.count == count_by_scanner(message, SLICE("Received")));
	return 0;
}
