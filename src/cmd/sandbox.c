/*
 * `veredus sandbox --dir DIR --smtp ADDR:PORT`: a server on loopback that needs no configuration.
 * It accepts everything for its own test domain, delivers to Maildirs in DIR, and shows on standard
 * output what happens. With --demo it also sends itself a message and shows each file that is
 * delivered; to be able to, it then stays the parent of the server.
 */
#include "cmd/command.h"
#include "cmd/demo.h"

#include "net/endpoint.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#define SANDBOX_DOMAIN "sandbox.test"
#define SANDBOX_USER \
	"nobody" /* whom the unprivileged processes run as when root starts a sandbox */

struct sandbox_arguments {
	char dir[PATH_MAX / 2];
	const char *smtp;
	bool demo;
};

static int
usage(FILE *out)
{
	fprintf(out,
		"usage: veredus sandbox --dir DIR --smtp ADDR:PORT [--demo]\n"
		"    DIR        a folder for spool, mailboxes and log; made if it is not there\n"
		"    ADDR:PORT  where to listen; port 0: the kernel chooses, the first line of "
		"output tells\n"
		"    --demo     send a first message, and show each message that is delivered\n");
	return out == stdout ? EX_OK : EX_USAGE;
}

static int
parse_arguments(int argc, char **argv, struct sandbox_arguments *arguments, bool *ret_help)
{
	static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
		{"smtp", required_argument, NULL, 's'}, {"demo", no_argument, NULL, 'D'},
		{"help", no_argument, NULL, 'h'}, {0}};
	const char *dir = NULL;
	struct endpoint endpoint;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		switch (option) {
		case 'd':
			dir = optarg;
			break;
		case 's':
			arguments->smtp = optarg;
			break;
		case 'D':
			arguments->demo = true;
			break;
		case 'h':
			*ret_help = true;
			return usage(stdout);
		default:
			return usage(stderr);
		}
	}
	if (optind < argc || !dir || !arguments->smtp)
		return usage(stderr);
	if (endpoint_parse(slice_text(arguments->smtp), &endpoint) != OK ||
		endpoint.address.ss_family == AF_UNIX) {
		fprintf(stderr,
			"veredus sandbox: \"%s\" is no address to listen on; write 127.0.0.1:2525 "
			"or [::1]:0\n",
			arguments->smtp);
		return EX_USAGE;
	}
	if (mkdir(dir, 0755) < 0 && errno != EEXIST) {
		fprintf(stderr, "veredus sandbox: can't make %s: %s\n", dir, strerror(errno));
		return EX_CANTCREAT;
	}
	char whole[PATH_MAX];
	if (!realpath(dir, whole) || strlen(whole) >= sizeof arguments->dir ||
		strpbrk(whole, "\"\\{}\n")) {
		fprintf(stderr,
			"veredus sandbox: the folder %s can't be used: choose one with a plain, "
			"short path\n",
			dir);
		return EX_CANTCREAT;
	}
	memcpy(arguments->dir, whole, strlen(whole) + 1);
	return EX_OK;
}

static int
write_configuration(const struct sandbox_arguments *arguments, char ret_path[PATH_MAX])
{
	snprintf(ret_path, PATH_MAX, "%s/veredus.conf", arguments->dir);
	FILE *file = fopen(ret_path, "we");
	if (!file) {
		fprintf(stderr, "veredus sandbox: can't write %s: %s\n", ret_path, strerror(errno));
		return EX_CANTCREAT;
	}
	fprintf(file,
		"# Written by veredus sandbox, anew at each start.\n"
		"hostname mx." SANDBOX_DOMAIN "\n"
		"user " SANDBOX_USER "\n"
		"spool \"%s/spool\"\n"
		"control \"%s/control\"\n"
		"listen smtp { address %s  role mx }\n"
		"domain " SANDBOX_DOMAIN " {\n"
		"\taccounts any\n"
		"\tmailbox maildir \"%s/mail/{domain}/{user}\"\n"
		"}\n"
		"log { to file \"%s/veredus.log\" }\n",
		arguments->dir, arguments->dir, arguments->smtp, arguments->dir, arguments->dir);
	int failed = ferror(file);
	if (fclose(file) != 0 || failed) {
		fprintf(stderr, "veredus sandbox: can't write %s\n", ret_path);
		return EX_IOERR;
	}
	return EX_OK;
}

int
cmd_sandbox(int argc, char **argv)
{
	struct sandbox_arguments arguments = {.demo = false};
	char conf_file[PATH_MAX];
	bool help = false;
	int code = parse_arguments(argc, argv, &arguments, &help);

	if (code != EX_OK || help)
		return code;
	code = write_configuration(&arguments, conf_file);
	if (code != EX_OK)
		return code;
	return arguments.demo ? demo_run(conf_file) : serve_exec(conf_file);
}
