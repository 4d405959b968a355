/*
 * The grammar of an SPF record (RFC 7208 section 12), whole before anything is evaluated: a fault
 * anywhere spoils the record (section 4.6).
 *
 *   record    = version terms *SP
 *   terms     = *( 1*SP ( directive / modifier ) )
 *   directive = [ qualifier ] mechanism
 *   modifier  = redirect / explanation / unknown-modifier
 */
#include "mailauth/spf_private.h"

#include <arpa/inet.h>

#define VERSION SLICE("v=spf1")

/* What may stand behind a mechanism's name. */
enum argument {
	ARGUMENT_NONE,
	ARGUMENT_DOMAIN,     /* ":" domain-spec */
	ARGUMENT_MAYBE,      /* [ ":" domain-spec ] */
	ARGUMENT_MAYBE_CIDR, /* [ ":" domain-spec ] [ dual-cidr-length ] */
	ARGUMENT_IP4,
	ARGUMENT_IP6
};

static const struct {
	struct slice name;
	enum spf_mechanism mechanism;
	enum argument argument;
} mechanisms[] = {
	{SLICE_INIT("all"), SPF_ALL, ARGUMENT_NONE},
	{SLICE_INIT("include"), SPF_INCLUDE, ARGUMENT_DOMAIN},
	{SLICE_INIT("a"), SPF_A, ARGUMENT_MAYBE_CIDR},
	{SLICE_INIT("mx"), SPF_MX, ARGUMENT_MAYBE_CIDR},
	{SLICE_INIT("ptr"), SPF_PTR, ARGUMENT_MAYBE},
	{SLICE_INIT("ip4"), SPF_IP4, ARGUMENT_IP4},
	{SLICE_INIT("ip6"), SPF_IP6, ARGUMENT_IP6},
	{SLICE_INIT("exists"), SPF_EXISTS, ARGUMENT_DOMAIN},
};

bool
spf_is_record(struct slice text)
{
	return slice_has_prefix_nocase(text, VERSION) &&
	       (text.len == VERSION.len || text.ptr[VERSION.len] == ' ');
}

/* "/24": a number without leading zeros. True and SPF_CIDR_NONE when there is none. */
static bool
take_cidr(struct cursor *cursor, uint8_t max, uint8_t *ret_bits)
{
	uint64_t bits;
	size_t len = 0;

	*ret_bits = SPF_CIDR_NONE;
	if (!cursor_accept(cursor, '/'))
		return true;
	struct slice rest = cursor_rest(cursor);
	while (len < rest.len && ascii_is_digit(rest.ptr[len]))
		len++;
	if ((len > 1 && rest.ptr[0] == '0') || !slice_number(slice_sub(rest, 0, len), max, &bits))
		return false;
	cursor->at += len;
	*ret_bits = (uint8_t)bits;
	return true;
}

/* [ ip4-cidr-length ] [ "/" ip6-cidr-length ], for "a" and "mx" */
static bool
take_dual_cidr(struct cursor *cursor, struct spf_term *term)
{
	bool has_only_v6 = slice_has_prefix(cursor_rest(cursor), SLICE("//"));

	if (!has_only_v6 && !take_cidr(cursor, 32, &term->cidr4))
		return false;
	return !cursor_accept(cursor, '/') || take_cidr(cursor, 128, &term->cidr6);
}

/* Where "/24//64" begins; a slash inside the domain-spec is a macro-literal, so it is looked for
 * from the end. */
static size_t
cidr_start(struct slice text)
{
	size_t at = text.len;

	while (at > 0 && (ascii_is_digit(text.ptr[at - 1]) || text.ptr[at - 1] == '/'))
		at--;
	while (at < text.len && text.ptr[at] != '/')
		at++;
	return at;
}

static bool
take_domain_spec(struct cursor *cursor, bool has_cidr, struct spf_term *term)
{
	struct slice rest = cursor_rest(cursor);
	size_t len = has_cidr ? cidr_start(rest) : rest.len;

	term->domain_spec = slice_sub(rest, 0, len);
	cursor->at += len;
	return spf_macro_is_valid(term->domain_spec, SPF_MACRO_DOMAIN);
}

static bool
take_address(struct cursor *cursor, int family, struct spf_term *term)
{
	struct slice rest = cursor_rest(cursor);
	ssize_t slash = slice_find(rest, 0, '/');
	struct slice address = slash < 0 ? rest : slice_sub(rest, 0, (size_t)slash);
	char text[INET6_ADDRSTRLEN];

	if (address.len >= sizeof text || slice_find(address, 0, 0) >= 0)
		return false;
	memcpy(text, address.ptr, address.len);
	text[address.len] = 0;
	cursor->at += address.len;
	return inet_pton(family, text, term->address) == 1;
}

