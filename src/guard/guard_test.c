/* Workers of the test's that report, and what guard tells them of each other. */
#include "guard/guard.h"
#include "ipc/caller.h"
#include "ipc/tally.h"

#include "unit.h"

#include <sys/socket.h>

#define WORKERS 3

struct world {
	struct env env;
	struct guard_service *service;
	struct caller callers[WORKERS];
	bool has_reported[WORKERS];
	const char *hash_key; /* that the workers know */
	char heard_key[17];
	unsigned broken;
	void (*test)(struct world *world);
};

static void
broken(void *arg, uint32_t instance)
{
	(void)instance;
	((struct world *)arg)->broken++;
}

static const struct guard_root_ops root_ops = {broken};
static struct conf_limits limits;
static const struct caller_ops caller_ops = {NULL, NULL};

static struct tally_key
client(uint8_t number)
{
	const uint8_t ip[] = {192, 0, 2, number};

	return tally_key_address(slice_of(ip, sizeof ip));
}

static enum error
send_report(struct world *world, unsigned worker, struct slice records, struct tally_counts *ret)
{
	struct ipc_message question = {.kind = IPC_GUARD_REPORT,
		.guard_report = {.is_first = !world->has_reported[worker],
			.hash_key = slice_text(world->hash_key),
			.records = records}};
	struct call_answer answer;
	struct tally_key key;

	enum error error = call_ask(&world->callers[worker], &question, IPC_GUARD_WORD,
		loop_deadline(world->env.loop, 5 * US_PER_S), &answer);
	if (error == OK) {
		struct slice hash_key = answer.message.guard_word.hash_key;
		ck_assert_uint_eq(hash_key.len, 16);
		memcpy(world->heard_key, hash_key.ptr, hash_key.len);
		struct cursor cursor = cursor_of(answer.message.guard_word.records);
		ck_assert(tally_decode(&cursor, &key, ret));
		ck_assert(!tally_decode(&cursor, &key, ret) && cursor.error == OK);
	}
	call_answer_done(&answer, &world->env);
	world->has_reported[worker] = true;
	return error;
}

/* What the others have of this client, after this worker said that it has so many open. */
static uint32_t
others_have(struct world *world, unsigned worker, uint8_t number, uint32_t open)
{
	struct tally_key key = client(number);
	struct tally_counts counts = {.gauges = {open}};
	char storage[TALLY_RECORD];
	struct buffer records;

	buffer_init_fixed(&records, storage, sizeof storage);
	tally_count(&counts, TALLY_CONNECTS, loop_now(world->env.loop));
	tally_encode(&records, &key, &counts);
	ck_assert_ok(send_report(world, worker, buffer_slice(&records), &counts));
	return counts.gauges[TALLY_CONNECTIONS];
}

static void
connect_worker(struct world *world, unsigned worker, uint32_t instance)
{
	int fds[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	guard_service_add(world->service, ROLE_SESSION, worker, instance, fds[0]);
	ck_assert_ok(caller_connect(&world->callers[worker], fds[1], 100 + instance));
	world->has_reported[worker] = false;
}

static void
run(void *arg)
{
	struct world *world = arg;

	for (unsigned i = 0; i < WORKERS; i++)
		connect_worker(world, i, i + 1);
	world->test(world);
	for (unsigned i = 0; i < WORKERS; i++)
		caller_done(&world->callers[i]);
	guard_service_stop(world->service);
}

static void
with_guard(void (*test)(struct world *world))
{
	static const struct loop_options options;
	static struct world world;
	struct task_group tasks;

	world = (struct world){.test = test, .hash_key = ""};
	env_init_linux(&world.env);
	loop_new(&world.env, &options);
	world.service = guard_service_new(&world.env, &limits, &root_ops, &world);
	for (unsigned i = 0; i < WORKERS; i++)
		caller_init(&world.callers[i], &world.env, ROLE_SESSION, ROLE_GUARD, 16,
			&caller_ops, &world);
	task_group_init(&tasks, world.env.loop);
	ck_assert_ok(task_start(&tasks, "test", run, &world));
	loop_run(world.env.loop);
	guard_service_free(&world.service);
	loop_free(&world.env.loop);
	ck_assert_uint_eq(memory_used(world.env.memory), 0);
	env_done(&world.env);
}

static void
sums(struct world *world)
{
	ck_assert_uint_eq(others_have(world, 0, 1, 10), 0);
	ck_assert_uint_eq(others_have(world, 1, 1, 5), 10);
	ck_assert_uint_eq(others_have(world, 2, 1, 1), 15);
	ck_assert_uint_eq(others_have(world, 2, 2, 1), 0);
	ck_assert_uint_eq(others_have(world, 0, 1, 2), 6);
	ck_assert_uint_eq(others_have(world, 1, 1, 5), 3);
}

START_TEST(each_hears_what_the_others_have)
{
	with_guard(sums);
}
END_TEST

static void
successor(struct world *world)
{
	struct tally_key key = client(1);
	struct tally_counts counts = {0};
	char storage[TALLY_RECORD];
	struct buffer records;

	others_have(world, 0, 1, 10);
	connect_worker(world, 0, 9);
	others_have(world, 0, 2, 1);
	buffer_init_fixed(&records, storage, sizeof storage);
	tally_encode(&records, &key, &counts);
	ck_assert_ok(send_report(world, 1, buffer_slice(&records), &counts));
	ck_assert_uint_eq(counts.gauges[TALLY_CONNECTIONS], 0);
	ck_assert_uint_eq(tally_rate(&counts, TALLY_CONNECTS, loop_now(world->env.loop)), 1);
}

START_TEST(of_a_dead_worker_nothing_is_open_and_what_happened_counts)
{
	with_guard(successor);
}
END_TEST

static void
hash_keys(struct world *world)
{
	world->hash_key = "0123456789abcdef"; /* its predecessor's */
	others_have(world, 0, 1, 1);
	ck_assert_str_eq(world->heard_key, "0123456789abcdef");
	world->hash_key = "";
	others_have(world, 1, 1, 1);
	ck_assert_str_eq(world->heard_key, "0123456789abcdef");
	world->hash_key = "fedcba9876543210"; /* nobody changes it */
	others_have(world, 2, 1, 1);
	ck_assert_str_eq(world->heard_key, "0123456789abcdef");
}

START_TEST(all_hash_logins_with_one_key)
{
	with_guard(hash_keys);
}
END_TEST

static void
nonsense(struct world *world)
{
	struct tally_counts counts;

	ck_assert_int_eq(send_report(world, 0, SLICE("nonsense"), &counts), ERROR_DENIED);
	ck_assert_uint_eq(others_have(world, 0, 1, 1), 0);
}

START_TEST(nonsense_is_refused)
{
	with_guard(nonsense);
}
END_TEST

UNIT_MAIN("guard/guard", each_hears_what_the_others_have,
	of_a_dead_worker_nothing_is_open_and_what_happened_counts, nonsense_is_refused,
	all_hash_logins_with_one_key)
