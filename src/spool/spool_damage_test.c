/*
 * The spool after crashes and on damaged files: torn tails, wrong bytes in the middle, planted
 * records, lost journals. Files are changed behind the spool's back, then it is opened again.
 */
#include "unit.h"

#include "spool/spool_test.h"

#define FILES_MAX 32

/* All files of a folder as they were. */
struct snapshot {
	char names[FILES_MAX][64];
	uint8_t *bytes[FILES_MAX];
	size_t sizes[FILES_MAX];
	size_t count;
	struct fixture *f;
};

static bool
snapshot_file(void *arg, const struct disk_entry *entry)
{
	struct snapshot *s = arg;
	struct stat st;
	int fd = openat(s->f->dir_fd, entry->name, O_RDONLY | O_CLOEXEC);

	ck_assert_uint_lt(s->count, FILES_MAX);
	ck_assert_int_eq(fstat(fd, &st), 0);
	s->sizes[s->count] = (size_t)st.st_size;
	s->bytes[s->count] = memory_get(s->f->scratch, (size_t)st.st_size + 1);
	ck_assert_int_eq(pread(fd, s->bytes[s->count], (size_t)st.st_size, 0), st.st_size);
	ck_assert_uint_lt(strlen(entry->name), sizeof s->names[0]);
	memcpy(s->names[s->count], entry->name, strlen(entry->name) + 1);
	close(fd);
	s->count++;
	return true;
}

static void
snapshot_take(struct fixture *f, struct snapshot *s)
{
	*s = (struct snapshot){.f = f};
	f->env.disk->list(NULL, f->dir_fd, snapshot_file, s);
}

static void
write_file(struct fixture *f, const char *name, const void *bytes, size_t size)
{
	int fd = openat(f->dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_eq(pwrite(fd, bytes, size, 0), (ssize_t)size);
	close(fd);
}

static void
snapshot_restore(struct fixture *f, const struct snapshot *s)
{
	spool_close(&f->spool);
	f->env.disk->list(NULL, f->dir_fd, remove_one, f);
	for (size_t i = 0; i < s->count; i++)
		write_file(f, s->names[i], s->bytes[i], s->sizes[i]);
}

/* The file's bytes in the snapshot. */
static uint8_t *
snapshot_bytes(const struct snapshot *s, enum logfile_kind kind, uint32_t number, size_t *ret_size)
{
	char name[LOGFILE_NAME_BYTES];

	logfile_name(kind, number, name);
	for (size_t i = 0; i < s->count; i++) {
		if (strcmp(s->names[i], name) == 0) {
			if (ret_size)
				*ret_size = s->sizes[i];
			return s->bytes[i];
		}
	}
	ck_abort_msg("no %s", name);
	return NULL;
}

static void
change_file(struct fixture *f, enum logfile_kind kind, uint32_t number, uint64_t offset,
	const void *bytes, size_t len)
{
	char name[LOGFILE_NAME_BYTES];

	logfile_name(kind, number, name);
	int fd = openat(f->dir_fd, name, O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(pwrite(fd, bytes, len, (off_t)offset), (ssize_t)len);
	close(fd);
}

static void
flip_byte(struct fixture *f, const struct spool_reference *reference, uint64_t offset)
{
	uint8_t byte;
	char name[LOGFILE_NAME_BYTES];

	logfile_name(LOGFILE_SEGMENT, reference->segment, name);
	int fd = openat(f->dir_fd, name, O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(pread(fd, &byte, 1, (off_t)offset), 1);
	byte ^= 0x10;
	ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)offset), 1);
	close(fd);
}

/* Messages 1 to 3 in batches of their own, then 4 and 5 in one; returns where that one lies. */
static void
make_five(struct fixture *f, uint64_t *ret_start, uint64_t *ret_end, uint32_t *ret_segment)
{
	struct added added[2];

	fixture_open(f);
	for (uint64_t id = 1; id <= 3; id++)
		put(f, id, 3000 + id * 100);
	*ret_start = f->spool->active.end;
	ck_assert_ok(try_add(f, 4, 5000, &added[0]));
	ck_assert_ok(try_add(f, 5, 300, &added[1]));
	commit_ok(f);
	*ret_end = f->spool->active.end;
	*ret_segment = added[0].message.segment;
	for (int i = 0; i < 2; i++)
		memory_put(f->scratch, added[i].bytes);
	spool_close(&f->spool);
}

static void
check_first_whole(struct fixture *f, size_t first)
{
	for (size_t i = 0; i < f->seen->count; i++)
		ck_assert(message_is_whole(f, &f->seen->messages[i]));
	for (uint64_t id = 1; id <= first; id++)
		ck_assert_msg(find_seen(f, id) != NULL, "message %u is lost", (unsigned)id);
}

