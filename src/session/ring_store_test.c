/*
 * Whole trips through a ring, with a queue of the test's at the other end: a task that takes
 * submissions, keeps what they hold, and answers as it was told.
 */
#include "session/ring_store.h"
#include "ipc/ring.h"
#include "descriptors.h"
#include "virtual_env.h"

#include <unistd.h>

#define BLOCKS       24 /* the floors of three messages, and nine that are lent */
#define MOST         ((RING_FLOOR_BLOCKS + 9) * (uint64_t)RING_BLOCK_BYTES) /* that one can hold */
#define MANY_BLOCKS  (RING_BLOCKS_EACH * RING_ENTRIES)
#define PIECES       64
#define MESSAGES_MAX 64
#define FOREVER      (3600 * US_PER_S)

struct kept {
	uint32_t token;
	struct buffer content;
	struct buffer envelope;
};

/* A queue process: it lives from queue_start to queue_die. */
struct fake_queue {
	struct world *world;
	struct ring_consumer ring;
	struct watch watch;
	struct task_group tasks;
	int wake_fd;
};

struct world {
	struct virtual_env *v;
	struct env *env;
	struct loop *loop;
	struct task_group tasks;
	struct ring_store *store;
	struct accept_store *accept;
	struct fake_queue *queue;
	int session_wake_fd; /* a copy: the store owns its own */
	uint32_t blocks;
	enum ring_status status;
	bool silent; /* takes, but does not answer */
	enum ring_status piece_status;
	struct buffer streams[RING_ENTRIES]; /* what came of each behind its head */
	uint64_t heads[RING_ENTRIES];
	uint32_t pieces, patches, aborts;
	struct kept kept[MESSAGES_MAX];
	uint32_t count;
	uint32_t ended; /* clients */
};

static void
keep(struct world *world, struct fake_queue *queue, const struct ring_submission *submission)
{
	struct kept *kept = &world->kept[world->count++];
	struct iovec pieces[PIECES];
	int count;

	ck_assert_uint_le(world->count, MESSAGES_MAX);
	uint8_t *envelope = memory_get(world->env->memory, submission->envelope_bytes);
	ck_assert_ok(ring_gather(&queue->ring, submission, pieces, PIECES, &count, envelope));
	kept->token = submission->token;
	buffer_init(&kept->content, world->env->memory, 64u << 20);
	buffer_init(&kept->envelope, world->env->memory, 64u << 20);
	for (int i = 0; i < count; i++)
		buffer_append(&kept->content, slice_of(pieces[i].iov_base, pieces[i].iov_len));
	if (submission->kind == RING_COMMIT) {
		ck_assert_uint_eq(kept->content.len, world->heads[submission->token]);
		buffer_append(&kept->content, buffer_slice(&world->streams[submission->token]));
		buffer_done(&world->streams[submission->token]);
	}
	buffer_append(&kept->envelope, slice_of(envelope, submission->envelope_bytes));
	memory_put(world->env->memory, envelope);
}

static void
queue_answer(struct fake_queue *queue, uint32_t token, uint32_t status)
{
	struct ring_completion answer = {
		.token = token, .status = status, .queue_id = 1000 + token};

	ring_complete(&queue->ring, &answer);
	ring_publish_completions(&queue->ring);
}

/* A piece of a stream, which begins with the first; whether its answer is not a message's. */
static bool
take_piece(struct world *world, struct fake_queue *queue, const struct ring_submission *submission)
{
	struct buffer *stream = &world->streams[submission->token];
	struct iovec pieces[PIECES];
	int count;

	if (submission->kind == RING_WHOLE || submission->kind == RING_COMMIT)
		return false;
	ck_assert_ok(ring_gather(&queue->ring, submission, pieces, PIECES, &count, NULL));
	if (submission->kind == RING_ABORT) {
		world->aborts++;
		buffer_done(stream);
		return true;
	}
	if (submission->kind == RING_MORE && !stream->memory) {
		buffer_init(stream, world->env->memory, 64u << 20);
		world->heads[submission->token] = submission->offset;
	}
	uint64_t at = submission->offset - world->heads[submission->token];
	world->pieces += submission->kind == RING_MORE;
	world->patches += submission->kind == RING_PATCH;
	for (int i = 0; i < count; i++) {
		if (submission->kind == RING_MORE) {
			ck_assert_uint_eq(at, stream->len);
			buffer_append(stream, slice_of(pieces[i].iov_base, pieces[i].iov_len));
		} else {
			ck_assert_uint_le(at + pieces[i].iov_len, stream->len);
			memcpy(stream->ptr + at, pieces[i].iov_base, pieces[i].iov_len);
		}
		at += pieces[i].iov_len;
	}
	if (world->piece_status != RING_TAKEN)
		buffer_done(stream);
	return true;
}

