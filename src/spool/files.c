/*
 * Flushes, counted, and files that are filled with zeros before they are needed (W6). A pre-written
 * file has no header: recovery knows by that that nothing was ever in it, and removes it.
 */
#include "spool/spool_private.h"

enum error
spool_flush(struct spool *spool, int fd)
{
	spool->flushes++;
	return error_from_errno(-spool->env->disk->fdatasync(spool->env->world, fd));
}

/*
 * W5 for names: a flush of the folder that failed may have lost those of the files that wait for
 * their use, and the next one would not say so.
 */
static void
spares_drop(struct spool *spool)
{
	for (uint32_t i = 0; i < spool->spare_count; i++)
		spare_drop(spool, LOGFILE_SEGMENT, &spool->spares[i]);
	spool->spare_count = 0;
	spare_drop(spool, LOGFILE_JOURNAL, &spool->journal_spare);
}

enum error
spool_flush_folder(struct spool *spool)
{
	spool->flushes++;
	enum error error =
		error_from_errno(-spool->env->disk->fsync(spool->env->world, spool->dir_fd));
	if (error != OK)
		atomic_fetch_add(&spool->names_lost, 1);
	/* One of a content that lies apart is as bad as one of ours. */
	uint32_t lost = atomic_load(&spool->names_lost);
	if (lost == spool->names_lost_seen)
		return OK;
	spool_see_lost_names(spool);
	return error == OK ? ERROR_IO : error;
}

void
spool_see_lost_names(struct spool *spool)
{
	uint32_t lost = atomic_load(&spool->names_lost);

	if (lost != spool->names_lost_seen)
		spares_drop(spool);
	spool->names_lost_seen = lost;
}

enum error
spare_begin(struct spool *spool, enum logfile_kind kind, uint32_t number, struct spare *ret_spare)
{
	struct spare spare = {.number = number};

	spare.size = kind == LOGFILE_SEGMENT ? spool->options.segment_bytes
					     : spool->options.journal_bytes;
	enum error error = logfile_create(spool->env, spool->dir_fd, kind, number, &spare.fd);
	if (error == OK)
		*ret_spare = spare;
	return error;
}

enum error
spare_finish(struct spool *spool, struct spare *spare)
{
	while (spare->filled < spare->size) {
		enum error error = logfile_fill(spool->env, spare->fd, &spare->filled, spare->size);
		if (error != OK)
			return error;
	}
	if (spare->flushed)
		return OK;
	enum error error = spool_flush(spool, spare->fd);
	spare->flushed = error == OK;
	return error;
}

void
spare_drop(struct spool *spool, enum logfile_kind kind, struct spare *spare)
{
	if (spare->fd == NO_FD)
		return;
	spool->env->disk->close(spool->env->world, spare->fd);
	spare->fd = NO_FD;
	char name[LOGFILE_NAME_BYTES] = JOURNAL_READY;
	if (!spare->ready)
		logfile_name(kind, spare->number, name);
	/* A file that stays is without header or unknown to the journal: the next start removes it.
	 */
	spool->env->disk->unlinkat(spool->env->world, spool->dir_fd, name, 0);
}
