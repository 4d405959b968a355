/*
 * What travels in an authentication exchange (RFC 4422): base64 lines, and the message of PLAIN
 * (RFC 4616). Pure functions on slices; what they return may be secret.
 */
#ifndef TEXT_SASL_H
#define TEXT_SASL_H

#include "base/error.h"
#include "base/secret.h"

#define SASL_LINE_MAX     12286 /* octets of a line without CRLF; RFC 4954 section 4.3 */
#define SASL_LOGIN_MAX    254
#define SASL_PASSWORD_MAX 511 /* what libcrypt takes */

/*
 * Base64 (RFC 4648 section 4) decoded in place, so that no second copy of a secret comes about:
 * `ret_octets` lies at the start of `text`, and
 * what is behind it is wiped. Strict: padding is complete, unused bits are zero.
 * ERROR_FORMAT: the text is spoiled then.
 */
MUST_CHECK enum error sasl_decode(uint8_t *text, size_t len, struct slice *ret_octets);

struct sasl_plain {
	struct slice authorization; /* on whose behalf; empty: the same */
	struct slice login;
	struct secret password;
};

/* ERROR_FORMAT: it is no message of PLAIN, or a part of it is empty or too long. */
MUST_CHECK enum error sasl_plain_parse(struct slice message, struct sasl_plain *ret_plain);

/* The password that a file has as its only line, whose end may be missing. NULL, or why there is
 * none. */
const char *sasl_password_of_file(struct slice text, struct secret *ret_password);

#endif
