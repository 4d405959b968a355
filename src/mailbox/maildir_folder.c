/*
 * The folders of a batch: opened once each, component by component, without following a symbolic
 * link, so that nobody who owns a folder on the way can lead a delivery elsewhere; made where they
 * are missing (0700).
 *
 * tmp/ is made last, after the Maildir and all folders above it were flushed: a Maildir that has
 * tmp/ and new/ lies on stable storage for good, whatever was killed when, and a delivery into it
 * has only new/ to flush. tmp/ itself need not be flushed, and neither does its being there: a name
 * in tmp/ is worth nothing, a message starts to count with its name in new/.
 *
 * Folders that could not be flushed are taken back, as files are (maildir.c): the kernel tells of a
 * failed write once, and the next attempt's flush of folders that are there already would succeed
 * without their names ever having reached the disk.
 */
#include "mailbox/maildir_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#define OPEN_FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW)

static enum error
component_check(struct slice component)
{
	if (component.len == 0 || slice_equal(component, SLICE(".")) ||
		slice_equal(component, SLICE("..")))
		return ERROR_FORMAT;
	if (slice_find(component, 0, 0) >= 0)
		return ERROR_FORMAT;
	return component.len < MAILDIR_NAME_BYTES ? OK : ERROR_LIMIT;
}

/* The length of `path` up to the end of the component that starts at `at`. */
static size_t
component_end(struct slice path, size_t at)
{
	ssize_t slash = slice_find(path, at, '/');

	return slash < 0 ? path.len : (size_t)slash;
}

static enum error
path_check(struct slice path)
{
	size_t depth = 0;

	for (size_t at = 0; at <= path.len;) {
		size_t end = component_end(path, at);
		enum error error = component_check(slice_sub(path, at, end - at));
		if (error != OK)
			return error;
		if (++depth > MAILDIR_DEPTH_MAX)
			return ERROR_LIMIT;
		at = end + 1;
	}
	return OK;
}

/* Makes a folder that is missing and opens it. On failure nothing new stays behind. */
static int
folder_make(struct maildir_batch *batch, int parent_fd, const char *name,
	const struct maildir_owner *owner)
{
	struct env *env = batch->maildir->env;
	int made = env->disk->mkdirat(env->world, parent_fd, name, 0700);

	if (made < 0 && made != -EEXIST)
		return made;
	int fd = env->disk->openat(env->world, parent_fd, name, OPEN_FOLDER, 0);
	if (fd < 0 || made == -EEXIST || !owner->given)
		return fd;
	int owned = env->disk->fchown(env->world, fd, owner->uid, owner->gid);
	if (owned < 0) {
		env->disk->close(env->world, fd);
		env->disk->unlinkat(env->world, parent_fd, name, AT_REMOVEDIR);
		return owned;
	}
	return fd;
}

