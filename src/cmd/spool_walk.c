/* The spool is read as a start of the server would read it, and then each message to its last
 * octet. */
#include "base/log_record.h"
#include "cmd/spool_tool.h"

#include <string.h>
#include <sysexits.h>

#define CONTENT_MAX    (1u << 30)
#define ENVELOPE_ARENA (64u << 20)

static enum error
open_segment(struct spool_walk *walk, uint32_t segment)
{
	if (walk->segment_fd >= 0 && walk->segment == segment)
		return OK;
	if (walk->segment_fd >= 0)
		walk->env->disk->close(walk->env->world, walk->segment_fd);
	walk->segment_fd = -1;
	walk->segment = segment;
	return spool_open_segment(walk->env, walk->dir_fd, segment, &walk->segment_fd);
}

static enum error
read_part(struct spool_walk *walk, const struct spool_reference *reference, struct buffer *part)
{
	enum error error = open_segment(walk, reference->segment);

	buffer_clear(part);
	return error == OK ? spool_read_record(walk->env, walk->segment_fd, reference, part)
			   : error;
}

static void
note_fault(struct spool_mail *mail, enum error error, const char *damaged, const char *unread)
{
	if (error != OK && !mail->fault)
		mail->fault = error == ERROR_DAMAGED || error == ERROR_FORMAT ? damaged : unread;
}

static enum error
take_message(void *arg, const struct spool_message *message)
{
	struct spool_walk *walk = arg;
	struct spool_mail *mail = &walk->present;

	mail->state = message;
	mail->fault = NULL;
	queue_id_print(message->message.queue_id, mail->id);
	arena_done(&walk->arena);
	arena_init(&walk->arena, walk->env->memory, ENVELOPE_ARENA);
	enum error error = read_part(walk, &message->message, &mail->payload);
	if (error == OK)
		error = envelope_decode(
			buffer_slice(&mail->payload), &walk->arena, &mail->envelope);
	mail->has_envelope = error == OK;
	note_fault(mail, error, "its envelope is damaged", "its envelope can't be read");
	error = read_part(walk, &message->content, &mail->content);
	mail->has_content = error == OK;
	note_fault(mail, error, "its content is damaged", "its content can't be read");
	return walk->mail(walk->arg, mail);
}

static void
take_damage(void *arg, const char *file, uint64_t offset, const char *what)
{
	struct spool_walk *walk = arg;

	walk->damage(walk->arg, file, offset, what);
}

static int
say_why_not(const struct spool_walk *walk, enum error error)
{
	if (error == ERROR_EXISTS)
		return tool_fail(SPOOL_TOOL, EX_TEMPFAIL,
			"a server has %s open: stop it first (systemctl stop veredus)", walk->path);
	return tool_fail(SPOOL_TOOL, error == ERROR_UNSUPPORTED ? EX_DATAERR : EX_IOERR, "%s: %s",
		walk->path, error_text(error));
}

int
spool_walk_run(struct spool_walk *walk)
{
	const struct spool_visitor visitor = {take_message, take_damage, walk};
	struct spool *spool;

	walk->segment_fd = -1;
	arena_init(&walk->arena, walk->env->memory, ENVELOPE_ARENA);
	buffer_init(&walk->present.payload, walk->env->memory, ENVELOPE_BYTES_MAX);
	buffer_init(&walk->present.content, walk->env->memory, CONTENT_MAX);
	enum error error = spool_inspect(walk->env, walk->dir_fd, &visitor, &spool);
	if (error == OK)
		spool_close(&spool);
	if (walk->segment_fd >= 0)
		walk->env->disk->close(walk->env->world, walk->segment_fd);
	buffer_done(&walk->present.payload);
	buffer_done(&walk->present.content);
	arena_done(&walk->arena);
	return error == OK || error == ERROR_CANCELLED ? EX_OK : say_why_not(walk, error);
}

static bool
is_finished(const struct spool_message *state, uint32_t recipient)
{
	for (uint32_t i = 0; i < state->done_count; i++)
		if (state->done_recipients[i] == recipient)
			return true;
	return false;
}

static void
append_recipients(struct buffer *line, const struct spool_mail *mail)
{
	const struct envelope *envelope = &mail->envelope;

	buffer_append_text(line, ",\"recipients\":[");
	for (uint32_t i = 0; i < envelope->recipient_count; i++) {
		struct envelope_wish wish = envelope_wish(envelope, i);
		buffer_append_text(line, i > 0 ? ",{\"address\":" : "{\"address\":");
		json_append_string(line, envelope->recipients[i].address);
		buffer_printf(
			line, ",\"finished\":%s", is_finished(mail->state, i) ? "true" : "false");
		if (wish.original.len > 0) {
			buffer_append_text(line, ",\"original\":");
			json_append_string(line, wish.original);
		}
		buffer_append_octet(line, '}');
	}
	buffer_append_octet(line, ']');
}

static void
append_text(struct buffer *line, const char *name, struct slice text)
{
	buffer_printf(line, ",\"%s\":", name);
	json_append_string(line, text);
}

static void
append_envelope(struct buffer *line, const struct spool_mail *mail)
{
	const struct envelope *envelope = &mail->envelope;

	buffer_printf(line, ",\"received\":%lld", (long long)(envelope->received_at / US_PER_S));
	append_text(line, "sender", envelope->reverse_path);
	append_recipients(line, mail);
	append_text(line, "helo", envelope->helo);
	append_text(line, "client", envelope->client_address);
	append_text(line, "listener", envelope->listener);
	append_text(line, "envid", envelope->envelope_id);
	buffer_printf(line, ",\"junk\":%s", envelope->is_junk ? "true" : "false");
}

void
spool_mail_append_json(struct buffer *line, const struct spool_mail *mail)
{
	const struct spool_message *state = mail->state;

	buffer_printf(line, "{\"id\":\"%s\",\"state\":\"%s\"", mail->id,
		mail->fault           ? "damaged"
		: state->held         ? "held"
		: state->attempts > 0 ? "deferred"
				      : "waiting");
	if (mail->fault)
		append_text(line, "fault", slice_text(mail->fault));
	buffer_printf(line, ",\"size\":%llu,\"attempts\":%u,\"next\":%lld",
		(unsigned long long)state->content.size, state->attempts,
		(long long)(state->next_attempt_at / US_PER_S));
	append_text(line, "reply", state->reason);
	if (mail->has_envelope)
		append_envelope(line, mail);
	buffer_append_octet(line, '}');
}
