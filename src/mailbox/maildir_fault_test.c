/*
 * Every disk call of a batch fails in turn, alone or with all that follow, and short reads and
 * writes; and the order of calls. After each: whole messages or none in new/, the results say what
 * is there, and the next attempt delivers each message once.
 */
#include "maildir_fixture.h"

#define COUNT_MAX 12
#define FOLDERS   3
#define CALLS_MAX 400 /* more than any batch here makes */

struct load {
	struct maildir_delivery deliveries[COUNT_MAX];
	char bodies[COUNT_MAX][200];
	char wholes[COUNT_MAX][200];
	size_t count;
};

static const char *const folders[FOLDERS] = {"a.example/jo", "a.example/flo", "b.example/jo"};

static void
load_fill(struct load *load, size_t count)
{
	load->count = count;
	for (size_t i = 0; i < count; i++) {
		snprintf(load->bodies[i], sizeof load->bodies[i], "message %zu\r\n%.*s\r\nend\r\n",
			i, (int)i, "------------------------");
		snprintf(load->wholes[i], sizeof load->wholes[i], "X: y\nmessage %zu\n%.*s\nend\n",
			i, (int)i, "------------------------");
		load->deliveries[i] = (struct maildir_delivery){
			.path = slice_text(folders[i % FOLDERS]),
			.queue_id = 1000 + i,
			.recipient = (uint32_t)i,
			.received_at = INT64_C(1795600000123456),
			.head = SLICE("X: y\r\n"),
			.content = {.fd = -1, .bytes = slice_text(load->bodies[i])},
		};
	}
}

