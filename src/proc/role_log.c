/* log: everybody's log rings, and the log file if there is one. */
#include "log/log.h"
#include "proc/child.h"

#include <stdlib.h>

struct log_role {
	struct env *env;
	struct log_service *service;
};

static void *
new_log(struct role_context *context)
{
	struct env *env = context->env;
	struct log_role *role = memory_get(env->memory, sizeof *role);

	role->env = env;
	env->net->close(
		env->world, context->wake_fd); /* what wakes it is the counter of all log rings */
	int wake_fd = env->poll->wake_copy(env->world, context->log_wake_fd);
	if (wake_fd < 0)
		abort(); /* at its start: root starts another */
	role->service = log_service_new(env, context->conf, wake_fd);
	return role;
}

static void
log_message(void *state, struct ipc_message *message)
{
	struct log_role *role = state;

	if (message->kind == IPC_FOLDER) {
		if (!log_service_add_history(role->service, message->folder.path, message->fds[0]))
			log_service_set_file(role->service, message->fds[0]);
	} else if (message->kind == IPC_LOG_RING)
		log_service_add_ring(role->service, message->log_ring.role,
			message->log_ring.worker, message->fds[0]);
	else if (message->kind == IPC_LOG_RING_GONE)
		log_service_drop_ring(
			role->service, message->log_ring_gone.role, message->log_ring_gone.worker);
	else
		ipc_close_fds(role->env, message);
}

static enum error
log_go(void *state, uint32_t workers)
{
	(void)workers;
	return log_service_go(((struct log_role *)state)->service);
}

static void
log_stop(void *state, int64_t grace_us)
{
	(void)grace_us;
	log_service_stop(((struct log_role *)state)->service);
}

static void
log_free(void **state)
{
	struct log_role *role = *state;

	log_service_free(&role->service);
	memory_put(role->env->memory, role);
	*state = NULL;
}

const struct role_functions role_log = {
	ROLE_LOG, new_log, log_message, NULL, log_go, log_stop, log_free};
