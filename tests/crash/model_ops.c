/*
 * The model as a program sees it: struct disk_ops, a clock that ticks with each look at it, random
 * numbers from a seed. Each call is counted; the one that shall fail does so here.
 */
#include "model_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FD_BASE    3
#define WALL_START INT64_C(1700000000000000)
#define TICK_US    10

bool
model_op_may(enum model_op op, enum fault_kind kind)
{
	bool flushes = op == OP_FLUSH || op == OP_FLUSH_FOLDER;
	bool writes = op == OP_CREATE || op == OP_WRITE || op == OP_NAME || flushes;

	switch (kind) {
	case FAULT_EIO:
	case FAULT_DEAD_EIO:
		return op != OP_NONE;
	case FAULT_ENOSPC:
	case FAULT_DEAD_ENOSPC:
		return writes;
	case FAULT_EINTR:
		return op == OP_OPEN || op == OP_CREATE || op == OP_READ || op == OP_WRITE ||
		       flushes;
	case FAULT_EMFILE:
		return op == OP_OPEN || op == OP_CREATE;
	case FAULT_SHORT:
		return op == OP_READ || op == OP_WRITE;
	case FAULT_FLUSH:
		return flushes;
	default:
		return false;
	}
}

static int
fault_errno(enum fault_kind kind)
{
	switch (kind) {
	case FAULT_ENOSPC:
	case FAULT_DEAD_ENOSPC:
		return -ENOSPC;
	case FAULT_EINTR:
		return -EINTR;
	case FAULT_EMFILE:
		return -EMFILE;
	default:
		return -EIO;
	}
}

/* For whoever replays a state. */
static void
trace(const struct model_disk *disk, const char *function, uint32_t inode, const char *name)
{
	printf("%s%" PRIu64 " %s inode %u %s, %u changes not flushed%s\n",
		disk->before_call ? "" : "  ", disk->calls, function, inode, name,
		disk->piece_count,
		disk->calls >= disk->fault_at && disk->calls < disk->fault_at + disk->fault_count
			? ", to fail"
			: "");
}

/* Counts the call; how it shall fail. */
static enum fault_kind
call(struct model_disk *disk, enum model_op op, const char *function, uint32_t inode,
	const char *name)
{
	if (disk->before_call)
		disk->before_call(disk->before_arg, disk);
	uint64_t number = ++disk->calls;
	if (disk->traces)
		trace(disk, function, inode, name);
	if (disk->op_log && number < disk->op_log_size)
		disk->op_log[number] = (uint8_t)op;
	if (disk->fault == FAULT_NONE || number < disk->fault_at ||
		number >= disk->fault_at + disk->fault_count || !model_op_may(op, disk->fault))
		return FAULT_NONE;
	if (!disk->fault_hit)
		disk->fault_op = op;
	disk->fault_hit = true;
	return disk->fault;
}

static struct model_fd *
fd_of(struct model_disk *disk, int fd)
{
	if (fd < FD_BASE || fd >= FD_BASE + MODEL_FDS_MAX || !disk->fds[fd - FD_BASE].used)
		abort(); /* a descriptor that is not open: the program has lost count */
	return &disk->fds[fd - FD_BASE];
}

static int
fd_open(struct model_disk *disk, uint32_t inode)
{
	for (int i = 0; i < MODEL_FDS_MAX; i++) {
		if (!disk->fds[i].used) {
			const struct inode *file = &disk->inodes[inode];
			disk->fds[i] = (struct model_fd){.used = true,
				.inode = inode,
				.error_seen = file->error_reported ? file->error : 0};
			return FD_BASE + i;
		}
	}
	return -EMFILE;
}

int
model_root_open(struct model_disk *disk)
{
	return fd_open(disk, MODEL_ROOT);
}

static int
ops_openat(void *world, int dir_fd, const char *path, int flags, mode_t mode)
{
	struct model_disk *disk = world;
	uint32_t folder = fd_of(disk, dir_fd)->inode;
	enum fault_kind fault =
		call(disk, flags & O_CREAT ? OP_CREATE : OP_OPEN, "openat", folder, path);

	(void)mode;
	if (fault != FAULT_NONE)
		return fault_errno(fault);
	if (strcmp(path, ".") == 0)
		return fd_open(disk, folder);
	uint32_t inode = model_find(disk, folder, path);
	if (inode == NO_INODE && !(flags & O_CREAT))
		return -ENOENT;
	if (inode != NO_INODE && (flags & O_EXCL))
		return -EEXIST;
	if (inode != NO_INODE && (flags & O_DIRECTORY) && !disk->inodes[inode].is_folder)
		return -ENOTDIR;
	if (inode == NO_INODE) {
		inode = model_add_inode(disk, false);
		model_set_entry(disk, folder, path, inode, 0);
	}
	return fd_open(disk, inode);
}

