#include "smtp/trace.h"

#include "text/header.h"
#include "unit.h"

static struct smtp_trace
usual_trace(void)
{
	return (struct smtp_trace){
		.helo = SLICE("mail.example.org"),
		.client_address = SLICE("192.0.2.1"),
		.hostname = SLICE("mx.example.com"),
		.protocol = PROTOCOL_ESMTP,
		.recipient = SLICE("user@example.com"),
		.time = INT64_C(1795455235) * US_PER_S,
	};
}

static void
check_trace(const struct smtp_trace *trace, const char *expected)
{
	uint8_t bytes[SMTP_TRACE_MAX];
	struct buffer buffer;

	buffer_init_fixed(&buffer, bytes, sizeof bytes);
	size_t id_at = smtp_trace_append(&buffer, trace);
	ck_assert_ok(buffer_error(&buffer));
	ck_assert_slice_eq(buffer_slice(&buffer), expected);
	ck_assert_slice_eq(
		slice_sub(buffer_slice(&buffer), id_at, QUEUE_ID_DIGITS), "0000000000000");
}

START_TEST(usual_fields)
{
	struct smtp_trace trace = usual_trace();

	check_trace(&trace, "Received: from mail.example.org ([192.0.2.1])\r\n"
			    "\tby mx.example.com with ESMTP id 0000000000000\r\n"
			    "\tfor <user@example.com>; Mon, 23 Nov 2026 17:33:55 +0000\r\n");
	trace.client_address = SLICE("2001:db8::1");
	trace.recipient = slice_of(NULL, 0);
	trace.protocol = PROTOCOL_SMTP;
	check_trace(&trace, "Received: from mail.example.org ([IPv6:2001:db8::1])\r\n"
			    "\tby mx.example.com with SMTP id 0000000000000;\r\n"
			    "\tMon, 23 Nov 2026 17:33:55 +0000\r\n");
	trace.client_address = SLICE("unix");
	trace.hostname = SLICE("a.rather.long.name.of.host.example.com");
	check_trace(&trace,
		"Received: from mail.example.org\r\n"
		"\tby a.rather.long.name.of.host.example.com with SMTP id 0000000000000;\r\n"
		"\tMon, 23 Nov 2026 17:33:55 +0000\r\n");
}
END_TEST

START_TEST(hostile_names_stay_harmless)
{
	struct smtp_trace trace = usual_trace();

	trace.helo = SLICE("[x:a)b(c\"d\\;e<f>\r\nX-Evil: y\r\n\r\n\0\xff]");
	check_trace(&trace, "Received: from [x:a?b?c?d??e?f???X-Evil:?y??????] ([192.0.2.1])\r\n"
			    "\tby mx.example.com with ESMTP id 0000000000000\r\n"
			    "\tfor <user@example.com>; Mon, 23 Nov 2026 17:33:55 +0000\r\n");
}
END_TEST

/* The longest of everything: one field, each line under 998 octets. */
START_TEST(longest_field)
{
	uint8_t bytes[SMTP_TRACE_MAX], name[255], address[512];
	struct buffer buffer;
	struct header_field field;

	memset(name, 'n', sizeof name);
	memset(address, 'a', sizeof address);
	struct smtp_trace trace = {slice_of(name, sizeof name),
		SLICE("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), slice_of(name, sizeof name),
		PROTOCOL_ESMTPS, SLICE("TLSv1.2 ECDHE-ECDSA-CHACHA20-POLY1305"),
		slice_of(address, sizeof address), 0};
	buffer_init_fixed(&buffer, bytes, sizeof bytes);
	(void)smtp_trace_append(&buffer, &trace);
	ck_assert_ok(buffer_error(&buffer));
	struct slice text = buffer_slice(&buffer);
	for (size_t at = 0; at < text.len;) {
		ssize_t end = slice_find(text, at, '\n');
		ck_assert_int_ge(end, 0);
		ck_assert_uint_lt((size_t)end - at, 998);
		at = (size_t)end + 1;
	}
	struct header_scanner scanner = header_scanner_of(text);
	ck_assert(header_next(&scanner, &field));
	ck_assert_uint_eq(field.whole.len, text.len);
}
END_TEST

UNIT_MAIN("smtp/trace", usual_fields, hostile_names_stay_harmless, longest_field)
