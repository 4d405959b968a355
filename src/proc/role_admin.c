/* admin: the control socket and the channel to queue. */
#include "admin/admin.h"
#include "base/log_record.h"
#include "proc/child.h"

struct admin_role {
	struct env *env;
	struct role_context *context;
	struct admin_service *service;
};

static void
admin_unable(void *context)
{
	child_ask_end(context);
}

static const struct admin_root_ops root_ops = {admin_unable};

static void *
new_admin(struct role_context *context)
{
	struct admin_role *role = memory_get(context->env->memory, sizeof *role);

	role->env = context->env;
	role->context = context;
	role->service = admin_service_new(context->env, context->conf, &root_ops, context);
	context->env->net->close(context->env->world,
		context->wake_fd); /* nobody wakes it but through its channels */
	return role;
}

static void
admin_message(void *state, struct ipc_message *message)
{
	struct admin_role *role = state;
	enum error error = OK;

	if (message->kind == IPC_LISTENER)
		error = admin_service_set_listener(role->service, message->fds[0]);
	else if (message->kind == IPC_PEER)
		admin_service_set_queue(role->service, message->fds[0]);
	if (error == OK)
		return;
	log_event(role->env, LOG_ERROR, "control_socket_unusable",
		LOG_STRING("error", error_text(error)));
	admin_unable(role->context);
}

static enum error
admin_go(void *state, uint32_t workers)
{
	(void)state;
	(void)workers;
	return OK; /* it answers as soon as there is somebody to answer */
}

static void
admin_stop(void *state, int64_t grace_us)
{
	(void)grace_us;
	admin_service_stop(((struct admin_role *)state)->service);
}

static void
admin_free(void **state)
{
	struct admin_role *role = *state;

	admin_service_free(&role->service);
	memory_put(role->env->memory, role);
	*state = NULL;
}

const struct role_functions role_admin = {
	ROLE_ADMIN, new_admin, admin_message, NULL, admin_go, admin_stop, admin_free};
