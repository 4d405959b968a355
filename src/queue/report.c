/*
 * Making reports: one task that takes what is ready, judges whether and to whom it is told, and
 * hands it to the writer; the writer's answer finishes the recipients. Everything else only notes
 * failures and never waits for a report.
 *
 * Nobody is told of mail whose reverse path is empty but the postmaster, and nobody at all when
 * that fails too: so reports never go in circles.
 */
#include "queue/report_private.h"

#include "net/endpoint.h"

#include <stdlib.h>

#define GATHER_US         (5 * 60 * US_PER_S)
#define GATHER_ARRIVED_US (2 * US_PER_S)
#define RETRY_US          (60 * US_PER_S) /* of one that could not be made or stored */
#define HOUR_US           (3600 * US_PER_S)
#define WAIT_MAX_US       (24 * HOUR_US)       /* of one over the limit */
#define LIMIT_AGAIN_US    (10 * 60 * US_PER_S) /* its next look */
#define TEXTS_MAX         (64u << 20)
#define CLIENT_MAX        64 /* octets of an address with a port */
#define OUTCOMES_FIRST    4

void
reports_init(struct queue_service *service)
{
	struct reports *reports = &service->reports;

	list_init(&reports->ready);
	list_init(&reports->postmaster);
	list_init(&reports->under_way);
	reports->digest_due.kind = DUE_DIGEST;
	task_event_init(&reports->event);
	late_init(service);
	report_texts_init(service);
}

void
reports_done(struct queue_service *service)
{
	list_for_each_safe (link, next, &service->reports.under_way)
		report_free(service, list_entry(link, struct report, link));
	schedule_remove(&service->due, &service->reports.digest_due.entry);
	late_done(service);
	report_texts_done(service);
}

static struct outcomes **
place_of(struct queued *queued, enum outcome_kind kind)
{
	return kind == OUTCOME_ARRIVED ? &queued->arrivals : &queued->failures;
}

static struct outcomes *
outcomes_of(struct queue_service *service, struct queued *queued, enum outcome_kind kind)
{
	struct outcomes **place = place_of(queued, kind), *outcomes = *place;

	if (outcomes)
		return outcomes;
	outcomes = memory_get(service->env->memory, sizeof *outcomes);
	*outcomes = (struct outcomes){.kind = kind,
		.due = {.kind = DUE_REPORT},
		.message = queued,
		.first_at = env_wall(service->env)};
	list_init(&outcomes->ready);
	arena_init(&outcomes->arena, service->env->memory, TEXTS_MAX);
	*place = outcomes;
	return outcomes;
}

static void
outcomes_grow(struct queue_service *service, struct outcomes *outcomes)
{
	if (outcomes->count < outcomes->capacity)
		return;
	uint32_t capacity = outcomes->capacity ? outcomes->capacity * 2 : OUTCOMES_FIRST;
	struct outcome *list =
		memory_resize(service->env->memory, outcomes->list, capacity * sizeof *list);
	if (!list)
		abort();
	outcomes->list = list;
	outcomes->capacity = capacity;
}

/* Many recipients fail for one reason: a text that the one before has too is kept once. */
static struct slice
keep_text(struct outcomes *outcomes, struct slice text, struct slice before)
{
	struct slice kept;

	if (slice_equal(text, before))
		return before;
	/* When so much was said, the rest of it is in the log. */
	return arena_copy(&outcomes->arena, text, &kept) ? kept : SLICE("");
}

void
outcome_note(struct queue_service *service, struct queued *queued, const struct outcome *outcome)
{
	struct outcomes *outcomes = outcomes_of(
		service, queued, outcome->action == DSN_FAILED ? OUTCOME_FAILED : OUTCOME_ARRIVED);

	outcomes_grow(service, outcomes);
	const struct outcome *last =
		outcomes->count > 0 ? &outcomes->list[outcomes->count - 1] : NULL;
	struct outcome *noted = &outcomes->list[outcomes->count];
	*noted = *outcome;
	noted->at = env_wall(service->env);
	noted->text = keep_text(outcomes, outcome->text, last ? last->text : SLICE(""));
	noted->remote = keep_text(outcomes, outcome->remote, last ? last->remote : SLICE(""));
	outcomes->count++;
}

bool
outcome_is_wanted(const struct envelope *envelope, uint32_t recipient)
{
	return envelope->reverse_path.len > 0 &&
	       (envelope_wish(envelope, recipient).notify & DSN_NOTIFY_SUCCESS);
}

