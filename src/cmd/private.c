/* main() of a private program: the roles that it is built with (meson.build), and nothing else. */
#include "proc/child.h"

int
main(int argc, char **argv)
{
	env_hold_standard_descriptors();
	return child_main(argc > 0 ? argv[0] : "");
}
