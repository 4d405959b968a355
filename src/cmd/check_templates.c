/* The folder of `report_templates`: each file in it is a template that can be used, or it is
 * named. */
#include "cmd/check_templates.h"
#include "base/file_replace.h"
#include "text/dsn_template.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct look {
	struct env *env;
	struct slice path;
	int fd;
	bool is_good;
};

static void
say(struct look *look, const char *name, uint32_t line, const char *what)
{
	fprintf(stderr, "%.*s/%s:", SLICE_ARGS(look->path), name);
	if (line > 0)
		fprintf(stderr, "%u:", line);
	fprintf(stderr, " %s\n", what);
	look->is_good = false;
}

static void
check_template(struct look *look, const char *name)
{
	struct dsn_template_fault fault;
	struct buffer text;

	buffer_init(&text, look->env->memory, DSN_TEMPLATE_MAX);
	enum error error = file_read(look->env, look->fd, name, &text);
	if (error == ERROR_DENIED && geteuid() != 0)
		fprintf(stderr,
			"veredus check: warning: %.*s/%s is not for you to read: not checked\n",
			SLICE_ARGS(look->path), name);
	else if (error == ERROR_LIMIT)
		say(look, name, 0, "the text is longer than 16 KiB");
	else if (error != OK)
		say(look, name, 0, error_text(error));
	else if (!dsn_template_check(buffer_slice(&text), &fault))
		say(look, name, fault.line, fault.what);
	buffer_done(&text);
}

static bool
check_entry(void *arg, const struct disk_entry *entry)
{
	enum dsn_template template;
	enum dsn_language language;
	struct look *look = arg;

	if (entry->name[0] == '.')
		return true;
	if (dsn_template_parse_name(slice_text(entry->name), &template, &language))
		check_template(look, entry->name);
	else
		fprintf(stderr,
			"veredus check: warning: %.*s/%s: no template is called so, but failure, "
			"delay or success with .en, .de, .fr, .es or .ru\n",
			SLICE_ARGS(look->path), entry->name);
	return true;
}

bool
check_templates(struct env *env, const struct conf *conf)
{
	struct look look = {.env = env, .path = conf->report_templates, .is_good = true};
	struct arena arena;

	if (look.path.len == 0)
		return true;
	arena_init(&arena, env->memory, 8192);
	const char *path = arena_text(&arena, look.path);
	look.fd = path ? env->disk->openat(env->world, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0)
		       : -ENOMEM;
	arena_done(&arena);
	int result =
		look.fd < 0 ? look.fd : env->disk->list(env->world, look.fd, check_entry, &look);
	if (result == -EACCES && geteuid() != 0) {
		fprintf(stderr,
			"veredus check: warning: %.*s is not for you to read: not checked\n",
			SLICE_ARGS(look.path));
	} else if (result < 0) {
		fprintf(stderr, "%.*s: %s\n", SLICE_ARGS(look.path), strerror(-result));
		look.is_good = false;
	}
	if (look.fd >= 0)
		env->disk->close(env->world, look.fd);
	return look.is_good;
}
