/*
 * The spool on a disk that fails: the n-th call fails, for every n, in every way; then the disk is
 * well again and what recovery finds must agree with every answer that was given.
 */
#include "unit.h"

#include "spool/spool_test.h"

enum fault_mode {
	FAULT_EIO, /* one call fails */
	FAULT_ENOSPC,
	FAULT_DEAD_EIO, /* that call and all later ones: as if the machine stopped there */
	FAULT_DEAD_ENOSPC,
	FAULT_SHORT,    /* a write does half of it and says so */
	FAULT_HALF_EIO, /* a write does half of it and fails */
	FAULT_LOST,     /* a flush fails, and what was written since is lost */
	FAULT_MODES
};

/* `world` of the disk below. */
struct faults {
	const struct disk_ops *disk;
	unsigned calls;
	unsigned fail_at; /* 0: never */
	enum fault_mode mode;
	bool full; /* files can't be made */
	bool flushes_fail;
	int last_fd; /* the write that FAULT_LOST takes back */
	off_t last_offset;
	size_t last_len;
};

static bool
fault_is_due(struct faults *faults)
{
	faults->calls++;
	if (faults->mode == FAULT_DEAD_EIO || faults->mode == FAULT_DEAD_ENOSPC)
		return faults->fail_at > 0 && faults->calls >= faults->fail_at;
	return faults->calls == faults->fail_at;
}

static int
fault_errno(const struct faults *faults)
{
	return faults->mode == FAULT_ENOSPC || faults->mode == FAULT_DEAD_ENOSPC ? -ENOSPC : -EIO;
}

/* Half-done writes fail nothing but writes, lost flushes nothing but flushes. */
static bool
fault_plain(struct faults *faults)
{
	return fault_is_due(faults) && faults->mode <= FAULT_DEAD_ENOSPC;
}

static int
faulty_openat(void *world, int dir_fd, const char *path, int flags, mode_t mode)
{
	struct faults *faults = world;

	if (faults->full && (flags & O_EXCL))
		return -ENOSPC;
	if (fault_plain(faults))
		return fault_errno(faults);
	return faults->disk->openat(NULL, dir_fd, path, flags, mode);
}

static int
faulty_close(void *world, int fd)
{
	struct faults *faults = world;
	int closed = faults->disk->close(NULL, fd);

	if (fd == faults->last_fd)
		faults->last_len = 0;

	return fault_plain(faults) ? fault_errno(faults) : closed;
}

static ssize_t
faulty_pread(void *world, int fd, void *bytes, size_t len, off_t offset)
{
	return ((struct faults *)world)->disk->pread(NULL, fd, bytes, len, offset);
}

static size_t
pieces_len(const struct iovec *pieces, int count)
{
	size_t len = 0;

	for (int i = 0; i < count; i++)
		len += pieces[i].iov_len;
	return len;
}

static ssize_t
write_half(struct faults *faults, int fd, const struct iovec *pieces, int count, off_t offset)
{
	size_t left = pieces_len(pieces, count) / 2, done = 0;

	for (int i = 0; i < count && left > 0; i++) {
		struct iovec piece = pieces[i];
		if (piece.iov_len > left)
			piece.iov_len = left;
		ssize_t written = faults->disk->pwritev(NULL, fd, &piece, 1, offset + (off_t)done);
		ck_assert_int_eq(written, (ssize_t)piece.iov_len);
		done += piece.iov_len;
		left -= piece.iov_len;
	}
	return (ssize_t)done;
}

static ssize_t
faulty_pwritev(void *world, int fd, const struct iovec *pieces, int count, off_t offset)
{
	struct faults *faults = world;

	faults->last_fd = fd;
	faults->last_offset = offset;
	faults->last_len = pieces_len(pieces, count);
	if (!fault_is_due(faults) || faults->mode == FAULT_LOST)
		return faults->disk->pwritev(NULL, fd, pieces, count, offset);
	if (faults->mode == FAULT_SHORT || faults->mode == FAULT_HALF_EIO) {
		ssize_t half = write_half(faults, fd, pieces, count, offset);
		return faults->mode == FAULT_SHORT ? half : -EIO;
	}
	return fault_errno(faults);
}

