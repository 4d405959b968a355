/*
 * Authentication-Results (RFC 8601 section 2.2).
 *
 *   authres-payload = [CFWS] authserv-id [ CFWS authres-version ]
 *                     ( no-result / 1*resinfo ) [CFWS] CRLF
 *   resinfo         = [CFWS] ";" methodspec [ CFWS reasonspec ] [ CFWS 1*propspec ]
 *
 * Comments nest, quoted strings hold anything: a semicolon in one ends nothing. Reading is one pass
 * without recursion.
 */
#include "mailauth/auth_results.h"
#include "text/address.h"
#include "text/header.h"
#include "text/international.h"

static bool
is_space(uint8_t octet)
{
	return octet == ' ' || octet == '\t' || octet == '\r' || octet == '\n';
}

/* Behind the comment that opens at `at`; at the end when it never closes. */
static size_t
skip_comment(struct slice text, size_t at)
{
	unsigned depth = 0;

	for (; at < text.len; at++) {
		if (text.ptr[at] == '\\')
			at++;
		else if (text.ptr[at] == '(')
			depth++;
		else if (text.ptr[at] == ')' && --depth == 0)
			return at + 1;
	}
	return text.len;
}

static size_t
skip_cfws(struct slice text, size_t at)
{
	while (at < text.len && (is_space(text.ptr[at]) || text.ptr[at] == '('))
		at = text.ptr[at] == '(' ? skip_comment(text, at) : at + 1;
	return at;
}

static size_t
skip_quoted(struct slice text, size_t at)
{
	for (at++; at < text.len && text.ptr[at] != '"'; at++)
		if (text.ptr[at] == '\\')
			at++;
	return at < text.len ? at + 1 : text.len;
}

/* A token or a quoted string. */
static size_t
skip_value(struct slice text, size_t at)
{
	if (at < text.len && text.ptr[at] == '"')
		return skip_quoted(text, at);
	while (at < text.len && !is_space(text.ptr[at]) &&
		slice_find(SLICE(";=()\"/"), 0, text.ptr[at]) < 0)
		at++;
	return at;
}

/* The semicolon at or after `at` that separates, or the end. */
static size_t
find_separator(struct slice text, size_t at)
{
	while (at < text.len && text.ptr[at] != ';') {
		if (text.ptr[at] == '(')
			at = skip_comment(text, at);
		else if (text.ptr[at] == '"')
			at = skip_quoted(text, at);
		else
			at++;
	}
	return at;
}

static struct slice
trim(struct slice text)
{
	size_t start = 0, end = text.len;

	while (start < end && is_space(text.ptr[start]))
		start++;
	while (end > start && is_space(text.ptr[end - 1]))
		end--;
	return slice_sub(text, start, end - start);
}

bool
auth_results_open(struct slice value, struct auth_results *ret_results)
{
	size_t start = skip_cfws(value, 0), end = skip_value(value, start);

	ret_results->id = slice_sub(value, start, end - start);
	ret_results->rest = slice_from(value, find_separator(value, end));
	return ret_results->id.len > 0;
}

static void
read_method(struct auth_result *result)
{
	struct slice text = result->whole;
	size_t start = skip_cfws(text, 0), end = skip_value(text, start);
	size_t at = skip_cfws(text, end);

	if (at < text.len && text.ptr[at] == '/')
		at = skip_cfws(text, skip_value(text, skip_cfws(text, at + 1)));
	if (at >= text.len || text.ptr[at] != '=')
		return;
	result->method = slice_sub(text, start, end - start);
	start = skip_cfws(text, at + 1);
	result->result = slice_sub(text, start, skip_value(text, start) - start);
}

/* Behind a property's value: addresses have more octets than a token. */
static size_t
skip_property(struct slice text, size_t at)
{
	if (at < text.len && text.ptr[at] == '"')
		return skip_quoted(text, at);
	while (at < text.len && !is_space(text.ptr[at]) &&
		slice_find(SLICE(";()\""), 0, text.ptr[at]) < 0)
		at++;
	return at;
}

static struct slice
without_quotes(struct slice value)
{
	bool is_quoted = value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"';

	return is_quoted ? slice_sub(value, 1, value.len - 2) : value;
}