/* How many files of new/ belong to delivery i; each must be whole. */
static int
files_of(struct fixture *fixture, const struct load *load, size_t i)
{
	struct buffer bytes;
	char folder[100], start[64], path[400];
	struct dirent *entry;
	int count = 0;

	snprintf(folder, sizeof folder, "%s/new", folders[i % FOLDERS]);
	snprintf(start, sizeof start, "R%zu.", i);
	int fd = openat(fixture->root_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	buffer_init(&bytes, fixture->env.memory, 1000);
	DIR *dir = fdopendir(fd);
	while ((entry = readdir(dir)) != NULL) {
		if (!strstr(entry->d_name, start))
			continue;
		snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		fixture_read(fixture, path, &bytes);
		ck_assert_slice_eq(buffer_slice(&bytes), load->wholes[i]);
		count++;
	}
	closedir(dir);
	buffer_done(&bytes);
	return count;
}

static void
load_reset(struct fixture *fixture, bool folders_exist)
{
	static struct load load;

	fixture_arm(fixture, FAULT_NONE, 0, 0);
	fixture_remove_tree(fixture->root_fd, "a.example");
	fixture_remove_tree(fixture->root_fd, "b.example");
	memset(fixture->maildir.volumes, 0, sizeof fixture->maildir.volumes);
	if (!folders_exist)
		return;
	load_fill(&load, FOLDERS);
	maildir_deliver_batch(&fixture->maildir, load.deliveries, load.count);
	for (size_t i = 0; i < load.count; i++) {
		char path[400];
		ck_assert_int_eq(load.deliveries[i].result.status, MAILDIR_DELIVERED);
		snprintf(
			path, sizeof path, "%s/%.260s", folders[i], load.deliveries[i].result.path);
		ck_assert_int_eq(unlinkat(fixture->root_fd, path, 0), 0);
	}
}

/* The next attempt, on a healthy disk, delivers all, each once. */
static void
check_recovers(struct fixture *fixture, struct load *load)
{
	fixture_arm(fixture, FAULT_NONE, 0, 0);
	for (size_t i = 0; i < load->count; i++)
		load->deliveries[i].first_attempt = false;
	maildir_deliver_batch(&fixture->maildir, load->deliveries, load->count);
	for (size_t i = 0; i < load->count; i++) {
		ck_assert_int_eq(load->deliveries[i].result.status, MAILDIR_DELIVERED);
		ck_assert_int_eq(files_of(fixture, load, i), 1);
	}
	for (size_t i = 0; i < FOLDERS; i++) {
		char tmp[100];
		snprintf(tmp, sizeof tmp, "%s/tmp", folders[i]);
		ck_assert_int_le(fixture_count(fixture, tmp, NULL), 0);
	}
}

static int
failures_of(
	struct fixture *fixture, const struct load *load, enum fixture_fault fault, int fault_errno)
{
	int failures = 0;

	for (size_t i = 0; i < load->count; i++) {
		const struct maildir_result *result = &load->deliveries[i].result;
		int files = files_of(fixture, load, i);
		if (result->status == MAILDIR_DELIVERED) {
			ck_assert_int_eq(files, 1);
			continue;
		}
		failures++;
		ck_assert_int_eq(result->status, MAILDIR_TEMPORARY);
		ck_assert_uint_eq(result->enhanced.class, 4);
		ck_assert_ptr_nonnull(result->stage);
		ck_assert_int_eq(result->path[0], 0);
		if (fault == FAULT_ONCE || fault == FAULT_FROM)
			ck_assert_int_eq(result->error, error_from_errno(fault_errno));
		/* Alone, a failure is always cleared away; a dead disk may keep a whole file that
		 * is found later. */
		ck_assert_int_le(files, fault == FAULT_FROM);
	}
	return failures;
}

/*
 * Fails call after call of the same batch until one run has no fault left. With existing folders a
 * single failure may touch the deliveries into one Maildir only.
 */
static void
fail_each_call(struct fixture *fixture, size_t count, bool folders_exist, bool first,
	enum fixture_fault fault, int fault_errno)
{
	static struct load load;
	size_t n;

	for (n = 1; n < CALLS_MAX; n++) {
		load_reset(fixture, folders_exist);
		load_fill(&load, count);
		for (size_t i = 0; i < count; i++)
			load.deliveries[i].first_attempt = first;
		fixture_arm(fixture, fault, n, fault_errno);
		maildir_deliver_batch(&fixture->maildir, load.deliveries, count);
		bool hit = fault == FAULT_FROM ? fixture->call_count >= n
					       : fixture->fault == FAULT_NONE;
		fixture->fault = FAULT_NONE;
		ck_assert_int_eq(fixture->open_count, 0);
		int failures = failures_of(fixture, &load, fault, fault_errno);
		if (!hit)
			ck_assert_int_eq(failures, 0);
		if (fault == FAULT_SHORT)
			ck_assert_int_eq(failures, 0);
		if (fault == FAULT_ONCE && folders_exist)
			ck_assert_int_le(failures, (int)((count + FOLDERS - 1) / FOLDERS));
		check_recovers(fixture, &load);
		if (!hit)
			break;
	}
	ck_assert_uint_lt(n, CALLS_MAX);
	ck_assert_uint_gt(n, count * 4);
}

START_TEST(each_call_fails_alone)
{
	static const int errnos[] = {ENOSPC, EACCES, EMFILE};
	struct fixture *fixture = fixture_new();

	for (size_t i = 0; i < sizeof errnos / sizeof *errnos; i++) {
		fail_each_call(fixture, COUNT_MAX, true, true, FAULT_ONCE, errnos[i]);
		fail_each_call(fixture, 5, true, false, FAULT_ONCE, errnos[i]);
	}
	fixture_free(fixture);
}
END_TEST

START_TEST(each_call_fails_alone_in_new_folders)
{
	struct fixture *fixture = fixture_new();

	fail_each_call(fixture, COUNT_MAX, false, true, FAULT_ONCE, EIO);
	fail_each_call(fixture, 5, false, false, FAULT_ONCE, ENOSPC);
	fixture_free(fixture);
}
END_TEST

START_TEST(disk_dies_at_each_call)
{
	struct fixture *fixture = fixture_new();

	fail_each_call(fixture, COUNT_MAX, true, true, FAULT_FROM, EIO);
	fail_each_call(fixture, 5, true, false, FAULT_FROM, EIO);
	fail_each_call(fixture, COUNT_MAX, false, false, FAULT_FROM, ENOSPC);
	fixture_free(fixture);
}
END_TEST

START_TEST(short_reads_and_writes)
{
	struct fixture *fixture = fixture_new();

	fail_each_call(fixture, 5, true, true, FAULT_SHORT, 0);
	fail_each_call(fixture, 5, true, true, FAULT_ZERO, 0);
	fixture_free(fixture);
}
END_TEST

START_TEST(content_reads_fail_each)
{
	struct fixture *fixture = fixture_new();
	struct buffer content;
	bool hit = true;

	buffer_init(&content, fixture->env.memory, 1 << 20);
	for (int i = 0; i < 30000; i++)
		buffer_append_text(&content, "line\r\n");
	fixture_write(fixture, "content", buffer_slice(&content));
	int fd = openat(fixture->root_fd, "content", O_RDONLY | O_CLOEXEC);
	for (int kind = 0; kind < 3; kind++) {
		const enum fixture_fault faults[] = {FAULT_ONCE, FAULT_ZERO, FAULT_SHORT};
		for (size_t n = 1; n < 60; n++) {
			static struct load load;
			load_reset(fixture, true);
			load_fill(&load, 1);
			load.deliveries[0].content = (struct maildir_content){
				.fd = fd, .offset = 6, .size = content.len - 6};
			fixture_arm(fixture, faults[kind], n, EIO);
			maildir_deliver_batch(&fixture->maildir, load.deliveries, 1);
			hit = fixture->fault == FAULT_NONE;
			fixture->fault = FAULT_NONE;
			bool delivered = load.deliveries[0].result.status == MAILDIR_DELIVERED;
			ck_assert_int_eq(
				fixture_count(fixture, "a.example/jo/new", NULL), delivered);
			ck_assert_int_eq(fixture_count(fixture, "a.example/jo/tmp", NULL), 0);
			if (delivered)
				ck_assert(strstr(load.deliveries[0].result.path, ",S=150000") !=
					  NULL);
			ck_assert(delivered || kind < 2);
			if (!hit)
				break;
		}
		ck_assert(!hit);
	}
	close(fd);
	fixture_free(fixture);
}
END_TEST

START_TEST(codes_of_errors)
{
	static const struct {
		int fault_errno;
		enum maildir_status status;
		const char *enhanced;
	} codes[] = {
		{ENOSPC, MAILDIR_TEMPORARY, "4.2.2"},
		{EDQUOT, MAILDIR_TEMPORARY, "4.2.2"},
		{EACCES, MAILDIR_TEMPORARY, "4.3.5"},
		{EROFS, MAILDIR_TEMPORARY, "4.3.5"},
		{EIO, MAILDIR_TEMPORARY, "4.3.0"},
		{EMFILE, MAILDIR_TEMPORARY, "4.3.0"},
		{ENOMEM, MAILDIR_TEMPORARY, "4.3.0"},
		{EFBIG, MAILDIR_PERMANENT, "5.3.4"},
	};
	struct fixture *fixture = fixture_new();

	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		static struct load load;
		size_t n = 0;
		load_reset(fixture, true);
		load_fill(&load, 1);
		/* The first write of the file. */
		fixture_arm(fixture, FAULT_NONE, 0, 0);
		maildir_deliver_batch(&fixture->maildir, load.deliveries, 1);
		while (fixture->calls[n++].op != OP_WRITE)
			;
		load_reset(fixture, true);
		fixture_arm(fixture, FAULT_ONCE, n, codes[i].fault_errno);
		maildir_deliver_batch(&fixture->maildir, load.deliveries, 1);
		ck_assert_int_eq(load.deliveries[0].result.status, codes[i].status);
		char printed[ENHANCED_STATUS_BYTES];
		ck_assert_slice_eq(
			enhanced_status_print(load.deliveries[0].result.enhanced, printed),
			codes[i].enhanced);
		ck_assert_str_eq(load.deliveries[0].result.stage, "write");
	}
	fixture_free(fixture);
}
END_TEST

