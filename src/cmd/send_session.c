/*
 * The session of `veredus send`: connection, greeting, one message. The message is composed only
 * when the server has said what it takes (8BITMIME), so that it never needs to be changed.
 */
#include "cmd/send.h"
#include "cmd/tool.h"
#include "smtp/client_content.h"

#include <errno.h>
#include <stdio.h>

#define CONNECT_US  (30 * US_PER_S)
#define HELLO_MAX   300
#define MESSAGE_MAX (UINT64_C(1) << 30) /* octets: the largest body, all of it quoted-printable */

/* Reading of what lies in memory. */
struct memory_source {
	struct slice bytes;
	size_t at;
};

static enum error
source_read(void *arg, void *bytes, size_t len, size_t *ret_len)
{
	struct memory_source *source = arg;
	struct slice next = slice_sub(source->bytes, source->at, len);

	if (next.len > 0)
		memcpy(bytes, next.ptr, next.len);
	source->at += next.len;
	*ret_len = next.len;
	return OK;
}

/* The dialogue as people know it: > is what we say, < what the server says. */
static void
show_line(void *arg, enum smtp_client_line kind, struct slice line)
{
	struct send *send = arg;
	struct buffer text;

	buffer_init(&text, send->env.memory, TOOL_LINE_MAX);
	buffer_append_text(&text, kind == SMTP_LINE_RECEIVED ? "< " : "> ");
	if (kind == SMTP_LINE_CONTENT)
		buffer_append_octet(&text, '(');
	tool_append_harmless(&text, line);
	if (kind == SMTP_LINE_CONTENT)
		buffer_append(&text, SLICE(")\n> ."));
	fprintf(stderr, "%s\n", buffer_text(&text));
	buffer_done(&text);
}

/* May wait. 0, or the errno value that says why not. */
static int
connect_to_server(struct send *send, struct socket_stream *socket)
{
	struct env *env = &send->env;
	int fd = env->net->connect(env->world, (const struct sockaddr *)&send->endpoint.address,
		send->endpoint.len, SOCK_STREAM);

	if (fd < 0)
		return -fd;
	if (socket_stream_open(socket, env->loop, fd) != OK)
		return ENOMEM;
	enum error error = socket->stream.ops->wait(
		&socket->stream, POLL_WRITABLE, loop_deadline(env->loop, CONNECT_US));
	int result = error == ERROR_TIMEOUT ? ETIMEDOUT
		     : error != OK          ? EINTR
					    : -env->net->connect_result(env->world, fd);
	if (result != 0)
		stream_close(&socket->stream);
	return result;
}

/* What we call ourselves: the literal of the address from which we speak (RFC 5321 section 4.1.3),
 * which needs no name that might be wrong. */
static enum error
append_hello(struct send *send, const struct socket_stream *socket, struct buffer *hello)
{
	struct endpoint own = {.len = sizeof own.address};

	if (send->hello.len > 0) {
		buffer_append(hello, send->hello);
	} else if (send->endpoint.address.ss_family == AF_UNIX) {
		buffer_append(hello, SLICE("localhost"));
	} else {
		int result =
			send->env.net->local_name(send->env.world, socket->watch.fd, &own.address);
		if (result < 0)
			return error_from_errno(-result);
		endpoint_append_literal(hello, &own);
	}
	return buffer_error(hello);
}

/* What goes out: the input as it is, or a message made of it. */
static enum error
compose(struct send *send, uint32_t extensions, struct buffer *message)
{
	struct composition composition = {.from = send->from,
		.to = send->to,
		.to_count = send->count,
		.subject = send->subject,
		.body = buffer_slice(&send->body),
		.allows_8bit = extensions & SMTP_OFFERS_8BITMIME,
		.time = env_wall(&send->env)};

	env_random(&send->env, composition.unique, sizeof composition.unique);
	if (send->is_raw)
		buffer_append(message, composition.body);
	else
		compose_message(&composition, message);
	return buffer_error(message);
}

static bool
has_8bit(struct slice bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		if (bytes.ptr[i] > 127)
			return true;
	return false;
}

/* May wait: one message on an open session. */
static enum error
send_message(struct send *send, struct smtp_client *client)
{
	struct buffer bytes;

	buffer_init(&bytes, send->env.memory, MESSAGE_MAX);
	enum error error = compose(send, client->extensions, &bytes);
	send->is_our_fault = error != OK;
	struct memory_source source = {buffer_slice(&bytes), 0};
	struct smtp_client_message message = {.reverse_path = send->reverse_path,
		.size = smtp_content_size(source.bytes),
		.is_8bit = has_8bit(source.bytes),
		.returns = send->returns,
		.envelope_id = send->envelope_id,
		.read = source_read,
		.read_arg = &source};
	if (error == OK)
		error = smtp_client_send(
			client, &message, send->recipients, send->count, &send->arena);
	buffer_done(&bytes);
	return error;
}

