/* The go-between: tools at a socket of the test's, and a queue that answers well, late, or not at
 * all. Time is virtual. */
#include "admin/admin.h"

#include "descriptors.h"
#include "ipc/channel.h"
#include "log_memory.h"
#include "virtual_env.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct world {
	struct env *env;
	struct loop *loop;
	struct task_group tasks;
	struct conf conf;
	struct log_memory log;
	char path[64];
	struct admin_service *service;
	struct channel queue;
	struct task_group queue_tasks;
	uint32_t items; /* of each answer */
	bool silent;    /* the queue takes requests and says nothing */
	uint32_t asked;
	uint32_t ended;  /* clients */
	uint32_t served; /* of these, with a whole answer */
	uint32_t unable; /* how often root was asked for another process */
};

static void
unable(void *arg)
{
	((struct world *)arg)->unable++;
}

static const struct admin_root_ops root_ops = {unable};

static int
listening_socket(struct world *world)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memcpy(world->path, "/tmp/veredus-admin-XXXXXX", 26);
	close(mkstemp(world->path));
	unlink(world->path);
	memcpy(address.sun_path, world->path, strlen(world->path) + 1);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	ck_assert_int_eq(listen(fd, 64), 0);
	return fd;
}

static int
tool_socket(struct world *world)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, world->path, strlen(world->path) + 1);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

static void
queue_answer(struct world *world, const struct ipc_queue_list *request)
{
	struct ipc_message item = {.kind = IPC_QUEUE_ITEM,
		.queue_item = {.reverse_path = SLICE("a@b"),
			.first_recipient = SLICE("c@d"),
			.last_reply = SLICE("")}};
	struct ipc_message end = {.kind = IPC_QUEUE_END, .queue_end = {.total = world->items}};

	item.queue_item.request = request->request;
	end.queue_end.request = request->request;
	for (uint32_t i = 0; i < world->items; i++) {
		item.queue_item.queue_id = request->from_id + i;
		if (channel_send(&world->queue, &item, MONO_NEVER) != OK)
			return;
	}
	enum error ignored = channel_send(&world->queue, &end, MONO_NEVER);
	(void)ignored;
}

static void
queue_run(void *arg)
{
	struct world *world = arg;
	struct ipc_message message;

	while (channel_receive(&world->queue, MONO_NEVER, &message) == OK) {
		struct ipc_queue_list request = message.queue_list;
		ck_assert_int_eq(message.kind, IPC_QUEUE_LIST);
		world->asked++;
		if (!world->silent)
			queue_answer(world, &request);
	}
}

