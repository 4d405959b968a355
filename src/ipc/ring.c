/*
 * Layout: header, completions, submissions, links, then the blocks on a page boundary. Tails are
 * written by their producer with release order and read with acquire order; a sleep flag is set
 * before the last look and tested after each publication, both sequentially consistent, so that
 * either the sleeper sees the entry or the publisher sees the flag.
 */
#include "ipc/ring.h"

#define RING_MAGIC      0x676e6972u
#define RING_PAGE       4096u
#define RING_BLOCKS_MAX 65536u

struct ring_shared {
	uint32_t magic;
	uint32_t blocks;
	_Alignas(64) _Atomic uint32_t submission_tail; /* session */
	_Atomic uint32_t session_sleeps;
	_Alignas(64) _Atomic uint32_t completion_tail; /* queue */
	_Atomic uint32_t queue_sleeps;
	_Atomic uint32_t no_space; /* queue; advice, so any value of a hostile one is harmless */
	_Alignas(64) struct ring_completion completions[RING_ENTRIES];
	struct ring_submission submissions[RING_ENTRIES];
	_Atomic uint32_t next[];
};

static size_t
ring_blocks_offset(uint32_t blocks)
{
	size_t head = sizeof(struct ring_shared) + (size_t)blocks * sizeof(uint32_t);

	return (head + RING_PAGE - 1) & ~(size_t)(RING_PAGE - 1);
}

size_t
ring_memory_bytes(uint32_t blocks)
{
	return ring_blocks_offset(blocks) + (size_t)blocks * RING_BLOCK_BYTES;
}

enum error
ring_memory_new(struct env *env, uint32_t blocks, int *ret_fd)
{
	uint32_t head[2] = {RING_MAGIC, blocks}; /* magic and blocks of struct ring_shared */
	const struct iovec piece = {head, sizeof head};
	int fd = env->shared->create(env->world, "veredus-ring", ring_memory_bytes(blocks));

	if (fd < 0)
		return error_from_errno(-fd);
	ssize_t written = env->disk->pwritev(env->world, fd, &piece, 1, 0);
	enum error error = written < 0                       ? error_from_errno((int)-written)
			   : written != (ssize_t)sizeof head ? ERROR_NO_MEMORY
							     : OK;
	if (error == OK)
		error = error_from_errno(-env->shared->seal(env->world, fd, SHARED_FIXED_SIZE));
	if (error != OK)
		env->disk->close(env->world, fd);
	else
		*ret_fd = fd;
	return error;
}

/* The whole memory, and how many blocks its size (not its header) says it has. */
static enum error
ring_map(struct env *env, int memory_fd, struct ring_shared **ret_shared, size_t *ret_bytes,
	uint32_t *ret_blocks)
{
	struct stat stat;
	void *memory;
	int result = env->disk->fstat(env->world, memory_fd, &stat);

	if (result < 0)
		return error_from_errno(-result);
	size_t bytes = (size_t)stat.st_size;
	if (bytes < ring_memory_bytes(1) || bytes > ring_memory_bytes(RING_BLOCKS_MAX))
		return ERROR_FORMAT;
	result = env->shared->map(env->world, memory_fd, bytes, true, &memory);
	if (result < 0)
		return error_from_errno(-result);
	struct ring_shared *shared = memory;
	uint32_t blocks =
		*(const volatile uint32_t *)&shared
			 ->blocks; /* once: the other side may write it between two looks */
	if (shared->magic != RING_MAGIC || blocks > RING_BLOCKS_MAX ||
		ring_memory_bytes(blocks) != bytes) {
		env->shared->unmap(env->world, shared, bytes);
		return ERROR_FORMAT;
	}
	*ret_shared = shared;
	*ret_bytes = bytes;
	*ret_blocks = blocks;
	return OK;
}

/* UNSAFE: block < blocks is the caller's check */
static uint8_t *
block_at(struct ring_shared *shared, uint32_t blocks, uint32_t block)
{
	return (uint8_t *)shared + ring_blocks_offset(blocks) + (size_t)block * RING_BLOCK_BYTES;
}

static void
wake_if_asleep(struct env *env, _Atomic uint32_t *sleeps, int wake_fd)
{
	if (atomic_load(sleeps) != 0 && atomic_exchange(sleeps, 0) != 0)
		env->poll->wake_signal(env->world, wake_fd);
}

