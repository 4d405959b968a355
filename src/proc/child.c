/*
 * Order of a life: START (who, which configuration, where to log), then at once the user, whatever
 * else root has (peers, rings, listeners, folders), GO: then the filters close and work begins.
 * STOP ends it in good order; root's end ends it at once, since nobody would restart what it talks
 * to.
 */
#include "proc/child.h"
#include "ipc/log_ring.h"
#include "proc/find_user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define CONF_VIEW_MAX          CONF_TEXT_MAX
#define FIRST_SYSTEM_LOGIN_UID 1000  /* mail is never delivered as a daemon's account, */
#define LAST_SYSTEM_LOGIN_UID  59999 /* nor as one that no person has (Debian policy 9.2.2) */
#define LOST_GRACE_US          (5 * US_PER_S)

struct child {
	struct child_task *task;
	struct env *env;
	const struct role_functions *functions;
	struct channel root;
	struct arena arena;
	struct conf conf;
	struct log_writer log;
	struct sandbox sandbox;
	struct role_context context;
	char home[256];
	void *state;
	uint32_t workers;
	bool working;
};

/* For what goes wrong before there is a log, or with it. */
static void
complain(const struct child *child, const char *what, enum error error)
{
	fprintf(stderr, "veredus-%s: %s: %s\n", role_name(child->functions->role), what,
		error_text(error));
}

static enum error
read_configuration(struct child *child, int memory_fd)
{
	struct env *env = child->env;
	struct conf_problems problems;
	struct buffer text;
	enum error error = OK;
	uint8_t piece[1024];
	ssize_t got;

	buffer_init(&text, env->memory, CONF_VIEW_MAX);
	while ((got = env->disk->pread(
			env->world, memory_fd, piece, sizeof piece, (off_t)text.len)) > 0)
		buffer_append(&text, slice_of(piece, (size_t)got));
	error = got < 0 ? ERROR_IO : buffer_error(&text);
	conf_problems_init(&problems, env->memory);
	if (error == OK)
		error = conf_parse_view(env, &child->arena,
			process_conf_readers(child->functions->role), buffer_slice(&text),
			&child->conf, &problems);
	conf_problems_done(&problems);
	buffer_done(&text);
	env->disk->close(env->world, memory_fd);
	return error;
}

/* "system:alice": mail for a system user, as that user. */
static bool
is_system_deliverer(struct slice name)
{
	return slice_has_prefix(name, SLICE("system:"));
}

static enum error
find_user(struct child *child, struct slice name)
{
	struct env *env = child->env;
	char *text = arena_text(&child->arena, name);
	struct user *user = &child->sandbox.user;

	if (name.len == 0)
		return OK;
	if (!text)
		return ERROR_FORMAT;
	enum error error = find_user_offloaded(env, text, user, USER_LOOKUP_US);
	if (error != OK)
		return error;
	if (is_system_deliverer(child->context.name) &&
		(user->uid < FIRST_SYSTEM_LOGIN_UID || user->uid > LAST_SYSTEM_LOGIN_UID ||
			user->gid == 0))
		return ERROR_DENIED;
	child->sandbox.becomes_user = geteuid() == 0;
	memcpy(child->home, user->home, sizeof child->home);
	return OK;
}

/* Before the role exists: none of its code ever runs as root. */
static enum error
become_user(struct child *child)
{
	const char *what = "";
	enum error error =
		child->task->sandboxed ? sandbox_become_user(&child->sandbox, &what) : OK;

	if (error != OK)
		log_event(child->env, LOG_ERROR, "sandbox_failed",
			LOG_STRING("role", role_name(child->functions->role)),
			LOG_STRING("step", what), LOG_STRING("error", error_text(error)));
	return error;
}

