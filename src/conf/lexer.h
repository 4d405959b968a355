/* Words, strings, braces and line ends of a configuration: private to this folder. */
#ifndef CONF_LEXER_H
#define CONF_LEXER_H

#include "conf/conf.h"

enum token_kind {
	TOKEN_WORD, /* also a string: quoting changes nothing in the meaning */
	TOKEN_OPEN,
	TOKEN_CLOSE,
	TOKEN_LINE_END,
	TOKEN_END,
	TOKEN_BAD, /* not a word at all; the problem has been reported */
};

/* In a value {name} is a placeholder and part of the word; elsewhere every brace stands for itself,
 * also without spaces around. */
enum lexer_mode { LEXER_DIRECTIVE, LEXER_VALUE };

struct token {
	enum token_kind kind;
	struct slice text; /* holds until the next string is read */
	struct conf_place place;
	size_t start;
};

struct lexer {
	struct slice text;
	size_t at;
	struct conf_place place; /* of text[at] */
	struct conf_problems *problems;
	bool quiet; /* problems are not reported: a part that is wrong already is skipped */
	uint8_t unquoted[CONF_TOKEN_MAX];
};

void lexer_init(struct lexer *lexer, struct slice text, struct conf_problems *problems);

struct token lexer_next(struct lexer *lexer, enum lexer_mode mode);

/* The next call starts with this token again. */
void lexer_return(struct lexer *lexer, const struct token *token);

#endif
