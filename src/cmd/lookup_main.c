/* veredus-lookup: the private program of lookup, a process with libraries of its own. */
#include "proc/child.h"

int
main(void)
{
	return child_main(&role_lookup);
}
