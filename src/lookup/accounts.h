/*
 * An account file: one login a line, `#` starts a comment, empty lines are skipped; white space
 * around is ignored. A login is a local part, or a whole address of the domain that the file
 * belongs to. Letters compare without case: names are kept in lower case.
 */
#ifndef LOOKUP_ACCOUNTS_H
#define LOOKUP_ACCOUNTS_H

#include "base/arena.h"
#include "base/error.h"
#include "base/memory.h"

struct accounts {
	struct memory *memory;
	struct arena arena;
	struct slice *names;
	size_t count;
	size_t capacity;
};

void accounts_init(struct accounts *accounts, struct memory *memory, size_t max_bytes);
void accounts_done(struct accounts *accounts);

/* Adds a row as it is. ERROR_LIMIT, ERROR_NO_MEMORY. */
MUST_CHECK enum error accounts_append(struct accounts *accounts, struct slice row);

/* Adds one name, lowered. ERROR_FORMAT for what can be no local part of an address; ERROR_LIMIT,
 * ERROR_NO_MEMORY. */
MUST_CHECK enum error accounts_add(struct accounts *accounts, struct slice name);

/*
 * Adds all names of a file's text; lines that are no login are reported by number and skipped.
 * ERROR_LIMIT and ERROR_NO_MEMORY end the reading.
 */
MUST_CHECK enum error
accounts_parse(struct accounts *accounts, struct slice domain, struct slice text,
	void (*bad_line)(void *arg, uint32_t line, struct slice text), void *arg);

/* Sorts and drops duplicates: what snapshot_new wants. */
void accounts_finish(struct accounts *accounts);

#endif
