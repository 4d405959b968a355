/*
 * What a proxy says in front of a connection that it passes on: who the client is (HAProxy's PROXY
 * protocol, versions 1 and 2). Pure: the caller reads, exactly as many octets as the header has,
 * since what follows is another protocol's.
 */
#ifndef NET_PROXY_HEADER_H
#define NET_PROXY_HEADER_H

#include "base/slice.h"
#include "net/endpoint.h"

#define PROXY_HEADER_MAX 1024 /* octets; the addresses of version 2 take 52, the rest are notes */

/*
 * How many octets the header has at least, by the first ones: as many as there are, and it is
 * whole; more, and they are to be read. ERROR_FORMAT: it is none.
 */
MUST_CHECK enum error proxy_header_need(struct slice so_far, size_t *ret_len);

struct proxy_header {
	bool has_client; /* false: the proxy speaks for itself, or does not say for whom */
	struct endpoint client;
};

/* A header that is whole. ERROR_FORMAT: it is malformed. */
MUST_CHECK enum error proxy_header_parse(struct slice header, struct proxy_header *ret_header);

#endif
