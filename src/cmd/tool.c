/* Output goes through stdio: a command's process has nothing else to do while it writes. */
#include "cmd/tool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sysexits.h>

static void __attribute__((format(printf, 2, 0)))
complain(const char *command, const char *format, va_list arguments)
{
	fflush(stdout);
	fprintf(stderr, "veredus %s: ", command);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
}

int
tool_fail(const char *command, int code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain(command, format, arguments);
	va_end(arguments);
	return code;
}

int
tool_misused(const char *command, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain(command, format, arguments);
	va_end(arguments);
	fprintf(stderr, "See `veredus help %s`.\n", command);
	return EX_USAGE;
}

int
tool_option(const char *command, int argc, char **argv, const char *letters,
	const struct option *options)
{
	opterr = 0;
	int option = getopt_long(argc, argv, letters, options, NULL);
	if (option == ':')
		tool_misused(command, "%s needs a value", argv[optind - 1]);
	else if (option == '?')
		tool_misused(command, "there is no option %s", argv[optind - 1]);
	return option == ':' ? '?' : option;
}

enum error
tool_run(struct env *env, const char *name, task_body *body, void *arg)
{
	struct loop *loop = loop_new(env, &(struct loop_options){0});
	struct task_group tasks;

	task_group_init(&tasks, loop);
	enum error error = task_start(&tasks, name, body, arg);
	if (error == OK)
		loop_run(loop);
	loop_free(&loop);
	return error;
}

void
tool_append_harmless(struct buffer *buffer, struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		uint8_t octet = text.ptr[i];
		if (octet >= ' ' && octet <= '~')
			buffer_append_octet(buffer, octet);
		else
			buffer_printf(buffer, "\\x%02x", octet);
	}
}

struct slice
tool_bare_address(struct slice text)
{
	bool has_both = text.len >= 2 && text.ptr[0] == '<' && text.ptr[text.len - 1] == '>';

	return has_both ? slice_sub(text, 1, text.len - 2) : text;
}

bool
tool_parse_ip(const char *text, uint8_t storage[16], struct slice *ret_ip)
{
	if (inet_pton(AF_INET, text, storage) == 1)
		*ret_ip = slice_of(storage, 4);
	else if (inet_pton(AF_INET6, text, storage) == 1)
		*ret_ip = slice_of(storage, 16);
	else
		return false;
	return true;
}

void
tool_print(struct slice text)
{
	fwrite(text.ptr, 1, text.len, stdout);
	fputc('\n', stdout);
}

int
tool_finish(const char *command, int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	return tool_fail(command, EX_IOERR, "writing to the standard output failed");
}
