#include "text/dsn_request.h"
#include "unit.h"

START_TEST(wishes_are_read)
{
	static const struct {
		const char *text;
		uint32_t notify;
	} cases[] = {{"NEVER", DSN_NOTIFY_NEVER}, {"success", DSN_NOTIFY_SUCCESS},
		{"FAILURE,DELAY", DSN_NOTIFY_FAILURE | DSN_NOTIFY_DELAY},
		{"Delay,Success,FAILURE,delay",
			DSN_NOTIFY_FAILURE | DSN_NOTIFY_DELAY | DSN_NOTIFY_SUCCESS}};
	static const char *const bad[] = {"", ",", "NEVER,SUCCESS", "SUCCESS,", ",SUCCESS",
		"SUCCESS,,DELAY", "SUCCESS DELAY", "ALWAYS", "NEVER,"};
	uint32_t notify;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ck_assert(dsn_notify_parse(slice_text(cases[i].text), &notify));
		ck_assert_uint_eq(notify, cases[i].notify);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(!dsn_notify_parse(slice_text(bad[i]), &notify), "%s", bad[i]);
}
END_TEST

START_TEST(two_wishes_make_one)
{
	enum { N = DSN_NOTIFY_NEVER, S = DSN_NOTIFY_SUCCESS, F = DSN_NOTIFY_FAILURE };

	ck_assert_uint_eq(dsn_notify_join(0, 0), 0);
	ck_assert_uint_eq(dsn_notify_join(N, N), N);
	ck_assert_uint_eq(dsn_notify_join(N, 0), 0);
	ck_assert_uint_eq(dsn_notify_join(N, S), S);
	ck_assert_uint_eq(dsn_notify_join(0, S), S | F);
	ck_assert_uint_eq(dsn_notify_join(S, F), S | F);
	ck_assert_uint_eq(dsn_notify_without_success(S), N);
	ck_assert_uint_eq(dsn_notify_without_success(S | F), F);
	ck_assert_uint_eq(dsn_notify_without_success(N), N);
	ck_assert_uint_eq(dsn_notify_without_success(0), 0);
}
END_TEST

START_TEST(names_and_addresses_have_their_forms)
{
	static const char *const ids[] = {"QQ314159", "a+20b", "+2B+3D", "~!"};
	static const char *const bad_ids[] = {
		"", "a=b", "a b", "+", "+2", "+2b", "+0A", "+7F", "a+00", "\xc3\xa9"};
	static const char *const originals[] = {"rfc822;a@example.org", "RFC822;a+2Bb@example.org",
		"utf-8;\\x{E9}@example.org", "x-400;;"};
	static const char *const bad_originals[] = {"", "rfc822", "rfc822;", ";a@b", "rf c;a@b",
		"rfc822;a b", "rfc822;a+0Db", "rfc822;a=b", "rf<c;a"};
	char id[DSN_ENVELOPE_ID_MAX + 1], original[DSN_ORIGINAL_MAX + 1];

	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
		ck_assert_msg(dsn_envelope_id_is_valid(slice_text(ids[i])), "%s", ids[i]);
	for (size_t i = 0; i < sizeof bad_ids / sizeof *bad_ids; i++)
		ck_assert_msg(!dsn_envelope_id_is_valid(slice_text(bad_ids[i])), "%s", bad_ids[i]);
	for (size_t i = 0; i < sizeof originals / sizeof *originals; i++)
		ck_assert_msg(dsn_original_is_valid(slice_text(originals[i])), "%s", originals[i]);
	for (size_t i = 0; i < sizeof bad_originals / sizeof *bad_originals; i++)
		ck_assert_msg(!dsn_original_is_valid(slice_text(bad_originals[i])), "%s",
			bad_originals[i]);
	memset(id, 'a', sizeof id);
	ck_assert(dsn_envelope_id_is_valid(slice_of(id, DSN_ENVELOPE_ID_MAX)));
	ck_assert(!dsn_envelope_id_is_valid(slice_of(id, sizeof id)));
	memset(original, 'a', sizeof original);
	original[6] = ';';
	ck_assert(dsn_original_is_valid(slice_of(original, DSN_ORIGINAL_MAX)));
	ck_assert(!dsn_original_is_valid(slice_of(original, sizeof original)));
}
END_TEST

START_TEST(texts_survive_the_way_into_xtext_and_back)
{
	static const struct {
		const char *original, *type, *address;
	} cases[] = {{"rfc822;a+2Bb@example.org", "rfc822", "a+b@example.org"},
		{"rfc822;\\x{E9}@b", "rfc822", "\\x{E9}@b"},
		{"UTF-8;\\x{E9}\\x{1F600}@b", "UTF-8", "\xc3\xa9\xf0\x9f\x98\x80@b"},
		{"utf-8;\\x{D800}\\x{}\\x{110000}\\x{A}\\x{41", "utf-8",
			"\\x{D800}\\x{}\\x{110000}\\x{A}\\x{41"},
		{"utf-8;\\x{7F}\\x{85}\\x{9B}\\x{A0}", "utf-8", "\\x{7F}\\x{85}\\x{9B}\xc2\xa0"}};
	uint8_t octets[256], storage[1024];
	struct buffer text, back;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct slice original = slice_text(cases[i].original);
		buffer_init_fixed(&text, storage, sizeof storage);
		dsn_original_append_address(&text, original);
		ck_assert_slice_eq(buffer_slice(&text), cases[i].address);
		ck_assert_slice_eq(dsn_original_type(original), cases[i].type);
	}
	for (size_t i = 0; i < sizeof octets; i++)
		octets[i] = (uint8_t)i;
	buffer_init_fixed(&text, storage, sizeof storage);
	xtext_append(&text, slice_of(octets, sizeof octets));
	ck_assert(xtext_is_valid(buffer_slice(&text)));
	uint8_t decoded[256];
	buffer_init_fixed(&back, decoded, sizeof decoded);
	xtext_append_decoded(&back, buffer_slice(&text));
	ck_assert_ok(buffer_error(&back));
	ck_assert_mem_eq(decoded, octets, sizeof octets);
}
END_TEST

START_TEST(originals_beyond_ascii)
{
	static const struct {
		const char *address, *original;
	} cases[] = {{"a+b@c", "rfc822;a+2Bb@c"}, {"j\xc3\xbcr+x@b", "utf-8;j\\x{FC}r\\x{2B}x@b"},
		{"\xce\xb8@\xf0\x9f\x98\x80", "utf-8;\\x{3B8}@\\x{1F600}"},
		{"\xe4\xbe\x8b@b", "utf-8;\\x{4F8B}@b"}};
	char storage[100], back_storage[100];
	struct buffer text, back;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		buffer_init_fixed(&text, storage, sizeof storage);
		buffer_init_fixed(&back, back_storage, sizeof back_storage);
		dsn_original_append(&text, slice_text(cases[i].address));
		ck_assert_slice_eq(buffer_slice(&text), cases[i].original);
		ck_assert(dsn_original_is_valid(buffer_slice(&text)));
		dsn_original_append_address(&back, buffer_slice(&text));
		ck_assert_slice_eq(buffer_slice(&back), cases[i].address);
	}
}
END_TEST

UNIT_MAIN("text/dsn_request", originals_beyond_ascii, wishes_are_read, two_wishes_make_one,
	names_and_addresses_have_their_forms, texts_survive_the_way_into_xtext_and_back)
