/* Both places are read, the youngest sound one counts. The kernel may write a place to the disk in
 * any order; its sum tells, and the other one is a minute older. So nothing is flushed. */
#include "guard/quota_file.h"
#include "base/hash.h"

#define VERSION 1

_Static_assert(QUOTA_PLACE_HEAD + QUOTA_BYTES_MAX <= QUOTA_PLACE_BYTES, "a snapshot has its place");

/* The sum is that of the head before it and of the snapshot. */
static uint32_t
sum_of(struct slice head, struct slice snapshot)
{
	return crc32c(crc32c(0, slice_sub(head, 0, QUOTA_PLACE_HEAD - 4)), snapshot);
}

/* The snapshot in a place; ERROR_FORMAT: none that is sound, ERROR_NOT_FOUND: the place is empty.
 */
static enum error
find_snapshot(struct slice place, uint64_t *ret_number, struct slice *ret_snapshot)
{
	struct cursor cursor = cursor_of(place);
	struct slice magic = cursor_take(&cursor, 8);
	uint32_t version = cursor_take_u32(&cursor), len = cursor_take_u32(&cursor);
	uint64_t number = cursor_take_u64(&cursor);
	uint32_t sum = cursor_take_u32(&cursor);

	if (place.len == 0)
		return ERROR_NOT_FOUND;
	struct slice snapshot = cursor_take(&cursor, len);
	if (cursor.error != OK || !slice_equal(magic, SLICE("VEREDUSQ")) || version != VERSION ||
		sum_of(place, snapshot) != sum)
		return ERROR_FORMAT;
	*ret_number = number;
	*ret_snapshot = snapshot;
	return OK;
}

/* As much of a place as there is. */
static enum error
read_place(const struct quota_file *file, unsigned place, uint8_t *bytes, size_t *ret_len)
{
	struct env *env = file->env;
	size_t len = 0;

	while (len < QUOTA_PLACE_BYTES) {
		ssize_t got = env->disk->pread(env->world, file->fd, bytes + len,
			QUOTA_PLACE_BYTES - len, (off_t)(place * QUOTA_PLACE_BYTES + len));
		if (got < 0)
			return error_from_errno((int)-got);
		if (got == 0)
			break;
		len += (size_t)got;
	}
	*ret_len = len;
	return OK;
}

/* A place that is sound and younger than what was found before. */
static enum error
take_place(struct quota_file *file, unsigned place, uint8_t *bytes, struct quotas *quotas)
{
	struct slice snapshot;
	uint64_t number;
	size_t len = 0;
	enum error error = read_place(file, place, bytes, &len);

	if (error == OK)
		error = find_snapshot(slice_of(bytes, len), &number, &snapshot);
	if (error != OK || number <= file->number)
		return error;
	error = quotas_decode(quotas, snapshot);
	if (error == OK)
		file->number = number;
	return error;
}

enum error
quota_file_open(struct quota_file *file, struct env *env, int fd, struct quotas *quotas)
{
	uint8_t *bytes = memory_get(env->memory, QUOTA_PLACE_BYTES);
	enum error error = OK;

	*file = (struct quota_file){.env = env, .fd = fd};
	for (unsigned place = 0; place < 2; place++) {
		enum error of_place = take_place(file, place, bytes, quotas);
		if (of_place != OK && of_place != ERROR_NOT_FOUND)
			error = of_place;
	}
	memory_put(env->memory, bytes);
	return file->number > 0 ? OK : error;
}

static enum error
write_at(const struct quota_file *file, off_t offset, struct slice bytes)
{
	struct env *env = file->env;
	size_t done = 0;

	while (done < bytes.len) {
		struct iovec piece = {.iov_base = (void *)(uintptr_t)(bytes.ptr + done),
			.iov_len = bytes.len - done};
		ssize_t written =
			env->disk->pwritev(env->world, file->fd, &piece, 1, offset + (off_t)done);
		if (written <= 0)
			return written < 0 ? error_from_errno((int)-written) : ERROR_IO;
		done += (size_t)written;
	}
	return OK;
}

static void
append_head(struct buffer *head, uint64_t number, struct slice snapshot)
{
	buffer_append_text(head, "VEREDUSQ");
	buffer_append_u32(head, VERSION);
	buffer_append_u32(head, (uint32_t)snapshot.len);
	buffer_append_u64(head, number);
	buffer_append_u32(head, sum_of(buffer_slice(head), snapshot));
}

enum error
quota_file_write(struct quota_file *file, struct quotas *quotas)
{
	uint64_t number = file->number + 1;
	off_t offset = (off_t)(number % 2 * QUOTA_PLACE_BYTES);
	uint8_t storage[QUOTA_PLACE_HEAD];
	struct buffer head, snapshot;

	buffer_init_fixed(&head, storage, sizeof storage);
	buffer_init(&snapshot, file->env->memory, QUOTA_BYTES_MAX);
	quotas_encode(quotas, &snapshot);
	append_head(&head, number, buffer_slice(&snapshot));
	enum error error = buffer_error(&snapshot);
	if (error == OK)
		error = write_at(file, offset, buffer_slice(&head));
	if (error == OK)
		error = write_at(file, offset + QUOTA_PLACE_HEAD, buffer_slice(&snapshot));
	if (error == OK)
		file->number = number;
	buffer_done(&snapshot);
	return error;
}

void
quota_file_close(struct quota_file *file)
{
	if (file->fd >= 0)
		file->env->disk->close(file->env->world, file->fd);
	file->fd = -1;
}
