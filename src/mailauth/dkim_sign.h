/*
 * Signing (RFC 6376 section 5): the new field, for the top of a message whose body was hashed as it
 * streamed by. dkim_sign_begin in the content's header_done, dkim_sign_append after content_end.
 */
#ifndef MAILAUTH_DKIM_SIGN_H
#define MAILAUTH_DKIM_SIGN_H

#include "mailauth/signature.h"

struct dkim_signing {
	const struct key *key;
	struct slice domain, selector;
	enum canon header_canon, body_canon;
	struct slice names; /* for h=: "from:to"; empty: those that are there, and oversigned */
	wall_us now;
	unsigned hash; /* in the content */
};

/* False: the content has no room for another hash. */
MUST_CHECK bool dkim_sign_begin(struct dkim_signing *signing, struct content *content);

/*
 * "DKIM-Signature: ...", folded, with its CRLF. ERROR_FORMAT: the message is none that can be
 * signed (content_fault, or not exactly one From field), or domain or selector are no names.
 */
MUST_CHECK enum error dkim_sign_append(const struct dkim_signing *signing,
	const struct content *content, struct memory *memory, struct buffer *buffer);

/*
 * The names of h= for this message: each field that carries meaning as often as it is there, and
 * those that a message has once, one time more, so that nobody adds another one.
 */
void dkim_append_names(struct buffer *buffer, const struct content *content, bool oversigns);

/* A field to be signed: "Name: tags" with an empty b=, which ends at `hole`. */
struct unsigned_field {
	struct slice text;
	size_t hole;
	enum canon canon;
	bool is_folded; /* the value in several lines */
};

/* Appends the field with the value filled in and a CRLF. `sha256` has what stands before the field
 * itself, and is ended. */
MUST_CHECK enum error signature_append(struct buffer *buffer, const struct unsigned_field *field,
	const struct key *key, struct sha256 *sha256, struct buffer *scratch);

/* "rsa-sha256" */
const char *signature_algorithm_text(const struct key *key);

/* "v=DKIM1; k=rsa; p=..." */
void key_record_append(struct buffer *buffer, const struct key *key, struct memory *memory);

#endif
