/*
 * The `root` role: starts the other processes, connects them, restarts those that die, ends them in
 * order. It parses the administrator's configuration and nothing from outside.
 */
#ifndef PROC_ROOT_H
#define PROC_ROOT_H

#include "base/env.h"
#include "conf/conf.h"
#include "proc/rights.h"

struct root;
struct root_child;

/* How a child comes to life: as a process of its own, or as a task (veredus-single). */
struct root_spawner {
	/* Starts the role with this end of its channel to root, which it takes over. -errno on
	 * failure. */
	int (*start)(struct root_spawner *spawner, struct root_child *child, int child_fd,
		pid_t *ret_pid);
	/* Ends it at once. */
	void (*kill)(struct root_spawner *spawner, struct root_child *child);
};

struct root_options {
	struct root_spawner *spawner;
	uint32_t workers; /* session processes; 0: one a core */
	const char *conf_file;
	/* Called once the root exists, so that signals can reach it (root_stop, root_pid_exited).
	 */
	void (*created)(void *arg, struct root *root);
	void *created_arg;
};

/*
 * May wait: the whole life of a server. Prints `listening smtp ADDR:PORT` for each listener when
 * mail can come in. Exit code as sysexits.
 */
int root_run(struct env *env, const struct conf *conf, const struct root_options *options);

/* Asks a running root to end in good order; for signal handling. */
void root_stop(struct root *root);

/* Asks a running root to open the log file again (after it was renamed), if there is one. */
void root_reopen_log(struct root *root);

enum role root_child_role(const struct root_child *child);
pid_t root_child_pid(const struct root_child *child);

/* The process or task of this child has ended, with this wait status. */
void root_child_exited(struct root_child *child, int status);
void root_pid_exited(struct root *root, pid_t pid, int status);

/* main() of veredus-core as root: reads the file, forks children, handles signals. `programs` are
 * paths by enum program. */
int root_main(const char *conf_file, const char *const programs[PROGRAM_COUNT]);

#endif
