/*
 * One attempt of a message: its hosts, a connection, the dialogue, and for each recipient what
 * became of it. Which reply means what stands here, in one place (RFC 5321 sections 4.2.1
 * and 4.5.3.1.10, RFC 2920 section 3.1, RFC 7504).
 */
#ifndef RELAY_ATTEMPT_H
#define RELAY_ATTEMPT_H

#include "relay/connection.h"
#include "relay/login.h"
#include "relay/way.h"

#define RELAY_HOSTS_REFUSING_MAX 2 /* hosts that say "not now" before a try is over */
#define RELAY_HOSTS_SILENT_MAX   5 /* hosts that cannot be reached */

/* The octets of a content, read with pread and checked while they are read. */
struct relay_content {
	int fd;
	uint64_t offset, size;
	uint32_t sum;
	bool is_8bit;
	bool is_smtputf8; /* in its header too */
};

/* What a route wants of TLS: it is the same for all connections of a key. */
enum relay_tls { RELAY_TLS_IF_OFFERED, RELAY_TLS_OFF, RELAY_TLS_REQUIRED, RELAY_TLS_VERIFIED };

struct relay_attempt {
	struct env *env;
	struct relay_pool *pool;
	struct arena *arena;
	struct way_request way; /* its seed is set here */
	struct slice key;       /* of connections that may be used again: destination and route */
	enum relay_tls tls;
	bool is_implicit; /* TLS before the banner; `tls` is REQUIRED or VERIFIED */
	struct relay_login login;
	struct slice reverse_path;
	struct slice returns, envelope_id; /* of smtp_client_message */
	struct slice trace;                /* fields that stand before the content, with CRLF */
	struct relay_content content;
	/* One a recipient: attempt, number are the caller's; the rest is written here, in the
	 * arena. */
	const struct delivery_recipient *recipients;
	const struct delivery_wish *wishes;
	struct delivery_result *results;
	size_t count;
};

/* May wait. Every recipient has its result then. When the task is cancelled: those that are not
 * decided are temporary. */
void relay_attempt_run(struct relay_attempt *attempt);

#endif
