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

#define GATHER_US      (5 * 60 * US_PER_S)
#define RETRY_US       (60 * US_PER_S) /* of one that could not be made or stored */
#define HOUR_US        (3600 * US_PER_S)
#define WAIT_MAX_US    (24 * HOUR_US)       /* of one over the limit */
#define LIMIT_AGAIN_US (10 * 60 * US_PER_S) /* its next look */
#define TEXTS_MAX      (64u << 20)
#define CLIENT_MAX     64 /* octets of an address with a port */
#define FAILURES_FIRST 4

void
reports_init(struct queue_service *service)
{
	struct reports *reports = &service->reports;

	list_init(&reports->ready);
	list_init(&reports->postmaster);
	list_init(&reports->under_way);
	reports->digest_due.kind = DUE_DIGEST;
	task_event_init(&reports->event);
}

void
reports_done(struct queue_service *service)
{
	list_for_each_safe (link, next, &service->reports.under_way)
		report_free(service, list_entry(link, struct report, link));
	schedule_remove(&service->due, &service->reports.digest_due.entry);
}

static struct failures *
failures_of(struct queue_service *service, struct queued *queued)
{
	struct failures *failures = queued->failures;

	if (failures)
		return failures;
	failures = memory_get(service->env->memory, sizeof *failures);
	*failures = (struct failures){
		.due = {.kind = DUE_REPORT}, .message = queued, .first_at = env_wall(service->env)};
	list_init(&failures->ready);
	arena_init(&failures->arena, service->env->memory, TEXTS_MAX);
	queued->failures = failures;
	return failures;
}

static void
failures_grow(struct queue_service *service, struct failures *failures)
{
	if (failures->count < failures->capacity)
		return;
	uint32_t capacity = failures->capacity ? failures->capacity * 2 : FAILURES_FIRST;
	struct failure *list =
		memory_resize(service->env->memory, failures->list, capacity * sizeof *list);
	if (!list)
		abort();
	failures->list = list;
	failures->capacity = capacity;
}

/* Many recipients fail for one reason: a text that the one before has too is kept once. */
static struct slice
keep_text(struct failures *failures, struct slice text, struct slice before)
{
	struct slice kept;

	if (slice_equal(text, before))
		return before;
	/* When so much was said, the rest of it is in the log. */
	return arena_copy(&failures->arena, text, &kept) ? kept : SLICE("");
}

void
failure_note(struct queue_service *service, struct queued *queued, const struct failure *failure)
{
	struct failures *failures = failures_of(service, queued);

	failures_grow(service, failures);
	const struct failure *last =
		failures->count > 0 ? &failures->list[failures->count - 1] : NULL;
	struct failure *noted = &failures->list[failures->count];
	*noted = *failure;
	noted->at = env_wall(service->env);
	noted->text = keep_text(failures, failure->text, last ? last->text : SLICE(""));
	noted->remote = keep_text(failures, failure->remote, last ? last->remote : SLICE(""));
	failures->count++;
}

void
failures_free(struct queue_service *service, struct queued *queued)
{
	struct failures *failures = queued->failures;

	if (!failures)
		return;
	schedule_remove(&service->due, &failures->due.entry);
	list_remove(&failures->ready);
	arena_done(&failures->arena);
	memory_put(service->env->memory, failures->list);
	memory_put(service->env->memory, failures);
	queued->failures = NULL;
}

void
failures_are_due(struct queue_service *service, struct failures *failures)
{
	struct reports *reports = &service->reports;

	schedule_remove(&service->due, &failures->due.entry);
	list_remove(&failures->ready);
	list_append(&reports->ready, &failures->ready);
	task_event_signal(&reports->event);
}

void
failures_consider(struct queue_service *service, struct queued *queued)
{
	struct failures *failures = queued->failures;

	if (!failures || failures->under_way > 0 || failures->is_for_postmaster ||
		!list_is_empty(&failures->ready))
		return;
	if (!queued_has_work(service, queued))
		failures_are_due(service, failures);
	else if (!schedule_contains(&service->due, &failures->due.entry))
		due_set(service, &failures->due, failures->first_at + GATHER_US);
}

static void
failures_wait(struct queue_service *service, struct failures *failures, int64_t wait_us)
{
	due_set(service, &failures->due, env_wall(service->env) + wait_us);
}

/* May wait. */
static void
failures_settled(struct queue_service *service, struct queued *queued, uint32_t count)
{
	struct failures *failures = queued->failures;

	failures->under_way = 0;
	failures->is_for_postmaster = false;
	list_remove(&failures->ready);
	queued->left -= count;
	failures->count -= count;
	/* UNSAFE: `count` are at the front of the list. */
	memmove(failures->list, failures->list + count, failures->count * sizeof *failures->list);
	if (failures->count == 0)
		failures_free(service, queued);
	message_check_end(service, queued);
}

