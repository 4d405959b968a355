/*
 * The Sender Rewriting Scheme: mail that an alias sends abroad leaves with a return path of ours,
 * which says whose it was, when, and proves by a keyed hash that we made it. Written and read as
 * libsrs2 and postsrsd do:
 *
 *     SRS0=HASH=TT=other.example=user@ours     from user@other.example
 *     SRS1=HASH=other.example==...@ours        from SRS0=...@other.example, which it goes back to
 */
#ifndef MAILAUTH_SRS_H
#define MAILAUTH_SRS_H

#include "base/buffer.h"
#include "base/clock.h"
#include "base/secret.h"

#define SRS_SECRETS_MAX      8
#define SRS_SECRET_BYTES_MIN 16
#define SRS_DAYS             21 /* for which an address is good */
#define SRS_HASH_CHARS       4  /* as all others have it by default */
#define SRS_LOCAL_PART_MAX   64 /* RFC 5321 section 4.5.3.1.1 */

/* What came of a question about a return path of forwarded mail. */
enum srs_outcome {
	SRS_OUTCOME_MADE,
	SRS_OUTCOME_FORGED,
	SRS_OUTCOME_EXPIRED,
	SRS_OUTCOME_UNFIT, /* a sender that cannot be rewritten */
	SRS_OUTCOME_NO_SECRET
};

/* The first one makes new addresses, each one is good for old ones. Views of the text. */
struct srs_secrets {
	struct secret list[SRS_SECRETS_MAX];
	size_t count;
};

/* One a line; empty lines and those that begin with "#" are none. ERROR_NOT_FOUND: there is none.
 * ERROR_LIMIT: more than SRS_SECRETS_MAX, or one is shorter than SRS_SECRET_BYTES_MIN. */
MUST_CHECK enum error srs_secrets_read(struct secret text, struct srs_secrets *ret_secrets);

/* Whether a local part has the form of one of these, whoever made it. */
bool srs_is_one(struct slice local_part);

/*
 * Appends the local part that stands for a sender. ERROR_UNSUPPORTED: the sender is quoted, or no
 * address. ERROR_LIMIT: the local part would be longer than SRS_LOCAL_PART_MAX.
 */
MUST_CHECK enum error srs_append_forward(const struct srs_secrets *secrets, struct slice sender,
	wall_us now, struct buffer *local_part);

/*
 * Appends the address that a local part stands for. ERROR_FORMAT: it has not this form.
 * ERROR_DENIED: we did not make it. ERROR_TIMEOUT: we did, too long ago.
 */
MUST_CHECK enum error srs_append_reverse(const struct srs_secrets *secrets, struct slice local_part,
	wall_us now, struct buffer *address);

#endif
