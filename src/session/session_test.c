/* A worker on a real listener, with clients, a lookup and a root of the test's; what it lacks is
 * taken from it. */
#include "session/session.h"

#include "descriptors.h"
#include "ipc/channel.h"
#include "log_memory.h"
#include "net/listener.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOON_US (5 * US_PER_S)

struct world {
	struct env env;        /* the worker's, whose memory may run out */
	struct memory *memory; /* the test's */
	struct loop *loop;
	struct task_group tasks;
	struct conf conf;
	struct conf_listener listener;
	struct log_memory log;
	struct session_worker *worker;
	struct endpoint endpoint;
	unsigned unable;
};

static void
unable(void *arg)
{
	((struct world *)arg)->unable++;
}

static const struct session_root_ops root_ops = {unable};

static void
world_start(struct world *world, uint64_t descriptors)
{
	int fd, why;

	ck_assert_ok(endpoint_parse(SLICE("127.0.0.1:0"), &world->endpoint));
	ck_assert_ok(listener_bind(&world->env, &world->endpoint, SOCK_STREAM, &fd, &why));
	ck_assert_ok(listener_endpoint(&world->env, fd, &world->endpoint));
	world->worker = session_worker_new(&world->env, &world->conf, 0,
		world->env.poll->wake_create(world->env.world), &root_ops, world);
	session_worker_add_listener(world->worker, SLICE("mx"), fd);
	session_worker_set_descriptors(world->worker, descriptors);
	ck_assert_ok(session_worker_go(world->worker, 1));
}

static void
run_with(task_body *body)
{
	int before = descriptors_open();
	struct world *world = calloc(1, sizeof *world);

	env_init_linux(&world->env);
	world->memory = world->env.memory;
	log_memory_init(&world->log, &world->env);
	world->listener = (struct conf_listener){.name = SLICE("mx")};
	world->conf = (struct conf){.hostname = SLICE("mx.test"),
		.listeners = &world->listener,
		.listener_count = 1,
		.sessions_limit = 100,
		.timeout_command_us = 60 * US_PER_S,
		.timeout_data_us = 60 * US_PER_S,
		.session_errors_limit = 10};
	world->loop = loop_new(&world->env, &(struct loop_options){0});
	task_group_init(&world->tasks, world->loop);
	ck_assert_ok(task_start(&world->tasks, "test", body, world));
	loop_run(world->loop);
	session_worker_free(&world->worker);
	loop_free(&world->loop);
	log_memory_done(&world->log);
	ck_assert_uint_eq(memory_used(world->memory), 0);
	env_done(&world->env);
	free(world);
	ck_assert_int_eq(descriptors_open(), before);
}

/* May wait: a client and the first line that it gets. */
static void
client_open(struct world *world, struct socket_stream *client)
{
	ck_assert_ok(socket_stream_connect(
		client, world->loop, &world->endpoint, loop_deadline(world->loop, SOON_US)));
}

/* May wait. */
static void
client_hears(struct world *world, struct socket_stream *client, const char *line)
{
	char text[256];
	size_t len = 0;

	while (len == 0 || text[len - 1] != '\n') {
		size_t got;
		ck_assert_ok(stream_read(
			&client->stream, text + len, 1, loop_deadline(world->loop, SOON_US), &got));
		len += got;
		ck_assert_uint_lt(len, sizeof text);
	}
	ck_assert_msg(
		slice_has_prefix(slice_of(text, len), slice_text(line)), "%.*s", (int)len, text);
}

/* May wait. */
static void
client_ends(struct world *world, struct socket_stream *client)
{
	char octet;
	size_t got;

	ck_assert_int_eq(
		stream_read(&client->stream, &octet, 1, loop_deadline(world->loop, SOON_US), &got),
		ERROR_CLOSED);
	stream_close(&client->stream);
}

static struct log_memory *
log_of(struct world *world)
{
	return &world->log;
}

