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

/* What can't be decoded may be a secret too. */
static void
channel_forget(struct channel *channel)
{
	if (channel->received_secret)
		memory_wipe(channel->received, channel->received_len);
	channel->received_len = 0;
	channel->received_secret = false;
}

void
channel_relax(struct channel *channel)
{
	channel_forget(channel);
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

struct slice
channel_received(const struct channel *channel)
{
	return slice_of(channel->received, channel->received_len);
}

static enum error
channel_take(struct channel *channel, ssize_t len, struct msghdr *header,
	struct ipc_message *ret_message)
{
	struct ipc_message message = {.fd_count = 0};

	channel->received_len = (size_t)len;
	take_fds(header, &message);
	enum error error = header->msg_flags & (MSG_TRUNC | MSG_CTRUNC)
				   ? ERROR_FORMAT
				   : ipc_decode(slice_of(channel->received, (size_t)len), &message);
	if (error == OK && (!ipc_fds_fit(message.kind, message.fd_count) ||
				   !ipc_may_send(message.kind, channel->peer, channel->self)))
		error = ERROR_FORMAT;
	channel->received_secret = error != OK || ipc_kind_is_secret(message.kind);
	if (error != OK)
		ipc_close_fds(loop_env(channel->loop), &message);
	else
		*ret_message = message;
	return error;
}

/* One message, or the end: nothing is waited for. */
static enum error
channel_look(struct channel *channel, bool *reset, struct ipc_message *ret_message)
{
	struct env *env = loop_env(channel->loop);
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
		/* The end, or an empty message, which may carry descriptors all the same: they
		 * would pile up here. */
		struct ipc_message empty = {.fd_count = 0};
		take_fds(&header, &empty);
		ipc_close_fds(env, &empty);
		return ERROR_CLOSED;
	}
	if (len == -ECONNRESET && !*reset) {
		/* It ended before it read all of ours. What it said before that is still here, and
		 * still true. */
		*reset = true;
		return channel_look(channel, reset, ret_message);
	}
	return error_from_errno((int)-len);
}

enum error
channel_receive(struct channel *channel, mono_us deadline, struct ipc_message *ret_message)
{
	if (channel->fd < 0) /* also one that was never opened: it has no loop */
		return ERROR_CLOSED;
	channel_forget(channel);
	for (bool reset = false;;) {
		if (!channel->received)
			channel->received =
				memory_try(loop_env(channel->loop)->memory, IPC_MESSAGE_MAX);
		if (!channel->received)
			return ERROR_NO_MEMORY;
		enum error error = channel_look(channel, &reset, ret_message);
		if (error != ERROR_AGAIN)
			return error;
		if (channel->relaxes)
			channel_relax(channel);
		error = watch_wait(&channel->watch, POLL_READABLE, deadline);
		if (error != OK)
			return error;
	}
}

enum error
packed_init(struct packed *packed, struct env *env, const struct ipc_message *message)
{
	struct packed made = {.kind = message->kind,
		.fd_count = message->fd_count,
		.len = ipc_encoded_size(message)};
	struct buffer bytes;

	if (made.len > IPC_MESSAGE_MAX)
		return ERROR_LIMIT;
	made.bytes = memory_try(env->memory, made.len);
	if (!made.bytes)
		return ERROR_NO_MEMORY;
	memcpy(made.fds, message->fds, sizeof made.fds);
	buffer_init_fixed(&bytes, made.bytes, made.len);
	enum error error = ipc_encode(message, &bytes);
	if (error != OK)
		packed_done(&made, env);
	else
		*packed = made;
	return error;
}

void
packed_done(struct packed *packed, struct env *env)
{
	if (packed->bytes && ipc_kind_is_secret(packed->kind))
		memory_wipe(packed->bytes, packed->len);
	memory_put(env->memory, packed->bytes);
	packed->bytes = NULL;
}

enum error
channel_try_send_packed(struct channel *channel, const struct packed *packed)
{
	union control control = {.bytes = {0}};
	struct iovec piece = {packed->bytes, packed->len};
	struct msghdr header = {.msg_iov = &piece, .msg_iovlen = 1};

	if (channel->fd < 0)
		return ERROR_CLOSED;
	if (!ipc_fds_fit(packed->kind, packed->fd_count) ||
		!ipc_may_send(packed->kind, channel->self, channel->peer))
		return ERROR_DENIED;
	if (packed->fd_count > 0) {
		header.msg_control = control.bytes;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * packed->fd_count);
		struct cmsghdr *c = CMSG_FIRSTHDR(&header);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * packed->fd_count);
		memcpy(CMSG_DATA(c), packed->fds, sizeof(int) * packed->fd_count);
	}
	struct env *env = loop_env(channel->loop);
	ssize_t sent = env->net->send_message(env->world, channel->fd, &header);
	return sent < 0 ? error_from_errno((int)-sent) : OK;
}

enum error
channel_try_send(struct channel *channel, const struct ipc_message *message)
{
	return channel_send(channel, message, 0);
}

/* One task waits on the socket, the others on that task. */
enum error
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
	struct packed packed;

	if (channel->fd < 0)
		return ERROR_CLOSED;
	struct env *env = loop_env(channel->loop);
	enum error error = packed_init(&packed, env, message);
	if (error != OK)
		return error;
	while ((error = channel_try_send_packed(channel, &packed)) == ERROR_AGAIN) {
		if (deadline == 0)
			break;
		error = channel_wait_for_room(channel, deadline);
		if (error != OK)
			break;
	}
	packed_done(&packed, env);
	return error;
}