/* Opens twice: what the first recovery wrote down must say the same. */
static void
check_torn(struct fixture *f)
{
	for (int round = 0; round < 2; round++) {
		fixture_open(f);
		ck_assert_msg(f->seen->damage == 0, "%s: %s at %u", f->seen->file, f->seen->what,
			(unsigned)f->seen->offset);
		check_first_whole(f, 3);
	}
	put(f, 99, 50);
	fixture_open(f);
	ck_assert_ptr_nonnull(find_seen(f, 99));
}

START_TEST(torn_tails_are_dropped)
{
	struct fixture f;
	struct snapshot s;
	uint64_t start, end;
	uint32_t segment;
	uint8_t junk[16384];

	fixture_init(&f);
	make_five(&f, &start, &end, &segment);
	ck_assert_uint_le(end - start, sizeof junk);
	snapshot_take(&f, &s);
	for (uint64_t cut = start; cut <= end; cut += 512) {
		for (int mode = 0; mode < 2; mode++) {
			memset(junk, mode ? 0xa5 : 0, sizeof junk);
			snapshot_restore(&f, &s);
			change_file(&f, LOGFILE_SEGMENT, segment, cut, junk, (size_t)(end - cut));
			check_torn(&f);
			/* Its head block alone is all that a batch needs to be seen. */
			if (cut == start)
				ck_assert_uint_eq(f.seen->count, 4);
			if (cut == end)
				ck_assert_uint_eq(f.seen->count, 6);
		}
	}
	fixture_done(&f);
}
END_TEST

/* A disk writes the sectors of a batch in any order. */
START_TEST(lost_sectors_of_the_last_batch_are_dropped)
{
	struct fixture f;
	struct snapshot s;
	uint64_t start, end;
	uint32_t segment, random = 4711;
	static const uint8_t zeros[512];

	fixture_init(&f);
	make_five(&f, &start, &end, &segment);
	snapshot_take(&f, &s);
	for (int i = 0; i < 64; i++) {
		snapshot_restore(&f, &s);
		for (uint64_t at = start; at < end; at += 512) {
			random = random * 1664525 + 1013904223;
			if (random >> 31)
				change_file(&f, LOGFILE_SEGMENT, segment, at, zeros, 512);
		}
		check_torn(&f);
	}
	fixture_done(&f);
}
END_TEST

START_TEST(truncated_segments_end_where_they_end)
{
	struct fixture f;
	struct snapshot s;
	uint64_t start, end;
	uint32_t segment;
	char name[LOGFILE_NAME_BYTES];

	fixture_init(&f);
	make_five(&f, &start, &end, &segment);
	snapshot_take(&f, &s);
	logfile_name(LOGFILE_SEGMENT, segment, name);
	for (uint64_t cut = start; cut < end; cut += 1000) {
		snapshot_restore(&f, &s);
		write_file(&f, name, snapshot_bytes(&s, LOGFILE_SEGMENT, segment, NULL), cut);
		check_torn(&f);
		/* What is missing may be padding only. */
		ck_assert(f.seen->count == 4 || (f.seen->count == 6 && end - cut < 4096));
	}
	fixture_done(&f);
}
END_TEST

/* Reported each time, the file kept, all else delivered. */
static void
check_damaged(struct fixture *f, uint64_t lost, uint32_t segment)
{
	for (int round = 0; round < 3; round++) {
		fixture_open(f);
		ck_assert_uint_ge(f->seen->damage, 1);
		ck_assert_ptr_null(find_seen(f, lost));
		for (uint64_t id = 1; id <= 5; id++)
			ck_assert(id == lost || find_seen(f, id));
		check_first_whole(f, 0);
	}
	for (size_t i = 0; i < f->seen->count; i++)
		add_result(f, &f->seen->messages[i].message, SPOOL_DONE, 0, 0);
	commit_ok(f);
	fixture_open(f);
	ck_assert_uint_eq(f->seen->count, 0);
	int fd;
	ck_assert_ok(spool_open_segment(&f->env, f->dir_fd, segment, &fd));
	close(fd);
}

START_TEST(damage_in_the_middle_is_reported)
{
	struct fixture f;
	struct snapshot s;
	uint64_t start, end;
	uint32_t segment;

	fixture_init(&f);
	make_five(&f, &start, &end, &segment);
	snapshot_take(&f, &s);
	fixture_open(&f);
	struct spool_reference content = find_seen(&f, 2)->content;
	struct spool_reference message = find_seen(&f, 2)->message;
	const uint64_t places[] = {content.offset + 1, content.offset - RECORD_HEAD_BYTES,
		message.offset, message.offset + MESSAGE_PREFIX_BYTES, message.offset - 1};
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		snapshot_restore(&f, &s);
		flip_byte(&f, &content, places[i]);
		check_damaged(&f, 2, segment);
	}
	/* A batch without its head is a hole. */
	snapshot_restore(&f, &s);
	flip_byte(&f, &content, content.offset - RECORD_HEAD_BYTES - BATCH_HEAD_BYTES + 9);
	check_damaged(&f, 2, segment);
	fixture_done(&f);
}
END_TEST

