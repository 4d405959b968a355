/*
 * Attempts and what becomes of them. A result is a recipient's, and final if it says delivered or
 * failed; deferred recipients become a part that waits for its own time. What failed is told
 * (report.h), and finished by that: nothing that got a 250 is dropped silently. When nothing of a
 * message waits or is under way, it is done, or, if its route says so, held until somebody looks.
 *
 * Failures of ours (no memory, a deliverer that died) count like any other, so that a message that
 * makes a deliverer fail is tried ever more seldom; what was not tried at all does not count.
 */
#include "queue/queue_private.h"

#define PUT_RETRY_US  (2 * US_PER_MS)
#define SLOTS_MIN     64
#define SLOTS_MAX     65536
#define NO_SLOT       UINT32_MAX
#define READ_AGAIN_US (10 * US_PER_S)
#define NO_ROUTE_TEXT SLICE("no domain or route of the configuration takes this address")
#define REPLY_SHOWN   300 /* octets of the reply of a success in the log */
#define BIT(i)        (UINT64_C(1) << (i))

static const char *const tls_words[TLS_STATES] = {
	[TLS_NONE] = "none", [TLS_UNVERIFIED] = "unverified", [TLS_VERIFIED] = "verified"};

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

static enum error
slots_grow(struct queue_service *service)
{
	struct attempt_table *table = &service->attempts;
	uint32_t count = table->count ? table->count * 2 : SLOTS_MIN;

	if (count > SLOTS_MAX)
		return ERROR_LIMIT;
	struct attempt_slot *slots =
		memory_resize(service->env->memory, table->slots, count * sizeof *slots);
	if (!slots)
		return ERROR_NO_MEMORY;
	for (uint32_t i = table->count; i < count; i++)
		slots[i] = (struct attempt_slot){.next_free = i + 1 < count ? i + 1 : NO_SLOT};
	table->slots = slots;
	table->first_free = table->count;
	table->count = count;
	return OK;
}

static struct attempt *
attempt_new(struct queue_service *service)
{
	struct attempt_table *table = &service->attempts;

	if (table->used == table->count && slots_grow(service) != OK)
		return NULL;
	struct attempt *attempt = memory_try(service->env->memory, sizeof *attempt);
	if (!attempt)
		return NULL;
	struct attempt_slot *slot = &table->slots[table->first_free];
	*attempt = (struct attempt){.service = service,
		.slot = table->first_free,
		.generation = ++slot->generation,
		.outcome = LANE_WORKED};
	list_init(&attempt->link);
	table->first_free = slot->next_free;
	table->used++;
	slot->attempt = attempt;
	return attempt;
}

uint64_t
attempt_number(const struct attempt *attempt)
{
	return (uint64_t)attempt->generation << 32 | attempt->slot;
}

struct attempt *
attempt_find(const struct queue_service *service, uint64_t number)
{
	const struct attempt_table *table = &service->attempts;
	uint32_t slot = (uint32_t)number;

	if (slot >= table->count || table->slots[slot].generation != number >> 32)
		return NULL;
	return table->slots[slot].attempt;
}

/* The last of it. */
static void
attempt_free(struct attempt *attempt)
{
	struct queue_service *service = attempt->service;
	struct attempt_table *table = &service->attempts;

	if (attempt->opened)
		message_close(service, attempt->message);
	table->slots[attempt->slot].attempt = NULL;
	table->slots[attempt->slot].next_free = table->first_free;
	table->first_free = attempt->slot;
	table->used--;
	memory_put(service->env->memory, attempt);
	task_event_signal(&service->attempt_ended);
}

/* As many recipients as one attempt may have. */
static void
take_recipients(struct attempt *attempt, struct part *part)
{
	const struct envelope *envelope = &attempt->opened->envelope;
	size_t bytes = 0;

	while (part->taken < part->count && attempt->count < DELIVERY_RECIPIENTS_MAX) {
		uint32_t recipient = part->recipients[part->taken];
		bytes += delivery_recipient_bytes(envelope->recipients[recipient].address,
			envelope_wish(envelope, recipient).original);
		if (bytes > DELIVERY_LIST_BYTES)
			break;
		attempt->recipients[attempt->count++] = recipient;
		part->taken++;
	}
}

/* It can't be begun now: the part waits, and its lane had nothing under way for it. */
static struct attempt *
attempt_refuse(struct queue_service *service, struct part *part, struct attempt *attempt)
{
	struct queue_lane *lane = part->lane;

	if (attempt)
		attempt_free(attempt);
	lane_end(&lane->lane, &lane->carrier->pool, loop_now(service->env->loop), LANE_UNTRIED);
	due_set(service, &part->due, env_wall(service->env) + READ_AGAIN_US);
	return NULL;
}

