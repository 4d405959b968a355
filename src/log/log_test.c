/* The log over rings of the test's, into a file, with standard output caught in another. Time is
 * virtual. */
#include "log/log.h"

#include "descriptors.h"
#include "ipc/log_ring.h"
#include "task/task.h"
#include "virtual_env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define TEXT_MAX (8u << 20)

struct world;

/* What stands before the two outputs. */
struct outputs {
	struct virtual_env *v;
	const struct disk_ops *disk;
	struct buffer log;
	struct buffer announcements;
	int log_error; /* -errno of writes */
	int announcements_error;
	size_t most; /* octets taken of one write; 0: all */
};

struct process {
	struct env env; /* with its log */
	struct log_writer writer;
	int memory_fd;
};

struct world {
	struct env *env;
	struct loop *loop;
	struct task_group tasks;
	struct conf conf;
	struct disk_ops disk;
	struct outputs outputs;
	struct log_service *service;
	int log_fd;
	int wake_fd; /* a copy: the service owns its own */
	struct process processes[3];
};

static ssize_t
caught_write(void *arg, int fd, const void *bytes, size_t len)
{
	struct virtual_env *v = arg;
	struct world *world =
		list_entry((struct list *)(void *)(uintptr_t)v->env.disk, struct world, disk);
	struct outputs *outputs = &world->outputs;
	bool is_log = fd == world->log_fd;
	int error = is_log ? outputs->log_error : outputs->announcements_error;

	ck_assert(is_log || fd == STDOUT_FILENO);
	if (error != 0)
		return error;
	if (outputs->most > 0 && len > outputs->most)
		len = outputs->most;
	buffer_append(is_log ? &outputs->log : &outputs->announcements, slice_of(bytes, len));
	return (ssize_t)len;
}

static struct process *
process_start(struct world *world, uint32_t number, enum role role, uint32_t worker)
{
	struct process *process = &world->processes[number];

	process->env = *world->env;
	ck_assert_ok(log_ring_memory_new(world->env, &process->memory_fd));
	ck_assert_ok(log_writer_open(
		&process->writer, &process->env, process->memory_fd, world->wake_fd));
	process->env.log = &process->writer.sink;
	log_service_add_ring(world->service, role, worker, dup(process->memory_fd));
	return process;
}

static void
process_end(struct process *process)
{
	log_writer_close(&process->writer);
	close(process->memory_fd);
}

static void
run_with(task_body *body, enum conf_log_format format)
{
	int before = descriptors_open();
	struct virtual_env *v = virtual_env_new(0);
	struct world *world = memory_get(v->env.memory, sizeof *world);

	*world = (struct world){.env = &v->env, .disk = *v->env.disk};
	world->conf.log = (struct conf_log){.format = format, .to = CONF_LOG_FILE};
	world->disk.write = caught_write;
	v->env.disk = &world->disk;
	buffer_init(&world->outputs.log, v->env.memory, TEXT_MAX);
	buffer_init(&world->outputs.announcements, v->env.memory, TEXT_MAX);
	world->loop = loop_new(&v->env, &(struct loop_options){.watchdog_us = 0});
	task_group_init(&world->tasks, world->loop);
	int wake_fd = v->env.poll->wake_create(NULL);
	world->wake_fd = dup(wake_fd);
	world->service = log_service_new(&v->env, &world->conf, wake_fd);
	world->log_fd = memfd_create("log", MFD_CLOEXEC);
	log_service_set_file(world->service, world->log_fd);
	ck_assert_ok(log_service_go(world->service));
	ck_assert_ok(task_start(&world->tasks, "test", body, world));
	loop_run(world->loop);
	log_service_free(&world->service);
	loop_free(&world->loop);
	close(world->wake_fd);
	buffer_done(&world->outputs.log);
	buffer_done(&world->outputs.announcements);
	memory_put(v->env.memory, world);
	ck_assert_uint_eq(memory_used(v->env.memory), 0);
	virtual_env_free(v);
	ck_assert_int_eq(descriptors_open(), before);
}

/* May wait: until all is written that can be. */
static void
settle(struct world *world)
{
	ck_assert_ok(task_sleep(world->loop, loop_deadline(world->loop, US_PER_S)));
}

static unsigned
count_of(struct buffer *text, const char *what)
{
	unsigned count = 0;

	for (const char *at = buffer_text(text); (at = strstr(at, what)) != NULL; at++)
		count++;
	return count;
}

