/*
 * The writer thread over a real spool in a folder of its own, with sessions that are producers of
 * rings in this process. The disk is Linux's behind a gate: flushes are seen, held up, and fail as
 * they are told.
 */
#include "queue/writer.h"

#include "descriptors.h"
#include "ipc/envelope.h"
#include "queue/session_test.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define TRACE   "Received: by mx.example.org id 0000000000000\r\n"
#define WAIT_MS 5000

/* What stands before the disk. Set by the test, read by the thread. */
struct gate {
	const struct disk_ops *disk;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool shut;        /* flushes wait for permits */
	unsigned waiting; /* flushes at the gate */
	unsigned permits;
	size_t watched; /* a write with a piece of so many octets is that of the message looked for
			 */
	bool written, flushed;
	_Atomic bool full;    /* no file grows any more */
	_Atomic int64_t room; /* what is said to be free; negative: Linux's answer */
	_Atomic int flush_error;
};

struct world {
	struct env env;
	struct env writer_env;
	struct disk_ops disk;
	struct gate gate;
	char folder[64];
	int dir_fd;
	int schedule_wake_fd;
	int writer_wake_fd; /* a copy: the writer owns its own */
	struct writer writer;
	struct spool *spool;
	struct session sessions[3];
	uint32_t session_count;
	uint64_t reserve; /* of free space; 0: not watched */
};

static bool
would_grow(int fd, const struct iovec *pieces, int count, off_t offset)
{
	struct stat stat;

	for (int i = 0; i < count; i++)
		offset += (off_t)pieces[i].iov_len;
	return fstat(fd, &stat) == 0 && stat.st_size < offset;
}

static ssize_t
gate_pwritev(void *arg, int fd, const struct iovec *pieces, int count, off_t offset)
{
	struct gate *gate = arg;

	if (atomic_load(&gate->full) && would_grow(fd, pieces, count, offset))
		return -ENOSPC;
	pthread_mutex_lock(&gate->mutex);
	for (int i = 0; i < count; i++)
		gate->written |= pieces[i].iov_len == gate->watched;
	pthread_mutex_unlock(&gate->mutex);
	return gate->disk->pwritev(NULL, fd, pieces, count, offset);
}

static int
gate_fdatasync(void *arg, int fd)
{
	struct gate *gate = arg;
	int error = atomic_load(&gate->flush_error);

	pthread_mutex_lock(&gate->mutex);
	gate->waiting++;
	pthread_cond_broadcast(&gate->changed);
	while (gate->shut && gate->permits == 0)
		pthread_cond_wait(&gate->changed, &gate->mutex);
	gate->waiting--;
	gate->permits -= gate->permits > 0;
	gate->flushed = gate->written;
	pthread_mutex_unlock(&gate->mutex);
	return error != 0 ? error : gate->disk->fdatasync(NULL, fd);
}

static int64_t
gate_free_bytes(void *arg, int fd)
{
	struct gate *gate = arg;
	int64_t room = atomic_load(&gate->room);

	return room >= 0 ? room : gate->disk->free_bytes(NULL, fd);
}

static void
gate_set(struct gate *gate, bool shut)
{
	pthread_mutex_lock(&gate->mutex);
	gate->shut = shut;
	gate->permits = 0;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->mutex);
}

static enum error
no_message(void *arg, const struct spool_message *message)
{
	(void)arg;
	(void)message;
	return OK;
}

static void
no_damage(void *arg, const char *file, uint64_t offset, const char *what)
{
	(void)arg;
	(void)offset;
	ck_abort_msg("damage in %s: %s", file, what);
}

static const struct spool_options options = {.segment_bytes = 4u << 20,
	.journal_bytes = 1u << 20,
	.spare_segments = 1,
	.sparse_segments = 4};

static void
world_start(struct world *world, const struct spool_visitor *visitor)
{
	world->schedule_wake_fd = world->env.poll->wake_create(NULL);
	int wake_fd = world->env.poll->wake_create(NULL);
	world->writer_wake_fd = dup(wake_fd);
	world->writer_env = world->env;
	world->writer_env.memory = memory_new(0); /* accounts are not shared between threads */
	writer_init(&world->writer, &world->writer_env, world->schedule_wake_fd, wake_fd);
	ck_assert_ok(
		spool_open(&world->writer.env, world->dir_fd, &options, visitor, &world->spool));
	if (world->reserve > 0)
		writer_watch_space(
			&world->writer, world->dir_fd, world->reserve, options.segment_bytes);
	ck_assert_ok(writer_start(&world->writer, world->spool));
}

