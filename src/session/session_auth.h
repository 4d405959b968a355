/*
 * Is it really from them? A stranger's message is judged while it arrives and when it has ended:
 * SPF, DKIM, ARC and DMARC (mailauth/), then the rules of policy/. The DNS is asked through the
 * resolver process.
 */
#ifndef SESSION_SESSION_AUTH_H
#define SESSION_SESSION_AUTH_H

#include "conf/conf.h"
#include "dns/source.h"
#include "ipc/caller.h"
#include "ipc/envelope.h"
#include "policy/policy.h"
#include "smtp/server.h"

#define SESSION_AUTH_US         (20 * US_PER_S) /* for all questions about one message */
#define SESSION_AUTH_FIELDS_MAX 12288 /* octets of header fields that a judgement brings */

struct session_auth;

/* `unable`: what the resolver says can't be taken; the worker is to be replaced. */
struct session_auth *session_auth_new(struct env *env, const struct conf *conf, struct caller *keys,
	void (*unable)(void *arg, enum error error), void *arg);

/* The channel to the resolver; owned from here on. */
void session_auth_connect(struct session_auth *auth, int channel_fd, uint32_t instance);
void session_auth_stop(struct session_auth *auth);
void session_auth_free(struct session_auth **auth);

/* The DNS, through the resolver; lives as long as this. */
const struct dns_source *session_auth_dns(const struct session_auth *auth);

/* One message under judgement, which is sealed if it is forwarded. NULL: no memory. */
struct judgement;
struct judgement *judgement_new(struct session_auth *auth, bool is_forwarded);
void judgement_free(struct judgement **judgement);
void judgement_feed(struct judgement *judgement, struct slice octets);

/*
 * May wait, SESSION_AUTH_US at most. The content is whole. `ip` is 4 or 16 octets. Of the verdict
 * it sets refusal, fields, overwrites, is_junk and seal; what they point to lives as long as the
 * judgement. Fields of the message that say to be our Authentication-Results get another name, of
 * the same length (RFC 8601 section 5). ERROR_NO_MEMORY: there is no verdict.
 */
MUST_CHECK enum error judgement_end(struct judgement *judgement, struct slice ip,
	const struct envelope *envelope, struct smtp_verdict *ret_verdict);

/* "spf=pass dkim=none dmarc=fail policy=reject arc=none rule=reject", for the log; empty before
 * there is a verdict. NULL is taken. */
struct slice judgement_summary(const struct judgement *judgement);

#endif
