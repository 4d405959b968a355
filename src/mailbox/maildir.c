/*
 * A batch of deliveries from folders to results, in the order that keeps every promise of
 *maildir.h:
 *
 *	open folders -> search for earlier files -> write tmp/ -> flush files -> rename to new/ ->
 *flush new/ -> results
 *
 * A file has its name in new/ only once its bytes are on stable storage, so a crash leaves whole
 *messages or none; and a result says `delivered` only once that name is there too. A rename never
 *replaces a file: the name is looked up first, and as nobody else makes names with this queue id,
 *what is there is this message.
 *
 * If flushing new/ fails, the file is taken back. Linux reports a failed write once and forgets it,
 *so a later flush of a folder in which nothing changed would succeed without the name ever having
 *reached the disk; the next attempt must make the name anew.
 *
 * RFC 3463 (enhanced status codes); the Maildir format and ",S=" as Dovecot and Courier know them.
 */
#include "mailbox/maildir_private.h"

#include "base/buffer.h"
#include "ipc/queue_id.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

struct outcome {
	enum maildir_status status;
	struct enhanced_status enhanced;
	const char *text;
};

/* The one place where program errors become mail outcomes. */
static struct outcome
outcome_of(enum maildir_stage stage, enum error error)
{
	switch (error) {
	case OK:
		return (struct outcome){
			MAILDIR_DELIVERED, STATUS(2, 0, 0), "delivered to the mailbox"};
	case ERROR_NO_SPACE:
		return (struct outcome){MAILDIR_TEMPORARY, STATUS(4, 2, 2), "mailbox full"};
	case ERROR_DENIED:
		return (struct outcome){MAILDIR_TEMPORARY, STATUS(4, 3, 5), "mailbox not writable"};
	case ERROR_LIMIT:
		/* A name that no file system takes will not become shorter, nor will a file that is
		 * larger than files may be. */
		if (stage == STAGE_PATH || stage == STAGE_FOLDER)
			return (struct outcome){MAILDIR_PERMANENT, STATUS(5, 1, 3),
				"address too long for a mailbox"};
		return (struct outcome){
			MAILDIR_PERMANENT, STATUS(5, 3, 4), "message too large for the mailbox"};
	case ERROR_NOT_FOUND:
	case ERROR_FORMAT:
	case ERROR_UNSUPPORTED:
		/* Something of the administrator's is wrong: the mail waits until he mends it. */
		return (struct outcome){
			MAILDIR_TEMPORARY, STATUS(4, 3, 5), "mailbox wrongly configured"};
	case ERROR_DAMAGED:
		/* Its sum is not right, or it ends early: it will not become whole. */
		return (struct outcome){
			MAILDIR_PERMANENT, STATUS(5, 3, 0), "the stored message is damaged"};
	case ERROR_NO_MEMORY:
	case ERROR_NO_DESCRIPTORS:
		return (struct outcome){MAILDIR_TEMPORARY, STATUS(4, 3, 0), "out of resources"};
	default:
		return (struct outcome){
			MAILDIR_TEMPORARY, STATUS(4, 3, 0), "mailbox not writable now"};
	}
}

static const char *
stage_name(enum maildir_stage stage)
{
	static const char *const names[] = {
		[STAGE_PATH] = "path",
		[STAGE_FOLDER] = "folder",
		[STAGE_SEARCH] = "search",
		[STAGE_WRITE] = "write",
		[STAGE_FLUSH] = "flush",
		[STAGE_PUBLISH] = "rename",
		[STAGE_FOLDER_FLUSH] = "folder_flush",
	};
	return names[stage];
}

static void
result_fail(struct maildir_result *result, enum maildir_stage stage, enum error error)
{
	struct outcome outcome = outcome_of(stage, error);

	*result = (struct maildir_result){
		.status = outcome.status,
		.error = error,
		.enhanced = outcome.enhanced,
		.text = outcome.text,
		.stage = stage_name(stage),
	};
}

