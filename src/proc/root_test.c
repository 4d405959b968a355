/* Root with children that are tasks of the test's: they do what a broken or an unlucky process
 * does. Time is virtual, the folders and sockets that root makes are not. */
#include "proc/root.h"

#include "descriptors.h"
#include "ipc/channel.h"
#include "ipc/log_ring.h"
#include "log_memory.h"
#include "virtual_env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#define STATUS_EXIT(code) ((code) << 8)
#define STATUS_KILLED     9
#define LIVES_MAX         16

struct world;

/* One life of a child. */
struct life {
	struct world *world;
	struct root_child *child;
	enum role role;
	unsigned number; /* of its role, from 1 */
	int root_fd;
	bool used;
	struct channel root;
	struct task_group task;
};

struct world {
	struct env *env;
	struct loop *loop;
	struct task_group tasks;
	struct arena arena;
	struct conf conf;
	char folder[64];
	struct root_spawner spawner;
	struct root *root;
	int exit_code;
	bool ended;
	struct life lives[LIVES_MAX];
	unsigned life_counts[ROLE_COUNT];
	uint32_t queue_instance;
	ino_t session_ring;     /* for its log, as the last session had it from root */
	ino_t log_has_ring;     /* and as the log had it */
	unsigned session_rings; /* different ones, so far */
	struct log_reader root_log;
	struct log_memory log;
	/* What the process of one role does, in its first life, once it works: its wait status. */
	enum role acting_role;
	int (*act)(struct life *life);
	int start_error; /* of that role's second life: -errno */
};

/* The ring that a session writes to is the one that the log reads, and a new one each time. */
static void
note_ring(struct world *world, enum role role, const struct ipc_message *message)
{
	struct stat stat;

	if (message->kind == IPC_START && role == ROLE_SESSION) {
		ck_assert_int_eq(fstat(message->fds[1], &stat), 0);
		world->session_rings += stat.st_ino != world->session_ring;
		world->session_ring = stat.st_ino;
	} else if (message->kind == IPC_LOG_RING && message->log_ring.role == ROLE_SESSION) {
		ck_assert_int_eq(fstat(message->fds[0], &stat), 0);
		world->log_has_ring = stat.st_ino;
	}
}

/* May wait: as a process that works, until it is told to stop or ends otherwise. */
static int
serve(struct life *life)
{
	struct ipc_message message;
	enum error error;

	while ((error = channel_receive(&life->root, MONO_NEVER, &message)) == OK) {
		note_ring(life->world, life->role, &message);
		if (message.kind == IPC_STOP)
			return STATUS_EXIT(0);
		if (message.kind == IPC_PEER && life->role == ROLE_SESSION)
			life->world->queue_instance = message.peer.role == ROLE_QUEUE
							      ? message.peer.instance
							      : life->world->queue_instance;
		if (message.kind == IPC_LOG_RING && message.log_ring.role == ROLE_ROOT &&
			!life->world->root_log.shared)
			ck_assert_ok(log_reader_open(
				&life->world->root_log, life->world->env, message.fds[0]));
		ipc_close_fds(life->world->env, &message);
		if (message.kind == IPC_GO)
			return -1;
	}
	return error == ERROR_CANCELLED ? STATUS_KILLED : STATUS_EXIT(EX_UNAVAILABLE);
}

static enum error
tell_ready(struct life *life)
{
	return channel_send(&life->root, &(struct ipc_message){.kind = IPC_READY}, MONO_NEVER);
}

static void
life_run(void *arg)
{
	struct life *life = arg;
	struct world *world = life->world;
	int status = -1;

	ck_assert_ok(channel_open(&life->root, world->loop, life->root_fd, life->role, ROLE_ROOT));
	status = serve(life);
	if (status < 0 && tell_ready(life) != OK)
		status = STATUS_EXIT(EX_UNAVAILABLE);
	if (status < 0 && world->act && life->role == world->acting_role && life->number == 1)
		status = world->act(life);
	while (status < 0)
		status = serve(life);
	channel_close(&life->root);
	life->used = false;
	root_child_exited(life->child, status);
}

