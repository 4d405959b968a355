/* Why a handshake failed, in words. */
#ifndef TLS_PROBLEM_H
#define TLS_PROBLEM_H

#include "base/buffer.h"
#include "tls/openssl.h"

/* Reads OpenSSL's list of errors of this thread, which it empties.
 */
void tls_problem_append(struct buffer *text, SSL *ssl);

#endif
