/* The lists of DELIVER and RESULT from any octets, the first of which tells which: what decodes
 * keeps the limits that its users rely on, and encodes to the same octets again. */
#include "ipc/delivery.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
check_recipients(struct slice list, struct buffer *again)
{
	struct delivery_recipient recipients[DELIVERY_RECIPIENTS_MAX];
	struct delivery_wish wishes[DELIVERY_RECIPIENTS_MAX];
	uint32_t count;

	if (delivery_recipients_decode(list, recipients, &count) != OK)
		return;
	require(delivery_wishes_decode(list, wishes) == OK);
	require(count > 0 && count <= DELIVERY_RECIPIENTS_MAX);
	for (uint32_t i = 0; i < count; i++) {
		require(i == 0 || recipients[i].number > recipients[i - 1].number);
		require(recipients[i].number < DELIVERY_RECIPIENT_NUMBER);
		require(recipients[i].address.len <= DELIVERY_ADDRESS_MAX);
		require(delivery_recipient_append(again, &recipients[i], &wishes[i]) == OK);
	}
	require(slice_equal(buffer_slice(again), list));
}

static void
check_results(struct slice list, struct buffer *again)
{
	struct cursor cursor = cursor_of(slice_sub(list, 0, DELIVERY_RESULTS_BYTES));
	struct delivery_result result;

	while (cursor_left(&cursor) > 0) {
		size_t start = cursor.at;
		if (delivery_result_take(&cursor, &result) != OK)
			return;
		require(cursor.at > start);
		require(result.outcome < DELIVER_OUTCOMES && result.tls < TLS_STATES);
		require(result.text.len <= DELIVERY_TEXT_MAX &&
			result.remote.len <= DELIVERY_REMOTE_MAX &&
			result.path.len <= DELIVERY_PATH_MAX);
		buffer_clear(again);
		require(delivery_result_append(again, &result) == OK);
		require(slice_equal(
			buffer_slice(again), slice_sub(cursor.bytes, start, cursor.at - start)));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory *memory = memory_new(0);
	struct buffer again;

	buffer_init(&again, memory, DELIVERY_RESULTS_BYTES);
	if (size > 0 && data[0] == 0)
		check_recipients(slice_from(slice_of(data, size), 1), &again);
	else if (size > 0)
		check_results(slice_from(slice_of(data, size), 1), &again);
	buffer_done(&again);
	memory_free(&memory);
	return 0;
}