static int
life_start(struct root_spawner *spawner, struct root_child *child, int child_fd, pid_t *ret_pid)
{
	struct world *world = (struct world *)((char *)spawner - offsetof(struct world, spawner));
	enum role role = root_child_role(child);
	unsigned number = ++world->life_counts[role];

	if (world->start_error != 0 && role == world->acting_role && number == 2) {
		close(child_fd);
		return world->start_error;
	}
	for (int i = 0; i < LIVES_MAX; i++) {
		struct life *life = &world->lives[i];
		if (life->used)
			continue;
		*life = (struct life){.world = world,
			.child = child,
			.role = role,
			.number = number,
			.root_fd = child_fd,
			.used = true};
		task_group_init(&life->task, world->loop);
		ck_assert_ok(task_start(&life->task, role_name(role), life_run, life));
		*ret_pid = 100000 + i;
		return 0;
	}
	ck_abort_msg("too many lives");
}

static void
life_kill(struct root_spawner *spawner, struct root_child *child)
{
	struct world *world = (struct world *)((char *)spawner - offsetof(struct world, spawner));

	for (int i = 0; i < LIVES_MAX; i++)
		if (world->lives[i].used && world->lives[i].child == child)
			task_group_cancel(&world->lives[i].task);
}

static void
take_root(void *arg, struct root *root)
{
	((struct world *)arg)->root = root;
}

static void
root_body(void *arg)
{
	struct world *world = arg;
	struct root_options options = {.spawner = &world->spawner,
		.workers = 1,
		.conf_file = "test",
		.created = take_root,
		.created_arg = world};

	world->exit_code = root_run(world->env, &world->conf, &options);
	world->ended = true;
}

static void
configure(struct world *world, bool accounts)
{
	struct conf_problems problems;
	struct buffer text;

	memcpy(world->folder, "/tmp/veredus-root-XXXXXX", 25);
	ck_assert_ptr_nonnull(mkdtemp(world->folder));
	buffer_init(&text, world->env->memory, 4096);
	buffer_printf(&text,
		"hostname mx.test\nuser nobody\nhistory { size 0 }\nspool %s/spool\ncontrol "
		"%s/c/control\n",
		world->folder, world->folder);
	if (accounts)
		buffer_append_text(&text, "domain a.test {\naccounts system\nmailbox maildir "
					  "{home}/M\nowner system\n}\n");
	buffer_printf(&text, "listen unix { address unix:%s/smtp  role mx }\n", world->folder);
	buffer_append_text(&text, "route sink.test { to discard }\n");
	conf_problems_init(&problems, world->env->memory);
	arena_init(&world->arena, world->env->memory, CONF_ARENA_MAX);
	ck_assert_ok(conf_parse(world->env, &world->arena, SLICE("test"), buffer_slice(&text),
		&world->conf, &problems));
	conf_problems_done(&problems);
	buffer_done(&text);
}

static void
remove_folders(struct world *world)
{
	static const char *const names[] = {"spool", "c", ""};
	char path[128];

	/* The sockets are gone: else their folders would not go. */
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", world->folder, names[i]);
		ck_assert_int_eq(rmdir(path), 0);
	}
}

static void
run_configured(task_body *body, bool accounts)
{
	int before = descriptors_open();
	struct virtual_env *v = virtual_env_new(0);
	struct world *world = memory_get(v->env.memory, sizeof *world);

	world->env = &v->env;
	log_memory_init(&world->log, &v->env);
	v->env.log = NULL; /* root brings its own; what stands there is read into ours */
	world->spawner = (struct root_spawner){life_start, life_kill};
	configure(world, accounts);
	world->loop = loop_new(&v->env, &(struct loop_options){0});
	task_group_init(&world->tasks, world->loop);
	ck_assert_ok(task_start(&world->tasks, "root", root_body, world));
	ck_assert_ok(task_start(&world->tasks, "test", body, world));
	loop_run(world->loop);
	ck_assert(world->ended);
	loop_free(&world->loop);
	log_reader_close(&world->root_log);
	log_memory_done(&world->log);
	arena_done(&world->arena);
	remove_folders(world);
	memory_put(v->env.memory, world);
	ck_assert_uint_eq(memory_used(v->env.memory), 0);
	virtual_env_free(v);
	ck_assert_int_eq(descriptors_open(), before);
}

static void
run_with(task_body *body)
{
	run_configured(body, true);
}

