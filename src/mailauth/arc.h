/*
 * ARC (RFC 8617): what was known about a message before somebody forwarded it. Verifying a chain,
 * and adding a set to it.
 *
 * arc_begin in the content's header_done, arc_check after content_end.
 */
#ifndef MAILAUTH_ARC_H
#define MAILAUTH_ARC_H

#include "mailauth/dkim_sign.h"
#include "mailauth/signature.h"

#define ARC_SETS_MAX 50 /* section 4.2.1 */

enum arc_status { ARC_NONE, ARC_PASS, ARC_FAIL };

/* "none", as cv= and Authentication-Results write it. */
const char *arc_status_text(enum arc_status status);

struct arc_set {
	const struct header_field *results; /* ARC-Authentication-Results */
	struct signature message, seal;
	bool has_message, has_seal;
	enum arc_status cv; /* as the seal says */
};

struct arc {
	struct arc_set *sets; /* instance 1 first */
	size_t count;         /* the highest instance that was seen */
	enum arc_status status;
	const char *reason; /* of a fail */
	unsigned instance;  /* that the reason is about; 0: the chain */
	bool is_temporary;  /* the DNS or the memory failed: another time it may pass */
};

void arc_begin(struct arc *ret_arc, struct content *content);

/* May wait: for the DNS. Checks the newest message signature and all seals (section 5.2). */
void arc_check(struct arc *arc, const struct content *content,
	const struct signature_request *request, struct memory *memory);

struct arc_sealing {
	const struct key *key;
	const struct dkim_signer *elsewhere; /* without `key`; sealing may wait then */
	struct slice domain, selector, authserv_id;
	struct slice names;   /* for h= of the message signature; empty: those that matter */
	struct slice results; /* "dkim=pass ...; spf=...": what stands behind authserv-id */
	enum arc_status cv;   /* what we found */
	wall_us now;
	unsigned hash; /* in the content */
};

/* False: the content has no room for another hash. */
MUST_CHECK bool arc_seal_begin(struct arc_sealing *sealing, struct content *content);

/*
 * The three fields, top one first. ERROR_EXISTS: the chain has ended, by a seal that says so or by
 * ARC_SETS_MAX, and gets no more sets. ERROR_FORMAT: the message is none, or a name is none.
 */
MUST_CHECK enum error arc_seal_append(const struct arc_sealing *sealing, const struct arc *arc,
	const struct content *content, struct memory *memory, struct buffer *buffer);

/* Appends the results that the message's Authentication-Results of this authserv-id give, as
 * `results` above wants them, and tells what they say of ARC. False: there is none. */
bool arc_collect_results(const struct content *content, struct slice authserv_id,
	struct buffer *buffer, bool *ret_has_status, enum arc_status *ret_status);

/*
 * Whether the chain holds and a sealer of this list says that DMARC passed for this author when the
 * message came to it. Only sets that are trusted count, from the newest on.
 */
bool arc_trusted_pass(const struct arc *arc, const struct slice *trusted, size_t count,
	struct slice author, struct slice *ret_sealer);

/* A seal's hash: the sets before it, as far as it covers them. */
void
arc_feed_sets(const struct arc *arc, size_t count, struct sha256 *sha256, struct buffer *scratch);

#endif
