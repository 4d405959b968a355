/*
 * The canonical text of a configuration: keys in the schema's order, one directive a line, every
 * default written out. What a reader may not see is left out, key by key.
 */
#include "base/clock.h"
#include "conf/schema.h"
#include "conf/value.h"

/* UNSAFE: offsets of the schema lie in the item. */
static struct slice
slice_at(const uint8_t *item, size_t offset)
{
	struct slice text;

	memcpy(&text, item + offset, sizeof text);
	return text;
}

/* UNSAFE: as above. */
static uint64_t
number_at(const uint8_t *item, const struct schema_key *key)
{
	uint64_t number;

	memcpy(&number, item + key->offset, sizeof number);
	return key->type == SCHEMA_DURATION ? number / (uint64_t)US_PER_S : number;
}

/* UNSAFE: as above. */
static size_t
count_at(const uint8_t *item, const struct schema_key *key, const uint8_t **ret_items)
{
	size_t count;

	memcpy(&count, item + key->count_offset, sizeof count);
	memcpy(ret_items, item + key->offset, sizeof *ret_items);
	return count;
}

static void
print_start(struct buffer *buffer, const struct schema_key *key, const char *indent)
{
	buffer_append_text(buffer, indent);
	buffer_append_text(buffer, key->word);
	buffer_append_octet(buffer, ' ');
}

static void
print_text(
	struct buffer *buffer, const struct schema_key *key, const char *indent, struct slice text)
{
	if (text.len == 0)
		return;
	print_start(buffer, key, indent);
	value_append_text(buffer, key->type, text);
	buffer_append_octet(buffer, '\n');
}

static void
print_choice(struct buffer *buffer, const struct schema_key *key, const char *indent,
	const uint8_t *item)
{
	unsigned value;

	/* UNSAFE: the schema's offset lies in the item. */
	memcpy(&value, item + key->offset, sizeof value);
	const struct schema_choice *choice = schema_choice_of(key, value);
	if (!choice)
		return;
	print_start(buffer, key, indent);
	if (choice->word)
		buffer_append_text(buffer, choice->word);
	if (choice->argument != SCHEMA_NONE) {
		buffer_append_text(buffer, choice->word ? " " : "");
		value_append_text(buffer, choice->argument, slice_at(item, key->argument_offset));
	}
	buffer_append_octet(buffer, '\n');
}

static void
print_value(struct buffer *buffer, const struct schema_key *key, const char *indent,
	const uint8_t *item)
{
	const uint8_t *items;

	if (key->type == SCHEMA_CHOICE) {
		print_choice(buffer, key, indent, item);
	} else if (key->flags & SCHEMA_REPEATED) {
		size_t count = count_at(item, key, &items);
		for (size_t i = 0; i < count; i++)
			print_text(buffer, key, indent, slice_at(items, i * sizeof(struct slice)));
	} else if (value_is_number(key->type)) {
		/* Without a default 0 is "not given". */
		if (!key->fallback && number_at(item, key) == 0)
			return;
		print_start(buffer, key, indent);
		value_append_number(buffer, key->type, number_at(item, key));
		buffer_append_octet(buffer, '\n');
	} else {
		print_text(buffer, key, indent, slice_at(item, key->offset));
	}
}

static void
print_block(
	struct buffer *buffer, const struct schema_key *key, unsigned readers, const uint8_t *item)
{
	const struct schema_block *block = key->block;

	print_start(buffer, key, "");
	if (block->name_type != SCHEMA_NONE) {
		value_append_text(buffer, block->name_type, slice_at(item, block->name_offset));
		buffer_append_octet(buffer, ' ');
	}
	buffer_append_text(buffer, "{\n");
	for (size_t i = 0; i < block->key_count; i++) {
		if (block->keys[i].readers & readers)
			print_value(buffer, &block->keys[i], "\t", item);
	}
	buffer_append_text(buffer, "}\n");
}

static void
print_blocks(
	struct buffer *buffer, const struct schema_key *key, unsigned readers, const uint8_t *item)
{
	const uint8_t *items;

	/* UNSAFE: the schema's offset lies in the item, and the array has `count` items. */
	if (key->block->name_type == SCHEMA_NONE) {
		print_block(buffer, key, readers, item + key->offset);
		return;
	}
	size_t count = count_at(item, key, &items);
	for (size_t i = 0; i < count; i++)
		print_block(buffer, key, readers, items + i * key->block->item_size);
}

void
conf_print(const struct conf *conf, unsigned readers, struct buffer *buffer)
{
	const struct schema_block *root = schema_root();
	const uint8_t *item = (const uint8_t *)conf;

	for (size_t i = 0; i < root->key_count; i++) {
		const struct schema_key *key = &root->keys[i];
		if (!(key->readers & readers))
			continue;
		if (key->type == SCHEMA_BLOCK)
			print_blocks(buffer, key, readers, item);
		else
			print_value(buffer, key, "", item);
	}
}
