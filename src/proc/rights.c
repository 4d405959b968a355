/*
 * The table, and its printing. A role gets a system call only because some code of it needs it; the
 * tests run with these filters on, so a call that is missing here kills a test.
 */
#include "proc/rights.h"
#include "proc/child.h"

#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define SESSION_GRACE_US   (5 * US_PER_S)
#define RELAY_GRACE_US     (10 * US_PER_S)
#define QUEUE_GRACE_US     (10 * US_PER_S)
#define SEND_FLAGS         (MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE)
#define KERNEL_O_LARGEFILE 0100000 /* the kernel's; libc's own is 0 on 64-bit machines */
#define COUNT(array)       (sizeof(array) / sizeof *(array))

static const struct system_call common_calls[] = {
	/* waiting and talking to the other processes */
	CALL("epoll_wait"),
	CALL("epoll_pwait"),
	CALL("epoll_pwait2"),
	CALL("epoll_ctl"),
	CALL("poll"),
	CALL("ppoll"),
	CALL("read"),
	CALL("write"),
	CALL("close"),
	CALL("recvmsg"),
	CALL_IF("sendmsg", "no flag but NOSIGNAL, DONTWAIT, MORE", ARGUMENT_WITHIN(2, SEND_FLAGS)),
	CALL("futex"),
	/* memory; mappings and protections may not be executable */
	CALL_IF("mmap", "not executable", ARGUMENT_WITHOUT(2, PROT_EXEC)),
	CALL("munmap"),
	CALL("mremap"),
	CALL_IF("mprotect", "not executable", ARGUMENT_WITHOUT(2, PROT_EXEC)),
	CALL("madvise"),
	CALL("brk"),
	/* time, randomness */
	CALL("clock_gettime"),
	CALL("gettimeofday"),
	CALL("getrandom"),
	CALL("clock_nanosleep"),
	CALL("timer_settime"), /* the watchdog's; it was made before the filter */
	/* sealed memory from other processes */
	CALL("fstat"),
	CALL("newfstatat"),
	/* no F_SETOWN, F_SETSIG, O_ASYNC: a descriptor would send signals to others */
	CALL_IF("fcntl", "F_GETFD", ARGUMENT_IS(1, F_GETFD)),
	CALL_IF("fcntl", "F_SETFD", ARGUMENT_IS(1, F_SETFD)),
	CALL_IF("fcntl", "F_GETFL", ARGUMENT_IS(1, F_GETFL)),
	CALL_IF("fcntl", "F_SETFL of O_NONBLOCK, O_APPEND", ARGUMENT_IS(1, F_SETFL),
		ARGUMENT_WITHIN(2, O_ACCMODE | O_NONBLOCK | O_APPEND | KERNEL_O_LARGEFILE)),
	CALL_IF("fcntl", "F_DUPFD_CLOEXEC", ARGUMENT_IS(1, F_DUPFD_CLOEXEC)),
	CALL_IF("fcntl", "F_GET_SEALS", ARGUMENT_IS(1, F_GET_SEALS)),
	CALL_IF("fcntl", "F_ADD_SEALS", ARGUMENT_IS(1, F_ADD_SEALS)),
	/* ending, and what libc does on the way */
	CALL("exit"),
	CALL("exit_group"),
	CALL("rt_sigreturn"),
	CALL("rt_sigprocmask"),
	CALL("rt_sigaction"),
	CALL("sigaltstack"),
	CALL("restart_syscall"),
	CALL("getpid"),
	CALL("gettid"),
	{.name = "tgkill", .only = "itself", .answer = CALL_MADE_IF_OWN}, /* abort() */
	CALL("rseq"),
	CALL("set_robust_list"),
	CALL("sched_yield"),
	CALL("sched_getaffinity"),
	CALL("sysinfo"), /* qsort of more than a kilobyte */
	CALL("writev"),  /* why it ended: a smashed stack, damaged memory */
	{0},
};

static const struct system_call session_calls[] = {
	CALL("accept4"),
	CALL("recvfrom"),
	/* with an address and MSG_FASTOPEN it is a connect() that Landlock does not see */
	CALL_IF("sendto", "no address; no flag but NOSIGNAL, DONTWAIT, MORE", ARGUMENT_IS(4, 0),
		ARGUMENT_WITHIN(3, SEND_FLAGS)),
	CALL("getsockname"),
	/* of what is read it would end the listener, for all workers */
	CALL_IF("shutdown", "SHUT_WR", ARGUMENT_IS(1, SHUT_WR)),
	{0},
};

