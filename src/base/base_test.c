#include "base/arena.h"
#include "base/cursor.h"
#include "base/file_replace.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/log_record.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

START_TEST(slice_numbers)
{
	uint64_t n = 7;

	ck_assert(slice_number(SLICE("0"), 10, &n) && n == 0);
	ck_assert(slice_number(SLICE("18446744073709551615"), UINT64_MAX, &n) && n == UINT64_MAX);
	ck_assert(!slice_number(SLICE("18446744073709551616"), UINT64_MAX, &n));
	ck_assert(slice_number(SLICE("255"), 255, &n) && n == 255);
	ck_assert(!slice_number(SLICE("256"), 255, &n));
	ck_assert(!slice_number(SLICE("7"), 5, &n));
	ck_assert(!slice_number(SLICE(""), 10, &n) && !slice_number(SLICE("-1"), 10, &n) &&
		  !slice_number(SLICE(" 1"), 10, &n));
}
END_TEST

START_TEST(slice_parts)
{
	struct slice s = SLICE("  hello\t ");

	ck_assert_slice_eq(slice_trim(s), "hello");
	ck_assert_slice_eq(slice_sub(s, 2, 100), "hello\t ");
	ck_assert_uint_eq(slice_sub(s, 100, 1).len, 0);
	ck_assert(slice_equal_nocase(SLICE("MaIl"), SLICE("mAiL")) &&
		  !slice_equal_nocase(SLICE("a"), SLICE("ab")));
	ck_assert(slice_compare(SLICE("a"), SLICE("ab")) < 0 &&
		  slice_compare(SLICE("b"), SLICE("ab")) > 0);
	ck_assert_int_eq(slice_find(SLICE("abcabc"), 1, 'a'), 3);
	ck_assert_int_eq(slice_find(SLICE("abc"), 9, 'a'), -1);
	ck_assert(slice_has_suffix(SLICE("x.eml"), SLICE(".eml")) &&
		  !slice_has_suffix(SLICE("l"), SLICE(".eml")));
}
END_TEST

START_TEST(memory_is_counted_and_limited)
{
	struct memory *memory = memory_new(100);
	void *a = memory_try(memory, 60);

	ck_assert_ptr_nonnull(a);
	ck_assert_ptr_null(memory_try(memory, 41));
	void *b = memory_resize(memory, a, 100);
	ck_assert_ptr_nonnull(b);
	ck_assert_ptr_null(memory_resize(memory, b, 101));
	ck_assert_uint_eq(memory_used(memory), 100);
	memory_put(memory, b);
	ck_assert_uint_eq(memory_used(memory), 0);
	ck_assert_ptr_nonnull(memory_try(memory, 100));
	memory_free(&memory);
	ck_assert_ptr_null(memory);
}
END_TEST

START_TEST(buffer_keeps_its_maximum)
{
	struct memory *memory = memory_new(0);
	struct buffer buffer;

	buffer_init(&buffer, memory, 10);
	buffer_append_text(&buffer, "12345678");
	ck_assert_ok(buffer_error(&buffer));
	buffer_append_text(&buffer, "abc");
	ck_assert_int_eq(buffer_error(&buffer), ERROR_LIMIT);
	buffer_append_text(&buffer, "a");
	ck_assert_slice_eq(buffer_slice(&buffer), "12345678");
	buffer_clear(&buffer);
	buffer_printf(&buffer, "%d-%s", 42, "x");
	ck_assert_slice_eq(buffer_slice(&buffer), "42-x");
	ck_assert_str_eq(buffer_text(&buffer), "42-x");
	buffer_clear(&buffer);
	buffer_append_number(&buffer, 1234567890);
	ck_assert_slice_eq(buffer_slice(&buffer), "1234567890");
	buffer_done(&buffer);
	ck_assert_uint_eq(memory_used(memory), 0);
	memory_free(&memory);
}
END_TEST

START_TEST(buffer_prints_what_is_long)
{
	struct memory *memory = memory_new(0);
	struct buffer buffer;
	char text[1000];

	memset(text, 'y', sizeof text - 1);
	text[sizeof text - 1] = 0;
	buffer_init(&buffer, memory, 4096);
	buffer_printf(&buffer, "<%s>", text);
	ck_assert_uint_eq(buffer.len, 1001);
	ck_assert_int_eq(buffer.ptr[1000], '>');
	buffer_done(&buffer);
	memory_free(&memory);
}
END_TEST

