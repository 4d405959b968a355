/*
 * Authentication-Results (RFC 8601): reading those of a message, writing ours. Views into the
 * field's value.
 */
#ifndef MAILAUTH_AUTH_RESULTS_H
#define MAILAUTH_AUTH_RESULTS_H

#include "base/buffer.h"
#include "base/slice.h"

struct auth_results {
	struct slice rest; /* what is not read yet */
	struct slice id;   /* authserv-id, as written, quotes included */
};

struct auth_result {
	struct slice whole;  /* from the method to the last property, folds included */
	struct slice method; /* "dkim" */
	struct slice result; /* "pass" */
};

/* A field's value. False: it has no authserv-id. */
bool auth_results_open(struct slice value, struct auth_results *ret_results);

/* The next result; false at the end. "none" and what cannot be read have an empty method. */
bool auth_results_next(struct auth_results *results, struct auth_result *ret_result);

/* The value of "header.from=example.org", without quotes. False: it has none, or two, or cannot be
 * read. */
bool
auth_result_property(const struct auth_result *result, struct slice name, struct slice *ret_value);

/*
 * Whether the field says to come from this authserv-id: in any case, quoted or not, with comments
 * around it, with a version or another dot behind it. Who takes off forged fields takes off all
 * that a reader might take for ours. A U-label is not compared with an A-label.
 */
bool auth_results_claims(struct slice value, struct slice authserv_id);

/* The header without the Authentication-Results fields that claim to be from this authserv-id: what
 * a stranger wrote there must not be read as ours (section 5). How many were left out. */
size_t
auth_results_append_others(struct buffer *buffer, struct slice header, struct slice authserv_id);

/* Building one: "; dkim=pass (reason) header.d=example.org", without folds between properties. */
void auth_results_append_result(
	struct buffer *buffer, const char *method, const char *result, const char *reason);
/* " smtp.mailfrom=value": quoted where it must be; control characters are left out. A domain beyond
 * ASCII is written as the DNS knows it, without its local part if that is beyond ASCII too, and one
 * that the DNS cannot know not at all. */
void auth_results_append_property(struct buffer *buffer, const char *name, struct slice value);

#endif
