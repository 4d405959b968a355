/*
 * The lexical grammar:
 *
 *   text    = *( blank / comment / line-end / "{" / "}" / word / string )
 *   blank   = SP / HTAB / CR before LF
 *   comment = "#" *( any octet but LF )          ; where a word could begin
 *   word    = 1*( any octet but control characters, blank, DQUOTE; braces see below )
 *   string  = DQUOTE *( plain / "\" DQUOTE / "\" "\" ) DQUOTE
 *   plain   = any octet but control characters, DQUOTE, "\"
 *
 * A brace is a token of its own, but in values "{" and the "}" that matches it may be part of a
 * word, since templates have placeholders. A word does not end in ";": who writes one expects it to
 * end the directive, and would get it as part of a value. Promises: time is linear in the
 * text, nothing is kept but one unquoted string, every token has a maximum.
 */
#include "conf/lexer.h"
#include "conf/problem.h"

#define OCTET_DEL 0x7f

void
lexer_init(struct lexer *lexer, struct slice text, struct conf_problems *problems)
{
	struct slice byte_order_mark = SLICE("\xef\xbb\xbf");

	lexer->text = text;
	lexer->at = slice_has_prefix(text, byte_order_mark) ? byte_order_mark.len : 0;
	lexer->place = (struct conf_place){.line = 1, .column = 1};
	lexer->problems = problems;
	lexer->quiet = false;
}

static int
lexer_peek(const struct lexer *lexer)
{
	return lexer->at < lexer->text.len ? lexer->text.ptr[lexer->at] : -1;
}

/* Columns count characters: the octets that continue a UTF-8 sequence do not count. */
static void
lexer_step(struct lexer *lexer)
{
	uint8_t octet = lexer->text.ptr[lexer->at++];

	if (octet == '\n') {
		lexer->place.line++;
		lexer->place.column = 1;
	} else if ((octet & 0xc0) != 0x80) {
		lexer->place.column++;
	}
}

static bool
is_line_end(const struct lexer *lexer)
{
	int octet = lexer_peek(lexer);

	if (octet == '\r')
		return slice_equal(slice_sub(lexer->text, lexer->at, 2), SLICE("\r\n"));
	return octet == '\n' || octet < 0;
}

static bool
is_word_end(const struct lexer *lexer)
{
	int octet = lexer_peek(lexer);

	return octet == ' ' || octet == '\t' || is_line_end(lexer);
}

static bool
is_control(int octet)
{
	return octet >= 0 && (octet < 0x20 || octet == OCTET_DEL) && octet != '\t';
}

/* Remembers the first thing that is wrong with a token. */
static void
lexer_object(struct lexer *lexer, struct token *token, struct conf_place place, const char *text)
{
	if (token->kind != TOKEN_BAD && !lexer->quiet)
		problem_add(lexer->problems, place, slice_text(text));
	token->kind = TOKEN_BAD;
}

static void
lexer_object_control(struct lexer *lexer, struct token *token, int octet)
{
	char storage[64];
	struct buffer text;

	buffer_init_fixed(&text, storage, sizeof storage);
	buffer_printf(&text, "control character 0x%02x", (unsigned)octet);
	lexer_object(lexer, token, lexer->place, buffer_text(&text));
}

static void
skip_blank(struct lexer *lexer)
{
	for (;;) {
		int octet = lexer_peek(lexer);
		if (octet == '#') {
			while (!is_line_end(lexer))
				lexer_step(lexer);
			continue;
		}
		if (octet != ' ' && octet != '\t' && !(octet == '\r' && is_line_end(lexer)))
			return;
		lexer_step(lexer);
	}
}

/* Whether the brace at this place is closed in the same word: "{home}/Maildir". */
static bool
is_placeholder(const struct lexer *lexer)
{
	for (size_t i = lexer->at + 1; i < lexer->text.len; i++) {
		if (lexer->text.ptr[i] == '}')
			return true;
		if (!ascii_is_alnum(lexer->text.ptr[i]))
			return false;
	}
	return false;
}