/* May wait. */
static void
pass(struct world *world, int64_t us)
{
	ck_assert_ok(task_sleep(world->loop, loop_deadline(world->loop, us)));
}

/* How often root has told this, and where: the last line. */
static unsigned
told(struct world *world, const char *event, const char *text)
{
	uint8_t storage[LOG_RECORD_MAX];
	struct slice record;
	unsigned count = 0;

	while (log_reader_take(&world->root_log, storage, &record) == OK)
		if (record.len > 0)
			log_memory_write(&world->log.sink, record);
	struct slice rest = buffer_slice(&world->log.lines);
	while (rest.len > 0) {
		size_t end = (size_t)slice_find(rest, 0, '\n');
		char line[1024] = {0};
		struct slice cut =
			slice_sub(rest, 0, end < sizeof line - 1 ? end : sizeof line - 1);
		memcpy(line, cut.ptr, cut.len);
		count += slice_has_prefix(cut, slice_text(event)) && strstr(line, text) != NULL;
		rest = slice_from(rest, end + 1);
	}
	return count;
}

/* May wait: the end in good order. */
static void
finish(struct world *world)
{
	root_stop(world->root);
	for (int i = 0; !world->ended && i < 1000; i++)
		pass(world, 100 * US_PER_MS);
	ck_assert(world->ended);
	ck_assert_int_eq(world->exit_code, EX_OK);
}

static int
say_ready_twice(struct life *life)
{
	ck_assert_ok(tell_ready(life));
	return -1;
}

static void
ready_body(void *arg)
{
	struct world *world = arg;

	world->acting_role = ROLE_SESSION;
	world->act = say_ready_twice;
	pass(world, 20 * US_PER_S);
	ck_assert_uint_eq(told(world, "process_broke_the_rules", "role=session"), 1);
	ck_assert_uint_eq(
		told(world, "process_died", "role=session worker=0 name=\"\" signal=9"), 1);
	ck_assert_uint_eq(world->life_counts[ROLE_SESSION], 2);
	finish(world);
}

START_TEST(ready_is_said_once)
{
	run_with(ready_body);
}
END_TEST

/* Fills its socket with messages that mean nothing, and looks how many root takes in a turn. */
static int
flood(struct life *life)
{
	struct ipc_message noise = {.kind = IPC_BROKEN, .broken = {.instance = 4000000000u}};
	unsigned filled = 0, turns = 0, most = 0;

	while (channel_try_send(&life->root, &noise) == OK)
		filled++;
	ck_assert_uint_gt(filled, 100);
	for (; turns < 50; turns++) {
		unsigned taken = 0;
		task_yield(life->world->loop);
		while (channel_try_send(&life->root, &noise) == OK)
			taken++;
		most = taken > most ? taken : most;
	}
	ck_assert_uint_gt(most, 0);
	ck_assert_uint_le(most, 40); /* two turns of root's, at the most */
	return -1;
}

static void
flood_body(void *arg)
{
	struct world *world = arg;

	world->acting_role = ROLE_QUEUE;
	world->act = flood;
	pass(world, 20 * US_PER_S);
	ck_assert_uint_eq(world->life_counts[ROLE_QUEUE], 1);
	finish(world);
}

START_TEST(a_flood_keeps_nobody_waiting)
{
	run_with(flood_body);
}
END_TEST

static int
die_with_77(struct life *life)
{
	pass(life->world, US_PER_S);
	return STATUS_EXIT(77);
}

static void
status_body(void *arg)
{
	struct world *world = arg;

	world->acting_role = ROLE_SESSION;
	world->act = die_with_77;
	world->start_error = -EAGAIN;
	pass(world, 20 * US_PER_S);
	ck_assert_uint_eq(told(world, "process_died", "exit=77"), 1);
	ck_assert_uint_eq(told(world, "process_died", ""), 1); /* the second was none */
	ck_assert_uint_eq(told(world, "process_not_started", "role=session"), 1);
	ck_assert_uint_eq(world->life_counts[ROLE_SESSION], 3);
	ck_assert_uint_eq(world->session_rings, 2);
	ck_assert_uint_eq(world->log_has_ring, world->session_ring);
	finish(world);
}

START_TEST(a_start_that_fails_has_no_exit_status)
{
	run_with(status_body);
}
END_TEST

