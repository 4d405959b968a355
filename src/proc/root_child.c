/*
 * The life of one child's place: start, connect, listen to it, and when its process ends start
 * another, after a pause that doubles with each quick death. What it had acknowledged is on disk or
 * in the memory of the others; nothing here has to be repaired.
 */
#include "proc/find_user.h"
#include "proc/root_private.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#define BACK_OFF_FIRST_US  (100 * US_PER_MS)
#define BACK_OFF_MAX_US    (10 * US_PER_S)
#define BACK_OFF_FORGET_US (30 * US_PER_S) /* a child that lived so long starts again at once */
#define EXIT_WAIT_US       (2 * US_PER_S)  /* from a closed channel to the end of the process */
#define OWN_END_GRACE_US   (5 * US_PER_S)  /* for a process that asked for its end */
#define OWN_END_KILL_US    (7 * US_PER_S)
#define MESSAGES_A_TURN    16 /* of one child: one that talks all the time keeps nobody waiting */

struct root_child *
root_add_child(struct root *root, enum role role, uint32_t worker, struct slice name,
	struct slice run_as, bool restarts)
{
	struct root_child *child = memory_get(root->env->memory, sizeof *child);

	child->root = root;
	child->role = role;
	child->worker = worker;
	name = slice_sub(name, 0, ROOT_NAME_MAX);
	if (name.len > 0)
		memcpy(child->name_storage, name.ptr, name.len);
	child->name = slice_of(child->name_storage, name.len);
	child->run_as = run_as;
	child->restarts = restarts;
	child->channel.fd = -1;
	child->end_by = MONO_NEVER;
	child->wake_fd = -1;
	child->log_ring_fd = -1;
	task_event_init(&child->exited);
	list_append(&root->children, &child->link);
	return child;
}

uint32_t
root_new_deliverer_number(struct root *root)
{
	bool taken = true;

	for (uint32_t tries = 0; taken && tries < WORKER_NUMBERS; tries++) {
		root->last_deliverer = (root->last_deliverer + 1) % WORKER_NUMBERS;
		taken = false;
		list_for_each (link, &root->children) {
			struct root_child *child = list_entry(link, struct root_child, link);
			taken |= child->role == ROLE_DELIVER &&
				 child->worker == root->last_deliverer;
		}
	}
	return root->last_deliverer;
}

struct root_child *
root_find_child(struct root *root, enum role role, struct slice name)
{
	list_for_each (link, &root->children) {
		struct root_child *child = list_entry(link, struct root_child, link);
		if (child->role == role && slice_equal(child->name, name))
			return child;
	}
	return NULL;
}

void
root_free_child(struct root_child *child)
{
	struct env *env = child->root->env;

	if (child->log_ring_fd >= 0)
		env->net->close(env->world, child->log_ring_fd);
	list_remove(&child->link);
	memory_put(env->memory, child);
}

enum role
root_child_role(const struct root_child *child)
{
	return child->role;
}

void
root_child_exited(struct root_child *child, int status)
{
	child->pid = 0;
	child->exit_status = status;
	task_event_signal(&child->exited);
	task_event_signal(&child->root->changed);
}

void
root_pid_exited(struct root *root, pid_t pid, int status)
{
	list_for_each (link, &root->children) {
		struct root_child *child = list_entry(link, struct root_child, link);
		if (child->pid == pid) {
			root_child_exited(child, status);
			return;
		}
	}
}

/*
 * The ring that the log reads even if the process dies in its first millisecond. Each process gets
 * one of its own, so that one damaged by its predecessor leaves nobody dark; the log drains the old
 * one first. While there is no log, what the old one holds would be lost: it is used on.
 */
static enum error
child_make_log_ring(struct root_child *child)
{
	struct root *root = child->root;
	struct env *env = root->env;
	struct root_child *log = root_find_child(root, ROLE_LOG, SLICE(""));
	bool log_hears = log && log->connected && log != child;
	int fd;

	if (child->log_ring_fd >= 0 && !log_hears)
		return OK;
	enum error error = log_ring_memory_new(env, &fd);
	if (error != OK)
		return error;
	if (child->log_ring_fd >= 0)
		env->net->close(env->world, child->log_ring_fd);
	child->log_ring_fd = fd;
	if (!log_hears)
		return OK;
	struct ipc_message message = {.kind = IPC_LOG_RING,
		.log_ring = {.role = child->role, .worker = child->worker},
		.fds = {child->log_ring_fd},
		.fd_count = 1};
	return channel_try_send(&log->channel, &message);
}

