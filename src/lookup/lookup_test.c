/* The tables of lookup from files that change, and sessions of the test's that get them. Time is
 * virtual, files are not. */
#include "lookup/lookup.h"

#include "descriptors.h"
#include "ipc/channel.h"
#include "ipc/snapshot.h"
#include "log_memory.h"
#include "virtual_env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct world {
	struct env *env;
	struct loop *loop;
	struct task_group tasks;
	struct users_ops users;
	struct conf conf;
	struct conf_domain domains[3];
	struct log_memory log;
	char file[64];
	struct lookup_service *service;
	const char *users_listed[4]; /* up to NULL */
	int users_error;
	uint32_t broken; /* the last instance that root was told of */
	unsigned complaints;
};

static void
broken(void *arg, uint32_t instance)
{
	struct world *world = arg;

	world->broken = instance;
	world->complaints++;
}

static const struct lookup_root_ops root_ops = {broken};

static struct world *
world_of(struct env *env)
{
	return list_entry((struct list *)(void *)env->log, struct world, log.sink);
}

static int
list_users(void *arg, bool (*each)(void *arg, const char *name, uid_t uid), void *each_arg)
{
	struct virtual_env *v = arg;
	struct world *world = world_of(&v->env);

	if (world->users_error != 0)
		return world->users_error;
	each(each_arg, "root", 0);
	each(each_arg, "nobody", 65534);
	for (int i = 0; world->users_listed[i]; i++)
		if (!each(each_arg, world->users_listed[i], (uid_t)(1000 + i)))
			break;
	return 0;
}

