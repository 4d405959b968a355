/*
 * The client's side of AUTH (RFC 4954): PLAIN (RFC 4616), LOGIN and SCRAM-SHA-256 (RFC 5802, 7677).
 * Channel binding is not done.
 */
#ifndef SMTP_CLIENT_AUTH_H
#define SMTP_CLIENT_AUTH_H

#include "base/secret.h"
#include "smtp/client.h"

struct smtp_client_login {
	struct slice name;      /* no NUL; 1 to SASL_LOGIN_MAX octets */
	struct secret password; /* no NUL; 1 to SASL_PASSWORD_MAX octets */
};

enum smtp_client_auth {
	SMTP_AUTH_DONE,
	SMTP_AUTH_NOT_OFFERED,
	SMTP_AUTH_NO_MECHANISM, /* it is offered, but none that we can */
	SMTP_AUTH_REFUSED,      /* the reply says why; 4xx for now */
	SMTP_AUTH_UNPROVEN, /* with SCRAM, the server did not show that it knows the login: it may
			       be another's, and the connection is over */
};

struct smtp_client_auth_result {
	enum smtp_client_auth outcome;
	struct smtp_reply reply; /* REFUSED; its text holds until the next call */
	const char *problem;     /* UNPROVEN: "the server's signature is wrong" */
};

/*
 * May wait. Logs in to an open session, once, before any message; the caller has made sure that the
 * session is encrypted and with whom. The strongest mechanism of those that are offered is used;
 * the next only where the server says that it does not know it (504). Copies of the password are
 * wiped. Errors as of smtp_client_open; ERROR_FORMAT also for a server that asks for what the
 * mechanism does not have, ERROR_LIMIT for a login that is none. After an error the connection is
 * of no use.
 */
MUST_CHECK enum error smtp_client_login(struct smtp_client *client,
	const struct smtp_client_login *login, struct smtp_client_auth_result *ret_result);

#endif
