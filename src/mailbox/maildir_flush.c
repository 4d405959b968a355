/*
 * Flushing many descriptors. One syncfs a file system is several times cheaper than a flush a file
 * when many wait, but it also writes what everybody else has dirty there: during a backup it may
 * take seconds. So it is used only from MAILDIR_SYNCFS_MIN descriptors on and while it is expected
 * to take no longer than flushing one by one; both times are moving figures of what was seen. While
 * syncfs is passed over its figure fades, so that it is tried again.
 *
 * Relies on Linux 5.8: syncfs reports errors of writing that happened since its descriptor was
 * opened. All descriptors were opened before what they flush was written, or report older errors
 * that nobody saw, which is harmless: on any error of syncfs each descriptor is flushed alone and
 * gets its own answer.
 */
#include "mailbox/maildir_private.h"

#define FSYNC_GUESS_US 500 /* before the first is measured */

static struct maildir_volume *
volume_of(struct maildir *maildir, dev_t device)
{
	for (size_t i = 0; i < MAILDIR_VOLUMES; i++) {
		if (maildir->volumes[i].used && maildir->volumes[i].device == device)
			return &maildir->volumes[i];
	}
	struct maildir_volume *volume = &maildir->volumes[maildir->next_volume];
	maildir->next_volume = (maildir->next_volume + 1) % MAILDIR_VOLUMES;
	*volume =
		(struct maildir_volume){.device = device, .used = true, .fsync_us = FSYNC_GUESS_US};
	return volume;
}

static int64_t
figure_move(int64_t figure, int64_t sample)
{
	return figure == 0 ? sample : (3 * figure + sample) / 4;
}

static enum error
flush_one(struct maildir *maildir, struct maildir_volume *volume, int fd)
{
	mono_us start = env_monotonic(maildir->env);
	int result = maildir->env->disk->fsync(maildir->env->world, fd);

	maildir->flush_count++;
	volume->fsync_us = figure_move(volume->fsync_us, env_monotonic(maildir->env) - start);
	return maildir_error(result);
}

/* Whether one syncfs is expected to be the quicker way for so many. */
static bool
syncfs_is_worth(struct maildir_volume *volume, size_t count)
{
	if (count < MAILDIR_SYNCFS_MIN)
		return false;
	if (volume->syncfs_us <= (int64_t)count * volume->fsync_us)
		return true;
	volume->syncfs_us -= volume->syncfs_us / 8;
	return false;
}

static enum error
flush_volume(struct maildir *maildir, struct maildir_volume *volume, int fd)
{
	mono_us start = env_monotonic(maildir->env);
	int result = maildir->env->disk->syncfs(maildir->env->world, fd);

	maildir->flush_count++;
	volume->syncfs_us = figure_move(volume->syncfs_us, env_monotonic(maildir->env) - start);
	return maildir_error(result);
}

/* Flushes all that lie on the file system of the first; the others are left for a later call. */
static void
flush_group(struct maildir *maildir, struct maildir_flush *flushes, size_t count, bool *done)
{
	struct maildir_volume *volume = volume_of(maildir, flushes[0].device);
	size_t members = 0;

	for (size_t i = 0; i < count; i++)
		members += !done[i] && flushes[i].device == flushes[0].device;
	bool together = syncfs_is_worth(volume, members) &&
			flush_volume(maildir, volume, flushes[0].fd) == OK;
	for (size_t i = 0; i < count; i++) {
		if (done[i] || flushes[i].device != flushes[0].device)
			continue;
		enum error error = together ? OK : flush_one(maildir, volume, flushes[i].fd);
		if (*flushes[i].error == OK)
			*flushes[i].error = error;
		done[i] = true;
	}
}

void
maildir_flush_all(struct maildir *maildir, struct maildir_flush *flushes, size_t count)
{
	bool done[MAILDIR_NODES_MAX] = {false};

	for (size_t i = 0; i < count; i++) {
		if (!done[i])
			flush_group(maildir, flushes + i, count - i, done + i);
	}
}