static void
lines_body(void *arg)
{
	struct world *world = arg;
	struct process *session = process_start(world, 0, ROLE_SESSION, 1),
		       *queue = process_start(world, 1, ROLE_QUEUE, 0);
	struct outputs *outputs = &world->outputs;

	log_event(&session->env, LOG_INFO, "received", LOG_STRING("id", "abc"),
		LOG_STRING("from", "a b"));
	log_event(&queue->env, LOG_INFO, "delivered", LOG_STRING("id", "abc"),
		LOG_STRING("path", "/var/mail/x"));
	log_event(&queue->env, LOG_WARNING, "spool_trouble", LOG_NUMBER("n", -3));
	settle(world);
	ck_assert_uint_eq(count_of(&outputs->log, "\n"), 3);
	ck_assert_uint_eq(
		count_of(&outputs->log, "Z received id=abc from=\"a b\" by=session/1\n"), 1);
	ck_assert_uint_eq(
		count_of(&outputs->log, "Z spool_trouble level=warning n=-3 by=queue/0\n"), 1);
	ck_assert_str_eq(
		buffer_text(&outputs->announcements), "received abc\ndelivered /var/mail/x\n");
	/* Asleep: the next record wakes it. */
	log_event(&queue->env, LOG_INFO, "deferred", LOG_STRING("id", "def"));
	settle(world);
	ck_assert_uint_eq(count_of(&outputs->announcements, "deferred def\n"), 1);
	/* Small writes at a time make no difference. */
	outputs->most = 7;
	log_event(&queue->env, LOG_INFO, "failed", LOG_STRING("id", "ghi"));
	log_service_stop(world->service); /* what the rings still hold is written */
	ck_assert_uint_eq(count_of(&outputs->log, "Z failed id=ghi by=queue/0\n"), 1);
	ck_assert_uint_eq(count_of(&outputs->announcements, "failed ghi\n"), 1);
	process_end(session);
	process_end(queue);
}

START_TEST(records_become_lines_and_announcements)
{
	run_with(lines_body, CONF_LOG_LINE);
}
END_TEST

/* From now on the ring holds what nobody's log_write makes. */
static void
write_raw(struct process *process, struct slice record)
{
	process->writer.sink.write(&process->writer.sink, record);
}

static void
broken_body(void *arg)
{
	struct world *world = arg;
	struct process *broken = process_start(world, 0, ROLE_SESSION, 2),
		       *good = process_start(world, 1, ROLE_QUEUE, 0);
	struct outputs *outputs = &world->outputs;

	log_event(&good->env, LOG_INFO, "delivered", LOG_STRING("path", "/first"));
	static const uint8_t oldest[] = {1, 0, 0, 0, 0, 0, 0, 0, 0x80, 1, 'e'};
	write_raw(broken, SLICE("garbage"));
	write_raw(broken, slice_of(oldest, sizeof oldest));
	write_raw(broken, slice_of("", 0));
	log_event(&broken->env, LOG_INFO, "received",
		LOG_STRING("id", "/x\nreceived /forged\x1b[2J"));
	log_event(&broken->env, LOG_INFO, "delivered", LOG_STRING("path", "/never")); /* not its */
	log_event(&broken->env, LOG_INFO, "e", LOG_STRING("by", "queue/0"));
	log_event(&good->env, LOG_INFO, "delivered", LOG_STRING("path", "/second"));
	settle(world);
	/* The others' announcements stand, each in a line of its own. */
	ck_assert_uint_eq(count_of(&outputs->announcements, "delivered /first\n"), 1);
	ck_assert_uint_eq(count_of(&outputs->announcements, "delivered /second\n"), 1);
	ck_assert_uint_eq(
		count_of(&outputs->announcements, "received /x?received /forged?[2J\n"), 1);
	ck_assert_uint_eq(count_of(&outputs->announcements, "\n"), 3);
	/* Every line of the log is an object, also the one about what was none. */
	ck_assert_uint_eq(count_of(&outputs->log, "{\"time\":\""), count_of(&outputs->log, "}\n"));
	ck_assert_uint_eq(
		count_of(&outputs->log, "\"event\":\"log_malformed\",\"role\":"
					"\"session\",\"worker\":2,\"records\":3,\"by\":\"log/0\"}"),
		1);
	ck_assert_uint_eq(count_of(&outputs->log, "\"event\":\"log_refused\",\"role\":\"session\","
						  "\"worker\":2,\"records\":2,"),
		1);
	ck_assert_uint_eq(count_of(&outputs->log, "/never"), 0);
	/* Worse is the end of that ring, and of no other. */
	uint32_t length = LOG_RECORD_MAX + 1;
	ck_assert_int_eq(
		pwrite(broken->memory_fd, &length, sizeof length, 128 + broken->writer.tail),
		sizeof length);
	uint32_t tail = broken->writer.tail + 8;
	ck_assert_int_eq(pwrite(broken->memory_fd, &tail, sizeof tail, 0), sizeof tail);
	log_event(&good->env, LOG_INFO, "held", LOG_STRING("id", "abc"));
	settle(world);
	ck_assert_uint_eq(count_of(&outputs->log, "\"event\":\"log_ring_damaged\""), 1);
	ck_assert_uint_eq(count_of(&outputs->announcements, "held abc\n"), 1);
	log_service_stop(world->service);
	process_end(broken);
	process_end(good);
}

