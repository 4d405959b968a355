/*
 * Routing: the recipients of a message into parts, the parts into their lanes. Bounded work between
 * two looks at the loop, also for a message to 100,000 recipients.
 */
#include "queue/queue_private.h"
#include "base/hash.h"

#include <stdlib.h>

#define ROUTE_A_TURN    4096 /* recipients */
#define OPENED_PARTS    1024 /* parts in lanes that keep their envelope decoded */
#define PART_FIRST      4    /* recipients that a new part has room for */
#define READ_AGAIN_US   (10 * US_PER_S)
#define SENDER_TEXT_MAX 64

/* Lanes without success since the start open with a few, so that many that hang take little. */
static const struct lane_limits mailbox_limits = {
	16, CARRIER_WINDOW, 60 * US_PER_S, 600 * US_PER_S};

#define SERVER_FIRST      2 /* a stranger's server: a few at first, and never more than it may mind */
#define SERVER_MAX        20
#define SERVER_CLOSE_US   (60 * US_PER_S)
#define SERVER_CLOSE_LONG (3600 * US_PER_S)

/* Closed no longer than a message would wait for its next try. */
static struct lane_limits
server_limits(const struct schedule_policy *policy)
{
	return (struct lane_limits){SERVER_FIRST, SERVER_MAX,
		policy->first_us < SERVER_CLOSE_US ? policy->first_us : SERVER_CLOSE_US,
		policy->max_us < SERVER_CLOSE_LONG ? policy->max_us : SERVER_CLOSE_LONG};
}

static bool
leads_to_server(enum transport transport)
{
	return transport == TRANSPORT_MX || transport == TRANSPORT_HOST ||
	       transport == TRANSPORT_LMTP;
}

static struct queue_lane **
bucket_of(struct queue_service *service, enum transport transport, struct slice name)
{
	uint64_t hash = siphash(&service->hash_key, name);

	return &service->lane_buckets[(hash ^ transport) % LANE_BUCKETS];
}

static enum error
lane_new(struct queue_service *service, enum transport transport, struct slice name,
	struct queue_lane **ret_lane)
{
	struct queue_lane *lane = memory_try(service->env->memory, sizeof *lane + name.len);

	if (!lane)
		return ERROR_NO_MEMORY;
	*lane = (struct queue_lane){.transport = transport, .policy = service->policy};
	if (name.len > 0)
		memcpy(lane + 1, name.ptr, name.len);
	lane->name = slice_of(lane + 1, name.len);
	bool is_server = leads_to_server(transport);
	enum error error = OK;
	if (is_server)
		lane->carrier = service->relays;
	else
		error = carrier_new(service, lane, &lane->carrier);
	if (error == OK) {
		struct lane_limits limits =
			is_server ? server_limits(&lane->policy) : mailbox_limits;
		error = lane_init(&lane->lane, &lane->carrier->pool, &limits);
		if (error != OK && !is_server)
			carrier_free(lane->carrier);
	}
	if (error != OK) {
		memory_put(service->env->memory, lane);
		return error;
	}
	lane_set_paused(&lane->lane, &lane->carrier->pool, pauses_mean(service, lane));
	*ret_lane = lane;
	return OK;
}

enum error
lane_for(struct queue_service *service, enum transport transport, struct slice name,
	struct queue_lane **ret_lane)
{
	struct queue_lane **bucket = bucket_of(service, transport, name);

	for (struct queue_lane *lane = *bucket; lane; lane = lane->next)
		if (lane->transport == transport && slice_equal(lane->name, name)) {
			*ret_lane = lane;
			return OK;
		}
	enum error error = lane_new(service, transport, name, ret_lane);
	if (error != OK)
		return error;
	(*ret_lane)->next = *bucket;
	*bucket = *ret_lane;
	return OK;
}

void
lanes_free(struct queue_service *service)
{
	for (uint32_t i = 0; i < LANE_BUCKETS; i++)
		for (struct queue_lane *lane = service->lane_buckets[i], *next; lane; lane = next) {
			next = lane->next;
			lane_done(&lane->lane, &lane->carrier->pool);
			if (lane->carrier != service->relays)
				carrier_free(lane->carrier);
			memory_put(service->env->memory, lane);
		}
}

