/*
 * RFC 9990 section 3.5: the subject and the name of the file say what it is, so that who gets
 * thousands of them can sort them unopened.
 */
#include "aggregate/write.h"
#include "text/address.h"
#include "text/base64.h"
#include "text/date.h"

#include <inttypes.h>

#define LINE_OCTETS 57 /* 76 of base64 */
#define BOUNDARY    "=_veredus_dmarc_report"

static void
append_header(struct buffer *message, const struct aggregate_mail *mail)
{
	const struct aggregate_report *report = mail->report;

	buffer_append_text(message, "From: ");
	buffer_append(message, report->email);
	buffer_append_text(message, "\r\nTo: ");
	buffer_append(message, mail->to);
	buffer_append_text(message, "\r\nDate: ");
	date_append(message, mail->time);
	buffer_append_text(message, "\r\nMessage-ID:\r\n <");
	buffer_append(message, report->id);
	buffer_printf(message, "!%" PRId64 "@", (int64_t)mail->time);
	buffer_append(message, mail->submitter);
	buffer_append_text(message, ">\r\nSubject: Report Domain: ");
	buffer_append(message, report->domain);
	buffer_append_text(message, "\r\n Submitter: ");
	buffer_append(message, mail->submitter);
	buffer_append_text(message, "\r\n Report-ID: ");
	buffer_append(message, report->id);
	buffer_append_text(message,
		"\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
		"Content-Type: multipart/mixed; boundary=\"" BOUNDARY "\"\r\n\r\n");
}

static void
append_words(struct buffer *message, const struct aggregate_mail *mail)
{
	buffer_append_text(message,
		"--" BOUNDARY "\r\n"
		"Content-Type: text/plain; charset=us-ascii\r\n\r\n"
		"This is a DMARC aggregate report (RFC 9990): what this server\r\n"
		"saw in a day of mail in the name of\r\n");
	buffer_append(message, mail->report->domain);
	buffer_printf(message, "\r\n(%" PRIu64 " messages, %" PRIu64 " of which passed DMARC).\r\n",
		mail->report->messages, mail->report->passed);
}

static void
append_file(struct buffer *message, const struct aggregate_mail *mail)
{
	const struct aggregate_report *report = mail->report;
	struct slice rest = mail->gzip;

	buffer_append_text(message, "--" BOUNDARY "\r\nContent-Type: application/gzip\r\n"
				    "Content-Transfer-Encoding: base64\r\n"
				    "Content-Disposition: attachment;\r\n filename=\"");
	buffer_append(message, mail->submitter);
	buffer_append_octet(message, '!');
	buffer_append(message, report->domain);
	buffer_printf(
		message, "!%" PRIu64 "!%" PRIu64 ".xml.gz\"\r\n\r\n", report->begin, report->end);
	while (rest.len > 0) {
		base64_append(message, slice_sub(rest, 0, LINE_OCTETS));
		buffer_append_text(message, "\r\n");
		rest = slice_from(rest, LINE_OCTETS);
	}
}

void
aggregate_mail_append(struct buffer *message, const struct aggregate_mail *mail)
{
	append_header(message, mail);
	append_words(message, mail);
	append_file(message, mail);
	buffer_append_text(message, "--" BOUNDARY "--\r\n");
}

/* "10m": the suffix is a power of 1024 (RFC 7489 section 6.2). False: it is no size. */
static bool
read_size(struct slice text, uint64_t *ret_size)
{
	static const char units[] = "kmgt";
	unsigned shift = 0;

	for (unsigned i = 0; i < sizeof units - 1 && text.len > 0; i++)
		if (ascii_lower(text.ptr[text.len - 1]) == (uint8_t)units[i])
			shift = 10 * (i + 1);
	if (shift > 0)
		text = slice_sub(text, 0, text.len - 1);
	if (!slice_number(text, UINT64_MAX >> 40, ret_size))
		return false;
	*ret_size <<= shift;
	return true;
}

static bool
read_uri(struct slice text, struct aggregate_uri *uri)
{
	struct slice scheme = SLICE("mailto:");
	struct address address;

	if (text.len < scheme.len || !slice_equal_nocase(slice_sub(text, 0, scheme.len), scheme))
		return false;
	text = slice_from(text, scheme.len);
	ssize_t mark = slice_find(text, 0, '!');
	if (mark >= 0 && !read_size(slice_from(text, (size_t)mark + 1), &uri->size_max))
		return false;
	text = slice_sub(text, 0, mark < 0 ? text.len : (size_t)mark);
	/* What is escaped there is rare, and fields of a mailto (?subject=) are none of ours. */
	if (slice_find(text, 0, '%') >= 0 || slice_find(text, 0, '?') >= 0 ||
		address_parse(text, &address) != ADDRESS_OK || address.is_quoted ||
		address.is_literal)
		return false;
	uri->address = text;
	uri->domain = address.domain;
	return true;
}

bool
aggregate_uri_next(struct slice *uris, struct aggregate_uri *ret_uri)
{
	if (uris->len == 0)
		return false;
	ssize_t comma = slice_find(*uris, 0, ',');
	size_t len = comma < 0 ? uris->len : (size_t)comma;
	struct slice text = slice_trim(slice_sub(*uris, 0, len));
	struct aggregate_uri uri = {.size_max = UINT64_MAX};

	*uris = slice_from(*uris, len + 1);
	*ret_uri = read_uri(text, &uri) ? uri : (struct aggregate_uri){.size_max = UINT64_MAX};
	return true;
}
