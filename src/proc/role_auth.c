/* auth: the file of passwords, which root opens, and channels of those who ask. */
#include "auth/auth.h"
#include "auth/scram.h"
#include "base/log_record.h"
#include "proc/child.h"

struct auth_role {
	struct env *env;
	struct channel *root;
	struct auth_service *service;
};

static void
broken(void *arg, uint32_t instance)
{
	struct auth_role *role = arg;
	struct ipc_message message = {.kind = IPC_BROKEN, .broken = {.instance = instance}};

	if (channel_try_send(role->root, &message) != OK)
		log_event(role->env, LOG_ERROR, "root_not_told", LOG_NUMBER("instance", instance));
}

static const struct auth_root_ops root_ops = {broken};

static void *
new_auth(struct role_context *context)
{
	struct env *env = context->env;
	struct auth_role *role = memory_get(env->memory, sizeof *role);

	role->env = env;
	role->root = context->root;
	role->service = auth_service_new(env, &root_ops, role);
	/* Nobody wakes it but through its channels. */
	env->net->close(env->world, context->wake_fd);
	return role;
}

static void
auth_message(void *state, struct ipc_message *message)
{
	struct auth_role *role = state;

	if (message->kind == IPC_PEER)
		auth_service_add(role->service, (enum role)message->peer.role, message->peer.worker,
			message->peer.instance, message->fds[0]);
	else if (message->kind == IPC_FOLDER)
		auth_service_set_file(role->service, message->folder.path, message->fds[0]);
}

static enum error
auth_prepare(void *state, struct role_context *context)
{
	(void)state;
	(void)context;
	return scram_prepare();
}

static enum error
auth_go(void *state, uint32_t workers)
{
	(void)state;
	(void)workers;
	return OK; /* it answers as soon as somebody asks */
}

static void
auth_stop(void *state, int64_t grace_us)
{
	(void)grace_us;
	auth_service_stop(((struct auth_role *)state)->service);
}

static void
auth_free(void **state)
{
	struct auth_role *role = *state;

	auth_service_free(&role->service);
	memory_put(role->env->memory, role);
	*state = NULL;
}

const struct role_functions role_auth = {
	ROLE_AUTH, new_auth, auth_message, auth_prepare, auth_go, auth_stop, auth_free};
