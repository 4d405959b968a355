/* What the files of SPF share. spf_record.c: the grammar. spf_macro.c: macros. spf.c: the
 * evaluation. */
#ifndef MAILAUTH_SPF_PRIVATE_H
#define MAILAUTH_SPF_PRIVATE_H

#include "base/cursor.h"
#include "mailauth/spf.h"

#define SPF_TERMS_MAX     1000 /* of a record; a permerror beyond */
#define SPF_ADDRESSES_MAX 10   /* MX and PTR records looked at (section 4.6.4) */
#define SPF_CIDR_NONE     255

enum spf_mechanism { SPF_ALL, SPF_INCLUDE, SPF_A, SPF_MX, SPF_PTR, SPF_IP4, SPF_IP6, SPF_EXISTS };

struct spf_term {
	enum spf_mechanism mechanism;
	enum spf_result result; /* if it matches: its qualifier */
	struct slice text;
	struct slice domain_spec; /* empty: the domain itself */
	uint8_t address[16];      /* IP4, IP6 */
	uint8_t cidr4, cidr6;     /* SPF_CIDR_NONE: all of the bits */
};

struct spf_record {
	struct spf_term *terms;
	size_t count;
	struct slice redirect; /* domain-spec; empty: none */
	struct slice exp;
};

/* Whether a TXT record is one of SPF version 1 (section 4.5). */
bool spf_is_record(struct slice text);

/* ERROR_FORMAT: ret_bad is the term that breaks the grammar. ERROR_LIMIT: too many terms.
 * ERROR_NO_MEMORY. */
MUST_CHECK enum error spf_record_parse(struct slice text, struct arena *arena,
	struct spf_record *ret_record, struct slice *ret_bad);

/* What is known during one check. */
struct spf_check {
	const struct spf_request *request;
	struct slice ip; /* 4 or 16 octets, never mapped */
	struct slice local_part, sender_domain, sender;
	unsigned lookups, void_lookups;
	bool out_of_lookups, out_of_void_lookups;
	unsigned depth;
	struct slice names[SPF_ADDRESSES_MAX]; /* of the address, confirmed by their own addresses:
						  for ptr and %{p} */
	size_t name_count;
	bool has_names;
	bool is_sick; /* the memory is used up: a temperror */
};

enum spf_macro_use { SPF_MACRO_DOMAIN, SPF_MACRO_EXPLANATION };

/* The grammar of section 7.1: a domain-spec, or the text of an explanation. */
bool spf_macro_is_valid(struct slice text, enum spf_macro_use use);

/*
 * May wait: %{p} asks the DNS. A valid text with its macros expanded; for a domain the first labels
 * are dropped until it fits (section 7.3). False when the memory is used up.
 */
bool spf_macro_expand(struct spf_check *check, struct slice text, struct slice domain,
	enum spf_macro_use use, struct slice *ret_text);

/* May wait. The confirmed names of the client's address (section 5.5). */
void spf_find_names(struct spf_check *check);

/* Whether a name is this domain or lies below it. */
bool spf_name_is_below(struct slice name, struct slice domain);

/* May wait. Asks within the check's deadline and counts nothing. */
void spf_ask(struct spf_check *check, struct slice name, enum dns_type type,
	struct dns_answer *ret_answer);

#endif
