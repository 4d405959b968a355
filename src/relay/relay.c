/*
 * A line is the channel to one queue process: a task reads it and starts a task for each attempt;
 * results go into the line's outbox, from which another task sends as many at a time as fit. A
 * segment's descriptor is kept as long as an attempt reads from it (QUEUE's rule C5: an attempt
 * under way is the lease).
 */
#include "relay/relay.h"
#include "base/log_record.h"
#include "ipc/channel.h"
#include "ipc/envelope.h"
#include "ipc/queue_id.h"
#include "relay/attempt.h"
#include "relay/own.h"

#define ATTEMPT_ARENA_BYTES (2u << 20)
#define ANSWER_US           (30 * US_PER_S)
#define DNS_US              (30 * US_PER_S)
#define QUIT_US             (5 * US_PER_S)

struct relay_segment {
	struct list link;
	uint32_t segment, generation;
	int fd;
	unsigned readers; /* attempts under way */
	bool gone;        /* no further attempt will refer to it */
};

struct relay_line {
	struct list link;
	struct relay_service *service;
	struct channel channel;
	struct list segments;
	struct list outbox; /* attempts with results */
	struct task_event answered;
	struct task_group attempts;
	struct task_group sender;
};

/* An attempt in a task of its own; all that it holds lies in its arena, which begins with it. */
struct relay_job {
	struct list link; /* outbox */
	struct relay_line *line;
	struct relay_segment *segment; /* NULL: the content came along, in `memory_fd` */
	int memory_fd;
	uint64_t id;
	bool is_own; /* made here */
	struct arena arena;
	struct relay_attempt attempt;
};

struct relay_service {
	struct env *env;
	const struct conf *conf;
	const struct dns_source *dns;
	struct caller *keys;
	struct smtp_client_settings settings;
	struct tls_context *tls;
	struct relay_pool *pool;
	struct relay_logins *logins;
	struct list lines;
	struct task_group tasks;
};

static void
segment_close(struct relay_line *line, struct relay_segment *segment)
{
	struct env *env = line->service->env;

	env->disk->close(env->world, segment->fd);
	list_remove(&segment->link);
	memory_put(env->memory, segment);
}

static void
segment_release(struct relay_line *line, struct relay_segment *segment)
{
	segment->readers--;
	if (segment->gone && segment->readers == 0)
		segment_close(line, segment);
}

static struct relay_segment *
find_segment(const struct relay_line *line, uint32_t number, uint32_t generation)
{
	list_for_each (link, &line->segments) {
		struct relay_segment *segment = list_entry(link, struct relay_segment, link);
		if (segment->segment == number && segment->generation == generation &&
			!segment->gone)
			return segment;
	}
	return NULL;
}

static void
line_add_segment(struct relay_line *line, const struct ipc_message *message)
{
	struct relay_segment *segment = memory_get(line->service->env->memory, sizeof *segment);

	segment->segment = message->segment.segment;
	segment->generation = message->segment.generation;
	segment->fd = message->fds[0];
	list_append(&line->segments, &segment->link);
}

static void
line_drop_segment(struct relay_line *line, const struct ipc_segment_gone *gone)
{
	struct relay_segment *segment = find_segment(line, gone->segment, gone->generation);

	if (!segment)
		return;
	segment->gone = true;
	if (segment->readers == 0)
		segment_close(line, segment);
}

static void
job_free(struct relay_job *job)
{
	struct relay_line *line = job->line;
	struct env *env = line->service->env;

	if (job->segment)
		segment_release(line, job->segment);
	if (job->memory_fd >= 0)
		env->disk->close(env->world, job->memory_fd);
	arena_done(&job->arena);
	memory_put(env->memory, job);
}

