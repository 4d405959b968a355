/* What this folder alone sees of certificates and of the keys behind them. */
#ifndef TLS_CERTIFICATE_H
#define TLS_CERTIFICATE_H

#include "tls/context.h"
#include "tls/openssl.h"

/* A key that is elsewhere: it looks like one to OpenSSL, and asks for its signatures. */
struct remote_key {
	struct tls_signer signer;
	struct tls_key_id id;
};

/* remote_key.c. Methods are made once a set of certificates. */
struct remote_methods {
	RSA_METHOD *rsa;
	EC_KEY_METHOD *ec;
};
MUST_CHECK enum error remote_methods_init(struct remote_methods *methods);
void remote_methods_done(struct remote_methods *methods);
/* A key for the public one, which asks `remote`; NULL: no memory, or a kind that can't. The remote
 * key outlives it. */
EVP_PKEY *remote_key_new(
	const struct remote_methods *methods, EVP_PKEY *public_key, struct remote_key *remote);

/* The certificate callback of a server's connections: gives those that fit the name asked for. */
int certificates_choose(SSL *ssl, void *certificates);

#endif
