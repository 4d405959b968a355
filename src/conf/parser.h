/* The state of one parse: private to this folder. parse.c walks the text, parse_value.c reads the
 * values of one directive. */
#ifndef CONF_PARSER_H
#define CONF_PARSER_H

#include "conf/lexer.h"
#include "conf/names.h"
#include "conf/problem.h"
#include "conf/schema.h"

#define PARSER_DEPTH 2 /* the file and one block in it */

/* A block that is being read. */
struct frame {
	const struct schema_block *block;
	const struct schema_key *key; /* the directive that opened it; NULL for the file */
	uint8_t *item;                /* the struct that its keys write to */
	struct conf_place place;      /* of the directive */
	struct conf_place
		seen[SCHEMA_KEYS_MAX]; /* of each key's first directive; line 0: not seen */
	uint64_t excused; /* bits of keys: missing, but a misspelt word was probably meant for it */
	bool damaged;     /* something in it is wrong: no judgement on the whole */
};

struct parser {
	struct env *env;
	struct arena *arena;
	struct conf_problems *problems;
	unsigned readers; /* whose required keys must be there, whose defaults are filled in */
	bool is_view;
	struct conf conf;
	struct frame frames[PARSER_DEPTH];
	size_t depth; /* index of the present frame */
	struct names names;
	size_t block_count;
	/* The line of the last directive that ended, and its word. */
	uint32_t busy_line;
	const char *busy_word;
	enum error error; /* sticky; out of memory */
	struct lexer lexer;
};

static inline struct frame *
parser_frame(struct parser *parser)
{
	return &parser->frames[parser->depth];
}

/* Reports the message at this place, and that the present block is damaged. */
void parser_object(struct parser *parser, struct conf_place place, const struct buffer *message);
void parser_object_text(struct parser *parser, struct conf_place place, const char *text);

/* ` (did you mean "hostname"?)`, or nothing. */
void parser_append_suggestion(struct buffer *message, const char *word);

/* Whether a directive's place is taken; reports with the place of the first. `text` lives in the
 * arena. */
void parser_take_name(struct parser *parser, const struct schema_key *key, struct slice text,
	struct conf_place place);

/* A zeroed item at the end of the array at `pointer`, whose length is `count`; NULL: out of memory.
 */
void *parser_add_item(struct parser *parser, void *pointer, size_t *count, size_t item_size);

/* Copies a name or text into the arena, in lower case if the type is compared so. False: out of
 * memory. */
bool parser_keep(
	struct parser *parser, enum schema_type type, struct slice text, struct slice *ret_kept);

/* Checks the word against the type; reports and returns false when it is no such value. `after`
 * says what it follows. */
bool parser_check(struct parser *parser, enum schema_type type, const struct schema_key *key,
	const char *after, const struct token *token, uint64_t *ret_number);

/* The next word on this line; reports what was expected and returns false when there is none. */
bool parser_expect_word(struct parser *parser, enum lexer_mode mode, const char *expected,
	const char *after, struct token *ret_token);

/* Reads the values of a directive and stores them. False: reported, the rest of the line is to be
 * skipped. */
bool parser_read_value(struct parser *parser, const struct schema_key *key);

/* Stores the default of a key, if it has one. */
void parser_store_fallback(struct parser *parser, const struct schema_key *key, uint8_t *item);

#endif
