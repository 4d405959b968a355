/*
 * `veredus sandbox [--dir DIR] [--smtp ADDR:PORT]`: a server on loopback that needs no
 * configuration. It accepts everything, for whatever address, delivers to Maildirs in DIR, and
 * shows on standard output what happens; nothing ever leaves it. With --demo it also sends itself a
 * message and shows each file that is delivered; to be able to, it then stays the parent of the
 * server.
 *
 * The server believes the file that is written here, so nobody else may be able to put another in
 * its place: DIR must be the caller's alone. For root, whom others can lay traps, so must the way
 * to it.
 */
#include "cmd/command.h"
#include "cmd/demo.h"

#include "net/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#define SANDBOX_DOMAIN "sandbox.test"
#define DEFAULT_DIR    "veredus-sandbox"
#define DEFAULT_SMTP   "127.0.0.1:2525"
#define SANDBOX_USER \
	"nobody" /* whom the unprivileged processes run as when root starts a sandbox */

struct sandbox_arguments {
	char dir[PATH_MAX / 2];
	int dir_fd;
	const char *smtp;
	bool demo;
};

static int
usage(FILE *out)
{
	fprintf(out,
		"usage: veredus sandbox [--dir DIR] [--smtp ADDR:PORT] [--demo]\n"
		"    DIR        a folder for spool, mailboxes and log; made if it is not there "
		"(" DEFAULT_DIR ")\n"
		"    ADDR:PORT  where to listen (" DEFAULT_SMTP "); port 0: the kernel chooses, "
		"the first line of output tells\n"
		"    --demo     send a first message, and show each message that is delivered\n");
	return out == stdout ? EX_OK : EX_USAGE;
}

/* Root follows no link on the way: whoever made it chose where it leads. */
static int
open_dir(const char *dir)
{
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		.resolve = geteuid() == 0 ? RESOLVE_NO_SYMLINKS : 0};
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, dir, &how, sizeof how);

	if (fd >= 0 || errno != ENOSYS)
		return fd;
	/* Linux before 5.6, and some containers. */
	return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (geteuid() == 0 ? O_NOFOLLOW : 0));
}

/* NULL, or why somebody else has a say in what a folder holds. */
static const char *
folder_fault(const struct stat *stat, bool is_dir)
{
	if (stat->st_uid != geteuid() && (is_dir || stat->st_uid != 0))
		return "belongs to another user";
	/* On the way a sticky folder (/tmp) is as good: others can't move what is ours. */
	if ((stat->st_mode & (S_IWGRP | S_IWOTH)) && (is_dir || !(stat->st_mode & S_ISVTX)))
		return "can be written to by others";
	return NULL;
}

/* Looks at the folder, and for root at all above it. NULL, or what is wrong; the number of levels
 * up with it. */
static const char *
find_fault(int dir_fd, unsigned *ret_levels)
{
	struct stat here, above;
	const char *fault;
	int fd = dup(dir_fd);

	*ret_levels = 0;
	if (fd < 0 || fstat(fd, &here) < 0)
		fault = strerror(errno);
	else
		fault = folder_fault(&here, true);
	while (!fault && geteuid() == 0) {
		int up = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = up;
		if (fd < 0 || fstat(fd, &above) < 0) {
			fault = strerror(errno);
			break;
		}
		if (above.st_dev == here.st_dev && above.st_ino == here.st_ino)
			break; /* the top */
		here = above;
		++*ret_levels;
		fault = folder_fault(&here, false);
	}
	if (fd >= 0)
		close(fd);
	return fault;
}

/* The folder, made if it is not there, by its whole path. */
static int
take_dir(const char *dir, struct sandbox_arguments *arguments)
{
	char whole[PATH_MAX];
	unsigned levels;

	if (mkdir(dir, 0755) < 0 && errno != EEXIST) {
		fprintf(stderr, "veredus sandbox: can't make %s: %s\n", dir, strerror(errno));
		return EX_CANTCREAT;
	}
	arguments->dir_fd = open_dir(dir);
	if (arguments->dir_fd < 0) {
		fprintf(stderr, "veredus sandbox: can't open the folder %s: %s\n", dir,
			errno == ELOOP ? "there is a symbolic link on the way, which root does not "
					 "follow; give the real path"
				       : strerror(errno));
		return EX_NOPERM;
	}
	const char *fault = find_fault(arguments->dir_fd, &levels);
	if (fault) {
		fprintf(stderr,
			"veredus sandbox: %s%s %s: choose a folder that only you can write to "
			"(chmod go-w), or one that does not exist yet%s\n",
			levels ? "a folder above " : "the folder ", dir, fault,
			levels ? ", below folders of root's" : "");
		return EX_NOPERM;
	}
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
parse_arguments(int argc, char **argv, struct sandbox_arguments *arguments, bool *ret_help)
{
	static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
		{"smtp", required_argument, NULL, 's'}, {"demo", no_argument, NULL, 'D'},
		{"help", no_argument, NULL, 'h'}, {0}};
	const char *dir = DEFAULT_DIR;
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
	if (optind < argc)
		return usage(stderr);
	if (endpoint_parse(slice_text(arguments->smtp), &endpoint) != OK ||
		endpoint.address.ss_family == AF_UNIX) {
		fprintf(stderr,
			"veredus sandbox: \"%s\" is no address to listen on; write 127.0.0.1:2525 "
			"or [::1]:0\n",
			arguments->smtp);
		return EX_USAGE;
	}
	return take_dir(dir, arguments);
}

/* A regular file of ours, or none yet. */
static FILE *
open_configuration(int dir_fd)
{
	struct stat stat;
	int fd = openat(dir_fd, "veredus.conf",
		O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);

	if (fd < 0)
		return NULL;
	FILE *file = NULL;
	if (fstat(fd, &stat) == 0) {
		if (!S_ISREG(stat.st_mode) || stat.st_uid != geteuid() || stat.st_nlink != 1)
			errno = EEXIST;
		else if (ftruncate(fd, 0) == 0)
			file = fdopen(fd, "w");
	}
	if (!file)
		close(fd);
	return file;
}

static int
write_configuration(const struct sandbox_arguments *arguments, char ret_path[PATH_MAX])
{
	snprintf(ret_path, PATH_MAX, "%s/veredus.conf", arguments->dir);
	FILE *file = open_configuration(arguments->dir_fd);
	if (!file) {
		fprintf(stderr, "veredus sandbox: can't write %s: %s\n", ret_path,
			errno == EEXIST || errno == ELOOP
				? "there is something else of that name; remove it"
				: strerror(errno));
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
		"# Nothing leaves: mail for any other address lies here too.\n"
		"relay_from 0.0.0.0/0 [::]/0\n"
		"route * { to maildir \"%s/mail/{domain}/{user}\" }\n"
		"log { to file \"%s/veredus.log\" }\n",
		arguments->dir, arguments->dir, arguments->smtp, arguments->dir, arguments->dir,
		arguments->dir);
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
	struct sandbox_arguments arguments = {.dir_fd = -1, .smtp = DEFAULT_SMTP};
	char conf_file[PATH_MAX];
	bool help = false;
	int code = parse_arguments(argc, argv, &arguments, &help);

	if (code != EX_OK || help)
		return code;
	code = write_configuration(&arguments, conf_file);
	close(arguments.dir_fd);
	if (code != EX_OK)
		return code;
	return arguments.demo ? demo_run(conf_file) : serve_exec(conf_file);
}
