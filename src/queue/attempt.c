/*
 * One try at a message: read its envelope, ask the route of each open recipient, discard or hold or
 * hand to a deliverer, and when the last answer is there decide what becomes of the message.
 * Failures of ours (no memory, a deliverer that died) count like any other, so that a message that
 * makes a deliverer fail is tried ever more seldom; what was not tried at all does not count and is
 * tried soon.
 *
 * A message that has failed for good is held, with its reason, until somebody looks: nothing that
 * got a 250 is dropped silently.
 */
#include "queue/queue_private.h"
#include "text/address.h"

#define ATTEMPT_ARENA_MAX (64u << 20)
#define PUT_RETRY_US      (2 * US_PER_MS)

/* May wait. */
void
queue_put_result(struct queue_service *service, const struct spool_result *result)
{
	struct loop *loop = service->env->loop;
	struct queued_result *slot;

	while ((slot = handoff_slot(&service->writer.results)) == NULL) {
		writer_store_results(&service->writer);
		enum error error = task_sleep(loop, loop_deadline(loop, PUT_RETRY_US));
		if (error != OK && service->stopping)
			return; /* the next start decides it again */
	}
	slot->result = *result;
	struct slice text = slice_sub(result->text, 0, sizeof slot->text);
	if (text.len > 0)
		memcpy(slot->text, text.ptr, text.len);
	slot->result.text = slice_of(slot->text, text.len);
	handoff_put(&service->writer.results);
	if (handoff_room(&service->writer.results) == service->writer.results.capacity / 2)
		writer_store_results(&service->writer);
	task_event_signal(&service->result_put);
}

enum error
queue_segment_fd(struct queue_service *service, uint32_t segment, int *ret_fd)
{
	struct segment_cache *cache = &service->segments;
	int fd;

	for (uint32_t i = 0; i < PEER_SEGMENTS_MAX; i++)
		if (cache->entries[i].fd >= 0 && cache->entries[i].segment == segment) {
			*ret_fd = cache->entries[i].fd;
			return OK;
		}
	enum error error = spool_open_segment(service->env, service->spool_fd, segment, &fd);
	if (error != OK)
		return error;
	uint32_t place = cache->next++ % PEER_SEGMENTS_MAX;
	if (cache->entries[place].fd >= 0)
		service->env->disk->close(service->env->world, cache->entries[place].fd);
	cache->entries[place].segment = segment;
	cache->entries[place].fd = fd;
	*ret_fd = fd;
	return OK;
}

enum error
queue_read_envelope(struct queue_service *service, const struct queued *queued, struct arena *arena,
	struct envelope *ret_envelope)
{
	struct slice bytes = slice_of(queued->envelope, queued->envelope_bytes);
	struct buffer payload;
	struct slice copy;
	int fd;

	if (queued->envelope)
		return arena_copy(arena, bytes, &copy) ? envelope_decode(copy, arena, ret_envelope)
						       : ERROR_NO_MEMORY;
	enum error error = queue_segment_fd(service, queued->message.segment, &fd);
	if (error != OK)
		return error;
	buffer_init(&payload, service->env->memory, ENVELOPE_BYTES_MAX);
	error = spool_read_record(service->env, fd, &queued->message, &payload);
	if (error == OK && !arena_copy(arena, buffer_slice(&payload), &copy))
		error = ERROR_NO_MEMORY;
	buffer_done(&payload);
	return error == OK ? envelope_decode(copy, arena, ret_envelope) : error;
}

static struct log_field
id_field(const struct queued *queued, char storage[QUEUE_ID_DIGITS + 1])
{
	queue_id_print(queued->message.queue_id, storage);
	return LOG_STRING("id", storage);
}

static void
attempt_free(struct attempt *attempt)
{
	struct queue_service *service = attempt->service;

	attempt->queued->attempt = NULL;
	arena_done(&attempt->arena);
	memory_put(service->env->memory, attempt);
	service->attempts--;
	task_event_signal(&service->attempt_ended);
}

/* May wait. All recipients are done: the message ends. */
static void
message_done(struct queue_service *service, struct queued *queued)
{
	struct spool_result result = {.kind = SPOOL_DONE, .message = queued->message};

	table_remove(service, queued);
	queue_put_result(service, &result);
}

/* May wait. What this try settled while others stay open; a failure is final, whatever becomes of
 * the others. */
