/* Any content: the identifier is the same in one piece as octet by octet, and is a valid one. */
#include "text/message_id.h"

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
	struct message_id whole = {0}, pieces = {0};
	struct slice text;

	message_id_feed(&whole, slice_of(data, size));
	for (size_t i = 0; i < size; i++)
		message_id_feed(&pieces, slice_of(data + i, 1));
	text = message_id_text(&whole);
	require(slice_equal(text, message_id_text(&pieces)) && whole.state == pieces.state);
	require(text.len == 0 || message_id_is_valid(text));
	message_id_is_valid(slice_of(data, size));
	return 0;
}
