/*
 * The operator's own texts of reports: checked once, when they are read, by the same steps as they
 * are filled in. Their lines, what stands in one and how often have maxima, so that a report of any
 * template has one too (DSN_FIXED_OCTETS_MAX) and a line is filled in on the stack.
 */
#include "text/dsn_template.h"
#include "text/date.h"
#include "text/dsn_private.h"
#include "text/encode.h"

#define VALUE_MAX                                                                       \
	400 /* octets of what stands for a placeholder, but for the mark that it is cut \
	     */
#define CUT        " [...]"
#define FILLED_MAX (DSN_TEMPLATE_LINE_MAX + DSN_TEMPLATE_IN_LINE * (VALUE_MAX + sizeof CUT - 1))

enum place {
	PLACE_NONE,
	PLACE_RECIPIENTS,
	PLACE_SENDER,
	PLACE_HOSTNAME,
	PLACE_ID,
	PLACE_DATE,
	PLACE_REASON,
	PLACE_NEXT_TRY,
	PLACE_EXPIRES,
	PLACES
};

static const struct slice place_names[PLACES] = {[PLACE_NONE] = SLICE_INIT(""),
	[PLACE_RECIPIENTS] = SLICE_INIT("{recipients}"),
	[PLACE_SENDER] = SLICE_INIT("{sender}"),
	[PLACE_HOSTNAME] = SLICE_INIT("{hostname}"),
	[PLACE_ID] = SLICE_INIT("{id}"),
	[PLACE_DATE] = SLICE_INIT("{date}"),
	[PLACE_REASON] = SLICE_INIT("{reason}"),
	[PLACE_NEXT_TRY] = SLICE_INIT("{next_try}"),
	[PLACE_EXPIRES] = SLICE_INIT("{expires}")};

static const struct slice template_names[DSN_TEMPLATES] = {
	[DSN_TEMPLATE_FAILURE] = SLICE_INIT("failure."),
	[DSN_TEMPLATE_DELAY] = SLICE_INIT("delay."),
	[DSN_TEMPLATE_SUCCESS] = SLICE_INIT("success.")};

void
dsn_template_append_name(
	struct buffer *buffer, enum dsn_template template, enum dsn_language language)
{
	buffer_append(buffer, template_names[template]);
	buffer_append_text(buffer, dsn_language_code(language));
}

bool
dsn_template_parse_name(
	struct slice name, enum dsn_template *ret_template, enum dsn_language *ret_language)
{
	for (unsigned i = 0; i < DSN_TEMPLATES; i++) {
		if (!slice_has_prefix(name, template_names[i]))
			continue;
		*ret_template = (enum dsn_template)i;
		return dsn_language_parse(slice_from(name, template_names[i].len), ret_language);
	}
	return false;
}

/* Without its end, LF or CRLF. False: there is none left. */
static bool
take_line(struct slice *text, struct slice *ret_line)
{
	ssize_t end = slice_find(*text, 0, '\n');

	if (text->len == 0)
		return false;
	*ret_line = end < 0 ? *text : slice_sub(*text, 0, (size_t)end);
	*text = end < 0 ? SLICE("") : slice_from(*text, (size_t)end + 1);
	if (slice_has_suffix(*ret_line, SLICE("\r")))
		*ret_line = slice_sub(*ret_line, 0, ret_line->len - 1);
	return true;
}

/* Takes the text before the next placeholder off the front of a line, or the placeholder. False: a
 * brace that starts none. */
static bool
take_piece(struct slice *line, struct slice *ret_text, enum place *ret_place)
{
	ssize_t brace = slice_find(*line, 0, '{');
	size_t len = brace < 0 ? line->len : (size_t)brace;

	*ret_place = PLACE_NONE;
	for (unsigned i = PLACE_NONE + 1; brace == 0 && i < PLACES; i++)
		if (slice_has_prefix(*line, place_names[i])) {
			*ret_place = (enum place)i;
			len = place_names[i].len;
		}
	*ret_text = slice_sub(*line, 0, len);
	*line = slice_from(*line, len);
	return len > 0;
}

static bool
is_visible(struct slice line)
{
	for (size_t at = 0; at < line.len;) {
		size_t len = utf8_character(slice_from(line, at));
		if (line.ptr[at] != '\t' && !dsn_character_is_visible(slice_sub(line, at, len)))
			return false;
		at += len;
	}
	return true;
}

static bool
is_recipients(struct slice line)
{
	return slice_equal(slice_trim(line), place_names[PLACE_RECIPIENTS]);
}

/* What is wrong with the placeholders of a line; NULL: nothing. */
static const char *
places_fault(struct slice line, uint32_t counts[PLACES])
{
	bool is_alone = is_recipients(line);
	struct slice text;
	enum place place;

	for (uint32_t in_line = 0; line.len > 0;) {
		if (!take_piece(&line, &text, &place))
			return "this brace starts none of {recipients}, {sender}, {hostname}, "
			       "{id}, "
			       "{date}, {reason}, {next_try} and {expires}";
		if (place == PLACE_NONE)
			continue;
		if (place == PLACE_RECIPIENTS && !is_alone)
			return "{recipients} must stand alone on its line";
		if (++counts[place] > 1 && (place == PLACE_RECIPIENTS || place == PLACE_REASON))
			return "{recipients} and {reason} stand in a text once at most";
		if (++counts[PLACE_NONE] > DSN_TEMPLATE_PLACES)
			return "there are more than 16 placeholders";
		if (++in_line > DSN_TEMPLATE_IN_LINE)
			return "there are more than 3 placeholders on this line";
	}
	return NULL;
}

