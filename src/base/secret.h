/*
 * Octets that nobody else may read: passwords, tokens, private keys. A type of its own, so that no
 * log macro, printer or parser takes them by mistake; who needs the octets says so with
 * secret_reveal. Memory that held them is wiped before it is given back.
 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include "base/slice.h"

#include <string.h>

struct secret {
	struct slice hidden;
};

static inline struct secret
secret_of(struct slice octets)
{
	return (struct secret){octets};
}

/* For the one place that checks or uses it: never for a log line or an error's text
 * (tools/check-style). */
static inline struct slice
secret_reveal(struct secret secret)
{
	return secret.hidden;
}

/* Zeroes that no compiler leaves out. Takes NULL. */
static inline void
memory_wipe(void *block, size_t size)
{
	if (block && size > 0)
		explicit_bzero(block, size);
}

#endif
