/* What can be wrong with asking is said with what to do about it. */
#include "cmd/control.h"
#include "cmd/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/un.h>
#include <sysexits.h>

#define DEFAULT_CONTROL "/run/veredus/control" /* when the configuration is not for our eyes */

int
control_fail(const struct control *control, int code, const char *what)
{
	return tool_fail(control->command, code, "%s %.*s", what, SLICE_ARGS(control->path));
}

int
control_no_answer(const struct control *control, const char *why)
{
	return tool_fail(control->command, EX_UNAVAILABLE,
		"no answer at %.*s: is veredus running? %s. Start it with `veredus serve`, or "
		"name its configuration with -c",
		SLICE_ARGS(control->path), why);
}

int
control_refused(const struct control *control, struct slice reason)
{
	struct buffer text;

	buffer_init(&text, control->env->memory, TOOL_LINE_MAX);
	tool_append_harmless(&text, reason);
	tool_fail(control->command, EX_TEMPFAIL, "%s", buffer_text(&text));
	buffer_done(&text);
	return EX_TEMPFAIL;
}

int
control_find(struct control *control, struct arena *arena, const char *file, struct conf *ret_conf)
{
	const char *path = file ? file : VEREDUS_CONF;
	struct conf_problems problems;
	struct conf conf;
	int code = EX_OK;

	conf_problems_init(&problems, control->env->memory);
	enum error error = conf_load(control->env, arena, AT_FDCWD, path, &conf, &problems);
	if (error == OK) {
		if (control->path.len == 0)
			control->path = conf.control;
	} else if (!file && (error == ERROR_NOT_FOUND || error == ERROR_DENIED)) {
		if (control->path.len == 0)
			control->path = SLICE(DEFAULT_CONTROL);
	} else {
		conf_problems_say(control->env, path, &problems, error);
		code = EX_CONFIG;
	}
	if (ret_conf)
		*ret_conf = error == OK ? conf : (struct conf){.spool = SLICE("")};
	conf_problems_done(&problems);
	return code;
}

static int
explain_connect(const struct control *control, int error)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
		return control_no_answer(control, "There is no such socket");
	case ECONNREFUSED:
		return control_no_answer(control, "Nobody listens on the socket");
	case EACCES:
	case EPERM:
		return control_fail(
			control, EX_NOPERM, "not permitted; try as root: may not connect to");
	default:
		return control_no_answer(control, strerror(error));
	}
}

int
control_connect(struct control *control)
{
	struct env *env = control->env;
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (control->path.len == 0 || control->path.len >= sizeof address.sun_path)
		return tool_misused(control->command,
			"--control: a path of 1 to %zu octets is needed",
			sizeof address.sun_path - 1);
	memcpy(address.sun_path, control->path.ptr, control->path.len);
	int fd = env->net->connect(
		env->world, (const struct sockaddr *)&address, sizeof address, SOCK_SEQPACKET);
	if (fd < 0)
		return explain_connect(control, -fd);
	enum error error = channel_open(&control->channel, env->loop, fd, ROLE_TOOL, ROLE_ADMIN);
	return error == OK ? EX_OK : control_no_answer(control, error_text(error));
}

void
control_close(struct control *control)
{
	channel_close(&control->channel);
}