/* Whether a flush that covers this path came in calls [from, to). */
static bool
flushed_between(const struct fixture *fixture, const char *path, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		const struct fixture_call *call = &fixture->calls[i];
		if (call->op == OP_SYNCFS ||
			(call->op == OP_FSYNC && strcmp(call->path, path) == 0))
			return true;
	}
	return false;
}

static void
parent_of(const char *path, char ret_parent[FIXTURE_PATH])
{
	const char *slash = strrchr(path, '/');

	snprintf(ret_parent, FIXTURE_PATH, "%.*s", (int)(slash - path), path);
}

/* The order that the promises rest on, checked on all recorded calls. */
static void
check_order(const struct fixture *fixture, size_t expected_renames)
{
	size_t renames = 0;
	char parent[FIXTURE_PATH], above[FIXTURE_PATH];

	for (size_t i = 0; i < fixture->call_count; i++) {
		const struct fixture_call *call = &fixture->calls[i];
		size_t written = 0;
		if (call->op == OP_MKDIR && strcmp(strrchr(call->path, '/'), "/tmp") == 0) {
			/* All that leads to a Maildir is flushed before it gets its tmp/. */
			parent_of(call->path, parent);
			for (size_t k = 0; k < i; k++) {
				parent_of(fixture->calls[k].path, above);
				if (fixture->calls[k].op == OP_MKDIR &&
					strncmp(parent, above, strlen(above)) == 0)
					ck_assert(flushed_between(fixture, above, k, i));
			}
		}
		if (call->op != OP_RENAME)
			continue;
		for (size_t k = 0; k < i; k++) {
			if (fixture->calls[k].op == OP_WRITE &&
				strcmp(fixture->calls[k].path, call->path) == 0)
				written = k;
		}
		ck_assert_uint_gt(written, 0);
		ck_assert(flushed_between(fixture, call->path, written, i));
		parent_of(call->new_path, parent);
		ck_assert(flushed_between(fixture, parent, i, fixture->call_count));
		renames++;
	}
	ck_assert_uint_eq(renames, expected_renames);
}

