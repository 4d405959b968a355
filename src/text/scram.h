/*
 * What client and server say in SCRAM (RFC 5802 section 7, RFC 7677): two messages each, taken
 * apart. Pure functions; the slices lie in the message. Extensions that are mandatory (m=) are
 * unknown, and a fault.
 */
#ifndef TEXT_SCRAM_H
#define TEXT_SCRAM_H

#include "base/buffer.h"
#include "base/error.h"

#define SCRAM_MESSAGE_MAX 1024 /* octets of a message */
#define SCRAM_NONCE_MAX   128  /* of the client's part */

enum scram_binding {
	SCRAM_BINDING_NONE,   /* "n": the client has none */
	SCRAM_BINDING_UNUSED, /* "y": it has, and thinks that the server has none */
	SCRAM_BINDING_USED    /* "p=" */
};

struct scram_first {
	struct slice gs2; /* "n,,": what c= of the second message repeats */
	enum scram_binding binding;
	struct slice binding_name;  /* "tls-exporter" */
	struct slice authorization; /* on whose behalf, as escaped as `login`; empty: the same */
	struct slice bare;          /* client-first-message-bare */
	struct slice login;         /* escaped */
	struct slice nonce;
};

/* ERROR_FORMAT */
MUST_CHECK enum error scram_first_parse(struct slice message, struct scram_first *ret_first);

struct scram_final {
	struct slice without_proof; /* client-final-message-without-proof */
	struct slice binding;       /* base64 */
	struct slice nonce;
	struct slice proof; /* base64 */
};

MUST_CHECK enum error scram_final_parse(struct slice message, struct scram_final *ret_final);

/* "=2C" and "=3D" become "," and "=". ERROR_FORMAT: another escape, or an octet of a name that is
 * none; ERROR_LIMIT by the buffer. */
MUST_CHECK enum error scram_name_decode(struct slice escaped, struct buffer *ret_name);

/* The other way round. A name with a NUL is ERROR_FORMAT, kept in the buffer. */
void scram_name_append(struct buffer *escaped, struct slice name);

/* What the server says to the client's first message. */
struct scram_challenge {
	struct slice nonce;  /* begins with the client's, if the server is right */
	struct slice salt;   /* base64 */
	uint32_t iterations; /* any number; what is too few or too many is the caller's to say */
};

MUST_CHECK enum error
scram_challenge_parse(struct slice message, struct scram_challenge *ret_challenge);

/* And to its last. */
struct scram_verdict {
	struct slice signature; /* base64; empty: the client is refused */
	struct slice fault;     /* "invalid-proof"; empty: it is not */
};

MUST_CHECK enum error scram_verdict_parse(struct slice message, struct scram_verdict *ret_verdict);

#endif