static int
ops_close(void *world, int fd)
{
	struct model_disk *disk = world;

	enum fault_kind fault = call(disk, OP_OTHER, "close", fd_of(disk, fd)->inode, "");
	*fd_of(disk, fd) = (struct model_fd){0};
	return fault != FAULT_NONE ? fault_errno(fault) : 0;
}

static ssize_t
ops_pread(void *world, int fd, void *bytes, size_t len, off_t offset)
{
	struct model_disk *disk = world;
	uint32_t inode = fd_of(disk, fd)->inode;

	enum fault_kind fault = call(disk, OP_READ, "pread", inode, "");
	if (fault != FAULT_NONE && fault != FAULT_SHORT)
		return fault_errno(fault);
	if (disk->inodes[inode].is_folder)
		return -EISDIR;
	if (fault == FAULT_SHORT)
		len = (len + 1) / 2;
	return (ssize_t)model_read(disk, inode, bytes, len, (uint64_t)offset);
}

static bool
all_zero(const uint8_t *bytes, size_t len)
{
	return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

static bool
page_is_missing(const struct model_disk *disk, uint32_t inode, uint64_t page)
{
	const struct content *content = disk->inodes[inode].now;

	return page >= content->page_count || !content->pages[page];
}

static void
write_bytes(
	struct model_disk *disk, uint32_t inode, const uint8_t *bytes, size_t len, uint64_t offset)
{
	for (size_t at = 0; at < len;) {
		uint64_t place = offset + at;
		if (place % PAGE_BYTES == 0 && len - at >= PAGE_BYTES &&
			page_is_missing(disk, inode, place / PAGE_BYTES) &&
			all_zero(bytes + at, PAGE_BYTES)) {
			at += PAGE_BYTES;
			continue;
		}
		uint64_t sector = place / SECTOR_BYTES;
		size_t in = place % SECTOR_BYTES;
		size_t now = SECTOR_BYTES - in < len - at ? SECTOR_BYTES - in : len - at;
		uint8_t whole[SECTOR_BYTES];
		memcpy(whole, content_sector(disk->inodes[inode].now, sector), SECTOR_BYTES);
		memcpy(whole + in, bytes + at, now);
		model_write_sector(disk, inode, sector, whole);
		at += now;
	}
	if (offset + len > disk->inodes[inode].now->size)
		model_set_size(disk, inode, offset + len);
}

static ssize_t
ops_pwritev(void *world, int fd, const struct iovec *pieces, int count, off_t offset)
{
	struct model_disk *disk = world;
	uint32_t inode = fd_of(disk, fd)->inode;
	size_t len = 0, done = 0;

	enum fault_kind fault = call(disk, OP_WRITE, "pwritev", inode, "");
	if (fault == FAULT_EINTR)
		return -EINTR;
	for (int i = 0; i < count; i++)
		len += pieces[i].iov_len;
	/* A full or failing disk takes a part before it says so. */
	if (fault != FAULT_NONE)
		len = (len + 1) / 2;
	/* Gathered first: a batch is many small pieces, and a sector is one change. */
	uint8_t *all = malloc(len + 1);
	if (!all)
		abort();
	for (int i = 0; i < count && done < len; i++) {
		size_t now = pieces[i].iov_len < len - done ? pieces[i].iov_len : len - done;
		memcpy(all + done, pieces[i].iov_base, now);
		done += now;
	}
	write_bytes(disk, inode, all, len, (uint64_t)offset);
	free(all);
	return fault != FAULT_NONE && fault != FAULT_SHORT ? fault_errno(fault) : (ssize_t)len;
}

/* What this descriptor has not heard of a failed flush. */
static int
report_error(struct model_disk *disk, struct model_fd *file, int result)
{
	struct inode *inode = &disk->inodes[file->inode];

	if (file->error_seen == inode->error)
		return result;
	file->error_seen = inode->error;
	inode->error_reported = true;
	return result < 0 ? result : -EIO;
}

static int
ops_fsync(void *world, int fd)
{
	struct model_disk *disk = world;
	struct model_fd *file = fd_of(disk, fd);
	uint32_t inode = file->inode;
	enum model_op op = disk->inodes[inode].entries ? OP_FLUSH_FOLDER : OP_FLUSH;

	enum fault_kind fault = call(disk, op, "fsync", inode, "");
	if (fault == FAULT_EINTR)
		return -EINTR;
	if (fault == FAULT_NONE)
		model_flush(disk, inode);
	else
		model_flush_failed(disk, inode);
	return report_error(disk, file, fault != FAULT_NONE ? fault_errno(fault) : 0);
}

static int
ops_syncfs(void *world, int fd)
{
	struct model_disk *disk = world;

	fd_of(disk, fd);
	enum fault_kind fault = call(disk, OP_FLUSH, "syncfs", MODEL_ROOT, "");
	if (fault == FAULT_EINTR)
		return -EINTR;
	for (uint32_t i = 0; i < disk->inode_count; i++) {
		if (disk->inodes[i].id != 0 && fault == FAULT_NONE)
			model_flush(disk, i);
		else if (disk->inodes[i].id != 0)
			model_flush_failed(disk, i);
	}
	return fault != FAULT_NONE ? fault_errno(fault) : 0;
}

static int
ops_ftruncate(void *world, int fd, off_t size)
{
	struct model_disk *disk = world;
	uint32_t inode = fd_of(disk, fd)->inode;

	enum fault_kind fault = call(disk, OP_WRITE, "ftruncate", inode, "");
	if (fault != FAULT_NONE)
		return fault_errno(fault);
	uint64_t old = disk->inodes[inode].now->size, end = (uint64_t)size;
	static const uint8_t zeros[SECTOR_BYTES];
	for (uint64_t at = end; at < old;) {
		size_t now = SECTOR_BYTES - at % SECTOR_BYTES;
		write_bytes(disk, inode, zeros, now < old - at ? now : old - at, at);
		at += now;
	}
	model_set_size(disk, inode, end);
	return 0;
}

static int
ops_renameat(void *world, int old_fd, const char *old_name, int new_fd, const char *new_name)
{
	struct model_disk *disk = world;
	uint32_t from = fd_of(disk, old_fd)->inode, to = fd_of(disk, new_fd)->inode;

	enum fault_kind fault = call(disk, OP_NAME, "renameat", from, new_name);
	if (fault != FAULT_NONE)
		return fault_errno(fault);
	if (model_find(disk, from, old_name) == NO_INODE)
		return -ENOENT;
	model_move(disk, from, old_name, to, new_name);
	return 0;
}

static int
ops_linkat(void *world, int old_fd, const char *old_name, int new_fd, const char *new_name)
{
	struct model_disk *disk = world;
	uint32_t from = fd_of(disk, old_fd)->inode, to = fd_of(disk, new_fd)->inode;

	enum fault_kind fault = call(disk, OP_NAME, "linkat", from, new_name);
	if (fault != FAULT_NONE)
		return fault_errno(fault);
	uint32_t inode = model_find(disk, from, old_name);
	if (inode == NO_INODE)
		return -ENOENT;
	if (model_find(disk, to, new_name) != NO_INODE)
		return -EEXIST;
	model_set_entry(disk, to, new_name, inode, 0);
	return 0;
}

static int
ops_unlinkat(void *world, int dir_fd, const char *name, int flags)
{
	struct model_disk *disk = world;
	uint32_t folder = fd_of(disk, dir_fd)->inode;

	enum fault_kind fault = call(disk, OP_NAME, "unlinkat", folder, name);
	if (fault != FAULT_NONE)
		return fault_errno(fault);
	uint32_t inode = model_find(disk, folder, name);
	if (inode == NO_INODE)
		return -ENOENT;
	if (disk->inodes[inode].is_folder != ((flags & AT_REMOVEDIR) != 0))
		return flags & AT_REMOVEDIR ? -ENOTDIR : -EISDIR;
	if (disk->inodes[inode].is_folder && disk->inodes[inode].entries->count > 0)
		return -ENOTEMPTY;
	model_set_entry(disk, folder, name, NO_INODE, 0);
	return 0;
}

static int
ops_mkdirat(void *world, int dir_fd, const char *name, mode_t mode)
{
	struct model_disk *disk = world;
	uint32_t folder = fd_of(disk, dir_fd)->inode;

	(void)mode;
	enum fault_kind fault = call(disk, OP_NAME, "mkdirat", folder, name);
	if (fault != FAULT_NONE)
		return fault_errno(fault);
	if (model_find(disk, folder, name) != NO_INODE)
		return -EEXIST;
	uint32_t made = model_add_inode(disk, true);
	model_set_entry(disk, folder, name, made, 0);
	return 0;
}

static int
ops_fchown(void *world, int fd, uid_t uid, gid_t gid)
{
	struct model_disk *disk = world;

	(void)uid;
	(void)gid;
	fd_of(disk, fd);
	enum fault_kind fault = call(disk, OP_OTHER, "fchown", fd_of(disk, fd)->inode, "");
	return fault != FAULT_NONE ? fault_errno(fault) : 0;
}

static void
fill_stat(const struct model_disk *disk, uint32_t number, struct stat *ret_stat)
{
	const struct inode *inode = &disk->inodes[number];

	*ret_stat = (struct stat){.st_dev = 1,
		.st_ino = inode->id,
		.st_nlink = 1,
		.st_mode = inode->is_folder ? S_IFDIR | 0700 : S_IFREG | 0600,
		.st_size = inode->is_folder ? 0 : (off_t)inode->now->size,
		.st_blksize = PAGE_BYTES};
}

static int
ops_fstat(void *world, int fd, struct stat *ret_stat)
{
	struct model_disk *disk = world;
	uint32_t inode = fd_of(disk, fd)->inode;

	enum fault_kind fault = call(disk, OP_OTHER, "fstat", inode, "");
	if (fault != FAULT_NONE)
		return fault_errno(fault);
	fill_stat(disk, inode, ret_stat);
	return 0;
}

static int
ops_fstatat(void *world, int dir_fd, const char *name, struct stat *ret_stat, int flags)
{
	struct model_disk *disk = world;
	uint32_t folder = fd_of(disk, dir_fd)->inode;

	(void)flags;
	enum fault_kind fault = call(disk, OP_OTHER, "fstatat", folder, name);
	if (fault != FAULT_NONE)
		return fault_errno(fault);
	uint32_t inode = model_find(disk, folder, name);
	if (inode == NO_INODE)
		return -ENOENT;
	fill_stat(disk, inode, ret_stat);
	return 0;
}

static int
ops_list(
	void *world, int dir_fd, bool (*each)(void *arg, const struct disk_entry *entry), void *arg)
{
	struct model_disk *disk = world;
	uint32_t folder = fd_of(disk, dir_fd)->inode;
	struct disk_entry found = {0};

	enum fault_kind fault = call(disk, OP_OTHER, "list", folder, "");
	if (fault != FAULT_NONE)
		return fault_errno(fault);
	struct entries *entries = entries_ref(disk->inodes[folder].entries);
	for (uint32_t i = 0; i < entries->count; i++) {
		const struct inode *inode = &disk->inodes[entries->list[i].inode];
		memcpy(found.name, entries->list[i].name->text, sizeof found.name);
		found.inode = inode->id;
		found.type = inode->is_folder ? DT_DIR : DT_REG;
		if (!each(arg, &found))
			break;
	}
	entries_unref(entries);
	return 0;
}

static int64_t
ops_free_bytes(void *world, int fd)
{
	struct model_disk *disk = world;

	fd_of(disk, fd);
	enum fault_kind fault = call(disk, OP_OTHER, "free_bytes", MODEL_ROOT, "");
	return fault != FAULT_NONE ? fault_errno(fault) : INT64_C(1) << 40;
}

static int
ops_lock(void *world, int fd)
{
	struct model_disk *disk = world;
	struct model_fd *file = fd_of(disk, fd);

	enum fault_kind fault = call(disk, OP_OTHER, "lock", file->inode, "");
	if (fault != FAULT_NONE)
		return fault_errno(fault);
	for (int i = 0; i < MODEL_FDS_MAX; i++) {
		if (disk->fds[i].used && disk->fds[i].locked && disk->fds[i].inode == file->inode)
			return -EWOULDBLOCK;
	}
	file->locked = true;
	return 0;
}

const struct disk_ops model_disk_ops = {
	.openat = ops_openat,
	.close = ops_close,
	.pread = ops_pread,
	.pwritev = ops_pwritev,
	.fdatasync = ops_fsync,
	.fsync = ops_fsync,
	.syncfs = ops_syncfs,
	.ftruncate = ops_ftruncate,
	.renameat = ops_renameat,
	.linkat = ops_linkat,
	.unlinkat = ops_unlinkat,
	.mkdirat = ops_mkdirat,
	.fchown = ops_fchown,
	.fstat = ops_fstat,
	.fstatat = ops_fstatat,
	.list = ops_list,
	.free_bytes = ops_free_bytes,
	.lock = ops_lock,
};

static mono_us
model_monotonic(void *world)
{
	struct model_disk *disk = world;

	return disk->ticks += TICK_US;
}

static wall_us
model_wall(void *world)
{
	struct model_disk *disk = world;

	disk->ticks += TICK_US;
	return WALL_START + disk->wall_offset + disk->ticks;
}

static void
model_fill(void *world, void *bytes, size_t len)
{
	uint8_t *out = bytes;

	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(model_random(world) >> 11);
}

static const struct clock_ops model_clock = {.monotonic = model_monotonic, .wall = model_wall};
static const struct random_ops model_random_ops = {.fill = model_fill};

void
model_env_init(struct env *env, struct model_disk *disk)
{
	*env = (struct env){
		.world = disk,
		.clock = &model_clock,
		.random = &model_random_ops,
		.disk = &model_disk_ops,
		.memory = memory_new(0),
	};
}

void
model_env_done(struct env *env)
{
	memory_free(&env->memory);
}