START_TEST(a_broken_process_spoils_its_own_records)
{
	run_with(broken_body, CONF_LOG_JSON);
}
END_TEST

static void
losses_body(void *arg)
{
	struct world *world = arg;
	struct process *busy = process_start(world, 0, ROLE_SESSION, 0);
	struct outputs *outputs = &world->outputs;

	for (int i = 0; i < 20000; i++)
		log_event(&busy->env, LOG_INFO, "received", LOG_NUMBER("number_of_this_event", i));
	settle(world);
	unsigned written = count_of(&outputs->log, "Z received number_of_this_event=");
	char told[96];
	snprintf(told, sizeof told,
		"log_lost level=warning role=session worker=0 records=%u by=log/0\n",
		20000 - written);
	ck_assert_uint_eq(count_of(&outputs->log, told), 1);
	ck_assert_uint_gt(written, 1000);
	/* A full disk: told once it is over, with the right number. */
	unsigned before = count_of(&outputs->log, "\n");
	outputs->log_error = -ENOSPC;
	for (int i = 0; i < 3; i++) {
		log_event(&busy->env, LOG_INFO, "received", LOG_STRING("id", "abc"));
		settle(world);
	}
	ck_assert_uint_eq(
		count_of(&outputs->announcements, "received abc\n"), 3); /* another output */
	outputs->log_error = 0;
	log_event(&busy->env, LOG_INFO, "after", LOG_NUMBER("n", 1));
	settle(world);
	ck_assert_uint_eq(
		count_of(&outputs->log, "log_write_failed level=error times=3 by=log/0\n"), 1);
	ck_assert_uint_eq(count_of(&outputs->log, "\n"), before + 2);
	/* Nobody listens any more: said once, and mail is logged on. */
	outputs->announcements_error = -EPIPE;
	for (int i = 0; i < 5; i++) {
		log_event(&busy->env, LOG_INFO, "received", LOG_STRING("id", "def"));
		settle(world);
	}
	ck_assert_uint_eq(count_of(&outputs->log, "announcements_end"), 1);
	ck_assert_uint_eq(count_of(&outputs->log, "received id=def by=session/0\n"), 5);
	ck_assert_uint_eq(count_of(&outputs->log, "log_write_failed"), 1);
	log_service_stop(world->service);
	process_end(busy);
}

START_TEST(what_is_lost_is_told)
{
	run_with(losses_body, CONF_LOG_LINE);
}
END_TEST

/* One whose records all claim to be the oldest, with more than its share, does not keep the others
 * out. */
static void
share_body(void *arg)
{
	struct world *world = arg;
	struct process *greedy = process_start(world, 0, ROLE_SESSION, 0),
		       *modest = process_start(world, 1, ROLE_QUEUE, 0);
	struct outputs *outputs = &world->outputs;
	uint8_t oldest[18] = {1, [9] = 8, 'r', 'e', 'c', 'e', 'i', 'v', 'e', 'd'};
	wall_us half_an_hour_ago = env_wall(world->env) - 1800 * US_PER_S;

	memcpy(oldest + 1, &half_an_hour_ago, sizeof half_an_hour_ago);
	for (int i = 0; i < 10000; i++)
		write_raw(greedy, slice_of(oldest, sizeof oldest));
	log_event(&modest->env, LOG_INFO, "modest", LOG_NUMBER("n", 1));
	ck_assert_ok(task_sleep(world->loop, loop_deadline(world->loop, 5 * US_PER_MS)));
	ck_assert_uint_eq(count_of(&outputs->log, " modest n=1 by=queue/0\n"), 1);
	ck_assert_uint_lt(count_of(&outputs->log, " received by=session/0\n"), 10000);
	/* A replaced ring is read to its end all the same. */
	log_service_add_ring(world->service, ROLE_SESSION, 0, dup(modest->memory_fd));
	settle(world);
	ck_assert_uint_eq(count_of(&outputs->log, " received by=session/0\n"), 10000);
	log_service_stop(world->service);
	process_end(greedy);
	process_end(modest);
}

