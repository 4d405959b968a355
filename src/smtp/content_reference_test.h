/*
 * For tests: the content reader once more, the slow way. It looks at whole content at once, octet
 * by octet, and follows RFC 5321 by its words rather than by a state machine, so that both are
 * unlikely to be wrong in the same way.
 */
#ifndef SMTP_CONTENT_REFERENCE_TEST_H
#define SMTP_CONTENT_REFERENCE_TEST_H

#include "base/buffer.h"
#include "ipc/envelope.h"
#include "smtp/content_reader.h"

struct reference {
	bool ended;
	size_t consumed;
	struct buffer content; /* holds only if there are no errors */
	uint8_t errors;
	uint16_t flags;
};

static inline bool
reference_crlf_at(struct slice wire, size_t at)
{
	return at + 1 < wire.len && wire.ptr[at] == '\r' && wire.ptr[at + 1] == '\n';
}

/* Judges a line (without CRLF, unstuffed). */
static inline void
reference_line(struct reference *reference, struct slice line, uint32_t line_limit)
{
	for (size_t i = 0; i < line.len; i++) {
		reference->errors |= line.ptr[i] == 0 ? CONTENT_ERROR_NUL : 0;
		reference->errors |= line.ptr[i] == '\n' ? CONTENT_ERROR_BARE_LF : 0;
		reference->errors |= line.ptr[i] == '\r' ? CONTENT_ERROR_BARE_CR : 0;
		reference->flags |= line.ptr[i] > 127 ? CONTENT_8BIT : 0;
	}
	reference->flags |= line.len > 0 && line.ptr[0] == '.' ? CONTENT_DOT_LINE : 0;
	reference->flags |= line.len > CONTENT_LINE_MAX ? CONTENT_LONG_LINE : 0;
	reference->errors |= line.len > line_limit ? CONTENT_ERROR_LINE_TOO_LONG : 0;
	buffer_append(&reference->content, line);
	buffer_append_text(&reference->content, "\r\n");
}

/* `storage` holds wire.len octets. Content that does not end within the octets is judged by its
 * whole lines only. */
static inline void
reference_read(
	struct reference *reference, struct slice wire, uint32_t line_limit, uint8_t *storage)
{
	size_t start = 0;

	*reference = (struct reference){.ended = false};
	buffer_init_fixed(&reference->content, storage, wire.len);
	for (size_t at = 0; at < wire.len; at++) {
		if (!reference_crlf_at(wire, at))
			continue;
		struct slice line = slice_sub(wire, start, at - start);
		start = at + 2;
		at++;
		if (slice_equal(line, SLICE("."))) {
			reference->ended = true;
			reference->consumed = start;
			return;
		}
		if (slice_has_prefix(line, SLICE(".")))
			line = slice_from(line, 1);
		reference_line(reference, line, line_limit);
	}
	reference->consumed = wire.len;
}

/* How many octets at `at` are one line end, and of which kind. */
static inline size_t
reference_line_end(struct slice wire, size_t at, bool *ret_is_hard)
{
	bool is_cr = wire.ptr[at] == '\r';

	*ret_is_hard = reference_crlf_at(wire, at) ||
		       (is_cr && at + 1 < wire.len && wire.ptr[at + 1] == '\r' &&
			       reference_crlf_at(wire, at + 1));
	if (*ret_is_hard)
		return reference_crlf_at(wire, at) ? 2 : 3;
	return is_cr || wire.ptr[at] == '\n';
}

/*
 * The same where lone CR and LF are line ends (a CR in the header a space). `storage` holds 3 *
 * wire.len + 4 octets. What is not decided yet at the end of the octets is left out by both:
 * compare whole messages only. `is_counted`: content of BDAT, dots are like other octets, and its
 * end is the end of the octets.
 */
static inline void
reference_normalise(struct reference *reference, struct slice wire, uint32_t line_limit,
	uint8_t *storage, bool is_counted)
{
	struct buffer line;
	uint8_t *line_storage = storage + 2 * wire.len + 2;
	bool begins_hard = true, is_hard, is_in_body = false;
	size_t at = 0;

	*reference = (struct reference){.ended = false};
	buffer_init_fixed(&reference->content, storage, 2 * wire.len + 2);
	buffer_init_fixed(&line, line_storage, wire.len + 1);
	while (at < wire.len) {
		size_t end = reference_line_end(wire, at, &is_hard);
		bool is_dot = !is_counted && slice_equal(buffer_slice(&line), SLICE("."));
		if (end == 0 || (!is_hard && !is_in_body && !is_dot && wire.ptr[at] == '\r')) {
			buffer_append_octet(&line, end == 0 ? wire.ptr[at] : ' ');
			at++;
			continue;
		}
		struct slice text = buffer_slice(&line);
		bool is_lone_dot = !is_counted && slice_equal(text, SLICE("."));
		/* Of CR CR LF behind a dot only the last two are the end. */
		if (is_lone_dot && begins_hard && is_hard && end == 2) {
			reference->ended = true;
			reference->consumed = at + end;
			return;
		}
		if (!is_counted && slice_has_prefix(text, SLICE(".")) && !is_lone_dot)
			text = slice_from(text, 1);
		reference_line(reference, text, line_limit);
		is_in_body |= text.len == 0 || (is_lone_dot && wire.ptr[at] == '\r');
		begins_hard = is_hard;
		at += end;
		buffer_clear(&line);
	}
	if (is_counted && buffer_slice(&line).len > 0)
		reference_line(reference, buffer_slice(&line), line_limit);
	reference->ended = is_counted;
	reference->consumed = wire.len;
}

#endif
