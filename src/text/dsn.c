/*
 * Building a delivery report: the header, the part for people (dsn_words.c), the part for programs,
 * and the original header or the start of the original content. Outside text passes dsn_lines.c.
 *
 * Relies on the caller for what it can't see: that the reverse path is not <>, that the content it
 * puts behind the prologue has CRLF line ends. Promises that the boundary stands in nothing built
 * here: it is random, and "=_" in it never occurs in quoted-printable; an original header that
 * holds it all the same goes as quoted-printable.
 *
 * RFC 3464 (fields), RFC 6522 (multipart/report, text/rfc822-headers), RFC 6533 (message/global-*),
 * RFC 3834 (Auto-Submitted, In-Reply-To).
 */
#include "text/dsn_private.h"
#include "text/address.h"
#include "text/date.h"
#include "text/encode.h"
#include "text/header.h"

#define NUMBER_MAX     999 /* RFC 3463 section 2: subject and detail */
#define TYPE_MAX       32  /* octets of an address type */
#define QUEUE_ID_MAX   64  /* of it in the Message-ID */
#define MESSAGE_ID_MAX 250 /* of the original's; a longer one is not referred to */
#define SUBJECT_MAX    (DSN_ADDRESS_MAX + 96)
#define BOUNDARY_MAX   (2 + 2 * DSN_RANDOM)

static const char *const action_words[DSN_ACTIONS] = {
	[DSN_FAILED] = "failed",
	[DSN_DELAYED] = "delayed",
	[DSN_RELAYED] = "relayed",
	[DSN_EXPANDED] = "expanded",
	[DSN_DELIVERED] = "delivered",
};

static const char *const subjects[DSN_ACTIONS] = {
	[DSN_FAILED] = "Undelivered mail: ",
	[DSN_DELAYED] = "Delayed mail: ",
	[DSN_RELAYED] = "Relayed mail: ",
	[DSN_EXPANDED] = "Mail sent to a list: ",
	[DSN_DELIVERED] = "Delivered mail: ",
};

/* How the original goes into the report. */
struct original {
	struct slice header; /* its fields and nothing behind them */
	const char *type;    /* NULL: no third part */
	const char *encoding;
	bool is_quoted_printable;
	bool is_global;
};

struct enhanced_status
dsn_status_of(const struct dsn_recipient *recipient)
{
	struct enhanced_status status = recipient->status;

	if (status.class != 2 && status.class != 4 && status.class != 5)
		status.class = recipient->action == DSN_FAILED    ? 5
			       : recipient->action == DSN_DELAYED ? 4
								  : 2;
	if (status.subject > NUMBER_MAX || status.detail > NUMBER_MAX)
		status.subject = status.detail = 0;
	return status;
}

static void
append_hex(struct buffer *buffer, const uint8_t *octets, size_t count)
{
	for (size_t i = 0; i < count; i++)
		buffer_printf(buffer, "%02x", octets[i]);
}

static void
append_boundary(struct buffer *buffer, const struct dsn *dsn)
{
	buffer_append(buffer, SLICE("=_"));
	append_hex(buffer, dsn->random, sizeof dsn->random);
}

/* The delimiter and the header of a part; NULL: no such field. */
static void
append_part_start(struct buffer *buffer, const struct dsn *dsn, const char *description,
	const char *type, const char *encoding)
{
	buffer_append(buffer, SLICE("\r\n--"));
	append_boundary(buffer, dsn);
	buffer_printf(
		buffer, "\r\nContent-Description: %s\r\nContent-Type: %s\r\n", description, type);
	if (encoding)
		buffer_printf(buffer, "Content-Transfer-Encoding: %s\r\n", encoding);
	buffer_append(buffer, SLICE("\r\n"));
}

/*
 * Whether the text can stand in To. Characters over U+007F count as letters (RFC 6531 section 3.3),
 * so the grammar of RFC 5321 is applied to the text with an "x" for each.
 */
