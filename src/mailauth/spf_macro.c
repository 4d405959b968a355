/*
 * Macros (RFC 7208 section 7).
 *
 *   domain-spec      = macro-string domain-end
 *   domain-end       = ( "." toplabel [ "." ] ) / macro-expand
 *   macro-string     = *( macro-expand / macro-literal )
 *   macro-expand     = ( "%{" macro-letter transformers *delimiter "}" ) / "%%" / "%_" / "%-"
 *   transformers     = *DIGIT [ "r" ]
 *   delimiter        = "." / "-" / "+" / "," / "/" / "_" / "="
 */
#include "mailauth/spf_private.h"

#include <arpa/inet.h>

#define EXPANSION_MAX (16u << 10) /* octets of an expanded text */
#define VALUE_MAX     1024        /* octets of what one macro stands for */

struct macro {
	uint8_t letter;  /* lower case */
	bool is_escaped; /* the letter stood there in upper case */
	bool reverses;
	uint32_t keep; /* 0: all */
	struct slice delimiters;
};

static bool
is_delimiter(uint8_t octet)
{
	return slice_find(SLICE(".-+,/_="), 0, octet) >= 0;
}

static bool
is_letter(uint8_t octet, enum spf_macro_use use)
{
	struct slice letters = use == SPF_MACRO_DOMAIN ? SLICE("slodiphv") : SLICE("slodiphvcrt");

	return slice_find(letters, 0, ascii_lower(octet)) >= 0;
}

/* transformers *delimiter "}" */
static bool
take_transformers(struct cursor *cursor, struct macro *macro)
{
	struct slice rest = cursor_rest(cursor);
	size_t digits = 0;
	uint64_t keep = 0;

	while (digits < rest.len && ascii_is_digit(rest.ptr[digits]))
		digits++;
	if (digits > 0 &&
		(!slice_number(slice_sub(rest, 0, digits), UINT32_MAX, &keep) || keep == 0))
		return false;
	cursor->at += digits;
	macro->keep = (uint32_t)keep;
	macro->reverses = cursor_accept(cursor, 'r') || cursor_accept(cursor, 'R');
	rest = cursor_rest(cursor);
	size_t count = 0;
	while (count < rest.len && is_delimiter(rest.ptr[count]))
		count++;
	macro->delimiters = count > 0 ? slice_sub(rest, 0, count) : SLICE(".");
	cursor->at += count;
	return cursor_accept(cursor, '}');
}

/* Behind the "%": letter is 0 for the three that stand for one octet, which is in *ret_literal
 * then. */
static bool
take_macro(struct cursor *cursor, enum spf_macro_use use, struct macro *ret_macro,
	struct slice *ret_literal)
{
	*ret_macro = (struct macro){0};
	if (cursor_accept(cursor, '%'))
		*ret_literal = SLICE("%");
	else if (cursor_accept(cursor, '_'))
		*ret_literal = SLICE(" ");
	else if (cursor_accept(cursor, '-'))
		*ret_literal = SLICE("%20");
	else if (!cursor_accept(cursor, '{'))
		return false;
	else {
		uint8_t letter = cursor_take_u8(cursor);
		ret_macro->letter = ascii_lower(letter);
		ret_macro->is_escaped = letter != ret_macro->letter;
		return is_letter(letter, use) && take_transformers(cursor, ret_macro);
	}
	return true;
}

/* toplabel = *alphanum ALPHA *alphanum / 1*alphanum "-" *( alphanum / "-" ) alphanum, at the end of
 * the text */
static bool
ends_in_toplabel(struct slice text)
{
	bool has_letter = false;

	if (slice_has_suffix(text, SLICE(".")))
		text.len--;
	size_t at = text.len;
	while (at > 0 && (ascii_is_alnum(text.ptr[at - 1]) || text.ptr[at - 1] == '-')) {
		at--;
		has_letter |= !ascii_is_digit(text.ptr[at]);
	}
	struct slice label = slice_from(text, at);
	return at > 0 && text.ptr[at - 1] == '.' && has_letter && label.len > 0 &&
	       ascii_is_alnum(label.ptr[0]) && ascii_is_alnum(label.ptr[label.len - 1]);
}

bool
spf_macro_is_valid(struct slice text, enum spf_macro_use use)
{
	struct cursor cursor = cursor_of(text);
	size_t macro_end = 0;
	struct macro macro;
	struct slice literal;

	while (cursor_left(&cursor) > 0) {
		uint8_t octet = cursor_take_u8(&cursor);
		if (octet < (use == SPF_MACRO_DOMAIN ? 0x21 : 0x20) || octet > 0x7e)
			return false;
		if (octet != '%')
			continue;
		if (!take_macro(&cursor, use, &macro, &literal))
			return false;
		macro_end = cursor.at;
	}
	if (use == SPF_MACRO_EXPLANATION)
		return true;
	return text.len > 0 &&
	       (macro_end == text.len || ends_in_toplabel(slice_from(text, macro_end)));
}

/* RFC 3986 section 2.3: all but the unreserved characters as %XX. */
static void
append_escaped(struct buffer *buffer, struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		uint8_t octet = text.ptr[i];
		if (ascii_is_alnum(octet) || slice_find(SLICE("-._~"), 0, octet) >= 0)
			buffer_append_octet(buffer, octet);
		else
			buffer_printf(buffer, "%%%02X", octet);
	}
}

