/*
 * Start, intake, dispatch, end. Intake takes what the writer has made durable and puts it on the
 * schedule; dispatch starts attempts for what is due, a bounded number a turn; results go to the
 * writer, which stores them within RESULTS_WAIT_US.
 */
#include "queue/queue_private.h"

#include <errno.h>
#include <stdlib.h>

#define RESULTS_WAIT_US \
	(20 * US_PER_MS) /* rule W4: what a crash may forget, and the next try finds done */
#define INTAKE_A_TURN     64
#define INTAKE_RETRY_US   (500 * US_PER_MS)
#define LOCK_WAIT_US      (10 * US_PER_S)
#define LOCK_RETRY_US     (20 * US_PER_MS)
#define OPEN_RETRY_US     US_PER_S /* of a spool that could not be opened for lack of space */
#define OPEN_RETRY_MAX_US (30 * US_PER_S)
#define JOURNAL_BYTES     (16u << 20)
#define FILL_BYTES_PER_S  (100u << 20)
#define SPARSE_SEGMENTS   4 /* with one that is filled, one kept ready and one that is emptied: 8 */

/* "HOST PORT HOST PORT", or the path of a socket: the name of the lane. */
static struct slice
next_hosts(struct queue_service *service, const struct conf_route *route)
{
	struct buffer text;
	struct slice kept = {0};

	if (route->to != CONF_TO_HOST && route->to != CONF_TO_LMTP)
		return kept;
	buffer_init(&text, service->env->memory, ROUTE_LANE_NAME_MAX);
	buffer_append(&text, route->target);
	if (!slice_has_prefix(route->target, SLICE("/")))
		buffer_printf(&text, " %u", conf_route_port(route));
	for (size_t i = 0; i < route->fallback_count; i++) {
		buffer_append_octet(&text, ' ');
		buffer_append(&text, route->fallbacks[i]);
		buffer_printf(&text, " %u", conf_route_port(route));
	}
	if (buffer_error(&text) != OK || !arena_copy(&service->arena, buffer_slice(&text), &kept))
		log_event(
			service->env, LOG_ERROR, "route_unusable", LOG_SLICE("route", route->name));
	buffer_done(&text);
	return kept;
}

static struct route_entry
entry_of(struct queue_service *service, const struct conf_route *route)
{
	static const enum route_kind kinds[] = {[CONF_TO_MAILDIR] = ROUTE_MAILDIR,
		[CONF_TO_DISCARD] = ROUTE_DISCARD,
		[CONF_TO_HOLD] = ROUTE_HOLD,
		[CONF_TO_REJECT] = ROUTE_REJECT,
		[CONF_TO_MX] = ROUTE_MX,
		[CONF_TO_HOST] = ROUTE_HOST,
		[CONF_TO_LMTP] = ROUTE_LMTP};

	/* A relay finds the route by its name. */
	return (struct route_entry){.domain = route->name,
		.kind = kinds[route->to],
		.template = route->to == CONF_TO_MAILDIR ? route->target : route->name,
		.owner = route->owner_user,
		.to = next_hosts(service, route)};
}

/* Domains first, then routes, as in the configuration. */
static void
routes_build(struct queue_service *service)
{
	const struct conf *conf = service->conf;
	size_t count = conf->domain_count + conf->route_count, bad;
	struct memory *memory = service->env->memory;

	service->route_entries = memory_get(memory, (count + 1) * sizeof *service->route_entries);
	for (size_t i = 0; i < conf->domain_count; i++) {
		const struct conf_domain *domain = &conf->domains[i];
		service->route_entries[i] = (struct route_entry){.domain = domain->name,
			.kind = ROUTE_MAILDIR,
			.template = domain->mailbox_template,
			.owner = domain->owner == CONF_OWNER_USER ? domain->owner_user : SLICE("")};
	}
	for (size_t i = 0; i < conf->route_count; i++)
		service->route_entries[conf->domain_count + i] =
			entry_of(service, &conf->routes[i]);
	enum error error = route_table_init(&service->routes, memory, service->route_entries, count,
		conf->domain_count > 0 ? conf->domains[0].name : SLICE(""), &bad);
	if (error != OK) /* checked with the configuration: mail waits until it is right */
		log_event(service->env, LOG_ERROR, "routes_unusable",
			LOG_STRING("error", error_text(error)));
}

