/*
 * What somebody who has logged in sends, looked at while it arrives (RFC 6409 sections 6.1 and 8):
 * whose name stands in From, and what a message needs that his program left out.
 */
#ifndef SESSION_SUBMISSION_H
#define SESSION_SUBMISSION_H

#include "mailauth/content.h"
#include "session/session_login.h"
#include "smtp/reply.h"

struct submission;

/* NULL: no memory. */
struct submission *submission_new(struct env *env);
void submission_free(struct submission **submission);
void submission_feed(struct submission *submission, struct slice octets);

/*
 * The content is whole. Code 0: it is taken, with these fields added (whole lines, as long as the
 * submission lives); else why not.
 */
struct smtp_reply submission_end(
	struct submission *submission, const struct session_login *login, struct slice *ret_fields);

#endif
