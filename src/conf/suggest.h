/* The word that somebody probably meant: of a configuration, of a command line. */
#ifndef CONF_SUGGEST_H
#define CONF_SUGGEST_H

#include "base/slice.h"

/* The candidate nearest to a word so far; start with {.word = what was written}. The first of
 * equals wins. */
struct suggestion {
	struct slice word;
	const char *nearest; /* NULL: none is near */
	const void *tag;     /* of the nearest */
	size_t distance;
};

void suggestion_offer(struct suggestion *suggestion, const char *candidate, const void *tag);

#endif
