/*
 * Messages that are late. Ids are the times at which messages came, and the list of messages
 * ascends by them, so one place in it says which have been looked at: those before it were old
 * enough. What is under way there, or is not routed yet, is looked at again when it is put off.
 */
#include "queue/report_private.h"

#define LOOK_A_TURN 1024 /* messages */

void
late_init(struct queue_service *service)
{
	struct reports *reports = &service->reports;

	list_init(&reports->late);
	reports->late_due.kind = DUE_LATE;
	reports->late_at = &service->messages;
	reports->late_is_due = true;
}

void
late_done(struct queue_service *service)
{
	schedule_remove(&service->due, &service->reports.late_due.entry);
}

static wall_us
late_from(const struct queue_service *service, const struct queued *queued)
{
	return (wall_us)queued->message.queue_id + service->conf->report_delay_us;
}

void
late_expect(struct queue_service *service)
{
	struct reports *reports = &service->reports;
	int64_t delay_us = service->conf->report_delay_us;

	if (delay_us > 0 && !reports->late_is_due &&
		!schedule_contains(&service->due, &reports->late_due.entry))
		due_set(service, &reports->late_due, env_wall(service->env) + delay_us);
}

void
late_is_due(struct queue_service *service)
{
	service->reports.late_is_due = true;
	task_event_signal(&service->reports.event);
}

/* Nothing is known, or to be said, of one that is held, and that it waits to be routed. */
static bool
may_be_told(const struct queue_service *service, const struct queued *queued)
{
	return service->conf->report_delay_us > 0 && !queued->late_is_told &&
	       !queued->late_is_under_way && !queued->held && queued->is_routed &&
	       late_from(service, queued) <= env_wall(service->env);
}

void
late_consider(struct queue_service *service, struct queued *queued)
{
	if (!may_be_told(service, queued) || !list_is_empty(&queued->late))
		return;
	list_append(&service->reports.late, &queued->late);
	task_event_signal(&service->reports.event);
}

void
late_forget(struct queue_service *service, struct queued *queued)
{
	list_remove(&queued->late);
	if (service->reports.late_at == &queued->link)
		service->reports.late_at = queued->link.prev;
}

void
late_settled(struct queue_service *service, struct queued *queued, bool is_stored)
{
	queued->late_is_under_way = false;
	queued->late_is_told = is_stored;
	message_check_end(service, queued);
}

/* A bounded number of them. */
static void
look_on(struct queue_service *service)
{
	struct reports *reports = &service->reports;

	for (unsigned i = 0; i < LOOK_A_TURN; i++) {
		struct list *next = reports->late_at->next;
		if (next == &service->messages || service->conf->report_delay_us == 0) {
			reports->late_is_due = false;
			return;
		}
		struct queued *queued = list_entry(next, struct queued, link);
		if (late_from(service, queued) > env_wall(service->env)) {
			reports->late_is_due = false;
			due_set(service, &reports->late_due, late_from(service, queued));
			return;
		}
		reports->late_at = next;
		late_consider(service, queued);
	}
}

static bool
is_wanted(const struct envelope *envelope, uint32_t recipient, bool is_trusted)
{
	uint32_t notify = envelope_wish(envelope, recipient).notify;

	return notify == 0 ? is_trusted : (notify & DSN_NOTIFY_DELAY) != 0;
}

/* Those of a part that are to be told of, as far as there is room. */
static uint32_t
take_part(struct queue_service *service, const struct part *part, const struct envelope *envelope,
	const struct outcome *like, bool is_trusted, struct outcome *list, uint32_t room)
{
	int64_t expire_us = part->lane ? part->lane->policy.expire_us : service->policy.expire_us;
	uint32_t count = 0;

	for (uint32_t i = part->taken; i < part->count && count < room; i++) {
		if (!is_wanted(envelope, part->recipients[i], is_trusted))
			continue;
		list[count] = *like;
		list[count].recipient = part->recipients[i];
		list[count].expires_at = envelope->received_at + expire_us;
		if (schedule_contains(&service->due, &part->due.entry))
			list[count].next_attempt_at = part->due.entry.node.key;
		count++;
	}
	return count;
}

/* The message's last reply is that of all its recipients when they wait for one destination. */
static bool
has_one_lane(const struct queued *queued)
{
	const struct queue_lane *lane = NULL;

	list_for_each (link, &queued->parts) {
		const struct part *part = list_entry(link, struct part, link);
		if (lane && part->lane != lane)
			return false;
		lane = part->lane;
	}
	return true;
}

static uint32_t
collect(struct queue_service *service, const struct queued *queued, const struct envelope *envelope,
	bool is_trusted, struct outcome list[REPORT_RECIPIENTS_MAX])
{
	struct outcome like = {.action = DSN_DELAYED};
	uint32_t count = 0;

	if (has_one_lane(queued)) {
		like.status = enhanced_status_of(queued->status);
		like.text = slice_of(queued->reply, queued->reply_len);
	}
	list_for_each (link, &queued->parts)
		count += take_part(service, list_entry(link, struct part, link), envelope, &like,
			is_trusted, list + count, REPORT_RECIPIENTS_MAX - count);
	return count;
}

/* What cannot be told now is told when it is put off again. */
static void
make(struct queue_service *service, struct queued *queued, const struct envelope *envelope)
{
	bool is_trusted = sender_is_trusted(service, envelope);
	struct outcomes outcomes = {.kind = OUTCOME_LATE, .message = queued};

	outcomes.list =
		memory_try(service->env->memory, REPORT_RECIPIENTS_MAX * sizeof *outcomes.list);
	if (!outcomes.list)
		return;
	outcomes.count = collect(service, queued, envelope, is_trusted, outcomes.list);
	if (outcomes.count == 0 || envelope->reverse_path.len == 0) {
		queued->late_is_told = true;
	} else if (!is_trusted && !allowance_take(service)) {
		queued->late_is_told = true;
		log_suppressed(service, queued, envelope, outcomes.count);
	} else {
		enum error error = report_make(service, &outcomes, envelope);
		queued->late_is_under_way = error == OK;
		queued->late_is_told = error == ERROR_FORMAT;
	}
	memory_put(service->env->memory, outcomes.list);
}

static void
tell_first(struct queue_service *service)
{
	struct queued *queued = list_entry(service->reports.late.next, struct queued, late);
	struct opened *opened;

	list_remove(&queued->late);
	/* What is under way may arrive. */
	if (!may_be_told(service, queued) || queued->under_way > 0 || queued->is_routing ||
		message_open(service, queued, &opened) != OK)
		return;
	make(service, queued, &opened->envelope);
	message_close(service, queued);
}

bool
late_work(struct queue_service *service)
{
	if (service->reports.late_is_due)
		look_on(service);
	else if (!list_is_empty(&service->reports.late))
		tell_first(service);
	else
		return false;
	return true;
}
