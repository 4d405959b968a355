/*
 * Both sides of a call, on a schema with questions of the test's own: a counterpart that dies,
 * hangs, answers twice or wrongly at every point, many questions in flight, fair turns, every call
 * of the kernel and of memory failing once, and no secret in memory that is given back.
 *
 * The sources are compiled in: message.c makes the test's kinds from its rows, and memory is
 * watched.
 */
#define IPC_FIELDS_ask(F, m) \
	F(m, u32, request, UINT32_MAX) F(m, u64, value, UINT64_MAX) F(m, secret, password, 256)
#define IPC_FIELDS_told(F, m) \
	F(m, u32, request, UINT32_MAX) F(m, u64, value, UINT64_MAX) F(m, secret, token, 256)
#define IPC_FIELDS_other(F, m) F(m, u32, request, UINT32_MAX)
#define IPC_FIELDS_aside(F, m) F(m, u32, value, UINT32_MAX)
#define IPC_TEST_MESSAGES(M)                                           \
	M(ASK, ask, ROLE_BIT(ROLE_ADMIN), ROLE_BIT(ROLE_QUEUE), 0)     \
	M(TOLD, told, ROLE_BIT(ROLE_QUEUE), ROLE_BIT(ROLE_ADMIN), 1)   \
	M(OTHER, other, ROLE_BIT(ROLE_QUEUE), ROLE_BIT(ROLE_ADMIN), 0) \
	M(ASIDE, aside, ROLE_BIT(ROLE_QUEUE), ROLE_BIT(ROLE_ADMIN), 0)

#include "base/memory.h"
#include "base/secret.h"

static void *watched_try(struct memory *memory, size_t size);
static void watched_put(struct memory *memory, void *block);
#define memory_try watched_try
#define memory_put watched_put
#include "answerer.c"
#include "caller.c"
#include "channel.c"
#include "message.c"
#undef memory_try
#undef memory_put

#include "descriptors.h"
#include "unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define MARK       "correct horse battery staple"
#define BLOCKS_MAX 64
#define MANY       10000

/* Blocks that may hold a secret: none does when it is given back. */
static struct {
	void *block;
	size_t size;
} blocks[BLOCKS_MAX];
static unsigned secrets_left;
static unsigned fault_count, fault_at; /* the number of the call that fails; 0: none */

static bool
fails_now(void)
{
	return ++fault_count == fault_at;
}

static void *
watched_try(struct memory *memory, size_t size)
{
	if (fails_now())
		return NULL;
	void *block = memory_try(memory, size);
	for (size_t i = 0; block && i < BLOCKS_MAX; i++)
		if (!blocks[i].block) {
			blocks[i].block = block;
			blocks[i].size = size;
			break;
		}
	return block;
}

static void
watched_put(struct memory *memory, void *block)
{
	for (size_t i = 0; block && i < BLOCKS_MAX; i++)
		if (blocks[i].block == block) {
			secrets_left +=
				memmem(block, blocks[i].size, MARK, sizeof MARK - 1) != NULL;
			blocks[i].block = NULL;
		}
	memory_put(memory, block);
}

static ssize_t
failing_send(void *world, int fd, const struct msghdr *header)
{
	(void)world;
	if (fails_now())
		return -ENOBUFS;
	ssize_t sent = sendmsg(fd, header, MSG_NOSIGNAL | MSG_DONTWAIT);
	return sent < 0 ? -errno : sent;
}

