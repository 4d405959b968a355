/* A certificate for a server that has none. */
#ifndef TLS_SELF_SIGNED_H
#define TLS_SELF_SIGNED_H

#include "base/buffer.h"
#include "base/error.h"

/*
 * A new ECDSA key (P-256) and a certificate for this name that it signs itself, good from a day ago
 * for ten years; both appended in PEM. The caller wipes the key. ERROR_NO_MEMORY.
 */
MUST_CHECK enum error
tls_self_signed(struct slice hostname, struct buffer *chain_pem, struct buffer *key_pem);

#endif
