/* keys: the files of certificates, which root opens, and channels of those who ask for signatures.
 */
#include "keys/keys.h"
#include "base/log_record.h"
#include "proc/child.h"
#include "tls/key.h"

struct keys_role {
	struct env *env;
	struct channel *root;
	struct keys_service *service;
};

static void
broken(void *arg, uint32_t instance)
{
	struct keys_role *role = arg;
	struct ipc_message message = {.kind = IPC_BROKEN, .broken = {.instance = instance}};

	if (channel_try_send(role->root, &message) != OK)
		log_event(role->env, LOG_ERROR, "root_not_told", LOG_NUMBER("instance", instance));
}

static const struct keys_root_ops root_ops = {broken};

static void *
new_keys(struct role_context *context)
{
	struct env *env = context->env;
	struct keys_role *role = memory_get(env->memory, sizeof *role);

	role->env = env;
	role->root = context->root;
	role->service = keys_service_new(env, context->conf, &root_ops, role);
	/* Nobody wakes it but through its channels. */
	env->net->close(env->world, context->wake_fd);
	return role;
}

static void
keys_message(void *state, struct ipc_message *message)
{
	struct keys_role *role = state;

	if (message->kind == IPC_PEER)
		keys_service_add(role->service, (enum role)message->peer.role, message->peer.worker,
			message->peer.instance, message->fds[0]);
	else if (message->kind == IPC_FOLDER)
		keys_service_set_file(role->service, message->folder.path, message->fds[0]);
}

static enum error
keys_prepare(void *state, struct role_context *context)
{
	const struct conf *conf = context->conf;
	enum error error = tls_prepare();

	if (error == OK && conf->certificate_count == 0)
		keys_service_sign_itself(((struct keys_role *)state)->service, conf->hostname);
	return error;
}

static enum error
keys_go(void *state, uint32_t workers)
{
	(void)state;
	(void)workers;
	return OK; /* it answers as soon as somebody asks */
}

static void
keys_stop(void *state, int64_t grace_us)
{
	(void)grace_us;
	keys_service_stop(((struct keys_role *)state)->service);
}

static void
keys_free(void **state)
{
	struct keys_role *role = *state;

	keys_service_free(&role->service);
	memory_put(role->env->memory, role);
	*state = NULL;
}

const struct role_functions role_keys = {
	ROLE_KEYS, new_keys, keys_message, keys_prepare, keys_go, keys_stop, keys_free};
