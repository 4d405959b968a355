/*
 * What a sealer that we trust says of a message on its arrival there (RFC 8617 section 7.2.1). The
 * chain must hold: then the newest sealer's words are its own, and nothing was changed since. Words
 * of older sets count as long as every set above them is by somebody whom we trust too: each of
 * these may have changed the message.
 */
#include "mailauth/arc.h"
#include "mailauth/auth_results.h"
#include "text/address.h"
#include "text/international.h"

static bool
is_trusted(struct slice domain, const struct slice *trusted, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (slice_equal_nocase(domain, trusted[i]))
			return true;
	return false;
}

/* Sealers write the domain as U-labels or as A-labels. */
static bool
is_same_domain(struct slice a, struct slice b)
{
	char a_storage[ADDRESS_DOMAIN_MAX], b_storage[ADDRESS_DOMAIN_MAX];
	struct buffer a_ascii, b_ascii;

	buffer_init_fixed(&a_ascii, a_storage, sizeof a_storage);
	buffer_init_fixed(&b_ascii, b_storage, sizeof b_storage);
	return domain_append_ascii(&a_ascii, a) == OK && domain_append_ascii(&b_ascii, b) == OK &&
	       buffer_error(&a_ascii) == OK && buffer_error(&b_ascii) == OK &&
	       slice_equal(buffer_slice(&a_ascii), buffer_slice(&b_ascii));
}

/* Whether DMARC passed for this author, and in no other result did not. */
static bool
says_pass(struct slice value, struct slice author)
{
	struct auth_results results;
	struct auth_result result;
	struct slice from;
	bool has_passed = false;
	ssize_t instance_end = slice_find(value, 0, ';'); /* i= comes first */

	if (instance_end < 0 ||
		!auth_results_open(slice_from(value, (size_t)instance_end + 1), &results))
		return false;
	while (auth_results_next(&results, &result)) {
		if (!slice_equal_nocase(result.method, SLICE("dmarc")) ||
			!auth_result_property(&result, SLICE("header.from"), &from) ||
			!is_same_domain(from, author))
			continue;
		if (!slice_equal_nocase(result.result, SLICE("pass")))
			return false;
		has_passed = true;
	}
	return has_passed;
}

/* A seal over a part says nothing of the rest. */
static bool
covers_all(const struct signature *message)
{
	return !message->is_partial && tag_has_item(message->names, "from");
}

bool
arc_trusted_pass(const struct arc *arc, const struct slice *trusted, size_t count,
	struct slice author, struct slice *ret_sealer)
{
	if (arc->status != ARC_PASS || arc->count == 0 || author.len == 0 ||
		!covers_all(&arc->sets[arc->count - 1].message))
		return false;
	for (size_t i = arc->count; i-- > 0;) {
		const struct arc_set *set = &arc->sets[i];
		if (!set->results || !is_trusted(set->seal.domain, trusted, count))
			return false;
		if (says_pass(set->results->value, author)) {
			*ret_sealer = set->seal.domain;
			return true;
		}
	}
	return false;
}
