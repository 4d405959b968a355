/*
 * What one role may touch of the world: tables of functions for clock, random, disk, network,
 * polling, processes and users, and the memory account and log on which everything of the role
 * hangs. In production the tables are Linux (env_init_linux); tests and the simulator bring their
 * own. Floors 1 to 5 reach the world through this struct only and keep no mutable static data.
 *
 * Functions of the tables return a value >= 0, or -errno. `world` is handed to each of them
 * unchanged. Disk calls may block.
 */
#ifndef BASE_ENV_H
#define BASE_ENV_H

#include "base/clock.h"
#include "base/memory.h"
#include "base/slice.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

struct log_sink;
struct loop;

struct clock_ops {
	mono_us (*monotonic)(void *world);
	wall_us (*wall)(void *world);
};

struct random_ops {
	void (*fill)(void *world, void *bytes, size_t len); /* unpredictable; never fails */
};

struct disk_entry {
	char name[256];
	uint64_t inode;
	unsigned char type; /* DT_REG, DT_DIR, ... or DT_UNKNOWN */
};

struct disk_ops {
	int (*openat)(void *world, int dir_fd, const char *path, int flags,
		mode_t mode); /* O_CLOEXEC is added */
	int (*close)(void *world, int fd);
	ssize_t (*pread)(void *world, int fd, void *bytes, size_t len, off_t offset);
	ssize_t (*pwritev)(
		void *world, int fd, const struct iovec *pieces, int count, off_t offset);
	ssize_t (*write)(void *world, int fd, const void *bytes,
		size_t len); /* logs and terminals, where there is no offset */
	int (*fdatasync)(void *world, int fd);
	int (*fsync)(void *world, int fd);
	int (*syncfs)(void *world, int fd);
	int (*ftruncate)(void *world, int fd, off_t size);
	int (*renameat)(void *world, int old_dir_fd, const char *old_name, int new_dir_fd,
		const char *new_name);
	int (*linkat)(void *world, int old_dir_fd, const char *old_name, int new_dir_fd,
		const char *new_name);
	int (*unlinkat)(void *world, int dir_fd, const char *name, int flags);
	int (*mkdirat)(void *world, int dir_fd, const char *name, mode_t mode);
	int (*fchown)(void *world, int fd, uid_t uid, gid_t gid);
	int (*fchmod)(void *world, int fd, mode_t mode);
	int (*fstat)(void *world, int fd, struct stat *ret_stat);
	int (*fstatat)(void *world, int dir_fd, const char *name, struct stat *ret_stat, int flags);
	/* Calls `each` for every entry but "." and "..", until it returns false. */
	int (*list)(void *world, int dir_fd,
		bool (*each)(void *arg, const struct disk_entry *entry), void *arg);
	/* Bytes that an unprivileged writer may still use on the file system of fd. */
	int64_t (*free_bytes)(void *world, int fd);
	/* Takes the lock of this open file for as long as it is open; -EWOULDBLOCK when another
	 * open file has it. */
	int (*lock)(void *world, int fd);
};

struct net_ops {
	int (*accept)(void *world, int fd,
		struct sockaddr_storage *ret_peer); /* non-blocking, close-on-exec */
	ssize_t (*receive)(void *world, int fd, void *bytes, size_t len);
	ssize_t (*send)(void *world, int fd, const void *bytes, size_t len); /* no SIGPIPE */
	ssize_t (*receive_message)(void *world, int fd, struct msghdr *message);
	ssize_t (*send_message)(void *world, int fd, const struct msghdr *message);
	int (*connect)(void *world, const struct sockaddr *peer, socklen_t peer_len,
		int type); /* a new fd; EINPROGRESS is success */
	int (*connect_result)(void *world, int fd);
	/* A new socket of this type (SOCK_STREAM, SOCK_SEQPACKET), bound and listening,
	 * non-blocking. IPv6 takes IPv4 too, and the file of a Unix socket has mode 0660. */
	int (*listen)(void *world, const struct sockaddr *address, socklen_t address_len, int type,
		int backlog);
	/* Two connected Unix sockets of this type, non-blocking. */
	int (*pair)(void *world, int type, int ret_fds[2]);
	/* 1 or 0: whether a TCP socket still takes connections. */
	int (*is_listening)(void *world, int fd);
	int (*local_name)(void *world, int fd, struct sockaddr_storage *ret_name);
	int (*shutdown_send)(void *world, int fd);
	int (*close)(void *world, int fd);
};

#define SHARED_FIXED_SIZE 1u /* it can neither shrink nor grow */
#define SHARED_CONSTANT   2u /* nor can what it holds change */

/*
 * Memory without a name that processes share through a descriptor. What goes in before it is mapped
 * is written by disk->pwritev, its size is told by disk->fstat, and disk->close or net->close ends
 * the descriptor; mappings outlive it.
 */
