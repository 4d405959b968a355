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
 *
 * The scanner reads lines that end in LF with or without CR, since content of any origin may be
 *asked about; it unfolds, and gives up on a line that is no field, which ends the header.
 */
#include "mailbox/head.h"

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

/* The line at `at` without its end; `ret_next` is where the following one starts. */
static struct slice
line_at(struct slice bytes, size_t at, size_t *ret_next)
{
	ssize_t end = slice_find(bytes, at, '\n');
	size_t len = end < 0 ? bytes.len - at : (size_t)end - at;

	*ret_next = end < 0 ? bytes.len : (size_t)end + 1;
	if (len > 0 && bytes.ptr[at + len - 1] == '\r')
		len--;
	return slice_sub(bytes, at, len);
}

static bool
line_continues(struct slice bytes, size_t at)
{
	return at < bytes.len && (bytes.ptr[at] == ' ' || bytes.ptr[at] == '\t');
}

/*
 * Whether the value, from `at` on, over all lines of its field, is this address with white space
 * and line ends around it. An address has none inside, so that a fold can only stand before or
 * behind it.
 */
static bool
value_is(struct slice field, size_t at, struct slice recipient)
{
	while (at < field.len && (slice_trim(slice_sub(field, at, 1)).len == 0 ||
					 field.ptr[at] == '\r' || field.ptr[at] == '\n'))
		at++;
	struct slice value = slice_from(field, at);
	while (value.len > 0) {
		uint8_t last = value.ptr[value.len - 1];
		if (last != ' ' && last != '\t' && last != '\r' && last != '\n')
			break;
		value.len--;
	}
	return slice_equal_nocase(value, recipient);
}

bool
mailbox_head_is_loop(struct slice header, struct slice recipient)
{
	size_t at = 0, next;

	while (at < header.len) {
		struct slice line = line_at(header, at, &next);
		ssize_t colon = slice_find(line, 0, ':');
		if (colon < 0)
			return false;
		while (line_continues(header, next))
			line_at(header, next, &next);
		struct slice name = slice_trim(slice_sub(line, 0, (size_t)colon));
		if (slice_equal_nocase(name, SLICE("Delivered-To")) &&
			value_is(slice_sub(header, at, next - at), (size_t)colon + 1, recipient))
			return true;
		at = next;
	}
	return false;
}