static void
write_file(struct world *world, const char *text)
{
	int fd = open(world->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void
run_with(task_body *body)
{
	int before = descriptors_open();
	struct virtual_env *v = virtual_env_new(0);
	struct world *world = memory_get(v->env.memory, sizeof *world);

	*world = (struct world){.env = &v->env, .users = *v->env.users};
	world->users.list = list_users;
	v->env.users = &world->users;
	log_memory_init(&world->log, &v->env);
	memcpy(world->file, "/tmp/veredus-accounts-XXXXXX", 29);
	close(mkstemp(world->file));
	world->domains[0] = (struct conf_domain){.name = SLICE("example.org"),
		.accounts = CONF_ACCOUNTS_FILE,
		.accounts_file = slice_text(world->file)};
	world->domains[1] =
		(struct conf_domain){.name = SLICE("any.example"), .accounts = CONF_ACCOUNTS_ANY};
	world->domains[2] = (struct conf_domain){
		.name = SLICE("system.example"), .accounts = CONF_ACCOUNTS_SYSTEM};
	world->conf = (struct conf){.domains = world->domains, .domain_count = 3};
	world->loop = loop_new(&v->env, &(struct loop_options){.watchdog_us = 0});
	task_group_init(&world->tasks, world->loop);
	world->service = lookup_service_new(&v->env, &world->conf, &root_ops, world);
	ck_assert_ok(task_start(&world->tasks, "test", body, world));
	loop_run(world->loop);
	lookup_service_free(&world->service);
	loop_free(&world->loop);
	unlink(world->file);
	log_memory_done(&world->log);
	memory_put(v->env.memory, world);
	ck_assert_uint_eq(memory_used(v->env.memory), 0);
	virtual_env_free(v);
	ck_assert_int_eq(descriptors_open(), before);
}

static void
connect_session(struct world *world, uint32_t worker, struct channel *session)
{
	int fds[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_ok(channel_open(session, world->loop, fds[1], ROLE_SESSION, ROLE_LOOKUP));
	lookup_service_add_session(world->service, worker, 100 + worker, fds[0]);
}

/* May wait: the next table, which must be this domain's and hold so many names, `name` among them
 * unless it is NULL. */
static void
expect_table(struct world *world, struct channel *session, const char *domain, uint32_t count,
	const char *name)
{
	struct ipc_message message;
	struct snapshot snapshot;

	ck_assert_ok(
		channel_receive(session, loop_deadline(world->loop, 200 * US_PER_S), &message));
	ck_assert_int_eq(message.kind, IPC_SNAPSHOT);
	ck_assert_slice_eq(message.snapshot.domain, domain);
	ck_assert_ok(snapshot_open(&snapshot, world->env, message.fds[0]));
	ck_assert_uint_eq(snapshot.count, count);
	ck_assert(!name || snapshot_contains(&snapshot, slice_text(name)));
	snapshot_close(&snapshot);
	ipc_close_fds(world->env, &message);
}

/* May wait. */
static void
expect_silence(struct world *world, struct channel *session, int64_t us)
{
	struct ipc_message message;

	ck_assert_int_eq(
		channel_receive(session, loop_deadline(world->loop, us), &message), ERROR_TIMEOUT);
}

static void
tables_body(void *arg)
{
	struct world *world = arg;
	struct channel early, late;

	write_file(world, "anna\nbob@example.org\n");
	world->users_listed[0] = "carla";
	world->users_listed[1] = "bad name";
	connect_session(world, 0, &early);
	ck_assert_ok(lookup_service_go(world->service));
	expect_table(world, &early, "example.org", 2, "bob");
	expect_table(world, &early, "system.example", 1, "carla");
	connect_session(world, 1, &late);
	expect_table(world, &late, "example.org", 2, "anna");
	expect_table(world, &late, "system.example", 1, "carla");
	expect_silence(world, &early, 50 * US_PER_S);
	write_file(world, "anna\nbob\ndora\n");
	expect_table(world, &early, "example.org", 3, "dora");
	expect_table(world, &late, "example.org", 3, "dora");
	/* A worker that comes again gets everything, and its old channel ends. */
	struct channel again;
	connect_session(world, 1, &again);
	expect_table(world, &again, "example.org", 3, "dora");
	struct ipc_message message;
	ck_assert_int_eq(channel_receive(&late, loop_deadline(world->loop, US_PER_S), &message),
		ERROR_CLOSED);
	lookup_service_stop(world->service);
	channel_close(&early);
	channel_close(&late);
	channel_close(&again);
}

START_TEST(every_session_has_every_table)
{
	run_with(tables_body);
}
END_TEST

static void
failures_body(void *arg)
{
	struct world *world = arg;
	struct channel session;
	unsigned count;

	unlink(world->file);
	world->users_error = -EIO;
	ck_assert_ok(lookup_service_go(world->service));
	connect_session(world, 0, &session);
	expect_silence(world, &session, 10 * US_PER_S);
	ck_assert_uint_eq(
		log_memory_count(&world->log, "accounts_unreadable"), 2); /* said once each */
	/* It works again without a change of the file: users have none. */
	world->users_error = 0;
	expect_table(world, &session, "system.example", 0, NULL);
	write_file(world, "anna\nno login here\n#comment\n");
	expect_table(world, &session, "example.org", 1, "anna");
	struct slice line = log_memory_last(&world->log, "account_line_skipped", &count);
	ck_assert_uint_eq(count, 1);
	ck_assert(line.len > 0 && strstr((const char *)line.ptr, " line=2 ") != NULL);
	/* What was read stays when the file goes. */
	unlink(world->file);
	expect_silence(world, &session, 10 * US_PER_S);
	ck_assert_uint_eq(log_memory_count(&world->log, "accounts_unreadable"), 3);
	write_file(world, "anna\nbob\n");
	expect_table(world, &session, "example.org", 2, "bob");
	lookup_service_stop(world->service);
	channel_close(&session);
}

START_TEST(what_fails_is_tried_again_and_told_once)
{
	run_with(failures_body);
}
END_TEST

/* A session that takes nothing while its table changes many times: descriptors neither leak nor
 * become other files. */
static void
slow_body(void *arg)
{
	struct world *world = arg;
	struct channel slow, quick;
	char text[64];
	struct ipc_message message;
	uint32_t taken = 0, last = 0;

	write_file(world, "a0\n");
	ck_assert_ok(lookup_service_go(world->service));
	connect_session(world, 0, &slow);
	connect_session(world, 1, &quick);
	expect_table(world, &quick, "example.org", 1, "a0");
	expect_table(world, &quick, "system.example", 0, NULL);
	for (int i = 1; i <= 400; i++) {
		snprintf(text, sizeof text, "a0\n%*sb%d\n", i % 7, "", i);
		write_file(world, text);
		expect_table(world, &quick, "example.org", 2, "a0");
	}
	int open = descriptors_open();
	while (channel_receive(&slow, loop_deadline(world->loop, 2 * US_PER_S), &message) == OK) {
		struct snapshot snapshot;
		ck_assert_ok(snapshot_open(&snapshot, world->env, message.fds[0]));
		if (slice_equal(message.snapshot.domain, SLICE("example.org"))) {
			ck_assert_uint_ge(snapshot.count, last); /* in order */
			last = snapshot.count;
			taken++;
		}
		snapshot_close(&snapshot);
		ipc_close_fds(world->env, &message);
	}
	ck_assert_uint_ge(taken, 2);
	ck_assert_int_le(descriptors_open(), open);
	/* It did not keep up, and lives: root has to end it, since its tables are old now. */
	ck_assert_uint_eq(world->complaints, 1);
	ck_assert_uint_eq(world->broken, 100);
	ck_assert_uint_eq(log_memory_count(&world->log, "session_takes_no_tables"), 1);
	lookup_service_stop(world->service);
	channel_close(&slow);
	channel_close(&quick);
}

START_TEST(a_slow_session_holds_no_other_file)
{
	run_with(slow_body);
}
END_TEST

/* As if it had been written at this moment of the virtual clock. */
static void
touch_file(struct world *world)
{
	wall_us now = env_wall(world->env);
	struct timespec time = {now / US_PER_S, now % US_PER_S * 1000};

	ck_assert_int_eq(utimensat(AT_FDCWD, world->file, (struct timespec[]){time, time}, 0), 0);
}

/* A list that is written line by line is never read in the middle; one that is renamed into place
 * counts at once. */
static void
rewritten_body(void *arg)
{
	struct world *world = arg;
	struct channel session;
	char other[80];

	write_file(world, "anna\nbob\ncarla\n");
	ck_assert_ok(lookup_service_go(world->service));
	connect_session(world, 0, &session);
	expect_table(world, &session, "example.org", 3, "carla");
	expect_table(world, &session, "system.example", 0, NULL);
	static const char *const steps[] = {
		"", "anna\n", "anna\nbo", "anna\nbob\ncar", "anna\nbob\ncarla\ndora\n"};
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		write_file(world, steps[i]);
		touch_file(world);
		expect_silence(world, &session, US_PER_S);
	}
	expect_table(world, &session, "example.org", 4, "dora");
	snprintf(other, sizeof other, "%s.new", world->file);
	int fd = open(other, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ck_assert_int_eq(write(fd, "anna\n", 5), 5);
	close(fd);
	ck_assert_int_eq(rename(other, world->file), 0);
	touch_file(world);
	mono_us before = loop_now(world->loop);
	expect_table(world, &session, "example.org", 1, "anna");
	ck_assert_int_le(loop_now(world->loop) - before, 2 * US_PER_S);
	/* One that never settles is read in the end. */
	before = loop_now(world->loop);
	for (int i = 0; i < 40; i++) {
		write_file(world, "anna\nemil\n");
		touch_file(world);
		ck_assert_ok(task_sleep(world->loop, loop_deadline(world->loop, US_PER_S)));
	}
	expect_table(world, &session, "example.org", 2, "emil");
	lookup_service_stop(world->service);
	channel_close(&session);
}

START_TEST(a_list_is_never_read_half)
{
	run_with(rewritten_body);
}
END_TEST

static void
empty_body(void *arg)
{
	struct world *world = arg;
	struct channel session;

	write_file(world, "anna\nbob\n");
	ck_assert_ok(lookup_service_go(world->service));
	connect_session(world, 0, &session);
	expect_table(world, &session, "example.org", 2, "bob");
	expect_table(world, &session, "system.example", 0, NULL);
	write_file(world, "# nobody\n");
	expect_silence(world, &session, 50 * US_PER_S);
	ck_assert_uint_eq(log_memory_count(&world->log, "accounts_empty"), 1);
	write_file(world, "anna\nbob\n"); /* it was a mistake */
	expect_silence(world, &session, 200 * US_PER_S);
	write_file(world, "");
	mono_us before = loop_now(world->loop);
	expect_table(world, &session, "example.org", 0, NULL); /* it was not */
	ck_assert_int_ge(loop_now(world->loop) - before, 59 * US_PER_S);
	ck_assert_uint_eq(log_memory_count(&world->log, "accounts_empty"), 2);
	lookup_service_stop(world->service);
	channel_close(&session);
}

START_TEST(an_empty_list_waits_before_it_counts)
{
	run_with(empty_body);
}
END_TEST

UNIT_MAIN("lookup/lookup", a_list_is_never_read_half, an_empty_list_waits_before_it_counts,
	every_session_has_every_table, what_fails_is_tried_again_and_told_once,
	a_slow_session_holds_no_other_file)
