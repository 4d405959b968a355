/*
 * The reader of DATA content. The common path is two memchr a line (the line feed, then a carriage
 * return before it), two passes over the block (NUL, octets over 127), and no copying: octets move
 * only behind a dot that was taken off.
 *
 * SMTP smuggling (CVE-2023-51764 and its kin) lives on servers that see an end of data where the
 * sender's server saw none. So a line ends with CRLF and with nothing else; CR and LF alone are
 * errors and content octets like others; NUL as well.
 *
 * States, with what was seen last:
 *
 *   LINE_START  nothing yet, or CRLF          "." -> DOT, else TEXT
 *   TEXT        an octet within a line        CR -> CR, LF is bare
 *   CR          CR within a line (kept)       LF -> LINE_START, else the CR was bare -> TEXT
 *   DOT         "." at a line's start (gone)  CR -> DOT_CR, else TEXT
 *   DOT_CR      "." CR at a line's start      LF -> DONE, else the CR was bare -> TEXT
 *   DONE        the end
 *
 * The CR of DOT_CR is taken off with the dot: either it belongs to the end, or the content is
 * refused anyway.
 *
 * With `normalises` a CR is held back until it is known what it is (so that it is in no block that
 * has gone already), and four states more are only left by content_reader_copy, octet by octet:
 *
 *   CR_CR        two CR (held)                 LF -> LINE_START, else each was bare
 *   SOFT_START   behind a line end that was LF or CR alone    "." -> SOFT_DOT, else TEXT
 *   SOFT_DOT     "." there (held)              CR -> SOFT_DOT_CR, LF: a line of its own, else TEXT,
 * unstuffed SOFT_DOT_CR  "." CR there (held)           LF: a line of its own -> LINE_START
 */
#include "smtp/content_reader.h"

#include "ipc/envelope.h"

#include <string.h>

enum reader_state {
	LINE_START,
	TEXT,
	CR,
	DOT,
	DOT_CR,
	DONE,
	CR_CR,
	SOFT_START,
	SOFT_DOT,
	SOFT_DOT_CR
};

/* One step's walk over its block. */
struct walk {
	uint8_t *block;
	size_t len;
	size_t at;        /* next octet to look at */
	size_t run_start; /* octets from here to `at` are content that was not moved yet */
	size_t produced;
	bool stops; /* what comes next cannot be done in place */
};

void
content_reader_init(struct content_reader *reader, uint32_t line_limit, bool normalises)
{
	*reader = (struct content_reader){
		.state = LINE_START, .line_limit = line_limit, .normalises = normalises};
}

void
content_reader_init_counted(struct content_reader *reader, uint32_t line_limit, bool normalises)
{
	content_reader_init(reader, line_limit, normalises);
	reader->is_counted = true;
}

bool
content_reader_is_done(const struct content_reader *reader)
{
	return reader->state == DONE;
}

/* Moves the content before `at` behind what was produced, and leaves out `skip` octets from there.
 */
static void
walk_skip(struct walk *walk, size_t skip)
{
	size_t run = walk->at - walk->run_start;

	/* UNSAFE: produced <= run_start <= at <= len, by construction */
	if (run > 0 && walk->produced != walk->run_start)
		memmove(walk->block + walk->produced, walk->block + walk->run_start, run);
	walk->produced += run;
	walk->at += skip;
	walk->run_start = walk->at;
}

static void
check_line_len(struct content_reader *reader)
{
	if (reader->line_len > CONTENT_LINE_MAX)
		reader->flags |= CONTENT_LONG_LINE;
	if (reader->line_len > reader->line_limit)
		reader->errors |= CONTENT_ERROR_LINE_TOO_LONG;
}

static void
end_line(struct content_reader *reader)
{
	if (reader->line_len > CONTENT_LINE_MAX)
		check_line_len(reader);
	reader->is_in_body |= reader->line_len == 0;
	reader->line_len = 0;
	reader->state = LINE_START;
}

/* Before an octet that only content_reader_copy can take. */
static void
walk_stop(struct content_reader *reader, struct walk *walk, size_t before)
{
	reader->line_len += before;
	if (before > 0)
		reader->state = TEXT;
	check_line_len(reader);
	walk->at += before;
	walk->stops = true;
}

