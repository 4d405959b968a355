/* What a delivery leaves in a Maildir, what it refuses, and how it is found again. */
#include "maildir_fixture.h"

#define ID    UINT64_C(1795600000000000)
#define HEAD  SLICE("Return-Path: <a@b.example>\r\nDelivered-To: jo@example.org\r\n")
#define BODY  SLICE("Subject: x\r\n\r\none\r\ntwo\r\n")
#define WHOLE "Return-Path: <a@b.example>\nDelivered-To: jo@example.org\nSubject: x\n\none\ntwo\n"
#define BASE  "1795600000.V001j12qq2h800R3.mail.example.org"
#define NAME  BASE ",S=76"

static struct maildir_delivery
delivery_of(const char *path)
{
	return (struct maildir_delivery){
		.path = slice_text(path),
		.queue_id = ID,
		.recipient = 3,
		.received_at = INT64_C(1795600000123456),
		.head = HEAD,
		.content = {.fd = -1, .bytes = BODY},
	};
}

static void
check_delivered(const struct maildir_delivery *delivery)
{
	ck_assert_msg(delivery->result.status == MAILDIR_DELIVERED, "%s: %s",
		delivery->result.stage, error_text(delivery->result.error));
	ck_assert_int_eq(delivery->result.error, OK);
	ck_assert(enhanced_status_equal(delivery->result.enhanced, STATUS(2, 0, 0)));
	ck_assert_ptr_null(delivery->result.stage);
}

static void
check_refused(const struct maildir_delivery *delivery, enum error error, const char *enhanced,
	const char *stage)
{
	ck_assert_int_ne(delivery->result.status, MAILDIR_DELIVERED);
	ck_assert_int_eq(delivery->result.error, error);
	char printed[ENHANCED_STATUS_BYTES];
	ck_assert_slice_eq(enhanced_status_print(delivery->result.enhanced, printed), enhanced);
	ck_assert_str_eq(delivery->result.stage, stage);
	ck_assert_int_eq(delivery->result.status == MAILDIR_PERMANENT, enhanced[0] == '5');
}

static void
check_bytes(struct fixture *fixture, const char *path, struct slice expected)
{
	struct buffer bytes;

	buffer_init(&bytes, fixture->env.memory, 16 << 20);
	fixture_read(fixture, path, &bytes);
	ck_assert_uint_eq(bytes.len, expected.len);
	ck_assert(slice_equal(buffer_slice(&bytes), expected));
	buffer_done(&bytes);
}

START_TEST(file_has_name_and_bytes)
{
	struct fixture *fixture = fixture_new();
	struct maildir_delivery delivery = delivery_of("example.org/jo");
	struct stat stat;

	maildir_deliver_batch(&fixture->maildir, &delivery, 1);
	check_delivered(&delivery);
	ck_assert_str_eq(delivery.result.path, "new/" NAME);
	ck_assert(!delivery.result.found);
	check_bytes(fixture, "example.org/jo/new/" NAME, SLICE(WHOLE));
	ck_assert_int_eq(fixture_count(fixture, "example.org/jo/new", NULL), 1);
	ck_assert_int_eq(fixture_count(fixture, "example.org/jo/tmp", NULL), 0);
	ck_assert_int_eq(fixture_count(fixture, "example.org/jo", NULL), 3);
	ck_assert_int_eq(fstatat(fixture->root_fd, "example.org/jo/new/" NAME, &stat, 0), 0);
	ck_assert_uint_eq(stat.st_mode & 07777, 0600);
	ck_assert_int_eq(fstatat(fixture->root_fd, "example.org/jo/cur", &stat, 0), 0);
	ck_assert_uint_eq(stat.st_mode & 07777, 0700);
	ck_assert_int_eq(fstatat(fixture->root_fd, "example.org", &stat, 0), 0);
	ck_assert_uint_eq(stat.st_mode & 07777, 0700);
	fixture_free(fixture);
}
END_TEST

