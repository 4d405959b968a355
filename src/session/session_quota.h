/*
 * What those who have logged in may send (`login_…` of `limits`): `guard` is asked each time, so
 * that it is exact over all workers. All may wait; while there is no guard, some seconds for the
 * next one, and then nobody sends: a stolen password must not gain by killing it.
 */
#ifndef SESSION_SESSION_QUOTA_H
#define SESSION_SESSION_QUOTA_H

#include "session/session_private.h"

/* Code 0: it may. */
struct smtp_reply session_quota_mail(struct session *session);
struct smtp_reply session_quota_recipient(struct session *session, const struct address *address);
struct smtp_reply session_quota_content(struct session *session, uint64_t octets);

/* The session ends. */
void session_quota_leave(struct session *session);

#endif
