/* Reading the configuration's file. That it is missing or not readable is a problem of the file
 * like any other. */
#include "base/file_replace.h"
#include "conf/problem.h"

enum error
conf_load(struct env *env, struct arena *arena, int dir_fd, const char *path, struct conf *ret_conf,
	struct conf_problems *problems)
{
	struct slice name = slice_text(path);
	struct buffer text;
	char storage[64];
	struct buffer message;

	buffer_init(&text, env->memory, CONF_TEXT_MAX);
	enum error error = file_read(env, dir_fd, path, &text);
	if (error == OK) {
		error = conf_parse(env, arena, name, buffer_slice(&text), ret_conf, problems);
	} else if (arena_copy(&problems->arena, name, &problems->file)) {
		buffer_init_fixed(&message, storage, sizeof storage);
		buffer_printf(&message, "cannot be read: %s", error_text(error));
		problem_add(problems, (struct conf_place){0}, buffer_slice(&message));
	}
	buffer_done(&text);
	return error;
}
