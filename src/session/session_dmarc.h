/*
 * What DMARC said of a message, for the report that the author's domain asks for (rua=, RFC 9990):
 * one record of the log for each, which `log` keeps in the history and shows nobody. Nothing waits
 * for it, and what the ring has no room for is counted there.
 */
#ifndef SESSION_SESSION_DMARC_H
#define SESSION_SESSION_DMARC_H

#include "conf/conf.h"
#include "ipc/envelope.h"
#include "policy/policy.h"

struct dmarc_seen {
	const struct envelope *envelope;
	struct slice author;           /* the domain in From */
	const struct spf_verdict *spf; /* of the sender, or of HELO where there is none */
	const struct dkim *dkim;
	const struct dmarc_verdict *dmarc;
	const struct policy_decision *decision;
};

/* Nothing, unless the configuration has reports, the domain asks for them, DMARC passed or failed,
 * and the message is for others than the author of our reports. */
void session_dmarc_tell(struct env *env, const struct conf *conf, const struct dmarc_seen *seen);

#endif
