/*
 * veredus-core: the private program of root, queue, deliver, admin and log. By its name (argv[0])
 * it is one of them; as veredus-root it takes the configuration's path and the path of the public
 * program.
 */
#include "proc/child.h"
#include "proc/root.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		const struct role_functions *functions;
	} roles[] = {{"veredus-queue", &role_queue}, {"veredus-deliver", &role_deliver},
		{"veredus-admin", &role_admin}, {"veredus-log", &role_log}};
	const char *name = argc > 0 ? strrchr(argv[0], '/') : NULL;

	env_hold_standard_descriptors();
	name = name ? name + 1 : argc > 0 ? argv[0] : "";
	for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
		if (strcmp(name, roles[i].name) == 0)
			return child_main(roles[i].functions);
	if (strcmp(name, "veredus-root") == 0 && argc == 5)
		return root_main(argv[1], (const char *const[]){[PROGRAM_CORE] = argv[2],
						  [PROGRAM_VEREDUS] = argv[3],
						  [PROGRAM_LOOKUP] = argv[4]});
	fprintf(stderr, "veredus-core is started by `veredus serve`, not by hand\n");
	return EX_USAGE;
}
