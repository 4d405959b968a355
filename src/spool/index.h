/*
 * What the spool keeps in memory of each live message: where its records lie and how far its
 * delivery is. A table of slots by queue id over entries in chunks, about 130 bytes a message.
 */
#ifndef SPOOL_INDEX_H
#define SPOOL_INDEX_H

#include "base/error.h"
#include "base/hash.h"
#include "base/memory.h"
#include "spool/spool.h"

/* Numbers of recipients stay below this. */
#define SPOOL_RECIPIENTS_MAX 1048576

enum entry_flags {
	ENTRY_PENDING = 1, /* added to the present batch, not yet durable */
	ENTRY_HELD = 2,
	ENTRY_DAMAGED = 4,  /* known by the journal, not to be read: kept, never delivered */
	ENTRY_STUB = 8,     /* recovery: a result was seen, the message not yet */
	ENTRY_DONE = 16,    /* recovery: dead, but its records may still turn up */
	ENTRY_COUNTED = 32, /* its references count in their segments */
	ENTRY_WALKED = 64,  /* recovery: found in a segment, the journal's state does not have it */
	ENTRY_HAD_STUB = 128, /* recovery: with results that the journal has */
	ENTRY_SETTLED = 256,  /* recovery: a stub that only a settling message speaks of */
	ENTRY_FAILED = 1024,  /* a recipient failed: whoever ends the message has to know */
	ENTRY_DELAY_TOLD = 2048,
	ENTRY_COPIED = 4096, /* it lies where it was copied to; its original may turn up */
	ENTRY_MOVING = 8192, /* a copy of it is in the present batch */
	ENTRY_RECOVERY = ENTRY_WALKED | ENTRY_HAD_STUB | ENTRY_SETTLED,
};

/* A text of which there is one, however many messages wait for the same reason. */
struct index_text {
	struct index_text *next; /* in its bucket */
	uint64_t hash;
	uint32_t refs;
	uint32_t len;
	char bytes[];
};

struct index_entry {
	uint64_t queue_id; /* 0: unused */
	uint64_t message_offset;
	uint64_t message_size;
	uint64_t content_offset;
	uint64_t content_size;
	uint32_t message_segment;
	uint32_t message_generation;
	uint32_t content_segment;
	uint32_t content_generation;
	wall_us next_attempt_at;
	uint32_t attempts;
	uint32_t flags;
	struct index_text *text; /* why it was deferred or held; NULL: not known */
	uint64_t done_first;     /* recipients 0 to 63, a bit each */
	uint64_t *done_more;     /* those from 64 on */
	uint32_t done_words;     /* of done_more */
	uint32_t next_unused;    /* while unused: number of the next unused entry, or INDEX_NONE */
};

struct index {
	struct memory *memory;
	struct index_entry **chunks;
	uint32_t chunk_count;
	uint32_t chunk_capacity;
	uint32_t first_unused;
	uint32_t *slots; /* entry number + 1; 0 is empty */
	uint32_t slot_count;
	uint32_t count;
	struct index_text **texts; /* buckets */
	uint32_t text_buckets;
	uint32_t text_count;
	struct siphash_key text_key; /* texts come from other people's servers */
};

void index_init(struct index *index, struct memory *memory);
void index_done(struct index *index);

struct index_entry *index_find(const struct index *index, uint64_t queue_id);

/* A new entry with this id alone set; it stays where it is. ERROR_EXISTS, ERROR_NO_MEMORY. */
MUST_CHECK enum error
index_add(struct index *index, uint64_t queue_id, struct index_entry **ret_entry);
void index_remove(struct index *index, struct index_entry *entry);

/* The entry of this number, NULL when unused; numbers are below index_limit. */
struct index_entry *index_at(const struct index *index, uint32_t number);
uint32_t index_limit(const struct index *index);

/* Marks a recipient as finished. ERROR_LIMIT: SPOOL_RECIPIENTS_MAX. */
MUST_CHECK enum error
entry_set_done(struct index *index, struct index_entry *entry, uint32_t recipient);

/* Room for that, so that entry_set_done for this recipient and those below it does not fail. */
MUST_CHECK enum error
entry_reserve_done(struct index *index, struct index_entry *entry, uint32_t recipient);

/*
 * Why it is deferred or held; empty: forget it. Without memory for a new one there is none: what
 * becomes of the message does not hang on it.
 */
void entry_set_text(struct index *index, struct index_entry *entry, struct slice text);
struct slice entry_text(const struct index_entry *entry);

/* Words of the set of finished recipients, and one of them. */
uint32_t entry_done_words(const struct index_entry *entry);
uint64_t entry_done_word(const struct index_entry *entry, uint32_t word);

struct spool_reference entry_message(const struct index_entry *entry);
struct spool_reference entry_content(const struct index_entry *entry);
/* Whether this is where its message lies. */
bool entry_is_message(const struct index_entry *entry, const struct spool_reference *reference);
void entry_set_message(struct index_entry *entry, const struct spool_reference *message);
void entry_set_content(struct index_entry *entry, const struct spool_reference *content);

#endif