struct attempt *
attempt_begin(struct queue_service *service, struct part *part)
{
	struct queued *queued = part->message;
	struct queue_lane *lane = part->lane;
	struct attempt *attempt = attempt_new(service);

	if (!attempt)
		return attempt_refuse(service, part, NULL);
	attempt->message = queued;
	enum error error = message_open(service, queued, &attempt->opened);
	if (error != OK) {
		char id[QUEUE_ID_DIGITS + 1];
		queue_id_print(queued->message.queue_id, id);
		log_event(service->env, LOG_ERROR, "message_unreadable", LOG_STRING("id", id),
			LOG_STRING("error", error_text(error)));
		attempt->opened = NULL;
		return attempt_refuse(service, part, attempt);
	}
	queued_drop_envelope(service, queued);
	attempt->lane = lane;
	attempt->template = part->template;
	attempt->is_forwarded = part->is_forwarded;
	attempt->attempts = part->attempts + 1;
	attempt->is_new = part->is_new;
	attempt->begun_at = env_wall(service->env);
	take_recipients(attempt, part);
	queued->under_way++;
	if (part->taken == part->count)
		part_free(service, part);
	else
		lane_add(&lane->lane, &lane->carrier->pool, &part->line);
	return attempt;
}

static void
log_delivered(const struct attempt *attempt, uint32_t i, const struct delivery_result *result)
{
	const struct envelope *envelope = &attempt->opened->envelope;
	struct env *env = attempt->service->env;
	wall_us now = env_wall(env);
	bool is_here = result->path.len > 0;
	int64_t writing_ms = (now - attempt->begun_at) / US_PER_MS;
	char id[QUEUE_ID_DIGITS + 1];

	queue_id_print(attempt->message->message.queue_id, id);
	log_event(env, LOG_INFO, "delivered", LOG_STRING("id", id),
		LOG_SLICE("to", envelope->recipients[attempt->recipients[i]].address),
		is_here ? LOG_SLICE("path", result->path) : LOG_SLICE("remote", result->remote),
		LOG_NUMBER("delay_ms", (now - envelope->received_at) / US_PER_MS),
		LOG_NUMBER("waited_ms", (attempt->begun_at - envelope->received_at) / US_PER_MS),
		LOG_NUMBER("connecting_ms", result->connecting_ms),
		LOG_NUMBER("sending_ms", is_here ? writing_ms : result->sending_ms),
		LOG_NUMBER("attempts", attempt->attempts),
		LOG_SLICE("reply", slice_sub(result->text, 0, REPLY_SHOWN)),
		LOG_STRING("tls", tls_words[result->tls]));
}

static struct slice
attempt_text(const struct attempt *attempt)
{
	return slice_of(attempt->text, attempt->text_len);
}

void
log_failed(struct queue_service *service, const struct queued *queued, const char *event,
	struct slice to, const struct outcome *failure)
{
	char id[QUEUE_ID_DIGITS + 1], printed[ENHANCED_STATUS_BYTES];

	queue_id_print(queued->message.queue_id, id);
	log_event(service->env, LOG_INFO, event, LOG_STRING("id", id), LOG_SLICE("to", to),
		LOG_SLICE("status", enhanced_status_print(failure->status, printed)),
		LOG_SLICE("reply", failure->text), LOG_SLICE("remote", failure->remote));
}

/* A server that was told what to report says it itself (RFC 3461 section 5.2.2). */
static bool
note_arrived(struct attempt *attempt, uint32_t i, const struct delivery_result *result)
{
	enum transport transport = attempt->lane->transport;
	struct outcome outcome = {.recipient = attempt->recipients[i],
		.action = transport == TRANSPORT_MX || transport == TRANSPORT_HOST ? DSN_RELAYED
										   : DSN_DELIVERED,
		.status = result->status,
		.text = result->text,
		.remote = result->remote};

	if (result->is_passed_on ||
		!outcome_is_wanted(&attempt->opened->envelope, outcome.recipient))
		return false;
	outcome_note(attempt->service, attempt->message, &outcome);
	return true;
}

static void
note_failed(struct attempt *attempt, uint32_t i, const struct delivery_result *result)
{
	struct outcome failure = {.recipient = attempt->recipients[i],
		.status = result->status,
		.text = result->text,
		.remote = result->remote};

	attempt->noted |= BIT(i);
	log_failed(attempt->service, attempt->message, "failed",
		attempt->opened->envelope.recipients[failure.recipient].address, &failure);
	outcome_note(attempt->service, attempt->message, &failure);
}

