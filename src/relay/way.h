/*
 * Where mail for a destination can go (RFC 5321 section 5.1, RFC 7505): the hosts of a domain in
 * the order in which they are to be tried, and the addresses of each. The DNS and randomness come
 * in as arguments.
 */
#ifndef RELAY_WAY_H
#define RELAY_WAY_H

#include "base/arena.h"
#include "dns/source.h"
#include "ipc/delivery.h"
#include "net/endpoint.h"

#define WAY_HOSTS_MAX \
	16 /* further ones are left out: who lists more expects nobody to get that far */
#define WAY_ADDRESSES_MAX 8 /* of one host */

enum way_family { WAY_ANY_FAMILY, WAY_IPV4, WAY_IPV6 };

struct way_request {
	enum transport transport; /* MX, HOST, LMTP */
	struct slice name;        /* of the destination, as in DELIVER */
	uint16_t port;            /* of MX */
	bool allows_private;      /* MX may lead to addresses that are not of the public internet */
	enum way_family family;
	struct slice own_name; /* ours: where mail would come back to */
	const struct dns_source *dns;
	mono_us deadline;
	uint64_t seed; /* the order among equals */
};

struct way_host {
	struct slice name; /* as the DNS or the configuration has it; a literal for an address */
	uint16_t preference;
	uint16_t port;
	bool is_public_only; /* its other addresses are passed over */
};

/* Why there is no way: for now, or for good. */
struct way_fault {
	enum deliver_outcome outcome;
	struct enhanced_status status;
	struct slice text;
};

/*
 * May wait, for the DNS. The hosts, best first; what is written lives in the arena. False:
 * ret_fault says why there are none.
 */
bool way_find_hosts(const struct way_request *request, struct arena *arena,
	struct way_host ret_hosts[WAY_HOSTS_MAX], size_t *ret_count, struct way_fault *ret_fault);

/*
 * May wait, for the DNS. The addresses of a host, both families by turns, IPv6 first. False: it has
 * none that may be used, and ret_fault says why.
 */
bool way_find_addresses(const struct way_request *request, const struct way_host *host,
	struct arena *arena, struct endpoint ret_addresses[WAY_ADDRESSES_MAX], size_t *ret_count,
	struct way_fault *ret_fault);

/* Whether an address is one of the public internet: not loopback, private, link-local, multicast,
 * or reserved (RFC 6890). */
bool way_is_public(const struct endpoint *endpoint);

#endif
