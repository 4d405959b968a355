/*
 * Canonical forms (RFC 6376 section 3.4). A body may arrive in pieces cut anywhere, so what a piece
 * ends in (spaces, a CR, empty lines) waits until the next one tells what it was. Linear in time;
 * the number of empty lines is counted, not stored.
 */
#include "mailauth/canon.h"

const char *
canon_text(enum canon canon)
{
	return canon == CANON_SIMPLE ? "simple" : "relaxed";
}

static bool
is_blank(uint8_t octet)
{
	return octet == ' ' || octet == '\t';
}

/* Section 3.4.2: folds go (their CRLF alone), runs of blanks become one, none stands at the ends.
 */
struct relaxed_value {
	struct buffer *buffer;
	bool has_text, has_blank;
};

static void
relax_value(struct relaxed_value *value, struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		uint8_t octet = text.ptr[i];
		if (octet == '\r' && i + 1 < text.len && text.ptr[i + 1] == '\n') {
			i++;
			continue;
		}
		if (is_blank(octet)) {
			value->has_blank = true;
			continue;
		}
		if (value->has_blank && value->has_text)
			buffer_append_octet(value->buffer, ' ');
		value->has_blank = false;
		value->has_text = true;
		buffer_append_octet(value->buffer, octet);
	}
}

static void
append_lower(struct buffer *buffer, struct slice name)
{
	uint8_t *room = buffer_reserve(buffer, name.len);

	for (size_t i = 0; room && i < name.len; i++)
		room[i] = ascii_lower(name.ptr[i]);
}

/* The field is cut in two around the hole, which lies inside its value. */
void
canon_append_field(struct buffer *buffer, enum canon canon, const struct header_field *field,
	struct slice hole)
{
	struct slice value = field->value, before = value, behind = {0};
	struct relaxed_value relaxed = {.buffer = buffer};

	if (hole.ptr) {
		size_t start = (size_t)(hole.ptr - value.ptr);
		before = slice_sub(value, 0, start);
		behind = slice_from(value, start + hole.len);
	}
	if (canon == CANON_SIMPLE) {
		size_t head = (size_t)(value.ptr - field->whole.ptr);
		buffer_append(buffer, slice_sub(field->whole, 0, head));
		buffer_append(buffer, before);
		buffer_append(buffer, behind);
	} else {
		append_lower(buffer, field->name);
		buffer_append_octet(buffer, ':');
		relax_value(&relaxed, before);
		relax_value(&relaxed, behind);
	}
	buffer_append(buffer, SLICE("\r\n"));
}

void
canon_body_init(struct canon_body *body, enum canon canon,
	void (*emit)(void *arg, struct slice octets), void *arg)
{
	body->canon = canon;
	body->emit = emit;
	body->arg = arg;
	body->emitted = body->line_ends = 0;
	body->has_cr = body->has_space = false;
	body->staged = 0;
}

static void
flush_stage(struct canon_body *body)
{
	if (body->staged > 0)
		body->emit(body->arg, slice_of(body->stage, body->staged));
	body->staged = 0;
}

/* Large runs go past the stage. */
static void
emit(struct canon_body *body, struct slice octets)
{
	body->emitted += octets.len;
	if (octets.len > CANON_STAGE_BYTES - body->staged)
		flush_stage(body);
	if (octets.len > CANON_STAGE_BYTES / 2) {
		flush_stage(body);
		body->emit(body->arg, octets);
		return;
	}
	if (octets.len > 0)
		memcpy(body->stage + body->staged, octets.ptr, octets.len);
	body->staged += octets.len;
}

/* What waited was not at the end of the body, nor of its line. */
static void
emit_waiting(struct canon_body *body)
{
	for (; body->line_ends > 0; body->line_ends--)
		emit(body, SLICE("\r\n"));
	if (body->has_space)
		emit(body, SLICE(" "));
	body->has_space = false;
	if (body->has_cr)
		emit(body, SLICE("\r"));
	body->has_cr = false;
}

