/*
 * Writing a message (RFC 5322 section 3.6, RFC 2045 to 2047). What people and programs give as a
 * subject or address goes into a header that others trust: a line end in it would let them add
 * fields, or a body. So nothing with a control in it gets this far, and what is not plain ASCII
 * leaves as an encoded word.
 *
 * Promises: lines of the header are at most 998 octets, lines of the body too: a body with longer
 * ones, with bare CRs, or with octets that the server would not take leaves as quoted-printable.
 */
#include "cmd/compose.h"

#include "text/date.h"
#include "text/encode.h"

#define BODY_LINE_MAX 998 /* RFC 5322 section 2.1.1 */

const char *
compose_field_fault(struct slice value)
{
	for (size_t at = 0; at < value.len;) {
		struct slice rest = slice_from(value, at);
		size_t len = utf8_character(rest);
		if (len == 0)
			return "is not UTF-8";
		bool is_control = rest.ptr[0] < ' ' || rest.ptr[0] == 0x7f ||
				  (rest.ptr[0] == 0xc2 && rest.ptr[1] < 0xa0);
		if (is_control)
			return "has a line end or another control character in it";
		at += len;
	}
	return NULL;
}

const char *
compose_body_fault(struct slice body, size_t *ret_line)
{
	ssize_t bad = utf8_find_fault(body);
	const char *text = "is not UTF-8";
	ssize_t nul = slice_find(body, 0, 0);

	if (nul >= 0 && (bad < 0 || nul < bad)) {
		bad = nul;
		text = "has a NUL in it";
	}
	if (bad < 0)
		return NULL;
	*ret_line = 1;
	for (ssize_t i = 0; i < bad; i++)
		*ret_line += body.ptr[i] == '\n';
	return text;
}

enum encoding { ENCODING_7BIT, ENCODING_8BIT, ENCODING_QUOTED_PRINTABLE };

static enum encoding
choose_encoding(const struct composition *composition)
{
	struct slice body = composition->body;
	bool is_8bit = false;
	size_t line = 0;

	for (size_t i = 0; i < body.len; i++) {
		uint8_t octet = body.ptr[i];
		bool is_end = octet == '\r' && i + 1 < body.len && body.ptr[i + 1] == '\n';
		is_8bit |= octet > 127;
		if (octet == '\r' && !is_end)
			return ENCODING_QUOTED_PRINTABLE;
		line = octet == '\n' ? 0 : line + !is_end;
		if (line > BODY_LINE_MAX)
			return ENCODING_QUOTED_PRINTABLE;
	}
	if (!is_8bit)
		return ENCODING_7BIT;
	return composition->allows_8bit ? ENCODING_8BIT : ENCODING_QUOTED_PRINTABLE;
}

static void
append_address(struct buffer *message, const struct address *address)
{
	buffer_append(message, address->local_part);
	buffer_append_octet(message, '@');
	buffer_append(message, address->domain);
}

/* address-list = (address *("," address)), folded where a line would become long */
static void
append_to(const struct composition *composition, struct buffer *message)
{
	size_t column = 4;

	buffer_append(message, SLICE("To: "));
	for (size_t i = 0; i < composition->to_count; i++) {
		const struct address *address = &composition->to[i];
		size_t len = address->local_part.len + 1 + address->domain.len;
		if (i > 0 && column + 2 + len > ENCODE_COLUMNS) {
			buffer_append(message, SLICE(",\r\n "));
			column = 1;
		} else if (i > 0) {
			buffer_append(message, SLICE(", "));
			column += 2;
		}
		append_address(message, address);
		column += len;
	}
	buffer_append(message, SLICE("\r\n"));
}

/* msg-id = "<" id-left "@" id-right ">" */
static void
append_message_id(const struct composition *composition, struct buffer *message)
{
	buffer_append(message, SLICE("Message-ID: <"));
	for (size_t i = 0; i < COMPOSE_UNIQUE_BYTES; i++)
		buffer_printf(message, "%02x", composition->unique[i]);
	buffer_append_octet(message, '@');
	buffer_append(message, composition->from.domain);
	buffer_append(message, SLICE(">\r\n"));
}

static void
append_header(const struct composition *composition, enum encoding encoding, struct buffer *message)
{
	static const char *const names[] = {"7bit", "8bit", "quoted-printable"};

	buffer_append(message, SLICE("Date: "));
	date_append(message, composition->time);
	buffer_append(message, SLICE("\r\nFrom: "));
	append_address(message, &composition->from);
	buffer_append(message, SLICE("\r\n"));
	append_to(composition, message);
	if (composition->subject.len > 0) {
		buffer_append(message, SLICE("Subject: "));
		encode_unstructured(message, composition->subject, 9);
		buffer_append(message, SLICE("\r\n"));
	}
	append_message_id(composition, message);
	buffer_append(message, SLICE("MIME-Version: 1.0\r\n"
				     "Content-Type: text/plain; charset=utf-8\r\n"
				     "Content-Transfer-Encoding: "));
	buffer_append_text(message, names[encoding]);
	buffer_append(message, SLICE("\r\n\r\n"));
}

void
compose_message(const struct composition *composition, struct buffer *message)
{
	enum encoding encoding = choose_encoding(composition);

	append_header(composition, encoding, message);
	if (encoding == ENCODING_QUOTED_PRINTABLE)
		encode_quoted_printable(message, composition->body);
	else
		buffer_append(message, composition->body);
}
