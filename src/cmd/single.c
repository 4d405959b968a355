/*
 * veredus-single FILE: all roles as tasks of one process, on one loop, each with an environment and
 * memory of its own. For debugging (one process to attach to, sanitizers see everything) and for
 * the simulator. Not installed: nothing is confined here, and a crash is a crash of all.
 */
#include "base/list.h"
#include "proc/child.h"
#include "proc/root.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

struct single {
	struct env env;
	struct root_spawner spawner;
	const char *conf_file;
	struct conf conf;
	struct root *root;
	struct list children;
	int signal_fd;
	struct watch signals;
	struct task_group tasks;
	int exit_code;
};

/* A role that runs as a task. */
struct single_child {
	struct list link;
	struct root_child *child;
	struct task_group group;
	struct child_task task;
};

static void
child_task_run(void *arg)
{
	struct single_child *child = arg;

	child_run(&child->task);
	root_child_exited(child->child, child->task.exit_code << 8); /* as wait would report it */
	list_remove(&child->link);
	if (memory_used(child->task.env.memory) > 0)
		fprintf(stderr, "left behind by %s: %zu octets\n",
			role_name(child->task.functions->role),
			memory_used(child->task.env.memory));
	env_done(&child->task.env);
}

static int
start_task(
	struct root_spawner *spawner, struct root_child *root_child, int child_fd, pid_t *ret_pid)
{
	struct single *single =
		(struct single *)((char *)spawner - offsetof(struct single, spawner));
	struct single_child *child = memory_get(single->env.memory, sizeof *child);

	child->child = root_child;
	env_init_linux(&child->task.env);
	child->task.env.loop = single->env.loop;
	child->task.functions = process_functions_of(root_child_role(root_child));
	child->task.root_fd = child_fd;
	task_group_init(&child->group, single->env.loop);
	if (task_start(&child->group, role_name(root_child_role(root_child)), child_task_run,
		    child) != OK) {
		close(child_fd);
		env_done(&child->task.env);
		return -ENOMEM;
	}
	list_append(&single->children, &child->link);
	*ret_pid = getpid();
	return 0;
}

static void
cancel_task(struct root_spawner *spawner, struct root_child *root_child)
{
	struct single *single =
		(struct single *)((char *)spawner - offsetof(struct single, spawner));

	list_for_each (link, &single->children) {
		struct single_child *child = list_entry(link, struct single_child, link);
		if (child->child == root_child)
			task_group_cancel(&child->group);
	}
}

static void
take_root(void *arg, struct root *root)
{
	((struct single *)arg)->root = root;
}

static void
root_task(void *arg)
{
	struct single *single = arg;
	struct root_options options = {.spawner = &single->spawner,
		.workers = 1,
		.conf_file = single->conf_file,
		.created = take_root,
		.created_arg = single};

	single->exit_code = root_run(&single->env, &single->conf, &options);
	loop_stop(single->env.loop);
}

static void
print_depth(void *arg, const char *name, size_t depth_bytes)
{
	(void)arg;
	fprintf(stderr, "stack depth %-16s %6zu octets\n", name, depth_bytes);
}

/* Before the end: what waits lies as deep as it does in an idle server. */
static void
signals_run(void *arg)
{
	struct single *single = arg;
	struct signalfd_siginfo info;

	while (read(single->signal_fd, &info, sizeof info) < 0 && errno == EAGAIN)
		if (watch_wait(&single->signals, POLL_READABLE, MONO_NEVER) != OK)
			return;
	loop_parked_stacks(single->env.loop, print_depth, NULL);
	root_stop(single->root);
}

static enum error
watch_signals(struct single *single)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	single->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (single->signal_fd < 0)
		return error_from_errno(errno);
	return watch_open(&single->signals, single->env.loop, single->signal_fd, POLL_READABLE);
}

static void
print_peak(void *arg, const char *name, size_t peak_bytes)
{
	(void)arg;
	fprintf(stderr, "stack peak %-16s %6zu octets\n", name, peak_bytes);
}

static void
run(struct single *single)
{
	struct loop_options options = {.paint_stacks = true, .watchdog_us = LOOP_WATCHDOG_US};

	loop_new(&single->env, &options);
	task_group_init(&single->tasks, single->env.loop);
	list_init(&single->children);
	if (watch_signals(single) == OK &&
		task_start(&single->tasks, "root", root_task, single) == OK &&
		task_start(&single->tasks, "signals", signals_run, single) == OK)
		loop_run(single->env.loop);
	loop_stack_census(single->env.loop, print_peak, NULL);
	watch_close(&single->signals);
	close(single->signal_fd);
	loop_free(&single->env.loop);
}

int
main(int argc, char **argv)
{
	struct single single = {.spawner = {start_task, cancel_task}, .exit_code = EX_OSERR};
	struct arena arena;

	if (argc != 2) {
		fprintf(stderr, "usage: veredus-single FILE\n");
		return EX_USAGE;
	}
	umask(077);
	single.conf_file = argv[1];
	env_init_linux(&single.env);
	arena_init(&arena, single.env.memory, CONF_ARENA_MAX);
	if (conf_load_or_say(&single.env, &arena, argv[1], &single.conf) == OK)
		run(&single);
	else
		single.exit_code = EX_CONFIG;
	env_done(&single.env);
	return single.exit_code;
}