/* The same once the journal's state knows the messages; the content's octets are the reader's to
 * check. */
START_TEST(damage_behind_the_state_is_reported)
{
	struct fixture f;
	struct snapshot s;
	uint64_t start, end;
	uint32_t segment;

	fixture_init(&f);
	make_five(&f, &start, &end, &segment);
	fixture_open(&f);
	struct seen_message second = *find_seen(&f, 2);
	spool_close(&f.spool);
	snapshot_take(&f, &s);
	const uint64_t places[] = {second.content.offset - 3, second.message.offset,
		second.message.offset + MESSAGE_PREFIX_BYTES, second.message.offset - 1};
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		snapshot_restore(&f, &s);
		flip_byte(&f, &second.content, places[i]);
		check_damaged(&f, 2, segment);
	}
	/* Repaired, it is delivered; until then it is reported. */
	snapshot_restore(&f, &s);
	flip_byte(&f, &second.content, second.message.offset);
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->damaged, 1);
	ck_assert_ptr_null(find_seen(&f, 2));
	flip_byte(&f, &second.content, second.message.offset);
	fixture_open(&f);
	ck_assert_ptr_nonnull(find_seen(&f, 2));
	flip_byte(&f, &second.content, second.content.offset + 100);
	ck_assert(!message_is_whole(&f, &second));
	fixture_done(&f);
}
END_TEST

/* Behind the journal's state, in it, and in a segment that is full. */
static void
check_header(struct fixture *f, uint32_t segment, size_t messages)
{
	struct snapshot s;

	snapshot_take(f, &s);
	for (uint64_t at = 0; at < LOGFILE_HEAD_BYTES; at++) {
		snapshot_restore(f, &s);
		flip_byte(f, &(struct spool_reference){.segment = segment}, at);
		for (int round = 0; round < 2; round++) {
			fixture_open(f);
			ck_assert_uint_eq(f->seen->damage, round == 0);
			ck_assert_uint_eq(f->seen->count, messages);
			check_first_whole(f, messages);
		}
	}
	/* Nothing is left of it. */
	static const uint8_t zeros[LOGFILE_BLOCK];
	snapshot_restore(f, &s);
	change_file(f, LOGFILE_SEGMENT, segment, 0, zeros, sizeof zeros);
	fixture_open(f);
	ck_assert_uint_eq(f->seen->damage, 1);
	check_first_whole(f, messages);
	snapshot_restore(f, &s);
}

START_TEST(a_damaged_header_hides_nothing)
{
	struct fixture f;
	uint64_t start, end;
	uint32_t segment;

	fixture_init(&f);
	make_five(&f, &start, &end, &segment);
	check_header(&f, segment, 5);
	fixture_open(&f);
	for (uint64_t id = 6; id <= 8; id++)
		put(&f, id, 500000);
	spool_close(&f.spool);
	check_header(&f, segment, 8);
	check_header(&f, segment + 1, 8);
	fixture_done(&f);
}
END_TEST

START_TEST(missing_segments_are_reported)
{
	struct fixture f;
	struct snapshot s;
	uint64_t start, end;
	uint32_t segment;
	char name[LOGFILE_NAME_BYTES];

	fixture_init(&f);
	make_five(&f, &start, &end, &segment);
	snapshot_take(&f, &s);
	logfile_name(LOGFILE_SEGMENT, segment, name);
	ck_assert_int_eq(unlinkat(f.dir_fd, name, 0), 0);
	fixture_open(&f);
	ck_assert_uint_ge(f.seen->damage, 1);
	ck_assert_uint_eq(f.seen->count, 0);
	snapshot_restore(&f, &s);
	fixture_open(&f);
	spool_close(&f.spool);
	ck_assert_int_eq(unlinkat(f.dir_fd, name, 0), 0);
	fixture_open(&f);
	ck_assert_uint_ge(f.seen->damage, 5);
	ck_assert_uint_eq(f.seen->count, 0);
	/* Back from a copy. */
	write_file(
		&f, name, snapshot_bytes(&s, LOGFILE_SEGMENT, segment, NULL), LOGFILE_SLICE_BYTES);
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->count, 5);
	check_first_whole(&f, 5);
	fixture_done(&f);
}
END_TEST

