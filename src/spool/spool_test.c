/* The spool on a disk that works: what is added and committed is there after a restart, and no
 * more. */
#include "unit.h"

#include "spool/spool_test.h"

START_TEST(empty_folder_becomes_a_spool)
{
	struct fixture f;

	fixture_init(&f);
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->count + f.seen->damage, 0);
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->count + f.seen->damage, 0);
	ck_assert_uint_eq(count_files(&f).journals, 1);
	ck_assert_uint_eq(count_files(&f).segments, 1);
	ck_assert_uint_eq(count_files(&f).others, 1);
	fixture_done(&f);
}
END_TEST

START_TEST(messages_come_back)
{
	static const size_t sizes[] = {0, 1, 7, 8, 4095, 4096, 4097, 70000};
	struct fixture f;

	fixture_init(&f);
	fixture_open(&f);
	for (uint64_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		put(&f, 100 + i, sizes[i]);
	for (int round = 0; round < 3; round++) {
		fixture_open(&f);
		ck_assert_uint_eq(f.seen->damage, 0);
		ck_assert_uint_eq(f.seen->count, sizeof sizes / sizeof *sizes);
		for (size_t i = 0; i < f.seen->count; i++) {
			ck_assert_uint_eq(f.seen->messages[i].message.queue_id, 100 + i);
			ck_assert_uint_eq(f.seen->messages[i].content.size, sizes[i]);
			ck_assert(message_is_whole(&f, &f.seen->messages[i]));
		}
	}
	fixture_done(&f);
}
END_TEST

/* Delegates to Linux and counts the calls that matter to the hot path. */
static const struct disk_ops *
linux_disk_ops(void)
{
	struct env env;

	env_init_linux(&env);
	const struct disk_ops *disk = env.disk;
	env_done(&env);
	return disk;
}

struct counts {
	unsigned writes, flushes, others;
	size_t pieces;
};

static ssize_t
counted_pwritev(void *world, int fd, const struct iovec *pieces, int count, off_t offset)
{
	((struct counts *)world)->writes++;
	((struct counts *)world)->pieces += (size_t)count;
	return linux_disk_ops()->pwritev(NULL, fd, pieces, count, offset);
}

static int
counted_fdatasync(void *world, int fd)
{
	((struct counts *)world)->flushes++;
	return linux_disk_ops()->fdatasync(NULL, fd);
}

static int
counted_fsync(void *world, int fd)
{
	((struct counts *)world)->others++;
	return linux_disk_ops()->fsync(NULL, fd);
}

START_TEST(fifty_messages_take_one_write_and_one_flush)
{
	struct fixture f;
	struct counts counts = {0};
	struct added added[50];
	struct spool_commit answer;

	fixture_init(&f);
	struct disk_ops disk = *f.env.disk;
	disk.pwritev = counted_pwritev;
	disk.fdatasync = counted_fdatasync;
	disk.fsync = counted_fsync;
	f.env.disk = &disk;
	f.env.world = &counts;
	fixture_open(&f);
	put(&f, 1, 10);
	counts = (struct counts){0};
	for (uint64_t i = 0; i < 50; i++)
		ck_assert_ok(try_add(&f, 10 + i, 4096, &added[i]));
	answer = spool_commit(f.spool);
	ck_assert_int_eq(answer.messages, OK);
	ck_assert_uint_eq(answer.flushes, 1);
	ck_assert_uint_eq(counts.writes, 1);
	ck_assert_uint_eq(counts.flushes, 1);
	ck_assert_uint_eq(counts.others, 0);
	for (uint64_t i = 0; i < 50; i++)
		memory_put(f.scratch, added[i].bytes);
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->count, 51);
	for (size_t i = 0; i < f.seen->count; i++)
		ck_assert(message_is_whole(&f, &f.seen->messages[i]));
	fixture_done(&f);
}
END_TEST

START_TEST(done_is_not_reported_again)
{
	struct fixture f;
	struct added a, b;

	fixture_init(&f);
	fixture_open(&f);
	a = put(&f, 1, 100);
	b = put(&f, 2, 100);
	put(&f, 3, 100);
	add_result(&f, &a.message, SPOOL_RECIPIENT_DELIVERED, 0, 0);
	add_result(&f, &a.message, SPOOL_DONE, 0, 0);
	commit_ok(&f);
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->count, 2);
	ck_assert_ptr_null(find_seen(&f, 1));
	add_result(&f, &b.message, SPOOL_DONE, 0, 0);
	commit_ok(&f);
	for (int round = 0; round < 3; round++) {
		fixture_open(&f);
		ck_assert_uint_eq(f.seen->count, 1);
		ck_assert_ptr_nonnull(find_seen(&f, 3));
		ck_assert_uint_eq(f.seen->damage, 0);
	}
	fixture_done(&f);
}
END_TEST

