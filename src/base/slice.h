/*
 * A view of bytes that somebody else owns, with their number: how everything from outside is
 * passed. Never NUL-terminated, may hold any byte. Passed by value. The empty slice may have a NULL
 * pointer.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

struct slice {
	const uint8_t *ptr;
	size_t len;
};

/* For string literals only: the length is the compiler's. */
#define SLICE(literal) ((struct slice){(const uint8_t *)("" literal), sizeof(literal) - 1})
#define SLICE_INIT(literal)                                        \
	{                                                          \
		(const uint8_t *)("" literal), sizeof(literal) - 1 \
	}
/* For printf's "%.*s"; the bytes must be known to be printable. */
#define SLICE_ARGS(slice) (int)(slice).len, (const char *)(slice).ptr

static inline struct slice
slice_of(const void *ptr, size_t len)
{
	return (struct slice){ptr, len};
}

/* Only for strings of our own or libc's, never for wire data. */
static inline struct slice
slice_text(const char *text)
{
	return (struct slice){(const uint8_t *)text, text ? strlen(text) : 0};
}

/* The part from `start`, at most `len` bytes; clamped to what there is. */
static inline struct slice
slice_sub(struct slice s, size_t start, size_t len)
{
	if (start > s.len)
		start = s.len;
	if (len > s.len - start)
		len = s.len - start;
	return (struct slice){s.len ? s.ptr + start : s.ptr, len};
}

static inline struct slice
slice_from(struct slice s, size_t start)
{
	return slice_sub(s, start, SIZE_MAX);
}

static inline bool
slice_equal(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Compares octets, shorter first on a common prefix: <0, 0, >0. */
int slice_compare(struct slice a, struct slice b);

/* ASCII letters compare equal in either case; other octets as they are. */
bool slice_equal_nocase(struct slice a, struct slice b);
bool slice_has_prefix(struct slice s, struct slice prefix);
bool slice_has_prefix_nocase(struct slice s, struct slice prefix);
bool slice_has_suffix(struct slice s, struct slice suffix);

/* Index of the first `octet` at or after `start`, or -1. */
ssize_t slice_find(struct slice s, size_t start, uint8_t octet);

/* Without leading and trailing SP and HTAB. */
struct slice slice_trim(struct slice s);

/* A decimal number with nothing around it, at most `max`. False for anything else, also for an
 * overflow. */
bool slice_number(struct slice s, uint64_t max, uint64_t *ret_number);

static inline uint8_t
ascii_lower(uint8_t octet)
{
	return octet >= 'A' && octet <= 'Z' ? (uint8_t)(octet + 32) : octet;
}

static inline bool
ascii_is_digit(uint8_t octet)
{
	return octet >= '0' && octet <= '9';
}

static inline bool
ascii_is_alpha(uint8_t octet)
{
	return ascii_lower(octet) >= 'a' && ascii_lower(octet) <= 'z';
}

static inline bool
ascii_is_alnum(uint8_t octet)
{
	return ascii_is_digit(octet) || ascii_is_alpha(octet);
}

#endif
