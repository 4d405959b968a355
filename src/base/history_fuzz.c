/*
 * A file of history with any octets in it: reading ends, gives only sound records that lie inside
 * of it, one behind the other, and gives the same in two pieces as in one. What is written is read.
 */
#include "base/history.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static size_t
count_records(struct slice bytes, bool are_last, size_t *at)
{
	struct slice record;
	size_t count = 0, before = *at;

	while (history_next(bytes, are_last, at, &record)) {
		require(*at <= bytes.len && *at > before);
		require(record.ptr >= bytes.ptr + before && record.len <= LOG_RECORD_MAX);
		require(record.ptr + record.len == bytes.ptr + *at);
		require(log_record_time(record) != 0);
		before = *at;
		count++;
	}
	require(*at >= before && *at <= bytes.len && (!are_last || *at == bytes.len));
	return count;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice bytes = slice_of(data, size), record;
	struct memory *memory = memory_new(0);
	struct buffer copy;
	enum history_kind kind;
	uint32_t number;
	wall_us started;
	size_t whole = 0, halves = 0, at = 0;

	if (history_head_read(bytes, &started) == OK)
		require(size >= HISTORY_HEAD_BYTES && started >= 0);
	if (history_file_parse(bytes, &kind, &number))
		require(kind < HISTORY_KINDS && number < HISTORY_FILES);
	size_t count = count_records(bytes, true, &whole);
	size_t first = count_records(slice_sub(bytes, 0, size / 2), false, &halves);
	require(first + count_records(bytes, true, &halves) == count && halves == whole);

	buffer_init(&copy, memory, 2 * size + HISTORY_HEAD_BYTES);
	history_head_append(&copy, 1);
	require(history_head_read(buffer_slice(&copy), &started) == OK && started == 1);
	whole = 0;
	while (history_next(bytes, true, &whole, &record))
		history_frame_append(&copy, record);
	at = HISTORY_HEAD_BYTES;
	require(count_records(buffer_slice(&copy), true, &at) == count && at == copy.len);
	buffer_done(&copy);
	memory_free(&memory);
	return 0;
}
