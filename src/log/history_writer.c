/*
 * Which file grows is found at the first flush: the one with the youngest head. Files without a
 * head are empty. Nothing is flushed to the disk: a power cut may take the last seconds, and what
 * is cut off is skipped by readers. While the file system has less room than `spool_reserve`,
 * nothing is written: that room is for mail.
 */
#include "log/history_writer.h"

#define TELL_EVERY_US (60 * US_PER_S)

void
history_writer_init(struct history_writer *writer, struct env *env, const struct conf *conf)
{
	*writer = (struct history_writer){.env = env, .conf = conf};
	for (int kind = 0; kind < HISTORY_KINDS; kind++) {
		struct history_files *files = &writer->kinds[kind];
		buffer_init(&files->waiting, env->memory, HISTORY_WRITE_BYTES);
		for (int i = 0; i < HISTORY_FILES; i++)
			files->fds[i] = -1;
	}
}

void
history_writer_done(struct history_writer *writer)
{
	struct env *env = writer->env;

	for (int kind = 0; kind < HISTORY_KINDS; kind++) {
		struct history_files *files = &writer->kinds[kind];
		buffer_done(&files->waiting);
		for (int i = 0; i < HISTORY_FILES; i++)
			if (files->fds[i] >= 0)
				env->disk->close(env->world, files->fds[i]);
	}
}

bool
history_writer_add(struct history_writer *writer, struct slice name, int fd)
{
	struct env *env = writer->env;
	enum history_kind kind;
	uint32_t number;

	if (!history_file_parse(name, &kind, &number))
		return false;
	struct history_files *files = &writer->kinds[kind];
	if (files->fds[number] >= 0)
		env->disk->close(env->world, files->fds[number]);
	files->fds[number] = fd;
	return true;
}

static bool
has_files(const struct history_files *files)
{
	bool has = true;

	for (int i = 0; i < HISTORY_FILES; i++)
		has &= files->fds[i] >= 0;
	return has;
}

void
history_writer_take(struct history_writer *writer, struct slice record)
{
	enum history_kind kind;

	if (!history_keeps(record, &kind) || !has_files(&writer->kinds[kind]))
		return;
	struct buffer *waiting = &writer->kinds[kind].waiting;
	if (waiting->len + HISTORY_FRAME_BYTES + record.len > HISTORY_WRITE_BYTES)
		history_writer_flush(writer);
	size_t before = waiting->len;
	history_frame_append(waiting, record);
	if (buffer_error(waiting) == OK)
		return;
	waiting->len = before; /* no memory */
	waiting->error = OK;
	writer->lost++;
}

/* 0: it is empty, or not ours to read. */
static wall_us
start_of(const struct history_writer *writer, int fd)
{
	struct env *env = writer->env;
	uint8_t head[HISTORY_HEAD_BYTES];
	wall_us started_at = 0;

	ssize_t got = env->disk->pread(env->world, fd, head, sizeof head, 0);
	if (got != (ssize_t)sizeof head ||
		history_head_read(slice_of(head, sizeof head), &started_at) != OK)
		return 0;
	return started_at;
}

static bool
write_all(const struct history_writer *writer, int fd, struct slice bytes)
{
	struct env *env = writer->env;
	ssize_t written = 0;

	while (bytes.len > 0 &&
		(written = env->disk->write(env->world, fd, bytes.ptr, bytes.len)) > 0)
		bytes = slice_from(bytes, (size_t)written);
	return bytes.len == 0;
}

/* Empties a file and begins it anew. */
static bool
begin_file(const struct history_writer *writer, struct history_files *files, uint32_t number)
{
	struct env *env = writer->env;
	uint8_t storage[HISTORY_HEAD_BYTES];
	struct buffer head;

	files->is_open = false;
	files->started_at = env_wall(env);
	buffer_init_fixed(&head, storage, sizeof storage);
	history_head_append(&head, files->started_at);
	if (env->disk->ftruncate(env->world, files->fds[number], 0) < 0 ||
		!write_all(writer, files->fds[number], buffer_slice(&head)))
		return false;
	files->current = number;
	files->size = head.len;
	files->is_open = true;
	return true;
}

