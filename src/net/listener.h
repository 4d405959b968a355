/* Listening sockets: bound by `root` alone, shared by the workers. */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "net/endpoint.h"
#include "net/stream.h"

#define LISTENER_BACKLOG 4096

/*
 * A bound, listening, non-blocking socket. A Unix socket's file is made with mode 0660; a dead one
 * in its place is removed first. For libc's view of errors: -errno in *ret_errno too, so that the
 * caller can say why.
 */
MUST_CHECK enum error listener_bind(struct env *env, const struct endpoint *endpoint,
	int socket_type, int *ret_fd, int *ret_errno);

/* The address that the socket really has (after port 0). */
MUST_CHECK enum error listener_endpoint(struct env *env, int fd, struct endpoint *ret_endpoint);

#endif
