/*
 * The grammar of mail addresses, RFC 5321 section 4.1.2 and 4.1.3, by hand over a cursor: no
 * allocation, linear time, no recursion. Strict, since what is passed on here is quoted in headers,
 * logs, file names and other servers' commands; the one tolerance (underscores) is for HELO names,
 * where it is common and harmless.
 *
 * "::" in an IPv6 literal may stand for a single group, as RFC 4291 has it (RFC 5321 asks for two).
 */
#include "text/address.h"

#include "text/encode.h"
#include "text/international.h"

static const char *const fault_texts[ADDRESS_FAULTS] = {
	[ADDRESS_OK] = "the address is sound",
	[ADDRESS_NO_LOCAL_PART] = "the local part is missing",
	[ADDRESS_BAD_LOCAL_PART] = "the local part is malformed",
	[ADDRESS_BAD_QUOTING] = "the quoted local part is malformed",
	[ADDRESS_NO_DOMAIN] = "the domain is missing",
	[ADDRESS_BAD_DOMAIN] = "the domain is malformed",
	[ADDRESS_BAD_LITERAL] = "the address literal is malformed",
	[ADDRESS_NOT_ASCII] = "characters outside ASCII are not supported",
	[ADDRESS_TOO_LONG] = "the address is too long",
};

const char *
address_fault_text(enum address_fault fault)
{
	return (unsigned)fault < ADDRESS_FAULTS ? fault_texts[fault] : "the address is malformed";
}

/* atext (RFC 5322 section 3.2.3) */
static bool
is_atext(int octet)
{
	static const char marks[] = "!#$%&'*+-/=?^_`{|}~";

	if (octet < 0 || octet > 126)
		return false;
	return ascii_is_alnum((uint8_t)octet) || memchr(marks, octet, sizeof marks - 1) != NULL;
}

/* %d32-126 */
static bool
is_printable(int octet)
{
	return octet >= 32 && octet <= 126;
}

/* UTF8-non-ascii where it is taken; the cursor moves behind it. */
static bool
accept_character(struct cursor *cursor, bool is_international)
{
	if (!is_international || cursor_peek(cursor) <= 127)
		return false;
	size_t len = utf8_character(cursor_rest(cursor));
	if (len == 0 || !utf8_is_visible(slice_sub(cursor_rest(cursor), 0, len)))
		return false;
	cursor->at += len;
	return true;
}

static bool
accept_atext(struct cursor *cursor, bool is_international)
{
	if (!is_atext(cursor_peek(cursor)))
		return accept_character(cursor, is_international);
	cursor->at++;
	return true;
}

/*
 * Dot-string = Atom *("."  Atom)
 * Atom       = 1*atext
 * atext      =/ UTF8-non-ascii (RFC 6531 section 3.3)
 */
static enum address_fault
take_dot_string(struct cursor *cursor, bool is_international)
{
	for (;;) {
		size_t start = cursor->at;
		while (accept_atext(cursor, is_international))
			continue;
		if (cursor_peek(cursor) > 127)
			return ADDRESS_NOT_ASCII;
		if (cursor->at == start)
			return ADDRESS_BAD_LOCAL_PART;
		if (!cursor_accept(cursor, '.'))
			return ADDRESS_OK;
	}
}

/*
 * Quoted-string    = DQUOTE *QcontentSMTP DQUOTE
 * QcontentSMTP     = qtextSMTP / quoted-pairSMTP
 * quoted-pairSMTP  = %d92 %d32-126
 * qtextSMTP        = %d32-33 / %d35-91 / %d93-126 / UTF8-non-ascii (RFC 6531 section 3.3)
 */
static enum address_fault
take_quoted_string(struct cursor *cursor, bool is_international)
{
	cursor->at++;
	while (!cursor_accept(cursor, '"')) {
		if (accept_character(cursor, is_international))
			continue;
		(void)cursor_accept(cursor, '\\');
		if (cursor_peek(cursor) > 127)
			return ADDRESS_NOT_ASCII;
		if (!is_printable(cursor_peek(cursor)))
			return ADDRESS_BAD_QUOTING;
		cursor->at++;
	}
	return ADDRESS_OK;
}

/* Local-part = Dot-string / Quoted-string */
static enum address_fault
take_local_part(struct cursor *cursor, bool is_international, struct address *address)
{
	size_t start = cursor->at;
	int first = cursor_peek(cursor);

	if (first < 0 || first == '@' || first == '>')
		return ADDRESS_NO_LOCAL_PART;
	address->is_quoted = first == '"';
	enum address_fault fault = address->is_quoted ? take_quoted_string(cursor, is_international)
						      : take_dot_string(cursor, is_international);
	if (fault != ADDRESS_OK)
		return fault;
	address->local_part = slice_sub(cursor->bytes, start, cursor->at - start);
	return address->local_part.len > ADDRESS_LOCAL_PART_MAX ? ADDRESS_TOO_LONG : ADDRESS_OK;
}

