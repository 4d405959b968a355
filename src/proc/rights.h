/*
 * The one table of processes, a row a role: which program it is, how many, when it starts, as whom,
 * with whom it is connected, what it may see and call. What stands here is what root starts and
 * connects and what the kernel enforces; docs/threat-model.md explains why.
 */
#ifndef PROC_RIGHTS_H
#define PROC_RIGHTS_H

#include "base/buffer.h"
#include "conf/conf.h"
#include "ipc/role.h"

/* P(PROGRAM, name). All but the public `veredus` are private: beside it in a build folder, or in
 * libexec. */
#define PROGRAMS(P)                     \
	P(CORE, "veredus-core")         \
	P(VEREDUS, "veredus")           \
	P(LOOKUP, "veredus-lookup")     \
	P(RESOLVER, "veredus-resolver") \
	P(KEYS, "veredus-keys")         \
	P(AUTH, "veredus-auth")

#define PROGRAM_VALUE(PROGRAM, name) PROGRAM_##PROGRAM,
enum program { PROGRAMS(PROGRAM_VALUE) PROGRAM_COUNT };
#undef PROGRAM_VALUE

enum run_as {
	RUN_AS_CALLER, /* root itself: as root where it must bind ports and become others, else as
			  whoever started it */
	RUN_AS_USER,   /* the configuration's `user` */
	RUN_AS_OWNER,  /* the owner of the mailboxes, or the system user whose mail it is */
};

enum how_many { ONE, ONE_A_CORE, ONE_AN_OWNER };

/*
 * When a role starts: each stage after the one before (what keeps mail before what takes it). They
 * end in another order, for what is under way needs the others to be finished: what accepts, what
 * stores, what serves, the log.
 */
enum stage { STAGE_LOG, STAGE_STORE, STAGE_SERVE, STAGE_ACCEPT, STAGES };

enum link_kind {
	LINK_CHANNEL, /* messages, in both directions */
	LINK_RING,    /* and a ring of mail: from this role, a session, to a queue */
	LINK_CALL,    /* this role asks (ipc/caller.h), the other answers */
	LINK_CONTROL, /* not root's making: whoever connects to this role's socket */
};

/* Stands in one of the two rows. The list ends with a link to root, which every role has. */
struct role_link {
	enum role with;
	enum link_kind kind;
};
#define ROLE_LINKS_MAX 8

enum folder_access {
	FOLDER_NONE,
	FOLDER_READ,  /* read files below */
	FOLDER_WRITE, /* read, make, write, rename and remove files and folders below */
};

/*
 * A condition on one argument: (argument & mask) == value, in all its 64 bits. The kernel looks at
 * 32 of most, so a rule that names what is forbidden is passed by one with another high bit: a rule
 * names what is allowed, and every other bit is zero.
 */
struct call_argument {
	unsigned number; /* from 0 */
	uint64_t mask;
	uint64_t value;
};
#define CALL_ARGUMENTS_MAX 3

enum call_outcome {
	CALL_MADE,
	CALL_MADE_IF_OWN, /* the first argument is the process itself */
	CALL_UNKNOWN,     /* ENOSYS, as an older kernel says */
};

/* A system call, or one way of calling it: several rows of one name are alternatives. */
struct system_call {
	const char *name;
	const char *only; /* what of it, for people; NULL: all */
	enum call_outcome answer;
	size_t argument_count;
	struct call_argument arguments[CALL_ARGUMENTS_MAX];
};

#define ARGUMENT_IS(number, value)            \
	{                                     \
		(number), UINT64_MAX, (value) \
	}
#define ARGUMENT_WITHIN(number, bits)          \
	{                                      \
		(number), ~(uint64_t)(bits), 0 \
	}
#define ARGUMENT_WITHOUT(number, bits) \
	{                              \
		(number), (bits), 0    \
	}
#define ARGUMENT_WITH(number, bits)      \
	{                                \
		(number), (bits), (bits) \
	}
#define CALL(call)           \
	{                    \
		.name = call \
	}
#define CALL_IF(call, what, ...)                                                  \
	{                                                                         \
		.name = call, .only = what, .arguments = {__VA_ARGS__},           \
		.argument_count = sizeof((struct call_argument[]){__VA_ARGS__}) / \
				  sizeof(struct call_argument)                    \
	}

struct process_rights {
	enum role role;
	enum program program;
	enum run_as run_as;
	enum how_many how_many;
	bool chroot; /* an empty folder that is removed already; as root only */
	enum folder_access folders;
	const char *folder_names; /* for people */
	bool connects;            /* to other machines: else Landlock allows no connection by TCP */
	enum stage stage;
	bool awaited;     /* the next stage starts when it is ready */
	int64_t grace_us; /* to finish what is under way, when it is told to stop */
	unsigned reads;   /* its part of the configuration: bits of enum conf_reader */
	/* NULL: it is always there. Else it is started only if the configuration needs it. */
	bool (*is_used)(const struct conf *conf);
	struct role_link links[ROLE_LINKS_MAX];
	unsigned ends; /* ROLE_BITs: whom it may have ended, since it works with them (BROKEN) */
	const struct system_call *system_calls; /* besides those of every process; up to one
						 * without a name */
	bool filtered;                          /* seccomp and Landlock at all */
	bool refuses; /* a call that is not listed fails with EPERM instead of killing the process
		       */
	const char *does;
	const char *may_not;
};

struct role_functions;

/* NULL for ROLE_TOOL. */
const struct process_rights *process_rights_of(enum role role);

/* The rows in order; NULL behind the last. */
const struct process_rights *process_rights_at(size_t index);

/* With whom a role is connected, by its row and by those of the others: ROLE_BITs. */
unsigned process_peers(enum role role);

/* How two roles are connected, and who has the link in its row; NULL when they are not. */
const struct role_link *process_link(enum role from, enum role with);

/* What drives the role; NULL in programs that are built without it (src/cmd/meson.build). */
const struct role_functions *process_functions_of(enum role role);

/* Which part of the configuration the role is given: bits of enum conf_reader. */
unsigned process_conf_readers(enum role role);

/* The calls that every filtered process may make; up to one without a name. */
const struct system_call *process_common_system_calls(void);

/* For `veredus check --rights`: the table for people, or one JSON object a line. */
void proc_print_rights(struct buffer *buffer, bool json);

const char *program_name(enum program program);

#endif