static enum error
take_start(struct child *child, struct ipc_message *message)
{
	struct env *env = child->env;
	int conf_fd = message->fds[0], log_fd = message->fds[1], log_wake_fd = message->fds[2];
	struct slice name;

	child->context = (struct role_context){.env = env,
		.conf = &child->conf,
		.worker = message->start.worker,
		.log_wake_fd = log_wake_fd,
		.wake_fd = message->fds[3],
		.root = &child->root,
		.sandbox = &child->sandbox};
	if (!arena_copy(&child->arena, message->start.name, &name))
		return ERROR_NO_MEMORY;
	child->context.name = name;
	enum error error = log_writer_open(&child->log, env, log_fd, log_wake_fd);
	env->net->close(env->world, log_fd);
	if (error == OK)
		env->log = &child->log.sink;
	if (error == OK)
		error = find_user(child, message->start.run_as);
	if (error == OK)
		error = read_configuration(child, conf_fd);
	if (error != OK)
		return error;
	child->sandbox.chroot &=
		!is_system_deliverer(name); /* its home is opened as the user, by its path */
	error = become_user(child);
	if (error != OK)
		return error;
	if (is_system_deliverer(name))
		child->context.home = slice_text(child->home);
	child->state = child->functions->new (&child->context);
	return OK;
}

/* A file that root has opened for us needs nothing more. */
static bool
is_folder(struct env *env, int fd)
{
	struct stat stat;

	return env->disk->fstat(env->world, fd, &stat) == 0 && S_ISDIR(stat.st_mode);
}

/* Everything that root has for us up to GO; folders are what Landlock will allow. */
static enum error
take_orders(struct child *child)
{
	struct ipc_message message;

	for (;;) {
		enum error error = channel_receive(&child->root, MONO_NEVER, &message);
		if (error != OK)
			return error;
		if (message.kind == IPC_GO) {
			child->workers = message.go.workers;
			return OK;
		}
		if (message.kind == IPC_STOP)
			return ERROR_CLOSED;
		if (message.kind == IPC_FOLDER && child->sandbox.rights->folders != FOLDER_NONE &&
			is_folder(child->env, message.fds[0]))
			sandbox_allow_folder(
				&child->sandbox, message.fds[0], child->sandbox.rights->folders);
		child->functions->message(child->state, &message);
	}
}

static enum error
give_up_rights(struct child *child)
{
	const struct role_functions *functions = child->functions;
	const char *what = "opening its folders";
	enum error error =
		functions->prepare ? functions->prepare(child->state, &child->context) : OK;

	if (child->sandbox.folders_cut)
		log_event(child->env, LOG_WARNING, "landlock_left_off",
			LOG_STRING("role", role_name(functions->role)),
			LOG_NUMBER("folders_max", SANDBOX_FOLDERS_MAX));
	if (error == OK && child->task->sandboxed)
		error = sandbox_close(&child->sandbox, &what);
	if (error != OK)
		log_event(child->env, LOG_ERROR, "sandbox_failed",
			LOG_STRING("role", role_name(functions->role)), LOG_STRING("step", what),
			LOG_STRING("error", error_text(error)));
	return error;
}

void
child_ask_end(const struct role_context *context)
{
	struct ipc_message unable = {.kind = IPC_UNABLE, .unable = {.worker = context->worker}};
	enum error error = channel_try_send(context->root, &unable);

	if (error != OK)
		log_event(context->env, LOG_ERROR, "root_not_told",
			LOG_STRING("error", error_text(error)));
}

static enum error
begin_work(struct child *child)
{
	struct ipc_message ready = {.kind = IPC_READY, .ready = {.worker = child->context.worker}};
	enum error error = give_up_rights(child);

	if (error == OK)
		error = child->functions->go(child->state, child->workers);
	if (error == OK)
		error = channel_send(&child->root, &ready, MONO_NEVER);
	child->working = error == OK;
	return error;
}

/* Until STOP (OK) or root's end. */
static enum error
work(struct child *child, int64_t *ret_grace_us)
{
	struct ipc_message message;

	for (;;) {
		enum error error = channel_receive(&child->root, MONO_NEVER, &message);
		if (error != OK)
			return error;
		if (message.kind == IPC_STOP) {
			*ret_grace_us = (int64_t)message.stop.grace_ms * US_PER_MS;
			return OK;
		}
		child->functions->message(child->state, &message);
		channel_relax(&child->root);
	}
}

