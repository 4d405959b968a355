/* The file of quotas: written by turns, torn, damaged, on a disk that fails. */
#include "guard/quota_file.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define NOW INT64_C(1795455235000000)

static struct env env;
static struct conf_limits limits;
static char path[] = "/tmp/veredus-quotas-XXXXXX";

static void
start(void)
{
	env_init_linux(&env);
	limits = (struct conf_limits){.login = {[CONF_LOGIN_RECIPIENTS_DAY] = 10}};
	memcpy(strrchr(path, '-'), "-XXXXXX", 7);
	int fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

static void
end(void)
{
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_uint_eq(memory_used(env.memory), 0);
	env_done(&env);
}

static enum error
open_file(struct quota_file *file, struct quotas **ret_quotas)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	*ret_quotas = quotas_new(&env, &limits);
	return quota_file_open(file, &env, fd, *ret_quotas);
}

static unsigned
send_some(struct quotas *quotas, unsigned count)
{
	struct ipc_quota_ask ask = {.step = QUOTA_RECIPIENT,
		.login = SLICE("alice@a.test"),
		.recipient = SLICE("bob@b.test")};
	unsigned granted = 0;

	for (unsigned i = 0; i < count; i++)
		granted += !quotas_judge(quotas, 0, &ask, NOW).is_refused;
	return granted;
}

/* How many of ten are still granted after a start, which says this. */
static unsigned
left_after_start(enum error expected)
{
	struct quota_file file;
	struct quotas *quotas;

	ck_assert_int_eq(open_file(&file, &quotas), expected);
	unsigned left = send_some(quotas, 20);
	quota_file_close(&file);
	quotas_free(&quotas);
	return left;
}

/* Three snapshots: of 3, of 5, of 9 recipients; the first one's place has the last. */
static void
write_three(void)
{
	static const unsigned more[] = {3, 2, 4};
	struct quota_file file;
	struct quotas *quotas;

	ck_assert_ok(open_file(&file, &quotas));
	for (size_t i = 0; i < 3; i++) {
		send_some(quotas, more[i]);
		ck_assert_ok(quota_file_write(&file, quotas));
	}
	quota_file_close(&file);
	quotas_free(&quotas);
}

static void
damage(off_t at)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	char octet;

	ck_assert_int_eq(pread(fd, &octet, 1, at), 1);
	octet = (char)(octet ^ 0x10);
	ck_assert_int_eq(pwrite(fd, &octet, 1, at), 1);
	close(fd);
}

START_TEST(the_youngest_counts)
{
	start();
	ck_assert_uint_eq(left_after_start(OK), 10); /* an empty file is no fault */
	write_three();
	ck_assert_uint_eq(left_after_start(OK), 1);
	end();
}
END_TEST

START_TEST(a_torn_one_leaves_the_one_before)
{
	start();
	write_three();
	damage(QUOTA_PLACE_BYTES + QUOTA_PLACE_HEAD + 40);
	ck_assert_uint_eq(left_after_start(OK), 5);
	damage(QUOTA_PLACE_BYTES + 9);
	damage(8); /* and its version */
	ck_assert_uint_eq(left_after_start(ERROR_FORMAT), 10);
	end();
}
END_TEST

START_TEST(a_file_cut_anywhere_is_none)
{
	start();
	write_three();
	ck_assert_int_eq(truncate(path, QUOTA_PLACE_BYTES + 100), 0);
	ck_assert_uint_eq(left_after_start(OK), 5);
	ck_assert_int_eq(truncate(path, 20), 0);
	ck_assert_uint_eq(left_after_start(ERROR_FORMAT), 10);
	ck_assert_int_eq(truncate(path, 0), 0);
	ck_assert_uint_eq(left_after_start(OK), 10);
	end();
}
END_TEST

static ssize_t
no_write(void *world, int fd, const struct iovec *pieces, int count, off_t offset)
{
	(void)world, (void)fd, (void)pieces, (void)count, (void)offset;
	return -ENOSPC;
}

START_TEST(a_full_disk_is_said)
{
	struct quota_file file;
	struct quotas *quotas;

	start();
	write_three();
	struct disk_ops disk = *env.disk;
	disk.pwritev = no_write;
	env.disk = &disk;
	ck_assert_ok(open_file(&file, &quotas));
	ck_assert_int_eq(quota_file_write(&file, quotas), ERROR_NO_SPACE);
	quota_file_close(&file);
	quotas_free(&quotas);
	ck_assert_uint_eq(left_after_start(OK), 1);
	end();
}
END_TEST

UNIT_MAIN("guard/quota_file", the_youngest_counts, a_torn_one_leaves_the_one_before,
	a_file_cut_anywhere_is_none, a_full_disk_is_said)
