/* Both sides of a call with a counterpart that sends any bytes, dies and comes again at any time:
 * every question ends once, and nothing is left behind. */
#include "ipc/answerer.h"
#include "ipc/caller.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CALLS_MAX 32
#define HELD_MAX  64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum step {
	STEP_ASK,
	STEP_CANCEL,
	STEP_SAY,
	STEP_REFUSE,
	STEP_END,
	STEP_CONNECT,
	STEP_TELL,
	STEPS
};

struct asked {
	struct call call;
	unsigned started, ended, cancelled;
};

struct world {
	struct env env;
	struct task_group group;
	struct cursor input;
	struct caller caller;
	struct answerer answerer;
	int to_caller, to_answerer;
	struct asked asked[CALLS_MAX];
	struct question *held[HELD_MAX];
	size_t held_count;
};

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
note_end(void *arg, enum error error, struct ipc_message *answer)
{
	struct asked *asked = arg;

	require(!answer == (error != OK && error != ERROR_DENIED));
	asked->ended++;
}

static void
hold(void *arg, struct question *question)
{
	struct world *world = arg;

	require(question_message(question)->kind == IPC_QUEUE_LIST);
	require(world->held_count < HELD_MAX);
	world->held[world->held_count++] = question;
}

static const struct caller_ops caller_ops = {NULL, NULL};
static const struct answerer_ops answerer_ops = {hold, NULL, false};

/* Ends what was there before. */
static void
connect_both(struct world *world)
{
	int fds[2];

	close(world->to_caller);
	close(world->to_answerer);
	require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	world->to_caller = fds[0];
	require(caller_connect(&world->caller, fds[1], 1) == OK);
	require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	world->to_answerer = fds[0];
	require(answerer_add(&world->answerer, ROLE_ADMIN, 0, 1, fds[1]) == OK);
}

static void
ask(struct world *world, struct asked *asked)
{
	struct ipc_message question = {.kind = IPC_QUEUE_LIST, .queue_list = {.max = 1}};

	if (!asked->call.of && call_start(&world->caller, &asked->call, &question, IPC_QUEUE_END,
				       MONO_NEVER, note_end, asked) == OK)
		asked->started++;
}

static void
cancel(struct asked *asked)
{
	asked->cancelled += asked->call.of != NULL;
	call_cancel(&asked->call);
}

/* To the caller, with a number that may have been asked. */
static void
refuse(struct world *world, uint8_t number)
{
	struct ipc_message refusal = {.kind = IPC_REFUSED, .refused = {.request = number}};
	struct packed packed;

	require(packed_init(&packed, &world->env, &refusal) == OK);
	(void)!send(world->to_caller, packed.bytes, packed.len, MSG_NOSIGNAL);
	packed_done(&packed, &world->env);
}

static void
say(struct world *world, bool to_caller, struct slice bytes)
{
	(void)!send(to_caller ? world->to_caller : world->to_answerer, bytes.ptr, bytes.len,
		MSG_NOSIGNAL);
}

static void
step(struct world *world)
{
	struct cursor *input = &world->input;
	enum step step = cursor_take_u8(input) % STEPS;
	uint8_t number = cursor_take_u8(input);
	struct asked *asked = &world->asked[number % CALLS_MAX];

	if (step == STEP_ASK)
		ask(world, asked);
	else if (step == STEP_CANCEL)
		cancel(asked);
	else if (step == STEP_SAY)
		say(world, number & 1, cursor_take(input, cursor_take_u8(input)));
	else if (step == STEP_REFUSE)
		refuse(world, number);
	else if (step == STEP_END)
		shutdown(number & 1 ? world->to_caller : world->to_answerer, SHUT_RDWR);
	else if (step == STEP_CONNECT)
		connect_both(world);
	else if (world->held_count > 0)
		question_refuse(world->held[--world->held_count], SLICE("no"));
	if (number & 0x80)
		task_yield(world->env.loop);
}

static void
live(void *arg)
{
	struct world *world = arg;

	connect_both(world);
	for (unsigned i = 0; i < 200 && world->input.error == OK && cursor_left(&world->input) > 0;
		i++)
		step(world);
	task_yield(world->env.loop);
	while (world->held_count > 0)
		question_refuse(world->held[--world->held_count], SLICE("no"));
	caller_done(&world->caller);
	while (world->held_count > 0)
		question_refuse(world->held[--world->held_count], SLICE("no"));
	answerer_done(&world->answerer);
	for (size_t i = 0; i < CALLS_MAX; i++)
		require(world->asked[i].started ==
			world->asked[i].ended + world->asked[i].cancelled);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world *world = calloc(1, sizeof *world);
	struct loop_options options = {0};

	require(world != NULL);
	env_init_linux(&world->env);
	loop_new(&world->env, &options);
	world->input = cursor_of(slice_of(data, size));
	world->to_caller = world->to_answerer = -1;
	task_group_init(&world->group, world->env.loop);
	caller_init(
		&world->caller, &world->env, ROLE_ADMIN, ROLE_QUEUE, CALLS_MAX, &caller_ops, world);
	answerer_init(&world->answerer, &world->env, ROLE_QUEUE, 4, &answerer_ops, world);
	require(task_start(&world->group, "fuzz", live, world) == OK);
	loop_run(world->env.loop);
	close(world->to_caller);
	close(world->to_answerer);
	loop_free(&world->env.loop);
	require(memory_used(world->env.memory) == 0);
	env_done(&world->env);
	free(world);
	return 0;
}
