/*
 * Connections to next hosts, and the few that lie idle for the next message of the same
 * destination. A connection is used by one task at a time.
 */
#ifndef RELAY_CONNECTION_H
#define RELAY_CONNECTION_H

#include "net/endpoint.h"
#include "net/line_reader.h"
#include "ipc/delivery.h"
#include "smtp/client.h"
#include "tls/tls_stream.h"

#define RELAY_IDLE_US      (2 * US_PER_S) /* longer, and servers that count their connections mind */
#define RELAY_MESSAGES_MAX 100            /* over one connection */
#define RELAY_IDLE_MAX     1000           /* connections of a process */
#define RELAY_CONNECT_US   (30 * US_PER_S)

struct relay_pool;

struct relay_connection {
	struct list link; /* of the pool, while it is idle */
	struct relay_pool *pool;
	struct slice key;    /* the destination it was opened for */
	struct slice remote; /* "mx.example.net [192.0.2.1]:25", for logs and reports */
	struct endpoint peer;
	struct socket_stream socket;
	struct tls_stream tls;
	enum delivery_tls tls_level;
	struct slice login; /* as whom we have logged in; the configuration's */
	struct line_reader reader;
	struct smtp_client client;
	uint32_t messages;
	mono_us idle_since;
	bool is_reused;
};

/* Opens no connection by itself. `settings` outlives it, and `tls` too: the context of a client;
 * NULL: there is no TLS. */
struct relay_pool *relay_pool_new(
	struct env *env, const struct smtp_client_settings *settings, struct tls_context *tls);

/* May wait: says goodbye to those that are idle, briefly. All others are closed. */
void relay_pool_free(struct relay_pool **pool);

/* An idle connection for this destination; NULL when there is none. */
struct relay_connection *relay_pool_take(struct relay_pool *pool, struct slice key);

/*
 * May wait: connects to one of the addresses, which belong to `host`. The connection is not greeted
 * yet.
 */
MUST_CHECK enum error relay_connection_open(struct relay_pool *pool, struct slice key,
	struct slice host, const struct endpoint *addresses, size_t count, bool is_lmtp,
	struct relay_connection **ret_connection);

/* Whom the other side must be. */
enum relay_proof { RELAY_PROOF_NONE, RELAY_PROOF_HOST, RELAY_PROOF_DOMAIN };

/*
 * May wait: STARTTLS on a greeted connection whose server offers it, as smtp_client_start_tls.
 * `host` is asked for, `domain` is for RELAY_PROOF_DOMAIN. When the handshake fails,
 * connection->tls.problem says why, or is empty.
 */
MUST_CHECK enum error relay_connection_start_tls(struct relay_connection *connection,
	struct slice host, enum relay_proof proof, struct slice domain, bool *ret_started,
	struct smtp_reply *ret_reply);

/*
 * May wait: implicit TLS (RFC 8314) on a connection just opened, before smtp_client_open. After an
 * error the connection is over, and connection->tls.problem as above.
 */
MUST_CHECK enum error relay_connection_begin_tls(struct relay_connection *connection,
	struct slice host, enum relay_proof proof, struct slice domain);

/* Whether TLS is possible at all. */
bool relay_pool_has_tls(const struct relay_pool *pool);

/* Whether the two ends are one address: we have called ourselves. */
bool relay_connection_is_own(const struct relay_connection *connection);

/* May wait, for a goodbye: to the pool if it is still of use, else closed. The caller's pointer
 * becomes NULL. */
void relay_connection_release(struct relay_connection **connection);

#endif
