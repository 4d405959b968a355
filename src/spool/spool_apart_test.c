/* Contents with files of their own on a disk where one call fails, for every call: what was
 * refused leaves nothing, what was answered is whole, and the next one is taken. */
#include "unit.h"

#include "spool/spool_test.h"

#define HEAD_BYTES  65536
#define APART_BYTES 300000

/* `world` of the disk below. */
struct faults {
	const struct disk_ops *disk;
	unsigned calls;
	unsigned fail_at; /* 0: never */
	int error;        /* 0: a write does the half of it */
};

static int
fault_of(void *world)
{
	struct faults *faults = world;

	return ++faults->calls == faults->fail_at ? faults->error : 0;
}

static int
faulty_openat(void *world, int dir_fd, const char *path, int flags, mode_t mode)
{
	int error = fault_of(world);

	return error ? error
		     : ((struct faults *)world)->disk->openat(NULL, dir_fd, path, flags, mode);
}

static ssize_t
faulty_pread(void *world, int fd, void *bytes, size_t len, off_t offset)
{
	int error = fault_of(world);

	return error ? error : ((struct faults *)world)->disk->pread(NULL, fd, bytes, len, offset);
}

static ssize_t
faulty_pwritev(void *world, int fd, const struct iovec *pieces, int count, off_t offset)
{
	struct faults *faults = world;
	int error = fault_of(world);
	struct iovec half = {pieces[0].iov_base, (pieces[0].iov_len + 1) / 2};

	if (error)
		return error;
	return faults->calls == faults->fail_at
		       ? faults->disk->pwritev(NULL, fd, &half, 1, offset)
		       : faults->disk->pwritev(NULL, fd, pieces, count, offset);
}

static int
faulty_fdatasync(void *world, int fd)
{
	int error = fault_of(world);

	return error ? error : ((struct faults *)world)->disk->fdatasync(NULL, fd);
}

static int
faulty_fsync(void *world, int fd)
{
	int error = fault_of(world);

	return error ? error : ((struct faults *)world)->disk->fsync(NULL, fd);
}

static int
faulty_unlinkat(void *world, int dir_fd, const char *name, int flags)
{
	int error = fault_of(world);

	return error ? error : ((struct faults *)world)->disk->unlinkat(NULL, dir_fd, name, flags);
}

static enum error
write_apart(struct fixture *f, struct spool_apart *apart, uint64_t queue_id, uint8_t *bytes)
{
	struct iovec head = {bytes, HEAD_BYTES};
	struct iovec rest[2] = {{bytes + HEAD_BYTES, 100000},
		{bytes + HEAD_BYTES + 100000, APART_BYTES - HEAD_BYTES - 100000}};

	enum error error = spool_apart_create(&f->env, f->dir_fd, apart);
	if (error == OK)
		error = spool_apart_write(&f->env, apart, rest, 2, HEAD_BYTES);
	if (error == OK)
		error = spool_apart_write(&f->env, apart, &head, 1, 0);
	return error == OK ? spool_apart_finish(&f->env, f->dir_fd, apart, queue_id, 5) : error;
}

/* As the queue does. OK: durable; ERROR_UNKNOWN: perhaps. */
static enum error
put_apart(struct fixture *f, uint64_t queue_id, uint32_t *ret_number)
{
	uint8_t *bytes = memory_get(f->scratch, APART_BYTES + ENVELOPE_BYTES);
	struct spool_reference message, content;
	struct spool_apart apart;

	make_bytes(bytes, APART_BYTES, queue_id);
	make_bytes(bytes + APART_BYTES, ENVELOPE_BYTES, queue_id + 1);
	ck_assert_ok(spool_apart_begin(f->spool, &apart));
	*ret_number = apart.number;
	enum error error = write_apart(f, &apart, queue_id, bytes);
	if (error == OK)
		error = spool_add_apart(f->spool, &apart,
			slice_of(bytes + APART_BYTES, ENVELOPE_BYTES), &message, &content);
	if (error == OK) {
		spool_apart_close(&f->env, &apart);
		error = spool_commit(f->spool).messages;
	} else {
		spool_apart_drop(&f->env, f->dir_fd, &apart);
	}
	memory_put(f->scratch, bytes);
	return error;
}

static bool
is_there(const struct fixture *f, uint32_t number)
{
	char name[LOGFILE_NAME_BYTES];

	logfile_name(LOGFILE_SEGMENT, number, name);
	return faccessat(f->dir_fd, name, F_OK, 0) == 0;
}

static bool
reads_as(
	struct fixture *f, const struct spool_reference *reference, const uint8_t *want, size_t len)
{
	struct buffer bytes;
	int fd;

	if (spool_open_segment(&f->env, f->dir_fd, reference->segment, &fd) != OK)
		return false;
	buffer_init(&bytes, f->env.memory, SIZE_MAX);
	bool ok = spool_read_record(&f->env, fd, reference, &bytes) == OK && bytes.len == len &&
		  memcmp(want, bytes.ptr, bytes.len) == 0;
	buffer_done(&bytes);
	close(fd);
	return ok;
}