static void
outcomes_drop(struct queue_service *service, struct outcomes **place)
{
	struct outcomes *outcomes = *place;

	if (!outcomes)
		return;
	schedule_remove(&service->due, &outcomes->due.entry);
	list_remove(&outcomes->ready);
	arena_done(&outcomes->arena);
	memory_put(service->env->memory, outcomes->list);
	memory_put(service->env->memory, outcomes);
	*place = NULL;
}

void
outcomes_free(struct queue_service *service, struct queued *queued)
{
	outcomes_drop(service, &queued->failures);
	outcomes_drop(service, &queued->arrivals);
}

void
outcomes_are_due(struct queue_service *service, struct outcomes *outcomes)
{
	struct reports *reports = &service->reports;

	schedule_remove(&service->due, &outcomes->due.entry);
	list_remove(&outcomes->ready);
	list_append(&reports->ready, &outcomes->ready);
	task_event_signal(&reports->event);
}

static void
consider(struct queue_service *service, struct outcomes *outcomes)
{
	if (!outcomes || outcomes->under_way > 0 || outcomes->is_for_postmaster ||
		!list_is_empty(&outcomes->ready))
		return;
	if (!queued_has_work(service, outcomes->message))
		outcomes_are_due(service, outcomes);
	else if (!schedule_contains(&service->due, &outcomes->due.entry))
		due_set(service, &outcomes->due,
			outcomes->first_at + (outcomes->kind == OUTCOME_ARRIVED ? GATHER_ARRIVED_US
										: GATHER_US));
}

void
outcomes_consider(struct queue_service *service, struct queued *queued)
{
	consider(service, queued->failures);
	consider(service, queued->arrivals);
}

static void
outcomes_wait(struct queue_service *service, struct outcomes *outcomes, int64_t wait_us)
{
	due_set(service, &outcomes->due, env_wall(service->env) + wait_us);
}

/* May wait. */
static void
outcomes_settled(struct queue_service *service, struct outcomes *outcomes, uint32_t count)
{
	struct queued *queued = outcomes->message;

	outcomes->under_way = 0;
	outcomes->is_for_postmaster = false;
	list_remove(&outcomes->ready);
	queued->left -= count;
	outcomes->count -= count;
	/* UNSAFE: `count` are at the front of the list. */
	memmove(outcomes->list, outcomes->list + count, outcomes->count * sizeof *outcomes->list);
	if (outcomes->count == 0)
		outcomes_drop(service, place_of(queued, outcomes->kind));
	message_check_end(service, queued);
}

/*
 * An allowance that fills evenly, the whole of it at first: `reports_limit` an hour, however they
 * come.
 */
bool
allowance_take(struct queue_service *service)
{
	wall_us now = env_wall(service->env);
	struct reports *reports = &service->reports;
	uint64_t limit = service->conf->reports_limit;

	if (limit == 0)
		return false;
	int64_t cost = HOUR_US / (int64_t)limit;
	wall_us from = reports->allowance_at;
	/* A clock that was set back must not stop reports for as long. */
	if (from < now || from > now + 2 * HOUR_US)
		from = now;
	if (from + cost > now + HOUR_US)
		return false;
	reports->allowance_at = from + cost;
	return true;
}

/* From this machine, from a login, or from a client that may send anywhere: it answers for the
 * sender. */
bool
sender_is_trusted(const struct queue_service *service, const struct envelope *envelope)
{
	struct slice client = envelope->client_address;
	char storage[CLIENT_MAX];
	struct buffer text;
	struct endpoint endpoint;
	struct network network;

	if (client.len == 0 || slice_equal(client, SLICE("unix")) ||
		envelope->protocol == PROTOCOL_ESMTPA || envelope->protocol == PROTOCOL_ESMTPSA)
		return true;
	buffer_init_fixed(&text, storage, sizeof storage);
	buffer_printf(
		&text, slice_find(client, 0, ':') >= 0 ? "[%.*s]:0" : "%.*s:0", SLICE_ARGS(client));
	if (buffer_error(&text) != OK || endpoint_parse(buffer_slice(&text), &endpoint) != OK)
		return false;
	for (size_t i = 0; i < service->conf->relay_from_count; i++)
		if (network_parse(service->conf->relay_from[i], &network) == OK &&
			network_contains(&network, &endpoint))
			return true;
	return false;
}