START_TEST(cursor_error_sticks)
{
	uint8_t bytes[] = {1, 2, 0, 3, 0, 0, 0, 9};
	struct cursor cursor = cursor_of(slice_of(bytes, sizeof bytes));

	ck_assert_uint_eq(cursor_take_u8(&cursor), 1);
	ck_assert_uint_eq(cursor_take_u16(&cursor), 2);
	ck_assert_uint_eq(cursor_take_u32(&cursor), 3);
	ck_assert_uint_eq(cursor_take_u16(&cursor), 0);
	ck_assert_int_eq(cursor.error, ERROR_FORMAT);
	ck_assert_uint_eq(cursor_take_u8(&cursor), 0);
	ck_assert_uint_eq(cursor.at, 7);
}
END_TEST

START_TEST(arena_is_limited)
{
	struct memory *memory = memory_new(0);
	struct arena arena;
	struct slice copy;

	arena_init(&arena, memory, 10000);
	ck_assert(arena_copy(&arena, SLICE("hello"), &copy));
	ck_assert_ptr_nonnull(arena_take(&arena, 9000));
	ck_assert_ptr_null(arena_take(&arena, 1000));
	ck_assert_slice_eq(copy, "hello");
	ck_assert_ptr_null(arena_text(&arena, SLICE("a\0b")));
	arena_done(&arena);
	ck_assert_uint_eq(memory_used(memory), 0);
	memory_free(&memory);
}
END_TEST

/* The vectors of the SipHash paper's reference: key 00..0f, messages 00, 00 01, ... (first and
 * sixteenth). */
START_TEST(siphash_vectors)
{
	struct siphash_key key;
	uint8_t message[16];

	for (int i = 0; i < 16; i++)
		key.bytes[i] = message[i] = (uint8_t)i;
	ck_assert_uint_eq(siphash(&key, slice_of(message, 0)), 0x726fdb47dd0e0e31u);
	ck_assert_uint_eq(siphash(&key, slice_of(message, 15)), 0xa129ca6149be45e5u);
}
END_TEST

/* RFC 3720 appendix B.4. */
START_TEST(crc32c_vectors)
{
	uint8_t zeros[32] = {0}, ones[32], rising[32];

	memset(ones, 0xff, sizeof ones);
	for (int i = 0; i < 32; i++)
		rising[i] = (uint8_t)i;
	ck_assert_uint_eq(crc32c(0, slice_of(zeros, 32)), 0x8a9136aau);
	ck_assert_uint_eq(crc32c(0, slice_of(ones, 32)), 0x62a8ab43u);
	ck_assert_uint_eq(crc32c(0, slice_of(rising, 32)), 0x46dd794eu);
	ck_assert_uint_eq(
		crc32c(crc32c(0, slice_of(rising, 13)), slice_of(rising + 13, 19)), 0x46dd794eu);
}
END_TEST

struct kept_record {
	struct log_sink sink;
	uint8_t bytes[LOG_RECORD_MAX];
	size_t len;
};

static void
keep_record(struct log_sink *sink, struct slice record)
{
	struct kept_record *kept = (struct kept_record *)sink;

	memcpy(kept->bytes, record.ptr, record.len);
	kept->len = record.len;
}

START_TEST(log_lines_cannot_be_forged)
{
	struct env env;
	struct kept_record kept = {.sink = {keep_record}};
	struct buffer line;

	env_init_linux(&env);
	env.log = &kept.sink;
	log_event(&env, LOG_WARNING, "refused",
		LOG_SLICE("from", SLICE("a\r\nb=\"c\" \x1b[2J\xff")), LOG_NUMBER("code", -550),
		LOG_STRING("plain", "user@example.org"), LOG_STRING("empty", ""));
	buffer_init(&line, env.memory, 4096);
	ck_assert_ok(log_record_short(slice_of(kept.bytes, kept.len), &line));
	ck_assert_slice_eq(buffer_slice(&line),
		"refused from=\"a\\x0d\\x0ab=\\\"c\\\" \\x1b[2J\\xff\" "
		"code=-550 plain=user@example.org empty=\"\"");
	buffer_clear(&line);
	ck_assert_ok(log_record_json(slice_of(kept.bytes, kept.len), SLICE(""), &line));
	const char *json = buffer_text(&line);
	ck_assert_ptr_nonnull(strstr(json, "\"event\":\"refused\",\"from\":\"a\\u000d\\u000ab="
					   "\\\"c\\\" \\u001b[2J\\ufffd\",\"code\":-550"));
	buffer_clear(&line);
	ck_assert_int_eq(log_record_line(slice_of(kept.bytes, kept.len - 1), SLICE(""), &line),
		ERROR_FORMAT);
	/* Names are not quoted, so a process that is no longer ours must not choose them freely. */
	log_event(&env, LOG_INFO, "a\nreceived", LOG_NUMBER("n", 1));
	ck_assert_int_eq(
		log_record_line(slice_of(kept.bytes, kept.len), SLICE(""), &line), ERROR_FORMAT);
	ck_assert_int_eq(
		log_record_json(slice_of(kept.bytes, kept.len), SLICE(""), &line), ERROR_FORMAT);
	log_event(&env, LOG_INFO, "a", LOG_NUMBER("n=1 m", 1));
	ck_assert_int_eq(log_record_short(slice_of(kept.bytes, kept.len), &line), ERROR_FORMAT);
	buffer_done(&line);
	env_done(&env);
}
END_TEST