static bool
reverse_path_is_valid(struct slice path)
{
	uint8_t storage[ADDRESS_MAX];
	struct buffer shadow;
	struct address address;

	if (path.len > ADDRESS_MAX)
		return false;
	buffer_init_fixed(&shadow, storage, sizeof storage);
	for (size_t at = 0; at < path.len;) {
		size_t len = utf8_character(slice_from(path, at));
		if (len == 0 || !dsn_character_is_visible(slice_sub(path, at, len)))
			return false;
		buffer_append_octet(&shadow, len == 1 ? path.ptr[at] : 'x');
		at += len;
	}
	enum address_fault fault = address_parse(buffer_slice(&shadow), &address);
	return fault == ADDRESS_OK || (fault == ADDRESS_NO_DOMAIN && path.len > 0);
}

static bool
host_is_valid(struct slice host)
{
	return host.len <= ADDRESS_DOMAIN_MAX &&
	       (domain_is_valid(host) || address_literal_is_valid(host));
}

static struct slice
mailer_domain(const struct dsn *dsn)
{
	return dsn->mailer_domain.len > 0 ? dsn->mailer_domain : dsn->hostname;
}

static bool
recipient_has_utf8_text(const struct dsn_recipient *recipient)
{
	return !dsn_is_ascii(recipient->address) || !dsn_is_ascii(recipient->original_address) ||
	       !dsn_is_ascii(recipient->remote_mta) || !dsn_is_ascii(recipient->text);
}

static enum error
tally_recipients(const struct dsn_recipients *recipients, bool has_other_language,
	struct dsn_tally *ret_tally)
{
	struct dsn_tally tally = {.main = DSN_ACTIONS};

	for (size_t i = 0; i < recipients->count; i++) {
		struct dsn_recipient recipient = {0};
		enum error error = recipients->get(recipients->context, i, &recipient);
		if (error != OK)
			return error;
		if ((unsigned)recipient.action >= DSN_ACTIONS || recipient.address.len == 0)
			return ERROR_FORMAT;
		tally.of[recipient.action]++;
		if (recipient.action < tally.main) {
			tally.main = recipient.action;
			tally.main_index = i;
		}
		tally.has_utf8_address |= !dsn_is_ascii(recipient.address) ||
					  !dsn_is_ascii(recipient.original_address);
		tally.has_utf8_text |=
			i < DSN_SPELLED_OUT_MAX && recipient_has_utf8_text(&recipient);
	}
	/* Only English does without. */
	tally.has_utf8_text |= has_other_language;
	*ret_tally = tally;
	return recipients->count > 0 ? OK : ERROR_FORMAT;
}

/* Whether each line ends in CRLF (but perhaps the last), is at most DSN_LINE_MAX long and holds no
 * control but HTAB. */
static bool
is_clean_text(struct slice text)
{
	size_t column = 0;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t octet = text.ptr[i];
		if (octet == '\r' && i + 1 < text.len && text.ptr[i + 1] == '\n') {
			column = 0;
			i++;
			continue;
		}
		if ((octet < ' ' && octet != '\t') || octet == 127 || ++column > DSN_LINE_MAX)
			return false;
	}
	return true;
}

static bool
contains_boundary(struct slice text, const struct dsn *dsn)
{
	uint8_t storage[BOUNDARY_MAX];
	struct buffer boundary;
	ssize_t at = -1;

	buffer_init_fixed(&boundary, storage, sizeof storage);
	append_boundary(&boundary, dsn);
	while ((at = slice_find(text, (size_t)(at + 1), '=')) >= 0)
		if (slice_has_prefix(slice_from(text, (size_t)at), buffer_slice(&boundary)))
			return true;
	return false;
}

static struct slice
fields_only(struct slice header)
{
	struct header_scanner scanner = header_scanner_of(header);
	struct header_field field;

	while (header_next(&scanner, &field))
		;
	return slice_sub(header, 0, scanner.at);
}

static struct original
full_original(const struct dsn *dsn, struct slice header)
{
	bool is_known_ascii = header.len > 0 && !dsn->header_is_cut && dsn_is_ascii(header);
	bool is_global = dsn->is_smtputf8 && !is_known_ascii;

	return (struct original){
		.header = header,
		.type = is_global ? "message/global" : "message/rfc822",
		.encoding = dsn->content_is_8bit || is_global ? "8bit" : NULL,
		.is_global = is_global,
	};
}