static void
result_deliver(struct maildir_result *result, const struct maildir_file *file)
{
	struct outcome outcome = outcome_of(STAGE_FOLDER_FLUSH, OK);

	*result = (struct maildir_result){
		.status = outcome.status,
		.enhanced = outcome.enhanced,
		.text = outcome.text,
		.found = file->state == FILE_FOUND,
	};
	struct buffer path;
	/* Four octets more than the longest name. */
	buffer_init_fixed(&path, result->path, sizeof result->path - 1);
	buffer_append_text(&path, file->in_cur ? "cur/" : "new/");
	buffer_append_text(&path, file->name);
}

static void
file_fail(struct maildir_batch *batch, size_t index, enum maildir_stage stage, enum error error)
{
	batch->files[index].state = FILE_FAILED;
	result_fail(&batch->deliveries[index].result, stage, error);
}

static void
file_close(struct maildir_batch *batch, struct maildir_file *file)
{
	/* What was written is flushed or given up by now: closing has nothing to tell. */
	if (file->fd >= 0)
		batch->maildir->env->disk->close(batch->maildir->env->world, file->fd);
	file->fd = -1;
}

static void
file_remove_tmp(struct maildir_batch *batch, const struct maildir_file *file)
{
	struct env *env = batch->maildir->env;

	/* If this fails too, a file stays in tmp/ that the next attempt replaces, or a reader
	 * removes after 36 hours. */
	env->disk->unlinkat(env->world, file->folder->tmp_fd, file->base, 0);
}

void
maildir_init(struct maildir *maildir, struct env *env, int root_fd, struct slice hostname)
{
	*maildir = (struct maildir){.env = env, .root_fd = root_fd};
	if (hostname.len == 0)
		hostname = SLICE("localhost");
	for (size_t i = 0; i < hostname.len && i < MAILDIR_HOST_MAX; i++) {
		uint8_t octet = hostname.ptr[i];
		bool safe = ascii_is_alnum(octet) || octet == '-' || octet == '.' || octet == '_';
		maildir->host[i] = safe ? (char)octet : '_';
	}
}

static enum error
file_name(const struct maildir *maildir, const struct maildir_delivery *delivery,
	struct maildir_file *file)
{
	char id[QUEUE_ID_DIGITS + 1];
	long long seconds = delivery->received_at > 0 ? delivery->received_at / US_PER_S : 0;

	queue_id_print(delivery->queue_id, id);
	int len = snprintf(file->base, sizeof file->base, "%lld.V%sR%u.%s", seconds, id,
		(unsigned)delivery->recipient, maildir->host);
	return len > 0 && (size_t)len < sizeof file->base ? OK : ERROR_LIMIT;
}

/* Whether an earlier place of the batch holds the same delivery. It would share the file in tmp/.
 */
static bool
batch_has_twice(const struct maildir_batch *batch, size_t index)
{
	for (size_t i = 0; i < index; i++) {
		if (batch->files[i].folder == batch->files[index].folder &&
			batch->deliveries[i].queue_id == batch->deliveries[index].queue_id &&
			batch->deliveries[i].recipient == batch->deliveries[index].recipient)
			return true;
	}
	return false;
}

static void
batch_prepare(struct maildir_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct maildir_file *file = &batch->files[i];
		file->fd = -1;
		enum error error = file->folder->error;
		if (error != OK) {
			file_fail(batch, i, STAGE_FOLDER, error);
			continue;
		}
		error = file_name(batch->maildir, &batch->deliveries[i], file);
		if (error == OK && batch_has_twice(batch, i))
			error = ERROR_EXISTS;
		if (error != OK)
			file_fail(batch, i, STAGE_PATH, error);
	}
	maildir_folders_search(batch);
	for (size_t i = 0; i < batch->count; i++) {
		if (batch->files[i].state == FILE_WAITING && !batch->deliveries[i].first_attempt &&
			batch->files[i].folder->search_error != OK)
			file_fail(batch, i, STAGE_SEARCH, batch->files[i].folder->search_error);
	}
}

