/* Authentication-Results: who they claim to be from, what they say, and that strangers' text stays
 * inside its quotes. */
#include "mailauth/auth_results.h"
#include "unit.h"

static bool
claims(const char *value)
{
	return auth_results_claims(slice_text(value), SLICE("mx.example.org"));
}

START_TEST(forged_ids_are_seen)
{
	ck_assert(claims(" mx.example.org; spf=pass"));
	ck_assert(claims("MX.Example.ORG;spf=pass"));
	ck_assert(claims("\r\n\tmx.example.org 1; none"));
	ck_assert(claims("(a (nested;) comment) mx.example.org (x); none"));
	ck_assert(claims("\"mx.example.org\"; none"));
	ck_assert(claims("\"mx.exam\\ple.org\"; none"));
	ck_assert(claims("mx.example.org.; none"));
	ck_assert(claims("mx.example.org"));
	ck_assert(!claims("mx.example.or; none"));
	ck_assert(!claims("mx.example.org.uk; none"));
	ck_assert(!claims("a.mx.example.org; none"));
	ck_assert(!claims("(mx.example.org) other; none"));
	ck_assert(!claims("(mx.example.org; none"));
	ck_assert(!claims(""));
}
END_TEST

static void
check_next(struct auth_results *results, const char *method, const char *result, const char *whole)
{
	struct auth_result found;

	ck_assert(auth_results_next(results, &found));
	ck_assert_slice_eq(found.method, method);
	ck_assert_slice_eq(found.result, result);
	ck_assert_slice_eq(found.whole, whole);
}

START_TEST(results_are_read)
{
	struct auth_results results;
	struct auth_result found;

	ck_assert(auth_results_open(
		SLICE(" id.example (v; x) 1; spf=pass (a;b) smtp.mailfrom=\"a;b\"@c;"
		      "\r\n dkim / 1 = FAIL header.d=x; none;; arc=pass"),
		&results));
	ck_assert_slice_eq(results.id, "id.example");
	check_next(&results, "spf", "pass", "spf=pass (a;b) smtp.mailfrom=\"a;b\"@c");
	check_next(&results, "dkim", "FAIL", "dkim / 1 = FAIL header.d=x");
	check_next(&results, "", "", "none");
	check_next(&results, "", "", "");
	check_next(&results, "arc", "pass", "arc=pass");
	ck_assert(!auth_results_next(&results, &found));
}
END_TEST

static void
check_property(const char *value, const char *wanted)
{
	uint8_t storage[256];
	struct buffer text;

	buffer_init_fixed(&text, storage, sizeof storage);
	auth_results_append_property(&text, "smtp.mailfrom", slice_text(value));
	ck_assert_slice_eq(buffer_slice(&text), wanted);
}

/* bank\u00fc.example is not bank.example, and j\u00fcrg not jrg. */
START_TEST(names_beyond_ascii_are_no_others_names)
{
	check_property("bank\xc3\xbc.example", " smtp.mailfrom=xn--bank-3ra.example");
	check_property("a.b@bank\xc3\xbc.example", " smtp.mailfrom=a.b@xn--bank-3ra.example");
	check_property("j\xc3\xbcrg@Bank.example", " smtp.mailfrom=bank.example");
	check_property("\"j\xc3\xbc@rg\"@bank.example", " smtp.mailfrom=bank.example");
	check_property("bank\xff.example", "");
	check_property("bank_\xc3\xbc.example", "");
	check_property("\xc3\xbc@", "");
}
END_TEST

START_TEST(strangers_stay_inside_their_quotes)
{
	check_property("a@example.org", " smtp.mailfrom=a@example.org");
	check_property("@example.org", " smtp.mailfrom=@example.org");
	check_property("example.org", " smtp.mailfrom=example.org");
	check_property("a b; dkim=pass@x", " smtp.mailfrom=\"a b; dkim=pass@x\"");
	check_property("a\"\\\r\nX: y", " smtp.mailfrom=\"a\\\"\\\\X: y\"");
	check_property("", " smtp.mailfrom=\"\"");
	check_property("a@", " smtp.mailfrom=\"a@\"");
}
END_TEST

START_TEST(forged_fields_are_left_out)
{
	uint8_t storage[512];
	struct buffer text;
	struct slice header =
		SLICE("Received: by x\r\n"
		      "Authentication-Results: mx.example.org; dkim=pass\r\n"
		      "authentication-RESULTS :\r\n (x) \"MX.example.org\"\r\n ;spf=pass\r\n"
		      "Authentication-Results: mx.example.net; dkim=pass\r\n"
		      "From: a@b\r\n\r\n"
		      "Authentication-Results: mx.example.org; body\r\n");

	buffer_init_fixed(&text, storage, sizeof storage);
	ck_assert_uint_eq(auth_results_append_others(&text, header, SLICE("mx.example.org")), 2);
	ck_assert_slice_eq(buffer_slice(&text),
		"Received: by x\r\n"
		"Authentication-Results: mx.example.net; dkim=pass\r\n"
		"From: a@b\r\n\r\n"
		"Authentication-Results: mx.example.org; body\r\n");
}
END_TEST

UNIT_MAIN("mailauth/auth_results", names_beyond_ascii_are_no_others_names, forged_ids_are_seen,
	results_are_read, strangers_stay_inside_their_quotes, forged_fields_are_left_out)
