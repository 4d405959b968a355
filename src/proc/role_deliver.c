/* deliver: the folders of its mailboxes and the channel to queue. A system user's home is opened as
 * that user. */
#include "deliver/deliver.h"
#include "proc/child.h"

#include <fcntl.h>

struct deliver_role {
	struct env *env;
	struct deliver_service *service;
};

static void *
new_deliver(struct role_context *context)
{
	struct deliver_role *role = memory_get(context->env->memory, sizeof *role);

	role->env = context->env;
	role->service = deliver_service_new(context->env, context->conf, context->home);
	context->env->net->close(context->env->world,
		context->wake_fd); /* nobody wakes a deliverer but through its channel */
	return role;
}

static enum error
deliver_prepare(void *state, struct role_context *context)
{
	struct deliver_role *role = state;
	struct env *env = context->env;
	char home[256];

	if (context->home.len == 0)
		return OK;
	memcpy(home, context->home.ptr, context->home.len);
	home[context->home.len] = 0;
	int fd = env->disk->openat(env->world, AT_FDCWD, home, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return error_from_errno(-fd);
	sandbox_allow_folder(context->sandbox, fd, FOLDER_WRITE);
	deliver_service_add_folder(role->service, context->home, fd);
	return OK;
}

static void
deliver_message(void *state, struct ipc_message *message)
{
	struct deliver_role *role = state;

	switch (message->kind) {
	case IPC_FOLDER:
		deliver_service_add_folder(role->service, message->folder.path, message->fds[0]);
		return;
	case IPC_PEER:
		deliver_service_set_queue(role->service, message->fds[0]);
		return;
	default:
		return; /* nothing else comes from root */
	}
}

static enum error
deliver_go(void *state, uint32_t workers)
{
	(void)state;
	(void)workers;
	return OK; /* it works as soon as there is a queue */
}

static void
deliver_stop(void *state, int64_t grace_us)
{
	(void)grace_us;
	deliver_service_stop(((struct deliver_role *)state)->service);
}

static void
deliver_free(void **state)
{
	struct deliver_role *role = *state;

	deliver_service_free(&role->service);
	memory_put(role->env->memory, role);
	*state = NULL;
}

const struct role_functions role_deliver = {ROLE_DELIVER, new_deliver, deliver_message,
	deliver_prepare, deliver_go, deliver_stop, deliver_free};
