/*
 * For tests: whole sessions of the server over a stream in memory. A dialogue is a list of steps;
 * the server may read the client's next octets only when it has written exactly the replies that
 * stand before them, as a client that waits would have it.
 */
#ifndef TESTS_SMTP_DIALOGUE_H
#define TESTS_SMTP_DIALOGUE_H

#include "ipc/accept_memory.h"
#include "smtp/server.h"
#include "unit.h"

#include <errno.h>

enum step_kind {
	STEP_END,
	STEP_CLIENT,
	STEP_SERVER,
	STEP_SILENCE,
	STEP_CANCEL,
	STEP_RESET,
	STEP_PAUSE
};

struct step {
	enum step_kind kind;
	struct slice bytes;
};

#define POOL_BYTES 64 /* of the session's account for the pool's struct */

/* clang-format off */
#define C(text) {STEP_CLIENT, SLICE_INIT(text)}
#define S(text) {STEP_SERVER, SLICE_INIT(text)}
#define SILENCE {STEP_SILENCE, SLICE_INIT("")} /* until the deadline */
#define CANCEL  {STEP_CANCEL, SLICE_INIT("")}  /* the task is told to end */
#define RESET   {STEP_RESET, SLICE_INIT("")}   /* the connection breaks */
#define PAUSE(s) {STEP_PAUSE, {NULL, (s)}}     /* seconds pass; only in dialogue_run_task */
#define END     {STEP_END, SLICE_INIT("")}     /* the client closes; the last step */
/* clang-format on */

struct dialogue {
	struct env env;
	struct loop *loop;
	struct memory
		*world; /* all that is not the session's, if its memory has a limit; else all */
	struct line_pool *pool;
	struct line_reader reader;
	struct stream stream;
	struct accept_memory store;
	struct smtp_server_settings settings;
	struct smtp_server server;
	const struct smtp_server_ops *ops; /* NULL: the usual ones */

	const struct step *step;
	size_t at;           /* in the step's octets */
	size_t piece;        /* octets that one read brings at most; 0: a whole step */
	size_t client_limit; /* the client sends so many octets, then closes */
	size_t sent;
	bool ignores_replies; /* replies are not compared */
	uint32_t fail_write_at;
	size_t write_piece;
	bool stops_at_received; /* the server is to stop while the first content is committed */
	struct buffer output;   /* what the server wrote since the last comparison */

	/* what happened */
	uint32_t writes;
	uint32_t connected;
	uint32_t refused;
	uint32_t received;
	uint32_t checks; /* of recipients */
	uint16_t last_refusal;
	struct slice last_line;
	uint8_t last_line_bytes[256];
	uint32_t early;    /* talkers told of */
	mono_us waited_to; /* before the greeting */
	enum smtp_end end;
	mono_us now;
	size_t idle_bytes; /* of the session's account during the last silence */
};

/* Compares what was written with the server steps that are due. */
static inline void
dialogue_compare(struct dialogue *dialogue)
{
	size_t at = 0;

	if (dialogue->ignores_replies) {
		while (dialogue->step->kind == STEP_SERVER)
			dialogue->step++;
		buffer_clear(&dialogue->output);
		return;
	}
	for (; dialogue->step->kind == STEP_SERVER; dialogue->step++) {
		struct slice expected = dialogue->step->bytes;
		struct slice written = slice_sub(buffer_slice(&dialogue->output), at, expected.len);
		ck_assert_msg(slice_equal(written, expected),
			"expected \"%.*s\" but the server said \"%.*s\"", SLICE_ARGS(expected),
			SLICE_ARGS(slice_from(buffer_slice(&dialogue->output), at)));
		at += expected.len;
	}
	ck_assert_msg(at == dialogue->output.len, "the server said too much: \"%.*s\"",
		SLICE_ARGS(slice_from(buffer_slice(&dialogue->output), at)));
	buffer_clear(&dialogue->output);
}

static inline struct dialogue *
dialogue_of(struct stream *stream)
{
	return (struct dialogue *)((char *)stream - offsetof(struct dialogue, stream));
}