static int
faulty_flush(struct faults *faults, int fd, int (*flush)(void *world, int fd))
{
	static uint8_t nothing[4096];

	if (faults->flushes_fail)
		return -EIO;
	if (fault_is_due(faults) && faults->mode != FAULT_SHORT && faults->mode != FAULT_HALF_EIO) {
		for (size_t at = 0; faults->mode == FAULT_LOST && fd == faults->last_fd &&
				    at < faults->last_len;
			at += sizeof nothing) {
			struct iovec piece = {nothing, sizeof nothing};
			faults->disk->pwritev(NULL, fd, &piece, 1, faults->last_offset + (off_t)at);
		}
		return fault_errno(faults);
	}
	return flush(NULL, fd);
}

static int
faulty_fdatasync(void *world, int fd)
{
	struct faults *faults = world;

	return faulty_flush(faults, fd, faults->disk->fdatasync);
}

static int
faulty_fsync(void *world, int fd)
{
	struct faults *faults = world;

	return faulty_flush(faults, fd, faults->disk->fsync);
}

static int
faulty_renameat(void *world, int old_fd, const char *old_name, int new_fd, const char *new_name)
{
	struct faults *faults = world;

	if (fault_plain(faults))
		return fault_errno(faults);
	return faults->disk->renameat(NULL, old_fd, old_name, new_fd, new_name);
}

static int
faulty_unlinkat(void *world, int dir_fd, const char *name, int flags)
{
	struct faults *faults = world;

	if (fault_plain(faults))
		return fault_errno(faults);
	return faults->disk->unlinkat(NULL, dir_fd, name, flags);
}

static int
faulty_fstat(void *world, int fd, struct stat *ret_stat)
{
	return ((struct faults *)world)->disk->fstat(NULL, fd, ret_stat);
}

static int
faulty_list(
	void *world, int dir_fd, bool (*each)(void *arg, const struct disk_entry *entry), void *arg)
{
	struct faults *faults = world;

	if (fault_plain(faults))
		return fault_errno(faults);
	return faults->disk->list(NULL, dir_fd, each, arg);
}

static int
faulty_lock(void *world, int fd)
{
	return ((struct faults *)world)->disk->lock(NULL, fd);
}

static const struct disk_ops faulty_disk = {
	.openat = faulty_openat,
	.close = faulty_close,
	.pread = faulty_pread,
	.pwritev = faulty_pwritev,
	.fdatasync = faulty_fdatasync,
	.fsync = faulty_fsync,
	.renameat = faulty_renameat,
	.unlinkat = faulty_unlinkat,
	.fstat = faulty_fstat,
	.list = faulty_list,
	.lock = faulty_lock,
};

static void
faulty_init(struct fixture *f, struct faults *faults)
{
	fixture_init(f);
	*faults = (struct faults){.disk = f->env.disk};
	f->env.disk = &faulty_disk;
	f->env.world = faults;
}

/* What is known of a message from the answers. */
enum knowledge { NEVER, LIVE, GONE, EITHER };

#define MODEL_IDS 64

struct model {
	enum knowledge message[MODEL_IDS];
	struct spool_reference reference[MODEL_IDS];
	uint32_t attempts[MODEL_IDS]; /* durable at least */
	uint32_t asked[MODEL_IDS];
	bool done_asked[MODEL_IDS];
	bool stop_at_error;
	bool stopped;
};

static void
model_add(struct fixture *f, struct model *model, uint64_t *ids, size_t count, size_t size)
{
	struct added added[4];

	if (model->stopped)
		return;
	ck_assert_uint_le(count, 4);
	for (size_t i = 0; i < count; i++) {
		if (try_add(f, ids[i], size, &added[i]) != OK) {
			memory_put(f->scratch, added[i].bytes);
			added[i].bytes = NULL;
			ids[i] = 0;
			continue;
		}
		model->reference[ids[i]] = added[i].message;
	}
	struct spool_commit answer = spool_commit(f->spool);
	model->stopped = model->stop_at_error && (answer.messages != OK || answer.results != OK);
	for (size_t i = 0; i < count; i++) {
		if (ids[i])
			model->message[ids[i]] = answer.messages == OK              ? LIVE
						 : answer.messages == ERROR_UNKNOWN ? EITHER
										    : NEVER;
		if (ids[i] && answer.messages != OK)
			ck_assert(answer.messages == ERROR_UNKNOWN || answer.messages == ERROR_IO ||
				  answer.messages == ERROR_NO_SPACE);
		memory_put(f->scratch, added[i].bytes);
	}
	for (size_t i = 0; i < MODEL_IDS && answer.results == OK; i++) {
		model->attempts[i] = model->asked[i];
		if (model->done_asked[i])
			model->message[i] = GONE;
	}
}

