/* The roles of Veredus' processes (docs/architecture.md). What each may do stands in the table of
 * proc/rights.c. */
#ifndef IPC_ROLE_H
#define IPC_ROLE_H

#include "base/slice.h"

/* R(ROLE, name): enum, names, and the functions of proc/child.h follow from this list. */
#define ROLES(R)              \
	R(ROOT, root)         \
	R(SESSION, session)   \
	R(QUEUE, queue)       \
	R(DELIVER, deliver)   \
	R(LOOKUP, lookup)     \
	R(ADMIN, admin)       \
	R(LOG, log)           \
	R(RELAY, relay)       \
	R(RESOLVER, resolver) \
	R(KEYS, keys)         \
	R(AUTH, auth)         \
	R(GUARD, guard)       \
	R(TOOL, tool) /* a person's command on the control socket: no process of the server */

#define ROLE_VALUE(ROLE, name) ROLE_##ROLE,
enum role { ROLES(ROLE_VALUE) ROLE_COUNT };
#undef ROLE_VALUE

#define ROLE_BIT(role) (1u << (role))

/* All that root starts. */
#define ROLES_CHILDREN (ROLE_BIT(ROLE_COUNT) - 1 - ROLE_BIT(ROLE_ROOT) - ROLE_BIT(ROLE_TOOL))

/* "session"; never NULL. */
const char *role_name(enum role role);

/* False for a name that is no role. */
bool role_parse(struct slice name, enum role *ret_role);

#endif