static bool
writer_has_troubles(const struct writer *writer)
{
	const struct writer_troubles *t = &writer->troubles;

	return (atomic_load(&t->failed_commits) | atomic_load(&t->damaged_rings) |
		       atomic_load(&t->refused_messages) | atomic_load(&t->lost_results)) != 0 ||
	       atomic_load(&t->space_changed);
}

static void
queue_end_turn(void *arg)
{
	struct queue_service *service = arg;

	if (handoff_first(&service->writer.committed) || writer_has_troubles(&service->writer))
		task_event_signal(&service->intake);
	if (handoff_first(&service->writer.own_answers))
		task_event_signal(&service->reports.event);
}

static bool
queue_may_sleep(void *arg)
{
	struct queue_service *service = arg;

	bool nothing_came = handoff_may_sleep(&service->writer.committed);

	return handoff_may_sleep(&service->writer.own_answers) && nothing_came;
}

static void
queue_woke(void *arg)
{
	struct queue_service *service = arg;

	handoff_woke(&service->writer.committed);
	handoff_woke(&service->writer.own_answers);
}

struct queue_service *
queue_service_new(struct env *env, const struct conf *conf, int wake_fd,
	const struct queue_root_ops *root, void *root_arg)
{
	struct queue_service *service = memory_get(env->memory, sizeof *service);

	service->env = env;
	service->conf = conf;
	service->root = root;
	service->root_arg = root_arg;
	service->spool_fd = -1;
	service->pauses.folder_fd = -1;
	service->policy = (struct schedule_policy){
		conf->retry.first_us, conf->retry.max_us, conf->retry.expire_us};
	service->wake_fd = env->poll->wake_create(env->world);
	list_init(&service->messages);
	env_random(env, &service->hash_key, sizeof service->hash_key);
	schedule_queue_init(&service->due, env->memory);
	task_event_init(&service->due_changed);
	task_event_init(&service->attempt_ended);
	task_event_init(&service->intake);
	reports_init(service);
	task_event_init(&service->result_put);
	task_group_init(&service->tasks, env->loop);
	for (uint32_t i = 0; i < QUEUE_SEGMENTS; i++)
		service->segments.entries[i].fd = -1;
	arena_init(&service->arena, env->memory, SIZE_MAX);
	routes_build(service);
	if (carrier_new(service, NULL, &service->relays) != OK)
		abort();
	/* The spool and its thread have a memory account of their own: accounts are not shared
	 * between threads. */
	service->spool_env = *env;
	service->spool_env.memory = memory_new(0);
	writer_init(&service->writer, &service->spool_env, service->wake_fd, wake_fd);
	service->hook = (struct loop_hook){.end_turn = queue_end_turn,
		.before_sleep = queue_may_sleep,
		.after_sleep = queue_woke,
		.arg = service};
	loop_add_hook(env->loop, &service->hook);
	return service;
}

void
queue_service_set_spool(struct queue_service *service, int folder_fd)
{
	service->spool_fd = folder_fd;
}

static void
session_link_free(struct session_link *link)
{
	channel_close(&link->channel);
	memory_put(link->service->env->memory, link);
}

/* Nothing comes through this channel; its end tells that the worker is gone. */
static void
session_link_run(void *arg)
{
	struct session_link *link = arg;
	struct queue_service *service = link->service;
	struct ipc_message message;
	enum error error;

	while ((error = channel_receive(&link->channel, MONO_NEVER, &message)) == OK)
		ipc_close_fds(service->env, &message);
	if (error != ERROR_CLOSED && error != ERROR_CANCELLED)
		service->root->broken(service->root_arg, link->instance);
	if (service->sessions[link->worker] == link) {
		service->sessions[link->worker] = NULL;
		writer_detach(&service->writer, link->worker);
	}
	session_link_free(link);
}

