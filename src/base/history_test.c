/* Files of history: what is written is read, and what was cut off or damaged hides nothing else. */
#include "base/history.h"
#include "unit.h"

#define FILE_BYTES 8192

struct file {
	struct memory *memory;
	struct buffer bytes;
};

static void
file_init(struct file *file)
{
	file->memory = memory_new(0);
	buffer_init(&file->bytes, file->memory, FILE_BYTES);
	history_head_append(&file->bytes, 1700000000000000);
}

static void
file_done(struct file *file)
{
	buffer_done(&file->bytes);
	memory_free(&file->memory);
}

/* A record as log_write makes it: level, time, event, no fields. */
static struct slice
record_of(uint8_t storage[64], const char *event)
{
	struct buffer record;

	buffer_init_fixed(&record, storage, 64);
	buffer_append_octet(&record, LOG_INFO);
	buffer_append_u64(&record, 1700000000000000);
	buffer_append_octet(&record, (uint8_t)strlen(event));
	buffer_append_text(&record, event);
	return buffer_slice(&record);
}

static void
append(struct file *file, const char *event)
{
	uint8_t storage[64];

	history_frame_append(&file->bytes, record_of(storage, event));
	ck_assert_ok(buffer_error(&file->bytes));
}

/* The events that are read, a blank behind each. */
static void
check_events(const struct file *file, const char *events)
{
	struct slice bytes = buffer_slice(&file->bytes), record;
	size_t at = HISTORY_HEAD_BYTES;
	char storage[256] = "";
	struct buffer text;

	buffer_init_fixed(&text, storage, sizeof storage);
	while (history_next(bytes, true, &at, &record)) {
		buffer_append(&text, log_record_event(record));
		buffer_append_octet(&text, ' ');
	}
	ck_assert_slice_eq(buffer_slice(&text), events);
}

START_TEST(written_is_read)
{
	struct file file;
	wall_us started;

	file_init(&file);
	ck_assert_ok(history_head_read(buffer_slice(&file.bytes), &started));
	ck_assert(started == 1700000000000000);
	check_events(&file, "");
	append(&file, "received");
	append(&file, "delivered");
	check_events(&file, "received delivered ");
	file.bytes.ptr[9] ^= 1;
	ck_assert_int_eq(history_head_read(buffer_slice(&file.bytes), &started), ERROR_FORMAT);
	file_done(&file);
}
END_TEST

/* Wherever the middle one of three was cut off. */
START_TEST(cut_off_hides_nothing)
{
	struct file whole;

	file_init(&whole);
	append(&whole, "received");
	size_t start = whole.bytes.len;
	append(&whole, "deferred");
	size_t end = whole.bytes.len;
	for (size_t cut = start; cut < end; cut++) {
		struct file file;
		file_init(&file);
		buffer_clear(&file.bytes);
		buffer_append(&file.bytes, slice_sub(buffer_slice(&whole.bytes), 0, cut));
		check_events(&file, "received ");
		append(&file, "delivered");
		check_events(&file, "received delivered ");
		file_done(&file);
	}
	file_done(&whole);
}
END_TEST

START_TEST(damage_hides_one)
{
	struct file file;

	file_init(&file);
	append(&file, "received");
	size_t start = file.bytes.len;
	append(&file, "deferred");
	size_t end = file.bytes.len;
	append(&file, "delivered");
	for (size_t at = start; at < end; at++) {
		file.bytes.ptr[at] ^= 0x40;
		check_events(&file, "received delivered ");
		file.bytes.ptr[at] ^= 0x40;
	}
	check_events(&file, "received deferred delivered ");
	file_done(&file);
}
END_TEST

/* A frame that the reader sees only a part of is waited for. */
START_TEST(in_pieces)
{
	struct file file;
	struct slice record;

	file_init(&file);
	append(&file, "received");
	append(&file, "delivered");
	for (size_t cut = HISTORY_HEAD_BYTES; cut <= file.bytes.len; cut++) {
		size_t at = HISTORY_HEAD_BYTES, count = 0;
		struct slice bytes = buffer_slice(&file.bytes);
		while (history_next(slice_sub(bytes, 0, cut), false, &at, &record))
			count++;
		ck_assert_uint_le(at, cut);
		while (history_next(bytes, true, &at, &record))
			count++;
		ck_assert_uint_eq(count, 2);
	}
	file_done(&file);
}
END_TEST

START_TEST(names_and_kinds)
{
	static const char *const wrong[] = {"history/mail-6", "history/mail-", "history/mails-1",
		"history/mail-1x", "mail-1", "history/", "", "/history/mail-1"};
	enum history_kind kind;
	uint32_t number;
	uint8_t storage[64];

	ck_assert(history_file_parse(SLICE("history/tries-5"), &kind, &number));
	ck_assert_int_eq(kind, HISTORY_TRIES);
	ck_assert_uint_eq(number, 5);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		ck_assert_msg(
			!history_file_parse(slice_text(wrong[i]), &kind, &number), "%s", wrong[i]);
	ck_assert(history_keeps(record_of(storage, "refused"), &kind));
	ck_assert_int_eq(kind, HISTORY_REFUSED);
	ck_assert(!history_keeps(record_of(storage, "connected"), &kind));
	ck_assert(!history_keeps(SLICE("nonsense"), &kind));
	uint64_t all = 0;
	for (int i = 0; i < HISTORY_KINDS; i++)
		all += HISTORY_FILES * history_file_size((enum history_kind)i, 240 << 20);
	/* What is collected for others comes on top. */
	ck_assert_uint_eq(
		all - HISTORY_FILES * history_file_size(HISTORY_DMARC, 240 << 20), 240 << 20);
	ck_assert_uint_eq(all, (240 + 30) << 20);
}
END_TEST

UNIT_MAIN("base/history", written_is_read, cut_off_hides_nothing, damage_hides_one, in_pieces,
	names_and_kinds)