START_TEST(host_is_made_safe)
{
	struct fixture *fixture = fixture_new();
	struct maildir_delivery delivery = delivery_of("/jo");
	char long_host[300];

	memset(long_host, 'h', sizeof long_host);
	maildir_init(
		&fixture->maildir, &fixture->env, fixture->root_fd, SLICE("a/b:c,d\n\xff.org"));
	maildir_deliver_batch(&fixture->maildir, &delivery, 1);
	check_delivered(&delivery);
	ck_assert_str_eq(
		delivery.result.path, "new/1795600000.V001j12qq2h800R3.a_b_c_d__.org,S=76");
	maildir_init(&fixture->maildir, &fixture->env, fixture->root_fd,
		slice_of(long_host, sizeof long_host));
	delivery.recipient = UINT32_MAX;
	delivery.queue_id = UINT64_MAX;
	delivery.received_at = INT64_MAX;
	maildir_deliver_batch(&fixture->maildir, &delivery, 1);
	check_delivered(&delivery);
	ck_assert_uint_le(strlen(delivery.result.path) + sizeof ":2,PRSTDF", 4 + 255);
	ck_assert_int_eq(fixture_count(fixture, "jo/new", NULL), 2);
	fixture_free(fixture);
}
END_TEST

/* The plain way to do what the streaming writer does. */
static void
convert(struct slice bytes, struct buffer *out)
{
	for (size_t i = 0; i < bytes.len; i++) {
		if (bytes.ptr[i] == '\r' && i + 1 < bytes.len && bytes.ptr[i + 1] == '\n')
			continue;
		buffer_append_octet(out, bytes.ptr[i]);
	}
}

static void
fill_content(struct buffer *content, size_t size, uint32_t seed)
{
	static const char octets[] = "\r\r\r\n\n\rab";

	for (size_t i = 0; i < size; i++) {
		seed = seed * 1664525u + 1013904223u;
		/* Many line ends with stray CR and LF, now and then any octet. */
		uint8_t octet =
			seed >> 24 < 16 ? (uint8_t)(seed >> 8) : (uint8_t)octets[seed >> 16 & 7];
		buffer_append_octet(content, octet);
	}
	ck_assert_ok(buffer_error(content));
}

START_TEST(line_ends_across_pieces)
{
	static const size_t sizes[] = {0, 1, 2, 65535, 65536, 65537, 131072, 131073, 1000000};
	struct fixture *fixture = fixture_new();
	struct buffer content, expected;

	buffer_init(&content, fixture->env.memory, 4 << 20);
	buffer_init(&expected, fixture->env.memory, 4 << 20);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		for (uint32_t in_file = 0; in_file < 2; in_file++) {
			struct maildir_delivery delivery = delivery_of("jo");
			char path[300];
			buffer_clear(&content);
			buffer_clear(&expected);
			buffer_append_text(&content, "not a part of it\r");
			size_t skip = content.len;
			fill_content(&content, sizes[i], (uint32_t)i);
			buffer_append_text(&content, "\nnot a part of it either");
			struct slice bytes = slice_sub(buffer_slice(&content), skip, sizes[i]);
			convert(HEAD, &expected);
			convert(bytes, &expected);
			delivery.recipient = (uint32_t)i * 2 + in_file;
			delivery.content.bytes = bytes;
			if (in_file) {
				fixture_write(fixture, "content", buffer_slice(&content));
				delivery.content = (struct maildir_content){
					.fd = openat(
						fixture->root_fd, "content", O_RDONLY | O_CLOEXEC),
					.offset = skip,
					.size = sizes[i]};
			}
			maildir_deliver_batch(&fixture->maildir, &delivery, 1);
			check_delivered(&delivery);
			snprintf(path, sizeof path, "jo/%.260s", delivery.result.path);
			check_bytes(fixture, path, buffer_slice(&expected));
			snprintf(path, sizeof path, ",S=%zu", expected.len);
			ck_assert(slice_has_suffix(
				slice_text(delivery.result.path), slice_text(path)));
			if (in_file) {
				close(delivery.content.fd);
				ck_assert_int_eq(unlinkat(fixture->root_fd, "content", 0), 0);
			}
		}
	}
	fixture_free(fixture);
}
END_TEST