START_TEST(order_of_calls)
{
	struct fixture *fixture = fixture_new();

	for (size_t count = 1; count <= COUNT_MAX; count++) {
		for (int folders_exist = 0; folders_exist < 2; folders_exist++) {
			static struct load load;
			load_reset(fixture, folders_exist);
			load_fill(&load, count);
			fixture_arm(fixture, FAULT_NONE, 0, 0);
			maildir_deliver_batch(&fixture->maildir, load.deliveries, count);
			check_order(fixture, count);
		}
	}
	fixture_free(fixture);
}
END_TEST

/* A syncfs that fails is no verdict on anybody: each file and folder is asked alone. */
START_TEST(failed_syncfs_falls_back)
{
	struct fixture *fixture = fixture_new();
	static struct load load;
	size_t syncfs_at[2] = {0}, at = 0;

	load_reset(fixture, true);
	load_fill(&load, COUNT_MAX);
	fixture_arm(fixture, FAULT_NONE, 0, 0);
	maildir_deliver_batch(&fixture->maildir, load.deliveries, COUNT_MAX);
	for (size_t i = 0; i < fixture->call_count && at < 2; i++) {
		if (fixture->calls[i].op == OP_SYNCFS)
			syncfs_at[at++] = i + 1;
	}
	ck_assert_uint_eq(at, 1); /* three folders are too few for the second */
	load_reset(fixture, true);
	load_fill(&load, COUNT_MAX);
	fixture_arm(fixture, FAULT_ONCE, syncfs_at[0], EIO);
	maildir_deliver_batch(&fixture->maildir, load.deliveries, COUNT_MAX);
	size_t fsyncs = 0;
	for (size_t i = syncfs_at[0]; i < fixture->call_count; i++)
		fsyncs += fixture->calls[i].op == OP_FSYNC;
	ck_assert_uint_eq(fsyncs, COUNT_MAX + FOLDERS);
	for (size_t i = 0; i < COUNT_MAX; i++)
		ck_assert_int_eq(load.deliveries[i].result.status, MAILDIR_DELIVERED);
	fixture_free(fixture);
}
END_TEST

UNIT_MAIN("mailbox/maildir_fault", each_call_fails_alone, each_call_fails_alone_in_new_folders,
	disk_dies_at_each_call, short_reads_and_writes, content_reads_fail_each, codes_of_errors,
	order_of_calls, failed_syncfs_falls_back)