static void
model_defer(struct fixture *f, struct model *model, uint64_t id)
{
	if (model->message[id] != LIVE || model->done_asked[id])
		return;
	model->asked[id]++;
	add_result(f, &model->reference[id], SPOOL_DEFERRED, model->asked[id], 1);
}

static void
model_finish(struct fixture *f, struct model *model, uint64_t id)
{
	if (model->message[id] != LIVE || model->done_asked[id])
		return;
	add_result(f, &model->reference[id], SPOOL_DONE, 0, 0);
	model->done_asked[id] = true;
}

/* Enough to start segments, switch journals and remove segments. */
static void
run_commits(struct fixture *f, struct model *model)
{
	/* A segment that can't be opened is reported; its messages are back at the next start. */
	bool all = f->seen->count == 3;

	ck_assert(all || (f->seen->damage > 0 && f->seen->count == 0));
	for (uint64_t round = 0; round < 10; round++) {
		uint64_t ids[2] = {10 + round * 2, 11 + round * 2};
		model_add(f, model, ids, 2, 150000);
		for (uint64_t i = 0; i < 5 && all; i++)
			model_defer(f, model, 1 + i % 2);
		if (round >= 1)
			model_finish(f, model, 10 + (round - 1) * 2);
		if (round >= 2)
			model_finish(f, model, 11 + (round - 2) * 2);
		if (round % 3 == 2)
			while (!model->stopped && spool_prepare(f->spool))
				;
	}
	for (int i = 0; i < 8; i++) {
		if (all)
			model_defer(f, model, 1);
		model_add(f, model, NULL, 0, 0);
	}
}

static void
check_model(struct fixture *f, const struct model *model, const char *how, unsigned n)
{
	ck_assert_msg(f->seen->damage == 0, "%s, call %u: %s at %u: %s", how, n, f->seen->file,
		(unsigned)f->seen->offset, f->seen->what);
	for (uint64_t id = 1; id < MODEL_IDS; id++) {
		const struct seen_message *seen = find_seen(f, id);
		ck_assert_msg(!seen || model->message[id] != NEVER,
			"%s, call %u: %u was refused and is there", how, n, (unsigned)id);
		ck_assert_msg(!seen || model->message[id] != GONE,
			"%s, call %u: %u was done and is there", how, n, (unsigned)id);
		ck_assert_msg(seen || model->message[id] != LIVE || model->done_asked[id],
			"%s, call %u: %u is lost", how, n, (unsigned)id);
		if (!seen)
			continue;
		ck_assert_msg(message_is_whole(f, seen), "%s, call %u: %u is damaged", how, n,
			(unsigned)id);
		ck_assert_uint_ge(seen->attempts, model->attempts[id]);
		ck_assert_uint_le(seen->attempts, model->asked[id]);
	}
}

/* False once the fault lies beyond the last call. */
static bool
run_with_fault(enum fault_mode mode, unsigned n, const char *how)
{
	struct fixture f;
	struct faults faults;
	struct model model = {0};
	uint64_t first[3] = {1, 2, 3};

	faulty_init(&f, &faults);
	fixture_open(&f);
	model_add(&f, &model, first, 3, 1000);
	faults.calls = 0;
	faults.mode = mode;
	faults.fail_at = n;
	if (fixture_try_open(&f) == OK)
		run_commits(&f, &model);
	bool reached = faults.calls >= n;
	faults.fail_at = 0;
	/* The disk is well again: the same process goes on, */
	if (f.spool) {
		uint64_t id = 40;
		model_add(&f, &model, &id, 1, 1000);
		ck_assert_msg(model.message[40] == LIVE, "%s, call %u: no way on", how, n);
		ck_assert_uint_eq(f.spool->pending_results, 0);
	}
	/* and so does the next one. */
	fixture_open(&f);
	check_model(&f, &model, how, n);
	uint64_t id = 41;
	model_add(&f, &model, &id, 1, 1000);
	fixture_open(&f);
	check_model(&f, &model, how, n);
	ck_assert_ptr_nonnull(find_seen(&f, 41));
	f.env.disk = faults.disk;
	fixture_done(&f);
	return reached;
}

