/*
 * Time-stamp-line = "Received:" FWS Stamp
 * Stamp           = From-domain By-domain Opt-info [CFWS] ";" FWS date-time
 * From-domain     = "FROM" FWS Extended-Domain
 * Extended-Domain = Domain / ( Domain FWS "(" TCP-info ")" ) / ( address-literal FWS "(" TCP-info
 * ")" ) Opt-info        = [Via] [With] [ID] [For] [Additional-Registered-Clauses]
 *
 * The only text of a stranger's choice in here is the HELO name and the recipient. Both passed
 * their grammar before, which leaves neither line ends nor space; the name is filtered once more
 * here, so that nothing a later parser lets through can forge a clause or a line.
 */
#include "smtp/trace.h"

#include "text/address.h"
#include "text/date.h"

static const struct slice protocol_names[] = {
	[PROTOCOL_SMTP] = SLICE_INIT("SMTP"),
	[PROTOCOL_ESMTP] = SLICE_INIT("ESMTP"),
	[PROTOCOL_LOCAL] = SLICE_INIT("local"),
	[PROTOCOL_ESMTPS] = SLICE_INIT("ESMTPS"),
	[PROTOCOL_ESMTPA] = SLICE_INIT("ESMTPA"),
	[PROTOCOL_ESMTPSA] = SLICE_INIT("ESMTPSA"),
	[PROTOCOL_LMTP] = SLICE_INIT("LMTP"),
	[PROTOCOL_LMTPS] = SLICE_INIT("LMTPS"),
};

struct folder {
	struct buffer *buffer;
	size_t column;
};

static void
fold(struct folder *folder)
{
	buffer_append(folder->buffer, SLICE("\r\n\t"));
	folder->column = 8;
}

/* Room for a word with a space before it; on a new line if it does not fit on this one. */
static void
begin_word(struct folder *folder, size_t len)
{
	if (folder->column > 8 && folder->column + 1 + len > SMTP_TRACE_COLUMNS) {
		fold(folder);
	} else if (folder->column > 8) {
		buffer_append_octet(folder->buffer, ' ');
		folder->column++;
	}
	folder->column += len;
}

static void
append_word(struct folder *folder, struct slice word)
{
	begin_word(folder, word.len);
	buffer_append(folder->buffer, word);
}

static void
append_helo(struct folder *folder, struct slice helo)
{
	static const char allowed[] = ".-_:[]";

	begin_word(folder, helo.len);
	for (size_t i = 0; i < helo.len; i++) {
		uint8_t octet = helo.ptr[i];
		bool harmless = ascii_is_alnum(octet) ||
				(octet != 0 && memchr(allowed, octet, sizeof allowed - 1) != NULL);
		buffer_append_octet(folder->buffer, harmless ? octet : '?');
	}
}

/* TCP-info = address-literal / ( Domain FWS address-literal ) */
static void
append_client(struct folder *folder, struct slice name, struct slice address)
{
	char text[ADDRESS_DOMAIN_MAX + 80];
	struct buffer word;
	bool is_ipv6 = slice_find(address, 0, ':') >= 0;

	if (!is_ipv6 && slice_find(address, 0, '.') < 0)
		return;
	buffer_init_fixed(&word, text, sizeof text);
	buffer_append_octet(&word, '(');
	buffer_append(&word, name);
	buffer_append_text(&word, name.len > 0 ? " [" : "[");
	buffer_append_text(&word, is_ipv6 ? "IPv6:" : "");
	buffer_append(&word, address);
	buffer_append_text(&word, "])");
	if (buffer_error(&word) == OK)
		append_word(folder, buffer_slice(&word));
}

/* A comment: RFC 3848 has a word for TLS, none for how good it is. */
static void
append_tls(struct folder *folder, struct slice tls)
{
	begin_word(folder, tls.len + 2);
	buffer_append_octet(folder->buffer, '(');
	buffer_append(folder->buffer, tls);
	buffer_append_octet(folder->buffer, ')');
}

static void
append_date(struct folder *folder, wall_us time)
{
	char text[DATE_MAX];
	struct buffer date;

	buffer_init_fixed(&date, text, sizeof text);
	date_append(&date, time);
	append_word(folder, buffer_slice(&date));
}

static void
append_recipient(struct folder *folder, struct slice recipient)
{
	fold(folder);
	append_word(folder, SLICE("for"));
	begin_word(folder, recipient.len + 3);
	buffer_append_octet(folder->buffer, '<');
	buffer_append(folder->buffer, recipient);
	buffer_append(folder->buffer, SLICE(">;"));
}

/* The words of RFC 3848, and of RFC 6531 section 4.3: UTF8SMTPS for ESMTPS. */
static void
append_protocol(struct folder *folder, const struct smtp_trace *trace)
{
	char text[16];
	struct slice name = protocol_names[trace->protocol];
	struct buffer word;

	if (!trace->is_smtputf8) {
		append_word(folder, name);
		return;
	}
	buffer_init_fixed(&word, text, sizeof text);
	buffer_append_text(&word, "UTF8");
	buffer_append(&word, slice_from(name, name.ptr[0] == 'E'));
	append_word(folder, buffer_slice(&word));
}

size_t
smtp_trace_append(struct buffer *buffer, const struct smtp_trace *trace)
{
	struct folder folder = {.buffer = buffer, .column = sizeof "Received:" - 1};
	bool has_recipient = trace->recipient.len > 0;

	buffer_append(buffer, SLICE("Received:"));
	if (trace->helo.len > 0) {
		append_word(&folder, SLICE("from"));
		append_helo(&folder, trace->helo);
		append_client(&folder, trace->client_name, trace->client_address);
		fold(&folder);
	}
	append_word(&folder, SLICE("by"));
	append_word(&folder, trace->hostname);
	append_word(&folder, SLICE("with"));
	append_protocol(&folder, trace);
	if (trace->tls.len > 0)
		append_tls(&folder, trace->tls);
	append_word(&folder, SLICE("id"));
	begin_word(&folder, QUEUE_ID_DIGITS + !has_recipient);
	size_t id_at = buffer->len;
	for (int i = 0; i < QUEUE_ID_DIGITS; i++)
		buffer_append_octet(buffer, '0');
	if (has_recipient)
		append_recipient(&folder, trace->recipient);
	else
		buffer_append_octet(buffer, ';');
	append_date(&folder, trace->time);
	buffer_append(buffer, SLICE("\r\n"));
	return id_at;
}
