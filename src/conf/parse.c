/*
 * The parser. A loop, not a recursion: the file is a block, and its blocks hold no further ones.
 *
 *   file      = *( line-end / directive line-end )
 *   directive = key values / key [ name ] "{" *( directive / line-end ) "}"
 *
 * How many values a key takes is the schema's business, so a directive needs no end mark. In a
 * block several directives may share a line; outside of blocks each has its own: "hostname a b" is
 * a mistake, not two directives.
 *
 * After an error the rest of the line is skipped (in a block up to the next known word,
 * with braces what is between them), so that one run reports every mistake and none of its
 * consequences.
 */
#include "conf/parser.h"
#include "conf/suggest.h"

static void skip_directive(struct parser *parser);

void
parser_object(struct parser *parser, struct conf_place place, const struct buffer *message)
{
	problem_add(parser->problems, place, buffer_slice(message));
	parser_frame(parser)->damaged = true;
}

void
parser_object_text(struct parser *parser, struct conf_place place, const char *text)
{
	problem_add(parser->problems, place, slice_text(text));
	parser_frame(parser)->damaged = true;
}

void
parser_append_suggestion(struct buffer *message, const char *word)
{
	if (word)
		buffer_printf(message, " (did you mean \"%s\"?)", word);
}

static void
append_first(struct parser *parser, struct buffer *message, struct conf_place place)
{
	buffer_append_text(message, ", the first is at ");
	problem_append_place(message, slice_sub(parser->problems->file, 0, 128), place);
}

void
parser_take_name(struct parser *parser, const struct schema_key *key, struct slice text,
	struct conf_place place)
{
	char storage[PROBLEM_TEXT_MAX];
	struct buffer message;
	const struct name *before = NULL;
	enum error error = names_take(&parser->names, &(struct name){text, key, place}, &before);

	if (error != OK)
		parser->error = error;
	if (error != OK || !before)
		return;
	buffer_init_fixed(&message, storage, sizeof storage);
	if (before->key == key) {
		buffer_printf(&message, "duplicate %s ", key->word);
		problem_append_word(&message, text);
	} else {
		problem_append_word(&message, text);
		buffer_printf(&message, " is a %s already", before->key->word);
	}
	append_first(parser, &message, before->place);
	parser_object(parser, place, &message);
}

static size_t
key_index(const struct schema_block *block, const struct schema_key *key)
{
	return (size_t)(key - block->keys);
}

static bool
is_seen_by(const struct parser *parser, const struct schema_key *key)
{
	return (key->readers & parser->readers) != 0;
}

/* The defaults of a block that its reader sees. An unnamed block is part of the one around it, and
 * need not be written. */
static void
store_fallbacks(struct parser *parser, const struct schema_block *block, uint8_t *item)
{
	for (size_t i = 0; i < block->key_count; i++) {
		if (is_seen_by(parser, &block->keys[i]))
			parser_store_fallback(parser, &block->keys[i], item);
	}
}

static void
store_all_fallbacks(struct parser *parser)
{
	const struct schema_block *root = schema_root();
	uint8_t *item = (uint8_t *)&parser->conf;

	store_fallbacks(parser, root, item);
	/* UNSAFE: an unnamed block's struct lies in the file's at the schema's offset. */
	for (size_t i = 0; i < root->key_count; i++) {
		if (root->keys[i].type == SCHEMA_BLOCK &&
			root->keys[i].block->name_type == SCHEMA_NONE)
			store_fallbacks(parser, root->keys[i].block, item + root->keys[i].offset);
	}
}

/* What is missing in a block that is otherwise sound. */
static void
judge_required(struct parser *parser)
{
	char storage[PROBLEM_TEXT_MAX];
	struct buffer message;
	const struct frame *frame = parser_frame(parser);

	for (size_t i = 0; i < frame->block->key_count; i++) {
		const struct schema_key *key = &frame->block->keys[i];
		bool is_missing = (key->flags & SCHEMA_REQUIRED) && is_seen_by(parser, key) &&
				  frame->seen[i].line == 0 &&
				  !(frame->excused & (UINT64_C(1) << i));
		if (!is_missing || (frame->key && frame->damaged))
			continue;
		buffer_init_fixed(&message, storage, sizeof storage);
		if (frame->key)
			buffer_printf(&message, "%s needs %s", frame->key->word, key->noun);
		else
			buffer_printf(&message, "missing required %s", key->noun);
		problem_add(parser->problems, frame->place, buffer_slice(&message));
	}
}

/* What the keys of a block are together, if each for itself is in order. Views come from a
 * configuration that was judged whole. */