START_TEST(content_that_ends_early_is_not_delivered)
{
	struct fixture *fixture = fixture_new();
	struct maildir_delivery deliveries[2] = {delivery_of("jo"), delivery_of("jo")};

	fixture_write(fixture, "content", SLICE("only this"));
	deliveries[0].content = (struct maildir_content){
		.fd = openat(fixture->root_fd, "content", O_RDONLY | O_CLOEXEC), .size = 10};
	deliveries[1].recipient = 4;
	maildir_deliver_batch(&fixture->maildir, deliveries, 2);
	check_refused(&deliveries[0], ERROR_DAMAGED, "5.3.0", "write");
	check_delivered(&deliveries[1]);
	ck_assert_int_eq(fixture_count(fixture, "jo/new", NULL), 1);
	ck_assert_int_eq(fixture_count(fixture, "jo/tmp", NULL), 0);
	close(deliveries[0].content.fd);
	fixture_free(fixture);
}
END_TEST

START_TEST(repetition_finds_its_file)
{
	static const char *const moved[] = {"jo/cur/" NAME ":2,", "jo/cur/" NAME ":2,FRS",
		"jo/cur/" BASE ":2,S", "jo/cur/" BASE ",S=76,W=84:2,", ("jo/cur/" BASE)};
	struct fixture *fixture = fixture_new();
	struct maildir_delivery delivery = delivery_of("jo");
	char path[300] = "jo/new/" NAME;

	maildir_deliver_batch(&fixture->maildir, &delivery, 1);
	check_delivered(&delivery);
	for (int first = 0; first < 2; first++) {
		/* Even a caller who is wrong about the first attempt replaces nothing. */
		delivery.first_attempt = first;
		fixture_arm(fixture, FAULT_NONE, 0, 0);
		maildir_deliver_batch(&fixture->maildir, &delivery, 1);
		check_delivered(&delivery);
		ck_assert(delivery.result.found);
		ck_assert_str_eq(delivery.result.path, "new/" NAME);
	}
	delivery.first_attempt = false;
	for (size_t i = 0; i < sizeof moved / sizeof *moved; i++) {
		ck_assert_int_eq(renameat(fixture->root_fd, path, fixture->root_fd, moved[i]), 0);
		snprintf(path, sizeof path, "%s", moved[i]);
		fixture_arm(fixture, FAULT_NONE, 0, 0);
		maildir_deliver_batch(&fixture->maildir, &delivery, 1);
		check_delivered(&delivery);
		ck_assert(delivery.result.found);
		ck_assert_str_eq(delivery.result.path, path + 3);
		ck_assert_int_eq(fixture_count(fixture, "jo/new", NULL), 0);
		ck_assert_int_eq(fixture_count(fixture, "jo/cur", NULL), 1);
		ck_assert_int_eq(fixture_count(fixture, "jo/tmp", NULL), 0);
		/* Both folders are flushed: nobody knows whether the earlier attempt came so far.
		 */
		ck_assert_int_eq(fixture->calls[fixture->call_count - 1].op, OP_FSYNC);
		ck_assert_str_eq(fixture->calls[fixture->call_count - 1].path, "/jo/cur");
		ck_assert_str_eq(fixture->calls[fixture->call_count - 2].path, "/jo/new");
	}
	fixture_free(fixture);
}
END_TEST