/* START: what this process is. */
static enum error
await_start(struct child *child)
{
	struct ipc_message message;
	enum error error = channel_receive(&child->root, MONO_NEVER, &message);

	if (error == OK && message.kind != IPC_START)
		error = ERROR_FORMAT;
	return error == OK ? take_start(child, &message) : error;
}

static int
child_live(struct child *child)
{
	int64_t grace_us = 0;
	enum error error = await_start(child);

	if (error != OK) {
		if (error != ERROR_CLOSED)
			complain(child, "can't start", error);
		return error == ERROR_NOT_FOUND || error == ERROR_DENIED ? EX_NOUSER : EX_SOFTWARE;
	}
	error = take_orders(child);
	if (error == OK)
		error = begin_work(child);
	if (error == OK)
		error = work(child, &grace_us);
	if (child->working && error != OK && error != ERROR_CLOSED && error != ERROR_CANCELLED) {
		/* Root lives, but what it says can't be taken (there was no descriptor left for
		 * what came with it): the next process gets it. */
		log_event(child->env, LOG_ERROR, "root_not_understood",
			LOG_STRING("error", error_text(error)),
			LOG_STRING("effect", "this process ends, another takes its place"));
		grace_us = LOST_GRACE_US;
	} else if (error != OK && child->task->sandboxed) {
		return EX_UNAVAILABLE; /* root is gone: at once, as after a power cut */
	}
	if (child->working)
		child->functions->stop(child->state, grace_us);
	child->functions->free(&child->state);
	return error == OK ? EX_OK : EX_UNAVAILABLE;
}

static void
child_done(struct child *child)
{
	struct env *env = child->env;

	channel_close(&child->root);
	if (child->log.shared) {
		env->log = NULL;
		log_writer_close(&child->log);
		env->net->close(env->world, child->context.log_wake_fd);
	}
	arena_done(&child->arena);
	memory_put(env->memory, child);
}

void
child_run(void *arg)
{
	struct child_task *task = arg;
	struct child *child = memory_get(task->env.memory, sizeof *child);
	enum role role = task->functions->role;

	child->task = task;
	child->env = &task->env;
	child->functions = task->functions;
	child->sandbox.rights = process_rights_of(role);
	child->sandbox.chroot = child->sandbox.rights->chroot && geteuid() == 0;
	arena_init(&child->arena, child->env->memory, CONF_ARENA_MAX);
	if (channel_open(&child->root, child->env->loop, task->root_fd, role, ROLE_ROOT) == OK)
		task->exit_code = child_live(child);
	else
		task->exit_code = EX_OSERR;
	if (task->sandboxed)
		_exit(task->exit_code); /* what the process still holds is the kernel's to take back
					 */
	child_done(child);
}

static const struct role_functions *
functions_by_name(const char *path)
{
	struct slice name = slice_text(path);
	enum role role;

	while (slice_find(name, 0, '/') >= 0)
		name = slice_from(name, (size_t)slice_find(name, 0, '/') + 1);
	if (!slice_has_prefix(name, SLICE(CHILD_NAME_PREFIX)) ||
		!role_parse(slice_from(name, sizeof CHILD_NAME_PREFIX - 1), &role))
		return NULL;
	return process_functions_of(role);
}

int
child_main(const char *name)
{
	const struct role_functions *functions = functions_by_name(name);
	struct child_task task = {.functions = functions,
		.root_fd = CHILD_ROOT_FD,
		.sandboxed = true,
		.exit_code = EX_SOFTWARE};
	struct loop_options options = {.watchdog_us = LOOP_WATCHDOG_US};
	struct task_group group;

	if (!functions || fcntl(CHILD_ROOT_FD, F_GETFD) < 0) {
		fprintf(stderr, "%s is started by `veredus serve`, not by hand\n", name);
		return EX_USAGE;
	}
	umask(077);
	env_init_linux(&task.env);
	loop_new(&task.env, &options);
	task_group_init(&group, task.env.loop);
	if (task_start(&group, role_name(functions->role), child_run, &task) != OK)
		return EX_OSERR;
	loop_run(task.env.loop);
	return task.exit_code;
}
