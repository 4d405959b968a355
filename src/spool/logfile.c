/*
 * Files of blocks: their names, headers and zeros. Relies on the disk table of struct env only.
 *
 * The header's check is keyed with the key that stands beside it, so it finds damage but no forger;
 * nobody but us writes this folder. What it makes safe are the batches: bytes that a stranger sends
 * as content can't pass for one, since he never sees the key (W2).
 *
 * Zeros are written before a file is used: a flush then has no size and no extents to record (W6).
 */
#include "spool/logfile.h"

#include "base/buffer.h"
#include "base/cursor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#define ZERO_PIECE_BYTES  65536
#define HEADER_CHECKED    56 /* bytes before the check */
#define NUMBER_DIGITS     8
#define HEADER_MAGIC_SIZE 4

static const uint8_t zeros[ZERO_PIECE_BYTES];

static struct slice
kind_magic(enum logfile_kind kind)
{
	return kind == LOGFILE_SEGMENT ? SLICE("VSEG") : SLICE("VJRN");
}

static struct slice
kind_prefix(enum logfile_kind kind)
{
	return kind == LOGFILE_SEGMENT ? SLICE("segment-") : SLICE("journal-");
}

void
logfile_name(enum logfile_kind kind, uint32_t number, char ret_name[LOGFILE_NAME_BYTES])
{
	struct slice prefix = kind_prefix(kind);

	snprintf(ret_name, LOGFILE_NAME_BYTES, "%.*s%08x", SLICE_ARGS(prefix), number);
}

static bool
parse_digits(struct slice digits, uint32_t *ret_number)
{
	uint32_t number = 0;

	if (digits.len != NUMBER_DIGITS)
		return false;
	for (size_t i = 0; i < digits.len; i++) {
		uint8_t octet = digits.ptr[i];
		if (!ascii_is_digit(octet) && !(octet >= 'a' && octet <= 'f'))
			return false;
		number = number << 4 | (ascii_is_digit(octet) ? octet - '0' : octet - 'a' + 10);
	}
	*ret_number = number;
	return true;
}

bool
logfile_parse_name(const char *name, enum logfile_kind *ret_kind, uint32_t *ret_number)
{
	struct slice text = slice_text(name);

	for (enum logfile_kind kind = LOGFILE_SEGMENT; kind <= LOGFILE_JOURNAL; kind++) {
		struct slice prefix = kind_prefix(kind);
		if (!slice_has_prefix(text, prefix) ||
			!parse_digits(slice_from(text, prefix.len), ret_number))
			continue;
		*ret_kind = kind;
		return true;
	}
	return false;
}

uint32_t
logfile_block(struct env *env, int dir_fd)
{
	struct stat folder;
	uint32_t block = LOGFILE_BLOCK;

	if (env->disk->fstat(env->world, dir_fd, &folder) < 0)
		return block;
	while (block < LOGFILE_BLOCK_MAX && block < (uint64_t)folder.st_blksize)
		block *= 2;
	return block;
}