/* Whether a brace ends the word; in a value it does when no brace of the word is open. */
static bool
is_brace_outside(int octet, enum lexer_mode mode, bool *open)
{
	if (octet != '{' && octet != '}')
		return false;
	if (mode == LEXER_DIRECTIVE || (octet == '}' && !*open))
		return true;
	*open = octet == '{';
	return false;
}

static void
read_word(struct lexer *lexer, struct token *token, enum lexer_mode mode)
{
	struct conf_place last = token->place;
	bool open = false;

	while (!is_word_end(lexer)) {
		int octet = lexer_peek(lexer);
		if (is_brace_outside(octet, mode, &open))
			break;
		if (octet == '"')
			lexer_object(lexer, token, lexer->place,
				"a quote inside a word: put the whole value in quotes");
		if (is_control(octet))
			lexer_object_control(lexer, token, octet);
		last = lexer->place;
		lexer_step(lexer);
	}
	token->text = slice_sub(lexer->text, token->start, lexer->at - token->start);
	if (token->text.len > CONF_TOKEN_MAX)
		lexer_object(lexer, token, token->place, "a word of more than 4096 octets");
	if (slice_has_suffix(token->text, SLICE(";")))
		lexer_object(lexer, token, last,
			"\";\" ends nothing here: a directive ends at the end of its line");
}

/* One octet of a string, with a backslash before it or not; true when it belongs to the value. */
static void
read_string_octet(struct lexer *lexer, struct token *token, size_t *len)
{
	int octet = lexer_peek(lexer);
	struct conf_place place = lexer->place;

	if (is_control(octet))
		lexer_object_control(lexer, token, octet);
	lexer_step(lexer);
	if (octet == '\\') {
		octet = lexer_peek(lexer);
		if (octet != '"' && octet != '\\') {
			lexer_object(lexer, token, place,
				"in quotes a backslash stands only before \" or another \\");
			return;
		}
		lexer_step(lexer);
	}
	if (*len == sizeof lexer->unquoted)
		lexer_object(lexer, token, token->place, "a string of more than 4096 octets");
	else
		lexer->unquoted[(*len)++] = (uint8_t)octet;
}

static void
read_string(struct lexer *lexer, struct token *token)
{
	size_t len = 0;

	lexer_step(lexer);
	while (!is_line_end(lexer) && lexer_peek(lexer) != '"')
		read_string_octet(lexer, token, &len);
	token->text = slice_of(lexer->unquoted, len);
	if (is_line_end(lexer)) {
		lexer_object(
			lexer, token, token->place, "the closing quote is missing on this line");
		return;
	}
	lexer_step(lexer);
	int next = lexer_peek(lexer);
	if (!is_word_end(lexer) && next != '{' && next != '}')
		lexer_object(
			lexer, token, lexer->place, "expected a space after the closing quote");
}

struct token
lexer_next(struct lexer *lexer, enum lexer_mode mode)
{
	skip_blank(lexer);
	struct token token = {.kind = TOKEN_WORD, .place = lexer->place, .start = lexer->at};
	int octet = lexer_peek(lexer);

	if (octet < 0) {
		token.kind = TOKEN_END;
		return token;
	}
	if (octet == '"') {
		read_string(lexer, &token);
		return token;
	}
	if (octet == '\n')
		token.kind = TOKEN_LINE_END;
	else if (octet == '}')
		token.kind = TOKEN_CLOSE;
	else if (octet == '{' && (mode == LEXER_DIRECTIVE || !is_placeholder(lexer)))
		token.kind = TOKEN_OPEN;
	if (token.kind == TOKEN_WORD)
		read_word(lexer, &token, mode);
	else
		lexer_step(lexer);
	return token;
}

void
lexer_return(struct lexer *lexer, const struct token *token)
{
	lexer->at = token->start;
	lexer->place = token->place;
}
