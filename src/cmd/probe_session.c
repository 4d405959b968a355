#include "cmd/probe.h"
#include "cmd/tool.h"

#include <netdb.h>
#include <stdio.h>
#include <sysexits.h>

#define LINE_MAX_OCTETS 2048
#define HOST_MAX        256
#define PORT_MAX        8

/* The name and the port; false: it is neither form. */
static bool
split(const char *text, char host[HOST_MAX], char port[PORT_MAX])
{
	struct slice all = slice_text(text), rest = {0}, name = all;
	bool is_literal = slice_has_prefix(all, SLICE("["));
	ssize_t at = slice_find(all, 0, is_literal ? ']' : ':');

	if (is_literal && at < 0)
		return false;
	if (is_literal) {
		name = slice_sub(all, 1, (size_t)at - 1);
		rest = slice_from(all, (size_t)at + 1);
	} else if (at >= 0 && slice_find(all, (size_t)at + 1, ':') < 0) {
		name = slice_sub(all, 0, (size_t)at);
		rest = slice_from(all, (size_t)at);
	}
	if (name.len == 0 || name.len >= HOST_MAX || rest.len == 1 || rest.len > PORT_MAX ||
		(rest.len > 0 && rest.ptr[0] != ':'))
		return false;
	memcpy(host, name.ptr, name.len);
	host[name.len] = 0;
	if (rest.len > 0) {
		memcpy(port, rest.ptr + 1, rest.len - 1);
		port[rest.len - 1] = 0;
	}
	return true;
}

bool
probe_find_host(const char *text, const char *port, struct endpoint *ret_peer, int *ret_code)
{
	char host[HOST_MAX], number[PORT_MAX];
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *found = NULL;

	snprintf(number, sizeof number, "%s", port);
	if (!split(text, host, number)) {
		*ret_code = tool_misused(PROBE_NAME,
			"%s: give it as mx.example.org, mx.example.org:25, 192.0.2.1:25 or "
			"[2001:db8::1]:25",
			text);
		return false;
	}
	int result = getaddrinfo(host, number, &hints, &found);
	if (result != 0) {
		*ret_code = tool_fail(PROBE_NAME, EX_NOHOST, "%s: %s", text, gai_strerror(result));
		return false;
	}
	ret_peer->len = found->ai_addrlen;
	memcpy(&ret_peer->address, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return true;
}

void
probe_session_init(struct probe_session *session, struct env *env)
{
	*session = (struct probe_session){.env = env, .pool = line_pool_new(env)};
	smtp_reply_reader_init(&session->reply, env->memory);
}

/* The connection goes, without a word. */
static void
hang_up(struct probe_session *session)
{
	if (!session->is_open)
		return;
	session->is_open = false;
	line_reader_done(&session->reader);
	stream_close(&session->socket.stream);
}

/* May wait. */
static enum error
read_reply(struct probe_session *session)
{
	mono_us deadline = loop_deadline(session->env->loop, PROBE_REPLY_US);
	bool is_last = false;
	enum error error = OK;

	smtp_reply_reader_clear(&session->reply);
	while (error == OK && !is_last) {
		struct line line;
		error = line_read(&session->reader, LINE_MAX_OCTETS, deadline, &line);
		if (error == OK)
			error = smtp_reply_reader_line(&session->reply, line.text, &is_last);
	}
	if (error != OK || session->reply.code == 421)
		hang_up(session);
	return error;
}

enum error
probe_open(struct probe_session *session, const struct endpoint *peer)
{
	struct loop *loop = session->env->loop;
	enum error error = socket_stream_connect(
		&session->socket, loop, peer, loop_deadline(loop, PROBE_CONNECT_US));

	if (error != OK)
		return error;
	line_reader_init(&session->reader, session->pool, &session->socket.stream);
	session->is_open = true;
	return read_reply(session);
}

enum error
probe_ask(struct probe_session *session, struct slice line)
{
	mono_us deadline = loop_deadline(session->env->loop, PROBE_REPLY_US);
	uint8_t storage[LINE_MAX_OCTETS];
	struct buffer text;

	if (!session->is_open)
		return ERROR_CLOSED;
	/* In one packet: the second of two would wait for the first to be acknowledged. */
	buffer_init_fixed(&text, storage, sizeof storage);
	buffer_append(&text, line);
	buffer_append_text(&text, "\r\n");
	enum error error = buffer_error(&text);
	if (error == OK)
		error = stream_write(&session->socket.stream, buffer_slice(&text), deadline);
	if (error == OK)
		return read_reply(session);
	hang_up(session);
	return error;
}

void
probe_close(struct probe_session *session)
{
	enum error error = probe_ask(session, SLICE("QUIT"));

	(void)error; /* who leaves without a goodbye has left too */
	hang_up(session);
}

void
probe_session_done(struct probe_session *session)
{
	hang_up(session);
	smtp_reply_reader_done(&session->reply);
	line_pool_free(&session->pool);
}
