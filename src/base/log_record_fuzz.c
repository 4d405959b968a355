/*
 * Log records from any bytes, as a process that is no longer ours may write them: the line is one
 * line of printable ASCII, the JSON is one object, and all forms agree on whether the bytes are a
 * record.
 */
#include "base/log_record.h"

#include "base/cursor.h"

#include <stdlib.h>

#define OUTPUT_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
check_line(struct slice line)
{
	for (size_t i = 0; i < line.len; i++)
		require(line.ptr[i] >= ' ' && line.ptr[i] < 0x7f);
}

static void
take_string(struct cursor *cursor)
{
	require(cursor_accept(cursor, '"'));
	while (cursor_peek(cursor) != '"') {
		uint8_t octet = cursor_take_u8(cursor);
		require(cursor->error == OK && octet >= ' ' && octet != 0x7f);
		if (octet == '\\' && cursor_take_u8(cursor) == 'u')
			for (int i = 0; i < 4; i++) {
				uint8_t digit = ascii_lower(cursor_take_u8(cursor));
				require(ascii_is_digit(digit) || (digit >= 'a' && digit <= 'f'));
			}
	}
	require(cursor_accept(cursor, '"'));
}

/* {"key":"text","key":number,...} */
static void
check_json(struct slice json)
{
	struct cursor cursor = cursor_of(json);

	require(cursor_accept(&cursor, '{'));
	do {
		take_string(&cursor);
		require(cursor_accept(&cursor, ':'));
		if (cursor_peek(&cursor) == '"') {
			take_string(&cursor);
			continue;
		}
		cursor_accept(&cursor, '-');
		require(ascii_is_digit(cursor_take_u8(&cursor)));
		while (ascii_is_digit((uint8_t)cursor_peek(&cursor)))
			cursor_take_u8(&cursor);
	} while (cursor_accept(&cursor, ','));
	require(cursor_accept(&cursor, '}') && cursor_left(&cursor) == 0);
	require(cursor.error == OK);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice record = slice_of(data, size < LOG_RECORD_MAX ? size : LOG_RECORD_MAX), value;
	struct memory *memory = memory_new(0);
	struct buffer line, brief, json;

	buffer_init(&line, memory, OUTPUT_MAX);
	buffer_init(&brief, memory, OUTPUT_MAX);
	buffer_init(&json, memory, OUTPUT_MAX);
	enum error error = log_record_line(record, SLICE(""), &line);
	require(log_record_short(record, &brief) == error);
	require(log_record_json(record, SLICE(""), &json) == error);
	require(log_record_level(record) < LOG_LEVELS);
	log_record_is(record, "delivered");
	if (log_record_text(record, "path", &value) == OK)
		require(value.len <= record.len);
	if (error == OK) {
		check_line(buffer_slice(&line));
		check_line(buffer_slice(&brief));
		check_json(buffer_slice(&json));
		/* The short form is the end of the long one but for the level between event and
		 * fields. */
		require(line.len > brief.len);
	}
	memory_free(&memory);
	return 0;
}
