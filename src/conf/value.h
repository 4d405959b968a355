/* The types of values: their grammar, how messages and the manual call them, how they print.
 * Private to this folder. */
#ifndef CONF_VALUE_H
#define CONF_VALUE_H

#include "conf/schema.h"

enum value_verdict { VALUE_FINE, VALUE_WRONG, VALUE_OUT_OF_RANGE };

/*
 * Whether the text is a value of the key's type, or of the type of a choice's argument. Numbers,
 * sizes (octets) and durations (seconds) are written to ret_number. What is wrong may be said to
 * `detail`.
 */
MUST_CHECK enum value_verdict value_check(enum schema_type type, const struct schema_key *key,
	struct slice text, uint64_t *ret_number, struct buffer *detail);

/* "a host name": what a message says was expected. */
const char *value_description(enum schema_type type);

/* "name": the word that stands for the value in the manual. */
const char *value_placeholder(enum schema_type type);

/* Names that are compared without case, and stored in lower case. */
bool value_is_lowered(enum schema_type type);

/* A port that the kernel chooses is another one each time. */
bool value_may_recur(enum schema_type type, struct slice text);

bool value_is_number(enum schema_type type);

/* As a file would have it, in the largest unit that gives a whole number. */
void value_append_number(struct buffer *buffer, enum schema_type type, uint64_t number);

/* In quotes where it would be read as something else. */
void value_append_text(struct buffer *buffer, enum schema_type type, struct slice text);

#endif
