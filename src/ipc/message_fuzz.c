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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory *memory = memory_new(0);
	struct ipc_message message = {.fds = {7, 8}, .fd_count = 2};
	struct buffer again;

	buffer_init(&again, memory, IPC_MESSAGE_MAX);
	if (ipc_decode(slice_of(data, size), &message) == OK) {
		require(message.fd_count == 2 && message.fds[0] == 7 && message.fds[1] == 8);
		require(message.kind < IPC_KINDS && !ipc_fds_fit(message.kind, IPC_FDS_MAX + 1));
		enum error error = ipc_encode(&message, &again);
		require(error == (size > IPC_MESSAGE_MAX ? ERROR_LIMIT : OK));
		require(error != OK || slice_equal(buffer_slice(&again), slice_of(data, size)));
	}
	memory_free(&memory);
	return 0;
}