START_TEST(each_process_has_its_share)
{
	run_with(share_body, CONF_LOG_LINE);
}
END_TEST

/* How many rings are mapped here: each twice, by its writer and by the log. */
static unsigned
rings_mapped(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned count = 0;

	ck_assert_ptr_nonnull(maps);
	while (fgets(line, sizeof line, maps))
		count += strstr(line, "memfd:veredus-log") != NULL;
	fclose(maps);
	return count;
}

/* The process has written to its last moment, more than one turn takes. */
static void
gone_body(void *arg)
{
	struct world *world = arg;
	struct process *gone = process_start(world, 0, ROLE_DELIVER, 7),
		       *stays = process_start(world, 1, ROLE_DELIVER, 8);
	struct outputs *outputs = &world->outputs;

	settle(world);
	ck_assert_uint_eq(rings_mapped(), 4);
	for (int i = 0; i < 3000; i++) {
		if (i % LOG_RECORDS_A_SECOND == 0)
			((struct virtual_env *)world->env->world)->now += US_PER_S;
		log_event(&gone->env, LOG_INFO, "late", LOG_NUMBER("n", i));
	}
	log_service_drop_ring(world->service, ROLE_DELIVER, 7);
	log_service_drop_ring(world->service, ROLE_DELIVER, 9); /* there is none: nothing happens */
	log_service_drop_ring(world->service, ROLE_SESSION, 8);
	settle(world); /* the clock went on in this turn: that one is over at once */
	settle(world);
	ck_assert_uint_eq(count_of(&outputs->log, " late n="), 3000);
	ck_assert_uint_eq(rings_mapped(), 3);
	log_event(&stays->env, LOG_INFO, "stays", LOG_NUMBER("n", 1));
	settle(world);
	ck_assert_uint_eq(count_of(&outputs->log, " stays n=1 by=deliver/8\n"), 1);
	log_service_stop(world->service);
	process_end(gone);
	process_end(stays);
}

START_TEST(the_ring_of_a_place_that_is_gone_is_written_and_freed)
{
	run_with(gone_body, CONF_LOG_LINE);
}
END_TEST

/* Nothing is lost between the two, and the old descriptor is closed (run_with counts them). */
static void
reopen_body(void *arg)
{
	struct world *world = arg;
	struct process *process = process_start(world, 0, ROLE_SESSION, 0);
	struct outputs *outputs = &world->outputs;

	log_event(&process->env, LOG_INFO, "before", LOG_NUMBER("n", 1));
	settle(world);
	log_event(world->env, LOG_INFO, "own", LOG_NUMBER("n", 1)); /* not written yet */
	ck_assert_uint_eq(count_of(&outputs->log, " own n=1 by=log/0\n"), 0);
	int old_fd = world->log_fd, new_fd = memfd_create("log", MFD_CLOEXEC);
	log_service_set_file(world->service, new_fd);
	ck_assert_uint_eq(count_of(&outputs->log, " own n=1 by=log/0\n"), 1); /* to the old one */
	ck_assert_int_eq(fcntl(old_fd, F_GETFD), -1);
	world->log_fd = new_fd;
	log_event(&process->env, LOG_INFO, "after", LOG_NUMBER("n", 1));
	settle(world);
	ck_assert_uint_eq(count_of(&outputs->log, " after n=1 by=session/0\n"), 1);
	log_service_stop(world->service);
	process_end(process);
}

START_TEST(the_file_may_be_another_at_any_time)
{
	run_with(reopen_body, CONF_LOG_LINE);
}
END_TEST

static void
order_body(void *arg)
{
	struct world *world = arg;
	struct process *a = process_start(world, 0, ROLE_SESSION, 0),
		       *b = process_start(world, 1, ROLE_QUEUE, 0);
	struct virtual_env *v = world->env->world;

	for (int i = 0; i < 6; i++) {
		log_event(&(i % 2 == 0 ? a : b)->env, LOG_INFO, "step", LOG_NUMBER("n", i));
		v->now++;
	}
	settle(world);
	const char *at = buffer_text(&world->outputs.log);
	for (int i = 0; i < 6; i++) {
		char expected[32];
		snprintf(expected, sizeof expected, " step n=%d by=", i);
		at = strstr(at, expected);
		ck_assert_ptr_nonnull(at);
	}
	log_service_stop(world->service);
	process_end(a);
	process_end(b);
}

