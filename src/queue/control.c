/*
 * The operator's questions and orders, through `admin`: a bounded number of messages a request,
 * each looked at, matched, perhaps shown recipient by recipient, and dealt with. An order is
 * answered when what it decided is written: then it holds whatever dies.
 */
#include "queue/control_private.h"

#define CONTROL_ANSWER_US (30 * US_PER_S)
#define CONTROL_ARENA     (64u << 20)
#define LOOKED_A_TURN     64

static uint32_t
recipients_left(const struct queued *queued, uint32_t recipients)
{
	if (queued->is_routed)
		return queued->left;
	return queued->done_count < recipients ? recipients - queued->done_count : 0;
}

/* Where mail for this address goes now: "maildir vmail", "mx example.net", "hold", "none". */
static void
append_lane(struct queue_service *service, struct slice address, struct buffer *lane)
{
	struct route_decision decision = route_decide(&service->routes, address);
	uint8_t storage[ROUTE_LANE_NAME_MAX];
	enum transport transport;
	struct buffer name;

	buffer_init_fixed(&name, storage, sizeof storage);
	if (route_lane(&decision, address, &transport, &name) == OK) {
		buffer_append_text(lane, transport_name(transport));
		buffer_append_octet(lane, ' ');
		buffer_append(lane, buffer_slice(&name));
		return;
	}
	buffer_append_text(lane, decision.kind == ROUTE_HOLD      ? "hold"
				 : decision.kind == ROUTE_DISCARD ? "discard"
				 : decision.kind == ROUTE_REJECT  ? "reject"
								  : "none");
}

static bool
recipient_matches(
	struct queue_service *service, const struct ipc_queue_list *request, struct slice address)
{
	uint8_t storage[LANE_TEXT_MAX];
	struct buffer lane;

	if (!glob_matches(request->recipient, address))
		return false;
	if (request->lane.len == 0)
		return true;
	buffer_init_fixed(&lane, storage, sizeof storage);
	append_lane(service, address, &lane);
	return glob_matches(request->lane, buffer_slice(&lane));
}

/* What needs no look at the disk. An id is the time at which it was given. */
static bool
may_match(const struct queued *queued, const struct ipc_queue_list *request)
{
	if (request->states != 0 && !(request->states & UINT32_C(1) << queued_state(queued)))
		return false;
	return request->received_before == 0 || queued->message.queue_id < request->received_before;
}

static bool
look_matches(struct queue_service *service, const struct look *look,
	const struct ipc_queue_list *request)
{
	bool is_any = request->recipient.len == 0 && request->lane.len == 0;

	/* One that can't be read is shown to who asks for all, and named by its id. */
	if (look->read != OK)
		return is_any && request->sender.len == 0 && request->message_id.len == 0;
	if (request->message_id.len > 0 &&
		!slice_equal(request->message_id, look->envelope.message_id))
		return false;
	if (!glob_matches(request->sender, look->envelope.reverse_path))
		return false;
	for (uint32_t i = 0; !is_any && i < look->envelope.recipient_count; i++)
		is_any = (!look->views || look->views[i].state != RECIPIENT_DONE) &&
			 recipient_matches(service, request, look->envelope.recipients[i].address);
	return is_any;
}

/* Its slices live in the look: the message may be gone when it is sent. */
static void
fill_item(struct queue_service *service, const struct queued *queued, struct look *look,
	struct ipc_queue_item *item)
{
	const struct envelope *envelope = &look->envelope;

