/*
 * Who is a recipient here: the domains and routes of the configuration with the snapshots of their
 * accounts. Asked at RCPT; answers from memory, without waiting.
 */
#ifndef SESSION_DIRECTORY_H
#define SESSION_DIRECTORY_H

#include "base/env.h"
#include "conf/conf.h"
#include "ipc/snapshot.h"
#include "text/address.h"

struct directory;

struct directory *directory_new(struct env *env, const struct conf *conf);
void directory_free(struct directory **directory);

/* A new table of accounts or aliases for a domain; the descriptor stays the caller's.
 * ERROR_NOT_FOUND, ERROR_FORMAT. */
MUST_CHECK enum error directory_set_snapshot(
	struct directory *directory, struct slice domain, bool is_aliases, int snapshot_fd);

enum directory_answer {
	DIRECTORY_KNOWN,
	DIRECTORY_UNKNOWN_USER,
	DIRECTORY_FOREIGN,     /* not our domain: relaying denied */
	DIRECTORY_REJECTED,    /* its route says so */
	DIRECTORY_UNAVAILABLE, /* the domain's table has not been read yet */
};
/* `is_trusted`: the client may send to other servers too (`relay_from`). */
enum directory_answer
directory_ask(const struct directory *directory, const struct address *address, bool is_trusted);

/* Whether the configuration trusts a client at this address. */
struct endpoint;
bool directory_trusts(const struct directory *directory, const struct endpoint *client);

#define DIRECTORY_TARGETS_MAX  1000  /* addresses that one alias leads to in the end */
#define DIRECTORY_STEPS_MAX    10000 /* names on the way there */
#define DIRECTORY_ALIASES_DEEP 10    /* aliases that lead to aliases */

/*
 * Where mail for an address goes that directory_ask knows: its alias, and theirs, to the end;
 * duplicates are left out. Itself alone where there is no alias. What is written lives in the
 * arena. ERROR_LIMIT: too many, too deep, or in a circle; ERROR_NOT_FOUND: no target has a way;
 * ERROR_NO_MEMORY.
 */
MUST_CHECK enum error
directory_expand(const struct directory *directory, const struct address *address,
	struct slice mailbox, struct arena *arena, struct slice **ret_targets, size_t *ret_count);

/* Whether the local part is an account of one of our domains: its case does not matter. Local parts
 * of a route mean what its destination makes of them. */
bool directory_is_account(const struct directory *directory, const struct address *address);

/* Whether mail for this address goes to a server that may be somebody else's. */
bool directory_leads_abroad(const struct directory *directory, const struct address *address);

#endif