/* The same, but after the first commit that fails nothing is done but a restart. */
static bool
run_with_crash(enum fault_mode mode, unsigned n, const char *how)
{
	struct fixture f;
	struct faults faults;
	struct model model = {.stop_at_error = true};
	uint64_t first[3] = {1, 2, 3};

	faulty_init(&f, &faults);
	fixture_open(&f);
	model_add(&f, &model, first, 3, 1000);
	faults.calls = 0;
	faults.mode = mode;
	faults.fail_at = n;
	if (fixture_try_open(&f) == OK)
		run_commits(&f, &model);
	bool reached = faults.calls >= n;
	faults.fail_at = 0;
	for (int round = 0; round < 2; round++) {
		fixture_open(&f);
		check_model(&f, &model, how, n);
	}
	f.env.disk = faults.disk;
	fixture_done(&f);
	return reached;
}

static const char *const mode_names[FAULT_MODES] = {"EIO", "ENOSPC", "EIO from there on",
	"ENOSPC from there on", "short write", "half a write, then EIO", "failed flush, data lost"};

START_TEST(every_call_may_fail)
{
	unsigned n = 1;

	while (run_with_fault((enum fault_mode)_i, n, mode_names[_i]))
		n++;
	ck_assert_uint_gt(n, 100);
}
END_TEST

START_TEST(every_call_may_be_the_last)
{
	unsigned n = 1;

	while (run_with_crash((enum fault_mode)_i, n, mode_names[_i]))
		n++;
	ck_assert_uint_gt(n, 100);
}
END_TEST

START_TEST(a_full_disk_refuses_mail_and_takes_results)
{
	struct fixture f;
	struct faults faults;
	struct added a, b;

	faulty_init(&f, &faults);
	fixture_open(&f);
	a = put(&f, 1, 500000);
	faults.full = true;
	struct spool_commit answer = add_and_commit(&f, 2, 700000, &b);
	ck_assert_int_eq(answer.messages, ERROR_NO_SPACE);
	ck_assert_int_eq(answer.results, OK);
	add_result(&f, &a.message, SPOOL_DEFERRED, 3, 4);
	answer = add_and_commit(&f, 3, 700000, &b);
	ck_assert_int_eq(answer.messages, ERROR_NO_SPACE);
	ck_assert_int_eq(answer.results, OK);
	ck_assert(!spool_prepare(f.spool));
	faults.full = false;
	put(&f, 4, 700000);
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->count, 2);
	ck_assert_uint_eq(find_seen(&f, 1)->attempts, 3);
	ck_assert_ptr_nonnull(find_seen(&f, 4));
	f.env.disk = faults.disk;
	fixture_done(&f);
}
END_TEST

/* A journal was kept ready: the queue is listed and works, and what it finishes makes room. */
START_TEST(a_restart_on_a_full_disk_goes_on)
{
	struct fixture f;
	struct faults faults;
	struct added a, b;

	faulty_init(&f, &faults);
	fixture_open(&f);
	a = put(&f, 1, 500000);
	put(&f, 2, 10);
	for (int round = 0; round < 3; round++) {
		while (spool_prepare(f.spool))
			continue;
		faults.full = true;
		fixture_open(&f);
		ck_assert_uint_eq(f.seen->damage, 0);
		ck_assert_uint_eq(f.seen->count, round == 2 ? 1 : 2);
		ck_assert_uint_eq(count_files(&f).journals, 1);
		ck_assert_uint_eq(count_files(&f).others, 1);
		if (round == 0)
			add_result(&f, &a.message, SPOOL_DEFERRED, 3, 4);
		if (round == 1)
			add_result(&f, &a.message, SPOOL_DONE, 0, 0);
		commit_ok(&f);
		struct spool_commit answer = add_and_commit(&f, 3, 700000, &b);
		ck_assert_int_eq(answer.messages, ERROR_NO_SPACE);
		faults.full = false;
		f.spool->retry_space_at = f.spool->retry_fill_at = 0;
	}
	/* Without one it says so, and the next start is as good as any. */
	faults.full = true;
	ck_assert_int_eq(fixture_try_open(&f), ERROR_NO_SPACE);
	faults.full = false;
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->count, 1);
	put(&f, 4, 700000);
	f.env.disk = faults.disk;
	fixture_done(&f);
}
END_TEST