static struct original
original_of(const struct dsn *dsn)
{
	struct slice header = fields_only(dsn->header);

	if (dsn->returns == DSN_RETURN_FULL)
		return full_original(dsn, header);
	struct original original = {.header = header};
	if (header.len == 0)
		return original;
	bool is_ascii = dsn_is_ascii(header);
	bool is_utf8 = utf8_find_fault(header) < 0;
	original.is_global = dsn->is_smtputf8 && !is_ascii && is_utf8;
	original.is_quoted_printable = (!is_ascii && !original.is_global) ||
				       !is_clean_text(header) || contains_boundary(header, dsn);
	original.type = original.is_global ? "message/global-headers"
			: is_ascii         ? "text/rfc822-headers"
			: is_utf8          ? "text/rfc822-headers; charset=utf-8"
					   : "text/rfc822-headers; charset=unknown-8bit";
	original.encoding = original.is_quoted_printable ? "quoted-printable"
			    : original.is_global         ? "8bit"
							 : NULL;
	return original;
}

static enum error
append_subject(struct buffer *buffer, const struct dsn *dsn, const struct dsn_tally *tally)
{
	uint8_t storage[SUBJECT_MAX];
	struct buffer subject;
	struct dsn_recipient recipient = {0};
	size_t more = tally->of[tally->main] - 1;
	enum error error =
		dsn->recipients.get(dsn->recipients.context, tally->main_index, &recipient);

	if (error != OK)
		return error;
	buffer_init_fixed(&subject, storage, sizeof storage);
	buffer_append_text(&subject, subjects[tally->main]);
	dsn_append_address(&subject, recipient.address);
	if (more > 0)
		buffer_printf(&subject, " and %zu more", more);
	buffer_append(buffer, SLICE("Subject: "));
	encode_unstructured(buffer, buffer_slice(&subject), sizeof "Subject: " - 1);
	buffer_append(buffer, SLICE("\r\n"));
	return buffer_error(&subject);
}

/* msg-id, loosely: "<" and ">" around printable octets, with one "@" at least. */
static bool
message_id_is_valid(struct slice id)
{
	if (id.len < 3 || id.len > MESSAGE_ID_MAX || slice_find(id, 0, '@') < 0)
		return false;
	for (size_t i = 1; i + 1 < id.len; i++)
		if (id.ptr[i] <= ' ' || id.ptr[i] > 126 || id.ptr[i] == '<' || id.ptr[i] == '>')
			return false;
	return true;
}

static void
append_references(struct buffer *buffer, struct slice header)
{
	struct header_scanner scanner = header_scanner_of(header);
	struct header_field field;

	if (!header_find(&scanner, SLICE("Message-ID"), &field))
		return;
	ssize_t start = slice_find(field.value, 0, '<');
	ssize_t end = slice_find(field.value, 0, '>');
	if (start < 0 || end < start)
		return;
	struct slice id = slice_sub(field.value, (size_t)start, (size_t)(end - start) + 1);
	if (!message_id_is_valid(id))
		return;
	buffer_printf(buffer, "In-Reply-To: %.*s\r\n", SLICE_ARGS(id));
	buffer_printf(buffer, "References: %.*s\r\n", SLICE_ARGS(id));
}

static void
append_message_id(struct buffer *buffer, const struct dsn *dsn)
{
	struct slice id = slice_sub(dsn->queue_id, 0, QUEUE_ID_MAX);

	buffer_append(buffer, SLICE("Message-ID: <"));
	for (size_t i = 0; i < id.len; i++)
		buffer_append_octet(buffer, ascii_is_alnum(id.ptr[i]) ? id.ptr[i] : '-');
	if (id.len > 0)
		buffer_append_octet(buffer, '.');
	append_hex(buffer, dsn->random, sizeof dsn->random / 2);
	buffer_append_octet(buffer, '@');
	buffer_append(buffer, mailer_domain(dsn));
	buffer_append(buffer, SLICE(">\r\n"));
}

