/*
 * One message into one file of tmp/. The content streams through one piece of memory; CRLF becomes
 * LF on the way, any other CR or LF stays as it is. Relies on the folder's descriptors; promises
 * that a file it made and could not fill is gone again.
 *
 * What lies at the name from an earlier, broken attempt is removed and the file is made anew with
 * O_EXCL, rather than truncated: whoever owns the folder could have put a pipe, a link or another
 * link to some file of his there.
 */
#include "mailbox/maildir_private.h"

#include "base/buffer.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>

/* A file that is being filled; bytes [0, used) of the piece wait to be written at `written`. */
struct maildir_writer {
	struct env *env;
	int fd;
	uint8_t *piece;
	size_t used;
	uint64_t written;
};

static enum error
write_piece(struct maildir_writer *writer, size_t len)
{
	size_t at = 0;

	while (at < len) {
		struct iovec rest = {writer->piece + at, len - at};
		ssize_t done = writer->env->disk->pwritev(
			writer->env->world, writer->fd, &rest, 1, (off_t)writer->written);
		if (done <= 0 || (size_t)done > rest.iov_len)
			return done < 0 ? maildir_error(done) : ERROR_IO;
		at += (size_t)done;
		writer->written += (uint64_t)done;
	}
	return OK;
}

/* Makes room. A CR at the end is kept back, since the LF that belongs to it may be the next octet.
 */
static enum error
writer_drain(struct maildir_writer *writer)
{
	bool keeps = writer->used > 0 && writer->piece[writer->used - 1] == '\r';
	enum error error = write_piece(writer, writer->used - keeps);

	writer->piece[0] = '\r';
	writer->used = keeps;
	return error;
}

/* Takes over `len` octets that were put behind the used ones, with LF for each CRLF. */
static void
writer_convert(struct maildir_writer *writer, size_t len)
{
	uint8_t *piece = writer->piece;
	size_t out = writer->used;

	for (size_t in = writer->used; in < writer->used + len; in++) {
		if (piece[in] == '\n' && out > 0 && piece[out - 1] == '\r')
			piece[out - 1] = '\n';
		else
			piece[out++] = piece[in];
	}
	writer->used = out;
}

static enum error
writer_add(struct maildir_writer *writer, struct slice bytes)
{
	while (bytes.len > 0) {
		enum error error = writer->used == MAILDIR_PIECE_BYTES ? writer_drain(writer) : OK;
		if (error != OK)
			return error;
		size_t len = MAILDIR_PIECE_BYTES - writer->used;
		len = len < bytes.len ? len : bytes.len;
		memcpy(writer->piece + writer->used, bytes.ptr, len);
		writer_convert(writer, len);
		bytes = slice_from(bytes, len);
	}
	return OK;
}

/* ERROR_DAMAGED when the content ends before its size, or is not what its sum says: a part of a
 * message is never delivered, nor one that has rotted. */
static enum error
writer_add_from(struct maildir_writer *writer, const struct maildir_content *content)
{
	const struct disk_ops *disk = writer->env->disk;
	uint32_t sum = 0;

	for (uint64_t at = 0; at < content->size;) {
		enum error error = writer->used == MAILDIR_PIECE_BYTES ? writer_drain(writer) : OK;
		if (error != OK)
			return error;
		size_t len = MAILDIR_PIECE_BYTES - writer->used;
		len = len < content->size - at ? len : (size_t)(content->size - at);
		ssize_t got = disk->pread(writer->env->world, content->fd,
			writer->piece + writer->used, len, (off_t)(content->offset + at));
		if (got <= 0 || (size_t)got > len)
			return got < 0 ? maildir_error(got) : ERROR_DAMAGED;
		if (content->has_sum)
			sum = crc32c(sum, slice_of(writer->piece + writer->used, (size_t)got));
		writer_convert(writer, (size_t)got);
		at += (uint64_t)got;
	}
	return content->has_sum && sum != content->sum ? ERROR_DAMAGED : OK;
}

static enum error
writer_add_delivery(struct maildir_writer *writer, const struct maildir_delivery *delivery)
{
	enum error error = writer_add(writer, delivery->head);

	if (error == OK && delivery->content.fd >= 0)
		error = writer_add_from(writer, &delivery->content);
	else if (error == OK)
		error = writer_add(writer, delivery->content.bytes);
	if (error == OK)
		error = write_piece(writer, writer->used);
	return error;
}

static enum error
file_create(struct env *env, const struct maildir_file *file, const struct maildir_owner *owner,
	int *ret_fd)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
	const struct disk_ops *disk = env->disk;
	int fd = disk->openat(env->world, file->folder->tmp_fd, file->base, flags, 0600);

	if (fd == -EEXIST) {
		int removed = disk->unlinkat(env->world, file->folder->tmp_fd, file->base, 0);
		if (removed < 0)
			return maildir_error(removed);
		fd = disk->openat(env->world, file->folder->tmp_fd, file->base, flags, 0600);
	}
	if (fd < 0)
		return maildir_error(fd);
	int owned = owner->given ? disk->fchown(env->world, fd, owner->uid, owner->gid) : 0;
	if (owned < 0) {
		disk->close(env->world, fd);
		disk->unlinkat(env->world, file->folder->tmp_fd, file->base, 0);
		return maildir_error(owned);
	}
	*ret_fd = fd;
	return OK;
}

/* The name in new/: the one in tmp/ and the size. */
static enum error
file_name_with_size(struct maildir_file *file, uint64_t size)
{
	struct buffer name;

	buffer_init_fixed(&name, file->name, sizeof file->name - 1);
	buffer_append(&name, slice_text(file->base));
	buffer_append(&name, SLICE(",S="));
	buffer_append_number(&name, size);
	file->name[name.len] = 0;
	return buffer_error(&name);
}

enum error
maildir_file_write(struct maildir_batch *batch, size_t index)
{
	struct maildir_file *file = &batch->files[index];
	const struct maildir_delivery *delivery = &batch->deliveries[index];
	struct env *env = batch->maildir->env;
	struct maildir_writer writer = {.env = env, .piece = batch->piece};
	enum error error = file_create(env, file, &delivery->owner, &writer.fd);

	if (error != OK)
		return error;
	error = writer_add_delivery(&writer, delivery);
	if (error == OK)
		error = file_name_with_size(file, writer.written);
	if (error != OK)
		goto fail;
	file->fd = writer.fd;
	file->size = writer.written;
	return OK;
fail:
	env->disk->close(env->world, writer.fd);
	env->disk->unlinkat(env->world, file->folder->tmp_fd, file->base, 0);
	return error;
}