static ssize_t
failing_receive(void *world, int fd, struct msghdr *header)
{
	(void)world;
	if (fails_now())
		return -ENOMEM;
	ssize_t got = recvmsg(fd, header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	return got < 0 ? -errno : got;
}

struct world {
	struct env env;
	struct net_ops net;
	struct loop *loop;
	struct task_group group;
	struct caller caller;
	struct answerer answerer;
	int raw;          /* the other side, played by hand */
	unsigned broken;  /* times that the caller said so */
	unsigned dropped; /* times that the answerer said so */
	unsigned aside;
	unsigned ended[ERROR_COUNT];
	unsigned wrong; /* answers to another's question */
	struct question *held[MANY + 16];
	size_t held_count;
	unsigned worked[3]; /* questions that came from each asker */
	bool hold;
	bool finished;
};

static void
note_broken(void *arg, uint32_t instance, enum error error)
{
	struct world *world = arg;

	ck_assert_uint_eq(instance, 77);
	ck_assert_int_ne(error, OK);
	world->broken++;
}

static enum error
note_aside(void *arg, struct ipc_message *message)
{
	struct world *world = arg;

	ck_assert_int_eq(message->kind, IPC_ASIDE);
	world->aside++;
	return OK;
}

static const struct caller_ops caller_ops = {note_broken, note_aside};

static void
note_dropped(void *arg, uint32_t instance, enum error error)
{
	(void)instance;
	(void)error;
	((struct world *)arg)->dropped++;
}

/* The answer is the question's value and one more, with a descriptor. */
static void
tell(struct question *question)
{
	struct ipc_message *asked = question_message(question);
	struct ipc_message answer = {.kind = IPC_TOLD,
		.told = {.value = asked->ask.value + 1, .token = asked->ask.password},
		.fds = {open("/dev/null", O_RDONLY | O_CLOEXEC)},
		.fd_count = 1};

	question_answer(question, &answer);
}

static void
take(void *arg, struct question *question)
{
	struct world *world = arg;

	ck_assert_int_eq(question_message(question)->kind, IPC_ASK);
	ck_assert_int_eq(question_role(question), ROLE_ADMIN);
	world->worked[question_worker(question)]++;
	if (world->hold)
		world->held[world->held_count++] = question;
	else if (question_message(question)->ask.value == UINT64_MAX)
		question_refuse(question, SLICE("too large"));
	else
		tell(question);
}

static const struct answerer_ops answerer_ops = {take, note_dropped, false};

static void
world_init(struct world *world)
{
	struct loop_options options = {0};

	memset(world, 0, sizeof *world);
	memset(blocks, 0, sizeof blocks);
	secrets_left = fault_count = fault_at = 0;
	env_init_linux(&world->env);
	world->net = *world->env.net;
	world->net.send_message = failing_send;
	world->net.receive_message = failing_receive;
	world->env.net = &world->net;
	world->loop = loop_new(&world->env, &options);
	world->raw = -1;
	task_group_init(&world->group, world->loop);
	caller_init(&world->caller, &world->env, ROLE_ADMIN, ROLE_QUEUE, MANY, &caller_ops, world);
	answerer_init(&world->answerer, &world->env, ROLE_QUEUE, 4, &answerer_ops, world);
}

static void
world_end(void *arg)
{
	struct world *world = arg;

	caller_done(&world->caller);
	answerer_done(&world->answerer);
}

/* Runs the test's body as a task, then takes both sides down; nothing is left behind. */
static void
world_run(struct world *world, task_body *body)
{
	int open = descriptors_open();

	ck_assert_ok(task_start(&world->group, "test", body, world));
	loop_run(world->loop);
	ck_assert(world->finished);
	if (world->raw >= 0)
		close(world->raw);
	loop_free(&world->loop);
	ck_assert_uint_eq(memory_used(world->env.memory), 0);
	ck_assert_int_eq(descriptors_open(), open - 1); /* the loop's own */
	ck_assert_uint_eq(secrets_left, 0);
	env_done(&world->env);
}

static void
world_finish(struct world *world)
{
	world_end(world);
	world->finished = true;
}

static void
new_pair(int fds[2])
{
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

/* The other side is this test: reads and writes what it likes. */
static void
connect_raw(struct world *world)
{
	int fds[2];

	if (world->raw >= 0)
		close(world->raw);
	new_pair(fds);
	ck_assert_ok(caller_connect(&world->caller, fds[0], 77));
	world->raw = fds[1];
}

static void
connect_answerer(struct world *world, struct caller *caller, uint32_t worker)
{
	int fds[2];

	new_pair(fds);
	ck_assert_ok(caller_connect(caller, fds[0], 77));
	ck_assert_ok(answerer_add(&world->answerer, ROLE_ADMIN, worker, 5, fds[1]));
}

static void
turns(struct world *world, int count)
{
	while (count-- > 0)
		task_yield(world->loop);
}

struct asked {
	struct call call;
	struct world *world;
	uint64_t value;
	unsigned ends;
};

static void
note_end(void *arg, enum error error, struct ipc_message *answer)
{
	struct asked *asked = arg;
	struct world *world = asked->world;

	asked->ends++;
	world->ended[error]++;
	ck_assert(!answer == (error != OK && error != ERROR_DENIED));
	if (error != OK)
		return;
	ck_assert_int_eq(answer->kind, IPC_TOLD);
	world->wrong += answer->told.value != asked->value + 1;
	world->wrong += !slice_equal(secret_reveal(answer->told.token), SLICE(MARK));
	ipc_close_fds(&world->env, answer);
}

static enum error
ask_of(struct caller *caller, struct asked *asked, uint64_t value, int64_t within_us)
{
	struct ipc_message question = {
		.kind = IPC_ASK, .ask = {.value = value, .password = secret_of(SLICE(MARK))}};

	asked->value = value;
	return call_start(caller, &asked->call, &question, IPC_TOLD,
		loop_deadline(caller->env->loop, within_us), note_end, asked);
}

static struct asked *
new_asked(struct world *world, size_t count)
{
	struct asked *asked = memory_get(world->env.memory, count * sizeof *asked);

	for (size_t i = 0; i < count; i++)
		asked[i].world = world;
	return asked;
}

static void
ask_many(struct world *world, struct asked *asked, size_t count, int64_t within_us)
{
	for (size_t i = 0; i < count; i++)
		ck_assert_ok(ask_of(&world->caller, &asked[i], 1000 + i, within_us));
}

/* What the raw side reads next; false: nothing there. */
static bool
raw_read(struct world *world, struct ipc_message *ret_message, uint8_t bytes[static 1024])
{
	ssize_t got = recv(world->raw, bytes, 1024, MSG_DONTWAIT);

	if (got <= 0)
		return false;
	ret_message->fd_count = 0;
	ck_assert_ok(ipc_decode(slice_of(bytes, (size_t)got), ret_message));
	return true;
}

static void
raw_say(struct world *world, struct ipc_message *message)
{
	struct packed packed;
	union control control = {.bytes = {0}};
	struct msghdr header = {.msg_iovlen = 1};

	ck_assert_ok(packed_init(&packed, &world->env, message));
	struct iovec piece = {packed.bytes, packed.len};
	header.msg_iov = &piece;
	if (message->kind == IPC_TOLD) {
		header.msg_control = control.bytes;
		header.msg_controllen = CMSG_SPACE(sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&header);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &world->raw, sizeof(int));
	}
	ck_assert_int_eq(sendmsg(world->raw, &header, MSG_NOSIGNAL), (ssize_t)packed.len);
	packed_done(&packed, &world->env);
}

static void
raw_tell(struct world *world, uint32_t request, uint64_t value)
{
	struct ipc_message answer = {.kind = IPC_TOLD,
		.told = {.request = request, .value = value, .token = secret_of(SLICE(MARK))}};

	raw_say(world, &answer);
}

static void
many_in_flight(void *arg)
{
	struct world *world = arg;
	struct asked *asked = new_asked(world, MANY + 1);

	world->answerer.max = MANY;
	world->hold = true;
	connect_answerer(world, &world->caller, 0);
	ask_many(world, asked, MANY, 60 * US_PER_S);
	ck_assert_int_eq(ask_of(&world->caller, &asked[MANY], 1, US_PER_S), ERROR_LIMIT);
	while (world->held_count < MANY)
		task_yield(world->loop);
	ck_assert_uint_eq(world->caller.count, MANY);
	ck_assert_uint_eq(world->ended[OK], 0);
	while (world->held_count > 0) /* the last first */
		tell(world->held[--world->held_count]);
	while (world->ended[OK] < MANY)
		task_yield(world->loop);
	ck_assert_uint_eq(world->wrong, 0);
	for (size_t i = 0; i < MANY; i++)
		ck_assert_uint_eq(asked[i].ends, 1);
	world_finish(world);
	memory_put(world->env.memory, asked);
}

START_TEST(ten_thousand_questions_find_their_answers)
{
	struct world *world = calloc(1, sizeof *world);

	world_init(world);
	world_run(world, many_in_flight);
	free(world);
}
END_TEST

#define POINTS 6

/* Dies after `answered` of `read` questions, of POINTS that were asked; one is asked when it is
 * dead, and all that it never had go to the next. */
static void
die_at(struct world *world, unsigned read, unsigned answered)
{
	struct asked *asked = new_asked(world, POINTS + 1);
	struct ipc_message message;
	uint8_t bytes[1024];

	memset(world->ended, 0, sizeof world->ended);
	connect_raw(world);
	ask_many(world, asked, POINTS, 60 * US_PER_S);
	for (unsigned i = 0; i < read; i++) {
		ck_assert(raw_read(world, &message, bytes));
		if (i < answered)
			raw_tell(world, message.ask.request, message.ask.value + 1);
	}
	close(world->raw);
	world->raw = -1;
	turns(world, 5);
	ck_assert_uint_eq(world->ended[OK], answered);
	ck_assert_uint_eq(world->ended[ERROR_CLOSED], POINTS - answered);
	ck_assert_ok(ask_of(&world->caller, &asked[POINTS], 5, 60 * US_PER_S));
	turns(world, 5);
	ck_assert_uint_eq(asked[POINTS].ends, 0);
	connect_raw(world);
	ck_assert(raw_read(world, &message, bytes));
	raw_tell(world, message.ask.request, 6);
	turns(world, 5);
	ck_assert_uint_eq(asked[POINTS].ends, 1);
	ck_assert_uint_eq(world->ended[OK], answered + 1);
	ck_assert_uint_eq(world->caller.count, 0);
	memory_put(world->env.memory, asked);
}

static void
die_everywhere(void *arg)
{
	struct world *world = arg;

	for (unsigned read = 0; read <= POINTS; read++)
		for (unsigned answered = 0; answered <= read; answered++)
			die_at(world, read, answered);
	ck_assert_uint_eq(world->broken, 0);
	ck_assert_uint_eq(world->wrong, 0);
	world_finish(world);
}

START_TEST(a_counterpart_dies_at_every_point)
{
	struct world *world = calloc(1, sizeof *world);

	world_init(world);
	world_run(world, die_everywhere);
	free(world);
}
END_TEST

/* It hangs over some, answers one late, one twice, and refuses one. */
static void
hang(void *arg)
{
	struct world *world = arg;
	struct asked *asked = new_asked(world, 4);
	struct ipc_message message;
	uint32_t numbers[4];
	uint8_t bytes[1024];

	connect_raw(world);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_ok(ask_of(&world->caller, &asked[i], i,
			i < 2 ? (int64_t)(40 - 20 * i) * US_PER_MS : 60 * US_PER_S));
	for (unsigned i = 0; i < 4; i++) {
		ck_assert(raw_read(world, &message, bytes));
		numbers[i] = message.ask.request;
	}
	ck_assert_ok(task_sleep(world->loop, loop_deadline(world->loop, 30 * US_PER_MS)));
	ck_assert_uint_eq(asked[0].ends, 0);
	ck_assert_uint_eq(asked[1].ends, 1); /* the shorter deadline, though asked later */
	ck_assert_ok(task_sleep(world->loop, loop_deadline(world->loop, 30 * US_PER_MS)));
	ck_assert_uint_eq(world->ended[ERROR_TIMEOUT], 2);
	raw_tell(world, numbers[0], 1);
	raw_tell(world, numbers[2], 3);
	raw_tell(world, numbers[2], 3);
	struct ipc_message refusal = {
		.kind = IPC_REFUSED, .refused = {.request = numbers[3], .reason = SLICE("no")}};
	raw_say(world, &refusal);
	struct ipc_message aside = {.kind = IPC_ASIDE};
	raw_say(world, &aside);
	turns(world, 10);
	ck_assert_uint_eq(world->caller.late, 2);
	ck_assert_uint_eq(world->ended[OK], 1);
	ck_assert_uint_eq(world->ended[ERROR_DENIED], 1);
	ck_assert_uint_eq(world->aside, 1);
	ck_assert_uint_eq(world->broken, 0);
	world_finish(world);
	memory_put(world->env.memory, asked);
}

START_TEST(late_and_double_answers_are_counted)
{
	struct world *world = calloc(1, sizeof *world);

	world_init(world);
	world_run(world, hang);
	free(world);
}
END_TEST

enum wrong { NEVER_ASKED, OTHER_KIND, NOT_SENT_YET, NO_MESSAGE, A_QUESTION, WRONG_WAYS };

static void
say_wrong(struct world *world, enum wrong wrong, uint32_t number)
{
	struct ipc_message other = {.kind = IPC_OTHER, .other = {.request = number}};

	switch (wrong) {
	case NEVER_ASKED:
		raw_tell(world, number + 100000, 1);
		return;
	case OTHER_KIND:
		raw_say(world, &other);
		return;
	case NOT_SENT_YET:
		raw_tell(world, world->caller.last_number, 1);
		return;
	case NO_MESSAGE:
		ck_assert_int_eq(send(world->raw, MARK, sizeof MARK, 0), sizeof MARK);
		return;
	default:
		other = (struct ipc_message){.kind = IPC_ASK, .ask = {.request = number}};
		raw_say(world, &other);
	}
}

/* 5,000 fill the socket, so that the last is not sent yet. */
static void
answer_wrongly(void *arg)
{
	struct world *world = arg;
	const size_t count = 5000;
	struct asked *asked = new_asked(world, count);
	struct ipc_message message;
	uint8_t bytes[1024];

	for (enum wrong wrong = 0; wrong < WRONG_WAYS; wrong++) {
		memset(world->ended, 0, sizeof world->ended);
		connect_raw(world);
		ask_many(world, asked, count, 60 * US_PER_S);
		ck_assert(raw_read(world, &message, bytes));
		ck_assert(!list_is_empty(&world->caller.unsent));
		say_wrong(world, wrong, message.ask.request);
		turns(world, 5);
		ck_assert_uint_eq(world->broken, (unsigned)wrong + 1);
		ck_assert_uint_gt(world->ended[ERROR_CLOSED], 0);
		ck_assert_uint_eq(world->ended[OK], 0);
		for (size_t i = 0; i < count; i++)
			call_cancel(&asked[i].call); /* the unsent */
		ck_assert_uint_eq(world->caller.count, 0);
	}
	world_finish(world);
	memory_put(world->env.memory, asked);
}

START_TEST(wrong_answers_end_the_connection)
{
	struct world *world = calloc(1, sizeof *world);

	world_init(world);
	world_run(world, answer_wrongly);
	free(world);
}
END_TEST

static void
ask_in_vain(void *arg)
{
	struct world *world = arg;
	struct ipc_message question = {.kind = IPC_ASK};
	struct call_answer answer;

	ck_assert_int_eq(call_ask(&world->caller, &question, IPC_TOLD, MONO_NEVER, &answer),
		ERROR_CANCELLED);
	call_answer_done(&answer, &world->env);
	world->ended[ERROR_CANCELLED]++;
}

static void
ask_as_a_task(void *arg)
{
	struct world *world = arg;
	struct ipc_message question = {
		.kind = IPC_ASK, .ask = {.value = 41, .password = secret_of(SLICE(MARK))}};
	struct ipc_message denied = {.kind = IPC_TOLD};
	struct call_answer answer;
	struct task_group cancelled;

	connect_answerer(world, &world->caller, 0);
	ck_assert_ok(call_ask(&world->caller, &question, IPC_TOLD,
		loop_deadline(world->loop, US_PER_S), &answer));
	ck_assert_uint_eq(answer.message.told.value, 42);
	ck_assert_slice_eq(secret_reveal(answer.message.told.token), MARK);
	ipc_close_fds(&world->env, &answer.message);
	call_answer_done(&answer, &world->env);
	question.ask.value = UINT64_MAX;
	ck_assert_int_eq(
		call_ask(&world->caller, &question, IPC_TOLD, MONO_NEVER, &answer), ERROR_DENIED);
	ck_assert_slice_eq(answer.message.refused.reason, "too large");
	call_answer_done(&answer, &world->env);
	ck_assert_int_eq(
		call_ask(&world->caller, &denied, IPC_TOLD, MONO_NEVER, &answer), ERROR_DENIED);
	world->hold = true;
	task_group_init(&cancelled, world->loop);
	ck_assert_ok(task_start(&cancelled, "asker", ask_in_vain, world));
	ck_assert_ok(task_start(&world->group, "asker", ask_in_vain, world));
	turns(world, 5);
	task_group_cancel(&cancelled);
	task_group_wait(&cancelled);
	ck_assert_uint_eq(world->ended[ERROR_CANCELLED], 1);
	ck_assert_uint_eq(world->caller.count, 1);
	while (world->held_count > 0)
		question_refuse(world->held[--world->held_count], SLICE("late"));
	/* Its answer is on its way when the caller ends. */
	world->finished = true;
	caller_done(&world->caller);
	answerer_done(&world->answerer);
}

START_TEST(tasks_ask_and_are_cancelled)
{
	struct world *world = calloc(1, sizeof *world);

	world_init(world);
	world_run(world, ask_as_a_task);
	ck_assert_uint_eq(world->ended[ERROR_CANCELLED], 2);
	free(world);
}
END_TEST

/* One asker wants all, another comes later with little. */
static void
take_turns(void *arg)
{
	struct world *world = arg;
	struct caller second;
	struct asked *greedy = new_asked(world, 40), *modest = new_asked(world, 4);

	world->hold = true;
	caller_init(&second, &world->env, ROLE_ADMIN, ROLE_QUEUE, 100, &caller_ops, world);
	connect_answerer(world, &world->caller, 0);
	ask_many(world, greedy, 40, 60 * US_PER_S);
	turns(world, 10);
	ck_assert_uint_eq(world->worked[0], 4);
	connect_answerer(world, &second, 1);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_ok(ask_of(&second, &modest[i], i, 60 * US_PER_S));
	turns(world, 10);
	ck_assert_uint_eq(world->worked[1], 1); /* at once, though all places are taken */
	ck_assert_uint_eq(world->answerer.open, 5);
	for (size_t next = 0; next < 8; next++) { /* the oldest first */
		tell(world->held[next]);
		turns(world, 10);
	}
	ck_assert_uint_eq(world->worked[1], 4);
	ck_assert_uint_eq(world->answerer.open, 4);
	ck_assert_uint_le(world->worked[0], 4 + 4);
	for (size_t next = 8; next < 44; next++) {
		tell(world->held[next]);
		turns(world, 10);
	}
	ck_assert_uint_eq(world->ended[OK], 44);
	ck_assert_uint_eq(world->answerer.open, 0);
	caller_done(&second);
	world_finish(world);
	memory_put(world->env.memory, greedy);
	memory_put(world->env.memory, modest);
}

START_TEST(askers_take_turns)
{
	struct world *world = calloc(1, sizeof *world);

	world_init(world);
	world_run(world, take_turns);
	free(world);
}
END_TEST

static void
lose_askers(void *arg)
{
	struct world *world = arg;
	struct asked *asked = new_asked(world, 40);
	int fds[2];

	world->hold = true;
	connect_answerer(world, &world->caller, 0);
	ask_many(world, asked, 10, 60 * US_PER_S);
	turns(world, 10);
	ck_assert_uint_eq(world->held_count, 4);
	ck_assert(question_is_wanted(world->held[0]));
	/* Its successor gets places at once, and the old questions go out unheard. */
	connect_answerer(world, &world->caller, 0);
	turns(world, 10);
	ck_assert(!question_is_wanted(world->held[0]));
	while (world->held_count > 0)
		tell(world->held[--world->held_count]);
	turns(world, 10);
	ck_assert_uint_eq(world->answerer.open, world->held_count);
	while (world->held_count > 0)
		question_refuse(world->held[--world->held_count], SLICE("no"));
	/* One that asks and takes no answers. */
	world->hold = false;
	world->answerer.send_us = 20 * US_PER_MS;
	new_pair(fds);
	world->raw = fds[0];
	ck_assert_ok(answerer_add(&world->answerer, ROLE_ADMIN, 2, 6, fds[1]));
	ck_assert_uint_eq(world->dropped, 0);
	for (int i = 0; i < 100000 && world->dropped == 0; i++) {
		struct ipc_message question = {
			.kind = IPC_ASK, .ask = {.password = secret_of(SLICE(MARK))}};
		struct packed packed;
		ck_assert_ok(packed_init(&packed, &world->env, &question));
		if (send(world->raw, packed.bytes, packed.len, MSG_NOSIGNAL) < 0)
			ck_assert_ok(
				task_sleep(world->loop, loop_deadline(world->loop, US_PER_MS)));
		packed_done(&packed, &world->env);
		task_yield(world->loop);
	}
	ck_assert_uint_eq(world->dropped, 1);
	ck_assert_uint_eq(world->answerer.open, 0);
	world_finish(world);
	memory_put(world->env.memory, asked);
}

START_TEST(askers_die_or_do_not_listen)
{
	struct world *world = calloc(1, sizeof *world);

	world_init(world);
	world_run(world, lose_askers);
	free(world);
}
END_TEST

static void
take_slowly(void *arg, struct question *question)
{
	struct world *world = arg;

	if (task_sleep(world->loop, loop_deadline(world->loop, 5 * US_PER_MS)) != OK)
		question_refuse(question, SLICE("ending"));
	else
		tell(question);
}

static const struct answerer_ops task_ops = {take_slowly, note_dropped, true};

/* All of it once more with tasks, where each call fails in turn: every question ends once. */
static void
converse(void *arg)
{
	struct world *world = arg;
	struct asked *asked = new_asked(world, 8);
	unsigned started = 0, ended = 0;
	int fds[2];

	world->answerer.ops = &task_ops;
	new_pair(fds);
	enum error error = caller_connect(&world->caller, fds[0], 77);
	ck_assert_ok(error);
	error = answerer_add(&world->answerer, ROLE_ADMIN, 0, 5, fds[1]);
	ck_assert_ok(error);
	for (unsigned i = 0; i < 8; i++)
		started += ask_of(&world->caller, &asked[i], i, 200 * US_PER_MS) == OK;
	for (int i = 0; i < 300 && world->caller.count > 0; i++)
		ck_assert_ok(task_sleep(world->loop, loop_deadline(world->loop, US_PER_MS)));
	for (unsigned i = 0; i < 8; i++) {
		ck_assert_uint_le(asked[i].ends, 1);
		ended += asked[i].ends;
	}
	/* One that was not heard waits for the next process, until its deadline. */
	ck_assert_uint_eq(ended, started);
	ck_assert_uint_ge(started, 7);
	ck_assert_uint_eq(world->wrong, 0);
	world_finish(world);
	memory_put(world->env.memory, asked);
}

START_TEST(every_call_fails_once)
{
	struct world *world = calloc(1, sizeof *world);
	unsigned calls = 0;

	for (unsigned at = 0; at <= calls; at++) {
		world_init(world);
		fault_at = at;
		world_run(world, converse);
		if (at == 0) {
			calls = fault_count;
			ck_assert_uint_eq(world->ended[OK], 8);
			ck_assert_uint_gt(calls, 40);
		}
	}
	free(world);
}
END_TEST

START_TEST(secrets_survive_the_trip_and_no_more)
{
	struct memory *memory = memory_new(0);
	struct buffer bytes;
	struct ipc_message question = {.kind = IPC_ASK,
		.ask = {.request = 3, .value = 4, .password = secret_of(SLICE(MARK))}};
	struct ipc_message back = {.fd_count = 0};

	buffer_init(&bytes, memory, IPC_MESSAGE_MAX);
	ck_assert_ok(ipc_encode(&question, &bytes));
	ck_assert_uint_eq(bytes.len, ipc_encoded_size(&question));
	ck_assert_ok(ipc_decode(buffer_slice(&bytes), &back));
	ck_assert_slice_eq(secret_reveal(back.ask.password), MARK);
	ck_assert_uint_eq(*ipc_request(&back), 3);
	back.kind = IPC_ASIDE;
	ck_assert_ptr_null(ipc_request(&back));
	ck_assert(ipc_kind_is_secret(IPC_ASK));
	ck_assert(!ipc_kind_is_secret(IPC_OTHER));
	buffer_done(&bytes);
	memory_free(&memory);
}
END_TEST

UNIT_MAIN("ipc/call", secrets_survive_the_trip_and_no_more,
	ten_thousand_questions_find_their_answers, a_counterpart_dies_at_every_point,
	late_and_double_answers_are_counted, wrong_answers_end_the_connection,
	tasks_ask_and_are_cancelled, askers_take_turns, askers_die_or_do_not_listen,
	every_call_fails_once)
