/*
 * A process other than root: reads its orders, gives up its rights, works until it is told to stop
 * or root is gone. The same code runs as a task in veredus-single, without giving up anything.
 */
#ifndef PROC_CHILD_H
#define PROC_CHILD_H

#include "conf/conf.h"
#include "ipc/channel.h"
#include "proc/sandbox.h"

#define CHILD_NAME_PREFIX "veredus-" /* of processes: the role follows */
#define CHILD_ROOT_FD     3          /* where a started process finds its channel to root */

/* What a role gets to know of itself. */
struct role_context {
	struct env *env;
	const struct conf *conf;
	uint32_t worker;
	struct slice name;    /* of a deliverer; else empty */
	struct slice home;    /* of a deliverer for a system user; else empty */
	int log_wake_fd;      /* borrowed: what writers of log rings signal; `log` waits for it */
	int wake_fd;          /* owned by the role from here on */
	struct channel *root; /* for what the role asks of root */
	struct sandbox *sandbox;
};

/* How proc/ drives a role. */
struct role_functions {
	enum role role;
	void *(*new)(struct role_context *context);
	/* Takes over the message's descriptors. Messages may come at any time between new and stop.
	 */
	void (*message)(void *state, struct ipc_message *message);
	/* As the user the process is to be, before the filters: what needs paths is opened here. */
	enum error (*prepare)(void *state, struct role_context *context);
	enum error (*go)(void *state, uint32_t workers);
	/* May wait. */
	void (*stop)(void *state, int64_t grace_us);
	void (*free)(void **state);
};

/* Asks root to end this process in good order and to start another. */
void child_ask_end(const struct role_context *context);

/* Weak: each program has only those that it is built with, so that no process maps another's
 * libraries. */
#define ROLE_DECLARATION(ROLE, name) \
	extern const struct role_functions role_##name __attribute__((weak));
ROLES(ROLE_DECLARATION)
#undef ROLE_DECLARATION

/* main() of every program for the roles it is built with, by the name it is started under
 * ("veredus-queue"): never returns before the process' end. EX_USAGE when it is none of them. */
int child_main(const char *name);

/* A role as a task of the caller's loop, on a channel to root (veredus-single). The environment is
 * the role's own. */
struct child_task {
	struct env env;
	const struct role_functions *functions;
	int root_fd;
	bool sandboxed;
	int exit_code;
};
void child_run(void *child_task);

#endif