/* The process with its channel. */
static enum error
child_bring_up(struct root_child *child)
{
	struct root *root = child->root;
	struct env *env = root->env;
	int fds[2];

	child->ready = child->connected = child->had_process = false;
	child->exit_status = 0;
	child->end_by = MONO_NEVER;
	child->started_at = env_monotonic(env);
	child->instance = ++root->instances;
	enum error error = child_make_log_ring(child);
	if (error != OK)
		return error;
	child->wake_fd = env->poll->wake_create(env->world);
	if (child->wake_fd < 0)
		return ERROR_NO_DESCRIPTORS;
	int result = env->net->pair(env->world, SOCK_SEQPACKET, fds);
	if (result < 0)
		return error_from_errno(-result);
	result = root->options->spawner->start(root->options->spawner, child, fds[1], &child->pid);
	if (result < 0) {
		env->net->close(env->world, fds[0]);
		return error_from_errno(-result);
	}
	child->had_process = true;
	return channel_open(&child->channel, env->loop, fds[0], ROLE_ROOT, child->role);
}

/* May wait. Without root's rights mail reaches one system user only: the one who started all this.
 */
static bool
is_own_login(struct root *root, struct slice login)
{
	struct env *env = root->env;
	struct user user;
	char name[ROOT_NAME_MAX + 1];

	login = slice_sub(login, 0, ROOT_NAME_MAX);
	memcpy(name, login.ptr, login.len);
	name[login.len] = 0;
	return find_user_offloaded(env, name, &user, USER_LOOKUP_US) == OK && user.uid == geteuid();
}

/* So many system users' deliverers live at once; the one not asked for longest makes room. False
 * when too many have yet to go. */
static bool
make_room_for_deliverer(struct root *root)
{
	struct root_child *oldest = NULL;
	unsigned count = 0, leaving = 0;

	list_for_each (link, &root->children) {
		struct root_child *child = list_entry(link, struct root_child, link);
		if (child->restarts)
			continue;
		if (child->told_to_stop) {
			leaving++;
			continue;
		}
		count++;
		if (!oldest || child->asked < oldest->asked)
			oldest = child;
	}
	if (leaving >= SYSTEM_DELIVERERS_LEAVING_MAX)
		return false;
	if (count >= SYSTEM_DELIVERERS_MAX)
		root_tell_stop(oldest, 0);
	return true;
}

/* May wait. */
static void
serve_need_deliver(struct root *root, struct root_child *queue, struct slice user)
{
	struct root_child *child = root_find_child(root, ROLE_DELIVER, user);
	struct ipc_message refusal = {.kind = IPC_NO_DELIVER, .no_deliver = {.user = user}};
	struct slice login = slice_from(user, sizeof "system:" - 1);
	enum error error = OK;

	if (!slice_has_prefix(user, SLICE("system:")) || login.len == 0)
		return;
	if (child) {
		child->asked = ++root->requests;
		child->asked_again = true; /* on its way up that is one start too many at its end,
					      on its way down just the one */
		return;
	}
	if (!root->as_root && !is_own_login(root, login)) {
		refusal.no_deliver.reason =
			SLICE("not running as root: mail can be delivered as the caller only");
	} else if (!make_room_for_deliverer(root)) {
		refusal.no_deliver.reason = SLICE("too many deliverers begin and end now");
	} else {
		child = root_add_child(root, ROLE_DELIVER, root_new_deliverer_number(root), user,
			slice_of(NULL, 0), false);
		child->run_as = slice_from(child->name, sizeof "system:" - 1);
		child->asked = ++root->requests;
		error = root_start_child(child);
		if (error == OK)
			return;
		root_free_child(child);
		refusal.no_deliver.reason = slice_text(error_text(error));
	}
	error = channel_try_send(&queue->channel, &refusal);
	if (error != OK)
		log_event(root->env, LOG_ERROR, "refusal_not_sent", LOG_SLICE("user", user),
			LOG_STRING("error", error_text(error)));
}

static void
log_end(const struct root_child *child, enum role by, const char *why)
{
	log_event(child->root->env, LOG_ERROR, "process_ended",
		LOG_STRING("role", role_name(child->role)), LOG_NUMBER("worker", child->worker),
		LOG_SLICE("name", child->name), LOG_STRING("asked_by", role_name(by)),
		LOG_STRING("why", why));
}

