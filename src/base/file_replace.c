/* Atomic replacement of a small file: write aside, flush, rename, flush the folder. */
#include "base/file_replace.h"

#include <fcntl.h>
#include <stdio.h>

static enum error
write_whole(struct env *env, int fd, struct slice bytes)
{
	size_t at = 0;

	while (at < bytes.len) {
		struct iovec piece = {(void *)(uintptr_t)(bytes.ptr + at), bytes.len - at};
		ssize_t written = env->disk->pwritev(env->world, fd, &piece, 1, (off_t)at);
		if (written <= 0)
			return written < 0 ? error_from_errno((int)-written) : ERROR_IO;
		at += (size_t)written;
	}
	return error_from_errno(-env->disk->fsync(env->world, fd));
}

enum error
file_replace(struct env *env, int dir_fd, const char *name, struct slice bytes, mode_t mode)
{
	const struct disk_ops *disk = env->disk;
	char aside[256];

	if ((size_t)snprintf(aside, sizeof aside, ".%s.new", name) >= sizeof aside)
		return ERROR_LIMIT;
	int fd = disk->openat(
		env->world, dir_fd, aside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode);
	if (fd < 0)
		return error_from_errno(-fd);
	enum error error = write_whole(env, fd, bytes);
	int closed = disk->close(env->world, fd);
	if (error == OK)
		error = error_from_errno(-closed);
	if (error == OK)
		error = error_from_errno(-disk->renameat(env->world, dir_fd, aside, dir_fd, name));
	if (error == OK)
		return error_from_errno(-disk->fsync(env->world, dir_fd));
	disk->unlinkat(env->world, dir_fd, aside, 0);
	return error;
}

enum error
file_read(struct env *env, int dir_fd, const char *name, struct buffer *ret_bytes)
{
	int fd = env->disk->openat(env->world, dir_fd, name, O_RDONLY | O_NOCTTY, 0);
	enum error error = OK;

	if (fd < 0)
		return error_from_errno(-fd);
	for (;;) {
		uint8_t piece[1024];
		ssize_t got = env->disk->pread(
			env->world, fd, piece, sizeof piece, (off_t)ret_bytes->len);
		if (got < 0)
			error = error_from_errno((int)-got);
		if (got <= 0)
			break;
		buffer_append(ret_bytes, slice_of(piece, (size_t)got));
		error = buffer_error(ret_bytes);
		if (error != OK)
			break;
	}
	env->disk->close(env->world, fd);
	return error;
}
