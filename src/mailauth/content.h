/*
 * A message as it streams by: its header is kept and indexed, its body hashed in the forms that
 * were asked for when the header had ended, and nothing is read twice. One content serves DKIM, ARC
 * and DMARC at once.
 *
 * content_new -> content_feed ... -> (header_done is called once) -> content_feed ... ->
 * content_end
 */
#ifndef MAILAUTH_CONTENT_H
#define MAILAUTH_CONTENT_H

#include "base/arena.h"
#include "mailauth/canon.h"
#include "mailauth/crypto.h"

#define CONTENT_HEADER_MAX  (1u << 20)
#define CONTENT_FIELDS_MAX  10000
#define CONTENT_HASHES_MAX  64
#define CONTENT_NO_LIMIT    UINT64_MAX
#define CONTENT_ARENA_BYTES (4u << 20)

struct content;

struct content_field {
	struct header_field field;
	uint32_t position; /* from the top */
};

/* The fields of one name, from top to bottom. */
struct content_group {
	const struct content_field *fields;
	size_t count;
};

/* NULL without memory. `header_done` is called by the feed that completes the header, or by
 * content_end; not at all when the header breaks a limit. */
struct content *content_new(
	struct memory *memory, void (*header_done)(void *arg, struct content *content), void *arg);
void content_free(struct content **content);

void content_feed(struct content *content, struct slice octets);
void content_end(struct content *content);

/* NULL, or why there is no verdict on this message, as half a sentence. */
const char *content_fault(const struct content *content);
bool content_is_out_of_memory(const struct content *content);

/* All fields, from top to bottom; of one name. Once the header is done. */
struct content_group content_fields(const struct content *content);
struct content_group content_find(const struct content *content, struct slice name);

/*
 * After content_end: whole fields that will stand on top of the message, copied, as if they had
 * come with it. ERROR_NO_MEMORY; ERROR_LIMIT: there are too many.
 */
MUST_CHECK enum error content_add_on_top(struct content *content, struct slice fields);

/* Where a view of the header lies in the message; not of what was added. */
uint64_t content_offset(const struct content *content, struct slice view);

/* In header_done only: has the body hashed, at most `limit` octets of its canonical form. False:
 * too many are asked for, or no memory. Equal wishes share one hash. */
bool
content_want_hash(struct content *content, enum canon canon, uint64_t limit, unsigned *ret_hash);

/* After content_end. */
const uint8_t *content_hash(const struct content *content, unsigned hash);

/* After content_end: octets of the canonical body. */
uint64_t content_body_length(const struct content *content, enum canon canon);

/* What lives as long as the content: views of the header, and what is taken here. */
struct arena *content_arena(struct content *content);

#endif
