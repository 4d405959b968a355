/*
 * The encodings of RFC 2045 and 2047, for what we write ourselves.
 *
 * Promises: no line is longer than ENCODE_COLUMNS, but for a single ASCII word that is; an encoded
 * word holds whole characters and at most 75 octets; what is encoded contains no control, so no
 * text can end its field.
 */
#include "text/encode.h"

#define WORD_START SLICE("=?UTF-8?B?")
#define WORD_END   SLICE("?=")
#define WORD_MARKS 12  /* octets of both */
#define WORD_MAX   75  /* RFC 2047 section 2 */
#define ASCII_MAX  900 /* a folded line stays below 998 octets; a word that long is encoded */

size_t
utf8_character(struct slice text)
{
	if (text.len == 0)
		return 0;
	uint8_t first = text.ptr[0];
	size_t len = first < 0x80   ? 1
		     : first < 0xc2 ? 0
		     : first < 0xe0 ? 2
		     : first < 0xf0 ? 3
		     : first < 0xf5 ? 4
				    : 0;
	if (len == 0 || text.len < len)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((text.ptr[i] & 0xc0) != 0x80)
			return 0;
	/* Longer forms than needed, surrogates, and what lies over U+10FFFF. */
	if ((first == 0xe0 && text.ptr[1] < 0xa0) || (first == 0xed && text.ptr[1] > 0x9f) ||
		(first == 0xf0 && text.ptr[1] < 0x90) || (first == 0xf4 && text.ptr[1] > 0x8f))
		return 0;
	return len;
}

ssize_t
utf8_find_fault(struct slice text)
{
	size_t at = 0;

	while (at < text.len) {
		size_t len = utf8_character(slice_from(text, at));
		if (len == 0)
			return (ssize_t)at;
		at += len;
	}
	return -1;
}

static void
append_base64(struct buffer *buffer, struct slice bytes)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t at = 0; at < bytes.len; at += 3) {
		struct slice three = slice_sub(bytes, at, 3);
		uint32_t bits = (uint32_t)three.ptr[0] << 16;
		if (three.len > 1)
			bits |= (uint32_t)three.ptr[1] << 8;
		if (three.len > 2)
			bits |= three.ptr[2];
		for (size_t i = 0; i < 4; i++)
			buffer_append_octet(buffer,
				i <= three.len ? (uint8_t)digits[bits >> (18 - 6 * i) & 63] : '=');
	}
}

/* The most whole characters whose encoded word has at most `room` octets. */
static size_t
word_len(struct slice text, size_t room)
{
	size_t max = room > WORD_MARKS ? (room - WORD_MARKS) / 4 * 3 : 0;
	size_t len = 0;

	for (;;) {
		size_t next = utf8_character(slice_from(text, len));
		if (next == 0 || len + next > max)
			return len;
		len += next;
	}
}

/* encoded-word = "=?" charset "?" encoding "?" encoded-text "?=" */
static void
append_encoded_words(struct buffer *buffer, struct slice text, size_t column)
{
	size_t room = column < ENCODE_COLUMNS ? ENCODE_COLUMNS - column : 0;

	while (text.len > 0) {
		size_t len = word_len(text, room < WORD_MAX ? room : WORD_MAX);
		if (len > 0) {
			buffer_append(buffer, WORD_START);
			append_base64(buffer, slice_sub(text, 0, len));
			buffer_append(buffer, WORD_END);
			text = slice_from(text, len);
		} else if (room >= WORD_MAX) {
			return; /* not UTF-8: the caller was to look */
		}
		if (text.len > 0)
			buffer_append(buffer, SLICE("\r\n "));
		room = ENCODE_COLUMNS - 1;
	}
}

/* Whether the text can stand as it is: nothing that reads as an encoded word, no word too long to
 * fold, no space that folding would lose. */
static bool
is_plain(struct slice text)
{
	size_t word = 0;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t octet = text.ptr[i];
		bool is_first = i == 0 || text.ptr[i - 1] == ' ';
		if (octet < ' ' || octet > '~' || (octet == ' ' && is_first))
			return false;
		if (slice_has_prefix(slice_from(text, i), SLICE("=?")))
			return false;
		word = octet == ' ' ? 0 : word + 1;
		if (word > ASCII_MAX)
			return false;
	}
	return text.len == 0 || text.ptr[text.len - 1] != ' ';
}

static void
append_folded(struct buffer *buffer, struct slice text, size_t column)
{
	size_t at = 0;

	while (at < text.len) {
		ssize_t space = slice_find(text, at + 1, ' ');
		size_t end = space < 0 ? text.len : (size_t)space;
		if (at > 0 && column + (end - at) > ENCODE_COLUMNS) {
			buffer_append(buffer, SLICE("\r\n"));
			column = 0;
		}
		buffer_append(buffer, slice_sub(text, at, end - at));
		column += end - at;
		at = end;
	}
}

void
encode_unstructured(struct buffer *buffer, struct slice text, size_t column)
{
	if (is_plain(text))
		append_folded(buffer, text, column);
	else
		append_encoded_words(buffer, text, column);
}

/*
 * One line without its end.
 * quoted-printable := qp-line *(CRLF qp-line); soft line breaks end in "="; space and tab are
 * encoded where a line ends.
 */
static void
append_printable_line(struct buffer *buffer, struct slice line)
{
	size_t column = 0;

	for (size_t i = 0; i < line.len; i++) {
		uint8_t octet = line.ptr[i];
		bool is_last = i + 1 == line.len;
		bool is_literal = octet >= '!' && octet <= '~' && octet != '=';
		is_literal |= (octet == ' ' || octet == '\t') && !is_last;
		size_t width = is_literal ? 1 : 3;
		/* Room for the "=" of a soft break, but where the line ends anyway. */
		if (column + width > ENCODE_COLUMNS - (is_last ? 0 : 1)) {
			buffer_append(buffer, SLICE("=\r\n"));
			column = 0;
		}
		if (is_literal)
			buffer_append_octet(buffer, octet);
		else
			buffer_printf(buffer, "=%02X", octet);
		column += width;
	}
}

void
encode_quoted_printable(struct buffer *buffer, struct slice text)
{
	while (text.len > 0) {
		ssize_t line_feed = slice_find(text, 0, '\n');
		size_t end = line_feed < 0 ? text.len : (size_t)line_feed;
		struct slice line = slice_sub(text, 0, end);
		if (line_feed >= 0 && slice_has_suffix(line, SLICE("\r")))
			line.len--;
		append_printable_line(buffer, line);
		buffer_append(buffer, SLICE("\r\n"));
		text = slice_from(text, end + 1);
	}
}
