/*
 * veredus-core: the private program of root and of the roles that need libc alone. As veredus-root
 * it takes the configuration's path and the paths of all programs, in the order of enum program;
 * else it is a role by its name.
 */
#include "proc/child.h"
#include "proc/root.h"

#include <string.h>

int
main(int argc, char **argv)
{
	env_hold_standard_descriptors();
	if (argc == 2 + PROGRAM_COUNT && strcmp(argv[0], "veredus-root") == 0)
		return root_main(argv[1], (const char *const *)argv + 2);
	return child_main(argc > 0 ? argv[0] : "");
}
