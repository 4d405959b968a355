/* The environment of production: each function is one system call (EINTR repeated), errors as
 * -errno. */
#include "base/env.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

/* The result of a system call as value or -errno, repeated while a signal interrupts it. */
#define RETRY(call)                                         \
	({                                                  \
		__typeof__(call) retry_result;              \
		do                                          \
			retry_result = (call);              \
		while (retry_result < 0 && errno == EINTR); \
		retry_result < 0 ? -errno : retry_result;   \
	})

static int64_t
clock_read(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * US_PER_S + now.tv_nsec / 1000;
}

static mono_us
linux_monotonic(void *world)
{
	(void)world;
	return clock_read(CLOCK_MONOTONIC);
}

static wall_us
linux_wall(void *world)
{
	(void)world;
	return clock_read(CLOCK_REALTIME);
}

static void
linux_random(void *world, void *bytes, size_t len)
{
	(void)world;
	for (size_t at = 0; at < len;) {
		ssize_t got = getrandom((uint8_t *)bytes + at, len - at, 0);
		if (got < 0 && errno != EINTR)
			abort(); /* a kernel without random numbers can't run a mail server */
		if (got > 0)
			at += (size_t)got;
	}
}

static int
linux_openat(void *world, int dir_fd, const char *path, int flags, mode_t mode)
{
	(void)world;
	return RETRY(openat(dir_fd, path, flags | O_CLOEXEC, mode));
}

static int
linux_close(void *world, int fd)
{
	(void)world;
	/* On Linux the descriptor is gone even when EINTR is reported: never repeated. */
	return close(fd) < 0 && errno != EINTR ? -errno : 0;
}

static ssize_t
linux_pread(void *world, int fd, void *bytes, size_t len, off_t offset)
{
	(void)world;
	return RETRY(pread(fd, bytes, len, offset));
}

static ssize_t
linux_pwritev(void *world, int fd, const struct iovec *pieces, int count, off_t offset)
{
	(void)world;
	return RETRY(pwritev(fd, pieces, count, offset));
}

static ssize_t
linux_write(void *world, int fd, const void *bytes, size_t len)
{
	(void)world;
	return RETRY(write(fd, bytes, len));
}

static int
linux_fdatasync(void *world, int fd)
{
	(void)world;
	return RETRY(fdatasync(fd));
}

static int
linux_fsync(void *world, int fd)
{
	(void)world;
	return RETRY(fsync(fd));
}

static int
linux_syncfs(void *world, int fd)
{
	(void)world;
	return RETRY(syncfs(fd));
}

static int
linux_ftruncate(void *world, int fd, off_t size)
{
	(void)world;
	return RETRY(ftruncate(fd, size));
}

static int
linux_renameat(
	void *world, int old_dir_fd, const char *old_name, int new_dir_fd, const char *new_name)
{
	(void)world;
	return RETRY(renameat(old_dir_fd, old_name, new_dir_fd, new_name));
}

static int
linux_linkat(
	void *world, int old_dir_fd, const char *old_name, int new_dir_fd, const char *new_name)
{
	(void)world;
	return RETRY(linkat(old_dir_fd, old_name, new_dir_fd, new_name, 0));
}

static int
linux_unlinkat(void *world, int dir_fd, const char *name, int flags)
{
	(void)world;
	return RETRY(unlinkat(dir_fd, name, flags));
}

static int
linux_mkdirat(void *world, int dir_fd, const char *name, mode_t mode)
{
	(void)world;
	return RETRY(mkdirat(dir_fd, name, mode));
}

static int
linux_fchown(void *world, int fd, uid_t uid, gid_t gid)
{
	(void)world;
	return RETRY(fchown(fd, uid, gid));
}

static int
linux_fchmod(void *world, int fd, mode_t mode)
{
	(void)world;
	return RETRY(fchmod(fd, mode));
}

static int
linux_fstat(void *world, int fd, struct stat *ret_stat)
{
	(void)world;
	return RETRY(fstat(fd, ret_stat));
}

static int
linux_fstatat(void *world, int dir_fd, const char *name, struct stat *ret_stat, int flags)
{
	(void)world;
	return RETRY(fstatat(dir_fd, name, ret_stat, flags));
}

