/* `veredus spool check`. */
#include "base/log_record.h"
#include "cmd/spool_tool.h"

#include <inttypes.h>
#include <sysexits.h>

struct check {
	struct buffer line;
	bool is_json;
	uint64_t messages, held, deferred, octets;
	uint64_t damage;  /* places in files */
	uint64_t unsound; /* messages */
};

static void
say_damage(void *arg, const char *file, uint64_t offset, const char *what)
{
	struct check *check = arg;

	check->damage++;
	buffer_clear(&check->line);
	if (check->is_json)
		buffer_printf(&check->line,
			"{\"file\":\"%s\",\"offset\":%" PRIu64 ",\"damage\":\"%s\"}", file, offset,
			what);
	else
		buffer_printf(&check->line, "%s at %" PRIu64 ": %s", file, offset, what);
	tool_print(buffer_slice(&check->line));
}

static enum error
count_mail(void *arg, const struct spool_mail *mail)
{
	struct check *check = arg;

	check->messages++;
	check->held += mail->state->held;
	check->deferred += !mail->state->held && mail->state->attempts > 0;
	check->octets += mail->state->content.size;
	check->unsound += mail->fault != NULL;
	buffer_clear(&check->line);
	if (check->is_json)
		spool_mail_append_json(&check->line, mail);
	else if (mail->fault)
		buffer_printf(&check->line, "message %s: %s", mail->id, mail->fault);
	if (check->line.len > 0 && buffer_error(&check->line) == OK)
		tool_print(buffer_slice(&check->line));
	return buffer_error(&check->line);
}

static void
sum_up(struct check *check, const char *path)
{
	buffer_clear(&check->line);
	if (check->is_json)
		buffer_printf(&check->line,
			"{\"messages\":%" PRIu64 ",\"held\":%" PRIu64 ",\"deferred\":%" PRIu64
			",\"octets\":%" PRIu64 ",\"damaged_messages\":%" PRIu64
			",\"damaged_places\":%" PRIu64 "}",
			check->messages, check->held, check->deferred, check->octets,
			check->unsound, check->damage);
	else
		buffer_printf(&check->line,
			"%s: %" PRIu64 " message%s (%" PRIu64 " held, %" PRIu64
			" deferred), %" PRIu64 " octets; %s",
			path, check->messages, check->messages == 1 ? "" : "s", check->held,
			check->deferred, check->octets,
			check->unsound + check->damage == 0 ? "all of it is sound" : "");
	if (!check->is_json && check->unsound + check->damage > 0)
		buffer_printf(&check->line,
			"%" PRIu64 " damaged, damage at %" PRIu64
			" places (`veredus spool repair` keeps the rest)",
			check->unsound, check->damage);
	tool_print(buffer_slice(&check->line));
}

int
spool_check(const struct spool_order *order)
{
	struct check check = {.is_json = order->is_json};
	struct spool_walk walk = {.env = order->env,
		.path = order->path,
		.dir_fd = order->dir_fd,
		.mail = count_mail,
		.damage = say_damage,
		.arg = &check};

	buffer_init(&check.line, order->env->memory, ENVELOPE_BYTES_MAX);
	int code = spool_walk_run(&walk);
	if (code == EX_OK) {
		sum_up(&check, order->path);
		code = check.unsound + check.damage > 0 ? EX_DATAERR : EX_OK;
	}
	buffer_done(&check.line);
	return code;
}
