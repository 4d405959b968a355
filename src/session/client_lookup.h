/* The name of a session's client, asked for beside the session, which does not wait for it. */
#ifndef SESSION_CLIENT_LOOKUP_H
#define SESSION_CLIENT_LOOKUP_H

#include "base/env.h"
#include "dns/source.h"
#include "task/task.h"

#define CLIENT_LOOKUPS_MAX 500 /* of a worker at a time: further clients stay nameless */
#define CLIENT_LOOKUP_US   (15 * US_PER_S) /* for all questions about one */

struct client_lookups {
	struct env *env;
	const struct dns_source *dns;
	struct task_group tasks;
	size_t count;
};

void
client_lookups_init(struct client_lookups *lookups, struct env *env, const struct dns_source *dns);

/* May wait. Those under way end without a result. */
void client_lookups_stop(struct client_lookups *lookups);

/*
 * Asks for the name of this address (4 or 16 octets), which is written to *name when it is known,
 * in memory that lives until client_lookup_end. NULL: there is no place or no memory, *name stays.
 */
struct client_lookup;
struct client_lookup *
client_lookup_begin(struct client_lookups *lookups, struct slice ip, struct slice *name);

/* The session is over: *name is not written any more. */
void client_lookup_end(struct client_lookup **lookup);

#endif
