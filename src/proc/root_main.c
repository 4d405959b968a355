/*
 * veredus-core as root: signals through a descriptor, children by fork and exec with nothing but
 * their channel. A child gets an empty environment (sanitizers' settings apart), no descriptor but
 * 0, 1, 2 and its channel, no blocked signals, and dies with its parent.
 */
#include "proc/child.h"
#include "proc/root.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#define ENVIRONMENT_KEPT_MAX 8
#define OPEN_FILES_WANTED    65536

struct core {
	struct env env;
	struct root_spawner spawner;
	const char *const *programs;
	const char *conf_file;
	struct conf conf;
	struct root *root;
	int signal_fd;
	struct watch signals;
	struct task_group tasks;
	int exit_code;
};

/* Nobody reads standard input, and what is announced on standard output is the log's to write.
 * Standard error takes last words. */
static bool
close_terminal(enum role role)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	return null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
	       (role == ROLE_LOG || dup2(null, STDOUT_FILENO) >= 0);
}

/* Between fork and exec: system calls only. */
static void __attribute__((noreturn))
child_exec(const char *program, const char *name, enum role role, int child_fd, pid_t parent)
{
	char *arguments[] = {(char *)(uintptr_t)name, NULL};
	char *environment[ENVIRONMENT_KEPT_MAX + 1] = {NULL};
	size_t kept = 0;
	sigset_t none;

	for (char **variable = environ; *variable && kept < ENVIRONMENT_KEPT_MAX; variable++)
		if (strncmp(*variable, "ASAN_", 5) == 0 || strncmp(*variable, "UBSAN_", 6) == 0 ||
			strncmp(*variable, "LSAN_", 5) == 0)
			environment[kept++] = *variable;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Ctrl-C goes to the whole group of the terminal: root ends the others in order. */
	sigaction(SIGINT, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	if (getppid() == parent && close_terminal(role) &&
		dup2(child_fd, CHILD_ROOT_FD) == CHILD_ROOT_FD &&
		close_range(CHILD_ROOT_FD + 1, ~0u, 0) == 0)
		execve(program, arguments, environment);
	_exit(EX_OSERR);
}

static int
spawn_process(struct root_spawner *spawner, struct root_child *child, int child_fd, pid_t *ret_pid)
{
	char name[32];
	struct core *core = (struct core *)((char *)spawner - offsetof(struct core, spawner));
	enum role role = root_child_role(child);
	const char *program = core->programs[process_rights_of(role)->program];
	pid_t parent = getpid();

	snprintf(name, sizeof name, CHILD_NAME_PREFIX "%s", role_name(role));
	pid_t pid = fork();

	if (pid == 0)
		child_exec(program, name, role, child_fd, parent);
	int error = errno;
	close(child_fd);
	if (pid < 0)
		return -error;
	*ret_pid = pid;
	return 0;
}

static void
kill_process(struct root_spawner *spawner, struct root_child *child)
{
	(void)spawner;
	kill(root_child_pid(child), SIGKILL);
}

static void
reap(struct core *core)
{
	int status;

	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
		root_pid_exited(core->root, pid, status);
}

static void
signals_run(void *arg)
{
	struct core *core = arg;
	struct signalfd_siginfo info;

	for (;;) {
		ssize_t got = read(core->signal_fd, &info, sizeof info);
		if (got < 0 && errno == EAGAIN &&
			watch_wait(&core->signals, POLL_READABLE, MONO_NEVER) == OK)
			continue;
		if (got != sizeof info)
			return;
		if (info.ssi_signo == SIGCHLD)
			reap(core);
		else if (info.ssi_signo == SIGHUP)
			root_reopen_log(core->root);
		else
			root_stop(core->root);
	}
}

static void
take_root(void *arg, struct root *root)
{
	((struct core *)arg)->root = root;
}

static void
root_task(void *arg)
{
	struct core *core = arg;
	struct root_options options = {.spawner = &core->spawner,
		.conf_file = core->conf_file,
		.created = take_root,
		.created_arg = core};

	core->exit_code = root_run(&core->env, &core->conf, &options);
	loop_stop(core->env.loop);
}

/* As many open files as the system lets us have, within reason: sessions and tables need one each,
 * and many shells start programs with room for 1024. The children inherit it. */
static void
raise_open_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur >= OPEN_FILES_WANTED)
		return;
	files.rlim_cur = files.rlim_max < OPEN_FILES_WANTED ? files.rlim_max : OPEN_FILES_WANTED;
	setrlimit(RLIMIT_NOFILE, &files); /* refused: sessions are limited by what there is */
}

static enum error
watch_signals(struct core *core)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	core->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (core->signal_fd < 0)
		return error_from_errno(errno);
	return watch_open(&core->signals, core->env.loop, core->signal_fd, POLL_READABLE);
}

int
root_main(const char *conf_file, const char *const programs[PROGRAM_COUNT])
{
	struct core core = {.spawner = {spawn_process, kill_process},
		.programs = programs,
		.conf_file = conf_file,
		.exit_code = EX_OSERR};
	struct loop_options options = {.watchdog_us = LOOP_WATCHDOG_US};
	struct arena arena;

	umask(077);
	raise_open_files();
	env_init_linux(&core.env);
	arena_init(&arena, core.env.memory, CONF_ARENA_MAX);
	if (conf_load_or_say(&core.env, &arena, conf_file, &core.conf) == OK) {
		loop_new(&core.env, &options);
		task_group_init(&core.tasks, core.env.loop);
		if (watch_signals(&core) == OK &&
			task_start(&core.tasks, "root", root_task, &core) == OK &&
			task_start(&core.tasks, "signals", signals_run, &core) == OK)
			loop_run(core.env.loop);
		loop_free(&core.env.loop);
	} else {
		core.exit_code = EX_CONFIG;
	}
	env_done(&core.env);
	return core.exit_code;
}