/* The last batch of a segment that is not the newest was acknowledged before the next one began. */
START_TEST(older_segments_have_no_torn_tails)
{
	struct fixture f;
	struct snapshot s;
	struct added added[5];

	fixture_init(&f);
	fixture_open(&f);
	for (uint64_t i = 0; i < 5; i++)
		added[i] = put(&f, i + 1, 400000);
	ck_assert_uint_eq(added[1].content.segment, added[0].content.segment);
	ck_assert_uint_ne(added[2].content.segment, added[1].content.segment);
	spool_close(&f.spool);
	snapshot_take(&f, &s);
	const struct spool_reference *last = &added[1].content;
	const uint64_t places[] = {last->offset + 70000, last->offset - 3,
		last->offset - RECORD_HEAD_BYTES - BATCH_HEAD_BYTES + 1};
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		snapshot_restore(&f, &s);
		flip_byte(&f, last, places[i]);
		check_damaged(&f, 2, last->segment);
	}
	fixture_done(&f);
}
END_TEST

/* Without them, mail that was delivered would be sent again once the file is back. */
START_TEST(results_wait_for_a_segment_that_is_away)
{
	struct fixture f;
	struct snapshot s;
	struct added added[3];
	char name[LOGFILE_NAME_BYTES];

	fixture_init(&f);
	fixture_open(&f);
	for (uint64_t i = 0; i < 3; i++)
		added[i] = put(&f, i + 1, 10);
	add_result(&f, &added[0].message, SPOOL_DONE, 0, 0);
	add_result(&f, &added[1].message, SPOOL_DEFERRED, 4, 5);
	add_result(&f, &added[1].message, SPOOL_RECIPIENT_DELIVERED, 70, 0);
	commit_ok(&f);
	spool_close(&f.spool);
	snapshot_take(&f, &s);
	logfile_name(LOGFILE_SEGMENT, added[0].message.segment, name);
	ck_assert_int_eq(unlinkat(f.dir_fd, name, 0), 0);
	for (int round = 0; round < 3; round++) {
		fixture_open(&f);
		ck_assert_uint_eq(f.seen->count, (size_t)round);
		ck_assert_uint_eq(f.seen->damage, 1);
		put(&f, 10 + (uint64_t)round, 10);
	}
	spool_close(&f.spool);
	write_file(&f, name, snapshot_bytes(&s, LOGFILE_SEGMENT, added[0].message.segment, NULL),
		LOGFILE_SLICE_BYTES);
	for (int round = 0; round < 2; round++) {
		fixture_open(&f);
		ck_assert_uint_eq(f.seen->damage, 0);
		ck_assert_uint_eq(f.seen->count, 5);
		ck_assert_ptr_null(find_seen(&f, 1));
		ck_assert_uint_eq(find_seen(&f, 2)->attempts, 4);
		ck_assert_uint_eq(find_seen(&f, 2)->done_count, 1);
		ck_assert_uint_eq(find_seen(&f, 2)->done[0], 70);
		ck_assert_ptr_nonnull(find_seen(&f, 3));
	}
	fixture_done(&f);
}
END_TEST

/*
 * A sender who knows the format, and even the bytes of an older batch, sends them as content so
 * that they lie where batches and records begin; then the head before them is torn or damaged.
 */
static uint8_t *
make_plants(struct fixture *f, const struct snapshot *s, uint32_t segment, uint64_t payload_offset,
	size_t size)
{
	uint8_t *bytes = memory_get(f->scratch, size);
	const uint8_t *real = snapshot_bytes(s, LOGFILE_SEGMENT, segment, NULL) + f->spool->block;
	struct siphash_key guess = {{0}};
	struct batch_head head = {1, 1000, 4096};
	struct record record = {RECORD_MESSAGE, 0, 666, 64, 0};

	for (uint64_t at = 0; at + 4096 <= size; at += 4096) {
		uint64_t file_offset = logfile_round_up(payload_offset + at, f->spool->block);
		uint8_t *plant = bytes + (file_offset - payload_offset);
		if (file_offset - payload_offset + 4096 > size)
			break;
		memcpy(plant, real, 4096);
		if (at / 4096 % 2 == 0) {
			batch_head_encode(&head, &guess, file_offset, plant);
			record_head_encode(&record, &guess, file_offset + BATCH_HEAD_BYTES,
				plant + BATCH_HEAD_BYTES);
		}
	}
	return bytes;
}

