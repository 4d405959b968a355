/*
 * What DKIM-Signature (RFC 6376), ARC-Message-Signature and ARC-Seal (RFC 8617) have in common: a
 * tag list read into a struct, a key found in the DNS, a hash over header fields.
 */
#ifndef MAILAUTH_SIGNATURE_H
#define MAILAUTH_SIGNATURE_H

#include "base/clock.h"
#include "dns/source.h"
#include "mailauth/content.h"
#include "mailauth/tag_list.h"

#define SIGNATURE_NAMES_MAX    512         /* in h= */
#define SIGNATURE_FUTURE_MAX_S (24 * 3600) /* how far ahead of us a signer's clock may be */

enum dkim_result {
	DKIM_NONE,
	DKIM_NEUTRAL,
	DKIM_PASS,
	DKIM_FAIL,
	DKIM_POLICY,
	DKIM_TEMPERROR,
	DKIM_PERMERROR
};

/* "pass", as Authentication-Results writes it (RFC 8601 section 2.7.1). */
const char *dkim_result_text(enum dkim_result result);

enum signature_kind { SIGNATURE_DKIM, SIGNATURE_ARC_MESSAGE, SIGNATURE_ARC_SEAL };

struct signature {
	enum signature_kind kind;
	struct header_field field;
	struct tag_list tags;
	struct slice hole; /* the value of b= in the field */
	enum key_type key_type;
	enum canon header_canon, body_canon;
	struct slice algorithm, domain, selector; /* as written */
	struct slice identity;         /* i= of DKIM, or empty; its domain is `domain` or below */
	struct slice names;            /* h= */
	struct slice value, body_hash; /* decoded */
	uint64_t length;               /* l=, or CONTENT_NO_LIMIT */
	uint64_t timestamp, expires;   /* seconds; 0: not there */
	unsigned hash;                 /* in the content */
	enum dkim_result result;       /* DKIM_NONE until something is wrong or all is right */
	const char *reason;            /* half a sentence */
	bool is_testing, is_partial;
	unsigned key_bits; /* 0: no key was seen */
};

struct signature_request {
	const struct dns_source *dns;
	struct arena *arena; /* for answers of the DNS */
	mono_us deadline;
	wall_us now;
};

/* Reads the field; what is wrong is in result and reason. The decoded octets live in the arena. */
void signature_parse(enum signature_kind kind, const struct header_field *field,
	struct arena *arena, struct signature *ret_signature);

/* In header_done: sees to the hash of the body. */
void signature_want_body(struct signature *signature, struct content *content);

/* After content_end. The hash of the body against bh=, the length, the times. False and a result:
 * it does not hold. */
bool signature_check_body(struct signature *signature, const struct content *content, wall_us now);

/* A field that a message may have only once, that is signed, and that stands there once more than
 * was signed, is how a valid signature is put under another From or Subject (section 8.15). False,
 * and a result: so it is here. */
bool signature_check_once(struct signature *signature, const struct content *content);

/* The fields that h= names. `above` is one more field on top of a message under construction, or
 * NULL. */
void signature_feed_names(struct slice names, enum canon canon, const struct content *content,
	const struct header_field *above, struct sha256 *sha256, struct buffer *scratch);

/* The fields of h= and the signature itself. */
void signature_feed_header(const struct signature *signature, const struct content *content,
	struct sha256 *sha256, struct buffer *scratch);

/* One field, by the signature's canonical form. */
void signature_feed_field(struct sha256 *sha256, struct buffer *scratch, enum canon canon,
	const struct header_field *field, struct slice hole, bool has_line_end);

/* May wait. The key out of the DNS, and the signature by it: always leaves a result. */
void signature_check_key(struct signature *signature, const struct signature_request *request,
	struct sha256 *sha256);

/* Says what is wrong, unless something was before. */
void signature_reject(struct signature *signature, enum dkim_result result, const char *reason);

/* Whether a name is this domain or lies below it, in any case. */
bool domain_is_within(struct slice name, struct slice domain);

/* Labels of letters, digits, hyphens and underscores with dots between: what d= and s= may be. */
bool domain_is_signable(struct slice name);

#endif