/* Whether one of these domains is ours to deliver: then something is wrong at home. */
static bool
fails_at_home(const struct queue_service *service, const struct outcomes *outcomes,
	const struct envelope *envelope)
{
	for (uint32_t i = 0; i < outcomes->count; i++) {
		struct slice address = envelope->recipients[outcomes->list[i].recipient].address;
		if (route_decide(&service->routes, address).kind == ROUTE_MAILDIR)
			return true;
	}
	return false;
}

enum verdict {
	TELL_SENDER,
	TELL_POSTMASTER,
	TELL_LATER,
	TELL_AGAIN,
	TELL_NOBODY,
	TELL_UNWANTED /* nobody of the first ones, whose sender asked not to hear */
};

static enum verdict
judge(struct queue_service *service, const struct outcomes *outcomes,
	const struct envelope *envelope)
{
	bool has_postmaster = conf_postmaster_domain(service->conf).len > 0;

	if (envelope->reverse_path.len == 0)
		return has_postmaster && !report_is_digest(service, envelope) ? TELL_POSTMASTER
									      : TELL_NOBODY;
	if (sender_is_trusted(service, envelope) || allowance_take(service))
		return TELL_SENDER;
	/* What arrived is not kept for that. */
	if (outcomes->kind == OUTCOME_ARRIVED)
		return TELL_NOBODY;
	if (env_wall(service->env) < outcomes->first_at + WAIT_MAX_US)
		return TELL_LATER;
	return has_postmaster && fails_at_home(service, outcomes, envelope) ? TELL_POSTMASTER
									    : TELL_NOBODY;
}

/* May wait, towards the writer. The first ones are finished without a report. */
static void
finish(struct queue_service *service, struct outcomes *outcomes, uint32_t count)
{
	enum spool_result_kind kind = outcomes->kind == OUTCOME_ARRIVED ? SPOOL_RECIPIENT_DELIVERED
									: SPOOL_RECIPIENT_ENDED;

	outcomes->under_way = count;
	for (uint32_t i = 0; i < count; i++) {
		struct spool_result result = {.kind = kind,
			.message = outcomes->message->message,
			.recipient = outcomes->list[i].recipient};
		queue_put_result(service, &result);
	}
	outcomes_settled(service, outcomes, count);
}

static bool
is_unwanted(const struct outcome *outcome, const struct envelope *envelope)
{
	uint32_t notify = envelope_wish(envelope, outcome->recipient).notify;

	return outcome->action == DSN_FAILED && notify != 0 && !(notify & DSN_NOTIFY_FAILURE);
}

/* Brings failures that their sender does not want to hear of (RFC 3461 section 4.1) to the front.
 * Their number. */
static uint32_t
find_unwanted(struct outcomes *outcomes, const struct envelope *envelope)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < outcomes->count; i++) {
		struct outcome outcome = outcomes->list[i];
		if (!is_unwanted(&outcome, envelope))
			continue;
		outcomes->list[i] = outcomes->list[count];
		outcomes->list[count++] = outcome;
	}
	return count;
}

static void
log_unwanted(struct queue_service *service, const struct outcomes *outcomes, uint32_t count)
{
	char id[QUEUE_ID_DIGITS + 1];

	queue_id_print(outcomes->message->message.queue_id, id);
	log_event(service->env, LOG_INFO, "not_reported", LOG_STRING("id", id),
		LOG_NUMBER("recipients", count), LOG_STRING("cause", "notify"));
}

static void
to_postmaster(struct queue_service *service, struct outcomes *outcomes)
{
	struct reports *reports = &service->reports;
	wall_us now = env_wall(service->env), at = now + GATHER_US;

	outcomes->is_for_postmaster = true;
	list_append(&reports->postmaster, &outcomes->ready);
	if (at < reports->digest_at + DIGEST_EVERY_US && reports->digest_at <= now)
		at = reports->digest_at + DIGEST_EVERY_US;
	if (!schedule_contains(&service->due, &reports->digest_due.entry))
		due_set(service, &reports->digest_due, at);
}

void
digest_is_due(struct queue_service *service)
{
	service->reports.digest_is_due = true;
	task_event_signal(&service->reports.event);
}

void
log_suppressed(struct queue_service *service, const struct queued *queued,
	const struct envelope *envelope, uint32_t recipients)
{
	char id[QUEUE_ID_DIGITS + 1];

	queue_id_print(queued->message.queue_id, id);
	log_event(service->env, LOG_WARNING, "suppressed", LOG_STRING("id", id),
		LOG_SLICE("from", envelope->reverse_path), LOG_NUMBER("recipients", recipients));
}

