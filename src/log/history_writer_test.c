/* The history's files in a folder of the test's, with a virtual clock: sizes, times, restarts, a
 * disk that is full. */
#include "log/history_writer.h"

#include "virtual_env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define SIZE       (4u << 20)
#define KEEP_US    (5 * 3600 * US_PER_S) /* a file an hour */
#define FILE_BYTES (SIZE / 4 / HISTORY_FILES)

struct world {
	struct virtual_env *v;
	struct disk_ops disk;
	struct conf conf;
	struct history_writer writer;
	char folder[64];
	int64_t room;
	bool is_full;
};

static struct world *world_of_test; /* for the ops: a test is a process of its own */

static ssize_t
limited_write(void *world, int fd, const void *bytes, size_t len)
{
	(void)world;
	return world_of_test->is_full ? -ENOSPC : write(fd, bytes, len);
}

static int64_t
told_room(void *world, int fd)
{
	(void)world;
	(void)fd;
	return world_of_test->room;
}

static void
world_start(struct world *w)
{
	history_writer_init(&w->writer, &w->v->env, &w->conf);
	for (int i = 0; i < HISTORY_KINDS * HISTORY_FILES; i++) {
		char path[128], name[32];
		snprintf(name, sizeof name, HISTORY_FOLDER "/%s-%d",
			history_kind_name((enum history_kind)(i / HISTORY_FILES)),
			i % HISTORY_FILES);
		snprintf(path, sizeof path, "%s/%s", w->folder, name + sizeof HISTORY_FOLDER);
		int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
		ck_assert_int_ge(fd, 0);
		ck_assert(history_writer_add(&w->writer, slice_text(name), fd));
	}
}

