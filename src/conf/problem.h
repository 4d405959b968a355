/* Collecting what is wrong with a text: private to this folder. */
#ifndef CONF_PROBLEM_H
#define CONF_PROBLEM_H

#include "conf/conf.h"

#define PROBLEM_TEXT_MAX 512 /* octets of one message */

/*
 * Takes a copy of the text. Kept in the order of the places, so that what is noticed at a block's
 * end stands where the block does. Beyond CONF_PROBLEMS_MAX only `more` is set.
 */
void problem_add(struct conf_problems *problems, struct conf_place place, struct slice text);

/* The word in quotes as a message shows it: what is not printable ASCII as \xNN, what is long cut
 * and ended by "...". */
void problem_append_word(struct buffer *buffer, struct slice word);

/* "mail.conf:7:3", without what is not known. */
void problem_append_place(struct buffer *buffer, struct slice file, struct conf_place place);

#endif
