/*
 * A set of names with open addressing, grown at half load. The hash has a random key: a
 * configuration may be written by a program that lets customers choose their domains. Nothing
 * depends on the order of the slots.
 */
#include "conf/names.h"

#define NAMES_FIRST_CAPACITY 64

void
names_init(struct names *names, struct env *env)
{
	*names = (struct names){.memory = env->memory};
	env_random(env, names->hash_key.bytes, sizeof names->hash_key.bytes);
}

void
names_done(struct names *names)
{
	memory_put(names->memory, names->slots);
	names->slots = NULL;
}

static bool
is_same(const struct name *a, const struct name *b)
{
	return a->key->space == b->key->space && slice_equal(a->text, b->text);
}

/* The slot of this name, or the free one where it belongs. There is always a free one. */
static struct name *
find_slot(const struct names *names, const struct name *name)
{
	size_t at = (size_t)siphash(&names->hash_key, name->text) & (names->capacity - 1);

	while (names->slots[at].key && !is_same(&names->slots[at], name))
		at = (at + 1) & (names->capacity - 1);
	return &names->slots[at];
}

static enum error
names_grow(struct names *names)
{
	struct names larger = *names;

	larger.capacity = names->capacity ? names->capacity * 2 : NAMES_FIRST_CAPACITY;
	larger.slots = memory_try(names->memory, larger.capacity * sizeof *larger.slots);
	if (!larger.slots)
		return ERROR_NO_MEMORY;
	for (size_t i = 0; i < names->capacity; i++) {
		if (names->slots[i].key)
			*find_slot(&larger, &names->slots[i]) = names->slots[i];
	}
	memory_put(names->memory, names->slots);
	*names = larger;
	return OK;
}

enum error
names_take(struct names *names, const struct name *name, const struct name **ret_before)
{
	if (names->count * 2 >= names->capacity) {
		enum error error = names_grow(names);
		if (error != OK)
			return error;
	}
	struct name *slot = find_slot(names, name);
	*ret_before = slot->key ? slot : NULL;
	if (!slot->key) {
		*slot = *name;
		names->count++;
	}
	return OK;
}
