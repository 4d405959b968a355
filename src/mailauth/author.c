/*
 * The From field (RFC 5322 section 3.6.2) read for its domain alone, strictly: what two readers
 * could take for two addresses has no author. Comments nest, quoted strings and encoded words hold
 * anything, "<a@b> <c@d>" and groups are refused, and so is a domain that the DNS could not have,
 * by way of A-labels where it is beyond ASCII.
 *
 *   from         = "From:" mailbox-list CRLF
 *   mailbox      = name-addr / addr-spec
 *   name-addr    = [display-name] [CFWS] "<" addr-spec ">" [CFWS]
 *   addr-spec    = local-part "@" domain
 */
#include "mailauth/author.h"
#include "mailauth/signature.h"
#include "base/cursor.h"
#include "text/international.h"

const char *
author_fault_text(enum author_fault fault)
{
	static const char *const texts[AUTHOR_FAULTS] = {[AUTHOR_OK] = "there is one author",
		[AUTHOR_NO_FROM] = "there is no From field",
		[AUTHOR_MANY_FROM] = "there are several From fields",
		[AUTHOR_NO_ADDRESS] = "the From field has no address",
		[AUTHOR_MALFORMED] = "the From field is malformed",
		[AUTHOR_GROUP] = "the From field has a group",
		[AUTHOR_MANY_DOMAINS] = "the From field has addresses of several domains",
		[AUTHOR_BAD_DOMAIN] = "the domain in From is none that the DNS could have"};

	return texts[fault];
}

/* A comment whose "(" was taken. */
static bool
skip_comment(struct cursor *cursor)
{
	unsigned depth = 1;
	int octet;

	while (depth > 0 && (octet = cursor_peek(cursor)) >= 0) {
		cursor->at++;
		if (octet == '\\' && cursor_peek(cursor) >= 0)
			cursor->at++;
		else if (octet == '(')
			depth++;
		else if (octet == ')')
			depth--;
	}
	return depth == 0;
}

/* A quoted string whose first quote was taken. */
static bool
skip_quoted(struct cursor *cursor)
{
	int octet;

	while ((octet = cursor_peek(cursor)) >= 0) {
		cursor->at++;
		if (octet == '"')
			return true;
		if (octet == '\\' && cursor_peek(cursor) >= 0)
			cursor->at++;
	}
	return false;
}

static bool
skip_cfws(struct cursor *cursor)
{
	for (;;) {
		int octet = cursor_peek(cursor);
		if (octet == ' ' || octet == '\t' || octet == '\r' || octet == '\n')
			cursor->at++;
		else if (cursor_accept(cursor, '(')) {
			if (!skip_comment(cursor))
				return false;
		} else
			return true;
	}
}

/* RFC 5322 atext, the dot that the obsolete syntax allows in phrases, and UTF-8. */
static bool
is_word_octet(int octet)
{
	if (octet <= ' ' || octet == 0x7f)
		return false;
	return slice_find(SLICE("()<>[]:;@\\,\""), 0, (uint8_t)octet) < 0;
}

/* Words up to a special octet; how many. False: a string or comment does not close. */
static bool
skip_words(struct cursor *cursor, size_t *ret_count)
{
	*ret_count = 0;
	for (;;) {
		if (!skip_cfws(cursor))
			return false;
		if (cursor_accept(cursor, '"')) {
			if (!skip_quoted(cursor))
				return false;
		} else if (is_word_octet(cursor_peek(cursor))) {
			while (is_word_octet(cursor_peek(cursor)))
				cursor->at++;
		} else {
			return true;
		}
		++*ret_count;
	}
}