/* From within a line to behind its CRLF, or to what stands in the way of that. */
static void
walk_text(struct content_reader *reader, struct walk *walk)
{
	/* UNSAFE: at < len; found pointers lie within the block */
	uint8_t *start = walk->block + walk->at;
	uint8_t *line_feed = memchr(start, '\n', walk->len - walk->at);
	size_t before = line_feed ? (size_t)(line_feed - start) : walk->len - walk->at;
	uint8_t *found = before > 0 ? memchr(start, '\r', before) : NULL;

	if (!found && line_feed && reader->normalises) {
		walk_stop(reader, walk, before);
		return;
	}
	if (!found) {
		reader->errors |= line_feed ? CONTENT_ERROR_BARE_LF : 0;
		before += line_feed != NULL;
		reader->line_len += before;
		reader->state = TEXT;
		walk->at += before;
		check_line_len(reader);
		return;
	}
	size_t before_cr = (size_t)(found - start);
	bool is_last = walk->at + before_cr + 1 == walk->len;
	if (reader->normalises && line_feed != found + 1 && !is_last) {
		walk_stop(reader, walk, before_cr);
		return;
	}
	reader->line_len += before_cr;
	walk->at += before_cr + 1;
	if (line_feed == found + 1) {
		walk->at++;
		end_line(reader);
	} else if (reader->normalises) {
		walk->at--;
		walk_skip(walk, 1); /* held: the next block tells what it is */
		reader->state = CR;
		check_line_len(reader);
	} else {
		reader->state = CR; /* bare, or the block ends here: the next octet tells */
		check_line_len(reader);
	}
}

static void
walk_behind_cr(struct content_reader *reader, struct walk *walk)
{
	if (walk->block[walk->at] == '\n') {
		walk->at++;
		end_line(reader);
		return;
	}
	reader->errors |= CONTENT_ERROR_BARE_CR;
	reader->line_len++;
	reader->state = TEXT;
}

static void
walk_behind_dot(struct content_reader *reader, struct walk *walk)
{
	if (walk->block[walk->at] == '\r') {
		walk_skip(walk, 1);
		reader->state = DOT_CR;
		return;
	}
	if (reader->normalises && walk->block[walk->at] == '\n') {
		walk->stops = true;
		return;
	}
	if (walk->block[walk->at] == '.')
		reader->flags |= CONTENT_DOT_LINE;
	reader->state = TEXT;
}

static void
walk_behind_dot_cr(struct content_reader *reader, struct walk *walk)
{
	if (walk->block[walk->at] == '\n') {
		walk_skip(walk, 1);
		reader->state = DONE;
		return;
	}
	if (reader->normalises) {
		walk->stops = true;
		return;
	}
	reader->errors |= CONTENT_ERROR_BARE_CR;
	reader->state = TEXT;
}

static void
walk_on(struct content_reader *reader, struct walk *walk)
{
	switch ((enum reader_state)reader->state) {
	case LINE_START:
		if (reader->is_counted && walk->block[walk->at] == '.')
			reader->flags |= CONTENT_DOT_LINE;
		if (reader->is_counted || walk->block[walk->at] != '.') {
			walk_text(reader, walk);
			return;
		}
		walk_skip(walk, 1);
		reader->state = DOT;
		return;
	case TEXT:
		walk_text(reader, walk);
		return;
	case CR:
		walk_behind_cr(reader, walk);
		return;
	case DOT:
		walk_behind_dot(reader, walk);
		return;
	case DOT_CR:
		walk_behind_dot_cr(reader, walk);
		return;
	case DONE:
	case CR_CR:
	case SOFT_START:
	case SOFT_DOT:
	case SOFT_DOT_CR:
		walk->stops = true;
		return;
	}
}

static bool
has_high_octet(const uint8_t *bytes, size_t len)
{
	uint64_t words[4], any = 0;
	size_t at = 0;

	for (; len - at >= sizeof words; at += sizeof words) {
		memcpy(words, bytes + at, sizeof words); /* UNSAFE: at + sizeof words <= len */
		any |= (words[0] | words[1]) | (words[2] | words[3]);
	}
	for (; at < len; at++)
		any |= bytes[at];
	return (any & UINT64_C(0x8080808080808080)) != 0;
}

/* What a step or a copy produced, looked at once more. */
static void
judge_octets(struct content_reader *reader, const uint8_t *octets, size_t len)
{
	if (len > 0 && memchr(octets, 0, len))
		reader->errors |= CONTENT_ERROR_NUL;
	if (!(reader->flags & CONTENT_8BIT) && has_high_octet(octets, len))
		reader->flags |= CONTENT_8BIT;
}

/* Between lines or in one, with nothing held back: the octets may stay where they are. */
static bool
may_walk(const struct content_reader *reader)
{
	if (!reader->normalises)
		return true;
	return reader->pending_len == 0 && (reader->state == LINE_START || reader->state == TEXT);
}

struct content_step
content_reader_step(struct content_reader *reader, uint8_t *block, size_t len)
{
	struct walk walk = {.block = block, .len = len, .stops = !may_walk(reader)};

	while (walk.at < walk.len && reader->state != DONE && !walk.stops)
		walk_on(reader, &walk);
	walk_skip(&walk, 0);
	judge_octets(reader, block, walk.produced);
	return (struct content_step){.consumed = walk.at, .produced = walk.produced};
}

static void
put(struct content_reader *reader, uint8_t octet)
{
	reader->pending[reader->pending_len++] = octet;
}