START_TEST(what_was_not_committed_is_not_there)
{
	struct fixture f;
	struct added added;

	fixture_init(&f);
	fixture_open(&f);
	added = put(&f, 1, 10);
	add_result(&f, &added.message, SPOOL_DONE, 0, 0);
	ck_assert_ok(try_add(&f, 2, 10, &added));
	memory_put(f.scratch, added.bytes);
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->count, 1);
	ck_assert_uint_eq(f.seen->messages[0].message.queue_id, 1);
	fixture_done(&f);
}
END_TEST

/* Whether one of the finished recipients failed, by the journal and by a later journal's state. */
START_TEST(a_failed_recipient_is_told_from_a_delivered_one)
{
	struct fixture f;
	struct added failed, delivered;

	fixture_init(&f);
	fixture_open(&f);
	failed = put(&f, 1, 10);
	delivered = put(&f, 2, 10);
	add_result(&f, &failed.message, SPOOL_RECIPIENT_FAILED, 0, 0);
	add_result(&f, &failed.message, SPOOL_RECIPIENT_DELIVERED, 1, 0);
	add_result(&f, &delivered.message, SPOOL_RECIPIENT_DELIVERED, 1, 0);
	commit_ok(&f);
	for (int round = 0; round < 3; round++) {
		fixture_open(&f);
		ck_assert(find_seen(&f, 1)->failed);
		ck_assert(!find_seen(&f, 2)->failed);
		ck_assert_uint_eq(find_seen(&f, 1)->done_count, 2);
	}
	fixture_done(&f);
}
END_TEST

static void
check_state_of_7(const struct fixture *f, uint32_t attempts, bool held)
{
	static const uint32_t done[] = {0, 63, 64, 200, 5000};
	const struct seen_message *seen = find_seen(f, 7);

	ck_assert_ptr_nonnull(seen);
	ck_assert_uint_eq(seen->attempts, attempts);
	ck_assert_int_eq(seen->next_attempt_at, (wall_us)attempts * 1000);
	ck_assert_int_eq(seen->held, held);
	ck_assert(seen->failed);
	ck_assert_uint_eq(seen->done_count, 5);
	for (size_t i = 0; i < 5; i++)
		ck_assert_uint_eq(seen->done[i], done[i]);
}

START_TEST(results_survive_restarts)
{
	static const uint32_t done[] = {5000, 0, 63, 200, 64, 63};
	struct fixture f;
	struct added added;

	fixture_init(&f);
	fixture_open(&f);
	added = put(&f, 7, 3000);
	for (size_t i = 0; i < sizeof done / sizeof *done; i++)
		add_result(&f, &added.message,
			i % 2 ? SPOOL_RECIPIENT_DELIVERED : SPOOL_RECIPIENT_FAILED, done[i], 0);
	add_result(&f, &added.message, SPOOL_DEFERRED, 2, 2000);
	struct spool_result hold = {
		.kind = SPOOL_HELD, .message = added.message, .text = SLICE("550 never")};
	ck_assert_ok(spool_add_result(f.spool, &hold));
	commit_ok(&f);
	for (int round = 0; round < 3; round++) {
		fixture_open(&f);
		check_state_of_7(&f, 2, true);
		ck_assert_str_eq(f.seen->messages[0].reason, "550 never");
	}
	add_result(&f, &added.message, SPOOL_RELEASED, 0, 0);
	add_result(&f, &added.message, SPOOL_DEFERRED, 3, 3000);
	commit_ok(&f);
	for (int round = 0; round < 3; round++) {
		fixture_open(&f);
		check_state_of_7(&f, 3, false);
		ck_assert_str_eq(f.seen->messages[0].reason, "451 later");
		ck_assert(message_is_whole(&f, &f.seen->messages[0]));
	}
	fixture_done(&f);
}
END_TEST

