/* `veredus spool export`: what could be read of each message, as a mail program reads it and as a
 * script does. */
#include "base/file_replace.h"
#include "cmd/spool_tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define FILE_MODE   0600
#define FOLDER_MODE 0700

struct export
{
	const struct spool_order *order;
	int dir_fd;
	struct buffer text;
	uint64_t written, unsound;
	bool *found; /* of the ids that were asked for */
	bool has_failed;
};

static bool
is_wanted(struct export *export, const struct spool_mail *mail)
{
	bool is_wanted = export->order->id_count == 0;

	for (int i = 0; i < export->order->id_count; i++)
		if (strcmp(export->order->ids[i], mail->id) == 0)
			is_wanted = export->found[i] = true;
	return is_wanted;
}

static enum error
write_part(struct export *export, const struct spool_mail *mail, const char *ending)
{
	char name[QUEUE_ID_DIGITS + 8];

	snprintf(name, sizeof name, "%s.%s", mail->id, ending);
	enum error error = buffer_error(&export->text);
	if (error == OK)
		error = file_replace(export->order->env, export->dir_fd, name,
			buffer_slice(&export->text), FILE_MODE);
	if (error != OK) {
		tool_fail(SPOOL_TOOL, EX_CANTCREAT, "%s/%s: %s", export->order->to, name,
			error_text(error));
		export->has_failed = true;
	}
	return error;
}

static enum error
export_mail(void *arg, const struct spool_mail *mail)
{
	struct export *export = arg;
	enum error error = OK;

	if (!is_wanted(export, mail))
		return OK;
	if (mail->fault) {
		export->unsound++;
		fprintf(stderr, "message %s: %s\n", mail->id, mail->fault);
	}
	buffer_clear(&export->text);
	spool_mail_append_json(&export->text, mail);
	buffer_append_octet(&export->text, '\n');
	error = write_part(export, mail, "json");
	if (error == OK && mail->has_content) {
		buffer_clear(&export->text);
		if (mail->has_envelope)
			buffer_append(&export->text, mail->envelope.trace);
		buffer_append(&export->text, buffer_slice(&mail->content));
		error = write_part(export, mail, "eml");
	}
	export->written += error == OK;
	return error == OK ? OK : ERROR_CANCELLED;
}

static void
say_damage(void *arg, const char *file, uint64_t offset, const char *what)
{
	(void)arg;
	fprintf(stderr, "%s at %llu: %s\n", file, (unsigned long long)offset, what);
}

static int
open_target(const char *to, int *ret_fd)
{
	if (mkdir(to, FOLDER_MODE) < 0 && errno != EEXIST)
		return tool_fail(SPOOL_TOOL, EX_CANTCREAT, "%s: %s", to, strerror(errno));
	*ret_fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret_fd < 0 ? tool_fail(SPOOL_TOOL, EX_CANTCREAT, "%s: %s", to, strerror(errno))
			   : EX_OK;
}

static int
check_ids(const struct spool_order *order)
{
	uint64_t id;

	for (int i = 0; i < order->id_count; i++)
		if (queue_id_parse(slice_text(order->ids[i]), &id) != OK)
			return tool_misused(
				SPOOL_TOOL, "\"%s\" is no id of a message", order->ids[i]);
	return EX_OK;
}

static int
conclude(const struct export *export)
{
	const struct spool_order *order = export->order;
	int code = export->unsound > 0 ? EX_DATAERR : EX_OK;

	if (export->has_failed)
		return EX_CANTCREAT;
	for (int i = 0; i < order->id_count; i++)
		if (!export->found[i])
			code = tool_fail(
				SPOOL_TOOL, EX_NOINPUT, "there is no message %s", order->ids[i]);
	printf("%llu message%s written to %s\n", (unsigned long long)export->written,
		export->written == 1 ? "" : "s", order->to);
	return code;
}

int
spool_export(const struct spool_order *order)
{
	struct export export = {.order = order, .dir_fd = -1};
	struct spool_walk walk = {.env = order->env,
		.path = order->path,
		.dir_fd = order->dir_fd,
		.mail = export_mail,
		.damage = say_damage,
		.arg = &export};
	int code = check_ids(order);

	if (code == EX_OK)
		code = open_target(order->to, &export.dir_fd);
	if (code != EX_OK)
		return code;
	export.found = memory_get(order->env->memory, (size_t)order->id_count + 1);
	buffer_init(&export.text, order->env->memory, SIZE_MAX);
	code = spool_walk_run(&walk);
	if (code == EX_OK)
		code = conclude(&export);
	buffer_done(&export.text);
	memory_put(order->env->memory, export.found);
	close(export.dir_fd);
	return code;
}
