/*
 * For the tests of mailbox/: a new folder as root, and Linux's disk behind a wrapper that
 * records each call with the paths it touched, fails the n-th of them, and can make the clock tell
 * how long flushes took.
 */
#ifndef TESTS_MAILDIR_FIXTURE_H
#define TESTS_MAILDIR_FIXTURE_H

#include "base/buffer.h"
#include "base/env.h"
#include "mailbox/maildir.h"
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define FIXTURE_FDS   4096
#define FIXTURE_CALLS 8192
#define FIXTURE_PATH  700

enum fixture_op {
	OP_OPEN,
	OP_READ,
	OP_WRITE,
	OP_FSYNC,
	OP_SYNCFS,
	OP_RENAME,
	OP_UNLINK,
	OP_MKDIR,
	OP_CHOWN,
	OP_STAT,
	OP_LIST
};

enum fixture_fault {
	FAULT_NONE,
	FAULT_ONCE,  /* the n-th call fails with an errno */
	FAULT_FROM,  /* the n-th and all that follow: the process is dead or the disk is gone */
	FAULT_SHORT, /* the n-th call, if it writes or reads, does half */
	FAULT_ZERO,  /* the n-th call, if it writes or reads, does nothing and says so */
};

struct fixture_call {
	enum fixture_op op;
	char path[FIXTURE_PATH]; /* below the root */
	char new_path[FIXTURE_PATH];
	uid_t uid;
};

struct fixture {
	struct env env;
	const struct disk_ops *disk; /* Linux's */
	struct maildir maildir;
	char folder[64];
	int root_fd;
	char paths[FIXTURE_FDS][FIXTURE_PATH];
	int open_count;
	struct fixture_call calls[FIXTURE_CALLS];
	size_t call_count;
	size_t countdown; /* calls until the fault */
	enum fixture_fault fault;
	int fault_errno;
	bool chown_is_recorded_only;
	mono_us now;
	mono_us fsync_us, syncfs_us; /* what a flush takes on that clock */
};

/* Joins a folder's path and a name in it, either may be empty. */
static void
fixture_join(char ret_path[FIXTURE_PATH], const char *folder, const char *name)
{
	struct buffer path;

	buffer_init_fixed(&path, ret_path, FIXTURE_PATH - 1);
	buffer_append(&path, slice_of(folder, strnlen(folder, 400)));
	buffer_append_text(&path, name ? "/" : "");
	buffer_append_text(&path, name);
	ck_assert_ok(buffer_error(&path));
	ret_path[path.len] = 0;
}

/* Records a call; whether it shall fail, and how. */
static enum fixture_fault
fixture_call(struct fixture *fixture, enum fixture_op op, int dir_fd, const char *name)
{
	struct fixture_call *call = &fixture->calls[fixture->call_count++];

	ck_assert_uint_lt(fixture->call_count, FIXTURE_CALLS);
	ck_assert_int_lt(dir_fd, FIXTURE_FDS);
	*call = (struct fixture_call){.op = op};
	fixture_join(call->path, fixture->paths[dir_fd], name);
	if (fixture->fault == FAULT_NONE)
		return FAULT_NONE;
	if (fixture->countdown > 1) {
		fixture->countdown--;
		return FAULT_NONE;
	}
	if (fixture->fault == FAULT_FROM)
		return FAULT_FROM;
	enum fixture_fault fault = fixture->fault;
	fixture->fault = FAULT_NONE;
	return fault;
}

static bool
fixture_fails(enum fixture_fault fault)
{
	return fault == FAULT_ONCE || fault == FAULT_FROM;
}

static int
fixture_openat(void *world, int dir_fd, const char *path, int flags, mode_t mode)
{
	struct fixture *fixture = world;

	if (fixture_fails(fixture_call(fixture, OP_OPEN, dir_fd, path)))
		return -fixture->fault_errno;
	int fd = fixture->disk->openat(NULL, dir_fd, path, flags, mode);
	if (fd < 0)
		return fd;
	ck_assert_int_lt(fd, FIXTURE_FDS);
	fixture->open_count++;
	if (strcmp(path, ".") == 0)
		memcpy(fixture->paths[fd], fixture->paths[dir_fd], FIXTURE_PATH);
	else
		fixture_join(fixture->paths[fd], fixture->paths[dir_fd], path);
	return fd;
}

static int
fixture_close(void *world, int fd)
{
	struct fixture *fixture = world;

	fixture->open_count--;
	return fixture->disk->close(NULL, fd);
}