START_TEST(results_must_name_a_live_message)
{
	struct fixture f;
	struct added a, b;
	struct spool_result result = {.kind = SPOOL_DONE};

	fixture_init(&f);
	fixture_open(&f);
	ck_assert_int_eq(spool_add_result(f.spool, &result), ERROR_NOT_FOUND);
	a = put(&f, 1, 10);
	ck_assert_ok(try_add(&f, 2, 10, &b));
	result.message = b.message;
	ck_assert_int_eq(spool_add_result(f.spool, &result), ERROR_NOT_FOUND);
	commit_ok(&f);
	memory_put(f.scratch, b.bytes);
	ck_assert_ok(spool_add_result(f.spool, &result));
	ck_assert_int_eq(spool_add_result(f.spool, &result), ERROR_NOT_FOUND);
	result.message = a.message;
	result.message.queue_id = 1000;
	ck_assert_int_eq(spool_add_result(f.spool, &result), ERROR_NOT_FOUND);
	result.message = a.message;
	result.kind = SPOOL_RECIPIENT_FAILED;
	result.recipient = SPOOL_RECIPIENTS_MAX;
	ck_assert_int_eq(spool_add_result(f.spool, &result), ERROR_LIMIT);
	result.recipient--;
	ck_assert_ok(spool_add_result(f.spool, &result));
	commit_ok(&f);
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->count, 1);
	ck_assert_uint_eq(f.seen->messages[0].done[0], SPOOL_RECIPIENTS_MAX - 1);
	fixture_done(&f);
}
END_TEST

START_TEST(batches_have_limits)
{
	struct fixture f;
	struct added added;
	uint64_t max;
	size_t count = 0;

	fixture_init(&f);
	fixture_open(&f);
	max = spool_message_max(f.spool);
	ck_assert(spool_has_room(f.spool, max - ENVELOPE_BYTES, ENVELOPE_BYTES));
	ck_assert(!spool_has_room(f.spool, max, 1));
	ck_assert(!spool_has_room(f.spool, UINT64_MAX, UINT64_MAX));
	put(&f, 1, 10);
	put(&f, 2, (size_t)max - ENVELOPE_BYTES);
	ck_assert_int_eq(try_add(&f, 3, (size_t)max, &added), ERROR_LIMIT);
	memory_put(f.scratch, added.bytes);
	ck_assert_ok(try_add(&f, 4, 1, &added));
	memory_put(f.scratch, added.bytes);
	ck_assert_int_eq(try_add(&f, 4, 1, &added), ERROR_EXISTS);
	memory_put(f.scratch, added.bytes);
	ck_assert_int_eq(try_add(&f, UINT64_MAX, 1, &added), ERROR_LIMIT);
	memory_put(f.scratch, added.bytes);
	ck_assert(!spool_has_room(f.spool, max - ENVELOPE_BYTES, ENVELOPE_BYTES));
	spool_close(&f.spool);
	fixture_open(&f);
	while (spool_has_room(f.spool, 0, 0)) {
		struct spool_reference m, c;
		ck_assert_ok(spool_add_message(
			f.spool, 100 + count, NULL, 0, 0, (struct slice){0}, &m, &c));
		count++;
	}
	ck_assert_uint_eq(count, SPOOL_BATCH_MESSAGES);
	commit_ok(&f);
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->count, count + 2);
	ck_assert(message_is_whole(&f, &f.seen->messages[1]));
	fixture_done(&f);
}
END_TEST

START_TEST(empty_segments_go)
{
	struct fixture f;
	struct added added[40];

	fixture_init(&f);
	fixture_open(&f);
	for (uint64_t i = 0; i < 40; i++)
		added[i] = put(&f, 1 + i, 100000);
	ck_assert_uint_ge(count_files(&f).segments, 4);
	for (uint64_t i = 0; i < 39; i++) {
		add_result(&f, &added[i].message, SPOOL_DONE, 0, 0);
		commit_ok(&f);
	}
	ck_assert_uint_eq(count_files(&f).segments, 1);
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->damage, 0);
	ck_assert_uint_eq(f.seen->count, 1);
	ck_assert(message_is_whole(&f, &f.seen->messages[0]));
	ck_assert_uint_eq(count_files(&f).segments, 2);
	add_result(&f, &added[39].message, SPOOL_DONE, 0, 0);
	commit_ok(&f);
	ck_assert_uint_eq(count_files(&f).segments, 1);
	/* Numbers go on although no file shows them any more. */
	fixture_open(&f);
	added[0] = put(&f, 100, 10);
	ck_assert_uint_gt(added[0].message.segment, added[39].message.segment);
	ck_assert_uint_eq(f.seen->damage, 0);
	fixture_done(&f);
}
END_TEST

