/*
 * Any octets as what a server says: the session ends, gives all memory back, and counts the message
 * as taken only if it wrote the final dot and then read a 2xx. The first octet says how many octets
 * a read brings, and
 * its highest bit whether we log in before. No login by SCRAM succeeds, since nobody here knows the
 * password.
 */
#include "smtp/client_auth.h"

#include <errno.h>
#include <stdlib.h>

#define RECIPIENTS 3
#define MESSAGES   2 /* messages on one connection */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct server {
	struct stream stream;
	struct slice says;
	size_t at;
	size_t piece;
	uint8_t tail[5]; /* the last octets that the client wrote */
};

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static struct server *
server_of(struct stream *stream)
{
	return (struct server *)((char *)stream - offsetof(struct server, stream));
}

static ssize_t
server_read(struct stream *stream, void *bytes, size_t len)
{
	struct server *server = server_of(stream);
	struct slice next = slice_sub(server->says, server->at, server->piece);

	if (next.len > len)
		next.len = len;
	if (next.len > 0)
		memcpy(bytes, next.ptr, next.len);
	server->at += next.len;
	return (ssize_t)next.len;
}

static ssize_t
server_write(struct stream *stream, const void *bytes, size_t len)
{
	struct server *server = server_of(stream);
	const uint8_t *octets = bytes;

	for (size_t i = len > 5 ? len - 5 : 0; i < len; i++) {
		memmove(server->tail, server->tail + 1, 4);
		server->tail[4] = octets[i];
	}
	return (ssize_t)len;
}

static enum error
server_wait(struct stream *stream, uint32_t what, mono_us deadline)
{
	(void)stream, (void)what, (void)deadline;
	abort();
}

static void
server_close(struct stream *stream)
{
	(void)stream;
}

static const struct stream_ops ops = {server_read, server_write, server_wait, server_close};

static enum error
read_content(void *arg, void *bytes, size_t len, size_t *ret_len)
{
	bool *is_read = arg;

	require(len >= 4);
	*ret_len = *is_read ? 0 : 4;
	memcpy(bytes, "x\n.\n", 4);
	*is_read = true;
	return OK;
}

static void
send_one(struct smtp_client *client, struct server *server, struct arena *arena)
{
	bool is_read = false;
	struct smtp_client_recipient recipients[RECIPIENTS] = {{.address = SLICE("a@b.test")},
		{.address = SLICE("b@b.test")}, {.address = SLICE("c@b.test")}};
	struct smtp_client_message message = {.reverse_path = SLICE("x@y.test"),
		.size = 8,
		.read = read_content,
		.read_arg = &is_read};
	enum error error = smtp_client_send(client, &message, recipients, RECIPIENTS, arena);

	for (size_t i = 0; i < RECIPIENTS; i++) {
		const struct smtp_reply *reply = &recipients[i].reply;
		require(error != OK || reply->code >= 200);
		require(reply->code == 0 || (reply->code >= 200 && reply->code < 600));
		require(reply->code / 100 != 3 && reply->text.len <= SMTP_CLIENT_TEXT_MAX);
		if (reply->code / 100 != 2)
			continue;
		require(error == OK && recipients[i].stage == SMTP_STAGE_FINAL && is_read);
		require(recipients[i].is_accepted && memcmp(server->tail, "\r\n.\r\n", 5) == 0);
	}
}

static void
log_in(struct smtp_client *client)
{
	struct smtp_client_login login = {SLICE("user"), secret_of(SLICE("pencil"))};
	struct smtp_client_auth_result result;
	bool is_scram = client->mechanisms == SMTP_MECHANISM_SCRAM_SHA_256;
	enum error error = smtp_client_login(client, &login, &result);

	require(error == OK || client->is_over);
	if (error != OK)
		return;
	require(result.outcome != SMTP_AUTH_DONE || (!is_scram && result.reply.code / 100 == 2));
	require(result.outcome != SMTP_AUTH_REFUSED || result.reply.code >= 400);
	require((result.outcome == SMTP_AUTH_UNPROVEN) == (result.problem != NULL));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_client_settings settings;
	struct line_reader reader;
	struct smtp_reply reply;
	struct arena arena;
	struct env env;

	if (size < 1)
		return 0;
	env_init_linux(&env);
	struct loop *loop = loop_new(&env, &(struct loop_options){0});
	struct line_pool *pool = line_pool_new(&env);
	struct server server = {{&ops, loop}, slice_of(data + 1, size - 1), 0, 1u + data[0], {0}};
	line_reader_init(&reader, pool, &server.stream);
	smtp_client_settings_init(&settings, SLICE("me.test"));
	arena_init(&arena, env.memory, 8192);
	struct smtp_client client = {
		.stream = &server.stream, .reader = &reader, .settings = &settings};
	enum error opened = smtp_client_open(&client, &reply);
	if (opened == OK && client.is_open && (data[0] & 0x80))
		log_in(&client);
	if (opened == OK)
		for (int i = 0; i < MESSAGES && client.is_open && !client.is_over; i++)
			send_one(&client, &server, &arena);
	enum error error = smtp_client_quit(&client);
	require(client.is_over);
	(void)error;
	smtp_client_done(&client);
	arena_done(&arena);
	line_reader_done(&reader);
	line_pool_free(&pool);
	loop_free(&loop);
	require(memory_used(env.memory) == 0);
	env_done(&env);
	return 0;
}