static const char *
line_fault(struct slice line, uint32_t counts[PLACES])
{
	if (utf8_find_fault(line) >= 0)
		return "this is not UTF-8";
	if (!is_visible(line))
		return "there is a character on this line that can't be seen";
	if (line.len > DSN_TEMPLATE_LINE_MAX)
		return "this line is longer than 400 octets";
	return places_fault(line, counts);
}

static bool
is_blank(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] != '\n' && text.ptr[i] != '\r' && text.ptr[i] != ' ')
			return false;
	return true;
}

bool
dsn_template_check(struct slice text, struct dsn_template_fault *ret_fault)
{
	uint32_t counts[PLACES] = {0}; /* PLACE_NONE: of them all */
	struct slice rest = text, line;
	struct dsn_template_fault fault = {.line = 1};

	if (text.len > DSN_TEMPLATE_MAX)
		fault.what = "the text is longer than 16 KiB";
	else if (is_blank(text))
		fault.what = "there is no text";
	for (; !fault.what && take_line(&rest, &line); fault.line += !fault.what)
		fault.what = line_fault(line, counts);
	if (!fault.what)
		return true;
	*ret_fault = fault;
	return false;
}

struct slice
dsn_template_of(const struct dsn *dsn, enum dsn_language language, enum dsn_action action)
{
	enum dsn_template template = action == DSN_FAILED    ? DSN_TEMPLATE_FAILURE
				     : action == DSN_DELAYED ? DSN_TEMPLATE_DELAY
							     : DSN_TEMPLATE_SUCCESS;

	return dsn->templates ? dsn->templates->texts[template][language] : SLICE("");
}

static void
append_text(struct buffer *text, struct slice value)
{
	size_t len = value.len < VALUE_MAX ? value.len : VALUE_MAX;

	while (len < value.len && len > 0 && (value.ptr[len] & 0xc0) == 0x80)
		len--;
	buffer_append(text, slice_sub(value, 0, len));
	buffer_append_text(text, len < value.len ? CUT : "");
}

static void
append_date(struct buffer *text, wall_us at)
{
	if (at != 0)
		date_append(text, at);
}

static void
append_value(struct buffer *text, enum place place, const struct dsn *dsn,
	const struct dsn_recipient *recipient)
{
	bool is_delayed = recipient->action == DSN_DELAYED;

	if (place == PLACE_SENDER)
		append_text(text, dsn->reverse_path);
	else if (place == PLACE_HOSTNAME)
		append_text(text, dsn->hostname);
	else if (place == PLACE_ID)
		append_text(text, dsn->queue_id);
	else if (place == PLACE_DATE)
		append_date(text, dsn->arrived_at);
	else if (place == PLACE_REASON && recipient->diagnostic != DSN_DIAGNOSTIC_NONE)
		append_text(text, recipient->text);
	else if (place == PLACE_NEXT_TRY)
		append_date(text, is_delayed ? recipient->next_attempt_at : 0);
	else if (place == PLACE_EXPIRES)
		append_date(text, is_delayed ? recipient->will_retry_until : 0);
}

/* False: nothing is known of one of its placeholders. */
static bool
fill_in(struct buffer *text, struct slice line, const struct dsn *dsn,
	const struct dsn_recipient *recipient)
{
	struct slice piece;
	enum place place;

	while (line.len > 0 && take_piece(&line, &piece, &place)) {
		size_t before = text->len;
		if (place == PLACE_NONE)
			buffer_append(text, piece);
		else
			append_value(text, place, dsn, recipient);
		if (text->len == before)
			return false;
	}
	return true;
}

/* As far as a line that is folded shall be in. */
static const char *
indent_of(struct slice line)
{
	static const char spaces[] = "                ";
	size_t count = 0;

	while (count < line.len && count < sizeof spaces - 1 && line.ptr[count] == ' ')
		count++;
	return &spaces[sizeof spaces - 1 - count];
}

static enum error
put_line(struct dsn_lines *lines, const struct dsn *dsn, const struct dsn_tally *tally,
	struct slice line)
{
	struct dsn_recipient recipient = {0};
	uint8_t storage[FILLED_MAX];
	struct buffer text;
	enum error error =
		dsn->recipients.get(dsn->recipients.context, tally->main_index, &recipient);

	if (error != OK)
		return error;
	buffer_init_fixed(&text, storage, sizeof storage);
	if (!fill_in(&text, line, dsn, &recipient))
		return buffer_error(&text);
	lines->indent = indent_of(line);
	dsn_line_text(lines, lines->indent);
	lines->start = lines->line.len;
	dsn_line_words(lines, buffer_slice(&text), sizeof storage);
	dsn_line_end(lines);
	return buffer_error(&text);
}

enum error
dsn_put_template(struct dsn_lines *lines, const struct dsn *dsn, const struct dsn_tally *tally,
	struct slice template, enum dsn_language language)
{
	enum error error = OK;
	struct slice line;

	while (error == OK && take_line(&template, &line)) {
		if (is_recipients(line))
			error = dsn_put_recipients(lines, &dsn->recipients, language);
		else if (slice_trim(line).len == 0)
			dsn_line_end(lines);
		else
			error = put_line(lines, dsn, tally, line);
	}
	return error;
}