START_TEST(planted_batches_are_never_taken_up)
{
	struct fixture f;
	struct snapshot s;
	struct added first;
	struct spool_reference m, c;

	fixture_init(&f);
	fixture_open(&f);
	first = put(&f, 1, 3000);
	add_result(&f, &first.message, SPOOL_DONE, 0, 0);
	commit_ok(&f);
	snapshot_take(&f, &s);
	uint64_t start = f.spool->active.end;
	uint64_t payload = start + BATCH_HEAD_BYTES + RECORD_HEAD_BYTES;
	uint8_t *plants = make_plants(&f, &s, first.message.segment, payload, 65536);
	struct iovec piece = {plants, 65536};
	ck_assert_ok(spool_add_message(f.spool, 2, &piece, 1, 0, SLICE("e"), &m, &c));
	ck_assert_uint_eq(c.offset, payload);
	commit_ok(&f);
	put(&f, 3, 10);
	snapshot_take(&f, &s);
	for (int mode = 0; mode < 4; mode++) {
		snapshot_restore(&f, &s);
		if (mode == 1) /* the batch's head */
			flip_byte(&f, &c, start + 8);
		if (mode == 2) /* the content's */
			flip_byte(&f, &c, payload - 8);
		if (mode == 3) /* the message's: records are looked for from there on */
			flip_byte(&f, &c, m.offset - 8);
		for (int round = 0; round < 2; round++) {
			fixture_open(&f);
			ck_assert_int_eq(f.seen->damage > 0, mode > 0);
			ck_assert_ptr_null(find_seen(&f, 1));
			ck_assert_ptr_null(find_seen(&f, 666));
			ck_assert_int_eq(find_seen(&f, 2) != NULL, mode == 0);
			ck_assert_ptr_nonnull(find_seen(&f, 3));
		}
	}
	/* And as a tail that was never acknowledged. */
	uint32_t last = first.message.segment;
	snapshot_restore(&f, &s);
	change_file(&f, LOGFILE_SEGMENT, last, start, "torn", 4);
	static const uint8_t zeros[4096];
	change_file(&f, LOGFILE_SEGMENT, last, logfile_round_up(m.offset, 4096), zeros, 4096);
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->count, 0);
	ck_assert_uint_eq(f.seen->damage, 0);
	fixture_done(&f);
}
END_TEST

START_TEST(torn_journal_batches_are_dropped)
{
	struct fixture f;
	struct snapshot s;
	struct added added[3];
	static const uint8_t zeros[8192];

	fixture_init(&f);
	fixture_open(&f);
	for (uint64_t i = 0; i < 3; i++)
		added[i] = put(&f, i + 1, 10);
	add_result(&f, &added[0].message, SPOOL_DONE, 0, 0);
	commit_ok(&f);
	uint64_t start = f.spool->journal.end;
	uint32_t number = f.spool->journal.header.number;
	for (uint32_t i = 0; i < 50; i++)
		add_result(&f, &added[1].message, SPOOL_DEFERRED, i + 1, 77);
	add_result(&f, &added[2].message, SPOOL_DONE, 0, 0);
	commit_ok(&f);
	uint64_t end = f.spool->journal.end;
	ck_assert_uint_le(end - start, sizeof zeros);
	spool_close(&f.spool);
	snapshot_take(&f, &s);
	for (uint64_t cut = start; cut <= end; cut += 512) {
		snapshot_restore(&f, &s);
		change_file(&f, LOGFILE_JOURNAL, number, cut, zeros, (size_t)(end - cut));
		fixture_open(&f);
		ck_assert_uint_eq(f.seen->damage, 0);
		ck_assert_ptr_null(find_seen(&f, 1));
		uint32_t attempts = find_seen(&f, 2)->attempts;
		ck_assert(attempts == 0 || attempts == 50);
		ck_assert_int_eq(find_seen(&f, 3) == NULL, attempts == 50);
		if (cut == end)
			ck_assert_uint_eq(attempts, 50);
	}
	/* In the middle it is damage; what else the journal says still counts. */
	snapshot_restore(&f, &s);
	change_file(&f, LOGFILE_JOURNAL, number, start - 4096, zeros, 4096);
	fixture_open(&f);
	ck_assert_uint_ge(f.seen->damage, 1);
	ck_assert_ptr_nonnull(find_seen(&f, 1));
	ck_assert_ptr_null(find_seen(&f, 3));
	ck_assert_uint_eq(find_seen(&f, 2)->attempts, 50);
	ck_assert_uint_eq(count_files(&f).others, 2);
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->damage, 0);
	fixture_done(&f);
}
END_TEST

