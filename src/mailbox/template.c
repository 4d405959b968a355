/*
 * Path templates, see template.h for the encoding and what it promises.
 *
 *	template    = 1*( "/" component )
 *	component   = 1*( literal / placeholder )   ; not "." or ".."
 *	placeholder = "{user}" / "{domain}"
 *	literal     = any octet but "/", "{", "}" and control octets
 *
 * A template is read by the same loop for checking and for expanding, from components that are read
 *one by one. Local parts and domains come from RFC 5321 section 4.1.2 and, as UTF-8, RFC 6531;
 *nothing is assumed about their octets.
 */
#include "mailbox/template.h"

#include "text/address.h"
#include "text/international.h"

enum part_kind { PART_LITERAL, PART_USER, PART_DOMAIN };

struct part {
	enum part_kind kind;
	struct slice text; /* of a literal */
};

/* Octets that a value may show as they are. */
static bool
octet_is_kept(uint8_t octet)
{
	return (ascii_is_alnum(octet) && octet == ascii_lower(octet)) || octet == '-' ||
	       octet == '.' || octet == '_' || octet == '+' || octet == '=';
}

static void
append_value(struct buffer *path, struct slice value)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < value.len; i++) {
		uint8_t octet = ascii_lower(value.ptr[i]);
		bool leads = i == 0 && (octet == '.' || octet == '-');
		if (octet_is_kept(octet) && !leads) {
			buffer_append_octet(path, octet);
			continue;
		}
		buffer_append_octet(path, '%');
		buffer_append_octet(path, (uint8_t)hex[octet >> 4]);
		buffer_append_octet(path, (uint8_t)hex[octet & 15]);
	}
}

/* The component that starts at `at` (behind its slash), up to the next slash or the end. */
static struct slice
component_at(struct slice template, size_t at)
{
	ssize_t slash = slice_find(template, at, '/');

	return slice_sub(template, at, slash < 0 ? SIZE_MAX : (size_t)slash - at);
}

/* Takes the next part of a component. False at its end; ERROR_FORMAT for what is no placeholder. */
static bool
part_next(struct slice component, size_t *at, struct part *ret_part, enum error *ret_error)
{
	struct slice rest = slice_from(component, *at);
	size_t len = 0;

	*ret_error = OK;
	if (rest.len == 0)
		return false;
	if (slice_has_prefix(rest, SLICE("{user}"))) {
		*ret_part = (struct part){.kind = PART_USER};
		*at += sizeof "{user}" - 1;
		return true;
	}
	if (slice_has_prefix(rest, SLICE("{domain}"))) {
		*ret_part = (struct part){.kind = PART_DOMAIN};
		*at += sizeof "{domain}" - 1;
		return true;
	}
	while (len < rest.len && rest.ptr[len] != '{' && rest.ptr[len] != '}')
		len++;
	if (len == 0) {
		*ret_error = ERROR_FORMAT;
		return false;
	}
	*ret_part = (struct part){.kind = PART_LITERAL, .text = slice_sub(rest, 0, len)};
	*at += len;
	return true;
}

static bool
component_has_placeholder(struct slice component)
{
	return slice_find(component, 0, '{') >= 0;
}

/*
 * Whether a literal holds an octet that no value can show, so that the values around it can't run
 * into each other. Capital letters don't count: some are hexadecimal digits.
 */
static bool
literal_separates(struct slice literal)
{
	for (size_t i = 0; i < literal.len; i++) {
		if (!octet_is_kept(ascii_lower(literal.ptr[i])) && literal.ptr[i] != '%')
			return true;
	}
	return false;
}

static const char *
component_problem(struct slice component)
{
	struct part part;
	enum error error;
	size_t at = 0;
	bool separated = true;

	if (component.len == 0)
		return "empty component in the path";
	if (slice_equal(component, SLICE(".")) || slice_equal(component, SLICE("..")))
		return "\".\" or \"..\" in the path";
	for (size_t i = 0; i < component.len; i++) {
		if (component.ptr[i] < 0x20 || component.ptr[i] == 0x7f)
			return "control character in the path";
	}
	while (part_next(component, &at, &part, &error)) {
		if (part.kind == PART_LITERAL) {
			separated = separated || literal_separates(part.text);
			continue;
		}
		if (!separated)
			return "two placeholders need a character such as @ between them, or two "
			       "users could share a folder";
		separated = false;
	}
	return error != OK ? "expected {user} or {domain}" : NULL;
}

