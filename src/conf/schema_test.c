/* The table itself: sound, explained, and helpful to who misspells it; the manual and the sample
 * configuration that follow from it. */
#include "base/file_replace.h"
#include "conf/conf_test.h"
#include "unit.h"
#include "conf/schema.h"
#include "conf/suggest.h"

#include <fcntl.h>

/* Calls `check` for every key; `around` is the block's key or NULL. */
static void
each_key(void (*check)(const struct schema_key *key, const struct schema_key *around))
{
	const struct schema_block *root = schema_root();

	for (size_t i = 0; i < root->key_count; i++) {
		check(&root->keys[i], NULL);
		for (size_t j = 0; root->keys[i].block && j < root->keys[i].block->key_count; j++)
			check(&root->keys[i].block->keys[j], &root->keys[i]);
	}
}

/* Puts a directive where it belongs. */
static const char *
put_into(struct buffer *text, const struct schema_key *around, const char *directive)
{
	buffer_clear(text);
	if (around)
		buffer_printf(text, HOST "%s%s { %s }\n", around->word,
			around->block->name_type ? " a.b" : "", directive);
	else
		buffer_printf(text, HOST "%s\n", directive);
	return buffer_text(text);
}

static void
check_sound(const struct schema_key *key, const struct schema_key *around)
{
	unsigned always = CONF_READER_ROOT | CONF_READER_TOOL;

	ck_assert_msg(key->help && key->example, "%s is not explained", key->word);
	ck_assert_msg(key->help[strlen(key->help) - 1] == '.', "%s: help without its full stop",
		key->word);
	ck_assert_msg(slice_has_prefix(slice_text(key->example), slice_text(key->word)),
		"%s: example", key->word);
	ck_assert_uint_eq(key->readers & always, always);
	ck_assert_uint_eq(key->readers & ~CONF_READERS_ALL, 0);
	/* Who sees a key sees its block, and blocks hold no blocks. */
	if (around)
		ck_assert_msg(!(key->readers & ~around->readers) && key->type != SCHEMA_BLOCK, "%s",
			key->word);
	ck_assert((key->type == SCHEMA_BLOCK) == (key->block != NULL));
	ck_assert((key->type == SCHEMA_CHOICE) == (key->choice_count > 0));
	ck_assert_msg(!(key->flags & SCHEMA_REQUIRED) == !key->noun, "%s: noun", key->word);
	if ((key->flags & SCHEMA_REQUIRED) || key->block)
		ck_assert_msg(
			!key->fallback && !key->fallback_note, "%s needs no default", key->word);
	else
		ck_assert_msg(
			!key->fallback != !key->fallback_note, "%s has no default", key->word);
	ck_assert_uint_le(key->min, key->max);
}

START_TEST(table_is_sound)
{
	each_key(check_sound);
}
END_TEST

/* Without what the text lacks as a whole: each default and each example is a value of its key. */
static void
check_taken(const struct schema_key *key, const struct schema_key *around, const char *directive)
{
	char storage[512];
	struct buffer text;
	struct fixture *f = fixture_new();

	buffer_init_fixed(&text, storage, sizeof storage);
	put_into(&text, around, directive);
	(void)!fixture_parse(
		f, key == schema_root()->keys ? slice_text(directive) : buffer_slice(&text));
	for (size_t i = 0; i < f->problems.count; i++) {
		bool is_other = slice_find(f->problems.items[i].text, 0, '"') < 0 ||
				slice_has_prefix(f->problems.items[i].text, SLICE("route needs"));
		ck_assert_msg(
			is_other, "%s: %.*s", directive, SLICE_ARGS(f->problems.items[i].text));
	}
	fixture_free(f);
}

static void
check_example_and_default(const struct schema_key *key, const struct schema_key *around)
{
	char storage[256];
	struct buffer directive;
	/* The others go with certain destinations. */
	bool needs_another = around && strcmp(around->word, "route") == 0 &&
			     strcmp(key->word, "to") != 0 && strcmp(key->word, "family") != 0;

	if (!needs_another)
		check_taken(key, around, key->example);
	if (!key->fallback)
		return;
	buffer_init_fixed(&directive, storage, sizeof storage);
	buffer_printf(&directive, "%s %s", key->word, key->fallback);
	check_taken(key, around, buffer_text(&directive));
}

