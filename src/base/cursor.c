/* Bounds-checked reading with a sticky error. */
#include "base/cursor.h"

struct slice
cursor_take(struct cursor *cursor, size_t len)
{
	if (cursor->error == OK && len > cursor_left(cursor))
		cursor->error = ERROR_FORMAT;
	if (cursor->error != OK)
		return slice_of(NULL, 0);
	struct slice taken = slice_sub(cursor->bytes, cursor->at, len);
	cursor->at += len;
	return taken;
}

static uint64_t
cursor_take_integer(struct cursor *cursor, size_t octets)
{
	struct slice bytes = cursor_take(cursor, octets);
	uint64_t value = 0;

	for (size_t i = 0; i < bytes.len; i++)
		value |= (uint64_t)bytes.ptr[i] << (8 * i);
	return value;
}

uint8_t
cursor_take_u8(struct cursor *cursor)
{
	return (uint8_t)cursor_take_integer(cursor, 1);
}

uint16_t
cursor_take_u16(struct cursor *cursor)
{
	return (uint16_t)cursor_take_integer(cursor, 2);
}

uint32_t
cursor_take_u32(struct cursor *cursor)
{
	return (uint32_t)cursor_take_integer(cursor, 4);
}

uint64_t
cursor_take_u64(struct cursor *cursor)
{
	return cursor_take_integer(cursor, 8);
}