static void
take_special(struct canon_body *body, uint8_t octet)
{
	if (octet == '\n' && body->has_cr) {
		body->has_cr = body->has_space = false;
		body->line_ends++;
	} else if (octet == '\r') {
		if (body->has_cr)
			emit_waiting(body);
		body->has_cr = true;
	} else if (is_blank(octet)) {
		if (body->has_cr)
			emit_waiting(body);
		body->has_space = true;
	} else {
		emit_waiting(body);
		emit(body, slice_of(&octet, 1));
	}
}

/* In simple form all stands for itself but the line ends at the end. */
static void
feed_simple(struct canon_body *body, struct slice octets)
{
	size_t end = octets.len;

	while (end > 0 && (octets.ptr[end - 1] == '\r' || octets.ptr[end - 1] == '\n'))
		end--;
	if (end > 0) {
		emit_waiting(body);
		emit(body, slice_sub(octets, 0, end));
	}
	for (; end < octets.len; end++)
		take_special(body, octets.ptr[end]);
}

/* Sixteen octets at once, by whatever the machine has for that. */
typedef uint8_t block __attribute__((vector_size(16)));

static block
block_at(const uint8_t *octets)
{
	block b;

	memcpy(&b, octets, sizeof b);
	return b;
}

/* Whether relaxed form may change something at an octet, with the one behind it: a blank that is
 * not a single space inside a line, a line end that is none, an empty line. */
static bool
needs_care(uint8_t x, uint8_t y)
{
	return x == '\t' || (x == ' ' && (is_blank(y) || y == '\r' || y == '\n')) ||
	       (x == '\r') != (y == '\n') || (x == '\n' && y == '\r');
}

static bool
block_needs_care(block x, block y)
{
	block care = (block)(x == '\t');
	uint64_t halves[2];

	care |= (block)(x == ' ') &
		((block)(y == ' ') | (block)(y == '\t') | (block)(y == '\r') | (block)(y == '\n'));
	care |= (block)(x == '\r') ^ (block)(y == '\n');
	care |= (block)(x == '\n') & (block)(y == '\r');
	memcpy(halves, &care, sizeof halves);
	return (halves[0] | halves[1]) != 0;
}

/* Octets from `at` on that relaxed form leaves as they are, the last one no blank and no line end.
 * The first one is neither. */
static size_t
relaxed_length(struct slice octets, size_t at)
{
	size_t end = at;

	/* UNSAFE: reads octets end to end + 16, which lie in the slice. */
	while (octets.len - end > sizeof(block) &&
		!block_needs_care(block_at(octets.ptr + end), block_at(octets.ptr + end + 1)))
		end += sizeof(block);
	while (end + 1 < octets.len && !needs_care(octets.ptr[end], octets.ptr[end + 1]))
		end++;
	if (end + 1 == octets.len)
		end++;
	while (end > at + 1 && (is_blank(octets.ptr[end - 1]) || octets.ptr[end - 1] == '\r' ||
				       octets.ptr[end - 1] == '\n'))
		end--;
	return end > at ? end - at : 1;
}

static void
feed_relaxed(struct canon_body *body, struct slice octets)
{
	size_t at = 0;

	while (at < octets.len) {
		uint8_t octet = octets.ptr[at];
		if (is_blank(octet) || octet == '\r' || octet == '\n') {
			take_special(body, octet);
			at++;
			continue;
		}
		size_t plain = relaxed_length(octets, at);
		emit_waiting(body);
		emit(body, slice_sub(octets, at, plain));
		at += plain;
	}
}

void
canon_body_feed(struct canon_body *body, struct slice octets)
{
	if (body->canon == CANON_SIMPLE)
		feed_simple(body, octets);
	else
		feed_relaxed(body, octets);
}

/* A body ends in one CRLF; an empty one is CRLF in simple form and nothing in relaxed form. */
void
canon_body_finish(struct canon_body *body)
{
	body->has_space = body->has_space && body->has_cr;
	if (body->has_cr)
		emit_waiting(body);
	if (body->emitted > 0 || body->canon == CANON_SIMPLE)
		emit(body, SLICE("\r\n"));
	flush_stage(body);
}
