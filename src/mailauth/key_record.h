/* Key records (RFC 6376 section 3.6.1): what NAME._domainkey.DOMAIN says. */
#ifndef MAILAUTH_KEY_RECORD_H
#define MAILAUTH_KEY_RECORD_H

#include "base/arena.h"
#include "mailauth/crypto.h"
#include "mailauth/tag_list.h"

enum key_fault {
	KEY_OK,
	KEY_NOT_ONE, /* a TXT record about something else */
	KEY_SYNTAX,
	KEY_REVOKED,
	KEY_NO_SHA256,
	KEY_NOT_FOR_MAIL,
	KEY_OTHER_TYPE,
	KEY_BROKEN,
	KEY_FAULTS
};

/* Half a sentence; never NULL. */
const char *key_fault_text(enum key_fault fault);

struct key_record {
	enum key_type type;
	struct slice octets;
	bool is_testing; /* t=y */
	bool is_strict;  /* t=s */
};

/* The decoded octets live in the arena. */
enum key_fault
key_record_parse(struct slice text, struct arena *arena, struct key_record *ret_record);

#endif
