/* Names of the roles, as process names, logs and the rights table show them. */
#include "ipc/role.h"

#define ROLE_NAME(ROLE, name) #name,
static const char *const names[ROLE_COUNT] = {ROLES(ROLE_NAME)};

const char *
role_name(enum role role)
{
	return (unsigned)role < ROLE_COUNT ? names[role] : "unknown";
}

bool
role_parse(struct slice name, enum role *ret_role)
{
	for (enum role role = 0; role < ROLE_COUNT; role++)
		if (slice_equal(name, slice_text(names[role]))) {
			*ret_role = role;
			return true;
		}
	return false;
}
