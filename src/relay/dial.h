/*
 * A connection to one of several addresses of a host (RFC 8305, "happy eyeballs"): the next address
 * is tried when the one before has failed or has said nothing for DIAL_STAGGER_US; the first that
 * answers is taken, the others are dropped.
 */
#ifndef RELAY_DIAL_H
#define RELAY_DIAL_H

#include "net/endpoint.h"
#include "net/stream.h"

#define DIAL_STAGGER_US (250 * US_PER_MS)
#define DIAL_MAX        8

/*
 * May wait. ret_chosen is the index of the address; on failure the error of the last one that
 * failed (ERROR_TIMEOUT if none did).
 */
MUST_CHECK enum error dial(struct loop *loop, const struct endpoint *addresses, size_t count,
	mono_us deadline, struct socket_stream *ret_socket, size_t *ret_chosen);

#endif