START_TEST(lines_stand_in_the_order_of_their_times)
{
	run_with(order_body, CONF_LOG_LINE);
}
END_TEST

/* A stranger makes one session log as fast as he can: what it says of mail is there, the rest is
 * counted, in one line a second. */
static void
flood_body(void *arg)
{
	struct world *world = arg;
	struct process *session = process_start(world, 0, ROLE_SESSION, 1);
	struct outputs *outputs = &world->outputs;

	settle(world);
	for (int i = 0; i < 1000; i++) {
		log_event(&session->env, LOG_INFO, "refused", LOG_NUMBER("n", i));
		if (i % 10 == 0)
			log_event(&session->env, LOG_INFO, "received", LOG_NUMBER("n", i));
		if (i % 100 == 0)
			task_yield(world->loop);
	}
	settle(world);
	settle(world);
	ck_assert_uint_eq(count_of(&outputs->log, "Z received n="), 100);
	ck_assert_uint_eq(count_of(&outputs->log, "Z refused n="), LOG_RECORDS_A_SECOND);
	ck_assert_uint_le(count_of(&outputs->log, "Z log_left_out"), 2);
	unsigned told = 0;
	for (const char *at = buffer_text(&outputs->log); (at = strstr(at, "Z log_left_out")); at++)
		told += (unsigned)strtoul(strstr(at, "records=") + 8, NULL, 10);
	ck_assert_uint_eq(told, 1000 - LOG_RECORDS_A_SECOND);
	log_event(&session->env, LOG_INFO, "refused", LOG_NUMBER("again", 1));
	settle(world);
	ck_assert_uint_eq(count_of(&outputs->log, "Z refused again=1 by=session/1\n"), 1);
	log_service_stop(world->service);
	process_end(session);
}

START_TEST(a_flood_leaves_room_for_mail)
{
	run_with(flood_body, CONF_LOG_LINE);
}
END_TEST

/* The log has no time to read, and what strangers provoke is long. */
static void
full_body(void *arg)
{
	struct world *world = arg;
	struct process *session = process_start(world, 0, ROLE_SESSION, 1);
	struct outputs *outputs = &world->outputs;
	char text[1001] = {0};

	memset(text, 'x', sizeof text - 1);
	for (int i = 0; i < LOG_RECORDS_A_SECOND; i++)
		log_event(&session->env, LOG_INFO, "refused", LOG_STRING("text", text));
	for (int i = 0; i < 1000; i++)
		log_event(&session->env, LOG_INFO, "received", LOG_NUMBER("n", i));
	settle(world);
	ck_assert_uint_eq(count_of(&outputs->log, "Z received n="), 1000);
	ck_assert_uint_lt(count_of(&outputs->log, "Z refused text="), LOG_RECORDS_A_SECOND);
	ck_assert_uint_eq(count_of(&outputs->log, "Z log_lost"), 1);
	/* Times that are not of now: nobody shall look for them in vain. */
	struct virtual_env *v = world->env->world;
	v->now += 7200 * US_PER_S;
	log_event(&session->env, LOG_INFO, "refused", LOG_NUMBER("later", 1));
	v->now -= 7200 * US_PER_S;
	log_event(&session->env, LOG_INFO, "refused", LOG_NUMBER("now", 1));
	settle(world);
	ck_assert_uint_eq(count_of(&outputs->log, "later="), 0);
	ck_assert_uint_eq(count_of(&outputs->log, "Z refused now=1"), 1);
	ck_assert_uint_eq(
		count_of(&outputs->log, "log_refused level=error role=session worker=1 records=1"),
		1);
	log_service_stop(world->service);
	process_end(session);
}

START_TEST(a_full_ring_has_room_for_mail)
{
	run_with(full_body, CONF_LOG_LINE);
}
END_TEST

UNIT_MAIN("log/log", a_flood_leaves_room_for_mail, a_full_ring_has_room_for_mail,
	records_become_lines_and_announcements, a_broken_process_spoils_its_own_records,
	what_is_lost_is_told, each_process_has_its_share, lines_stand_in_the_order_of_their_times,
	the_ring_of_a_place_that_is_gone_is_written_and_freed, the_file_may_be_another_at_any_time)
