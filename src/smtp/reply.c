/*
 * Replies of SMTP, sent and read (RFC 5321 sections 4.2 and 4.5.3.1.5, RFC 2034, RFC 3463 section
 * 2).
 *
 * Reading is where clients got hurt: a newline from a reply's text in an envelope file gave root
 * (CVE-2020-8794), a code without text crashed (CVE-2026-43964). So text never carries a line end
 * or another control out of here, and everything behind the code may be missing.
 */
#include "smtp/reply.h"

#include "base/cursor.h"

#define CUT_MARK SLICE("...")

/* A line of the text, made harmless. */
static void
append_harmless(struct buffer *buffer, struct slice text, uint8_t last_allowed)
{
	for (size_t i = 0; i < text.len; i++) {
		bool harmless =
			text.ptr[i] >= 32 && text.ptr[i] != 127 && text.ptr[i] <= last_allowed;
		buffer_append_octet(buffer, harmless ? text.ptr[i] : '?');
	}
}

static void
append_line(struct buffer *buffer, const struct smtp_reply *reply, struct slice text, bool is_last,
	bool is_cut)
{
	buffer_append_number(buffer, reply->code);
	buffer_append_octet(buffer, is_last ? ' ' : '-');
	if (reply->enhanced[0] != 0) {
		for (int i = 0; i < 3; i++) {
			buffer_append_number(buffer, reply->enhanced[i]);
			buffer_append_octet(buffer, i < 2 ? '.' : ' ');
		}
	}
	append_harmless(buffer, text, 126);
	if (is_cut)
		buffer_append(buffer, CUT_MARK);
	buffer_append(buffer, SLICE("\r\n"));
}

/*
 * Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
 * RFC 2034 section 4: the enhanced code stands on every line.
 */
void
smtp_reply_append(struct buffer *buffer, const struct smtp_reply *reply)
{
	struct slice text = slice_sub(reply->text, 0, SMTP_REPLY_TEXT_MAX);
	bool is_cut = text.len < reply->text.len;
	size_t at = 0;

	for (int lines = 1;; lines++) {
		ssize_t line_feed = slice_find(text, at, '\n');
		bool is_last = line_feed < 0 || lines == SMTP_REPLY_LINES_MAX;
		size_t end = line_feed < 0 ? text.len : (size_t)line_feed;
		append_line(buffer, reply, slice_sub(text, at, end - at), is_last,
			is_last && (is_cut || end < text.len));
		if (is_last)
			return;
		at = end + 1;
	}
}

void
smtp_reply_reader_init(struct smtp_reply_reader *reader, struct memory *memory)
{
	*reader = (struct smtp_reply_reader){.code = 0};
	buffer_init(&reader->text, memory, SMTP_REPLY_READ_TEXT_MAX);
}

void
smtp_reply_reader_done(struct smtp_reply_reader *reader)
{
	buffer_done(&reader->text);
}

void
smtp_reply_reader_clear(struct smtp_reply_reader *reader)
{
	struct buffer text = reader->text;

	buffer_clear(&text);
	*reader = (struct smtp_reply_reader){.text = text};
}

/*
 * status-code = class "." subject "." detail
 * class       = "2" / "4" / "5"
 * subject     = 1*3DIGIT
 * detail      = 1*3DIGIT
 * Behind it stands SP or nothing.
 */
static bool
read_enhanced(struct slice text, uint16_t code, uint16_t ret_enhanced[3])
{
	ssize_t space = slice_find(text, 0, ' ');
	struct slice word = space < 0 ? text : slice_sub(text, 0, (size_t)space);
	ssize_t first_dot = slice_find(word, 0, '.');
	ssize_t second_dot = first_dot < 0 ? -1 : slice_find(word, (size_t)first_dot + 1, '.');
	uint64_t class, subject, detail;

	if (first_dot != 1 || second_dot < 3 || second_dot > 5 || word.len > (size_t)second_dot + 4)
		return false;
	if (!slice_number(slice_sub(word, 0, 1), 5, &class) || class != code / 100)
		return false;
	if (!slice_number(slice_sub(word, 2, (size_t)second_dot - 2), 999, &subject))
		return false;
	if (!slice_number(slice_from(word, (size_t)second_dot + 1), 999, &detail))
		return false;
	ret_enhanced[0] = (uint16_t) class;
	ret_enhanced[1] = (uint16_t)subject;
	ret_enhanced[2] = (uint16_t)detail;
	return true;
}

/* Keeps what fits of a line's text. */
static enum error
keep_text(struct smtp_reply_reader *reader, struct slice text)
{
	struct buffer *kept = &reader->text;

	if (reader->lines > 0 && kept->len < kept->max)
		buffer_append_octet(kept, '\n');
	if (text.len > kept->max - kept->len) {
		text.len = kept->max - kept->len;
		reader->is_cut = true;
	}
	append_harmless(kept, text, 255);
	return buffer_error(kept);
}

/* Reply-code = %x32-35 %x30-35 %x30-39; the second digit is taken as it comes. */
static bool
read_code(struct slice line, uint16_t *ret_code)
{
	uint64_t code;

	if (!slice_number(slice_sub(line, 0, 3), 599, &code) || line.len < 3 || code < 200)
		return false;
	*ret_code = (uint16_t)code;
	return true;
}

enum error
smtp_reply_reader_line(struct smtp_reply_reader *reader, struct slice line, bool *ret_last)
{
	uint16_t code;

	if (!read_code(line, &code) || (reader->lines > 0 && code != reader->code))
		return ERROR_FORMAT;
	if (line.len > 3 && line.ptr[3] != ' ' && line.ptr[3] != '-')
		return ERROR_FORMAT;
	if (reader->lines == SMTP_REPLY_READ_LINES_MAX)
		return ERROR_LIMIT;
	struct slice text = slice_from(line, 4);
	if (reader->lines == 0 && read_enhanced(text, code, reader->enhanced) == false)
		reader->enhanced[0] = 0;
	enum error error = keep_text(reader, text);
	if (error != OK)
		return error;
	reader->code = code;
	reader->lines++;
	*ret_last = line.len == 3 || line.ptr[3] == ' ';
	return OK;
}

struct smtp_reply
smtp_reply_reader_reply(const struct smtp_reply_reader *reader)
{
	return (struct smtp_reply){
		.code = reader->code,
		.enhanced = {reader->enhanced[0], reader->enhanced[1], reader->enhanced[2]},
		.text = buffer_slice(&reader->text),
	};
}
