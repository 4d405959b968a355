/* veredus-lookup: the private program of lookup, a process with libraries of its own. */
#include "proc/child.h"

int
main(void)
{
	env_hold_standard_descriptors();
	return child_main(&role_lookup);
}
