/*
 * Reading a byte view from front to back with a sticky error, checked once at the end. Takes past
 * the end give zero or the empty slice and set the error; the position does not move.
 */
#ifndef BASE_CURSOR_H
#define BASE_CURSOR_H

#include "base/error.h"
#include "base/slice.h"

struct cursor {
	struct slice bytes;
	size_t at;
	enum error error;
};

static inline struct cursor
cursor_of(struct slice bytes)
{
	return (struct cursor){.bytes = bytes};
}

static inline size_t
cursor_left(const struct cursor *cursor)
{
	return cursor->bytes.len - cursor->at;
}

static inline struct slice
cursor_rest(const struct cursor *cursor)
{
	return slice_from(cursor->bytes, cursor->at);
}

/* The next octet without taking it; -1 at the end. */
static inline int
cursor_peek(const struct cursor *cursor)
{
	return cursor->at < cursor->bytes.len ? cursor->bytes.ptr[cursor->at] : -1;
}

/* Takes the next octet if it is this one. */
static inline bool
cursor_accept(struct cursor *cursor, uint8_t octet)
{
	if (cursor_peek(cursor) != octet)
		return false;
	cursor->at++;
	return true;
}

struct slice cursor_take(struct cursor *cursor, size_t len);
uint8_t cursor_take_u8(struct cursor *cursor);
uint16_t cursor_take_u16(struct cursor *cursor); /* little-endian, as are the others */
uint32_t cursor_take_u32(struct cursor *cursor);
uint64_t cursor_take_u64(struct cursor *cursor);

#endif
