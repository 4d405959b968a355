/*
 * The values of one directive: checked against their types, then stored where the schema says.
 * Defaults take the same way as what a file says, so a default can be nothing that a file could not
 * say.
 */
#include "conf/parser.h"
#include "base/clock.h"
#include "conf/suggest.h"
#include "conf/value.h"

#define DETAIL_MAX 128

/* "found the end of the line" and so on, for a token that is not the expected one. */
static void
append_found(struct buffer *message, const struct token *token)
{
	static const char *const names[] = {
		[TOKEN_OPEN] = "\"{\"",
		[TOKEN_CLOSE] = "\"}\"",
		[TOKEN_LINE_END] = "the end of the line",
		[TOKEN_END] = "the end of the file",
	};

	buffer_append_text(message, ", found ");
	if (token->kind == TOKEN_WORD)
		problem_append_word(message, token->text);
	else
		buffer_append_text(message, names[token->kind]);
}

static void
append_expected(struct buffer *message, const char *expected, const char *after)
{
	buffer_printf(message, "expected %s after \"%s\"", expected, after);
}

bool
parser_expect_word(struct parser *parser, enum lexer_mode mode, const char *expected,
	const char *after, struct token *ret_token)
{
	char storage[PROBLEM_TEXT_MAX];
	struct buffer message;
	struct token token = lexer_next(&parser->lexer, mode);

	*ret_token = token;
	if (token.kind == TOKEN_WORD)
		return true;
	if (token.kind == TOKEN_BAD) {
		parser_frame(parser)->damaged = true;
		return false;
	}
	lexer_return(&parser->lexer, &token);
	buffer_init_fixed(&message, storage, sizeof storage);
	append_expected(&message, expected, after);
	append_found(&message, &token);
	parser_object(parser, token.place, &message);
	return false;
}

static void
append_range(struct buffer *message, enum schema_type type, const struct schema_key *key)
{
	buffer_printf(message, "\"%s\" must be from ", key->word);
	value_append_number(message, type, key->min);
	buffer_append_text(message, " to ");
	value_append_number(message, type, key->max);
}

bool
parser_check(struct parser *parser, enum schema_type type, const struct schema_key *key,
	const char *after, const struct token *token, uint64_t *ret_number)
{
	char storage[PROBLEM_TEXT_MAX], detail_storage[DETAIL_MAX];
	struct buffer message, detail;

	buffer_init_fixed(&detail, detail_storage, sizeof detail_storage);
	enum value_verdict verdict = value_check(type, key, token->text, ret_number, &detail);
	if (verdict == VALUE_FINE)
		return true;
	buffer_init_fixed(&message, storage, sizeof storage);
	if (verdict == VALUE_OUT_OF_RANGE)
		append_range(&message, type, key);
	else
		append_expected(&message, value_description(type), after);
	append_found(&message, token);
	if (detail.len > 0)
		buffer_printf(&message, ": %s", buffer_text(&detail));
	parser_object(parser, token->place, &message);
	return false;
}

bool
parser_keep(struct parser *parser, enum schema_type type, struct slice text, struct slice *ret_kept)
{
	uint8_t *kept = arena_take(parser->arena, text.len);

	if (!kept) {
		parser->error = ERROR_NO_MEMORY;
		return false;
	}
	for (size_t i = 0; i < text.len; i++)
		kept[i] = value_is_lowered(type) ? ascii_lower(text.ptr[i]) : text.ptr[i];
	*ret_kept = slice_of(kept, text.len);
	return true;
}

/*
 * Arrays double when they are full, which is when their length is a power of two: so no capacity is
 * stored. What an array leaves behind in the arena is at most its own size.
 */
void *
parser_add_item(struct parser *parser, void *pointer, size_t *count, size_t item_size)
{
	uint8_t *items;

	memcpy(&items, pointer, sizeof items);
	if ((*count & (*count - 1)) == 0) {
		uint8_t *larger = arena_take(parser->arena, (*count ? *count * 2 : 1) * item_size);
		if (!larger) {
			parser->error = ERROR_NO_MEMORY;
			return NULL;
		}
		if (*count > 0)
			memcpy(larger, items, *count * item_size);
		items = larger;
		memcpy(pointer, &items, sizeof items);
	}
	/* UNSAFE: the array has room for one more. */
	return items + (*count)++ * item_size;
}

/* Writes a value that was checked into the item's field of this type. */
static bool
store(struct parser *parser, enum schema_type type, struct slice text, uint64_t number, void *field)
{
	struct slice kept;
	int64_t duration_us = (int64_t)number * US_PER_S;

	if (type == SCHEMA_DURATION) {
		memcpy(field, &duration_us, sizeof duration_us);
		return true;
	}
	if (value_is_number(type)) {
		memcpy(field, &number, sizeof number);
		return true;
	}
	if (!parser_keep(parser, type, text, &kept))
		return false;
	memcpy(field, &kept, sizeof kept);
	return true;
}

/* `"file", "system" or "any"`, or what any other word would be. */
static void
append_choices(struct buffer *list, const struct schema_key *key)
{
	for (size_t i = 0; i < key->choice_count; i++) {
		const struct schema_choice *choice = &key->choices[i];
		if (i > 0)
			buffer_append_text(list, i + 1 == key->choice_count ? " or " : ", ");
		if (choice->word)
			buffer_printf(list, "\"%s\"", choice->word);
		else
			buffer_append_text(list, value_description(choice->argument));
	}
}

