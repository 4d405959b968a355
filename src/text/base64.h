/* Base64 (RFC 4648 section 4) as signatures and keys have it: white space anywhere is nothing. */
#ifndef TEXT_BASE64_H
#define TEXT_BASE64_H

#include "base/arena.h"
#include "base/buffer.h"

/* ERROR_FORMAT: another octet, padding that is wrong. ERROR_NO_MEMORY. The octets live in the
 * arena. */
MUST_CHECK enum error
base64_decode(struct slice text, struct arena *arena, struct slice *ret_octets);

void base64_append(struct buffer *buffer, struct slice octets);

#endif