static inline ssize_t
dialogue_read(struct stream *stream, void *bytes, size_t len)
{
	struct dialogue *dialogue = dialogue_of(stream);

	if (dialogue->step->kind == STEP_CLIENT && dialogue->at == dialogue->step->bytes.len) {
		dialogue->step++;
		dialogue->at = 0;
	}
	/* Whether the client speaks first is looked at before anything is written. */
	if (dialogue->writes == 0 && dialogue->step->kind == STEP_SERVER)
		return -EAGAIN;
	if (dialogue->at == 0)
		dialogue_compare(dialogue);
	switch (dialogue->step->kind) {
	case STEP_CLIENT:
		break;
	case STEP_END:
		return 0;
	case STEP_RESET:
		return -ECONNRESET;
	default:
		return -EAGAIN;
	}
	size_t wanted = dialogue->step->bytes.len - dialogue->at;
	if (wanted > len)
		wanted = len;
	if (dialogue->piece > 0 && wanted > dialogue->piece)
		wanted = dialogue->piece;
	if (wanted > dialogue->client_limit - dialogue->sent)
		wanted = dialogue->client_limit - dialogue->sent;
	memcpy(bytes, dialogue->step->bytes.ptr + dialogue->at, wanted);
	dialogue->at += wanted;
	dialogue->sent += wanted;
	return (ssize_t)wanted;
}

static inline ssize_t
dialogue_write(struct stream *stream, const void *bytes, size_t len)
{
	struct dialogue *dialogue = dialogue_of(stream);

	if (++dialogue->writes == dialogue->fail_write_at)
		return -EPIPE;
	if (dialogue->write_piece > 0 && len > dialogue->write_piece)
		len = dialogue->write_piece;
	buffer_append(&dialogue->output, slice_of(bytes, len));
	return (ssize_t)len;
}

static inline enum error
dialogue_wait(struct stream *stream, uint32_t what, mono_us deadline)
{
	struct dialogue *dialogue = dialogue_of(stream);

	ck_assert_uint_eq(what, POLL_READABLE);
	ck_assert(deadline != MONO_NEVER);
	enum step_kind kind = dialogue->step->kind;
	if (dialogue->writes == 0 && kind == STEP_SERVER) {
		dialogue->waited_to = deadline;
		return ERROR_TIMEOUT;
	}
	if (kind == STEP_PAUSE) {
		dialogue->now += (mono_us)dialogue->step->bytes.len * US_PER_S;
		dialogue->step++;
		task_yield(dialogue->loop); /* a turn of the loop reads the clock */
		return deadline > loop_now(dialogue->loop) ? OK : ERROR_TIMEOUT;
	}
	ck_assert_msg(kind == STEP_SILENCE || kind == STEP_CANCEL,
		"the server waits for what nobody sends");
	dialogue->step++;
	dialogue->idle_bytes = memory_used(dialogue->env.memory);
	return kind == STEP_SILENCE ? ERROR_TIMEOUT : ERROR_CANCELLED;
}

static inline void
dialogue_close(struct stream *stream)
{
	(void)stream;
}

static const struct stream_ops dialogue_stream_ops = {
	dialogue_read, dialogue_write, dialogue_wait, dialogue_close};

/* user*@here.test and postmaster@here.test are known, other.test is not ours, slow@here.test cannot
 * be told now. */
static inline struct smtp_reply
dialogue_check_recipient(void *arg, const struct smtp_server *server, const struct address *address,
	mono_us deadline)
{
	struct dialogue *dialogue = arg;

	ck_assert_ptr_eq(server, &dialogue->server);
	ck_assert(deadline != MONO_NEVER);
	dialogue->checks++;
	if (slice_equal_nocase(address->domain, SLICE("folded.test")) ||
		slice_equal_nocase(address->domain, SLICE("route.test")))
		return SMTP_REPLY(250, 2, 1, 5, "recipient ok");
	if (!slice_equal_nocase(address->domain, SLICE("here.test")))
		return SMTP_REPLY(550, 5, 7, 1, "relaying denied");
	if (slice_equal_nocase(address->local_part, SLICE("slow")))
		return SMTP_REPLY(451, 4, 3, 0, "ask again later");
	if (slice_equal_nocase(address->local_part, SLICE("postmaster")) ||
		slice_has_prefix(address->local_part, SLICE("user")) ||
		slice_has_prefix(address->local_part, SLICE("\"user")))
		return SMTP_REPLY(250, 2, 1, 5, "recipient ok");
	return SMTP_REPLY(550, 5, 1, 1, "no such user");
}

