/*
 * A turn: take changes of the set of rings, gather submissions up to a batch, add results, commit,
 * answer. No timer: while one flush runs the next batch gathers by itself. Between turns, with
 * nothing waiting, the next segment is filled with zeros a slice at a time.
 *
 * Everything of a submission but its content is copied and checked before use: the ring's memory is
 * another process', which may be an attacker's by now. Content is written from where it lies.
 */
#include "queue/writer.h"
#include "ipc/envelope.h"
#include "ipc/ring.h"

#include <sys/mman.h>

#define TURN_MESSAGES_MAX          256
#define TURN_PIECES_OF_STREAMS_MAX 1024 /* who sends more meanwhile waits for the others' flush */
#define TURN_PIECES_MAX            2048 /* of one message: its size limit in ring blocks */
#define TURN_BYTES_MAX             (128u << 20) /* envelopes of one turn, or the largest one alone */
#define MESSAGE_BYTES_MIN                                                      \
	16384 /* of a turn's memory: vectors and the like, beside the envelope \
	       */
#define PREPARE_EVERY_US (10 * US_PER_MS)
#define BLOCKED_US \
	(2 * US_PER_MS) /* until the other thread has made room, or memory is there again */
#define RESULTS_RETRY_US US_PER_S /* of results whose flush failed */
#define SPACE_LOOK_US                                                              \
	(5 * US_PER_S) /* between looks at the free space, and when there is none: \
			*/
#define SPACE_MISSED_US US_PER_S

struct writer_ring {
	struct ring_consumer ring;
	bool open;
	bool broken; /* its rules were: nothing more is taken, and it is closed after the turn,
			whose batch may refer to its memory */
};

/* Changes come from the other thread under the mutex; the rings themselves are the writer thread's.
 */
struct writer_rings {
	pthread_mutex_t mutex;
	bool changed;
	struct writer_ring pending[WRITER_WORKERS_MAX];
	bool replace[WRITER_WORKERS_MAX];
	struct writer_ring active[WRITER_WORKERS_MAX];
	uint32_t next; /* where the next turn begins to gather: no worker is always first */
};

struct gathered {
	uint32_t worker;
	struct ring_completion answer;
	struct spool_reference message;
	struct spool_reference content;
	struct slice payload;
	uint32_t content_flags;
	struct own_message *own; /* NULL: it came from a worker */
	bool added;              /* in the batch; else it has its answer already */
};

struct writer_turn {
	struct arena arena;
	struct gathered messages[TURN_MESSAGES_MAX];
	size_t count;
	size_t pieces; /* of streams, which are no messages yet */
	bool batch_full;
	bool results_stuck;     /* the first one in the line can't be added now */
	bool results_unsettled; /* some are added but not durable */
	mono_us retry_at;       /* their next try */
};

void
writer_init(struct writer *writer, const struct env *env, int schedule_wake_fd, int wake_fd)
{
	memset(writer, 0, sizeof *writer);
	writer->env = *env;
	writer->env.log = NULL;
	writer->env.loop = NULL;
	writer->wake_fd = wake_fd;
	writer->space.dir_fd = -1;
	handoff_init(&writer->committed, &writer->env, sizeof(struct committed_message), 1024,
		schedule_wake_fd);
	handoff_init(&writer->results, &writer->env, sizeof(struct queued_result), 1024, wake_fd);
	handoff_init(
		&writer->own, &writer->env, sizeof(struct own_message *), WRITER_OWN_MAX, wake_fd);
	handoff_init(&writer->own_answers, &writer->env, sizeof(struct own_message *),
		WRITER_OWN_MAX, schedule_wake_fd);
	writer->rings = memory_get(writer->env.memory, sizeof *writer->rings);
	pthread_mutex_init(&writer->rings->mutex, NULL);
	writer->turn = memory_get(writer->env.memory, sizeof *writer->turn);
	arena_init(&writer->turn->arena, writer->env.memory, TURN_BYTES_MAX);
	streams_init(&writer->streams, &writer->env, wake_fd);
}

static void
ring_close(struct writer *writer, struct writer_ring *ring)
{
	if (!ring->open)
		return;
	int wake_fd = ring->ring.session_wake_fd;
	ring_consumer_close(&ring->ring);
	writer->env.net->close(writer->env.world, wake_fd);
	ring->open = ring->broken = false;
}

