/*
 * Landlock by its raw system calls (libc has no wrappers), seccomp by libseccomp. The filter kills
 * the process on a call that its row does not name, and refuses executable mappings. For `lookup`,
 * whose libraries choose their calls (NSS), and under sanitizers the filter refuses instead of
 * killing.
 */
#include "proc/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANDBOX_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANDBOX_SANITIZED 1
#endif
#endif
#ifndef SANDBOX_SANITIZED
#define SANDBOX_SANITIZED 0
#endif

/* Later than the headers of Debian 12. */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#define SECCOMP_GET_ACTION_AVAIL_OPERATION \
	2 /* <linux/seccomp.h>, which does not go with libseccomp's header */
#define ACCESS_FS_IOCTL_DEV (1ULL << 15)
#define ACCESS_NET_BIND_TCP (1ULL << 0)
#define ACCESS_NET_TCP      (3ULL << 0) /* bind, connect */
#define SCOPE_ABSTRACT_UNIX (1ULL << 0)
#define SCOPE_SIGNAL        (1ULL << 1)

struct ruleset {
	uint64_t handled_access_fs;
	uint64_t handled_access_net; /* version 4 */
	uint64_t scoped;             /* version 6 */
};

#define ACCESS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ACCESS_MAKE                                                           \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |     \
		LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | \
		LANDLOCK_ACCESS_FS_MAKE_DIR)

static int
landlock_version(void)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return version < 0 ? 0 : (int)version;
}

struct sandbox_support
sandbox_probe(void)
{
	struct sandbox_support support = {.landlock = landlock_version()};

	uint32_t kill_process = SCMP_ACT_KILL_PROCESS;

	support.seccomp =
		syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL_OPERATION, 0, &kill_process) == 0;
	return support;
}

void
sandbox_allow_folder(struct sandbox *sandbox, int fd, enum folder_access access)
{
	if (sandbox->folder_count == SANDBOX_FOLDERS_MAX) {
		sandbox->folders_cut = true;
		return;
	}
	sandbox->folders[sandbox->folder_count].fd = fd;
	sandbox->folders[sandbox->folder_count++].access = access;
}

/* A folder of its own that is gone as soon as it is entered: nothing can ever appear in it. */
static bool
enter_empty_root(void)
{
	char folder[] = "/tmp/veredus-empty-XXXXXX";

	if (!mkdtemp(folder))
		return false;
	bool entered = chdir(folder) == 0;
	rmdir(folder);
	return entered && chroot(".") == 0;
}

enum error
sandbox_become_user(const struct sandbox *sandbox, const char **ret_what)
{
	*ret_what = "chroot";
	if (sandbox->chroot && !enter_empty_root())
		return error_from_errno(errno);
	if (!sandbox->becomes_user)
		return OK;
	*ret_what = "setgroups";
	if (setgroups(1, &sandbox->user.gid) < 0)
		return error_from_errno(errno);
	*ret_what = "setresgid";
	if (setresgid(sandbox->user.gid, sandbox->user.gid, sandbox->user.gid) < 0)
		return error_from_errno(errno);
	*ret_what = "setresuid";
	if (setresuid(sandbox->user.uid, sandbox->user.uid, sandbox->user.uid) < 0)
		return error_from_errno(errno);
	/* Changing the user made the kernel forget it. */
	*ret_what = "dying with root";
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return error_from_errno(errno);
	*ret_what = "the way back to root, which is still open";
	if (sandbox->user.uid != 0 && setuid(0) == 0)
		return ERROR_DENIED;
	*ret_what = "";
	return OK;
}

static enum error
landlock_allow(int ruleset_fd, int folder_fd, uint64_t access)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = folder_fd};

	return syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0
		       ? error_from_errno(errno)
		       : OK;
}

