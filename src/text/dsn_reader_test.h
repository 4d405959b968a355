/*
 * A small reader of delivery reports for the tests: it shares no code with the builder, and it
 * knows only what RFC 3464 and MIME say. Each function returns false at the first fault.
 */
#ifndef TEXT_DSN_READER_TEST_H
#define TEXT_DSN_READER_TEST_H

#include "base/slice.h"

#define READER_PARTS_MAX 3

struct reader_part {
	struct slice header; /* with its last line end */
	struct slice body;
};

struct reader_report {
	struct slice header;
	size_t parts;
	struct reader_part part[READER_PARTS_MAX];
};

/* Only CRLF ends lines, none is over 998 octets, no control but HTAB; the last line is ended. */
static inline bool
reader_lines_are_sound(struct slice text)
{
	size_t column = 0;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t octet = text.ptr[i];
		if (octet == '\r') {
			if (i + 1 == text.len || text.ptr[i + 1] != '\n')
				return false;
			column = 0;
			i++;
		} else if ((octet < ' ' && octet != '\t') || octet == 127 || ++column > 998) {
			return false;
		}
	}
	return text.len >= 2 && text.ptr[text.len - 1] == '\n';
}

/* Takes a line without its CRLF off the front. */
static inline bool
reader_line(struct slice *text, struct slice *ret_line)
{
	ssize_t end = slice_find(*text, 0, '\n');

	if (end < 1)
		return false;
	*ret_line = slice_sub(*text, 0, (size_t)end - 1);
	*text = slice_from(*text, (size_t)end + 1);
	return true;
}

/* Takes a header (the lines before the empty one) and that empty line. */
static inline bool
reader_header(struct slice *text, struct slice *ret_header)
{
	struct slice rest = *text, line;

	while (reader_line(&rest, &line)) {
		if (line.len > 0)
			continue;
		*ret_header = slice_sub(*text, 0, text->len - rest.len - 2);
		*text = rest;
		return true;
	}
	return false;
}

/* How many fields of this name there are (name with its colon, in its exact case); the last one's
 * raw value is written. */
static inline size_t
reader_field(struct slice header, struct slice name, struct slice *ret_value)
{
	struct slice line;
	size_t count = 0;
	const uint8_t *start = NULL;

	while (reader_line(&header, &line)) {
		bool is_continuation = line.len > 0 && (line.ptr[0] == ' ' || line.ptr[0] == '\t');
		if (!is_continuation)
			start = NULL;
		if (slice_has_prefix(line, name)) {
			count++;
			start = line.ptr + name.len;
		}
		if (start)
			*ret_value = slice_of(start, (size_t)(line.ptr + line.len - start));
	}
	return count;
}

/* Splits at the boundary that the header names: first the preamble, then the parts, and nothing
 * behind the last delimiter. */
static inline bool
reader_split(struct slice text, struct reader_report *report)
{
	struct slice type, line, boundary;

	*report = (struct reader_report){0};
	if (!reader_header(&text, &report->header))
		return false;
	if (reader_field(report->header, SLICE("Content-Type:"), &type) != 1)
		return false;
	ssize_t quote = slice_find(type, 0, '"');
	if (quote < 0 || type.ptr[type.len - 1] != '"')
		return false;
	boundary = slice_sub(type, (size_t)quote + 1, type.len - (size_t)quote - 2);
	const uint8_t *start = NULL;
	while (reader_line(&text, &line)) {
		if (!slice_has_prefix(line, SLICE("--")) ||
			!slice_has_prefix(slice_from(line, 2), boundary))
			continue;
		bool is_last = slice_equal(slice_from(line, 2 + boundary.len), SLICE("--"));
		if (!is_last && line.len != 2 + boundary.len)
			return false;
		if (start) {
			struct reader_part *part = &report->part[report->parts];
			part->body = slice_of(start, (size_t)(line.ptr - start) - 2);
			if (!reader_header(&part->body, &part->header))
				return false;
			report->parts++;
		}
		if (is_last)
			return text.len == 0 && report->parts >= 2;
		if (report->parts == READER_PARTS_MAX)
			return false;
		start = text.ptr;
	}
	return false;
}

/* Takes the next group of fields of a delivery status off the front; false when there is none. */
static inline bool
reader_group(struct slice *text, struct slice *ret_group)
{
	struct slice rest = *text, line;

	if (rest.len == 0)
		return false;
	while (reader_line(&rest, &line)) {
		if (line.len > 0)
			continue;
		*ret_group = slice_sub(*text, 0, text->len - rest.len - 2);
		*text = rest;
		return true;
	}
	*ret_group = *text;
	*text = rest;
	return true;
}

/* Whether each line of the group is a field of these names (each with its colon, at most once) or a
 * continuation that is not blank. */
static inline bool
reader_group_is_sound(struct slice group, const struct slice *names, size_t count)
{
	struct slice line, value;

	for (size_t i = 0; i < count; i++)
		if (reader_field(group, names[i], &value) > 1)
			return false;
	for (bool is_first = true; reader_line(&group, &line); is_first = false) {
		bool known =
			!is_first && line.len > 1 && line.ptr[0] == ' ' && slice_trim(line).len > 0;
		for (size_t i = 0; i < count; i++)
			known |= slice_has_prefix(line, names[i]);
		if (!known)
			return false;
	}
	return group.len == 0;
}

static const struct slice reader_message_fields[] = {SLICE_INIT("Original-Envelope-Id:"),
	SLICE_INIT("Reporting-MTA:"), SLICE_INIT("Arrival-Date:"),
	SLICE_INIT("X-Veredus-Queue-Id:")};
static const struct slice reader_recipient_fields[] = {SLICE_INIT("Original-Recipient:"),
	SLICE_INIT("Final-Recipient:"), SLICE_INIT("Action:"), SLICE_INIT("Status:"),
	SLICE_INIT("Remote-MTA:"), SLICE_INIT("Diagnostic-Code:"), SLICE_INIT("Last-Attempt-Date:"),
	SLICE_INIT("Will-Retry-Until:")};

/* The status part: the fields per message, then `recipients` groups. */
static inline bool
reader_status_is_sound(struct slice body, size_t recipients)
{
	struct slice group;
	size_t groups = 0;

	if (!reader_group(&body, &group) ||
		!reader_group_is_sound(group, reader_message_fields,
			sizeof reader_message_fields / sizeof(struct slice)))
		return false;
	while (reader_group(&body, &group)) {
		if (!reader_group_is_sound(group, reader_recipient_fields,
			    sizeof reader_recipient_fields / sizeof(struct slice)))
			return false;
		groups++;
	}
	return groups == recipients;
}

#endif