static void
put_line_end(struct content_reader *reader, enum reader_state next)
{
	put(reader, '\r');
	put(reader, '\n');
	end_line(reader);
	reader->state = (uint8_t)next;
}

static void
put_text(struct content_reader *reader, uint8_t octet)
{
	put(reader, octet);
	reader->line_len++;
	check_line_len(reader);
	reader->state = TEXT;
}

/* A CR that no LF follows. */
static void
put_bare_cr(struct content_reader *reader)
{
	if (reader->is_in_body)
		put_line_end(reader, SOFT_START);
	else
		put_text(reader, ' ');
}

static void
copy_text(struct content_reader *reader, uint8_t octet)
{
	if (octet == '\r')
		reader->state = CR;
	else if (octet == '\n')
		put_line_end(reader, SOFT_START);
	else
		put_text(reader, octet);
}

static void
copy_at_start(struct content_reader *reader, uint8_t octet, enum reader_state dot)
{
	if (octet == '.' && reader->is_counted)
		reader->flags |= CONTENT_DOT_LINE;
	if (octet == '.' && !reader->is_counted)
		reader->state = (uint8_t)dot;
	else
		copy_text(reader, octet);
}

static void copy_octet(struct content_reader *reader, uint8_t octet);

static void
copy_behind_cr(struct content_reader *reader, uint8_t octet)
{
	bool is_second = reader->state == CR_CR;

	if (octet == '\n') {
		put_line_end(reader, LINE_START);
		return;
	}
	if (octet == '\r' && !is_second) {
		reader->state = CR_CR;
		return;
	}
	put_bare_cr(reader);
	if (octet == '\r') {
		reader->state = CR_CR;
		return;
	}
	if (is_second)
		put_bare_cr(reader);
	copy_octet(reader, octet);
}

/* The dot was taken off; where it is alone on a line of which one end is no CRLF it comes back. */
static void
copy_behind_dot(struct content_reader *reader, uint8_t octet, enum reader_state dot_cr)
{
	if (octet == '\r') {
		reader->state = (uint8_t)dot_cr;
		return;
	}
	if (octet == '\n' || octet == '.') {
		reader->flags |= CONTENT_DOT_LINE;
		put_text(reader, '.');
	}
	if (octet != '.')
		copy_text(reader, octet);
}

static void
copy_behind_dot_cr(struct content_reader *reader, uint8_t octet)
{
	if (octet == '\n' && reader->state == DOT_CR) {
		reader->state = DONE;
		return;
	}
	/* No field is a dot: the header is over. */
	reader->is_in_body = true;
	reader->flags |= CONTENT_DOT_LINE;
	put_text(reader, '.');
	reader->state = CR;
	copy_behind_cr(reader, octet);
}

static void
copy_octet(struct content_reader *reader, uint8_t octet)
{
	switch ((enum reader_state)reader->state) {
	case LINE_START:
		copy_at_start(reader, octet, DOT);
		return;
	case SOFT_START:
		copy_at_start(reader, octet, SOFT_DOT);
		return;
	case TEXT:
		copy_text(reader, octet);
		return;
	case CR:
	case CR_CR:
		copy_behind_cr(reader, octet);
		return;
	case DOT:
		copy_behind_dot(reader, octet, DOT_CR);
		return;
	case SOFT_DOT:
		copy_behind_dot(reader, octet, SOFT_DOT_CR);
		return;
	case DOT_CR:
	case SOFT_DOT_CR:
		copy_behind_dot_cr(reader, octet);
		return;
	case DONE:
		return;
	}
}

/* Pending octets into the room; false when some are left. */
static bool
flush_pending(struct content_reader *reader, uint8_t *room, size_t room_len, size_t *produced)
{
	size_t free = room_len - *produced;
	size_t len = reader->pending_len < free ? reader->pending_len : free;

	memcpy(room + *produced, reader->pending, len);
	*produced += len;
	reader->pending_len = (uint8_t)(reader->pending_len - len);
	memmove(reader->pending, reader->pending + len, reader->pending_len);
	return reader->pending_len == 0;
}

struct content_step
content_reader_copy(struct content_reader *reader, const uint8_t *octets, size_t len, uint8_t *room,
	size_t room_len)
{
	struct content_step step = {0};

	while (flush_pending(reader, room, room_len, &step.produced) && step.consumed < len &&
		reader->state != DONE)
		copy_octet(reader, octets[step.consumed++]);
	judge_octets(reader, room, step.produced);
	return step;
}

void
content_reader_end(struct content_reader *reader)
{
	bool is_held = reader->state == CR || reader->state == CR_CR;

	if (is_held && !reader->normalises)
		reader->errors |= CONTENT_ERROR_BARE_CR;
	for (int held = reader->state == CR_CR ? 2 : is_held; reader->normalises && held > 0;
		held--)
		put_bare_cr(reader);
	if (reader->line_len > 0)
		put_line_end(reader, LINE_START);
	reader->state = DONE;
}
