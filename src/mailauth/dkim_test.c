/* What tests/mailauth/test_dkim cannot see: pieces cut anywhere, memory and DNS that fail, the
 * small parsers below. */
#include "text/base64.h"
#include "mailauth/dkim.h"
#include "mailauth/key_record.h"
#include "dns/table_test.h"
#include "unit.h"

/* RFC 8463 appendix A.3. */
static const char message[] = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
			      " d=football.example.com; i=@football.example.com;\r\n"
			      " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
			      " subject : date : message-id : from : subject : date;\r\n"
			      " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
			      " b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
			      " Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n"
			      "From: Joe SixPack <joe@football.example.com>\r\n"
			      "To: Suzie Q <suzie@shopping.example.net>\r\n"
			      "Subject: Is dinner ready?\r\n"
			      "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
			      "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
			      "\r\n"
			      "Hi.\r\n"
			      "\r\n"
			      "We lost the game.  Are you hungry yet?\r\n"
			      "\r\n"
			      "Joe.\r\n";

static const struct table_record zone[] = {{"brisbane._domainkey.football.example.com", DNS_TXT,
	SLICE_INIT("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")}};

static void
header_done(void *arg, struct content *content)
{
	dkim_begin(arg, content);
}

/* The overall result, of a message that comes in pieces of this size. */
static enum dkim_result
judge(struct memory *memory, struct table *table, size_t piece)
{
	struct dns_source source = table_source(table);
	struct slice text = slice_of(message, sizeof message - 1);
	struct arena arena;
	struct dkim dkim = {0};
	struct signature_request request = {
		.dns = &source, .arena = &arena, .now = 1600000000 * US_PER_S};
	struct content *content = content_new(memory, header_done, &dkim);

	if (!content)
		return DKIM_TEMPERROR;
	arena_init(&arena, memory, DKIM_ARENA_BYTES);
	for (size_t at = 0; at < text.len; at += piece)
		content_feed(content, slice_sub(text, at, piece));
	content_end(content);
	dkim_check(&dkim, content, &request, memory);
	arena_done(&arena);
	content_free(&content);
	return dkim.result;
}

START_TEST(pieces_may_be_cut_anywhere)
{
	struct memory *memory = memory_new(0);
	struct table table = {.records = zone, .count = 1};

	for (size_t piece = 1; piece <= sizeof message; piece++)
		ck_assert_int_eq(judge(memory, &table, piece), DKIM_PASS);
	ck_assert_uint_eq(memory_used(memory), 0);
	memory_free(&memory);
}
END_TEST

START_TEST(a_failing_dns_is_a_temperror)
{
	struct memory *memory = memory_new(0);
	struct table table = {.records = zone, .count = 1, .broken = 1};

	ck_assert_int_eq(judge(memory, &table, 100), DKIM_TEMPERROR);
	memory_free(&memory);
}
END_TEST

/* With too little memory: a temperror, never another verdict, until there is enough. */
START_TEST(lack_of_memory_is_a_temperror)
{
	enum dkim_result result = DKIM_TEMPERROR;

	for (size_t bytes = 1024; result != DKIM_PASS; bytes += 256) {
		struct memory *memory = memory_new(bytes);
		struct table table = {.records = zone, .count = 1};
		ck_assert_uint_lt(bytes, 1u << 20);
		result = judge(memory, &table, 1000);
		ck_assert(result == DKIM_TEMPERROR || result == DKIM_PASS);
		memory_free(&memory);
	}
}
END_TEST

static void
append_octets(void *arg, struct slice octets)
{
	buffer_append(arg, octets);
}

static void
check_body(enum canon canon, const char *text, const char *wanted)
{
	struct slice octets = slice_text(text);
	uint8_t storage[256];
	struct buffer out;
	struct canon_body body;

	for (size_t piece = 1; piece <= octets.len + 1; piece++) {
		buffer_init_fixed(&out, storage, sizeof storage);
		canon_body_init(&body, canon, append_octets, &out);
		for (size_t at = 0; at < octets.len; at += piece)
			canon_body_feed(&body, slice_sub(octets, at, piece));
		canon_body_finish(&body);
		ck_assert_slice_eq(buffer_slice(&out), wanted);
		ck_assert_uint_eq(body.emitted, out.len);
	}
}

START_TEST(bodies_become_canonical)
{
	check_body(CANON_SIMPLE, "", "\r\n");
	check_body(CANON_SIMPLE, "\r\n\r\n", "\r\n");
	check_body(CANON_SIMPLE, " C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n");
	check_body(CANON_SIMPLE, "a\rb\nc\r\r\n", "a\rb\nc\r\r\n");
	check_body(CANON_SIMPLE, "\r\n\r\na", "\r\n\r\na\r\n");
	check_body(CANON_RELAXED, "", "");
	check_body(CANON_RELAXED, " \r\n\t\r\n", "");
	check_body(CANON_RELAXED, " C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n");
	check_body(CANON_RELAXED, "a \rb\nc \r\n\r\nd", "a \rb\nc\r\n\r\nd\r\n");
}
END_TEST

static void
canonize(enum canon canon, struct slice octets, size_t piece, struct buffer *out)
{
	struct canon_body body;

	buffer_clear(out);
	canon_body_init(&body, canon, append_octets, out);
	for (size_t at = 0; at < octets.len; at += piece)
		canon_body_feed(&body, slice_sub(octets, at, piece));
	canon_body_finish(&body);
}

