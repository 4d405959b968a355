/* Messages of any octets: the parts lie in the message, in order, and no name keeps a NUL. */
#include "text/scram.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
check_first(struct slice message)
{
	struct scram_first first;
	struct buffer name;
	uint8_t storage[SCRAM_MESSAGE_MAX];

	if (scram_first_parse(message, &first) != OK)
		return;
	require(first.gs2.ptr == message.ptr);
	require(first.gs2.len + first.bare.len == message.len);
	require(first.login.len > 0 && first.nonce.len > 0);
	require((first.binding == SCRAM_BINDING_USED) == (first.binding_name.len > 0));
	buffer_init_fixed(&name, storage, sizeof storage);
	if (scram_name_decode(first.login, &name) == OK)
		require(name.len > 0 && slice_find(buffer_slice(&name), 0, 0) < 0);
}

static void
check_final(struct slice message)
{
	struct scram_final final;

	if (scram_final_parse(message, &final) != OK)
		return;
	require(final.without_proof.ptr == message.ptr);
	require(final.without_proof.len + 3 + final.proof.len == message.len);
	require(final.binding.len > 0 && final.nonce.len > 0);
}

static void
check_server(struct slice message)
{
	struct scram_challenge challenge;
	struct scram_verdict verdict;

	if (scram_challenge_parse(message, &challenge) == OK)
		require(challenge.nonce.ptr == message.ptr + 2 && challenge.nonce.len > 0 &&
			challenge.salt.ptr == message.ptr + challenge.nonce.len + 5);
	if (scram_verdict_parse(message, &verdict) == OK)
		require((verdict.signature.len > 0) != (verdict.fault.len > 0));
}

/* A name that was escaped comes back as it was. */
static void
check_name(struct slice name)
{
	uint8_t storage[2][3 * SCRAM_MESSAGE_MAX];
	struct buffer escaped, back;

	if (name.len == 0 || name.len > SCRAM_MESSAGE_MAX)
		return;
	buffer_init_fixed(&escaped, storage[0], sizeof storage[0]);
	buffer_init_fixed(&back, storage[1], sizeof storage[1]);
	scram_name_append(&escaped, name);
	require((buffer_error(&escaped) == OK) == (slice_find(name, 0, 0) < 0));
	if (buffer_error(&escaped) != OK)
		return;
	require(scram_name_decode(buffer_slice(&escaped), &back) == OK);
	require(slice_equal(buffer_slice(&back), name));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_server(slice_of(data, size));
	check_name(slice_of(data, size));
	check_first(slice_of(data, size));
	check_final(slice_of(data, size));
	return 0;
}