START_TEST(an_incomplete_new_journal_is_passed_over)
{
	struct fixture f;
	struct snapshot old, new;
	struct added added;
	size_t size;
	char name[LOGFILE_NAME_BYTES];

	fixture_init(&f);
	fixture_open(&f);
	added = put(&f, 1, 10);
	put(&f, 2, 10);
	add_result(&f, &added.message, SPOOL_DONE, 0, 0);
	commit_ok(&f);
	spool_close(&f.spool);
	snapshot_take(&f, &old);
	fixture_open(&f);
	uint32_t number = f.spool->journal.header.number;
	uint64_t end = f.spool->journal.end;
	snapshot_take(&f, &new);
	uint8_t *bytes = snapshot_bytes(&new, LOGFILE_JOURNAL, number, &size);
	logfile_name(LOGFILE_JOURNAL, number, name);
	for (uint64_t cut = 0; cut <= end; cut += 512) {
		snapshot_restore(&f, &old);
		uint8_t *torn = memory_get(f.scratch, size);
		memcpy(torn, bytes, cut);
		write_file(&f, name, torn, size);
		memory_put(f.scratch, torn);
		fixture_open(&f);
		ck_assert_uint_eq(f.seen->damage, 0);
		ck_assert_uint_eq(f.seen->count, 1);
		ck_assert_ptr_nonnull(find_seen(&f, 2));
		ck_assert_uint_eq(count_files(&f).journals, 1);
		ck_assert_uint_gt(f.spool->journal.header.number, number);
	}
	fixture_done(&f);
}
END_TEST

START_TEST(a_lost_journal_loses_no_mail)
{
	struct fixture f;
	struct snapshot s;
	struct added added;
	uint32_t number;

	fixture_init(&f);
	fixture_open(&f);
	added = put(&f, 1, 400000);
	put(&f, 2, 400000);
	put(&f, 3, 400000);
	add_result(&f, &added.message, SPOOL_DONE, 0, 0);
	commit_ok(&f);
	for (int round = 0; round < 2; round++) {
		number = f.spool->journal.header.number;
		snapshot_take(&f, &s);
		change_file(&f, LOGFILE_JOURNAL, number, 8, "garbage", 7);
		spool_close(&f.spool);
		fixture_open(&f);
		ck_assert_uint_ge(f.seen->damage, 1);
		check_first_whole(&f, 0);
		/* 1 may be delivered again: only the journal knew. */
		ck_assert_ptr_nonnull(find_seen(&f, 2));
		ck_assert_ptr_nonnull(find_seen(&f, 3));
		fixture_open(&f);
		ck_assert_uint_eq(f.seen->damage, 0);
		put(&f, 10 + (uint64_t)round, 10);
	}
	/* A hole in the state: the rest of the journal is used, the segments are read from their
	 * start. */
	number = f.spool->journal.header.number;
	spool_close(&f.spool);
	fixture_open(&f);
	number = f.spool->journal.header.number;
	put(&f, 20, 10);
	change_file(&f, LOGFILE_JOURNAL, number, f.spool->block + BATCH_HEAD_BYTES + 20, "X", 1);
	fixture_open(&f);
	ck_assert_uint_ge(f.seen->damage, 1);
	check_first_whole(&f, 0);
	ck_assert_ptr_nonnull(find_seen(&f, 2));
	ck_assert_ptr_nonnull(find_seen(&f, 3));
	ck_assert_ptr_nonnull(find_seen(&f, 20));
	fixture_done(&f);
}
END_TEST

/* A message stays in the first segment, the one behind it is freed: the first one's end is known
 * all the same. */
START_TEST(a_straggler_is_no_damage)
{
	struct fixture f;
	struct added added[4];
	uint32_t last = 0;

	fixture_init(&f);
	fixture_open(&f);
	for (uint64_t i = 0; i < 4; i++) {
		added[i] = put(&f, i + 1, 600000);
		ck_assert_uint_ne(added[i].message.segment, last);
		last = added[i].message.segment;
	}
	add_result(&f, &added[1].message, SPOOL_DONE, 0, 0);
	add_result(&f, &added[2].message, SPOOL_DONE, 0, 0);
	commit_ok(&f);
	ck_assert_ptr_null(segment_find(f.spool, added[1].message.segment));
	for (int round = 0; round < 2; round++) {
		fixture_open(&f);
		ck_assert_msg(f.seen->damage == 0, "%s: %s", f.seen->file, f.seen->what);
		ck_assert_uint_eq(f.seen->count, 2);
		check_first_whole(&f, 1);
		ck_assert_ptr_nonnull(find_seen(&f, 4));
	}
	/* And it goes, as any other, when nothing in it is live. */
	add_result(&f, &added[0].message, SPOOL_DONE, 0, 0);
	commit_ok(&f);
	ck_assert_ptr_null(segment_find(f.spool, added[0].message.segment));
	fixture_done(&f);
}
END_TEST

/* A disk of which some reads fail, as `world` of a copy of its table. */
struct bad_reads {
	const struct disk_ops *disk;
	unsigned reads, fail_at, fail_count;
};

static ssize_t
bad_pread(void *world, int fd, void *bytes, size_t len, off_t offset)
{
	struct bad_reads *bad = world;

	bad->reads++;
	if (bad->reads >= bad->fail_at && bad->reads < bad->fail_at + bad->fail_count)
		return -EIO;
	return bad->disk->pread(NULL, fd, bytes, len, offset);
}

