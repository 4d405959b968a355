/*
 * Connects who is connected with whom by the links of proc/rights.c. A child that comes to life is
 * connected with all living counterparts; they get their ends at any time and drop what they had
 * with its predecessor.
 */
#include "ipc/ring.h"
#include "proc/root_private.h"

/* Root waits for nobody: a child that leaves a socket full of orders lying is broken, and a list of
 * children must not change under a loop. */
static enum error
tell(struct root_child *child, const struct ipc_message *message)
{
	return channel_try_send(&child->channel, message);
}

/* What a role may see of the configuration, as sealed memory. */
static enum error
conf_view_new(struct root *root, enum role role, int *ret_fd)
{
	struct env *env = root->env;
	struct buffer text;
	int fd = env->shared->create(env->world, "veredus-configuration", 0);

	if (fd < 0)
		return error_from_errno(-fd);
	buffer_init(&text, env->memory, CONF_TEXT_MAX);
	conf_print(root->conf, process_conf_readers(role), &text);
	enum error error = buffer_error(&text);
	struct iovec piece = {text.ptr, text.len};
	if (error == OK && text.len > 0 &&
		env->disk->pwritev(env->world, fd, &piece, 1, 0) != (ssize_t)text.len)
		error = ERROR_NO_MEMORY;
	if (error == OK)
		error = error_from_errno(-env->shared->seal(env->world, fd, SHARED_CONSTANT));
	buffer_done(&text);
	if (error != OK)
		env->disk->close(env->world, fd);
	else
		*ret_fd = fd;
	return error;
}

static enum error
send_start(struct root_child *child)
{
	struct root *root = child->root;
	struct ipc_message message = {.kind = IPC_START,
		.start = {.worker = child->worker, .run_as = child->run_as, .name = child->name},
		.fds = {-1, child->log_ring_fd, root->log_wake_fd, child->wake_fd},
		.fd_count = 4};
	enum error error = conf_view_new(root, child->role, &message.fds[0]);

	if (error != OK)
		return error;
	error = tell(child, &message);
	root->env->disk->close(root->env->world, message.fds[0]);
	return error;
}

static enum error
send_peer(struct root_child *to, const struct root_child *about, int fd)
{
	struct ipc_message message = {.kind = IPC_PEER,
		.peer = {.role = about->role,
			.worker = about->worker,
			.instance = about->instance,
			.name = about->name},
		.fds = {fd},
		.fd_count = 1};

	return tell(to, &message);
}

static enum error
send_ring(struct root_child *to, const struct root_child *session, int memory_fd, int other_wake_fd)
{
	struct ipc_message message = {.kind = IPC_RING,
		.ring = {.worker = session->worker},
		.fds = {memory_fd, other_wake_fd},
		.fd_count = 2};

	return tell(to, &message);
}

static enum error
connect_ring(struct root_child *session, struct root_child *queue)
{
	struct env *env = session->root->env;
	int memory_fd;
	enum error error = ring_memory_new(env, RING_BLOCKS, &memory_fd);

	if (error != OK)
		return error;
	error = send_ring(queue, session, memory_fd, session->wake_fd);
	if (error == OK)
		error = send_ring(session, session, memory_fd, queue->wake_fd);
	env->disk->close(env->world, memory_fd);
	return error;
}

static enum error
connect_pair(const struct role_link *link, struct root_child *a, struct root_child *b)
{
	struct env *env = a->root->env;
	int fds[2];
	int result = env->net->pair(env->world, SOCK_SEQPACKET, fds);

	if (result < 0)
		return error_from_errno(-result);
	enum error error = send_peer(a, b, fds[0]);
	if (error == OK)
		error = send_peer(b, a, fds[1]);
	env->net->close(env->world, fds[0]);
	env->net->close(env->world, fds[1]);
	if (error == OK && link->kind == LINK_RING)
		error = connect_ring(a, b);
	return error;
}

/* Connects the newcomer with one living child if one of their rows says so. A counterpart that does
 * not take it is dying: it will come again. */
static enum error
connect_children(struct root_child *child, struct root_child *other)
{
	const struct role_link *to = process_link(child->role, other->role);
	const struct role_link *from = process_link(other->role, child->role);
	enum error error = to ? connect_pair(to, child, other) : OK;

	return error == OK && from ? connect_pair(from, other, child) : error;
}

