/*
 * SPF (RFC 7208): may this address send mail for that domain? check_host() with all mechanisms,
 * modifiers and macros, its limits, and the steps on the way for whoever wants to know why. The DNS
 * comes in as an argument; nothing else is touched.
 */
#ifndef MAILAUTH_SPF_H
#define MAILAUTH_SPF_H

#include "base/arena.h"
#include "base/clock.h"
#include "dns/source.h"

#define SPF_LOOKUPS_MAX      10 /* terms that ask the DNS (section 4.6.4) */
#define SPF_VOID_LOOKUPS_MAX 2
#define SPF_DEADLINE_US      (20 * US_PER_S) /* section 4.6.4 asks for at least that much */
#define SPF_ARENA_BYTES      (4u << 20)      /* enough for every evaluation within the limits */

enum spf_result {
	SPF_NONE,
	SPF_NEUTRAL,
	SPF_PASS,
	SPF_FAIL,
	SPF_SOFTFAIL,
	SPF_TEMPERROR,
	SPF_PERMERROR
};

/* "softfail", as Received-SPF and Authentication-Results write it. */
const char *spf_result_text(enum spf_result result);

/* One thing that the evaluation did: `depth` includes and redirects deep, in the record of
 * `domain`. */
struct spf_step {
	unsigned depth;
	struct slice domain;
	struct slice term;   /* as the record has it; empty: the record as a whole */
	const char *what;    /* "matches", "does not match", ...: a phrase */
	struct slice detail; /* may be empty */
};

struct spf_request {
	const struct dns_source *dns;
	struct arena *arena; /* of SPF_ARENA_BYTES; the verdict lives in it */
	mono_us deadline;
	struct slice ip;       /* 4 or 16 octets; an IPv4 address mapped into IPv6 is IPv4 */
	struct slice sender;   /* the reverse path; empty: postmaster@helo */
	struct slice helo;     /* as the client said it */
	struct slice receiver; /* our name, for macros; may be empty */
	wall_us now;
	void (*step)(void *arg, const struct spf_step *step); /* or NULL */
	void *step_arg;
};

struct spf_verdict {
	enum spf_result result;
	struct slice domain;      /* that was asked: of the sender, else of HELO */
	struct slice term;        /* that decided, as the record has it; may be empty */
	struct slice explanation; /* of a fail, by the domain's own words; printable ASCII; may be
				     empty: a stranger's text */
	struct slice reason;      /* of an error or a none: half a sentence of ours */
	unsigned lookups;         /* of SPF_LOOKUPS_MAX */
	unsigned void_lookups;
};

/* May wait: for the DNS. The MAIL FROM identity, or that of HELO for an empty sender (section 2.4).
 */
void spf_check(const struct spf_request *request, struct spf_verdict *ret_verdict);

/* May wait. The HELO identity (section 2.3). */
void spf_check_helo(const struct spf_request *request, struct spf_verdict *ret_verdict);

/*
 * The value of a Received-SPF field (section 9.1), without folds: "pass (mx.example: ...)
 * client-ip=...; envelope-from=\"...\"; helo=...; receiver=...; identity=mailfrom".
 */
void spf_append_received(struct buffer *buffer, const struct spf_request *request,
	const struct spf_verdict *verdict, bool is_helo);

#endif
