/* A message of RFC 5322 from its parts. Pure but for what comes as arguments. */
#ifndef CMD_COMPOSE_H
#define CMD_COMPOSE_H

#include "base/buffer.h"
#include "base/clock.h"
#include "text/address.h"

#define COMPOSE_UNIQUE_BYTES 16

struct composition {
	struct address from;
	const struct address *to;
	size_t to_count;
	struct slice subject; /* UTF-8; empty: no field */
	struct slice body;    /* text as compose_check wants it; lines end in LF or CRLF */
	bool allows_8bit;     /* the server takes octets over 127 */
	wall_us time;
	uint8_t unique[COMPOSE_UNIQUE_BYTES]; /* random, for the Message-ID */
};

/* A field's value that a person gave: UTF-8 without controls. NULL, or what is wrong with it. */
const char *compose_field_fault(struct slice value);

/* A body: UTF-8 without NUL. NULL, or what is wrong with it, and the number of its line. */
const char *compose_body_fault(struct slice body, size_t *ret_line);

/*
 * The message: header fields with CRLF, the body as it is or quoted-printable. Octets over 127 are
 * in it only if they may. The error is the buffer's.
 */
void compose_message(const struct composition *composition, struct buffer *message);

#endif
