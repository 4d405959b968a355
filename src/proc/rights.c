/*
 * The table, and its printing. A role gets a system call only because some code of it needs it; the
 * tests run with these filters on, so a call that is missing here kills a test.
 */
#include "proc/rights.h"
#include "proc/child.h"

#define SESSION_GRACE_US (5 * US_PER_S)
#define QUEUE_GRACE_US   (10 * US_PER_S)
#define COUNT(array)     (sizeof(array) / sizeof *(array))

static const char *const common_calls[] = {
	/* waiting and talking to the other processes */
	"epoll_wait",
	"epoll_pwait",
	"epoll_pwait2",
	"epoll_ctl",
	"poll",
	"ppoll",
	"read",
	"write",
	"close",
	"recvmsg",
	"sendmsg",
	"futex",
	/* memory; mappings and protections may not be executable */
	"mmap",
	"munmap",
	"mremap",
	"mprotect",
	"madvise",
	"brk",
	/* time, randomness */
	"clock_gettime",
	"gettimeofday",
	"getrandom",
	"clock_nanosleep",
	"timer_settime", /* the watchdog's; it was made before the filter */
	/* sealed memory from other processes */
	"fstat",
	"newfstatat",
	"fcntl",
	/* ending, and what libc does on the way */
	"exit",
	"exit_group",
	"rt_sigreturn",
	"rt_sigprocmask",
	"rt_sigaction",
	"sigaltstack",
	"restart_syscall",
	"getpid",
	"gettid",
	"tgkill",
	"rseq",
	"set_robust_list",
	"sched_yield",
	"sched_getaffinity",
	"sysinfo", /* qsort of more than a kilobyte */
	"writev",  /* why it ended: a smashed stack, damaged memory */
	NULL,
};

static const char *const session_calls[] = {
	"accept4",
	"recvfrom",
	"sendto",
	"getsockname",
	"shutdown",
	NULL,
};

static const char *const queue_calls[] = {
	/* the spool, below its folder's descriptor */
	"openat",
	"pread64",
	"pwritev",
	"pwrite64",
	"fdatasync",
	"fsync",
	"ftruncate",
	"renameat",
	"renameat2",
	"unlinkat",
	"getdents64",
	"flock",
	"fstatfs",
	"lseek",
	/* the writer thread */
	"clone",
	"clone3",
	"prctl",
	/* copies for system users */
	"memfd_create",
	NULL,
};

static const char *const deliver_calls[] = {
	"openat",
	"pread64",
	"pwritev",
	"pwrite64",
	"fdatasync",
	"fsync",
	"syncfs",
	"ftruncate",
	"renameat",
	"renameat2",
	"linkat",
	"unlinkat",
	"mkdirat",
	"getdents64",
	"fchown",
	"fchmod",
	"lseek",
	NULL,
};

static const char *const lookup_calls[] = {
	/* files; which calls the sources of system users make besides is their libraries' choice */
	"openat",
	"pread64",
	"getdents64",
	"lseek",
	"memfd_create",
	/* a thread for the list of users with its counter, and what NSS asks there */
	"eventfd2",
	"clone",
	"clone3",
	"ioctl",
	"readlinkat",
	"faccessat2",
	"getuid",
	"geteuid",
	NULL,
};

static const char *const admin_calls[] = {
	"accept4",
	NULL,
};

static const char *const log_calls[] = {
	NULL,
};

static bool
has_accounts(const struct conf *conf)
{
	bool has = false;

	for (size_t i = 0; i < conf->domain_count; i++)
		has |= conf->domains[i].accounts != CONF_ACCOUNTS_ANY;
	return has;
}