static void
settle(struct attempt *attempt, uint32_t i, const struct delivery_result *result)
{
	attempt->settled |= BIT(i);
	if (result->outcome == DELIVER_DELIVERED) {
		log_delivered(attempt, i, result);
		if (note_arrived(attempt, i, result))
			attempt->noted |= BIT(i);
		return;
	}
	if (result->outcome == DELIVER_PERMANENT)
		note_failed(attempt, i, result);
	else
		attempt->deferred |= BIT(i);
	struct slice text = slice_sub(result->text, 0, sizeof attempt->text);
	memcpy(attempt->text, text.ptr ? text.ptr : (const uint8_t *)"", text.len);
	attempt->text_len = (uint8_t)text.len;
	attempt->status = result->status;
	attempt->tls = result->tls;
	struct slice remote = slice_sub(result->remote, 0, sizeof attempt->remote);
	memcpy(attempt->remote, remote.ptr ? remote.ptr : (const uint8_t *)"", remote.len);
	attempt->remote_len = (uint8_t)remote.len;
}

static uint32_t
pick(const struct attempt *attempt, uint64_t bits, uint32_t ret_recipients[DELIVERY_RECIPIENTS_MAX])
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < attempt->count; i++)
		if (bits & BIT(i))
			ret_recipients[count++] = attempt->recipients[i];
	return count;
}

static struct part
part_of(const struct attempt *attempt)
{
	return (struct part){.message = attempt->message,
		.lane = attempt->lane,
		.template = attempt->template,
		.is_forwarded = attempt->is_forwarded,
		.attempts = attempt->attempts};
}

/* What is the same for all recipients of one attempt. */
struct deferral {
	const struct envelope *envelope; /* NULL: it is not at hand */
	const struct queue_lane *lane;   /* NULL: there is none */
	uint32_t attempts;
	struct enhanced_status status;
	struct slice text;
	struct slice remote;
	enum delivery_tls tls;
};

static void
append_addresses(struct buffer *to, const struct envelope *envelope, const uint32_t *recipients,
	uint32_t count)
{
	for (uint32_t i = 0; envelope && i < count; i++) {
		struct slice address = envelope->recipients[recipients[i]].address;
		if (to->len + address.len + 1 > to->max)
			return;
		if (to->len > 0)
			buffer_append_octet(to, ' ');
		buffer_append(to, address);
	}
}

static void
log_deferred(struct queue_service *service, const struct queued *queued,
	const struct deferral *deferral, const uint32_t *recipients, uint32_t count)
{
	char id[QUEUE_ID_DIGITS + 1], printed[ENHANCED_STATUS_BYTES];
	uint8_t to_storage[ENVELOPE_SOME_BYTES], lane_storage[ROUTE_LANE_NAME_MAX + 16];
	const struct queue_lane *lane = deferral->lane;
	struct buffer to, name;

	buffer_init_fixed(&to, to_storage, sizeof to_storage);
	append_addresses(&to, deferral->envelope, recipients, count);
	buffer_init_fixed(&name, lane_storage, sizeof lane_storage);
	buffer_append_text(&name, lane ? transport_name(lane->transport) : "none");
	buffer_append_text(&name, lane ? " " : "");
	buffer_append(&name, lane ? lane->name : SLICE(""));
	queue_id_print(queued->message.queue_id, id);
	log_event(service->env, LOG_INFO, "deferred", LOG_STRING("id", id),
		LOG_NUMBER("recipients", count), LOG_NUMBER("attempts", deferral->attempts),
		LOG_SLICE("status", enhanced_status_print(deferral->status, printed)),
		LOG_SLICE("reply", deferral->text),
		LOG_NUMBER("next_s", (queued->next_attempt_at - env_wall(service->env)) / US_PER_S),
		LOG_SLICE("lane", buffer_slice(&name)), LOG_SLICE("remote", deferral->remote),
		LOG_STRING("tls", tls_words[deferral->tls]), LOG_SLICE("to", buffer_slice(&to)));
}

/* When these are tried again; false: never, they are as old as mail may get. */
static bool
defer(struct queue_service *service, const struct part *like, const struct schedule_policy *policy,
	wall_us received_at, const uint32_t *recipients, uint32_t count)
{
	struct queued *queued = like->message;
	uint64_t random;

	env_random(service->env, &random, sizeof random);
	struct schedule_decision decision =
		schedule_retry(policy, received_at, env_wall(service->env), like->attempts, random);
	if (decision.expired)
		return false;
	part_add(service, like, recipients, count, decision.next_at);
	if (queued->next_attempt_at > decision.next_at ||
		queued->next_attempt_at <= env_wall(service->env))
		queued->next_attempt_at = decision.next_at;
	if (queued->attempts < like->attempts)
		queued->attempts = like->attempts;
	late_consider(service, queued);
	return true;
}