/* Whoever was seen is done; a new one comes. Gives the ids that may not be seen again. */
static uint64_t
work_on(struct fixture *f)
{
	uint64_t done = 0;

	for (size_t i = 0; i < f->seen->count; i++) {
		add_result(f, &f->seen->messages[i].message, SPOOL_DONE, 0, 0);
		done |= UINT64_C(1) << f->seen->messages[i].message.queue_id;
	}
	commit_ok(f);
	put(f, 20, 10);
	return done;
}

static void
check_after_bad_reads(struct fixture *f, uint64_t done, bool was_open)
{
	for (int round = 0; round < 2; round++) {
		fixture_open(f);
		ck_assert_msg(f->seen->damage == 0, "%s: %s", f->seen->file, f->seen->what);
		check_first_whole(f, 0);
		for (uint64_t id = 2; id <= 5; id++)
			ck_assert_msg((find_seen(f, id) != NULL) != (done >> id & 1), "message %u",
				(unsigned)id);
		ck_assert_ptr_null(find_seen(f, 1));
		ck_assert_int_eq(find_seen(f, 20) != NULL, was_open);
	}
	const struct seen_message *second = find_seen(f, 2);
	ck_assert(!second || (second->attempts == 4 && second->done_count == 1));
}

/* Messages in the journal's state and behind it, in two segments, with results for both. */
static void
make_read(struct fixture *f)
{
	struct added added[5];

	fixture_open(f);
	added[0] = put(f, 1, 10);
	added[1] = put(f, 2, 300000);
	fixture_open(f);
	added[2] = put(f, 3, 600000);
	added[3] = put(f, 4, 600000);
	added[4] = put(f, 5, 10);
	ck_assert_uint_ne(added[2].message.segment, added[3].message.segment);
	add_result(f, &added[0].message, SPOOL_DONE, 0, 0);
	add_result(f, &added[1].message, SPOOL_DEFERRED, 4, 5);
	add_result(f, &added[1].message, SPOOL_RECIPIENT_DELIVERED, 3, 0);
	add_result(f, &added[4].message, SPOOL_HELD, 0, 0);
	commit_ok(f);
	spool_close(&f->spool);
}

/*
 * R1: what could not be read is neither damaged nor gone. Each read of a start fails, alone and
 * with those after it; the start ends or goes on without it, and the next one has everything.
 */
START_TEST(a_read_error_is_not_damage)
{
	struct fixture f;
	struct snapshot s;
	unsigned refused = 0, opened_without = 0;

	fixture_init(&f);
	make_read(&f);
	snapshot_take(&f, &s);
	struct disk_ops disk = *f.env.disk;
	disk.pread = bad_pread;
	struct bad_reads bad = {.disk = f.env.disk};
	f.env.disk = &disk;
	f.env.world = &bad;
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->count, 4);
	unsigned reads = bad.reads;
	for (unsigned count = 1; count <= reads; count += count < 5 ? 1 : reads / 2) {
		for (unsigned at = 1; at <= reads; at++) {
			snapshot_restore(&f, &s);
			bad = (struct bad_reads){
				.disk = bad.disk, .fail_at = at, .fail_count = count};
			bool open = fixture_try_open(&f) == OK;
			bad.fail_count = 0;
			refused += !open;
			opened_without += open && f.seen->count < 4;
			ck_assert(open || f.seen->damage > 0);
			ck_assert(f.seen->count == 4 || f.seen->damage > 0);
			uint64_t done = open ? work_on(&f) : 0;
			check_after_bad_reads(&f, done, open);
		}
	}
	ck_assert_uint_gt(refused, 0);
	ck_assert_uint_gt(opened_without, 0);
	f.env.disk = bad.disk;
	f.env.world = NULL;
	fixture_done(&f);
}
END_TEST

static void
plant(struct fixture *f, const char *name, mode_t type)
{
	if (type == S_IFIFO)
		ck_assert_int_eq(mkfifoat(f->dir_fd, name, 0600), 0);
	else if (type == S_IFLNK)
		ck_assert_int_eq(symlinkat("lock", f->dir_fd, name), 0);
	else if (type == S_IFDIR)
		ck_assert_int_eq(mkdirat(f->dir_fd, name, 0700), 0);
	else
		write_file(f, name, "VJRN nothing", 12);
}

static const struct {
	const char *name;
	mode_t type;
} strange[] = {
	{"segment-00000101", S_IFIFO},
	{"journal-00000101", S_IFIFO},
	{"segment-00000102", S_IFLNK},
	{"journal-00000102", S_IFLNK},
	{"segment-00000103", S_IFDIR},
	{"journal-00000103", S_IFDIR},
	{"segment-ffffffff", S_IFREG},
	{"journal-ffffffff", S_IFREG},
	{"segment-fff00000", S_IFDIR},
	{"journal-fff00000", S_IFIFO},
};
#define STRANGE (sizeof strange / sizeof *strange)