static void
world_new(struct world *w)
{
	memset(w, 0, sizeof *w);
	w->v = virtual_env_new(0);
	w->disk = *w->v->env.disk;
	w->disk.write = limited_write;
	w->disk.free_bytes = told_room;
	w->v->env.disk = &w->disk;
	w->conf.history = (struct conf_history){.keep_us = KEEP_US, .size = SIZE};
	w->conf.spool_reserve = 1000;
	w->room = 1000000;
	snprintf(w->folder, sizeof w->folder, "/tmp/veredus-history-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(w->folder));
	world_of_test = w;
	world_start(w);
}

static void
world_end(struct world *w)
{
	history_writer_done(&w->writer);
	for (int i = 0; i < HISTORY_KINDS * HISTORY_FILES; i++) {
		char path[128];
		snprintf(path, sizeof path, "%s/%s-%d", w->folder,
			history_kind_name((enum history_kind)(i / HISTORY_FILES)),
			i % HISTORY_FILES);
		unlink(path);
	}
	ck_assert_int_eq(rmdir(w->folder), 0);
	virtual_env_free(w->v);
}

/* Through log_write, as all records are made. */
static void
sink_write(struct log_sink *sink, struct slice record)
{
	(void)sink;
	history_writer_take(&world_of_test->writer, record);
}

static void
say(struct world *w, const char *event, int64_t number)
{
	struct log_sink sink = {.write = sink_write};

	w->v->env.log = &sink;
	log_event(&w->v->env, LOG_INFO, event, LOG_NUMBER("n", number),
		LOG_STRING("text", "a text of some length, as replies of servers have it"));
	w->v->env.log = NULL;
}

static size_t
file_size(const struct world *w, enum history_kind kind, uint32_t number)
{
	struct stat stat;

	ck_assert_int_eq(fstat(w->writer.kinds[kind].fds[number], &stat), 0);
	return (size_t)stat.st_size;
}

/* Records in all files of a kind. */
static unsigned
count_kept(const struct world *w, enum history_kind kind)
{
	static uint8_t bytes[SIZE];
	unsigned count = 0;

	for (uint32_t i = 0; i < HISTORY_FILES; i++) {
		struct slice record;
		size_t at = HISTORY_HEAD_BYTES;
		ssize_t got = pread(w->writer.kinds[kind].fds[i], bytes, sizeof bytes, 0);
		ck_assert_int_ge(got, 0);
		while (at < (size_t)got &&
			history_next(slice_of(bytes, (size_t)got), true, &at, &record))
			count++;
	}
	return count;
}

START_TEST(kinds_lie_apart)
{
	struct world w;

	world_new(&w);
	say(&w, "received", 1);
	say(&w, "deferred", 1);
	say(&w, "refused", 1);
	say(&w, "dmarc_seen", 1);
	say(&w, "connected", 1);
	ck_assert_uint_eq(count_kept(&w, HISTORY_MAIL), 0);
	history_writer_flush(&w.writer);
	for (int kind = 0; kind < HISTORY_KINDS; kind++)
		ck_assert_uint_eq(count_kept(&w, (enum history_kind)kind), 1);
	ck_assert(!history_writer_add(&w.writer, SLICE("/var/log/x"), 0));
	world_end(&w);
}
END_TEST

/* A flood of refusals keeps its size, loses its oldest and nothing of another kind. */
START_TEST(size_is_bounded)
{
	struct world w;

	world_new(&w);
	say(&w, "delivered", 1);
	for (int i = 0; i < 40000; i++)
		say(&w, "refused", i);
	history_writer_flush(&w.writer);
	size_t all = 0;
	for (uint32_t i = 0; i < HISTORY_FILES; i++) {
		ck_assert_uint_le(file_size(&w, HISTORY_REFUSED, i), FILE_BYTES);
		all += file_size(&w, HISTORY_REFUSED, i);
	}
	ck_assert_uint_le(all, SIZE / 4);
	ck_assert_uint_gt(count_kept(&w, HISTORY_REFUSED), 500);
	ck_assert_uint_eq(count_kept(&w, HISTORY_MAIL), 1);
	world_end(&w);
}
END_TEST

/* Each hour has its file; what is older than may be kept goes, with new records or without. */
START_TEST(time_is_bounded)
{
	struct world w;

	world_new(&w);
	for (int hour = 0; hour < 20; hour++) {
		say(&w, "received", hour);
		history_writer_flush(&w.writer);
		w.v->now += 3600 * US_PER_S;
		ck_assert_uint_le(count_kept(&w, HISTORY_MAIL), HISTORY_FILES);
	}
	ck_assert_uint_ge(count_kept(&w, HISTORY_MAIL), HISTORY_FILES - 1);
	for (int hour = 0; hour < 12; hour++) {
		history_writer_flush(&w.writer);
		w.v->now += 3600 * US_PER_S;
	}
	ck_assert_uint_eq(count_kept(&w, HISTORY_MAIL), 0);
	world_end(&w);
}
END_TEST

START_TEST(goes_on_after_a_restart)
{
	struct world w;

	world_new(&w);
	for (int i = 0; i < 3; i++) {
		say(&w, "received", i);
		history_writer_flush(&w.writer);
		w.v->now += 3600 * US_PER_S;
	}
	uint32_t current = w.writer.kinds[HISTORY_MAIL].current;
	w.v->now -= 1800 * US_PER_S;
	history_writer_done(&w.writer);
	world_start(&w);
	say(&w, "received", 4);
	history_writer_flush(&w.writer);
	ck_assert_uint_eq(w.writer.kinds[HISTORY_MAIL].current, current);
	ck_assert_uint_eq(count_kept(&w, HISTORY_MAIL), 4);
	world_end(&w);
}
END_TEST

/* A server that did not run for long has nothing of that time at its first turn. */
START_TEST(what_is_old_goes_at_the_start)
{
	struct world w;

	world_new(&w);
	for (int i = 0; i < 4; i++) {
		say(&w, "received", i);
		history_writer_flush(&w.writer);
		w.v->now += 3600 * US_PER_S;
	}
	history_writer_done(&w.writer);
	w.v->now += 2 * KEEP_US;
	world_start(&w);
	history_writer_flush(&w.writer);
	ck_assert_uint_eq(count_kept(&w, HISTORY_MAIL), 0);
	world_end(&w);
}
END_TEST

/* Nothing is written into the room that is for mail; and what was lost is counted. */
START_TEST(a_full_disk)
{
	struct world w;

	world_new(&w);
	say(&w, "received", 1);
	history_writer_flush(&w.writer);
	w.writer.told_at = env_wall(&w.v->env); /* not said again for a while */
	w.room = 999;
	say(&w, "received", 2);
	history_writer_flush(&w.writer);
	ck_assert_uint_eq(w.writer.lost, 1);
	w.room = 1000;
	w.is_full = true;
	say(&w, "received", 3);
	say(&w, "received", 4);
	history_writer_flush(&w.writer);
	ck_assert_uint_eq(w.writer.lost, 3);
	w.is_full = false;
	say(&w, "received", 5);
	history_writer_flush(&w.writer);
	ck_assert_uint_eq(count_kept(&w, HISTORY_MAIL), 2);
	w.v->now += 61 * US_PER_S;
	history_writer_flush(&w.writer);
	ck_assert_uint_eq(w.writer.lost, 0);
	world_end(&w);
}
END_TEST

UNIT_MAIN("log/history_writer", kinds_lie_apart, size_is_bounded, time_is_bounded,
	goes_on_after_a_restart, what_is_old_goes_at_the_start, a_full_disk)