static void
judge_whole(struct parser *parser)
{
	const struct frame *frame = parser_frame(parser);
	const char *words[SCHEMA_BLAMED] = {0};
	struct conf_place place = {0};

	if (frame->damaged || parser->is_view || !frame->block->check)
		return;
	const char *wrong = frame->block->check(frame->item, words);
	if (!wrong)
		return;
	for (size_t i = 0; i < SCHEMA_BLAMED && words[i] && place.line == 0; i++)
		place = frame->seen[key_index(
			frame->block, schema_find(frame->block, slice_text(words[i])))];
	parser_object_text(parser, place.line > 0 ? place : frame->place, wrong);
}

static void
close_frame(struct parser *parser)
{
	const struct schema_key *key = parser_frame(parser)->key;
	bool damaged = parser_frame(parser)->damaged;

	judge_required(parser);
	judge_whole(parser);
	parser->depth--;
	parser_frame(parser)->damaged |= damaged;
	parser->busy_line = parser->lexer.place.line;
	parser->busy_word = key->word;
}

/* "listen", or "listen" with its name, in a frame of its own. */
static void
push_frame(
	struct parser *parser, const struct schema_key *key, uint8_t *item, struct conf_place place)
{
	parser->depth++;
	*parser_frame(parser) =
		(struct frame){.block = key->block, .key = key, .item = item, .place = place};
}

static uint8_t *
make_item(struct parser *parser, const struct schema_key *key, struct conf_place place)
{
	uint8_t *outer = parser_frame(parser)->item;

	if (++parser->block_count > CONF_BLOCKS_MAX) {
		if (parser->block_count == CONF_BLOCKS_MAX + 1)
			parser_object_text(parser, place, "more than 200000 blocks");
		return NULL;
	}
	/* UNSAFE: offsets of the schema lie in the item. */
	if (key->block->name_type == SCHEMA_NONE)
		return outer + key->offset;
	uint8_t *item = parser_add_item(parser, outer + key->offset,
		(size_t *)(void *)(outer + key->count_offset), key->block->item_size);
	if (item)
		store_fallbacks(parser, key->block, item);
	return item;
}

/* Reads the name and keeps it; a bad one is reported, and the block is read nevertheless. */
static bool
read_name(struct parser *parser, const struct schema_key *key, struct slice *ret_name,
	struct conf_place *ret_place)
{
	struct token token;
	uint64_t unused;
	enum schema_type type = key->block->name_type;

	*ret_name = (struct slice){0};
	if (type == SCHEMA_NONE)
		return true;
	const char *description = type == SCHEMA_LABEL ? "a name" : "a domain name";
	if (!parser_expect_word(parser, LEXER_DIRECTIVE, description, key->word, &token))
		return false;
	*ret_place = token.place;
	if (!parser_check(parser, type, key, key->word, &token, &unused))
		return true;
	return parser_keep(parser, type, token.text, ret_name);
}

static void
open_block(struct parser *parser, const struct schema_key *key, struct conf_place place)
{
	char storage[PROBLEM_TEXT_MAX];
	struct buffer message;
	struct slice name;
	struct conf_place name_place = place;

	if (!read_name(parser, key, &name, &name_place)) {
		skip_directive(parser);
		return;
	}
	struct token token = lexer_next(&parser->lexer, LEXER_DIRECTIVE);
	if (token.kind != TOKEN_OPEN) {
		buffer_init_fixed(&message, storage, sizeof storage);
		buffer_printf(&message, "expected \"{\" after \"%s%s\"", key->word,
			key->block->name_type == SCHEMA_NONE ? "" : " NAME");
		if (token.kind != TOKEN_BAD)
			parser_object(parser, token.place, &message);
		lexer_return(&parser->lexer, &token);
		skip_directive(parser);
		return;
	}
	uint8_t *item = make_item(parser, key, place);
	if (!item) {
		lexer_return(&parser->lexer, &token);
		skip_directive(parser);
		return;
	}
	if (name.ptr && key->space != SCHEMA_SPACE_NONE) {
		/* UNSAFE: the schema's offset lies in the item. */
		memcpy(item + key->block->name_offset, &name, sizeof name);
		parser_take_name(parser, key, name, name_place);
	}
	push_frame(parser, key, item, place);
}

/* Whether skipping may end before this token: braces opened meanwhile are closed, and here
 * something known begins. */
static bool
is_resting_place(const struct parser *parser, const struct token *token, size_t open)
{
	const struct frame *frame = &parser->frames[parser->depth];

	if (token->kind == TOKEN_END)
		return true;
	if (open > 0)
		return false;
	if (token->kind == TOKEN_LINE_END)
		return true;
	if (parser->depth == 0)
		return false;
	return token->kind == TOKEN_CLOSE ||
	       (token->kind == TOKEN_WORD && schema_find(frame->block, token->text));
}