/* Whoever puts them there: they neither hold up nor end a start, stop no mail, and stay. */
START_TEST(strange_files_are_left_alone)
{
	struct fixture f;
	struct stat file;

	fixture_init(&f);
	fixture_open(&f);
	struct added first = put(&f, 1, 10);
	for (size_t i = 0; i < STRANGE; i++)
		plant(&f, strange[i].name, strange[i].type);
	for (uint64_t round = 0; round < 3; round++) {
		fixture_open(&f);
		ck_assert_uint_eq(f.seen->damage, STRANGE);
		ck_assert_uint_eq(f.seen->count, 1 + round);
		check_first_whole(&f, 1);
		put(&f, 2 + round, 700000);
		while (spool_prepare(f.spool))
			continue;
	}
	for (size_t i = 0; i < STRANGE; i++) {
		ck_assert_int_eq(fstatat(f.dir_fd, strange[i].name, &file, AT_SYMLINK_NOFOLLOW), 0);
		ck_assert_uint_eq(file.st_mode & S_IFMT, strange[i].type);
		ck_assert_int_eq(unlinkat(f.dir_fd, strange[i].name,
					 strange[i].type == S_IFDIR ? AT_REMOVEDIR : 0),
			0);
	}
	/* In the place of a segment they are one that can't be read. */
	char name[LOGFILE_NAME_BYTES];
	logfile_name(LOGFILE_SEGMENT, first.message.segment, name);
	spool_close(&f.spool);
	ck_assert_int_eq(renameat(f.dir_fd, name, f.dir_fd, "away"), 0);
	plant(&f, name, S_IFIFO);
	fixture_open(&f);
	ck_assert_uint_ge(f.seen->damage, 1);
	ck_assert_ptr_null(find_seen(&f, 1));
	ck_assert_ptr_nonnull(find_seen(&f, 4));
	ck_assert_int_eq(renameat(f.dir_fd, "away", f.dir_fd, name), 0);
	fixture_open(&f);
	ck_assert_uint_eq(f.seen->damage, 0);
	check_first_whole(&f, 4);
	fixture_done(&f);
}
END_TEST

/* The first 64 octets keep their form in every version: those of others are refused by name, and
 * nothing is changed. */
START_TEST(other_versions_are_refused)
{
	struct fixture f;
	struct snapshot s;
	struct added added;

	fixture_init(&f);
	fixture_open(&f);
	added = put(&f, 1, 10);
	uint32_t numbers[] = {added.message.segment, f.spool->journal.header.number};
	spool_close(&f.spool);
	snapshot_take(&f, &s);
	for (int i = 0; i < 4; i++) {
		enum logfile_kind kind = i % 2 ? LOGFILE_JOURNAL : LOGFILE_SEGMENT;
		uint8_t head[64], check[8];
		struct siphash_key key;
		struct buffer bytes;
		snapshot_restore(&f, &s);
		memcpy(head, snapshot_bytes(&s, kind, numbers[kind], NULL), sizeof head);
		head[4] = i < 2 ? 1 : 3;
		memcpy(key.bytes, head + 40, sizeof key.bytes);
		buffer_init_fixed(&bytes, check, sizeof check);
		buffer_append_u64(&bytes, siphash(&key, slice_of(head, 56)));
		memcpy(head + 56, check, sizeof check);
		change_file(&f, kind, numbers[kind], 0, head, sizeof head);
		struct file_count before = count_files(&f);
		ck_assert_int_eq(fixture_try_open(&f), ERROR_UNSUPPORTED);
		ck_assert_ptr_null(f.spool);
		ck_assert_ptr_nonnull(strstr(f.seen->what, "another version"));
		ck_assert_uint_eq(count_files(&f).segments, before.segments);
		ck_assert_uint_eq(count_files(&f).journals, before.journals);
	}
	fixture_done(&f);
}
END_TEST

UNIT_MAIN("spool/damage", torn_tails_are_dropped, lost_sectors_of_the_last_batch_are_dropped,
	truncated_segments_end_where_they_end, damage_in_the_middle_is_reported,
	damage_behind_the_state_is_reported, missing_segments_are_reported,
	older_segments_have_no_torn_tails, results_wait_for_a_segment_that_is_away,
	planted_batches_are_never_taken_up, torn_journal_batches_are_dropped,
	an_incomplete_new_journal_is_passed_over, a_lost_journal_loses_no_mail,
	a_damaged_header_hides_nothing, a_straggler_is_no_damage, strange_files_are_left_alone,
	a_read_error_is_not_damage, other_versions_are_refused)
