/*
 * Lines of a delivery report from words that strangers wrote. Here, and only here, outside text
 * becomes octets of the report: replies of other servers, addresses, names from DNS.
 *
 * Promises: what is appended holds no control but the CRLF that ends a line; a line that a fold
 * made starts with the indent and is never blank; no line is longer than DSN_LINE_MAX. A reply with
 * CR or LF in it can so neither add a field (which starts in column 1) nor end the header of a
 * part.
 *
 * RFC 5322 section 2.2.3 (folding), RFC 6533 section 3 (\x{...}).
 */
#include "text/dsn_private.h"
#include "text/encode.h"

#define WORD_STORAGE (DSN_WORD_MAX + 16) /* a word and the character that makes it too long */
#define CUT          "[...]"

void
dsn_lines_init(struct dsn_lines *lines, struct buffer *out, const char *indent)
{
	lines->out = out;
	lines->indent = indent;
	lines->is_utf8 = false;
	lines->is_quoted_printable = false;
	lines->start = 0;
	buffer_init_fixed(&lines->line, lines->storage, sizeof lines->storage);
}

void
dsn_line_text(struct dsn_lines *lines, const char *text)
{
	buffer_append_text(&lines->line, text);
}

void
dsn_line_end(struct dsn_lines *lines)
{
	struct slice line = buffer_slice(&lines->line);

	if (buffer_error(&lines->line) != OK && lines->out->error == OK)
		lines->out->error = buffer_error(&lines->line);
	if (lines->is_quoted_printable && line.len > 0) {
		encode_quoted_printable(lines->out, line);
	} else {
		buffer_append(lines->out, line);
		buffer_append(lines->out, SLICE("\r\n"));
	}
	buffer_clear(&lines->line);
	lines->start = 0;
}

static void
fold(struct dsn_lines *lines)
{
	dsn_line_end(lines);
	dsn_line_text(lines, lines->indent);
	lines->start = lines->line.len;
}

/* The code point of one whole UTF-8 character. */
static uint32_t
code_point(struct slice character)
{
	static const uint8_t masks[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	uint32_t code = character.ptr[0] & masks[character.len];

	for (size_t i = 1; i < character.len; i++)
		code = code << 6 | (character.ptr[i] & 0x3f);
	return code;
}

bool
dsn_character_is_visible(struct slice character)
{
	uint32_t code = code_point(character);

	if (code < 0x20 || (code >= 0x7f && code <= 0x9f))
		return false;
	if (code == 0x200e || code == 0x200f || code == 0xfeff)
		return false;
	return !(code >= 0x2028 && code <= 0x202e) && !(code >= 0x2066 && code <= 0x2069);
}

/* The first character of the text, made safe; how many octets of the text it was. */
static size_t
append_character(struct buffer *buffer, struct slice text, bool is_utf8)
{
	size_t len = utf8_character(text);
	struct slice character = slice_sub(text, 0, len);

	if (len == 0 || !dsn_character_is_visible(character)) {
		buffer_append_octet(buffer, '?');
		return len == 0 ? 1 : len;
	}
	if (len == 1 || is_utf8)
		buffer_append(buffer, character);
	else
		buffer_printf(buffer, "\\x{%02X}", (unsigned)code_point(character));
	return len;
}

static bool
is_break(uint8_t octet)
{
	return octet == '\r' || octet == '\n';
}

static bool
is_space(uint8_t octet)
{
	return octet == ' ' || octet == '\t' || is_break(octet);
}

static void
put_word(struct dsn_lines *lines, struct slice word, bool starts_line)
{
	bool is_empty = lines->line.len == lines->start;

	if (!is_empty && (starts_line || lines->line.len + 1 + word.len > DSN_COLUMNS)) {
		fold(lines);
		is_empty = true;
	}
	if (!is_empty)
		buffer_append_octet(&lines->line, ' ');
	buffer_append(&lines->line, word);
}

/* At most `max` octets, not ending within a character. */
static struct slice
shortened(struct slice text, size_t max)
{
	if (text.len <= max)
		return text;
	for (unsigned i = 0; i < 3 && max > 0 && (text.ptr[max] & 0xc0) == 0x80; i++)
		max--;
	return slice_sub(text, 0, max);
}

void
dsn_line_words(struct dsn_lines *lines, struct slice text, size_t max)
{
	struct slice kept = shortened(text, max);
	uint8_t storage[WORD_STORAGE];
	struct buffer word;
	bool is_first = true;
	size_t at = 0;

	buffer_init_fixed(&word, storage, sizeof storage);
	for (;;) {
		bool starts_line = false;
		while (at < kept.len && is_space(kept.ptr[at]))
			starts_line |= is_break(kept.ptr[at++]);
		if (at == kept.len)
			break;
		buffer_clear(&word);
		while (at < kept.len && !is_space(kept.ptr[at]) && word.len < DSN_WORD_MAX)
			at += append_character(&word, slice_from(kept, at), lines->is_utf8);
		put_word(lines, buffer_slice(&word), starts_line && !is_first);
		is_first = false;
	}
	if (kept.len < text.len)
		put_word(lines, SLICE(CUT), false);
}

/* utf-8-addr-xtext = 1*(QCHAR / EmbeddedUnicodeChar)
 * QCHAR            = %x21-2a / %x2c-3c / %x3e-5b / %x5d-7e */
static bool
is_qchar(uint8_t octet)
{
	return octet > ' ' && octet != '+' && octet != '=' && octet != '\\';
}

static void
append_address(struct buffer *buffer, struct slice address, bool is_utf8, bool is_xtext)
{
	size_t limit = buffer->len + DSN_ADDRESS_MAX;
	size_t at = 0;

	while (at < address.len) {
		size_t before = buffer->len;
		uint8_t octet = address.ptr[at];
		if (is_xtext && octet >= ' ' && octet < 127 && !is_qchar(octet)) {
			buffer_printf(buffer, "\\x{%02X}", octet);
			at++;
		} else {
			at += append_character(buffer, slice_from(address, at), is_utf8);
		}
		if (buffer->len > limit) {
			buffer->len = before;
			buffer_append(buffer, SLICE(CUT));
			return;
		}
	}
}

void
dsn_line_address(struct dsn_lines *lines, struct slice address, bool is_xtext)
{
	append_address(&lines->line, address, lines->is_utf8, is_xtext);
}

void
dsn_append_address(struct buffer *buffer, struct slice address)
{
	append_address(buffer, address, true, false);
}