bool
auth_result_property(const struct auth_result *result, struct slice name, struct slice *ret_value)
{
	struct slice text = result->whole;
	size_t at = 0, found = 0;

	while ((at = skip_cfws(text, at)) < text.len) {
		size_t end = skip_value(text, at);
		struct slice word = slice_sub(text, at, end - at);
		at = skip_cfws(text, end);
		if (word.len == 0 || at >= text.len)
			return false;
		if (text.ptr[at] == '/') { /* the method's version */
			at = skip_value(text, skip_cfws(text, at + 1));
			at = skip_cfws(text, at);
		}
		if (at >= text.len || text.ptr[at] != '=')
			return false;
		at = skip_cfws(text, at + 1);
		end = skip_property(text, at);
		if (slice_equal_nocase(word, name)) {
			*ret_value = without_quotes(slice_sub(text, at, end - at));
			found++;
		}
		at = end;
	}
	return found == 1;
}

bool
auth_results_next(struct auth_results *results, struct auth_result *ret_result)
{
	struct slice rest = slice_from(results->rest, 1);

	if (results->rest.len == 0)
		return false;
	size_t end = find_separator(rest, 0);
	*ret_result = (struct auth_result){.whole = trim(slice_sub(rest, 0, end))};
	results->rest = slice_from(rest, end);
	read_method(ret_result);
	return true;
}

/* Octet by octet, with the quotes and backslashes of one side passed over. */
static bool
unquoted_equal(struct slice text, struct slice wanted)
{
	size_t at = 0;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t octet = text.ptr[i];
		if (octet == '"' || octet == '\\' || is_space(octet))
			continue;
		if (at == wanted.len)
			return octet == '.' && i + 1 == text.len;
		if (ascii_lower(octet) != ascii_lower(wanted.ptr[at++]))
			return false;
	}
	return at == wanted.len;
}

bool
auth_results_claims(struct slice value, struct slice authserv_id)
{
	struct auth_results results;

	return auth_results_open(value, &results) && unquoted_equal(results.id, authserv_id);
}

size_t
auth_results_append_others(struct buffer *buffer, struct slice header, struct slice authserv_id)
{
	struct header_scanner scanner = header_scanner_of(header);
	struct header_field field;
	size_t forged = 0;

	while (header_next(&scanner, &field)) {
		if (slice_equal_nocase(field.name, SLICE("Authentication-Results")) &&
			auth_results_claims(field.value, authserv_id))
			forged++;
		else
			buffer_append(buffer, field.whole);
	}
	buffer_append(buffer, slice_from(header, scanner.at));
	return forged;
}

static bool
is_token(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] <= ' ' || text.ptr[i] > '~' ||
			slice_find(SLICE("()<>,;:\\\"/[]?="), 0, text.ptr[i]) >= 0)
			return false;
	return text.len > 0;
}

static void
append_escaped(struct buffer *buffer, struct slice text, struct slice specials)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < ' ' || text.ptr[i] > '~')
			continue;
		if (slice_find(specials, 0, text.ptr[i]) >= 0)
			buffer_append_octet(buffer, '\\');
		buffer_append_octet(buffer, text.ptr[i]);
	}
}

void
auth_results_append_result(
	struct buffer *buffer, const char *method, const char *result, const char *reason)
{
	buffer_printf(buffer, ";\r\n\t%s=%s", method, result);
	if (!reason)
		return;
	buffer_append_text(buffer, " (");
	append_escaped(buffer, slice_text(reason), SLICE("\\()"));
	buffer_append_octet(buffer, ')');
}

/* A domain as the DNS knows it, without its local part if that is beyond ASCII: the octets that are
 * in ASCII would make another name, perhaps somebody's. False: it is no name. */
static bool
to_ascii(struct slice value, struct buffer *ascii)
{
	size_t at = value.len;

	while (at > 0 && value.ptr[at - 1] != '@')
		at--;
	if (text_is_ascii(slice_sub(value, 0, at)))
		buffer_append(ascii, slice_sub(value, 0, at));
	return domain_append_ascii(ascii, slice_from(value, at)) == OK &&
	       buffer_error(ascii) == OK && ascii->len > 0;
}

void
auth_results_append_property(struct buffer *buffer, const char *name, struct slice value)
{
	uint8_t storage[ADDRESS_MAX];
	struct buffer ascii;

	buffer_init_fixed(&ascii, storage, sizeof storage);
	if (!text_is_ascii(value)) {
		if (!to_ascii(value, &ascii))
			return;
		value = buffer_slice(&ascii);
	}
	ssize_t at = slice_find(value, 0, '@');
	bool is_plain = at < 0 ? is_token(value)
			       : (at == 0 || is_token(slice_sub(value, 0, (size_t)at))) &&
					 is_token(slice_from(value, (size_t)at + 1));

	buffer_printf(buffer, " %s=", name);
	if (is_plain) {
		buffer_append(buffer, value);
		return;
	}
	buffer_append_octet(buffer, '"');
	append_escaped(buffer, value, SLICE("\\\""));
	buffer_append_octet(buffer, '"');
}