START_TEST(similar_names_are_not_ours)
{
	struct fixture *fixture = fixture_new();
	struct maildir_delivery delivery = delivery_of("jo");

	ck_assert_int_eq(mkdirat(fixture->root_fd, "jo", 0700), 0);
	ck_assert_int_eq(mkdirat(fixture->root_fd, "jo/cur", 0700), 0);
	ck_assert_int_eq(mkdirat(fixture->root_fd, "jo/new", 0700), 0);
	fixture_write(fixture, "jo/new/" BASE ".net", SLICE("x"));
	fixture_write(
		fixture, "jo/new/1795600000.V001j12qq2h800R33.mail.example.org,S=76", SLICE("x"));
	fixture_write(
		fixture, "jo/cur/1795600000.V001j12qq2h801R3.mail.example.org,S=76:2,", SLICE("x"));
	ck_assert_int_eq(mkdirat(fixture->root_fd, "jo/cur/" NAME, 0700), 0);
	maildir_deliver_batch(&fixture->maildir, &delivery, 1);
	check_delivered(&delivery);
	ck_assert(!delivery.result.found);
	check_bytes(fixture, "jo/new/" NAME, SLICE(WHOLE));
	fixture_free(fixture);
}
END_TEST

START_TEST(other_file_is_not_replaced)
{
	struct fixture *fixture = fixture_new();
	struct maildir_delivery deliveries[2] = {delivery_of("jo"), delivery_of("jo")};

	ck_assert_int_eq(mkdirat(fixture->root_fd, "jo", 0700), 0);
	ck_assert_int_eq(mkdirat(fixture->root_fd, "jo/new", 0700), 0);
	fixture_write(fixture, "jo/new/" NAME, SLICE("something else"));
	deliveries[0].first_attempt = true;
	deliveries[1].recipient = 4;
	maildir_deliver_batch(&fixture->maildir, deliveries, 2);
	check_refused(&deliveries[0], ERROR_EXISTS, "4.3.0", "rename");
	check_delivered(&deliveries[1]);
	check_bytes(fixture, "jo/new/" NAME, SLICE("something else"));
	ck_assert_int_eq(fixture_count(fixture, "jo/tmp", NULL), 0);
	fixture_free(fixture);
}
END_TEST

START_TEST(twice_in_a_batch_is_refused)
{
	struct fixture *fixture = fixture_new();
	struct maildir_delivery deliveries[3] = {
		delivery_of("jo"), delivery_of("/jo"), delivery_of("flo")};

	maildir_deliver_batch(&fixture->maildir, deliveries, 3);
	check_delivered(&deliveries[0]);
	check_refused(&deliveries[1], ERROR_EXISTS, "4.3.0", "path");
	check_delivered(&deliveries[2]);
	ck_assert_int_eq(fixture_count(fixture, "jo/new", NULL), 1);
	fixture_free(fixture);
}
END_TEST

/* What an earlier attempt or the folder's owner may have put at our name in tmp/. */
START_TEST(leftovers_in_tmp_are_replaced)
{
	struct fixture *fixture = fixture_new();
	struct maildir_delivery delivery = delivery_of("jo");

	maildir_deliver_batch(&fixture->maildir, &delivery, 1);
	fixture_write(fixture, "secret", SLICE("keep this"));
	for (int kind = 0; kind < 4; kind++) {
		ck_assert_int_eq(unlinkat(fixture->root_fd, "jo/new/" NAME, 0), 0);
		if (kind == 0)
			fixture_write(fixture, "jo/tmp/" BASE,
				SLICE("a longer file than the one that comes, with a rest "
				      "that would show if it were only overwritten "
				      ".............................................."));
		else if (kind == 1)
			ck_assert_int_eq(
				symlinkat("../../secret", fixture->root_fd, "jo/tmp/" BASE), 0);
		else if (kind == 2)
			ck_assert_int_eq(linkat(fixture->root_fd, "secret", fixture->root_fd,
						 "jo/tmp/" BASE, 0),
				0);
		else
			ck_assert_int_eq(
				mknodat(fixture->root_fd, "jo/tmp/" BASE, S_IFIFO | 0600, 0), 0);
		maildir_deliver_batch(&fixture->maildir, &delivery, 1);
		check_delivered(&delivery);
		check_bytes(fixture, "jo/new/" NAME, SLICE(WHOLE));
		check_bytes(fixture, "secret", SLICE("keep this"));
		ck_assert_int_eq(fixture_count(fixture, "jo/tmp", NULL), 0);
	}
	fixture_free(fixture);
}
END_TEST