void
writer_done(struct writer *writer)
{
	if (!writer->rings)
		return;
	streams_done(&writer->streams);
	for (uint32_t i = 0; i < WRITER_WORKERS_MAX; i++) {
		ring_close(writer, &writer->rings->active[i]);
		ring_close(writer, &writer->rings->pending[i]);
	}
	pthread_mutex_destroy(&writer->rings->mutex);
	arena_done(&writer->turn->arena);
	memory_put(writer->env.memory, writer->turn);
	memory_put(writer->env.memory, writer->rings);
	handoff_done(&writer->committed, &writer->env);
	handoff_done(&writer->results, &writer->env);
	handoff_done(&writer->own, &writer->env);
	handoff_done(&writer->own_answers, &writer->env);
	writer->env.net->close(writer->env.world, writer->wake_fd);
	writer->rings = NULL;
}

static void
ring_show_space(struct writer *writer, struct writer_ring *ring)
{
	if (ring->open)
		ring_consumer_set_no_space(&ring->ring, !writer_has_space(writer));
}

static void
space_set(struct writer *writer, bool is_missing)
{
	if (atomic_exchange(&writer->space.is_missing, is_missing) == is_missing)
		return;
	for (uint32_t i = 0; i < WRITER_WORKERS_MAX; i++)
		ring_show_space(writer, &writer->rings->active[i]);
	atomic_store(&writer->troubles.space_changed, true);
	writer->env.poll->wake_signal(writer->env.world, writer->committed.wake_fd);
}

/* A write has failed: what could not be made then must fit before the next is tried. */
static void
space_missed(struct writer *writer)
{
	struct writer_space *space = &writer->space;

	if (space->dir_fd < 0)
		return;
	space->wanted = space->reserve +
			(space->piece > space->reserve / 4 ? space->piece : space->reserve / 4);
	if (writer->spool) /* what was left then was not enough */
		space->wanted += spool_room_bytes(writer->spool);
	space->look_at = env_monotonic(&writer->env) + SPACE_MISSED_US;
	space_set(writer, true);
}

/* Costs a system call, so not at every turn. When the system does not tell, nothing changes. */
static void
space_look(struct writer *writer)
{
	struct writer_space *space = &writer->space;
	mono_us now = env_monotonic(&writer->env);

	if (space->dir_fd < 0 || now < space->look_at)
		return;
	int64_t room = writer->env.disk->free_bytes(writer->env.world, space->dir_fd);
	/* What the spool has made ready beforehand is room as much as what is left of the disk. */
	if (room >= 0 && writer->spool)
		room += (int64_t)spool_room_bytes(writer->spool);
	if (room >= 0 && (uint64_t)room < space->reserve) {
		if (writer_has_space(writer))
			space->wanted = space->reserve + space->reserve / 4;
		space_set(writer, true);
	} else if (room >= 0 && (uint64_t)room >= space->wanted) {
		space_set(writer, false);
	}
	space->look_at = now + (writer_has_space(writer) ? SPACE_LOOK_US : SPACE_MISSED_US);
}

void
writer_watch_space(struct writer *writer, int dir_fd, uint64_t reserve, uint64_t piece)
{
	writer->space.dir_fd = dir_fd;
	writer->space.reserve = reserve;
	writer->space.piece = piece;
	streams_watch_space(&writer->streams, reserve);
	space_look(writer);
}

void
writer_miss_space(struct writer *writer)
{
	space_missed(writer);
	pthread_mutex_lock(&writer->rings->mutex);
	for (uint32_t i = 0; i < WRITER_WORKERS_MAX; i++)
		ring_show_space(writer, &writer->rings->pending[i]);
	pthread_mutex_unlock(&writer->rings->mutex);
}

bool
writer_has_space(const struct writer *writer)
{
	return !atomic_load(&writer->space.is_missing);
}

static void
rings_take_changes(struct writer *writer)
{
	struct writer_rings *rings = writer->rings;

	pthread_mutex_lock(&rings->mutex);
	for (uint32_t i = 0; rings->changed && i < WRITER_WORKERS_MAX; i++) {
		if (!rings->replace[i])
			continue;
		streams_detach(&writer->streams, i);
		ring_close(writer, &rings->active[i]);
		rings->active[i] = rings->pending[i];
		ring_show_space(writer, &rings->active[i]);
		rings->pending[i] = (struct writer_ring){.open = false};
		rings->replace[i] = false;
	}
	rings->changed = false;
	pthread_mutex_unlock(&rings->mutex);
}

