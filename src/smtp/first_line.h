/*
 * Whether content begins with a header field (RFC 5322 section 2.2), or with an empty line, behind
 * which nothing of it is header: told from its first octets as they stream by.
 */
#ifndef SMTP_FIRST_LINE_H
#define SMTP_FIRST_LINE_H

#include "base/slice.h"

enum first_line_state {
	FIRST_LINE_EMPTY, /* no octet yet */
	FIRST_LINE_NAME,  /* octets of a field's name */
	FIRST_LINE_SPACE, /* white space behind it */
	FIRST_LINE_CR,    /* CR as the first octet */
	FIRST_LINE_FIELD,
	FIRST_LINE_OTHER
};

/* Zeroed at first. */
struct first_line {
	enum first_line_state state;
};

void first_line_feed(struct first_line *line, struct slice octets);

/* True also for an empty first line: the header ends there. */
bool first_line_is_field(const struct first_line *line);

#endif
