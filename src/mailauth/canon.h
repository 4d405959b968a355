/*
 * Canonical forms (RFC 6376 section 3.4): of header fields into a buffer, of a body as a stream.
 * Lines end in CRLF; a CR or LF alone is an octet like others.
 */
#ifndef MAILAUTH_CANON_H
#define MAILAUTH_CANON_H

#include "base/buffer.h"
#include "text/header.h"

#define CANON_STAGE_BYTES 4096

enum canon { CANON_SIMPLE, CANON_RELAXED };
#define CANON_COUNT 2

/* "simple", "relaxed" */
const char *canon_text(enum canon canon);

/*
 * Appends a field with its CRLF. `hole` is a part of the field's value that counts as absent (the
 * value of b=); empty: none.
 */
void canon_append_field(struct buffer *buffer, enum canon canon, const struct header_field *field,
	struct slice hole);

/* The canonical body goes to `emit` in pieces. */
struct canon_body {
	enum canon canon;
	void (*emit)(void *arg, struct slice octets);
	void *arg;
	uint64_t emitted;   /* octets so far */
	uint64_t line_ends; /* that wait: they count if something follows */
	bool has_cr, has_space;
	size_t staged;
	uint8_t stage[CANON_STAGE_BYTES];
};

void canon_body_init(struct canon_body *body, enum canon canon,
	void (*emit)(void *arg, struct slice octets), void *arg);
void canon_body_feed(struct canon_body *body, struct slice octets);
void canon_body_finish(struct canon_body *body);

#endif
