/* Copying forward: what few messages stay holds no more than it must, and nothing of them is lost.
 */
#include "spool/spool_test.h"

#define LARGE      60000
#define MORE_LARGE 17 /* and a little: a segment */

static void
know_moves(struct fixture *f)
{
	if (spool_moves_are_known(f->spool))
		commit_ok(f);
}

/* All that there is to do while nothing else happens; the number of messages that moved. */
static uint32_t
forward_all(struct fixture *f)
{
	uint32_t moved = 0;

	for (bool more = true; more;) {
		if (spool_forward(f->spool, SPOOL_MOVES_MAX, true, &more) > 0)
			commit_ok(f);
		for (uint32_t i = 0; spool_moved(f->spool, i); i++)
			moved++;
		know_moves(f);
	}
	return moved;
}

/* A small message that stays, beside large ones that go: a segment and a little. */
static struct added
fill_segment(struct fixture *f, uint64_t first_id, size_t size)
{
	struct added kept = put(f, first_id, size);

	for (uint64_t id = first_id + 1; id <= first_id + MORE_LARGE; id++) {
		struct added gone = put(f, id, LARGE);
		add_result(f, &gone.message, SPOOL_DONE, 0, 0);
	}
	return kept;
}

START_TEST(a_few_that_stay_do_not_hold_all_segments)
{
	struct fixture f;

	fixture_init(&f);
	f.options.sparse_segments = 4;
	fixture_open(&f);
	for (uint64_t i = 0; i < 60; i++) {
		fill_segment(&f, 1 + i * 100, 300);
		forward_all(&f);
		ck_assert_uint_le(count_files(&f).segments, 8);
	}
	for (int round = 0; round < 2; round++) {
		fixture_open(&f);
		ck_assert_uint_eq(f.seen->damage, 0);
		ck_assert_uint_eq(f.seen->count, 60);
		for (size_t i = 0; i < 60; i++)
			ck_assert(message_is_whole(&f, &f.seen->messages[i]));
		forward_all(&f);
		ck_assert_uint_le(count_files(&f).segments, 8);
	}
	fixture_done(&f);
}
END_TEST

/* Clients never leave the writer idle: copies travel with their mail, and are the smaller part. */
START_TEST(it_goes_on_beside_new_mail)
{
	struct fixture f;
	uint64_t id = 0;
	bool more;

	fixture_init(&f);
	f.options.sparse_segments = 4;
	fixture_open(&f);
	for (uint64_t i = 0; i < 1000; i++) {
		struct added gone, stays = {0};
		ck_assert_ok(try_add(&f, ++id, LARGE, &gone));
		if (i % 17 == 0)
			ck_assert_ok(try_add(&f, ++id, 300, &stays));
		spool_forward(f.spool, SPOOL_MOVES_MAX, false, &more);
		commit_ok(&f);
		memory_put(f.scratch, gone.bytes);
		memory_put(f.scratch, stays.bytes);
		spool_moves_are_known(f.spool);
		add_result(&f, &gone.message, SPOOL_DONE, 0, 0);
		ck_assert_uint_le(count_files(&f).segments, 8);
	}
	commit_ok(&f);
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->damage, 0);
	ck_assert_uint_eq(f.seen->count, 59);
	for (size_t i = 0; i < f.seen->count; i++)
		ck_assert(message_is_whole(&f, &f.seen->messages[i]));
	fixture_done(&f);
}
END_TEST

static void
check_moved(struct fixture *f, const struct added *old)
{
	static const uint32_t done[] = {3, 90};
	const struct seen_message *seen = find_seen(f, old->message.queue_id);

	ck_assert_uint_eq(f->seen->damage, 0);
	ck_assert_ptr_nonnull(seen);
	ck_assert_uint_ne(seen->message.segment, old->message.segment);
	ck_assert(message_is_whole(f, seen));
	ck_assert(seen->held && seen->failed);
	ck_assert_uint_eq(seen->attempts, 2);
	ck_assert_int_eq(seen->next_attempt_at, 2000);
	ck_assert_str_eq(seen->reason, "451 later");
	ck_assert_uint_eq(seen->done_count, 2);
	ck_assert_mem_eq(seen->done, done, sizeof done);
}

/* Whoever has the old place still speaks of the same message. */
START_TEST(all_that_is_known_of_a_message_moves_with_it)
{
	struct fixture f;

	fixture_init(&f);
	fixture_open(&f);
	struct added old = fill_segment(&f, 1, 5000);
	add_result(&f, &old.message, SPOOL_DEFERRED, 2, 2000);
	add_result(&f, &old.message, SPOOL_RECIPIENT_DELIVERED, 3, 0);
	ck_assert_uint_eq(forward_all(&f), 1);
	add_result(&f, &old.message, SPOOL_RECIPIENT_FAILED, 90, 0);
	add_result(&f, &old.message, SPOOL_HELD, 0, 0);
	commit_ok(&f);
	for (int round = 0; round < 3; round++) {
		fixture_open(&f);
		ck_assert_uint_eq(f.seen->count, 1);
		check_moved(&f, &old);
	}
	add_result(&f, &old.message, SPOOL_DONE, 0, 0);
	commit_ok(&f);
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->count, 0);
	fixture_done(&f);
}
END_TEST

static bool
segment_is_there(struct fixture *f, uint32_t segment)
{
	int fd;

	if (spool_open_segment(&f->env, f->dir_fd, segment, &fd) != OK)
		return false;
	close(fd);
	return true;
}