/* user-all@here.test is user1 and user2, user-gone@here.test leads nowhere; everybody else is
 * himself. */
static inline enum error
dialogue_expand(void *arg, const struct address *address, struct slice mailbox, struct arena *arena,
	struct slice **ret_targets, size_t *ret_count)
{
	struct slice *targets = arena_take(arena, 2 * sizeof *targets);

	(void)arg;
	if (!targets)
		return ERROR_NO_MEMORY;
	bool is_all = slice_equal(address->local_part, SLICE("user-all"));
	targets[0] = is_all ? SLICE("user1@here.test") : mailbox;
	targets[1] = SLICE("user2@here.test");
	*ret_targets = targets;
	*ret_count = is_all ? 2 : 1;
	return slice_equal(address->local_part, SLICE("user-gone")) ? ERROR_NOT_FOUND : OK;
}

static inline void
dialogue_connected(void *arg, const struct smtp_server *server)
{
	struct dialogue *dialogue = arg;

	(void)server;
	dialogue->connected++;
}

static inline void
dialogue_refused(void *arg, const struct smtp_server *server, struct slice line,
	const struct smtp_reply *reply)
{
	struct dialogue *dialogue = arg;

	(void)server;
	ck_assert(reply->code >= 400 && reply->enhanced[0] == reply->code / 100);
	dialogue->refused++;
	dialogue->last_refusal = reply->code;
	line = slice_sub(line, 0, sizeof dialogue->last_line_bytes);
	if (line.len > 0)
		memcpy(dialogue->last_line_bytes, line.ptr, line.len);
	dialogue->last_line = slice_of(dialogue->last_line_bytes, line.len);
}

/* here.test is a domain of ours, folded.test one whose accounts all exist; route.test is not ours.
 */
static inline bool
dialogue_is_account(void *arg, const struct address *address)
{
	(void)arg;
	return !slice_equal_nocase(address->domain, SLICE("route.test"));
}

static inline void
dialogue_talked_early(void *arg, const struct smtp_server *server)
{
	struct dialogue *dialogue = arg;

	(void)server;
	dialogue->early++;
}

static inline void
dialogue_received(void *arg, const struct smtp_server *server, const struct envelope *envelope)
{
	struct dialogue *dialogue = arg;

	ck_assert_uint_ne(envelope->id, 0);
	ck_assert(server->in_content);
	dialogue->received++;
	dialogue->server.stopping |= dialogue->stops_at_received;
}

static inline void
dialogue_closed(void *arg, const struct smtp_server *server, enum smtp_end end)
{
	struct dialogue *dialogue = arg;

	(void)server;
	ck_assert_int_ne(end, SMTP_END_NONE);
	dialogue->end = end;
}

static const struct smtp_server_ops dialogue_ops = {dialogue_check_recipient, dialogue_expand,
	dialogue_is_account, dialogue_connected, dialogue_refused, dialogue_talked_early,
	dialogue_received, dialogue_closed};

static inline wall_us
dialogue_wall(void *world)
{
	(void)world;
	return INT64_C(1795455235) * US_PER_S; /* Mon, 23 Nov 2026 17:33:55 */
}

static inline mono_us
dialogue_monotonic(void *world)
{
	const struct dialogue *dialogue = world;

	return 1000 * US_PER_S + dialogue->now;
}

static const struct clock_ops dialogue_clock = {dialogue_monotonic, dialogue_wall};

