/* Patterns without a recursion: after a mismatch the last "*" takes one octet more. */
#include "queue/glob.h"

static uint8_t
lower(uint8_t octet)
{
	return octet >= 'A' && octet <= 'Z' ? (uint8_t)(octet + ('a' - 'A')) : octet;
}

static bool
matches(struct slice pattern, struct slice text)
{
	size_t p = 0, t = 0, star = SIZE_MAX, taken = 0;

	while (t < text.len) {
		if (p < pattern.len && pattern.ptr[p] == '*') {
			star = p++;
			taken = t;
		} else if (p < pattern.len && lower(pattern.ptr[p]) == lower(text.ptr[t])) {
			p++;
			t++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			t = ++taken;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.ptr[p] == '*')
		p++;
	return p == pattern.len;
}

/* Behind the last "@"; a quoted local part may hold others. */
static struct slice
domain_of(struct slice address)
{
	size_t at = address.len;

	while (at > 0 && address.ptr[at - 1] != '@')
		at--;
	return slice_from(address, at);
}

bool
glob_matches(struct slice pattern, struct slice text)
{
	if (pattern.len == 0)
		return true;
	if (slice_equal(pattern, SLICE("<>")))
		return text.len == 0;
	if (matches(pattern, text))
		return true;
	struct slice domain = domain_of(text);
	return slice_find(pattern, 0, '*') < 0 && domain.len < text.len && matches(pattern, domain);
}