/* What the envelope is needed for. `ret_count`: how many of the first are meant. */
static enum verdict
judge_and_make(struct queue_service *service, struct outcomes *outcomes, uint32_t *ret_count)
{
	struct queued *queued = outcomes->message;
	struct opened *opened;

	if (message_open(service, queued, &opened) != OK)
		return TELL_AGAIN;
	uint32_t unwanted = find_unwanted(outcomes, &opened->envelope);
	*ret_count = unwanted > 0 ? unwanted : outcomes->count;
	enum verdict verdict =
		unwanted > 0 ? TELL_UNWANTED : judge(service, outcomes, &opened->envelope);
	if (verdict == TELL_SENDER) {
		enum error error = report_make(service, outcomes, &opened->envelope);
		/* There are addresses that can't stand in a header. */
		bool is_for_postmaster = outcomes->kind == OUTCOME_FAILED &&
					 conf_postmaster_domain(service->conf).len > 0;
		verdict = error == OK             ? TELL_SENDER
			  : error != ERROR_FORMAT ? TELL_AGAIN
			  : is_for_postmaster     ? TELL_POSTMASTER
						  : TELL_NOBODY;
	}
	if (verdict == TELL_NOBODY)
		log_suppressed(service, queued, &opened->envelope, outcomes->count);
	message_close(service, queued);
	return verdict;
}

/* May wait. */
static void
tell(struct queue_service *service, struct outcomes *outcomes)
{
	uint32_t count = 0;

	switch (judge_and_make(service, outcomes, &count)) {
	case TELL_SENDER:
		return;
	case TELL_POSTMASTER:
		to_postmaster(service, outcomes);
		return;
	case TELL_LATER:
		outcomes_wait(service, outcomes, LIMIT_AGAIN_US);
		return;
	case TELL_AGAIN:
		outcomes_wait(service, outcomes, RETRY_US);
		return;
	case TELL_UNWANTED:
		log_unwanted(service, outcomes, count);
		finish(service, outcomes, count);
		return;
	case TELL_NOBODY:
		finish(service, outcomes, count);
		return;
	}
}

/* May wait. */
static void
outcomes_stored(
	struct queue_service *service, struct outcomes *outcomes, uint32_t count, bool is_stored)
{
	if (is_stored) {
		outcomes_settled(service, outcomes, count);
		return;
	}
	outcomes->under_way = 0;
	outcomes->is_for_postmaster = false;
	list_remove(&outcomes->ready);
	outcomes_wait(service, outcomes, RETRY_US);
}

/* May wait. */
static void
stored(struct queue_service *service, const struct report *report)
{
	bool is_stored = report->own.error == OK;

	for (uint32_t i = 0; i < report->count; i++) {
		const struct report_item *item = &report->items[i];
		struct queued *queued = table_find(service, item->queue_id);
		if (!queued)
			continue;
		if (report->kind == OUTCOME_LATE)
			late_settled(service, queued, is_stored);
		else if (*place_of(queued, report->kind))
			outcomes_stored(
				service, *place_of(queued, report->kind), item->count, is_stored);
	}
}

/* May wait. */
static bool
take_answer(struct queue_service *service)
{
	struct own_message **slot = handoff_first(&service->writer.own_answers);

	if (!slot)
		return false;
	struct report *report = list_entry(*slot, struct report, own);
	handoff_free(&service->writer.own_answers);
	report_log(service, report);
	stored(service, report);
	report_free(service, report);
	return true;
}

/* May wait. Whether there was something to do. */
static bool
make_one(struct queue_service *service)
{
	struct reports *reports = &service->reports;

	if (reports->under_way_count == WRITER_OWN_MAX)
		return false;
	if (reports->digest_is_due) {
		reports->digest_is_due = false;
		reports->digest_at = env_wall(service->env);
		digest_make(service);
		return true;
	}
	if (list_is_empty(&reports->ready))
		return late_work(service);
	struct outcomes *outcomes = list_entry(reports->ready.next, struct outcomes, ready);
	list_remove(&outcomes->ready);
	tell(service, outcomes);
	return true;
}

void
reports_run(void *arg)
{
	struct queue_service *service = arg;
	struct loop *loop = service->env->loop;
	enum error error = OK;

	while (error == OK) {
		if (take_answer(service) || make_one(service)) {
			task_yield(loop);
			error = task_is_cancelled(loop) ? ERROR_CANCELLED : OK;
			continue;
		}
		error = task_event_wait(loop, &service->reports.event, MONO_NEVER);
	}
}
