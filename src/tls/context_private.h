/* A context's insides, for the streams made of it. */
#ifndef TLS_CONTEXT_PRIVATE_H
#define TLS_CONTEXT_PRIVATE_H

#include "tls/context.h"
#include "tls/openssl.h"

struct tls_context {
	struct env *env;
	SSL_CTX *ctx;
	BIO_METHOD *below; /* how OpenSSL reads and writes a struct stream: tls_stream.c */
	bool is_server;
	uint8_t protocols[16]; /* of ALPN, as on the wire */
	unsigned protocols_len;
};

/* tls_stream.c; NULL: no memory. */
BIO_METHOD *tls_below_method_new(void);

#endif
