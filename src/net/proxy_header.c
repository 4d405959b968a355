/*
 * Version 1 is a line:
 *
 *   "PROXY" SP ( "TCP4" / "TCP6" ) SP source SP destination SP port SP port CRLF
 *   "PROXY UNKNOWN" *octet CRLF                              ; 107 octets at most
 *
 * Version 2 is binary: 12 octets that are no text, version and command, family, the length of the
 * rest, addresses, and then notes (TLV) that are not looked at.
 */
#include "net/proxy_header.h"

#include "base/cursor.h"

#include <netinet/in.h>

#define LINE_MIN        15 /* "PROXY UNKNOWN" CRLF */
#define LINE_MAX_OCTETS 107
#define BINARY_HEAD     16
#define VERSION_2       0x20
#define COMMAND_LOCAL   0
#define COMMAND_PROXY   1
#define FAMILY_TCP4     0x11
#define FAMILY_TCP6     0x21

static const struct slice signature = SLICE_INIT("\r\n\r\n\0\r\nQUIT\n");
static const struct slice word = SLICE_INIT("PROXY ");

/* Whether what came begins as this does, as far as it goes. */
static bool
may_begin_with(struct slice so_far, struct slice beginning)
{
	return slice_has_prefix(so_far, slice_sub(beginning, 0, so_far.len));
}

static enum error
need_of_binary(struct slice so_far, size_t *ret_len)
{
	*ret_len = BINARY_HEAD;
	if (so_far.len < BINARY_HEAD)
		return OK;
	*ret_len += (size_t)so_far.ptr[14] << 8 | so_far.ptr[15];
	return *ret_len <= PROXY_HEADER_MAX ? OK : ERROR_FORMAT;
}

static enum error
need_of_line(struct slice so_far, size_t *ret_len)
{
	*ret_len = LINE_MIN;
	if (so_far.len < LINE_MIN)
		return OK;
	bool is_whole = so_far.ptr[so_far.len - 1] == '\n';
	*ret_len = so_far.len + !is_whole;
	return *ret_len <= LINE_MAX_OCTETS ? OK : ERROR_FORMAT;
}

enum error
proxy_header_need(struct slice so_far, size_t *ret_len)
{
	*ret_len = LINE_MIN; /* the shorter of both */
	if (so_far.len == 0)
		return OK;
	if (may_begin_with(so_far, signature))
		return need_of_binary(so_far, ret_len);
	return may_begin_with(so_far, word) ? need_of_line(so_far, ret_len) : ERROR_FORMAT;
}

static enum error
parse_binary(struct slice header, struct proxy_header *ret_header)
{
	unsigned command = header.ptr[12] ^ VERSION_2, family = header.ptr[13];
	struct slice rest = slice_from(header, BINARY_HEAD);
	struct proxy_header found = {.has_client = command == COMMAND_PROXY};

	if (command > COMMAND_PROXY)
		return ERROR_FORMAT;
	if (found.has_client && family == FAMILY_TCP4 && rest.len >= 12) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)&found.client.address;
		v4->sin_family = AF_INET;
		memcpy(&v4->sin_addr, rest.ptr, 4);
		memcpy(&v4->sin_port, rest.ptr + 8, 2);
		found.client.len = sizeof *v4;
	} else if (found.has_client && family == FAMILY_TCP6 && rest.len >= 36) {
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&found.client.address;
		v6->sin6_family = AF_INET6;
		memcpy(&v6->sin6_addr, rest.ptr, 16);
		memcpy(&v6->sin6_port, rest.ptr + 32, 2);
		found.client.len = sizeof *v6;
	} else if (found.has_client && (family == FAMILY_TCP4 || family == FAMILY_TCP6)) {
		return ERROR_FORMAT;
	} else {
		found.has_client = false;
	}
	*ret_header = found;
	return OK;
}

static struct slice
take_word(struct slice *text)
{
	ssize_t space = slice_find(*text, 0, ' ');
	struct slice found = space < 0 ? *text : slice_sub(*text, 0, (size_t)space);

	*text = slice_from(*text, found.len + 1);
	return found;
}

/* Numbers, dots and colons only: no other form of an endpoint. */
static bool
is_numeric(struct slice address, bool is_ipv6)
{
	for (size_t i = 0; i < address.len; i++) {
		int octet = ascii_lower(address.ptr[i]);
		bool is_hex = is_ipv6 && ((octet >= 'a' && octet <= 'f') || octet == ':');
		if (!ascii_is_digit((uint8_t)octet) && octet != '.' && !is_hex)
			return false;
	}
	return address.len > 0;
}

static enum error
parse_client(struct slice address, struct slice port, bool is_ipv6, struct endpoint *ret_client)
{
	char storage[LINE_MAX_OCTETS];
	struct buffer text;
	uint64_t number;

	if (!is_numeric(address, is_ipv6) || !slice_number(port, UINT16_MAX, &number))
		return ERROR_FORMAT;
	buffer_init_fixed(&text, storage, sizeof storage);
	buffer_append_text(&text, is_ipv6 ? "[" : "");
	buffer_append(&text, address);
	buffer_append_text(&text, is_ipv6 ? "]:" : ":");
	buffer_append_number(&text, number);
	return buffer_error(&text) == OK ? endpoint_parse(buffer_slice(&text), ret_client)
					 : ERROR_FORMAT;
}

static enum error
parse_line(struct slice header, struct proxy_header *ret_header)
{
	struct slice rest = slice_from(header, word.len);
	struct proxy_header found = {.has_client = true};

	if (!slice_has_suffix(rest, SLICE("\r\n")))
		return ERROR_FORMAT;
	rest.len -= 2;
	struct slice family = take_word(&rest);
	bool is_ipv6 = slice_equal(family, SLICE("TCP6"));
	if (slice_equal(family, SLICE("UNKNOWN"))) {
		*ret_header = (struct proxy_header){.has_client = false};
		return OK;
	}
	if (!is_ipv6 && !slice_equal(family, SLICE("TCP4")))
		return ERROR_FORMAT;
	struct slice source = take_word(&rest);
	(void)take_word(&rest); /* where it connected to is known here */
	struct slice port = take_word(&rest);
	(void)take_word(&rest);
	if (rest.len > 0)
		return ERROR_FORMAT;
	enum error error = parse_client(source, port, is_ipv6, &found.client);
	if (error == OK)
		*ret_header = found;
	return error;
}

enum error
proxy_header_parse(struct slice header, struct proxy_header *ret_header)
{
	size_t need;
	enum error error = proxy_header_need(header, &need);

	if (error != OK || need != header.len)
		return ERROR_FORMAT;
	return slice_has_prefix(header, word) ? parse_line(header, ret_header)
					      : parse_binary(header, ret_header);
}
