/*
 * A log ring whose other side writes what it likes: the input lies in the shared memory and pokes
 * at it between the reader's steps. The same for a writer whose reader lies about its head.
 *
 * Input: steps of an octet each, with their arguments behind.
 */
#include "ipc/log_ring.h"

#include "base/cursor.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define HEAD_BYTES   192 /* tail, head and flags, and the first octets of the ring */
#define TAKES_A_STEP 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum step { STEP_POKE, STEP_FILL, STEP_TAKE, STEP_WRITE, STEP_SLEEP, STEPS };

struct world {
	struct env env;
	int fd;
	uint8_t *memory;
	size_t bytes;
	struct log_writer writer;
	struct log_reader reader;
	bool damaged;
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
	require(log_ring_memory_new(&world->env, &world->fd) == OK);
	world->bytes = (size_t)lseek(world->fd, 0, SEEK_END);
	world->memory = mmap(NULL, world->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, world->fd, 0);
	require(world->memory != MAP_FAILED);
	require(log_writer_open(&world->writer, &world->env, world->fd, -1) == OK);
	require(log_reader_open(&world->reader, &world->env, world->fd) == OK);
}

static void
world_close(struct world *world)
{
	log_reader_close(&world->reader);
	log_writer_close(&world->writer);
	munmap(world->memory, world->bytes);
	close(world->fd);
	env_done(&world->env);
}

static void
take(struct world *world)
{
	uint8_t *storage = malloc(LOG_RECORD_MAX);
	struct slice record;

	require(storage != NULL);
	for (int i = 0; i < TAKES_A_STEP && !world->damaged; i++) {
		uint32_t before = world->reader.head;
		enum error error = log_reader_take(&world->reader, storage, &record);
		world->damaged = error == ERROR_DAMAGED;
		if (error != OK)
			break;
		require(record.ptr == storage && record.len <= LOG_RECORD_MAX);
		require(world->reader.head - before >= 4 + record.len); /* it ends some time */
	}
	log_reader_dropped(&world->reader);
	free(storage);
}

static void
step(struct world *world, struct cursor *input)
{
	struct slice bytes;
	size_t at;

	switch (cursor_take_u8(input) % STEPS) {
	case STEP_POKE:
		at = cursor_take_u8(input) % HEAD_BYTES;
		bytes = cursor_take(input, 4);
		break;
	case STEP_FILL:
		at = cursor_take_u32(input) % world->bytes;
		bytes = cursor_take(input, cursor_take_u8(input));
		if (bytes.len > world->bytes - at)
			bytes.len = world->bytes - at;
		break;
	case STEP_TAKE:
		take(world);
		return;
	case STEP_WRITE:
		bytes = cursor_take(input, cursor_take_u8(input));
		world->writer.sink.write(&world->writer.sink, bytes);
		return;
	default:
		if (!log_reader_may_sleep(&world->reader))
			take(world);
		log_reader_woke(&world->reader);
		return;
	}
	if (bytes.len > 0)
		memcpy(world->memory + at, bytes.ptr, bytes.len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor input = cursor_of(slice_of(data, size));
	struct world world = {.damaged = false};

	world_open(&world);
	while (input.error == OK && cursor_left(&input) > 0)
		step(&world, &input);
	take(&world);
	world_close(&world);
	return 0;
}