/* As old as mail may get. Without the envelope the log lacks the addresses. */
static void
expire(struct queue_service *service, struct queued *queued, const struct envelope *envelope,
	const uint32_t *recipients, uint32_t count, struct slice text)
{
	struct outcome failure = {.status = STATUS(5, 4, 7), .text = text};

	for (uint32_t i = 0; i < count; i++) {
		failure.recipient = recipients[i];
		log_failed(service, queued, "expired",
			envelope ? envelope->recipients[recipients[i]].address : SLICE(""),
			&failure);
		outcome_note(service, queued, &failure);
	}
}

static void
defer_attempt(struct attempt *attempt)
{
	struct queue_service *service = attempt->service;
	struct queued *queued = attempt->message;
	struct part like = part_of(attempt);
	uint32_t recipients[DELIVERY_RECIPIENTS_MAX];
	uint32_t count = pick(attempt, attempt->deferred, recipients);

	if (count == 0)
		return;
	if (defer(service, &like, &attempt->lane->policy, attempt->opened->envelope.received_at,
		    recipients, count)) {
		struct deferral deferral = {&attempt->opened->envelope, attempt->lane,
			attempt->attempts, attempt->status, attempt_text(attempt),
			slice_of(attempt->remote, attempt->remote_len), attempt->tls};
		log_deferred(service, queued, &deferral, recipients, count);
		return;
	}
	expire(service, queued, &attempt->opened->envelope, recipients, count,
		attempt_text(attempt));
	attempt->noted |= attempt->deferred;
	attempt->deferred = 0;
}

/* Not tried: due at once, as they were. At our end the next start sees to it. */
static void
give_back(struct attempt *attempt)
{
	struct part like = part_of(attempt);
	uint32_t recipients[DELIVERY_RECIPIENTS_MAX];
	uint32_t count = pick(attempt, ~attempt->settled, recipients);

	like.attempts--;
	like.is_new = attempt->is_new;
	if (count == 0 || attempt->service->stopping)
		return;
	part_add(attempt->service, &like, recipients, count, 0);
}

/* May wait. */
static void
put_mark(struct attempt *attempt, uint32_t i)
{
	struct spool_result result = {.kind = SPOOL_RECIPIENT_DELIVERED,
		.message = attempt->message->message,
		.recipient = attempt->recipients[i]};

	queue_put_result(attempt->service, &result);
}

/* Whether some recipients are due now. */
static bool
parts_are_due(const struct queue_service *service, const struct queued *queued)
{
	unsigned seen = 0;

	list_for_each (link, &queued->parts) {
		struct part *part = list_entry(link, struct part, link);
		if (!schedule_contains(&service->due, &part->due.entry) || ++seen == 16)
			return true;
	}
	return false;
}

bool
queued_has_work(const struct queue_service *service, const struct queued *queued)
{
	return queued->under_way > 0 || queued->is_routing || parts_are_due(service, queued);
}

/* May wait. What this attempt settled, while others stay open or a failure is to be remembered. */
static void
put_results(struct attempt *attempt)
{
	struct queued *queued = attempt->message;
	/* After a crash they must not wait for those that are not due, and what failed is not told
	 * yet. */
	bool has_untried = queued->under_way > 1 || queued->failures || queued->arrivals ||
			   parts_are_due(attempt->service, queued);
	struct spool_result deferred = {.kind = SPOOL_DEFERRED,
		.message = queued->message,
		.attempts = queued->attempts,
		.next_attempt_at =
			has_untried ? env_wall(attempt->service->env) : queued->next_attempt_at,
		.text = attempt_text(attempt)};

	for (uint32_t i = 0; i < attempt->count; i++)
		if (attempt->settled & ~attempt->deferred & ~attempt->noted & BIT(i))
			put_mark(attempt, i);
	if (attempt->deferred)
		queue_put_result(attempt->service, &deferred);
}