static void
queue_run(void *arg)
{
	struct fake_queue *queue = arg;
	struct world *world = queue->world;
	struct ring_submission submission;
	enum error error = OK;

	while (error == OK) {
		while (ring_take_submission(&queue->ring, &submission) == OK) {
			if (take_piece(world, queue, &submission)) {
				if (!world->silent)
					queue_answer(queue, submission.token,
						submission.kind == RING_ABORT
							? RING_TAKEN
							: world->piece_status);
				continue;
			}
			keep(world, queue, &submission);
			if (!world->silent)
				queue_answer(queue, submission.token, world->status);
		}
		if (ring_consumer_may_sleep(&queue->ring))
			error = watch_wait(&queue->watch, POLL_READABLE, MONO_NEVER);
		ring_consumer_woke(&queue->ring);
	}
}

static void
queue_start(struct world *world)
{
	struct fake_queue *queue = memory_get(world->env->memory, sizeof *queue);
	int memory_fd;

	queue->world = world;
	queue->wake_fd = world->env->poll->wake_create(NULL);
	ck_assert_ok(ring_memory_new(&world->v->env, world->blocks, &memory_fd));
	ck_assert_ok(
		ring_consumer_open(&queue->ring, world->env, memory_fd, world->session_wake_fd));
	ck_assert_ok(watch_open(&queue->watch, world->loop, queue->wake_fd, POLL_READABLE));
	task_group_init(&queue->tasks, world->loop);
	ck_assert_ok(task_start(&queue->tasks, "queue", queue_run, queue));
	ck_assert_ok(ring_store_connect(world->store, memory_fd, dup(queue->wake_fd)));
	world->queue = queue;
}

/* May wait. The process ends; the session learns it from its channel. */
static void
queue_die(struct world *world)
{
	struct fake_queue *queue = world->queue;

	task_group_cancel(&queue->tasks);
	task_group_wait(&queue->tasks);
	watch_close(&queue->watch);
	close(queue->wake_fd);
	ring_consumer_close(&queue->ring);
	memory_put(world->env->memory, queue);
	world->queue = NULL;
	for (uint32_t i = 0; i < RING_ENTRIES; i++)
		buffer_done(&world->streams[i]);
	ring_store_disconnect(world->store);
}

static mono_us
after(struct world *world, int64_t us)
{
	return loop_deadline(world->loop, us);
}

/* Octet number `at` of the content that client `seed` sends. */
static uint8_t
octet(uint32_t seed, uint64_t at)
{
	return (uint8_t)(at * 31 + (at >> 8) * 17 + (at >> 16) * 7 + seed);
}

/* May wait: `len` more octets, in pieces of at most `piece`. */
static enum error
send_content(struct world *world, struct acceptance *a, uint32_t seed, uint64_t from, uint64_t len,
	size_t piece)
{
	for (uint64_t at = from; at < from + len;) {
		uint8_t *room, *again;
		size_t size, size_again;
		enum error error = world->accept->ops->room(a, after(world, FOREVER), &room, &size);
		if (error != OK)
			return error;
		ck_assert_uint_ge(size, 1);
		ck_assert_ok(
			world->accept->ops->room(a, after(world, FOREVER), &again, &size_again));
		ck_assert(again == room && size_again == size);
		if (size > piece)
			size = piece;
		if (size > from + len - at)
			size = (size_t)(from + len - at);
		for (size_t i = 0; i < size; i++)
			room[i] = octet(seed, at + i);
		world->accept->ops->fill(a, size);
		at += size;
		if (piece < SIZE_MAX) /* else it all comes in one turn */
			task_yield(world->loop);
	}
	return OK;
}

static const struct envelope_recipient recipients[] = {{SLICE_INIT("anna@example.org")}};

static struct envelope
envelope_for(uint64_t size)
{
	return (struct envelope){.received_at = 1,
		.reverse_path = SLICE("sender@example.net"),
		.recipients = recipients,
		.recipient_count = 1,
		.content_size = size,
		.trace_id_at = SIZE_MAX};
}

static enum accept_outcome
commit(struct world *world, struct acceptance *a, uint64_t size, int64_t timeout_us,
	uint64_t *ret_id)
{
	struct envelope envelope = envelope_for(size);

	return world->accept->ops->commit(a, &envelope, after(world, timeout_us), ret_id);
}

static struct acceptance *
begin(struct world *world)
{
	struct acceptance *a;

	ck_assert_ok(world->accept->ops->begin(world->accept, after(world, FOREVER), &a));
	return a;
}

static void
check_kept(struct world *world, uint32_t number, uint32_t seed, uint64_t size)
{
	struct kept *kept = &world->kept[number];
	struct arena arena;
	struct envelope envelope;

	ck_assert_uint_lt(number, world->count);
	ck_assert_uint_eq(kept->content.len, size);
	for (uint64_t at = 0; at < size; at++)
		if (kept->content.ptr[at] != octet(seed, at))
			ck_abort_msg("octet %llu of %llu is wrong", (unsigned long long)at,
				(unsigned long long)size);
	arena_init(&arena, world->env->memory, 65536);
	ck_assert_ok(envelope_decode(buffer_slice(&kept->envelope), &arena, &envelope));
	ck_assert_uint_eq(envelope.content_size, size);
	ck_assert_slice_eq(envelope.recipients[0].address, "anna@example.org");
	arena_done(&arena);
}

