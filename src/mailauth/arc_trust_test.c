/* Whose word counts, for whom, and through whom. Chains as arc_check leaves them. */
#include "mailauth/arc.h"
#include "unit.h"

static const struct slice trusted[] = {SLICE_INIT("list.test"), SLICE_INIT("forward.test")};

struct fixture {
	struct header_field results[3];
	struct arc_set sets[3];
	struct arc arc;
};

/* One set a sealer; the texts are what stands behind "i=N; id". */
static void
chain(struct fixture *f, const char *const sealers[3], const char *const results[3])
{
	*f = (struct fixture){.arc = {.status = ARC_PASS}};
	f->arc.sets = f->sets;
	for (size_t i = 0; i < 3 && sealers[i]; i++) {
		f->results[i].value = slice_text(results[i]);
		f->sets[i].results = &f->results[i];
		f->sets[i].seal.domain = slice_text(sealers[i]);
		f->sets[i].message.names = SLICE("From : subject");
		f->arc.count++;
	}
}

static bool
is_vouched_for(const struct fixture *f, const char *author)
{
	struct slice sealer;

	return arc_trusted_pass(&f->arc, trusted, 2, slice_text(author), &sealer);
}

static bool
is_vouched(const struct fixture *f)
{
	return is_vouched_for(f, "author.test");
}

static bool
is_vouched_by(const char *sealer, const char *results)
{
	struct fixture f;

	chain(&f, (const char *const[]){sealer, NULL, NULL},
		(const char *const[]){results, NULL, NULL});
	return is_vouched(&f);
}

/* U-labels or A-labels, on either side; no other name is the same. */
START_TEST(an_author_beyond_ascii_is_found)
{
	static const char *const froms[] = {
		"i=1; id; dmarc=pass header.from=xn--bank-3ra.test",
		"i=1; id; dmarc=pass header.from=bank\xc3\xbc.test",
		"i=1; id; dmarc=pass header.from=bank.test",
		"i=1; id; dmarc=pass header.from=bank\xff.test",
	};

	for (size_t i = 0; i < sizeof froms / sizeof *froms; i++) {
		struct fixture f;
		chain(&f, (const char *const[]){"list.test", NULL, NULL},
			(const char *const[]){froms[i], NULL, NULL});
		ck_assert(is_vouched_for(&f, "bank\xc3\xbc.test") == (i < 2));
		ck_assert(is_vouched_for(&f, "bank.test") == (i == 2));
	}
}
END_TEST

#define PASS " i=1; id.test; spf=fail; dmarc=pass (p=reject; x) header.from=author.test"

START_TEST(results_are_read_closely)
{
	ck_assert(is_vouched_by("list.test", PASS));
	ck_assert(is_vouched_by("LIST.test", " i=1; id; DMARC = Pass header.from=\"Author.TEST\""));
	ck_assert(is_vouched_by("list.test", "i=1; id; dmarc/1=pass reason=\"a; dmarc=fail\" "
					     "policy.x=y header.from=author.test"));
	ck_assert(!is_vouched_by("evil.test", PASS));
	ck_assert(!is_vouched_by("a.list.test", PASS));
	ck_assert(!is_vouched_by("list.test", "i=1; id; dmarc=pass header.from=other.test"));
	ck_assert(!is_vouched_by("list.test", "i=1; id; dmarc=pass"));
	ck_assert(!is_vouched_by("list.test", "i=1; id; dmarc=fail header.from=author.test"));
	ck_assert(!is_vouched_by("list.test", "i=1; id; spf=pass header.from=author.test"));
	ck_assert(
		!is_vouched_by("list.test", "i=1; id; none (dmarc=pass header.from=author.test)"));
	ck_assert(!is_vouched_by(
		"list.test", "i=1; id; dkim=pass reason=\"; dmarc=pass header.from=author.test\""));
	ck_assert(!is_vouched_by(
		"list.test", "i=1; id; dmarc=pass header.from=author.test header.from=other.test"));
	ck_assert(!is_vouched_by("list.test",
		"i=1; id; dmarc=pass header.from=author.test; dmarc=fail header.from=author.test"));
	ck_assert(!is_vouched_by("list.test", ""));
}
END_TEST

START_TEST(all_above_are_trusted)
{
	static const char *const two[] = {
		PASS, "i=2; id; dmarc=fail header.from=author.test", NULL};
	struct fixture f;

	chain(&f, (const char *const[]){"list.test", "forward.test", NULL}, two);
	ck_assert(is_vouched(&f));
	chain(&f, (const char *const[]){"list.test", "evil.test", NULL}, two);
	ck_assert(!is_vouched(&f));
	chain(&f, (const char *const[]){"evil.test", "forward.test", NULL}, two);
	ck_assert(!is_vouched(&f));
}
END_TEST

START_TEST(the_chain_holds_for_all_of_the_message)
{
	struct fixture f;
	const char *const sealers[] = {"list.test", NULL, NULL}, *const results[] = {
									 PASS, NULL, NULL};

	chain(&f, sealers, results);
	f.arc.status = ARC_FAIL;
	ck_assert(!is_vouched(&f));
	chain(&f, sealers, results);
	f.sets[0].message.is_partial = true;
	ck_assert(!is_vouched(&f));
	chain(&f, sealers, results);
	f.sets[0].message.names = SLICE("subject:to");
	ck_assert(!is_vouched(&f));
	f.arc = (struct arc){.status = ARC_NONE};
	ck_assert(!is_vouched(&f));
}
END_TEST

UNIT_MAIN("mailauth/arc_trust", an_author_beyond_ascii_is_found, results_are_read_closely,
	all_above_are_trusted, the_chain_holds_for_all_of_the_message)
