/*
 * The life of a server: set up, start in stages (what keeps mail before what takes it), say where
 * it listens, repair what dies, end in the opposite order (nothing new comes in, then what is under
 * way is finished, the log last).
 */
#include "net/listener.h"
#include "proc/root_private.h"

#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#define START_US      (60 * US_PER_S) /* for a recovery of millions of messages, with room */
#define KILL_AFTER_US (2 * US_PER_S)

void
root_stop(struct root *root)
{
	root->stopping = true;
	task_event_signal(&root->changed);
}

static const struct process_rights *
row_of(const struct root_child *child)
{
	return process_rights_of(child->role);
}

static void
start_stage(struct root *root, enum stage stage)
{
	list_for_each (link, &root->children) {
		struct root_child *child = list_entry(link, struct root_child, link);
		if (row_of(child)->stage == stage && root_start_child(child) != OK)
			root->start_failed = true;
	}
}

/* One that is not ready yet, of this stage; NULL. */
static const struct root_child *
find_unready(const struct root *root, enum stage stage, bool awaited_only)
{
	list_for_each (link, &root->children) {
		const struct root_child *child = list_entry(link, struct root_child, link);
		if (row_of(child)->stage == stage && child->restarts && !child->ready &&
			(row_of(child)->awaited || !awaited_only))
			return child;
	}
	return NULL;
}

/* May wait. False when the start has failed or was called off. */
static bool
await_ready(struct root *root, enum stage stage, bool awaited_only)
{
	mono_us deadline = loop_deadline(root->env->loop, START_US);
	const struct root_child *missing;

	while ((missing = find_unready(root, stage, awaited_only))) {
		if (root->start_failed || root->stopping)
			return false;
		if (task_event_wait(root->env->loop, &root->changed, deadline) != OK) {
			log_event(root->env, LOG_ERROR, "start_timed_out",
				LOG_STRING("role", role_name(missing->role)));
			root->start_failed = true;
		}
	}
	return true;
}

/* May wait. What only talks to the log and the queue need not wait for the queue's recovery. */
static bool
start_all(struct root *root)
{
	for (enum stage stage = 0; stage < STAGES; stage++) {
		start_stage(root, stage);
		if (!await_ready(root, stage, true))
			return false;
	}
	for (enum stage stage = 0; stage < STAGES; stage++)
		if (!await_ready(root, stage, false))
			return false;
	return true;
}

static bool
stage_is_running(const struct root *root, enum stage stage)
{
	list_for_each (link, &root->children) {
		const struct root_child *child = list_entry(link, struct root_child, link);
		if (row_of(child)->stage == stage && child->pid != 0)
			return true;
	}
	return false;
}

static void
kill_stage(struct root *root, enum stage stage)
{
	list_for_each (link, &root->children) {
		struct root_child *child = list_entry(link, struct root_child, link);
		if (row_of(child)->stage != stage || child->pid == 0)
			continue;
		log_event(root->env, LOG_WARNING, "process_killed",
			LOG_STRING("role", role_name(child->role)),
			LOG_NUMBER("worker", child->worker));
		root->options->spawner->kill(root->options->spawner, child);
	}
}

/* The longest time that one of the stage has to end by itself. */
static int64_t
tell_stage_to_stop(struct root *root, enum stage stage)
{
	int64_t longest_us = 0;

	list_for_each (link, &root->children) {
		struct root_child *child = list_entry(link, struct root_child, link);
		int64_t grace_us = row_of(child)->grace_us;
		if (row_of(child)->stage != stage)
			continue;
		root_tell_stop(child, grace_us);
		longest_us = grace_us > longest_us ? grace_us : longest_us;
	}
	return longest_us;
}

/* May wait. */
static void
end_stage(struct root *root, enum stage stage)
{
	struct loop *loop = root->env->loop;
	mono_us deadline = loop_deadline(loop, tell_stage_to_stop(root, stage) + KILL_AFTER_US);

	while (stage_is_running(root, stage)) {
		if (task_event_wait(loop, &root->changed, deadline) == OK)
			continue;
		kill_stage(root, stage);
		deadline = loop_deadline(loop, KILL_AFTER_US);
	}
}

/* May wait. */
static void
end_all(struct root *root)
{
	root->stopping = true;
	end_stage(root, STAGE_ACCEPT);
	end_stage(root, STAGE_STORE);
	end_stage(root, STAGE_SERVE);
	log_event(root->env, LOG_INFO, "stopped", LOG_NUMBER("pid", getpid()));
	end_stage(root, STAGE_LOG);
	task_group_cancel(&root->tasks);
	task_group_wait(&root->tasks);
}