static const struct system_call queue_calls[] = {
	/* the spool, below its folder's descriptor */
	CALL("openat"),
	CALL("pread64"),
	CALL("pwritev"),
	CALL("pwrite64"),
	CALL("fdatasync"),
	CALL("fsync"),
	CALL("ftruncate"),
	CALL("renameat"),
	CALL("renameat2"),
	CALL("unlinkat"),
	CALL("getdents64"),
	CALL("flock"),
	CALL("fstatfs"),
	CALL("lseek"),
	/* the writer thread, and those that write what is paused */
	CALL("eventfd2"),
	CALL_IF("clone", "threads", ARGUMENT_WITH(0, CLONE_THREAD)),
	{.name = "clone3", .only = "answered ENOSYS", .answer = CALL_UNKNOWN},
	/* copies for system users */
	CALL("memfd_create"),
	{0},
};

static const struct system_call deliver_calls[] = {
	CALL("openat"),
	CALL("pread64"),
	CALL("pwritev"),
	CALL("pwrite64"),
	CALL("fdatasync"),
	CALL("fsync"),
	CALL("syncfs"),
	CALL("ftruncate"),
	CALL("renameat"),
	CALL("renameat2"),
	CALL("linkat"),
	CALL("unlinkat"),
	CALL("mkdirat"),
	CALL("getdents64"),
	CALL("fchown"),
	CALL("fchmod"),
	CALL("lseek"),
	{0},
};

static const struct system_call lookup_calls[] = {
	/* files; which calls the sources of system users make besides is their libraries' choice */
	CALL("openat"),
	CALL("pread64"),
	CALL("getdents64"),
	CALL("lseek"),
	CALL("memfd_create"),
	/* a thread for the list of users with its counter, and what NSS asks there */
	CALL("eventfd2"),
	CALL_IF("clone", "threads", ARGUMENT_WITH(0, CLONE_THREAD)),
	{.name = "clone3", .only = "answered ENOSYS", .answer = CALL_UNKNOWN},
	CALL_IF("ioctl", "TCGETS", ARGUMENT_IS(1, TCGETS)),
	CALL_IF("ioctl", "FIONREAD", ARGUMENT_IS(1, FIONREAD)),
	CALL("readlinkat"),
	CALL("faccessat2"),
	CALL("getuid"),
	CALL("geteuid"),
	{0},
};

static const struct system_call admin_calls[] = {
	CALL("accept4"),
	{0},
};

static const struct system_call log_calls[] = {
	/* files of the history, which root has opened; whether there is room for more */
	CALL("pread64"),
	CALL("ftruncate"),
	CALL("fstatfs"),
	{0},
};

/* A socket of this family for one kind of traffic; non-blocking or not. */
#define SOCKET_OF(family, type)                                      \
	ARGUMENT_IS(0, family),                                      \
	{                                                            \
		1, ~(uint64_t)(SOCK_NONBLOCK | SOCK_CLOEXEC), (type) \
	}

static const struct system_call relay_calls[] = {
	CALL_IF("socket", "IPv4, stream", SOCKET_OF(AF_INET, SOCK_STREAM)),
	CALL_IF("socket", "IPv6, stream", SOCKET_OF(AF_INET6, SOCK_STREAM)),
	CALL_IF("socket", "Unix, stream", SOCKET_OF(AF_UNIX, SOCK_STREAM)),
	CALL_IF("setsockopt", "TCP_NODELAY", ARGUMENT_IS(1, IPPROTO_TCP),
		ARGUMENT_IS(2, TCP_NODELAY)),
	CALL("connect"),
	CALL_IF("getsockopt", "SO_ERROR", ARGUMENT_IS(1, SOL_SOCKET), ARGUMENT_IS(2, SO_ERROR)),
	CALL("getsockname"),
	CALL("recvfrom"),
	CALL_IF("sendto", "no address; no flag but NOSIGNAL, DONTWAIT, MORE", ARGUMENT_IS(4, 0),
		ARGUMENT_WITHIN(3, SEND_FLAGS)),
	/* contents, from the segments that it was sent */
	CALL("pread64"),
	{0},
};

static const struct system_call keys_calls[] = {
	/* files of certificates, which root has opened */
	CALL("pread64"),
	{0},
};

static const struct system_call auth_calls[] = {
	/* the file of passwords, which root has opened */
	CALL("pread64"),
	/* threads for hashes, each with its counter */
	CALL("eventfd2"),
	CALL_IF("clone", "threads", ARGUMENT_WITH(0, CLONE_THREAD)),
	{.name = "clone3", .only = "answered ENOSYS", .answer = CALL_UNKNOWN},
	{0},
};

