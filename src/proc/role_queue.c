/* queue: the spool's folder, rings and channels to sessions, channels to deliverers and to admin.
 */
#include "base/log_record.h"
#include "proc/child.h"
#include "queue/queue.h"

struct queue_role {
	struct env *env;
	const struct conf *conf;
	struct channel *root;
	struct queue_service *service;
};

static void
need_deliver(void *arg, struct slice user)
{
	struct queue_role *role = arg;
	struct ipc_message message = {.kind = IPC_NEED_DELIVER, .need_deliver = {.user = user}};

	if (channel_try_send(role->root, &message) != OK)
		queue_service_no_deliver(
			role->service, user, SLICE("the server is too busy to start a deliverer"));
}

static void
broken(void *arg, uint32_t instance)
{
	struct queue_role *role = arg;
	struct ipc_message message = {.kind = IPC_BROKEN, .broken = {.instance = instance}};

	if (channel_try_send(role->root, &message) != OK)
		log_event(role->env, LOG_ERROR, "root_not_told", LOG_NUMBER("instance", instance));
}

static const struct queue_root_ops root_ops = {need_deliver, broken};

static void *
new_queue(struct role_context *context)
{
	struct queue_role *role = memory_get(context->env->memory, sizeof *role);

	role->env = context->env;
	role->conf = context->conf;
	role->root = context->root;
	role->service =
		queue_service_new(context->env, context->conf, context->wake_fd, &root_ops, role);
	return role;
}

static void
queue_peer(struct queue_role *role, struct ipc_message *message)
{
	switch (message->peer.role) {
	case ROLE_SESSION:
		queue_service_add_session(role->service, message->peer.worker,
			message->peer.instance, message->fds[0]);
		return;
	case ROLE_RELAY:
		queue_service_add_relay(role->service, message->peer.worker, message->peer.instance,
			message->fds[0]);
		return;
	case ROLE_DELIVER:
		queue_service_add_deliver(
			role->service, message->peer.name, message->peer.instance, message->fds[0]);
		return;
	default:
		queue_service_set_admin(role->service, message->peer.instance, message->fds[0]);
	}
}

static void
queue_message(void *state, struct ipc_message *message)
{
	struct queue_role *role = state;

	switch (message->kind) {
	case IPC_FOLDER:
		if (slice_equal(message->folder.path, role->conf->spool))
			queue_service_set_spool(role->service, message->fds[0]);
		else
			queue_service_set_report_text(
				role->service, message->folder.path, message->fds[0]);
		return;
	case IPC_RING:
		queue_service_add_ring(
			role->service, message->ring.worker, message->fds[0], message->fds[1]);
		return;
	case IPC_PEER:
		queue_peer(role, message);
		return;
	case IPC_NO_DELIVER:
		queue_service_no_deliver(
			role->service, message->no_deliver.user, message->no_deliver.reason);
		return;
	default:
		return; /* nothing else comes from root */
	}
}

static enum error
queue_go(void *state, uint32_t workers)
{
	(void)workers;
	return queue_service_go(((struct queue_role *)state)->service);
}

static void
queue_stop(void *state, int64_t grace_us)
{
	queue_service_stop(((struct queue_role *)state)->service, grace_us);
}

static void
queue_free(void **state)
{
	struct queue_role *role = *state;

	queue_service_free(&role->service);
	memory_put(role->env->memory, role);
	*state = NULL;
}

const struct role_functions role_queue = {
	ROLE_QUEUE, new_queue, queue_message, NULL, queue_go, queue_stop, queue_free};