void
queue_service_add_session(
	struct queue_service *service, uint32_t worker, uint32_t instance, int channel_fd)
{
	struct env *env = service->env;
	struct session_link *link = memory_get(env->memory, sizeof *link);

	link->service = service;
	link->worker = worker;
	link->instance = instance;
	enum error error =
		channel_open(&link->channel, env->loop, channel_fd, ROLE_QUEUE, ROLE_SESSION);
	if (error == OK && worker >= WRITER_WORKERS_MAX)
		error = ERROR_LIMIT;
	if (error == OK)
		error = task_start(&service->tasks, "session link", session_link_run, link);
	if (error == OK) {
		service->sessions[worker] = link;
		return;
	}
	log_event(env, LOG_ERROR, "channel_broken", LOG_STRING("peer", "session"),
		LOG_STRING("error", error_text(error)));
	session_link_free(link);
	service->root->broken(service->root_arg, instance); /* it would wait for a queue for ever */
}

void
queue_service_add_ring(
	struct queue_service *service, uint32_t worker, int memory_fd, int session_wake_fd)
{
	struct env *env = service->env;

	enum error error = writer_attach(&service->writer, worker, memory_fd, session_wake_fd);
	env->net->close(env->world, memory_fd);
	if (error == OK)
		return;
	log_event(env, LOG_ERROR, "ring_unusable", LOG_NUMBER("worker", worker),
		LOG_STRING("error", error_text(error)));
	if (worker < WRITER_WORKERS_MAX && service->sessions[worker])
		service->root->broken(service->root_arg, service->sessions[worker]->instance);
}

void
queue_service_set_admin(struct queue_service *service, uint32_t instance, int channel_fd)
{
	struct env *env = service->env;
	struct admin_link *link = memory_get(env->memory, sizeof *link);

	link->service = service;
	link->instance = instance;
	buffer_init(&link->bundle, env->memory, IPC_BUNDLE_MAX);
	enum error error =
		channel_open(&link->channel, env->loop, channel_fd, ROLE_QUEUE, ROLE_ADMIN);
	if (error == OK)
		error = task_start(&service->tasks, "control", control_run, link);
	if (error == OK)
		return;
	log_event(env, LOG_ERROR, "channel_broken", LOG_STRING("peer", "admin"),
		LOG_STRING("error", error_text(error)));
	channel_close(&link->channel);
	memory_put(env->memory, link);
	service->root->broken(service->root_arg, instance);
}

/* It lies elsewhere now; what is under way has the descriptor of its old place. */
static void
take_move(struct queue_service *service, const struct committed_message *moved)
{
	struct queued *queued = table_find(service, moved->message.queue_id);

	if (!queued)
		return; /* it has ended since */
	queued->message = moved->message;
	queued->content = moved->content;
}

static enum error
intake_message(struct queue_service *service, const struct committed_message *committed)
{
	struct memory *memory = service->env->memory;
	struct queued queued = {.message = committed->message,
			      .content = committed->content,
			      .due = {.kind = DUE_MESSAGE},
			      .is_new = true},
		      *added;

	if (committed->has_moved) {
		take_move(service, committed);
		return OK;
	}
	if (committed->envelope_bytes > 0 && service->fresh_count < QUEUE_FRESH_MAX)
		queued.envelope = memory_try(memory, committed->envelope_bytes);
	if (queued.envelope) {
		memcpy(queued.envelope, committed->envelope, committed->envelope_bytes);
		queued.envelope_bytes = committed->envelope_bytes;
		service->fresh_count++;
	}
	enum error error = table_add(service, &queued, &added);
	if (error == OK) {
		due_set(service, &added->due, env_wall(service->env));
		late_expect(service);
		return OK;
	}
	if (queued.envelope)
		service->fresh_count--;
	memory_put(memory, queued.envelope);
	return error;
}