static ssize_t
fixture_pread(void *world, int fd, void *bytes, size_t len, off_t offset)
{
	struct fixture *fixture = world;
	enum fixture_fault fault = fixture_call(fixture, OP_READ, fd, NULL);

	if (fixture_fails(fault))
		return -fixture->fault_errno;
	if (fault == FAULT_ZERO)
		return 0;
	return fixture->disk->pread(
		NULL, fd, bytes, fault == FAULT_SHORT ? (len + 1) / 2 : len, offset);
}

static ssize_t
fixture_pwritev(void *world, int fd, const struct iovec *pieces, int count, off_t offset)
{
	struct fixture *fixture = world;
	enum fixture_fault fault = fixture_call(fixture, OP_WRITE, fd, NULL);

	ck_assert_int_eq(count, 1);
	if (fixture_fails(fault)) {
		/* A full disk takes a part before it says so. */
		struct iovec part = {pieces->iov_base, pieces->iov_len / 2};
		fixture->disk->pwritev(NULL, fd, &part, 1, offset);
		return -fixture->fault_errno;
	}
	if (fault == FAULT_ZERO)
		return 0;
	struct iovec piece = {pieces->iov_base,
		fault == FAULT_SHORT ? (pieces->iov_len + 1) / 2 : pieces->iov_len};
	return fixture->disk->pwritev(NULL, fd, &piece, 1, offset);
}

static int
fixture_fsync(void *world, int fd)
{
	struct fixture *fixture = world;

	fixture->now += fixture->fsync_us;
	if (fixture_fails(fixture_call(fixture, OP_FSYNC, fd, NULL)))
		return -fixture->fault_errno;
	/* Nothing here outlives the machine: that it was called is what counts. */
	return 0;
}

static int
fixture_syncfs(void *world, int fd)
{
	struct fixture *fixture = world;

	fixture->now += fixture->syncfs_us;
	if (fixture_fails(fixture_call(fixture, OP_SYNCFS, fd, NULL)))
		return -fixture->fault_errno;
	return 0;
}

static int
fixture_renameat(
	void *world, int old_dir_fd, const char *old_name, int new_dir_fd, const char *new_name)
{
	struct fixture *fixture = world;
	enum fixture_fault fault = fixture_call(fixture, OP_RENAME, old_dir_fd, old_name);
	struct fixture_call *call = &fixture->calls[fixture->call_count - 1];

	fixture_join(call->new_path, fixture->paths[new_dir_fd], new_name);
	if (fixture_fails(fault))
		return -fixture->fault_errno;
	return fixture->disk->renameat(NULL, old_dir_fd, old_name, new_dir_fd, new_name);
}

static int
fixture_unlinkat(void *world, int dir_fd, const char *name, int flags)
{
	struct fixture *fixture = world;

	if (fixture_fails(fixture_call(fixture, OP_UNLINK, dir_fd, name)))
		return -fixture->fault_errno;
	return fixture->disk->unlinkat(NULL, dir_fd, name, flags);
}

static int
fixture_mkdirat(void *world, int dir_fd, const char *name, mode_t mode)
{
	struct fixture *fixture = world;

	if (fixture_fails(fixture_call(fixture, OP_MKDIR, dir_fd, name)))
		return -fixture->fault_errno;
	return fixture->disk->mkdirat(NULL, dir_fd, name, mode);
}

static int
fixture_fchown(void *world, int fd, uid_t uid, gid_t gid)
{
	struct fixture *fixture = world;
	enum fixture_fault fault = fixture_call(fixture, OP_CHOWN, fd, NULL);

	fixture->calls[fixture->call_count - 1].uid = uid;
	if (fixture_fails(fault))
		return -fixture->fault_errno;
	return fixture->chown_is_recorded_only ? 0 : fixture->disk->fchown(NULL, fd, uid, gid);
}

static int
fixture_fstat(void *world, int fd, struct stat *ret_stat)
{
	struct fixture *fixture = world;

	if (fixture_fails(fixture_call(fixture, OP_STAT, fd, NULL)))
		return -fixture->fault_errno;
	return fixture->disk->fstat(NULL, fd, ret_stat);
}

static int
fixture_fstatat(void *world, int dir_fd, const char *name, struct stat *ret_stat, int flags)
{
	struct fixture *fixture = world;

	if (fixture_fails(fixture_call(fixture, OP_STAT, dir_fd, name)))
		return -fixture->fault_errno;
	return fixture->disk->fstatat(NULL, dir_fd, name, ret_stat, flags);
}