START_TEST(segments_are_prepared_at_their_rate)
{
	struct fixture f;

	fixture_init(&f);
	f.options.segment_bytes = 4 * LOGFILE_SLICE_BYTES;
	f.options.spare_segments = 2;
	f.options.fill_bytes_per_s = 1;
	fixture_open(&f);
	ck_assert_uint_eq(count_files(&f).segments, 1);
	/* The journal first: a full disk is emptied by what it takes. */
	ck_assert(spool_prepare(f.spool));
	ck_assert(f.spool->journal_spare.flushed);
	ck_assert(spool_prepare(f.spool));
	ck_assert_uint_eq(f.spool->spare_count, 1);
	f.spool->next_fill_at = 0;
	ck_assert(spool_prepare(f.spool));
	ck_assert_uint_eq(f.spool->spares[1].filled, LOGFILE_SLICE_BYTES);
	ck_assert(spool_prepare(f.spool));
	ck_assert_uint_eq(f.spool->spares[1].filled, LOGFILE_SLICE_BYTES);
	f.spool->next_fill_at = 0;
	f.spool->options.fill_bytes_per_s = 0;
	for (int i = 0; i < 3; i++)
		ck_assert(spool_prepare(f.spool));
	ck_assert(f.spool->spares[1].flushed);
	ck_assert(!spool_prepare(f.spool));
	ck_assert_uint_eq(count_files(&f).segments, 2);
	ck_assert_uint_eq(count_files(&f).journals, 1);
	ck_assert_uint_eq(count_files(&f).others, 2); /* the lock, the next journal */
	put(&f, 1, 10);
	ck_assert(spool_prepare(f.spool));
	ck_assert_uint_eq(count_files(&f).segments, 3);
	/* Half-filled files are nothing to the next start. */
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->count, 1);
	ck_assert_uint_eq(f.seen->damage, 0);
	ck_assert_uint_eq(count_files(&f).segments, 2);
	ck_assert_uint_eq(count_files(&f).journals, 1);
	fixture_done(&f);
}
END_TEST

START_TEST(journals_are_switched)
{
	struct fixture f;
	struct added added;
	uint32_t first;

	fixture_init(&f);
	fixture_open(&f);
	first = f.spool->journal.header.number;
	added = put(&f, 1, 10);
	put(&f, 2, 10);
	for (uint32_t i = 0; i < 100; i++) {
		add_result(&f, &added.message, SPOOL_DEFERRED, i, i * 1000);
		commit_ok(&f);
	}
	ck_assert_uint_gt(f.spool->journal.header.number, first + 3);
	ck_assert_uint_eq(count_files(&f).journals, 1);
	put(&f, 3, 10);
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->count, 3);
	ck_assert_uint_eq(f.seen->damage, 0);
	ck_assert_uint_eq(find_seen(&f, 1)->attempts, 99);
	ck_assert_int_eq(find_seen(&f, 1)->next_attempt_at, 99000);
	fixture_done(&f);
}
END_TEST

/* The state is larger than a journal was to be. */
START_TEST(journals_grow_with_the_state)
{
	struct fixture f;
	struct spool_reference m, c;

	fixture_init(&f);
	f.options.segment_bytes = 2 * LOGFILE_SLICE_BYTES;
	fixture_open(&f);
	for (uint64_t i = 1; i <= 4000; i++) {
		if (!spool_has_room(f.spool, 0, 0))
			commit_ok(&f);
		ck_assert_ok(spool_add_message(f.spool, i, NULL, 0, 0, (struct slice){0}, &m, &c));
	}
	commit_ok(&f);
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->count, 4000);
	ck_assert_uint_gt(f.spool->journal.end, 65536);
	ck_assert_uint_gt(f.spool->journal.header.size, 2 * f.spool->journal.end);
	add_result(&f, &m, SPOOL_DONE, 0, 0);
	commit_ok(&f);
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->count, 3999);
	ck_assert_uint_eq(f.seen->damage, 0);
	fixture_done(&f);
}
END_TEST

static wall_us
settable_wall(void *world)
{
	return *(wall_us *)world;
}

static mono_us
no_monotonic(void *world)
{
	(void)world;
	return 1;
}

