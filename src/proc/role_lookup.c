/* lookup: channels to sessions. The folders of the account files are opened for Landlock alone:
 * files in them are replaced by rename. */
#include "lookup/lookup.h"
#include "base/log_record.h"
#include "proc/child.h"
#include "proc/find_user.h"

#include <fcntl.h>

struct lookup_role {
	struct env *env;
	struct channel *root;
	struct lookup_service *service;
};

static void
broken(void *arg, uint32_t instance)
{
	struct lookup_role *role = arg;
	struct ipc_message message = {.kind = IPC_BROKEN, .broken = {.instance = instance}};

	if (channel_try_send(role->root, &message) != OK)
		log_event(role->env, LOG_ERROR, "root_not_told", LOG_NUMBER("instance", instance));
}

static const struct lookup_root_ops root_ops = {broken};

static void *
new_lookup(struct role_context *context)
{
	struct env *env = context->env;
	struct lookup_role *role = memory_get(env->memory, sizeof *role);

	role->env = env;
	role->root = context->root;
	role->service = lookup_service_new(env, context->conf, &root_ops, role);
	env->net->close(
		env->world, context->wake_fd); /* nobody wakes it but through its channels */
	return role;
}

static void
allow_folder_of(struct role_context *context, struct slice path)
{
	struct env *env = context->env;
	size_t len = path.len;
	struct arena arena;

	while (len > 1 && path.ptr[len - 1] != '/')
		len--;
	arena_init(&arena, env->memory, 8192);
	char *folder = arena_text(&arena, slice_sub(path, 0, len));
	/* What is not there can't be read either; it is reported when the table is. */
	int fd = folder ? env->disk->openat(env->world, AT_FDCWD, folder, O_PATH | O_DIRECTORY, 0)
			: -1;
	if (fd >= 0)
		sandbox_allow_folder(context->sandbox, fd, FOLDER_READ);
	arena_done(&arena);
}

/* Sources of users are libraries that libc loads at the first question: no code is mapped after the
 * filter is on. May wait. */
static enum error
prepare_users(struct role_context *context)
{
	for (size_t i = 0; i < context->conf->domain_count; i++)
		if (context->conf->domains[i].accounts == CONF_ACCOUNTS_SYSTEM)
			return load_user_sources(context->env, USER_LOOKUP_US);
	return OK;
}

static enum error
lookup_prepare(void *state, struct role_context *context)
{
	const struct conf *conf = context->conf;
	struct slice last = slice_of(NULL, 0);

	(void)state;
	allow_folder_of(context, SLICE("/etc/"));
	for (size_t i = 0; i < conf->domain_count; i++)
		if (conf->domains[i].aliases == CONF_ALIASES_FILE)
			allow_folder_of(context, conf->domains[i].aliases_file);
	for (size_t i = 0; i < conf->domain_count; i++) {
		struct slice file = conf->domains[i].accounts_file;
		if (conf->domains[i].accounts != CONF_ACCOUNTS_FILE || slice_equal(file, last))
			continue;
		allow_folder_of(context, file);
		last = file;
	}
	return prepare_users(context);
}

static void
lookup_message(void *state, struct ipc_message *message)
{
	struct lookup_role *role = state;

	if (message->kind == IPC_PEER)
		lookup_service_add_session(role->service, message->peer.worker,
			message->peer.instance, message->fds[0]);
}

static enum error
lookup_go(void *state, uint32_t workers)
{
	(void)workers;
	return lookup_service_go(((struct lookup_role *)state)->service);
}

static void
lookup_stop(void *state, int64_t grace_us)
{
	(void)grace_us;
	lookup_service_stop(((struct lookup_role *)state)->service);
}

static void
lookup_free(void **state)
{
	struct lookup_role *role = *state;

	lookup_service_free(&role->service);
	memory_put(role->env->memory, role);
	*state = NULL;
}

const struct role_functions role_lookup = {ROLE_LOOKUP, new_lookup, lookup_message, lookup_prepare,
	lookup_go, lookup_stop, lookup_free};
