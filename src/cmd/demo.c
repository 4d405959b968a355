/*
 * What `veredus sandbox --demo` adds to the server: it stays the server's parent, repeats what the
 * server announces, sends a first message as any client would (`veredus send`), and shows the
 * beginning of each file that is delivered. SIGTERM goes on to the server; Ctrl-C reaches both by
 * the terminal. It ends when the server has ended, with the server's exit code.
 */
#include "cmd/demo.h"
#include "cmd/command.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#define SHOWN_LINES      40
#define LISTENING        "listening smtp "
#define DELIVERED        "delivered "
#define ANNOUNCEMENT_MAX 8192 /* octets: a path has 4096 at the most */

static const char demo_body[] =
	"This message came in by SMTP, was on stable storage before its sender\n"
	"heard 250, and lies in a Maildir now. Send another one:\n"
	"\n"
	"    swaks --server %s --to anybody@sandbox.test\n"
	"    curl smtp://%s --mail-from me@example.org \\\n"
	"        --mail-rcpt anybody@sandbox.test --upload-file README.md\n";

static volatile sig_atomic_t server_pid;

static void
pass_on(int signal_number)
{
	if (server_pid > 0)
		kill((pid_t)server_pid, signal_number);
}

/* In a process of its own, with the body on its standard input. */
static void __attribute__((noreturn)) send_first_message(const char *address)
{
	char server[] = "--server", from[] = "--from", sender[] = "you@example.org", to[] = "--to",
	     recipient[] = "first@sandbox.test";
	char subject[] = "--subject", text[] = "The first message", name[] = "send",
	     verbose[] = "-v", where[128];
	char *arguments[] = {
		name, server, where, from, sender, to, recipient, subject, text, verbose, NULL};
	FILE *body = tmpfile();

	snprintf(where, sizeof where, "%.100s", address);
	if (!body || fprintf(body, demo_body, address, address) < 0 || fflush(body) != 0 ||
		lseek(fileno(body), 0, SEEK_SET) < 0 || dup2(fileno(body), STDIN_FILENO) < 0)
		_exit(EX_OSERR);
	printf("\nsending a first message to %s:\n", address);
	fflush(stdout);
	optind = 0; /* getopt starts anew: it has read the sandbox's own arguments */
	int code = cmd_send(sizeof arguments / sizeof *arguments - 1, arguments);
	fflush(stdout);
	_exit(code);
}

/* The file may be another user's when root runs the sandbox: root can read it. Controls could
 * command the terminal: shown as "?". */
static void
show_message(const char *path)
{
	FILE *file = fopen(path, "re");
	int octet, lines = 0;

	if (!file)
		return;
	fputs("    | ", stdout);
	while (lines < SHOWN_LINES && (octet = fgetc(file)) != EOF) {
		if (octet == '\n') {
			int next = fgetc(file);
			if (next == EOF)
				break;
			ungetc(next, file);
			fputs(++lines < SHOWN_LINES ? "\n    | " : "\n    | ...", stdout);
		} else {
			fputc(octet == '\t' || (octet >= ' ' && octet < 0x7f) ? octet : '?',
				stdout);
		}
	}
	fputs("\n\n", stdout);
	fclose(file);
}

static void
follow(FILE *announcements)
{
	char line[ANNOUNCEMENT_MAX];

	while (fgets(line, sizeof line, announcements)) {
		line[strcspn(line, "\n")] = 0;
		puts(line);
		if (strncmp(line, LISTENING, sizeof LISTENING - 1) == 0) {
			fflush(stdout);
			if (fork() == 0)
				send_first_message(line + sizeof LISTENING - 1);
		} else if (strncmp(line, DELIVERED, sizeof DELIVERED - 1) == 0) {
			show_message(line + sizeof DELIVERED - 1);
		}
		fflush(stdout);
	}
}

int
demo_run(const char *conf_file)
{
	int fds[2], status = 0;
	pid_t parent = getpid();

	if (pipe2(fds, O_CLOEXEC) < 0) {
		fprintf(stderr, "veredus sandbox: no pipe: %s\n", strerror(errno));
		return EX_OSERR;
	}
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent || dup2(fds[1], STDOUT_FILENO) < 0)
			_exit(EX_OSERR);
		_exit(serve_exec(conf_file));
	}
	close(fds[1]);
	if (pid < 0) {
		fprintf(stderr, "veredus sandbox: can't start the server: %s\n", strerror(errno));
		return EX_OSERR;
	}
	server_pid = pid;
	sigaction(
		SIGTERM, &(struct sigaction){.sa_handler = pass_on, .sa_flags = SA_RESTART}, NULL);
	sigaction(SIGINT, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	FILE *announcements = fdopen(fds[0], "r");
	if (announcements)
		follow(announcements);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
}