static const struct system_call guard_calls[] = {
	/* the file of quotas, which root has opened */
	CALL("pread64"),
	CALL("pwritev"),
	{0},
};

/* libunbound and the thread that it works in. */
static const struct system_call resolver_calls[] = {
	CALL_IF("socket", "IPv4, stream", SOCKET_OF(AF_INET, SOCK_STREAM)),
	CALL_IF("socket", "IPv6, stream", SOCKET_OF(AF_INET6, SOCK_STREAM)),
	CALL_IF("socket", "IPv4, datagram", SOCKET_OF(AF_INET, SOCK_DGRAM)),
	CALL_IF("socket", "IPv6, datagram", SOCKET_OF(AF_INET6, SOCK_DGRAM)),
	CALL("bind"),
	CALL("connect"),
	CALL("sendto"),
	CALL("recvfrom"),
	CALL("setsockopt"),
	CALL("getsockopt"),
	CALL("getsockname"),
	CALL("ioctl"),
	CALL("openat"),
	CALL("eventfd2"),
	CALL("epoll_create1"),
	CALL("pipe2"),
	CALL("select"),
	CALL("pselect6"),
	CALL("prlimit64"),
	CALL_IF("clone", "threads", ARGUMENT_WITH(0, CLONE_THREAD)),
	{.name = "clone3", .only = "answered ENOSYS", .answer = CALL_UNKNOWN},
	{0},
};

static bool
sends_to_servers(const struct conf *conf)
{
	bool sends = false;

	for (size_t i = 0; i < conf->route_count; i++)
		sends |= conf->routes[i].to >= CONF_TO_MX;
	return sends;
}

/* Who asks the DNS: the relays, and sessions that judge what strangers send. */
static bool
asks_dns(const struct conf *conf)
{
	return sends_to_servers(conf) || conf_sessions_ask_dns(conf);
}

static bool
has_keys(const struct conf *conf)
{
	return conf_has_tls(conf) || conf->dkim_count > 0 || conf_srs_domain(conf).len > 0;
}

static bool
has_passwords(const struct conf *conf)
{
	return conf->passwords.len > 0;
}