	item->queue_id = queued->message.queue_id;
	item->size = queued->content.size;
	item->state = queued_state(queued);
	item->attempts = queued->attempts;
	item->next_attempt_at = queued->next_attempt_at > 0 ? (uint64_t)queued->next_attempt_at : 0;
	struct slice reply = slice_of(queued->reply, queued->reply_len);
	if (queued->reply_len == 0 || !arena_copy(&look->arena, reply, &item->last_reply))
		item->last_reply = SLICE("");
	if (look->read != OK) {
		if (item->last_reply.len == 0)
			item->last_reply = slice_text(error_text(look->read));
		return;
	}
	item->received_at = (uint64_t)envelope->received_at;
	item->recipients = envelope->recipient_count;
	item->recipients_left = recipients_left(queued, envelope->recipient_count);
	item->reverse_path = envelope->reverse_path;
	item->client = envelope->client_address;
	if (envelope->recipient_count == 0)
		return;
	item->first_recipient = envelope->recipients[0].address;
	buffer_init_fixed(&look->lane, look->lane_text, sizeof look->lane_text);
	append_lane(service, look_first_open(look), &look->lane);
	item->lane = buffer_slice(&look->lane);
}

static enum error
send_to_operator(struct admin_link *link, const struct ipc_message *message)
{
	return channel_send(&link->channel, message,
		loop_deadline(link->service->env->loop, CONTROL_ANSWER_US));
}

/* May wait: what is gathered goes. */
static enum error
flush_bundle(struct admin_link *link, uint32_t request)
{
	struct ipc_message message = {.kind = IPC_QUEUE_BUNDLE,
		.queue_bundle = {.request = request, .messages = buffer_slice(&link->bundle)}};

	if (link->bundle.len == 0)
		return OK;
	enum error error = send_to_operator(link, &message);
	buffer_clear(&link->bundle);
	return error;
}

/* May wait: alone, or with others where that was asked for. A packet a message costs three
 * processes more than all the rest. */
static enum error
send_listed(struct admin_link *link, const struct ipc_queue_list *request,
	const struct ipc_message *message)
{
	size_t bytes = ipc_encoded_size(message);
	enum error error = OK;

	if (!request->bundled)
		return send_to_operator(link, message);
	if (link->bundle.len + sizeof(uint32_t) + bytes > IPC_BUNDLE_MAX)
		error = flush_bundle(link, request->request);
	buffer_append_u32(&link->bundle, (uint32_t)bytes);
	if (error == OK)
		error = ipc_encode(message, &link->bundle);
	return error != OK ? error : buffer_error(&link->bundle);
}

/* May wait. */
static enum error
send_recipients(struct admin_link *link, const struct ipc_queue_list *request, uint64_t queue_id,
	const struct look *look)
{
	enum error error = OK;

	for (uint32_t i = 0; i < look->envelope.recipient_count && error == OK; i++) {
		const struct recipient_view *view = &look->views[i];
		struct ipc_message message = {.kind = IPC_QUEUE_RECIPIENT,
			.queue_recipient = {.request = request->request,
				.queue_id = queue_id,
				.number = i,
				.state = view->state,
				.attempts = view->attempts,
				.next_attempt_at = (uint64_t)view->next_at,
				.address = look->envelope.recipients[i].address,
				.reply = view->reply}};
		error = send_listed(link, request, &message);
	}
	return error;
}

/* May wait. Shows it, and does with it what is asked, if it is one of those that are meant. */
static enum error
answer_message(struct admin_link *link, const struct ipc_queue_list *request, struct queued *queued)
{
	struct queue_service *service = link->service;
	struct ipc_message message = {.kind = IPC_QUEUE_ITEM};
	struct look look;
	enum error error = OK;

	if (!may_match(queued, request))
		return OK;
	look_begin(service, queued, &look, CONTROL_ARENA);
	if (look_matches(service, &look, request)) {
		message.queue_item.request = request->request;
		fill_item(service, queued, &look, &message.queue_item);
		uint64_t queue_id = queued->message.queue_id;
		message.queue_item.done =
			order_carry_out(service, queued, (enum queue_action)request->action);
		if (request->with_recipients && look.views)
			error = send_recipients(link, request, queue_id, &look);
		if (error == OK)
			error = send_listed(link, request, &message);
	}
	look_end(&look);
	return error;
}

/* The first message whose id is not below: by the hash when it is there, which it is for whoever
 * pages. */