START_TEST(examples_and_defaults_are_values)
{
	each_key(check_example_and_default);
}
END_TEST

static void
check_suggested(const struct schema_key *key, const struct schema_key *around, const char *misspelt)
{
	char text_storage[256], expected_storage[256];
	struct buffer text, expected;
	struct fixture *f = fixture_new();

	buffer_init_fixed(&text, text_storage, sizeof text_storage);
	put_into(&text, around, misspelt);
	ck_assert_int_eq(fixture_parse(f, buffer_slice(&text)), ERROR_FORMAT);
	buffer_init_fixed(&expected, expected_storage, sizeof expected_storage);
	buffer_printf(
		&expected, "unknown directive \"%s\" (did you mean \"%s\"?)", misspelt, key->word);
	/* The first: others are about what else the block lacks. */
	ck_assert_slice_eq(f->problems.items[f->problems.count - 1].text, buffer_text(&expected));
	ck_assert_uint_eq(f->problems.count, 1);
	fixture_free(f);
}

/* A letter too many, one too few, a wrong one, two swapped. */
static void
check_misspellings(const struct schema_key *key, const struct schema_key *around)
{
	char word[64];
	size_t len = strlen(key->word);
	size_t middle = len / 2;

	memcpy(word, key->word, middle);
	word[middle] = 'x';
	memcpy(word + middle + 1, key->word + middle, len - middle + 1);
	check_suggested(key, around, word);
	memcpy(word, key->word, len + 1);
	word[len - 1] = 0;
	check_suggested(key, around, word);
	word[len - 1] = 'x';
	if (strcmp(word, key->word) != 0)
		check_suggested(key, around, word);
	memcpy(word, key->word, len + 1);
	word[middle - 1] = key->word[middle];
	word[middle] = key->word[middle - 1];
	if (strcmp(word, key->word) != 0)
		check_suggested(key, around, word);
}

START_TEST(misspelt_words_find_their_key)
{
	each_key(check_misspellings);
}
END_TEST

static const char *
nearest(const char *word)
{
	struct suggestion suggestion = {.word = slice_text(word)};

	suggestion_offer(&suggestion, "abcdef", NULL);
	suggestion_offer(&suggestion, "abcdxy", NULL);
	suggestion_offer(&suggestion, "to", NULL);
	return suggestion.nearest ? suggestion.nearest : "none";
}

START_TEST(suggestions)
{
	ck_assert_str_eq(nearest("abcdef"), "abcdef");
	ck_assert_str_eq(nearest("abcdyx"), "abcdxy");
	ck_assert_str_eq(nearest("abcdez"), "abcdef");
	ck_assert_str_eq(nearest("bcde"), "abcdef");
	ck_assert_str_eq(nearest("ABCDEF"), "abcdef");
	ck_assert_str_eq(nearest("abc"), "none");
	ck_assert_str_eq(nearest("ot"), "to");
	ck_assert_str_eq(nearest("x"), "none");
	ck_assert_str_eq(nearest("xy"), "none");
	ck_assert_str_eq(nearest(""), "none");
	ck_assert_str_eq(nearest("abcdefabcdefabcdefabcdefabcdefabcdef"), "none");
}
END_TEST

static bool
contains(struct slice text, struct slice part)
{
	for (size_t i = 0; i + part.len <= text.len; i++) {
		if (slice_equal(slice_sub(text, i, part.len), part))
			return true;
	}
	return false;
}

static struct fixture *
manual_new(void)
{
	struct fixture *f = fixture_new();

	conf_print_manual(&f->out);
	ck_assert_ok(buffer_error(&f->out));
	return f;
}

static void
check_in_manual(const struct schema_key *key, const struct schema_key *around)
{
	struct fixture *f = manual_new();
	char storage[256];
	struct buffer item;

	(void)around;
	buffer_init_fixed(&item, storage, sizeof storage);
	buffer_printf(&item, "\n.It Ic \"\\&%s\"", key->word);
	ck_assert_msg(contains(buffer_slice(&f->out), buffer_slice(&item)),
		"%s is not in the manual", key->word);
	buffer_clear(&item);
	buffer_printf(&item, "\nDefault: %s.\n", key->fallback ? key->fallback : "");
	ck_assert(!key->fallback || contains(buffer_slice(&f->out), buffer_slice(&item)));
	fixture_free(f);
}