static enum error
part_append(struct queue_service *service, struct part *part, uint32_t recipient)
{
	if (part->count == part->capacity) {
		uint32_t capacity = part->capacity ? part->capacity * 2 : PART_FIRST;
		uint32_t *more = memory_resize(
			service->env->memory, part->recipients, capacity * sizeof *more);
		if (!more)
			return ERROR_NO_MEMORY;
		part->recipients = more;
		part->capacity = capacity;
	}
	part->recipients[part->count++] = recipient;
	return OK;
}

static struct part *
part_new(struct queue_service *service, const struct part *like)
{
	struct part *part = memory_try(service->env->memory, sizeof *part);

	if (!part)
		return NULL;
	*part = (struct part){.due = {.kind = DUE_PART},
		.message = like->message,
		.lane = like->lane,
		.template = like->template,
		.is_forwarded = like->is_forwarded,
		.attempts = like->attempts,
		.is_new = like->is_new,
		.line = {.sender = like->line.sender, .was_tried = like->attempts > 0}};
	list_init(&part->line.link);
	list_append(&part->message->parts, &part->link);
	return part;
}

void
part_free(struct queue_service *service, struct part *part)
{
	if (part->lane) {
		lane_remove(&part->lane->lane, &part->lane->carrier->pool, &part->line);
		if (part->lane->filling == part)
			part->lane->filling = NULL;
	}
	if (part->keeps_open) {
		message_close(service, part->message);
		service->opened_parts--;
	}
	schedule_remove(&service->due, &part->due.entry);
	list_remove(&part->link);
	memory_put(service->env->memory, part->recipients);
	memory_put(service->env->memory, part);
}

/* A long part would have its envelope decoded for every 64 recipients. */
static void
part_keep_open(struct queue_service *service, struct part *part)
{
	struct opened *opened;

	if (part->keeps_open ||
		(part->count <= DELIVERY_RECIPIENTS_MAX && service->opened_parts >= OPENED_PARTS))
		return;
	part->keeps_open = message_open(service, part->message, &opened) == OK;
	service->opened_parts += part->keeps_open;
}

void
part_is_due(struct queue_service *service, struct part *part)
{
	if (!part->lane) {
		recipients_defer(service, part);
		return;
	}
	if (part->count > DELIVERY_RECIPIENTS_MAX)
		part_keep_open(service, part);
	lane_add(&part->lane->lane, &part->lane->carrier->pool, &part->line);
	carrier_has_work(part->lane->carrier);
}

/* One that waits for the same try. */
static struct part *
part_like(const struct queue_service *service, const struct part *like, wall_us at)
{
	unsigned seen = 0;

	list_for_each (link, &like->message->parts) {
		struct part *part = list_entry(link, struct part, link);
		if (part->lane == like->lane && part->attempts == like->attempts && at > 0 &&
			slice_equal(part->template, like->template) &&
			part->is_forwarded == like->is_forwarded &&
			schedule_contains(&service->due, &part->due.entry))
			return part;
		if (++seen == 16)
			break;
	}
	return NULL;
}

