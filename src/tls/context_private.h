/* A context's insides, for the streams made of it. */
#ifndef TLS_CONTEXT_PRIVATE_H
#define TLS_CONTEXT_PRIVATE_H

#include "tls/context.h"
#include "tls/openssl.h"
#include "tls/tickets.h"

struct tls_context {
	struct env *env;
	SSL_CTX *ctx;
	BIO_METHOD *below; /* how OpenSSL reads and writes a struct stream: tls_stream.c */
	struct tls_tickets *tickets; /* of a server */
	bool is_server;
	uint8_t protocols[16]; /* of ALPN, as on the wire */
	unsigned protocols_len;
};

/* tickets.c: a ticket counts only where the same rules hold as where it was made. */
bool tls_tickets_use(struct tls_context *context, struct tls_tickets *tickets, struct slice rules);

/* tls_stream.c; NULL: no memory. */
BIO_METHOD *tls_below_method_new(void);

#endif
