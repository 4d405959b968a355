#include "net/proxy_header.h"

#include "unit.h"

static enum error
parse(struct slice text, char *storage, size_t room)
{
	struct proxy_header header;
	struct buffer client;
	size_t len = 0, need;

	do {
		enum error error = proxy_header_need(slice_sub(text, 0, len), &need);
		if (error != OK)
			return error;
		if (need > text.len)
			return ERROR_CLOSED;
		if (need == len)
			break;
		len = need;
	} while (true);
	ck_assert_uint_eq(len, text.len); /* not an octet of what follows */
	enum error error = proxy_header_parse(text, &header);
	if (error != OK)
		return error;
	buffer_init_fixed(&client, storage, room - 1);
	if (header.has_client)
		endpoint_append(&client, &header.client);
	storage[client.len] = 0;
	return OK;
}

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

START_TEST(headers_tell_who_it_is)
{
	static const struct {
		struct slice text;
		const char *client; /* empty: nobody said */
	} cases[] = {{SLICE_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 1025 25\r\n"), "192.0.2.1:1025"},
		{SLICE_INIT("PROXY TCP6 2001:db8::1 ::1 65535 25\r\n"), "[2001:db8::1]:65535"},
		{SLICE_INIT("PROXY UNKNOWN\r\n"), ""},
		{SLICE_INIT("PROXY UNKNOWN a b c d\r\n"), ""},
		{SLICE_INIT(SIGNATURE "\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\4\1\0\x19"),
			"192.0.2.1:1025"},
		{SLICE_INIT(SIGNATURE "\x21\x11\0\x0f\xc0\0\2\1\xc0\0\2\2\4\1\0\x19\4\0\0"),
			"192.0.2.1:1025"},
		{SLICE_INIT(SIGNATURE "\x21\x21\0\x24\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
				      "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\4\1\0\x19"),
			"[2001:db8::1]:1025"},
		{SLICE_INIT(SIGNATURE "\x20\0\0\0"), ""},
		{SLICE_INIT(SIGNATURE "\x20\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\4\1\0\x19"), ""},
		{SLICE_INIT(SIGNATURE "\x21\0\0\0"), ""}};
	char client[80];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ck_assert_ok(parse(cases[i].text, client, sizeof client));
		ck_assert_str_eq(client, cases[i].client);
	}
}
END_TEST

START_TEST(what_is_none_is_refused)
{
	static const struct slice cases[] = {SLICE_INIT("EHLO client.test\r\n"),
		SLICE_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 1025\n"),
		SLICE_INIT("PROXY TCP4 192.0.2.256 192.0.2.2 1025 25\r\n"),
		SLICE_INIT("PROXY TCP4 ::1 ::1 1025 25\r\n"),
		SLICE_INIT("PROXY TCP4 * * 1025 25\r\n"),
		SLICE_INIT("PROXY TCP6 unix:/x y 1025 25\r\n"),
		SLICE_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 65536 25\r\n"),
		SLICE_INIT("PROXY TCP4 192.0.2.1 192.0.2.2 1025 25 x\r\n"),
		SLICE_INIT("PROXY UDP4 192.0.2.1 192.0.2.2 1025 25\r\n"),
		SLICE_INIT("PROXY TCP4\r\n     \r\n"), SLICE_INIT("proxy unknown\r\n"),
		SLICE_INIT(SIGNATURE "\x31\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\4\1\0\x19"),
		SLICE_INIT(SIGNATURE "\x22\0\0\0"),
		SLICE_INIT(SIGNATURE "\x21\x11\0\x04\xc0\0\2\1"),
		SLICE_INIT(SIGNATURE "\x21\x11\xff\xff")};
	char client[80];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		ck_assert_msg(parse(cases[i], client, sizeof client) == ERROR_FORMAT, "%zu", i);
	struct slice longest =
		SLICE("PROXY UNKNOWN 0123456789012345678901234567890123456789012345678"
		      "90123456789012345678901234567890123456789012345678\r\n");
	ck_assert_int_eq(parse(longest, client, sizeof client), ERROR_FORMAT);
}
END_TEST

UNIT_MAIN("net/proxy_header", headers_tell_who_it_is, what_is_none_is_refused)
