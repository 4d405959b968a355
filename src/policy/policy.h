/*
 * Where the verdicts on a stranger's message meet: what SPF, DKIM, ARC and DMARC found, in; accept,
 * Junk or refuse, out. Pure. The rules are a table (policy.c), and the same table stands in the
 * manual: the first that holds decides.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include "mailauth/arc.h"
#include "mailauth/author.h"
#include "mailauth/dmarc.h"
#include "text/enhanced_status.h"

enum policy_action { POLICY_ACCEPT, POLICY_JUNK, POLICY_REFUSE };

/* What a wish of the author's domain may lead to. */
enum policy_dmarc {
	POLICY_DMARC_EVIDENT, /* "reject" is Junk, unless all else speaks of forgery too */
	POLICY_DMARC_STRICT,  /* "reject" is refused */
	POLICY_DMARC_LOG      /* nothing */
};

struct policy_evidence {
	enum author_fault author;
	const char *content_fault; /* NULL, or why the header could not be read */
	const struct spf_verdict *spf;
	const struct dkim *dkim;
	const struct dmarc_verdict *dmarc; /* of an author with a fault or a content with one: not
					      looked at */
	bool is_list;    /* it has a List-Id: somebody passed it on, and may have changed it */
	bool is_vouched; /* a sealer that we trust says that it passed DMARC there (ARC) */
	enum policy_dmarc mode;
};

struct policy_decision {
	enum policy_action action;
	const char *rule; /* "reject-forged", for the log */
	uint16_t code;    /* of a refusal */
	struct enhanced_status status;
	const char *text;
};

struct policy_decision policy_decide(const struct policy_evidence *evidence);

#endif
