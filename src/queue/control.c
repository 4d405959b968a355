/* The operator's questions, through `admin`: the queue in pages. */
#include "queue/queue_private.h"

#define CONTROL_ANSWER_US (30 * US_PER_S)
#define CONTROL_ARENA     (64u << 20)

static uint32_t
recipients_left(const struct queued *queued, uint32_t recipients)
{
	if (queued->is_routed)
		return queued->left;
	return queued->done_count < recipients ? recipients - queued->done_count : 0;
}

/* May wait. */
static enum error
send_item(struct admin_link *link, uint32_t request, struct queued *queued)
{
	struct queue_service *service = link->service;
	struct arena arena;
	struct envelope envelope = {.recipient_count = 0};
	struct ipc_message message = {.kind = IPC_QUEUE_ITEM};
	struct ipc_queue_item *item = &message.queue_item;

	arena_init(&arena, service->env->memory, CONTROL_ARENA);
	enum error read = queue_read_envelope(service, queued, &arena, &envelope);
	item->request = request;
	item->queue_id = queued->message.queue_id;
	item->size = queued->content.size;
	item->state = queued_state(queued);
	item->attempts = queued->attempts;
	item->next_attempt_at = queued->next_attempt_at > 0 ? (uint64_t)queued->next_attempt_at : 0;
	if (read == OK) {
		item->received_at = (uint64_t)envelope.received_at;
		item->recipients = envelope.recipient_count;
		item->recipients_left = recipients_left(queued, envelope.recipient_count);
		item->reverse_path = envelope.reverse_path;
		if (envelope.recipient_count > 0)
			item->first_recipient = envelope.recipients[0].address;
	} else {
		item->last_reply = slice_text(
			error_text(read)); /* an unreadable message is shown all the same */
	}
	if (queued->reply_len > 0)
		item->last_reply = slice_of(queued->reply, queued->reply_len);
	enum error error = channel_send(
		&link->channel, &message, loop_deadline(service->env->loop, CONTROL_ANSWER_US));
	arena_done(&arena);
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
answer_list(struct admin_link *link, const struct ipc_queue_list *request)
{
	struct queue_service *service = link->service;
	struct ipc_message end = {
		.kind = IPC_QUEUE_END, .queue_end = {.request = request->request}};
	uint64_t from_id = request->from_id;
	enum error error = OK;

	for (uint32_t sent = 0; error == OK && sent < request->max; sent++) {
		struct list *place = first_from(service, from_id);
		if (place == &service->messages) {
			from_id = 0;
			break;
		}
		struct queued *queued = list_entry(place, struct queued, link);
		struct list *next = place->next;
		from_id = next == &service->messages
				  ? 0
				  : list_entry(next, struct queued, link)->message.queue_id;
		error = send_item(link, request->request, queued);
		if (from_id == 0)
			break;
	}
	end.queue_end.next_id = from_id;
	end.queue_end.total = service->message_count;
	return error != OK ? error
			   : channel_send(&link->channel, &end,
				     loop_deadline(service->env->loop, CONTROL_ANSWER_US));
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
		error = answer_list(link, &request);
	}
	/* It lives, and would find no queue behind its channel until there is another. */
	if (error != ERROR_CLOSED && error != ERROR_CANCELLED)
		link->service->root->broken(link->service->root_arg, link->instance);
	channel_close(&link->channel);
	memory_put(env->memory, link);
}
