/*
 * What somebody who has logged in sends, looked at while it arrives (RFC 6409 sections 6.1 and 8):
 * whose name stands in From, what a message needs that his program left out, and what it should
 * have left out.
 */
#ifndef SESSION_SUBMISSION_H
#define SESSION_SUBMISSION_H

#include "mailauth/content.h"
#include "session/session_login.h"
#include "smtp/server.h"

struct submission;

/* NULL: no memory. */
struct submission *submission_new(struct env *env);
void submission_free(struct submission **submission);
void submission_feed(struct submission *submission, struct slice octets);

/*
 * The content is whole. Of the verdict it sets refusal, added and overwrites, which live as long as
 * the submission: whom Bcc and Resent-Bcc name is nobody else's matter, and is made unreadable.
 */
void submission_end(struct submission *submission, const struct session_login *login,
	struct smtp_verdict *ret_verdict);

#endif