START_TEST(two_failed_flushes_leave_the_outcome_open)
{
	struct fixture f;
	struct faults faults;
	struct added added;

	faulty_init(&f, &faults);
	fixture_open(&f);
	struct spool_reference first = put(&f, 1, 10).message;
	uint32_t segment = first.segment, journal = f.spool->journal.header.number;
	faults.flushes_fail = true;
	add_result(&f, &first, SPOOL_DEFERRED, 9, 9);
	struct spool_commit answer = add_and_commit(&f, 2, 10, &added);
	ck_assert_int_eq(answer.messages, ERROR_UNKNOWN);
	ck_assert_int_eq(answer.results, ERROR_IO);
	/* Now nothing is written before a new journal stands. */
	answer = add_and_commit(&f, 3, 10, &added);
	ck_assert_int_eq(answer.messages, ERROR_IO);
	ck_assert_int_eq(answer.results, ERROR_IO);
	faults.flushes_fail = false;
	answer = add_and_commit(&f, 4, 10, &added);
	ck_assert_int_eq(answer.messages, OK);
	ck_assert_int_eq(answer.results, OK);
	ck_assert_uint_ne(added.message.segment, segment);
	/* What failed is not written to again. */
	ck_assert_uint_ne(f.spool->journal.header.number, journal);
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->damage, 0);
	ck_assert_uint_eq(f.seen->count, 2);
	ck_assert_uint_eq(find_seen(&f, 1)->attempts, 9);
	ck_assert_ptr_nonnull(find_seen(&f, 4));
	f.env.disk = faults.disk;
	fixture_done(&f);
}
END_TEST

/* Recovery and commits with little memory: an error or the whole, nothing between. */
START_TEST(memory_may_run_out)
{
	struct fixture f;
	struct memory *plenty;
	bool whole = false;

	fixture_init(&f);
	fixture_open(&f);
	for (uint64_t id = 1; id <= 100; id++)
		put(&f, id, 10);
	spool_close(&f.spool);
	plenty = f.env.memory;
	for (size_t limit = 8192; !whole; limit += limit / 16) {
		f.env.memory = memory_new(limit);
		enum error error = fixture_try_open(&f);
		ck_assert(error == OK || error == ERROR_NO_MEMORY);
		if (error == OK) {
			struct added added;
			ck_assert_uint_eq(f.seen->count, 100);
			struct buffer hog;
			buffer_init(&hog, f.env.memory, SIZE_MAX);
			while (buffer_reserve(&hog, 64))
				;
			error = try_add(&f, 500, 10, &added);
			ck_assert(error == OK || error == ERROR_NO_MEMORY);
			struct spool_commit answer = spool_commit(f.spool);
			memory_put(f.scratch, added.bytes);
			whole = error == OK && answer.messages == OK;
			buffer_done(&hog);
		}
		ck_assert(error == OK || error == ERROR_NO_MEMORY);
		spool_close(&f.spool);
		ck_assert_uint_eq(memory_used(f.env.memory), 0);
		memory_free(&f.env.memory);
	}
	f.env.memory = plenty;
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->count, 101);
	fixture_done(&f);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("spool/fault");
	TCase *loops = tcase_create("loops"), *others = tcase_create("others");

	tcase_set_timeout(loops, 100);
	tcase_set_timeout(others, 60);
	tcase_add_loop_test(loops, every_call_may_fail, 0, FAULT_MODES);
	tcase_add_loop_test(loops, every_call_may_be_the_last, 0, FAULT_MODES);
	tcase_add_test(others, a_full_disk_refuses_mail_and_takes_results);
	tcase_add_test(others, a_restart_on_a_full_disk_goes_on);
	tcase_add_test(others, two_failed_flushes_leave_the_outcome_open);
	tcase_add_test(others, memory_may_run_out);
	suite_add_tcase(suite, loops);
	suite_add_tcase(suite, others);
	SRunner *runner = srunner_create(suite);
	srunner_set_tap(runner, "-");
	srunner_run_all(runner, CK_SILENT);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