static bool
apart_is_whole(struct fixture *f, const struct seen_message *seen)
{
	uint8_t *want = memory_get(f->scratch, APART_BYTES + ENVELOPE_BYTES);

	make_bytes(want, APART_BYTES, seen->message.queue_id);
	make_bytes(want + APART_BYTES, ENVELOPE_BYTES, seen->message.queue_id + 1);
	bool ok = seen->content.size == APART_BYTES &&
		  reads_as(f, &seen->content, want, APART_BYTES) &&
		  reads_as(f, &seen->message, want + APART_BYTES, ENVELOPE_BYTES);
	memory_put(f->scratch, want);
	return ok;
}

/* False once the fault lies beyond the last call. */
static bool
run_with_fault(int error, unsigned n)
{
	struct fixture f;
	uint32_t number, unused;

	fixture_init(&f);
	struct faults faults = {.disk = f.env.disk, .error = error};
	struct disk_ops disk = *f.env.disk;
	disk.openat = faulty_openat;
	disk.pread = faulty_pread;
	disk.pwritev = faulty_pwritev;
	disk.fdatasync = faulty_fdatasync;
	disk.fsync = faulty_fsync;
	disk.unlinkat = faulty_unlinkat;
	f.env.disk = &disk;
	f.env.world = &faults;
	fixture_open(&f);
	put(&f, 1, 1000);
	faults.calls = 0;
	faults.fail_at = n;
	enum error answer = put_apart(&f, 10, &number);
	bool reached = faults.calls >= n;
	faults.fail_at = 0;
	put(&f, 11, 1000);
	ck_assert_msg(put_apart(&f, 12, &unused) == OK, "call %u: no way on", n);
	for (int round = 0; round < 2; round++) {
		fixture_open(&f);
		ck_assert_msg(
			f.seen->damage == 0, "call %u: %s: %s", n, f.seen->file, f.seen->what);
		const struct seen_message *seen = find_seen(&f, 10);
		ck_assert_msg(seen || answer != OK, "call %u: it is lost", n);
		ck_assert_msg(!seen || answer == OK || answer == ERROR_UNKNOWN,
			"call %u: refused, and there", n);
		ck_assert_msg(!seen || apart_is_whole(&f, seen), "call %u: damaged", n);
		ck_assert(find_seen(&f, 1) && find_seen(&f, 11));
		ck_assert(apart_is_whole(&f, find_seen(&f, 12)));
		ck_assert_msg(seen || !is_there(&f, number), "call %u: its file stays", n);
	}
	f.env.disk = faults.disk;
	fixture_done(&f);
	return reached;
}

START_TEST(every_call_may_fail)
{
	static const int errors[] = {-EIO, -ENOSPC, 0};
	unsigned n = 1;

	while (run_with_fault(errors[_i], n))
		n++;
	ck_assert_uint_gt(n, 12);
}
END_TEST

/* What nobody names is gone after a start, whatever state it was left in. */
START_TEST(what_no_message_names_goes)
{
	struct fixture f;
	struct spool_apart apart[3];
	uint8_t *bytes;
	uint32_t number;

	fixture_init(&f);
	bytes = memory_get(f.scratch, APART_BYTES);
	fixture_open(&f);
	put(&f, 1, 1000);
	for (size_t i = 0; i < 3; i++)
		ck_assert_ok(spool_apart_begin(f.spool, &apart[i]));
	ck_assert_ok(spool_apart_create(&f.env, f.dir_fd, &apart[0]));
	ck_assert_ok(spool_apart_create(&f.env, f.dir_fd, &apart[1]));
	ck_assert_ok(spool_apart_write(
		&f.env, &apart[1], &(struct iovec){bytes, HEAD_BYTES}, 1, HEAD_BYTES));
	ck_assert_ok(write_apart(&f, &apart[2], 20, bytes));
	for (size_t i = 0; i < 3; i++)
		spool_apart_close(&f.env, &apart[i]);
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->damage, 0);
	ck_assert_uint_eq(f.seen->count, 1);
	put(&f, 2, 1000);
	for (size_t i = 0; i < 3; i++)
		ck_assert(!is_there(&f, apart[i].number));
	ck_assert_ok(put_apart(&f, 30, &number)); /* their numbers stand in nobody's way */
	memory_put(f.scratch, bytes);
	fixture_done(&f);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("spool/apart");
	TCase *loops = tcase_create("loops");

	tcase_set_timeout(loops, 100);
	tcase_add_loop_test(loops, every_call_may_fail, 0, 3);
	tcase_add_test(loops, what_no_message_names_goes);
	suite_add_tcase(suite, loops);
	SRunner *runner = srunner_create(suite);
	srunner_set_tap(runner, "-");
	srunner_run_all(runner, CK_SILENT);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
