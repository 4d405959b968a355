/* Whose message is it? The one domain of the From field, for DMARC (RFC 9989) and for signing. */
#ifndef MAILAUTH_AUTHOR_H
#define MAILAUTH_AUTHOR_H

#include "mailauth/content.h"

enum author_fault {
	AUTHOR_OK,
	AUTHOR_NO_FROM,
	AUTHOR_MANY_FROM,
	AUTHOR_NO_ADDRESS,
	AUTHOR_MALFORMED,
	AUTHOR_GROUP,
	AUTHOR_MANY_DOMAINS,
	AUTHOR_BAD_DOMAIN,
	AUTHOR_FAULTS
};

/* Half a sentence; never NULL. */
const char *author_fault_text(enum author_fault fault);

/* The domain of a message: a view into its header, perhaps in U-labels. */
MUST_CHECK enum author_fault
author_of_content(const struct content *content, struct slice *ret_domain);

/* The same of a From field's value. */
MUST_CHECK enum author_fault author_of_field(struct slice value, struct slice *ret_domain);

/*
 * Asks about each address of a From field, of whatever domain, as it stands there; the answer is
 * whether one of them is not what is_meant means. An address in quotes, or with a comment inside,
 * is malformed here.
 */
MUST_CHECK enum author_fault author_addresses_of_field(struct slice value,
	bool (*is_meant)(void *arg, struct slice address), void *arg, bool *ret_is_other);

#endif
