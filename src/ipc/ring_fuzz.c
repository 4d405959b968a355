/*
 * The ring with a peer that writes all the time. The input is a list of steps: what the other side
 * does to the shared memory (submissions, links and completions of any value, published or not, and
 * octets anywhere in the head), and looks of ours in between, so that memory changes between peek
 * and gather too. Both ends are ours to be attacked.
 */
#include "ipc/ring.h"

#include "base/cursor.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOCKS     3
#define PIECES_MAX 5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum step {
	STEP_SUBMIT,
	STEP_LINK,
	STEP_PUBLISH,
	STEP_PEEK,
	STEP_GATHER,
	STEP_PASS,
	STEP_COMPLETE,
	STEP_TAKE,
	STEP_POKE,
	STEP_SLEEP,
	STEPS
};

struct world {
	struct env env;
	int fd;
	uint8_t *memory;
	size_t bytes, head_bytes;
	struct ring_producer session;
	struct ring_consumer queue;
	struct ring_submission peeked;
	bool has_peeked;
	uint64_t sum; /* of what lies in the pieces: they can be read */
};

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
world_open(struct world *world)
{
	env_init_linux(&world->env);
	require(ring_memory_new(&world->env, BLOCKS, &world->fd) == OK);
	world->bytes = ring_memory_bytes(BLOCKS);
	world->head_bytes = world->bytes - BLOCKS * RING_BLOCK_BYTES;
	world->memory = mmap(NULL, world->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, world->fd, 0);
	require(world->memory != MAP_FAILED);
	require(ring_producer_open(&world->session, &world->env, world->fd, -1) == OK);
	require(ring_consumer_open(&world->queue, &world->env, world->fd, -1) == OK);
}

static void
world_close(struct world *world)
{
	ring_producer_close(&world->session);
	ring_consumer_close(&world->queue);
	munmap(world->memory, world->bytes);
	close(world->fd);
	env_done(&world->env);
}

static void
check_pieces(struct world *world, const struct iovec *pieces, int count, uint64_t content_bytes)
{
	uintptr_t low = (uintptr_t)world->queue.shared + world->head_bytes;
	uint64_t bytes = 0;

	require(count >= 0 && count <= PIECES_MAX);
	for (int i = 0; i < count; i++) {
		uintptr_t at = (uintptr_t)pieces[i].iov_base;
		require(at >= low && (at - low) % RING_BLOCK_BYTES == 0 &&
			(at - low) / RING_BLOCK_BYTES < BLOCKS);
		require(pieces[i].iov_len > 0 && pieces[i].iov_len <= RING_BLOCK_BYTES);
		world->sum += ((uint8_t *)pieces[i].iov_base)[pieces[i].iov_len - 1];
		bytes += pieces[i].iov_len;
	}
	require(bytes == content_bytes);
}

static void
gather(struct world *world)
{
	struct iovec pieces[PIECES_MAX];
	int count;

	if (!world->has_peeked)
		return;
	uint8_t *envelope = malloc(world->peeked.envelope_bytes + 1);
	require(envelope != NULL);
	enum error error =
		ring_gather(&world->queue, &world->peeked, pieces, PIECES_MAX, &count, envelope);
	if (error == OK)
		check_pieces(world, pieces, count, world->peeked.content_bytes);
	else
		require(error == ERROR_DAMAGED || error == ERROR_LIMIT);
	free(envelope);
}

static void
peek(struct world *world)
{
	enum error error = ring_peek_submission(&world->queue, &world->peeked);

	world->has_peeked = error == OK;
	if (error != OK)
		return;
	require(world->peeked.token < RING_ENTRIES && world->peeked.kind < RING_KINDS);
	require(world->peeked.content_bytes <= BLOCKS * RING_BLOCK_BYTES &&
		world->peeked.envelope_bytes <= BLOCKS * RING_BLOCK_BYTES);
}

static void
take(struct world *world)
{
	struct ring_completion completion;

	if (ring_take_completion(&world->session, &completion) == OK)
		require(completion.token < RING_ENTRIES && completion.status < RING_STATUSES);
}

static void
submit(struct world *world, struct cursor *input)
{
	struct ring_submission submission = {.token = cursor_take_u16(input),
		.first_block = cursor_take_u8(input),
		.content_bytes = cursor_take_u32(input),
		.envelope_bytes = cursor_take_u32(input)};
	uint8_t kind = cursor_take_u8(input); /* its high bit: with an offset */

	submission.kind = kind & 0x7f;
	submission.offset = kind & 0x80 ? cursor_take_u64(input) : 0;

	ring_submit(&world->session, &submission);
}

static void
complete(struct world *world, struct cursor *input)
{
	struct ring_completion completion = {
		.token = cursor_take_u16(input), .status = cursor_take_u8(input)};

	ring_complete(&world->queue, &completion);
	ring_publish_completions(&world->queue);
}

static void
poke(struct world *world, struct cursor *input)
{
	size_t at = cursor_take_u16(input) % (world->head_bytes - 4);
	struct slice bytes = cursor_take(input, 4);

	if (bytes.len > 0)
		memcpy(world->memory + at, bytes.ptr, bytes.len);
}

static void
sleep_and_wake(struct world *world)
{
	ring_consumer_may_sleep(&world->queue);
	ring_producer_may_sleep(&world->session);
	ring_consumer_woke(&world->queue);
	ring_producer_woke(&world->session);
}

static void
step(struct world *world, struct cursor *input)
{
	uint32_t block;

	switch (cursor_take_u8(input) % STEPS) {
	case STEP_SUBMIT:
		submit(world, input);
		return;
	case STEP_LINK:
		block = cursor_take_u8(input) % BLOCKS;
		ring_block_link(&world->session, block, cursor_take_u8(input));
		return;
	case STEP_PUBLISH:
		ring_publish(&world->session);
		return;
	case STEP_PEEK:
		peek(world);
		return;
	case STEP_GATHER:
		gather(world);
		return;
	case STEP_PASS:
		ring_pass_submission(&world->queue);
		world->has_peeked = false;
		return;
	case STEP_COMPLETE:
		complete(world, input);
		return;
	case STEP_TAKE:
		take(world);
		return;
	case STEP_POKE:
		poke(world, input);
		return;
	default:
		sleep_and_wake(world);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_of(slice_of(data, size));
	struct world world = {.has_peeked = false};

	world_open(&world);
	while (input.error == OK && cursor_left(&input) > 0)
		step(&world, &input);
	peek(&world);
	gather(&world);
	take(&world);
	world_close(&world);
	return 0;
}