static int
compare_numbers(const void *left, const void *right)
{
	const uint32_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

void
part_add(struct queue_service *service, const struct part *like, const uint32_t *recipients,
	uint32_t count, wall_us at)
{
	struct part *part = part_like(service, like, at);
	bool is_joined = part != NULL;

	if (!part)
		part = part_new(service, like);
	for (uint32_t i = 0; i < count; i++)
		if (!part || part_append(service, part, recipients[i]) != OK)
			abort();
	if (is_joined)
		qsort(part->recipients, part->count, sizeof *part->recipients, compare_numbers);
	else if (at > 0)
		due_set(service, &part->due, at);
	else
		part_is_due(service, part);
}

/* Who shares a line: one client address, or one network of a subscriber (/64). */
static uint32_t
sender_of(struct queue_service *service, const struct envelope *envelope)
{
	struct slice text = slice_sub(envelope->client_address, 0, SENDER_TEXT_MAX);
	unsigned colons = 0;

	for (size_t i = 0; i < text.len; i++) {
		colons += text.ptr[i] == ':';
		if (colons == 4)
			text.len = i;
	}
	return (uint32_t)siphash(&service->hash_key, text);
}

struct routing {
	struct queue_service *service;
	struct queued *message;
	const struct envelope *envelope;
	struct part like;
	struct part *homeless; /* recipients that no route takes */
	enum error error;
};

static void
route_into(struct routing *routing, uint32_t recipient, struct part **place)
{
	struct queue_service *service = routing->service;

	if (!*place || (*place)->message != routing->message ||
		!slice_equal((*place)->template, routing->like.template) ||
		(*place)->is_forwarded != routing->like.is_forwarded)
		*place = part_new(service, &routing->like);
	routing->error = *place ? part_append(service, *place, recipient) : ERROR_NO_MEMORY;
}

static void
route_fail(struct routing *routing, uint32_t recipient, struct enhanced_status status,
	struct slice text)
{
	struct queue_service *service = routing->service;
	struct queued *queued = routing->message;
	struct outcome failure = {.recipient = recipient, .status = status, .text = text};

	queued_keep_reply(service, queued, enhanced_status_number(status), text);
	log_failed(service, queued, "failed", routing->envelope->recipients[recipient].address,
		&failure);
	outcome_note(service, queued, &failure);
}

/* There is nothing more to do for it but to tell its sender. */
static void
route_arrived(struct routing *routing, uint32_t recipient, enum dsn_action action)
{
	struct outcome outcome = {
		.recipient = recipient, .action = action, .status = STATUS(2, 0, 0)};

	if (outcome_is_wanted(routing->envelope, recipient))
		outcome_note(routing->service, routing->message, &outcome);
	else
		routing->message->left--;
}

/* May wait. */
static void
route_recipient(struct routing *routing, uint32_t recipient)
{
	struct queue_service *service = routing->service;
	struct queued *queued = routing->message;
	struct slice address = routing->envelope->recipients[recipient].address;
	struct route_decision decision = route_decide(&service->routes, address);
	uint8_t storage[ROUTE_LANE_NAME_MAX];
	enum transport transport;
	struct buffer name;

	routing->like.lane = NULL;
	routing->like.template = decision.template;
	routing->like.is_forwarded = envelope_wish(routing->envelope, recipient).is_forwarded;
	if (envelope_wish(routing->envelope, recipient).is_expanded) {
		route_arrived(routing, recipient, DSN_EXPANDED);
		return;
	}
	if (decision.kind == ROUTE_DISCARD) {
		route_arrived(routing, recipient, DSN_DELIVERED);
		return;
	}
	if (decision.kind == ROUTE_HOLD) {
		queued->kept_back++;
		queued_keep_reply(service, queued, 0, SLICE("the route says hold"));
		return;
	}
	if (decision.kind == ROUTE_REJECT) {
		route_fail(routing, recipient, STATUS(5, 7, 1),
			SLICE("mail for this domain is refused"));
		return;
	}
	buffer_init_fixed(&name, storage, sizeof storage);
	enum error error = route_lane(&decision, address, &transport, &name);
	if (error == ERROR_NOT_FOUND) {
		route_into(routing, recipient, &routing->homeless);
	} else if (error != OK) {
		route_fail(routing, recipient, STATUS(5, 1, 3),
			SLICE("the address can be no system user's"));
	} else {
		routing->error =
			lane_for(service, transport, buffer_slice(&name), &routing->like.lane);
		if (routing->error == OK)
			route_into(routing, recipient, &routing->like.lane->filling);
	}
}

/* May wait: a long list gives way to others. Recipients that an earlier process finished are
 * ascending. */
static void
route_recipients(struct routing *routing)
{
	struct queued *queued = routing->message;
	uint32_t done = 0;

	for (uint32_t i = 0; i < queued->recipients && routing->error == OK; i++) {
		if (done < queued->done_count && queued->done[done] == i) {
			queued->left--;
			done++;
			continue;
		}
		route_recipient(routing, i);
		if (i % ROUTE_A_TURN == ROUTE_A_TURN - 1)
			task_yield(routing->service->env->loop);
	}
}

static void
drop_parts(struct queue_service *service, struct queued *queued)
{
	list_for_each_safe (link, next, &queued->parts)
		part_free(service, list_entry(link, struct part, link));
}

/* The parts are due only now, when all are whole. */
static void
start_parts(struct queue_service *service, struct queued *queued)
{
	list_for_each (link, &queued->parts) {
		struct part *part = list_entry(link, struct part, link);
		if (!part->lane) {
			due_set(service, &part->due, env_wall(service->env));
			continue;
		}
		part->lane->filling = NULL;
		part_keep_open(service, part);
		part_is_due(service, part);
	}
}

/* It can't be read: not lost, but nothing can be done with it now. */
static void
message_refuse(struct queue_service *service, struct queued *queued, enum error error)
{
	char id[QUEUE_ID_DIGITS + 1];

	queue_id_print(queued->message.queue_id, id);
	log_event(service->env, LOG_ERROR, "message_unreadable", LOG_STRING("id", id),
		LOG_STRING("error", error_text(error)),
		LOG_NUMBER("segment", queued->message.segment),
		LOG_NUMBER("offset", queued->message.offset));
	if (error == ERROR_DAMAGED || error == ERROR_FORMAT)
		queued->held = true;
	else
		due_set(service, &queued->due, env_wall(service->env) + READ_AGAIN_US);
}

void
message_route(struct queue_service *service, struct queued *queued)
{
	struct opened *opened;
	enum error error = message_open(service, queued, &opened);

	if (error != OK) {
		message_refuse(service, queued, error);
		return;
	}
	struct routing routing = {.service = service,
		.message = queued,
		.envelope = &opened->envelope,
		.like = {.message = queued,
			.attempts = queued->attempts,
			.is_new = queued->is_new,
			.line = {.sender = sender_of(service, &opened->envelope)}}};
	queued->is_routing = true;
	queued->recipients = queued->left = opened->envelope.recipient_count;
	queued->kept_back = 0;
	route_recipients(&routing);
	queued->is_new = false;
	if (routing.error == OK) {
		queued->is_routed = true;
		memory_put(service->env->memory, queued->done);
		queued->done = NULL;
		start_parts(service, queued);
	} else {
		drop_parts(service, queued);
		outcomes_free(service, queued); /* it is all found again */
		message_refuse(service, queued, routing.error);
	}
	queued->is_routing = false;
	message_close(service, queued);
	if (queued->is_routed)
		message_check_end(service, queued);
}

static void
mark_parts(const struct queued *queued, bool *is_open)
{
	list_for_each (link, &queued->parts) {
		const struct part *part = list_entry(link, struct part, link);
		for (uint32_t i = part->taken; i < part->count; i++)
			is_open[part->recipients[i]] = true;
	}
	/* Of these nothing is on the disk: they will fail again. */
	for (uint32_t i = 0; queued->failures && i < queued->failures->count; i++)
		is_open[queued->failures->list[i].recipient] = true;
}

static void
mark_kept_back(struct queue_service *service, const struct envelope *envelope, bool *is_open)
{
	for (uint32_t i = 0; i < envelope->recipient_count; i++)
		if (route_decide(&service->routes, envelope->recipients[i].address).kind ==
			ROUTE_HOLD)
			is_open[i] = true;
}

static enum error
keep_done(struct queue_service *service, struct queued *queued, const bool *is_open)
{
	enum error error = OK;

	for (uint32_t i = 0; i < queued->recipients && error == OK; i++)
		if (!is_open[i])
			error = queued_add_done(service, queued, i);
	if (error == OK)
		return OK;
	memory_put(service->env->memory, queued->done);
	queued->done = NULL;
	queued->done_count = queued->done_capacity = 0;
	return error;
}

enum error
message_unroute(struct queue_service *service, struct queued *queued)
{
	struct opened *opened;

	if (!queued->is_routed)
		return OK;
	bool *is_open = memory_try(service->env->memory, queued->recipients + 1);
	enum error error = is_open ? message_open(service, queued, &opened) : ERROR_NO_MEMORY;
	if (error == OK) {
		mark_parts(queued, is_open);
		if (queued->kept_back > 0)
			mark_kept_back(service, &opened->envelope, is_open);
		message_close(service, queued);
		queued->done_count = queued->done_capacity = 0;
		error = keep_done(service, queued, is_open);
	}
	memory_put(service->env->memory, is_open);
	if (error != OK)
		return error;
	drop_parts(service, queued);
	outcomes_free(service, queued);
	queued->is_routed = false;
	return OK;
}