/*
 * An allowance that fills evenly, the whole of it at first: `reports_limit` an hour, however they
 * come.
 */
static bool
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
static bool
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
fails_at_home(const struct queue_service *service, const struct failures *failures,
	const struct envelope *envelope)
{
	for (uint32_t i = 0; i < failures->count; i++) {
		struct slice address = envelope->recipients[failures->list[i].recipient].address;
		if (route_decide(&service->routes, address).kind == ROUTE_MAILDIR)
			return true;
	}
	return false;
}

enum verdict { TELL_SENDER, TELL_POSTMASTER, TELL_LATER, TELL_AGAIN, TELL_NOBODY };

static enum verdict
judge(struct queue_service *service, const struct failures *failures,
	const struct envelope *envelope)
{
	bool has_postmaster = conf_postmaster_domain(service->conf).len > 0;

	if (envelope->reverse_path.len == 0)
		return has_postmaster && !report_is_digest(service, envelope) ? TELL_POSTMASTER
									      : TELL_NOBODY;
	if (sender_is_trusted(service, envelope) || allowance_take(service))
		return TELL_SENDER;
	if (env_wall(service->env) < failures->first_at + WAIT_MAX_US)
		return TELL_LATER;
	return has_postmaster && fails_at_home(service, failures, envelope) ? TELL_POSTMASTER
									    : TELL_NOBODY;
}

/* May wait, towards the writer. */
static void
suppress(struct queue_service *service, struct failures *failures)
{
	struct queued *queued = failures->message;
	uint32_t count = failures->count;

	failures->under_way = count;
	for (uint32_t i = 0; i < count; i++) {
		struct spool_result result = {.kind = SPOOL_RECIPIENT_ENDED,
			.message = queued->message,
			.recipient = failures->list[i].recipient};
		queue_put_result(service, &result);
	}
	failures_settled(service, queued, count);
}

static void
to_postmaster(struct queue_service *service, struct failures *failures)
{
	struct reports *reports = &service->reports;
	wall_us now = env_wall(service->env), at = now + GATHER_US;

	failures->is_for_postmaster = true;
	list_append(&reports->postmaster, &failures->ready);
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

static void
log_suppressed(struct queue_service *service, const struct failures *failures,
	const struct envelope *envelope)
{
	char id[QUEUE_ID_DIGITS + 1];

	queue_id_print(failures->message->message.queue_id, id);
	log_event(service->env, LOG_WARNING, "suppressed", LOG_STRING("id", id),
		LOG_SLICE("from", envelope->reverse_path),
		LOG_NUMBER("recipients", failures->count));
}

/* What the envelope is needed for. */
static enum verdict
judge_and_make(struct queue_service *service, struct failures *failures)
{
	struct opened *opened;

	if (message_open(service, failures->message, &opened) != OK)
		return TELL_AGAIN;
	enum verdict verdict = judge(service, failures, &opened->envelope);
	if (verdict == TELL_NOBODY)
		log_suppressed(service, failures, &opened->envelope);
	if (verdict == TELL_SENDER) {
		enum error error = report_make(service, failures, &opened->envelope);
		/* There are addresses that can't stand in a header. */
		verdict = error == OK             ? TELL_SENDER
			  : error == ERROR_FORMAT ? TELL_POSTMASTER
						  : TELL_AGAIN;
	}
	message_close(service, failures->message);
	return verdict;
}

/* May wait. */
static void
tell(struct queue_service *service, struct failures *failures)
{
	switch (judge_and_make(service, failures)) {
	case TELL_SENDER:
		return;
	case TELL_POSTMASTER:
		to_postmaster(service, failures);
		return;
	case TELL_LATER:
		failures_wait(service, failures, LIMIT_AGAIN_US);
		return;
	case TELL_AGAIN:
		failures_wait(service, failures, RETRY_US);
		return;
	case TELL_NOBODY:
		suppress(service, failures);
		return;
	}
}

static void
stored(struct queue_service *service, const struct report *report)
{
	for (uint32_t i = 0; i < report->count; i++) {
		const struct report_item *item = &report->items[i];
		struct queued *queued = table_find(service, item->queue_id);
		if (!queued || !queued->failures)
			continue;
		if (report->own.error == OK) {
			failures_settled(service, queued, item->count);
			continue;
		}
		queued->failures->under_way = 0;
		queued->failures->is_for_postmaster = false;
		list_remove(&queued->failures->ready);
		failures_wait(service, queued->failures, RETRY_US);
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
		return false;
	struct failures *failures = list_entry(reports->ready.next, struct failures, ready);
	list_remove(&failures->ready);
	tell(service, failures);
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
