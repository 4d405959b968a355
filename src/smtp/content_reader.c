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
 */
#include "smtp/content_reader.h"

#include "ipc/envelope.h"

#include <string.h>

enum reader_state { LINE_START, TEXT, CR, DOT, DOT_CR, DONE };

/* One step's walk over its block. */
struct walk {
	uint8_t *block;
	size_t len;
	size_t at;        /* next octet to look at */
	size_t run_start; /* octets from here to `at` are content that was not moved yet */
	size_t produced;
};

void
content_reader_init(struct content_reader *reader, uint32_t line_limit)
{
	*reader = (struct content_reader){.state = LINE_START, .line_limit = line_limit};
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
	reader->line_len = 0;
	reader->state = LINE_START;
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
	reader->line_len += before_cr;
	walk->at += before_cr + 1;
	if (line_feed == found + 1) {
		walk->at++;
		end_line(reader);
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
	reader->errors |= CONTENT_ERROR_BARE_CR;
	reader->state = TEXT;
}

static void
walk_on(struct content_reader *reader, struct walk *walk)
{
	switch ((enum reader_state)reader->state) {
	case LINE_START:
		if (walk->block[walk->at] != '.') {
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

struct content_step
content_reader_step(struct content_reader *reader, uint8_t *block, size_t len)
{
	struct walk walk = {.block = block, .len = len};

	while (walk.at < walk.len && reader->state != DONE)
		walk_on(reader, &walk);
	walk_skip(&walk, 0);
	if (walk.produced > 0 && memchr(block, 0, walk.produced))
		reader->errors |= CONTENT_ERROR_NUL;
	if (!(reader->flags & CONTENT_8BIT) && has_high_octet(block, walk.produced))
		reader->flags |= CONTENT_8BIT;
	return (struct content_step){.consumed = walk.at, .produced = walk.produced};
}