/* Skips what is left of a directive that is wrong, without a further word about it. */
static void
skip_directive(struct parser *parser)
{
	size_t open = 0;
	struct token token;

	parser->lexer.quiet = true;
	for (;;) {
		token = lexer_next(&parser->lexer, LEXER_VALUE);
		if (is_resting_place(parser, &token, open))
			break;
		if (token.kind == TOKEN_OPEN)
			open++;
		else if (token.kind == TOKEN_CLOSE && open > 0)
			open--;
	}
	lexer_return(&parser->lexer, &token);
	parser->lexer.quiet = false;
}

/* The word as a choice of one of these keys: who writes `discard` means `to discard`. */
static const struct schema_key *
find_key_with_choice(const struct schema_block *block, struct slice word)
{
	for (size_t i = 0; i < block->key_count; i++) {
		const struct schema_key *key = &block->keys[i];
		for (size_t j = 0; j < key->choice_count; j++) {
			if (key->choices[j].word &&
				slice_equal(slice_text(key->choices[j].word), word))
				return key;
		}
	}
	return NULL;
}

/* The block of the schema in which this word is a directive; NULL: none. */
static const struct schema_key *
find_home_of(struct slice word)
{
	const struct schema_block *root = schema_root();

	for (size_t i = 0; i < root->key_count; i++) {
		if (root->keys[i].type == SCHEMA_BLOCK && schema_find(root->keys[i].block, word))
			return &root->keys[i];
	}
	return NULL;
}

static void
suggest_directive(struct parser *parser, struct slice word, struct buffer *message)
{
	struct frame *frame = parser_frame(parser);
	struct suggestion suggestion = {.word = word};
	const struct schema_key *other = find_key_with_choice(frame->block, word);

	for (size_t i = 0; i < frame->block->key_count && !other; i++)
		suggestion_offer(&suggestion, frame->block->keys[i].word, &frame->block->keys[i]);
	if (suggestion.nearest)
		frame->excused |= UINT64_C(1) << key_index(frame->block, suggestion.tag);
	if (other)
		buffer_printf(
			message, " (did you mean \"%s %.*s\"?)", other->word, SLICE_ARGS(word));
	else
		parser_append_suggestion(message, suggestion.nearest);
}

static void
object_to_unknown(struct parser *parser, const struct token *token)
{
	char storage[PROBLEM_TEXT_MAX];
	struct buffer message;
	const struct frame *frame = parser_frame(parser);
	const struct schema_key *home = find_home_of(token->text);

	buffer_init_fixed(&message, storage, sizeof storage);
	if (frame->key && schema_find(schema_root(), token->text)) {
		problem_append_word(&message, token->text);
		buffer_printf(&message, " does not belong into \"%s\"", frame->key->word);
	} else if (home) {
		problem_append_word(&message, token->text);
		buffer_printf(&message, " belongs into \"%s\"", home->word);
	} else {
		buffer_append_text(&message, "unknown directive ");
		problem_append_word(&message, token->text);
		suggest_directive(parser, token->text, &message);
	}
	parser_object(parser, token->place, &message);
}

static void
object_to_second(struct parser *parser, const struct schema_key *key, const struct token *token)
{
	char storage[PROBLEM_TEXT_MAX];
	struct buffer message;
	const struct frame *frame = parser_frame(parser);

	buffer_init_fixed(&message, storage, sizeof storage);
	buffer_printf(&message, "duplicate \"%s\"", key->word);
	append_first(parser, &message, frame->seen[key_index(frame->block, key)]);
	parser_object(parser, token->place, &message);
}

static void
object_to_busy_line(struct parser *parser, const struct token *token)
{
	char storage[PROBLEM_TEXT_MAX];
	struct buffer message;

	buffer_init_fixed(&message, storage, sizeof storage);
	buffer_printf(
		&message, "expected the end of the line after \"%s\", found ", parser->busy_word);
	problem_append_word(&message, token->text);
	parser_object(parser, token->place, &message);
}

/*
 * A block's key inside of another block: its "}" was forgotten. Going on as if it were there finds
 * the errors that are left and invents none.
 */
static const struct schema_key *
leave_unclosed(struct parser *parser, struct slice word)
{
	char storage[PROBLEM_TEXT_MAX];
	struct buffer message;
	const struct frame *frame = parser_frame(parser);
	const struct schema_key *key = frame->key ? schema_find(schema_root(), word) : NULL;

	if (!key || key->type != SCHEMA_BLOCK)
		return NULL;
	buffer_init_fixed(&message, storage, sizeof storage);
	buffer_printf(&message, "\"%s\" has no \"}\" before the next \"%s\"", frame->key->word,
		key->word);
	parser_object(parser, frame->place, &message);
	close_frame(parser);
	parser->busy_line = 0;
	return key;
}