/* Behind the "@". */
static enum author_fault
take_domain(struct cursor *cursor, struct slice *domain)
{
	if (!skip_cfws(cursor))
		return AUTHOR_MALFORMED;
	size_t start = cursor->at;
	while (is_word_octet(cursor_peek(cursor)))
		cursor->at++;
	struct slice found = slice_sub(cursor->bytes, start, cursor->at - start);
	if (!(text_is_ascii(found) ? domain_is_signable(found) : domain_has_ascii(found)))
		return AUTHOR_BAD_DOMAIN;
	if (domain->len > 0 && !slice_equal_nocase(*domain, found))
		return AUTHOR_MANY_DOMAINS;
	if (domain->len == 0)
		*domain = found;
	return skip_cfws(cursor) ? AUTHOR_OK : AUTHOR_MALFORMED;
}

/* local-part "@" domain; what stands before "@" must be one word. */
static enum author_fault
take_addr_spec(struct cursor *cursor, struct slice *domain)
{
	size_t words;

	if (!skip_words(cursor, &words) || words != 1 || !cursor_accept(cursor, '@'))
		return AUTHOR_MALFORMED;
	return take_domain(cursor, domain);
}

static enum author_fault
take_angle(struct cursor *cursor, struct slice *domain)
{
	enum author_fault fault = take_addr_spec(cursor, domain);

	if (fault != AUTHOR_OK)
		return fault;
	return cursor_accept(cursor, '>') && skip_cfws(cursor) ? AUTHOR_OK : AUTHOR_MALFORMED;
}

static enum author_fault
take_mailbox(struct cursor *cursor, struct slice *domain)
{
	size_t words;

	if (!skip_words(cursor, &words))
		return AUTHOR_MALFORMED;
	if (cursor_accept(cursor, '<'))
		return take_angle(cursor, domain);
	if (cursor_peek(cursor) == ':')
		return AUTHOR_GROUP;
	if (words == 1 && cursor_accept(cursor, '@'))
		return take_domain(cursor, domain);
	return words == 0 && cursor_left(cursor) == 0 ? AUTHOR_NO_ADDRESS : AUTHOR_MALFORMED;
}

enum author_fault
author_of_field(struct slice value, struct slice *ret_domain)
{
	struct cursor cursor = cursor_of(value);
	struct slice domain = {0};
	enum author_fault fault;

	do {
		fault = take_mailbox(&cursor, &domain);
	} while (fault == AUTHOR_OK && cursor_accept(&cursor, ','));
	if (fault != AUTHOR_OK)
		return fault;
	if (cursor_left(&cursor) > 0)
		return AUTHOR_MALFORMED;
	*ret_domain = domain;
	return AUTHOR_OK;
}

/* The address whose domain this is: one word, "@", domain, and nothing between. Empty: there is
 * something. */
static struct slice
address_before(struct slice value, struct slice domain)
{
	size_t at = (size_t)(domain.ptr - value.ptr), start = at;

	if (at == 0 || value.ptr[at - 1] != '@')
		return slice_of(NULL, 0);
	start--;
	while (start > 0 && is_word_octet(value.ptr[start - 1]))
		start--;
	if (start + 1 == at)
		return slice_of(NULL, 0);
	return slice_sub(value, start, at - start + domain.len);
}

enum author_fault
author_addresses_of_field(struct slice value, bool (*is_meant)(void *arg, struct slice address),
	void *arg, bool *ret_is_other)
{
	struct cursor cursor = cursor_of(value);
	bool is_other = false;

	do {
		struct slice domain = {0};
		enum author_fault fault = take_mailbox(&cursor, &domain);
		if (fault != AUTHOR_OK)
			return fault;
		struct slice address = address_before(value, domain);
		if (address.len == 0)
			return AUTHOR_MALFORMED;
		is_other |= !is_meant(arg, address);
	} while (cursor_accept(&cursor, ','));
	if (cursor_left(&cursor) > 0)
		return AUTHOR_MALFORMED;
	*ret_is_other = is_other;
	return AUTHOR_OK;
}

enum author_fault
author_of_content(const struct content *content, struct slice *ret_domain)
{
	struct content_group from = content_find(content, SLICE("From"));

	if (from.count == 0)
		return AUTHOR_NO_FROM;
	if (from.count > 1)
		return AUTHOR_MANY_FROM;
	return author_of_field(from.fields[0].field.value, ret_domain);
}
