/* Snapshots from any bytes: what opens holds each of its names, and is what snapshot_new makes of
 * them. */
#include "ipc/snapshot.h"

#include "base/cursor.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static int
sealed_memory(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	require(fd >= 0 && (size == 0 || write(fd, data, size) == (ssize_t)size));
	require(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0);
	return fd;
}

/* Its names by a second way: count and offsets as the layout says. */
static struct slice *
names_of(struct slice bytes, uint32_t count)
{
	struct slice *names = calloc(count + 1, sizeof *names);
	struct cursor cursor = cursor_of(bytes);

	require(names != NULL);
	cursor_take(&cursor, 8);
	uint32_t start = cursor_take_u32(&cursor);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t end = cursor_take_u32(&cursor);
		require(end >= start && end <= bytes.len);
		names[i] = slice_sub(bytes, start, end - start);
		start = end;
	}
	require(cursor.error == OK && start == bytes.len);
	return names;
}

static void
check_sound(struct env *env, const struct snapshot *snapshot, struct slice bytes)
{
	struct slice *names = names_of(bytes, snapshot->count);
	uint8_t *again = malloc(bytes.len);
	int fd = -1;

	for (uint32_t i = 0; i < snapshot->count; i++)
		require(snapshot_contains(snapshot, names[i]));
	require(again && snapshot_new(env, names, snapshot->count, &fd) == OK);
	require(pread(fd, again, bytes.len, 0) == (ssize_t)bytes.len);
	require(memcmp(again, bytes.ptr, bytes.len) == 0);
	close(fd);
	free(again);
	free(names);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct snapshot snapshot;
	struct env env;
	int fd = sealed_memory(data, size);

	env_init_linux(&env);
	if (snapshot_open(&snapshot, &env, fd) == OK) {
		require(!snapshot_contains(&snapshot, slice_of(data, size)));
		check_sound(&env, &snapshot, slice_of(data, size));
		snapshot_close(&snapshot);
	}
	close(fd);
	env_done(&env);
	return 0;
}
