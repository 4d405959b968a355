/* Linux where the n-th call fails that makes memory, sockets or descriptors, or writes a file. What
 * is asked of a user: no n leaves a descriptor, a mapping or memory behind. */
#ifndef TESTS_FAULT_ENV_H
#define TESTS_FAULT_ENV_H

#include "base/env.h"
#include "unit.h"

#include <errno.h>

struct fault_env {
	struct env env;
	struct env real;
	struct disk_ops disk;
	struct net_ops net;
	struct shared_ops shared;
	unsigned calls;
	unsigned fail_at; /* the number of the call that fails, from 1; 0: none */
	bool cut;         /* it writes nothing, instead of failing */
	int mappings;
};

static inline bool
fault_hits(void *world)
{
	struct fault_env *faults = world;

	return ++faults->calls == faults->fail_at;
}

static inline int
fault_create(void *world, const char *name, size_t bytes)
{
	struct fault_env *faults = world;

	return fault_hits(world) ? -EMFILE : faults->real.shared->create(NULL, name, bytes);
}

static inline int
fault_seal(void *world, int fd, unsigned seals)
{
	struct fault_env *faults = world;

	return fault_hits(world) ? -EPERM : faults->real.shared->seal(NULL, fd, seals);
}

static inline int
fault_seals(void *world, int fd)
{
	struct fault_env *faults = world;

	return fault_hits(world) ? -EINVAL : faults->real.shared->seals(NULL, fd);
}

static inline int
fault_map(void *world, int fd, size_t bytes, bool writable, void **ret_memory)
{
	struct fault_env *faults = world;

	if (fault_hits(world))
		return -ENOMEM;
	int result = faults->real.shared->map(NULL, fd, bytes, writable, ret_memory);
	faults->mappings += result == 0;
	return result;
}

static inline void
fault_unmap(void *world, void *memory, size_t bytes)
{
	struct fault_env *faults = world;

	faults->mappings--;
	faults->real.shared->unmap(NULL, memory, bytes);
}

static inline ssize_t
fault_pwritev(void *world, int fd, const struct iovec *pieces, int count, off_t offset)
{
	struct fault_env *faults = world;

	if (fault_hits(world))
		return faults->cut ? 0 : -ENOSPC;
	return faults->real.disk->pwritev(NULL, fd, pieces, count, offset);
}

static inline ssize_t
fault_write(void *world, int fd, const void *bytes, size_t len)
{
	struct fault_env *faults = world;

	if (fault_hits(world))
		return faults->cut ? 0 : -ENOSPC;
	return faults->real.disk->write(NULL, fd, bytes, len);
}

static inline int
fault_fstat(void *world, int fd, struct stat *ret_stat)
{
	struct fault_env *faults = world;

	return fault_hits(world) ? -EIO : faults->real.disk->fstat(NULL, fd, ret_stat);
}

static inline int
fault_fstatat(void *world, int dir_fd, const char *name, struct stat *ret_stat, int flags)
{
	struct fault_env *faults = world;

	return fault_hits(world) ? -EACCES
				 : faults->real.disk->fstatat(NULL, dir_fd, name, ret_stat, flags);
}

static inline int
fault_unlinkat(void *world, int dir_fd, const char *name, int flags)
{
	struct fault_env *faults = world;

	return fault_hits(world) ? -EACCES : faults->real.disk->unlinkat(NULL, dir_fd, name, flags);
}

static inline int
fault_connect(void *world, const struct sockaddr *peer, socklen_t peer_len, int type)
{
	struct fault_env *faults = world;

	return fault_hits(world) ? -EMFILE : faults->real.net->connect(NULL, peer, peer_len, type);
}

static inline int
fault_listen(
	void *world, const struct sockaddr *address, socklen_t address_len, int type, int backlog)
{
	struct fault_env *faults = world;

	return fault_hits(world)
		       ? -EMFILE
		       : faults->real.net->listen(NULL, address, address_len, type, backlog);
}

/* In place; it stays where it is. */
static inline void
fault_env_init(struct fault_env *faults)
{
	*faults = (struct fault_env){.calls = 0};
	env_init_linux(&faults->env);
	faults->real = faults->env;
	faults->disk = *faults->env.disk;
	faults->disk.pwritev = fault_pwritev;
	faults->disk.write = fault_write;
	faults->disk.fstat = fault_fstat;
	faults->disk.fstatat = fault_fstatat;
	faults->disk.unlinkat = fault_unlinkat;
	faults->net = *faults->env.net;
	faults->net.connect = fault_connect;
	faults->net.listen = fault_listen;
	faults->shared =
		(struct shared_ops){fault_create, fault_seal, fault_seals, fault_map, fault_unmap};
	faults->env.disk = &faults->disk;
	faults->env.net = &faults->net;
	faults->env.shared = &faults->shared;
	faults->env.world = faults;
}

/* The next attempt: its n-th call fails (0: none). */
static inline void
fault_env_arm(struct fault_env *faults, unsigned fail_at)
{
	faults->calls = 0;
	faults->fail_at = fail_at;
}

static inline void
fault_env_done(struct fault_env *faults)
{
	ck_assert_int_eq(faults->mappings, 0);
	ck_assert_uint_eq(memory_used(faults->env.memory), 0);
	env_done(&faults->env);
}

#endif
