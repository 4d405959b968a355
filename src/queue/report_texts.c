/* The operator's own texts of reports (text/dsn_template.h), read from files that root has opened.
 * One that can't be used stops nothing: ours stands in its place, and the log says so. */
#include "queue/report_private.h"

#include <string.h>

#define TEXTS_MAX (DSN_TEMPLATES * DSN_LANGUAGES * (DSN_TEMPLATE_MAX + 64)) /* of all together */

void
report_texts_init(struct queue_service *service)
{
	arena_init(&service->reports.texts_arena, service->env->memory, TEXTS_MAX);
}

void
report_texts_done(struct queue_service *service)
{
	arena_done(&service->reports.texts_arena);
}

static enum error
read_text(struct env *env, int fd, struct buffer *text)
{
	uint8_t piece[1024];
	ssize_t got;

	while ((got = env->disk->pread(env->world, fd, piece, sizeof piece, (off_t)text->len)) >
			0 &&
		buffer_error(text) == OK)
		buffer_append(text, slice_of(piece, (size_t)got));
	return got < 0 ? ERROR_IO : buffer_error(text);
}

static struct slice
name_of(struct slice path)
{
	for (size_t i = path.len; i > 0; i--)
		if (path.ptr[i - 1] == '/')
			return slice_from(path, i);
	return path;
}

/* ERROR_FORMAT: see the fault. */
static enum error
take_text(struct queue_service *service, struct slice path, int fd,
	struct dsn_template_fault *ret_fault)
{
	struct reports *reports = &service->reports;
	enum dsn_template template;
	enum dsn_language language;
	struct buffer text;

	if (!dsn_template_parse_name(name_of(path), &template, &language))
		return ERROR_NOT_FOUND;
	buffer_init(&text, service->env->memory, DSN_TEMPLATE_MAX);
	enum error error = read_text(service->env, fd, &text);
	if (error == OK && !dsn_template_check(buffer_slice(&text), ret_fault))
		error = ERROR_FORMAT;
	if (error == OK && !arena_copy(&reports->texts_arena, buffer_slice(&text),
				   &reports->texts.texts[template][language]))
		error = ERROR_NO_MEMORY;
	buffer_done(&text);
	return error;
}

void
queue_service_set_report_text(struct queue_service *service, struct slice path, int fd)
{
	struct env *env = service->env;
	struct dsn_template_fault fault = {0};
	enum error error = take_text(service, path, fd, &fault);

	env->disk->close(env->world, fd);
	if (error != OK)
		log_event(env, LOG_ERROR, "report_template_unusable", LOG_SLICE("file", path),
			LOG_NUMBER("line", fault.line),
			LOG_STRING(
				"error", error == ERROR_FORMAT ? fault.what : error_text(error)));
}