/* May wait: one message from begin to a durable commit. */
static void
whole_trip(struct world *world, uint32_t seed, uint64_t size, size_t piece)
{
	struct acceptance *a = begin(world);
	uint64_t id = 0;

	ck_assert_ok(send_content(world, a, seed, 0, size, piece));
	ck_assert_int_eq(commit(world, a, size, FOREVER, &id), ACCEPT_DURABLE);
	ck_assert_uint_ge(id, 1000);
}

static void
drop_kept(struct world *world)
{
	for (uint32_t i = 0; i < world->count; i++) {
		buffer_done(&world->kept[i].content);
		buffer_done(&world->kept[i].envelope);
	}
	world->count = 0;
}

/* Runs `body` as a task with a store, a living queue of `blocks`, and checks that nothing is left
 * behind. */
static void
run_with(task_body *body, uint32_t blocks)
{
	int before = descriptors_open();
	struct virtual_env *v = virtual_env_new(0);
	struct world *world = memory_get(v->env.memory, sizeof *world);

	*world = (struct world){
		.v = v, .env = &v->env, .blocks = blocks, .piece_status = RING_TAKEN};
	world->loop = loop_new(&v->env, &(struct loop_options){.watchdog_us = 0});
	task_group_init(&world->tasks, world->loop);
	world->session_wake_fd = v->env.poll->wake_create(NULL);
	world->store = ring_store_new(&v->env, dup(world->session_wake_fd));
	world->accept = ring_store_accept(world->store);
	queue_start(world);
	ck_assert_ok(task_start(&world->tasks, "test", body, world));
	loop_run(world->loop);
	ring_store_free(&world->store);
	drop_kept(world);
	close(world->session_wake_fd);
	loop_free(&world->loop);
	memory_put(v->env.memory, world);
	ck_assert_uint_eq(memory_used(v->env.memory), 0);
	virtual_env_free(v);
	ck_assert_int_eq(descriptors_open(), before);
}

static void
sizes_body(void *arg)
{
	static const uint64_t sizes[] = {0, 1, 7, 8, 9, RING_BLOCK_BYTES - 136,
		RING_BLOCK_BYTES - 8, RING_BLOCK_BYTES - 7, RING_BLOCK_BYTES - 1, RING_BLOCK_BYTES,
		RING_BLOCK_BYTES + 1, 2 * RING_BLOCK_BYTES - 1, 2 * RING_BLOCK_BYTES,
		2 * RING_BLOCK_BYTES + 1, 5 * RING_BLOCK_BYTES - 1000};
	struct world *world = arg;

	for (uint32_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		whole_trip(world, i, sizes[i], SIZE_MAX);
		check_kept(world, world->count - 1, i, sizes[i]);
		whole_trip(world, i, sizes[i], 4093);
		check_kept(world, world->count - 1, i, sizes[i]);
	}
	queue_die(world);
}

START_TEST(content_and_envelope_arrive_whole)
{
	run_with(sizes_body, BLOCKS);
}
END_TEST

/* Piece by piece another content, over the borders of blocks. */
static void
overwrite_body(void *arg)
{
	static const uint64_t pieces[] = {1, 7, RING_BLOCK_BYTES - 1, RING_BLOCK_BYTES,
		RING_BLOCK_BYTES + 1, 2 * RING_BLOCK_BYTES};
	static uint8_t octets[2 * RING_BLOCK_BYTES];
	const uint64_t size = 3 * RING_BLOCK_BYTES;
	struct world *world = arg;
	struct acceptance *a = begin(world);
	uint64_t at = 0, id = 0;

	ck_assert_ok(send_content(world, a, 1, 0, size, SIZE_MAX));
	for (size_t i = 0; at < size; i = (i + 1) % (sizeof pieces / sizeof *pieces)) {
		uint64_t len = pieces[i] < size - at ? pieces[i] : size - at;
		for (uint64_t j = 0; j < len; j++)
			octets[j] = octet(2, at + j);
		world->accept->ops->overwrite(a, at, slice_of(octets, len));
		at += len;
	}
	ck_assert_int_eq(commit(world, a, size, FOREVER, &id), ACCEPT_DURABLE);
	check_kept(world, world->count - 1, 2, size);
	queue_die(world);
}

START_TEST(content_is_overwritten)
{
	run_with(overwrite_body, BLOCKS);
}
END_TEST

static void
outcomes_body(void *arg)
{
	static const struct {
		enum ring_status status;
		enum accept_outcome outcome;
	} table[] = {{RING_DURABLE, ACCEPT_DURABLE}, {RING_FAILED, ACCEPT_FAILED},
		{RING_NO_SPACE, ACCEPT_NO_SPACE}, {RING_UNKNOWN, ACCEPT_UNKNOWN}};
	struct world *world = arg;

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		uint64_t id = 7;
		world->status = table[i].status;
		ck_assert_int_eq(commit(world, begin(world), 0, FOREVER, &id), table[i].outcome);
		ck_assert((id != 7) == (table[i].outcome == ACCEPT_DURABLE));
	}
	struct acceptance *aborted = begin(world);
	ck_assert_ok(send_content(world, aborted, 1, 0, 100, SIZE_MAX));
	world->accept->ops->abort(aborted);
	world->accept->ops->abort(NULL);
	ck_assert_uint_eq(world->count, 4); /* the aborted one was never seen */
	queue_die(world);
}

