/*
 * Mail addresses, domains and address literals as SMTP writes them (RFC 5321 sections 4.1.2
 * and 4.1.3): pure functions on slices. Characters beyond ASCII (RFC 6531) are taken only by the
 * functions that say so.
 */
#ifndef TEXT_ADDRESS_H
#define TEXT_ADDRESS_H

#include "base/buffer.h"
#include "base/cursor.h"
#include "base/slice.h"

#define ADDRESS_LOCAL_PART_MAX \
	256 /* RFC 5321 section 4.5.3.1.1 asks for 64; VERP and SRS make longer ones */
#define ADDRESS_DOMAIN_MAX 255
#define ADDRESS_LABEL_MAX  63
#define ADDRESS_MAX        (ADDRESS_LOCAL_PART_MAX + 1 + ADDRESS_DOMAIN_MAX)

/* Views into the text that was parsed. */
struct address {
	struct slice local_part; /* as written, with its quotes if it has some */
	struct slice
		domain; /* as written, a literal with its brackets; empty: none (<postmaster>) */
	bool is_quoted;
	bool is_literal;
	bool is_international; /* not all of it is ASCII: only for who says SMTPUTF8 */
};

enum address_fault {
	ADDRESS_OK,
	ADDRESS_NO_LOCAL_PART,
	ADDRESS_BAD_LOCAL_PART,
	ADDRESS_BAD_QUOTING,
	ADDRESS_NO_DOMAIN, /* the local part ends where "@" should follow; the local part itself is
			      sound */
	ADDRESS_BAD_DOMAIN,
	ADDRESS_BAD_LITERAL,
	ADDRESS_NOT_ASCII,
	ADDRESS_TOO_LONG,
	ADDRESS_FAULTS
};

/* What is wrong, as half a sentence: "the domain is malformed". Never NULL. */
const char *address_fault_text(enum address_fault fault);

/* The whole text as one Mailbox. On ADDRESS_NO_DOMAIN too ret_address is written, with an empty
 * domain. */
MUST_CHECK enum address_fault address_parse(struct slice text, struct address *ret_address);

/* A Mailbox at the cursor, which is moved behind it; what follows is the caller's business.
 * ret_address as above. */
MUST_CHECK enum address_fault address_take(struct cursor *cursor, struct address *ret_address);

/*
 * The same with characters beyond ASCII (RFC 6531 section 3.3): a domain of U-labels must have one
 * of A-labels, the local part must be visible UTF-8.
 */
MUST_CHECK enum address_fault
address_parse_international(struct slice text, struct address *ret_address);
MUST_CHECK enum address_fault
address_take_international(struct cursor *cursor, struct address *ret_address);

/* A Domain (no literal) at the cursor, up to the first of `>`, `,`, `:`, SP or the end. */
MUST_CHECK enum address_fault address_take_domain(struct cursor *cursor, struct slice *ret_domain);

/*
 * The form for lookups and comparisons: domain in lower case and A-labels, the local part's case
 * kept, in normalisation form C, its quotes dropped when it needs none and else with no more
 * backslashes than needed. At most ADDRESS_MAX octets.
 */
void address_append_canonical(struct buffer *buffer, const struct address *address);

/* The name of an account: the local part in canonical form, ASCII letters in lower case, since
 * accounts are compared so. */
void address_append_account(struct buffer *buffer, const struct address *address);

/* Labels of letters, digits and inner hyphens, with dots between them. */
bool domain_is_valid(struct slice domain);

/* The same with underscores tolerated: what Windows machines say in HELO. */
bool domain_is_valid_helo(struct slice domain);

/* [192.0.2.1], [IPv6:2001:db8::1], [tag:text] */
bool address_literal_is_valid(struct slice literal);

#endif
