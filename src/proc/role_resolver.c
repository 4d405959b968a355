/* resolver: channels of those who ask. What it needs of files is read before the filters. */
#include "base/log_record.h"
#include "proc/child.h"
#include "resolver/resolver.h"

#include <fcntl.h>

#define RESOLV_CONF "/etc/resolv.conf"
#define FILE_MAX    (256u << 10)
#define EARLY_MAX   64 /* askers that may come before prepare */

struct resolver_role {
	struct env *env;
	const struct conf *conf;
	struct channel *root;
	struct resolver_service *service; /* NULL until prepare */
	struct {
		struct ipc_peer peer;
		int fd;
	} early[EARLY_MAX];
	size_t early_count;
};

static void
broken(void *arg, uint32_t instance)
{
	struct resolver_role *role = arg;
	struct ipc_message message = {.kind = IPC_BROKEN, .broken = {.instance = instance}};

	if (channel_try_send(role->root, &message) != OK)
		log_event(role->env, LOG_ERROR, "root_not_told", LOG_NUMBER("instance", instance));
}

static const struct resolver_root_ops root_ops = {broken};

static void *
new_resolver(struct role_context *context)
{
	struct env *env = context->env;
	struct resolver_role *role = memory_get(env->memory, sizeof *role);

	role->env = env;
	role->conf = context->conf;
	role->root = context->root;
	/* Nobody wakes it but through its channels. */
	env->net->close(env->world, context->wake_fd);
	return role;
}

/* The whole of a small file, appended. */
static enum error
read_file(struct env *env, const char *path, struct buffer *ret_text)
{
	uint8_t piece[1024];
	ssize_t got;
	int fd = env->disk->openat(env->world, AT_FDCWD, path, O_RDONLY, 0);

	if (fd < 0)
		return error_from_errno(-fd);
	while ((got = env->disk->pread(env->world, fd, piece, sizeof piece, (off_t)ret_text->len)) >
			0 &&
		buffer_error(ret_text) == OK)
		buffer_append(ret_text, slice_of(piece, (size_t)got));
	env->disk->close(env->world, fd);
	return got < 0 ? error_from_errno((int)-got) : buffer_error(ret_text);
}

/* Without the keys that somebody configured nothing may count as secure: the process does not
 * start. */
static enum error
read_anchors(struct resolver_role *role, struct buffer *ret_text)
{
	struct slice path = role->conf->dns.trust_anchor;
	struct arena arena;

	if (path.len == 0)
		return OK;
	arena_init(&arena, role->env->memory, 8192);
	char *text = arena_text(&arena, path);
	enum error error = text ? read_file(role->env, text, ret_text) : ERROR_NO_MEMORY;
	if (error != OK)
		log_event(role->env, LOG_ERROR, "trust_anchor_unreadable", LOG_SLICE("file", path),
			LOG_STRING("error", error_text(error)));
	arena_done(&arena);
	return error;
}

static void
add_peer(struct resolver_role *role, const struct ipc_peer *peer, int fd)
{
	resolver_service_add(
		role->service, (enum role)peer->role, peer->worker, peer->instance, fd);
}

static enum error
resolver_prepare(void *state, struct role_context *context)
{
	struct resolver_role *role = state;
	struct env *env = context->env;
	struct buffer resolv_conf, anchors;

	buffer_init(&resolv_conf, env->memory, FILE_MAX);
	buffer_init(&anchors, env->memory, FILE_MAX);
	/* A machine without the file has no servers of its own: then the roots are asked. */
	(void)!read_file(env, RESOLV_CONF, &resolv_conf);
	enum error error = read_anchors(role, &anchors);
	if (error == OK) {
		role->service = resolver_service_new(env, context->conf, buffer_slice(&resolv_conf),
			buffer_slice(&anchors), &root_ops, role);
		error = role->service ? OK : ERROR_FORMAT;
	}
	for (; error == OK && role->early_count > 0; role->early_count--)
		add_peer(role, &role->early[role->early_count - 1].peer,
			role->early[role->early_count - 1].fd);
	buffer_done(&anchors);
	buffer_done(&resolv_conf);
	return error;
}

static void
resolver_message(void *state, struct ipc_message *message)
{
	struct resolver_role *role = state;

	if (message->kind != IPC_PEER)
		return;
	if (role->service) {
		add_peer(role, &message->peer, message->fds[0]);
	} else if (role->early_count < EARLY_MAX) {
		role->early[role->early_count].peer = message->peer;
		role->early[role->early_count++].fd = message->fds[0];
	} else {
		ipc_close_fds(role->env, message);
		broken(role, message->peer.instance);
	}
}

static enum error
resolver_go(void *state, uint32_t workers)
{
	(void)workers;
	return resolver_service_go(((struct resolver_role *)state)->service);
}

static void
resolver_stop(void *state, int64_t grace_us)
{
	struct resolver_role *role = state;

	(void)grace_us;
	if (role->service)
		resolver_service_stop(role->service);
}

static void
resolver_free(void **state)
{
	struct resolver_role *role = *state;

	for (size_t i = 0; i < role->early_count; i++)
		role->env->net->close(role->env->world, role->early[i].fd);
	resolver_service_free(&role->service);
	memory_put(role->env->memory, role);
	*state = NULL;
}

const struct role_functions role_resolver = {ROLE_RESOLVER, new_resolver, resolver_message,
	resolver_prepare, resolver_go, resolver_stop, resolver_free};