static enum error
append_header(struct buffer *buffer, const struct dsn *dsn, const struct dsn_tally *tally,
	const struct original *original, bool is_8bit)
{
	buffer_append(buffer, SLICE("From: \"Mail Delivery System\" <MAILER-DAEMON@"));
	buffer_append(buffer, mailer_domain(dsn));
	buffer_append(buffer, SLICE(">\r\nTo: <"));
	buffer_append(buffer, dsn->reverse_path);
	buffer_append(buffer, SLICE(">\r\n"));
	enum error error = append_subject(buffer, dsn, tally);
	if (error != OK)
		return error;
	buffer_append(buffer, SLICE("Date: "));
	date_append(buffer, dsn->date);
	buffer_append(buffer, SLICE("\r\n"));
	append_message_id(buffer, dsn);
	append_references(buffer, original->header);
	buffer_append(
		buffer, SLICE("Auto-Submitted: auto-replied\r\n"
			      "MIME-Version: 1.0\r\n"
			      "Content-Type: multipart/report; report-type=delivery-status;\r\n"
			      " boundary=\""));
	append_boundary(buffer, dsn);
	buffer_append(buffer, SLICE("\"\r\n"));
	if (is_8bit)
		buffer_append(buffer, SLICE("Content-Transfer-Encoding: 8bit\r\n"));
	buffer_append(buffer,
		SLICE("\r\nThis is a delivery report in MIME form (RFC 3464, RFC 6522).\r\n"));
	return OK;
}

static void
put_field(struct dsn_lines *lines, const char *name, struct slice text, size_t max)
{
	dsn_line_text(lines, name);
	dsn_line_words(lines, text, max);
	dsn_line_end(lines);
}

static void
put_date(struct dsn_lines *lines, const char *name, wall_us time)
{
	if (time == 0)
		return;
	dsn_line_text(lines, name);
	date_append(&lines->line, time);
	dsn_line_end(lines);
}

/*
 * original-recipient-field = "Original-Recipient" ":" address-type ";" generic-address
 * final-recipient-field    = "Final-Recipient" ":" address-type ";" generic-address
 * address-type             = atom
 */
static void
put_recipient_field(
	struct dsn_lines *lines, const char *name, struct slice type, struct slice address)
{
	bool is_rfc822 = type.len == 0 || slice_equal_nocase(type, SLICE("rfc822"));
	bool is_utf8 =
		slice_equal_nocase(type, SLICE("utf-8")) || (is_rfc822 && !dsn_is_ascii(address));

	dsn_line_text(lines, name);
	if (is_utf8) {
		dsn_line_text(lines, " utf-8; ");
	} else if (is_rfc822) {
		dsn_line_text(lines, " rfc822; ");
	} else {
		dsn_line_text(lines, " ");
		for (size_t i = 0; i < type.len && i < TYPE_MAX; i++)
			buffer_append_octet(
				&lines->line, ascii_is_alnum(type.ptr[i]) ? type.ptr[i] : '-');
		dsn_line_text(lines, "; ");
	}
	dsn_line_address(lines, address, is_utf8 && !lines->is_utf8);
	dsn_line_end(lines);
}

static void
put_diagnostic(struct dsn_lines *lines, const struct dsn_recipient *recipient)
{
	if (recipient->diagnostic == DSN_DIAGNOSTIC_NONE || recipient->text.len == 0)
		return;
	put_field(lines,
		recipient->diagnostic == DSN_DIAGNOSTIC_SMTP ? "Diagnostic-Code: smtp;"
							     : "Diagnostic-Code: x-veredus;",
		recipient->text, DSN_DIAGNOSTIC_MAX);
}

/* per-recipient-fields, in the order of RFC 3464 section 2.3 */
static void
put_recipient(struct dsn_lines *lines, const struct dsn_recipient *recipient)
{
	struct enhanced_status status = dsn_status_of(recipient);

	if (recipient->original_address.len > 0)
		put_recipient_field(lines, "Original-Recipient:", recipient->original_type,
			recipient->original_address);
	put_recipient_field(lines, "Final-Recipient:", recipient->address_type, recipient->address);
	dsn_line_text(lines, "Action: ");
	dsn_line_text(lines, action_words[recipient->action]);
	dsn_line_end(lines);
	buffer_printf(
		&lines->line, "Status: %u.%u.%u", status.class, status.subject, status.detail);
	dsn_line_end(lines);
	if (recipient->remote_mta.len > 0)
		put_field(lines, "Remote-MTA: dns;", recipient->remote_mta, DSN_NAME_MAX);
	put_diagnostic(lines, recipient);
	put_date(lines, "Last-Attempt-Date: ", recipient->attempted_at);
	if (recipient->action == DSN_DELAYED)
		put_date(lines, "Will-Retry-Until: ", recipient->will_retry_until);
}

