/*
 * Text that is more than ASCII, as mail writes it: UTF-8 (RFC 3629), encoded words in header fields
 * (RFC 2047), quoted-printable bodies (RFC 2045 section 6.7). Pure functions on slices.
 */
#ifndef TEXT_ENCODE_H
#define TEXT_ENCODE_H

#include "base/buffer.h"
#include "base/slice.h"

#define ENCODE_COLUMNS 76 /* octets of a line with encoded words, or of quoted-printable */

/* Octets of the character at the start; 0: no UTF-8, or nothing. */
size_t utf8_character(struct slice text);

/* Where the first octet stands that is no UTF-8; -1: it all is. */
ssize_t utf8_find_fault(struct slice text);

/*
 * The text, which is UTF-8, as a field's value: folded with CRLF SP, printable ASCII where it can
 * stand as it is, else encoded words. `column` octets stand on the line already.
 */
void encode_unstructured(struct buffer *buffer, struct slice text, size_t column);

/* The octets as quoted-printable, with CRLF for each LF or CRLF; a bare CR is encoded. The last
 * line ends in CRLF, if there is one. */
void encode_quoted_printable(struct buffer *buffer, struct slice text);

#endif
