/*
 * The file of passwords: a line for each login. Pure; text in, a sorted table out.
 *
 *   line    = login ":" ["!"] hash [SP verifier] [":" senders]
 *   login   = local-part "@" domain        ; in any case
 *   senders = sender *( "," sender )       ; further addresses it may send as
 *   sender  = address / "*@" domain
 *
 * "!" in front of the hash: the login is disabled. Empty lines and those that begin with "#" are
 * nothing. A file with a fault is no file: half a table would let nobody see which half.
 */
#ifndef AUTH_PASSWORDS_H
#define AUTH_PASSWORDS_H

#include "base/arena.h"
#include "text/sasl.h"

#define PASSWORDS_FILE_MAX    (16u << 20)
#define PASSWORDS_HASH_MAX    255
#define PASSWORDS_SENDERS_MAX 1024

struct password_entry {
	struct slice login; /* lower case */
	struct slice hash;  /* without "!" */
	struct slice scram; /* the verifier of auth/scram.h; empty: none */
	struct slice senders;
	bool is_disabled;
};

struct passwords {
	const struct password_entry *entries; /* by login */
	size_t count;
	size_t without_scram; /* logins that may be used and have no verifier */
};

/* What is wrong, for people; the text of the line is kept out of it. */
struct passwords_fault {
	size_t line; /* from 1; 0: none */
	const char *why;
};

/* The table lies in the arena, the text may go. ERROR_FORMAT with a fault, ERROR_NO_MEMORY. */
MUST_CHECK enum error passwords_parse(struct slice text, struct arena *arena,
	struct passwords *ret_passwords, struct passwords_fault *ret_fault);

/* NULL: there is none. The login in lower case. */
const struct password_entry *passwords_find(const struct passwords *passwords, struct slice login);

/* Whether it can be a login: an address that needs no quotes. */
bool passwords_login_is_valid(struct slice login);

/* Whether it is a list of senders as above; an empty one is. */
bool passwords_senders_are_valid(struct slice senders);

/* Lower case, in the memory behind `to`, which has room for it. */
struct slice passwords_lower(struct slice login, uint8_t *to);

#endif