static struct list *
first_from(struct queue_service *service, uint64_t from_id)
{
	struct queued *queued = table_find(service, from_id);

	if (queued)
		return &queued->link;
	list_for_each (link, &service->messages)
		if (list_entry(link, struct queued, link)->message.queue_id >= from_id)
			return link;
	return &service->messages;
}

/* May wait. The list may change while this waits: the way goes on by id. */
static enum error
answer_page(struct admin_link *link, const struct ipc_queue_list *request, uint64_t *ret_next)
{
	struct queue_service *service = link->service;
	uint64_t from_id = request->from_id;
	enum error error = OK;

	for (uint32_t looked = 1; error == OK && looked <= request->max; looked++) {
		struct list *place = first_from(service, from_id);
		from_id = 0;
		if (place == &service->messages)
			break;
		if (place->next != &service->messages)
			from_id = list_entry(place->next, struct queued, link)->message.queue_id;
		error = answer_message(link, request, list_entry(place, struct queued, link));
		if (from_id == 0)
			break;
		if (looked % LOOKED_A_TURN == 0)
			task_yield(service->env->loop);
	}
	*ret_next = from_id;
	return error;
}

/* May wait. What of lanes is asked or ordered. */
static enum error
answer_lanes(struct admin_link *link, const struct ipc_queue_list *request)
{
	struct queue_service *service = link->service;
	struct ipc_message end = {
		.kind = IPC_QUEUE_END, .queue_end = {.request = request->request}};
	enum error done = OK, error = OK;

	if (request->action != QUEUE_PAUSES && request->lane.len == 0)
		done = ERROR_FORMAT;
	else if (request->action == QUEUE_PAUSE)
		done = pause_add(service, request->lane);
	else if (request->action == QUEUE_RESUME)
		done = pause_remove(service, request->lane);
	if (done != OK) {
		struct ipc_message refused = {.kind = IPC_REFUSED,
			.refused = {.request = request->request,
				.reason = slice_text(done == ERROR_NOT_FOUND
							     ? "no such pattern is paused"
							     : error_text(done))}};
		return send_to_operator(link, &refused);
	}
	for (size_t i = 0; error == OK && i < service->pauses.count; i++) {
		struct ipc_message message = {.kind = IPC_QUEUE_PAUSED,
			.queue_paused = {
				.request = request->request, .lane = service->pauses.patterns[i]}};
		error = send_to_operator(link, &message);
	}
	return error != OK ? error : send_to_operator(link, &end);
}

/* May wait. */
static enum error
answer_list(struct admin_link *link, const struct ipc_queue_list *request)
{
	struct queue_service *service = link->service;
	struct ipc_message end = {
		.kind = IPC_QUEUE_END, .queue_end = {.request = request->request}};
	enum error error = OK;

	if (!request->only) {
		error = answer_page(link, request, &end.queue_end.next_id);
	} else {
		struct queued *queued = table_find(service, request->from_id);
		if (queued)
			error = answer_message(link, request, queued);
	}
	if (error == OK)
		error = flush_bundle(link, request->request);
	if (error == OK && request->action != QUEUE_SHOW)
		error = orders_await(service);
	end.queue_end.total = service->message_count;
	return error != OK ? error : send_to_operator(link, &end);
}

void
control_run(void *arg)
{
	struct admin_link *link = arg;
	struct env *env = link->service->env;
	struct ipc_message message;
	enum error error = OK;

	while (error == OK &&
		(error = channel_receive(&link->channel, MONO_NEVER, &message)) == OK) {
		struct ipc_queue_list request = message.queue_list;
		error = request.action >= QUEUE_PAUSE ? answer_lanes(link, &request)
						      : answer_list(link, &request);
	}
	/* It lives, and would find no queue behind its channel until there is another. */
	if (error != ERROR_CLOSED && error != ERROR_CANCELLED)
		link->service->root->broken(link->service->root_arg, link->instance);
	channel_close(&link->channel);
	buffer_done(&link->bundle);
	memory_put(env->memory, link);
}