/* A session with this limit on its memory (0: none). */
static inline void
dialogue_init(struct dialogue *dialogue, size_t memory_limit)
{
	*dialogue = (struct dialogue){.client_limit = SIZE_MAX};
	env_init_linux(&dialogue->env);
	dialogue->env.clock = &dialogue_clock;
	dialogue->env.world = dialogue; /* Linux's functions do not look at it */
	dialogue->loop = loop_new(&dialogue->env, &(struct loop_options){0});
	buffer_init(&dialogue->output, dialogue->env.memory, 1u << 20);
	accept_memory_init(&dialogue->store, dialogue->env.memory, 64u << 20);
	dialogue->stream = (struct stream){&dialogue_stream_ops, dialogue->loop};
	smtp_server_settings_init(&dialogue->settings, SLICE("mx.test"));
	dialogue->settings.postmaster_domain = SLICE("here.test");
	dialogue->settings.listener = SLICE("mx");
	/* From here on the session's account is the one that may be limited. */
	dialogue->world = dialogue->env.memory;
	if (memory_limit > 0)
		dialogue->env.memory = memory_new(memory_limit + POOL_BYTES);
	size_t before = memory_used(dialogue->env.memory);
	dialogue->pool = line_pool_new(&dialogue->env);
	ck_assert_uint_le(memory_used(dialogue->env.memory) - before, POOL_BYTES);
	line_reader_init(&dialogue->reader, dialogue->pool, &dialogue->stream);
}

/* Runs the steps; the session must leave nothing behind. */
static inline void
dialogue_run(struct dialogue *dialogue, const struct step *steps)
{
	dialogue->step = steps;
	dialogue->server = (struct smtp_server){
		.stream = &dialogue->stream,
		.reader = &dialogue->reader,
		.store = &dialogue->store.store,
		.settings = &dialogue->settings,
		.ops = dialogue->ops ? dialogue->ops : &dialogue_ops,
		.arg = dialogue,
		.client_address = SLICE("192.0.2.7"),
		.client_port = 4711,
	};
	smtp_server_run(&dialogue->server);
	ck_assert_ptr_null(dialogue->stream.ops);
	ck_assert_uint_eq(dialogue->connected, 1);
	ck_assert_uint_eq(dialogue->store.open, 0);
	if (dialogue->step->kind == STEP_CLIENT && dialogue->at > 0)
		dialogue->step++;
	if (dialogue->fail_write_at == 0 && dialogue->client_limit == SIZE_MAX)
		dialogue_compare(dialogue);
}

static inline void
dialogue_body(void *arg)
{
	struct dialogue *dialogue = arg;

	dialogue_run(dialogue, dialogue->step);
}

/* The same on a task, where time can pass. */
static inline void
dialogue_run_task(struct dialogue *dialogue, const struct step *steps)
{
	struct task_group group;

	dialogue->step = steps;
	task_group_init(&group, dialogue->loop);
	ck_assert_ok(task_start(&group, "dialogue", dialogue_body, dialogue));
	loop_run(dialogue->loop);
	ck_assert(task_group_is_empty(&group));
}

static inline void
dialogue_done(struct dialogue *dialogue)
{
	line_reader_done(&dialogue->reader);
	line_pool_free(&dialogue->pool);
	if (dialogue->env.memory != dialogue->world) {
		ck_assert_uint_eq(memory_used(dialogue->env.memory), 0);
		memory_free(&dialogue->env.memory);
		dialogue->env.memory = dialogue->world;
	}
	accept_memory_done(&dialogue->store);
	buffer_done(&dialogue->output);
	loop_free(&dialogue->loop);
	ck_assert_uint_eq(memory_used(dialogue->env.memory), 0);
	env_done(&dialogue->env);
}

/* One dialogue with nothing special, whole and octet by octet; the number of messages kept each
 * time. */
static inline void
dialogue_play(const struct step *steps, uint32_t messages)
{
	static const size_t pieces[] = {0, 1, 7};

	for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
		struct dialogue dialogue;
		dialogue_init(&dialogue, 0);
		dialogue.piece = pieces[i];
		dialogue_run(&dialogue, steps);
		ck_assert_uint_eq(dialogue.received, messages);
		dialogue_done(&dialogue);
	}
}

#define BANNER   S("220 mx.test ESMTP Veredus\r\n")
#define HELO     BANNER, C("HELO client.test\r\n"), S("250 mx.test\r\n")
#define MAIL     C("MAIL FROM:<a@b.test>\r\n"), S("250 2.1.0 sender ok\r\n")
#define RCPT     C("RCPT TO:<user@here.test>\r\n"), S("250 2.1.5 recipient ok\r\n")
#define DATA     C("DATA\r\n"), S("354 send the message, end with a single dot on a line\r\n")
#define QUEUED_1 S("250 2.0.0 queued as 0000000000001\r\n")
#define QUIT     C("QUIT\r\n"), S("221 2.0.0 goodbye\r\n"), END

#endif
