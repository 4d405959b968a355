/* A growing byte buffer with a hard maximum and a sticky error. */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>

void
buffer_init(struct buffer *buffer, struct memory *memory, size_t max)
{
	*buffer = (struct buffer){.memory = memory, .max = max};
}

void
buffer_init_fixed(struct buffer *buffer, void *storage, size_t size)
{
	*buffer = (struct buffer){.ptr = storage, .capacity = size, .max = size};
}

void
buffer_done(struct buffer *buffer)
{
	if (buffer->memory)
		memory_put(buffer->memory, buffer->ptr);
	*buffer = (struct buffer){.memory = buffer->memory, .max = buffer->max};
}

void
buffer_clear(struct buffer *buffer)
{
	buffer->len = 0;
	buffer->error = OK;
}

/* Makes room for `more` bytes behind len; sets the sticky error when it can't. */
static bool
buffer_grow(struct buffer *buffer, size_t more)
{
	if (buffer->error != OK)
		return false;
	if (more > buffer->max - buffer->len) {
		buffer->error = ERROR_LIMIT;
		return false;
	}
	size_t needed = buffer->len + more;
	if (needed <= buffer->capacity)
		return true;
	size_t capacity = buffer->capacity ? buffer->capacity : 64;
	while (capacity < needed)
		capacity *= 2;
	if (capacity > buffer->max)
		capacity = buffer->max;
	uint8_t *grown = memory_resize(buffer->memory, buffer->ptr, capacity);
	if (!grown) {
		buffer->error = ERROR_NO_MEMORY;
		return false;
	}
	buffer->ptr = grown;
	buffer->capacity = capacity;
	return true;
}

uint8_t *
buffer_reserve(struct buffer *buffer, size_t size)
{
	if (!buffer_grow(buffer, size))
		return NULL;
	uint8_t *room = buffer->ptr + buffer->len;
	if (size > 0)
		memset(room, 0, size);
	buffer->len += size;
	return room;
}

void
buffer_append(struct buffer *buffer, struct slice bytes)
{
	if (bytes.len == 0 || !buffer_grow(buffer, bytes.len))
		return;
	memcpy(buffer->ptr + buffer->len, bytes.ptr, bytes.len);
	buffer->len += bytes.len;
}

void
buffer_append_text(struct buffer *buffer, const char *text)
{
	buffer_append(buffer, slice_text(text));
}

void
buffer_append_octet(struct buffer *buffer, uint8_t octet)
{
	buffer_append(buffer, slice_of(&octet, 1));
}

void
buffer_append_number(struct buffer *buffer, uint64_t number)
{
	char digits[20];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	buffer_append(buffer, slice_of(digits + at, sizeof digits - at));
}

void
buffer_printf(struct buffer *buffer, const char *format, ...)
{
	char short_text[256];
	va_list args, again;

	va_start(args, format);
	va_copy(again, args);
	int len = vsnprintf(short_text, sizeof short_text, format, args);
	if (len >= 0 && (size_t)len < sizeof short_text) {
		buffer_append(buffer, slice_of(short_text, (size_t)len));
	} else if (len >= 0 && buffer_grow(buffer, (size_t)len + 1)) {
		vsnprintf((char *)buffer->ptr + buffer->len, (size_t)len + 1, format, again);
		buffer->len += (size_t)len;
	}
	va_end(again);
	va_end(args);
}

static void
buffer_append_integer(struct buffer *buffer, uint64_t value, size_t octets)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < octets; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
	buffer_append(buffer, slice_of(bytes, octets));
}

void
buffer_append_u16(struct buffer *buffer, uint16_t value)
{
	buffer_append_integer(buffer, value, 2);
}

void
buffer_append_u32(struct buffer *buffer, uint32_t value)
{
	buffer_append_integer(buffer, value, 4);
}

void
buffer_append_u64(struct buffer *buffer, uint64_t value)
{
	buffer_append_integer(buffer, value, 8);
}

const char *
buffer_text(struct buffer *buffer)
{
	if (!buffer_grow(buffer, 1))
		return "";
	buffer->ptr[buffer->len] = 0;
	return (const char *)buffer->ptr;
}
