/* Snapshots of quotas: any octets are taken or refused, and what is taken can be used and written.
 */
#include "guard/quotas.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct conf_limits limits = {.login = {3, 5, 2, 3, 0, 0, 1000, UINT32_MAX, 2}};
	struct env env;
	struct buffer snapshot;
	struct ipc_quota_ask ask = {.step = QUOTA_CONTENT,
		.octets = 700,
		.login = SLICE("a@b.test"),
		.recipient = SLICE("c@d.test")};

	env_init_linux(&env);
	struct quotas *quotas = quotas_new(&env, &limits);
	buffer_init(&snapshot, env.memory, QUOTA_BYTES_MAX);
	bool is_taken = quotas_decode(quotas, slice_of(data, size)) == OK;
	quotas_judge(quotas, 0, &ask, 1795455235000000);
	ask.step = QUOTA_RECIPIENT;
	bool is_refused = quotas_judge(quotas, 1, &ask, 1795455235000000).is_refused;
	quotas_encode(quotas, &snapshot);
	if (buffer_error(&snapshot) != OK || (!is_taken && is_refused) ||
		quotas_decode(quotas, buffer_slice(&snapshot)) != OK)
		abort();
	buffer_done(&snapshot);
	quotas_free(&quotas);
	env_done(&env);
	return 0;
}
