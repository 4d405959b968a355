/*
 * Where mail for a domain goes: one table of the configuration's domains and routes, one decision
 * for an address. Pure: no file, no clock, no DNS. The table never changes once it is made; a new
 * configuration makes a new one.
 */
#ifndef ROUTE_ROUTE_H
#define ROUTE_ROUTE_H

#include "base/error.h"
#include "base/memory.h"
#include "base/slice.h"
#include "ipc/delivery.h"

#define ROUTE_ENTRIES_MAX 1000000
#define ROUTE_ANY         SLICE("*") /* the domain of the entry that stands for all that are not named */

enum route_kind {
	ROUTE_NONE, /* nothing is configured for this domain */
	ROUTE_MAILDIR,
	ROUTE_DISCARD,
	ROUTE_HOLD,
	ROUTE_REJECT,
	ROUTE_MX,   /* to the hosts that the recipient's domain names */
	ROUTE_HOST, /* to one host */
	ROUTE_LMTP,
	ROUTE_PIPE,
};

/* One domain or route as configured; the slices stay the caller's and must live as long as the
 * table. */
struct route_entry {
	struct slice domain; /* any case; "*": any other */
	enum route_kind kind;
	struct slice template; /* ROUTE_MAILDIR: mailbox/template.h */
	struct slice owner; /* ROUTE_MAILDIR: name of a system user; empty: the user of the system
			       that the address names */
	struct slice to;    /* HOST, LMTP, PIPE: the name of the lane (ipc/delivery.h) */
};

struct route_table {
	struct memory *memory;
	const struct route_entry *entries;
	const struct route_entry **sorted; /* by domain in lower case, without the entry for any */
	size_t sorted_count;
	const struct route_entry *any;
	struct slice default_domain;
};

struct route_decision {
	enum route_kind kind;
	struct slice template;
	struct slice owner;
	struct slice to;
	size_t index; /* of the entry, as given to route_table_init; SIZE_MAX for ROUTE_NONE */
};

/*
 * `default_domain` is that of addresses without one (<postmaster>, RFC 5321 section 4.5.1).
 * ERROR_EXISTS: a domain stands there twice, *ret_bad is the later place. ERROR_LIMIT: too many
 * entries. ERROR_FORMAT: an empty domain or one with an @, *ret_bad tells which.
 */
MUST_CHECK enum error route_table_init(struct route_table *table, struct memory *memory,
	const struct route_entry *entries, size_t count, struct slice default_domain,
	size_t *ret_bad);
void route_table_done(struct route_table *table);

/* For a domain: the entry of that name in any case, else the one for any, else ROUTE_NONE. */
struct route_decision route_decide_domain(const struct route_table *table, struct slice domain);

/* For an address: what stands behind its last @, or the default domain if there is none. */
struct route_decision route_decide(const struct route_table *table, struct slice address);

/*
 * The lane of a recipient with this decision: its transport, and its name appended to `name`
 * (ROUTE_LANE_NAME_MAX octets at most). ERROR_NOT_FOUND: the kind goes to no destination.
 * ERROR_FORMAT, ERROR_LIMIT: there can be no user of the system, or no domain, of this name.
 */
#define ROUTE_LANE_NAME_MAX 320
MUST_CHECK enum error route_lane(const struct route_decision *decision, struct slice address,
	enum transport *ret_transport, struct buffer *name);

#endif