static void
rings_change(struct writer *writer, uint32_t worker, const struct writer_ring *ring)
{
	struct writer_rings *rings = writer->rings;

	pthread_mutex_lock(&rings->mutex);
	ring_close(writer, &rings->pending[worker]);
	rings->pending[worker] = *ring;
	ring_show_space(writer, &rings->pending[worker]);
	rings->replace[worker] = true;
	rings->changed = true;
	pthread_mutex_unlock(&rings->mutex);
	writer_wake(writer);
}

enum error
writer_attach(struct writer *writer, uint32_t worker, int memory_fd, int session_wake_fd)
{
	struct writer_ring ring = {.open = true};

	enum error error =
		worker < WRITER_WORKERS_MAX
			? ring_consumer_open(&ring.ring, &writer->env, memory_fd, session_wake_fd)
			: ERROR_LIMIT;
	if (error != OK) {
		writer->env.net->close(writer->env.world, session_wake_fd);
		return error;
	}
	rings_change(writer, worker, &ring);
	return OK;
}

void
writer_detach(struct writer *writer, uint32_t worker)
{
	if (worker < WRITER_WORKERS_MAX)
		rings_change(writer, worker, &(struct writer_ring){.open = false});
}

void
writer_wake(struct writer *writer)
{
	writer->env.poll->wake_signal(writer->env.world, writer->wake_fd);
}

/* The envelope with its id, in the form in which it is stored. */
static enum error
payload_build(struct writer *writer, struct slice raw, uint64_t content_bytes, uint64_t id,
	struct gathered *message)
{
	struct arena *arena = &writer->turn->arena;
	struct envelope envelope;
	struct buffer payload;
	char digits[QUEUE_ID_DIGITS + 1];
	enum error error = envelope_decode(raw, arena, &envelope);

	if (error != OK)
		return error;
	if (envelope.recipient_count == 0 || envelope.content_size != content_bytes)
		return ERROR_FORMAT;
	envelope.id = id;
	queue_id_print(id, digits);
	if (envelope.trace_id_at != SIZE_MAX) {
		/* UNSAFE: `raw` is our own copy, and the decoder has checked that the digits lie in
		 * it */
		memcpy((uint8_t *)(uintptr_t)envelope.trace.ptr + envelope.trace_id_at, digits,
			QUEUE_ID_DIGITS);
		envelope.trace_id_at = SIZE_MAX;
	}
	uint8_t *storage = arena_take(arena, raw.len + 64);
	if (!storage)
		return ERROR_NO_MEMORY;
	buffer_init_fixed(&payload, storage, raw.len + 64);
	envelope_encode(&envelope, &payload);
	message->payload = buffer_slice(&payload);
	message->content_flags = envelope.content_flags;
	return buffer_error(&payload);
}

/* Copies, checks and adds one submission. The answer for a session that hands over nonsense is
 * RING_FAILED; worse is ERROR_DAMAGED. */
static enum error
gather_message(struct writer *writer, struct writer_ring *ring,
	const struct ring_submission *submission, struct gathered *message)
{
	struct arena *arena = &writer->turn->arena;
	int count;

	if (submission->envelope_bytes > ENVELOPE_BYTES_MAX ||
		submission->content_bytes > spool_message_max(writer->spool))
		return ERROR_LIMIT;
	uint8_t *raw = arena_take(arena, submission->envelope_bytes);
	uint64_t blocks = submission->content_bytes / RING_BLOCK_BYTES + 1;
	int max = blocks < TURN_PIECES_MAX ? (int)blocks : TURN_PIECES_MAX;
	struct iovec *content = arena_take(arena, (size_t)max * sizeof *content);
	if (!raw || !content)
		return ERROR_NO_MEMORY;
	enum error error = ring_gather(&ring->ring, submission, content, max, &count, raw);
	if (error != OK)
		return error;
	uint64_t id = spool_next_id(writer->spool);
	error = payload_build(writer, slice_of(raw, submission->envelope_bytes),
		submission->content_bytes, id, message);
	if (error == OK)
		error = spool_add_message(writer->spool, id, content, count, message->content_flags,
			message->payload, &message->message, &message->content);
	if (error == OK)
		message->answer.queue_id = id;
	return error;
}

