/* A network address with its port, or the path of a Unix socket: as configuration and command lines
 * write it. */
#ifndef NET_ENDPOINT_H
#define NET_ENDPOINT_H

#include "base/buffer.h"
#include "base/error.h"

#include <sys/socket.h>

struct endpoint {
	struct sockaddr_storage address;
	socklen_t len;
};

/*
 * "127.0.0.1:25", "[::1]:25", "*:25" (every address, IPv6 socket that also takes IPv4),
 * "unix:/path". ERROR_FORMAT otherwise; names are not looked up. Port 0 is allowed: the kernel
 * chooses.
 */
MUST_CHECK enum error endpoint_parse(struct slice text, struct endpoint *ret_endpoint);

/* The same form back: "127.0.0.1:25", "[::1]:25", "unix:/path". IPv4-mapped IPv6 addresses print as
 * IPv4. */
void endpoint_append(struct buffer *buffer, const struct endpoint *endpoint);

/* The address alone: "127.0.0.1", "::1"; "unix" for a Unix socket. */
void endpoint_append_address(struct buffer *buffer, const struct endpoint *endpoint);

/* The address as an SMTP literal (RFC 5321 section 4.1.3): "[127.0.0.1]", "[IPv6:::1]". */
void endpoint_append_literal(struct buffer *buffer, const struct endpoint *endpoint);

/* The address alone as 4 or 16 octets; 0: it has none. */
size_t endpoint_ip(const struct endpoint *endpoint, uint8_t ret_ip[16]);

/* 0 for a Unix socket. */
uint16_t endpoint_port(const struct endpoint *endpoint);

/* An address in a network: "127.0.0.0/8", "[::1]/128", a bare address for itself alone. */
struct network {
	uint8_t address[16]; /* IPv4 as IPv4-mapped IPv6 */
	uint8_t bits;        /* of the 128 */
};
MUST_CHECK enum error network_parse(struct slice text, struct network *ret_network);
bool network_contains(const struct network *network, const struct endpoint *endpoint);

#endif