static bool
take_argument(struct cursor *cursor, enum argument argument, struct spf_term *term)
{
	bool has_colon = argument != ARGUMENT_NONE && cursor_accept(cursor, ':');

	switch (argument) {
	case ARGUMENT_NONE:
		return true;
	case ARGUMENT_DOMAIN:
		return has_colon && take_domain_spec(cursor, false, term);
	case ARGUMENT_MAYBE:
		return !has_colon || take_domain_spec(cursor, false, term);
	case ARGUMENT_MAYBE_CIDR:
		return (!has_colon || take_domain_spec(cursor, true, term)) &&
		       take_dual_cidr(cursor, term);
	case ARGUMENT_IP4:
		return has_colon && take_address(cursor, AF_INET, term) &&
		       take_cidr(cursor, 32, &term->cidr4);
	case ARGUMENT_IP6:
		return has_colon && take_address(cursor, AF_INET6, term) &&
		       take_cidr(cursor, 128, &term->cidr6);
	}
	return false;
}

static enum spf_result
take_qualifier(struct cursor *cursor)
{
	if (cursor_accept(cursor, '-'))
		return SPF_FAIL;
	if (cursor_accept(cursor, '~'))
		return SPF_SOFTFAIL;
	if (cursor_accept(cursor, '?'))
		return SPF_NEUTRAL;
	cursor_accept(cursor, '+');
	return SPF_PASS;
}

static size_t
name_length(struct slice text)
{
	size_t len = 0;

	while (len < text.len && ascii_is_alnum(text.ptr[len]))
		len++;
	return len;
}

static bool
directive_parse(struct slice text, struct spf_term *ret_term)
{
	struct cursor cursor = cursor_of(text);

	*ret_term = (struct spf_term){.text = text, .cidr4 = SPF_CIDR_NONE, .cidr6 = SPF_CIDR_NONE};
	ret_term->result = take_qualifier(&cursor);
	struct slice rest = cursor_rest(&cursor);
	struct slice name = slice_sub(rest, 0, name_length(rest));
	for (size_t i = 0; i < sizeof mechanisms / sizeof *mechanisms; i++) {
		if (!slice_equal_nocase(name, mechanisms[i].name))
			continue;
		ret_term->mechanism = mechanisms[i].mechanism;
		cursor.at += name.len;
		return take_argument(&cursor, mechanisms[i].argument, ret_term) &&
		       cursor_left(&cursor) == 0;
	}
	return false;
}

/* name = ALPHA *( ALPHA / DIGIT / "-" / "_" / "." ), with "=" behind it; -1 for what is no
 * modifier. */
static ssize_t
modifier_equals(struct slice text)
{
	size_t at = 0;

	if (text.len == 0 || !ascii_is_alpha(text.ptr[0]))
		return -1;
	while (at < text.len && (ascii_is_alnum(text.ptr[at]) || text.ptr[at] == '-' ||
					text.ptr[at] == '_' || text.ptr[at] == '.'))
		at++;
	return at < text.len && text.ptr[at] == '=' ? (ssize_t)at : -1;
}

/* Each of the two may stand there once. */
static bool
keep_modifier(struct slice value, struct slice *kept)
{
	if (kept->ptr || !spf_macro_is_valid(value, SPF_MACRO_DOMAIN))
		return false;
	*kept = value;
	return true;
}

static bool
modifier_parse(struct slice name, struct slice value, struct spf_record *record)
{
	if (slice_equal_nocase(name, SLICE("redirect")))
		return keep_modifier(value, &record->redirect);
	if (slice_equal_nocase(name, SLICE("exp")))
		return keep_modifier(value, &record->exp);
	return spf_macro_is_valid(value, SPF_MACRO_EXPLANATION);
}

static struct slice
take_term(struct cursor *cursor)
{
	while (cursor_accept(cursor, ' '))
		;
	struct slice rest = cursor_rest(cursor);
	ssize_t end = slice_find(rest, 0, ' ');
	struct slice term = end < 0 ? rest : slice_sub(rest, 0, (size_t)end);
	cursor->at += term.len;
	return term;
}

static size_t
count_terms(struct slice text)
{
	struct cursor cursor = cursor_of(text);
	size_t count = 0;

	while (take_term(&cursor).len > 0)
		count++;
	return count;
}

static bool
term_parse(struct slice text, struct spf_record *record)
{
	ssize_t equals = modifier_equals(text);

	if (equals >= 0)
		return modifier_parse(slice_sub(text, 0, (size_t)equals),
			slice_from(text, (size_t)equals + 1), record);
	return directive_parse(text, &record->terms[record->count++]);
}

enum error
spf_record_parse(struct slice text, struct arena *arena, struct spf_record *ret_record,
	struct slice *ret_bad)
{
	struct cursor cursor = cursor_of(slice_from(text, VERSION.len));
	size_t count = count_terms(cursor.bytes);
	struct slice term;

	if (count > SPF_TERMS_MAX)
		return ERROR_LIMIT;
	*ret_record = (struct spf_record){
		.terms = arena_take(arena, (count + 1) * sizeof *ret_record->terms)};
	if (!ret_record->terms)
		return ERROR_NO_MEMORY;
	while ((term = take_term(&cursor)).len > 0) {
		if (!term_parse(term, ret_record)) {
			*ret_bad = term;
			return ERROR_FORMAT;
		}
	}
	return OK;
}
