/*
 * The types of values. Checks are syntactic and pure: nothing is looked up, no file is touched.
 * Sizes and times need the same care: "30" alone is refused as a time, since half of all readers
 * take it for minutes.
 *
 * Host and domain names follow RFC 1123 section 2.1 (letters, digits, hyphens; the last label is
 * not all digits, or it would be an address); RFC 5321 section 4.1.2 has the same in its Domain.
 */
#include "conf/value.h"
#include "conf/suggest.h"
#include "text/sasl.h"

#include <arpa/inet.h>
#include <sys/un.h>

#define LABEL_MAX       63
#define DOMAIN_MAX      253
#define LOCAL_PART_MAX  64
#define USER_MAX        64
#define PATH_OCTETS_MAX 1023
#define SOCKET_PATH_MAX (sizeof((struct sockaddr_un *)0)->sun_path - 1)
#define PORT_MAX        65535
#define PORT_DIGITS_MAX 5
/* Larger numbers count as this: over every range, and no overflow with the largest unit. */
#define NUMBER_CEILING (UINT64_C(1) << 60)

struct unit {
	char letter;
	uint64_t factor;
};

/* Largest first. */
static const struct unit size_units[] = {{'G', 1u << 30}, {'M', 1u << 20}, {'K', 1u << 10}};
static const struct unit duration_units[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};

struct value_type {
	const char *description;
	const char *placeholder;
};

static const struct value_type types[SCHEMA_TYPES] = {
	[SCHEMA_LABEL] = {"a name of letters, digits, \"-\", \"_\" and \".\"", "name"},
	[SCHEMA_HOST] = {"a host name", "host"},
	[SCHEMA_DOMAIN] = {"a domain name", "domain"},
	[SCHEMA_USER] = {"an account name", "account"},
	[SCHEMA_LOGIN] = {"the name of a login", "login"},
	[SCHEMA_PATH] = {"an absolute path", "path"},
	[SCHEMA_SOCKET] = {"an absolute path", "path"},
	[SCHEMA_ENDPOINT] = {"an address like *:25, 127.0.0.1:25, [::1]:25 or unix:/path",
		"endpoint"},
	[SCHEMA_TEMPLATE] = {"a path like /srv/mail/{domain}/{user} or {home}/Maildir", "template"},
	[SCHEMA_ROUTE] = {"a domain name or *", "domain"},
	[SCHEMA_NEXT_HOST] = {"a host name or an address", "host"},
	[SCHEMA_LMTP] = {"a host name, an address, or unix and a path", "host"},
	[SCHEMA_NETWORK] = {"a network like 192.0.2.0/24 or [2001:db8::]/32", "network"},
	[SCHEMA_MAILBOX] = {"a mail address like reports@example.org", "address"},
	[SCHEMA_SIZE] = {"a size like 64K, 25M or 1G", "size"},
	[SCHEMA_DURATION] = {"a time like 30s, 5m, 4h or 2d", "time"},
	[SCHEMA_NUMBER] = {"a number", "number"},
};

const char *
value_description(enum schema_type type)
{
	return types[type].description;
}

const char *
value_placeholder(enum schema_type type)
{
	return types[type].placeholder;
}

bool
value_is_lowered(enum schema_type type)
{
	return type == SCHEMA_HOST || type == SCHEMA_DOMAIN || type == SCHEMA_ROUTE;
}

bool
value_may_recur(enum schema_type type, struct slice text)
{
	return type == SCHEMA_ENDPOINT && !slice_has_prefix(text, SLICE("unix:")) &&
	       slice_has_suffix(text, SLICE(":0"));
}

bool
value_is_number(enum schema_type type)
{
	return type == SCHEMA_NUMBER || type == SCHEMA_SIZE || type == SCHEMA_DURATION;
}

static bool
has_only(struct slice text, const char *others)
{
	struct slice set = slice_text(others);

	for (size_t i = 0; i < text.len; i++) {
		if (!ascii_is_alnum(text.ptr[i]) && slice_find(set, 0, text.ptr[i]) < 0)
			return false;
	}
	return true;
}

