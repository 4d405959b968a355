/* Each rule: what makes it hold, and the one thing more that makes it not. */
#include "policy/policy.h"

#include "unit.h"

struct fixture {
	struct spf_verdict spf;
	struct signature signature;
	struct dkim dkim;
	struct dmarc_verdict dmarc;
	struct policy_evidence evidence;
};

/* A message that all rules would refuse: forged, and its domain wants that refused. */
static void
forged(struct fixture *f)
{
	*f = (struct fixture){.spf = {.result = SPF_FAIL},
		.dmarc = {.result = DMARC_FAIL,
			.requested = DMARC_POLICY_REJECT,
			.organization = SLICE("example.org")}};
	f->dkim.signatures = &f->signature;
	f->evidence = (struct policy_evidence){.author = AUTHOR_OK,
		.spf = &f->spf,
		.dkim = &f->dkim,
		.dmarc = &f->dmarc,
		.mode = POLICY_DMARC_EVIDENT};
}

static void
expect(const struct fixture *f, enum policy_action action, const char *rule)
{
	struct policy_decision decision = policy_decide(&f->evidence);

	ck_assert_str_eq(decision.rule, rule);
	ck_assert_int_eq(decision.action, action);
	ck_assert_int_eq(decision.code, action == POLICY_REFUSE ? 550 : 0);
	ck_assert(!decision.text == (action != POLICY_REFUSE));
}

START_TEST(what_is_forged_is_refused_on_all_evidence_alone)
{
	struct fixture f;

	forged(&f);
	expect(&f, POLICY_REFUSE, "reject-forged");
	ck_assert_int_eq(policy_decide(&f.evidence).status.subject, 7);

	f.spf.result = SPF_SOFTFAIL;
	expect(&f, POLICY_JUNK, "reject");
	f.spf.result = SPF_TEMPERROR;
	expect(&f, POLICY_JUNK, "reject");
	forged(&f);
	f.evidence.is_list = true;
	expect(&f, POLICY_JUNK, "reject");
	forged(&f);
	f.dkim.count = 1;
	f.signature = (struct signature){.domain = SLICE("mail.Example.org"), .result = DKIM_FAIL};
	expect(&f, POLICY_JUNK, "reject");
	f.signature.domain = SLICE("notexample.org");
	expect(&f, POLICY_REFUSE, "reject-forged");
	f.dkim.ignored = 1; /* what was not read may be the author's */
	expect(&f, POLICY_JUNK, "reject");
}
END_TEST

START_TEST(a_wish_counts_when_dmarc_fails)
{
	static const enum dmarc_result others[] = {
		DMARC_NONE, DMARC_PASS, DMARC_TEMPERROR, DMARC_PERMERROR};
	struct fixture f;

	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		forged(&f);
		f.dmarc.result = others[i];
		expect(&f, POLICY_ACCEPT, "none");
	}
	forged(&f);
	f.dmarc.requested = DMARC_POLICY_QUARANTINE;
	expect(&f, POLICY_JUNK, "quarantine");
	f.dmarc.requested = DMARC_POLICY_NONE;
	expect(&f, POLICY_ACCEPT, "none");
}
END_TEST

START_TEST(the_mode_decides_how_much)
{
	struct fixture f;

	forged(&f);
	f.evidence.mode = POLICY_DMARC_LOG;
	expect(&f, POLICY_ACCEPT, "none");
	f.dmarc.requested = DMARC_POLICY_QUARANTINE;
	expect(&f, POLICY_ACCEPT, "none");
	forged(&f);
	f.evidence.mode = POLICY_DMARC_STRICT;
	f.evidence.is_list = true;
	expect(&f, POLICY_REFUSE, "reject-strict");
	f.dmarc.requested = DMARC_POLICY_QUARANTINE;
	expect(&f, POLICY_JUNK, "quarantine");
	f.dmarc.result = DMARC_TEMPERROR;
	expect(&f, POLICY_ACCEPT, "none");
}
END_TEST

START_TEST(who_hides_the_author_gains_nothing)
{
	struct fixture f;

	forged(&f);
	f.dmarc.result = DMARC_PERMERROR;
	f.evidence.author = AUTHOR_MANY_FROM;
	expect(&f, POLICY_REFUSE, "many-from");
	ck_assert_int_eq(policy_decide(&f.evidence).status.subject, 6);
	for (enum author_fault fault = AUTHOR_OK + 1; fault < AUTHOR_FAULTS; fault++) {
		f.evidence.author = fault;
		if (fault != AUTHOR_MANY_FROM)
			expect(&f, POLICY_JUNK, "no-author");
	}
	f.evidence.author = AUTHOR_OK;
	f.evidence.content_fault = "the header is too large";
	expect(&f, POLICY_JUNK, "no-author");
	f.evidence.author = AUTHOR_MANY_FROM; /* of a header that was not read */
	expect(&f, POLICY_JUNK, "no-author");
}
END_TEST

START_TEST(who_is_trusted_vouches)
{
	struct fixture f;

	forged(&f);
	f.evidence.is_vouched = true;
	expect(&f, POLICY_ACCEPT, "arc-trusted");
	f.evidence.mode = POLICY_DMARC_STRICT;
	expect(&f, POLICY_ACCEPT, "arc-trusted");
	f.dmarc.requested = DMARC_POLICY_QUARANTINE;
	expect(&f, POLICY_ACCEPT, "arc-trusted");
	f.dmarc.result = DMARC_PASS;
	expect(&f, POLICY_ACCEPT, "none");
	f.dmarc.result = DMARC_FAIL;
	f.dmarc.requested = DMARC_POLICY_NONE;
	expect(&f, POLICY_ACCEPT, "none");
	f.evidence.author = AUTHOR_MANY_FROM;
	expect(&f, POLICY_REFUSE, "many-from");
	f.evidence.author = AUTHOR_NO_FROM;
	expect(&f, POLICY_JUNK, "no-author");
}
END_TEST

UNIT_MAIN("policy/policy", what_is_forged_is_refused_on_all_evidence_alone,
	a_wish_counts_when_dmarc_fails, the_mode_decides_how_much,
	who_hides_the_author_gains_nothing, who_is_trusted_vouches)
