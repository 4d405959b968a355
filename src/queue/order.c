/*
 * What an operator has done with a message: tried now, held, released, deleted. While something of
 * it is under way only a try can be asked for; the operator is told, and asks again.
 */
#include "queue/control_private.h"

#define AWAIT_US       (30 * US_PER_S)
#define AWAIT_EVERY_US (5 * US_PER_MS)
#define HELD_TEXT      SLICE("held by the operator")

static bool
is_busy(const struct queued *queued)
{
	return queued->under_way > 0 || queued->is_routing ||
	       (queued->failures && queued->failures->under_way > 0) || queued->arrivals ||
	       queued->late_is_under_way;
}

static void
log_order(struct queue_service *service, const struct queued *queued, const char *event)
{
	char id[QUEUE_ID_DIGITS + 1];

	queue_id_print(queued->message.queue_id, id);
	log_event(service->env, LOG_INFO, event, LOG_STRING("id", id),
		LOG_STRING("cause", "operator"));
}

/* May wait. Anew from its route on; lanes that are closed are opened for it. */
static bool
retry(struct queue_service *service, struct queued *queued)
{
	wall_us now = env_wall(service->env);

	if (queued->held)
		return false;
	list_for_each (link, &queued->parts) {
		struct part *part = list_entry(link, struct part, link);
		if (part->lane)
			lane_open(&part->lane->lane, &part->lane->carrier->pool);
		if (schedule_contains(&service->due, &part->due.entry))
			due_set(service, &part->due, now);
	}
	queued->next_attempt_at = now;
	char reply[QUEUE_REPLY_MAX]; /* the message may end while this waits */
	size_t len = queued->reply_len;
	memcpy(reply, len > 0 ? queued->reply : "", len);
	struct spool_result result = {.kind = SPOOL_DEFERRED,
		.message = queued->message,
		.attempts = queued->attempts,
		.next_attempt_at = now,
		.text = slice_of(reply, len)};
	log_order(service, queued, "retried");
	if (!is_busy(queued) && message_unroute(service, queued) == OK)
		due_set(service, &queued->due, now);
	queue_put_result(service, &result);
	return true;
}

/* May wait. */
static bool
hold(struct queue_service *service, struct queued *queued)
{
	struct spool_result result = {
		.kind = SPOOL_HELD, .message = queued->message, .text = HELD_TEXT};

	if (queued->held)
		return !queued->damaged;
	if (is_busy(queued) || message_unroute(service, queued) != OK)
		return false;
	schedule_remove(&service->due, &queued->due.entry);
	queued->held = true;
	queued_keep_reply(service, queued, 0, HELD_TEXT);
	log_order(service, queued, "held");
	queue_put_result(service, &result);
	return true;
}

/* May wait. It goes where the configuration sends it now. */
static bool
release(struct queue_service *service, struct queued *queued)
{
	struct spool_result result = {.kind = SPOOL_RELEASED, .message = queued->message};

	if (!queued->held || queued->damaged || is_busy(queued) ||
		message_unroute(service, queued) != OK)
		return false;
	queued->held = false;
	queued->has_failed = false; /* somebody has seen it */
	queued->next_attempt_at = env_wall(service->env);
	due_set(service, &queued->due, queued->next_attempt_at);
	log_order(service, queued, "released");
	queue_put_result(service, &result);
	return true;
}

/* May wait. Its sender hears nothing: who deletes it knows why. */
static bool
delete_message(struct queue_service *service, struct queued *queued)
{
	struct spool_result result = {.kind = SPOOL_DONE, .message = queued->message};

	if (is_busy(queued) || queued->damaged)
		return false;
	log_order(service, queued, "deleted");
	table_remove(service, queued);
	queue_put_result(service, &result);
	return true;
}

bool
order_carry_out(struct queue_service *service, struct queued *queued, enum queue_action action)
{
	switch (action) {
	case QUEUE_SHOW:
		return true;
	case QUEUE_RETRY:
		return retry(service, queued);
	case QUEUE_HOLD:
		return hold(service, queued);
	case QUEUE_RELEASE:
		return release(service, queued);
	case QUEUE_DELETE:
		return delete_message(service, queued);
	case QUEUE_PAUSE:
	case QUEUE_RESUME:
	case QUEUE_PAUSES:
		return false; /* of lanes, not of messages */
	}
	return false;
}

enum error
orders_await(struct queue_service *service)
{
	struct loop *loop = service->env->loop;
	mono_us deadline = loop_deadline(loop, AWAIT_US);
	uint32_t put = handoff_put_count(&service->writer.results);
	enum error error = OK;

	/* Slots are free again when the flush of what was in them has returned. */
	writer_store_results(&service->writer);
	while (error == OK && !handoff_was_taken(&service->writer.results, put))
		error = loop_now(loop) > deadline
				? ERROR_TIMEOUT
				: task_sleep(loop, loop_deadline(loop, AWAIT_EVERY_US));
	return error;
}
