/*
 * The reference part of veredus.conf(5) from the schema, as mdoc(7) source. One list of directives;
 * a block's directives stand in a list inside its item. Text of the schema is escaped: it is prose,
 * not markup.
 */
#include "conf/schema.h"
#include "conf/value.h"

static const char *const reader_names[CONF_READERS] = {"root", "session", "queue", "deliver",
	"lookup", "admin", "log", "the tools", "relay", "resolver", "keys", "auth", "guard"};

/* Prose: backslashes, and dots and quotes at a line's start, mean something to troff; a plain
 * hyphen may become another sign. */
static void
append_prose(struct buffer *buffer, const char *text)
{
	struct slice prose = slice_text(text);

	if (prose.len > 0 && (prose.ptr[0] == '.' || prose.ptr[0] == '\''))
		buffer_append_text(buffer, "\\&");
	for (size_t i = 0; i < prose.len; i++) {
		if (prose.ptr[i] == '\\')
			buffer_append_text(buffer, "\\e");
		else if (prose.ptr[i] == '-')
			buffer_append_text(buffer, "\\-");
		else
			buffer_append_octet(buffer, prose.ptr[i]);
	}
}

/* `.Macro arg`: as one argument, which is not taken for a macro's name. */
static void
append_argument(struct buffer *buffer, const char *macro, const char *text)
{
	buffer_printf(buffer, " %s \"\\&", macro);
	append_prose(buffer, text);
	buffer_append_octet(buffer, '"');
}

static void
append_paragraph(struct buffer *buffer, const char *text)
{
	append_prose(buffer, text);
	buffer_append_octet(buffer, '\n');
}

/* `.It Ic accounts Cm file Ar path | Cm system | Cm any` */
static void
append_syntax(struct buffer *buffer, const struct schema_key *key)
{
	buffer_append_text(buffer, ".It");
	append_argument(buffer, "Ic", key->word);
	for (size_t i = 0; i < key->choice_count; i++) {
		const struct schema_choice *choice = &key->choices[i];
		if (i > 0)
			buffer_append_text(buffer, " No |");
		if (choice->word)
			append_argument(buffer, "Cm", choice->word);
		if (choice->argument != SCHEMA_NONE)
			append_argument(buffer, "Ar", value_placeholder(choice->argument));
	}
	if (key->type == SCHEMA_BLOCK) {
		if (key->block->name_type != SCHEMA_NONE)
			append_argument(buffer, "Ar", "name");
		buffer_append_text(buffer, " No { ... }");
	} else if (key->type != SCHEMA_CHOICE) {
		append_argument(buffer, "Ar", value_placeholder(key->type));
	}
	buffer_append_octet(buffer, '\n');
}

static void
append_choices(struct buffer *buffer, const struct schema_key *key)
{
	buffer_append_text(buffer, ".Bl -tag -width Ds -compact\n");
	for (size_t i = 0; i < key->choice_count; i++) {
		const struct schema_choice *choice = &key->choices[i];
		buffer_append_text(buffer, ".It");
		if (choice->word)
			append_argument(buffer, "Cm", choice->word);
		if (choice->argument != SCHEMA_NONE)
			append_argument(buffer, "Ar", value_placeholder(choice->argument));
		buffer_append_octet(buffer, '\n');
		append_paragraph(buffer, choice->help);
	}
	buffer_append_text(buffer, ".El\n");
}

static void
append_range(struct buffer *buffer, const struct schema_key *key)
{
	buffer_append_text(buffer, "From ");
	value_append_number(buffer, key->type, key->min);
	buffer_append_text(buffer, " to ");
	value_append_number(buffer, key->type, key->max);
	buffer_append_text(buffer, ".\n");
}

static void
append_readers(struct buffer *buffer, const struct schema_key *key)
{
	const char *separator = "Seen by ";

	for (size_t i = 0; i < CONF_READERS; i++) {
		if (!(key->readers & (1u << i)))
			continue;
		buffer_printf(buffer, "%s%s", separator, reader_names[i]);
		separator = ", ";
	}
	buffer_append_text(buffer, ".\n");
}

static void
append_facts(struct buffer *buffer, const struct schema_key *key)
{
	if (key->flags & SCHEMA_REQUIRED)
		buffer_append_text(buffer, "Required.\n");
	if (key->flags & SCHEMA_REPEATED)
		buffer_append_text(buffer, "May stand several times.\n");
	if (key->fallback || key->fallback_note) {
		buffer_append_text(buffer, "Default: ");
		append_prose(buffer, key->fallback ? key->fallback : key->fallback_note);
		buffer_append_text(buffer, ".\n");
	}
	if (value_is_number(key->type))
		append_range(buffer, key);
	append_readers(buffer, key);
	buffer_append_text(buffer, "For example:\n.Dl \"\\&");
	for (struct slice rest = slice_text(key->example); rest.len > 0; rest = slice_from(rest, 1))
		buffer_append_text(buffer,
			rest.ptr[0] == '"' ? "\\(dq" : (const char[]){(char)rest.ptr[0], 0});
	buffer_append_text(buffer, "\"\n");
}

static void
append_leaf(struct buffer *buffer, const struct schema_key *key)
{
	append_syntax(buffer, key);
	append_paragraph(buffer, key->help);
	if (key->choice_count > 0)
		append_choices(buffer, key);
	append_facts(buffer, key);
}

static void
append_block(struct buffer *buffer, const struct schema_key *key)
{
	append_syntax(buffer, key);
	append_paragraph(buffer, key->help);
	append_facts(buffer, key);
	buffer_append_text(buffer, ".Bl -tag -width Ds\n");
	for (size_t i = 0; i < key->block->key_count; i++)
		append_leaf(buffer, &key->block->keys[i]);
	buffer_append_text(buffer, ".El\n");
}

void
conf_print_manual(struct buffer *buffer)
{
	const struct schema_block *root = schema_root();

	buffer_append_text(buffer, ".Bl -tag -width Ds\n");
	for (size_t i = 0; i < root->key_count; i++) {
		if (root->keys[i].type == SCHEMA_BLOCK)
			append_block(buffer, &root->keys[i]);
		else
			append_leaf(buffer, &root->keys[i]);
	}
	buffer_append_text(buffer, ".El\n");
}