static enum value_verdict
wrong(struct buffer *detail, const char *text)
{
	buffer_append_text(detail, text);
	return VALUE_WRONG;
}

/* Reads decimal digits; numbers beyond the ceiling count as the ceiling. */
static bool
read_digits(struct slice text, uint64_t *ret_number)
{
	uint64_t number = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (!ascii_is_digit(text.ptr[i]))
			return false;
		number = number * 10 + (uint64_t)(text.ptr[i] - '0');
		if (number > NUMBER_CEILING)
			number = NUMBER_CEILING;
	}
	*ret_number = number;
	return text.len > 0;
}

static const struct unit *
units_of(enum schema_type type, size_t *ret_count)
{
	*ret_count = 0;
	if (type == SCHEMA_SIZE) {
		*ret_count = sizeof size_units / sizeof *size_units;
		return size_units;
	}
	if (type == SCHEMA_DURATION)
		*ret_count = sizeof duration_units / sizeof *duration_units;
	return duration_units;
}

static const struct unit *
find_unit(enum schema_type type, uint8_t letter)
{
	size_t count;
	const struct unit *units = units_of(type, &count);

	for (size_t i = 0; i < count; i++) {
		if ((uint8_t)units[i].letter == letter)
			return &units[i];
	}
	return NULL;
}

/*
 * number   = 1*DIGIT
 * size     = 1*DIGIT [ "K" / "M" / "G" ]
 * duration = 1*DIGIT ( "s" / "m" / "h" / "d" )
 */
static enum value_verdict
check_number(enum schema_type type, const struct schema_key *key, struct slice text,
	uint64_t *ret_number, struct buffer *detail)
{
	const struct unit *unit = text.len > 0 ? find_unit(type, text.ptr[text.len - 1]) : NULL;
	uint64_t number;

	if (!read_digits(unit ? slice_sub(text, 0, text.len - 1) : text, &number))
		return VALUE_WRONG;
	if (type == SCHEMA_DURATION && !unit)
		return wrong(detail, "the unit is missing");
	if (unit)
		number = number > NUMBER_CEILING / unit->factor ? NUMBER_CEILING
								: number * unit->factor;
	if (number < key->min || number > key->max)
		return VALUE_OUT_OF_RANGE;
	*ret_number = number;
	return VALUE_FINE;
}

static enum value_verdict
check_label(struct slice text, struct buffer *detail)
{
	if (text.len > LABEL_MAX)
		return wrong(detail, "more than 63 octets");
	if (text.len == 0 || !ascii_is_alnum(text.ptr[0]) || !has_only(text, "-_."))
		return VALUE_WRONG;
	return VALUE_FINE;
}

static enum value_verdict
check_domain_label(struct slice label, struct buffer *detail)
{
	if (label.len == 0)
		return wrong(detail, "a part between the dots is empty");
	if (label.len > LABEL_MAX)
		return wrong(detail, "a part of more than 63 octets");
	if (!has_only(label, "-"))
		return wrong(detail, "only letters, digits and hyphens are allowed");
	if (label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
		return wrong(detail, "a part begins or ends with a hyphen");
	return VALUE_FINE;
}

/* domain = label *( "." label ), label = let-dig [ *( let-dig / "-" ) let-dig ] */
static enum value_verdict
check_domain(struct slice text, struct buffer *detail)
{
	uint64_t number;
	size_t at = 0;

	if (slice_equal(text, SLICE("*")))
		return wrong(detail, "each domain is named; all of them would be an open door");
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] > 0x7f)
			return wrong(detail, "write it in its ASCII form (xn--...)");
	}
	if (text.len > DOMAIN_MAX)
		return wrong(detail, "more than 253 octets");
	for (;;) {
		ssize_t dot = slice_find(text, at, '.');
		struct slice label = slice_sub(text, at, dot < 0 ? SIZE_MAX : (size_t)dot - at);
		enum value_verdict verdict = check_domain_label(label, detail);
		if (verdict != VALUE_FINE)
			return verdict;
		if (dot < 0)
			return read_digits(label, &number)
				       ? wrong(detail, "the last part has digits only")
				       : VALUE_FINE;
		at = (size_t)dot + 1;
	}
}

