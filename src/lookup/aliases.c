/* Pure but for what `include` does. Each logical line is walked once; what it includes is walked
 * like a part of it, and may include nothing itself. */
#include "lookup/aliases.h"
#include "base/cursor.h"
#include "text/address.h"
#include "text/international.h"

struct reading {
	struct accounts *rows;
	struct slice domain;
	const struct aliases_reader *reader;
	struct buffer row;
	uint32_t line;
	unsigned includes;
	bool has_target;
};

static void
skip(struct reading *reading, struct slice text, const char *why)
{
	reading->reader->skipped(reading->reader->arg, reading->line, slice_sub(text, 0, 256), why);
}

/* "x y" without its quotes where the quotes are no part of an address. */
static struct slice
unquoted(struct slice text)
{
	bool has_quotes = text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"';

	return has_quotes ? slice_sub(text, 1, text.len - 2) : text;
}

/* Where the target ends: at a comma that stands in no quotes. */
static size_t
target_length(struct slice text)
{
	bool quoted = false;
	size_t at = 0;

	for (; at < text.len && (quoted || text.ptr[at] != ','); at++) {
		if (text.ptr[at] == '\\')
			at++;
		else if (text.ptr[at] == '"')
			quoted = !quoted;
	}
	return at < text.len ? at : text.len;
}

static void
add_target(struct reading *reading, struct slice target)
{
	buffer_append_octet(&reading->row, reading->has_target ? '\n' : 0);
	buffer_append(&reading->row, target);
	reading->has_target = true;
}

static bool
is_address(struct slice text)
{
	struct address address;
	enum address_fault fault = address_parse_international(text, &address);

	return fault == ADDRESS_OK || fault == ADDRESS_NO_DOMAIN;
}

static void take_targets(struct reading *reading, struct slice text, bool may_include);

/* Each line of the file is like a line of targets. */
static void
include(struct reading *reading, struct slice path)
{
	struct buffer text;

	if (++reading->includes > ALIAS_INCLUDES_MAX) {
		skip(reading, path, "an alias may include 8 files");
		return;
	}
	buffer_init(&text, reading->rows->memory, ALIAS_TARGETS_BYTES_MAX);
	enum error error = reading->reader->include(reading->reader->arg, path, &text);
	if (error != OK)
		skip(reading, path, error_text(error));
	struct slice rest = error == OK ? buffer_slice(&text) : (struct slice){0};
	while (rest.len > 0) {
		ssize_t end = slice_find(rest, 0, '\n');
		struct slice line = end < 0 ? rest : slice_sub(rest, 0, (size_t)end);
		rest = slice_from(rest, line.len + 1);
		line = slice_trim(line);
		if (line.len > 0 && line.ptr[line.len - 1] == '\r')
			line.len--;
		if (line.len > 0 && line.ptr[0] != '#')
			take_targets(reading, line, false);
	}
	buffer_done(&text);
}

static void
take_target(struct reading *reading, struct slice target, bool may_include)
{
	struct slice bare = unquoted(target);

	if (bare.len == 0)
		return;
	if (bare.ptr[0] == '|')
		skip(reading, target, "programs are no targets here: use a route to a program");
	else if (bare.ptr[0] == '/')
		skip(reading, target, "files are no targets here: name a mailbox");
	else if (slice_has_prefix_nocase(bare, SLICE(":include:")) && may_include)
		include(reading, slice_trim(slice_from(bare, sizeof ":include:" - 1)));
	else if (bare.ptr[0] == ':')
		skip(reading, target, "this is not known here, or stands in an included file");
	else if (target.ptr[0] == '\\' && is_address(slice_from(target, 1)))
		add_target(reading, target);
	else if (is_address(target))
		add_target(reading, target);
	else if (is_address(bare))
		add_target(reading, bare);
	else
		skip(reading, target, "this is no address");
}

static void
take_targets(struct reading *reading, struct slice text, bool may_include)
{
	while (text.len > 0) {
		size_t len = target_length(text);
		take_target(reading, slice_trim(slice_sub(text, 0, len)), may_include);
		text = slice_from(text, len + 1);
	}
}

/* The file's domain is as the DNS knows it. */
static bool
is_own_domain(const struct reading *reading, struct slice domain)
{
	char storage[ADDRESS_DOMAIN_MAX];
	struct buffer ascii;

	buffer_init_fixed(&ascii, storage, sizeof storage);
	return domain_append_ascii(&ascii, domain) == OK &&
	       slice_equal_nocase(buffer_slice(&ascii), reading->domain);
}

