/*
 * Bytes that we build, with a maximum given at init. The error is sticky: appends after the first
 * failure do nothing, and buffer_error tells at the end. Memory comes from an account (struct
 * memory) and grows by doubling.
 */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include "base/error.h"
#include "base/memory.h"
#include "base/slice.h"

struct buffer {
	struct memory *memory; /* NULL: fixed storage, never grows */
	uint8_t *ptr;
	size_t len;
	size_t capacity;
	size_t max;
	enum error error;
};

void buffer_init(struct buffer *buffer, struct memory *memory, size_t max);

/* On storage of the caller's: max and capacity are `size`. */
void buffer_init_fixed(struct buffer *buffer, void *storage, size_t size);
void buffer_done(struct buffer *buffer);

/* Forgets the bytes and the error, keeps the memory. */
void buffer_clear(struct buffer *buffer);

void buffer_append(struct buffer *buffer, struct slice bytes);
void buffer_append_text(struct buffer *buffer, const char *text);
void buffer_append_octet(struct buffer *buffer, uint8_t octet);
void buffer_append_number(struct buffer *buffer, uint64_t number);
void
buffer_printf(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Fixed-size integers, little-endian. */
void buffer_append_u16(struct buffer *buffer, uint16_t value);
void buffer_append_u32(struct buffer *buffer, uint32_t value);
void buffer_append_u64(struct buffer *buffer, uint64_t value);

/*
 * Room for `size` bytes at the end, zeroed and counted at once; NULL (and the sticky error) when
 * they do not fit. The pointer holds until the next append.
 */
uint8_t *buffer_reserve(struct buffer *buffer, size_t size);

/* A NUL behind the bytes, not counted, for libc's border. Empty string on error. */
const char *buffer_text(struct buffer *buffer);

static inline struct slice
buffer_slice(const struct buffer *buffer)
{
	return slice_of(buffer->ptr, buffer->len);
}

static inline MUST_CHECK enum error
buffer_error(const struct buffer *buffer)
{
	return buffer->error;
}

#endif
