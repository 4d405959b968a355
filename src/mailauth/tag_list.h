/*
 * Lists of "tag=value" (RFC 6376 section 3.2), as signatures, keys and policies are written. Views
 * into the text that was parsed; folds are white space.
 */
#ifndef MAILAUTH_TAG_LIST_H
#define MAILAUTH_TAG_LIST_H

#include "base/error.h"
#include "base/slice.h"

#define TAG_LIST_MAX 32 /* tags of one list */

struct tag {
	struct slice name;
	struct slice value; /* without the white space around it; inside it stays */
	struct slice whole; /* all between "=" and ";" */
};

struct tag_list {
	struct tag tags[TAG_LIST_MAX];
	size_t count;
};

/* ERROR_FORMAT: it breaks the grammar, or a tag stands there twice. ERROR_LIMIT: too many tags. */
MUST_CHECK enum error tag_list_parse(struct slice text, struct tag_list *ret_list);

/* NULL when it is not there. Names are compared in their case. */
const struct tag *tag_list_find(const struct tag_list *list, const char *name);

/* Its value; empty when it is not there. */
struct slice tag_list_value(const struct tag_list *list, const char *name);

/* The next item of a value with colons between its items, without white space around it; false at
 * the end. `rest` begins as the value, and moves on. */
bool tag_next_item(struct slice *rest, struct slice *ret_item);

/* Whether one of the items is this word, in any case of letters. */
bool tag_has_item(struct slice value, const char *word);

/* Without SP, HTAB, CR and LF at both ends. */
struct slice tag_trim(struct slice text);

#endif