START_TEST(answers_become_outcomes)
{
	run_with(outcomes_body, BLOCKS);
}
END_TEST

#define LARGE (7 * (uint64_t)RING_BLOCK_BYTES + 100)

static void
large_client(void *arg)
{
	struct world *world = arg;

	whole_trip(world, 5, LARGE, 1000);
	world->ended++;
}

/* May wait: until all clients have ended. */
static void
wait_for_clients(struct world *world, uint32_t count)
{
	for (int i = 0; world->ended < count && i < 1000; i++)
		ck_assert_ok(task_sleep(world->loop, after(world, US_PER_MS)));
	ck_assert_uint_eq(world->ended, count);
}

/* Three at a time, each of which needs three of the nine blocks beside its floor. */
static void
many_large_body(void *arg)
{
	struct world *world = arg;

	for (int i = 0; i < 6; i++)
		ck_assert_ok(task_start(&world->tasks, "client", large_client, world));
	wait_for_clients(world, 6);
	for (uint32_t i = 0; i < 6; i++)
		check_kept(world, i, 5, LARGE);
	queue_die(world);
}

START_TEST(large_messages_do_not_wait_for_each_other)
{
	run_with(many_large_body, BLOCKS);
}
END_TEST

static void
out_of_blocks_body(void *arg)
{
	struct world *world = arg;
	struct acceptance *all = begin(world), *late = begin(world);
	uint8_t *room;
	size_t size;
	uint64_t id;

	ck_assert_ok(send_content(world, all, 1, 0, MOST - 1000, SIZE_MAX));
	ck_assert_ok(
		send_content(world, late, 1, 0, RING_FLOOR_BLOCKS * RING_BLOCK_BYTES, SIZE_MAX));
	/* A content never waits: what there is no block for goes to the queue. */
	mono_us before = loop_now(world->loop);
	ck_assert_ok(world->accept->ops->room(late, after(world, US_PER_S), &room, &size));
	ck_assert_int_eq(loop_now(world->loop), before);
	whole_trip(world, 5, LARGE, SIZE_MAX);
	check_kept(world, 0, 5, LARGE);
	ck_assert_int_eq(commit(world, all, MOST - 1000, FOREVER, &id), ACCEPT_DURABLE);
	check_kept(world, 1, 1, MOST - 1000);
	world->accept->ops->abort(late);
	whole_trip(world, 2, 10, SIZE_MAX);
	queue_die(world);
}

START_TEST(without_blocks_it_waits_and_goes_on)
{
	run_with(out_of_blocks_body, BLOCKS);
}
END_TEST

/* Two have all that is lent and send no more: others do not wait for them, and when these want more
 * than their floor, what the two have goes to the queue. Nothing of it is lost. */
static void
slow_holders_body(void *arg)
{
	struct world *world = arg;
	struct acceptance *slow[2] = {begin(world), begin(world)};
	const uint64_t sizes[2] = {9 * RING_BLOCK_BYTES, 10 * RING_BLOCK_BYTES - 100};
	uint64_t id;
	uint8_t *room;
	size_t size;

	ck_assert_ok(send_content(world, slow[0], 1, 0, sizes[0], SIZE_MAX));
	ck_assert_ok(send_content(world, slow[1], 2, 0, sizes[1], SIZE_MAX));
	/* Octets may be on their way into this block when the others go. */
	ck_assert_ok(world->accept->ops->room(slow[1], after(world, FOREVER), &room, &size));
	mono_us start = loop_now(world->loop);
	whole_trip(world, 4, RING_FLOOR_BLOCKS * RING_BLOCK_BYTES - 1000, SIZE_MAX);
	whole_trip(world, 5, 3 * LARGE, SIZE_MAX);
	ck_assert_int_eq(loop_now(world->loop), start);
	check_kept(world, 1, 5, 3 * LARGE);
	/* An envelope that needs more has to wait until it is clear that they are slow. */
	whole_trip(world, 6, RING_FLOOR_BLOCKS * RING_BLOCK_BYTES, SIZE_MAX);
	ck_assert_int_le(loop_now(world->loop) - start, 3 * RING_WINDOW_US);
	for (size_t i = 0; i < size; i++)
		room[i] = octet(2, sizes[1] + i);
	world->accept->ops->fill(slow[1], size);
	ck_assert_int_eq(commit(world, slow[0], sizes[0], FOREVER, &id), ACCEPT_DURABLE);
	check_kept(world, 3, 1, sizes[0]);
	ck_assert_int_eq(commit(world, slow[1], sizes[1] + size, FOREVER, &id), ACCEPT_DURABLE);
	check_kept(world, 4, 2, sizes[1] + size);
	struct acceptance *all = begin(world);
	ck_assert_ok(send_content(world, all, 6, 0, MOST, SIZE_MAX)); /* all is there again */
	world->accept->ops->abort(all);
	queue_die(world);
}

