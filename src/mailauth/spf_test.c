/* What the community's suites (tests/mailauth) do not look at: the steps, the failing DNS at each
 * question, what an evaluation may cost, the header field. */
#include "mailauth/spf.h"
#include "dns/table_test.h"
#include "unit.h"

struct fixture {
	struct memory *memory;
	struct arena arena;
	struct table table;
	struct dns_source source;
	struct spf_request request;
	struct spf_verdict verdict;
};

static void
fixture_init(struct fixture *f, const struct table_record *records, size_t count)
{
	*f = (struct fixture){.table = {.records = records, .count = count}};
	f->memory = memory_new(0);
	arena_init(&f->arena, f->memory, SPF_ARENA_BYTES);
	f->source = table_source(&f->table);
	f->request = (struct spf_request){.dns = &f->source,
		.arena = &f->arena,
		.ip = slice_of("\xc0\0\2\1", 4),
		.sender = SLICE("me@example.org"),
		.helo = SLICE("mail.example.org"),
		.receiver = SLICE("mx.test")};
}

static void
fixture_done(struct fixture *f)
{
	arena_done(&f->arena);
	memory_free(&f->memory);
}

static const struct table_record chain[] = {
	{"example.org", DNS_TXT,
		SLICE_INIT("v=spf1 include:a.example mx ptr exists:%{i}.x.example -all "
			   "exp=why.example")},
	{"a.example", DNS_TXT, SLICE_INIT("v=spf1 a:b.example redirect=c.example")},
	{"b.example", DNS_A, SLICE_INIT("\xc0\0\2\2")},
	{"c.example", DNS_TXT, SLICE_INIT("v=spf1 ip4:198.51.100.0/24 -all")},
	{"example.org", DNS_MX, SLICE_INIT("b.example")},
	{"1.2.0.192.in-addr.arpa", DNS_PTR, SLICE_INIT("b.example")},
	{"why.example", DNS_TXT, SLICE_INIT("%{i} is none of %{d}")},
};

START_TEST(an_evaluation_tells_what_decided)
{
	struct fixture f;

	fixture_init(&f, chain, sizeof chain / sizeof *chain);
	spf_check(&f.request, &f.verdict);
	ck_assert_int_eq(f.verdict.result, SPF_FAIL);
	ck_assert_slice_eq(f.verdict.term, "-all");
	ck_assert_slice_eq(f.verdict.domain, "example.org");
	ck_assert_slice_eq(f.verdict.explanation, "192.0.2.1 is none of example.org");
	ck_assert_uint_eq(f.verdict.lookups, 6);
	ck_assert_uint_eq(f.verdict.void_lookups, 1);
	fixture_done(&f);
}
END_TEST

/* Whichever question nobody answers: never a pass, never a crash; for the record itself a
 * temperror. */
START_TEST(a_failing_dns_is_never_a_pass)
{
	struct fixture f;
	size_t questions;

	fixture_init(&f, chain, sizeof chain / sizeof *chain);
	spf_check(&f.request, &f.verdict);
	questions = f.table.asked;
	fixture_done(&f);
	ck_assert_uint_gt(questions, 8);
	for (size_t n = 1; n <= questions; n++) {
		fixture_init(&f, chain, sizeof chain / sizeof *chain);
		f.table.broken = n;
		spf_check(&f.request, &f.verdict);
		ck_assert(f.verdict.result == SPF_TEMPERROR || f.verdict.result == SPF_FAIL);
		if (n == 1)
			ck_assert_int_eq(f.verdict.result, SPF_TEMPERROR);
		fixture_done(&f);
	}
}
END_TEST

/* A record that includes itself ends at the limit of look-ups, with few questions. */
START_TEST(circles_end)
{
	static const struct table_record circle[] = {
		{"*", DNS_TXT, SLICE_INIT("v=spf1 include:%{d2} redirect=%{d2}")}};
	struct fixture f;

	fixture_init(&f, circle, 1);
	spf_check(&f.request, &f.verdict);
	ck_assert_int_eq(f.verdict.result, SPF_PERMERROR);
	ck_assert_slice_eq(f.verdict.reason, "more than 10 terms ask the DNS");
	ck_assert_uint_le(f.table.asked, 12);
	fixture_done(&f);
}
END_TEST

START_TEST(too_many_terms_are_an_error)
{
	static char text[8192] = "v=spf1";
	struct table_record record = {"example.org", DNS_TXT, {0}};
	struct fixture f;

	for (size_t at = 6; at + 6 < sizeof text; at += 5)
		memcpy(text + at, " x=yz", 5);
	record.value = slice_text(text);
	fixture_init(&f, &record, 1);
	spf_check(&f.request, &f.verdict);
	ck_assert_int_eq(f.verdict.result, SPF_PERMERROR);
	fixture_done(&f);
}
END_TEST

/* Every allocation may fail: a temperror then, or the verdict that it did not need the memory for.
 */
START_TEST(lack_of_memory_is_a_temperror)
{
	struct fixture f;
	enum spf_result result = SPF_TEMPERROR;

	for (size_t bytes = 256; result != SPF_FAIL; bytes += 64) {
		ck_assert_uint_lt(bytes, 1u << 20);
		fixture_init(&f, chain, sizeof chain / sizeof *chain);
		f.arena.max = bytes;
		spf_check(&f.request, &f.verdict);
		result = f.verdict.result;
		ck_assert(result == SPF_TEMPERROR || result == SPF_FAIL);
		fixture_done(&f);
	}
}
END_TEST

START_TEST(mapped_addresses_are_ipv4)
{
	static const struct table_record record[] = {
		{"example.org", DNS_TXT, SLICE_INIT("v=spf1 ip4:192.0.2.1 -all")}};
	struct fixture f;

	fixture_init(&f, record, 1);
	f.request.ip = slice_of("\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1", 16);
	spf_check(&f.request, &f.verdict);
	ck_assert_int_eq(f.verdict.result, SPF_PASS);
	fixture_done(&f);
}
END_TEST

START_TEST(received_spf_holds_no_strangers_syntax)
{
	static const struct table_record record[] = {
		{"example.org", DNS_TXT, SLICE_INIT("v=spf1 -all")}};
	struct fixture f;
	uint8_t storage[1024];
	struct buffer text;

	fixture_init(&f, record, 1);
	f.request.sender = SLICE("\"a\\\"\r\nX: y\"@example.org");
	spf_check(&f.request, &f.verdict);
	buffer_init_fixed(&text, storage, sizeof storage);
	spf_append_received(&text, &f.request, &f.verdict, false);
	ck_assert_slice_eq(buffer_slice(&text),
		"fail (example.org does not permit 192.0.2.1) client-ip=192.0.2.1; "
		"envelope-from=\"\\\"a\\\\\\\"X: y\\\"@example.org\"; helo=\"mail.example.org\"; "
		"receiver=\"mx.test\"; identity=mailfrom");
	fixture_done(&f);
}
END_TEST

UNIT_MAIN("mailauth/spf", an_evaluation_tells_what_decided, a_failing_dns_is_never_a_pass,
	circles_end, too_many_terms_are_an_error, lack_of_memory_is_a_temperror,
	mapped_addresses_are_ipv4, received_spf_holds_no_strangers_syntax)