START_TEST(links_are_not_followed)
{
	static const char *const links[] = {"a", "a/b", "a/b/tmp", "a/b/new"};
	struct fixture *fixture = fixture_new();

	ck_assert_int_eq(mkdirat(fixture->root_fd, "elsewhere", 0700), 0);
	ck_assert_int_eq(mkdirat(fixture->root_fd, "elsewhere/b", 0700), 0);
	for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
		struct maildir_delivery deliveries[2] = {delivery_of("a/b"), delivery_of("good")};
		char target[100];
		deliveries[1].recipient = (uint32_t)i;
		fixture_remove_tree(fixture->root_fd, "a");
		for (size_t k = 0; k < i && k < 2; k++)
			ck_assert_int_eq(mkdirat(fixture->root_fd, links[k], 0700), 0);
		snprintf(target, sizeof target, "%s/elsewhere", fixture->folder);
		ck_assert_int_eq(symlinkat(target, fixture->root_fd, links[i]), 0);
		maildir_deliver_batch(&fixture->maildir, deliveries, 2);
		check_refused(&deliveries[0], ERROR_NOT_FOUND, "4.3.5", "folder");
		check_delivered(&deliveries[1]);
		ck_assert_int_eq(fixture_count(fixture, "elsewhere", NULL), 1);
		ck_assert_int_eq(fixture_count(fixture, "elsewhere/b", NULL), 0);
	}
	fixture_free(fixture);
}
END_TEST

START_TEST(bad_paths_are_refused)
{
	struct fixture *fixture = fixture_new();
	char name[300];
	struct {
		struct slice path;
		enum error error;
		const char *enhanced;
	} bad[] = {
		{SLICE("a/../b"), ERROR_FORMAT, "4.3.5"},
		{SLICE(".."), ERROR_FORMAT, "4.3.5"},
		{SLICE("."), ERROR_FORMAT, "4.3.5"},
		{SLICE(""), ERROR_FORMAT, "4.3.5"},
		{SLICE("/"), ERROR_FORMAT, "4.3.5"},
		{SLICE("//a"), ERROR_FORMAT, "4.3.5"},
		{SLICE("a//b"), ERROR_FORMAT, "4.3.5"},
		{SLICE("a/"), ERROR_FORMAT, "4.3.5"},
		{SLICE("a\0b"), ERROR_FORMAT, "4.3.5"},
		{slice_of(name, 256), ERROR_LIMIT, "5.1.3"},
		{SLICE("1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17"), ERROR_LIMIT, "5.1.3"},
	};

	memset(name, 'n', sizeof name);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct maildir_delivery deliveries[2] = {delivery_of("good"), delivery_of("good")};
		deliveries[0].path = bad[i].path;
		deliveries[1].recipient = (uint32_t)i;
		maildir_deliver_batch(&fixture->maildir, deliveries, 2);
		check_refused(&deliveries[0], bad[i].error, bad[i].enhanced, "folder");
		check_delivered(&deliveries[1]);
	}
	ck_assert_int_eq(fixture_count(fixture, ".", name), 1);
	ck_assert_str_eq(name, "good");
	memset(name, 'n', sizeof name);
	struct maildir_delivery longest = delivery_of("");
	longest.path = slice_of(name, 255);
	maildir_deliver_batch(&fixture->maildir, &longest, 1);
	check_delivered(&longest);
	fixture_free(fixture);
}
END_TEST