static void
read_directive(struct parser *parser, const struct token *token)
{
	bool may_share_line = parser->depth > 0;
	const struct schema_key *key = schema_find(parser_frame(parser)->block, token->text);

	if (!may_share_line && parser->busy_line == token->place.line) {
		object_to_busy_line(parser, token);
		skip_directive(parser);
		return;
	}
	if (!key)
		key = leave_unclosed(parser, token->text);
	if (!key) {
		object_to_unknown(parser, token);
		skip_directive(parser);
		return;
	}
	struct frame *frame = parser_frame(parser);
	struct conf_place *seen = &frame->seen[key_index(frame->block, key)];
	if (seen->line > 0 && !(key->flags & SCHEMA_REPEATED)) {
		object_to_second(parser, key, token);
		skip_directive(parser);
		return;
	}
	if (seen->line == 0)
		*seen = token->place;
	parser->busy_line = token->place.line;
	parser->busy_word = key->word;
	if (key->type == SCHEMA_BLOCK)
		open_block(parser, key, token->place);
	else if (!parser_read_value(parser, key))
		skip_directive(parser);
}

static void
read_close(struct parser *parser, const struct token *token)
{
	if (parser->depth > 0)
		close_frame(parser);
	else
		parser_object_text(parser, token->place, "a \"}\" without its \"{\"");
}

static void
read_end(struct parser *parser)
{
	char storage[PROBLEM_TEXT_MAX];
	struct buffer message;
	const struct frame *frame = parser_frame(parser);

	if (parser->depth > 0) {
		buffer_init_fixed(&message, storage, sizeof storage);
		buffer_printf(&message, "\"%s\" has no \"}\" before the end of the file",
			frame->key->word);
		parser_object(parser, frame->place, &message);
		close_frame(parser);
	}
	judge_required(parser);
	judge_whole(parser);
}

/* False at the end of the text. */
static bool
read_token(struct parser *parser)
{
	struct token token = lexer_next(&parser->lexer, LEXER_DIRECTIVE);

	switch (token.kind) {
	case TOKEN_WORD:
		read_directive(parser, &token);
		return true;
	case TOKEN_OPEN:
		parser_object_text(parser, token.place, "a \"{\" without a directive before it");
		lexer_return(&parser->lexer, &token);
		skip_directive(parser);
		return true;
	case TOKEN_CLOSE:
		read_close(parser, &token);
		return true;
	case TOKEN_BAD:
		parser_frame(parser)->damaged = true;
		skip_directive(parser);
		return true;
	case TOKEN_LINE_END:
		return true;
	case TOKEN_END:
		break;
	}
	read_end(parser);
	return false;
}

static enum error
parser_run(struct parser *parser)
{
	size_t before = parser->problems->count;

	parser->frames[0] = (struct frame){.block = schema_root(),
		.item = (uint8_t *)&parser->conf,
		.place = {.line = 1, .column = 1}};
	store_all_fallbacks(parser);
	while (parser->error == OK && !parser->problems->more && read_token(parser))
		continue;
	if (parser->error != OK)
		return parser->error;
	if (parser->problems->count > before || parser->problems->more)
		return ERROR_FORMAT;
	if (!parser->is_view)
		schema_fill_defaults(&parser->conf);
	return OK;
}

static enum error
parse(struct env *env, struct arena *arena, unsigned readers, bool is_view, struct slice text,
	struct conf *ret_conf, struct conf_problems *problems)
{
	if (text.len > CONF_TEXT_MAX) {
		problem_add(problems, (struct conf_place){0}, SLICE("more than 16M of text"));
		return ERROR_FORMAT;
	}
	struct parser *parser = memory_try(env->memory, sizeof *parser);
	if (!parser)
		return ERROR_NO_MEMORY;
	parser->env = env;
	parser->arena = arena;
	parser->problems = problems;
	parser->readers = readers;
	parser->is_view = is_view;
	names_init(&parser->names, env);
	lexer_init(&parser->lexer, text, problems);
	enum error error = parser_run(parser);
	if (error == OK)
		*ret_conf = parser->conf;
	names_done(&parser->names);
	memory_put(env->memory, parser);
	return error;
}

enum error
conf_parse(struct env *env, struct arena *arena, struct slice file_name, struct slice text,
	struct conf *ret_conf, struct conf_problems *problems)
{
	if (!arena_copy(&problems->arena, file_name, &problems->file))
		return ERROR_NO_MEMORY;
	return parse(env, arena, CONF_READERS_ALL, false, text, ret_conf, problems);
}

enum error
conf_parse_view(struct env *env, struct arena *arena, unsigned readers, struct slice text,
	struct conf *ret_conf, struct conf_problems *problems)
{
	problems->file = SLICE("configuration");
	return parse(env, arena, readers, true, text, ret_conf, problems);
}
