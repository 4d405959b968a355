/* relay: the channel to queue, the calls to the resolver and to keys, the passwords of routes. */
#include "base/log_record.h"
#include "dns/client.h"
#include "proc/child.h"
#include "relay/relay.h"
#include "tls/key.h"

#include <errno.h>
#include <fcntl.h>

#define SYSTEM_TRUST "/etc/ssl/certs/ca-certificates.crt"
#define TRUST_MAX    (16u << 20)
#define SIGNING_MAX  1024 /* questions to keys at once */

struct relay_role {
	struct env *env;
	struct channel *root;
	struct dns_client dns;
	struct dns_source source;
	struct caller keys;
	struct relay_service *service;
};

static void
ask_for_end(struct relay_role *role, uint32_t instance)
{
	struct ipc_message message = {.kind = IPC_BROKEN, .broken = {.instance = instance}};

	if (channel_try_send(role->root, &message) != OK)
		log_event(role->env, LOG_ERROR, "root_not_told", LOG_NUMBER("instance", instance));
}

static void
resolver_broken(void *arg, uint32_t instance, enum error error)
{
	struct relay_role *role = arg;

	log_event(role->env, LOG_ERROR, "resolver_broken", LOG_STRING("error", error_text(error)));
	ask_for_end(role, instance);
}

static void
keys_broken(void *arg, uint32_t instance, enum error error)
{
	struct relay_role *role = arg;

	log_event(role->env, LOG_ERROR, "keys_broken", LOG_STRING("error", error_text(error)));
	ask_for_end(role, instance);
}

static const struct caller_ops caller_ops = {resolver_broken, NULL};
static const struct caller_ops keys_ops = {keys_broken, NULL};

static void *
new_relay(struct role_context *context)
{
	struct env *env = context->env;
	struct relay_role *role = memory_get(env->memory, sizeof *role);

	role->env = env;
	role->root = context->root;
	dns_client_init(&role->dns, env, ROLE_RELAY, &caller_ops, role);
	role->source = dns_client_source(&role->dns);
	caller_init(&role->keys, env, ROLE_RELAY, ROLE_KEYS, SIGNING_MAX, &keys_ops, role);
	role->service = relay_service_new(env, context->conf, &role->source, &role->keys);
	/* Nobody wakes it but through its channels. */
	env->net->close(env->world, context->wake_fd);
	return role;
}

/* Without it mail of routes with "tls verified" waits, and says why; all other mail goes out. */
static enum error
trust_file(struct relay_role *role, struct slice path)
{
	struct env *env = role->env;
	uint8_t piece[1024];
	struct buffer text;
	struct arena arena;
	ssize_t got = 0;

	arena_init(&arena, env->memory, 8192);
	char *name = arena_text(&arena, path);
	int fd = name ? env->disk->openat(env->world, AT_FDCWD, name, O_RDONLY, 0) : -ENOMEM;
	arena_done(&arena);
	buffer_init(&text, env->memory, TRUST_MAX);
	while (fd >= 0 &&
		(got = env->disk->pread(env->world, fd, piece, sizeof piece, (off_t)text.len)) >
			0 &&
		buffer_error(&text) == OK)
		buffer_append(&text, slice_of(piece, (size_t)got));
	if (fd >= 0)
		env->disk->close(env->world, fd);
	enum error error = fd < 0    ? error_from_errno(-fd)
			   : got < 0 ? error_from_errno((int)-got)
				     : buffer_error(&text);
	if (error == OK)
		error = relay_service_trust(role->service, buffer_slice(&text));
	buffer_done(&text);
	if (error != OK)
		log_event(env, LOG_ERROR, "tls_ca_unusable", LOG_SLICE("file", path),
			LOG_STRING("error", error_text(error)),
			LOG_STRING("effect", "nobody's certificate can be verified"));
	return OK;
}

static void
relay_message(void *state, struct ipc_message *message)
{
	struct relay_role *role = state;

	if (message->kind == IPC_FOLDER)
		relay_service_set_password(role->service, message->folder.path, message->fds[0]);
	if (message->kind != IPC_PEER)
		return;
	if (message->peer.role == ROLE_QUEUE)
		relay_service_set_queue(role->service, message->fds[0]);
	else if (message->peer.role == ROLE_KEYS) {
		enum error error =
			caller_connect(&role->keys, message->fds[0], message->peer.instance);
		if (error != OK)
			keys_broken(role, message->peer.instance, error);
	} else if (dns_client_connect(&role->dns, message->fds[0], message->peer.instance) != OK)
		resolver_broken(role, message->peer.instance, ERROR_NO_MEMORY);
}

/* Before the filters: nothing is opened later. */
static enum error
relay_prepare(void *state, struct role_context *context)
{
	struct relay_role *role = state;
	const struct conf *conf = context->conf;
	bool must_verify = false;

	for (size_t i = 0; i < conf->route_count; i++)
		must_verify |= conf->routes[i].tls == CONF_ROUTE_TLS_VERIFIED;
	enum error error = tls_prepare();
	return error == OK && must_verify
		       ? trust_file(role, conf->tls_ca.len > 0 ? conf->tls_ca : SLICE(SYSTEM_TRUST))
		       : error;
}

static enum error
relay_go(void *state, uint32_t workers)
{
	(void)state, (void)workers;
	return OK;
}

static void
relay_stop(void *state, int64_t grace_us)
{
	struct relay_role *role = state;

	relay_service_stop(role->service, grace_us);
	caller_done(&role->dns.caller);
	caller_done(&role->keys);
}

static void
relay_free(void **state)
{
	struct relay_role *role = *state;

	relay_service_free(&role->service);
	dns_client_done(&role->dns);
	memory_put(role->env->memory, role);
	*state = NULL;
}

const struct role_functions role_relay = {
	ROLE_RELAY, new_relay, relay_message, relay_prepare, relay_go, relay_stop, relay_free};