static void
ring_break(struct writer *writer, struct writer_ring *ring)
{
	ring->broken = true;
	atomic_fetch_add(&writer->troubles.damaged_rings, 1);
	atomic_fetch_or(
		&writer->troubles.broken_workers, UINT64_C(1) << (ring - writer->rings->active));
}

static void
rings_close_broken(struct writer *writer)
{
	for (uint32_t i = 0; i < WRITER_WORKERS_MAX; i++) {
		if (!writer->rings->active[i].broken)
			continue;
		streams_detach(&writer->streams, i);
		ring_close(writer, &writer->rings->active[i]);
	}
}

static enum ring_status
status_of(enum error error)
{
	switch (error) {
	case OK:
		return RING_DURABLE;
	case ERROR_NO_SPACE:
		return RING_NO_SPACE;
	case ERROR_UNKNOWN:
		return RING_UNKNOWN;
	default:
		return RING_FAILED;
	}
}

static void
gather_one(struct writer *writer, uint32_t worker, const struct ring_submission *submission)
{
	struct writer_turn *turn = writer->turn;
	struct writer_ring *ring = &writer->rings->active[worker];
	struct gathered *message = &turn->messages[turn->count++];

	*message = (struct gathered){.worker = worker, .answer = {.token = submission->token}};
	enum error error = gather_message(writer, ring, submission, message);
	message->added = error == OK;
	if (error == OK)
		return;
	message->answer.status = RING_FAILED;
	atomic_fetch_add(&writer->troubles.refused_messages, 1);
	atomic_store(&writer->troubles.last_error, (uint32_t)error);
	if (error == ERROR_DAMAGED)
		ring_break(writer, ring);
}

/* A message that finds the turn's batch or memory taken is the next turn's first: it must not fail
 * for coming late. */
static bool
turn_has_room(const struct writer *writer, const struct ring_submission *submission)
{
	const struct arena *arena = &writer->turn->arena;
	/* Twice as bytes, and its recipients as structs, which are less than three times as large
	 * as their fields. */
	uint64_t needed = (uint64_t)submission->envelope_bytes * 5 + MESSAGE_BYTES_MIN;

	return needed <= arena->max - arena->used &&
	       spool_has_room(writer->spool, submission->content_bytes,
		       (uint64_t)submission->envelope_bytes + 64);
}

/* Nothing has taken of the batch, or of the memory: what still does not fit never will. */
static bool
turn_is_empty(const struct writer *writer)
{
	return writer->turn->count == 0 && writer->turn->arena.used == 0;
}

/* The envelope of a commit is looked at before its content is made durable: the content's record
 * says a part of it. */
static enum error
read_commit(struct writer *writer, const struct writer_ring *ring,
	const struct ring_submission *submission, struct slice *ret_raw)
{
	struct arena *arena = &writer->turn->arena;
	int max = (int)(submission->content_bytes / RING_BLOCK_BYTES) + 1, count;

	if (submission->envelope_bytes > ENVELOPE_BYTES_MAX)
		return ERROR_LIMIT;
	uint8_t *raw = arena_take(arena, submission->envelope_bytes);
	struct iovec *content = arena_take(arena, (size_t)max * sizeof *content);
	if (!raw || !content)
		return ERROR_NO_MEMORY;
	*ret_raw = slice_of(raw, submission->envelope_bytes);
	return ring_gather(&ring->ring, submission, content, max, &count, raw);
}

static enum error
read_flags(struct writer *writer, const struct writer_ring *ring,
	const struct ring_submission *submission, uint32_t *ret_flags)
{
	struct envelope envelope;
	struct slice raw;
	enum error error = read_commit(writer, ring, submission, &raw);

	if (error == OK)
		error = envelope_decode(raw, &writer->turn->arena, &envelope);
	if (error == OK)
		*ret_flags = envelope.content_flags;
	return error;
}