enum error
mailbox_template_check(struct slice template, const char **ret_problem)
{
	size_t at = 1, components = 0;

	if (template.len > MAILBOX_TEMPLATE_MAX) {
		*ret_problem = "path too long";
		return ERROR_LIMIT;
	}
	if (template.len < 2 || template.ptr[0] != '/') {
		*ret_problem = "expected an absolute path below /";
		return ERROR_FORMAT;
	}
	while (at <= template.len) {
		struct slice component = component_at(template, at);
		const char *problem = component_problem(component);
		if (problem) {
			*ret_problem = problem;
			return ERROR_FORMAT;
		}
		if (component.len > MAILBOX_COMPONENT_MAX ||
			++components > MAILBOX_COMPONENTS_MAX) {
			*ret_problem = component.len > MAILBOX_COMPONENT_MAX
					       ? "component too long"
					       : "too many components";
			return ERROR_LIMIT;
		}
		at += component.len + 1;
	}
	return OK;
}

struct slice mailbox_template_root(struct slice template)
{
	size_t end = 0, at = 1;

	while (at <= template.len) {
		struct slice component = component_at(template, at);
		/* The last component is the Maildir itself, which a delivery may make. */
		if (component_has_placeholder(component) || at + component.len >= template.len)
			break;
		end = at + component.len;
		at = end + 1;
	}
	return slice_sub(template, 0, end > 0 ? end : 1);
}

static enum error
expand_component(
	struct slice component, struct slice local, struct slice domain, struct buffer *path)
{
	size_t start = path->len, at = 0;
	struct part part;
	enum error error;

	while (part_next(component, &at, &part, &error)) {
		struct slice value = part.kind == PART_USER ? local : domain;
		if (part.kind == PART_LITERAL) {
			buffer_append(path, part.text);
			continue;
		}
		if (value.len == 0)
			return ERROR_FORMAT;
		append_value(path, value);
	}
	if (error != OK)
		return error;
	if (buffer_error(path) != OK)
		return buffer_error(path);
	return path->len - start > MAILBOX_COMPONENT_MAX ? ERROR_LIMIT : OK;
}

enum error
mailbox_template_expand(
	struct slice template, struct slice local, struct slice domain, struct buffer *path)
{
	size_t start = path->len, at = mailbox_template_root(template).len;
	const char *problem;
	enum error error = mailbox_template_check(template, &problem);

	if (error != OK)
		return error;
	/* Below "/" the path starts at once, below any other folder behind its slash. */
	at += at > 1;
	while (at <= template.len) {
		struct slice component = component_at(template, at);
		if (path->len > start)
			buffer_append_octet(path, '/');
		error = expand_component(component, local, domain, path);
		if (error == OK && path->len - start > MAILBOX_PATH_MAX)
			error = ERROR_LIMIT;
		if (error != OK)
			return error;
		at += component.len + 1;
	}
	return buffer_error(path);
}

enum error
mailbox_template_expand_address(struct slice template, struct slice text, struct buffer *path)
{
	uint8_t local_storage[ADDRESS_LOCAL_PART_MAX], domain_storage[ADDRESS_DOMAIN_MAX];
	struct buffer local, domain;
	struct address address;

	if (address_parse_international(text, &address) != ADDRESS_OK)
		return ERROR_FORMAT;
	buffer_init_fixed(&local, local_storage, sizeof local_storage);
	buffer_init_fixed(&domain, domain_storage, sizeof domain_storage);
	enum error error = domain_append_ascii(&domain, address.domain);
	address.domain = slice_of(NULL, 0);
	address_append_canonical(&local, &address);
	if (error == OK)
		error = buffer_error(&local);
	if (error == OK)
		error = buffer_error(&domain);
	if (error != OK)
		return error;
	return mailbox_template_expand(template, buffer_slice(&local), buffer_slice(&domain), path);
}