/* A worker whose ring was dropped would wait for answers for ever: root starts another in its
 * place. */
static void
end_broken_sessions(struct queue_service *service)
{
	uint64_t workers = atomic_exchange(&service->writer.troubles.broken_workers, 0);

	for (uint32_t worker = 0; worker < WRITER_WORKERS_MAX; worker++)
		if ((workers & UINT64_C(1) << worker) && service->sessions[worker])
			service->root->broken(
				service->root_arg, service->sessions[worker]->instance);
}

static void
report_space(struct queue_service *service)
{
	struct env *env = service->env;

	if (!atomic_exchange(&service->writer.troubles.space_changed, false))
		return;
	bool has_space = writer_has_space(&service->writer);
	log_event(env, has_space ? LOG_INFO : LOG_WARNING,
		has_space ? "space_again" : "space_missing",
		LOG_NUMBER("free", env->disk->free_bytes(env->world, service->spool_fd)),
		LOG_NUMBER("reserve", (int64_t)service->conf->spool_reserve),
		LOG_STRING("effect", has_space ? "new mail is taken" : "new mail gets 452"));
}

static void
report_troubles(struct queue_service *service)
{
	end_broken_sessions(service);
	report_space(service);

	struct writer_troubles *t = &service->writer.troubles;
	uint32_t commits = atomic_exchange(&t->failed_commits, 0);
	uint32_t rings = atomic_exchange(&t->damaged_rings, 0);
	uint32_t refused = atomic_exchange(&t->refused_messages, 0);
	uint32_t results = atomic_exchange(&t->lost_results, 0);

	if ((commits | rings | refused | results) != 0)
		log_event(service->env, LOG_ERROR, "spool_trouble",
			LOG_NUMBER("failed_commits", commits), LOG_NUMBER("damaged_rings", rings),
			LOG_NUMBER("refused_messages", refused),
			LOG_NUMBER("lost_results", results),
			LOG_STRING("error", error_text((enum error)atomic_load(&t->last_error))));
}

static void
intake_run(void *arg)
{
	struct queue_service *service = arg;
	struct loop *loop = service->env->loop;
	enum error error = OK;
	unsigned taken = 0;

	while (error == OK) {
		struct committed_message *committed = handoff_first(&service->writer.committed);
		if (committed && intake_message(service, committed) != OK) {
			/* No memory. The message stays first in the line; new mail waits behind it
			 * until some is there again. */
			log_event(service->env, LOG_ERROR, "no_memory_for_mail",
				LOG_NUMBER("messages", service->message_count));
			error = task_sleep(loop, loop_deadline(loop, INTAKE_RETRY_US));
			continue;
		}
		if (committed) {
			handoff_free(&service->writer.committed);
			if (++taken % INTAKE_A_TURN == 0)
				task_yield(loop);
			continue;
		}
		report_troubles(service);
		error = task_event_wait(loop, &service->intake, MONO_NEVER);
	}
}

/* May wait, towards the writer alone. */
static void
take_due(struct queue_service *service, struct schedule_entry *entry)
{
	struct due *due = schedule_owner(entry, struct due, entry);

	switch (due->kind) {
	case DUE_MESSAGE:
		message_route(service, list_entry(due, struct queued, due));
		return;
	case DUE_PART:
		part_is_due(service, list_entry(due, struct part, due));
		return;
	case DUE_CARRIER:
		carrier_has_work(list_entry(due, struct carrier, wake));
		return;
	case DUE_REPORT:
		outcomes_are_due(service, list_entry(due, struct outcomes, due));
		return;
	case DUE_DIGEST:
		digest_is_due(service);
		return;
	case DUE_LATE:
		late_is_due(service);
		return;
	}
}