START_TEST(manual_has_every_key)
{
	struct fixture *f = manual_new();

	each_key(check_in_manual);
	ck_assert(contains(buffer_slice(&f->out),
		SLICE("\n.It Ic \"\\&message_size_limit\" Ar \"\\&size\"\n")));
	ck_assert(contains(buffer_slice(&f->out),
		SLICE("\nFrom 64K to 1G.\nSeen by root, session, queue, the tools.\n")));
	ck_assert(contains(buffer_slice(&f->out),
		SLICE("\n.It Ic \"\\&accounts\" Cm \"\\&file\" Ar \"\\&path\" No | Cm "
		      "\"\\&system\" No | Cm \"\\&any\"\n")));
	fixture_free(f);
}
END_TEST

/* Every list that begins ends, and no line is a request that troff would not know. */
START_TEST(manual_is_well_formed)
{
	static const char *const requests[] = {".Bl ", ".El", ".It ", ".Dl "};
	struct fixture *f = manual_new();
	struct slice rest = buffer_slice(&f->out);
	int depth = 0;

	while (rest.len > 0) {
		ssize_t end = slice_find(rest, 0, '\n');
		ck_assert_int_gt(end, 0);
		struct slice line = slice_sub(rest, 0, (size_t)end);
		rest = slice_from(rest, (size_t)end + 1);
		depth +=
			slice_has_prefix(line, SLICE(".Bl")) - slice_has_prefix(line, SLICE(".El"));
		ck_assert(depth >= 0 && depth <= 3);
		bool known = line.ptr[0] != '.' && line.ptr[0] != '\'';
		for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
			known |= slice_has_prefix(line, slice_text(requests[i]));
		ck_assert_msg(known, "%.*s", SLICE_ARGS(line));
	}
	ck_assert_int_eq(depth, 0);
	fixture_free(f);
}
END_TEST

/* The sample, as it is installed and with every comment that holds a directive taken in. */
START_TEST(sample_is_accepted)
{
	struct fixture *f = fixture_new();
	struct buffer text, all;

	buffer_init(&text, f->env.memory, 65536);
	buffer_init(&all, f->env.memory, 65536);
	/* From the source folder, as tests/run does it, or from a build folder in it. */
	if (file_read(&f->env, AT_FDCWD, "packaging/veredus.conf", &text) != OK)
		ck_assert_ok(file_read(&f->env, AT_FDCWD, "../../packaging/veredus.conf", &text));
	ck_assert_int_eq(fixture_parse(f, buffer_slice(&text)), OK);
	ck_assert_uint_eq(f->conf.listener_count, 1);
	ck_assert_uint_eq(f->conf.domain_count, 1);
	ck_assert_uint_eq(f->conf.route_count, 0);
	uint64_t size_limit = f->conf.message_size_limit;
	for (struct slice rest = buffer_slice(&text); rest.len > 0;) {
		size_t len = (size_t)slice_find(rest, 0, '\n') + 1;
		struct slice line = slice_sub(rest, 0, len);
		rest = slice_from(rest, len);
		bool is_directive = line.len > 1 && line.ptr[0] == '#' && line.ptr[1] != ' ';
		buffer_append(&all, is_directive ? slice_from(line, 1) : line);
	}
	enum error error = fixture_parse(f, buffer_slice(&all));
	ck_assert_msg(error == OK, "%s", buffer_text(&f->out));
	ck_assert_uint_eq(f->conf.domain_count, 2);
	ck_assert_uint_eq(f->conf.route_count, 4);
	ck_assert_uint_eq(f->conf.message_size_limit, size_limit);
	/* All that it says about defaults is true. */
	struct fixture *plain = parse_fine(HOST);
	ck_assert(memcmp(&plain->conf.message_size_limit, &f->conf.message_size_limit,
			  offsetof(struct conf, log) - offsetof(struct conf, message_size_limit)) ==
		  0);
	ck_assert(slice_equal(plain->conf.user, f->conf.user) &&
		  slice_equal(plain->conf.spool, f->conf.spool) &&
		  slice_equal(plain->conf.control, f->conf.control));
	fixture_free(plain);
	fixture_free(f);
}
END_TEST

UNIT_MAIN("conf/schema", table_is_sound, examples_and_defaults_are_values,
	misspelt_words_find_their_key, suggestions, manual_has_every_key, manual_is_well_formed,
	sample_is_accepted)