static void
put_recipient_results(struct attempt *attempt)
{
	struct queue_service *service = attempt->service;
	struct queued *queued = attempt->queued;

	for (uint32_t i = 0; i < attempt->envelope.recipient_count; i++) {
		bool failed = attempt->states[i] == RECIPIENT_FAILED;
		if (attempt->was_done[i] || (!failed && attempt->states[i] != RECIPIENT_DELIVERED))
			continue;
		struct spool_result result = {
			.kind = failed ? SPOOL_RECIPIENT_FAILED : SPOOL_RECIPIENT_DELIVERED,
			.message = queued->message,
			.recipient = i};
		if (failed)
			result.text = slice_of(attempt->last_text, attempt->last_text_len);
		/* Without memory it is tried again: delivered into the file that is there. */
		if (queued_add_done(service, queued, i) != OK)
			continue;
		queued->failed |= failed;
		queue_put_result(service, &result);
	}
}

/* Those that are not delivered. Which of the recipients of earlier tries failed is not known here:
 * at least one did. */
static uint32_t
recipients_of_hold(const struct attempt *attempt)
{
	uint32_t now = attempt->failed + attempt->deferred + attempt->held;

	return now > 0 ? now : 1;
}

/* May wait. */
static void
message_hold(struct attempt *attempt, const char *event)
{
	struct queue_service *service = attempt->service;
	struct queued *queued = attempt->queued;
	struct slice text = slice_of(attempt->last_text, attempt->last_text_len);
	struct spool_result result = {.kind = SPOOL_HELD, .message = queued->message, .text = text};
	char id[QUEUE_ID_DIGITS + 1], status[ENHANCED_STATUS_BYTES];

	queued->held = true;
	if (text.len > 0 || !queued->reply)
		queued_keep_reply(service, queued, text);
	else
		text = slice_of(queued->reply, queued->reply_len);
	log_event(service->env, LOG_WARNING, event, id_field(queued, id),
		LOG_SLICE("from", attempt->envelope.reverse_path),
		LOG_NUMBER("recipients", recipients_of_hold(attempt)),
		LOG_SLICE("status", enhanced_status_print(attempt->last_status, status)),
		LOG_SLICE("reply", text), LOG_STRING("state", "held"));
	queue_put_result(service, &result);
}

/* May wait. */
static void
message_defer(struct attempt *attempt)
{
	struct queue_service *service = attempt->service;
	struct queued *queued = attempt->queued;
	struct slice text = slice_of(attempt->last_text, attempt->last_text_len);
	uint64_t random;
	char id[QUEUE_ID_DIGITS + 1], status[ENHANCED_STATUS_BYTES];

	env_random(service->env, &random, sizeof random);
	struct schedule_decision decision = schedule_retry(&service->policy,
		attempt->envelope.received_at, env_wall(service->env), queued->attempts, random);
	if (decision.expired) {
		message_hold(attempt, "expired");
		return;
	}
	queued_keep_reply(service, queued, text);
	log_event(service->env, LOG_INFO, "deferred", id_field(queued, id),
		LOG_NUMBER("recipients", attempt->deferred),
		LOG_NUMBER("attempts", queued->attempts),
		LOG_SLICE("status", enhanced_status_print(attempt->last_status, status)),
		LOG_SLICE("reply", text),
		LOG_NUMBER("next_s", (decision.next_at - env_wall(service->env)) / US_PER_S));
	struct spool_result result = {.kind = SPOOL_DEFERRED,
		.message = queued->message,
		.attempts = queued->attempts,
		.next_attempt_at = decision.next_at,
		.text = text};
	queue_put_result(service, &result);
	/* Last: from here on the next try may begin, and this one must not wait any more. */
	table_schedule(service, queued, decision.next_at);
}

/* Nothing is written: after a crash the message is due at once, which is right too. */
static void
message_postpone(struct attempt *attempt)
{
	struct queue_service *service = attempt->service;

	attempt->queued->attempts--;
	if (attempt->full_peer)
		peer_park(attempt->full_peer, attempt->queued);
	else
		table_schedule(
			service, attempt->queued, env_wall(service->env) + QUEUE_RETRY_SOON_US);
}

