/* Addresses as text and back. Names are never looked up here: that may block, and it is the
 * resolver's work. */
#include "net/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/un.h>

#define ADDRESS_TEXT_BYTES INET6_ADDRSTRLEN

/* The text with a NUL behind it, for inet_pton. */
static bool
address_text(struct slice text, char ret_text[ADDRESS_TEXT_BYTES])
{
	if (text.len == 0 || text.len >= ADDRESS_TEXT_BYTES || slice_find(text, 0, 0) >= 0)
		return false;
	memcpy(ret_text, text.ptr, text.len);
	ret_text[text.len] = 0;
	return true;
}

static bool
parse_ipv4(struct slice text, struct in_addr *ret_address)
{
	char copy[ADDRESS_TEXT_BYTES];

	return address_text(text, copy) && inet_pton(AF_INET, copy, ret_address) == 1;
}

static bool
parse_ipv6(struct slice text, struct in6_addr *ret_address)
{
	char copy[ADDRESS_TEXT_BYTES];

	return address_text(text, copy) && inet_pton(AF_INET6, copy, ret_address) == 1;
}

static enum error
endpoint_parse_unix(struct slice path, struct endpoint *ret_endpoint)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (path.len == 0 || path.len >= sizeof address.sun_path || path.ptr[0] != '/' ||
		slice_find(path, 0, 0) >= 0)
		return ERROR_FORMAT;
	memcpy(address.sun_path, path.ptr, path.len);
	*ret_endpoint = (struct endpoint){
		.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1)};
	memcpy(&ret_endpoint->address, &address, sizeof address);
	return OK;
}

static enum error
endpoint_parse_ipv6(struct slice host, uint16_t port, struct endpoint *ret_endpoint)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	if (host.len == 1)
		address.sin6_addr = in6addr_any;
	else if (!parse_ipv6(slice_sub(host, 1, host.len - 2), &address.sin6_addr))
		return ERROR_FORMAT;
	*ret_endpoint = (struct endpoint){.len = sizeof address};
	memcpy(&ret_endpoint->address, &address, sizeof address);
	return OK;
}

enum error
endpoint_parse(struct slice text, struct endpoint *ret_endpoint)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	size_t colon = text.len;
	uint64_t port;

	if (slice_has_prefix(text, SLICE("unix:")))
		return endpoint_parse_unix(slice_from(text, 5), ret_endpoint);
	while (colon > 0 && text.ptr[colon - 1] != ':')
		colon--;
	if (colon == 0 || !slice_number(slice_from(text, colon), UINT16_MAX, &port))
		return ERROR_FORMAT;
	struct slice host = slice_sub(text, 0, colon - 1);
	if (slice_equal(host, SLICE("*")) ||
		(host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']'))
		return endpoint_parse_ipv6(host, (uint16_t)port, ret_endpoint);
	if (!parse_ipv4(host, &address.sin_addr))
		return ERROR_FORMAT;
	address.sin_port = htons((uint16_t)port);
	*ret_endpoint = (struct endpoint){.len = sizeof address};
	memcpy(&ret_endpoint->address, &address, sizeof address);
	return OK;
}

struct address_view {
	int family; /* AF_INET also for IPv4-mapped IPv6 */
	const void *bytes;
	uint16_t port;
};

static struct address_view
endpoint_view(const struct endpoint *endpoint)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&endpoint->address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&endpoint->address;

	if (endpoint->address.ss_family == AF_INET)
		return (struct address_view){AF_INET, &v4->sin_addr, ntohs(v4->sin_port)};
	if (endpoint->address.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		return (struct address_view){
			AF_INET, &v6->sin6_addr.s6_addr[12], ntohs(v6->sin6_port)};
	if (endpoint->address.ss_family == AF_INET6)
		return (struct address_view){AF_INET6, &v6->sin6_addr, ntohs(v6->sin6_port)};
	return (struct address_view){
		AF_UNIX, ((const struct sockaddr_un *)&endpoint->address)->sun_path, 0};
}