static void
object_to_choice(struct parser *parser, const struct schema_key *key, const struct token *token,
	const char *expected)
{
	char storage[PROBLEM_TEXT_MAX];
	struct buffer message;
	struct suggestion suggestion = {.word = token->text};

	for (size_t i = 0; i < key->choice_count; i++)
		suggestion_offer(&suggestion, key->choices[i].word, NULL);
	buffer_init_fixed(&message, storage, sizeof storage);
	append_expected(&message, expected, key->word);
	append_found(&message, token);
	parser_append_suggestion(&message, suggestion.nearest);
	parser_object(parser, token->place, &message);
}

/* The choice that this word makes, or the one that takes any other word; NULL: none. */
static const struct schema_choice *
find_choice(const struct schema_key *key, struct slice word)
{
	for (size_t i = 0; i < key->choice_count; i++) {
		const struct schema_choice *choice = &key->choices[i];
		if (!choice->word || slice_equal(slice_text(choice->word), word))
			return choice;
	}
	return NULL;
}

static bool
read_argument(struct parser *parser, const struct schema_key *key,
	const struct schema_choice *choice, const struct token *word, uint8_t *item)
{
	char storage[64];
	struct buffer after;
	struct token token = *word;
	uint64_t number = 0;

	buffer_init_fixed(&after, storage, sizeof storage);
	buffer_append_text(&after, key->word);
	if (choice->word) {
		buffer_printf(&after, " %s", choice->word);
		const char *expected = value_description(choice->argument);
		if (!parser_expect_word(parser, LEXER_VALUE, expected, buffer_text(&after), &token))
			return false;
	}
	enum schema_type type = choice->argument;
	if (type == SCHEMA_LMTP && slice_equal(token.text, SLICE("unix"))) {
		type = SCHEMA_SOCKET;
		buffer_append_text(&after, " unix");
		if (!parser_expect_word(parser, LEXER_VALUE, value_description(type),
			    buffer_text(&after), &token))
			return false;
	}
	if (!parser_check(parser, type, key, buffer_text(&after), &token, &number))
		return false;
	/* UNSAFE: the schema's offset lies in the item. */
	return store(parser, type, token.text, number, item + key->argument_offset);
}

static bool
read_choice(struct parser *parser, const struct schema_key *key, uint8_t *item)
{
	char storage[PROBLEM_TEXT_MAX];
	struct buffer expected;
	struct token token;

	buffer_init_fixed(&expected, storage, sizeof storage);
	append_choices(&expected, key);
	if (!parser_expect_word(parser, LEXER_VALUE, buffer_text(&expected), key->word, &token))
		return false;
	const struct schema_choice *choice = find_choice(key, token.text);
	if (!choice) {
		object_to_choice(parser, key, &token, buffer_text(&expected));
		return false;
	}
	/* UNSAFE: the schema's offset lies in the item. */
	memcpy(item + key->offset, &choice->value, sizeof choice->value);
	return choice->argument == SCHEMA_NONE || read_argument(parser, key, choice, &token, item);
}

/* UNSAFE: offsets of the schema lie in the item. */
static void *
repeated_field(struct parser *parser, const struct schema_key *key, uint8_t *item)
{
	return parser_add_item(parser, item + key->offset,
		(size_t *)(void *)(item + key->count_offset), sizeof(struct slice));
}

/* One value that is no choice. */
static bool
read_plain(struct parser *parser, const struct schema_key *key)
{
	uint8_t *item = parser_frame(parser)->item;
	struct token token;
	uint64_t number = 0;

	if (!parser_expect_word(
		    parser, LEXER_VALUE, value_description(key->type), key->word, &token) ||
		!parser_check(parser, key->type, key, key->word, &token, &number))
		return false;
	/* UNSAFE: the schema's offset lies in the item. */
	void *field = key->flags & SCHEMA_REPEATED ? repeated_field(parser, key, item)
						   : item + key->offset;
	if (!field || !store(parser, key->type, token.text, number, field))
		return false;
	if (key->space != SCHEMA_SPACE_NONE && !value_may_recur(key->type, token.text)) {
		struct slice kept;
		memcpy(&kept, field, sizeof kept);
		parser_take_name(parser, key, kept, token.place);
	}
	return true;
}

/* Whether a further value of a list follows on the line: a word that is no directive. */
static bool
has_another(struct parser *parser)
{
	struct token token = lexer_next(&parser->lexer, LEXER_VALUE);
	bool is_value =
		token.kind == TOKEN_WORD && !schema_find(parser_frame(parser)->block, token.text);

	lexer_return(&parser->lexer, &token);
	return is_value;
}

bool
parser_read_value(struct parser *parser, const struct schema_key *key)
{
	if (key->type == SCHEMA_CHOICE)
		return read_choice(parser, key, parser_frame(parser)->item);
	do {
		if (!read_plain(parser, key))
			return false;
	} while ((key->flags & SCHEMA_LIST) && has_another(parser));
	return true;
}

void
parser_store_fallback(struct parser *parser, const struct schema_key *key, uint8_t *item)
{
	struct slice text = slice_text(key->fallback);
	uint64_t number = 0;

	if (!key->fallback)
		return;
	/* UNSAFE: the schema's offset lies in the item. */
	uint8_t *field = item + key->offset;
	if (key->type == SCHEMA_CHOICE) {
		const struct schema_choice *choice = find_choice(key, text);
		memcpy(field, &choice->value, sizeof choice->value);
		return;
	}
	char detail_storage[DETAIL_MAX];
	struct buffer detail;
	buffer_init_fixed(&detail, detail_storage, sizeof detail_storage);
	/* Out of memory is sticky in the parser; a test checks that every default is a value of its
	 * type. */
	if (value_check(key->type, key, text, &number, &detail) == VALUE_FINE)
		(void)store(parser, key->type, text, number, field);
}
