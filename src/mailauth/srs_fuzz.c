/* A local part read back, and a sender written: no crash; what was written is read back as it was,
 * and nothing else passes for ours. */
#include "mailauth/srs.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
write_and_read(const struct srs_secrets *secrets, struct slice sender, wall_us now)
{
	uint8_t storage[128], back[1024];
	struct buffer local_part, address;

	buffer_init_fixed(&local_part, storage, sizeof storage);
	buffer_init_fixed(&address, back, sizeof back);
	if (srs_append_forward(secrets, sender, now, &local_part) != OK)
		return;
	require(local_part.len <= SRS_LOCAL_PART_MAX && srs_is_one(buffer_slice(&local_part)));
	require(srs_append_reverse(secrets, buffer_slice(&local_part), now, &address) == OK);
	require(srs_is_one(sender) || slice_equal(buffer_slice(&address), sender));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct srs_secrets ours = {
		.list = {{SLICE_INIT("tops3cret-of-the-house")}}, .count = 1};
	struct slice input = slice_of(data, size);
	struct srs_secrets secrets;
	uint8_t back[1024];
	struct buffer address;

	buffer_init_fixed(&address, back, sizeof back);
	if (srs_append_reverse(&ours, input, 1728000000 * US_PER_S, &address) != OK)
		require(address.len == 0);
	write_and_read(&ours, input, 1728000000 * US_PER_S);
	if (srs_secrets_read(secret_of(input), &secrets) == OK)
		require(secrets.count > 0 && secrets.count <= SRS_SECRETS_MAX);
	return 0;
}