/* The server did not want us: that is what all recipients hear. */
static enum error
note_refusal(struct send *send, const struct smtp_client *client, struct smtp_reply reply)
{
	if (!arena_copy(&send->arena, reply.text, &reply.text))
		reply.text = (struct slice){0};
	for (size_t i = 0; i < send->count; i++) {
		send->recipients[i].reply = reply;
		send->recipients[i].stage = client->stage;
	}
	return OK;
}

/* What a handshake in mid-session changes. */
struct upgrade {
	struct send *send;
	struct smtp_client *client;
	struct line_pool *pool;
	struct tls_stream tls;
};

/* May wait. */
static enum error
handshake(void *arg, mono_us deadline)
{
	struct upgrade *upgrade = arg;
	struct smtp_client *client = upgrade->client;
	enum error error = send_handshake(upgrade->send, client->stream, &upgrade->tls, deadline);

	if (error != OK)
		return error;
	client->stream = &upgrade->tls.stream;
	line_reader_init(client->reader, upgrade->pool, client->stream);
	return OK;
}

/* May wait: STARTTLS where it is wanted and offered. OK with a reply that refuses: there is no
 * session without TLS. */
static enum error
encrypt(struct upgrade *upgrade, struct smtp_reply *ret_reply)
{
	struct send *send = upgrade->send;
	struct smtp_client *client = upgrade->client;
	bool is_required = send->tls == SEND_TLS_REQUIRED, started = false;

	if (send->tls == SEND_TLS_OFF || send->tls == SEND_TLS_IMPLICIT)
		return OK;
	if (!(client->extensions & SMTP_OFFERS_STARTTLS)) {
		send->tls_fault = is_required ? "the server does not offer STARTTLS" : NULL;
		return is_required ? ERROR_DENIED : OK;
	}
	enum error error = smtp_client_start_tls(client, handshake, upgrade, &started, ret_reply);
	if (error == OK && !started && is_required) {
		send->tls_fault = "the server refuses STARTTLS, though it offers it";
		return ERROR_DENIED;
	}
	return error;
}

/* May wait: the session from banner to goodbye. */
static enum error
converse(struct upgrade *upgrade)
{
	struct send *send = upgrade->send;
	struct smtp_client *client = upgrade->client;
	struct smtp_reply greeting;
	enum error error = smtp_client_open(client, &greeting);

	if (error == OK && client->is_open)
		error = encrypt(upgrade, &greeting);
	if (error == OK && client->is_open && send->user.len > 0)
		error = send_log_in(send, client, &greeting);
	if (error == OK && client->is_open)
		error = send_message(send, client);
	else if (error == OK)
		error = note_refusal(send, client, greeting);
	send->stage = client->stage;
	/* What became of the message is known by now; a server that does not say goodbye changes
	 * nothing. */
	if (smtp_client_quit(client) != OK && send->is_verbose)
		fputs("  (the server left without a goodbye)\n", stderr);
	return error;
}

static enum error
run_session(struct send *send, struct socket_stream *socket, struct stream **stream)
{
	struct upgrade *upgrade = memory_get(send->env.memory, sizeof *upgrade);
	struct smtp_client_settings settings;
	struct line_reader reader;
	uint8_t hello_bytes[HELLO_MAX];
	struct buffer hello;

	buffer_init_fixed(&hello, hello_bytes, sizeof hello_bytes);
	enum error error = append_hello(send, socket, &hello);
	if (error != OK) {
		memory_put(send->env.memory, upgrade);
		return error;
	}
	smtp_client_settings_init(&settings, buffer_slice(&hello));
	struct line_pool *pool = line_pool_new(&send->env);
	*upgrade = (struct upgrade){.send = send, .pool = pool};
	if (send->tls == SEND_TLS_IMPLICIT) {
		send->stage = SMTP_STAGE_TLS;
		error = send_handshake(send, &socket->stream, &upgrade->tls,
			loop_deadline(send->env.loop, settings.handshake_timeout_us));
		if (error == OK)
			*stream = &upgrade->tls.stream;
	}
	line_reader_init(&reader, pool, *stream);
	struct smtp_client client = {.stream = *stream,
		.reader = &reader,
		.settings = &settings,
		.transcript = send->is_verbose ? show_line : NULL,
		.transcript_arg = send};
	upgrade->client = &client;
	if (error == OK)
		error = converse(upgrade);
	smtp_client_done(&client);
	stream_close(client.stream);
	*stream = NULL;
	line_reader_done(&reader);
	line_pool_free(&pool);
	memory_put(send->env.memory, upgrade);
	return error;
}

void
send_run(void *arg)
{
	struct send *send = arg;
	struct socket_stream socket;

	send->connect_errno = connect_to_server(send, &socket);
	if (send->connect_errno != 0)
		return;
	send->is_connected = true;
	struct stream *stream = &socket.stream;
	send->error = run_session(send, &socket, &stream);
	if (stream)
		stream_close(stream);
}