static void
slowest_looks_body(void *arg)
{
	struct world *world = arg;
	struct acceptance *slow = begin(world), *other = begin(world), *third = begin(world);
	uint64_t block = RING_BLOCK_BYTES, late = 8000, id;

	ck_assert_ok(send_content(world, slow, 1, 0, 7 * block, SIZE_MAX));
	ck_assert_ok(send_content(world, other, 2, 0, 12 * block - late, SIZE_MAX));
	ck_assert_ok(task_sleep(world->loop, after(world, RING_WINDOW_US * 5 / 4)));
	ck_assert_ok(send_content(world, third, 3, 0, 6 * block, SIZE_MAX)); /* looks at them */
	world->accept->ops->abort(third);
	ck_assert_ok(task_sleep(world->loop, after(world, RING_WINDOW_US * 3 / 2)));
	ck_assert_ok(send_content(world, other, 2, 12 * block - late, late, SIZE_MAX));
	ck_assert_ok(send_content(world, slow, 1, 7 * block, block, SIZE_MAX));
	ck_assert_int_eq(commit(world, slow, 8 * block, FOREVER, &id), ACCEPT_DURABLE);
	world->accept->ops->abort(other);
	queue_die(world);
}

START_TEST(slow_ones_give_back_what_others_need)
{
	run_with(slow_holders_body, BLOCKS);
	run_with(slowest_looks_body, BLOCKS); /* for blocks: what it has goes once */
}
END_TEST

/* Sizes around each border, in a ring with room for it and in one without; what is put over the
 * content at its end is in place, before, over and behind the border of the head. */
static void
streams_body(void *arg)
{
	static const uint64_t sizes[] = {RING_STREAM_HEAD - 1, RING_STREAM_HEAD,
		RING_STREAM_HEAD + 1, RING_STREAM_CHAIN, RING_STREAM_CHAIN + 1, RING_WHOLE_MAX - 1,
		RING_WHOLE_MAX, RING_WHOLE_MAX + 1, 3u << 20};
	static uint8_t octets[RING_BLOCK_BYTES + 100];
	static const uint64_t places[] = {
		5, RING_STREAM_HEAD - 50, RING_STREAM_HEAD + 5, 30000 + 2 * RING_STREAM_HEAD};
	struct world *world = arg;
	uint64_t id;

	for (uint32_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		whole_trip(world, i, sizes[i], i % 2 ? SIZE_MAX : 7001);
		check_kept(world, world->count - 1, i, sizes[i]);
	}
	ck_assert_uint_ge(world->pieces, 3);
	for (uint32_t i = 0; i < sizeof places / sizeof *places; i++) {
		struct acceptance *a = begin(world);
		ck_assert_ok(send_content(world, a, 99, 0, 1u << 20, SIZE_MAX));
		memset(octets, 'x', sizeof octets);
		world->accept->ops->overwrite(a, places[i], slice_of(octets, sizeof octets));
		for (size_t j = 0; j < sizeof octets; j++)
			octets[j] = octet(99, places[i] + j);
		world->accept->ops->overwrite(a, places[i], slice_of(octets, sizeof octets));
		ck_assert_int_eq(commit(world, a, 1u << 20, FOREVER, &id), ACCEPT_DURABLE);
		check_kept(world, world->count - 1, 99, 1u << 20);
	}
	ck_assert_uint_gt(world->patches, 0);
	queue_die(world);
}

START_TEST(large_contents_are_streamed)
{
	run_with(streams_body, 8 * RING_BLOCKS_EACH);
	run_with(streams_body, RING_BLOCKS_EACH);
}
END_TEST

#define STREAMED ((uint64_t)2 << 20)

static void
stream_ends_body(void *arg)
{
	struct world *world = arg;
	struct acceptance *a = begin(world);
	uint8_t *room;
	size_t size;
	uint64_t id;

	/* Given up: the queue hears of it. */
	ck_assert_ok(send_content(world, a, 1, 0, STREAMED, SIZE_MAX));
	world->accept->ops->abort(a);
	ck_assert_ok(task_sleep(world->loop, after(world, US_PER_MS)));
	ck_assert_uint_eq(world->aborts, 1);
	/* The disk is full: so says what comes next, and nobody asks the queue again. */
	world->piece_status = RING_NO_SPACE;
	a = begin(world);
	ck_assert_int_eq(send_content(world, a, 1, 0, STREAMED, SIZE_MAX), ERROR_NO_SPACE);
	ck_assert_int_eq(
		world->accept->ops->room(a, after(world, FOREVER), &room, &size), ERROR_NO_SPACE);
	world->accept->ops->abort(a);
	world->piece_status = RING_TAKEN;
	/* The queue dies: what it had of it is gone. */
	a = begin(world);
	struct acceptance *b = begin(world);
	ck_assert_ok(send_content(world, a, 1, 0, STREAMED, SIZE_MAX));
	ck_assert_ok(send_content(world, b, 1, 0, STREAMED, SIZE_MAX));
	queue_die(world);
	queue_start(world);
	ck_assert_int_eq(commit(world, a, STREAMED, FOREVER, &id), ACCEPT_FAILED);
	ck_assert_int_ne(world->accept->ops->room(b, after(world, FOREVER), &room, &size), OK);
	world->accept->ops->abort(b);
	/* And while an answer is waited for. */
	world->silent = true;
	a = begin(world);
	ck_assert_int_eq(world->accept->ops->room(a, after(world, FOREVER), &room, &size), OK);
	ck_assert_uint_eq(world->aborts, 1);
	world->accept->ops->abort(a);
	world->silent = false;
	whole_trip(world, 3, STREAMED, SIZE_MAX);
	queue_die(world);
}