/* A piece of a large content, or its end. */
static void
gather_piece(struct writer *writer, uint32_t worker, struct ring_submission *submission)
{
	struct writer_ring *ring = &writer->rings->active[worker];
	struct ring_completion answer = {.token = submission->token, .status = RING_STATUSES};
	enum ring_status status = RING_STATUSES;
	enum error error = OK;
	uint32_t flags = 0;

	writer->turn->pieces++;
	if (submission->kind == RING_COMMIT)
		error = read_flags(writer, ring, submission, &flags);
	if (error != OK && error != ERROR_DAMAGED) {
		/* It will never be a message; the answer to that says so. */
		submission->kind = RING_ABORT;
		atomic_fetch_add(&writer->troubles.refused_messages, 1);
		atomic_store(&writer->troubles.last_error, (uint32_t)error);
		error = OK;
	}
	if (error == OK)
		error = streams_take(&writer->streams, writer->spool, worker, &ring->ring,
			submission, flags, &status);
	if (error == ERROR_DAMAGED) {
		ring_break(writer, ring);
		return;
	}
	answer.status = error == OK ? status : status_of(error);
	if (answer.status != RING_STATUSES)
		ring_complete(&ring->ring, &answer);
}

static enum error
add_stream(struct writer *writer, struct stream *stream, struct gathered *message)
{
	struct writer_ring *ring = &writer->rings->active[message->worker];
	struct slice raw;
	enum error error = read_commit(writer, ring, &stream->submission, &raw);

	if (error == OK)
		error = payload_build(writer, raw, stream->end, stream->queue_id, message);
	if (error == OK)
		error = spool_add_apart(writer->spool, &stream->apart, message->payload,
			&message->message, &message->content);
	if (error == OK)
		message->answer.queue_id = stream->queue_id;
	return error;
}

/* Messages whose content is durable already. */
static void
gather_streams(struct writer *writer, size_t max)
{
	struct writer_turn *turn = writer->turn;
	struct stream *stream;

	while (turn->count < max && (stream = streams_ready(&writer->streams)) != NULL) {
		struct ring_submission like = stream->submission;
		like.content_bytes = 0;
		if (turn->count > 0 && !turn_has_room(writer, &like)) {
			turn->batch_full = true;
			return;
		}
		struct gathered *message = &turn->messages[turn->count++];
		*message = (struct gathered){
			.worker = stream->worker, .answer = {.token = stream->submission.token}};
		streams_take_ready(&writer->streams, stream);
		enum error error = add_stream(writer, stream, message);
		message->added = error == OK;
		streams_end(&writer->streams, stream, message->added);
		if (error == OK)
			continue;
		message->answer.status = RING_FAILED;
		atomic_fetch_add(&writer->troubles.refused_messages, 1);
		atomic_store(&writer->troubles.last_error, (uint32_t)error);
	}
}

static void
publish_answers(struct writer *writer)
{
	for (uint32_t i = 0; i < WRITER_WORKERS_MAX; i++)
		if (writer->rings->active[i].open)
			ring_publish_completions(&writer->rings->active[i].ring);
}

/* What the streams' thread has done; whether there was anything. */
static void
answer_streams(struct writer *writer)
{
	struct ring_completion answer;
	uint32_t worker;

	while (streams_next_answer(&writer->streams, &worker, &answer)) {
		struct writer_ring *ring = &writer->rings->active[worker];
		writer->turn->pieces++;
		if (ring->open)
			ring_complete(&ring->ring, &answer);
	}
}

/* Whether the ring had a submission that went into this turn. */
static bool
gather_from(struct writer *writer, uint32_t worker)
{
	struct writer_ring *ring = &writer->rings->active[worker];
	struct ring_submission submission;

	if (!ring->open || ring->broken)
		return false;
	enum error error = ring_peek_submission(&ring->ring, &submission);
	if (error == ERROR_DAMAGED)
		ring_break(writer, ring);
	if (error != OK)
		return false;
	bool is_piece = submission.kind != RING_WHOLE;
	struct ring_submission like = submission;
	if (is_piece)
		like.content_bytes = 0;
	if (!turn_is_empty(writer) && !turn_has_room(writer, &like)) {
		writer->turn->batch_full = true;
		return false;
	}
	ring_pass_submission(&ring->ring);
	if (is_piece) {
		gather_piece(writer, worker, &submission);
		return true;
	}
	gather_one(writer, worker, &submission);
	return true;
}