static const struct process_rights table[] = {
	{
		.role = ROLE_ROOT,
		.program = PROGRAM_CORE,
		.run_as = RUN_AS_CALLER,
		.how_many = ONE,
		.reads = CONF_READER_ROOT,
		.does = "binds ports, opens folders, starts and restarts the others, hands the "
			"configuration out",
		.may_not = "read a byte from outside",
	},
	{
		.role = ROLE_LOG,
		.program = PROGRAM_CORE,
		.run_as = RUN_AS_USER,
		.how_many = ONE,
		.chroot = true,
		.stage = STAGE_LOG,
		.awaited = true,
		.reads = CONF_READER_LOG,
		.system_calls = log_calls,
		.filtered = true,
		.does = "writes the log and what is announced on standard output",
		.may_not = "open a file, touch the network, the spool or a mailbox",
	},
	{
		.role = ROLE_QUEUE,
		.program = PROGRAM_CORE,
		.run_as = RUN_AS_USER,
		.how_many = ONE,
		.chroot = true,
		.folders = FOLDER_WRITE,
		.folder_names = "the spool",
		.stage = STAGE_STORE,
		.grace_us = QUEUE_GRACE_US,
		.reads = CONF_READER_QUEUE,
		.links = {{ROLE_DELIVER, LINK_CHANNEL}},
		.ends = ROLE_BIT(ROLE_SESSION) | ROLE_BIT(ROLE_DELIVER) | ROLE_BIT(ROLE_ADMIN),
		.system_calls = queue_calls,
		.filtered = true,
		.does = "stores, schedules and hands out messages",
		.may_not = "touch the network or a mailbox",
	},
	{
		.role = ROLE_DELIVER,
		.program = PROGRAM_CORE,
		.run_as = RUN_AS_OWNER,
		.how_many = ONE_AN_OWNER,
		.chroot = true,
		.folders = FOLDER_WRITE,
		.folder_names = "the mailboxes of its owner",
		.stage = STAGE_SERVE,
		.reads = CONF_READER_DELIVER,
		.system_calls = deliver_calls,
		.filtered = true,
		.does = "puts messages into Maildirs",
		.may_not = "touch the network or write the spool",
	},
	{
		.role = ROLE_LOOKUP,
		.program = PROGRAM_LOOKUP,
		.run_as = RUN_AS_USER,
		.how_many = ONE,
		.folders = FOLDER_READ,
		.folder_names = "those of the account files, /etc",
		.stage = STAGE_SERVE,
		.awaited = true,
		.reads = CONF_READER_LOOKUP,
		.is_used = has_accounts,
		.links = {{ROLE_SESSION, LINK_CHANNEL}},
		.ends = ROLE_BIT(ROLE_SESSION),
		.system_calls = lookup_calls,
		.filtered = true,
		.refuses = true,
		.does = "reads account files and makes snapshots of the names",
		.may_not = "touch the network, the spool or a mailbox, write a file",
	},
	{
		.role = ROLE_ADMIN,
		.program = PROGRAM_CORE,
		.run_as = RUN_AS_USER,
		.how_many = ONE,
		.chroot = true,
		.stage = STAGE_SERVE,
		.reads = CONF_READER_ADMIN,
		.links = {{ROLE_QUEUE, LINK_CHANNEL}, {ROLE_TOOL, LINK_CONTROL}},
		.system_calls = admin_calls,
		.filtered = true,
		.does = "answers on the control socket",
		.may_not = "open a file, read mail content",
	},
	{
		.role = ROLE_SESSION,
		.program = PROGRAM_VEREDUS,
		.run_as = RUN_AS_USER,
		.how_many = ONE_A_CORE,
		.chroot = true,
		.stage = STAGE_ACCEPT,
		.grace_us = SESSION_GRACE_US,
		.reads = CONF_READER_SESSION,
		.links = {{ROLE_QUEUE, LINK_RING}},
		.system_calls = session_calls,
		.filtered = true,
		.does = "speaks SMTP with strangers",
		.may_not = "open a file, make a connection, hold a descriptor of the spool",
	},
};

const struct process_rights *
process_rights_at(size_t index)
{
	return index < COUNT(table) ? &table[index] : NULL;
}

const struct process_rights *
process_rights_of(enum role role)
{
	for (size_t i = 0; i < COUNT(table); i++)
		if (table[i].role == role)
			return &table[i];
	return NULL;
}

const struct role_link *
process_link(enum role from, enum role with)
{
	const struct process_rights *row = process_rights_of(from);

	for (size_t i = 0; row && i < ROLE_LINKS_MAX && row->links[i].with != ROLE_ROOT; i++)
		if (row->links[i].with == with)
			return &row->links[i];
	return NULL;
}

unsigned
process_peers(enum role role)
{
	unsigned peers = role == ROLE_ROOT   ? ROLES_CHILDREN
			 : role == ROLE_TOOL ? 0
					     : ROLE_BIT(ROLE_ROOT);

	for (enum role other = 0; other < ROLE_COUNT; other++)
		if (process_link(role, other) || process_link(other, role))
			peers |= ROLE_BIT(other);
	return peers;
}

const struct role_functions *
process_functions_of(enum role role)
{
#define ROLE_FUNCTIONS(ROLE, name) [ROLE_##ROLE] = &role_##name,
	static const struct role_functions *const functions[ROLE_COUNT] = {ROLES(ROLE_FUNCTIONS)};
#undef ROLE_FUNCTIONS

	return functions[role];
}

unsigned
process_conf_readers(enum role role)
{
	const struct process_rights *row = process_rights_of(role);

	return row ? row->reads : CONF_READER_TOOL;
}

const char *const *
process_common_system_calls(void)
{
	return common_calls;
}