START_TEST(streams_end_in_all_ways)
{
	run_with(stream_ends_body, BLOCKS);
}
END_TEST

static void
dies_before_body(void *arg)
{
	struct world *world = arg;
	static const uint64_t cuts[] = {
		0, 1, RING_BLOCK_BYTES, RING_BLOCK_BYTES + 4464, 3 * RING_BLOCK_BYTES + 3392};

	for (uint32_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
		struct acceptance *a = begin(world);
		uint64_t id;
		ck_assert_ok(send_content(world, a, i, 0, cuts[i], SIZE_MAX));
		queue_die(world);
		queue_start(world);
		if (i % 2 == 0) /* else nothing more comes before the commit */
			ck_assert_ok(send_content(world, a, i, cuts[i], 1234, SIZE_MAX));
		uint64_t size = cuts[i] + (i % 2 == 0 ? 1234 : 0);
		ck_assert_int_eq(commit(world, a, size, FOREVER, &id), ACCEPT_DURABLE);
		check_kept(world, i, i, size);
	}
	queue_die(world);
}

START_TEST(what_is_not_handed_over_moves_to_the_next_queue)
{
	run_with(dies_before_body, BLOCKS);
}
END_TEST

/* The ring dies while the commit waits for blocks, once and again while it is being moved. */
static void
slow_client(void *arg)
{
	struct world *world = arg;
	uint64_t id, size = RING_FLOOR_BLOCKS * (uint64_t)RING_BLOCK_BYTES;
	struct acceptance *a = begin(world);

	ck_assert_ok(send_content(world, a, 9, 0, size, SIZE_MAX));
	ck_assert_int_eq(commit(world, a, size, FOREVER, &id), ACCEPT_DURABLE);
	world->ended++;
}

static void
dies_in_wait_body(void *arg)
{
	struct world *world = arg;

	for (int round = 0; round < 3; round++) {
		struct acceptance *all = begin(world);
		ck_assert_ok(send_content(world, all, 1, 0, MOST, SIZE_MAX));
		if (round == 0)
			ck_assert_ok(task_start(&world->tasks, "client", slow_client, world));
		ck_assert_ok(task_sleep(world->loop, after(world, US_PER_MS)));
		ck_assert_uint_eq(world->ended, 0);
		queue_die(world);
		ck_assert_ok(task_sleep(world->loop, after(world, US_PER_MS)));
		world->accept->ops->abort(all);
		queue_start(world);
	}
	wait_for_clients(world, 1);
	check_kept(world, 0, 9, RING_FLOOR_BLOCKS * (uint64_t)RING_BLOCK_BYTES);
	queue_die(world);
}

START_TEST(a_ring_may_die_under_whoever_waits_for_blocks)
{
	run_with(dies_in_wait_body, BLOCKS);
}
END_TEST

struct committing {
	struct world *world;
	enum accept_outcome outcome;
	mono_us ended_at;
};

static void
committing_client(void *arg)
{
	struct committing *c = arg;
	uint64_t id;

	c->outcome = commit(c->world, begin(c->world), 0, FOREVER, &id);
	c->ended_at = loop_now(c->world->loop);
	c->world->ended++;
}

static void
dies_after_body(void *arg)
{
	struct world *world = arg;
	struct committing c[3] = {{.world = world}, {.world = world}, {.world = world}};

	world->silent = true;
	for (int i = 0; i < 3; i++)
		ck_assert_ok(task_start(&world->tasks, "client", committing_client, &c[i]));
	while (world->count < 3)
		ck_assert_ok(task_sleep(world->loop, after(world, US_PER_MS)));
	ck_assert_uint_eq(world->ended, 0);
	mono_us died_at = loop_now(world->loop);
	queue_die(world);
	task_yield(world->loop);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(c[i].outcome, ACCEPT_UNKNOWN);
		ck_assert_int_eq(c[i].ended_at, died_at);
	}
	ck_assert_uint_eq(world->ended, 3);
}

START_TEST(what_was_handed_over_is_unknown_at_once)
{
	run_with(dies_after_body, BLOCKS);
}
END_TEST

