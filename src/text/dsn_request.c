/* The parameters of RFC 3461: forms, limits, and xtext there and back. No allocation but for the
 * buffers; linear time. */
#include "text/dsn_request.h"
#include "base/cursor.h"
#include "text/encode.h"
#include "text/international.h"

#define CODE_POINT_MAX 0x10ffffu

static const struct {
	struct slice word;
	uint32_t bit;
} words[] = {
	{SLICE_INIT("NEVER"), DSN_NOTIFY_NEVER},
	{SLICE_INIT("SUCCESS"), DSN_NOTIFY_SUCCESS},
	{SLICE_INIT("FAILURE"), DSN_NOTIFY_FAILURE},
	{SLICE_INIT("DELAY"), DSN_NOTIFY_DELAY},
};
#define WORD_COUNT (sizeof words / sizeof *words)

bool
dsn_notify_is_valid(uint32_t notify)
{
	return notify == DSN_NOTIFY_NEVER ||
	       !(notify & ~(uint32_t)(DSN_NOTIFY_SUCCESS | DSN_NOTIFY_FAILURE | DSN_NOTIFY_DELAY));
}

static uint32_t
bit_of(struct slice word)
{
	for (size_t i = 0; i < WORD_COUNT; i++)
		if (slice_equal_nocase(word, words[i].word))
			return words[i].bit;
	return 0;
}

bool
dsn_notify_parse(struct slice value, uint32_t *ret_notify)
{
	uint32_t notify = 0;
	ssize_t comma;

	do {
		comma = slice_find(value, 0, ',');
		uint32_t bit = bit_of(comma < 0 ? value : slice_sub(value, 0, (size_t)comma));
		if (bit == 0)
			return false;
		notify |= bit;
		if (comma >= 0)
			value = slice_from(value, (size_t)comma + 1);
	} while (comma >= 0);
	*ret_notify = notify;
	return dsn_notify_is_valid(notify);
}

void
dsn_notify_append(struct buffer *buffer, uint32_t notify)
{
	const char *between = "";

	for (size_t i = 0; i < WORD_COUNT; i++) {
		if (!(notify & words[i].bit))
			continue;
		buffer_append_text(buffer, between);
		buffer_append(buffer, words[i].word);
		between = ",";
	}
}

uint32_t
dsn_notify_join(uint32_t one, uint32_t other)
{
	uint32_t either = (one | other) & ~(uint32_t)DSN_NOTIFY_NEVER;

	if (one == other)
		return one;
	if (one == 0 || other == 0)
		return either == 0 ? 0 : either | DSN_NOTIFY_FAILURE;
	return either;
}

uint32_t
dsn_notify_without_success(uint32_t notify)
{
	uint32_t rest = notify & ~(uint32_t)DSN_NOTIFY_SUCCESS;

	return notify != 0 && rest == 0 ? DSN_NOTIFY_NEVER : rest;
}

static int
hex_digit(uint8_t octet)
{
	if (ascii_is_digit(octet))
		return octet - '0';
	return octet >= 'A' && octet <= 'F' ? octet - 'A' + 10 : -1;
}

/* The next octet of xtext; negative: there is none, or it is no xtext. */
static int
take_octet(struct cursor *cursor)
{
	struct slice rest = cursor_rest(cursor);

	if (rest.len == 0 || rest.ptr[0] < '!' || rest.ptr[0] > '~' || rest.ptr[0] == '=')
		return -1;
	if (rest.ptr[0] != '+') {
		cursor->at++;
		return rest.ptr[0];
	}
	int high = rest.len < 3 ? -1 : hex_digit(rest.ptr[1]);
	int low = rest.len < 3 ? -1 : hex_digit(rest.ptr[2]);
	if (high < 0 || low < 0)
		return -1;
	cursor->at += 3;
	return high << 4 | low;
}

bool
xtext_is_valid(struct slice text)
{
	struct cursor cursor = cursor_of(text);

	while (cursor_left(&cursor) > 0)
		if (take_octet(&cursor) < 0)
			return false;
	return true;
}

void
xtext_append(struct buffer *buffer, struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		uint8_t octet = text.ptr[i];
		if (octet >= '!' && octet <= '~' && octet != '+' && octet != '=')
			buffer_append_octet(buffer, octet);
		else
			buffer_printf(buffer, "+%02X", octet);
	}
}

void
xtext_append_decoded(struct buffer *buffer, struct slice xtext)
{
	struct cursor cursor = cursor_of(xtext);
	int octet;

	while ((octet = take_octet(&cursor)) >= 0)
		buffer_append_octet(buffer, (uint8_t)octet);
}

/* RFC 3461 sections 4.2 and 4.4: what it stands for can be written into a report. */
static bool
is_printable_xtext(struct slice xtext)
{
	struct cursor cursor = cursor_of(xtext);

	while (cursor_left(&cursor) > 0) {
		int octet = take_octet(&cursor);
		if ((octet < ' ' && octet != '\t') || octet > '~')
			return false;
	}
	return xtext.len > 0;
}