/* May wait. */
static void
message_hold(struct queue_service *service, struct queued *queued)
{
	char reply[QUEUE_REPLY_MAX]; /* an operator may delete the message while this waits */
	struct slice text = slice_of(reply, queued->reply_len);
	memcpy(reply, text.len > 0 ? queued->reply : "", text.len);
	struct spool_result result = {.kind = SPOOL_HELD, .message = queued->message, .text = text};
	char id[QUEUE_ID_DIGITS + 1], printed[ENHANCED_STATUS_BYTES];

	queued->held = true;
	queue_id_print(queued->message.queue_id, id);
	log_event(service->env, LOG_WARNING, "held", LOG_STRING("id", id),
		LOG_NUMBER("recipients", queued->left),
		LOG_SLICE("status",
			enhanced_status_print(enhanced_status_of(queued->status), printed)),
		LOG_SLICE("reply", text), LOG_STRING("state", "held"));
	queue_put_result(service, &result);
}

static bool
message_is_over(const struct queued *queued)
{
	return queued->is_routed && !queued->is_routing && !queued->held &&
	       queued->under_way == 0 && list_is_empty(&queued->parts) && !queued->failures &&
	       !queued->arrivals && !queued->late_is_under_way;
}

void
message_check_end(struct queue_service *service, struct queued *queued)
{
	struct spool_result result = {.kind = SPOOL_DONE, .message = queued->message};

	outcomes_consider(service, queued);
	/* At our end parts are left where they are: the next start decides. */
	if (!message_is_over(queued) || (service->stopping && queued->left > 0))
		return;
	if (queued->left > 0 || queued->has_failed) {
		message_hold(service, queued);
		return;
	}
	table_remove(service, queued);
	queue_put_result(service, &result);
}

/* May wait. All recipients have their results, or will have none of this attempt. */
static void
attempt_end(struct attempt *attempt)
{
	struct queue_service *service = attempt->service;
	struct queued *queued = attempt->message;

	carrier_end_attempt(attempt);
	defer_attempt(attempt);
	give_back(attempt);
	queued->left -= (uint32_t)__builtin_popcountll(
		attempt->settled & ~attempt->deferred & ~attempt->noted);
	if (attempt->status.class != 0)
		queued_keep_reply(service, queued, enhanced_status_number(attempt->status),
			attempt_text(attempt));
	/* The usual end needs one record, DONE. */
	bool is_done = queued->left == 0 && !queued->has_failed && queued->under_way == 1;
	if (!is_done)
		put_results(attempt);
	queued->under_way--;
	attempt_free(attempt);
	message_check_end(service, queued);
}

static uint64_t
all_bits(const struct attempt *attempt)
{
	return attempt->count == 64 ? UINT64_MAX : BIT(attempt->count) - 1;
}

bool
attempt_result(struct attempt *attempt, const struct delivery_result *result)
{
	uint64_t before = attempt->settled;

	for (uint32_t i = 0; i < attempt->count; i++)
		if (!(attempt->settled & BIT(i)) &&
			(result->recipient == DELIVERY_ALL ||
				result->recipient == attempt->recipients[i]))
			settle(attempt, i, result);
	if (attempt->settled == before)
		return false;
	if (attempt->settled == all_bits(attempt))
		attempt_end(attempt);
	return true;
}

void
attempt_give_up(struct attempt *attempt)
{
	attempt_end(attempt);
}

/* May wait. The configuration has changed since the message came: it may change back. */
void
recipients_defer(struct queue_service *service, struct part *part)
{
	struct queued *queued = part->message;
	struct part like = *part;
	uint32_t count = part->count;
	wall_us received_at = (wall_us)queued->message.queue_id;
	struct enhanced_status status = STATUS(4, 4, 5);

	like.attempts++;
	like.is_new = false;
	list_remove(&part->link);
	list_init(&part->link);
	queued_keep_reply(service, queued, enhanced_status_number(status), NO_ROUTE_TEXT);
	if (defer(service, &like, &service->policy, received_at, part->recipients, count)) {
		struct spool_result result = {.kind = SPOOL_DEFERRED,
			.message = queued->message,
			.attempts = queued->attempts,
			.next_attempt_at = queued->next_attempt_at,
			.text = NO_ROUTE_TEXT};
		struct deferral deferral = {
			.attempts = like.attempts, .status = status, .text = NO_ROUTE_TEXT};
		log_deferred(service, queued, &deferral, part->recipients, count);
		part_free(service, part);
		queue_put_result(service, &result);
		return;
	}
	struct opened *opened;
	bool is_open = message_open(service, queued, &opened) == OK;
	expire(service, queued, is_open ? &opened->envelope : NULL, part->recipients, count,
		NO_ROUTE_TEXT);
	if (is_open)
		message_close(service, queued);
	part_free(service, part);
	message_check_end(service, queued);
}