const char *
program_name(enum program program)
{
#define PROGRAM_NAME(PROGRAM, name) [PROGRAM_##PROGRAM] = name,
	static const char *const names[] = {PROGRAMS(PROGRAM_NAME)};
#undef PROGRAM_NAME

	return names[program];
}

static const char *
run_as_text(enum run_as run_as)
{
	static const char *const texts[] = {[RUN_AS_CALLER] = "root, or the caller",
		[RUN_AS_USER] = "the configuration's user",
		[RUN_AS_OWNER] = "the owner of the mailboxes"};

	return texts[run_as];
}

static const char *
how_many_text(enum how_many how_many)
{
	static const char *const texts[] = {
		[ONE] = "1", [ONE_A_CORE] = "one a core", [ONE_AN_OWNER] = "one an owner"};

	return texts[how_many];
}

static const char *
access_text(enum folder_access access)
{
	static const char *const texts[] = {
		[FOLDER_NONE] = "none", [FOLDER_READ] = "read", [FOLDER_WRITE] = "read and write"};

	return texts[access];
}

static void
append_peers(struct buffer *buffer, unsigned peers, const char *quote)
{
	bool first = true;

	for (enum role role = 0; role < ROLE_COUNT; role++) {
		if (!(peers & ROLE_BIT(role)))
			continue;
		buffer_printf(buffer, "%s%s%s%s", first ? "" : (*quote ? "," : " "), quote,
			role_name(role), quote);
		first = false;
	}
}

static void
append_calls(struct buffer *buffer, const char *const *calls, const char *quote, bool *first)
{
	for (; calls && *calls; calls++) {
		buffer_printf(buffer, "%s%s%s%s", *first ? "" : (*quote ? "," : " "), quote, *calls,
			quote);
		*first = false;
	}
}

static void
print_row(struct buffer *buffer, const struct process_rights *row)
{
	bool first = true;

	buffer_printf(buffer, "%s (%s, %s)\n", role_name(row->role), program_name(row->program),
		row->is_used ? "1, if the configuration needs it" : how_many_text(row->how_many));
	buffer_printf(buffer, "    does          %s\n", row->does);
	buffer_printf(buffer, "    may not       %s\n", row->may_not);
	buffer_printf(buffer, "    runs as       %s%s%s\n", run_as_text(row->run_as),
		row->chroot ? ", in an empty root folder" : "",
		row->role == ROLE_DELIVER
			? " (system users' excepted: they see the whole tree, as those users)"
			: "");
	buffer_printf(buffer, "    folders       %s%s%s\n", access_text(row->folders),
		row->folders ? ": " : "", row->folders ? row->folder_names : "");
	buffer_append_text(buffer, "    talks to      ");
	append_peers(buffer, process_peers(row->role), "");
	buffer_append_text(buffer, "\n    system calls  ");
	if (row->filtered) {
		buffer_append_text(buffer, "the common ones and ");
		append_calls(buffer, row->system_calls, "", &first);
		buffer_append_text(
			buffer, row->refuses ? "; others are refused" : "; others kill it");
	} else {
		buffer_append_text(buffer, "not filtered");
	}
	buffer_append_text(buffer, "\n\n");
}

static void
print_row_json(struct buffer *buffer, const struct process_rights *row)
{
	bool first = true;

	buffer_printf(buffer,
		"{\"role\":\"%s\",\"program\":\"%s\",\"count\":\"%s\",\"runs_as\":\"%s\","
		"\"chroot\":%s,\"folders\":\"%s\"",
		role_name(row->role), program_name(row->program), how_many_text(row->how_many),
		run_as_text(row->run_as), row->chroot ? "true" : "false",
		access_text(row->folders));
	buffer_append_text(buffer, ",\"peers\":[");
	append_peers(buffer, process_peers(row->role), "\"");
	buffer_printf(buffer, "],\"others\":\"%s\"",
		!row->filtered ? "allowed"
		: row->refuses ? "refused"
			       : "killed");
	buffer_printf(
		buffer, ",\"filtered\":%s,\"system_calls\":[", row->filtered ? "true" : "false");
	if (row->filtered) {
		append_calls(buffer, common_calls, "\"", &first);
		append_calls(buffer, row->system_calls, "\"", &first);
	}
	buffer_append_text(buffer, "]}\n");
}

void
proc_print_rights(struct buffer *buffer, bool json)
{
	bool first = true;

	for (size_t i = 0; i < COUNT(table); i++) {
		if (json)
			print_row_json(buffer, &table[i]);
		else
			print_row(buffer, &table[i]);
	}
	if (json)
		return;
	buffer_append_text(buffer, "the common system calls (memory never executable): ");
	append_calls(buffer, common_calls, "", &first);
	buffer_append_text(buffer, "\n");
}
