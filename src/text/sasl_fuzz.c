/* What is decoded encodes to the same text, and a message of PLAIN is made of its parts. */
#include "text/sasl.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
require_same(struct slice octets, const uint8_t *text, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	require(len == (octets.len + 2) / 3 * 4);
	for (size_t i = 0; i < len; i++) {
		size_t bit = i * 6, at = bit / 8;
		if (at >= octets.len) {
			require(text[i] == '=');
			continue;
		}
		unsigned pair = (unsigned)octets.ptr[at] << 8;
		if (at + 1 < octets.len)
			pair |= octets.ptr[at + 1];
		require(text[i] == digits[pair >> (10 - bit % 8) & 63]);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1);
	struct slice octets;
	struct sasl_plain plain;

	require(copy != NULL);
	if (size > 0)
		memcpy(copy, data, size);
	if (sasl_decode(copy, size, &octets) == OK) {
		require_same(octets, data, size);
		if (sasl_plain_parse(octets, &plain) == OK)
			require(plain.authorization.len + plain.login.len +
					secret_reveal(plain.password).len + 2 ==
				octets.len);
	}
	free(copy);
	return 0;
}