enum error
ring_producer_open(struct ring_producer *ring, struct env *env, int memory_fd, int queue_wake_fd)
{
	*ring = (struct ring_producer){.env = env, .queue_wake_fd = queue_wake_fd};
	enum error error =
		ring_map(env, memory_fd, &ring->shared, &ring->mapped_bytes, &ring->blocks);
	if (error != OK)
		return error;
	ring->free_blocks = memory_try(env->memory, ring->blocks * sizeof *ring->free_blocks);
	if (!ring->free_blocks) {
		env->shared->unmap(env->world, ring->shared, ring->mapped_bytes);
		ring->shared = NULL;
		return ERROR_NO_MEMORY;
	}
	for (uint32_t block = ring->blocks; block-- > 0;)
		ring->free_blocks[ring->free_count++] = block;
	return OK;
}

void
ring_producer_close(struct ring_producer *ring)
{
	if (!ring->shared)
		return;
	memory_put(ring->env->memory, ring->free_blocks);
	ring->env->shared->unmap(ring->env->world, ring->shared, ring->mapped_bytes);
	ring->shared = NULL;
}

enum error
ring_block_take(struct ring_producer *ring, uint32_t *ret_block)
{
	if (ring->free_count == 0)
		return ERROR_AGAIN;
	*ret_block = ring->free_blocks[--ring->free_count];
	return OK;
}

uint8_t *
ring_block_ptr(struct ring_producer *ring, uint32_t block)
{
	return block_at(ring->shared, ring->blocks, block);
}

void
ring_block_link(struct ring_producer *ring, uint32_t block, uint32_t next)
{
	atomic_store_explicit(&ring->shared->next[block], next, memory_order_relaxed);
}

void
ring_block_put(struct ring_producer *ring, uint32_t block)
{
	ring->free_blocks[ring->free_count++] = block;
}

void
ring_submit(struct ring_producer *ring, const struct ring_submission *submission)
{
	ring->shared->submissions[ring->submitted % RING_ENTRIES] = *submission;
	ring->submitted++;
}

void
ring_publish(struct ring_producer *ring)
{
	if (ring->submitted == ring->published)
		return;
	ring->published = ring->submitted;
	atomic_store(&ring->shared->submission_tail, ring->submitted);
	wake_if_asleep(ring->env, &ring->shared->queue_sleeps, ring->queue_wake_fd);
}

enum error
ring_take_completion(struct ring_producer *ring, struct ring_completion *ret_completion)
{
	uint32_t waiting =
		atomic_load_explicit(&ring->shared->completion_tail, memory_order_acquire) -
		ring->completed;

	if (waiting == 0)
		return ERROR_AGAIN;
	if (waiting > RING_ENTRIES)
		return ERROR_DAMAGED;
	/* One copy through a volatile view, as in ring_peek_submission. */
	const volatile struct ring_completion *entry =
		&ring->shared->completions[ring->completed % RING_ENTRIES];
	struct ring_completion completion = {
		.token = entry->token, .status = entry->status, .queue_id = entry->queue_id};
	if (completion.token >= RING_ENTRIES || completion.status >= RING_STATUSES)
		return ERROR_DAMAGED;
	ring->completed++;
	*ret_completion = completion;
	return OK;
}

bool
ring_producer_may_sleep(struct ring_producer *ring)
{
	atomic_store(&ring->shared->session_sleeps, 1);
	return atomic_load(&ring->shared->completion_tail) == ring->completed;
}

void
ring_producer_woke(struct ring_producer *ring)
{
	atomic_store_explicit(&ring->shared->session_sleeps, 0, memory_order_relaxed);
}

bool
ring_producer_no_space(const struct ring_producer *ring)
{
	return atomic_load_explicit(&ring->shared->no_space, memory_order_relaxed) != 0;
}

enum error
ring_consumer_open(struct ring_consumer *ring, struct env *env, int memory_fd, int session_wake_fd)
{
	*ring = (struct ring_consumer){.env = env, .session_wake_fd = session_wake_fd};
	return ring_map(env, memory_fd, &ring->shared, &ring->mapped_bytes, &ring->blocks);
}

void
ring_consumer_close(struct ring_consumer *ring)
{
	if (ring->shared)
		ring->env->shared->unmap(ring->env->world, ring->shared, ring->mapped_bytes);
	ring->shared = NULL;
}

void
ring_consumer_set_no_space(struct ring_consumer *ring, bool no_space)
{
	atomic_store_explicit(&ring->shared->no_space, no_space, memory_order_relaxed);
}

