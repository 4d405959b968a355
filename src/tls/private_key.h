/*
 * A private key of a certificate, and the signature that a handshake needs of it: the side of the
 * process that has keys. The other side asks through tls/context.h's `tls_signer` and never sees
 * one.
 */
#ifndef TLS_PRIVATE_KEY_H
#define TLS_PRIVATE_KEY_H

#include "base/secret.h"
#include "tls/key.h"

struct tls_private_key;

/* Out of PEM, without a passphrase: RSA of 2048 bits and more, or ECDSA. `ret_why` gets a text that
 * a person understands when it is none. */
MUST_CHECK enum error
tls_private_key_load(struct secret pem, struct tls_private_key **ret_key, const char **ret_why);
void tls_private_key_free(struct tls_private_key **key);

const struct tls_key_id *tls_private_key_id(const struct tls_private_key *key);

/* ERROR_DENIED: this key does not sign so, or not so much. */
MUST_CHECK enum error tls_private_key_sign(struct tls_private_key *key, enum tls_signing how,
	struct slice input, struct buffer *signature);

#endif