START_TEST(owner_gets_what_is_new)
{
	struct fixture *fixture = fixture_new();
	struct maildir_delivery delivery = delivery_of("d/jo");
	static const char *const owned[] = {
		"/d", "/d/jo", "/d/jo/new", "/d/jo/cur", "/d/jo/tmp", ("/d/jo/tmp/" BASE)};
	size_t at = 0;

	delivery.owner = (struct maildir_owner){.given = true, .uid = 4242, .gid = 4343};
	fixture->chown_is_recorded_only = true;
	maildir_deliver_batch(&fixture->maildir, &delivery, 1);
	check_delivered(&delivery);
	for (size_t i = 0; i < fixture->call_count; i++) {
		if (fixture->calls[i].op != OP_CHOWN)
			continue;
		ck_assert_uint_lt(at, sizeof owned / sizeof *owned);
		ck_assert_str_eq(fixture->calls[i].path, owned[at++]);
		ck_assert_uint_eq(fixture->calls[i].uid, 4242);
	}
	ck_assert_uint_eq(at, sizeof owned / sizeof *owned);
	/* Folders that exist are left alone. */
	delivery.recipient = 9;
	fixture_arm(fixture, FAULT_NONE, 0, 0);
	maildir_deliver_batch(&fixture->maildir, &delivery, 1);
	check_delivered(&delivery);
	size_t chowns = 0;
	for (size_t i = 0; i < fixture->call_count; i++)
		chowns += fixture->calls[i].op == OP_CHOWN;
	ck_assert_uint_eq(chowns, 1);
	fixture_free(fixture);
}
END_TEST

START_TEST(missing_parts_are_made)
{
	static const char *const parts[] = {"jo/tmp", "jo/new", "jo/cur", "jo"};
	struct fixture *fixture = fixture_new();

	for (uint32_t i = 0; i < 8; i++) {
		struct maildir_delivery delivery = delivery_of("jo");
		delivery.recipient = i;
		delivery.first_attempt = i < 4;
		maildir_deliver_batch(&fixture->maildir, &delivery, 1);
		check_delivered(&delivery);
		char path[300];
		snprintf(path, sizeof path, "jo/%.260s", delivery.result.path);
		check_bytes(fixture, path, SLICE(WHOLE));
		fixture_remove_tree(fixture->root_fd, parts[i % 4]);
	}
	fixture_free(fixture);
}
END_TEST

START_TEST(batch_into_thirty_maildirs)
{
	enum { COUNT = 150, FOLDERS = 30 };
	struct fixture *fixture = fixture_new();
	static struct maildir_delivery deliveries[COUNT];
	static char paths[FOLDERS][32];
	char path[400];

	for (int i = 0; i < FOLDERS; i++)
		snprintf(paths[i], sizeof paths[i], "d%d.example/u%d", i % 3, i);
	for (uint32_t i = 0; i < COUNT; i++) {
		deliveries[i] = delivery_of(paths[i % FOLDERS]);
		deliveries[i].queue_id = ID + i;
		deliveries[i].recipient = i;
		deliveries[i].first_attempt = true;
	}
	/* One folder of a batch can't be used. */
	ck_assert_int_eq(mkdirat(fixture->root_fd, "d1.example", 0700), 0);
	fixture_write(fixture, paths[7], SLICE("no folder"));
	maildir_deliver_batch(&fixture->maildir, deliveries, COUNT);
	for (int i = 0; i < COUNT; i++) {
		if (i % FOLDERS == 7) {
			check_refused(&deliveries[i], ERROR_NOT_FOUND, "4.3.5", "folder");
			continue;
		}
		check_delivered(&deliveries[i]);
		snprintf(path, sizeof path, "%s/%.260s", paths[i % FOLDERS],
			deliveries[i].result.path);
		check_bytes(fixture, path, SLICE(WHOLE));
	}
	for (int i = 0; i < FOLDERS; i++) {
		snprintf(path, sizeof path, "%s/new", paths[i]);
		ck_assert_int_eq(fixture_count(fixture, path, NULL), i == 7 ? 0 : COUNT / FOLDERS);
	}
	/* 64, 64 and 22 of them: files and folders with one syncfs each. */
	ck_assert_uint_le(fixture->maildir.flush_count, 3 + 2 * 3);
	fixture_free(fixture);
}
END_TEST