static enum address_fault
take_domain(struct cursor *cursor, bool is_international, struct slice *ret_domain)
{
	static const char ends[] = ">,: ";
	size_t start = cursor->at;

	while (cursor_left(cursor) > 0 && !memchr(ends, cursor_peek(cursor), sizeof ends - 1)) {
		if (cursor_peek(cursor) > 127 && !is_international)
			return ADDRESS_NOT_ASCII;
		cursor->at++;
	}
	struct slice domain = slice_sub(cursor->bytes, start, cursor->at - start);
	if (domain.len == 0)
		return ADDRESS_NO_DOMAIN;
	if (domain.len > ADDRESS_DOMAIN_MAX)
		return ADDRESS_TOO_LONG;
	if (!(text_is_ascii(domain) ? domain_is_valid(domain) : domain_has_ascii(domain)))
		return ADDRESS_BAD_DOMAIN;
	*ret_domain = domain;
	return ADDRESS_OK;
}

enum address_fault
address_take_domain(struct cursor *cursor, struct slice *ret_domain)
{
	return take_domain(cursor, false, ret_domain);
}

static enum address_fault
take_literal(struct cursor *cursor, struct slice *ret_literal)
{
	struct slice rest = cursor_rest(cursor);
	ssize_t end = slice_find(rest, 0, ']');

	if (end < 0)
		return ADDRESS_BAD_LITERAL;
	struct slice literal = slice_sub(rest, 0, (size_t)end + 1);
	if (!address_literal_is_valid(literal))
		return literal.len > ADDRESS_DOMAIN_MAX ? ADDRESS_TOO_LONG : ADDRESS_BAD_LITERAL;
	cursor->at += literal.len;
	*ret_literal = literal;
	return ADDRESS_OK;
}

/* The octet at *at of a quoted string's inside, a backslash taken off; moves on. */
static uint8_t
next_unquoted(struct slice inside, size_t *at)
{
	if (inside.ptr[*at] == '\\' && *at + 1 < inside.len)
		(*at)++;
	return inside.ptr[(*at)++];
}

/* Whether the inside of a quoted string, unquoted, is a Dot-string. */
static bool
is_dot_string_unquoted(struct slice inside)
{
	bool after_atom = false;

	for (size_t at = 0; at < inside.len;) {
		uint8_t octet = next_unquoted(inside, &at);
		if (octet == '.' ? !after_atom : !is_atext(octet) && octet <= 127)
			return false;
		after_atom = octet != '.';
	}
	return after_atom;
}

static void
append_canonical_quoted(struct buffer *buffer, struct slice local_part)
{
	struct slice inside = slice_sub(local_part, 1, local_part.len - 2);
	bool needs_quotes = !is_dot_string_unquoted(inside);

	if (needs_quotes)
		buffer_append_octet(buffer, '"');
	for (size_t at = 0; at < inside.len;) {
		uint8_t octet = next_unquoted(inside, &at);
		if (octet == '"' || octet == '\\')
			buffer_append_octet(buffer, '\\');
		buffer_append_octet(buffer, octet);
	}
	if (needs_quotes)
		buffer_append_octet(buffer, '"');
}

static void
append_local_part(struct buffer *buffer, const struct address *address)
{
	if (address->is_quoted)
		append_canonical_quoted(buffer, address->local_part);
	else
		buffer_append(buffer, address->local_part);
}

/* The local part in the form for comparing. */
static enum error
append_normal_local_part(struct buffer *buffer, const struct address *address)
{
	char storage[ADDRESS_LOCAL_PART_MAX];
	struct buffer plain;

	buffer_init_fixed(&plain, storage, sizeof storage);
	append_local_part(&plain, address);
	return utf8_append_normal(buffer, buffer_slice(&plain));
}

/* That form may be longer than what was written, and what was no ASCII may be a semicolon or
 * another special octet in it (U+037E). */