static enum error
end_broken(struct root *root, enum role by, uint32_t instance)
{
	list_for_each (link, &root->children) {
		struct root_child *child = list_entry(link, struct root_child, link);
		if (child->instance != instance || child->pid == 0 || child->told_to_stop)
			continue;
		if (!(process_rights_of(by)->ends & ROLE_BIT(child->role)))
			return ERROR_FORMAT;
		log_end(child, by, "its counterpart can't work with it");
		root->options->spawner->kill(root->options->spawner, child);
	}
	return OK;
}

/* A process that has lost something finishes what it can; then another starts with everything. */
static enum error
end_by_own_wish(struct root_child *child)
{
	struct ipc_message stop = {
		.kind = IPC_STOP, .stop = {.grace_ms = (uint32_t)(OWN_END_GRACE_US / US_PER_MS)}};

	if (child->told_to_stop || child->end_by != MONO_NEVER)
		return OK;
	log_end(child, child->role, "it lacks something that it needs");
	child->end_by = loop_deadline(child->root->env->loop, OWN_END_KILL_US);
	return channel_try_send(&child->channel, &stop);
}

static enum error
hear_ready(struct root_child *child)
{
	if (child->ready)
		return ERROR_FORMAT;
	child->ready = true;
	child->asked_again = false;
	task_event_signal(&child->root->changed);
	return child->restarts ? OK : root_connect_child(child);
}

static enum error
child_hear(struct root_child *child, const struct ipc_message *message)
{
	switch (message->kind) {
	case IPC_READY:
		return hear_ready(child);
	case IPC_UNABLE:
		return end_by_own_wish(child);
	case IPC_BROKEN:
		return end_broken(child->root, child->role, message->broken.instance);
	case IPC_NEED_DELIVER:
		serve_need_deliver(child->root, child, message->need_deliver.user);
		return OK;
	default:
		return ERROR_FORMAT;
	}
}

/* May wait: the next message, and what follows from it. */
static enum error
child_hear_next(struct root_child *child)
{
	struct loop *loop = child->root->env->loop;
	struct ipc_message message;

	if (loop_now(loop) >= child->end_by)
		return ERROR_TIMEOUT;
	enum error error = channel_receive(&child->channel, child->end_by, &message);
	if (error == OK)
		error = child_hear(child, &message);
	channel_relax(&child->channel);
	return error;
}

/* May wait: what the child says, until its channel ends. */
static void
child_listen(struct root_child *child)
{
	struct root *root = child->root;
	enum error error = OK;

	for (unsigned heard = 1; error == OK; heard++) {
		error = child_hear_next(child);
		if (heard % MESSAGES_A_TURN != 0)
			continue;
		task_yield(root->env->loop);
		if (error == OK && task_is_cancelled(root->env->loop))
			error = ERROR_CANCELLED;
	}
	if (error == ERROR_CLOSED)
		return;
	if (error == ERROR_FORMAT)
		log_event(root->env, LOG_ERROR, "process_broke_the_rules",
			LOG_STRING("role", role_name(child->role)),
			LOG_NUMBER("worker", child->worker));
	else if (error == ERROR_TIMEOUT)
		log_end(child, ROLE_ROOT, "it did not end in time");
	if (child->pid != 0)
		root->options->spawner->kill(root->options->spawner, child);
}

/* May wait: the process has closed its channel, or broke it; a moment later it must be gone. */
static void
child_await_exit(struct root_child *child)
{
	struct root *root = child->root;
	struct loop *loop = root->env->loop;
	mono_us deadline = loop_deadline(loop, EXIT_WAIT_US);

	while (child->pid != 0) {
		if (task_event_wait(loop, &child->exited, deadline) == OK)
			continue;
		root->options->spawner->kill(root->options->spawner, child);
		deadline = MONO_NEVER;
		if (task_is_cancelled(loop))
			return;
	}
}

static void
child_take_apart(struct root_child *child)
{
	struct env *env = child->root->env;

	child->connected = child->ready = false;
	channel_close(&child->channel);
	if (child->wake_fd >= 0)
		env->net->close(env->world, child->wake_fd);
	child->wake_fd = -1;
}

