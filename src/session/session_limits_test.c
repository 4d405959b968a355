/* Limits of one worker, alone and with a guard of the test's that says what the others have. */
#include "session/session_limits.h"
#include "ipc/answerer.h"
#include "ipc/tally.h"

#include "log_memory.h"
#include "unit.h"

#include <sys/socket.h>

struct world {
	struct env env;
	struct conf conf;
	struct log_memory log;
	struct session_limits *limits;
	struct answerer guard;
	uint32_t others; /* connections that the test's guard claims for each key */
	unsigned reports;
	void (*test)(struct world *world);
};

static void
answer(void *arg, struct question *question)
{
	struct world *world = arg;
	struct cursor cursor = cursor_of(question_message(question)->guard_report.records);
	struct tally_key key;
	struct tally_counts counts;
	char storage[64 * TALLY_RECORD];
	struct buffer records;

	buffer_init_fixed(&records, storage, sizeof storage);
	while (tally_decode(&cursor, &key, &counts)) {
		counts = (struct tally_counts){.gauges = {world->others}};
		tally_encode(&records, &key, &counts);
	}
	ck_assert_ok(buffer_error(&records));
	world->reports++;
	question_answer(question, &(struct ipc_message){.kind = IPC_GUARD_WORD,
					  .guard_word = {.hash_key = SLICE("0123456789abcdef"),
						  .records = buffer_slice(&records)}});
}

static const struct answerer_ops answerer_ops = {.question = answer};

static void
unable(void *arg, enum error error)
{
	(void)arg;
	ck_abort_msg("unable: %s", error_text(error));
}

static void
guard_start(struct world *world)
{
	int fds[2];

	answerer_init(&world->guard, &world->env, ROLE_GUARD, 1, &answerer_ops, world);
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_ok(answerer_add(&world->guard, ROLE_SESSION, 0, 1, fds[0]));
	session_limits_connect(world->limits, fds[1], 2);
}

static void
pause_ms(struct world *world, int64_t ms)
{
	ck_assert_ok(task_sleep(world->env.loop, loop_deadline(world->env.loop, ms * US_PER_MS)));
}

static struct session_guest
guest_of(struct world *world, const char *address)
{
	struct endpoint endpoint;

	ck_assert_ok(endpoint_parse(slice_text(address), &endpoint));
	return session_guest_of(world->limits, &endpoint, false);
}

/* How many of so many connections are taken. */
static unsigned
enter(struct world *world, const char *address, unsigned count)
{
	struct session_guest guest = guest_of(world, address);
	unsigned taken = 0;

	for (unsigned i = 0; i < count; i++)
		taken += session_guest_enter(world->limits, &guest, 1000).code == 0;
	return taken;
}

static void
run(void *arg)
{
	struct world *world = arg;

	ck_assert_ok(session_limits_go(world->limits));
	world->test(world);
	session_limits_stop(world->limits);
}

static void
with_limits(void (*test)(struct world *world))
{
	static const struct loop_options options;
	static struct world world;
	struct task_group tasks;

	world = (struct world){.test = test};
	env_init_linux(&world.env);
	log_memory_init(&world.log, &world.env);
	loop_new(&world.env, &options);
	world.conf.limits.address[CONF_LIMIT_CONNECTIONS] = 10;
	world.conf.limits.network[CONF_LIMIT_CONNECTIONS] = 25;
	world.conf.limits.address[CONF_LIMIT_UNKNOWN] = 4;
	world.conf.limits.account_failures = 6;
	world.limits = session_limits_new(&world.env, &world.conf, unable, &world);
	task_group_init(&tasks, world.env.loop);
	ck_assert_ok(task_start(&tasks, "test", run, &world));
	loop_run(world.env.loop);
	session_limits_free(&world.limits);
	loop_free(&world.env.loop);
	log_memory_done(&world.log);
	ck_assert_uint_eq(memory_used(world.env.memory), 0);
	env_done(&world.env);
}

static void
alone(struct world *world)
{
	struct session_guest guest = guest_of(world, "192.0.2.1:9");

	ck_assert_uint_eq(enter(world, "192.0.2.1:9", 12), 10);
	ck_assert_uint_eq(enter(world, "192.0.2.2:9", 12), 10);
	ck_assert_uint_eq(enter(world, "192.0.2.3:9", 12), 5); /* its network has no more */
	ck_assert_uint_eq(enter(world, "192.0.3.1:9", 12), 10);
	session_guest_leave(world->limits, &guest);
	ck_assert_uint_eq(enter(world, "192.0.2.1:9", 12), 1);
	ck_assert_uint_eq(enter(world, "[2001:db8::1]:9", 12), 10);
	ck_assert_uint_eq(enter(world, "[2001:db8::ffff]:9", 1), 0); /* the same 64 bits */
	ck_assert_uint_eq(enter(world, "[2001:db8:0:1::1]:9", 1), 1);
}

START_TEST(a_worker_alone_keeps_the_limits)
{
	with_limits(alone);
}
END_TEST

static void
free_ones(struct world *world)
{
	struct session_guest local = guest_of(world, "127.0.0.1:9"), trusted;
	struct endpoint endpoint;

	ck_assert_uint_eq(enter(world, "127.0.0.1:9", 100), 100);
	ck_assert_int_eq(session_guest_enter(world->limits, &local, 33).code, 421);
	ck_assert_int_eq(session_guest_enter(world->limits, &local, 34).code, 0);
	ck_assert_ok(endpoint_parse(SLICE("192.0.2.1:9"), &endpoint));
	trusted = session_guest_of(world->limits, &endpoint, true);
	for (unsigned i = 0; i < 100; i++)
		ck_assert_int_eq(session_guest_enter(world->limits, &trusted, 0).code, 0);
}