/* One at a time: what waits for the writer may end others that are due. */
static void
dispatch_run(void *arg)
{
	struct queue_service *service = arg;
	struct loop *loop = service->env->loop;
	struct schedule_entry *due;
	enum error error = OK;
	unsigned taken = 0;

	while ((error == OK || error == ERROR_TIMEOUT) && !service->stopping) {
		wall_us now = env_wall(service->env);
		if (schedule_take_due(&service->due, now, &due, 1) == 1) {
			take_due(service, due);
			if (++taken % QUEUE_DISPATCH_A_TURN == 0)
				task_yield(loop);
			error = task_is_cancelled(loop) ? ERROR_CANCELLED : OK;
			continue;
		}
		wall_us next = schedule_next_due(&service->due);
		error = task_event_wait(loop, &service->due_changed,
			next == INT64_MAX ? MONO_NEVER
					  : loop_deadline(loop, next > now ? next - now : 1));
	}
}

static void
results_run(void *arg)
{
	struct queue_service *service = arg;
	struct loop *loop = service->env->loop;
	enum error error = OK;

	while (error == OK) {
		error = task_event_wait(loop, &service->result_put, MONO_NEVER);
		if (error == OK)
			error = task_sleep(loop, loop_deadline(loop, RESULTS_WAIT_US));
		writer_store_results(&service->writer);
	}
}

static enum error
recovered_message(void *arg, const struct spool_message *message)
{
	struct queue_service *service = arg;
	struct queued queued = {
		.due = {.kind = DUE_MESSAGE},
		.message = message->message,
		.content = message->content,
		.next_attempt_at = message->next_attempt_at,
		.attempts = message->attempts,
		.held = message->held || message->damaged,
		.damaged = message->damaged,
		.has_failed = message->failed,
		.late_is_told = message->delay_told,
	};
	struct queued *added;
	struct slice reason = message->damaged
				      ? SLICE("damaged in the spool: see spool_damage in the log")
				      : message->reason;
	enum error error = table_add(service, &queued, &added);

	if (error == OK && reason.len > 0)
		queued_keep_reply(service, added, 0, reason); /* the text says it */
	for (uint32_t i = 0; error == OK && i < message->done_count; i++)
		error = queued_add_done(service, added, message->done_recipients[i]);
	if (error == OK && !queued.held)
		due_set(service, &added->due, message->next_attempt_at);
	return error;
}

static void
recovered_damage(void *arg, const char *file, uint64_t offset, const char *what)
{
	struct queue_service *service = arg;

	log_event(service->env, LOG_ERROR, "spool_damage", LOG_STRING("file", file),
		LOG_NUMBER("offset", offset), LOG_STRING("what", what));
}

/* May wait. */
static enum error
open_spool(struct queue_service *service)
{
	struct env *env = service->env;
	struct spool_options options = {
		.segment_bytes = service->conf->spool_segment,
		.journal_bytes = JOURNAL_BYTES,
		.fill_bytes_per_s = FILL_BYTES_PER_S,
		.spare_segments = 1,
		.sparse_segments = SPARSE_SEGMENTS,
	};
	struct spool_visitor visitor = {recovered_message, recovered_damage, service};
	mono_us started = env_monotonic(env);
	mono_us deadline = loop_deadline(env->loop, LOCK_WAIT_US);
	enum error error = spool_open(
		&service->writer.env, service->spool_fd, &options, &visitor, &service->spool);

	/* A predecessor that was killed holds the lock until its last disk call returns. */
	while (error == ERROR_EXISTS && loop_now(env->loop) < deadline) {
		if (task_sleep(env->loop, loop_deadline(env->loop, LOCK_RETRY_US)) != OK)
			break;
		error = spool_open(&service->writer.env, service->spool_fd, &options, &visitor,
			&service->spool);
	}
	if (error != OK) {
		log_event(env, LOG_ERROR, "spool_unusable", LOG_STRING("error", error_text(error)),
			LOG_STRING("hint",
				error == ERROR_EXISTS ? "another veredus uses this spool"
				: error == ERROR_NO_SPACE
					? "it is tried again when there is space; until then "
					  "nothing is taken or delivered"
					: "see docs/spool.md"));
		return error;
	}
	log_event(env, LOG_INFO, "spool_open", LOG_NUMBER("messages", service->message_count),
		LOG_NUMBER("ms", (env_monotonic(env) - started) / US_PER_MS));
	return OK;
}

