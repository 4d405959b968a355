/*
 * Names beyond ASCII in addresses (RFC 6531): domains as U-labels (IDNA 2008, RFC 5890) and local
 * parts in UTF-8. Pure functions on slices; what Unicode says comes from libidn2 and libunistring.
 */
#ifndef TEXT_INTERNATIONAL_H
#define TEXT_INTERNATIONAL_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/slice.h"

bool text_is_ascii(struct slice text);

/* Whether it is UTF-8 without a control character (C0, DEL, C1), which terminals would obey. */
bool utf8_is_visible(struct slice text);

/*
 * Appends the domain as the DNS knows it: ASCII in lower case, U-labels as A-labels.
 * ERROR_FORMAT: there can be no such domain, nothing is appended. ERROR_NO_MEMORY.
 */
MUST_CHECK enum error domain_append_ascii(struct buffer *buffer, struct slice domain);

/* Whether there is one. */
bool domain_has_ascii(struct slice domain);

/* The same as a slice: the domain itself where it is ASCII, in its own case, else in the arena. */
MUST_CHECK enum error
domain_to_ascii(struct arena *arena, struct slice domain, struct slice *ret_ascii);

/* Appends UTF-8 in normalisation form C: the same text has the same octets. ERROR_FORMAT: it is no
 * UTF-8, or longer than an address, and nothing is appended. ERROR_NO_MEMORY. */
MUST_CHECK enum error utf8_append_normal(struct buffer *buffer, struct slice text);

#endif