/* Two lines a try at most: this one, and the queue's word on what follows from it. */
static void
log_results(const struct relay_job *job, mono_us started)
{
	struct env *env = job->line->service->env;
	char id[QUEUE_ID_DIGITS + 1];
	unsigned counts[DELIVER_OUTCOMES] = {0};
	static const char *const levels[TLS_STATES] = {
		[TLS_NONE] = "none", [TLS_UNVERIFIED] = "unverified", [TLS_VERIFIED] = "verified"};
	const struct delivery_result *last = &job->attempt.results[0];

	for (size_t i = 0; i < job->attempt.count; i++) {
		counts[job->attempt.results[i].outcome]++;
		if (job->attempt.results[i].outcome != DELIVER_DELIVERED)
			last = &job->attempt.results[i];
	}
	queue_id_print(job->id, id);
	log_event(env, LOG_INFO, "relayed", LOG_STRING("id", id),
		LOG_SLICE("destination", job->attempt.way.name), LOG_SLICE("remote", last->remote),
		LOG_NUMBER("accepted", counts[DELIVER_DELIVERED]),
		LOG_NUMBER("deferred", counts[DELIVER_TEMPORARY]),
		LOG_NUMBER("failed", counts[DELIVER_PERMANENT]), LOG_SLICE("reply", last->text),
		LOG_STRING("tls", levels[last->tls]),
		LOG_NUMBER("connecting_ms", last->connecting_ms),
		LOG_NUMBER("sending_ms", last->sending_ms),
		LOG_NUMBER("ms", (env_monotonic(env) - started) / US_PER_MS));
}

static void
job_run(void *arg)
{
	struct relay_job *job = arg;
	struct relay_service *service = job->line->service;
	mono_us started = env_monotonic(service->env);

	if (job->is_own) {
		own_sign(&job->attempt, service->conf, service->keys, job->id);
		/* The time for `keys` is none that the DNS has less of. */
		job->attempt.way.deadline = loop_deadline(service->env->loop, DNS_US);
	}
	relay_attempt_run(&job->attempt);
	log_results(job, started);
	list_append(&job->line->outbox, &job->link);
	task_event_signal(&job->line->answered);
}

/* The route that the queue chose, as this configuration has it. */
static const struct conf_route *
find_route(const struct relay_service *service, struct slice name)
{
	for (size_t i = 0; i < service->conf->route_count; i++)
		if (slice_equal(service->conf->routes[i].name, name))
			return &service->conf->routes[i];
	return NULL;
}

/* What differs makes another connection: transport, destination, route. */
static bool
make_key(struct relay_job *job, const struct ipc_deliver *m)
{
	struct relay_attempt *attempt = &job->attempt;
	size_t size = m->name.len + m->template.len + 3;
	uint8_t *storage = arena_take(&job->arena, size);
	struct buffer key;

	if (!storage)
		return false;
	buffer_init_fixed(&key, storage, size);
	buffer_append_octet(&key, (uint8_t)('0' + m->transport));
	buffer_append(&key, m->name);
	buffer_append_octet(&key, ' ');
	buffer_append(&key, m->template);
	attempt->key = buffer_slice(&key);
	return true;
}

static void
set_way(struct relay_job *job, const struct conf_route *route)
{
	struct relay_service *service = job->line->service;
	struct way_request *way = &job->attempt.way;
	static const enum way_family families[] = {[CONF_FAMILY_ANY] = WAY_ANY_FAMILY,
		[CONF_FAMILY_IPV4] = WAY_IPV4,
		[CONF_FAMILY_IPV6] = WAY_IPV6};

	static const enum relay_tls tls[] = {[0] = RELAY_TLS_IF_OFFERED,
		[CONF_ROUTE_TLS_IF_OFFERED] = RELAY_TLS_IF_OFFERED,
		[CONF_ROUTE_TLS_OFF] = RELAY_TLS_OFF,
		[CONF_ROUTE_TLS_REQUIRED] = RELAY_TLS_REQUIRED,
		[CONF_ROUTE_TLS_VERIFIED] = RELAY_TLS_VERIFIED};

	way->port = CONF_PORT_SMTP;
	way->own_name = service->conf->hostname;
	way->dns = service->dns;
	way->deadline = loop_deadline(service->env->loop, DNS_US);
	if (!route)
		return;
	way->port = conf_route_port(route);
	job->attempt.tls = tls[route->tls];
	job->attempt.is_implicit = route->tls_start == CONF_TLS_START_IMPLICIT;
	if (job->attempt.is_implicit && route->tls == 0)
		job->attempt.tls = RELAY_TLS_REQUIRED;
	job->attempt.login =
		(struct relay_login){service->logins, route->login, route->password_file};
	way->allows_private = route->allow == CONF_ALLOW_PRIVATE;
	way->family = families[route->family];
}

