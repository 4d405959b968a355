/*
 * DMARC (RFC 9989): does SPF or DKIM vouch for the domain that a reader sees in From, and what does
 * that domain want done if not? The policy is found by a walk up the DNS tree, without a list of
 * public suffixes.
 */
#ifndef MAILAUTH_DMARC_H
#define MAILAUTH_DMARC_H

#include "mailauth/dkim.h"
#include "mailauth/spf.h"

#define DMARC_WALK_MAX    8 /* questions of one walk (section 4.10) */
#define DMARC_DEADLINE_US (20 * US_PER_S)
#define DMARC_ARENA_BYTES (4u << 20)

enum dmarc_policy { DMARC_POLICY_NONE, DMARC_POLICY_QUARANTINE, DMARC_POLICY_REJECT };
enum dmarc_psd { DMARC_PSD_UNKNOWN, DMARC_PSD_YES, DMARC_PSD_NO };
enum dmarc_result { DMARC_NONE, DMARC_PASS, DMARC_FAIL, DMARC_TEMPERROR, DMARC_PERMERROR };

/* "quarantine" */
const char *dmarc_policy_text(enum dmarc_policy policy);
const char *dmarc_result_text(enum dmarc_result result);

struct dmarc_record {
	enum dmarc_policy policy, subdomains, absent; /* p=, sp=, np=, with their defaults */
	enum dmarc_psd psd;
	bool is_dkim_strict, is_spf_strict, is_testing;
	struct slice reports; /* rua= as it stands there */
};

/* False: it is no policy (another TXT record, or one whose p= means nothing and that wants no
 * reports). Unknown tags and broken ones are passed over (section 4.7). */
bool dmarc_record_parse(struct slice text, struct dmarc_record *ret_record);

struct dmarc_request {
	const struct dns_source *dns;
	struct arena *arena; /* of DMARC_ARENA_BYTES; the verdict lives in it */
	mono_us deadline;
	struct slice author;           /* the domain in From */
	const struct spf_verdict *spf; /* or NULL */
	const struct dkim *dkim;       /* or NULL */
};

struct dmarc_verdict {
	enum dmarc_result result;
	const char *reason;          /* of an error or a none, as half a sentence */
	struct slice organization;   /* the author's organizational domain */
	struct slice policy_domain;  /* whose record holds */
	struct dmarc_record record;  /* of policy_domain */
	enum dmarc_policy policy;    /* what it says about this author */
	enum dmarc_policy requested; /* the same, lowered while the domain tests (t=y) */
	bool is_absent;              /* the author's domain does not exist */
	bool is_spf_aligned;         /* and passed */
	struct slice dkim_domain; /* of the first signature that passed and is aligned, or empty */
};

/* May wait: for the DNS. */
void dmarc_check(const struct dmarc_request *request, struct dmarc_verdict *ret_verdict);

#endif
