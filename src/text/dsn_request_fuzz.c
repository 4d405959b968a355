/* What is taken stays within its limits, can stand in a command and in a report, and comes back. */
#include "text/dsn_request.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
check_notify(struct slice text)
{
	uint8_t storage[64];
	struct buffer written;
	uint32_t notify, again;

	if (!dsn_notify_parse(text, &notify))
		return;
	require(notify != 0 && dsn_notify_is_valid(notify));
	buffer_init_fixed(&written, storage, sizeof storage);
	dsn_notify_append(&written, notify);
	require(buffer_error(&written) == OK);
	require(dsn_notify_parse(buffer_slice(&written), &again) && again == notify);
}

static void
check_original(struct slice text)
{
	uint8_t storage[DSN_ORIGINAL_MAX];
	struct buffer address;

	if (!dsn_original_is_valid(text))
		return;
	require(text.len <= DSN_ORIGINAL_MAX && dsn_original_type(text).len > 0);
	buffer_init_fixed(&address, storage, sizeof storage);
	dsn_original_append_address(&address, text);
	require(buffer_error(&address) == OK && address.len > 0);
	for (size_t i = 0; i < address.len; i++)
		require(storage[i] >= ' ' || storage[i] == '\t');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of(data, size);
	uint8_t storage[DSN_ENVELOPE_ID_MAX];
	struct buffer decoded;

	check_notify(text);
	check_original(text);
	if (!dsn_envelope_id_is_valid(text))
		return 0;
	require(size <= DSN_ENVELOPE_ID_MAX && xtext_is_valid(text));
	buffer_init_fixed(&decoded, storage, sizeof storage);
	xtext_append_decoded(&decoded, text);
	require(buffer_error(&decoded) == OK && decoded.len > 0);
	return 0;
}