START_TEST(ids_ascend_whatever_the_clock_says)
{
	static const struct clock_ops clock = {no_monotonic, settable_wall};
	struct fixture f;
	wall_us now = 1000000;
	struct added added;

	fixture_init(&f);
	f.env.clock = &clock;
	f.env.world = &now;
	fixture_open(&f);
	ck_assert_uint_eq(spool_next_id(f.spool), 1000000);
	ck_assert_uint_eq(spool_next_id(f.spool), 1000001);
	now = 2000000;
	uint64_t id = spool_next_id(f.spool);
	ck_assert_uint_eq(id, 2000000);
	added = put(&f, id, 10);
	now = 5;
	fixture_open(&f);
	ck_assert_uint_eq(spool_next_id(f.spool), 2000001);
	add_result(&f, &added.message, SPOOL_DONE, 0, 0);
	commit_ok(&f);
	for (int round = 0; round < 3; round++) {
		fixture_open(&f);
		ck_assert_uint_eq(f.seen->count, 0);
		ck_assert_uint_ge(spool_next_id(f.spool), 2000001);
	}
	now = -5;
	fixture_open(&f);
	ck_assert_uint_ge(spool_next_id(f.spool), 2000001);
	f.env.world = NULL;
	fixture_done(&f);
}
END_TEST

START_TEST(only_one_has_it_open)
{
	struct fixture f;
	struct spool *other = NULL;
	struct spool_visitor visitor = {seen_message, seen_damage, NULL};

	fixture_init(&f);
	visitor.arg = f.seen;
	fixture_open(&f);
	ck_assert_int_eq(spool_open(&f.env, f.dir_fd, &f.options, &visitor, &other), ERROR_EXISTS);
	ck_assert_ptr_null(other);
	spool_close(&f.spool);
	ck_assert_ok(spool_open(&f.env, f.dir_fd, &f.options, &visitor, &other));
	spool_close(&other);
	fixture_done(&f);
}
END_TEST

START_TEST(references_are_checked)
{
	struct fixture f;
	struct added added;
	struct spool_reference wrong;
	struct buffer bytes;
	int fd;

	fixture_init(&f);
	fixture_open(&f);
	put(&f, 1, 10);
	added = put(&f, 2, 5000);
	buffer_init(&bytes, f.env.memory, 10000);
	ck_assert_int_eq(spool_open_segment(&f.env, f.dir_fd, 999, &fd), ERROR_NOT_FOUND);
	ck_assert_ok(spool_open_segment(&f.env, f.dir_fd, added.message.segment, &fd));
	buffer_append(&bytes, SLICE("before"));
	for (int field = 0; field < 5; field++) {
		wrong = added.content;
		wrong.segment += field == 0;
		wrong.generation += field == 1;
		wrong.offset += field == 2 ? 8 : 0;
		wrong.size += field == 3;
		wrong.queue_id += field == 4;
		ck_assert_int_eq(spool_read_record(&f.env, fd, &wrong, &bytes), ERROR_DAMAGED);
	}
	wrong = (struct spool_reference){added.message.segment, SPOOL_GENERATION, 0, 0, 0};
	ck_assert_int_eq(spool_read_record(&f.env, fd, &wrong, &bytes), ERROR_DAMAGED);
	wrong.offset = UINT64_MAX;
	ck_assert_int_eq(spool_read_record(&f.env, fd, &wrong, &bytes), ERROR_DAMAGED);
	ck_assert_slice_eq(buffer_slice(&bytes), "before");
	ck_assert_ok(spool_read_record(&f.env, fd, &added.content, &bytes));
	ck_assert_uint_eq(bytes.len, 5006);
	ck_assert_int_eq(spool_read_record(&f.env, fd, &added.content, &bytes), ERROR_LIMIT);
	buffer_done(&bytes);
	close(fd);
	fixture_done(&f);
}
END_TEST

START_TEST(options_have_bounds)
{
	struct fixture f;

	fixture_init(&f);
	f.options.segment_bytes = LOGFILE_SLICE_BYTES + 4096;
	ck_assert_int_eq(fixture_try_open(&f), ERROR_LIMIT);
	f.options.segment_bytes = 0;
	ck_assert_int_eq(fixture_try_open(&f), ERROR_LIMIT);
	f.options.segment_bytes = LOGFILE_SLICE_BYTES;
	f.options.spare_segments = 3;
	ck_assert_int_eq(fixture_try_open(&f), ERROR_LIMIT);
	f.options.spare_segments = 1;
	f.options.journal_bytes = 4096;
	ck_assert_int_eq(fixture_try_open(&f), ERROR_LIMIT);
	ck_assert_uint_eq(count_files(&f).others, 0);
	fixture_done(&f);
}
END_TEST