static int
ask_for_end(struct life *life)
{
	struct ipc_message unable = {.kind = IPC_UNABLE}, message;

	ck_assert_ok(channel_try_send(&life->root, &unable));
	ck_assert_ok(channel_try_send(&life->root, &unable)); /* nothing more comes of it */
	ck_assert_ok(
		channel_receive(&life->root, loop_deadline(life->world->loop, US_PER_S), &message));
	ck_assert_int_eq(message.kind, IPC_STOP);
	ck_assert_uint_eq(message.stop.grace_ms, 5000);
	pass(life->world, 3 * US_PER_S);
	ck_assert_int_eq(
		channel_receive(&life->root, loop_now(life->world->loop), &message), ERROR_TIMEOUT);
	return STATUS_EXIT(0);
}

static int
ask_and_stay(struct life *life)
{
	struct ipc_message unable = {.kind = IPC_UNABLE};

	ck_assert_ok(channel_try_send(&life->root, &unable));
	mono_us asked = loop_now(life->world->loop);
	ck_assert_int_eq(task_sleep(life->world->loop, MONO_NEVER), ERROR_CANCELLED);
	ck_assert_int_eq(loop_now(life->world->loop) - asked, 7 * US_PER_S);
	return STATUS_KILLED;
}

static void
unable_body(void *arg)
{
	struct world *world = arg;

	world->acting_role = ROLE_SESSION;
	world->act = ask_for_end;
	pass(world, 20 * US_PER_S);
	ck_assert_uint_eq(
		told(world, "process_ended", "role=session worker=0 name=\"\" asked_by=session"),
		1);
	ck_assert_uint_eq(told(world, "process_died", "role=session worker=0 name=\"\" exit=0"), 1);
	ck_assert_uint_eq(world->life_counts[ROLE_SESSION], 2);
	finish(world);
}

static void
stays_body(void *arg)
{
	struct world *world = arg;

	world->acting_role = ROLE_ADMIN;
	world->act = ask_and_stay;
	pass(world, 20 * US_PER_S);
	ck_assert_uint_eq(told(world, "process_died", "role=admin worker=0 name=\"\" signal=9"), 1);
	ck_assert_uint_eq(world->life_counts[ROLE_ADMIN], 2);
	finish(world);
}

START_TEST(a_process_may_ask_for_its_end)
{
	run_with(unable_body);
}
END_TEST

START_TEST(who_asked_for_its_end_has_to_go)
{
	run_with(stays_body);
}
END_TEST

static int
accuse_the_queue(struct life *life)
{
	struct world *world = life->world;

	pass(world, US_PER_S); /* until the session knows of the queue */
	struct ipc_message broken = {
		.kind = IPC_BROKEN, .broken = {.instance = world->queue_instance}};
	ck_assert_uint_ne(world->queue_instance, 0);
	ck_assert_ok(channel_try_send(&life->root, &broken));
	return -1;
}

static void
accuse_body(void *arg)
{
	struct world *world = arg;

	world->acting_role = ROLE_LOOKUP;
	world->act = accuse_the_queue;
	pass(world, 20 * US_PER_S);
	ck_assert_uint_eq(told(world, "process_broke_the_rules", "role=lookup"), 1);
	ck_assert_uint_eq(world->life_counts[ROLE_QUEUE], 1);
	ck_assert_uint_eq(world->life_counts[ROLE_LOOKUP], 2);
	finish(world);
}

START_TEST(lookup_cannot_end_the_queue)
{
	run_with(accuse_body);
}
END_TEST

static void
unused_body(void *arg)
{
	struct world *world = arg;

	pass(world, 20 * US_PER_S);
	ck_assert_uint_eq(world->life_counts[ROLE_LOOKUP], 0);
	ck_assert_uint_eq(
		world->life_counts[ROLE_SESSION], 1); /* it waits for nobody who is not there */
	finish(world);
}

START_TEST(a_role_without_use_is_not_started)
{
	run_configured(unused_body, false);
}
END_TEST

UNIT_MAIN("proc/root", a_role_without_use_is_not_started, ready_is_said_once,
	a_flood_keeps_nobody_waiting, a_start_that_fails_has_no_exit_status,
	a_process_may_ask_for_its_end, who_asked_for_its_end_has_to_go, lookup_cannot_end_the_queue)
