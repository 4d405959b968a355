/*
 * Questions come in as calls and go to libunbound, which works in a thread of its own and tells
 * through a descriptor when answers are there. What leaves here is the DNS message itself, which
 * each asker parses with code of ours, and whether it is secure.
 */
#include "resolver/resolver.h"
#include "base/log_record.h"
#include "dns/stub.h"
#include "ipc/answerer.h"
#include "task/offload.h"

#include <errno.h>
#include <unbound.h>

#define PACKET_MAX     61440 /* it travels in a message */
#define CLASS_IN       1
#define LINE_MAX_BYTES 4096

struct resolver_service {
	struct env *env;
	const struct conf *conf;
	const struct resolver_root_ops *root;
	void *root_arg;
	struct ub_ctx *context;
	struct answerer answerer;
	struct watch watch;
	bool is_watched;
	struct task_group tasks;
};

/* libunbound's borders are strings. */
static char *
text_of(struct slice slice, char storage[LINE_MAX_BYTES])
{
	if (slice.len >= LINE_MAX_BYTES || slice_find(slice, 0, 0) >= 0)
		return NULL;
	memcpy(storage, slice.ptr, slice.len);
	storage[slice.len] = 0;
	return storage;
}

static bool
unbound_failed(struct resolver_service *service, const char *what, int code)
{
	if (code == 0)
		return false;
	log_event(service->env, LOG_ERROR, "resolver_unusable", LOG_STRING("step", what),
		LOG_STRING("error", ub_strerror(code)));
	return true;
}

/* "127.0.0.1@5300" */
static bool
add_server(struct resolver_service *service, const struct endpoint *server)
{
	char storage[128];
	struct buffer text;

	buffer_init_fixed(&text, storage, sizeof storage);
	endpoint_append_address(&text, server);
	buffer_printf(&text, "@%u", endpoint_port(server));
	return !unbound_failed(
		service, "server", ub_ctx_set_fwd(service->context, buffer_text(&text)));
}

/* The servers of the configuration, else those of resolv.conf; without any libunbound starts at the
 * roots. */
static bool
add_servers(struct resolver_service *service, struct slice resolv_conf)
{
	const struct conf_dns *dns = &service->conf->dns;
	struct dns_stub system = {0};
	struct endpoint server;
	bool fine = true;

	for (size_t i = 0; fine && i < dns->server_count; i++)
		fine = endpoint_parse(dns->servers[i], &server) == OK &&
		       add_server(service, &server);
	if (dns->server_count > 0)
		return fine;
	dns_stub_read_conf(&system, resolv_conf);
	for (size_t i = 0; fine && i < system.server_count; i++)
		fine = add_server(service, &system.servers[i]);
	return fine;
}

static struct slice
take_line(struct slice *rest)
{
	ssize_t end = slice_find(*rest, 0, '\n');
	struct slice line = end < 0 ? *rest : slice_sub(*rest, 0, (size_t)end);

	*rest = slice_from(*rest, line.len + 1);
	return slice_trim(line);
}

/* Records DS or DNSKEY, a line each; ";" begins a comment. */
static bool
add_trust_anchors(struct resolver_service *service, struct slice text)
{
	char *storage = memory_get(service->env->memory, LINE_MAX_BYTES);
	bool fine = true;

	while (fine && text.len > 0) {
		struct slice line = take_line(&text);
		if (line.len == 0 || line.ptr[0] == ';')
			continue;
		char *record = text_of(line, storage);
		fine = record && !unbound_failed(service, "trust_anchor",
					 ub_ctx_add_ta(service->context, record));
	}
	memory_put(service->env->memory, storage);
	return fine;
}

/*
 * A server on loopback may be asked. What libunbound answers by itself is for the servers to say:
 * they are configured for closed networks and for tests, whose names and addresses are in these
 * zones.
 */
static bool
set_options(struct resolver_service *service)
{
	static const char *const options[][2] = {{"do-not-query-localhost:", "no"},
		{"unblock-lan-zones:", "yes"}, {"insecure-lan-zones:", "yes"},
		{"use-syslog:", "no"}, {"edns-buffer-size:", "1232"}};

	for (size_t i = 0; i < sizeof options / sizeof *options; i++)
		if (unbound_failed(service, options[i][0],
			    ub_ctx_set_option(service->context, options[i][0], options[i][1])))
			return false;
	return !unbound_failed(service, "thread", ub_ctx_async(service->context, 1));
}

static void
answer_failure(struct question *question, const char *reason)
{
	struct ipc_message answer = {.kind = IPC_DNS_ANSWER,
		.dns_answer = {.failure = slice_sub(slice_text(reason), 0, IPC_TEXT_MAX)}};

	question_answer(question, &answer);
}

