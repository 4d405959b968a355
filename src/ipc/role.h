/* The roles of Veredus' processes (docs/architecture.md). What each may do stands in the table of
 * proc/rights.c. */
#ifndef IPC_ROLE_H
#define IPC_ROLE_H

#include "base/slice.h"

enum role {
	ROLE_ROOT,
	ROLE_SESSION,
	ROLE_QUEUE,
	ROLE_DELIVER,
	ROLE_LOOKUP,
	ROLE_ADMIN,
	ROLE_LOG,
	ROLE_TOOL, /* a person's command on the control socket */
	ROLE_COUNT
};

#define ROLE_BIT(role) (1u << (role))

/* "session"; never NULL. */
const char *role_name(enum role role);

/* False for a name that is no role. */
bool role_parse(struct slice name, enum role *ret_role);

#endif