/* Opens or makes a folder on the way to a Maildir, in the node `parent`, and gives it a node. */
static enum error
node_open(struct maildir_batch *batch, int parent, struct slice path, struct slice component,
	const struct maildir_owner *owner, int *ret_node)
{
	struct env *env = batch->maildir->env;
	char name[MAILDIR_NAME_BYTES] = {0};

	memcpy(name, component.ptr, component.len);
	int fd = env->disk->openat(
		env->world, batch->nodes[parent].fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	bool missing = fd == -ENOENT;
	if (missing) {
		batch->nodes[parent].changed = true;
		fd = folder_make(batch, batch->nodes[parent].fd, name, owner);
	}
	if (fd < 0)
		return maildir_error(fd);
	batch->nodes[batch->node_count] = (struct maildir_node){
		.path = path, .parent = parent, .fd = fd, .made = missing, .flush_fd = -1};
	*ret_node = (int)batch->node_count++;
	return OK;
}

static int
node_find(const struct maildir_batch *batch, struct slice path)
{
	for (size_t i = 1; i < batch->node_count; i++) {
		if (slice_equal(batch->nodes[i].path, path))
			return (int)i;
	}
	return -1;
}

static enum error
nodes_walk(struct maildir_batch *batch, struct slice path, const struct maildir_owner *owner,
	int *ret_node)
{
	int node = 0;

	for (size_t at = 0; at <= path.len;) {
		size_t end = component_end(path, at);
		struct slice prefix = slice_sub(path, 0, end);
		int known = node_find(batch, prefix);
		enum error error = OK;
		if (known < 0)
			error = node_open(
				batch, node, prefix, slice_from(prefix, at), owner, &known);
		if (error != OK)
			return error;
		node = known;
		at = end + 1;
	}
	*ret_node = node;
	return OK;
}

/* One of tmp, new, cur: opened; if it is missing, -1 and the Maildir is incomplete. */
static enum error
part_open(struct maildir_batch *batch, struct maildir_folder *folder, const char *name, int *ret_fd)
{
	struct env *env = batch->maildir->env;
	int fd = env->disk->openat(env->world, batch->nodes[folder->node].fd, name, OPEN_FOLDER, 0);

	if (fd == -ENOENT) {
		folder->incomplete = true;
		return OK;
	}
	if (fd < 0)
		return maildir_error(fd);
	*ret_fd = fd;
	return OK;
}

static enum error
part_make(struct maildir_batch *batch, struct maildir_folder *folder, const char *name, int *ret_fd,
	bool *ret_made)
{
	if (*ret_fd >= 0)
		return OK;
	batch->nodes[folder->node].changed = true;
	int fd = folder_make(batch, batch->nodes[folder->node].fd, name, &folder->owner);
	if (fd < 0)
		return maildir_error(fd);
	*ret_fd = fd;
	*ret_made = true;
	return OK;
}

static enum error
folder_device(struct maildir_batch *batch, int fd, dev_t *ret_device)
{
	struct stat stat;
	int result = batch->maildir->env->disk->fstat(batch->maildir->env->world, fd, &stat);

	if (result < 0)
		return maildir_error(result);
	*ret_device = stat.st_dev;
	return OK;
}

/* All of a Maildir but a missing tmp/. */
static enum error
folder_open(struct maildir_batch *batch, struct maildir_folder *folder)
{
	enum error error = path_check(folder->path);

	if (error == OK)
		error = nodes_walk(batch, folder->path, &folder->owner, &folder->node);
	if (error == OK)
		error = part_open(batch, folder, "tmp", &folder->tmp_fd);
	if (error == OK)
		error = part_open(batch, folder, "new", &folder->new_fd);
	if (error == OK && folder->incomplete)
		error = part_make(batch, folder, "new", &folder->new_fd, &folder->made_new);
	if (error == OK && folder->incomplete)
		error = part_make(batch, folder, "cur", &folder->cur_fd, &folder->made_cur);
	if (error == OK)
		error = folder_device(batch, folder->new_fd, &folder->device);
	return error;
}

static struct maildir_folder *
folder_of(struct maildir_batch *batch, const struct maildir_delivery *delivery)
{
	struct slice path = delivery->path;

	if (path.len > 0 && path.ptr[0] == '/')
		path = slice_from(path, 1);
	for (size_t i = 0; i < batch->folder_count; i++) {
		if (slice_equal(batch->folders[i].path, path))
			return &batch->folders[i];
	}
	struct maildir_folder *folder = &batch->folders[batch->folder_count++];
	*folder = (struct maildir_folder){
		.path = path, .owner = delivery->owner, .tmp_fd = -1, .new_fd = -1, .cur_fd = -1};
	folder->error = folder_open(batch, folder);
	return folder;
}

/* Adds a folder above a new Maildir (or it itself) to what must be flushed. */
static enum error
node_want_flush(struct maildir_batch *batch, struct maildir_node *node, size_t *flush_count)
{
	struct env *env = batch->maildir->env;
	struct maildir_flush *flush = &batch->flushes[*flush_count];

	if (node->wanted)
		return node->flush_error;
	node->wanted = true;
	/* The present descriptor may be one that can't be flushed. */
	int fd = env->disk->openat(env->world, node->fd, ".", OPEN_FOLDER, 0);
	/* Where we may not read and made nothing, nothing of ours waits to be flushed. */
	if (fd == -EACCES && !node->changed)
		return OK;
	if (fd < 0) {
		node->flush_error = maildir_error(fd);
		return node->flush_error;
	}
	node->flush_fd = fd;
	node->flush_error = folder_device(batch, fd, &flush->device);
	flush->fd = fd;
	flush->error = &node->flush_error;
	*flush_count += node->flush_error == OK;
	return node->flush_error;
}

static enum error
folder_want_flush(
	struct maildir_batch *batch, const struct maildir_folder *folder, size_t *flush_count)
{
	enum error error = OK;

	for (int i = folder->node; i >= 0 && error == OK; i = batch->nodes[i].parent)
		error = node_want_flush(batch, &batch->nodes[i], flush_count);
	return error;
}

static enum error
folder_flushed(const struct maildir_batch *batch, const struct maildir_folder *folder)
{
	enum error error = OK;

	for (int i = folder->node; i >= 0 && error == OK; i = batch->nodes[i].parent)
		error = batch->nodes[i].flush_error;
	return error;
}

/*
 * Removes what this batch made for a Maildir, upwards. What is not empty serves others and stays.
 * If removing fails too, the next attempt can't tell: the disk has then failed twice without a
 * word.
 */
static void
folder_take_back(struct maildir_batch *batch, struct maildir_folder *folder)
{
	struct env *env = batch->maildir->env;
	struct maildir_node *node = &batch->nodes[folder->node];

	if (folder->made_new)
		env->disk->unlinkat(env->world, node->fd, "new", AT_REMOVEDIR);
	if (folder->made_cur)
		env->disk->unlinkat(env->world, node->fd, "cur", AT_REMOVEDIR);
	for (; node->parent >= 0; node = &batch->nodes[node->parent]) {
		char name[MAILDIR_NAME_BYTES] = {0};
		const struct maildir_node *parent = &batch->nodes[node->parent];
		size_t skip = parent->path.len > 0 ? parent->path.len + 1 : 0;
		struct slice component = slice_from(node->path, skip);
		memcpy(name, component.ptr, component.len);
		if (!node->made ||
			env->disk->unlinkat(env->world, parent->fd, name, AT_REMOVEDIR) < 0)
			return;
	}
}

/* Flushes what leads to the new Maildirs, then gives each its tmp/. */
static void
folders_complete(struct maildir_batch *batch)
{
	size_t flush_count = 0;

	for (size_t i = 0; i < batch->folder_count; i++) {
		struct maildir_folder *folder = &batch->folders[i];
		if (folder->error == OK && folder->incomplete)
			folder->error = folder_want_flush(batch, folder, &flush_count);
	}
	maildir_flush_all(batch->maildir, batch->flushes, flush_count);
	for (size_t i = 0; i < batch->folder_count; i++) {
		struct maildir_folder *folder = &batch->folders[i];
		bool made_tmp = false;
		if (folder->error != OK || !folder->incomplete)
			continue;
		folder->error = folder_flushed(batch, folder);
		if (folder->error == OK)
			folder->error = part_make(batch, folder, "tmp", &folder->tmp_fd, &made_tmp);
		else
			folder_take_back(batch, folder);
	}
}

void
maildir_folders_open(struct maildir_batch *batch)
{
	batch->nodes[0] =
		(struct maildir_node){.parent = -1, .fd = batch->maildir->root_fd, .flush_fd = -1};
	batch->node_count = 1;
	for (size_t i = 0; i < batch->count; i++)
		batch->files[i].folder = folder_of(batch, &batch->deliveries[i]);
	folders_complete(batch);
}

static void
close_if_open(struct maildir_batch *batch, int *fd)
{
	if (*fd >= 0)
		batch->maildir->env->disk->close(batch->maildir->env->world, *fd);
	*fd = -1;
}

void
maildir_folders_close(struct maildir_batch *batch)
{
	for (size_t i = 0; i < batch->folder_count; i++) {
		close_if_open(batch, &batch->folders[i].tmp_fd);
		close_if_open(batch, &batch->folders[i].new_fd);
		close_if_open(batch, &batch->folders[i].cur_fd);
	}
	for (size_t i = 0; i < batch->node_count; i++) {
		close_if_open(batch, &batch->nodes[i].flush_fd);
		if (i > 0) /* the root's is the caller's */
			close_if_open(batch, &batch->nodes[i].fd);
	}
}

struct search {
	struct maildir_batch *batch;
	const struct maildir_folder *folder;
	bool in_cur;
};

/* Whether a file name is `base`, bare or with size (`,`) or flags (`:`) behind it. */
static bool
name_is(struct slice name, struct slice base)
{
	return slice_has_prefix(name, base) &&
	       (name.len == base.len || name.ptr[base.len] == ',' || name.ptr[base.len] == ':');
}

static bool
search_entry(void *arg, const struct disk_entry *entry)
{
	const struct search *search = arg;
	struct slice name = slice_text(entry->name);

	if (entry->type != DT_REG && entry->type != DT_UNKNOWN)
		return true;
	for (size_t i = 0; i < search->batch->count; i++) {
		struct maildir_file *file = &search->batch->files[i];
		if (file->folder != search->folder || file->state != FILE_WAITING ||
			search->batch->deliveries[i].first_attempt ||
			!name_is(name, slice_text(file->base)))
			continue;
		file->state = FILE_FOUND;
		file->in_cur = search->in_cur;
		memcpy(file->name, name.ptr, name.len + 1); /* with its NUL */
	}
	return true;
}

static enum error
folder_search(struct maildir_batch *batch, struct maildir_folder *folder)
{
	struct env *env = batch->maildir->env;
	struct search search = {.batch = batch, .folder = folder};
	/* Readers move files from new/ to cur/ and never back: in this order none is missed. */
	int result = env->disk->list(env->world, folder->new_fd, search_entry, &search);

	if (result < 0)
		return maildir_error(result);
	if (folder->cur_fd < 0)
		folder->cur_fd = env->disk->openat(
			env->world, batch->nodes[folder->node].fd, "cur", OPEN_FOLDER, 0);
	if (folder->cur_fd < 0)
		return folder->cur_fd == -ENOENT ? OK : maildir_error(folder->cur_fd);
	search.in_cur = true;
	return maildir_error(env->disk->list(env->world, folder->cur_fd, search_entry, &search));
}

void
maildir_folders_search(struct maildir_batch *batch)
{
	for (size_t i = 0; i < batch->folder_count; i++) {
		bool repeats = false;
		for (size_t k = 0; k < batch->count; k++) {
			repeats = repeats || (batch->files[k].folder == &batch->folders[i] &&
						     batch->files[k].state == FILE_WAITING &&
						     !batch->deliveries[k].first_attempt);
		}
		if (repeats)
			batch->folders[i].search_error = folder_search(batch, &batch->folders[i]);
	}
}

void
maildir_folders_flush(struct maildir_batch *batch)
{
	size_t flush_count = 0;

	for (size_t i = 0; i < batch->folder_count; i++) {
		struct maildir_folder *folder = &batch->folders[i];
		bool in_new = false, in_cur = false;
		for (size_t k = 0; k < batch->count; k++) {
			const struct maildir_file *file = &batch->files[k];
			bool counts = file->folder == folder &&
				      (file->state == FILE_PUBLISHED || file->state == FILE_FOUND);
			in_new = in_new || counts;
			in_cur = in_cur || (counts && file->in_cur);
		}
		if (in_new)
			batch->flushes[flush_count++] = (struct maildir_flush){
				folder->new_fd, folder->device, &folder->flush_error};
		if (in_cur)
			batch->flushes[flush_count++] = (struct maildir_flush){
				folder->cur_fd, folder->device, &folder->flush_error};
	}
	maildir_flush_all(batch->maildir, batch->flushes, flush_count);
}