/* Who has no folder here is told in the header: the next server, or its user, may sort by it. */
static bool
copy_trace(struct arena *arena, const struct ipc_deliver *m, struct slice *ret_trace)
{
	struct slice mark = m->is_junk ? SLICE("X-Veredus-Junk: yes\r\n") : SLICE("");
	uint8_t *trace = arena_take(arena, mark.len + m->trace.len + 1);

	if (!trace)
		return false;
	memcpy(trace, mark.ptr, mark.len);
	if (m->trace.len > 0)
		memcpy(trace + mark.len, m->trace.ptr, m->trace.len);
	*ret_trace = slice_of(trace, mark.len + m->trace.len);
	return true;
}

/* Copies what the message says into the job's arena. */
static enum error
fill_job(struct relay_job *job, const struct ipc_deliver *m)
{
	struct relay_attempt *attempt = &job->attempt;
	struct arena *arena = &job->arena;
	struct slice list;
	struct delivery_recipient *recipients =
		arena_take(arena, DELIVERY_RECIPIENTS_MAX * sizeof *recipients);
	struct delivery_wish *wishes = arena_take(arena, DELIVERY_RECIPIENTS_MAX * sizeof *wishes);
	uint32_t count;

	if (!recipients || !wishes || !make_key(job, m) ||
		!arena_copy(arena, m->recipients, &list) ||
		!arena_copy(arena, m->name, &attempt->way.name) ||
		!arena_copy(arena, m->reverse_path, &attempt->reverse_path) ||
		!arena_copy(arena, m->envelope_id, &attempt->envelope_id) ||
		!copy_trace(arena, m, &attempt->trace))
		return ERROR_NO_MEMORY;
	enum error error = delivery_recipients_decode(list, recipients, &count);
	if (error == OK)
		error = delivery_wishes_decode(list, wishes);
	if (error != OK)
		return error;
	attempt->returns = m->returns == RETURNS_FULL      ? SLICE("FULL")
			   : m->returns == RETURNS_HEADERS ? SLICE("HDRS")
							   : SLICE("");
	attempt->recipients = recipients;
	attempt->wishes = wishes;
	attempt->count = count;
	attempt->results = arena_take(arena, count * sizeof *attempt->results);
	if (!attempt->results)
		return ERROR_NO_MEMORY;
	for (uint32_t i = 0; i < count; i++) {
		attempt->results[i].attempt = m->attempt;
		attempt->results[i].recipient = recipients[i].number;
	}
	return OK;
}

static struct relay_job *
job_new(struct relay_line *line, const struct ipc_deliver *m)
{
	struct relay_service *service = line->service;
	struct relay_job *job = memory_get(service->env->memory, sizeof *job);

	job->line = line;
	job->memory_fd = -1;
	job->id = m->queue_id;
	job->is_own = m->is_own;
	list_init(&job->link);
	arena_init(&job->arena, service->env->memory, ATTEMPT_ARENA_BYTES);
	job->attempt = (struct relay_attempt){.env = service->env,
		.pool = service->pool,
		.arena = &job->arena,
		.way = {.transport = m->transport},
		.content = {.fd = -1,
			.offset = m->offset,
			.size = m->size,
			.sum = m->sum,
			.is_8bit =
				(m->content_flags & CONTENT_8BIT) != 0 || m->body == BODY_8BITMIME,
			.is_smtputf8 = (m->content_flags & CONTENT_SMTPUTF8) != 0 &&
				       (m->content_flags & CONTENT_8BIT_HEADER) != 0}};
	set_way(job, find_route(service, m->template));
	return job;
}

