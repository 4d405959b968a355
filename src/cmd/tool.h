/* What the commands for people share: a loop for one task, complaints, output that is safe for a
 * terminal. */
#ifndef CMD_TOOL_H
#define CMD_TOOL_H

#include "base/buffer.h"
#include "conf/conf.h"
#include "task/task.h"

#include <getopt.h>

#define TOOL_LINE_MAX (64u << 10) /* octets of one line of output */

/* "veredus COMMAND: ..." on stderr; gives the code back. */
int tool_fail(const char *command, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same with EX_USAGE and a word on where help is. */
int
tool_misused(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * getopt_long with complaints of our own; the option string starts with ":". An option that is not
 * right is said on stderr and comes back as '?'.
 */
int tool_option(const char *command, int argc, char **argv, const char *letters,
	const struct option *options);

/* Runs one task on a loop of its own, to its end. */
MUST_CHECK enum error tool_run(struct env *env, const char *name, task_body *body, void *arg);

/* A stranger's octets for a terminal: printable ASCII as it is, all else as \xNN. */
void tool_append_harmless(struct buffer *buffer, struct slice text);

/* "<a@b>" as "a@b". */
struct slice tool_bare_address(struct slice text);

/* "192.0.2.1", "2001:db8::1" as 4 or 16 octets in the storage. */
bool tool_parse_ip(const char *text, uint8_t storage[16], struct slice *ret_ip);

/* Text and a line end on stdout. */
void tool_print(struct slice text);

/* The code, or EX_IOERR (and a complaint) if stdout did not take all. */
int tool_finish(const char *command, int code);

#endif
