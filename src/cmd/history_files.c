/*
 * Files are read through a window, so that their size is no matter of memory.
 */
#include "cmd/history_files.h"
#include "cmd/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <sysexits.h>

#define WINDOW_BYTES (256u << 10)

/* The records of a window, and how much of it was read. */
static size_t
read_window(const struct history_scan *scan, struct slice bytes, bool are_last)
{
	struct slice record;
	size_t at = 0;

	while (history_next(bytes, are_last, &at, &record))
		scan->each(scan->arg, record);
	return at;
}

static void
note_head(struct history_scan *scan, struct slice bytes)
{
	wall_us started_at;

	if (history_head_read(bytes, &started_at) != OK)
		return;
	scan->started++;
	if (scan->oldest == 0 || started_at < scan->oldest)
		scan->oldest = started_at;
}

static int
read_file(struct history_scan *scan, int fd, uint8_t *window)
{
	struct env *env = scan->env;
	size_t len = 0;
	off_t at = 0;

	for (;;) {
		ssize_t got =
			env->disk->pread(env->world, fd, window + len, WINDOW_BYTES - len, at);
		if (got < 0)
			return tool_fail(scan->command, EX_IOERR, "can't read the history: %s",
				strerror((int)-got));
		len += (size_t)got;
		if (at == 0)
			note_head(scan, slice_of(window, len));
		at += got;
		size_t used = read_window(scan, slice_of(window, len), got == 0);
		if (got == 0)
			return EX_OK;
		/* What is left is less than a frame. */
		memmove(window, window + used, len - used);
		len -= used;
	}
}

/* EX_OK for a file that is not there. */
static int
read_named(struct history_scan *scan, const char *path, uint8_t *window)
{
	struct env *env = scan->env;
	int fd = env->disk->openat(
		env->world, AT_FDCWD, path, O_RDONLY | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0);

	if (fd == -ENOENT || fd == -ENOTDIR)
		return EX_OK;
	if (fd == -EACCES || fd == -EPERM)
		return EX_NOPERM;
	if (fd < 0)
		return tool_fail(
			scan->command, EX_NOINPUT, "can't open the history: %s", strerror(-fd));
	int code = read_file(scan, fd, window);
	env->disk->close(env->world, fd);
	return code;
}

int
history_scan(struct history_scan *scan)
{
	uint8_t *window = memory_try(scan->env->memory, WINDOW_BYTES);
	struct buffer path;
	int code = window ? EX_OK : tool_fail(scan->command, EX_OSERR, "out of memory");

	buffer_init(&path, scan->env->memory, 8192);
	for (unsigned i = scan->first * HISTORY_FILES;
		code == EX_OK && i < (scan->last + 1) * HISTORY_FILES; i++) {
		buffer_clear(&path);
		buffer_append(&path, scan->spool);
		buffer_printf(&path, "/" HISTORY_FOLDER "/%s-%u",
			history_kind_name((enum history_kind)(i / HISTORY_FILES)),
			i % HISTORY_FILES);
		code = read_named(scan, buffer_text(&path), window);
	}
	buffer_done(&path);
	memory_put(scan->env->memory, window);
	return code;
}
