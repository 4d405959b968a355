/* The pool has one task that closes what was idle too long. */
#include "relay/connection.h"
#include "relay/dial.h"

#define GOODBYE_US (5 * US_PER_S)

struct relay_pool {
	struct env *env;
	const struct smtp_client_settings *settings;
	struct tls_context *tls;
	struct line_pool *lines;
	struct list idle; /* the oldest first */
	size_t idle_count;
	struct task_group tasks;
	struct task_event changed;
};

static void
connection_free(struct relay_connection *connection)
{
	struct env *env = connection->pool->env;

	smtp_client_done(&connection->client);
	line_reader_done(&connection->reader);
	/* TLS above the socket, if it came about. */
	stream_close(connection->client.stream);
	memory_put(env->memory, connection);
}

/* May wait. Nobody waits long for a reply to QUIT. */
static void
connection_end(struct relay_connection *connection)
{
	if (smtp_client_quit(&connection->client) != OK)
		connection->client.is_over = true;
	connection_free(connection);
}

static void
take_off(struct relay_connection *connection)
{
	list_remove(&connection->link);
	connection->pool->idle_count--;
}

static struct relay_connection *
oldest_idle(const struct relay_pool *pool)
{
	return list_is_empty(&pool->idle)
		       ? NULL
		       : list_entry(pool->idle.next, struct relay_connection, link);
}

static void
pool_run(void *arg)
{
	struct relay_pool *pool = arg;
	struct loop *loop = pool->env->loop;
	enum error error = OK;

	while (error == OK || error == ERROR_TIMEOUT) {
		struct relay_connection *oldest = oldest_idle(pool);
		if (oldest && oldest->idle_since + RELAY_IDLE_US <= loop_now(loop)) {
			take_off(oldest);
			connection_end(oldest);
			continue;
		}
		error = task_event_wait(loop, &pool->changed,
			oldest ? oldest->idle_since + RELAY_IDLE_US : MONO_NEVER);
	}
}

struct relay_pool *
relay_pool_new(
	struct env *env, const struct smtp_client_settings *settings, struct tls_context *tls)
{
	struct relay_pool *pool = memory_get(env->memory, sizeof *pool);

	pool->env = env;
	pool->settings = settings;
	pool->tls = tls;
	pool->lines = line_pool_new(env);
	list_init(&pool->idle);
	task_group_init(&pool->tasks, env->loop);
	task_event_init(&pool->changed);
	/* Without it connections are not kept, which is slower and nothing else. */
	if (task_start(&pool->tasks, "idle connections", pool_run, pool) != OK)
		pool->idle_count = RELAY_IDLE_MAX;
	return pool;
}

void
relay_pool_free(struct relay_pool **pool_pointer)
{
	struct relay_pool *pool = *pool_pointer;
	struct list *link;

	if (!pool)
		return;
	task_group_cancel(&pool->tasks);
	task_group_wait(&pool->tasks);
	while ((link = list_take(&pool->idle)) != NULL)
		connection_free(list_entry(link, struct relay_connection, link));
	line_pool_free(&pool->lines);
	memory_put(pool->env->memory, pool);
	*pool_pointer = NULL;
}

struct relay_connection *
relay_pool_take(struct relay_pool *pool, struct slice key)
{
	/* The one used last is the likeliest to be alive. */
	for (struct list *link = pool->idle.prev; link != &pool->idle; link = link->prev) {
		struct relay_connection *connection =
			list_entry(link, struct relay_connection, link);
		if (!slice_equal(connection->key, key))
			continue;
		take_off(connection);
		connection->is_reused = true;
		return connection;
	}
	return NULL;
}

/* "mx.example.net [192.0.2.1]:25", "[192.0.2.1]:25", "/run/lmtp" */
static void
append_remote(struct buffer *text, struct slice host, const struct endpoint *address)
{
	bool is_path = slice_has_prefix(host, SLICE("/"));
	bool is_literal = slice_has_prefix(host, SLICE("["));

	if (is_path || !is_literal)
		buffer_append(text, host);
	if (is_path)
		return;
	buffer_append_text(text, is_literal ? "[" : " [");
	endpoint_append_address(text, address);
	buffer_printf(text, "]:%u", endpoint_port(address));
}

static struct relay_connection *
connection_new(struct relay_pool *pool, struct slice key, struct slice host)
{
	size_t room = key.len + host.len + 64;
	struct relay_connection *connection =
		memory_try(pool->env->memory, sizeof *connection + room);

	if (!connection)
		return NULL;
	uint8_t *kept = (uint8_t *)(connection + 1);
	memcpy(kept, key.ptr, key.len);
	connection->pool = pool;
	connection->key = slice_of(kept, key.len);
	list_init(&connection->link);
	return connection;
}

static void
set_remote(struct relay_connection *connection, struct slice host, const struct endpoint *address)
{
	uint8_t *kept = (uint8_t *)(connection + 1) + connection->key.len;
	struct buffer text;

	buffer_init_fixed(&text, kept, host.len + 64);
	append_remote(&text, host, address);
	connection->remote = buffer_slice(&text);
}

