/*
 * conf_manual TEMPLATE: the manual page veredus.conf(5) on stdout. The template's line
 * "@DIRECTIVES@" is replaced by the reference of all directives, which comes from the schema of the
 * configuration: so the manual knows every directive, and no other. Runs at build time only.
 */
#include "base/file_replace.h"
#include "conf/conf.h"

#include <fcntl.h>
#include <stdio.h>
#include <sysexits.h>

#define PAGE_MAX (1u << 20)

static bool
write_out(struct slice bytes)
{
	return fwrite(bytes.ptr, 1, bytes.len, stdout) == bytes.len;
}

/* The template with its mark replaced. */
static enum error
make_page(struct slice template, struct buffer *page)
{
	struct slice mark = SLICE("@DIRECTIVES@\n");
	size_t at = 0;

	while (at < template.len && !slice_has_prefix(slice_from(template, at), mark)) {
		ssize_t end = slice_find(template, at, '\n');
		at = end < 0 ? template.len : (size_t)end + 1;
	}
	if (at == template.len)
		return ERROR_FORMAT;
	buffer_append(page, slice_sub(template, 0, at));
	conf_print_manual(page);
	buffer_append(page, slice_from(template, at + mark.len));
	return buffer_error(page);
}

int
main(int argc, char **argv)
{
	struct env env;
	struct buffer template, page;

	if (argc != 2) {
		fputs("usage: conf_manual TEMPLATE\n", stderr);
		return EX_USAGE;
	}
	env_init_linux(&env);
	buffer_init(&template, env.memory, PAGE_MAX);
	buffer_init(&page, env.memory, PAGE_MAX);
	enum error error = file_read(&env, AT_FDCWD, argv[1], &template);
	if (error == OK)
		error = make_page(buffer_slice(&template), &page);
	if (error == OK && (!write_out(buffer_slice(&page)) || fflush(stdout) != 0))
		error = ERROR_IO;
	if (error != OK)
		fprintf(stderr, "conf_manual: %s: %s\n", argv[1], error_text(error));
	env_done(&env);
	return error == OK ? EX_OK : EX_SOFTWARE;
}