static void
world_stop(struct world *world)
{
	for (uint32_t i = 0; i < world->session_count; i++) {
		ring_producer_close(&world->sessions[i].ring);
		close(world->sessions[i].wake_fd);
	}
	world->session_count = 0;
	writer_stop(&world->writer);
	spool_close(&world->spool);
	writer_done(&world->writer);
	ck_assert_uint_eq(memory_used(world->writer_env.memory), 0);
	memory_free(&world->writer_env.memory);
	close(world->schedule_wake_fd);
	close(world->writer_wake_fd);
}

static void
world_init_reserve(struct world *world, uint64_t reserve, int64_t room)
{
	static const struct spool_visitor nothing = {no_message, no_damage, NULL};

	memset(world, 0, sizeof *world);
	world->reserve = reserve;
	env_init_linux(&world->env);
	world->gate.disk = world->env.disk;
	world->disk = *world->env.disk;
	world->disk.pwritev = gate_pwritev;
	world->disk.fdatasync = gate_fdatasync;
	world->disk.free_bytes = gate_free_bytes;
	world->gate.room = room;
	world->env.disk = &world->disk;
	world->env.world = &world->gate;
	pthread_mutex_init(&world->gate.mutex, NULL);
	pthread_cond_init(&world->gate.changed, NULL);
	memcpy(world->folder, "/tmp/veredus-writer-XXXXXX", 27);
	ck_assert_ptr_nonnull(mkdtemp(world->folder));
	world->dir_fd = open(world->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	world_start(world, &nothing);
}

static void
world_init(struct world *world)
{
	world_init_reserve(world, 0, -1);
}

static bool
remove_entry(void *arg, const struct disk_entry *entry)
{
	unlinkat(*(int *)arg, entry->name, 0);
	return true;
}

static void
world_done(struct world *world)
{
	world_stop(world);
	world->gate.disk->list(NULL, world->dir_fd, remove_entry, &world->dir_fd);
	close(world->dir_fd);
	ck_assert_int_eq(rmdir(world->folder), 0);
	env_done(&world->env);
}

static struct session *
add_session(struct world *world)
{
	struct session *session = &world->sessions[world->session_count];
	int memory_fd;

	session->worker = world->session_count++;
	session->wake_fd = world->env.poll->wake_create(NULL);
	ck_assert_ok(ring_memory_new(&world->env, SESSION_BLOCKS, &memory_fd));
	ck_assert_ok(
		ring_producer_open(&session->ring, &world->env, memory_fd, world->writer_wake_fd));
	ck_assert_ok(
		writer_attach(&world->writer, session->worker, memory_fd, dup(session->wake_fd)));
	close(memory_fd);
	return session;
}

static struct envelope_recipient recipients[] = {
	{SLICE_INIT("anna@example.org")}, {SLICE_INIT("bob@example.org")}};

static struct envelope
sample_envelope(uint64_t content_bytes)
{
	return (struct envelope){.received_at = 5,
		.reverse_path = SLICE("sender@example.net"),
		.recipients = recipients,
		.recipient_count = 2,
		.content_size = content_bytes,
		.trace = SLICE(TRACE),
		.trace_id_at = sizeof TRACE - 1 - 2 - QUEUE_ID_DIGITS};
}

static void
submit_envelope(struct session *session, uint32_t token, uint64_t content_bytes,
	const struct envelope *envelope)
{
	struct memory *memory = memory_new(0);
	struct buffer bytes;

	buffer_init(&bytes, memory, 8u << 20);
	envelope_encode(envelope, &bytes);
	ck_assert_ok(buffer_error(&bytes));
	submit_raw(session, token, content_bytes, buffer_slice(&bytes));
	memory_free(&memory);
}

static void
submit(struct session *session, uint32_t token, uint64_t content_bytes)
{
	struct envelope envelope = sample_envelope(content_bytes);

	submit_envelope(session, token, content_bytes, &envelope);
}

static struct committed_message *
committed(struct world *world)
{
	for (int i = 0; i < WAIT_MS; i++) {
		struct committed_message *message = handoff_first(&world->writer.committed);
		if (message)
			return message;
		usleep(1000);
	}
	ck_abort_msg("no message came out");
}

START_TEST(an_answer_comes_after_the_flush_and_not_before)
{
	struct world world;

	world_init(&world);
	struct session *session = add_session(&world);
	for (uint32_t token = 0; token < 3; token++) {
		struct ring_completion answer;
		unsigned released = 0;
		gate_set(&world.gate, true);
		world.gate.watched = 1001 + token;
		world.gate.written = world.gate.flushed = false;
		submit(session, token, 1001 + token);
		ring_publish(&session->ring);
		/* One flush after the other is let through; until the last there is no answer. */
		pthread_mutex_lock(&world.gate.mutex);
		while (ring_take_completion(&session->ring, &answer) == ERROR_AGAIN) {
			if (world.gate.waiting > 0 && world.gate.permits == 0) {
				world.gate.permits++;
				released++;
				pthread_cond_broadcast(&world.gate.changed);
			}
			pthread_mutex_unlock(&world.gate.mutex);
			usleep(200);
			pthread_mutex_lock(&world.gate.mutex);
		}
		ck_assert_uint_ge(released, 1);
		ck_assert(world.gate.written && world.gate.flushed);
		pthread_mutex_unlock(&world.gate.mutex);
		gate_set(&world.gate, false);
		ck_assert_uint_eq(answer.status, RING_DURABLE);
		ck_assert_uint_eq(answer.token, token);
	}
	world_done(&world);
}
END_TEST

START_TEST(the_id_stands_in_the_trace)
{
	struct world world;
	struct arena arena;
	struct envelope envelope;
	struct buffer content;
	char digits[QUEUE_ID_DIGITS + 1];
	int fd;

	world_init(&world);
	arena_init(&arena, world.env.memory, 65536);
	buffer_init(&content, world.env.memory, 1u << 20);
	struct session *session = add_session(&world);
	submit(session, 5, 100000);
	ring_publish(&session->ring);
	struct ring_completion answer = answer_of(session);
	ck_assert_uint_eq(answer.status, RING_DURABLE);
	queue_id_print(answer.queue_id, digits);
	struct committed_message *message = committed(&world);
	ck_assert_uint_eq(message->message.queue_id, answer.queue_id);
	ck_assert_ok(envelope_decode(
		slice_of(message->envelope, message->envelope_bytes), &arena, &envelope));
	ck_assert_uint_eq(envelope.id, answer.queue_id);
	ck_assert(slice_equal(
		slice_sub(envelope.trace, sizeof TRACE - 1 - 2 - QUEUE_ID_DIGITS, QUEUE_ID_DIGITS),
		slice_text(digits)));
	ck_assert(envelope.trace_id_at == SIZE_MAX);
	ck_assert_slice_eq(envelope.recipients[1].address, "bob@example.org");
	/* What lies on the disk is the same, and the content is whole. */
	ck_assert_ok(spool_open_segment(&world.env, world.dir_fd, message->content.segment, &fd));
	ck_assert_ok(spool_read_record(&world.env, fd, &message->content, &content));
	ck_assert_uint_eq(content.len, 100000);
	for (size_t at = 0; at < content.len; at++)
		ck_assert_uint_eq(content.ptr[at], octet(5, at));
	buffer_clear(&content);
	ck_assert_ok(spool_read_record(&world.env, fd, &message->message, &content));
	ck_assert(slice_equal(
		buffer_slice(&content), slice_of(message->envelope, message->envelope_bytes)));
	close(fd);
	world_done(&world);
}
END_TEST

START_TEST(nonsense_fails_alone)
{
	struct world world;
	static const enum ring_status expected[] = {
		RING_DURABLE, RING_FAILED, RING_FAILED, RING_FAILED, RING_FAILED, RING_DURABLE};

	world_init(&world);
	struct session *session = add_session(&world);
	struct envelope wrong_size = sample_envelope(11), nobody = sample_envelope(10),
			cut_id = sample_envelope(10);
	nobody.recipient_count = 0;
	cut_id.trace_id_at = sizeof TRACE - 1 - QUEUE_ID_DIGITS; /* over the line's end */
	submit(session, 0, 10);
	submit_raw(session, 1, 10, SLICE("no envelope"));
	submit_envelope(session, 2, 10, &wrong_size);
	submit_envelope(session, 3, 10, &nobody);
	submit_envelope(session, 4, 10, &cut_id);
	submit(session, 5, 10);
	ring_publish(&session->ring);
	for (uint32_t token = 0; token < 6; token++) {
		struct ring_completion answer = answer_of(session);
		ck_assert_uint_eq(answer.token, token);
		ck_assert_uint_eq(answer.status, expected[token]);
	}
	ck_assert_uint_eq(atomic_load(&world.writer.troubles.refused_messages), 4);
	ck_assert_uint_eq(atomic_load(&world.writer.troubles.damaged_rings), 0);
	for (int i = 0; i < 2; i++) {
		committed(&world);
		handoff_free(&world.writer.committed);
	}
	ck_assert_ptr_null(handoff_first(&world.writer.committed));
	world_done(&world);
}
END_TEST

START_TEST(a_hostile_ring_is_dropped_and_the_others_go_on)
{
	struct world world;

	world_init(&world);
	struct session *hostile = add_session(&world), *good = add_session(&world),
		       *wild = add_session(&world);
	submit(hostile, 0, 10); /* an honest one first, in the same turn perhaps */
	ring_submit(&hostile->ring,
		&(struct ring_submission){
			.token = 1, .first_block = SESSION_BLOCKS, .content_bytes = 1});
	ring_publish(&hostile->ring);
	for (uint32_t i = 0; i <= RING_ENTRIES; i++) /* more than there is room for */
		ring_submit(&wild->ring, &(struct ring_submission){.token = 1});
	ring_publish(&wild->ring);
	for (uint32_t token = 0; token < 10; token++) {
		submit(good, token, 10);
		ring_publish(&good->ring);
		uint32_t status = answer_of(good).status;
		ck_assert_msg(status == RING_DURABLE, "%s",
			error_text((enum error)atomic_load(&world.writer.troubles.last_error)));
	}
	for (int i = 0; i < WAIT_MS && atomic_load(&world.writer.troubles.damaged_rings) < 2; i++)
		usleep(1000);
	ck_assert_uint_eq(atomic_load(&world.writer.troubles.damaged_rings), 2);
	/* A new ring for the same worker works. */
	int memory_fd;
	ring_producer_close(&hostile->ring);
	ck_assert_ok(ring_memory_new(&world.env, SESSION_BLOCKS, &memory_fd));
	ck_assert_ok(
		ring_producer_open(&hostile->ring, &world.env, memory_fd, world.writer_wake_fd));
	ck_assert_ok(
		writer_attach(&world.writer, hostile->worker, memory_fd, dup(hostile->wake_fd)));
	close(memory_fd);
	submit(hostile, 3, 10);
	ring_publish(&hostile->ring);
	ck_assert_uint_eq(answer_of(hostile).status, RING_DURABLE);
	world_done(&world);
}
END_TEST

/* Content that changes while it is written damages its own record at most, and never the thread. */
static void *
scribble(void *arg)
{
	struct session *session = arg;

	for (uint32_t i = 0; i < 200000; i++)
		((volatile uint8_t *)ring_block_ptr(
			&session->ring, i % SESSION_BLOCKS))[i % RING_BLOCK_BYTES]++;
	return NULL;
}

START_TEST(a_peer_that_writes_all_the_time_harms_itself)
{
	struct world world;
	pthread_t thread;

	world_init(&world);
	struct session *hostile = add_session(&world), *good = add_session(&world);
	ck_assert_int_eq(pthread_create(&thread, NULL, scribble, hostile), 0);
	for (uint32_t token = 0; token < 8; token++) {
		submit(hostile, token, 60000);
		submit(good, token, 100);
		ring_publish(&hostile->ring);
		ring_publish(&good->ring);
		ck_assert_uint_eq(answer_of(good).status, RING_DURABLE);
		ck_assert_uint_lt(answer_of(hostile).status, RING_STATUSES);
	}
	pthread_join(thread, NULL);
	for (struct committed_message *m; (m = handoff_first(&world.writer.committed)) != NULL;) {
		struct buffer content;
		int fd;
		buffer_init(&content, world.env.memory, 1u << 20);
		ck_assert_ok(spool_open_segment(&world.env, world.dir_fd, m->content.segment, &fd));
		enum error error = spool_read_record(&world.env, fd, &m->content, &content);
		ck_assert(error == OK || (error == ERROR_DAMAGED && m->content.size == 60000));
		close(fd);
		buffer_done(&content);
		handoff_free(&world.writer.committed);
	}
	world_done(&world);
}
END_TEST

/* A chain in block 0 that may be submitted again and again: nobody but this session writes it. */
static struct ring_submission
submit_once(struct session *session, uint64_t content_bytes)
{
	struct ring_submission submission = {.first_block = 0, .content_bytes = content_bytes};
	struct memory *memory = memory_new(0);
	struct envelope sample = sample_envelope(content_bytes);
	struct buffer bytes;

	buffer_init(&bytes, memory, 65536);
	envelope_encode(&sample, &bytes);
	submission.envelope_bytes = (uint32_t)bytes.len;
	submit_raw(session, 0, content_bytes, buffer_slice(&bytes));
	memory_free(&memory);
	return submission;
}

static uint32_t
submit_again(struct session *session, const struct ring_submission *submission)
{
	ring_submit(&session->ring, submission);
	ring_publish(&session->ring);
	return answer_of(session).status;
}

START_TEST(failures_of_the_disk_are_told_and_pass)
{
	struct world world;
	uint32_t status = RING_DURABLE, durable = 1;

	world_init(&world);
	struct session *session = add_session(&world);
	struct ring_submission same = submit_once(session, 60000);
	ring_publish(&session->ring);
	ck_assert_uint_eq(answer_of(session).status, RING_DURABLE);
	/* What is pre-written is used up first; then there is no space, and no other word for it.
	 */
	atomic_store(&world.gate.full, true);
	while (durable < 500 && (status = submit_again(session, &same)) == RING_DURABLE)
		durable++;
	ck_assert_uint_eq(status, RING_NO_SPACE);
	ck_assert_uint_eq(submit_again(session, &same), RING_NO_SPACE);
	atomic_store(&world.gate.full, false);
	/* The spool looks at a full disk once a second, not for each message that asks. */
	for (int i = 0; i < 30 && (status = submit_again(session, &same)) == RING_NO_SPACE; i++)
		usleep(100000);
	ck_assert_uint_eq(status, RING_DURABLE);
	atomic_store(&world.gate.flush_error, -EIO);
	status = submit_again(session, &same);
	ck_assert(status == RING_FAILED || status == RING_UNKNOWN);
	atomic_store(&world.gate.flush_error, 0);
	ck_assert_uint_eq(submit_again(session, &same), RING_DURABLE);
	ck_assert_uint_ge(atomic_load(&world.writer.troubles.failed_commits), 3);
	for (uint32_t i = 0; i < durable + 2; i++) {
		committed(&world);
		handoff_free(&world.writer.committed);
	}
	ck_assert_ptr_null(
		handoff_first(&world.writer.committed)); /* what failed was never handed on */
	world_done(&world);
}
END_TEST

struct found {
	uint32_t count;
	struct spool_message last;
	uint32_t done[4];
};

static enum error
find_message(void *arg, const struct spool_message *message)
{
	struct found *found = arg;

	found->count++;
	found->last = *message;
	ck_assert_uint_le(message->done_count, 4);
	if (message->done_count > 0)
		memcpy(found->done, message->done_recipients,
			message->done_count * sizeof found->done[0]);
	return OK;
}

static void
put_result(struct world *world, struct spool_result result)
{
	struct queued_result *slot = handoff_slot(&world->writer.results);

	ck_assert_ptr_nonnull(slot);
	slot->result = result;
	slot->result.text = slice_of(slot->text, 0);
	handoff_put(&world->writer.results);
}

START_TEST(results_are_stored)
{
	struct world world;
	struct spool_reference messages[3];
	struct found found = {.count = 0};

	world_init(&world);
	struct session *session = add_session(&world);
	for (uint32_t i = 0; i < 3; i++) {
		submit(session, i, 10);
		ring_publish(&session->ring);
		answer_of(session);
		messages[i] = committed(&world)->message;
		handoff_free(&world.writer.committed);
	}
	struct spool_reference unknown = messages[0];
	unknown.queue_id++;
	put_result(&world, (struct spool_result){.kind = SPOOL_DONE, .message = messages[0]});
	put_result(&world, (struct spool_result){.kind = SPOOL_DONE,
				   .message = unknown}); /* must not stop the others */
	put_result(&world,
		(struct spool_result){.kind = SPOOL_DONE, .message = messages[0]}); /* nor twice */
	put_result(&world,
		(struct spool_result){
			.kind = SPOOL_RECIPIENT_DELIVERED, .message = messages[2], .recipient = 1});
	put_result(&world, (struct spool_result){.kind = SPOOL_DEFERRED,
				   .message = messages[2],
				   .attempts = 4,
				   .next_attempt_at = 77});
	writer_store_results(&world.writer);
	for (int i = 0; i < WAIT_MS && handoff_first(&world.writer.results); i++)
		usleep(1000);
	ck_assert_ptr_null(handoff_first(&world.writer.results));
	ck_assert_uint_eq(atomic_load(&world.writer.troubles.lost_results), 2);
	put_result(&world, (struct spool_result){.kind = SPOOL_DONE,
				   .message = messages[1]}); /* for the end of the thread */
	world_stop(&world);
	world_start(&world, &(struct spool_visitor){find_message, no_damage, &found});
	ck_assert_uint_eq(found.count, 1);
	ck_assert_uint_eq(found.last.message.queue_id, messages[2].queue_id);
	ck_assert_uint_eq(found.last.attempts, 4);
	ck_assert_int_eq(found.last.next_attempt_at, 77);
	ck_assert_uint_eq(found.last.done_count, 1);
	ck_assert_uint_eq(found.done[0], 1);
	world_done(&world);
}
END_TEST

/* A result whose flush failed is stored by itself, although nothing else comes. */
START_TEST(results_survive_a_failed_flush)
{
	struct world world;
	struct found found = {.count = 0};

	world_init(&world);
	struct session *session = add_session(&world);
	submit(session, 0, 10);
	ring_publish(&session->ring);
	answer_of(session);
	atomic_store(&world.gate.flush_error, -EIO);
	put_result(&world,
		(struct spool_result){.kind = SPOOL_DONE, .message = committed(&world)->message});
	writer_store_results(&world.writer);
	for (int i = 0; i < WAIT_MS && atomic_load(&world.writer.troubles.failed_commits) == 0; i++)
		usleep(1000);
	ck_assert_uint_ge(atomic_load(&world.writer.troubles.failed_commits), 1);
	atomic_store(&world.gate.flush_error, 0);
	world_stop(&world);
	world_start(&world, &(struct spool_visitor){find_message, no_damage, &found});
	ck_assert_uint_eq(found.count, 0);
	world_done(&world);
}
END_TEST

static bool
segment_is_there(struct world *world, uint32_t segment)
{
	int fd;

	if (spool_open_segment(&world->env, world->dir_fd, segment, &fd) != OK)
		return false;
	close(fd);
	return true;
}

#define KEEP_EVERY 70 /* of 60,000 octets: a segment */

/* Mail that comes and goes, but for one in each segment, until one of those has moved: its old
 * place and what the line says. */
static struct committed_message *
pass_until_moved(struct world *world, struct session *session, const struct ring_submission *same,
	struct spool_reference *ret_old)
{
	struct spool_reference kept[1000 / KEEP_EVERY + 1];

	for (uint32_t i = 0; i < 1000; i++) {
		ck_assert_uint_eq(submit_again(session, same), RING_DURABLE);
		struct committed_message *message = committed(world);
		for (uint32_t n = 0; message->has_moved && n <= i / KEEP_EVERY; n++) {
			*ret_old = kept[n];
			if (kept[n].queue_id == message->message.queue_id)
				return message;
		}
		ck_assert(!message->has_moved);
		if (i % KEEP_EVERY == 0)
			kept[i / KEEP_EVERY] = message->message;
		else
			put_result(world, (struct spool_result){
						  .kind = SPOOL_DONE, .message = message->message});
		handoff_free(&world->writer.committed);
		writer_store_results(&world->writer);
	}
	ck_abort_msg("nothing moved");
}

/* The place is another, which the schedule is told; until it has heard of it, the old one stays. */
START_TEST(what_stays_is_copied_forward)
{
	struct world world;
	int i = 0;

	world_init(&world);
	struct session *session = add_session(&world);
	struct ring_submission same = submit_once(session, 60000);
	ring_publish(&session->ring);
	ck_assert_uint_eq(answer_of(session).status, RING_DURABLE);
	put_result(&world,
		(struct spool_result){.kind = SPOOL_DONE, .message = committed(&world)->message});
	handoff_free(&world.writer.committed);
	struct spool_reference old;
	struct committed_message *moved = pass_until_moved(&world, session, &same, &old);
	ck_assert_uint_ne(moved->message.segment, old.segment);
	ck_assert_uint_eq(moved->content.size, 60000);
	uint32_t segment = moved->message.segment;
	for (; i < 20; i++) {
		ck_assert(segment_is_there(&world, old.segment));
		usleep(10000);
	}
	while (handoff_first(&world.writer.committed))
		handoff_free(&world.writer.committed);
	for (; i < 500 && segment_is_there(&world, old.segment); i++)
		usleep(10000);
	ck_assert(!segment_is_there(&world, old.segment));
	ck_assert(segment_is_there(&world, segment));
	ck_assert_uint_eq(atomic_load(&world.writer.troubles.lost_results), 0);
	world_done(&world);
}
END_TEST

static mono_us
thread_time(pthread_t thread)
{
	struct timespec used;
	clockid_t clock;

	ck_assert_int_eq(pthread_getcpuclockid(thread, &clock), 0);
	ck_assert_int_eq(clock_gettime(clock, &used), 0);
	return used.tv_sec * US_PER_S + used.tv_nsec / 1000;
}

/* While the schedule's thread stalls, no message is lost, none is answered twice, and the writer
 * does not spin. */
START_TEST(a_stalled_schedule_stops_intake_without_spinning)
{
	struct world world;
	struct ring_completion answer;

	world_init(&world);
	struct session *session = add_session(&world);
	struct ring_submission same = submit_once(session, 10);
	ring_publish(&session->ring);
	ck_assert_uint_eq(answer_of(session).status, RING_DURABLE);
	for (uint32_t i = 1; i < world.writer.committed.capacity; i++)
		ck_assert_uint_eq(submit_again(session, &same), RING_DURABLE);
	for (int i = 0; i < WAIT_MS && handoff_room(&world.writer.committed) > 0; i++)
		usleep(1000);
	ck_assert_uint_eq(handoff_room(&world.writer.committed), 0);
	ring_submit(&session->ring, &same);
	ring_publish(&session->ring);
	mono_us before = thread_time(world.writer.thread);
	usleep(100000);
	ck_assert_int_eq(ring_take_completion(&session->ring, &answer), ERROR_AGAIN);
	ck_assert_int_lt(thread_time(world.writer.thread) - before, 50000);
	handoff_free(&world.writer.committed);
	ck_assert_uint_eq(answer_of(session).status, RING_DURABLE);
	world_done(&world);
}
END_TEST

/* Envelopes that together do not fit the memory of a turn come in the next one. */
START_TEST(many_large_envelopes_are_all_taken)
{
	struct world world;
	enum { RECIPIENTS = 20000, MESSAGES = 8 };
	static struct envelope_recipient many[RECIPIENTS];

	world_init(&world);
	for (uint32_t i = 0; i < RECIPIENTS; i++)
		many[i].address = SLICE("somebody.with.a.rather.long.name@example.org");
	struct session *session = add_session(&world);
	gate_set(&world.gate, true);
	struct envelope envelope = sample_envelope(10);
	submit_envelope(session, 100, 10,
		&envelope); /* its flush holds the thread while the others gather */
	ring_publish(&session->ring);
	envelope.recipients = many;
	envelope.recipient_count = RECIPIENTS;
	struct memory *memory = memory_new(0);
	struct buffer bytes;
	buffer_init(&bytes, memory, 8u << 20);
	envelope_encode(&envelope, &bytes);
	submit_raw(session, 0, 10, buffer_slice(&bytes));
	for (uint32_t token = 1; token < MESSAGES;
		token++) /* the same chain: 1 MB of envelope each */
		ring_submit(&session->ring, &(struct ring_submission){.token = token,
						    .first_block = 1,
						    .content_bytes = 10,
						    .envelope_bytes = (uint32_t)bytes.len});
	ring_publish(&session->ring);
	gate_set(&world.gate, false);
	for (uint32_t i = 0; i <= MESSAGES; i++)
		ck_assert_uint_eq(answer_of(session).status, RING_DURABLE);
	memory_free(&memory);
	world_done(&world);
}
END_TEST

#define MIB(n) ((int64_t)(n) << 20)

/* Asleep all the while: nobody sends anything. */
static void
await_space(const struct session *session, bool is_there)
{
	for (int i = 0; i < 8000; i++) {
		if (ring_producer_no_space(&session->ring) == !is_there)
			return;
		usleep(1000);
	}
	ck_abort_msg("the session is not told that there is %s space", is_there ? "" : "no");
}

/* Below the reserve sessions are told, a new one at once; a little more is not enough to take it
 * back; messages that come all the same are stored. */
START_TEST(space_is_watched_while_nothing_happens)
{
	struct world world;

	world_init_reserve(&world, MIB(16), MIB(8));
	struct session *session = add_session(&world);
	ck_assert(ring_producer_no_space(&session->ring)); /* shown before anything can be sent */
	ck_assert(atomic_load(&world.writer.troubles.space_changed));
	submit(session, 0, 10);
	ring_publish(&session->ring);
	ck_assert_uint_eq(answer_of(session).status, RING_DURABLE);
	atomic_store(&world.gate.room, MIB(11));
	usleep(1200000);
	ck_assert(ring_producer_no_space(&session->ring));
	ck_assert(!writer_has_space(&world.writer));
	atomic_store(&world.gate.room, MIB(20));
	await_space(session, true);
	ck_assert(writer_has_space(&world.writer));
	ck_assert(!ring_producer_no_space(&add_session(&world)->ring));
	atomic_store(&world.gate.room, MIB(16)); /* the reserve and no less */
	usleep(100000);
	ck_assert(writer_has_space(&world.writer));
	atomic_store(&world.gate.room, 0);
	await_space(session, false);
	world_done(&world);
}
END_TEST

/* What the spool has made beforehand is room too: an empty one must not be full of itself. */
START_TEST(prepared_segments_are_room)
{
	struct world world;

	world_init_reserve(&world, MIB(3), 0);
	struct session *session = add_session(&world);
	await_space(session, true); /* as soon as they are */
	submit(session, 0, 10);
	ring_publish(&session->ring);
	ck_assert_uint_eq(answer_of(session).status, RING_DURABLE);
	ck_assert(writer_has_space(&world.writer));
	world_done(&world);
}
END_TEST

/* A failed write says it, whatever is said to be free, until what the spool takes at a time is
 * free. */
START_TEST(a_failed_write_is_no_space_too)
{
	struct world world;
	uint32_t status = RING_DURABLE;

	world_init_reserve(&world, 1, MIB(4));
	struct session *session = add_session(&world);
	struct ring_submission same = submit_once(session, 60000);
	ring_publish(&session->ring);
	ck_assert_uint_eq(answer_of(session).status, RING_DURABLE);
	ck_assert(!ring_producer_no_space(&session->ring));
	atomic_store(&world.gate.full, true);
	for (int i = 0; i < 500 && status == RING_DURABLE; i++) {
		status = submit_again(session, &same);
		while (handoff_first(&world.writer.committed))
			handoff_free(&world.writer.committed);
	}
	ck_assert_uint_eq(status, RING_NO_SPACE);
	ck_assert(ring_producer_no_space(&session->ring)); /* the answer came after it */
	usleep(1200000);
	ck_assert(ring_producer_no_space(&session->ring)); /* 4 MiB, and one octet in reserve */
	atomic_store(&world.gate.full, false);
	atomic_store(&world.gate.room, MIB(4) + 1);
	await_space(session, true);
	ck_assert_uint_eq(submit_again(session, &same), RING_DURABLE);
	world_done(&world);
}
END_TEST

static void *
open_gate(void *gate)
{
	usleep(100000);
	gate_set(gate, false);
	return NULL;
}

/* The end comes while the file of a large content is being flushed: the spool outlives that. */
START_TEST(the_end_waits_for_a_content_apart)
{
	struct world world;
	pthread_t opener;
	uint32_t block;

	world_init(&world);
	struct session *session = add_session(&world);
	ck_assert_ok(ring_block_take(&session->ring, &block));
	struct ring_submission piece = {
		.first_block = block, .content_bytes = 1000, .kind = RING_MORE, .offset = 10};
	memset(ring_block_ptr(&session->ring, block), 'x', 1000);
	ring_submit(&session->ring, &piece);
	ring_publish(&session->ring);
	ck_assert_uint_eq(answer_of(session).status, RING_TAKEN);
	gate_set(&world.gate, true);
	struct ring_submission end = {
		.first_block = block, .content_bytes = 10, .kind = RING_COMMIT};
	struct envelope envelope = sample_envelope(1010);
	struct buffer bytes; /* behind the content */
	buffer_init_fixed(&bytes, ring_block_ptr(&session->ring, block) + 16, 1000);
	envelope_encode(&envelope, &bytes);
	ck_assert_ok(buffer_error(&bytes));
	end.envelope_bytes = (uint32_t)bytes.len;
	ring_submit(&session->ring, &end);
	ring_publish(&session->ring);
	pthread_mutex_lock(&world.gate.mutex);
	while (world.gate.waiting == 0)
		pthread_cond_wait(&world.gate.changed, &world.gate.mutex);
	pthread_mutex_unlock(&world.gate.mutex);
	ck_assert_int_eq(pthread_create(&opener, NULL, open_gate, &world.gate), 0);
	world_done(&world);
	pthread_join(opener, NULL);
}
END_TEST

START_TEST(nothing_stays_open)
{
	struct world world;
	int before = descriptors_open();

	world_init(&world);
	add_session(&world);
	writer_detach(&world.writer, 0);
	writer_detach(&world.writer, WRITER_WORKERS_MAX);
	ck_assert_int_eq(writer_attach(&world.writer, WRITER_WORKERS_MAX, -1,
				 world.env.poll->wake_create(NULL)),
		ERROR_LIMIT);
	world_done(&world);
	ck_assert_int_eq(descriptors_open(), before);
}
END_TEST

UNIT_MAIN("queue/writer", an_answer_comes_after_the_flush_and_not_before,
	the_id_stands_in_the_trace, nonsense_fails_alone,
	a_hostile_ring_is_dropped_and_the_others_go_on,
	a_peer_that_writes_all_the_time_harms_itself, failures_of_the_disk_are_told_and_pass,
	results_are_stored, what_stays_is_copied_forward, results_survive_a_failed_flush,
	a_stalled_schedule_stops_intake_without_spinning, many_large_envelopes_are_all_taken,
	space_is_watched_while_nothing_happens, prepared_segments_are_room,
	a_failed_write_is_no_space_too, the_end_waits_for_a_content_apart, nothing_stays_open)
