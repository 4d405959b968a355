/*
 * A content is read twice: here, and when it is sent, where its sum is checked. One that is damaged
 * gets a signature that nobody sees: it is never sent to its end.
 */
#include "relay/own.h"
#include "base/log_record.h"
#include "ipc/queue_id.h"
#include "sign/signing.h"

#define PIECE_BYTES 4096

/* May block on the disk. */
static enum error
feed_content(struct relay_attempt *attempt, struct signing *signing)
{
	const struct relay_content *content = &attempt->content;
	struct env *env = attempt->env;
	uint8_t *piece = memory_get(env->memory, PIECE_BYTES);
	enum error error = OK;

	for (uint64_t at = 0; at < content->size && error == OK;) {
		uint64_t left = content->size - at;
		size_t len = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
		ssize_t got = env->disk->pread(
			env->world, content->fd, piece, len, (off_t)(content->offset + at));
		if (got <= 0) {
			error = got < 0 ? error_from_errno((int)-got) : ERROR_DAMAGED;
			continue;
		}
		signing_feed(signing, slice_of(piece, (size_t)got));
		at += (uint64_t)got;
	}
	memory_put(env->memory, piece);
	return error;
}

static enum error
put_in_front(struct relay_attempt *attempt, struct slice fields)
{
	uint8_t *trace = arena_take(attempt->arena, fields.len + attempt->trace.len + 1);

	if (!trace)
		return ERROR_NO_MEMORY;
	if (fields.len > 0)
		memcpy(trace, fields.ptr, fields.len);
	if (attempt->trace.len > 0)
		memcpy(trace + fields.len, attempt->trace.ptr, attempt->trace.len);
	attempt->trace = slice_of(trace, fields.len + attempt->trace.len);
	return OK;
}

void
own_sign(struct relay_attempt *attempt, const struct conf *conf, struct caller *keys,
	uint64_t queue_id)
{
	struct env *env = attempt->env;
	char id[QUEUE_ID_DIGITS + 1];
	struct slice fields;

	if (conf->dkim_count == 0)
		return;
	struct signing *signing = signing_new(env, conf, keys);
	enum error error = signing ? OK : ERROR_NO_MEMORY;
	if (error == OK) {
		signing_of_own(signing);
		error = feed_content(attempt, signing);
	}
	if (error == OK)
		error = signing_end(signing, SLICE(""), &fields);
	if (error == OK)
		error = put_in_front(attempt, fields);
	signing_free(&signing);
	if (error == OK)
		return;
	queue_id_print(queue_id, id);
	log_event(env, LOG_ERROR, "report_not_signed", LOG_STRING("id", id),
		LOG_STRING("error", error_text(error)));
}
