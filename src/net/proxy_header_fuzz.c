/* Any octets as a header, read as a session reads it: never more than it needs, and what is found
 * is an address with a port. */
#include "net/proxy_header.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header header;
	size_t len = 0, need;

	for (;;) {
		uint8_t *copy = malloc(len + 1); /* of its own, so that reads beyond it are seen */
		require(copy != NULL);
		memcpy(copy, data, len);
		enum error error = proxy_header_need(slice_of(copy, len), &need);
		bool is_whole = error == OK && need == len;
		if (is_whole && proxy_header_parse(slice_of(copy, len), &header) == OK &&
			header.has_client) {
			uint8_t ip[16];
			require(endpoint_ip(&header.client, ip) > 0);
		}
		free(copy);
		if (error != OK || is_whole)
			return 0;
		require(need > len && need <= PROXY_HEADER_MAX);
		if (need > size)
			return 0;
		len = need;
	}
}
