/* A ring of octets: records as u32 length and bytes, padded to 4, wrapping anywhere on that grid.
 */
#include "ipc/log_ring.h"

#include <stdatomic.h>

struct log_ring_shared {
	_Alignas(64) _Atomic uint32_t tail; /* writer; counts octets, wraps at 2^32 */
	_Atomic uint32_t dropped;
	_Atomic uint32_t left_out;
	_Alignas(64) _Atomic uint32_t head; /* reader */
	_Atomic uint32_t reader_sleeps;
	_Alignas(64) uint8_t bytes[LOG_RING_BYTES];
};

enum error
log_ring_memory_new(struct env *env, int *ret_fd)
{
	int fd = env->shared->create(env->world, "veredus-log", sizeof(struct log_ring_shared));

	if (fd < 0)
		return error_from_errno(-fd);
	int result = env->shared->seal(env->world, fd, SHARED_FIXED_SIZE);
	if (result < 0) {
		env->disk->close(env->world, fd);
		return error_from_errno(-result);
	}
	*ret_fd = fd;
	return OK;
}

static enum error
log_ring_map(struct env *env, int memory_fd, struct log_ring_shared **ret_shared)
{
	struct stat stat;
	void *shared;

	if (env->disk->fstat(env->world, memory_fd, &stat) < 0 ||
		(size_t)stat.st_size != sizeof(struct log_ring_shared))
		return ERROR_FORMAT;
	int result = env->shared->map(
		env->world, memory_fd, sizeof(struct log_ring_shared), true, &shared);
	if (result < 0)
		return error_from_errno(-result);
	*ret_shared = shared;
	return OK;
}

static void
ring_put(struct log_ring_shared *shared, uint32_t at, struct slice bytes)
{
	size_t start = at % LOG_RING_BYTES;
	size_t first = LOG_RING_BYTES - start < bytes.len ? LOG_RING_BYTES - start : bytes.len;

	if (bytes.len == 0)
		return;
	memcpy(shared->bytes + start, bytes.ptr, first);
	if (first < bytes.len)
		memcpy(shared->bytes, bytes.ptr + first, bytes.len - first);
}

static void
ring_get(const struct log_ring_shared *shared, uint32_t at, uint8_t *bytes, size_t len)
{
	size_t start = at % LOG_RING_BYTES;
	size_t first = LOG_RING_BYTES - start < len ? LOG_RING_BYTES - start : len;

	memcpy(bytes, shared->bytes + start, first);
	memcpy(bytes + first, shared->bytes, len - first);
}

static uint32_t
padded(uint32_t len)
{
	return (len + 3) & ~UINT32_C(3);
}

static void
wake_reader(struct log_writer *writer)
{
	struct log_ring_shared *shared = writer->shared;

	if (atomic_load(&shared->reader_sleeps) != 0 &&
		atomic_exchange(&shared->reader_sleeps, 0) != 0)
		writer->env->poll->wake_signal(writer->env->world, writer->wake_fd);
}

/* By the record's own time; a clock that was set back begins a second, too. */
static bool
is_over_quota(struct log_writer *writer, struct slice record)
{
	wall_us now = log_record_time(record);

	if ((uint64_t)now - (uint64_t)writer->second >= US_PER_S) {
		writer->second = now;
		writer->in_second = 0;
	}
	return ++writer->in_second > LOG_RECORDS_A_SECOND;
}

static void
log_writer_write(struct log_sink *sink, struct slice record)
{
	struct log_writer *writer = (struct log_writer *)sink;
	struct log_ring_shared *shared = writer->shared;
	uint32_t len = (uint32_t)record.len;
	uint32_t needed = 4 + padded(len);

	bool of_mail = log_record_is_of_mail(record);
	uint32_t kept = of_mail ? 0 : LOG_RING_MAIL_BYTES;

	if (!of_mail && is_over_quota(writer, record)) {
		atomic_fetch_add(&shared->left_out, 1);
		wake_reader(writer);
		return;
	}
	if (record.len > LOG_RECORD_MAX ||
		LOG_RING_BYTES - (writer->tail - atomic_load(&shared->head)) < needed + kept) {
		atomic_fetch_add(&shared->dropped, 1);
		return;
	}
	ring_put(shared, writer->tail, slice_of(&len, sizeof len));
	ring_put(shared, writer->tail + 4, record);
	writer->tail += needed;
	atomic_store(&shared->tail, writer->tail);
	wake_reader(writer);
}

enum error
log_writer_open(struct log_writer *writer, struct env *env, int memory_fd, int wake_fd)
{
	*writer = (struct log_writer){.sink = {.write = log_writer_write, .signal_safe = true},
		.env = env,
		.wake_fd = wake_fd};
	enum error error = log_ring_map(env, memory_fd, &writer->shared);
	if (error == OK)
		writer->tail = atomic_load(&writer->shared->tail);
	return error;
}

void
log_writer_close(struct log_writer *writer)
{
	if (writer->shared)
		writer->env->shared->unmap(
			writer->env->world, writer->shared, sizeof *writer->shared);
	writer->shared = NULL;
}

enum error
log_reader_open(struct log_reader *reader, struct env *env, int memory_fd)
{
	*reader = (struct log_reader){.env = env};
	enum error error = log_ring_map(env, memory_fd, &reader->shared);
	if (error == OK)
		reader->head =
			atomic_load(&reader->shared->head); /* our own: a restarted reader goes on
							       where the last one was */
	return error;
}

void
log_reader_close(struct log_reader *reader)
{
	if (reader->shared)
		reader->env->shared->unmap(
			reader->env->world, reader->shared, sizeof *reader->shared);
	reader->shared = NULL;
}

enum error
log_reader_take(struct log_reader *reader, uint8_t *storage, struct slice *ret_record)
{
	struct log_ring_shared *shared = reader->shared;
	uint32_t waiting = atomic_load_explicit(&shared->tail, memory_order_acquire) - reader->head;
	uint32_t len;

	if (waiting == 0)
		return ERROR_AGAIN;
	if (waiting > LOG_RING_BYTES || waiting < 4)
		return ERROR_DAMAGED;
	ring_get(shared, reader->head, (uint8_t *)&len, sizeof len);
	atomic_signal_fence(memory_order_seq_cst); /* what is checked below is the copy: no second
						      look at hostile memory */
	if (len > LOG_RECORD_MAX || 4 + padded(len) > waiting)
		return ERROR_DAMAGED;
	ring_get(shared, reader->head + 4, storage, len);
	reader->head += 4 + padded(len);
	atomic_store(&shared->head, reader->head);
	*ret_record = slice_of(storage, len);
	return OK;
}

uint32_t
log_reader_dropped(struct log_reader *reader)
{
	uint32_t dropped = atomic_load(&reader->shared->dropped);
	uint32_t more = dropped - reader->dropped_seen;

	reader->dropped_seen = dropped;
	return more;
}

uint32_t
log_reader_left_out(struct log_reader *reader)
{
	uint32_t left_out = atomic_load(&reader->shared->left_out);
	uint32_t more = left_out - reader->left_out_seen;

	reader->left_out_seen = left_out;
	return more;
}

bool
log_reader_may_sleep(struct log_reader *reader)
{
	atomic_store(&reader->shared->reader_sleeps, 1);
	return atomic_load(&reader->shared->tail) == reader->head &&
	       atomic_load(&reader->shared->left_out) == reader->left_out_seen;
}

void
log_reader_woke(struct log_reader *reader)
{
	atomic_store_explicit(&reader->shared->reader_sleeps, 0, memory_order_relaxed);
}