START_TEST(who_is_exempt_is_not_counted_and_leaves_places)
{
	with_limits(free_ones);
}
END_TEST

static void
rates(struct world *world)
{
	struct session_guest guest = guest_of(world, "192.0.2.1:9");

	for (unsigned i = 0; i < 4; i++) {
		ck_assert_int_eq(
			session_guest_may(world->limits, &guest, CONF_LIMIT_UNKNOWN).code, 0);
		session_guest_did(world->limits, &guest, CONF_LIMIT_UNKNOWN);
		ck_assert_int_eq(
			session_guest_is_slowed(world->limits, &guest, CONF_LIMIT_UNKNOWN), i >= 2);
	}
	for (unsigned i = 0; i < 100; i++)
		ck_assert_int_eq(
			session_guest_may(world->limits, &guest, CONF_LIMIT_UNKNOWN).code, 450);
	ck_assert_uint_eq(log_memory_count(&world->log, "limited"), 1);
}

START_TEST(rates_are_limited_with_one_line_of_the_log)
{
	with_limits(rates);
}
END_TEST

static bool
may_log_in(struct world *world, const char *address, const char *login)
{
	struct session_guest guest = guest_of(world, address);

	return session_guest_may_log_in(world->limits, &guest, slice_text(login));
}

static void
fail_login(struct world *world, const char *address, const char *login)
{
	struct session_guest guest = guest_of(world, address);

	session_guest_failed_login(world->limits, &guest, slice_text(login));
}

static void
logins(struct world *world)
{
	struct session_guest home;

	guard_start(world);
	pause_ms(world, 100);
	home = guest_of(world, "198.51.100.7:9");
	session_guest_logged_in(world->limits, &home, SLICE("anna@a.test"));
	for (unsigned i = 0; i < 9; i++) /* her own do not count */
		fail_login(world, "198.51.100.7:9", "anna@a.test");
	ck_assert(may_log_in(world, "192.0.2.200:9", "anna@a.test"));
	for (unsigned i = 0; i < 6; i++) {
		char address[32];
		snprintf(address, sizeof address, "192.0.%u.1:9", i);
		fail_login(world, address, i % 2 ? "Anna@A.test" : "anna@a.test");
	}
	for (unsigned i = 0; i < 5; i++)
		ck_assert(!may_log_in(world, "192.0.2.200:9", "ANNA@a.test"));
	/* From her network she can, and others can from anywhere. */
	ck_assert(may_log_in(world, "198.51.100.8:9", "anna@a.test"));
	ck_assert(may_log_in(world, "192.0.2.200:9", "otto@a.test"));
	ck_assert_uint_eq(log_memory_count(&world->log, "login_limited"), 1);
	/* Another worker has seen her there: guard says so. */
	world->others = 1;
	ck_assert(may_log_in(world, "203.0.113.1:9", "anna@a.test"));
	answerer_done(&world->guard);
}

START_TEST(guessers_do_not_shut_a_user_out)
{
	with_limits(logins);
}
END_TEST

static void
together(struct world *world)
{
	world->others = 7;
	guard_start(world);
	ck_assert_uint_eq(enter(world, "192.0.2.1:9", 1), 1);
	pause_ms(world, 100);
	ck_assert_uint_ge(world->reports, 1);
	ck_assert_uint_eq(enter(world, "192.0.2.1:9", 12), 2);
	/* Guard dies: this worker's own count is all there is. */
	answerer_done(&world->guard);
	pause_ms(world, 1300);
	ck_assert_uint_eq(enter(world, "192.0.2.1:9", 12), 7);
	pause_ms(world, 1300);
	ck_assert_uint_eq(log_memory_count(&world->log, "guard_silent"), 1);
	/* The next one is told everything. */
	guard_start(world);
	pause_ms(world, 100);
	ck_assert_uint_eq(log_memory_count(&world->log, "guard_heard"), 1);
	ck_assert_uint_eq(enter(world, "192.0.2.1:9", 1), 0);
	answerer_done(&world->guard);
}

START_TEST(workers_limit_together_and_alone_without_guard)
{
	with_limits(together);
}
END_TEST

static void
idle(struct world *world)
{
	guard_start(world);
	ck_assert_uint_eq(enter(world, "192.0.2.1:9", 1), 1);
	while (world->reports < 2)
		pause_ms(world, 20);
	world->others = 9; /* what others count later, it hears though nothing happens here */
	unsigned before = world->reports;
	while (world->reports < before + 2)
		pause_ms(world, 20);
	ck_assert_uint_eq(enter(world, "192.0.2.1:9", 5), 0);
	answerer_done(&world->guard);
}

START_TEST(an_idle_worker_hears_what_the_others_have)
{
	with_limits(idle);
}
END_TEST

UNIT_MAIN("session/limits", a_worker_alone_keeps_the_limits,
	who_is_exempt_is_not_counted_and_leaves_places, rates_are_limited_with_one_line_of_the_log,
	workers_limit_together_and_alone_without_guard, guessers_do_not_shut_a_user_out,
	an_idle_worker_hears_what_the_others_have)
