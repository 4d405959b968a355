/* The messages in memory: a hash by queue id, and a list in ascending order of ids for those who
 * page through. */
#include "queue/queue_private.h"

#define BUCKETS_MIN 1024

static size_t
bucket_of(const struct queue_service *service, uint64_t queue_id)
{
	/* Ids are times in microseconds, spread well in their low bits; a multiplication spreads
	 * the rest. */
	return (size_t)((queue_id * UINT64_C(0x9e3779b97f4a7c15)) >> 32) &
	       (service->bucket_count - 1);
}

static enum error
table_grow(struct queue_service *service)
{
	size_t count = service->bucket_count ? service->bucket_count * 2 : BUCKETS_MIN;
	struct queued **buckets = memory_try(service->env->memory, count * sizeof *buckets);

	if (!buckets)
		return ERROR_NO_MEMORY;
	memory_put(service->env->memory, service->buckets);
	service->buckets = buckets;
	service->bucket_count = count;
	list_for_each (link, &service->messages) {
		struct queued *queued = list_entry(link, struct queued, link);
		size_t bucket = bucket_of(service, queued->message.queue_id);
		queued->next = buckets[bucket];
		buckets[bucket] = queued;
	}
	return OK;
}

enum error
table_add(struct queue_service *service, const struct queued *from, struct queued **ret_queued)
{
	if (service->message_count >= service->bucket_count) {
		enum error error = table_grow(service);
		if (error != OK)
			return error;
	}
	struct queued *queued = memory_try(service->env->memory, sizeof *queued);
	if (!queued)
		return ERROR_NO_MEMORY;
	*queued = *from;
	list_init(&queued->parts);
	list_init(&queued->late);
	size_t bucket = bucket_of(service, queued->message.queue_id);
	queued->next = service->buckets[bucket];
	service->buckets[bucket] = queued;
	/* Ids ascend but for batches of several workers: the place is near the end. */
	struct list *after = service->messages.prev;
	while (after != &service->messages &&
		list_entry(after, struct queued, link)->message.queue_id > queued->message.queue_id)
		after = after->prev;
	list_prepend(after, &queued->link);
	service->message_count++;
	*ret_queued = queued;
	return OK;
}

static void
queued_free(struct queue_service *service, struct queued *queued)
{
	struct memory *memory = service->env->memory;

	list_for_each_safe (link, next, &queued->parts)
		part_free(service, list_entry(link, struct part, link));
	outcomes_free(service, queued);
	queued_drop_envelope(service, queued);
	memory_put(memory, queued->done);
	memory_put(memory, queued->reply);
	memory_put(memory, queued);
}

void
table_remove(struct queue_service *service, struct queued *queued)
{
	struct queued **place = &service->buckets[bucket_of(service, queued->message.queue_id)];

	while (*place != queued)
		place = &(*place)->next;
	*place = queued->next;
	late_forget(service, queued);
	list_remove(&queued->link);
	schedule_remove(&service->due, &queued->due.entry);
	service->message_count--;
	queued_free(service, queued);
}

struct queued *
table_find(const struct queue_service *service, uint64_t queue_id)
{
	struct queued *queued =
		service->bucket_count ? service->buckets[bucket_of(service, queue_id)] : NULL;

	while (queued && queued->message.queue_id != queue_id)
		queued = queued->next;
	return queued;
}

void
table_free(struct queue_service *service)
{
	list_for_each_safe (link, next, &service->messages)
		table_remove(service, list_entry(link, struct queued, link));
	memory_put(service->env->memory, service->buckets);
	service->buckets = NULL;
	service->bucket_count = 0;
}

void
due_set(struct queue_service *service, struct due *due, wall_us at)
{
	if (schedule_contains(&service->due, &due->entry))
		schedule_move(&service->due, &due->entry, at);
	else if (schedule_add(&service->due, &due->entry, at) != OK)
		log_event(service->env, LOG_ERROR, "schedule_full",
			LOG_NUMBER("messages", service->message_count));
	task_event_signal(&service->due_changed);
}

enum queue_state
queued_state(const struct queued *queued)
{
	if (queued->under_way > 0)
		return QUEUE_ACTIVE;
	if (queued->damaged)
		return QUEUE_DAMAGED;
	if (queued->held)
		return QUEUE_HELD;
	return queued->attempts > 0 ? QUEUE_DEFERRED : QUEUE_WAITING;
}

enum error
queued_add_done(struct queue_service *service, struct queued *queued, uint32_t recipient)
{
	if (queued->done_count == queued->done_capacity) {
		uint32_t capacity = queued->done_capacity ? queued->done_capacity * 2 : 4;
		uint32_t *done =
			memory_resize(service->env->memory, queued->done, capacity * sizeof *done);
		if (!done)
			return ERROR_NO_MEMORY;
		queued->done = done;
		queued->done_capacity = capacity;
	}
	queued->done[queued->done_count++] = recipient;
	return OK;
}

void
queued_keep_reply(
	struct queue_service *service, struct queued *queued, uint32_t status, struct slice reply)
{
	reply = slice_sub(reply, 0, QUEUE_REPLY_MAX);
	memory_put(service->env->memory, queued->reply);
	queued->reply = memory_try(
		service->env->memory, reply.len + 1); /* without it the reply is only in the log */
	queued->reply_len = queued->reply ? (uint8_t)reply.len : 0;
	queued->status = status;
	if (queued->reply && reply.len > 0)
		memcpy(queued->reply, reply.ptr, reply.len);
}

void
queued_drop_envelope(struct queue_service *service, struct queued *queued)
{
	if (queued->envelope)
		service->fresh_count--;
	memory_put(service->env->memory, queued->envelope);
	queued->envelope = NULL;
}
