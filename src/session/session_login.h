/* Logins of a session worker: `auth` knows the passwords, this process asks. */
#ifndef SESSION_SESSION_LOGIN_H
#define SESSION_SESSION_LOGIN_H

#include "base/env.h"
#include "base/secret.h"
#include "smtp/server.h"

struct session_logins;

/* `unable`: what auth says can't be taken; the worker is to be replaced. */
struct session_logins *
session_logins_new(struct env *env, void (*unable)(void *arg, enum error error), void *arg);

/* The channel to logins; owned from here on. */
void session_logins_connect(struct session_logins *logins, int channel_fd, uint32_t instance);

/* Somebody who has logged in; one allocation, given back by session_login_free. */
struct session_login {
	struct slice login;
	struct slice senders; /* "a@b.test,*@c.test": those he may use besides his own */
};

/*
 * May wait. ERROR_DENIED: it is not the password of this login. Any other error: nobody can tell
 * now.
 */
MUST_CHECK enum error
session_logins_ask(struct session_logins *logins, struct slice login, struct secret password,
	struct slice client, mono_us deadline, struct session_login **ret_login);

/* May wait. Whether each login can come in by SCRAM; no, if nobody can tell by then. */
bool session_logins_offer_scram(struct session_logins *logins, mono_us deadline);

/* May wait. The challenge for this login. */
MUST_CHECK enum error session_logins_challenge(struct session_logins *logins, struct slice login,
	struct slice nonce, mono_us deadline, struct buffer *ret_text);

/* May wait. As session_logins_ask, for who has proved that he knows the password. */
MUST_CHECK enum error session_logins_prove(struct session_logins *logins,
	const struct smtp_scram_proof *proof, struct slice client, mono_us deadline,
	uint8_t ret_signature[SMTP_SCRAM_SIGNATURE], struct session_login **ret_login);

/* Takes NULL. */
void session_login_free(struct session_logins *logins, struct session_login **login);

/* Whether he may send as this address. */
bool session_login_may_send_as(const struct session_login *login, struct slice sender);

/* May wait. */
void session_logins_stop(struct session_logins *logins);
void session_logins_free(struct session_logins **logins);

#endif