START_TEST(an_old_place_stays_until_all_know_the_new_one)
{
	struct fixture f;
	bool more;

	fixture_init(&f);
	fixture_open(&f);
	struct added old = fill_segment(&f, 1, 100);
	commit_ok(&f);
	ck_assert_uint_eq(spool_forward(f.spool, 9, true, &more), 1);
	ck_assert_ptr_null(spool_moved(f.spool, 0));
	commit_ok(&f);
	const struct spool_move *move = spool_moved(f.spool, 0);
	ck_assert_ptr_nonnull(move);
	struct seen_message there = {.message = old.message, .content = old.content},
			    here = {.message = move->message, .content = move->content};
	ck_assert_ptr_null(spool_moved(f.spool, 1));
	for (uint64_t id = 500; id < 503; id++)
		put(&f, id, 100);
	ck_assert(message_is_whole(&f, &there) && message_is_whole(&f, &here));
	ck_assert(spool_moves_are_known(f.spool));
	ck_assert(!spool_moves_are_known(f.spool));
	ck_assert(segment_is_there(&f, old.message.segment));
	commit_ok(&f);
	ck_assert(!segment_is_there(&f, old.message.segment));
	ck_assert(message_is_whole(&f, &here));
	fixture_done(&f);
}
END_TEST

/* What is mostly alive is not copied. */
START_TEST(what_lives_stays_where_it_is)
{
	struct fixture f;
	uint64_t id = 0;

	fixture_init(&f);
	fixture_open(&f);
	for (int i = 0; i < 60; i++) {
		struct added added = put(&f, ++id, LARGE);
		if (i % 5 > 2)
			add_result(&f, &added.message, SPOOL_DONE, 0, 0);
	}
	commit_ok(&f);
	ck_assert_uint_eq(forward_all(&f), 0);
	fixture_done(&f);
}
END_TEST

START_TEST(one_that_ends_while_it_moves_is_gone)
{
	struct fixture f;
	bool more;

	fixture_init(&f);
	fixture_open(&f);
	struct added old = fill_segment(&f, 1, 100);
	commit_ok(&f);
	ck_assert_uint_eq(spool_forward(f.spool, 9, true, &more), 1);
	add_result(&f, &old.message, SPOOL_DONE, 0, 0);
	commit_ok(&f);
	ck_assert_ptr_null(spool_moved(f.spool, 0));
	ck_assert(!segment_is_there(&f, old.message.segment));
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->count, 0);
	ck_assert_uint_eq(f.seen->damage, 0);
	fixture_done(&f);
}
END_TEST

/* Damage holds the segment that it is in, and stands in the way of no other. */
START_TEST(what_is_damaged_stays)
{
	struct fixture f;
	char name[LOGFILE_NAME_BYTES];

	fixture_init(&f);
	fixture_open(&f);
	struct added bad = fill_segment(&f, 1, 5000), good = fill_segment(&f, 101, 5000);
	commit_ok(&f);
	logfile_name(LOGFILE_SEGMENT, bad.content.segment, name);
	int fd = openat(f.dir_fd, name, O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(pwrite(fd, "x", 1, (off_t)bad.content.offset + 100), 1);
	close(fd);
	ck_assert_uint_eq(forward_all(&f), 1);
	ck_assert(segment_is_there(&f, bad.message.segment));
	ck_assert(!segment_is_there(&f, good.message.segment));
	ck_assert_uint_eq(forward_all(&f), 0);
	fixture_done(&f);
}
END_TEST

/* A disk that does not open one of the files. */
struct shut_disk {
	const struct disk_ops *disk;
	struct disk_ops ops;
	const char *name; /* NULL: opens all */
};

static int
shut_openat(void *arg, int dir_fd, const char *name, int flags, mode_t mode)
{
	struct shut_disk *shut = arg;

	if (shut->name && strcmp(name, shut->name) == 0)
		return -EIO;
	return shut->disk->openat(NULL, dir_fd, name, flags, mode);
}

/* The original can't be read while its copy is delivered: it is dead when it can, also after starts
 * at which it still could not. */
START_TEST(an_original_does_not_come_back)
{
	struct fixture f;
	struct shut_disk shut = {.name = NULL};
	char name[LOGFILE_NAME_BYTES];
	bool more;

	fixture_init(&f);
	shut.disk = f.env.disk;
	shut.ops = *f.env.disk;
	shut.ops.openat = shut_openat;
	f.env.disk = &shut.ops;
	f.env.world = &shut;
	f.options.journal_bytes = 1u << 20; /* nothing is in a state yet */
	fixture_open(&f);
	struct added old = fill_segment(&f, 1, 5000);
	ck_assert_uint_eq(spool_forward(f.spool, 9, true, &more), 1);
	commit_ok(&f);
	logfile_name(LOGFILE_SEGMENT, old.message.segment, name);
	for (int i = 0; i < 4; i++) {
		shut.name = i < 3 ? name : NULL;
		fixture_open(&f);
		ck_assert_uint_eq(f.seen->count, i == 0);
		if (i > 0)
			continue;
		ck_assert(message_is_whole(&f, find_seen(&f, 1)));
		add_result(&f, &old.message, SPOOL_DONE, 0, 0);
		commit_ok(&f);
	}
	ck_assert_uint_eq(f.seen->damage, 0);
	f.env.disk = shut.disk;
	f.env.world = NULL;
	fixture_done(&f);
}
END_TEST

UNIT_MAIN("spool/spool_forward", a_few_that_stay_do_not_hold_all_segments,
	it_goes_on_beside_new_mail, all_that_is_known_of_a_message_moves_with_it,
	an_old_place_stays_until_all_know_the_new_one, what_lives_stays_where_it_is,
	one_that_ends_while_it_moves_is_gone, what_is_damaged_stays, an_original_does_not_come_back)