/* Called by ub_process, on the loop. */
static void
answered(void *arg, int code, struct ub_result *result)
{
	struct question *question = arg;

	if (code != 0)
		answer_failure(question, ub_strerror(code));
	else if (result->bogus)
		answer_failure(question,
			result->why_bogus ? result->why_bogus : "the signatures do not hold");
	else if (result->answer_len <= 0 || result->answer_len > PACKET_MAX)
		answer_failure(question, result->answer_len > 0 ? "the DNS answer is too large"
								: "the DNS servers gave no answer");
	else {
		struct ipc_message answer = {.kind = IPC_DNS_ANSWER,
			.dns_answer = {.secure = result->secure != 0,
				.packet = slice_of(
					result->answer_packet, (size_t)result->answer_len)}};
		question_answer(question, &answer);
	}
	ub_resolve_free(result);
}

static void
take_question(void *arg, struct question *question)
{
	struct resolver_service *service = arg;
	const struct ipc_dns_ask *ask = &question_message(question)->dns_ask;
	char name[256];

	if (ask->name.len >= sizeof name || slice_find(ask->name, 0, 0) >= 0) {
		question_refuse(question, SLICE("this can be no name"));
		return;
	}
	if (ask->name.len > 0)
		memcpy(name, ask->name.ptr, ask->name.len);
	name[ask->name.len] = 0;
	int code = ub_resolve_async(service->context, ask->name.len > 0 ? name : ".",
		(int)ask->type, CLASS_IN, question, answered, NULL);
	if (code != 0)
		answer_failure(question, ub_strerror(code));
}

static void
asker_broken(void *arg, uint32_t instance, enum error error)
{
	struct resolver_service *service = arg;

	log_event(service->env, LOG_ERROR, "resolver_asker_broken",
		LOG_NUMBER("instance", instance), LOG_STRING("error", error_text(error)));
	service->root->broken(service->root_arg, instance);
}

static const struct answerer_ops answerer_ops = {take_question, asker_broken, false};

struct finalisation {
	struct ub_ctx *context;
	bool asks_servers;
	int code;
};

/* Both make libunbound read its settings. What is asked of servers that somebody named is for them
 * to say, names below "test." too. */
static void
finalise_body(struct env *env, void *data)
{
	struct finalisation *finalisation = data;

	(void)env;
	finalisation->code = finalisation->asks_servers
				     ? ub_ctx_zone_remove(finalisation->context, "test.")
				     : ub_ctx_zone_add(finalisation->context, "onion.", "static");
}

/* May wait. Last, since libunbound takes no settings afterwards; and on a thread, since it takes
 * 200 KB of stack. */
static bool
finalise(struct resolver_service *service)
{
	struct offload *job = offload_new(service->env, finalise_body, sizeof(struct finalisation));
	struct finalisation *finalisation = offload_data(job);

	*finalisation =
		(struct finalisation){service->context, service->conf->dns.server_count > 0, 0};
	enum error error = offload_run(job, MONO_NEVER);
	bool fine = error == OK && !unbound_failed(service, "settings", finalisation->code);
	offload_free(&job);
	return fine;
}

struct resolver_service *
resolver_service_new(struct env *env, const struct conf *conf, struct slice resolv_conf,
	struct slice trust_anchors, const struct resolver_root_ops *root, void *root_arg)
{
	struct resolver_service *service = memory_get(env->memory, sizeof *service);

	service->env = env;
	service->conf = conf;
	service->root = root;
	service->root_arg = root_arg;
	task_group_init(&service->tasks, env->loop);
	answerer_init(&service->answerer, env, ROLE_RESOLVER, RESOLVER_QUESTIONS_MAX, &answerer_ops,
		service);
	service->context = ub_ctx_create();
	if (service->context && set_options(service) && add_servers(service, resolv_conf) &&
		add_trust_anchors(service, trust_anchors)) {
		if (finalise(service))
			return service;
	}
	resolver_service_free(&service);
	return NULL;
}

void
resolver_service_add(struct resolver_service *service, enum role role, uint32_t worker,
	uint32_t instance, int channel_fd)
{
	enum error error = answerer_add(&service->answerer, role, worker, instance, channel_fd);

	if (error != OK)
		asker_broken(service, instance, error);
}

static void
answers_run(void *arg)
{
	struct resolver_service *service = arg;
	enum error error = OK;

	while (error == OK) {
		if (unbound_failed(service, "answers", ub_process(service->context)))
			return;
		error = watch_wait(&service->watch, POLL_READABLE, MONO_NEVER);
	}
}

enum error
resolver_service_go(struct resolver_service *service)
{
	enum error error = watch_open(
		&service->watch, service->env->loop, ub_fd(service->context), POLL_READABLE);

	service->is_watched = error == OK;
	return error == OK ? task_start(&service->tasks, "dns answers", answers_run, service)
			   : error;
}

void
resolver_service_stop(struct resolver_service *service)
{
	task_group_cancel(&service->tasks);
	task_group_wait(&service->tasks);
	answerer_done(&service->answerer);
}

void
resolver_service_free(struct resolver_service **service_pointer)
{
	struct resolver_service *service = *service_pointer;

	if (!service)
		return;
	if (service->is_watched)
		watch_close(&service->watch);
	if (service->context)
		ub_ctx_delete(service->context);
	memory_put(service->env->memory, service);
	*service_pointer = NULL;
}
