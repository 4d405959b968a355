/* relay: the channel to queue, the call to the resolver. */
#include "base/log_record.h"
#include "dns/client.h"
#include "proc/child.h"
#include "relay/relay.h"

struct relay_role {
	struct env *env;
	struct channel *root;
	struct dns_client dns;
	struct dns_source source;
	struct relay_service *service;
};

static void
resolver_broken(void *arg, uint32_t instance, enum error error)
{
	struct relay_role *role = arg;
	struct ipc_message message = {.kind = IPC_BROKEN, .broken = {.instance = instance}};

	log_event(role->env, LOG_ERROR, "resolver_broken", LOG_STRING("error", error_text(error)));
	if (channel_try_send(role->root, &message) != OK)
		log_event(role->env, LOG_ERROR, "root_not_told", LOG_NUMBER("instance", instance));
}

static const struct caller_ops caller_ops = {resolver_broken, NULL};

static void *
new_relay(struct role_context *context)
{
	struct env *env = context->env;
	struct relay_role *role = memory_get(env->memory, sizeof *role);

	role->env = env;
	role->root = context->root;
	dns_client_init(&role->dns, env, ROLE_RELAY, &caller_ops, role);
	role->source = dns_client_source(&role->dns);
	role->service = relay_service_new(env, context->conf, &role->source);
	/* Nobody wakes it but through its channels. */
	env->net->close(env->world, context->wake_fd);
	return role;
}

static void
relay_message(void *state, struct ipc_message *message)
{
	struct relay_role *role = state;

	if (message->kind != IPC_PEER)
		return;
	if (message->peer.role == ROLE_QUEUE)
		relay_service_set_queue(role->service, message->fds[0]);
	else if (dns_client_connect(&role->dns, message->fds[0], message->peer.instance) != OK)
		resolver_broken(role, message->peer.instance, ERROR_NO_MEMORY);
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
	ROLE_RELAY, new_relay, relay_message, NULL, relay_go, relay_stop, relay_free};
