/*
 * A stream has one job at a time: what its session's last submission asks for. Jobs go to the
 * thread in a list and come back in another; in between the stream is the thread's. A ring's memory
 * may go at any time, so the thread reads it only with the mutex held that its closing takes.
 */
#include "queue/streams.h"

#include <string.h>

#define PIECES_MAX 96 /* of one submission, in blocks */

void
streams_init(struct streams *streams, const struct env *env, int writer_wake_fd)
{
	*streams = (struct streams){
		.env = *env, .memory = env->memory, .dir_fd = -1, .writer_wake_fd = writer_wake_fd};
	streams->env.memory = memory_new(0);
	pthread_mutex_init(&streams->mutex, NULL);
	pthread_mutex_init(&streams->rings, NULL);
	pthread_cond_init(&streams->wanted, NULL);
	list_init(&streams->jobs);
	list_init(&streams->answers);
	list_init(&streams->ready);
}

void
streams_watch_space(struct streams *streams, uint64_t reserve)
{
	streams->reserve = reserve;
}

static bool
has_space(struct streams *streams, uint64_t bytes)
{
	int64_t room = streams->env.disk->free_bytes(streams->env.world, streams->dir_fd);

	/* When the system does not tell, the write does. */
	return streams->reserve == 0 || room < 0 ||
	       ((uint64_t)room >= bytes && (uint64_t)room - bytes >= streams->reserve);
}

/* What the submission's content is, from the ring to its place in the file. */
static enum error
write_from_ring(struct streams *streams, struct stream *stream, uint64_t at)
{
	struct iovec pieces[PIECES_MAX];
	struct ring_submission submission = stream->submission;
	enum error error = ERROR_CLOSED;
	int count;

	submission.envelope_bytes = 0; /* that is the writer's */
	pthread_mutex_lock(&streams->rings);
	if (!stream->is_orphan)
		error = ring_gather(stream->ring, &submission, pieces, PIECES_MAX, &count, NULL);
	if (error == OK)
		error = spool_apart_write(&streams->env, &stream->apart, pieces, count, at);
	pthread_mutex_unlock(&streams->rings);
	return error;
}

static enum error
take_piece(struct streams *streams, struct stream *stream)
{
	if (!has_space(streams, stream->submission.content_bytes))
		return ERROR_NO_SPACE;
	if (stream->apart.fd < 0) {
		enum error error =
			spool_apart_create(&streams->env, streams->dir_fd, &stream->apart);
		if (error != OK)
			return error;
	}
	return write_from_ring(streams, stream, stream->submission.offset);
}

static enum error
finish(struct streams *streams, struct stream *stream)
{
	enum error error = write_from_ring(streams, stream, 0);

	if (error == OK)
		error = spool_apart_finish(&streams->env, streams->dir_fd, &stream->apart,
			stream->queue_id, stream->content_flags);
	return error;
}

/* On the thread. */
static void
do_job(struct streams *streams, struct stream *stream)
{
	enum error error = OK;

	switch (stream->job) {
	case STREAM_MORE:
		error = take_piece(streams, stream);
		break;
	case STREAM_PATCH:
		error = write_from_ring(streams, stream, stream->submission.offset);
		break;
	case STREAM_COMMIT:
		error = finish(streams, stream);
		break;
	case STREAM_ABORT:
	case STREAM_DROP:
		spool_apart_drop(&streams->env, streams->dir_fd, &stream->apart);
		break;
	}
	if (error != OK)
		spool_apart_drop(&streams->env, streams->dir_fd, &stream->apart);
	stream->error = error;
}

static void *
streams_run(void *arg)
{
	struct streams *streams = arg;

	pthread_mutex_lock(&streams->mutex);
	for (;;) {
		while (list_is_empty(&streams->jobs) && !streams->is_stopping)
			pthread_cond_wait(&streams->wanted, &streams->mutex);
		if (streams->is_stopping)
			break;
		struct stream *stream = list_entry(list_take(&streams->jobs), struct stream, link);
		pthread_mutex_unlock(&streams->mutex);
		do_job(streams, stream);
		pthread_mutex_lock(&streams->mutex);
		list_append(&streams->answers, &stream->link);
		streams->env.poll->wake_signal(streams->env.world, streams->writer_wake_fd);
	}
	pthread_mutex_unlock(&streams->mutex);
	return NULL;
}