/* The local part, lowered; a name with a domain must have the file's. False: it is none. */
static bool
take_name(struct reading *reading, struct slice name)
{
	struct address address;
	struct slice bare = unquoted(name);

	if (slice_equal(bare, SLICE("*"))) {
		buffer_append(&reading->row, bare);
		return true;
	}
	enum address_fault fault = address_parse_international(name, &address);
	if (fault != ADDRESS_OK && fault != ADDRESS_NO_DOMAIN)
		fault = address_parse_international(bare, &address);
	if (fault != ADDRESS_OK && fault != ADDRESS_NO_DOMAIN)
		return false;
	if (fault == ADDRESS_OK && !is_own_domain(reading, address.domain))
		return false;
	address_append_account(&reading->row, &address);
	return true;
}

/* Where the name ends: at a colon that stands in no quotes. -1: there is none. */
static ssize_t
find_colon(struct slice line)
{
	bool quoted = false;

	for (size_t at = 0; at < line.len; at++) {
		if (line.ptr[at] == '"')
			quoted = !quoted;
		else if (line.ptr[at] == ':' && !quoted)
			return (ssize_t)at;
	}
	return -1;
}

static enum error
take_line(struct reading *reading, struct slice line)
{
	ssize_t colon = find_colon(line);

	buffer_clear(&reading->row);
	reading->has_target = false;
	reading->includes = 0;
	if (colon < 0 || !take_name(reading, slice_trim(slice_sub(line, 0, (size_t)colon)))) {
		skip(reading, line, "expected NAME: TARGET, ...");
		return OK;
	}
	take_targets(reading, slice_from(line, (size_t)colon + 1), true);
	if (!reading->has_target) {
		skip(reading, line, "the alias has no target that can be used");
		return OK;
	}
	enum error error = buffer_error(&reading->row);
	return error == OK ? accounts_append(reading->rows, buffer_slice(&reading->row)) : error;
}

/* A physical line without its end. */
static struct slice
physical_line(struct slice *text)
{
	ssize_t end = slice_find(*text, 0, '\n');
	struct slice line = end < 0 ? *text : slice_sub(*text, 0, (size_t)end);

	*text = slice_from(*text, line.len + 1);
	if (line.len > 0 && line.ptr[line.len - 1] == '\r')
		line.len--;
	return line;
}

static bool
is_blank(struct slice line)
{
	line = slice_trim(line);
	return line.len == 0 || line.ptr[0] == '#';
}

/* Whether the next line belongs to the present one, or is nothing at all. */
static bool
goes_on(struct slice rest)
{
	struct slice line = physical_line(&rest);

	return is_blank(line) || line.ptr[0] == ' ' || line.ptr[0] == '\t';
}

/* Lines that begin with white space are joined to the one before. */
static enum error
take_logical_lines(struct reading *reading, struct slice text, struct buffer *joined)
{
	uint32_t number = 0;
	enum error error = OK;

	while (text.len > 0 && error == OK) {
		struct slice line = physical_line(&text);
		number++;
		if (is_blank(line))
			continue;
		reading->line = number;
		buffer_clear(joined);
		buffer_append(joined, line);
		while (text.len > 0 && goes_on(text)) {
			line = physical_line(&text);
			number++;
			if (!is_blank(line)) {
				buffer_append_octet(joined, ' ');
				buffer_append(joined, line);
			}
		}
		error = buffer_error(joined);
		if (error == OK)
			error = take_line(reading, slice_trim(buffer_slice(joined)));
	}
	return error;
}

enum error
aliases_parse(struct accounts *rows, struct slice domain, struct slice text,
	const struct aliases_reader *reader)
{
	struct reading reading = {.rows = rows, .domain = domain, .reader = reader};
	struct buffer joined;

	if (slice_has_prefix(text, SLICE("\xef\xbb\xbf")))
		text = slice_from(text, 3);
	buffer_init(&joined, rows->memory, ALIAS_TARGETS_BYTES_MAX);
	buffer_init(&reading.row, rows->memory, 2 * ALIAS_TARGETS_BYTES_MAX);
	enum error error = take_logical_lines(&reading, text, &joined);
	buffer_done(&reading.row);
	buffer_done(&joined);
	return error;
}
