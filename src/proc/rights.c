/*
 * The table, and its printing. A role gets a system call only because some code of it needs it; the
 * tests run with these filters on, so a call that is missing here kills a test.
 */
#include "proc/rights.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

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

static const struct process_rights table[] = {
	{ROLE_ROOT, PROGRAM_CORE, RUN_AS_CALLER, ONE, false, FOLDER_NONE, "-",
		ROLE_BIT(ROLE_SESSION) | ROLE_BIT(ROLE_QUEUE) | ROLE_BIT(ROLE_DELIVER) |
			ROLE_BIT(ROLE_LOOKUP) | ROLE_BIT(ROLE_ADMIN) | ROLE_BIT(ROLE_LOG),
		NULL, false, false,
		"binds ports, opens folders, starts and restarts the others, hands the "
		"configuration out",
		"read a byte from outside"},
	{ROLE_LOG, PROGRAM_CORE, RUN_AS_USER, ONE, true, FOLDER_NONE, "-", ROLE_BIT(ROLE_ROOT),
		log_calls, true, false, "writes the log and what is announced on standard output",
		"open a file, touch the network, the spool or a mailbox"},
	{ROLE_QUEUE, PROGRAM_CORE, RUN_AS_USER, ONE, true, FOLDER_WRITE, "the spool",
		ROLE_BIT(ROLE_ROOT) | ROLE_BIT(ROLE_SESSION) | ROLE_BIT(ROLE_DELIVER) |
			ROLE_BIT(ROLE_ADMIN),
		queue_calls, true, false, "stores, schedules and hands out messages",
		"touch the network or a mailbox"},
	{ROLE_DELIVER, PROGRAM_CORE, RUN_AS_OWNER, ONE_AN_OWNER, true, FOLDER_WRITE,
		"the mailboxes of its owner", ROLE_BIT(ROLE_ROOT) | ROLE_BIT(ROLE_QUEUE),
		deliver_calls, true, false, "puts messages into Maildirs",
		"touch the network or write the spool"},
	{ROLE_LOOKUP, PROGRAM_LOOKUP, RUN_AS_USER, ONE, false, FOLDER_READ,
		"those of the account files, /etc", ROLE_BIT(ROLE_ROOT) | ROLE_BIT(ROLE_SESSION),
		lookup_calls, true, true, "reads account files and makes snapshots of the names",
		"touch the network, the spool or a mailbox, write a file"},
	{ROLE_ADMIN, PROGRAM_CORE, RUN_AS_USER, ONE, true, FOLDER_NONE, "-",
		ROLE_BIT(ROLE_ROOT) | ROLE_BIT(ROLE_QUEUE) | ROLE_BIT(ROLE_TOOL), admin_calls, true,
		false, "answers on the control socket", "open a file, read mail content"},
	{ROLE_SESSION, PROGRAM_VEREDUS, RUN_AS_USER, ONE_A_CORE, true, FOLDER_NONE, "-",
		ROLE_BIT(ROLE_ROOT) | ROLE_BIT(ROLE_QUEUE) | ROLE_BIT(ROLE_LOOKUP), session_calls,
		true, false, "speaks SMTP with strangers",
		"open a file, make a connection, hold a descriptor of the spool"},
};

const struct process_rights *
process_rights_of(enum role role)
{
	for (size_t i = 0; i < COUNT(table); i++)
		if (table[i].role == role)
			return &table[i];
	return NULL;
}

unsigned
process_conf_readers(enum role role)
{
	static const unsigned readers[ROLE_COUNT] = {
		[ROLE_ROOT] = CONF_READER_ROOT,
		[ROLE_SESSION] = CONF_READER_SESSION,
		[ROLE_QUEUE] = CONF_READER_QUEUE,
		[ROLE_DELIVER] = CONF_READER_DELIVER,
		[ROLE_LOOKUP] = CONF_READER_LOOKUP,
		[ROLE_ADMIN] = CONF_READER_ADMIN,
		[ROLE_LOG] = CONF_READER_LOG,
		[ROLE_TOOL] = CONF_READER_TOOL,
	};

	return readers[role];
}

const char *const *
process_common_system_calls(void)
{
	return common_calls;
}

const char *
program_name(enum program program)
{
	static const char *const names[] = {[PROGRAM_CORE] = "veredus-core",
		[PROGRAM_VEREDUS] = "veredus",
		[PROGRAM_LOOKUP] = "veredus-lookup"};

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
		how_many_text(row->how_many));
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
	append_peers(buffer, row->peers, "");
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
	append_peers(buffer, row->peers, "\"");
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