/* Its memory is ours, but its envelope gets its id as any other. */
static enum error
add_own(struct writer *writer, struct own_message *own, struct gathered *message)
{
	struct iovec content = {(void *)(uintptr_t)own->content.ptr, own->content.len};
	uint64_t id = spool_next_id(writer->spool);

	enum error error = payload_build(writer, own->envelope, own->content.len, id, message);
	if (error == OK)
		error = spool_add_settling(writer->spool, id, &content, 1, message->content_flags,
			message->payload, own->settles, &message->message, &message->content);
	own->queue_id = id;
	return error;
}

/* Whether it goes into this turn; the first one of a batch does, if only to be refused. */
static bool
own_has_room(const struct writer *writer, const struct own_message *own)
{
	return writer->turn->count == 0 ||
	       spool_has_room(writer->spool, own->content.len,
		       own->envelope.len + 64 + SPOOL_SETTLES_BYTES(own->settles.len));
}

/* What the queue adds itself, behind what clients wait for. */
static void
gather_own(struct writer *writer, size_t max)
{
	struct writer_turn *turn = writer->turn;
	struct own_message **slot;

	while (turn->count < max && (slot = handoff_first(&writer->own)) != NULL) {
		struct own_message *own = *slot;
		if (!own_has_room(writer, own))
			return;
		handoff_free(&writer->own);
		struct gathered *message = &turn->messages[turn->count++];
		*message = (struct gathered){.own = own};
		own->error = add_own(writer, own, message);
		message->added = own->error == OK;
	}
}

/* One of each worker in turn, until there is no more or the batch is full. */
static void
gather(struct writer *writer)
{
	struct writer_turn *turn = writer->turn;
	uint32_t room = handoff_room(&writer->committed);
	size_t max = room < TURN_MESSAGES_MAX ? room : TURN_MESSAGES_MAX;
	bool any = true;

	arena_clear(&turn->arena);
	turn->count = 0;
	turn->batch_full = false;
	turn->pieces = 0;
	answer_streams(writer);
	gather_streams(writer, max);
	while (any && !turn->batch_full) {
		any = false;
		for (uint32_t i = 0; i < WRITER_WORKERS_MAX && turn->count < max; i++)
			any |= gather_from(writer, (writer->rings->next + i) % WRITER_WORKERS_MAX);
		if (turn->count == max || turn->pieces >= TURN_PIECES_OF_STREAMS_MAX)
			break;
	}
	gather_own(writer, max);
	if (turn->pieces > 0)
		publish_answers(writer);
	writer->rings->next++;
}

/*
 * Takes the results that fit; one that can't be added now stays first in the line. One that never
 * can, since its message is not known, must not stand in the way of all others. They wait until
 * they are due: journalled with every batch, they would double the flushes of a server with few
 * connections (docs/decisions.md).
 */
static size_t
gather_results(struct writer *writer)
{
	uint32_t waiting = writer->results.capacity - handoff_room(&writer->results);
	size_t taken = 0;

	if (!atomic_exchange(&writer->results_due, false) && !atomic_load(&writer->stopping))
		return 0;
	writer->turn->results_stuck = false;
	/* They are freed only after the commit: their texts are read by it. */
	for (; taken < waiting && !writer->turn->results_stuck; taken++) {
		struct queued_result *slot = handoff_nth(&writer->results, (uint32_t)taken);
		enum error error = spool_add_result(writer->spool, &slot->result);
		if (error == ERROR_NOT_FOUND) {
			atomic_fetch_add(&writer->troubles.lost_results, 1);
			atomic_store(&writer->troubles.last_error, (uint32_t)error);
		} else if (error != OK) {
			writer->turn->results_stuck = true;
			atomic_store(&writer->results_due,
				true); /* they are, whether or not anybody says so again */
			break;
		}
	}
	return taken;
}

static void
hand_to_schedule(struct writer *writer, const struct gathered *message)
{
	struct committed_message *slot = handoff_slot(&writer->committed); /* gather() left room */

	slot->has_moved = false;
	slot->message = message->message;
	slot->content = message->content;
	slot->envelope_bytes =
		message->payload.len <= WRITER_ENVELOPE_BYTES ? (uint32_t)message->payload.len : 0;
	memcpy(slot->envelope, message->payload.ptr, slot->envelope_bytes);
	handoff_put(&writer->committed);
}

