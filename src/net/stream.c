/* Waiting reads and writes over any stream, and the stream at the bottom: a non-blocking socket
 * under the loop's poller. */
#include "net/stream.h"
#include "net/endpoint.h"

#include <errno.h>

enum error
stream_read(struct stream *stream, void *bytes, size_t len, mono_us deadline, size_t *ret_len)
{
	for (;;) {
		ssize_t got = stream->ops->read(stream, bytes, len);
		if (got > 0) {
			*ret_len = (size_t)got;
			return OK;
		}
		if (got == 0)
			return ERROR_CLOSED;
		if (got != -EAGAIN)
			return error_from_errno((int)-got);
		enum error error = stream->ops->wait(stream, POLL_READABLE, deadline);
		if (error != OK)
			return error;
	}
}

enum error
stream_write(struct stream *stream, struct slice bytes, mono_us deadline)
{
	while (bytes.len > 0) {
		ssize_t written = stream->ops->write(stream, bytes.ptr, bytes.len);
		if (written >= 0) {
			bytes = slice_from(bytes, (size_t)written);
			continue;
		}
		if (written != -EAGAIN)
			return error_from_errno((int)-written);
		enum error error = stream->ops->wait(stream, POLL_WRITABLE, deadline);
		if (error != OK)
			return error;
	}
	return OK;
}

void
stream_close(struct stream *stream)
{
	if (stream->ops)
		stream->ops->close(stream);
	stream->ops = NULL;
}

static ssize_t
socket_read(struct stream *stream, void *bytes, size_t len)
{
	struct socket_stream *socket = (struct socket_stream *)stream;
	struct env *env = loop_env(stream->loop);

	return env->net->receive(env->world, socket->watch.fd, bytes, len);
}

static ssize_t
socket_write(struct stream *stream, const void *bytes, size_t len)
{
	struct socket_stream *socket = (struct socket_stream *)stream;
	struct env *env = loop_env(stream->loop);

	return env->net->send(env->world, socket->watch.fd, bytes, len);
}

static enum error
socket_wait(struct stream *stream, uint32_t what, mono_us deadline)
{
	return watch_wait(&((struct socket_stream *)stream)->watch, what, deadline);
}

static void
socket_close(struct stream *stream)
{
	struct socket_stream *socket = (struct socket_stream *)stream;
	struct env *env = loop_env(stream->loop);

	watch_close(&socket->watch);
	env->net->close(env->world, socket->watch.fd);
}

static const struct stream_ops socket_ops = {socket_read, socket_write, socket_wait, socket_close};

enum error
socket_stream_open(struct socket_stream *socket, struct loop *loop, int fd)
{
	struct env *env = loop_env(loop);

	socket->stream = (struct stream){.loop = loop};
	enum error error = watch_open(&socket->watch, loop, fd, POLL_READABLE | POLL_WRITABLE);
	if (error != OK) {
		env->net->close(env->world, fd);
		return error;
	}
	socket->stream.ops = &socket_ops;
	return OK;
}

enum error
socket_stream_connect(struct socket_stream *socket, struct loop *loop, const struct endpoint *peer,
	mono_us deadline)
{
	struct env *env = loop_env(loop);
	int fd = env->net->connect(
		env->world, (const struct sockaddr *)&peer->address, peer->len, SOCK_STREAM);

	socket->stream = (struct stream){.loop = loop};
	if (fd < 0)
		return error_from_errno(-fd);
	enum error error = socket_stream_open(socket, loop, fd);
	if (error != OK)
		return error;
	error = watch_wait(&socket->watch, POLL_WRITABLE, deadline);
	if (error == OK)
		error = error_from_errno(-env->net->connect_result(env->world, fd));
	if (error != OK)
		stream_close(&socket->stream);
	return error;
}
