/*
 * The one table of processes: for each role which program it is, how many, as whom, with which
 * peers, folders and system calls. What stands here is what root starts and what the kernel
 * enforces; docs/threat-model.md explains why.
 */
#ifndef PROC_RIGHTS_H
#define PROC_RIGHTS_H

#include "base/buffer.h"
#include "conf/conf.h"
#include "ipc/role.h"

enum program { PROGRAM_CORE, PROGRAM_VEREDUS, PROGRAM_LOOKUP };

enum run_as {
	RUN_AS_CALLER, /* root itself: as root where it must bind ports and become others, else as
			  whoever started it */
	RUN_AS_USER,   /* the configuration's `user` */
	RUN_AS_OWNER,  /* the owner of the mailboxes, or the system user whose mail it is */
};

enum how_many { ONE, ONE_A_CORE, ONE_AN_OWNER };

enum folder_access {
	FOLDER_NONE,
	FOLDER_READ,  /* read files below */
	FOLDER_WRITE, /* read, make, write, rename and remove files and folders below */
};

struct process_rights {
	enum role role;
	enum program program;
	enum run_as run_as;
	enum how_many how_many;
	bool chroot; /* an empty folder that is removed already; as root only */
	enum folder_access folders;
	const char *folder_names;        /* for people */
	unsigned peers;                  /* ROLE_BITs */
	const char *const *system_calls; /* besides those of every process; NULL-terminated */
	bool filtered;                   /* seccomp and Landlock at all */
	bool refuses; /* a call that is not listed fails with EPERM instead of killing the process
		       */
	const char *does;
	const char *may_not;
};

/* NULL for ROLE_TOOL. */
const struct process_rights *process_rights_of(enum role role);

/* Which part of the configuration the role is given: bits of enum conf_reader. */
unsigned process_conf_readers(enum role role);

/* The calls that every filtered process may make; NULL-terminated. */
const char *const *process_common_system_calls(void);

/* For `veredus check --rights`: the table for people, or one JSON object a line. */
void proc_print_rights(struct buffer *buffer, bool json);

const char *program_name(enum program program);

#endif
