/* Comparing and searching byte views; no allocation, no locale. */
#include "base/slice.h"

int
slice_compare(struct slice a, struct slice b)
{
	size_t common = a.len < b.len ? a.len : b.len;
	int order = common ? memcmp(a.ptr, b.ptr, common) : 0;

	if (order != 0)
		return order;
	return (a.len > b.len) - (a.len < b.len);
}

bool
slice_equal_nocase(struct slice a, struct slice b)
{
	return a.len == b.len && slice_has_prefix_nocase(a, b);
}

bool
slice_has_prefix(struct slice s, struct slice prefix)
{
	return slice_equal(slice_sub(s, 0, prefix.len), prefix);
}

bool
slice_has_prefix_nocase(struct slice s, struct slice prefix)
{
	if (s.len < prefix.len)
		return false;
	for (size_t i = 0; i < prefix.len; i++)
		if (ascii_lower(s.ptr[i]) != ascii_lower(prefix.ptr[i]))
			return false;
	return true;
}

bool
slice_has_suffix(struct slice s, struct slice suffix)
{
	if (s.len < suffix.len)
		return false;
	return slice_equal(slice_from(s, s.len - suffix.len), suffix);
}

ssize_t
slice_find(struct slice s, size_t start, uint8_t octet)
{
	if (start >= s.len)
		return -1;
	const uint8_t *found = memchr(s.ptr + start, octet, s.len - start);
	return found ? found - s.ptr : -1;
}

struct slice
slice_trim(struct slice s)
{
	while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
		s = slice_from(s, 1);
	while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

bool
slice_number(struct slice s, uint64_t max, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (!ascii_is_digit(s.ptr[i]))
			return false;
		uint64_t digit = s.ptr[i] - '0';
		if (digit > max || number > (max - digit) / 10)
			return false;
		number = number * 10 + digit;
	}
	*ret_number = number;
	return true;
}
