#include "text/sasl.h"
#include "unit.h"

static enum error
decode(const char *text, char ret[64])
{
	uint8_t storage[64];
	struct slice octets;

	memcpy(storage, text, strlen(text));
	enum error error = sasl_decode(storage, strlen(text), &octets);
	if (error != OK)
		return error;
	memcpy(ret, octets.ptr, octets.len);
	ret[octets.len] = 0;
	return OK;
}

/* RFC 4648 section 10. */
START_TEST(base64_is_decoded)
{
	static const char *const cases[][2] = {{"", ""}, {"Zg==", "f"}, {"Zm8=", "fo"},
		{"Zm9v", "foo"}, {"Zm9vYg==", "foob"}, {"Zm9vYmE=", "fooba"},
		{"Zm9vYmFy", "foobar"}, {"Pz8/Pj4+", "??\?>>>"}};
	char text[64];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ck_assert_ok(decode(cases[i][0], text));
		ck_assert_str_eq(text, cases[i][1]);
	}
}
END_TEST

START_TEST(other_base64_is_refused)
{
	static const char *const cases[] = {"Z", "Zg", "Zg=", "Zg===", "=",
		"====", "Zh==", "Zm9=", "Zg==Zg==", "Z g=", "Zm9v\r", " Zm9", "Zm-_", "Z=9v",
		"Zm9vYg=", "\xc3\xa9\xc3\xa9"};
	char text[64];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		ck_assert_msg(decode(cases[i], text) == ERROR_FORMAT, "%s", cases[i]);
}
END_TEST

START_TEST(plain_has_three_parts)
{
	struct sasl_plain plain;

	ck_assert_ok(sasl_plain_parse(SLICE("\0tim\0tanstaaf tanstaaf"), &plain));
	ck_assert_slice_eq(plain.authorization, "");
	ck_assert_slice_eq(plain.login, "tim");
	ck_assert_slice_eq(secret_reveal(plain.password), "tanstaaf tanstaaf");
	ck_assert_ok(sasl_plain_parse(SLICE("Ursel\0Kurt\0xipj3plmq"), &plain));
	ck_assert_slice_eq(plain.authorization, "Ursel");
}
END_TEST

START_TEST(other_messages_are_refused)
{
	static const struct slice cases[] = {SLICE_INIT(""), SLICE_INIT("tim"), SLICE_INIT("\0tim"),
		SLICE_INIT("\0tim\0"), SLICE_INIT("\0\0secret"), SLICE_INIT("\0tim\0sec\0ret"),
		SLICE_INIT("\0\0\0")};
	struct sasl_plain plain;
	uint8_t large[2 + 300 + 600] = {0, 't', 0};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		ck_assert_int_eq(sasl_plain_parse(cases[i], &plain), ERROR_FORMAT);
	memset(large + 3, 'x', SASL_PASSWORD_MAX + 1);
	ck_assert_ok(sasl_plain_parse(slice_of(large, 3 + SASL_PASSWORD_MAX), &plain));
	ck_assert_int_eq(
		sasl_plain_parse(slice_of(large, 4 + SASL_PASSWORD_MAX), &plain), ERROR_FORMAT);
}
END_TEST

START_TEST(files_of_passwords)
{
	static const struct {
		struct slice text;
		const char *password; /* NULL: none */
	} cases[] = {{SLICE_INIT("secret"), "secret"}, {SLICE_INIT("secret\n"), "secret"},
		{SLICE_INIT("secret\r\n"), "secret"}, {SLICE_INIT(" a b \n"), " a b "},
		{SLICE_INIT(""), NULL}, {SLICE_INIT("\n"), NULL}, {SLICE_INIT("\r\n"), NULL},
		{SLICE_INIT("\nsecret\n"), NULL}, {SLICE_INIT("secret\n\n"), NULL},
		{SLICE_INIT("a\nb"), NULL}, {SLICE_INIT("a\rb\n"), NULL},
		{SLICE_INIT("a\0b"), NULL}};
	uint8_t longest[SASL_PASSWORD_MAX + 1];
	struct secret password;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *why = sasl_password_of_file(cases[i].text, &password);
		ck_assert((why == NULL) == (cases[i].password != NULL));
		if (!why)
			ck_assert_slice_eq(secret_reveal(password), cases[i].password);
	}
	memset(longest, 'x', sizeof longest);
	ck_assert_ptr_nonnull(sasl_password_of_file(slice_of(longest, sizeof longest), &password));
	ck_assert_ptr_null(sasl_password_of_file(slice_of(longest, sizeof longest - 1), &password));
}
END_TEST

UNIT_MAIN("text/sasl", base64_is_decoded, other_base64_is_refused, plain_has_three_parts,
	other_messages_are_refused, files_of_passwords)
