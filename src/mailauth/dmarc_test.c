/* What tests/mailauth/test_dmarc does not look at: each question of the DNS failing, each
 * allocation, the bounds of a walk, and the parsers by themselves. */
#include "dns/table_test.h"
#include "mailauth/author.h"
#include "mailauth/dmarc.h"
#include "unit.h"

struct fixture {
	struct memory *memory;
	struct arena arena;
	struct table table;
	struct dns_source source;
	struct signature signature;
	struct dkim dkim;
	struct spf_verdict spf;
	struct dmarc_request request;
	struct dmarc_verdict verdict;
};

static void
fixture_init(struct fixture *f, const struct table_record *records, size_t count)
{
	*f = (struct fixture){.table = {.records = records, .count = count}};
	f->memory = memory_new(0);
	arena_init(&f->arena, f->memory, DMARC_ARENA_BYTES);
	f->source = table_source(&f->table);
	f->signature = (struct signature){.result = DKIM_PASS, .domain = SLICE("b.example.org")};
	f->dkim = (struct dkim){.signatures = &f->signature, .count = 1, .result = DKIM_PASS};
	f->spf = (struct spf_verdict){.result = SPF_PASS, .domain = SLICE("c.example.org")};
	f->request = (struct dmarc_request){.dns = &f->source,
		.arena = &f->arena,
		.author = SLICE("a.example.org"),
		.spf = &f->spf,
		.dkim = &f->dkim};
}

static void
fixture_done(struct fixture *f)
{
	arena_done(&f->arena);
	memory_free(&f->memory);
}

static const struct table_record zone[] = {
	{"_dmarc.example.org", DNS_TXT, SLICE_INIT("v=DMARC1; p=reject; sp=quarantine")},
	{"a.example.org", DNS_A, SLICE_INIT("\xc0\0\2\1")},
};
#define ZONE_COUNT (sizeof zone / sizeof *zone)

START_TEST(others_of_the_organization_vouch)
{
	struct fixture f;

	fixture_init(&f, zone, ZONE_COUNT);
	dmarc_check(&f.request, &f.verdict);
	ck_assert_int_eq(f.verdict.result, DMARC_PASS);
	ck_assert_slice_eq(f.verdict.dkim_domain, "b.example.org");
	ck_assert(f.verdict.is_spf_aligned);
	ck_assert_int_eq(f.verdict.policy, DMARC_POLICY_QUARANTINE);
	fixture_done(&f);
}
END_TEST

/* Whichever question nobody answers: a pass only by what was answered, and never a fail or a none,
 * which would be final. */
START_TEST(a_failing_dns_is_never_final)
{
	struct fixture f;
	size_t questions;

	fixture_init(&f, zone, ZONE_COUNT);
	f.dkim.count = 0;
	dmarc_check(&f.request, &f.verdict);
	questions = f.table.asked;
	fixture_done(&f);
	ck_assert_uint_gt(questions, 4);
	for (size_t n = 1; n <= questions; n++) {
		fixture_init(&f, zone, ZONE_COUNT);
		f.dkim.count = 0;
		f.table.broken = n;
		dmarc_check(&f.request, &f.verdict);
		ck_assert(f.verdict.result == DMARC_TEMPERROR || f.verdict.result == DMARC_PASS);
		fixture_done(&f);
	}
}
END_TEST

START_TEST(strangers_cost_no_questions)
{
	struct fixture f;
	size_t questions;

	fixture_init(&f, zone, ZONE_COUNT);
	f.dkim.count = 0;
	f.spf.result = SPF_FAIL;
	dmarc_check(&f.request, &f.verdict);
	questions = f.table.asked;
	fixture_done(&f);
	fixture_init(&f, zone, ZONE_COUNT);
	f.signature.domain = SLICE("a.b.c.d.e.f.g.h.badexample.org");
	f.spf.domain = SLICE("org");
	dmarc_check(&f.request, &f.verdict);
	ck_assert_int_eq(f.verdict.result, DMARC_FAIL);
	ck_assert_uint_eq(f.table.asked, questions);
	fixture_done(&f);
}
END_TEST

START_TEST(a_walk_has_eight_questions)
{
	static char name[] =
		"a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a";
	struct fixture f;

	fixture_init(&f, zone, ZONE_COUNT);
	f.request.author = slice_text(name);
	dmarc_check(&f.request, &f.verdict);
	ck_assert_int_eq(f.verdict.result, DMARC_NONE);
	ck_assert_uint_eq(f.table.asked, DMARC_WALK_MAX);
	fixture_done(&f);
}
END_TEST

static void
check_author(const char *value, enum author_fault fault, const char *wanted)
{
	struct slice domain = {0};

	ck_assert_int_eq(author_of_field(slice_text(value), &domain), fault);
	ck_assert_slice_eq(domain, wanted);
}

START_TEST(an_author_is_one_domain)
{
	check_author(" \"a@b\" (c@d) <e@f.example>", AUTHOR_OK, "f.example");
	check_author("e@f.example, g@F.example", AUTHOR_OK, "f.example");
	check_author("e@f.example, g@h.example", AUTHOR_MANY_DOMAINS, "");
	check_author("a: e@f.example;", AUTHOR_GROUP, "");
	check_author("", AUTHOR_NO_ADDRESS, "");
	check_author("e@f.example (", AUTHOR_MALFORMED, "");
	check_author("e@f.example\\", AUTHOR_MALFORMED, "");
	check_author("\"e\\", AUTHOR_MALFORMED, "");
	check_author("e@[1.2.3.4]", AUTHOR_BAD_DOMAIN, "");
}
END_TEST

UNIT_MAIN("mailauth/dmarc", others_of_the_organization_vouch, a_failing_dns_is_never_final,
	strangers_cost_no_questions, a_walk_has_eight_questions, an_author_is_one_domain)