static void
announce_listeners(struct root *root)
{
	uint8_t storage[256];
	struct buffer line;

	list_for_each (link, &root->listeners) {
		struct root_listener *listener = list_entry(link, struct root_listener, link);
		struct endpoint endpoint;
		if (listener->role != ROLE_SESSION ||
			listener_endpoint(root->env, listener->fd, &endpoint) != OK)
			continue;
		buffer_init_fixed(&line, storage, sizeof storage);
		endpoint_append(&line, &endpoint);
		log_event(root->env, LOG_INFO, "listening", LOG_SLICE("name", listener->name),
			LOG_SLICE("address", buffer_slice(&line)));
		printf("listening smtp %.*s\n", SLICE_ARGS(buffer_slice(&line)));
	}
	fflush(stdout);
}

/* A kernel without one of these still runs Veredus, but nobody should have to guess. */
static void
report_sandbox(struct root *root)
{
	struct sandbox_support support = sandbox_probe();
	bool whole = support.landlock >= 2 && support.seccomp;

	log_event(root->env, whole ? LOG_INFO : LOG_WARNING, "sandbox",
		LOG_NUMBER("landlock", support.landlock),
		LOG_STRING("seccomp", support.seccomp ? "yes" : "no"),
		LOG_STRING("effect", whole ? "processes are confined"
					   : "this kernel lacks a part: processes are confined "
					     "less than they could be"));
}

static int
root_open_log(struct root *root)
{
	struct env *env = root->env;

	root->log_wake_fd = env->poll->wake_create(env->world);
	if (root->log_wake_fd < 0 || log_ring_memory_new(env, &root->log_ring_fd) != OK ||
		log_writer_open(&root->log, env, root->log_ring_fd, root->log_wake_fd) != OK) {
		fprintf(stderr, "veredus: no memory for the log\n");
		return EX_OSERR;
	}
	env->log = &root->log.sink;
	return EX_OK;
}

static void
root_done(struct root *root)
{
	struct env *env = root->env;

	root_take_down(root);
	env->log = NULL;
	log_writer_close(&root->log);
	if (root->log_ring_fd >= 0)
		env->net->close(env->world, root->log_ring_fd);
	if (root->log_wake_fd >= 0)
		env->net->close(env->world, root->log_wake_fd);
	arena_done(&root->arena);
	memory_put(env->memory, root);
}

/* The log has the reasons; a person at a terminal shall not have to guess that there is one. */
static int
start_failed(const struct root *root)
{
	const struct conf_log *log = &root->conf->log;

	fprintf(stderr, "veredus: the server could not be started; %s%.*s\n",
		log->to == CONF_LOG_FILE ? "the reason is in the log, " : "the reason stands above",
		log->to == CONF_LOG_FILE ? (int)log->file.len : 0,
		log->to == CONF_LOG_FILE ? (const char *)log->file.ptr : "");
	return EX_SOFTWARE;
}

static void
watch_certificates(struct root *root)
{
	enum error error = task_start(&root->tasks, "certificates", root_watch_certificates, root);

	if (error != OK)
		log_event(root->env, LOG_ERROR, "certificates_not_watched",
			LOG_STRING("error", error_text(error)),
			LOG_STRING("effect", "new files count after a restart"));
}

int
root_run(struct env *env, const struct conf *conf, const struct root_options *options)
{
	struct root *root = memory_get(env->memory, sizeof *root);

	*root = (struct root){.env = env,
		.conf = conf,
		.options = options,
		.log_ring_fd = -1,
		.log_wake_fd = -1,
		.as_root = geteuid() == 0};
	list_init(&root->children);
	list_init(&root->folders);
	list_init(&root->listeners);
	task_group_init(&root->tasks, env->loop);
	task_event_init(&root->changed);
	arena_init(&root->arena, env->memory, SIZE_MAX);
	if (options->created)
		options->created(options->created_arg, root);
	int code = root_open_log(root);
	if (code == EX_OK)
		code = root_set_up(root);
	if (code == EX_OK) {
		log_event(env, LOG_INFO, "starting", LOG_STRING("version", VEREDUS_VERSION),
			LOG_NUMBER("pid", getpid()), LOG_NUMBER("workers", root->workers));
		report_sandbox(root);
		root->started = start_all(root);
		if (root->started && root_has_watched_files(conf))
			watch_certificates(root);
		if (root->started)
			announce_listeners(root);
		else if (!root->stopping)
			code = start_failed(root);
		while (root->started && !root->stopping)
			if (task_event_wait(env->loop, &root->changed, MONO_NEVER) != OK)
				break;
		end_all(root);
	}
	root_done(root);
	return code;
}
