/*
 * The envelope of one message with its trace header: parsed once, from the SMTP dialogue, and from
 * then on the one struct that session, queue and deliverers share. Its encoded form is a sequence
 * of tagged fields; it travels in the ring and lies in the spool.
 *
 * Slices point into memory of whoever made the struct (an arena); an envelope owns nothing.
 */
#ifndef IPC_ENVELOPE_H
#define IPC_ENVELOPE_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "ipc/queue_id.h"
#include "text/dsn_request.h"
#include "text/message_id.h"

#define ENVELOPE_RECIPIENTS_MAX 100000
#define ENVELOPE_BYTES_MAX                                                     \
	(32u << 20) /* of an encoded one: with the largest content it fits the \
		       ring to the queue, and a batch's memory */
#define ENVELOPE_RECIPIENT_BYTES(len) (5 + (uint64_t)(len))  /* encoded: tag, length, address */
#define ENVELOPE_WISH_BYTES(len)      (10 + (uint64_t)(len)) /* with its number, bits, ORCPT */
#define ENVELOPE_FORWARD_BYTES        9                      /* likewise, that it is forwarded */
#define ENVELOPE_OTHER_BYTES          49152 /* encoded: more than all but the recipients takes */
#define ENVELOPE_TRACE_MAX            16384
#define ENVELOPE_ADDRESS_MAX                                                 \
	1024 /* octets of one address; RFC 5321 section 4.5.3.1 asks for 256 \
	      */

enum envelope_body {
	BODY_UNSTATED, /* no BODY= */
	BODY_7BIT,
	BODY_8BITMIME, /* RFC 6152 */
};

/* How the message came: the words of RFC 3848. */
enum envelope_protocol {
	PROTOCOL_SMTP,
	PROTOCOL_ESMTP,
	PROTOCOL_LOCAL,
	PROTOCOL_ESMTPS,
	PROTOCOL_ESMTPA,
	PROTOCOL_ESMTPSA,
	PROTOCOL_LMTP, /* RFC 2033 */
	PROTOCOL_LMTPS
};

/* How much of the message a report of failure shall bring back (RET of RFC 3461). */
enum envelope_returns { RETURNS_UNSTATED, RETURNS_FULL, RETURNS_HEADERS };

/* What the session found while the content arrived. */
enum content_flags {
	CONTENT_8BIT = 1u << 0,          /* octets over 127 */
	CONTENT_DOT_LINE = 1u << 1,      /* a line starts with a dot: SMTP must stuff it */
	CONTENT_NO_FINAL_CRLF = 1u << 2, /* the last line has no end */
	CONTENT_LONG_LINE = 1u << 3,     /* a line over 998 octets */
	CONTENT_8BIT_HEADER = 1u << 4,   /* octets over 127 in the header section */
	CONTENT_SMTPUTF8 = 1u << 5,      /* SMTPUTF8 was said: addresses and header may be so (RFC
					    6531) */
};

struct envelope_recipient {
	struct slice address; /* forward path without brackets and source route: local-part@domain
				 as received */
};

/* Which reports its sender wants of a recipient (RFC 3461). */
struct envelope_wish {
	struct slice original; /* ORCPT as it was said; empty: none */
	uint8_t notify;        /* enum dsn_notify */
	bool is_expanded;  /* it had several targets, which are recipients too: there is nothing to
			      deliver, only its sender to be told */
	bool is_forwarded; /* an alias sends it abroad: under forward_path, and with the seal */
	bool is_target;    /* an alias led here: what its sender wrote is `original`, if it has room
			    */
};

struct envelope {
	uint64_t id; /* 0 until `queue` gives one */
	wall_us received_at;
	struct slice reverse_path; /* without brackets; empty for <> */
	const struct envelope_recipient *recipients;
	const struct envelope_wish *wishes; /* one a recipient; NULL: nobody asked for anything */
	uint32_t recipient_count;
	enum envelope_body body;
	enum envelope_returns returns;
	struct slice envelope_id; /* ENVID as it was said; empty: none */
	enum envelope_protocol protocol;
	struct slice message_id;     /* message_id.h; empty: none was found */
	struct slice helo;           /* as the client said it */
	struct slice client_address; /* textual; empty for local mail */
	uint16_t client_port;
	struct slice listener; /* its name in the configuration */
	uint32_t content_flags;
	uint64_t content_size; /* octets, CRLF line ends, not dot-stuffed */
	/*
	 * Trace header fields to stand in front of the content, each line with its CRLF. At
	 * trace_id_at lie QUEUE_ID_DIGITS octets that `queue` overwrites with the id; SIZE_MAX:
	 * there is no such place.
	 */
	struct slice trace;
	size_t trace_id_at;
	bool is_junk;              /* policy says: for the recipients' Junk folders */
	struct slice forward_path; /* the return path of what is forwarded; empty: reverse_path */
	struct slice seal; /* whole lines, in front of the trace of what is forwarded; both together
			      are no longer than a trace may be */
	struct slice unknown; /* encoded fields of a later version, kept as they are */
};

static inline struct envelope_wish
envelope_wish(const struct envelope *envelope, uint32_t recipient)
{
	return envelope->wishes ? envelope->wishes[recipient] : (struct envelope_wish){0};
}

/* Addresses for a log line, a space between: those of the first recipients that fit. */
#define ENVELOPE_SOME_BYTES 400
void envelope_append_some(const struct envelope *envelope, struct buffer *text);

/* Appends the encoded form. The error is the buffer's. */
void envelope_encode(const struct envelope *envelope, struct buffer *buffer);

/*
 * Reads the encoded form; slices point into `bytes`, the recipients into the arena. Every length,
 * number and address is checked: ERROR_FORMAT, ERROR_LIMIT (too many recipients, or the arena's
 * maximum).
 */
MUST_CHECK enum error
envelope_decode(struct slice bytes, struct arena *arena, struct envelope *ret_envelope);

#endif