static void
batch_write(struct maildir_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct maildir_file *file = &batch->files[i];
		if (file->state != FILE_WAITING)
			continue;
		enum error error = maildir_file_write(batch, i);
		if (error != OK)
			file_fail(batch, i, STAGE_WRITE, error);
		else
			file->state = FILE_WRITTEN;
	}
}

static void
batch_flush(struct maildir_batch *batch)
{
	size_t flush_count = 0;

	for (size_t i = 0; i < batch->count; i++) {
		struct maildir_file *file = &batch->files[i];
		if (file->state == FILE_WRITTEN)
			batch->flushes[flush_count++] = (struct maildir_flush){
				file->fd, file->folder->device, &file->flush_error};
	}
	maildir_flush_all(batch->maildir, batch->flushes, flush_count);
	for (size_t i = 0; i < batch->count; i++) {
		struct maildir_file *file = &batch->files[i];
		if (file->state != FILE_WRITTEN)
			continue;
		file_close(batch, file);
		file->state = FILE_FLUSHED;
		if (file->flush_error != OK) {
			file_remove_tmp(batch, file);
			file_fail(batch, i, STAGE_FLUSH, file->flush_error);
		}
	}
}

/* Gives a flushed file its name in new/, unless an earlier attempt's file has it. */
static enum error
file_publish(struct maildir_batch *batch, struct maildir_file *file)
{
	struct env *env = batch->maildir->env;
	struct maildir_folder *folder = file->folder;
	struct stat stat;
	int result = env->disk->fstatat(
		env->world, folder->new_fd, file->name, &stat, AT_SYMLINK_NOFOLLOW);

	if (result == 0) {
		file_remove_tmp(batch, file);
		if (!S_ISREG(stat.st_mode) || (uint64_t)stat.st_size != file->size)
			return ERROR_EXISTS;
		file->state = FILE_FOUND;
		return OK;
	}
	if (result == -ENOENT)
		result = env->disk->renameat(
			env->world, folder->tmp_fd, file->base, folder->new_fd, file->name);
	if (result < 0) {
		file_remove_tmp(batch, file);
		return maildir_error(result);
	}
	file->state = FILE_PUBLISHED;
	return OK;
}

static void
batch_publish(struct maildir_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		if (batch->files[i].state != FILE_FLUSHED)
			continue;
		enum error error = file_publish(batch, &batch->files[i]);
		if (error != OK)
			file_fail(batch, i, STAGE_PUBLISH, error);
	}
}

static void
batch_finish(struct maildir_batch *batch)
{
	struct env *env = batch->maildir->env;

	maildir_folders_flush(batch);
	for (size_t i = 0; i < batch->count; i++) {
		struct maildir_file *file = &batch->files[i];
		if (file->state == FILE_FAILED)
			continue;
		if (file->folder->flush_error == OK) {
			result_deliver(&batch->deliveries[i].result, file);
			continue;
		}
		if (file->state == FILE_PUBLISHED)
			env->disk->unlinkat(env->world, file->folder->new_fd, file->name, 0);
		file_fail(batch, i, STAGE_FOLDER_FLUSH, file->folder->flush_error);
	}
	maildir_folders_close(batch);
}

void
maildir_deliver_batch(struct maildir *maildir, struct maildir_delivery *deliveries, size_t count)
{
	struct memory *memory = maildir->env->memory;

	for (size_t at = 0; at < count; at += MAILDIR_BATCH_MAX) {
		size_t part = count - at < MAILDIR_BATCH_MAX ? count - at : MAILDIR_BATCH_MAX;
		struct maildir_batch *batch = memory_try(memory, sizeof *batch);
		if (!batch) {
			for (size_t i = 0; i < part; i++)
				result_fail(
					&deliveries[at + i].result, STAGE_PATH, ERROR_NO_MEMORY);
			continue;
		}
		batch->maildir = maildir;
		batch->deliveries = deliveries + at;
		batch->count = part;
		maildir_folders_open(batch);
		batch_prepare(batch);
		batch_write(batch);
		batch_flush(batch);
		batch_publish(batch);
		batch_finish(batch);
		memory_put(memory, batch);
	}
}