bool
dsn_envelope_id_is_valid(struct slice xtext)
{
	return xtext.len <= DSN_ENVELOPE_ID_MAX && is_printable_xtext(xtext);
}

/* atom: RFC 5322 section 3.2.3 */
static bool
is_atom(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!ascii_is_alnum(text.ptr[i]) &&
			slice_find(SLICE("!#$%&'*+-/=?^_`{|}~"), 0, text.ptr[i]) < 0)
			return false;
	return text.len > 0;
}

struct slice
dsn_original_type(struct slice original)
{
	ssize_t end = slice_find(original, 0, ';');

	return slice_sub(original, 0, end < 0 ? 0 : (size_t)end);
}

bool
dsn_original_is_valid(struct slice original)
{
	struct slice type = dsn_original_type(original);

	return original.len <= DSN_ORIGINAL_MAX && is_atom(type) &&
	       is_printable_xtext(slice_from(original, type.len + 1));
}

static void
append_utf8(struct buffer *buffer, uint32_t point)
{
	if (point < 0x80) {
		buffer_append_octet(buffer, (uint8_t)point);
		return;
	}
	unsigned more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
	buffer_append_octet(buffer, (uint8_t)(0xff00u >> (more + 1) | point >> (6 * more)));
	while (more-- > 0)
		buffer_append_octet(buffer, (uint8_t)(0x80 | (point >> (6 * more) & 0x3f)));
}

/* EmbeddedUnicodeChar = "\x{" HEXPOINT "}", at the start of the text. Its length; 0: there is none,
 * or it is a control character, which a report must not have. */
static size_t
take_code_point(struct slice text, uint32_t *ret_point)
{
	uint32_t point = 0;
	size_t at = 3;
	int digit;

	if (!slice_has_prefix(text, SLICE("\\x{")))
		return 0;
	for (; at < text.len && at < 9 && (digit = hex_digit(text.ptr[at])) >= 0; at++)
		point = point << 4 | (uint32_t)digit;
	if (at == 3 || at == text.len || text.ptr[at] != '}' || point > CODE_POINT_MAX ||
		(point >= 0xd800 && point <= 0xdfff) || point < ' ' ||
		(point >= 0x7f && point < 0xa0))
		return 0;
	*ret_point = point;
	return at + 1;
}

void
dsn_original_append_address(struct buffer *buffer, struct slice original)
{
	struct slice type = dsn_original_type(original);
	struct slice xtext = slice_from(original, type.len + 1);
	uint8_t storage[DSN_ORIGINAL_MAX];
	struct buffer decoded;
	uint32_t point;

	buffer_init_fixed(&decoded, storage, sizeof storage);
	xtext_append_decoded(&decoded, xtext);
	struct slice text = buffer_slice(&decoded);
	bool is_utf8 = slice_equal_nocase(type, SLICE("utf-8"));
	while (text.len > 0) {
		size_t len = is_utf8 ? take_code_point(text, &point) : 0;
		if (len > 0)
			append_utf8(buffer, point);
		else
			buffer_append_octet(buffer, text.ptr[0]);
		text = slice_from(text, len > 0 ? len : 1);
	}
}

/* EmbeddedUnicodeChar = "\x{" HEXPOINT "}" */
static void
append_code_point(struct buffer *buffer, uint32_t point)
{
	static const char digits[] = "0123456789ABCDEF";
	unsigned shift = 4;

	while (shift < 20 && point >> (shift + 4) != 0)
		shift += 4;
	buffer_append_text(buffer, "\\x{");
	for (shift += 4; shift > 0; shift -= 4)
		buffer_append_octet(buffer, (uint8_t)digits[point >> (shift - 4) & 15]);
	buffer_append_octet(buffer, '}');
}

/* The character at the start, which is UTF-8 of this length. */
static uint32_t
code_point(struct slice text, size_t len)
{
	uint32_t point = len == 1 ? text.ptr[0] : text.ptr[0] & (0xffu >> (len + 1));

	for (size_t i = 1; i < len; i++)
		point = point << 6 | (text.ptr[i] & 0x3fu);
	return point;
}

/* utf-8-addr-xtext: what xtext escapes is embedded too, so that it is 7-bit anywhere. */
static void
append_embedded(struct buffer *buffer, struct slice address)
{
	for (size_t at = 0; at < address.len;) {
		size_t len = utf8_character(slice_from(address, at));
		uint8_t octet = address.ptr[at];
		if (len == 1 && octet > ' ' && octet < 127 && octet != '+' && octet != '=' &&
			octet != '\\')
			buffer_append_octet(buffer, octet);
		else if (len > 0)
			append_code_point(buffer, code_point(slice_from(address, at), len));
		at += len > 0 ? len : 1;
	}
}

void
dsn_original_append(struct buffer *buffer, struct slice address)
{
	bool is_ascii = text_is_ascii(address);

	buffer_append_text(buffer, is_ascii ? "rfc822;" : "utf-8;");
	if (is_ascii)
		xtext_append(buffer, address);
	else
		append_embedded(buffer, address);
}
