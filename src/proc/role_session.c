/* session: listeners, the ring and the channel to queue, the channel to lookup, the calls to keys,
 * auth and the resolver. */
#include "proc/child.h"
#include "session/session.h"
#include "tls/key.h"

#include <sys/resource.h>

static void
worker_unable(void *context)
{
	child_ask_end(context);
}

static const struct session_root_ops root_ops = {worker_unable};

static void *
new_session(struct role_context *context)
{
	struct session_worker *worker = session_worker_new(
		context->env, context->conf, context->worker, context->wake_fd, &root_ops, context);
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
		session_worker_set_descriptors(worker, files.rlim_cur);
	return worker;
}

static void
session_message(void *state, struct ipc_message *message)
{
	struct session_worker *worker = state;

	switch (message->kind) {
	case IPC_LISTENER:
		session_worker_add_listener(worker, message->listener.name, message->fds[0]);
		return;
	case IPC_RING:
		session_worker_set_ring(worker, message->fds[0], message->fds[1]);
		return;
	case IPC_PEER:
		if (message->peer.role == ROLE_QUEUE)
			session_worker_set_queue(worker, message->fds[0]);
		else if (message->peer.role == ROLE_KEYS)
			session_worker_set_keys(worker, message->fds[0], message->peer.instance);
		else if (message->peer.role == ROLE_RESOLVER)
			session_worker_set_resolver(
				worker, message->fds[0], message->peer.instance);
		else if (message->peer.role == ROLE_AUTH)
			session_worker_set_auth(worker, message->fds[0], message->peer.instance);
		else if (message->peer.role == ROLE_GUARD)
			session_worker_set_guard(worker, message->fds[0], message->peer.instance);
		else
			session_worker_set_lookup(worker, message->fds[0]);
		return;
	default:
		return; /* the schema lets root send nothing else to a session that carries
			   descriptors */
	}
}

static enum error
session_prepare(void *state, struct role_context *context)
{
	bool needs_crypto = conf_has_tls(context->conf) || context->conf->dkim_count > 0 ||
			    conf_srs_domain(context->conf).len > 0 ||
			    context->conf->authentication == CONF_AUTHENTICATION_ON;

	(void)state;
	return needs_crypto ? tls_prepare() : OK;
}

static enum error
session_go(void *state, uint32_t workers)
{
	return session_worker_go(state, workers);
}

static void
session_stop(void *state, int64_t grace_us)
{
	session_worker_stop(state, grace_us);
}

static void
session_free(void **state)
{
	struct session_worker *worker = *state;

	session_worker_free(&worker);
	*state = NULL;
}

const struct role_functions role_session = {ROLE_SESSION, new_session, session_message,
	session_prepare, session_go, session_stop, session_free};
