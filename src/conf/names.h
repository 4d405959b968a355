/* Names that were taken already, with the places where: private to this folder. */
#ifndef CONF_NAMES_H
#define CONF_NAMES_H

#include "base/env.h"
#include "base/hash.h"
#include "conf/schema.h"

struct name {
	struct slice text;
	const struct schema_key *key; /* NULL: a free slot */
	struct conf_place place;
};

/* A hash table, so that a hundred thousand domains cost a hundred thousand steps. */
struct names {
	struct memory *memory;
	struct siphash_key hash_key;
	struct name *slots;
	size_t capacity; /* 0 or a power of two */
	size_t count;
};

void names_init(struct names *names, struct env *env);
void names_done(struct names *names);

/* The name as it was taken before, in the same space; NULL and taken now otherwise. The text must
 * live as long as the table. */
MUST_CHECK enum error
names_take(struct names *names, const struct name *name, const struct name **ret_before);

#endif