static enum error
landlock_close(const struct sandbox *sandbox)
{
	int version = landlock_version();
	struct ruleset ruleset = {.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};
	size_t size = sizeof ruleset.handled_access_fs;
	uint64_t make = ACCESS_MAKE;

	/* Version 1 forbids every rename between folders, which a Maildir is made of. */
	if (version < 1 || sandbox->folders_cut ||
		(version < 2 && sandbox->rights->folders == FOLDER_WRITE))
		return OK;
	if (version >= 2)
		make |= LANDLOCK_ACCESS_FS_REFER;
	if (version >= 3)
		make |= LANDLOCK_ACCESS_FS_TRUNCATE;
	ruleset.handled_access_fs |= make;
	if (version >= 4) {
		ruleset.handled_access_net =
			sandbox->rights->connects ? ACCESS_NET_BIND_TCP : ACCESS_NET_TCP;
		size = offsetof(struct ruleset, scoped);
	}
	if (version >= 5)
		ruleset.handled_access_fs |= ACCESS_FS_IOCTL_DEV;
	if (version >= 6) {
		ruleset.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
		size = sizeof ruleset;
	}
	int fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, size, 0);
	if (fd < 0)
		return error_from_errno(errno);
	enum error error = OK;
	for (size_t i = 0; error == OK && i < sandbox->folder_count; i++)
		error = landlock_allow(fd, sandbox->folders[i].fd,
			ACCESS_READ | (sandbox->folders[i].access == FOLDER_WRITE ? make : 0));
	if (error == OK && syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		error = error_from_errno(errno);
	close(fd);
	return error;
}

/* With sanitizers, which do what they like, each call that is named is allowed whole. */
static int
filter_allow(scmp_filter_ctx filter, const struct system_call *call, int number)
{
	struct scmp_arg_cmp conditions[CALL_ARGUMENTS_MAX];

	if (SANDBOX_SANITIZED)
		return seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
	if (call->answer == CALL_UNKNOWN)
		return seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), number, 0);
	if (call->answer == CALL_MADE_IF_OWN)
		return seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 1,
			SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	for (size_t i = 0; i < call->argument_count; i++)
		conditions[i] = (struct scmp_arg_cmp){.arg = call->arguments[i].number,
			.op = SCMP_CMP_MASKED_EQ,
			.datum_a = call->arguments[i].mask,
			.datum_b = call->arguments[i].value};
	return seccomp_rule_add_array(
		filter, SCMP_ACT_ALLOW, number, (unsigned)call->argument_count, conditions);
}

static enum error
filter_add(scmp_filter_ctx filter, const struct system_call *calls)
{
	for (; calls->name; calls++) {
		int number = seccomp_syscall_resolve_name(calls->name);
		if (number == __NR_SCMP_ERROR)
			continue; /* unknown to this libseccomp: then to its kernel headers too */
		int result = filter_allow(filter, calls, number);
		if (result < 0 && !(SANDBOX_SANITIZED && result == -EEXIST))
			return error_from_errno(-result);
	}
	return OK;
}

static const struct system_call sanitizer_calls[] = {CALL("openat"), CALL("readlink"),
	CALL("readlinkat"), CALL("getrlimit"), CALL("prlimit64"), CALL("lseek"), CALL("getdents64"),
	CALL("gettid"), CALL("prctl"), CALL("clone"), CALL("clone3"), CALL("wait4"), CALL("kill"),
	CALL("sysinfo"), CALL("writev"), CALL("ioctl"), CALL("personality"),
	CALL("sched_getaffinity"), CALL("getuid"), CALL("process_vm_readv"), CALL("pread64"),
	CALL("stat"), CALL("lstat"), CALL("access"), CALL("uname"), CALL("getppid"),
	CALL("setitimer"), CALL("dup"), CALL("pipe2"), CALL("ptrace"), CALL("arch_prctl"), {0}};

static enum error
seccomp_close(const struct process_rights *rights)
{
	if (!sandbox_probe().seccomp)
		return OK; /* reported at the start */
	scmp_filter_ctx filter =
		seccomp_init(SANDBOX_SANITIZED || rights->refuses ? SCMP_ACT_ERRNO(EPERM)
								  : SCMP_ACT_KILL_PROCESS);

	if (!filter)
		return ERROR_NO_MEMORY;
	enum error error = OK;
	/* Left alone, a call of another architecture ends its thread only: a process without its
	 * main thread, which root never sees die. */
	if (seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) < 0)
		error = ERROR_UNSUPPORTED;
	if (error == OK)
		error = filter_add(filter, process_common_system_calls());
	if (error == OK)
		error = filter_add(filter, rights->system_calls);
	if (error == OK && SANDBOX_SANITIZED)
		error = filter_add(filter, sanitizer_calls);
	if (error == OK) {
		int result = seccomp_load(filter);
		if (result < 0)
			error = error_from_errno(-result);
	}
	seccomp_release(filter);
	return error;
}

enum error
sandbox_close(const struct sandbox *sandbox, const char **ret_what)
{
	*ret_what = "no_new_privs";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_from_errno(errno);
	*ret_what = "landlock";
	enum error error = landlock_close(sandbox);
	if (error != OK)
		return error;
	*ret_what = "seccomp";
	return seccomp_close(sandbox->rights);
}
