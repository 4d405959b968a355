/*
 * Delivery reports: multipart/report messages that tell a sender what became of a message (RFC 3464
 * in the frame of RFC 6522, RFC 6533 for addresses outside ASCII, texts for RFC 3463 status codes).
 * Pure: time and randomness come as values; the report goes into a buffer with a maximum.
 *
 * A report is what dsn_append_prologue builds, then, with DSN_RETURN_FULL only, the original
 * content as the caller has it (CRLF line ends, not dot-stuffed, not changed), then what
 * dsn_append_epilogue builds. All that is built here ends lines in CRLF and has at most 998 octets
 * a line.
 *
 * What comes from outside is written by these rules, so that it can neither end a field nor start a
 * line of its own:
 *  - Texts (diagnostics, the envelope id, names of servers) are words: space is one SP or a fold;
 * CR and LF, together or alone, make a fold. Words over DSN_WORD_MAX octets are broken there. A
 * text over its maximum ends in "[...]".
 *  - Controls, characters that reorder or break lines (U+0080-U+009F, U+200E, U+200F,
 * U+2028-U+202E, U+2066-U+2069, U+FEFF) and octets that are no UTF-8 become "?".
 *  - Other characters over U+007F stay as they are where the part is declared UTF-8, else they are
 *    \x{...} as RFC 6533 section 3 has it.
 *  - Addresses are not broken: over DSN_ADDRESS_MAX octets as written they end in "[...]". What
 *    address_parse accepts always fits.
 *  - The original header ends where header_next says so, hence no octet of a body is returned with
 *    it; what is not clean text goes as quoted-printable.
 */
#ifndef TEXT_DSN_H
#define TEXT_DSN_H

#include "base/buffer.h"
#include "base/clock.h"
#include "base/slice.h"
#include "text/enhanced_status.h"

#define DSN_RANDOM          16   /* octets that make the boundary and the Message-ID */
#define DSN_LINE_MAX        998  /* RFC 5322 section 2.1.1 */
#define DSN_WORD_MAX        200  /* octets of a word, as written */
#define DSN_ADDRESS_MAX     900  /* octets of an address, as written */
#define DSN_DIAGNOSTIC_MAX  2000 /* octets of a diagnostic that are reported */
#define DSN_NAME_MAX        255  /* of a server's name, an envelope id */
#define DSN_SPELLED_OUT_MAX 10   /* recipients in the part for people; the other part has all */

/* What a buffer needs as its maximum so that no report of `recipients` and a header of
 * `header_octets` fails. */
#define DSN_FIXED_OCTETS_MAX     1048576
#define DSN_RECIPIENT_OCTETS_MAX 12288
#define DSN_OCTETS_MAX(recipients, header_octets)                                 \
	(DSN_FIXED_OCTETS_MAX + (recipients) * (size_t)DSN_RECIPIENT_OCTETS_MAX + \
		(size_t)4 * (header_octets))

enum dsn_action {
	DSN_FAILED,
	DSN_DELAYED,
	DSN_RELAYED, /* to a system that reports nothing back */
	DSN_EXPANDED,
	DSN_DELIVERED,
	DSN_ACTIONS
};

enum dsn_diagnostic {
	DSN_DIAGNOSTIC_NONE,
	DSN_DIAGNOSTIC_SMTP,  /* the text is a reply, perhaps of several lines */
	DSN_DIAGNOSTIC_LOCAL, /* the text is our own: type x-veredus */
};

struct dsn_recipient {
	enum dsn_action action;
	/* A class other than 2, 4 and 5 is replaced by the one that fits the action; numbers over
	 * 999 by 0. So all zero is "unknown". */
	struct enhanced_status status;
	struct slice address;          /* final recipient */
	struct slice address_type;     /* empty: rfc822 */
	struct slice original_address; /* ORCPT, xtext and \x{} decoded; empty: none */
	struct slice original_type;    /* ORCPT's address type; empty: rfc822 */
	struct slice remote_mta;       /* name or [literal]; empty: none */
	enum dsn_diagnostic diagnostic;
	struct slice text;        /* of the diagnostic; empty: none */
	wall_us attempted_at;     /* 0: not known */
	wall_us next_attempt_at;  /* of delayed recipients; 0: not known */
	wall_us will_retry_until; /* likewise */
};

struct dsn_recipients {
	size_t count;
	/* Writes recipient `index`, 0 to count - 1, whose slices hold until the next call. Called
	 * several times for each. */
	enum error (*get)(void *context, size_t index, struct dsn_recipient *ret_recipient);
	void *context;
};

enum dsn_return {
	DSN_RETURN_HEADER, /* the original header; nothing when that is empty */
	DSN_RETURN_FULL,
};

/* What the part for people is written in: RFC 5646 codes en, de, fr, es, ru. */
enum dsn_language { DSN_ENGLISH, DSN_GERMAN, DSN_FRENCH, DSN_SPANISH, DSN_RUSSIAN, DSN_LANGUAGES };

bool dsn_language_parse(struct slice code, enum dsn_language *ret_language);
const char *dsn_language_code(enum dsn_language language);

struct dsn_templates;

struct dsn {
	struct slice hostname;      /* of the reporting server: a domain or an address literal */
	struct slice mailer_domain; /* of From and Message-ID; empty: hostname */
	struct slice reverse_path;  /* the report's To; never empty */
	struct slice queue_id;
	struct slice envelope_id; /* ENVID, xtext decoded; empty: none */
	wall_us date;             /* of the report */
	wall_us arrived_at;
	struct dsn_recipients recipients;
	enum dsn_return returns;
	struct slice header; /* the original header section, as much as there is; also for
				DSN_RETURN_FULL, where only its Message-ID is used */
	bool header_is_cut;  /* `header` is only the beginning */
	bool content_is_8bit;
	bool is_smtputf8; /* the original came with SMTPUTF8: its sender can read RFC 6533 forms */
	/* In this order, each once; English comes last by itself. */
	const enum dsn_language *languages;
	size_t language_count;
	const struct dsn_templates *templates; /* dsn_template.h; NULL: there are none */
	uint8_t random[DSN_RANDOM];
};

/* What the report's own transport must offer. The content behind DSN_RETURN_FULL is counted in. */
struct dsn_needs {
	bool is_8bit;     /* BODY=8BITMIME */
	bool is_smtputf8; /* SMTPUTF8 */
};

/*
 * Appends the report up to where the original content stands, or up to its end before the last
 * delimiter. Errors: ERROR_FORMAT (hostname, mailer_domain or reverse_path are not valid, no
 * recipients, an action out of range, an empty address), ERROR_LIMIT or ERROR_NO_MEMORY (of the
 * buffer: it is not whole then, nothing is left out to make it fit), or what recipients.get said.
 * After an error the buffer's length is as before.
 */
MUST_CHECK enum error
dsn_append_prologue(struct buffer *buffer, const struct dsn *dsn, struct dsn_needs *ret_needs);

/* The last delimiter; needs `random` only. */
MUST_CHECK enum error dsn_append_epilogue(struct buffer *buffer, const struct dsn *dsn);

#endif
