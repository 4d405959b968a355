/*
 * An alias file in the classic form (aliases(5)):
 *
 *   name: target, target            # a comment from the line's start
 *       , target                    ; lines that begin with white space go on
 *   "odd name": \name, a@b.example, :include:/path
 *   *: target                       ; every name that is neither alias nor account
 *
 * A name belongs to the file's domain. Targets without a domain do too; \name is that mailbox and
 * no further alias. Programs and files as targets are refused: they have no place in a list that is
 * read for strangers.
 */
#ifndef LOOKUP_ALIASES_H
#define LOOKUP_ALIASES_H

#include "base/buffer.h"
#include "lookup/accounts.h"

#define ALIAS_TARGETS_BYTES_MAX (1u << 20) /* of one alias, with what it includes */
#define ALIAS_INCLUDES_MAX      8          /* files of one alias */

struct aliases_reader {
	/* A line, or a target of it, is passed over; `why` is half a sentence. */
	void (*skipped)(void *arg, uint32_t line, struct slice text, const char *why);
	/* The text of an included file, appended. */
	enum error (*include)(void *arg, struct slice path, struct buffer *ret_text);
	void *arg;
};

/*
 * Adds a row for each alias: its name in lower case, NUL, then its targets with LF between them.
 * ERROR_LIMIT and ERROR_NO_MEMORY end the reading. accounts_finish sorts them for snapshot_new; of
 * two aliases of one name one counts.
 */
MUST_CHECK enum error aliases_parse(struct accounts *rows, struct slice domain, struct slice text,
	const struct aliases_reader *reader);

#endif
