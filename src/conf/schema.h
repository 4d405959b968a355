/*
 * The shape of the schema table: what a directive is called, which values it takes, where they go,
 * who may see them, and what the manual says. A block holds directives, the directives of a block
 * are never blocks: depth 2 is all there is.
 */
#ifndef CONF_SCHEMA_H
#define CONF_SCHEMA_H

#include "base/slice.h"
#include "conf/conf.h"

/* The type of a value decides its grammar and its C type: struct slice, uint64_t (numbers, sizes),
 * int64_t in us, unsigned. */
enum schema_type {
	SCHEMA_NONE,
	SCHEMA_LABEL,     /* slice: the name of a thing of ours */
	SCHEMA_HOST,      /* slice, lower case */
	SCHEMA_DOMAIN,    /* slice, lower case */
	SCHEMA_USER,      /* slice */
	SCHEMA_LOGIN,     /* slice: whatever another server calls its users */
	SCHEMA_PATH,      /* slice */
	SCHEMA_SOCKET,    /* slice: a path that fits into a socket address */
	SCHEMA_ENDPOINT,  /* slice */
	SCHEMA_TEMPLATE,  /* slice */
	SCHEMA_ROUTE,     /* slice, lower case: a domain, or "*" */
	SCHEMA_NEXT_HOST, /* slice: a host name or an address */
	SCHEMA_LMTP,      /* slice: the same, or "unix" and a path, which is kept alone */
	SCHEMA_NETWORK,   /* slice */
	SCHEMA_MAILBOX,   /* slice: a mail address with a domain */
	SCHEMA_SIZE,      /* uint64_t: octets */
	SCHEMA_DURATION,  /* int64_t: microseconds */
	SCHEMA_NUMBER,    /* uint64_t */
	SCHEMA_CHOICE,    /* unsigned, and a slice if the chosen word has an argument */
	SCHEMA_BLOCK,
	SCHEMA_TYPES
};

#define SCHEMA_REQUIRED 1u
#define SCHEMA_REPEATED 2u /* may stand several times: an array and its number of items */
#define SCHEMA_LIST     4u /* with SCHEMA_REPEATED: several values may stand on one line */

#define SCHEMA_BLAMED   2  /* keys that a check may name */
#define SCHEMA_KEYS_MAX 64 /* directives of one block */

/* Names that must differ from each other. A domain is not also a route, so they share one. */
enum schema_space {
	SCHEMA_SPACE_NONE,
	SCHEMA_SPACE_LISTENERS,
	SCHEMA_SPACE_CERTIFICATES,
	SCHEMA_SPACE_DKIM,
	SCHEMA_SPACE_DOMAINS,
	SCHEMA_SPACE_ADDRESSES
};

struct schema_choice {
	const char
		*word; /* NULL, in the last place: any other word, which is itself the argument */
	unsigned value;
	enum schema_type argument; /* SCHEMA_NONE: nothing follows */
	const char *help;
};

struct schema_block;

struct schema_key {
	const char *word;
	enum schema_type type;
	unsigned flags;
	unsigned readers; /* bits of enum conf_reader */
	enum schema_space space;
	size_t offset; /* in the struct of the block around it; for an unnamed block, where its
			  struct begins */
	size_t count_offset;    /* SCHEMA_REPEATED */
	size_t argument_offset; /* SCHEMA_CHOICE */
	uint64_t min; /* SCHEMA_NUMBER, SCHEMA_SIZE in octets, SCHEMA_DURATION in seconds */
	uint64_t max;
	const struct schema_choice *choices;
	size_t choice_count;
	const struct schema_block *block;
	const char *fallback;      /* the default as it would be written; NULL: there is none */
	const char *fallback_note; /* the default in words, where it is another key's value */
	const char *noun;          /* SCHEMA_REQUIRED: "listen needs an address" */
	const char *help;
	const char *example;
};

struct schema_block {
	const struct schema_key *keys;
	size_t key_count;
	size_t item_size;
	enum schema_type name_type; /* SCHEMA_NONE: the block has no name and stands once at most */
	size_t name_offset;
	/* What the keys of one item must be together: NULL, or what is wrong and the word of the
	 * key to point at. */
	const char *(*check)(const void *item, const char **ret_word);
};

/* The file itself, as a block. */
const struct schema_block *schema_root(void);

/* NULL when the block has no such directive. */
const struct schema_key *schema_find(const struct schema_block *block, struct slice word);

/* Fills in what was not given and follows from others: owners (the configured user), TLS. */
void schema_fill_defaults(struct conf *conf);

/* NULL for a value that no choice has. */
const struct schema_choice *schema_choice_of(const struct schema_key *key, unsigned value);

#endif