enum error
ring_peek_submission(struct ring_consumer *ring, struct ring_submission *ret_submission)
{
	uint32_t waiting =
		atomic_load_explicit(&ring->shared->submission_tail, memory_order_acquire) -
		ring->taken;

	if (waiting == 0)
		return ERROR_AGAIN;
	if (waiting > RING_ENTRIES)
		return ERROR_DAMAGED;
	/* One copy through a volatile view: the compiler must not read the hostile memory a second
	 * time after the checks. */
	const volatile struct ring_submission *entry =
		&ring->shared->submissions[ring->taken % RING_ENTRIES];
	struct ring_submission submission = {
		.token = entry->token,
		.first_block = entry->first_block,
		.content_bytes = entry->content_bytes,
		.envelope_bytes = entry->envelope_bytes,
		.kind = entry->kind,
		.offset = entry->offset,
	};
	uint64_t room = (uint64_t)ring->blocks * RING_BLOCK_BYTES;
	if (submission.token >= RING_ENTRIES || submission.content_bytes > room ||
		submission.envelope_bytes > room || submission.kind >= RING_KINDS)
		return ERROR_DAMAGED;
	*ret_submission = submission;
	return OK;
}

void
ring_pass_submission(struct ring_consumer *ring)
{
	ring->taken++;
}

enum error
ring_take_submission(struct ring_consumer *ring, struct ring_submission *ret_submission)
{
	enum error error = ring_peek_submission(ring, ret_submission);

	if (error == OK)
		ring_pass_submission(ring);
	return error;
}

static uint64_t
envelope_offset(const struct ring_submission *submission)
{
	return (submission->content_bytes + 7) & ~UINT64_C(7);
}

/* Copies the part of the envelope that lies in the block at chain offset `at`. */
static void
gather_envelope(const struct ring_submission *submission, const uint8_t *block, uint64_t at,
	uint8_t *envelope)
{
	uint64_t start = envelope_offset(submission), end = start + submission->envelope_bytes;
	uint64_t from = at > start ? at : start;
	uint64_t to = at + RING_BLOCK_BYTES < end ? at + RING_BLOCK_BYTES : end;

	if (from < to) /* UNSAFE: from..to lies in this block and in the envelope */
		memcpy(envelope + (from - start), block + (from - at), to - from);
}

enum error
ring_gather(const struct ring_consumer *ring, const struct ring_submission *submission,
	struct iovec *content, int max, int *ret_count, uint8_t *envelope)
{
	uint64_t total = envelope_offset(submission) + submission->envelope_bytes;
	uint32_t block = submission->first_block;
	int count = 0;

	/* Bounded by the total, not by the links: a chain that bites its tail costs nothing. */
	for (uint64_t at = 0; at < total; at += RING_BLOCK_BYTES) {
		if (block >= ring->blocks)
			return ERROR_DAMAGED;
		uint8_t *bytes = block_at(ring->shared, ring->blocks, block);
		if (at < submission->content_bytes) {
			uint64_t left = submission->content_bytes - at;
			if (count == max)
				return ERROR_LIMIT;
			content[count++] = (struct iovec){
				bytes, left < RING_BLOCK_BYTES ? left : RING_BLOCK_BYTES};
		}
		gather_envelope(submission, bytes, at, envelope);
		block = atomic_load_explicit(&ring->shared->next[block], memory_order_relaxed);
	}
	*ret_count = count;
	return OK;
}

void
ring_complete(struct ring_consumer *ring, const struct ring_completion *completion)
{
	ring->shared->completions[ring->answered % RING_ENTRIES] = *completion;
	ring->answered++;
}

void
ring_publish_completions(struct ring_consumer *ring)
{
	if (ring->answered == ring->published)
		return;
	ring->published = ring->answered;
	atomic_store(&ring->shared->completion_tail, ring->answered);
	wake_if_asleep(ring->env, &ring->shared->session_sleeps, ring->session_wake_fd);
}

bool
ring_consumer_may_sleep(struct ring_consumer *ring)
{
	atomic_store(&ring->shared->queue_sleeps, 1);
	return atomic_load(&ring->shared->submission_tail) == ring->taken;
}

void
ring_consumer_woke(struct ring_consumer *ring)
{
	atomic_store_explicit(&ring->shared->queue_sleeps, 0, memory_order_relaxed);
}