/* As many are under way as the line of answers has slots. */
static void
answer_own(struct writer *writer, const struct gathered *message, enum error error)
{
	struct own_message **slot = handoff_slot(&writer->own_answers);

	if (message->added)
		message->own->error = error;
	*slot = message->own;
	handoff_put(&writer->own_answers);
	handoff_wake(&writer->own_answers, &writer->env);
}

static void
answer_worker(struct writer *writer, struct gathered *message, enum error error)
{
	struct writer_ring *ring = &writer->rings->active[message->worker];

	if (message->added)
		message->answer.status = status_of(error);
	if (ring->open)
		ring_complete(&ring->ring, &message->answer);
}

/* The sessions hear first: their clients wait. */
static void
answer(struct writer *writer, enum error error)
{
	struct writer_turn *turn = writer->turn;

	for (size_t i = 0; i < turn->count; i++) {
		if (!turn->messages[i].own)
			answer_worker(writer, &turn->messages[i], error);
	}
	publish_answers(writer);
	for (size_t i = 0; error == OK && i < turn->count; i++)
		if (turn->messages[i].added)
			hand_to_schedule(writer, &turn->messages[i]);
	for (size_t i = 0; i < turn->count; i++)
		if (turn->messages[i].own)
			answer_own(writer, &turn->messages[i], error);
	if (turn->count > 0)
		handoff_wake(&writer->committed, &writer->env);
}

/* The schedule's thread, which may log, is told even if no message reaches it. */
static void
note_failed_commit(struct writer *writer, const struct spool_commit *commit)
{
	atomic_fetch_add(&writer->troubles.failed_commits, 1);
	atomic_store(&writer->troubles.last_error,
		(uint32_t)(commit->messages != OK ? commit->messages : commit->results));
	writer->env.poll->wake_signal(writer->env.world, writer->committed.wake_fd);
}

/* Writes and flushes what was added. Results whose flush failed stay added: they are tried again
 * even if nothing else ever comes. */
static enum error
writer_commit(struct writer *writer)
{
	struct spool_commit commit = spool_commit(writer->spool);

	if (commit.messages != OK || commit.results != OK)
		note_failed_commit(writer, &commit);
	if (commit.messages == ERROR_NO_SPACE || commit.results == ERROR_NO_SPACE)
		space_missed(writer);
	writer->turn->results_unsettled = commit.results != OK;
	writer->turn->retry_at = env_monotonic(&writer->env) + RESULTS_RETRY_US;
	return commit.messages;
}

/* Whether a segment may go with the next commit, now that the schedule knows of all moves. */
static bool
learn_moves(struct writer *writer)
{
	if (!writer->moves_wait || !handoff_was_taken(&writer->committed, writer->moves_last))
		return false;
	writer->moves_wait = false;
	return spool_moves_are_known(writer->spool);
}

/*
 * Copies of what is left in old segments, into the batch that is written next. Not before the
 * schedule has heard of the last ones: only then the old places go. Whether there is more to do.
 */
static bool
forward(struct writer *writer, bool is_idle, uint32_t *ret_copies)
{
	uint32_t room = handoff_room(&writer->committed);
	bool more = false;

	*ret_copies = 0;
	if (writer->moves_wait || room <= writer->turn->count)
		return writer->moves_wait;
	*ret_copies =
		spool_forward(writer->spool, room - (uint32_t)writer->turn->count, is_idle, &more);
	return more;
}

/* The schedule reads where the messages are now; it may have them in its line still. */
static void
hand_moves(struct writer *writer)
{
	const struct spool_move *move;

	for (uint32_t i = 0; (move = spool_moved(writer->spool, i)) != NULL; i++) {
		struct committed_message *slot = handoff_slot(&writer->committed);
		slot->has_moved = true;
		slot->message = move->message;
		slot->content = move->content;
		slot->envelope_bytes = 0;
		handoff_put(&writer->committed);
		writer->moves_wait = true;
	}
	writer->moves_last = handoff_put_count(&writer->committed);
	handoff_wake(&writer->committed, &writer->env);
}

