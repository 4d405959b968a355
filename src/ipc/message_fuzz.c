/* Internal messages from any bytes: what decodes encodes to the same bytes again. */
#include "ipc/message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

/* Whatever arrives: each kind has somebody to say it to somebody else, and nobody tells root what
 * to do. */
static void
check_kind(enum ipc_kind kind)
{
	unsigned pairs = 0;

	for (enum role sender = 0; sender < ROLE_COUNT; sender++)
		for (enum role receiver = 0; receiver < ROLE_COUNT; receiver++) {
			bool may = ipc_may_send(kind, sender, receiver);
			pairs += may;
			require(!may || receiver != ROLE_ROOT || kind == IPC_READY ||
				kind == IPC_UNABLE ||
				(sender == ROLE_QUEUE && kind == IPC_NEED_DELIVER) ||
				((sender == ROLE_QUEUE || sender == ROLE_LOOKUP) &&
					kind == IPC_BROKEN));
			require(!may || sender != ROLE_TOOL || kind == IPC_QUEUE_LIST);
			require(!may || sender != ROLE_LOG || kind == IPC_READY);
			require(!may || sender != ROLE_SESSION || kind == IPC_READY ||
				kind == IPC_UNABLE);
		}
	require(pairs > 0 && !ipc_fds_fit(kind, IPC_FDS_MAX + 1));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory *memory = memory_new(0);
	struct ipc_message message = {.fds = {7, 8}, .fd_count = 2};
	struct buffer again;

	buffer_init(&again, memory, IPC_MESSAGE_MAX);
	if (ipc_decode(slice_of(data, size), &message) == OK) {
		require(message.fd_count == 2 && message.fds[0] == 7 && message.fds[1] == 8);
		check_kind(message.kind);
		enum error error = ipc_encode(&message, &again);
		require(error == (size > IPC_MESSAGE_MAX ? ERROR_LIMIT : OK));
		require(error != OK || slice_equal(buffer_slice(&again), slice_of(data, size)));
	}
	memory_free(&memory);
	return 0;
}
