/*
 * The rules, from the top; the last one holds always. A refusal has to be certain: what a list or a
 * forwarder may have broken goes to Junk, where its recipient finds it (RFC 9989 section 7.4 warns
 * of refusing by the policy alone). Trouble with the DNS makes no rule hold.
 */
#include "policy/policy.h"

struct rule {
	const char *name;
	bool (*holds)(const struct policy_evidence *evidence);
	enum policy_action action;
	uint16_t code;
	struct enhanced_status status;
	const char *text;
};

static bool
has_many_from(const struct policy_evidence *evidence)
{
	return !evidence->content_fault && evidence->author == AUTHOR_MANY_FROM;
}

static bool
has_no_author(const struct policy_evidence *evidence)
{
	return evidence->content_fault || evidence->author != AUTHOR_OK;
}

static bool
fails_at(const struct policy_evidence *evidence, enum dmarc_policy policy)
{
	return evidence->mode != POLICY_DMARC_LOG && evidence->dmarc->result == DMARC_FAIL &&
	       evidence->dmarc->requested == policy;
}

/* Whether a signature names the author's organization, be it broken: then the message was theirs,
 * perhaps, and somebody on the way changed it. */
static bool
has_signature_of_author(const struct policy_evidence *evidence)
{
	for (size_t i = 0; i < evidence->dkim->count; i++)
		if (domain_is_within(
			    evidence->dkim->signatures[i].domain, evidence->dmarc->organization))
			return true;
	return evidence->dkim->ignored > 0;
}

static bool
is_forged(const struct policy_evidence *evidence)
{
	return fails_at(evidence, DMARC_POLICY_REJECT) && evidence->spf->result == SPF_FAIL &&
	       !evidence->is_list && !has_signature_of_author(evidence);
}

static bool
is_refused_by_order(const struct policy_evidence *evidence)
{
	return evidence->mode == POLICY_DMARC_STRICT && fails_at(evidence, DMARC_POLICY_REJECT);
}

static bool
fails_reject(const struct policy_evidence *evidence)
{
	return fails_at(evidence, DMARC_POLICY_REJECT);
}

static bool
fails_quarantine(const struct policy_evidence *evidence)
{
	return fails_at(evidence, DMARC_POLICY_QUARANTINE);
}

/* Who passed it on says that it was good, and may have changed it. */
static bool
is_vouched_for(const struct policy_evidence *evidence)
{
	return evidence->is_vouched && (fails_reject(evidence) || fails_quarantine(evidence));
}

static bool
always(const struct policy_evidence *evidence)
{
	(void)evidence;
	return true;
}

static const struct rule rules[] = {
	{"many-from", has_many_from, POLICY_REFUSE, 550, STATUS(5, 6, 0),
		"the message has more than one From field"},
	{"no-author", has_no_author, POLICY_JUNK, 0, {0}, NULL},
	{"arc-trusted", is_vouched_for, POLICY_ACCEPT, 0, {0}, NULL},
	{"reject-forged", is_forged, POLICY_REFUSE, 550, STATUS(5, 7, 1),
		"the author's domain wants forged mail refused (DMARC), and neither SPF nor DKIM "
		"vouch for this"},
	{"reject-strict", is_refused_by_order, POLICY_REFUSE, 550, STATUS(5, 7, 1),
		"the author's domain wants this refused (DMARC)"},
	{"reject", fails_reject, POLICY_JUNK, 0, {0}, NULL},
	{"quarantine", fails_quarantine, POLICY_JUNK, 0, {0}, NULL},
	{"none", always, POLICY_ACCEPT, 0, {0}, NULL},
};

struct policy_decision
policy_decide(const struct policy_evidence *evidence)
{
	const struct rule *rule = rules;

	while (!rule->holds(evidence))
		rule++;
	return (struct policy_decision){
		rule->action, rule->name, rule->code, rule->status, rule->text};
}