static void
append_address(struct buffer *buffer, const struct address_view *view)
{
	char text[ADDRESS_TEXT_BYTES];

	buffer_append_text(buffer, inet_ntop(view->family, view->bytes, text, sizeof text));
}

void
endpoint_append(struct buffer *buffer, const struct endpoint *endpoint)
{
	struct address_view view = endpoint_view(endpoint);

	if (view.family == AF_UNIX) {
		buffer_append_text(buffer, "unix:");
		if (endpoint->len > offsetof(struct sockaddr_un, sun_path))
			buffer_append_text(buffer, view.bytes);
		return;
	}
	if (view.family == AF_INET6)
		buffer_append_octet(buffer, '[');
	append_address(buffer, &view);
	if (view.family == AF_INET6)
		buffer_append_octet(buffer, ']');
	buffer_append_octet(buffer, ':');
	buffer_append_number(buffer, view.port);
}

void
endpoint_append_address(struct buffer *buffer, const struct endpoint *endpoint)
{
	struct address_view view = endpoint_view(endpoint);

	if (view.family == AF_UNIX)
		buffer_append_text(buffer, "unix");
	else
		append_address(buffer, &view);
}

void
endpoint_append_literal(struct buffer *buffer, const struct endpoint *endpoint)
{
	struct address_view view = endpoint_view(endpoint);

	buffer_append_octet(buffer, '[');
	if (view.family == AF_INET6)
		buffer_append_text(buffer, "IPv6:");
	if (view.family == AF_UNIX)
		buffer_append_text(
			buffer, "127.0.0.1"); /* a local client, by the only literal that says so */
	else
		append_address(buffer, &view);
	buffer_append_octet(buffer, ']');
}

size_t
endpoint_ip(const struct endpoint *endpoint, uint8_t ret_ip[16])
{
	struct address_view view = endpoint_view(endpoint);
	size_t len = view.family == AF_INET ? 4 : view.family == AF_INET6 ? 16 : 0;

	memcpy(ret_ip, view.bytes, len);
	return len;
}

uint16_t
endpoint_port(const struct endpoint *endpoint)
{
	return endpoint_view(endpoint).port;
}

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

enum error
network_parse(struct slice text, struct network *ret_network)
{
	struct network network = {.bits = 128};
	struct in_addr v4;
	struct in6_addr v6;
	uint64_t bits;
	ssize_t slash = slice_find(text, 0, '/');
	struct slice host = slash < 0 ? text : slice_sub(text, 0, (size_t)slash);
	uint8_t width;

	if (parse_ipv4(host, &v4)) {
		memcpy(network.address, mapped_prefix, sizeof mapped_prefix);
		memcpy(network.address + 12, &v4, sizeof v4);
		width = 32;
	} else if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']' &&
		   parse_ipv6(slice_sub(host, 1, host.len - 2), &v6)) {
		memcpy(network.address, &v6, sizeof v6);
		width = 128;
	} else {
		return ERROR_FORMAT;
	}
	if (slash >= 0) {
		if (!slice_number(slice_from(text, (size_t)slash + 1), width, &bits))
			return ERROR_FORMAT;
		network.bits = (uint8_t)(128 - width + bits);
	}
	*ret_network = network;
	return OK;
}

bool
network_contains(const struct network *network, const struct endpoint *endpoint)
{
	struct address_view view = endpoint_view(endpoint);
	uint8_t address[16];

	if (view.family == AF_UNIX)
		return false;
	if (view.family == AF_INET) {
		memcpy(address, mapped_prefix, sizeof mapped_prefix);
		memcpy(address + 12, view.bytes, 4);
	} else {
		memcpy(address, view.bytes, 16);
	}
	size_t whole = network->bits / 8;
	unsigned rest = network->bits % 8;
	if (memcmp(address, network->address, whole) != 0)
		return false;
	return rest == 0 || (address[whole] ^ network->address[whole]) >> (8 - rest) == 0;
}
