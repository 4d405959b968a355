/* What an operator writes to mean many addresses or lanes. */
#ifndef QUEUE_GLOB_H
#define QUEUE_GLOB_H

#include "base/slice.h"

/*
 * In any case of letters; "*" stands for any octets, also none. Without a "*" it means the whole
 * text, or, for an address, all that stands behind its "@". An empty pattern matches everything;
 * "<>" matches the empty text. Time: at most the product of the lengths.
 */
bool glob_matches(struct slice pattern, struct slice text);

#endif
