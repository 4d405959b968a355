/* What the files of root share: root.c the life of the whole, root_child.c the life of one child,
 * root_wire.c who is connected with whom. */
#ifndef PROC_ROOT_PRIVATE_H
#define PROC_ROOT_PRIVATE_H

#include "base/log_record.h"
#include "proc/sandbox.h"
#include "ipc/channel.h"
#include "ipc/log_ring.h"
#include "net/endpoint.h"
#include "proc/root.h"

#include <sys/un.h>

#define RING_BLOCKS                                                                         \
	8192 /* 128 MiB a session worker, used as they are touched: eight for each of 1,024 \
		messages */
#define ROOT_NAME_MAX                 320
#define SYSTEM_DELIVERERS_MAX         64
#define SYSTEM_DELIVERERS_LEAVING_MAX 16   /* beside them: those on their way out */
#define WORKER_NUMBERS                4096 /* of a role */

/* An open folder or socket that children get. */
struct root_folder {
	struct list link;
	enum role role;    /* who gets it */
	struct slice name; /* and of which name, for deliverers */
	struct slice path;
	int fd;
	/* A certificate's file: whose, and as it was when it was opened. Without it fd is -1. */
	struct slice certificate;
	dev_t device;
	ino_t inode;
	off_t size;
	int64_t changed_at;
};

struct root_listener {
	struct list link;
	enum role role;
	struct slice name;
	int type;
	struct endpoint endpoint; /* the real one, after port 0 */
	int fd;
	/* A Unix socket's file, which goes at the end if it is still this one; "": none. */
	char path[sizeof(struct sockaddr_un)];
	dev_t device;
	ino_t inode;
};

struct root_child {
	struct list link;
	struct root *root;
	enum role role;
	uint32_t worker;
	struct slice name;   /* of a deliverer */
	struct slice run_as; /* empty: nobody else */
	bool restarts;       /* else it comes when asked for: a system user's deliverer */
	pid_t pid;           /* 0: not running */
	struct channel channel;
	bool connected; /* its channel works and it had START: others may be connected to it */
	bool ready;
	bool told_to_stop;
	bool had_process; /* in its present life; else there is no exit status */
	int exit_status;
	mono_us end_by;  /* of a process that asked for its end; MONO_NEVER */
	int log_ring_fd; /* as long as the child's place exists */
	int wake_fd;     /* of the present process; -1 */
	mono_us started_at;
	int64_t back_off_us;
	uint64_t asked;    /* order of the last request, for system users' deliverers */
	bool asked_again;  /* while it was on its way down: another is started when it is gone */
	uint32_t instance; /* of the present process: no other ever had it */
	struct task_event exited;
	uint8_t name_storage[ROOT_NAME_MAX];
};

struct root {
	struct env *env;
	const struct conf *conf;
	const struct root_options *options;
	struct arena arena;
	struct log_writer log;
	int log_wake_fd;
	int log_ring_fd;
	struct list children;
	struct list folders;
	struct list listeners;
	struct task_group tasks;
	struct task_event changed; /* a child became ready or ended, or root shall stop */
	uint32_t workers;
	uint64_t requests;
	uint32_t last_deliverer; /* number */
	uint32_t instances;
	bool as_root;
	bool stopping;
	bool started; /* all were ready once: from here on a death is repaired, not fatal */
	bool start_failed;
};

/* root_child.c */
struct root_child *root_add_child(struct root *root, enum role role, uint32_t worker,
	struct slice name, struct slice run_as, bool restarts);
MUST_CHECK enum error root_start_child(struct root_child *child);
/* STOP; its end is seen by root->changed. */
void root_tell_stop(struct root_child *child, int64_t grace_us);
void root_free_child(struct root_child *child);
/* A number that no deliverer has: their log rings are told apart by it. */
uint32_t root_new_deliverer_number(struct root *root);
struct root_child *root_find_child(struct root *root, enum role role, struct slice name);

/* root_wire.c */
/* Gives a child that has just come to life everything: START, peers, rings, folders, listeners, GO.
 */
MUST_CHECK enum error root_wire_child(struct root_child *child);
/* The connections alone, with all living counterparts. */
MUST_CHECK enum error root_connect_child(struct root_child *child);

/* What `log` needs of a child that will not come again. */
void root_disconnect_log(struct root_child *child);
/* One of root->folders. */
MUST_CHECK enum error root_send_folder(struct root_child *child, const struct root_folder *folder);
/* The log file, anew; for `log` if it lives. */
MUST_CHECK enum error root_send_log_file(struct root *root, struct root_child *log);

/* root_certificates.c */
void root_set_up_certificates(struct root *root);
/* Whether there is one that may be replaced. */
bool root_has_watched_files(const struct conf *conf);
/* A task: files that were replaced go to `keys`. */
void root_watch_certificates(void *root);

/* root_setup.c */
/* A listener that a process has ended (they share the socket) is bound anew: else nobody could
 * connect until the whole server is restarted. */
MUST_CHECK enum error root_revive_listener(struct root *root, struct root_listener *listener);
/* Folders, sockets and the list of children, from the configuration. Exit code; 0 is good. */
int root_set_up(struct root *root);
void root_take_down(struct root *root);

#endif
