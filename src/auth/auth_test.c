/* The file as root hands it over, and questions as sessions put them. */
#include "auth/auth.h"
#include "auth/password_hash.h"
#include "ipc/caller.h"
#include "unit.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define ASK_US (30 * US_PER_S)

struct world {
	struct env env;
	struct auth_service *service;
	struct caller caller;
	void (*test)(struct world *world);
};

static void
nobody_broken(void *arg, uint32_t instance)
{
	(void)arg;
	ck_abort_msg("%u is broken", instance);
}

static const struct auth_root_ops root_ops = {nobody_broken};
static const struct caller_ops caller_ops = {NULL, NULL};

static void
give_file(struct world *world, const char *text)
{
	int fd = memfd_create("file", 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	auth_service_set_file(world->service, SLICE("/passwords"), fd);
}

/* May wait. OK: it was judged, and granted or not. */
static enum error
ask(struct world *world, const char *login, const char *password, bool *ret_granted)
{
	struct ipc_message question = {.kind = IPC_AUTH_ASK,
		.auth_ask = {.login = slice_text(login),
			.password = secret_of(slice_text(password)),
			.client = SLICE("192.0.2.7")}};
	struct call_answer answer;
	enum error error = call_ask(&world->caller, &question, IPC_AUTH_ANSWER,
		loop_deadline(world->env.loop, ASK_US), &answer);

	if (error == OK) {
		*ret_granted = answer.message.auth_answer.granted;
		ck_assert_uint_eq(answer.message.auth_answer.login.len > 0, *ret_granted);
	}
	call_answer_done(&answer, &world->env);
	return error;
}

static bool
is_granted(struct world *world, const char *login, const char *password)
{
	bool granted;

	ck_assert_ok(ask(world, login, password, &granted));
	return granted;
}

static void
run(void *arg)
{
	struct world *world = arg;
	int fds[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	auth_service_add(world->service, ROLE_SESSION, 0, 1, fds[0]);
	ck_assert_ok(caller_connect(&world->caller, fds[1], 2));
	world->test(world);
	caller_done(&world->caller);
	auth_service_stop(world->service);
}

static void
with_auth(void (*test)(struct world *world))
{
	static const struct loop_options options;
	static struct world world;
	struct task_group tasks;

	world = (struct world){.test = test};
	env_init_linux(&world.env);
	loop_new(&world.env, &options);
	world.service = auth_service_new(&world.env, &root_ops, &world);
	caller_init(&world.caller, &world.env, ROLE_SESSION, ROLE_AUTH, 16, &caller_ops, &world);
	task_group_init(&tasks, world.env.loop);
	ck_assert_ok(task_start(&tasks, "test", run, &world));
	loop_run(world.env.loop);
	auth_service_free(&world.service);
	loop_free(&world.env.loop);
	env_done(&world.env);
}

/* A vector of bcrypt's authors. */
#define BCRYPT "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"

static void
hashes_of_others(struct world *world)
{
	give_file(world, "u@b.test:" BCRYPT "\nbad@b.test:$nosuch$x\n");
	ck_assert(is_granted(world, "u@b.test", "U*U"));
	ck_assert(is_granted(world, "U@B.Test", "U*U"));
	ck_assert(!is_granted(world, "u@b.test", "U*U*"));
	ck_assert(!is_granted(world, "u@b.test", ""));
	bool granted;
	ck_assert_int_eq(ask(world, "bad@b.test", "x", &granted), ERROR_DENIED);
}

START_TEST(hashes_of_others_are_read)
{
	with_auth(hashes_of_others);
}
END_TEST

static void
own_hashes(struct world *world)
{
	char hash[PASSWORD_HASH_BYTES], other[PASSWORD_HASH_BYTES], text[1024];

	ck_assert_ok(password_hash_make(&world->env, "right horse", hash));
	ck_assert_ok(password_hash_make(&world->env, "right horse", other));
	ck_assert_msg(strncmp(hash, "$y$", 3) == 0, "%s", hash);
	ck_assert_str_ne(hash, other);
	snprintf(text, sizeof text, "a@b.test:%s:sales@b.test\nb@b.test:!%s\n", hash, hash);
	give_file(world, text);
	ck_assert(is_granted(world, "a@b.test", "right horse"));
	ck_assert(!is_granted(world, "a@b.test", "wrong horse"));
	ck_assert(!is_granted(world, "b@b.test", "right horse")); /* disabled */
	ck_assert(!is_granted(world, "c@b.test", "right horse")); /* unknown */
	/* A file with a fault changes nothing, another one counts at once. */
	give_file(world, "a@b.test\n");
	ck_assert(is_granted(world, "a@b.test", "right horse"));
	give_file(world, "");
	ck_assert(!is_granted(world, "a@b.test", "right horse"));
}

START_TEST(own_hashes_are_checked)
{
	with_auth(own_hashes);
}
END_TEST

static void
no_file(struct world *world)
{
	bool granted;

	ck_assert_int_eq(ask(world, "a@b.test", "x", &granted), ERROR_DENIED);
	give_file(world, "a@b.test\n");
	ck_assert_int_eq(ask(world, "a@b.test", "x", &granted), ERROR_DENIED);
}

START_TEST(without_a_file_nothing_is_judged)
{
	with_auth(no_file);
}
END_TEST

UNIT_MAIN("auth/auth", hashes_of_others_are_read, own_hashes_are_checked,
	without_a_file_nothing_is_judged)