enum error
streams_start(struct streams *streams, int dir_fd)
{
	streams->dir_fd = dir_fd;
	int error = pthread_create(&streams->thread, NULL, streams_run, streams);
	streams->is_running = error == 0;
	return error_from_errno(error);
}

static void
give(struct streams *streams, struct stream *stream, enum stream_job job)
{
	stream->job = job;
	stream->is_given = true;
	pthread_mutex_lock(&streams->mutex);
	list_append(&streams->jobs, &stream->link);
	pthread_cond_signal(&streams->wanted);
	pthread_mutex_unlock(&streams->mutex);
}

static struct stream **
place_of(struct streams *streams, uint32_t worker, uint32_t token)
{
	struct stream ***table = &streams->of_worker[worker];

	if (!*table)
		*table = memory_try(streams->memory, RING_ENTRIES * sizeof **table);
	return *table ? &(*table)[token] : NULL;
}

static void
forget(struct streams *streams, struct stream *stream)
{
	struct stream **table = streams->of_worker[stream->worker];

	if (table && table[stream->submission.token] == stream)
		table[stream->submission.token] = NULL;
}

static enum error
open_stream(struct streams *streams, struct spool *spool, uint32_t worker,
	const struct ring_submission *submission, struct stream **place)
{
	struct spool_apart apart;

	/* What is held back fits into a ring. */
	if (submission->offset == 0 || submission->offset > UINT32_MAX)
		return ERROR_DAMAGED;
	enum error error = spool_apart_begin(spool, &apart);
	if (error != OK)
		return error;
	struct stream *stream = memory_try(streams->memory, sizeof *stream);
	if (!stream)
		return ERROR_NO_MEMORY;
	*stream = (struct stream){.worker = worker,
		.head = submission->offset,
		.end = submission->offset,
		.apart = apart};
	*place = stream;
	return OK;
}

/* Whether it may come now: each rule of ring.h. */
static bool
is_in_order(const struct stream *stream, const struct ring_submission *submission)
{
	uint64_t len = submission->content_bytes;

	switch (submission->kind) {
	case RING_MORE:
		return submission->offset == stream->end && len > 0 && stream->end < INT64_MAX / 2;
	case RING_PATCH:
		return submission->offset >= stream->head && submission->offset <= stream->end &&
		       len <= stream->end - submission->offset;
	case RING_COMMIT:
		return len == stream->head;
	default:
		return true;
	}
}

enum error
streams_take(struct streams *streams, struct spool *spool, uint32_t worker,
	const struct ring_consumer *ring, const struct ring_submission *submission,
	uint32_t content_flags, enum ring_status *ret_status)
{
	static const enum stream_job jobs[RING_KINDS] = {[RING_MORE] = STREAM_MORE,
		[RING_PATCH] = STREAM_PATCH,
		[RING_COMMIT] = STREAM_COMMIT,
		[RING_ABORT] = STREAM_ABORT};
	struct stream **place = place_of(streams, worker, submission->token);

	*ret_status = RING_STATUSES;
	if (!place)
		return ERROR_NO_MEMORY;
	if (!*place && submission->kind == RING_ABORT) {
		*ret_status = RING_TAKEN;
		return OK;
	}
	if (!*place && submission->kind != RING_MORE)
		return ERROR_DAMAGED;
	if (!*place) {
		enum error error = open_stream(streams, spool, worker, submission, place);
		if (error != OK)
			return error;
	}
	struct stream *stream = *place;
	if (stream->is_given || stream->is_ready || !is_in_order(stream, submission))
		return ERROR_DAMAGED;
	stream->submission = *submission;
	stream->ring = ring;
	if (submission->kind == RING_MORE)
		stream->end += submission->content_bytes;
	if (submission->kind == RING_COMMIT) {
		stream->queue_id = spool_next_id(spool);
		stream->content_flags = content_flags;
	}
	give(streams, stream, jobs[submission->kind]);
	return OK;
}