enum error
relay_connection_open(struct relay_pool *pool, struct slice key, struct slice host,
	const struct endpoint *addresses, size_t count, bool is_lmtp,
	struct relay_connection **ret_connection)
{
	struct loop *loop = pool->env->loop;
	struct relay_connection *connection = connection_new(pool, key, host);
	size_t chosen;

	if (!connection)
		return ERROR_NO_MEMORY;
	enum error error = dial(loop, addresses, count, loop_deadline(loop, RELAY_CONNECT_US),
		&connection->socket, &chosen);
	if (error != OK) {
		memory_put(pool->env->memory, connection);
		return error;
	}
	connection->peer = addresses[chosen];
	set_remote(connection, host, &connection->peer);
	line_reader_init(&connection->reader, pool->lines, &connection->socket.stream);
	connection->client = (struct smtp_client){.stream = &connection->socket.stream,
		.reader = &connection->reader,
		.settings = pool->settings,
		.is_lmtp = is_lmtp};
	*ret_connection = connection;
	return OK;
}

bool
relay_pool_has_tls(const struct relay_pool *pool)
{
	return pool->tls != NULL;
}

struct handshake {
	struct relay_connection *connection;
	struct slice host, domain;
	enum relay_proof proof;
};

/* May wait. */
static enum error
shake_hands(void *arg, mono_us deadline)
{
	struct handshake *handshake = arg;
	struct relay_connection *connection = handshake->connection;
	struct relay_pool *pool = connection->pool;
	struct tls_stream *tls = &connection->tls;
	enum error error = tls_stream_open(tls, pool->tls, &connection->socket.stream);

	if (error != OK)
		return error;
	error = handshake->proof == RELAY_PROOF_DOMAIN
			? tls_stream_expect_domain(tls, handshake->host, handshake->domain)
			: tls_stream_expect(
				  tls, handshake->host, handshake->proof == RELAY_PROOF_HOST);
	if (error == OK)
		error = tls_handshake(tls, deadline);
	if (error != OK) {
		tls_stream_detach(tls);
		return error;
	}
	connection->tls_level =
		handshake->proof == RELAY_PROOF_NONE ? TLS_UNVERIFIED : TLS_VERIFIED;
	connection->client.stream = &tls->stream;
	line_reader_init(&connection->reader, pool->lines, &tls->stream);
	return OK;
}

/* An address is asked for without its brackets, a Unix socket by the name of this machine. */
static struct slice
bare_host(struct slice host)
{
	if (slice_has_prefix(host, SLICE("[")) && slice_has_suffix(host, SLICE("]")))
		host = slice_sub(host, 1, host.len - 2);
	if (slice_has_prefix_nocase(host, SLICE("IPv6:")))
		host = slice_from(host, 5);
	return slice_has_prefix(host, SLICE("/")) ? SLICE("localhost") : host;
}

enum error
relay_connection_start_tls(struct relay_connection *connection, struct slice host,
	enum relay_proof proof, struct slice domain, bool *ret_started,
	struct smtp_reply *ret_reply)
{
	struct handshake handshake = {connection, bare_host(host), domain, proof};

	return smtp_client_start_tls(
		&connection->client, shake_hands, &handshake, ret_started, ret_reply);
}

enum error
relay_connection_begin_tls(struct relay_connection *connection, struct slice host,
	enum relay_proof proof, struct slice domain)
{
	struct handshake handshake = {connection, bare_host(host), domain, proof};
	struct loop *loop = connection->pool->env->loop;

	enum error error = shake_hands(
		&handshake, loop_deadline(loop, connection->client.settings->handshake_timeout_us));
	if (error != OK)
		connection->client.is_over = true;
	return error;
}

bool
relay_connection_is_own(const struct relay_connection *connection)
{
	struct env *env = connection->pool->env;
	uint8_t storage[2][64];
	struct buffer text[2];
	struct endpoint own = {.len = sizeof own.address};

	if (env->net->local_name(env->world, connection->socket.watch.fd, &own.address) < 0)
		return false;
	buffer_init_fixed(&text[0], storage[0], sizeof storage[0]);
	buffer_init_fixed(&text[1], storage[1], sizeof storage[1]);
	endpoint_append_address(&text[0], &own);
	endpoint_append_address(&text[1], &connection->peer);
	return slice_equal(buffer_slice(&text[0]), buffer_slice(&text[1]));
}

void
relay_connection_release(struct relay_connection **connection_pointer)
{
	struct relay_connection *connection = *connection_pointer;
	struct relay_pool *pool = connection->pool;

	*connection_pointer = NULL;
	if (connection->client.is_over || !connection->client.is_open) {
		connection_end(connection);
		return;
	}
	if (connection->messages >= RELAY_MESSAGES_MAX || pool->idle_count >= RELAY_IDLE_MAX) {
		connection_end(connection);
		return;
	}
	connection->idle_since = loop_now(pool->env->loop);
	list_append(&pool->idle, &connection->link);
	pool->idle_count++;
	task_event_signal(&pool->changed);
}