/* May wait. The last answer of the try is there. */
static void
attempt_end(struct attempt *attempt)
{
	struct queue_service *service = attempt->service;
	struct queued *queued = attempt->queued;

	if (attempt->deferred + attempt->failed + attempt->held + attempt->postponed == 0 &&
		!queued->failed) {
		attempt_free(attempt);
		message_done(service, queued);
		return;
	}
	put_recipient_results(attempt);
	if (attempt->deferred > 0)
		message_defer(attempt);
	else if (attempt->postponed > 0)
		message_postpone(attempt);
	else
		message_hold(attempt, queued->failed ? "failed" : "held");
	attempt_free(attempt);
}

static void
attempt_note(struct attempt *attempt, struct enhanced_status status, struct slice text)
{
	text = slice_sub(text, 0, sizeof attempt->last_text);
	memcpy(attempt->last_text, text.ptr ? text.ptr : (const uint8_t *)"", text.len);
	attempt->last_text_len = text.len;
	attempt->last_status = status;
}

static void
recipient_settle(struct attempt *attempt, uint32_t recipient, enum recipient_state state)
{
	attempt->states[recipient] = (uint8_t)state;
	attempt->delivered += state == RECIPIENT_DELIVERED;
	attempt->deferred += state == RECIPIENT_DEFERRED;
	attempt->failed += state == RECIPIENT_FAILED;
	attempt->held += state == RECIPIENT_HELD;
	attempt->postponed += state == RECIPIENT_POSTPONED;
}

static void
log_delivered(struct attempt *attempt, uint32_t recipient, const struct delivery_result *result)
{
	struct queue_service *service = attempt->service;
	char id[QUEUE_ID_DIGITS + 1];

	log_event(service->env, LOG_INFO, "delivered", id_field(attempt->queued, id),
		LOG_SLICE("to", attempt->envelope.recipients[recipient].address),
		LOG_SLICE("path", result->path),
		LOG_NUMBER("delay_ms",
			(env_wall(service->env) - attempt->envelope.received_at) / US_PER_MS));
}

/* Gives the slot back. */
static void
delivery_free(struct queue_service *service, struct delivery *delivery)
{
	peer_forget(delivery);
	delivery->attempt = NULL;
	service->free_slots[service->free_slot_count++] = delivery->slot;
	task_event_signal(&service->attempt_ended);
}

/* May wait. */
static void
attempt_less_under_way(struct attempt *attempt)
{
	attempt->under_way--;
	if (attempt->under_way == 0 && !attempt->sending)
		attempt_end(attempt);
}

static bool
delivery_is_settled(const struct delivery *delivery)
{
	uint64_t all = delivery->recipient_count == DELIVERY_RECIPIENTS_MAX
			       ? UINT64_MAX
			       : (UINT64_C(1) << delivery->recipient_count) - 1;

	return delivery->settled == all;
}

static void
answer_recipient(struct delivery *delivery, uint32_t i, const struct delivery_result *result)
{
	static const enum recipient_state states[] = {
		[DELIVER_DELIVERED] = RECIPIENT_DELIVERED,
		[DELIVER_TEMPORARY] = RECIPIENT_DEFERRED,
		[DELIVER_PERMANENT] = RECIPIENT_FAILED,
	};
	struct attempt *attempt = delivery->attempt;

	delivery->settled |= UINT64_C(1) << i;
	recipient_settle(attempt, delivery->recipients[i], states[result->outcome]);
	if (result->outcome == DELIVER_DELIVERED)
		log_delivered(attempt, delivery->recipients[i], result);
	else
		attempt_note(attempt, result->status, result->text);
}

/* May wait. */
static void
delivery_end(struct queue_service *service, struct delivery *delivery)
{
	struct attempt *attempt = delivery->attempt;

	delivery_free(service, delivery);
	attempt_less_under_way(attempt);
}

/* May wait. */
bool
attempt_answer(struct queue_service *service, struct delivery *delivery,
	const struct delivery_result *result)
{
	uint64_t before = delivery->settled;

	for (uint32_t i = 0; i < delivery->recipient_count; i++) {
		bool is_open = !(delivery->settled >> i & 1);
		if (is_open && (result->recipient == DELIVERY_ALL ||
				       result->recipient == delivery->recipients[i]))
			answer_recipient(delivery, i, result);
	}
	if (delivery->settled == before)
		return false;
	if (delivery_is_settled(delivery))
		delivery_end(service, delivery);
	return true;
}