/* delivery-status-content = per-message-fields 1*( CRLF per-recipient-fields ) */
static enum error
append_status(struct buffer *buffer, const struct dsn *dsn, bool is_global)
{
	struct dsn_lines lines;

	dsn_lines_init(&lines, buffer, " ");
	lines.is_utf8 = is_global;
	if (dsn->envelope_id.len > 0)
		put_field(&lines, "Original-Envelope-Id:", dsn->envelope_id, DSN_NAME_MAX);
	put_field(&lines, "Reporting-MTA: dns;", dsn->hostname, DSN_NAME_MAX);
	put_date(&lines, "Arrival-Date: ", dsn->arrived_at);
	if (dsn->queue_id.len > 0)
		put_field(&lines, "X-Veredus-Queue-Id:", dsn->queue_id, DSN_NAME_MAX);
	for (size_t i = 0; i < dsn->recipients.count; i++) {
		struct dsn_recipient recipient = {0};
		enum error error = dsn->recipients.get(dsn->recipients.context, i, &recipient);
		if (error != OK)
			return error;
		dsn_line_end(&lines);
		put_recipient(&lines, &recipient);
	}
	return buffer_error(buffer);
}

static void
append_original(struct buffer *buffer, const struct dsn *dsn, const struct original *original)
{
	bool is_full = dsn->returns == DSN_RETURN_FULL;

	if (!original->type)
		return;
	append_part_start(buffer, dsn,
		is_full ? "Original message" : "Header of the original message", original->type,
		original->encoding);
	if (is_full)
		return;
	if (original->is_quoted_printable) {
		encode_quoted_printable(buffer, original->header);
		return;
	}
	buffer_append(buffer, original->header);
	if (!slice_has_suffix(original->header, SLICE("\r\n")))
		buffer_append(buffer, SLICE("\r\n"));
}

static enum error
append_parts(struct buffer *buffer, const struct dsn *dsn, const struct dsn_tally *tally,
	const struct original *original, bool is_global)
{
	bool is_plain = !tally->has_utf8_text;

	append_part_start(buffer, dsn, "Notification",
		is_plain ? "text/plain; charset=us-ascii" : "text/plain; charset=utf-8",
		is_plain ? NULL : "quoted-printable");
	enum error error = dsn_append_words(buffer, dsn, tally);
	if (error != OK)
		return error;
	append_part_start(buffer, dsn, "Delivery report",
		is_global ? "message/global-delivery-status" : "message/delivery-status",
		is_global ? "8bit" : NULL);
	error = append_status(buffer, dsn, is_global);
	if (error != OK)
		return error;
	append_original(buffer, dsn, original);
	return buffer_error(buffer);
}

enum error
dsn_append_prologue(struct buffer *buffer, const struct dsn *dsn, struct dsn_needs *ret_needs)
{
	size_t start = buffer->len;
	struct dsn_tally tally;

	if (!host_is_valid(dsn->hostname) || !host_is_valid(mailer_domain(dsn)) ||
		!reverse_path_is_valid(dsn->reverse_path))
		return ERROR_FORMAT;
	enum error error = tally_recipients(&dsn->recipients, dsn->language_count > 0, &tally);
	if (error != OK)
		return error;
	tally.has_utf8_text |= !dsn_is_ascii(dsn_template_of(dsn, DSN_ENGLISH, tally.main));
	struct original original = original_of(dsn);
	bool is_global = dsn->is_smtputf8 && tally.has_utf8_address;
	struct dsn_needs needs = {
		.is_8bit = is_global || (original.encoding && original.encoding[0] == '8'),
		.is_smtputf8 = is_global || original.is_global || !dsn_is_ascii(dsn->reverse_path),
	};
	error = append_header(buffer, dsn, &tally, &original, needs.is_8bit);
	if (error == OK)
		error = append_parts(buffer, dsn, &tally, &original, is_global);
	if (error != OK) {
		buffer->len = start;
		return error;
	}
	*ret_needs = needs;
	return OK;
}

enum error
dsn_append_epilogue(struct buffer *buffer, const struct dsn *dsn)
{
	buffer_append(buffer, SLICE("\r\n--"));
	append_boundary(buffer, dsn);
	buffer_append(buffer, SLICE("--\r\n"));
	return buffer_error(buffer);
}