static enum error
send_log_ring(struct root_child *log, enum role role, uint32_t worker, int ring_fd)
{
	struct ipc_message message = {.kind = IPC_LOG_RING,
		.log_ring = {.role = role, .worker = worker},
		.fds = {ring_fd},
		.fd_count = 1};

	return tell(log, &message);
}

/* The log gets everybody's ring; a newcomer's ring goes to the log. Rings outlive the processes, so
 * each goes once to each log. */
static enum error
connect_log(struct root_child *child)
{
	struct root *root = child->root;
	enum error error = OK;

	if (child->role != ROLE_LOG)
		return OK;
	error = send_log_ring(child, ROLE_ROOT, 0, root->log_ring_fd);
	list_for_each (link, &root->children) {
		struct root_child *other = list_entry(link, struct root_child, link);
		if (error == OK && other->role != ROLE_LOG && other->log_ring_fd >= 0)
			error = send_log_ring(
				child, other->role, other->worker, other->log_ring_fd);
	}
	return error;
}

void
root_disconnect_log(struct root_child *child)
{
	struct root *root = child->root;
	struct root_child *log = root_find_child(root, ROLE_LOG, SLICE(""));
	struct ipc_message message = {.kind = IPC_LOG_RING_GONE,
		.log_ring_gone = {.role = child->role, .worker = child->worker}};

	/* One that is not there now will not get this ring at all. */
	if (child->log_ring_fd < 0 || !log || !log->connected)
		return;
	enum error error = tell(log, &message);
	if (error != OK && error != ERROR_CLOSED)
		log_event(root->env, LOG_WARNING, "log_not_told",
			LOG_STRING("role", role_name(child->role)),
			LOG_NUMBER("worker", child->worker),
			LOG_STRING("error", error_text(error)));
}

enum error
root_send_folder(struct root_child *child, const struct root_folder *folder)
{
	struct ipc_message message = {.kind = IPC_FOLDER,
		.folder = {.path = folder->path},
		.fds = {folder->fd},
		.fd_count = 1};

	return tell(child, &message);
}

static enum error
send_folders(struct root_child *child)
{
	struct root *root = child->root;
	enum error error = OK;

	list_for_each (link, &root->folders) {
		struct root_folder *folder = list_entry(link, struct root_folder, link);
		if (error != OK || folder->fd < 0 || folder->role != child->role ||
			!slice_equal(folder->name, child->name))
			continue;
		error = root_send_folder(child, folder);
	}
	return error;
}

enum error
root_send_log_file(struct root *root, struct root_child *log)
{
	list_for_each (link, &root->folders) {
		struct root_folder *folder = list_entry(link, struct root_folder, link);
		if (folder->role == ROLE_LOG && slice_equal(folder->path, root->conf->log.file))
			return root_send_folder(log, folder);
	}
	return OK;
}

static enum error
send_listeners(struct root_child *child)
{
	struct root *root = child->root;
	enum error error = OK;

	list_for_each (link, &root->listeners) {
		struct root_listener *listener = list_entry(link, struct root_listener, link);
		if (error != OK || listener->role != child->role)
			continue;
		error = root_revive_listener(root, listener);
		if (error != OK)
			break;
		struct ipc_message message = {.kind = IPC_LISTENER,
			.listener = {.name = listener->name},
			.fds = {listener->fd},
			.fd_count = 1};
		error = tell(child, &message);
	}
	return error;
}

enum error
root_connect_child(struct root_child *child)
{
	struct root *root = child->root;
	enum error error = OK;

	child->connected = true;
	list_for_each (link, &root->children) {
		struct root_child *other = list_entry(link, struct root_child, link);
		if (error == OK && other != child && other->connected)
			error = connect_children(child, other);
	}
	return error;
}

enum error
root_wire_child(struct root_child *child)
{
	struct ipc_message go = {.kind = IPC_GO, .go = {.workers = child->root->workers}};
	enum error error = send_start(child);

	if (error == OK)
		error = connect_log(child);
	if (error == OK)
		error = send_folders(child);
	if (error == OK)
		error = send_listeners(child);
	/* A system user's deliverer is connected when it is ready: there may be no such user. */
	if (error == OK && child->restarts)
		error = root_connect_child(child);
	return error == OK ? tell(child, &go) : error;
}