static void
child_report_death(struct root_child *child)
{
	int status = child->exit_status;

	if (child->role == ROLE_LOG) /* nobody would read it in the log */
		fprintf(stderr,
			"veredus: the log process died (wait status %d) and is started again\n",
			status);
	log_event(child->root->env, LOG_ERROR, "process_died",
		LOG_STRING("role", role_name(child->role)), LOG_NUMBER("worker", child->worker),
		LOG_SLICE("name", child->name),
		WIFSIGNALED(status) ? LOG_NUMBER("signal", WTERMSIG(status))
				    : LOG_NUMBER("exit", WEXITSTATUS(status)),
		LOG_NUMBER("lived_ms",
			(env_monotonic(child->root->env) - child->started_at) / US_PER_MS));
}

/* May wait. */
static void
child_pause(struct root_child *child)
{
	struct loop *loop = child->root->env->loop;

	if (env_monotonic(child->root->env) - child->started_at >= BACK_OFF_FORGET_US)
		child->back_off_us = 0;
	if (child->back_off_us > 0 &&
		task_sleep(loop, loop_deadline(loop, child->back_off_us)) != OK)
		return;
	child->back_off_us = child->back_off_us ? child->back_off_us * 2 : BACK_OFF_FIRST_US;
	if (child->back_off_us > BACK_OFF_MAX_US)
		child->back_off_us = BACK_OFF_MAX_US;
}

/* A deliverer for a system user that could not come, or has gone: the queue must not wait for it.
 */
static void
child_refuse_deliveries(struct root_child *child)
{
	struct root *root = child->root;
	struct root_child *queue = root_find_child(root, ROLE_QUEUE, SLICE(""));
	bool no_user =
		WIFEXITED(child->exit_status) && WEXITSTATUS(child->exit_status) == EX_NOUSER;
	struct ipc_message message = {.kind = IPC_NO_DELIVER,
		.no_deliver = {.user = child->name,
			.reason = no_user ? SLICE("no such system user, or not one who gets mail")
					  : SLICE("the deliverer could not be started")}};

	if (!queue || !queue->connected)
		return;
	enum error error = channel_try_send(&queue->channel, &message);
	if (error != OK)
		log_event(root->env, LOG_ERROR, "refusal_not_sent", LOG_SLICE("user", child->name),
			LOG_STRING("error", error_text(error)));
}

static void
child_run_once(struct root_child *child)
{
	struct root *root = child->root;

	if (child->told_to_stop)
		return;
	enum error error = child_bring_up(child);
	if (error == OK)
		error = root_wire_child(child);
	if (error != OK && error != ERROR_CLOSED) {
		log_event(root->env, LOG_ERROR, "process_not_started",
			LOG_STRING("role", role_name(child->role)),
			LOG_STRING("error", error_text(error)));
		if (child->pid != 0)
			root->options->spawner->kill(root->options->spawner, child);
	}
	if (error == OK)
		child_listen(child);
	child_await_exit(child);
}

static bool
child_comes_again(struct root_child *child)
{
	struct root *root = child->root;
	bool again = child->restarts || child->asked_again;

	child->asked_again = false;
	again &= !root->stopping;
	if (again)
		child->told_to_stop = false;
	return again && !root->start_failed && !task_is_cancelled(root->env->loop);
}

static void
child_run(void *arg)
{
	struct root_child *child = arg;
	struct root *root = child->root;

	do {
		child_run_once(child);
		bool was_ready = child->ready;
		child_take_apart(child);
		if (!child->told_to_stop && !root->stopping) {
			if (child->had_process)
				child_report_death(child);
			root->start_failed |= !root->started && !was_ready && child->restarts;
			if (child->restarts || child->asked_again)
				child_pause(child);
		}
		task_event_signal(&root->changed);
	} while (child_comes_again(child));
	if (child->restarts)
		return;
	if (!child->told_to_stop)
		child_refuse_deliveries(child);
	root_disconnect_log(child);
	root_free_child(child);
}

enum error
root_start_child(struct root_child *child)
{
	return task_start(&child->root->tasks, role_name(child->role), child_run, child);
}

void
root_tell_stop(struct root_child *child, int64_t grace_us)
{
	struct root *root = child->root;
	struct ipc_message stop = {
		.kind = IPC_STOP, .stop = {.grace_ms = (uint32_t)(grace_us / US_PER_MS)}};

	child->told_to_stop = true;
	if (child->pid == 0)
		return;
	if (!child->connected || channel_try_send(&child->channel, &stop) != OK)
		root->options->spawner->kill(root->options->spawner, child);
}

pid_t
root_child_pid(const struct root_child *child)
{
	return child->pid;
}