static void
memory_body(void *arg)
{
	struct world *world = arg;
	struct socket_stream first, second;

	world_start(world, 1000);
	client_open(world, &first);
	client_hears(world, &first, "220 ");
	struct memory *none = memory_new(1);
	struct memory *all = world->env.memory;
	world->env.memory = none;
	client_open(world, &second);
	client_hears(world, &second, "421 4.3.2 ");
	client_ends(world, &second);
	world->env.memory = all;
	memory_free(&none);
	ck_assert_uint_eq(log_memory_count(log_of(world), "session_not_started"), 1);
	/* Afterwards there is room again. */
	client_open(world, &second);
	client_hears(world, &second, "220 ");
	mono_us began = env_monotonic(&world->env);
	session_worker_stop(world->worker, 60 * US_PER_S);
	ck_assert_int_lt(env_monotonic(&world->env) - began, US_PER_S);
	client_hears(world, &first, "421 4.3.2 ");
	client_hears(world, &second, "421 4.3.2 ");
	client_ends(world, &first);
	client_ends(world, &second);
	ck_assert_uint_eq(world->unable, 0);
}

START_TEST(without_memory_a_client_is_told)
{
	run_with(memory_body);
}
END_TEST

/* The descriptors of this process do not end, but the worker is told of a number of them: it leaves
 * what it needs itself. */
static void
descriptors_body(void *arg)
{
	struct world *world = arg;
	struct socket_stream first, second, third;
	char octet;
	size_t got;

	world_start(world, 35); /* 32 of its own, a listener, two sessions */
	ck_assert_uint_eq(log_memory_count(log_of(world), "sessions_limited"), 1);
	client_open(world, &first);
	client_hears(world, &first, "220 ");
	client_open(world, &second);
	client_hears(world, &second, "220 ");
	client_open(world, &third);
	ck_assert_int_eq(stream_read(&third.stream, &octet, 1,
				 loop_deadline(world->loop, 100 * US_PER_MS), &got),
		ERROR_TIMEOUT);
	stream_close(&first.stream);
	client_hears(world, &third, "220 ");
	stream_close(&second.stream);
	stream_close(&third.stream);
	session_worker_stop(world->worker, US_PER_S);
}

START_TEST(sessions_leave_descriptors_for_messages)
{
	run_with(descriptors_body);
}
END_TEST

/* May wait: until root was told so often. */
static void
expect_unable(struct world *world, unsigned count)
{
	for (int i = 0; world->unable < count && i < 1000; i++)
		ck_assert_ok(task_sleep(world->loop, loop_deadline(world->loop, US_PER_MS)));
	ck_assert_uint_eq(world->unable, count);
	ck_assert_uint_eq(log_memory_count(log_of(world), "worker_unable"), count);
}

static int
peer_open(struct world *world, void (*set)(struct session_worker *worker, int fd))
{
	int fds[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	set(world->worker, fds[0]);
	return fds[1];
}

static void
death_body(void *arg)
{
	struct world *world = arg;

	world_start(world, 1000);
	/* Who dies comes again: nothing to tell. */
	close(peer_open(world, session_worker_set_lookup));
	close(peer_open(world, session_worker_set_queue));
	ck_assert_ok(task_sleep(world->loop, loop_deadline(world->loop, 20 * US_PER_MS)));
	expect_unable(world, 0);
	session_worker_stop(world->worker, 0);
}

START_TEST(counterparts_may_die)
{
	run_with(death_body);
}
END_TEST

static void
lookup_body(void *arg)
{
	struct world *world = arg;

	world_start(world, 1000);
	int lookup = peer_open(world, session_worker_set_lookup);
	ck_assert_int_eq(send(lookup, "\xff\xff", 2, 0), 2);
	expect_unable(world, 1);
	/* Once is enough, whatever else breaks. */
	int queue = peer_open(world, session_worker_set_queue);
	ck_assert_int_eq(send(queue, "\xff\xff", 2, 0), 2);
	ck_assert_ok(task_sleep(world->loop, loop_deadline(world->loop, 20 * US_PER_MS)));
	expect_unable(world, 1);
	session_worker_stop(world->worker, 0);
	close(lookup);
	close(queue);
}

START_TEST(a_worker_that_lost_its_tables_says_so)
{
	run_with(lookup_body);
}
END_TEST

static void
ring_body(void *arg)
{
	struct world *world = arg;

	world_start(world, 1000);
	session_worker_set_ring(world->worker, open("/dev/null", O_RDWR | O_CLOEXEC),
		world->env.poll->wake_create(world->env.world));
	expect_unable(world, 1);
	session_worker_stop(world->worker, 0);
}

START_TEST(a_worker_without_a_ring_says_so)
{
	run_with(ring_body);
}
END_TEST

UNIT_MAIN("session/session", without_memory_a_client_is_told,
	sessions_leave_descriptors_for_messages, counterparts_may_die,
	a_worker_that_lost_its_tables_says_so, a_worker_without_a_ring_says_so)