static enum address_fault
check_international(struct address *address)
{
	char storage[ADDRESS_LOCAL_PART_MAX];
	struct buffer normal;
	struct address other;

	address->is_international =
		!text_is_ascii(address->local_part) || !text_is_ascii(address->domain);
	if (!address->is_international)
		return ADDRESS_OK;
	buffer_init_fixed(&normal, storage, sizeof storage);
	if (append_normal_local_part(&normal, address) != OK)
		return ADDRESS_BAD_LOCAL_PART;
	if (buffer_error(&normal) != OK)
		return ADDRESS_TOO_LONG;
	struct cursor cursor = cursor_of(buffer_slice(&normal));
	enum address_fault fault = take_local_part(&cursor, true, &other);
	return fault == ADDRESS_OK && cursor_left(&cursor) > 0 ? ADDRESS_BAD_LOCAL_PART : fault;
}

/* Mailbox = Local-part "@" ( Domain / address-literal ) */
static enum address_fault
take(struct cursor *cursor, bool is_international, struct address *ret_address)
{
	struct address address = {.is_quoted = false};
	enum address_fault fault = take_local_part(cursor, is_international, &address);

	if (fault != ADDRESS_OK)
		return fault;
	if (cursor_accept(cursor, '@')) {
		address.is_literal = cursor_peek(cursor) == '[';
		fault = address.is_literal ? take_literal(cursor, &address.domain)
					   : take_domain(cursor, is_international, &address.domain);
		if (fault == ADDRESS_NO_DOMAIN)
			return ADDRESS_BAD_DOMAIN; /* "a@": not the same as no "@" */
	} else if (cursor_left(cursor) == 0 || cursor_peek(cursor) == '>') {
		fault = ADDRESS_NO_DOMAIN;
	} else {
		fault = address.is_quoted ? ADDRESS_BAD_QUOTING : ADDRESS_BAD_LOCAL_PART;
	}
	if (fault != ADDRESS_OK && fault != ADDRESS_NO_DOMAIN)
		return fault;
	enum address_fault other = check_international(&address);
	if (other != ADDRESS_OK)
		return other;
	*ret_address = address;
	return fault;
}

static enum address_fault
parse(struct slice text, bool is_international, struct address *ret_address)
{
	struct cursor cursor = cursor_of(text);
	struct address address;
	enum address_fault fault = take(&cursor, is_international, &address);

	if (fault != ADDRESS_OK && fault != ADDRESS_NO_DOMAIN)
		return fault;
	if (cursor_left(&cursor) > 0)
		return fault == ADDRESS_OK ? ADDRESS_BAD_DOMAIN : ADDRESS_BAD_LOCAL_PART;
	*ret_address = address;
	return fault;
}

enum address_fault
address_take(struct cursor *cursor, struct address *ret_address)
{
	return take(cursor, false, ret_address);
}

enum address_fault
address_take_international(struct cursor *cursor, struct address *ret_address)
{
	return take(cursor, true, ret_address);
}

enum address_fault
address_parse(struct slice text, struct address *ret_address)
{
	return parse(text, false, ret_address);
}

enum address_fault
address_parse_international(struct slice text, struct address *ret_address)
{
	return parse(text, true, ret_address);
}

/*
 * Domain     = sub-domain *("." sub-domain)
 * sub-domain = Let-dig [Ldh-str]
 * Ldh-str    = *( ALPHA / DIGIT / "-" ) Let-dig
 */
