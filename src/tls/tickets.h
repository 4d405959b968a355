/*
 * Keys of session tickets (RFC 5077, RFC 8446 section 2.2): with them a connection goes on from an
 * earlier one of the same client without a signature. A ticket is a session's secrets, encrypted,
 * in the client's keeping; who has the key of its time reads all that was said with it, also with
 * forward secrecy. So keys are random, live for hours and lie on no disk; all workers of a server
 * have the same ones.
 *
 * A key is 80 octets: a name that tickets show, a key for AES-256 and one for HMAC-SHA-256.
 */
#ifndef TLS_TICKETS_H
#define TLS_TICKETS_H

#include "base/env.h"
#include "base/secret.h"
#include "tls/key.h"

struct tls_tickets;

/* Those of one process; with a key of its own, until others come. */
struct tls_tickets *tls_tickets_new(struct env *env);

/* Keys, one after the other: the first makes tickets, the others still open them. ERROR_FORMAT: no
 * key, half a key, or too many. */
MUST_CHECK enum error tls_tickets_set(struct tls_tickets *tickets, struct secret keys);

/* After the contexts that use them. Takes NULL. */
void tls_tickets_free(struct tls_tickets **tickets);

#endif
