/*
 * A byte stream with its filters (TCP or Unix socket below; TLS, transcript above): what SMTP reads
 * and writes. The functions that may wait take a deadline and return ERROR_TIMEOUT, ERROR_CANCELLED
 * or ERROR_CLOSED.
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include "base/slice.h"
#include "task/task.h"

struct stream;

struct stream_ops {
	ssize_t (*read)(struct stream *stream, void *bytes,
		size_t len); /* octets, 0 at the end, -errno; -EAGAIN: wait */
	ssize_t (*write)(struct stream *stream, const void *bytes,
		size_t len); /* octets taken, -errno; -EAGAIN: wait */
	enum error (*wait)(struct stream *stream, uint32_t what,
		mono_us deadline); /* after -EAGAIN; may wait */
	void (*close)(struct stream *stream);
};

struct stream {
	const struct stream_ops *ops;
	struct loop *loop;
};

/* May wait: some octets, at least one. ERROR_CLOSED at the end of the stream. */
MUST_CHECK enum error
stream_read(struct stream *stream, void *bytes, size_t len, mono_us deadline, size_t *ret_len);

/* May wait: all of the octets. */
MUST_CHECK enum error stream_write(struct stream *stream, struct slice bytes, mono_us deadline);

/* Ends the stream at once. Takes NULL operations (a stream that was never opened). */
void stream_close(struct stream *stream);

/* A connected, non-blocking socket, TCP or Unix. The stream owns it from here on, also when opening
 * fails. */
struct socket_stream {
	struct stream stream;
	struct watch watch;
};
MUST_CHECK enum error socket_stream_open(struct socket_stream *socket, struct loop *loop, int fd);

/* May wait: connects to an address. */
struct endpoint;
MUST_CHECK enum error socket_stream_connect(struct socket_stream *socket, struct loop *loop,
	const struct endpoint *peer, mono_us deadline);

#endif
