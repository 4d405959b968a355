/*
 * Binding. IPv6 sockets also take IPv4, so that `*:25` is one socket. No
 * SO_REUSEPORT: connections would wait unseen in the share of a worker that died.
 */
#include "net/listener.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

static int
set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof value);
}

/* A socket file that nobody listens on is the remains of a crash. */
static void
remove_dead_socket(const struct endpoint *endpoint)
{
	const struct sockaddr_un *address = (const struct sockaddr_un *)&endpoint->address;
	struct stat stat;

	if (lstat(address->sun_path, &stat) < 0 || !S_ISSOCK(stat.st_mode))
		return;
	for (int type = SOCK_STREAM; type <= SOCK_SEQPACKET; type += SOCK_SEQPACKET - SOCK_STREAM) {
		int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0)
			return;
		int result = connect(fd, (const struct sockaddr *)address, endpoint->len);
		bool refused = result < 0 && (errno == ECONNREFUSED || errno == EPROTOTYPE);
		close(fd);
		if (!refused)
			return;
	}
	unlink(address->sun_path);
}

static int
listener_prepare(int fd, const struct endpoint *endpoint)
{
	mode_t old_mask;

	switch (endpoint->address.ss_family) {
	case AF_UNIX:
		old_mask = umask(0117);
		remove_dead_socket(endpoint);
		int result = bind(fd, (const struct sockaddr *)&endpoint->address, endpoint->len);
		umask(old_mask);
		return result;
	case AF_INET6:
		if (set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0) < 0)
			return -1;
		__attribute__((fallthrough));
	default:
		/* Accepted sockets inherit it: replies must not wait for the client's
		 * acknowledgement. */
		if (set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0 ||
			set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) < 0)
			return -1;
		return bind(fd, (const struct sockaddr *)&endpoint->address, endpoint->len);
	}
}

enum error
listener_bind(const struct endpoint *endpoint, int socket_type, int *ret_fd, int *ret_errno)
{
	int fd = socket(endpoint->address.ss_family, socket_type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && listener_prepare(fd, endpoint) == 0 && listen(fd, LISTENER_BACKLOG) == 0) {
		*ret_fd = fd;
		return OK;
	}
	*ret_errno = errno;
	if (fd >= 0)
		close(fd);
	return error_from_errno(*ret_errno);
}

enum error
listener_endpoint(struct env *env, int fd, struct endpoint *ret_endpoint)
{
	ret_endpoint->len = sizeof ret_endpoint->address;
	return error_from_errno(-env->net->local_name(env->world, fd, &ret_endpoint->address));
}
