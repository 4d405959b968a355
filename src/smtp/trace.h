/* The Received field that stands on top of each message taken in (RFC 5321 section 4.4, RFC 3848).
 */
#ifndef SMTP_TRACE_H
#define SMTP_TRACE_H

#include "base/buffer.h"
#include "base/clock.h"
#include "ipc/envelope.h"

#define SMTP_TRACE_COLUMNS 78   /* lines are folded at this width where a word allows it */
#define SMTP_TRACE_MAX     2048 /* octets of the whole field */

struct smtp_trace {
	struct slice helo;           /* empty: nothing is said of the client */
	struct slice client_address; /* textual; empty or no IP address: left out */
	struct slice hostname;
	enum envelope_protocol protocol;
	struct slice tls;       /* version and cipher; empty: none */
	struct slice recipient; /* the only one; empty if there are several, since each copy is read
				   by all of them */
	wall_us time;
	bool is_smtputf8;
	struct slice client_name; /* that leads to the address and back; empty: none */
};

/*
 * Appends the field with its CRLFs. At the returned offset in the buffer lie QUEUE_ID_DIGITS octets
 * for the id. The error is the buffer's.
 */
size_t smtp_trace_append(struct buffer *buffer, const struct smtp_trace *trace);

#endif
