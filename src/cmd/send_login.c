/*
 * The login of `veredus send`. Its password comes from a file that is its owner's alone, or from
 * the terminal, since the standard input has the text of the message; never from the command line,
 * where everybody would see it.
 */
#include "cmd/send.h"
#include "cmd/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <termios.h>
#include <unistd.h>

#define TERMINAL "/dev/tty"

/* No more than the room; the octets read, or -1 with errno. */
static ssize_t
read_some(struct send *send, int fd, bool is_line)
{
	size_t len = 0;
	ssize_t got = 1;

	while (got > 0 && len < sizeof send->password_storage) {
		got = read(fd, send->password_storage + len, sizeof send->password_storage - len);
		len += got > 0 ? (size_t)got : 0;
		if (is_line && len > 0 && send->password_storage[len - 1] == '\n')
			break;
	}
	return got < 0 ? got : (ssize_t)len;
}

static int
take_password(struct send *send, const char *from, ssize_t len)
{
	struct slice text = slice_of(send->password_storage, len > 0 ? (size_t)len : 0);

	if (len < 0)
		return tool_fail(
			SEND_NAME, EX_NOINPUT, "%s can't be read: %s", from, strerror(errno));
	const char *why = sasl_password_of_file(text, &send->password);
	return why ? tool_fail(SEND_NAME, EX_DATAERR, "the password of %s: %s", from, why) : EX_OK;
}

static int
read_file(struct send *send)
{
	const char *path = send->password_file;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat stat;

	if (fd < 0 || fstat(fd, &stat) < 0) {
		int code = tool_fail(
			SEND_NAME, EX_NOINPUT, "%s can't be opened: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return code;
	}
	bool is_private = !S_ISREG(stat.st_mode) || (stat.st_mode & (S_IRWXG | S_IRWXO)) == 0;
	int code = is_private
			   ? take_password(send, path, read_some(send, fd, false))
			   : tool_fail(SEND_NAME, EX_NOPERM,
				     "%s: others than its owner may read the password: chmod 600",
				     path);
	close(fd);
	return code;
}

/* Without an echo. */
static int
ask(struct send *send)
{
	struct termios before, silent;
	int fd = open(TERMINAL, O_RDWR | O_CLOEXEC | O_NOCTTY);

	if (fd < 0 || tcgetattr(fd, &before) < 0) {
		if (fd >= 0)
			close(fd);
		return tool_misused(
			SEND_NAME, "--user needs --password-file FILE where there is no terminal");
	}
	silent = before;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(fd, TCSAFLUSH, &silent); /* first: what is typed before is dropped */
	dprintf(fd, "Password of %.*s: ", SLICE_ARGS(send->user));
	ssize_t len = read_some(send, fd, true);
	tcsetattr(fd, TCSAFLUSH, &before);
	dprintf(fd, "\n");
	int code = take_password(send, "the terminal", len);
	close(fd);
	return code;
}

int
send_prepare_login(struct send *send)
{
	return send->password_file ? read_file(send) : ask(send);
}

enum error
send_log_in(struct send *send, struct smtp_client *client, struct smtp_reply *ret_reply)
{
	struct smtp_client_login login = {send->user, send->password};
	struct smtp_client_auth_result result;

	/* The options see to that; this is the last look. */
	if (!send->is_encrypted) {
		send->login_fault = "there is no TLS";
		return ERROR_DENIED;
	}
	enum error error = smtp_client_login(client, &login, &result);
	if (error != OK)
		return error;
	switch (result.outcome) {
	case SMTP_AUTH_DONE:
		return OK;
	case SMTP_AUTH_REFUSED:
		client->is_open = false;
		*ret_reply = result.reply;
		return OK;
	case SMTP_AUTH_NOT_OFFERED:
		send->login_fault = "the server offers no AUTH";
		break;
	case SMTP_AUTH_NO_MECHANISM:
		send->login_fault = "the server offers none of SCRAM-SHA-256, PLAIN and LOGIN";
		break;
	case SMTP_AUTH_UNPROVEN:
		send->login_fault = result.problem;
		break;
	}
	return ERROR_DENIED;
}
