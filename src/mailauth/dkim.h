/*
 * DKIM (RFC 6376, 8301, 8463, 8616): which domains vouch for a message? The body is hashed while it
 * arrives (mailauth/content.h); the DNS comes in as an argument.
 *
 * dkim_begin in the content's header_done, dkim_check after content_end.
 */
#ifndef MAILAUTH_DKIM_H
#define MAILAUTH_DKIM_H

#include "mailauth/signature.h"

#define DKIM_SIGNATURES_MAX 10 /* looked at, from the top */
#define DKIM_DEADLINE_US    (20 * US_PER_S)
#define DKIM_ARENA_BYTES    (4u << 20)

struct dkim {
	struct signature *signatures;
	size_t count;
	size_t ignored;          /* signatures beyond DKIM_SIGNATURES_MAX */
	enum dkim_result result; /* of all: pass if one does */
	const char *reason;      /* when no signature has the reason */
};

/* Reads the signatures and asks for their hashes of the body. */
void dkim_begin(struct dkim *ret_dkim, struct content *content);

/*
 * May wait: for the DNS. What is wrong with the content itself (content_fault) is an error here. A
 * signature over only a part of the body passes with is_partial; who asks whether a domain vouches
 * for the whole message must look at it.
 */
void dkim_check(struct dkim *dkim, const struct content *content,
	const struct signature_request *request, struct memory *memory);

#endif