/* May wait. */
void
attempt_postpone(struct queue_service *service, struct delivery *delivery)
{
	for (uint32_t i = 0; i < delivery->recipient_count; i++)
		if (!(delivery->settled >> i & 1))
			recipient_settle(
				delivery->attempt, delivery->recipients[i], RECIPIENT_POSTPONED);
	delivery_end(service, delivery);
}

/* May wait: for a free slot. NULL when the queue is about to end. */
static struct delivery *
delivery_new(struct queue_service *service)
{
	while (service->free_slot_count == 0 && !service->stopping)
		if (task_event_wait(service->env->loop, &service->attempt_ended, MONO_NEVER) != OK)
			return NULL;
	if (service->stopping)
		return NULL;
	uint32_t slot = service->free_slots[--service->free_slot_count];
	struct delivery *delivery = &service->deliveries[slot];
	uint32_t generation = delivery->generation + 1;
	*delivery = (struct delivery){.slot = slot, .generation = generation};
	list_init(&delivery->link);
	return delivery;
}

/* The deliverer: a virtual mailbox' owner, or the login that the address names. */
static enum error
deliverer_of(
	struct attempt *attempt, uint32_t recipient, size_t route, struct deliver_peer **ret_peer)
{
	struct queue_service *service = attempt->service;
	uint8_t storage[ADDRESS_LOCAL_PART_MAX + 1];
	struct address address;
	struct buffer login;

	if (service->owners[route].len > 0) {
		*ret_peer = peer_for(service, TRANSPORT_MAILDIR, service->owners[route]);
		return OK;
	}
	if (address_parse(attempt->envelope.recipients[recipient].address, &address) != ADDRESS_OK)
		return ERROR_FORMAT;
	buffer_init_fixed(&login, storage, sizeof storage);
	address_append_account(&login, &address);
	if (buffer_error(&login) == OK)
		*ret_peer = peer_for(service, TRANSPORT_SYSTEM, buffer_slice(&login));
	return buffer_error(&login);
}

static void
delivery_send(struct delivery *delivery)
{
	struct attempt *attempt = delivery->attempt;

	list_remove(&delivery->link);
	attempt->open_count--;
	peer_send(delivery->peer, delivery);
}

/* What is being filled is as full as it will be. */
static void
attempt_send_open(struct attempt *attempt, uint32_t keep)
{
	while (attempt->open_count > keep)
		delivery_send(list_entry(attempt->open.next, struct delivery, link));
}

/* The delivery that this recipient can join; NULL: none. */
static struct delivery *
open_delivery(struct attempt *attempt, const struct deliver_peer *peer, struct slice template)
{
	list_for_each (link, &attempt->open) {
		struct delivery *delivery = list_entry(link, struct delivery, link);
		if (delivery->peer == peer && slice_equal(delivery->template, template))
			return delivery;
	}
	return NULL;
}

/* May wait, for a slot; NULL when the queue is about to end. */
static struct delivery *
begin_delivery(struct attempt *attempt, struct deliver_peer *peer, struct slice template)
{
	struct delivery *delivery = delivery_new(attempt->service);

	if (!delivery)
		return NULL;
	attempt_send_open(attempt, ATTEMPT_OPEN_MAX - 1);
	delivery->attempt = attempt;
	delivery->peer = peer;
	delivery->template = template;
	delivery->is_new = attempt->queued->is_new;
	list_append(&attempt->open, &delivery->link);
	attempt->open_count++;
	attempt->under_way++;
	return delivery;
}

static void
delivery_add(struct delivery *delivery, uint32_t recipient)
{
	struct attempt *attempt = delivery->attempt;
	size_t bytes = delivery_recipient_bytes(attempt->envelope.recipients[recipient].address);

	delivery->recipients[delivery->recipient_count++] = recipient;
	delivery->list_bytes += bytes;
	attempt->states[recipient] = RECIPIENT_UNDER_WAY;
	if (delivery->recipient_count == DELIVERY_RECIPIENTS_MAX ||
		delivery->list_bytes > DELIVERY_LIST_BYTES - DELIVERY_RECIPIENT_BYTES_MAX)
		delivery_send(delivery);
}

