/*
 * What a delivery attempt is in words between `queue` and its carriers (deliverers, and whoever
 * else takes mail out of the queue): the transport it goes by, the list of numbered recipients in
 * DELIVER, the list of results in RESULT. Lists are one field of their message; their octets are
 * never trusted.
 *
 * A recipient: u32 number in the envelope, u32 length, address, u8 notify, u16 length, ORCPT. A
 * result: u64 attempt, u32 recipient, u8 outcome, u8 tls (128 more: the next server reports), u32
 * status, u32 connecting and u32 sending (ms), and text, remote, path as u16 length and octets.
 */
#ifndef IPC_DELIVERY_H
#define IPC_DELIVERY_H

#include "base/buffer.h"
#include "base/cursor.h"
#include "base/error.h"
#include "text/dsn_request.h"
#include "text/enhanced_status.h"

#define DELIVERY_RECIPIENTS_MAX   64    /* of one attempt */
#define DELIVERY_LIST_BYTES       40960 /* of an encoded list of recipients: DELIVER fits a datagram */
#define DELIVERY_RESULTS_BYTES    61440 /* of an encoded list of results */
#define DELIVERY_ADDRESS_MAX      1024
#define DELIVERY_TEXT_MAX         1024
#define DELIVERY_REMOTE_MAX       320
#define DELIVERY_PATH_MAX         4096
#define DELIVERY_RECIPIENT_NUMBER 1048576u   /* numbers are below */
#define DELIVERY_ALL              UINT32_MAX /* a result for all recipients that have none yet */

/* A destination is a transport and a name. */
enum transport {
	TRANSPORT_MAILDIR, /* the owner of virtual mailboxes, "" for the process's own */
	TRANSPORT_SYSTEM,  /* a login: the mailboxes of a user of the system */
	TRANSPORT_MX,      /* a domain */
	TRANSPORT_HOST,    /* "HOST PORT" */
	TRANSPORT_LMTP,    /* "HOST PORT" or "/path" */
	TRANSPORT_PIPE,    /* the program as configured */
	TRANSPORT_COUNT
};

/* Where the octets of DELIVER's content are: a segment whose descriptor the carrier has been sent,
 * or sealed memory whose descriptor comes with the message. */
enum content_source { SOURCE_SEGMENT, SOURCE_MEMORY, SOURCE_COUNT };

enum deliver_outcome { DELIVER_DELIVERED, DELIVER_TEMPORARY, DELIVER_PERMANENT, DELIVER_OUTCOMES };

/* What a connection to the next host was protected by. */
enum delivery_tls { TLS_NONE, TLS_UNVERIFIED, TLS_VERIFIED, TLS_STATES };

struct delivery_recipient {
	uint32_t number; /* in the envelope */
	struct slice address;
};

/* Which reports its sender wants, for who can pass that on. */
struct delivery_wish {
	uint32_t notify;       /* enum dsn_notify */
	struct slice original; /* ORCPT as it was said; empty: none */
};

struct delivery_result {
	uint64_t attempt;
	uint32_t recipient; /* its number in the envelope, or DELIVERY_ALL */
	enum deliver_outcome outcome;
	enum delivery_tls tls;
	bool is_passed_on; /* DELIVERED to a server that was told what to report to the sender */
	uint32_t connecting_ms; /* of the try, until the transaction began: DNS, hosts, TLS */
	uint32_t sending_ms;    /* from there to the reply; 0: it did not come to that */
	struct enhanced_status status;
	struct slice text;   /* the reply, or a phrase without paths: it may go to the sender */
	struct slice remote; /* who said it; empty when it was this server */
	struct slice path;   /* DELIVERED into a mailbox: the file */
};

/* "maildir"; for logs and lists. */
const char *transport_name(enum transport transport);

/* Octets that a recipient takes in the list. */
static inline size_t
delivery_recipient_bytes(struct slice address, struct slice original)
{
	return 11 + address.len + original.len;
}

/* ERROR_LIMIT: the list has DELIVERY_LIST_BYTES, or a text is too long; nothing was appended. */
MUST_CHECK enum error delivery_recipient_append(struct buffer *list,
	const struct delivery_recipient *recipient, const struct delivery_wish *wish);

/*
 * 1 to DELIVERY_RECIPIENTS_MAX recipients with ascending numbers; their slices point into the list.
 * ERROR_FORMAT: it is no such list.
 */
MUST_CHECK enum error delivery_recipients_decode(struct slice list,
	struct delivery_recipient ret_recipients[DELIVERY_RECIPIENTS_MAX], uint32_t *ret_count);

/* What stands in such a list beside its recipients, one for each. */
MUST_CHECK enum error
delivery_wishes_decode(struct slice list, struct delivery_wish ret_wishes[DELIVERY_RECIPIENTS_MAX]);

/* ERROR_LIMIT: it does not fit any more; nothing was appended. What is over a maximum is cut. */
MUST_CHECK enum error
delivery_result_append(struct buffer *list, const struct delivery_result *result);

/* The next result of the list; ERROR_FORMAT. While octets are left there is another. */
MUST_CHECK enum error delivery_result_take(struct cursor *list, struct delivery_result *ret_result);

#endif
