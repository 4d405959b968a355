/* One message as the operator sees it, recipient by recipient: from its parts, the attempts under
 * way, its failures; what is in none of them is done. */
#include "queue/control_private.h"

#define PAUSED_TEXT SLICE("its lane is paused by the operator")

static void
view_parts(struct queue_service *service, const struct queued *queued, struct look *look)
{
	wall_us now = env_wall(service->env);

	list_for_each (link, &queued->parts) {
		const struct part *part = list_entry(link, struct part, link);
		bool waits = schedule_contains(&service->due, &part->due.entry);
		for (uint32_t i = part->taken; i < part->count; i++)
			look->views[part->recipients[i]] = (struct recipient_view){
				.state = RECIPIENT_WAITING,
				.attempts = part->attempts,
				.next_at = waits ? part->due.entry.node.key : now,
				.reply = part->lane && part->lane->lane.is_paused ? PAUSED_TEXT
										  : SLICE("")};
	}
}

static void
view_attempts(struct queue_service *service, const struct queued *queued, struct look *look)
{
	const struct attempt_table *table = &service->attempts;

	for (uint32_t slot = 0; queued->under_way > 0 && slot < table->count; slot++) {
		const struct attempt *attempt = table->slots[slot].attempt;
		if (!attempt || attempt->message != queued)
			continue;
		for (uint32_t i = 0; i < attempt->count; i++)
			look->views[attempt->recipients[i]] = (struct recipient_view){
				.state = RECIPIENT_ACTIVE, .attempts = attempt->attempts};
	}
}

static void
view_failures(const struct queued *queued, struct look *look)
{
	const struct outcomes *failures = queued->failures;

	for (uint32_t i = 0; failures && i < failures->count; i++) {
		const struct outcome *failure = &failures->list[i];
		struct recipient_view *view = &look->views[failure->recipient];
		*view = (struct recipient_view){.state = RECIPIENT_FAILED, .attempts = 1};
		if (!arena_copy(&look->arena, failure->text, &view->reply))
			view->reply = SLICE("");
	}
}

static void
view_routed(struct queue_service *service, const struct queued *queued, struct look *look)
{
	for (uint32_t i = 0; i < look->envelope.recipient_count; i++)
		look->views[i].state = RECIPIENT_DONE;
	for (uint32_t i = 0; queued->kept_back > 0 && i < look->envelope.recipient_count; i++)
		if (route_decide(&service->routes, look->envelope.recipients[i].address).kind ==
			ROUTE_HOLD)
			look->views[i].state = RECIPIENT_HELD;
	view_parts(service, queued, look);
	view_attempts(service, queued, look);
	view_failures(queued, look);
}

static void
view_unrouted(const struct queued *queued, struct look *look)
{
	for (uint32_t i = 0; i < look->envelope.recipient_count; i++)
		look->views[i] = (struct recipient_view){
			.state = queued->held ? RECIPIENT_HELD : RECIPIENT_WAITING,
			.attempts = queued->attempts,
			.next_at = queued->held ? 0 : queued->next_attempt_at};
	for (uint32_t i = 0; i < queued->done_count; i++)
		if (queued->done[i] < look->envelope.recipient_count)
			look->views[queued->done[i]] =
				(struct recipient_view){.state = RECIPIENT_DONE};
}

/* The last reply is the message's; it was given to one of those that were tried. */
static void
view_replies(const struct queued *queued, struct look *look)
{
	struct slice reply = slice_of(queued->reply, queued->reply_len);

	if (queued->reply_len == 0 || !arena_copy(&look->arena, reply, &reply))
		return;
	for (uint32_t i = 0; i < look->envelope.recipient_count; i++) {
		struct recipient_view *view = &look->views[i];
		if (view->reply.len == 0 &&
			(view->state == RECIPIENT_HELD ||
				(view->state != RECIPIENT_DONE && view->attempts > 0)))
			view->reply = reply;
	}
}

void
look_begin(
	struct queue_service *service, struct queued *queued, struct look *look, size_t arena_max)
{
	*look = (struct look){.read = OK};
	arena_init(&look->arena, service->env->memory, arena_max);
	look->read = queue_read_envelope(service, queued, &look->arena, &look->envelope);
	if (look->read != OK) {
		look->envelope = (struct envelope){.recipient_count = 0};
		return;
	}
	look->views =
		arena_take(&look->arena, look->envelope.recipient_count * sizeof *look->views);
	if (!look->views)
		return;
	if (queued->is_routed)
		view_routed(service, queued, look);
	else
		view_unrouted(queued, look);
	view_replies(queued, look);
}

void
look_end(struct look *look)
{
	arena_done(&look->arena);
}

struct slice
look_first_open(const struct look *look)
{
	for (uint32_t i = 0; look->views && i < look->envelope.recipient_count; i++)
		if (look->views[i].state != RECIPIENT_DONE)
			return look->envelope.recipients[i].address;
	return look->envelope.recipients[0].address;
}