enum error
logfile_create(struct env *env, int dir_fd, enum logfile_kind kind, uint32_t number, int *ret_fd)
{
	char name[LOGFILE_NAME_BYTES];

	logfile_name(kind, number, name);
	int fd = env->disk->openat(
		env->world, dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_from_errno(-fd);
	*ret_fd = fd;
	return OK;
}

/* Not to wait for a FIFO's other end, whoever put one there. */
#define OPEN_FLAGS (O_NOFOLLOW | O_NONBLOCK)

static enum error
open_regular(struct env *env, int dir_fd, const char *name, int flags, struct stat *ret_file,
	int *ret_fd)
{
	int fd = env->disk->openat(env->world, dir_fd, name, flags | OPEN_FLAGS, 0);

	if (fd == -ELOOP)
		return ERROR_FORMAT;
	if (fd < 0)
		return error_from_errno(-fd);
	enum error error = error_from_errno(-env->disk->fstat(env->world, fd, ret_file));
	if (error == OK && !S_ISREG(ret_file->st_mode))
		error = ERROR_FORMAT;
	if (error != OK)
		env->disk->close(env->world, fd);
	else
		*ret_fd = fd;
	return error;
}

enum error
logfile_open(struct env *env, int dir_fd, enum logfile_kind kind, uint32_t number, int *ret_fd)
{
	char name[LOGFILE_NAME_BYTES];
	struct stat file;

	logfile_name(kind, number, name);
	return open_regular(env, dir_fd, name, O_RDONLY, &file, ret_fd);
}

/* With memory for one piece, which the caller has. */
static enum error
check_zeros(struct env *env, int fd, uint64_t size, uint8_t *piece)
{
	enum error error = OK;

	for (uint64_t at = 0; at < size && error == OK; at += ZERO_PIECE_BYTES) {
		size_t len = size - at < ZERO_PIECE_BYTES ? (size_t)(size - at) : ZERO_PIECE_BYTES;
		error = logfile_read(env, fd, piece, len, at);
		if (error == OK && memcmp(piece, zeros, len) != 0)
			error = ERROR_FORMAT;
	}
	return error;
}

enum error
logfile_open_zeros(struct env *env, int dir_fd, const char *name, uint64_t size, int *ret_fd)
{
	struct stat file;
	int fd;

	enum error error = open_regular(env, dir_fd, name, O_RDWR, &file, &fd);
	if (error != OK)
		return error;
	uint8_t *piece = memory_try(env->memory, ZERO_PIECE_BYTES);
	error = !piece                           ? ERROR_NO_MEMORY
		: (uint64_t)file.st_size != size ? ERROR_FORMAT
						 : check_zeros(env, fd, size, piece);
	memory_put(env->memory, piece);
	if (error != OK)
		env->disk->close(env->world, fd);
	else
		*ret_fd = fd;
	return error;
}

enum error
logfile_remove(struct env *env, int dir_fd, enum logfile_kind kind, uint32_t number)
{
	char name[LOGFILE_NAME_BYTES];

	logfile_name(kind, number, name);
	return error_from_errno(-env->disk->unlinkat(env->world, dir_fd, name, 0));
}

/* Drops the first `written` bytes of the pieces; returns how many pieces are used up. */
static size_t
pieces_advance(struct iovec *pieces, size_t count, size_t written)
{
	size_t done = 0;

	while (done < count && written >= pieces[done].iov_len)
		written -= pieces[done++].iov_len;
	if (done < count) {
		/* UNSAFE: written is less than this piece's length. */
		pieces[done].iov_base = (uint8_t *)pieces[done].iov_base + written;
		pieces[done].iov_len -= written;
	}
	return done;
}

enum error
logfile_write(struct env *env, int fd, struct iovec *pieces, size_t count, uint64_t offset)
{
	size_t done = pieces_advance(pieces, count, 0);

	while (done < count) {
		size_t now = count - done < IOV_MAX ? count - done : IOV_MAX;
		ssize_t written =
			env->disk->pwritev(env->world, fd, pieces + done, (int)now, (off_t)offset);
		if (written < 0)
			return error_from_errno((int)-written);
		if (written == 0)
			return ERROR_IO;
		offset += (uint64_t)written;
		done += pieces_advance(pieces + done, count - done, (size_t)written);
	}
	return OK;
}

enum error
logfile_read(struct env *env, int fd, void *bytes, size_t len, uint64_t offset)
{
	size_t at = 0;

	if (offset > (uint64_t)INT64_MAX - len)
		return ERROR_DAMAGED;
	while (at < len) {
		/* UNSAFE: at is less than len. */
		ssize_t got = env->disk->pread(
			env->world, fd, (uint8_t *)bytes + at, len - at, (off_t)(offset + at));
		if (got < 0)
			return error_from_errno((int)-got);
		if (got == 0)
			return ERROR_DAMAGED;
		at += (size_t)got;
	}
	return OK;
}

enum error
logfile_fill(struct env *env, int fd, uint64_t *filled, uint64_t size)
{
	struct iovec pieces[LOGFILE_SLICE_BYTES / ZERO_PIECE_BYTES];
	size_t count = 0;
	uint64_t at = *filled;

	while (at < size && count < sizeof pieces / sizeof *pieces) {
		uint64_t len = size - at < ZERO_PIECE_BYTES ? size - at : ZERO_PIECE_BYTES;
		pieces[count++] = (struct iovec){(void *)(uintptr_t)zeros, (size_t)len};
		at += len;
	}
	enum error error = logfile_write(env, fd, pieces, count, *filled);
	if (error == OK)
		*filled = at;
	return error;
}

static uint64_t
header_check(struct slice head, const struct siphash_key *key)
{
	return siphash(key, slice_sub(head, 0, HEADER_CHECKED));
}

enum error
logfile_write_header(struct env *env, int fd, const struct logfile_header *header)
{
	uint8_t head[LOGFILE_HEAD_BYTES];
	struct buffer bytes;

	buffer_init_fixed(&bytes, head, sizeof head);
	buffer_append(&bytes, kind_magic(header->kind));
	buffer_append_u32(&bytes, LOGFILE_VERSION);
	buffer_append_u32(&bytes, header->number);
	buffer_append_u32(&bytes, header->generation);
	buffer_append_u32(&bytes, header->block);
	buffer_append_u32(&bytes, header->is_apart);
	buffer_append_u64(&bytes, header->size);
	buffer_append_u64(&bytes, header->id_floor);
	buffer_append(&bytes, slice_of(header->key.bytes, SIPHASH_KEY_BYTES));
	buffer_append_u64(&bytes, header_check(buffer_slice(&bytes), &header->key));
	if (buffer_error(&bytes) != OK)
		return ERROR_LIMIT;
	struct iovec pieces[] = {
		{head, sizeof head},
		{(void *)(uintptr_t)zeros, header->block - sizeof head},
	};
	return logfile_write(env, fd, pieces, 2, 0);
}

static enum error
header_decode(struct slice head, enum logfile_kind kind, struct logfile_header *ret_header)
{
	struct cursor cursor = cursor_of(head);
	struct logfile_header header = {.kind = kind};

	struct slice magic = cursor_take(&cursor, HEADER_MAGIC_SIZE);
	uint32_t version = cursor_take_u32(&cursor);
	header.number = cursor_take_u32(&cursor);
	header.generation = cursor_take_u32(&cursor);
	header.block = cursor_take_u32(&cursor);
	uint32_t is_apart = cursor_take_u32(&cursor);
	header.is_apart = is_apart == 1;
	header.size = cursor_take_u64(&cursor);
	header.id_floor = cursor_take_u64(&cursor);
	memcpy(header.key.bytes, cursor_take(&cursor, SIPHASH_KEY_BYTES).ptr, SIPHASH_KEY_BYTES);
	if (!slice_equal(magic, kind_magic(kind)) ||
		cursor_take_u64(&cursor) != header_check(head, &header.key))
		return ERROR_DAMAGED;
	if (version != LOGFILE_VERSION)
		return ERROR_UNSUPPORTED;
	if (!logfile_block_is_right(header.block) || is_apart > (kind == LOGFILE_SEGMENT) ||
		header.size > INT64_MAX || header.id_floor > SPOOL_ID_MAX)
		return ERROR_DAMAGED;
	*ret_header = header;
	return OK;
}

enum error
logfile_mend_header(struct env *env, int dir_fd, const struct logfile_header *header)
{
	char name[LOGFILE_NAME_BYTES];
	struct stat file;
	int fd;

	logfile_name(header->kind, header->number, name);
	enum error error = open_regular(env, dir_fd, name, O_WRONLY, &file, &fd);
	if (error != OK)
		return error;
	error = logfile_write_header(env, fd, header);
	if (error == OK)
		error = error_from_errno(-env->disk->fdatasync(env->world, fd));
	env->disk->close(env->world, fd);
	return error;
}

enum error
logfile_read_header(
	struct env *env, int fd, enum logfile_kind kind, struct logfile_header *ret_header)
{
	uint8_t head[LOGFILE_HEAD_BYTES];

	enum error error = logfile_read(env, fd, head, sizeof head, 0);
	if (error == ERROR_DAMAGED)
		return ERROR_NOT_FOUND; /* shorter than a header: its filling was interrupted */
	if (error != OK)
		return ERROR_IO;
	if (memcmp(head, zeros, sizeof head) == 0)
		return ERROR_NOT_FOUND;
	return header_decode(slice_of(head, sizeof head), kind, ret_header);
}