/* `count` deliveries on our clock; how many syncfs and fsync that took. */
static void
deliver_on_clock(struct fixture *fixture, uint32_t *recipient, size_t count, size_t *ret_syncfs,
	size_t *ret_fsync)
{
	static struct maildir_delivery deliveries[MAILDIR_BATCH_MAX];

	for (size_t i = 0; i < count; i++) {
		deliveries[i] = delivery_of("jo");
		deliveries[i].recipient = (*recipient)++;
		deliveries[i].first_attempt = true;
	}
	fixture_arm(fixture, FAULT_NONE, 0, 0);
	maildir_deliver_batch(&fixture->maildir, deliveries, count);
	*ret_syncfs = *ret_fsync = 0;
	for (size_t i = 0; i < fixture->call_count; i++) {
		*ret_syncfs += fixture->calls[i].op == OP_SYNCFS;
		*ret_fsync += fixture->calls[i].op == OP_FSYNC;
	}
	for (size_t i = 0; i < count; i++)
		check_delivered(&deliveries[i]);
}

START_TEST(syncfs_only_while_it_is_quick)
{
	struct fixture *fixture = fixture_new();
	size_t syncfs, fsync;
	uint32_t recipient = 0;
	int passed_over = 0;

	fixture->fsync_us = 400;
	fixture->syncfs_us = 1000;
	deliver_on_clock(fixture, &recipient, 1, &syncfs, &fsync); /* makes the folders */
	deliver_on_clock(fixture, &recipient, MAILDIR_SYNCFS_MIN - 1, &syncfs, &fsync);
	ck_assert(syncfs == 0 && fsync == MAILDIR_SYNCFS_MIN);
	for (int i = 0; i < 10; i++) {
		deliver_on_clock(fixture, &recipient, MAILDIR_SYNCFS_MIN, &syncfs, &fsync);
		ck_assert(syncfs == 1 && fsync == 1);
	}
	/* Somebody else fills the disk: tried once, then left alone for a while, then tried again.
	 */
	fixture->syncfs_us = 400000;
	deliver_on_clock(fixture, &recipient, 16, &syncfs, &fsync);
	ck_assert(syncfs == 1 && fsync == 1);
	do {
		deliver_on_clock(fixture, &recipient, 16, &syncfs, &fsync);
		ck_assert(syncfs + fsync == 2 || (syncfs == 0 && fsync == 17));
	} while (syncfs == 0 && ++passed_over < 100);
	ck_assert(passed_over > 10 && passed_over < 100);
	/* Quick again: it comes back into use. */
	fixture->syncfs_us = 1000;
	for (passed_over = 0; passed_over < 100; passed_over++)
		deliver_on_clock(fixture, &recipient, 16, &syncfs, &fsync);
	ck_assert(syncfs == 1 && fsync == 1);
	fixture_free(fixture);
}
END_TEST

START_TEST(no_memory_is_temporary)
{
	struct fixture *fixture = fixture_new();
	struct maildir_delivery deliveries[2] = {delivery_of("jo"), delivery_of("flo")};
	struct memory *all = fixture->env.memory;

	fixture->env.memory = memory_new(1000);
	maildir_deliver_batch(&fixture->maildir, deliveries, 2);
	check_refused(&deliveries[0], ERROR_NO_MEMORY, "4.3.0", "path");
	check_refused(&deliveries[1], ERROR_NO_MEMORY, "4.3.0", "path");
	ck_assert_int_eq(fixture_count(fixture, ".", NULL), 0);
	memory_free(&fixture->env.memory);
	fixture->env.memory = all;
	fixture_free(fixture);
}
END_TEST

UNIT_MAIN("mailbox/maildir", file_has_name_and_bytes, host_is_made_safe, line_ends_across_pieces,
	content_that_ends_early_is_not_delivered, repetition_finds_its_file,
	similar_names_are_not_ours, other_file_is_not_replaced, twice_in_a_batch_is_refused,
	leftovers_in_tmp_are_replaced, links_are_not_followed, bad_paths_are_refused,
	owner_gets_what_is_new, missing_parts_are_made, batch_into_thirty_maildirs,
	syncfs_only_while_it_is_quick, no_memory_is_temporary)