struct shared_ops {
	/* A new descriptor of so many zero octets; more when more is written, until it is sealed.
	 * `name` is for people who look. */
	int (*create)(void *world, const char *name, size_t bytes);
	/* For ever, whoever holds it; no more seals after these (SHARED_*). */
	int (*seal)(void *world, int fd, unsigned seals);
	/* SHARED_* that hold; an error for what is no memory of this kind. */
	int (*seals)(void *world, int fd);
	/* Until unmap with the same size; the descriptor stays the caller's. */
	int (*map)(void *world, int fd, size_t bytes, bool writable, void **ret_memory);
	void (*unmap)(void *world, void *memory, size_t bytes);
};

struct poll_event {
	void *tag;
	uint32_t ready; /* POLL_READABLE, POLL_WRITABLE */
};

#define POLL_READABLE 1u
#define POLL_WRITABLE 2u
#define POLL_EXCLUSIVE \
	4u /* a listener shared with other processes: level-triggered, wakes few of them */

struct poll_ops {
	int (*create)(void *world);
	/* Edge-triggered but for POLL_EXCLUSIVE. A descriptor is added once and removed before it
	 * is closed. */
	int (*add)(void *world, int poll_fd, int fd, uint32_t interest, void *tag);
	int (*remove)(void *world, int poll_fd, int fd);
	/* Waits up to timeout_us (negative: for ever); the number of events. */
	int (*wait)(void *world, int poll_fd, struct poll_event *ret_events, int max,
		int64_t timeout_us);
	/* A counter that wakes a poller: signalled, then drained by its owner. */
	int (*wake_create)(void *world);
	int (*wake_copy)(void *world, int fd); /* another descriptor of the same counter */
	void (*wake_signal)(void *world, int fd);
	void (*wake_drain)(void *world, int fd);
	/* Blocks the calling thread until the counter is signalled or the time is over (negative:
	 * never), and drains it. */
	void (*wake_wait)(void *world, int fd, int64_t timeout_us);
	int (*close)(void *world, int fd);
};

struct user {
	uid_t uid;
	gid_t gid;
	char home[256];
};

struct users_ops {
	/* -ENOENT when there is none. May block: NSS. */
	int (*find)(void *world, const char *name, struct user *ret_user);
	/* Calls `each` for every user, until it returns false. May block. */
	int (*list)(void *world, bool (*each)(void *arg, const char *name, uid_t uid), void *arg);
};

/*
 * Threads for what may block for long or needs a deep stack (NSS). Only task/offload and the
 * queue's writer use one; `run` touches what was handed to it and nothing else.
 */
struct thread_ops {
	int (*start)(void *world, void (*run)(void *arg), void *arg, uintptr_t *ret_thread);
	/* One of the two, once: blocks until run has returned; or nobody will wait for its end. */
	void (*join)(void *world, uintptr_t thread);
	void (*leave)(void *world, uintptr_t thread);
};

struct alarm {
	void (*ring)(void *arg);
	void *arg;
	uintptr_t handle;
};

/*
 * Interrupts the thread that opened it, in the midst of whatever it does: `ring` may call nothing
 * that is not safe in a signal handler, and may ring too early. Set for one time; set again, the
 * earlier time is forgotten. A thread has one at a time: -EBUSY.
 * The struct stays where it is until it is closed, by the same thread.
 */
struct alarm_ops {
	int (*open)(void *world, struct alarm *alarm, void (*ring)(void *arg), void *arg);
	void (*set)(void *world, struct alarm *alarm, int64_t after_us);
	void (*close)(void *world, struct alarm *alarm);
};

struct env {
	void *world;
	const struct clock_ops *clock;
	const struct random_ops *random;
	const struct disk_ops *disk;
	const struct net_ops *net;
	const struct shared_ops *shared;
	const struct poll_ops *poll;
	const struct users_ops *users;
	const struct thread_ops *threads;
	const struct alarm_ops *alarm;
	struct memory *memory;
	struct log_sink *log;  /* NULL: records are dropped (unit tests) */
	volatile bool logging; /* set while the sink works: an alarm must not call it then,
				* and one that is not signal_safe never */
	struct loop *loop;     /* set by loop_new */
};

/* Linux itself; memory account without a limit. */
void env_init_linux(struct env *env);

/* /dev/null on 0, 1 and 2 where they are closed: else the first file opened would get what is said
 * to a person. First thing in main. */
void env_hold_standard_descriptors(void);

/* Frees the memory account and with it all that hangs on it. */
void env_done(struct env *env);

static inline mono_us
env_monotonic(const struct env *env)
{
	return env->clock->monotonic(env->world);
}

static inline wall_us
env_wall(const struct env *env)
{
	return env->clock->wall(env->world);
}

static inline void
env_random(const struct env *env, void *bytes, size_t len)
{
	env->random->fill(env->world, bytes, len);
}

/* A random number below `bound` (> 0), each equally likely. */
uint64_t env_random_below(const struct env *env, uint64_t bound);

#endif
