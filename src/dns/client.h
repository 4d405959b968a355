/*
 * The DNS for processes that may not ask it themselves: questions go to the resolver process as
 * calls, and what it says is kept for as long as it holds.
 */
#ifndef DNS_CLIENT_H
#define DNS_CLIENT_H

#include "base/hash.h"
#include "dns/source.h"
#include "ipc/caller.h"

#define DNS_CACHE_ENTRIES 4096
#define DNS_CACHE_BYTES   (4u << 20)
#define DNS_CACHE_TTL_MAX 3600 /* seconds: who moves a domain waits no longer for us */
#define DNS_FAILURE_TTL   5    /* seconds: a DNS that fails is not asked for each message */

struct dns_entry;

struct dns_client {
	struct env *env;
	struct caller caller;
	struct dns_entry **buckets;
	struct list used; /* all entries, the one used longest ago first */
	size_t count;
	size_t bytes;
	struct siphash_key key;
	uint64_t hits, misses;
};

/* `ops` and `arg` as of caller_init. */
void dns_client_init(struct dns_client *client, struct env *env, enum role self,
	const struct caller_ops *ops, void *arg);

/* May wait. Questions under way end. */
void dns_client_done(struct dns_client *client);

/* The channel to the resolver's present process; the descriptor is taken over. */
MUST_CHECK enum error dns_client_connect(struct dns_client *client, int fd, uint32_t instance);

struct dns_source dns_client_source(struct dns_client *client);

#endif
