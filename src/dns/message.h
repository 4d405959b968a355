/*
 * DNS messages (RFC 1035 section 4; EDNS0, RFC 6891): a question as octets, and an answer as the
 * records of the type that was asked for, with the chain of CNAMEs followed. Pure: octets in,
 * values out.
 *
 * Names are text: labels with dots between them, no dot at the end, the root is empty. A name with
 * a dot or a NUL inside a label cannot be written so; an answer that needs one is malformed to us.
 */
#ifndef DNS_MESSAGE_H
#define DNS_MESSAGE_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"

#define DNS_NAME_MAX    253
#define DNS_MESSAGE_MAX 65535
#define DNS_UDP_MAX     1232 /* octets that we say we take by UDP: no fragments (DNS flag day 2020) */
#define DNS_PORT        53

enum dns_type {
	DNS_A = 1,
	DNS_NS = 2,
	DNS_CNAME = 5,
	DNS_SOA = 6,
	DNS_PTR = 12,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_SRV = 33,
	DNS_TLSA = 52
};

/* "MX"; "?" for a type that is not of the list. */
const char *dns_type_name(enum dns_type type);

struct dns_record {
	uint32_t ttl_s;
	uint16_t preference;   /* MX; SRV: its priority */
	uint16_t weight, port; /* SRV (RFC 2782) */
	struct slice name;     /* MX, SRV, CNAME, NS, PTR: the target; case kept */
	struct slice data; /* A: 4 octets; AAAA: 16; TXT: its strings joined; TLSA: the association
			      data */
	uint8_t usage, selector, matching; /* TLSA (RFC 6698 section 2.1) */
};

enum dns_outcome {
	DNS_FOUND,   /* at least one record */
	DNS_NO_DATA, /* the name is there, a record of this type is not */
	DNS_NO_NAME, /* NXDOMAIN */
	DNS_FAILED,  /* nobody could tell: SERVFAIL, no answer, a malformed one, signatures that do
			not hold */
};

struct dns_answer {
	enum dns_outcome outcome;
	bool is_secure;    /* DNSSEC holds for the whole chain, as the one who answered vouches */
	uint32_t ttl_s;    /* for how long the answer holds, of a negative one too */
	struct slice name; /* where the chain of CNAMEs ends */
	const struct dns_record *records;
	size_t count;
	const char *reason; /* DNS_FAILED: why, as half a sentence; else NULL */
};

/*
 * Appends a question with recursion desired and EDNS0. ERROR_FORMAT: the name is none (an empty
 * label, one of more than 63 octets, more than DNS_NAME_MAX octets in all).
 */
MUST_CHECK enum error
dns_question_append(struct buffer *buffer, uint16_t id, struct slice name, enum dns_type type);

/* Whether the name can be asked for at all. */
bool dns_name_is_askable(struct slice name);

/*
 * The answer to a question. Records and names are copied into the arena. ERROR_FORMAT: no sound
 * answer to this question (another id, another name); ERROR_LIMIT: it was cut short, ask by TCP;
 * ERROR_NO_MEMORY. An answer that reports a failure is OK, with DNS_FAILED.
 */
MUST_CHECK enum error dns_answer_parse(struct slice message, uint16_t id, struct slice name,
	enum dns_type type, struct arena *arena, struct dns_answer *ret_answer);

/* "7.2.0.192.in-addr.arpa", "8.b.d.....ip6.arpa": the name for a look-up of names (RFC 1035
 * section 3.5, RFC 3596 section 2.5). 4 or 16 octets. */
void dns_reverse_name_append(struct buffer *buffer, struct slice address);

#endif