/* After a start: goes on where the last process was. */
static bool
open_files(const struct history_writer *writer, struct history_files *files)
{
	struct env *env = writer->env;
	struct stat stat;
	uint32_t youngest = 0;
	wall_us started_at = 0;

	for (uint32_t i = 0; i < HISTORY_FILES; i++) {
		wall_us start = start_of(writer, files->fds[i]);
		if (start > started_at) {
			youngest = i;
			started_at = start;
		}
	}
	if (started_at == 0)
		return begin_file(writer, files, 0);
	if (env->disk->fstat(env->world, files->fds[youngest], &stat) < 0)
		return false;
	files->current = youngest;
	files->started_at = started_at;
	files->size = (uint64_t)stat.st_size;
	files->is_open = true;
	return true;
}

/* A file has its share of the time; with the clock set back it goes on until it is full. */
static bool
is_over(const struct history_writer *writer, const struct history_files *files)
{
	return env_wall(writer->env) - files->started_at >=
	       writer->conf->history.keep_us / (HISTORY_FILES - 1);
}

/* What is older than may be kept goes, also where nothing new comes. A file grows no longer than
 * its share of the time, and a look at the clock. */
static void
empty_old(const struct history_writer *writer, const struct history_files *files)
{
	struct env *env = writer->env;
	int64_t keep_us = writer->conf->history.keep_us;
	wall_us oldest = env_wall(env) - keep_us - keep_us / (HISTORY_FILES - 1) - HISTORY_LOOK_US;

	for (uint32_t i = 0; i < HISTORY_FILES; i++) {
		wall_us started_at = start_of(writer, files->fds[i]);
		if (i == files->current || started_at == 0 || started_at >= oldest)
			continue;
		if (env->disk->ftruncate(env->world, files->fds[i], 0) < 0)
			return;
	}
}

static bool
has_room(const struct history_writer *writer, const struct history_files *files)
{
	struct env *env = writer->env;
	int64_t room = env->disk->free_bytes(env->world, files->fds[files->current]);

	return room < 0 || (uint64_t)room >= writer->conf->spool_reserve;
}

static bool
make_ready(const struct history_writer *writer, enum history_kind kind, struct history_files *files)
{
	uint64_t most = history_file_size(kind, writer->conf->history.size);

	if (!has_room(writer, files) || (!files->is_open && !open_files(writer, files)))
		return false;
	if (files->size + files->waiting.len <= most && !is_over(writer, files))
		return true;
	if (!begin_file(writer, files, (files->current + 1) % HISTORY_FILES))
		return false;
	empty_old(writer, files);
	return true;
}

static size_t
count_frames(struct slice bytes)
{
	struct slice record;
	size_t at = 0, count = 0;

	while (history_next(bytes, true, &at, &record))
		count++;
	return count;
}

static void
flush_kind(struct history_writer *writer, enum history_kind kind)
{
	struct history_files *files = &writer->kinds[kind];
	struct slice bytes = buffer_slice(&files->waiting);

	if (!has_files(files) || (bytes.len == 0 && files->is_open && !is_over(writer, files)))
		return;
	if (make_ready(writer, kind, files) &&
		write_all(writer, files->fds[files->current], bytes)) {
		files->size += bytes.len;
	} else {
		writer->lost += count_frames(bytes);
		files->is_open = false; /* a part may be written */
	}
	buffer_clear(&files->waiting);
}

void
history_writer_flush(struct history_writer *writer)
{
	struct env *env = writer->env;

	for (int kind = 0; kind < HISTORY_KINDS; kind++)
		flush_kind(writer, (enum history_kind)kind);
	if (writer->lost == 0 || env_wall(env) - writer->told_at < TELL_EVERY_US)
		return;
	uint64_t lost = writer->lost;
	writer->lost = 0;
	writer->told_at = env_wall(env);
	log_event(env, LOG_WARNING, "history_lost", LOG_NUMBER("records", lost),
		LOG_STRING("effect", "`veredus why` will not know of them"));
}