static enum value_verdict
check_user(struct slice text, struct buffer *detail)
{
	if (text.len > USER_MAX)
		return wrong(detail, "more than 64 octets");
	if (text.len == 0 || text.ptr[0] == '-' || !has_only(text, "-_.@"))
		return VALUE_WRONG;
	if (slice_equal(text, SLICE("root")))
		return wrong(detail, "it cannot be root");
	return VALUE_FINE;
}

static enum value_verdict
check_login(struct slice text, struct buffer *detail)
{
	if (text.len > SASL_LOGIN_MAX)
		return wrong(detail, "more than 254 octets");
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] < ' ' || text.ptr[i] == 0x7f)
			return wrong(detail, "a control character is in it");
	return text.len == 0 ? VALUE_WRONG : VALUE_FINE;
}

static enum value_verdict
check_path(struct slice text, size_t max, struct buffer *detail)
{
	if (text.len > 0 && text.ptr[0] != '/')
		return wrong(detail, "it must begin with /");
	if (text.len > max) {
		buffer_printf(detail, "more than %zu octets", max);
		return VALUE_WRONG;
	}
	return text.len == 0 ? VALUE_WRONG : VALUE_FINE;
}

static bool
is_address(int family, struct slice text)
{
	char copy[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (text.len == 0 || text.len >= sizeof copy || slice_find(text, 0, 0) >= 0)
		return false;
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = 0;
	return inet_pton(family, copy, &address) == 1;
}

static bool
is_port(struct slice text)
{
	uint64_t port;

	/* One spelling for each, so that equal addresses are equal texts. */
	if (text.len == 0 || text.len > PORT_DIGITS_MAX || (text.len > 1 && text.ptr[0] == '0'))
		return false;
	return slice_number(text, PORT_MAX, &port);
}

static ssize_t
find_last(struct slice text, uint8_t octet)
{
	for (size_t i = text.len; i > 0; i--) {
		if (text.ptr[i - 1] == octet)
			return (ssize_t)i - 1;
	}
	return -1;
}

/* endpoint = ( "*" / IPv4 / "[" IPv6 "]" ) ":" port / "unix:" path, the shape of net's
 * endpoint_parse */
static enum value_verdict
check_endpoint(struct slice text, struct buffer *detail)
{
	if (slice_has_prefix(text, SLICE("unix:")))
		return check_path(slice_from(text, 5), SOCKET_PATH_MAX, detail);
	ssize_t colon = find_last(text, ':');
	bool bracketed = text.len > 0 && text.ptr[0] == '[';
	if (colon < 0 || (bracketed && find_last(text, ']') > colon))
		return wrong(detail, "the port is missing");
	struct slice host = slice_sub(text, 0, (size_t)colon);
	if (!bracketed && slice_find(host, 0, ':') >= 0)
		return wrong(detail, "an IPv6 address stands in brackets, a port behind them");
	if (!is_port(slice_from(text, (size_t)colon + 1)))
		return wrong(detail, "a port is a number from 0 to 65535");
	if (slice_equal(host, SLICE("*")) || is_address(AF_INET, host))
		return VALUE_FINE;
	if (bracketed && slice_has_suffix(host, SLICE("]")))
		return is_address(AF_INET6, slice_sub(host, 1, host.len - 2))
			       ? VALUE_FINE
			       : wrong(detail, "this is no IPv6 address");
	return wrong(detail, "this is no IPv4 address, and names are not looked up");
}

/* next-host = domain / IPv4 / IPv6 / "[" IPv6 "]" */
static enum value_verdict
check_next_host(struct slice text, struct buffer *detail)
{
	bool is_bracketed = text.len > 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']';
	struct slice bare = is_bracketed ? slice_sub(text, 1, text.len - 2) : text;

	if (is_address(AF_INET6, bare) || (!is_bracketed && is_address(AF_INET, bare)))
		return VALUE_FINE;
	return check_domain(text, detail);
}

/* network = ( IPv4 / "[" IPv6 "]" ) [ "/" bits ], the shape of net's network_parse */
static enum value_verdict
check_network(struct slice text, struct buffer *detail)
{
	bool is_v6 = text.len > 0 && text.ptr[0] == '[';
	ssize_t slash = find_last(text, '/');
	struct slice address = slash < 0 ? text : slice_sub(text, 0, (size_t)slash);
	uint64_t bits;

	if (slash >= 0 &&
		!slice_number(slice_from(text, (size_t)slash + 1), is_v6 ? 128 : 32, &bits))
		return wrong(detail, is_v6 ? "behind the / stands a number from 0 to 128"
					   : "behind the / stands a number from 0 to 32");
	if (!is_v6)
		return is_address(AF_INET, address)
			       ? VALUE_FINE
			       : wrong(detail, "this is no IPv4 address, and one of IPv6 stands in "
					       "brackets");
	return slice_has_suffix(address, SLICE("]")) &&
			       is_address(AF_INET6, slice_sub(address, 1, address.len - 2))
		       ? VALUE_FINE
		       : wrong(detail, "this is no IPv6 address");
}

static enum value_verdict
refuse_placeholder(struct slice name, struct buffer *detail)
{
	struct suggestion suggestion = {.word = name};

	suggestion_offer(&suggestion, "user", NULL);
	suggestion_offer(&suggestion, "domain", NULL);
	suggestion_offer(&suggestion, "home", NULL);
	if (slice_equal(name, SLICE("home")))
		return wrong(detail, "{home} stands at the beginning, before a /");
	if (suggestion.nearest)
		buffer_printf(
			detail, "an unknown placeholder (did you mean {%s}?)", suggestion.nearest);
	else
		buffer_append_text(detail, "the placeholders are {user}, {domain} and {home}");
	return VALUE_WRONG;
}

/* One part of a template between slashes: text with placeholders, not "." or "..". */
static enum value_verdict
check_template_part(struct slice part, bool *has_user, struct buffer *detail)
{
	if (part.len == 0)
		return wrong(detail, "a part between the slashes is empty");
	if (slice_equal(part, SLICE(".")) || slice_equal(part, SLICE("..")))
		return wrong(detail, "\".\" and \"..\" are not allowed");
	for (size_t at = 0; at < part.len; at++) {
		if (part.ptr[at] == '}')
			return wrong(detail, "a \"}\" without its \"{\"");
		if (part.ptr[at] != '{')
			continue;
		ssize_t end = slice_find(part, at, '}');
		if (end < 0)
			return wrong(detail, "a \"{\" without its \"}\"");
		struct slice name = slice_sub(part, at + 1, (size_t)end - at - 1);
		if (slice_equal(name, SLICE("user")))
			*has_user = true;
		else if (!slice_equal(name, SLICE("domain")))
			return refuse_placeholder(name, detail);
		at = (size_t)end;
	}
	return VALUE_FINE;
}

/* template = ( "/" / "{home}/" ) part *( "/" part ), part = 1*( octet but "/" / "{user}" /
 * "{domain}" ) */
static enum value_verdict
check_template(struct slice text, struct buffer *detail)
{
	bool has_user = slice_has_prefix(text, SLICE("{home}/"));
	size_t at = has_user ? 7 : 1;

	if (!has_user && (text.len == 0 || text.ptr[0] != '/'))
		return wrong(detail, "it must begin with / or {home}/");
	if (text.len > PATH_OCTETS_MAX)
		return wrong(detail, "more than 1023 octets");
	for (;;) {
		ssize_t slash = slice_find(text, at, '/');
		struct slice part = slice_sub(text, at, slash < 0 ? SIZE_MAX : (size_t)slash - at);
		enum value_verdict verdict = check_template_part(part, &has_user, detail);
		if (verdict != VALUE_FINE)
			return verdict;
		if (slash < 0)
			break;
		at = (size_t)slash + 1;
	}
	return has_user ? VALUE_FINE
			: wrong(detail, "without {user} all users would share one mailbox");
}

/* Fewer than RFC 5321 allows: an address of ours has no need of quotes, and each process that reads
 * the configuration none of a parser of all addresses, with the libraries that it brings. */
static bool
is_plain_local_part(struct slice text)
{
	bool is = text.len > 0 && text.len <= LOCAL_PART_MAX && has_only(text, "._+=-");

	for (size_t i = 0; is && i < text.len; i++)
		is = text.ptr[i] != '.' || (i > 0 && i + 1 < text.len && text.ptr[i - 1] != '.');
	return is;
}

static enum value_verdict
check_mailbox(struct slice text, struct buffer *detail)
{
	ssize_t at = slice_find(text, 0, '@');

	if (at < 0)
		return wrong(detail, "there is no @ in it");
	if (!is_plain_local_part(slice_sub(text, 0, (size_t)at)))
		return wrong(detail, "before the @ stand letters, digits and . _ + = -");
	return check_domain(slice_from(text, (size_t)at + 1), detail);
}

enum value_verdict
value_check(enum schema_type type, const struct schema_key *key, struct slice text,
	uint64_t *ret_number, struct buffer *detail)
{
	switch (type) {
	case SCHEMA_LABEL:
		return check_label(text, detail);
	case SCHEMA_HOST:
	case SCHEMA_DOMAIN:
		return check_domain(text, detail);
	case SCHEMA_ROUTE:
		return slice_equal(text, SLICE("*")) ? VALUE_FINE : check_domain(text, detail);
	case SCHEMA_NEXT_HOST:
		return check_next_host(text, detail);
	case SCHEMA_LMTP:
		/* A path is what "unix" left (parse_value.c). */
		return slice_has_prefix(text, SLICE("/"))
			       ? check_path(text, SOCKET_PATH_MAX, detail)
			       : check_next_host(text, detail);
	case SCHEMA_NETWORK:
		return check_network(text, detail);
	case SCHEMA_MAILBOX:
		return check_mailbox(text, detail);
	case SCHEMA_USER:
		return check_user(text, detail);
	case SCHEMA_LOGIN:
		return check_login(text, detail);
	case SCHEMA_PATH:
		return check_path(text, PATH_OCTETS_MAX, detail);
	case SCHEMA_SOCKET:
		return check_path(text, SOCKET_PATH_MAX, detail);
	case SCHEMA_ENDPOINT:
		return check_endpoint(text, detail);
	case SCHEMA_TEMPLATE:
		return check_template(text, detail);
	case SCHEMA_SIZE:
	case SCHEMA_DURATION:
	case SCHEMA_NUMBER:
		return check_number(type, key, text, ret_number, detail);
	case SCHEMA_NONE:
	case SCHEMA_CHOICE:
	case SCHEMA_BLOCK:
	case SCHEMA_TYPES:
		break;
	}
	return VALUE_WRONG;
}

void
value_append_number(struct buffer *buffer, enum schema_type type, uint64_t number)
{
	size_t count;
	const struct unit *units = units_of(type, &count);

	for (size_t i = 0; i < count; i++) {
		if (number == 0 || number % units[i].factor != 0)
			continue;
		buffer_append_number(buffer, number / units[i].factor);
		buffer_append_octet(buffer, (uint8_t)units[i].letter);
		return;
	}
	buffer_append_number(buffer, number);
	if (type == SCHEMA_DURATION)
		buffer_append_octet(
			buffer, 's'); /* none is a multiple of the others; 0 is of all */
}

/* Octets that need no quotes wherever they stand; in templates braces do not either. */
static bool
is_plain(struct slice text, enum schema_type type)
{
	const char *others = type == SCHEMA_TEMPLATE ? "-_./:*[]@+,=%~!?&$^|()<>'{}"
						     : "-_./:*[]@+,=%~!?&$^|()<>'";

	return text.len > 0 && has_only(text, others);
}

void
value_append_text(struct buffer *buffer, enum schema_type type, struct slice text)
{
	if (type == SCHEMA_LMTP && slice_has_prefix(text, SLICE("/")))
		buffer_append_text(buffer, "unix ");
	if (is_plain(text, type)) {
		buffer_append(buffer, text);
		return;
	}
	buffer_append_octet(buffer, '"');
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '"' || text.ptr[i] == '\\')
			buffer_append_octet(buffer, '\\');
		buffer_append_octet(buffer, text.ptr[i]);
	}
	buffer_append_octet(buffer, '"');
}
