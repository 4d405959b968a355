/*
 * One command line of SMTP, parsed once into a struct (RFC 5321 section 4.1.1, RFC 1870, RFC 6152).
 * What is wrong with a line is part of the result, so that the server can first ask whether the
 * command may stand here at all.
 */
#ifndef SMTP_COMMAND_H
#define SMTP_COMMAND_H

#include "ipc/envelope.h"
#include "smtp/reply.h"
#include "text/address.h"

enum smtp_verb {
	VERB_UNKNOWN,
	VERB_HELO,
	VERB_EHLO,
	VERB_LHLO, /* of LMTP */
	VERB_MAIL,
	VERB_RCPT,
	VERB_DATA,
	VERB_BDAT,
	VERB_RSET,
	VERB_NOOP,
	VERB_HELP,
	VERB_VRFY,
	VERB_QUIT,
	VERB_STARTTLS,
	VERB_AUTH,
	VERB_XCLIENT,
	VERB_NOT_IMPLEMENTED, /* a command of SMTP that this server does not offer */
	VERB_HTTP,            /* somebody's browser, or an attack through one (ALPACA) */
	VERB_COUNT
};

/* Views into the line. */
struct smtp_command {
	enum smtp_verb verb;   /* also when error says that the rest is malformed */
	struct slice argument; /* HELO, EHLO: the name; NOOP, HELP, VRFY, AUTH, XCLIENT: what stands
				  behind the verb */
	/* MAIL and RCPT */
	struct slice
		mailbox; /* without brackets and source route; empty: the null reverse path <> */
	struct address address; /* the same, split; no domain: <>, <postmaster>, and a sender that
				   is no address */
	uint64_t size;          /* SIZE=, UINT64_MAX if it does not fit; 0: not stated. BDAT:
				   octets of the chunk */
	bool is_last;           /* of BDAT */
	enum envelope_body body;
	enum envelope_returns returns; /* RET= */
	struct slice envelope_id;      /* ENVID=, well formed; empty: not stated */
	uint32_t notify;               /* NOTIFY= of RCPT: enum dsn_notify */
	struct slice original;         /* ORCPT=, likewise */
	bool is_smtputf8;              /* SMTPUTF8 of MAIL (RFC 6531) */
	bool has_auth;           /* AUTH= of MAIL, well formed; whose word it is, nobody knows */
	struct smtp_reply error; /* code 0: the line is well formed */
	bool takes_odd_paths;    /* as given */
};

/* Whether content follows at once, whatever else is wrong with the line. */
bool smtp_command_has_octets(struct slice line);

/* A line without its CRLF. `takes_odd_paths`: see struct smtp_server_settings. */
void smtp_command_parse(struct slice line, bool takes_odd_paths, struct smtp_command *ret_command);

#endif
