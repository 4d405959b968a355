/* Reading the spool on the schedule's thread: envelopes, and contents for those who get copies. */
#include "queue/queue_private.h"

#include <errno.h>

#define OPENED_ARENA_MAX (64u << 20)
#define COPY_PIECE       65536

enum error
queue_segment_fd(struct queue_service *service, uint32_t segment, int *ret_fd)
{
	struct segment_cache *cache = &service->segments;
	int fd;

	for (uint32_t i = 0; i < QUEUE_SEGMENTS; i++)
		if (cache->entries[i].fd >= 0 && cache->entries[i].segment == segment) {
			*ret_fd = cache->entries[i].fd;
			return OK;
		}
	enum error error = spool_open_segment(service->env, service->spool_fd, segment, &fd);
	if (error != OK)
		return error;
	uint32_t place = cache->next++ % QUEUE_SEGMENTS;
	if (cache->entries[place].fd >= 0)
		service->env->disk->close(service->env->world, cache->entries[place].fd);
	cache->entries[place].segment = segment;
	cache->entries[place].fd = fd;
	*ret_fd = fd;
	return OK;
}

void
segment_cache_close(struct queue_service *service)
{
	for (uint32_t i = 0; i < QUEUE_SEGMENTS; i++)
		if (service->segments.entries[i].fd >= 0)
			service->env->disk->close(
				service->env->world, service->segments.entries[i].fd);
}

enum error
queue_read_envelope(struct queue_service *service, const struct queued *queued, struct arena *arena,
	struct envelope *ret_envelope)
{
	struct slice bytes = slice_of(queued->envelope, queued->envelope_bytes);
	struct buffer payload;
	struct slice copy;
	int fd;

	if (queued->envelope)
		return arena_copy(arena, bytes, &copy) ? envelope_decode(copy, arena, ret_envelope)
						       : ERROR_NO_MEMORY;
	enum error error = queue_segment_fd(service, queued->message.segment, &fd);
	if (error != OK)
		return error;
	buffer_init(&payload, service->env->memory, ENVELOPE_BYTES_MAX);
	error = spool_read_record(service->env, fd, &queued->message, &payload);
	if (error == OK && !arena_copy(arena, buffer_slice(&payload), &copy))
		error = ERROR_NO_MEMORY;
	buffer_done(&payload);
	return error == OK ? envelope_decode(copy, arena, ret_envelope) : error;
}

static void
opened_free(struct queue_service *service, struct opened *opened)
{
	arena_done(&opened->arena);
	memory_put(service->env->memory, opened);
}

enum error
message_open(struct queue_service *service, struct queued *queued, struct opened **ret_opened)
{
	struct opened *opened = queued->opened;

	if (!opened) {
		opened = memory_try(service->env->memory, sizeof *opened);
		if (!opened)
			return ERROR_NO_MEMORY;
		arena_init(&opened->arena, service->env->memory, OPENED_ARENA_MAX);
		enum error error =
			queue_read_envelope(service, queued, &opened->arena, &opened->envelope);
		if (error != OK) {
			opened_free(service, opened);
			return error;
		}
		queued->opened = opened;
	}
	opened->users++;
	*ret_opened = opened;
	return OK;
}

void
message_close(struct queue_service *service, struct queued *queued)
{
	if (--queued->opened->users > 0)
		return;
	opened_free(service, queued->opened);
	queued->opened = NULL;
}

static enum error
copy_content(struct queue_service *service, const struct spool_reference *content, int memfd)
{
	struct env *env = service->env;
	uint8_t *piece = memory_try(env->memory, COPY_PIECE);
	uint64_t at = 0;
	int fd = -1;
	enum error error =
		piece ? queue_segment_fd(service, content->segment, &fd) : ERROR_NO_MEMORY;

	while (error == OK && at < content->size) {
		size_t len =
			content->size - at < COPY_PIECE ? (size_t)(content->size - at) : COPY_PIECE;
		ssize_t got =
			env->disk->pread(env->world, fd, piece, len, (off_t)(content->offset + at));
		struct iovec iov = {piece, got > 0 ? (size_t)got : 0};
		if (got <= 0 || env->disk->pwritev(env->world, memfd, &iov, 1, (off_t)at) != got)
			error = ERROR_IO;
		else
			at += (uint64_t)got;
	}
	memory_put(env->memory, piece);
	return error;
}

enum error
content_copy(struct queue_service *service, const struct spool_reference *content, int *ret_memfd)
{
	struct env *env = service->env;
	int memfd = env->shared->create(env->world, "veredus-content", 0);

	if (memfd < 0)
		return error_from_errno(-memfd);
	enum error error = copy_content(service, content, memfd);
	if (error == OK && env->shared->seal(env->world, memfd, SHARED_CONSTANT) < 0)
		error = ERROR_UNSUPPORTED;
	if (error != OK) {
		env->disk->close(env->world, memfd);
		return error;
	}
	*ret_memfd = memfd;
	return OK;
}
