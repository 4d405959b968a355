/* guard: the file of quotas, which root opens, and channels of those who report and ask. */
#include "guard/guard.h"
#include "base/log_record.h"
#include "proc/child.h"

struct guard_role {
	struct env *env;
	struct channel *root;
	struct guard_service *service;
};

static void
broken(void *arg, uint32_t instance)
{
	struct guard_role *role = arg;
	struct ipc_message message = {.kind = IPC_BROKEN, .broken = {.instance = instance}};

	if (channel_try_send(role->root, &message) != OK)
		log_event(role->env, LOG_ERROR, "root_not_told", LOG_NUMBER("instance", instance));
}

static const struct guard_root_ops root_ops = {broken};

static void *
new_guard(struct role_context *context)
{
	struct env *env = context->env;
	struct guard_role *role = memory_get(env->memory, sizeof *role);

	role->env = env;
	role->root = context->root;
	role->service = guard_service_new(env, &context->conf->limits, &root_ops, role);
	/* Nobody wakes it but through its channels. */
	env->net->close(env->world, context->wake_fd);
	return role;
}

static void
guard_message(void *state, struct ipc_message *message)
{
	struct guard_role *role = state;

	if (message->kind == IPC_PEER)
		guard_service_add(role->service, (enum role)message->peer.role,
			message->peer.worker, message->peer.instance, message->fds[0]);
	else if (message->kind == IPC_FOLDER)
		guard_service_set_file(role->service, message->fds[0]);
}

static enum error
guard_prepare(void *state, struct role_context *context)
{
	(void)state;
	(void)context;
	return OK;
}

static enum error
guard_go(void *state, uint32_t workers)
{
	(void)workers;
	return guard_service_go(((struct guard_role *)state)->service);
}

static void
guard_stop(void *state, int64_t grace_us)
{
	(void)grace_us;
	guard_service_stop(((struct guard_role *)state)->service);
}

static void
guard_free(void **state)
{
	struct guard_role *role = *state;

	guard_service_free(&role->service);
	memory_put(role->env->memory, role);
	*state = NULL;
}

const struct role_functions role_guard = {
	ROLE_GUARD, new_guard, guard_message, guard_prepare, guard_go, guard_stop, guard_free};