static enum ring_status
status_of_job(const struct stream *stream)
{
	if (stream->error == OK)
		return RING_TAKEN;
	return stream->error == ERROR_NO_SPACE ? RING_NO_SPACE : RING_FAILED;
}

static struct stream *
next_done(struct streams *streams)
{
	struct stream *stream = NULL;

	pthread_mutex_lock(&streams->mutex);
	if (!list_is_empty(&streams->answers)) {
		stream = list_entry(list_take(&streams->answers), struct stream, link);
		stream->is_given = false;
	}
	pthread_mutex_unlock(&streams->mutex);
	return stream;
}

bool
streams_next_answer(
	struct streams *streams, uint32_t *ret_worker, struct ring_completion *ret_answer)
{
	struct stream *stream;

	while ((stream = next_done(streams)) != NULL) {
		bool is_over = stream->apart.fd < 0;
		if (stream->is_orphan) {
			if (is_over)
				memory_put(streams->memory, stream);
			else
				give(streams, stream, STREAM_DROP);
			continue;
		}
		if (stream->job == STREAM_COMMIT && stream->error == OK) {
			stream->is_ready = true;
			list_append(&streams->ready, &stream->link);
			continue;
		}
		*ret_worker = stream->worker;
		*ret_answer = (struct ring_completion){
			.token = stream->submission.token, .status = status_of_job(stream)};
		if (is_over) {
			forget(streams, stream);
			memory_put(streams->memory, stream);
		}
		return true;
	}
	return false;
}

struct stream *
streams_ready(struct streams *streams)
{
	return list_is_empty(&streams->ready)
		       ? NULL
		       : list_entry(streams->ready.next, struct stream, link);
}

void
streams_take_ready(struct streams *streams, struct stream *stream)
{
	list_remove(&stream->link);
	forget(streams, stream);
}

void
streams_end(struct streams *streams, struct stream *stream, bool is_added)
{
	if (is_added) {
		spool_apart_close(&streams->env, &stream->apart);
		memory_put(streams->memory, stream);
		return;
	}
	stream->is_orphan = true;
	give(streams, stream, STREAM_DROP);
}

void
streams_detach(struct streams *streams, uint32_t worker)
{
	struct stream **table = streams->of_worker[worker];

	for (uint32_t token = 0; table && token < RING_ENTRIES; token++) {
		struct stream *stream = table[token];
		if (!stream)
			continue;
		table[token] = NULL;
		pthread_mutex_lock(&streams->rings);
		stream->is_orphan = true;
		pthread_mutex_unlock(&streams->rings);
		if (stream->is_ready)
			list_remove(&stream->link);
		if (!stream->is_given)
			give(streams, stream, STREAM_DROP);
	}
}

static void
drop_all(struct streams *streams, struct list *list)
{
	while (!list_is_empty(list)) {
		struct stream *stream = list_entry(list_take(list), struct stream, link);
		forget(streams, stream);
		spool_apart_drop(&streams->env, streams->dir_fd, &stream->apart);
		memory_put(streams->memory, stream);
	}
}

void
streams_stop(struct streams *streams)
{
	pthread_mutex_lock(&streams->mutex);
	streams->is_stopping = true;
	pthread_cond_signal(&streams->wanted);
	pthread_mutex_unlock(&streams->mutex);
	if (streams->is_running)
		pthread_join(streams->thread, NULL);
	streams->is_running = false;
}

void
streams_done(struct streams *streams)
{
	streams_stop(streams);
	for (uint32_t worker = 0; worker < STREAMS_WORKERS_MAX; worker++)
		streams_detach(streams, worker);
	drop_all(streams, &streams->jobs);
	drop_all(streams, &streams->answers);
	for (uint32_t worker = 0; worker < STREAMS_WORKERS_MAX; worker++)
		memory_put(streams->memory, streams->of_worker[worker]);
	pthread_cond_destroy(&streams->wanted);
	pthread_mutex_destroy(&streams->rings);
	pthread_mutex_destroy(&streams->mutex);
	memory_free(&streams->env.memory);
}
