/* veredus: one command for people; by the name veredus-session it is that role. */
#include "cmd/command.h"
#include "proc/child.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

int
main(int argc, char **argv)
{
	const char *name = argc > 0 ? strrchr(argv[0], '/') : NULL;

	name = name ? name + 1 : argc > 0 ? argv[0] : "";
	if (strcmp(name, "veredus-session") == 0)
		return child_main(&role_session);
	if (argc > 1 && strcmp(argv[1], "serve") == 0)
		return cmd_serve(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "sandbox") == 0)
		return cmd_sandbox(argc - 1, argv + 1);
	fprintf(stderr, "usage: veredus serve|sandbox\n");
	return EX_USAGE;
}