/* May wait, for a question that is under way. */
static void
queue_start(struct world *world)
{
	int fds[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_ok(channel_open(&world->queue, world->loop, fds[1], ROLE_QUEUE, ROLE_ADMIN));
	task_group_init(&world->queue_tasks, world->loop);
	ck_assert_ok(task_start(&world->queue_tasks, "queue", queue_run, world));
	admin_service_set_queue(world->service, fds[0]);
}

/* May wait. */
static void
queue_end(struct world *world)
{
	task_group_cancel(&world->queue_tasks);
	task_group_wait(&world->queue_tasks);
	channel_close(&world->queue);
}

static void
run_with(task_body *body)
{
	int before = descriptors_open();
	struct virtual_env *v = virtual_env_new(0);
	struct world *world = memory_get(v->env.memory, sizeof *world);

	*world = (struct world){.env = &v->env, .items = 3};
	log_memory_init(&world->log, &v->env);
	world->loop = loop_new(&v->env, &(struct loop_options){.watchdog_us = 0});
	task_group_init(&world->tasks, world->loop);
	world->service = admin_service_new(&v->env, &world->conf, &root_ops, world);
	ck_assert_ok(admin_service_set_listener(world->service, listening_socket(world)));
	ck_assert_ok(task_start(&world->tasks, "test", body, world));
	loop_run(world->loop);
	admin_service_free(&world->service);
	loop_free(&world->loop);
	unlink(world->path);
	log_memory_done(&world->log);
	memory_put(v->env.memory, world);
	ck_assert_uint_eq(memory_used(v->env.memory), 0);
	virtual_env_free(v);
	ck_assert_int_eq(descriptors_open(), before);
}

static void
tool_open(struct world *world, struct channel *tool)
{
	ck_assert_ok(channel_open(tool, world->loop, tool_socket(world), ROLE_TOOL, ROLE_ADMIN));
}

/* May wait: asks, and takes the whole answer. The number of items; -1: refused, -2: the connection
 * ended. */
static int
ask(struct world *world, struct channel *tool, uint64_t from_id, uint32_t number)
{
	struct ipc_message request = {.kind = IPC_QUEUE_LIST,
		.queue_list = {.from_id = from_id, .max = 10, .request = number}};
	struct ipc_message message;
	int items = 0;

	ck_assert_ok(channel_send(tool, &request, MONO_NEVER));
	while (channel_receive(tool, loop_deadline(world->loop, 3600 * US_PER_S), &message) == OK) {
		if (message.kind == IPC_REFUSED)
			return -1;
		if (message.kind == IPC_QUEUE_END) {
			ck_assert_uint_eq(message.queue_end.request, number);
			return items;
		}
		ck_assert_uint_eq(message.queue_item.request, number);
		ck_assert_uint_eq(message.queue_item.queue_id, from_id + (unsigned)items++);
	}
	return -2;
}

static void
client_run(void *arg)
{
	struct world *world = arg;
	struct channel tool;

	tool_open(world, &tool);
	for (uint32_t i = 0; i < 5; i++)
		world->served += ask(world, &tool, 1000 * i, i + 1) == (int)world->items;
	channel_close(&tool);
	world->ended++;
}

/* May wait: until all clients have ended. */
static void
wait_for_clients(struct world *world, uint32_t count)
{
	for (int i = 0; world->ended < count && i < 100000; i++)
		ck_assert_ok(task_sleep(world->loop, loop_deadline(world->loop, US_PER_MS)));
	ck_assert_uint_eq(world->ended, count);
}

static void
many_body(void *arg)
{
	struct world *world = arg;

	queue_start(world);
	for (int i = 0; i < 20; i++)
		ck_assert_ok(task_start(&world->tasks, "client", client_run, world));
	wait_for_clients(world, 20);
	ck_assert_uint_eq(world->served, 100); /* each its own answers, never another's */
	ck_assert_uint_eq(world->asked, 100);
	admin_service_stop(world->service);
	queue_end(world);
}

START_TEST(each_tool_gets_its_own_answers)
{
	run_with(many_body);
}
END_TEST

static void
no_queue_body(void *arg)
{
	struct world *world = arg;
	struct channel tool;

	tool_open(world, &tool);
	ck_assert_int_eq(ask(world, &tool, 0, 1), -1); /* none yet */
	channel_close(&tool);
	queue_start(world);
	world->silent = true;
	tool_open(world, &tool);
	mono_us start = loop_now(world->loop);
	ck_assert_int_eq(ask(world, &tool, 0, 1), -1); /* it does not answer */
	ck_assert_int_le(loop_now(world->loop) - start, 31 * US_PER_S);
	channel_close(&tool);
	queue_end(world);
	world->silent = false;
	queue_start(world);
	tool_open(world, &tool);
	ck_assert_int_eq(ask(world, &tool, 7, 1), 3); /* the next one does */
	channel_close(&tool);
	admin_service_stop(world->service);
	queue_end(world);
}

START_TEST(without_a_queue_tools_are_refused)
{
	run_with(no_queue_body);
}
END_TEST

/* A queue that lives and says what it may not: this process would never ask it again, so another
 * must take its place. One that has died is no reason. */
static void
broken_queue_body(void *arg)
{
	struct world *world = arg;
	struct channel tool;

	queue_start(world);
	world->silent = true;
	tool_open(world, &tool);
	struct ipc_message request = {
		.kind = IPC_QUEUE_LIST, .queue_list = {.max = 10, .request = 1}};
	ck_assert_ok(channel_send(&tool, &request, MONO_NEVER));
	for (int i = 0; world->asked < 1 && i < 100; i++)
		ck_assert_ok(task_sleep(world->loop, loop_deadline(world->loop, US_PER_MS)));
	ck_assert_int_eq(send(world->queue.fd, "\xff\xff", 2, 0), 2);
	struct ipc_message answer;
	ck_assert_ok(channel_receive(&tool, loop_deadline(world->loop, US_PER_S), &answer));
	ck_assert_int_eq(answer.kind, IPC_REFUSED);
	ck_assert_uint_eq(world->unable, 1);
	ck_assert_uint_eq(log_memory_count(&world->log, "queue_channel_broken"), 1);
	channel_close(&tool);
	queue_end(world);
	world->silent = false;
	queue_start(world);
	queue_end(world);
	tool_open(world, &tool);
	ck_assert_int_eq(ask(world, &tool, 0, 1), -1);
	ck_assert_uint_eq(world->unable, 1);
	channel_close(&tool);
	admin_service_stop(world->service);
}

START_TEST(a_queue_that_breaks_the_rules_costs_this_process)
{
	run_with(broken_queue_body);
}
END_TEST

/* One asks for much and reads nothing; the others wait a minute at most. */
static void
slow_tool_body(void *arg)
{
	struct world *world = arg;
	struct channel slow, quick;
	struct ipc_message request = {.kind = IPC_QUEUE_LIST, .queue_list = {.max = 10000}};

	queue_start(world);
	world->items = 3000;
	tool_open(world, &slow);
	ck_assert_ok(channel_send(&slow, &request, MONO_NEVER));
	while (world->asked < 1)
		ck_assert_ok(task_sleep(world->loop, loop_deadline(world->loop, US_PER_MS)));
	mono_us start = loop_now(world->loop);
	/* The questions of others may be refused meanwhile, but not for long. */
	tool_open(world, &quick);
	while (ask(world, &quick, 5, 2) != 3000) {
		channel_close(&quick);
		ck_assert_int_le(loop_now(world->loop) - start, 100 * US_PER_S);
		tool_open(world, &quick);
	}
	ck_assert_int_le(loop_now(world->loop) - start, 100 * US_PER_S);
	channel_close(&quick);
	channel_close(&slow);
	admin_service_stop(world->service);
	queue_end(world);
}

START_TEST(a_tool_that_does_not_read_holds_nobody_up)
{
	run_with(slow_tool_body);
}
END_TEST

static void
gone_tool_body(void *arg)
{
	struct world *world = arg;
	struct channel tool;
	struct ipc_message request = {.kind = IPC_QUEUE_LIST, .queue_list = {.max = 10000}};

	queue_start(world);
	world->items = 3000;
	tool_open(world, &tool);
	ck_assert_ok(channel_send(&tool, &request, MONO_NEVER));
	while (world->asked < 1)
		ck_assert_ok(task_sleep(world->loop, loop_deadline(world->loop, US_PER_MS)));
	channel_close(&tool); /* in mid-answer */
	tool_open(world, &tool);
	ck_assert_int_eq(ask(world, &tool, 9, 4), 3000);
	channel_close(&tool);
	admin_service_stop(world->service);
	queue_end(world);
}

START_TEST(a_tool_may_leave_in_mid_answer)
{
	run_with(gone_tool_body);
}
END_TEST

static void
garbage_body(void *arg)
{
	struct world *world = arg;
	struct channel tool;
	struct ipc_message message;
	static const char *const garbage[] = {"", "x", "\x11\x00garbage", "\xff\xff"};

	queue_start(world);
	for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
		tool_open(world, &tool);
		size_t len = i == 2 ? 9 : strlen(garbage[i]);
		ck_assert_int_eq(send(tool.fd, garbage[i], len, 0), (ssize_t)len);
		ck_assert_int_eq(
			channel_receive(&tool, loop_deadline(world->loop, US_PER_S), &message),
			ERROR_CLOSED);
		channel_close(&tool);
	}
	ck_assert_uint_eq(world->asked, 0);
	/* More than may be served at a time are closed at once; an idle one after a while. */
	struct channel idle[40];
	unsigned closed = 0;
	for (int i = 0; i < 40; i++)
		tool_open(world, &idle[i]);
	for (int i = 0; i < 40; i++)
		closed += channel_receive(&idle[i], loop_deadline(world->loop, US_PER_MS),
				  &message) == ERROR_CLOSED;
	ck_assert_uint_eq(closed, 8);
	for (int i = 0; i < 40; i++)
		ck_assert_int_eq(channel_receive(&idle[i],
					 loop_deadline(world->loop, 400 * US_PER_S), &message),
			ERROR_CLOSED);
	for (int i = 0; i < 40; i++)
		channel_close(&idle[i]);
	tool_open(world, &tool);
	ck_assert_int_eq(ask(world, &tool, 1, 1), 3);
	channel_close(&tool);
	admin_service_stop(world->service);
	queue_end(world);
}