/* The descriptor of the content; false when it is not there. */
static bool
take_content(struct relay_job *job, struct ipc_message *message)
{
	const struct ipc_deliver *m = &message->deliver;
	struct relay_line *line = job->line;

	if (m->source == SOURCE_MEMORY) {
		job->memory_fd = message->fds[0];
		job->attempt.content.fd = job->memory_fd;
		message->fd_count = 0;
		return true;
	}
	job->segment = find_segment(line, m->segment, m->generation);
	if (!job->segment)
		return false;
	job->segment->readers++;
	job->attempt.content.fd = job->segment->fd;
	return true;
}

/* What cannot even be tried is answered at once. */
static void
job_refuse(struct relay_job *job, const char *text)
{
	for (size_t i = 0; i < job->attempt.count; i++) {
		job->attempt.results[i].outcome = DELIVER_TEMPORARY;
		job->attempt.results[i].status = STATUS(4, 3, 0);
		job->attempt.results[i].text = slice_text(text);
	}
	list_append(&job->line->outbox, &job->link);
	task_event_signal(&job->line->answered);
}

static enum error
line_take_deliver(struct relay_line *line, struct ipc_message *message)
{
	struct env *env = line->service->env;
	struct relay_job *job;

	if (message->fd_count != (message->deliver.source == SOURCE_MEMORY)) {
		ipc_close_fds(env, message);
		return ERROR_FORMAT;
	}
	job = job_new(line, &message->deliver);
	enum error error = fill_job(job, &message->deliver);
	if (error != OK) {
		/* Without the list of recipients nothing can be answered. */
		job_free(job);
		ipc_close_fds(env, message);
		return error;
	}
	if (!take_content(job, message))
		job_refuse(job, "the spool segment is not there");
	else if (task_start(&line->attempts, "relay", job_run, job) != OK)
		job_refuse(job, "out of memory");
	return OK;
}

static enum error
line_take(struct relay_line *line, struct ipc_message *message)
{
	switch (message->kind) {
	case IPC_SEGMENT:
		line_add_segment(line, message);
		return OK;
	case IPC_SEGMENT_GONE:
		line_drop_segment(line, &message->segment_gone);
		return OK;
	case IPC_DELIVER:
		return line_take_deliver(line, message);
	default:
		ipc_close_fds(line->service->env, message);
		return ERROR_FORMAT;
	}
}

/* As many results of the outbox as fit one message. What does not is for the next: a job stays in
 * the outbox until its last result is in. */
static void
pack_results(struct relay_line *line, struct buffer *results)
{
	while (!list_is_empty(&line->outbox)) {
		struct relay_job *job = list_entry(line->outbox.next, struct relay_job, link);
		struct relay_attempt *attempt = &job->attempt;
		while (attempt->count > 0) {
			if (delivery_result_append(results, &attempt->results[0]) != OK)
				return;
			attempt->results++;
			attempt->count--;
		}
		list_remove(&job->link);
		job_free(job);
	}
}

static void
sender_run(void *arg)
{
	struct relay_line *line = arg;
	struct env *env = line->service->env;
	struct buffer results;
	enum error error = OK;

	buffer_init(&results, env->memory, DELIVERY_RESULTS_BYTES);
	while (error == OK) {
		pack_results(line, &results);
		if (results.len == 0) {
			error = task_event_wait(env->loop, &line->answered, MONO_NEVER);
			continue;
		}
		struct ipc_message message = {
			.kind = IPC_RESULT, .result = {.results = buffer_slice(&results)}};
		error = channel_send(&line->channel, &message, loop_deadline(env->loop, ANSWER_US));
		buffer_clear(&results);
	}
	buffer_done(&results);
}

static void
line_free(struct relay_line *line)
{
	struct env *env = line->service->env;
	struct list *link;

	while ((link = list_take(&line->outbox)) != NULL)
		job_free(list_entry(link, struct relay_job, link));
	list_for_each_safe (segment, next, &line->segments)
		segment_close(line, list_entry(segment, struct relay_segment, link));
	channel_close(&line->channel);
	list_remove(&line->link);
	memory_put(env->memory, line);
}