/* Nothing else waits. Whether there is more to do. */
static bool
forward_idle(struct writer *writer)
{
	uint32_t copies;

	if (learn_moves(writer))
		writer_commit(writer);
	writer->turn->count = 0;
	bool more = forward(writer, true, &copies);
	if (copies > 0) {
		writer_commit(writer);
		hand_moves(writer);
	}
	return more;
}

static bool
results_are_overdue(const struct writer *writer)
{
	return writer->turn->results_unsettled &&
	       env_monotonic(&writer->env) >= writer->turn->retry_at;
}

static void
take_turn(struct writer *writer)
{
	uint32_t copies;

	learn_moves(writer); /* what goes goes with this commit */
	forward(writer, false, &copies);
	answer(writer, writer_commit(writer));
	if (copies > 0)
		hand_moves(writer);
}

/* Messages first, and their answers: nobody waits for a result. Whether there was anything to do.
 */
static bool
writer_turn(struct writer *writer)
{
	rings_take_changes(writer);
	space_look(writer);
	gather(writer);
	if (writer->turn->count > 0)
		take_turn(writer);
	rings_close_broken(writer);
	size_t results = gather_results(writer);
	if (results > 0 || results_are_overdue(writer))
		writer_commit(writer);
	for (size_t i = 0; i < results; i++)
		handoff_free(&writer->results);
	return writer->turn->count + writer->turn->pieces + results > 0;
}

static bool
writer_may_sleep(struct writer *writer)
{
	bool may_sleep = handoff_may_sleep(&writer->own);

	for (uint32_t i = 0; i < WRITER_WORKERS_MAX; i++)
		if (writer->rings->active[i].open)
			may_sleep &= ring_consumer_may_sleep(&writer->rings->active[i].ring);
	return may_sleep && !atomic_load(&writer->results_due) && !atomic_load(&writer->stopping);
}

static void
writer_woke(struct writer *writer)
{
	handoff_woke(&writer->own);
	for (uint32_t i = 0; i < WRITER_WORKERS_MAX; i++)
		if (writer->rings->active[i].open)
			ring_consumer_woke(&writer->rings->active[i].ring);
}

/* Work waits that can't be done now: towards the schedule there is no room, or the spool can't take
 * a result. */
static bool
writer_is_blocked(const struct writer *writer)
{
	return handoff_room(&writer->committed) == 0 || writer->turn->results_stuck;
}

static void
writer_rest(struct writer *writer)
{
	int64_t timeout_us = writer->turn->results_unsettled ? RESULTS_RETRY_US : -1;
	int64_t look_us = writer_has_space(writer) ? SPACE_LOOK_US : SPACE_MISSED_US;

	if (writer->space.dir_fd >= 0 && (timeout_us < 0 || timeout_us > look_us))
		timeout_us = look_us;

	bool more = spool_prepare(writer->spool);
	if (forward_idle(writer) || more)
		timeout_us = PREPARE_EVERY_US;
	if (writer_is_blocked(writer)) /* nobody signals that this is over, and looking all the time
					  would take the core that ends it */
		writer->env.poll->wake_wait(writer->env.world, writer->wake_fd, BLOCKED_US);
	else if (writer_may_sleep(writer))
		writer->env.poll->wake_wait(writer->env.world, writer->wake_fd, timeout_us);
	writer_woke(writer);
}

static void *
writer_run(void *arg)
{
	struct writer *writer = arg;

	for (;;) {
		if (writer_turn(writer))
			continue;
		if (atomic_load(&writer->stopping))
			break;
		writer_rest(writer);
	}
	if (writer->turn->results_unsettled)
		writer_commit(writer); /* the last chance; what fails here is done again after the
					  next start */
	return NULL;
}

void
writer_store_results(struct writer *writer)
{
	atomic_store(&writer->results_due, true);
	writer_wake(writer);
}

enum error
writer_start(struct writer *writer, struct spool *spool)
{
	writer->spool = spool;
	enum error started = streams_start(&writer->streams, spool_dir_fd(spool));
	if (started != OK)
		return started;
	int error = pthread_create(&writer->thread, NULL, writer_run, writer);
	writer->running = error == 0;
	return error_from_errno(error);
}

void
writer_stop(struct writer *writer)
{
	if (!writer->running)
		return;
	atomic_store(&writer->stopping, true);
	writer_wake(writer);
	pthread_join(writer->thread, NULL);
	writer->running = false;
	streams_stop(&writer->streams);
}
