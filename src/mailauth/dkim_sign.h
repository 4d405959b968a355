/*
 * Signing (RFC 6376 section 5): the new field, for the top of a message whose body was hashed as it
 * streamed by. dkim_sign_begin in the content's header_done, dkim_sign_append after content_end.
 */
#ifndef MAILAUTH_DKIM_SIGN_H
#define MAILAUTH_DKIM_SIGN_H

#include "mailauth/signature.h"

#define DKIM_RSA_BITS_MIN 2048 /* of a key that signs; verifiers take 1024 still (RFC 8301) */

/* A key to sign with, in PEM. On failure `ret_why` says why not, as half a sentence. */
MUST_CHECK enum error dkim_key_load(struct secret pem, struct key **ret_key, const char **ret_why);

/* A key that is elsewhere: of which kind, and how a signature by it is had. */
struct dkim_signer {
	enum key_type type;
	enum error (*sign)(void *arg, const uint8_t digest[SHA256_OCTETS],
		uint8_t signature[SIGNATURE_OCTETS], size_t *ret_len);
	void *arg;
};

struct dkim_signing {
	const struct key *key;
	const struct dkim_signer *elsewhere; /* without `key` */
	struct slice domain, selector;
	enum canon header_canon, body_canon;
	struct slice names; /* for h=: "from:to"; empty: those that are there, and oversigned */
	wall_us now;
	unsigned hash; /* in the content */
};

/* False: the content has no room for another hash. */
MUST_CHECK bool dkim_sign_begin(struct dkim_signing *signing, struct content *content);

/*
 * May wait where the key is elsewhere. "DKIM-Signature: ...", folded, with its CRLF. ERROR_FORMAT:
 * the message is none that can be signed (content_fault, or not exactly one From field), or domain
 * or selector are no names.
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
	const struct dkim_signer *signer, struct sha256 *sha256, struct buffer *scratch);

/* A signer by a key that is here. */
struct dkim_signer dkim_signer_of(const struct key *key);

/* "rsa-sha256" */
const char *signature_algorithm_text(enum key_type type);

/* "v=DKIM1; k=rsa; p=..." */
void key_record_append(struct buffer *buffer, const struct key *key, struct memory *memory);

#endif
