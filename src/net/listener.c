/*
 * Binding. IPv6 sockets also take IPv4 (env's listen), so that `*:25` is one socket. No
 * SO_REUSEPORT: connections would wait unseen in the share of a worker that died.
 */
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/un.h>

/* A socket file that nobody listens on is the remains of a crash. */
static void
remove_dead_socket(struct env *env, const struct endpoint *endpoint)
{
	const struct sockaddr_un *address = (const struct sockaddr_un *)&endpoint->address;
	struct stat stat;

	if (env->disk->fstatat(
		    env->world, AT_FDCWD, address->sun_path, &stat, AT_SYMLINK_NOFOLLOW) < 0 ||
		!S_ISSOCK(stat.st_mode))
		return;
	for (int type = SOCK_STREAM; type <= SOCK_SEQPACKET; type += SOCK_SEQPACKET - SOCK_STREAM) {
		int fd = env->net->connect(
			env->world, (const struct sockaddr *)address, endpoint->len, type);
		if (fd >= 0)
			env->net->close(env->world, fd);
		if (fd != -ECONNREFUSED && fd != -EPROTOTYPE)
			return;
	}
	env->disk->unlinkat(env->world, AT_FDCWD, address->sun_path, 0);
}

enum error
listener_bind(struct env *env, const struct endpoint *endpoint, int socket_type, int *ret_fd,
	int *ret_errno)
{
	if (endpoint->address.ss_family == AF_UNIX)
		remove_dead_socket(env, endpoint);
	int fd = env->net->listen(env->world, (const struct sockaddr *)&endpoint->address,
		endpoint->len, socket_type, LISTENER_BACKLOG);
	if (fd < 0) {
		*ret_errno = -fd;
		return error_from_errno(-fd);
	}
	*ret_fd = fd;
	return OK;
}

enum error
listener_endpoint(struct env *env, int fd, struct endpoint *ret_endpoint)
{
	ret_endpoint->len = sizeof ret_endpoint->address;
	return error_from_errno(-env->net->local_name(env->world, fd, &ret_endpoint->address));
}