static int
linux_list(
	void *world, int dir_fd, bool (*each)(void *arg, const struct disk_entry *entry), void *arg)
{
	(void)world;
	int fd = RETRY(openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (fd < 0)
		return fd;
	DIR *dir = fdopendir(fd);
	if (!dir) {
		int error = errno;
		close(fd);
		return -error;
	}
	struct dirent *found;
	bool more = true;
	while (more && (errno = 0, found = readdir(dir)) != NULL) {
		struct disk_entry entry = {.inode = found->d_ino, .type = found->d_type};
		size_t len = strlen(found->d_name);
		if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0)
			continue;
		memcpy(entry.name, found->d_name,
			len < sizeof entry.name ? len + 1 : sizeof entry.name);
		more = each(arg, &entry);
	}
	int error = more ? errno : 0;
	closedir(dir);
	return -error;
}

static int64_t
linux_free_bytes(void *world, int fd)
{
	struct statvfs volume;

	(void)world;
	int result = RETRY(fstatvfs(fd, &volume));
	return result < 0 ? result : (int64_t)(volume.f_bavail * volume.f_frsize);
}

static int
linux_lock(void *world, int fd)
{
	(void)world;
	return RETRY(flock(fd, LOCK_EX | LOCK_NB));
}

static int
linux_accept(void *world, int fd, struct sockaddr_storage *ret_peer)
{
	socklen_t len = sizeof *ret_peer;

	(void)world;
	return RETRY(accept4(fd, (struct sockaddr *)ret_peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

static ssize_t
linux_receive(void *world, int fd, void *bytes, size_t len)
{
	(void)world;
	return RETRY(recv(fd, bytes, len, 0));
}

static ssize_t
linux_send(void *world, int fd, const void *bytes, size_t len)
{
	(void)world;
	return RETRY(send(fd, bytes, len, MSG_NOSIGNAL));
}

static ssize_t
linux_receive_message(void *world, int fd, struct msghdr *message)
{
	(void)world;
	return RETRY(recvmsg(fd, message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT));
}

static ssize_t
linux_send_message(void *world, int fd, const struct msghdr *message)
{
	(void)world;
	return RETRY(sendmsg(fd, message, MSG_NOSIGNAL | MSG_DONTWAIT));
}

static int
set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof value);
}

/* What a client writes must not wait for the acknowledgement of what it wrote before. */
static int
begin_connect(int fd, const struct sockaddr *peer, socklen_t peer_len, int type)
{
	bool is_tcp = type == SOCK_STREAM && peer->sa_family != AF_UNIX;

	if (is_tcp && set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) < 0)
		return -1;
	return connect(fd, peer, peer_len);
}

static int
linux_connect(void *world, const struct sockaddr *peer, socklen_t peer_len, int type)
{
	(void)world;
	int fd = RETRY(socket(peer->sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	if (fd < 0)
		return fd;
	if (begin_connect(fd, peer, peer_len, type) < 0 && errno != EINPROGRESS && errno != EINTR) {
		int error = errno;
		close(fd);
		return -error;
	}
	return fd;
}

static int
linux_connect_result(void *world, int fd)
{
	int error = 0;
	socklen_t len = sizeof error;

	(void)world;
	int result = RETRY(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
	return result < 0 ? result : -error;
}

static int
linux_is_listening(void *world, int fd)
{
	int listening = 0;
	socklen_t len = sizeof listening;

	(void)world;
	int result = RETRY(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len));
	return result < 0 ? result : listening != 0;
}

static int
bind_address(int fd, const struct sockaddr *address, socklen_t address_len)
{
	/* Accepted sockets inherit TCP_NODELAY: replies must not wait for the client's
	 * acknowledgement. */
	if (address->sa_family != AF_UNIX &&
		(set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0 ||
			set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) < 0))
		return -1;
	if (address->sa_family == AF_INET6 && set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0) < 0)
		return -1;
	mode_t old_mask = umask(0117);
	int result = bind(fd, address, address_len);
	int error = errno;
	umask(old_mask);
	errno = error;
	return result;
}

