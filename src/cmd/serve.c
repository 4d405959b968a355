/*
 * `veredus serve -c FILE`: becomes veredus-core as root, which reads and checks the file before it
 * starts anything. `veredus user` becomes veredus-user. The private programs lie beside this one (a
 * build folder) or in libexec.
 */
#include "cmd/command.h"
#include "conf/conf.h"
#include "proc/rights.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define SERVE_DEFAULT_FILE VEREDUS_CONF

static bool
find_private_program(const char *own, const char *name, char ret_path[PATH_MAX])
{
	const char *slash = strrchr(own, '/');

	if (slash &&
		(size_t)snprintf(ret_path, PATH_MAX, "%.*s/%s", (int)(slash - own), own, name) <
			PATH_MAX &&
		access(ret_path, X_OK) == 0)
		return true;
	return (size_t)snprintf(ret_path, PATH_MAX, "%s/%s", VEREDUS_LIBEXEC, name) < PATH_MAX &&
	       access(ret_path, X_OK) == 0;
}

/* Where this program lies; false with a complaint. */
static bool
find_own_program(char ret_path[PATH_MAX])
{
	ssize_t len = readlink("/proc/self/exe", ret_path, PATH_MAX - 1);

	if (len < 0) {
		fprintf(stderr, "veredus: can't find the own program through /proc: %s\n",
			strerror(errno));
		return false;
	}
	ret_path[len] = 0;
	return true;
}

static int
incomplete(const char *name, const char *own)
{
	fprintf(stderr,
		"veredus: %s is neither beside %s nor in %s: the installation is incomplete\n",
		name, own, VEREDUS_LIBEXEC);
	return EX_OSFILE;
}

int
private_exec(const char *name, char **argv)
{
	char own[PATH_MAX], path[PATH_MAX];

	if (!find_own_program(own))
		return EX_OSERR;
	if (!find_private_program(own, name, path))
		return incomplete(name, own);
	execv(path, argv);
	fprintf(stderr, "veredus: can't start %s: %s\n", path, strerror(errno));
	return EX_OSERR;
}

int
cmd_user(int argc, char **argv)
{
	(void)argc;
	return private_exec("veredus-user", argv);
}

int
serve_exec(const char *conf_file)
{
	char paths[PROGRAM_COUNT][PATH_MAX];
	char *own = paths[PROGRAM_VEREDUS];
	const char *arguments[2 + PROGRAM_COUNT + 1] = {"veredus-root", conf_file};

	if (!find_own_program(own))
		return EX_OSERR;
	for (enum program program = 0; program < PROGRAM_COUNT; program++) {
		arguments[2 + program] = paths[program];
		if (program == PROGRAM_VEREDUS ||
			find_private_program(own, program_name(program), paths[program]))
			continue;
		return incomplete(program_name(program), own);
	}
	execv(paths[PROGRAM_CORE], (char *const *)(uintptr_t)arguments);
	fprintf(stderr, "veredus: can't start %s: %s\n", paths[PROGRAM_CORE], strerror(errno));
	return EX_OSERR;
}

int
cmd_serve(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {0}};
	const char *conf_file = SERVE_DEFAULT_FILE;
	int option;

	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) >= 0) {
		if (option == 'c') {
			conf_file = optarg;
		} else {
			fprintf(option == 'h' ? stdout : stderr,
				"usage: veredus serve [-c FILE]\n    default: %s\n",
				SERVE_DEFAULT_FILE);
			return option == 'h' ? EX_OK : EX_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "veredus serve: unexpected \"%s\"\n", argv[optind]);
		return EX_USAGE;
	}
	return serve_exec(conf_file);
}