/* May wait. */
static void
recipient_deliver(struct attempt *attempt, uint32_t recipient, const struct route_decision *route)
{
	struct deliver_peer *peer = NULL;
	enum error error = deliverer_of(attempt, recipient, route->index, &peer);

	if (error != OK) {
		recipient_settle(attempt, recipient, RECIPIENT_FAILED);
		attempt_note(
			attempt, STATUS(5, 1, 3), SLICE("the address can be no system user's"));
		return;
	}
	struct delivery *delivery = open_delivery(attempt, peer, route->template);
	if (!delivery && peer_is_full(peer)) {
		recipient_settle(attempt, recipient, RECIPIENT_POSTPONED);
		attempt->full_peer = peer;
		return;
	}
	if (!delivery)
		delivery = begin_delivery(attempt, peer, route->template);
	if (!delivery) {
		recipient_settle(attempt, recipient, RECIPIENT_POSTPONED);
		return;
	}
	delivery_add(delivery, recipient);
}

/* May wait. */
static void
recipient_try(struct attempt *attempt, uint32_t recipient)
{
	struct queue_service *service = attempt->service;
	struct route_decision route =
		route_decide(&service->routes, attempt->envelope.recipients[recipient].address);

	switch (route.kind) {
	case ROUTE_MAILDIR:
		recipient_deliver(attempt, recipient, &route);
		return;
	case ROUTE_DISCARD:
		recipient_settle(attempt, recipient, RECIPIENT_DELIVERED);
		return;
	case ROUTE_HOLD:
		recipient_settle(attempt, recipient, RECIPIENT_HELD);
		attempt_note(attempt, STATUS(0, 0, 0), SLICE("the route says hold"));
		return;
	default: /* the configuration has changed since the message came: it may change back */
		recipient_settle(attempt, recipient, RECIPIENT_DEFERRED);
		attempt_note(attempt, STATUS(4, 4, 5),
			SLICE("no domain or route of the configuration takes this address"));
	}
}

/* The message can't be read: not lost, but nothing can be done with it now. */
static void
attempt_refuse(struct attempt *attempt, enum error error)
{
	struct queue_service *service = attempt->service;
	struct queued *queued = attempt->queued;
	char id[QUEUE_ID_DIGITS + 1];

	log_event(service->env, LOG_ERROR, "message_unreadable", id_field(queued, id),
		LOG_STRING("error", error_text(error)),
		LOG_NUMBER("segment", queued->message.segment),
		LOG_NUMBER("offset", queued->message.offset));
	if (error == ERROR_DAMAGED || error == ERROR_FORMAT)
		queued->held = true;
	else
		table_schedule(service, queued, env_wall(service->env) + 10 * QUEUE_RETRY_SOON_US);
	attempt_free(attempt);
}

static enum error
attempt_open(struct attempt *attempt)
{
	struct queued *queued = attempt->queued;
	enum error error =
		queue_read_envelope(attempt->service, queued, &attempt->arena, &attempt->envelope);

	if (error != OK)
		return error;
	attempt->states = arena_take(&attempt->arena, attempt->envelope.recipient_count);
	attempt->was_done =
		arena_take(&attempt->arena, attempt->envelope.recipient_count * sizeof(bool));
	if (!attempt->states || !attempt->was_done)
		return ERROR_NO_MEMORY;
	for (uint32_t i = 0; i < queued->done_count; i++)
		if (queued->done[i] < attempt->envelope.recipient_count) {
			attempt->states[queued->done[i]] = RECIPIENT_DELIVERED;
			attempt->was_done[queued->done[i]] = true;
		}
	if (queued->envelope) {
		memory_put(attempt->service->env->memory, queued->envelope);
		queued->envelope = NULL;
		attempt->service->fresh_count--;
	}
	return OK;
}

/* May wait. */
void
attempt_start(struct queue_service *service, struct queued *queued)
{
	struct attempt *attempt = memory_get(service->env->memory, sizeof *attempt);

	*attempt = (struct attempt){.service = service, .queued = queued};
	arena_init(&attempt->arena, service->env->memory, ATTEMPT_ARENA_MAX);
	list_init(&attempt->open);
	queued->attempt = attempt;
	service->attempts++;
	enum error error = attempt_open(attempt);
	if (error != OK) {
		attempt_refuse(attempt, error);
		return;
	}
	queued->attempts++;
	attempt->sending = true;
	for (uint32_t i = 0; i < attempt->envelope.recipient_count; i++)
		if (attempt->states[i] == RECIPIENT_OPEN)
			recipient_try(attempt, i);
	attempt_send_open(attempt, 0);
	attempt->sending = false;
	queued->is_new = false;
	if (attempt->under_way == 0)
		attempt_end(attempt);
}