START_TEST(garbage_and_crowds_are_shown_out)
{
	run_with(garbage_body);
}
END_TEST

/* The end of the process, with questions under way. */
static void
stopped_client_run(void *arg)
{
	struct world *world = arg;
	struct channel tool;

	tool_open(world, &tool);
	ck_assert_int_lt(ask(world, &tool, 0, 1), 0);
	channel_close(&tool);
	world->ended++;
}

static void
stop_with_questions_body(void *arg)
{
	struct world *world = arg;

	queue_start(world);
	world->silent = true;
	for (int i = 0; i < 5; i++)
		ck_assert_ok(task_start(&world->tasks, "client", stopped_client_run, world));
	while (world->asked < 1)
		ck_assert_ok(task_sleep(world->loop, loop_deadline(world->loop, US_PER_MS)));
	mono_us start = loop_now(world->loop);
	admin_service_stop(world->service);
	ck_assert_int_le(loop_now(world->loop) - start, US_PER_MS);
	wait_for_clients(world, 5);
	queue_end(world);
}

START_TEST(it_ends_with_questions_under_way)
{
	run_with(stop_with_questions_body);
}
END_TEST

UNIT_MAIN("admin/admin", each_tool_gets_its_own_answers, without_a_queue_tools_are_refused,
	a_queue_that_breaks_the_rules_costs_this_process, a_tool_that_does_not_read_holds_nobody_up,
	a_tool_may_leave_in_mid_answer, garbage_and_crowds_are_shown_out,
	it_ends_with_questions_under_way)