/* Long runs go another way than short ones: both must come to the same, whatever stands there. */
START_TEST(long_bodies_are_as_short_ones)
{
	static const char letters[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaa  \t\r\n";
	static uint8_t text[400], first[2048], second[2048];
	struct buffer whole, pieces;
	uint32_t random = 6376;

	buffer_init_fixed(&whole, first, sizeof first);
	buffer_init_fixed(&pieces, second, sizeof second);
	for (unsigned run = 0; run < 4000; run++) {
		for (size_t i = 0; i < sizeof text; i++) {
			random = random * 1664525 + 1013904223;
			text[i] = (uint8_t)letters[(random >> 16) % (sizeof letters - 1)];
			if (text[i] == '\r' && random >> 31 && i + 1 < sizeof text)
				text[++i] = '\n';
		}
		for (enum canon canon = CANON_SIMPLE; canon <= CANON_RELAXED; canon++) {
			canonize(canon, slice_of(text, sizeof text), sizeof text, &whole);
			canonize(canon, slice_of(text, sizeof text), 1, &pieces);
			ck_assert(slice_equal(buffer_slice(&whole), buffer_slice(&pieces)));
		}
	}
}
END_TEST

static void
check_field(enum canon canon, const char *text, const char *hole, const char *wanted)
{
	struct header_scanner scanner = header_scanner_of(slice_text(text));
	struct header_field field;
	uint8_t storage[256];
	struct buffer out;
	const char *at = hole ? strstr(text, hole) : NULL;

	ck_assert(header_next(&scanner, &field));
	buffer_init_fixed(&out, storage, sizeof storage);
	canon_append_field(&out, canon, &field, slice_of(at, at ? strlen(hole) : 0));
	ck_assert_slice_eq(buffer_slice(&out), wanted);
}

START_TEST(fields_become_canonical)
{
	check_field(CANON_SIMPLE, "SUBJect : AbC \r\n\tx\r\n", NULL, "SUBJect : AbC \r\n\tx\r\n");
	check_field(CANON_RELAXED, "SUBJect \t: AbC \r\n\t x \r\n", NULL, "subject:AbC x\r\n");
	check_field(CANON_RELAXED, "X:\r\n", NULL, "x:\r\n");
	check_field(CANON_RELAXED, "S: a=1; b=xy z; c=2\r\n", "xy z", "s:a=1; b=; c=2\r\n");
	check_field(CANON_SIMPLE, "S: a=1; b= xy\r\n z", " xy\r\n z", "S: a=1; b=\r\n");
}
END_TEST

START_TEST(tags_have_one_meaning)
{
	struct tag_list tags;

	ck_assert_ok(tag_list_parse(SLICE(" a = 1 ;\r\n b=x y;c=;"), &tags));
	ck_assert_uint_eq(tags.count, 3);
	ck_assert_slice_eq(tag_list_value(&tags, "b"), "x y");
	ck_assert_slice_eq(tag_list_value(&tags, "c"), "");
	ck_assert_ptr_null(tag_list_find(&tags, "A"));
	ck_assert_int_eq(tag_list_parse(SLICE("a=1; a=2"), &tags), ERROR_FORMAT);
	ck_assert_int_eq(tag_list_parse(SLICE("a=1;; b=2"), &tags), ERROR_FORMAT);
	ck_assert_int_eq(tag_list_parse(SLICE("a=1; 2=b"), &tags), ERROR_FORMAT);
	ck_assert_int_eq(tag_list_parse(SLICE("a=1\0"), &tags), ERROR_FORMAT);
	ck_assert_int_eq(tag_list_parse(SLICE(" "), &tags), ERROR_FORMAT);
	ck_assert(tag_has_item(SLICE("sha1 : SHA256"), "sha256"));
	ck_assert(!tag_has_item(SLICE("sha2567"), "sha256"));
}
END_TEST

static void
check_base64(struct arena *arena, const char *text, const char *wanted)
{
	struct slice octets;
	uint8_t storage[64];
	struct buffer again;

	ck_assert_ok(base64_decode(slice_text(text), arena, &octets));
	ck_assert_slice_eq(octets, wanted);
	buffer_init_fixed(&again, storage, sizeof storage);
	base64_append(&again, octets);
	ck_assert_uint_le(again.len, strlen(text));
}

START_TEST(base64_has_one_form)
{
	static const char *const wrong[] = {"Zg",
		"Zg=", "Zh==", "Zm9=", "Z===", "Zg==Zg==", "Zm9vYg==x", "!", "=", "Zg===", "Zm9v="};
	struct memory *memory = memory_new(0);
	struct arena arena;
	struct slice octets;

	arena_init(&arena, memory, 65536);
	check_base64(&arena, "", "");
	check_base64(&arena, "Zg==", "f");
	check_base64(&arena, "Zm8=", "fo");
	check_base64(&arena, " Z m\r\n\t9v ", "foo");
	check_base64(&arena, "Zm9vYmFy", "foobar");
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		ck_assert_int_eq(
			base64_decode(slice_text(wrong[i]), &arena, &octets), ERROR_FORMAT);
	arena_done(&arena);
	memory_free(&memory);
}
END_TEST

UNIT_MAIN("mailauth/dkim", pieces_may_be_cut_anywhere, a_failing_dns_is_a_temperror,
	lack_of_memory_is_a_temperror, bodies_become_canonical, long_bodies_are_as_short_ones,
	fields_become_canonical, tags_have_one_meaning, base64_has_one_form)