static void
no_queue_body(void *arg)
{
	struct world *world = arg;
	struct acceptance *filled = begin(world), *waits = begin(world), *none;
	uint8_t *room;
	size_t size;
	uint64_t id;

	ck_assert_ok(send_content(world, filled, 1, 0, 5, SIZE_MAX));
	queue_die(world);
	mono_us start = loop_now(world->loop);
	ck_assert_int_eq(world->accept->ops->begin(world->accept, after(world, FOREVER), &none),
		ERROR_CLOSED);
	ck_assert_int_eq(loop_now(world->loop) - start, RING_STORE_HOLD_US);
	ck_assert_int_eq(commit(world, filled, 5, FOREVER, &id), ACCEPT_UNAVAILABLE);
	ck_assert_int_eq(loop_now(world->loop) - start, 2 * RING_STORE_HOLD_US);
	ck_assert_int_eq(
		world->accept->ops->room(waits, after(world, FOREVER), &room, &size), ERROR_CLOSED);
	world->accept->ops->abort(waits);
	/* A deadline that is nearer counts. */
	start = loop_now(world->loop);
	ck_assert_int_eq(world->accept->ops->begin(world->accept, after(world, US_PER_S), &none),
		ERROR_CLOSED);
	ck_assert_int_eq(loop_now(world->loop) - start, US_PER_S);
	queue_start(world);
	whole_trip(world, 3, 100, SIZE_MAX);
	queue_die(world);
}

START_TEST(without_a_queue_it_holds_ten_seconds)
{
	run_with(no_queue_body, BLOCKS);
}
END_TEST

/* Gives up three; the late answers give tokens and blocks back. */
static void
abandoned_body(void *arg)
{
	struct world *world = arg;
	struct acceptance **all = memory_get(world->env->memory, RING_ENTRIES * sizeof *all), *more;
	uint64_t id;

	world->silent = true;
	for (uint64_t i = 0; i < 3; i++) {
		struct acceptance *a = begin(world);
		ck_assert_ok(send_content(world, a, 0, 0, RING_BLOCK_BYTES * i, SIZE_MAX));
		ck_assert_int_eq(
			commit(world, a, RING_BLOCK_BYTES * i, US_PER_S, &id), ACCEPT_UNKNOWN);
	}
	for (uint32_t i = 0; i < RING_ENTRIES - 3; i++)
		all[i] = begin(world);
	ck_assert_int_eq(world->accept->ops->begin(world->accept, after(world, US_PER_S), &more),
		ERROR_TIMEOUT);
	for (uint32_t i = 0; i < 3; i++)
		queue_answer(world->queue, world->kept[i].token, RING_DURABLE);
	for (uint32_t i = RING_ENTRIES - 3; i < RING_ENTRIES; i++)
		all[i] = begin(world);
	ck_assert_ok(send_content(world, all[0], 0, 0, RING_WHOLE_MAX, SIZE_MAX));
	for (uint32_t i = 1; i < RING_ENTRIES; i++) /* every floor is there */
		ck_assert_ok(send_content(
			world, all[i], 0, 0, RING_FLOOR_BLOCKS * RING_BLOCK_BYTES, SIZE_MAX));
	for (uint32_t i = 0; i < RING_ENTRIES; i++)
		world->accept->ops->abort(all[i]);
	/* And without any answer, when the queue dies. */
	ck_assert_int_eq(commit(world, begin(world), 0, US_PER_S, &id), ACCEPT_UNKNOWN);
	queue_die(world);
	memory_put(world->env->memory, all);
}

START_TEST(late_answers_free_what_was_given_up)
{
	run_with(abandoned_body, MANY_BLOCKS);
}
END_TEST

enum hostility {
	ANSWER_UNKNOWN_TOKEN,
	ANSWER_UNSUBMITTED,
	ANSWER_TWICE,
	ANSWER_BAD_STATUS,
	ANSWER_TOO_MANY,
	HOSTILITIES
};

static void
be_hostile(struct world *world, enum hostility kind)
{
	uint32_t token = world->kept[world->count - 1].token;

	switch (kind) {
	case ANSWER_UNKNOWN_TOKEN:
		queue_answer(world->queue, RING_ENTRIES, RING_DURABLE);
		return;
	case ANSWER_UNSUBMITTED:
		queue_answer(world->queue, (token + 1) % RING_ENTRIES, RING_DURABLE);
		return;
	case ANSWER_TWICE:
		queue_answer(world->queue, token, RING_DURABLE);
		queue_answer(world->queue, token, RING_DURABLE);
		return;
	case ANSWER_BAD_STATUS:
		queue_answer(world->queue, token, RING_STATUSES);
		return;
	default:
		for (uint32_t i = 0; i <= RING_ENTRIES; i++)
			ring_complete(
				&world->queue->ring, &(struct ring_completion){.token = token});
		ring_publish_completions(&world->queue->ring);
	}
}

