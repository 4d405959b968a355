/*
 * Logins to other servers: the passwords of routes, and AUTH with one of them. A password lies here
 * and nowhere else, and is wiped when another takes its place.
 */
#ifndef RELAY_LOGIN_H
#define RELAY_LOGIN_H

#include "relay/connection.h"

struct relay_logins;

struct relay_logins *relay_logins_new(struct env *env);
void relay_logins_free(struct relay_logins **logins);

/* May block on the disk: reads the file of this path, and closes it. What is no password is logged,
 * and there is none then. */
void relay_logins_set(struct relay_logins *logins, struct slice path, int fd);

/* What a route has; the slices live as long as the configuration. */
struct relay_login {
	const struct relay_logins *logins;
	struct slice name; /* empty: none */
	struct slice file; /* of its password */
};

/*
 * May wait. Logs in on a greeted connection whose other side is verified; connection->login says so
 * then. Without a login it does nothing. *ret_reason is empty when all is as it shall be, else a
 * sentence in the arena that says why the connection is of no use. Errors as smtp_client_login.
 */
MUST_CHECK enum error relay_log_in(struct relay_connection *connection,
	const struct relay_login *login, struct arena *arena, struct slice *ret_reason);

#endif
