/*
 * Two readers of the same grammar: one over a header in memory, one over a stream that keeps a few
 * octets of state. The fuzzer holds them against each other.
 *
 *   field      = field-name *WSP ":" unstructured CRLF      ; WSP before the colon is obsolete
 * syntax, and seen field-name = 1*%d33-57 / %d59-126 fold       = CRLF 1*WSP
 */
#include "text/header.h"

enum counter_state {
	COUNTER_FIRST_LINE, /* at the start of the message, where no continuation can stand */
	COUNTER_LINE_START,
	COUNTER_NAME,
	COUNTER_NAME_SPACE, /* behind the name, before the colon */
	COUNTER_VALUE,      /* in the rest of a line */
	COUNTER_DONE,
};

static bool
is_name_octet(uint8_t octet)
{
	return octet >= 33 && octet <= 126 && octet != ':';
}

static bool
is_space(uint8_t octet)
{
	return octet == ' ' || octet == '\t';
}

struct header_scanner
header_scanner_of(struct slice message)
{
	return (struct header_scanner){.bytes = message};
}

/* Behind the end of the field whose text starts at `at`: behind its last line, continuations
 * included. */
static size_t
field_end(struct slice bytes, size_t at)
{
	for (;;) {
		ssize_t line_feed = slice_find(bytes, at, '\n');
		if (line_feed < 0)
			return bytes.len;
		at = (size_t)line_feed + 1;
		if (at >= bytes.len || !is_space(bytes.ptr[at]))
			return at;
	}
}

static struct slice
without_line_end(struct slice text)
{
	if (slice_has_suffix(text, SLICE("\r\n")))
		text.len -= 2;
	else if (slice_has_suffix(text, SLICE("\n")))
		text.len -= 1;
	return text;
}

bool
header_next(struct header_scanner *scanner, struct header_field *ret_field)
{
	struct slice bytes = scanner->bytes;
	size_t at = scanner->at;

	while (at < bytes.len && is_name_octet(bytes.ptr[at]))
		at++;
	struct slice name = slice_sub(bytes, scanner->at, at - scanner->at);
	while (name.len > 0 && at < bytes.len && is_space(bytes.ptr[at]))
		at++;
	if (name.len == 0 || at >= bytes.len || bytes.ptr[at] != ':')
		return false;
	size_t end = field_end(bytes, at);
	ret_field->name = name;
	ret_field->value = without_line_end(slice_sub(bytes, at + 1, end - at - 1));
	ret_field->whole = slice_sub(bytes, scanner->at, end - scanner->at);
	scanner->at = end;
	return true;
}

size_t
header_body_start(const struct header_scanner *scanner)
{
	struct slice rest = slice_from(scanner->bytes, scanner->at);

	if (slice_has_prefix(rest, SLICE("\r\n")))
		return scanner->at + 2;
	return slice_has_prefix(rest, SLICE("\n")) ? scanner->at + 1 : scanner->at;
}

bool
header_find(struct header_scanner *scanner, struct slice name, struct header_field *ret_field)
{
	struct header_field field;

	while (header_next(scanner, &field)) {
		if (slice_equal_nocase(field.name, name)) {
			*ret_field = field;
			return true;
		}
	}
	return false;
}

void
header_counter_init(struct header_counter *counter, struct slice name)
{
	*counter = (struct header_counter){.name = name, .state = COUNTER_FIRST_LINE};
}

bool
header_counter_is_done(const struct header_counter *counter)
{
	return counter->state == COUNTER_DONE;
}

static void
match_name(struct header_counter *counter, uint8_t octet)
{
	bool same = counter->matched < counter->name.len &&
		    ascii_lower(counter->name.ptr[counter->matched]) == ascii_lower(octet);

	counter->matched = same ? counter->matched + 1 : counter->name.len + 1;
}

static enum counter_state
colon_seen(struct header_counter *counter)
{
	if (counter->matched == counter->name.len)
		counter->count++;
	return COUNTER_VALUE;
}

/* One octet outside of values; the state that follows. An empty line needs no look at its second
 * octet: either way it is the end. */
static enum counter_state
counter_step(struct header_counter *counter, uint8_t octet)
{
	switch ((enum counter_state)counter->state) {
	case COUNTER_FIRST_LINE:
	case COUNTER_LINE_START:
		if (is_space(octet) && counter->state == COUNTER_LINE_START)
			return COUNTER_VALUE;
		if (!is_name_octet(octet))
			return COUNTER_DONE;
		counter->matched = 0;
		match_name(counter, octet);
		return COUNTER_NAME;
	case COUNTER_NAME:
		if (octet == ':')
			return colon_seen(counter);
		if (is_space(octet))
			return COUNTER_NAME_SPACE;
		if (!is_name_octet(octet))
			return COUNTER_DONE;
		match_name(counter, octet);
		return COUNTER_NAME;
	case COUNTER_NAME_SPACE:
		if (octet == ':')
			return colon_seen(counter);
		return is_space(octet) ? COUNTER_NAME_SPACE : COUNTER_DONE;
	case COUNTER_VALUE:
		return octet == '\n' ? COUNTER_LINE_START : COUNTER_VALUE;
	case COUNTER_DONE:
		break;
	}
	return COUNTER_DONE;
}

void
header_counter_feed(struct header_counter *counter, struct slice bytes)
{
	size_t at = 0;

	while (at < bytes.len && counter->state != COUNTER_DONE) {
		if (counter->state == COUNTER_VALUE) {
			ssize_t line_feed = slice_find(bytes, at, '\n');
			if (line_feed < 0)
				return;
			at = (size_t)line_feed;
		}
		counter->state = (uint8_t)counter_step(counter, bytes.ptr[at++]);
	}
}