static int
fixture_list(
	void *world, int dir_fd, bool (*each)(void *arg, const struct disk_entry *entry), void *arg)
{
	struct fixture *fixture = world;

	if (fixture_fails(fixture_call(fixture, OP_LIST, dir_fd, NULL)))
		return -fixture->fault_errno;
	return fixture->disk->list(NULL, dir_fd, each, arg);
}

static const struct disk_ops fixture_disk = {
	.openat = fixture_openat,
	.close = fixture_close,
	.pread = fixture_pread,
	.pwritev = fixture_pwritev,
	.fsync = fixture_fsync,
	.syncfs = fixture_syncfs,
	.renameat = fixture_renameat,
	.unlinkat = fixture_unlinkat,
	.mkdirat = fixture_mkdirat,
	.fchown = fixture_fchown,
	.fstat = fixture_fstat,
	.fstatat = fixture_fstatat,
	.list = fixture_list,
};

static mono_us
fixture_monotonic(void *world)
{
	struct fixture *fixture = world;

	return fixture->now;
}

static const struct clock_ops fixture_clock = {.monotonic = fixture_monotonic};

static inline struct fixture *
fixture_new(void)
{
	struct env env;

	env_init_linux(&env);
	struct fixture *fixture = memory_get(env.memory, sizeof *fixture);
	fixture->env = env;
	fixture->disk = env.disk;
	fixture->env.world = fixture;
	fixture->env.disk = &fixture_disk;
	fixture->env.clock = &fixture_clock;
	snprintf(fixture->folder, sizeof fixture->folder, "/tmp/veredus-maildir-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(fixture->folder));
	fixture->root_fd = open(fixture->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(fixture->root_fd, 0);
	maildir_init(&fixture->maildir, &fixture->env, fixture->root_fd, SLICE("mail.example.org"));
	return fixture;
}

static inline void
fixture_remove_tree(int parent_fd, const char *name)
{
	int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct dirent *entry;

	if (fd < 0) {
		unlinkat(parent_fd, name, 0);
		return;
	}
	DIR *dir = fdopendir(dup(fd));
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			fixture_remove_tree(fd, entry->d_name);
	}
	closedir(dir);
	close(fd);
	unlinkat(parent_fd, name, AT_REMOVEDIR);
}

/* Every descriptor is closed by then, whatever happened. */
static inline void
fixture_free(struct fixture *fixture)
{
	struct env env = fixture->env;

	ck_assert_int_eq(fixture->open_count, 0);
	close(fixture->root_fd);
	fixture_remove_tree(AT_FDCWD, fixture->folder);
	env_done(&env);
}

/* The first calls from now on are recorded, the `n`-th gets the fault. */
static inline void
fixture_arm(struct fixture *fixture, enum fixture_fault fault, size_t n, int fault_errno)
{
	fixture->call_count = 0;
	fixture->fault = fault;
	fixture->countdown = n;
	fixture->fault_errno = fault_errno;
}

/* The number of files in a folder below the root; 0 if there is no such folder. The last name comes
 * back. */
static inline int
fixture_count(struct fixture *fixture, const char *folder, char ret_name[256])
{
	int fd = openat(fixture->root_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	int count = 0;

	if (fd < 0)
		return 0;
	DIR *dir = fdopendir(fd);
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (ret_name)
			snprintf(ret_name, 256, "%s", entry->d_name);
		count++;
	}
	closedir(dir);
	return count;
}

static inline void
fixture_read(struct fixture *fixture, const char *path, struct buffer *ret_bytes)
{
	int fd = openat(fixture->root_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	uint8_t piece[1024];
	ssize_t got;

	ck_assert_msg(fd >= 0, "no file %s", path);
	buffer_clear(ret_bytes);
	while ((got = read(fd, piece, sizeof piece)) > 0)
		buffer_append(ret_bytes, slice_of(piece, (size_t)got));
	ck_assert_int_eq(got, 0);
	ck_assert_ok(buffer_error(ret_bytes));
	close(fd);
}

/* Writes bytes into a new file below the root. */
static inline void
fixture_write(struct fixture *fixture, const char *path, struct slice bytes)
{
	int fd = openat(fixture->root_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes.ptr, bytes.len), (ssize_t)bytes.len);
	close(fd);
}

#endif
