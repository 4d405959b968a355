/*
 * Return-Path, Delivered-To and the test for a loop.
 *
 *	return         = "Return-Path:" path CRLF           ; RFC 5322 section 3.6.7
 *	delivered-to   = "Delivered-To:" Mailbox CRLF       ; RFC 9228 section 3
 *
 * Neither line is ever folded: there is no place inside an address where that would be harmless for
 *all readers, so an address that makes the line too long is an error. Addresses were checked when
 *they came in, but this is where they become lines of a file, so control octets are refused here
 * once more; octets over 127 are let through (RFC 6532).
 */
#include "mailbox/head.h"

#include "text/header.h"

#define RETURN_PATH  SLICE("Return-Path: <")
#define DELIVERED_TO SLICE("Delivered-To: ")

static bool
has_control_octet(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
			return true;
	}
	return false;
}

enum error
mailbox_head_build(
	struct slice reverse_path, struct slice recipient, struct slice trace, struct buffer *head)
{
	if (recipient.len == 0 || has_control_octet(reverse_path) || has_control_octet(recipient))
		return ERROR_FORMAT;
	if (trace.len > 0 && !slice_has_suffix(trace, SLICE("\r\n")))
		return ERROR_FORMAT;
	if (reverse_path.len > MAILBOX_LINE_MAX - RETURN_PATH.len - 1 ||
		recipient.len > MAILBOX_LINE_MAX - DELIVERED_TO.len)
		return ERROR_LIMIT;
	size_t before = head->len;
	buffer_append(head, RETURN_PATH);
	buffer_append(head, reverse_path);
	buffer_append(head, SLICE(">\r\n"));
	buffer_append(head, DELIVERED_TO);
	buffer_append(head, recipient);
	buffer_append(head, SLICE("\r\n"));
	buffer_append(head, trace);
	if (buffer_error(head) != OK)
		head->len = before;
	return buffer_error(head);
}

/*
 * A field's value without the white space and line ends around it. An address has none inside, so
 * that a fold can only stand before or behind it.
 */
static struct slice
unfolded(struct slice value)
{
	struct slice before;

	do {
		before = value = slice_trim(value);
		if (value.len > 0 && (value.ptr[0] == '\r' || value.ptr[0] == '\n'))
			value = slice_from(value, 1);
		if (value.len > 0 &&
			(value.ptr[value.len - 1] == '\r' || value.ptr[value.len - 1] == '\n'))
			value.len--;
	} while (value.len < before.len);
	return value;
}

/* "by HOSTNAME" as two words of a Received field (RFC 5321 section 4.4). */
static bool
came_by(struct slice received, struct slice hostname)
{
	static const struct slice by = SLICE_INIT("by");
	size_t at = 0;
	bool is_behind_by = false;

	while (at < received.len) {
		size_t start = at;
		while (at < received.len && received.ptr[at] > ' ' && received.ptr[at] != ';')
			at++;
		struct slice word = slice_sub(received, start, at - start);
		if (is_behind_by && slice_equal_nocase(word, hostname))
			return true;
		if (word.len > 0)
			is_behind_by = slice_equal_nocase(word, by);
		at++;
	}
	return false;
}

bool
mailbox_head_is_loop(struct slice header, struct slice recipient, struct slice hostname)
{
	struct header_scanner scanner = header_scanner_of(header);
	struct header_field field;
	bool was_here = false, was_ours = false;

	while (header_next(&scanner, &field)) {
		if (slice_equal_nocase(field.name, SLICE("Delivered-To")))
			was_here |= slice_equal_nocase(unfolded(field.value), recipient);
		else if (slice_equal_nocase(field.name, SLICE("Received")))
			was_ours |= came_by(field.value, hostname);
	}
	return was_here && was_ours;
}
