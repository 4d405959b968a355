/*
 * Received-SPF (RFC 7208 section 9.1).
 *
 *   header-field = "Received-SPF:" [CFWS] result FWS [comment FWS] [ key-value-list ] CRLF
 *   key-value-pair = key [CFWS] "=" ( dot-atom / quoted-string )
 */
#include "mailauth/spf_private.h"

#include <arpa/inet.h>

/* Strangers' octets: what a quoted-string or a comment cannot hold is left out. */
static void
append_quotable(struct buffer *buffer, struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		uint8_t octet = text.ptr[i];
		if (octet < 0x20 || octet > 0x7e)
			continue;
		if (slice_find(SLICE("\"\\()"), 0, octet) >= 0)
			buffer_append_octet(buffer, '\\');
		buffer_append_octet(buffer, octet);
	}
}

static void
append_pair(struct buffer *buffer, const char *key, struct slice value)
{
	buffer_printf(buffer, " %s=\"", key);
	append_quotable(buffer, value);
	buffer_append_text(buffer, "\";");
}

static const char *
comment_of(enum spf_result result)
{
	static const char *const comments[] = {[SPF_NONE] = "publishes no policy on",
		[SPF_NEUTRAL] = "says nothing about",
		[SPF_PASS] = "names as permitted sender",
		[SPF_FAIL] = "does not permit",
		[SPF_SOFTFAIL] = "probably does not permit",
		[SPF_TEMPERROR] = "could not be asked about",
		[SPF_PERMERROR] = "has an unusable policy on"};

	return comments[result];
}

void
spf_append_received(struct buffer *buffer, const struct spf_request *request,
	const struct spf_verdict *verdict, bool is_helo)
{
	char ip[INET6_ADDRSTRLEN] = "";

	inet_ntop(request->ip.len == 4 ? AF_INET : AF_INET6, request->ip.ptr, ip, sizeof ip);
	buffer_printf(buffer, "%s (", spf_result_text(verdict->result));
	append_quotable(buffer, verdict->domain);
	buffer_printf(buffer, " %s %s) client-ip=%s;", comment_of(verdict->result), ip, ip);
	append_pair(buffer, "envelope-from", request->sender);
	append_pair(buffer, "helo", request->helo);
	if (request->receiver.len > 0)
		append_pair(buffer, "receiver", request->receiver);
	if (verdict->reason.len > 0)
		append_pair(buffer, "problem", verdict->reason);
	buffer_printf(
		buffer, " identity=%s", is_helo || request->sender.len == 0 ? "helo" : "mailfrom");
}