/* With the spool open. */
static enum error
start_work(struct queue_service *service)
{
	struct loop *loop = service->env->loop;

	writer_watch_space(&service->writer, service->spool_fd, service->conf->spool_reserve,
		service->conf->spool_segment);
	enum error error = watch_open(&service->wake, loop, service->wake_fd, POLL_READABLE);
	if (error == OK)
		error = writer_start(&service->writer, service->spool);
	if (error == OK)
		error = task_start(&service->tasks, "intake", intake_run, service);
	if (error == OK)
		error = task_start(&service->tasks, "dispatch", dispatch_run, service);
	if (error == OK)
		error = task_start(&service->tasks, "results", results_run, service);
	if (error == OK)
		error = task_start(&service->tasks, "reports", reports_run, service);
	return error;
}

/*
 * May wait. The disk was too full for recovery to write a new journal. Recovery reads all of the
 * spool, so it is not tried again before there is room for that.
 */
static void
await_space_run(void *arg)
{
	struct queue_service *service = arg;
	struct env *env = service->env;
	int64_t wait_us = OPEN_RETRY_US;

	for (;;) {
		if (task_sleep(env->loop, loop_deadline(env->loop, wait_us)) != OK)
			return;
		if (env->disk->free_bytes(env->world, service->spool_fd) < (int64_t)JOURNAL_BYTES)
			continue;
		enum error error = open_spool(service);
		if (error == OK && start_work(service) != OK)
			abort(); /* no memory for a handful of tasks: root starts another queue */
		if (error == OK)
			return;
		/* A quota, for one, is not in the number of free bytes. */
		wait_us = wait_us < OPEN_RETRY_MAX_US ? wait_us * 2 : OPEN_RETRY_MAX_US;
	}
}

enum error
queue_service_go(struct queue_service *service)
{
	if (service->spool_fd < 0)
		return ERROR_NOT_FOUND;
	enum error error = pauses_load(service);
	if (error != OK)
		return error;
	error = open_spool(service);
	if (error == OK)
		return start_work(service);
	if (error != ERROR_NO_SPACE)
		return error;
	/* The server runs, says 452 and looks for space, so that nobody has to start it again. */
	writer_watch_space(&service->writer, service->spool_fd, service->conf->spool_reserve,
		service->conf->spool_segment);
	writer_miss_space(&service->writer);
	return task_start(&service->tasks, "await space", await_space_run, service);
}

void
queue_service_stop(struct queue_service *service, int64_t grace_us)
{
	struct loop *loop = service->env->loop;
	mono_us deadline = loop_deadline(loop, grace_us);

	service->stopping = true;
	task_event_signal(&service->due_changed);
	task_event_signal(&service->attempt_ended);
	while (service->attempts.used > 0)
		if (task_event_wait(loop, &service->attempt_ended, deadline) != OK)
			break;
	task_group_cancel(&service->tasks);
	task_group_wait(&service->tasks);
	writer_stop(&service->writer);
}

void
queue_service_free(struct queue_service **service_pointer)
{
	struct queue_service *service = *service_pointer;

	if (!service)
		return;
	struct env *env = service->env;
	loop_remove_hook(&service->hook);
	reports_done(service);
	table_free(service);
	lanes_free(service);
	pauses_free(service);
	schedule_queue_done(&service->due);
	route_table_done(&service->routes);
	if (service->relays)
		carrier_free(service->relays);
	arena_done(&service->arena);
	segment_cache_close(service);
	spool_close(&service->spool);
	writer_done(&service->writer);
	memory_free(&service->spool_env.memory);
	if (service->spool_fd >= 0)
		env->disk->close(env->world, service->spool_fd);
	watch_close(&service->wake);
	env->net->close(env->world, service->wake_fd);
	memory_put(env->memory, service->attempts.slots);
	memory_put(env->memory, service->route_entries);
	memory_put(env->memory, service);
	*service_pointer = NULL;
}