START_TEST(log_marks_what_it_cuts)
{
	struct env env;
	struct kept_record kept = {.sink = {keep_record}};
	struct buffer line;
	char text[LOG_RECORD_TEXT_MAX + 50];

	env_init_linux(&env);
	env.log = &kept.sink;
	memset(text, 'a', sizeof text);
	log_event(&env, LOG_INFO, "long", LOG_SLICE("a", slice_of(text, sizeof text)),
		LOG_SLICE("b", slice_of(text, sizeof text)),
		LOG_SLICE("c", slice_of(text, sizeof text)),
		LOG_SLICE("d", slice_of(text, sizeof text)));
	buffer_init(&line, env.memory, 4096);
	ck_assert_ok(log_record_short(slice_of(kept.bytes, kept.len), &line));
	const char *shown = buffer_text(&line);
	ck_assert_ptr_nonnull(strstr(shown, "aaa..."));
	ck_assert_ptr_null(strstr(shown, "b="));
	ck_assert_ptr_nonnull(strstr(shown, " cut=1"));
	buffer_done(&line);
	env_done(&env);
}
END_TEST

START_TEST(file_is_replaced_whole)
{
	struct env env;
	char folder[] = "/tmp/veredus-base-XXXXXX";
	struct buffer bytes;

	env_init_linux(&env);
	ck_assert_ptr_nonnull(mkdtemp(folder));
	int dir_fd = open(folder, O_RDONLY | O_DIRECTORY);
	ck_assert_ok(file_replace(&env, dir_fd, "state", SLICE("one"), 0600));
	ck_assert_ok(file_replace(&env, dir_fd, "state", SLICE("two!"), 0600));
	buffer_init(&bytes, env.memory, 100);
	ck_assert_ok(file_read(&env, dir_fd, "state", &bytes));
	ck_assert_slice_eq(buffer_slice(&bytes), "two!");
	buffer_done(&bytes);
	buffer_init(&bytes, env.memory, 3);
	ck_assert_int_eq(file_read(&env, dir_fd, "state", &bytes), ERROR_LIMIT);
	ck_assert_int_eq(file_read(&env, dir_fd, "none", &bytes), ERROR_NOT_FOUND);
	buffer_done(&bytes);
	ck_assert_int_eq(unlinkat(dir_fd, "state", 0), 0);
	close(dir_fd);
	ck_assert_int_eq(rmdir(folder), 0); /* nothing else was left there */
	env_done(&env);
}
END_TEST

START_TEST(errors_have_names)
{
	for (int i = 0; i < ERROR_COUNT; i++)
		ck_assert_ptr_nonnull(error_text((enum error)i));
	ck_assert_int_eq(error_from_errno(ENOSPC), ERROR_NO_SPACE);
	ck_assert_int_eq(error_from_errno(EMFILE), ERROR_NO_DESCRIPTORS);
	ck_assert_int_eq(error_from_errno(0), OK);
}
END_TEST

UNIT_MAIN("base", slice_numbers, slice_parts, memory_is_counted_and_limited,
	buffer_keeps_its_maximum, buffer_prints_what_is_long, cursor_error_sticks, arena_is_limited,
	siphash_vectors, crc32c_vectors, log_lines_cannot_be_forged, log_marks_what_it_cuts,
	file_is_replaced_whole, errors_have_names)
