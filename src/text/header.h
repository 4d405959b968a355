/*
 * The fields of a message header (RFC 5322 section 2.2), read tolerantly: lines end in CRLF or LF,
 * space may stand before the colon, and the first line that is neither field nor continuation ends
 * the header as an empty line does.
 */
#ifndef TEXT_HEADER_H
#define TEXT_HEADER_H

#include "base/slice.h"

struct header_field {
	struct slice name;  /* without space and colon */
	struct slice value; /* raw: what stands behind the colon, folds included, without the last
			       line end */
	struct slice whole; /* the field with its line ends */
};

/* Walks over a header that lies in memory whole: linear time, no allocation. */
struct header_scanner {
	struct slice bytes;
	size_t at; /* of the next field; when header_next said false: the end of the header */
};

struct header_scanner header_scanner_of(struct slice message);

/* The next field; false at the header's end. */
bool header_next(struct header_scanner *scanner, struct header_field *ret_field);

/* After header_next said false: where the body starts, behind the empty line if there is one. */
size_t header_body_start(const struct header_scanner *scanner);

/* The next field of this name, in any case; false when there is none. */
bool header_find(struct header_scanner *scanner, struct slice name, struct header_field *ret_field);

/*
 * Counts the fields of one name while a message streams by in pieces, and keeps nothing of it. It
 * sees the same fields as header_next.
 */
struct header_counter {
	struct slice name;
	uint32_t count;
	size_t matched; /* octets of `name` that the present field's name has begun with; over
			   name.len: another name */
	uint8_t state;
};

void header_counter_init(struct header_counter *counter, struct slice name);
void header_counter_feed(struct header_counter *counter, struct slice bytes);

/* Whether the header has ended: feeding more changes nothing. */
bool header_counter_is_done(const struct header_counter *counter);

#endif