static bool
has_accounts(const struct conf *conf)
{
	bool has = false;

	for (size_t i = 0; i < conf->domain_count; i++)
		has |= conf->domains[i].accounts != CONF_ACCOUNTS_ANY ||
		       conf->domains[i].aliases != 0;
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
		.does = "writes the log, the history and what is announced on standard output",
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
		.links = {{ROLE_DELIVER, LINK_CHANNEL}, {ROLE_RELAY, LINK_CHANNEL}},
		.ends = ROLE_BIT(ROLE_SESSION) | ROLE_BIT(ROLE_DELIVER) | ROLE_BIT(ROLE_ADMIN) |
			ROLE_BIT(ROLE_RELAY),
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
		.role = ROLE_RESOLVER,
		.program = PROGRAM_RESOLVER,
		.run_as = RUN_AS_USER,
		.how_many = ONE,
		.connects = true,
		.chroot = true,
		.stage = STAGE_SERVE,
		.reads = CONF_READER_RESOLVER,
		.is_used = asks_dns,
		.ends = ROLE_BIT(ROLE_RELAY) | ROLE_BIT(ROLE_SESSION),
		.system_calls = resolver_calls,
		.filtered = true,
		.refuses = true,
		.does = "asks the DNS for the others",
		.may_not = "touch the spool or a mailbox, read mail, write a file",
	},
	{
		.role = ROLE_RELAY,
		.program = PROGRAM_VEREDUS,
		.run_as = RUN_AS_USER,
		.how_many = ONE_A_CORE,
		.connects = true,
		.stage = STAGE_SERVE,
		.grace_us = RELAY_GRACE_US,
		.reads = CONF_READER_RELAY,
		.is_used = sends_to_servers,
		.links = {{ROLE_RESOLVER, LINK_CALL}, {ROLE_KEYS, LINK_CALL}},
		.ends = ROLE_BIT(ROLE_RESOLVER) | ROLE_BIT(ROLE_KEYS),
		.system_calls = relay_calls,
		.filtered = true,
		.does = "sends messages to other servers",
		.may_not = "open a file, accept a connection, write the spool",
	},
	{
		.role = ROLE_KEYS,
		.program = PROGRAM_KEYS,
		.run_as = RUN_AS_USER,
		.how_many = ONE,
		.chroot = true,
		.stage = STAGE_SERVE,
		.awaited = true,
		.reads = CONF_READER_KEYS,
		.is_used = has_keys,
		.ends = ROLE_BIT(ROLE_SESSION) | ROLE_BIT(ROLE_RELAY),
		.system_calls = keys_calls,
		.filtered = true,
		.does = "signs TLS handshakes, mail and return paths with private keys",
		.may_not = "open a file, touch the network, the spool or a mailbox",
	},
	{
		.role = ROLE_AUTH,
		.program = PROGRAM_AUTH,
		.run_as = RUN_AS_USER,
		.how_many = ONE,
		.chroot = true,
		.stage = STAGE_SERVE,
		.awaited = true,
		.reads = CONF_READER_AUTH,
		.is_used = has_passwords,
		.ends = ROLE_BIT(ROLE_SESSION),
		.system_calls = auth_calls,
		.filtered = true,
		.does = "says whether a password is that of a login",
		.may_not = "open a file, touch the network, the spool or a mailbox",
	},
	{
		.role = ROLE_GUARD,
		.program = PROGRAM_CORE,
		.run_as = RUN_AS_USER,
		.how_many = ONE,
		.chroot = true,
		.stage = STAGE_SERVE,
		.reads = CONF_READER_GUARD,
		.ends = ROLE_BIT(ROLE_SESSION),
		.system_calls = guard_calls,
		.filtered = true,
		.does = "adds up what strangers use of all sessions and what logins send",
		.may_not = "open a file, touch the network, the spool or a mailbox, read mail",
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
		.links = {{ROLE_QUEUE, LINK_RING}, {ROLE_KEYS, LINK_CALL},
			{ROLE_RESOLVER, LINK_CALL}, {ROLE_AUTH, LINK_CALL},
			{ROLE_GUARD, LINK_CALL}},
		.system_calls = session_calls,
		.filtered = true,
		.does = "speaks SMTP with strangers",
		.may_not =
			"open a file, make a connection, hold a private key or a descriptor of the "
			"spool",
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

const struct system_call *
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

/* Each once by its name, and in text what of it is allowed. */
static void
append_calls(struct buffer *buffer, const struct system_call *calls, bool *first)
{
	for (const struct system_call *call = calls; call && call->name; call++) {
		bool again = call > calls && strcmp(call->name, call[-1].name) == 0;
		if (again)
			buffer_printf(buffer, " | %s", call->only);
		else
			buffer_printf(buffer, "%s%s", *first ? "" : " ", call->name);
		if (call->only && !again)
			buffer_printf(buffer, "[%s", call->only);
		if (call->only && (!call[1].name || strcmp(call->name, call[1].name) != 0))
			buffer_append_text(buffer, "]");
		*first = false;
	}
}

static void
append_names_json(struct buffer *buffer, const struct system_call *calls, bool *first)
{
	for (const struct system_call *call = calls; call && call->name; call++) {
		if (call > calls && strcmp(call->name, call[-1].name) == 0)
			continue;
		buffer_printf(buffer, "%s\"%s\"", *first ? "" : ",", call->name);
		*first = false;
	}
}

static void
append_rules_json(struct buffer *buffer, const struct system_call *calls, bool *first)
{
	for (const struct system_call *call = calls; call && call->name; call++) {
		if (!call->only)
			continue;
		buffer_printf(buffer, "%s{\"call\":\"%s\",\"only\":\"%s\",\"arguments\":[",
			*first ? "" : ",", call->name, call->only);
		for (size_t i = 0; i < call->argument_count; i++)
			buffer_printf(buffer,
				"%s{\"number\":%u,\"mask\":%" PRIu64 ",\"value\":%" PRIu64 "}",
				i > 0 ? "," : "", call->arguments[i].number,
				call->arguments[i].mask, call->arguments[i].value);
		buffer_append_text(buffer, "]}");
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
		append_calls(buffer, row->system_calls, &first);
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
		append_names_json(buffer, common_calls, &first);
		append_names_json(buffer, row->system_calls, &first);
	}
	buffer_append_text(buffer, "],\"argument_rules\":[");
	if (row->filtered) {
		first = true;
		append_rules_json(buffer, common_calls, &first);
		append_rules_json(buffer, row->system_calls, &first);
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
	buffer_append_text(buffer, "the common system calls: ");
	append_calls(buffer, common_calls, &first);
	buffer_append_text(buffer, "\n");
}