static int
linux_listen(
	void *world, const struct sockaddr *address, socklen_t address_len, int type, int backlog)
{
	(void)world;
	int fd = RETRY(socket(address->sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	if (fd < 0)
		return fd;
	if (bind_address(fd, address, address_len) < 0 || listen(fd, backlog) < 0) {
		int error = errno;
		close(fd);
		return -error;
	}
	return fd;
}

static int
linux_pair(void *world, int type, int ret_fds[2])
{
	(void)world;
	return RETRY(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ret_fds));
}

static int
linux_local_name(void *world, int fd, struct sockaddr_storage *ret_name)
{
	socklen_t len = sizeof *ret_name;

	(void)world;
	return RETRY(getsockname(fd, (struct sockaddr *)ret_name, &len));
}

static int
linux_shutdown_send(void *world, int fd)
{
	(void)world;
	return RETRY(shutdown(fd, SHUT_WR));
}

static int
linux_shared_create(void *world, const char *name, size_t bytes)
{
	(void)world;
	int fd = RETRY(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
	if (fd < 0)
		return fd;
	int result = bytes > 0 ? RETRY(ftruncate(fd, (off_t)bytes)) : 0;
	if (result < 0) {
		close(fd);
		return result;
	}
	return fd;
}

static int
linux_shared_seal(void *world, int fd, unsigned seals)
{
	int flags = F_SEAL_SEAL;

	(void)world;
	if (seals & SHARED_FIXED_SIZE)
		flags |= F_SEAL_SHRINK | F_SEAL_GROW;
	if (seals & SHARED_CONSTANT)
		flags |= F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	return RETRY(fcntl(fd, F_ADD_SEALS, flags));
}

static int
linux_shared_seals(void *world, int fd)
{
	const int fixed = F_SEAL_SHRINK | F_SEAL_GROW;

	(void)world;
	int flags = RETRY(fcntl(fd, F_GET_SEALS));
	if (flags < 0)
		return flags;
	if ((flags & fixed) != fixed)
		return 0;
	return flags & F_SEAL_WRITE ? (int)(SHARED_FIXED_SIZE | SHARED_CONSTANT)
				    : (int)SHARED_FIXED_SIZE;
}

static int
linux_shared_map(void *world, int fd, size_t bytes, bool writable, void **ret_memory)
{
	(void)world;
	void *memory =
		mmap(NULL, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	*ret_memory = memory;
	return 0;
}

static void
linux_shared_unmap(void *world, void *memory, size_t bytes)
{
	(void)world;
	munmap(memory, bytes);
}

static int
linux_poll_create(void *world)
{
	(void)world;
	return RETRY(epoll_create1(EPOLL_CLOEXEC));
}

static int
linux_poll_add(void *world, int poll_fd, int fd, uint32_t interest, void *tag)
{
	struct epoll_event event = {.data.ptr = tag};

	(void)world;
	if (interest & POLL_READABLE)
		event.events |= EPOLLIN | EPOLLRDHUP;
	if (interest & POLL_WRITABLE)
		event.events |= EPOLLOUT;
	if (interest & POLL_EXCLUSIVE)
		event.events = EPOLLIN | EPOLLEXCLUSIVE;
	else
		event.events |= EPOLLET;
	return RETRY(epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event));
}

static int
linux_poll_remove(void *world, int poll_fd, int fd)
{
	(void)world;
	return RETRY(epoll_ctl(poll_fd, EPOLL_CTL_DEL, fd, NULL));
}

static int
linux_poll_wait(
	void *world, int poll_fd, struct poll_event *ret_events, int max, int64_t timeout_us)
{
	struct epoll_event events[64];

	(void)world;
	/* Rounded up: a timer that is due in 10 us must not spin the loop. */
	int timeout_ms = timeout_us < 0 ? -1
					: (int)((timeout_us + 999) / 1000 > 3600000
							  ? 3600000
							  : (timeout_us + 999) / 1000);
	int count = epoll_wait(poll_fd, events, max < 64 ? max : 64, timeout_ms);
	if (count < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < count; i++) {
		uint32_t ready = 0;
		if (events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			ready |= POLL_READABLE;
		if (events[i].events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
			ready |= POLL_WRITABLE;
		ret_events[i] = (struct poll_event){events[i].data.ptr, ready};
	}
	return count;
}

static int
linux_wake_create(void *world)
{
	(void)world;
	return RETRY(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

static int
linux_wake_copy(void *world, int fd)
{
	(void)world;
	return RETRY(fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

static void
linux_wake_signal(void *world, int fd)
{
	uint64_t one = 1;

	(void)world;
	/* EAGAIN means that the counter is full, so the other side has its wake-up already. */
	ssize_t ignored = write(fd, &one, sizeof one);
	(void)ignored;
}

static void
linux_wake_drain(void *world, int fd)
{
	uint64_t count;

	(void)world;
	ssize_t ignored = read(fd, &count, sizeof count);
	(void)ignored;
}

static void
linux_wake_wait(void *world, int fd, int64_t timeout_us)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	poll(&poll_fd, 1, timeout_us < 0 ? -1 : (int)((timeout_us + 999) / 1000));
	linux_wake_drain(world, fd);
}

static int
linux_find_user(void *world, const char *name, struct user *ret_user)
{
	enum { NSS_BYTES = 16384 };
	struct passwd entry, *found = NULL;
	char *text = malloc(NSS_BYTES);

	(void)world;
	if (!text)
		return -ENOMEM;
	int error = getpwnam_r(name, &entry, text, NSS_BYTES, &found);
	if (error == 0 && !found)
		error = ENOENT;
	if (error == 0 && (size_t)snprintf(ret_user->home, sizeof ret_user->home, "%s",
				  entry.pw_dir) >= sizeof ret_user->home)
		error = ENAMETOOLONG;
	if (error == 0) {
		ret_user->uid = entry.pw_uid;
		ret_user->gid = entry.pw_gid;
	}
	free(text);
	return -error;
}

static int
linux_list_users(void *world, bool (*each)(void *arg, const char *name, uid_t uid), void *arg)
{
	struct passwd *entry;

	(void)world;
	setpwent();
	while ((errno = 0, entry = getpwent()) != NULL)
		if (!each(arg, entry->pw_name, entry->pw_uid))
			break;
	int error = entry ? 0 : errno;
	endpwent();
	/* Sources that do not enumerate (LDAP, systemd) answer ENOENT at the end of the local ones.
	 */
	return error == ENOENT ? 0 : -error;
}

struct thread_start {
	void (*run)(void *arg);
	void *arg;
};

static void *
thread_entry(void *start_pointer)
{
	struct thread_start start = *(struct thread_start *)start_pointer;

	free(start_pointer);
	start.run(start.arg);
	return NULL;
}

/* Signals stay with the thread that asked for them. */
static int
linux_thread_start(void *world, void (*run)(void *arg), void *arg, uintptr_t *ret_thread)
{
	enum { STACK_BYTES = 1 << 20 };
	struct thread_start *start = malloc(sizeof *start);
	pthread_attr_t attributes;
	sigset_t all, before;
	pthread_t thread;

	(void)world;
	if (!start)
		return -ENOMEM;
	*start = (struct thread_start){run, arg};
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&thread, &attributes, thread_entry, start);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (error != 0) {
		free(start);
		return -error;
	}
	*ret_thread = (uintptr_t)thread;
	return 0;
}

static void
linux_thread_join(void *world, uintptr_t thread)
{
	(void)world;
	pthread_join((pthread_t)thread, NULL);
}

static void
linux_thread_leave(void *world, uintptr_t thread)
{
	(void)world;
	pthread_detach((pthread_t)thread);
}

/* SIGURG since nothing else of ours uses it, since it does no harm where nobody handles it, and
 * since debuggers let it pass. */
#define ALARM_SIGNAL SIGURG

/*
 * Whom the signal is for. It is not taken from the signal: any process of the same user can send
 * one that looks like a timer's and carries what it likes. A forged one that even names the right
 * place rings too early, no more.
 */
static _Thread_local struct alarm *volatile thread_alarm;

static void
alarm_handler(int number, siginfo_t *info, void *context)
{
	int saved_errno = errno;
	struct alarm *alarm = thread_alarm;

	(void)number;
	(void)context;
	if (alarm && info->si_code == SI_TIMER && info->si_value.sival_ptr == alarm)
		alarm->ring(alarm->arg);
	errno = saved_errno;
}

static int
linux_alarm_open(void *world, struct alarm *alarm, void (*ring)(void *arg), void *arg)
{
	struct sigaction action = {
		.sa_sigaction = alarm_handler, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = ALARM_SIGNAL};
	timer_t timer;

	(void)world;
	if (thread_alarm)
		return -EBUSY;
	*alarm = (struct alarm){.ring = ring, .arg = arg};
	event.sigev_value.sival_ptr = alarm;
	event._sigev_un._tid = gettid();
	sigemptyset(&action.sa_mask);
	if (sigaction(ALARM_SIGNAL, &action, NULL) < 0 ||
		timer_create(CLOCK_MONOTONIC, &event, &timer) < 0)
		return -errno;
	alarm->handle = (uintptr_t)timer;
	thread_alarm = alarm;
	return 0;
}

static void
linux_alarm_set(void *world, struct alarm *alarm, int64_t after_us)
{
	struct itimerspec when = {
		.it_value = {.tv_sec = after_us / US_PER_S, .tv_nsec = after_us % US_PER_S * 1000}};

	(void)world;
	timer_settime((timer_t)alarm->handle, 0, &when, NULL);
}

static void
linux_alarm_close(void *world, struct alarm *alarm)
{
	(void)world;
	thread_alarm = NULL; /* what is still on its way finds nobody */
	timer_delete((timer_t)alarm->handle);
}

static const struct clock_ops linux_clock = {linux_monotonic, linux_wall};
static const struct random_ops linux_random_ops = {linux_random};
static const struct disk_ops linux_disk = {
	.openat = linux_openat,
	.close = linux_close,
	.pread = linux_pread,
	.pwritev = linux_pwritev,
	.write = linux_write,
	.fdatasync = linux_fdatasync,
	.fsync = linux_fsync,
	.syncfs = linux_syncfs,
	.ftruncate = linux_ftruncate,
	.renameat = linux_renameat,
	.linkat = linux_linkat,
	.unlinkat = linux_unlinkat,
	.mkdirat = linux_mkdirat,
	.fchown = linux_fchown,
	.fchmod = linux_fchmod,
	.fstat = linux_fstat,
	.fstatat = linux_fstatat,
	.list = linux_list,
	.free_bytes = linux_free_bytes,
	.lock = linux_lock,
};
static const struct net_ops linux_net = {
	.accept = linux_accept,
	.receive = linux_receive,
	.send = linux_send,
	.receive_message = linux_receive_message,
	.send_message = linux_send_message,
	.connect = linux_connect,
	.connect_result = linux_connect_result,
	.listen = linux_listen,
	.pair = linux_pair,
	.local_name = linux_local_name,
	.is_listening = linux_is_listening,
	.shutdown_send = linux_shutdown_send,
	.close = linux_close,
};
static const struct shared_ops linux_shared = {
	.create = linux_shared_create,
	.seal = linux_shared_seal,
	.seals = linux_shared_seals,
	.map = linux_shared_map,
	.unmap = linux_shared_unmap,
};
static const struct poll_ops linux_poll = {
	.create = linux_poll_create,
	.add = linux_poll_add,
	.remove = linux_poll_remove,
	.wait = linux_poll_wait,
	.wake_create = linux_wake_create,
	.wake_copy = linux_wake_copy,
	.wake_signal = linux_wake_signal,
	.wake_drain = linux_wake_drain,
	.wake_wait = linux_wake_wait,
	.close = linux_close,
};
static const struct thread_ops linux_threads = {
	linux_thread_start, linux_thread_join, linux_thread_leave};
static const struct alarm_ops linux_alarm = {linux_alarm_open, linux_alarm_set, linux_alarm_close};
static const struct users_ops linux_users = {linux_find_user, linux_list_users};

void
env_init_linux(struct env *env)
{
	*env = (struct env){
		.clock = &linux_clock,
		.random = &linux_random_ops,
		.disk = &linux_disk,
		.net = &linux_net,
		.shared = &linux_shared,
		.poll = &linux_poll,
		.users = &linux_users,
		.threads = &linux_threads,
		.alarm = &linux_alarm,
		.memory = memory_new(0),
	};
}

void
env_hold_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}
