/*
 * Questions straight to recursive servers, without a cache and without DNSSEC of our own: for
 * commands of people, and wherever no resolver process runs. UDP from a new port for each question,
 * TCP when the answer was cut short; each server in turn, twice.
 */
#ifndef DNS_STUB_H
#define DNS_STUB_H

#include "dns/source.h"
#include "net/endpoint.h"

#define DNS_SERVERS_MAX 3 /* as resolv.conf(5) */

struct dns_stub {
	struct loop *loop;
	struct endpoint servers[DNS_SERVERS_MAX];
	size_t server_count;
};

/* Asks in the calling task. The stub must live as long as the source. */
struct dns_source dns_stub_source(struct dns_stub *stub);

/*
 * The servers of a resolv.conf(5): its first DNS_SERVERS_MAX lines "nameserver ADDRESS", port 53.
 * What is no address is passed over.
 */
void dns_stub_read_conf(struct dns_stub *stub, struct slice text);

#endif