static void
line_run(void *arg)
{
	struct relay_line *line = arg;
	struct env *env = line->service->env;
	struct ipc_message message;
	enum error error = task_start(&line->sender, "relay results", sender_run, line);

	while (error == OK && (error = channel_receive(&line->channel, MONO_NEVER, &message)) == OK)
		error = line_take(line, &message);
	if (error != ERROR_CLOSED && error != ERROR_CANCELLED)
		log_event(env, LOG_ERROR, "relay_channel_broken",
			LOG_STRING("error", error_text(error)));
	task_group_cancel(&line->attempts);
	task_group_wait(&line->attempts);
	task_group_cancel(&line->sender);
	task_group_wait(&line->sender);
	line_free(line);
}

struct relay_service *
relay_service_new(
	struct env *env, const struct conf *conf, const struct dns_source *dns, struct caller *keys)
{
	struct relay_service *service = memory_get(env->memory, sizeof *service);
	struct tls_client_settings tls = {.strict = false};

	service->env = env;
	service->conf = conf;
	service->dns = dns;
	service->keys = keys;
	smtp_client_settings_init(&service->settings, conf->hostname);
	service->settings.quit_timeout_us = QUIT_US;
	service->tls = tls_client_new(env, &tls);
	service->pool = relay_pool_new(env, &service->settings, service->tls);
	service->logins = relay_logins_new(env);
	list_init(&service->lines);
	task_group_init(&service->tasks, env->loop);
	return service;
}

enum error
relay_service_trust(struct relay_service *service, struct slice pem)
{
	return service->tls ? tls_client_trust(service->tls, pem) : ERROR_NO_MEMORY;
}

void
relay_service_set_password(struct relay_service *service, struct slice path, int fd)
{
	relay_logins_set(service->logins, path, fd);
}

void
relay_service_set_queue(struct relay_service *service, int channel_fd)
{
	struct env *env = service->env;
	struct relay_line *line = memory_get(env->memory, sizeof *line);

	line->service = service;
	list_init(&line->segments);
	list_init(&line->outbox);
	task_event_init(&line->answered);
	task_group_init(&line->attempts, env->loop);
	task_group_init(&line->sender, env->loop);
	list_append(&service->lines, &line->link);
	enum error error =
		channel_open(&line->channel, env->loop, channel_fd, ROLE_RELAY, ROLE_QUEUE);
	if (error == OK)
		error = task_start(&service->tasks, "relay line", line_run, line);
	if (error != OK) {
		log_event(env, LOG_ERROR, "relay_channel_broken",
			LOG_STRING("error", error_text(error)));
		line_free(line);
	}
}

/* May wait. Until nothing is under way, or the deadline. */
static void
await_attempts(struct relay_service *service, mono_us deadline)
{
	struct loop *loop = service->env->loop;
	bool is_busy = true;

	while (is_busy && loop_now(loop) < deadline) {
		is_busy = false;
		list_for_each (link, &service->lines) {
			struct relay_line *line = list_entry(link, struct relay_line, link);
			is_busy |= !task_group_is_empty(&line->attempts) ||
				   !list_is_empty(&line->outbox);
		}
		if (is_busy && task_sleep(loop, loop_deadline(loop, 10 * US_PER_MS)) != OK)
			return;
	}
}

void
relay_service_stop(struct relay_service *service, int64_t grace_us)
{
	await_attempts(service, loop_deadline(service->env->loop, grace_us));
	task_group_cancel(&service->tasks);
	task_group_wait(&service->tasks);
}

void
relay_service_free(struct relay_service **service_pointer)
{
	struct relay_service *service = *service_pointer;

	if (!service)
		return;
	relay_pool_free(&service->pool);
	tls_context_free(&service->tls);
	relay_logins_free(&service->logins);
	memory_put(service->env->memory, service);
	*service_pointer = NULL;
}
