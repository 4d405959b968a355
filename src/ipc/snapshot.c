/*
 * Layout: u32 magic, u32 count, then count + 1 offsets (u32, from the start of the memory,
 * ascending, the last one is the end), then the names. Since the memory is sealed against writing
 * before it is checked, one check at opening holds for ever.
 */
#include "ipc/snapshot.h"
#include "base/buffer.h"

#include <endian.h>

#define SNAPSHOT_MAGIC 0x70616e73u
#define SNAPSHOT_HEAD  8

static enum error
write_sealed(struct env *env, const struct buffer *bytes, int *ret_fd)
{
	enum error error = OK;
	int fd = env->shared->create(env->world, "veredus-snapshot", 0);

	if (fd < 0)
		return error_from_errno(-fd);
	for (size_t at = 0; error == OK && at < bytes->len;) {
		ssize_t written =
			env->disk->write(env->world, fd, bytes->ptr + at, bytes->len - at);
		if (written <= 0)
			error = ERROR_NO_MEMORY;
		else
			at += (size_t)written;
	}
	if (error == OK && env->shared->seal(env->world, fd, SHARED_CONSTANT) < 0)
		error = ERROR_UNSUPPORTED;
	if (error != OK)
		env->disk->close(env->world, fd);
	else
		*ret_fd = fd;
	return error;
}

enum error
snapshot_new(struct env *env, const struct slice *names, size_t count, int *ret_fd)
{
	struct buffer bytes;
	uint64_t at = SNAPSHOT_HEAD + ((uint64_t)count + 1) * 4;

	if (count > UINT32_MAX / 8)
		return ERROR_LIMIT;
	buffer_init(&bytes, env->memory, SNAPSHOT_BYTES_MAX);
	buffer_append_u32(&bytes, SNAPSHOT_MAGIC);
	buffer_append_u32(&bytes, (uint32_t)count);
	for (size_t i = 0; i < count; i++) {
		buffer_append_u32(&bytes, (uint32_t)at);
		at += names[i].len;
	}
	buffer_append_u32(&bytes, (uint32_t)at);
	for (size_t i = 0; i < count; i++)
		buffer_append(&bytes, names[i]);
	enum error error = at > SNAPSHOT_BYTES_MAX ? ERROR_LIMIT : buffer_error(&bytes);
	if (error == OK)
		error = write_sealed(env, &bytes, ret_fd);
	buffer_done(&bytes);
	return error;
}

static uint32_t
offset_at(const struct snapshot *snapshot, uint32_t index)
{
	uint32_t offset;

	/* UNSAFE: index <= count, and the table of count + 1 offsets lies in the mapping */
	memcpy(&offset, snapshot->bytes + SNAPSHOT_HEAD + (size_t)index * 4, sizeof offset);
	return le32toh(offset);
}

static struct slice
name_at(const struct snapshot *snapshot, uint32_t index)
{
	uint32_t start = offset_at(snapshot, index);

	return slice_of(snapshot->bytes + start, offset_at(snapshot, index + 1) - start);
}

static bool
snapshot_is_sound(const struct snapshot *snapshot)
{
	uint64_t last = SNAPSHOT_HEAD + ((uint64_t)snapshot->count + 1) * 4;

	if (last > snapshot->mapped_bytes ||
		offset_at(snapshot, 0) != last) /* the names begin where the table ends */
		return false;
	for (uint32_t i = 0; i <= snapshot->count; i++) {
		uint32_t offset = offset_at(snapshot, i);
		if (offset < last || offset > snapshot->mapped_bytes)
			return false;
		last = offset;
	}
	for (uint32_t i = 1; i < snapshot->count; i++)
		if (slice_compare(name_at(snapshot, i - 1), name_at(snapshot, i)) >= 0)
			return false;
	return last == snapshot->mapped_bytes;
}

enum error
snapshot_open(struct snapshot *ret_snapshot, struct env *env, int fd)
{
	struct snapshot snapshot = {.env = env};
	struct stat stat;
	uint32_t head[2];
	void *memory;
	int seals = env->shared->seals(env->world, fd);

	if (seals < 0 || !((unsigned)seals & SHARED_CONSTANT) ||
		env->disk->fstat(env->world, fd, &stat) < 0 || stat.st_size < SNAPSHOT_HEAD + 4 ||
		stat.st_size > SNAPSHOT_BYTES_MAX)
		return ERROR_FORMAT;
	snapshot.mapped_bytes = (size_t)stat.st_size;
	int result = env->shared->map(env->world, fd, snapshot.mapped_bytes, false, &memory);
	if (result < 0)
		return error_from_errno(-result);
	snapshot.bytes = memory;
	memcpy(head, snapshot.bytes, sizeof head);
	snapshot.count = le32toh(head[1]);
	if (le32toh(head[0]) != SNAPSHOT_MAGIC || !snapshot_is_sound(&snapshot)) {
		snapshot_close(&snapshot);
		return ERROR_FORMAT;
	}
	*ret_snapshot = snapshot;
	return OK;
}

void
snapshot_close(struct snapshot *snapshot)
{
	if (snapshot->bytes)
		snapshot->env->shared->unmap(snapshot->env->world,
			(void *)(uintptr_t)snapshot->bytes, snapshot->mapped_bytes);
	snapshot->bytes = NULL;
}

/* The index of the first name that is not before this one. */
static uint32_t
lower_bound(const struct snapshot *snapshot, struct slice name)
{
	uint32_t low = 0, high = snapshot->bytes ? snapshot->count : 0;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (slice_compare(name_at(snapshot, middle), name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool
snapshot_contains(const struct snapshot *snapshot, struct slice name)
{
	uint32_t index = lower_bound(snapshot, name);

	return snapshot->bytes && index < snapshot->count &&
	       slice_equal(name_at(snapshot, index), name);
}

bool
snapshot_find(const struct snapshot *snapshot, struct slice prefix, struct slice *ret_rest)
{
	uint32_t index = lower_bound(snapshot, prefix);

	if (!snapshot->bytes || index >= snapshot->count ||
		!slice_has_prefix(name_at(snapshot, index), prefix))
		return false;
	*ret_rest = slice_from(name_at(snapshot, index), prefix.len);
	return true;
}