static void
hostile_body(void *arg)
{
	struct world *world = arg;

	world->silent = true;
	for (enum hostility kind = 0; kind < HOSTILITIES; kind++) {
		struct committing c = {.world = world};
		struct acceptance *other = begin(world); /* not handed over: it must survive */
		uint64_t id;
		world->ended = 0;
		ck_assert_ok(send_content(world, other, kind, 0, 70000, SIZE_MAX));
		ck_assert_ok(task_start(&world->tasks, "client", committing_client, &c));
		while (world->count < 1)
			ck_assert_ok(task_sleep(world->loop, after(world, US_PER_MS)));
		be_hostile(world, kind);
		wait_for_clients(world, 1);
		/* The first of two answers was a true one. */
		ck_assert_int_eq(c.outcome, kind == ANSWER_TWICE ? ACCEPT_DURABLE : ACCEPT_UNKNOWN);
		queue_die(world);
		drop_kept(world);
		queue_start(world);
		world->silent = false;
		ck_assert_int_eq(commit(world, other, 70000, FOREVER, &id), ACCEPT_DURABLE);
		check_kept(world, 0, kind, 70000);
		drop_kept(world);
		world->silent = true;
	}
	queue_die(world);
}

START_TEST(a_queue_that_breaks_the_rules_is_dropped)
{
	run_with(hostile_body, BLOCKS);
}
END_TEST

static void
cancelled_body(void *arg)
{
	struct world *world = arg;
	struct committing c = {.world = world};
	struct task_group group;

	world->silent = true;
	task_group_init(&group, world->loop);
	ck_assert_ok(task_start(&group, "client", committing_client, &c));
	while (world->count < 1)
		ck_assert_ok(task_sleep(world->loop, after(world, US_PER_MS)));
	task_group_cancel(&group);
	task_group_wait(&group);
	ck_assert_int_eq(c.outcome, ACCEPT_UNKNOWN);
	queue_answer(world->queue, world->kept[0].token, RING_DURABLE);
	ck_assert_ok(task_sleep(world->loop, after(world, US_PER_MS)));
	world->silent = false;
	whole_trip(world, 1, 100, SIZE_MAX);
	queue_die(world);
}

START_TEST(a_cancelled_commit_is_unknown)
{
	run_with(cancelled_body, BLOCKS);
}
END_TEST

/* The queue says that its disk is full: nothing is begun, what was begun goes on, and the word of a
 * queue that is gone means nothing. */
static void
full_body(void *arg)
{
	struct world *world = arg;
	const struct accept_store_ops *ops = world->accept->ops;
	struct acceptance *begun, *refused;

	ck_assert(!ops->is_full(world->accept));
	ck_assert_ok(ops->begin(world->accept, after(world, FOREVER), &begun));
	ring_consumer_set_no_space(&world->queue->ring, true);
	ck_assert(ops->is_full(world->accept));
	ck_assert_int_eq(
		ops->begin(world->accept, after(world, FOREVER), &refused), ERROR_NO_SPACE);
	uint8_t *room;
	size_t len;
	ck_assert_ok(ops->room(begun, after(world, FOREVER), &room, &len));
	ops->abort(begun);
	ring_consumer_set_no_space(&world->queue->ring, false);
	ck_assert(!ops->is_full(world->accept));
	whole_trip(world, 1, 100, SIZE_MAX);
	ring_consumer_set_no_space(&world->queue->ring, true);
	queue_die(world);
	ck_assert(!ops->is_full(world->accept));
	queue_start(world);
	whole_trip(world, 2, 100, SIZE_MAX);
	queue_die(world);
}

START_TEST(a_full_disk_is_told_before_a_message_begins)
{
	run_with(full_body, BLOCKS);
}
END_TEST

START_TEST(memory_that_is_no_ring_is_refused)
{
	int before = descriptors_open();
	struct virtual_env *v = virtual_env_new(0);
	struct loop *loop = loop_new(&v->env, &(struct loop_options){.watchdog_us = 0});
	struct ring_store *store = ring_store_new(&v->env, v->env.poll->wake_create(NULL));

	int not_a_ring = v->env.poll->wake_create(NULL);
	ck_assert_int_eq(ring_store_connect(store, not_a_ring, v->env.poll->wake_create(NULL)),
		ERROR_FORMAT);
	ring_store_free(&store);
	loop_free(&loop);
	virtual_env_free(v);
	ck_assert_int_eq(descriptors_open(), before);
}
END_TEST

UNIT_MAIN("session/ring_store", content_and_envelope_arrive_whole, content_is_overwritten,
	answers_become_outcomes, large_messages_do_not_wait_for_each_other,
	without_blocks_it_waits_and_goes_on, slow_ones_give_back_what_others_need,
	large_contents_are_streamed, streams_end_in_all_ways,
	what_is_not_handed_over_moves_to_the_next_queue,
	a_ring_may_die_under_whoever_waits_for_blocks, what_was_handed_over_is_unknown_at_once,
	without_a_queue_it_holds_ten_seconds, late_answers_free_what_was_given_up,
	a_queue_that_breaks_the_rules_is_dropped, a_cancelled_commit_is_unknown,
	a_full_disk_is_told_before_a_message_begins, memory_that_is_no_ring_is_refused)
