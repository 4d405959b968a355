/*
 * Messages over SOCK_SEQPACKET: one datagram each, so there is no framing to get wrong, and a
 * datagram that was cut (MSG_TRUNC, MSG_CTRUNC) is refused. Descriptors that came with a refused
 * message are closed.
 */
#include "ipc/channel.h"

#include <errno.h>

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
};

enum error
channel_open(struct channel *channel, struct loop *loop, int fd, enum role self, enum role peer)
{
	struct env *env = loop_env(loop);

	*channel = (struct channel){.loop = loop, .fd = fd, .self = self, .peer = peer};
	task_event_init(&channel->sent);
	enum error error = watch_open(&channel->watch, loop, fd, POLL_READABLE | POLL_WRITABLE);
	if (error != OK) {
		env->net->close(env->world, fd);
		channel->fd = -1;
	}
	return error;
}

void
channel_relax(struct channel *channel)
{
	memory_put(loop_env(channel->loop)->memory, channel->received);
	channel->received = NULL;
}

void
channel_close(struct channel *channel)
{
	if (channel->fd < 0)
		return;
	struct env *env = loop_env(channel->loop);
	watch_close(&channel->watch);
	env->net->close(env->world, channel->fd);
	channel->fd = -1;
	channel_relax(channel);
}

void
ipc_close_fds(struct env *env, struct ipc_message *message)
{
	for (unsigned i = 0; i < message->fd_count; i++)
		env->net->close(env->world, message->fds[i]);
	message->fd_count = 0;
}

/* Takes the descriptors out of the control data; more than fit were closed by the kernel (and
 * MSG_CTRUNC is set). */
static void
take_fds(struct msghdr *header, struct ipc_message *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (count > IPC_FDS_MAX - message->fd_count)
			count = IPC_FDS_MAX - message->fd_count;
		memcpy(message->fds + message->fd_count, CMSG_DATA(c), count * sizeof(int));
		message->fd_count += (unsigned)count;
	}
}

static enum error
channel_take(struct channel *channel, ssize_t len, struct msghdr *header,
	struct ipc_message *ret_message)
{
	struct ipc_message message = {.fd_count = 0};

	take_fds(header, &message);
	enum error error = header->msg_flags & (MSG_TRUNC | MSG_CTRUNC)
				   ? ERROR_FORMAT
				   : ipc_decode(slice_of(channel->received, (size_t)len), &message);
	if (error == OK && (message.fd_count != ipc_kind_fds(message.kind) ||
				   !ipc_may_send(message.kind, channel->peer, channel->self)))
		error = ERROR_FORMAT;
	if (error != OK)
		ipc_close_fds(loop_env(channel->loop), &message);
	else
		*ret_message = message;
	return error;
}

enum error
channel_receive(struct channel *channel, mono_us deadline, struct ipc_message *ret_message)
{
	if (channel->fd < 0) /* also one that was never opened: it has no loop */
		return ERROR_CLOSED;
	struct env *env = loop_env(channel->loop);
	if (!channel->received)
		channel->received = memory_try(env->memory, IPC_MESSAGE_MAX);
	if (!channel->received)
		return ERROR_NO_MEMORY;
	for (bool reset = false;;) {
		union control control;
		struct iovec piece = {channel->received, IPC_MESSAGE_MAX};
		struct msghdr header = {.msg_iov = &piece,
			.msg_iovlen = 1,
			.msg_control = control.bytes,
			.msg_controllen = sizeof control.bytes};
		ssize_t len = env->net->receive_message(env->world, channel->fd, &header);
		if (len > 0)
			return channel_take(channel, len, &header, ret_message);
		if (len == 0) {
			/* The end, or an empty message, which may carry descriptors all the same:
			 * they would pile up here. */
			struct ipc_message empty = {.fd_count = 0};
			take_fds(&header, &empty);
			ipc_close_fds(env, &empty);
			return ERROR_CLOSED;
		}
		if (len == -ECONNRESET && !reset) {
			/* It ended before it read all of ours. What it said before that is still
			 * here, and still true. */
			reset = true;
			continue;
		}
		if (len != -EAGAIN)
			return error_from_errno((int)-len);
		enum error error = watch_wait(&channel->watch, POLL_READABLE, deadline);
		if (error != OK)
			return error;
	}
}

static enum error
channel_send_bytes(struct channel *channel, struct slice bytes, const struct ipc_message *message)
{
	struct env *env = loop_env(channel->loop);
	union control control = {.bytes = {0}};
	struct iovec piece = {(void *)(uintptr_t)bytes.ptr, bytes.len};
	struct msghdr header = {.msg_iov = &piece, .msg_iovlen = 1};

	if (channel->fd < 0)
		return ERROR_CLOSED;
	if (message->fd_count > 0) {
		header.msg_control = control.bytes;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * message->fd_count);
		struct cmsghdr *c = CMSG_FIRSTHDR(&header);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * message->fd_count);
		memcpy(CMSG_DATA(c), message->fds, sizeof(int) * message->fd_count);
	}
	ssize_t sent = env->net->send_message(env->world, channel->fd, &header);
	return sent < 0 ? error_from_errno((int)-sent) : OK;
}

enum error
channel_try_send(struct channel *channel, const struct ipc_message *message)
{
	return channel_send(channel, message, 0);
}

/* May wait: until the socket may have room. One task waits on the socket, the others on that task.
 */
static enum error
channel_wait_for_room(struct channel *channel, mono_us deadline)
{
	if (channel->watch.writer)
		return task_event_wait(channel->loop, &channel->sent, deadline);
	enum error error = watch_wait(&channel->watch, POLL_WRITABLE, deadline);
	task_event_signal(&channel->sent);
	return error;
}

enum error
channel_send(struct channel *channel, const struct ipc_message *message, mono_us deadline)
{
	struct buffer bytes;
	enum error error;

	if (channel->fd < 0)
		return ERROR_CLOSED;
	struct env *env = loop_env(channel->loop);
	if (message->fd_count != ipc_kind_fds(message->kind) ||
		!ipc_may_send(message->kind, channel->self, channel->peer))
		return ERROR_DENIED;
	buffer_init(&bytes, env->memory, IPC_MESSAGE_MAX);
	error = ipc_encode(message, &bytes);
	while (error == OK) {
		error = channel_send_bytes(channel, buffer_slice(&bytes), message);
		if (error != ERROR_AGAIN || deadline == 0)
			break;
		error = channel_wait_for_room(channel, deadline);
	}
	buffer_done(&bytes);
	return error;
}
