/* Reading the configuration's file. That it is missing or not readable is a problem of the file
 * like any other. */
#include "base/file_replace.h"
#include "conf/problem.h"

#include <fcntl.h>
#include <stdio.h>

#define PROBLEMS_SHOWN_MAX (1u << 20) /* octets: CONF_PROBLEMS_MAX of them, with long paths */

/* A named pipe would be waited for, a device read for ever. */
static bool
is_other_thing(struct env *env, int dir_fd, const char *path)
{
	struct stat found;

	return env->disk->fstatat(env->world, dir_fd, path, &found, 0) == 0 &&
	       !S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode);
}

enum error
conf_load(struct env *env, struct arena *arena, int dir_fd, const char *path, struct conf *ret_conf,
	struct conf_problems *problems)
{
	struct slice name = slice_text(path);
	struct buffer text;
	char storage[64];
	struct buffer message;

	buffer_init(&text, env->memory, CONF_TEXT_MAX);
	enum error error = is_other_thing(env, dir_fd, path) ? ERROR_FORMAT
							     : file_read(env, dir_fd, path, &text);
	if (error == OK) {
		error = conf_parse(env, arena, name, buffer_slice(&text), ret_conf, problems);
	} else if (arena_copy(&problems->arena, name, &problems->file)) {
		buffer_init_fixed(&message, storage, sizeof storage);
		buffer_printf(&message, "cannot be read: %s",
			error == ERROR_FORMAT ? "it is no regular file" : error_text(error));
		problem_add(problems, (struct conf_place){0}, buffer_slice(&message));
	}
	buffer_done(&text);
	return error;
}

void
conf_problems_say(
	struct env *env, const char *path, const struct conf_problems *problems, enum error error)
{
	struct buffer text;

	buffer_init(&text, env->memory, PROBLEMS_SHOWN_MAX);
	conf_problems_format(problems, &text);
	if (buffer_error(&text) == OK && text.len > 0)
		fwrite(text.ptr, 1, text.len, stderr);
	else
		fprintf(stderr, "%s: %s\n", path, error_text(error));
	buffer_done(&text);
}

enum error
conf_load_or_say(struct env *env, struct arena *arena, const char *path, struct conf *ret_conf)
{
	struct conf_problems problems;

	conf_problems_init(&problems, env->memory);
	enum error error = conf_load(env, arena, AT_FDCWD, path, ret_conf, &problems);
	if (error != OK)
		conf_problems_say(env, path, &problems, error);
	conf_problems_done(&problems);
	return error;
}