static bool
label_is_valid(struct slice label, bool underscores)
{
	if (label.len == 0 || label.len > ADDRESS_LABEL_MAX)
		return false;
	if (label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
		return false;
	for (size_t i = 0; i < label.len; i++) {
		uint8_t octet = label.ptr[i];
		if (!ascii_is_alnum(octet) && octet != '-' && !(underscores && octet == '_'))
			return false;
	}
	return true;
}

static bool
labels_are_valid(struct slice domain, bool underscores)
{
	size_t start = 0;

	if (domain.len > ADDRESS_DOMAIN_MAX)
		return false;
	for (;;) {
		ssize_t dot = slice_find(domain, start, '.');
		size_t end = dot < 0 ? domain.len : (size_t)dot;
		if (!label_is_valid(slice_sub(domain, start, end - start), underscores))
			return false;
		if (dot < 0)
			return true;
		start = end + 1;
	}
}

bool
domain_is_valid(struct slice domain)
{
	return labels_are_valid(domain, false);
}

bool
domain_is_valid_helo(struct slice domain)
{
	return labels_are_valid(domain, true);
}

/*
 * IPv4-address-literal = Snum 3("." Snum)
 * Snum                 = 1*3DIGIT, 0 to 255
 */
static bool
ipv4_is_valid(struct slice text)
{
	size_t start = 0;
	uint64_t number;

	for (int i = 0; i < 4; i++) {
		ssize_t dot = i < 3 ? slice_find(text, start, '.') : (ssize_t)text.len;
		if (dot < 0 || (size_t)dot - start > 3)
			return false;
		if (!slice_number(slice_sub(text, start, (size_t)dot - start), 255, &number))
			return false;
		start = (size_t)dot + 1;
	}
	return true;
}

static size_t
take_hex_digits(struct cursor *cursor)
{
	size_t start = cursor->at;

	for (;;) {
		int octet = cursor_peek(cursor);
		if (octet < 0 || !(ascii_is_digit((uint8_t)octet) ||
					 (ascii_lower((uint8_t)octet) >= 'a' &&
						 ascii_lower((uint8_t)octet) <= 'f')))
			return cursor->at - start;
		cursor->at++;
	}
}

/*
 * IPv6-addr = IPv6-full / IPv6-comp / IPv6v4-full / IPv6v4-comp: eight groups of 1*4HEXDIG, the
 * last two perhaps as IPv4; one "::" for missing groups.
 */
static bool
ipv6_is_valid(struct slice text)
{
	struct cursor cursor = cursor_of(text);
	unsigned groups = 0;
	bool gap = false;

	if (cursor_accept(&cursor, ':')) {
		if (!cursor_accept(&cursor, ':'))
			return false;
		gap = true;
	}
	while (cursor_left(&cursor) > 0 && groups <= 8) {
		if (ipv4_is_valid(cursor_rest(&cursor))) {
			groups += 2;
			break;
		}
		size_t digits = take_hex_digits(&cursor);
		if (digits < 1 || digits > 4)
			return false;
		groups++;
		if (cursor_left(&cursor) == 0)
			break;
		if (!cursor_accept(&cursor, ':') || cursor_left(&cursor) == 0)
			return false;
		if (cursor_accept(&cursor, ':')) {
			if (gap)
				return false;
			gap = true;
		}
	}
	return gap ? groups <= 7 : groups == 8;
}

/*
 * General-address-literal = Standardized-tag ":" 1*dcontent
 * Standardized-tag        = Ldh-str
 * dcontent                = %d33-90 / %d94-126
 */
static bool
general_literal_is_valid(struct slice text)
{
	ssize_t colon = slice_find(text, 0, ':');

	if (colon < 0 || !label_is_valid(slice_sub(text, 0, (size_t)colon), false))
		return false;
	struct slice content = slice_from(text, (size_t)colon + 1);
	for (size_t i = 0; i < content.len; i++)
		if (content.ptr[i] < 33 || content.ptr[i] > 126 ||
			(content.ptr[i] > 90 && content.ptr[i] < 94))
			return false;
	return content.len > 0;
}

/*
 * address-literal      = "[" ( IPv4-address-literal / IPv6-address-literal /
 * General-address-literal ) "]" IPv6-address-literal = "IPv6:" IPv6-addr
 */
bool
address_literal_is_valid(struct slice literal)
{
	if (literal.len < 2 || literal.len > ADDRESS_DOMAIN_MAX)
		return false;
	if (literal.ptr[0] != '[' || literal.ptr[literal.len - 1] != ']')
		return false;
	struct slice inner = slice_sub(literal, 1, literal.len - 2);
	if (slice_has_prefix_nocase(inner, SLICE("IPv6:")))
		return ipv6_is_valid(slice_from(inner, 5));
	return ipv4_is_valid(inner) || general_literal_is_valid(inner);
}

/* The parser has seen that both forms are there. */
static void
append_canonical_international(struct buffer *buffer, const struct address *address)
{
	enum error error = append_normal_local_part(buffer, address);

	if (error == OK && address->domain.len > 0) {
		buffer_append_octet(buffer, '@');
		error = domain_append_ascii(buffer, address->domain);
	}
	if (error != OK && buffer->error == OK)
		buffer->error = error;
}

void
address_append_canonical(struct buffer *buffer, const struct address *address)
{
	if (address->is_international) {
		append_canonical_international(buffer, address);
		return;
	}
	append_local_part(buffer, address);
	if (address->domain.len == 0)
		return;
	buffer_append_octet(buffer, '@');
	for (size_t i = 0; i < address->domain.len; i++)
		buffer_append_octet(buffer, ascii_lower(address->domain.ptr[i]));
}

void
address_append_account(struct buffer *buffer, const struct address *address)
{
	struct address local_part = {.local_part = address->local_part,
		.is_quoted = address->is_quoted,
		.is_international = address->is_international};
	size_t start = buffer->len;

	address_append_canonical(buffer, &local_part);
	for (size_t i = start; i < buffer->len; i++)
		buffer->ptr[i] = ascii_lower(buffer->ptr[i]);
}