/* Adds and removes in an order of its own; the table must agree with a plain array. */
START_TEST(index_agrees_with_an_array)
{
	enum { IDS = 5000 };
	struct memory *memory = memory_new(0);
	struct index index;
	bool *there = memory_get(memory, IDS);
	uint32_t count = 0, random = 12345;
	struct index_entry *entry;

	index_init(&index, memory);
	for (int i = 0; i < 60000; i++) {
		random = random * 1664525 + 1013904223;
		uint64_t id = random >> 8 & 0xffff;
		if (id >= IDS)
			continue;
		entry = index_find(&index, id + 1);
		ck_assert_int_eq(entry != NULL, there[id]);
		if (!entry) {
			ck_assert_ok(index_add(&index, id + 1, &entry));
			ck_assert_ok(entry_set_done(&index, entry, (uint32_t)id));
			count++;
		} else if (random & 128) {
			ck_assert_uint_eq(entry_done_word(entry, (uint32_t)id / 64) >> id % 64, 1);
			index_remove(&index, entry);
			count--;
		} else {
			continue;
		}
		there[id] = !there[id];
		ck_assert_uint_eq(index.count, count);
	}
	for (uint64_t id = 0; id < IDS; id++)
		ck_assert_int_eq(index_find(&index, id + 1) != NULL, there[id]);
	index_done(&index);
	memory_put(memory, there);
	ck_assert_uint_eq(memory_used(memory), 0);
	memory_free(&memory);
}
END_TEST

/* Equal texts are kept once, others as long as somebody has them. */
START_TEST(texts_are_shared)
{
	struct memory *memory = memory_new(0);
	struct index_entry *entries[1000];
	struct index index;
	char text[SPOOL_RESULT_TEXT_MAX + 20];

	index_init(&index, memory);
	for (unsigned i = 0; i < 1000; i++)
		ck_assert_ok(index_add(&index, i + 1, &entries[i]));
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 1000; i++) {
			snprintf(text, sizeof text, "%u later", i % 300);
			entry_set_text(&index, entries[i], slice_text(text));
		}
		ck_assert_uint_eq(index.text_count, 300);
	}
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(text, sizeof text, "%u later", i % 300);
		ck_assert(slice_equal(entry_text(entries[i]), slice_text(text)));
	}
	for (unsigned i = 0; i < 1000; i += 300)
		entry_set_text(&index, entries[i], (struct slice){0});
	ck_assert_uint_eq(index.text_count, 299);
	ck_assert_uint_eq(entry_text(entries[300]).len, 0);
	memset(text, 'x', sizeof text);
	entry_set_text(&index, entries[0], slice_of(text, sizeof text));
	ck_assert_uint_eq(entry_text(entries[0]).len, SPOOL_RESULT_TEXT_MAX);
	for (unsigned i = 0; i < 999; i++)
		index_remove(&index, entries[i]);
	ck_assert_uint_eq(index.text_count, 1);
	index_done(&index);
	ck_assert_uint_eq(memory_used(memory), 0);
	memory_free(&memory);
}
END_TEST

START_TEST(index_takes_little_memory)
{
	struct memory *memory = memory_new(0);
	struct index index;
	struct index_entry *entry;

	index_init(&index, memory);
	for (uint64_t i = 0; i < 100000; i++)
		ck_assert_ok(index_add(&index, 1700000000000000 + i * 977, &entry));
	ck_assert_uint_lt(memory_used(memory), 160 * 100000);
	index_done(&index);
	memory_free(&memory);
}
END_TEST

UNIT_MAIN("spool/spool", empty_folder_becomes_a_spool, messages_come_back,
	fifty_messages_take_one_write_and_one_flush, done_is_not_reported_again,
	what_was_not_committed_is_not_there, results_survive_restarts,
	a_failed_recipient_is_told_from_a_delivered_one, results_must_name_a_live_message,
	batches_have_limits, empty_segments_go, segments_are_prepared_at_their_rate,
	journals_are_switched, journals_grow_with_the_state, ids_ascend_whatever_the_clock_says,
	only_one_has_it_open, references_are_checked, options_have_bounds,
	index_agrees_with_an_array, texts_are_shared, index_takes_little_memory)