static size_t
split(struct slice value, struct slice delimiters, struct slice *ret_parts)
{
	size_t count = 0, start = 0;

	for (size_t at = 0; at <= value.len; at++) {
		if (at < value.len && slice_find(delimiters, 0, value.ptr[at]) < 0)
			continue;
		ret_parts[count++] = slice_sub(value, start, at - start);
		start = at + 1;
	}
	return count;
}

/* Splits at the delimiters, turns the parts round if asked to, keeps the last ones of what that
 * gives, joins them with dots. */
static void
append_transformed(
	struct spf_check *check, struct slice value, const struct macro *macro, struct buffer *text)
{
	struct memory *memory = check->request->arena->memory;
	struct slice *parts = memory_try(memory, (value.len + 1) * sizeof *parts);

	if (!parts) {
		check->is_sick = true;
		return;
	}
	size_t count = split(value, macro->delimiters, parts);
	size_t keep = macro->keep == 0 || macro->keep > count ? count : macro->keep;
	for (size_t i = count - keep; i < count; i++) {
		struct slice part = parts[macro->reverses ? count - 1 - i : i];
		if (i > count - keep)
			buffer_append_octet(text, '.');
		if (macro->is_escaped)
			append_escaped(text, part);
		else
			buffer_append(text, part);
	}
	memory_put(memory, parts);
}

/* "192.0.2.1", and for IPv6 its 32 digits with dots between them (section 7.3). */
static void
append_dotted(struct buffer *buffer, struct slice ip)
{
	for (size_t i = 0; i < ip.len; i++) {
		if (i > 0)
			buffer_append_octet(buffer, '.');
		if (ip.len == 4)
			buffer_printf(buffer, "%u", ip.ptr[i]);
		else
			buffer_printf(buffer, "%X.%X", ip.ptr[i] >> 4, ip.ptr[i] & 15u);
	}
}

static void
append_readable(struct buffer *buffer, struct slice ip)
{
	char text[INET6_ADDRSTRLEN];

	if (inet_ntop(ip.len == 4 ? AF_INET : AF_INET6, ip.ptr, text, sizeof text))
		buffer_append_text(buffer, text);
}

/* May wait. A name of the address, best one in the domain itself; "unknown" when it has none. */
static struct slice
name_of_address(struct spf_check *check, struct slice domain)
{
	spf_find_names(check);
	for (size_t i = 0; i < check->name_count; i++)
		if (slice_equal_nocase(check->names[i], domain))
			return check->names[i];
	for (size_t i = 0; i < check->name_count; i++)
		if (spf_name_is_below(check->names[i], domain))
			return check->names[i];
	return check->name_count > 0 ? check->names[0] : SLICE("unknown");
}

/* May wait. */
static void
append_value(struct spf_check *check, struct slice domain, uint8_t letter, struct buffer *value)
{
	const struct spf_request *request = check->request;

	switch (letter) {
	case 's':
		buffer_append(value, check->sender);
		return;
	case 'l':
		buffer_append(value, check->local_part);
		return;
	case 'o':
		buffer_append(value, check->sender_domain);
		return;
	case 'd':
		buffer_append(value, domain);
		return;
	case 'i':
		append_dotted(value, check->ip);
		return;
	case 'p':
		buffer_append(value, name_of_address(check, domain));
		return;
	case 'v':
		buffer_append_text(value, check->ip.len == 4 ? "in-addr" : "ip6");
		return;
	case 'h':
		buffer_append(value, request->helo);
		return;
	case 'c':
		append_readable(value, check->ip);
		return;
	case 'r':
		buffer_append(
			value, request->receiver.len > 0 ? request->receiver : SLICE("unknown"));
		return;
	default: /* t */
		buffer_append_number(value, (uint64_t)(request->now / US_PER_S));
	}
}

/* May wait. */
static void
append_macro(struct spf_check *check, struct slice domain, const struct macro *macro,
	struct buffer *text)
{
	struct buffer value;

	buffer_init(&value, check->request->arena->memory, VALUE_MAX);
	append_value(check, domain, macro->letter, &value);
	if (buffer_error(&value) != OK)
		check->is_sick = true;
	append_transformed(check, buffer_slice(&value), macro, text);
	buffer_done(&value);
}

/* Labels are dropped from the left until it fits. */
static struct slice
shorten_domain(struct slice name)
{
	while (name.len > DNS_NAME_MAX) {
		ssize_t dot = slice_find(name, 0, '.');
		if (dot < 0)
			return name;
		name = slice_from(name, (size_t)dot + 1);
	}
	return name;
}

bool
spf_macro_expand(struct spf_check *check, struct slice text, struct slice domain,
	enum spf_macro_use use, struct slice *ret_text)
{
	struct cursor cursor = cursor_of(text);
	struct buffer expanded;
	struct macro macro;
	struct slice literal;

	buffer_init(&expanded, check->request->arena->memory, EXPANSION_MAX);
	while (cursor_left(&cursor) > 0) {
		uint8_t octet = cursor_take_u8(&cursor);
		if (octet != '%')
			buffer_append_octet(&expanded, octet);
		else if (!take_macro(&cursor, use, &macro, &literal))
			break;
		else if (macro.letter == 0)
			buffer_append(&expanded, literal);
		else
			append_macro(check, domain, &macro, &expanded);
	}
	struct slice result = buffer_slice(&expanded);
	if (use == SPF_MACRO_DOMAIN)
		result = shorten_domain(result);
	bool is_whole = buffer_error(&expanded) == OK && !check->is_sick &&
			arena_copy(check->request->arena, result, ret_text);
	buffer_done(&expanded);
	check->is_sick |= !is_whole;
	return is_whole;
}
