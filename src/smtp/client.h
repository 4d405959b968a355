/*
 * The sending side of SMTP and LMTP (RFC 5321, 1870, 2033, 2034, 2920, 3207, 4954, 6152): a session
 * over a stream that is connected already, as straight-line code on the task that calls it. It
 * connects nothing, prints nothing and retries nothing; what servers said comes back as replies,
 * one a recipient.
 *
 *     smtp_client_open       banner, EHLO or HELO
 *     smtp_client_login      AUTH: client_auth.h
 *     smtp_client_send       one message; may be repeated
 *     smtp_client_quit
 *     smtp_client_done       always; the stream and the reader stay the caller's
 *
 * An error that these return says that the connection is of no use any more, and client.stage where
 * it happened: with SMTP_STAGE_FINAL the server has all of the message and may have taken it (RFC
 * 1047). A refusal is no error.
 */
#ifndef SMTP_CLIENT_H
#define SMTP_CLIENT_H

#include "base/arena.h"
#include "net/line_reader.h"
#include "smtp/reply.h"
#include "text/dsn_request.h"

#define SMTP_CLIENT_ADDRESS_MAX 1024 /* octets of a path; RFC 5321 section 4.5.3.1.3 has 256 */
#define SMTP_CLIENT_GROUP_MAX                                                                   \
	4096 /* octets of commands that are sent before replies are read: they fit the smallest \
		socket buffers, so that never both sides wait to write */
#define SMTP_CLIENT_REPLY_LINE_MAX \
	2048 /* octets of a reply's line; more are dropped. RFC 5321 section 4.5.3.1.5 has 512 */
#define SMTP_CLIENT_TEXT_MAX 1024 /* octets of a reply's text kept for a recipient */

enum smtp_client_stage {
	SMTP_STAGE_BANNER,
	SMTP_STAGE_HELLO,
	SMTP_STAGE_TLS, /* STARTTLS and the handshake */
	SMTP_STAGE_AUTH,
	SMTP_STAGE_RESET,
	SMTP_STAGE_MAIL,
	SMTP_STAGE_RCPT,
	SMTP_STAGE_DATA,
	SMTP_STAGE_CONTENT, /* writing it */
	SMTP_STAGE_FINAL,   /* waiting for the reply to it */
	SMTP_STAGE_QUIT,
	SMTP_STAGES
};

/* "the banner", "RCPT", "the content"; never NULL. */
const char *smtp_client_stage_text(enum smtp_client_stage stage);

enum smtp_client_extension {
	SMTP_OFFERS_PIPELINING = 1u << 0,
	SMTP_OFFERS_SIZE = 1u << 1,
	SMTP_OFFERS_8BITMIME = 1u << 2,
	SMTP_OFFERS_ENHANCEDSTATUSCODES = 1u << 3,
	SMTP_OFFERS_STARTTLS = 1u << 4,
	SMTP_OFFERS_DSN = 1u << 5,
	SMTP_OFFERS_SMTPUTF8 = 1u << 6,
	SMTP_OFFERS_AUTH = 1u << 7,
};

/* Of those that AUTH offers, what client_auth.h knows. */
enum smtp_client_mechanism {
	SMTP_MECHANISM_PLAIN = 1u << 0,
	SMTP_MECHANISM_LOGIN = 1u << 1,
	SMTP_MECHANISM_SCRAM_SHA_256 = 1u << 2,
};

/* The same for many sessions; outlives them. Times: RFC 5321 section 4.5.3.2. */
struct smtp_client_settings {
	struct slice hello; /* what we call ourselves: a domain or an address literal */
	int64_t banner_timeout_us;
	int64_t handshake_timeout_us; /* of TLS */
	int64_t command_timeout_us;   /* EHLO, HELO, RSET, MAIL, RCPT */
	int64_t data_timeout_us;      /* for 354 */
	int64_t block_timeout_us;     /* for a block of content to be taken */
	int64_t final_timeout_us;     /* for the reply to the content */
	int64_t quit_timeout_us;      /* nothing depends on that reply */
};

void smtp_client_settings_init(struct smtp_client_settings *ret_settings, struct slice hello);

/* What a transcript shows. */
enum smtp_client_line {
	SMTP_LINE_SENT,     /* a command, without its CRLF */
	SMTP_LINE_RECEIVED, /* a line as it came: a stranger's bytes */
	SMTP_LINE_CONTENT,  /* in place of the content: "1234 octets of content" */
};

struct smtp_client {
	/* Given by the caller, who owns all of it: */
	struct stream *stream;
	struct line_reader *reader; /* on that stream */
	const struct smtp_client_settings *settings;
	void (*transcript)(void *arg, enum smtp_client_line kind, struct slice line); /* or NULL */
	void *transcript_arg;
	bool is_lmtp; /* RFC 2033: LHLO, and behind the content a reply for each recipient */

	/* The session's own, zero at the start; the caller may read it. */
	enum smtp_client_stage stage;
	bool is_open; /* greeted; messages may be sent */
	bool is_over; /* the server said 421 or an error happened: nothing more may be said */
	bool needs_reset;
	uint32_t extensions;     /* enum smtp_client_extension */
	uint32_t mechanisms;     /* enum smtp_client_mechanism */
	uint64_t size_max;       /* octets the server takes; 0: not stated */
	uint64_t recipients_max; /* of a transaction, likewise (RFC 9422) */
	enum error write_error;  /* writing failed; what the server said before may still come */
	struct smtp_reply_reader reply;
	struct buffer output;
};

struct smtp_client_message {
	struct slice reverse_path; /* without brackets; empty for <> */
	uint64_t size;             /* octets with CRLF line ends, for SIZE= */
	bool is_8bit;              /* octets over 127 are in it */
	bool is_smtputf8;          /* in its header too: only for who offers SMTPUTF8, as with
				      addresses beyond ASCII (RFC 6531) */
	/* What a server that offers DSN is told (RFC 3461), as it was said to us. */
	struct slice returns;     /* "FULL" or "HDRS"; empty: not said */
	struct slice envelope_id; /* xtext; empty: none */
	/*
	 * May wait. The next octets, at most len; none: the end. An error breaks the message off,
	 * and the connection with it: the server throws away what it has.
	 */
	enum error (*read)(void *arg, void *bytes, size_t len, size_t *ret_len);
	void *read_arg;
};

/*
 * What became of the message for one recipient. The server took it if the stage is SMTP_STAGE_FINAL
 * and the reply positive; else the reply is a refusal, by its first digit for now or for good (at
 * RCPT, 552 too may mean "too many recipients": RFC 5321 section 4.5.3.1.10). Code 0: an error came
 * before any reply decided.
 */
struct smtp_client_recipient {
	struct slice address;  /* given: the forward path without brackets */
	uint32_t notify;       /* given: enum dsn_notify */
	struct slice original; /* given: ORCPT's value; empty: none */
	struct smtp_reply reply;
	enum smtp_client_stage stage; /* what the reply answers */
	bool is_ours;                 /* the reply: the server's EHLO said no, it was not asked */
	bool is_accepted;             /* RCPT had a positive reply */
};

/*
 * May wait. The reply to EHLO or HELO, or the one that refused us; client.is_open tells which. Its
 * text holds until the next call. ERROR_TIMEOUT, ERROR_CANCELLED, ERROR_CLOSED, ERROR_FORMAT (not
 * SMTP), ERROR_LIMIT (an endless reply), ERROR_NO_MEMORY.
 */
MUST_CHECK enum error smtp_client_open(struct smtp_client *client, struct smtp_reply *ret_reply);

/*
 * May wait. STARTTLS (RFC 3207) of an open session, before any message, whose server offers it.
 * `handshake` (may wait) has, when it returns OK, put the encrypted stream under client and reader;
 * its error breaks the session off, and is returned. Afterwards the session is greeted anew, and
 * what the server said before is forgotten; the reply is the one to EHLO, as of smtp_client_open.
 * *ret_started false: the server refused, and the session is as it was; the reply says why.
 */
MUST_CHECK enum error smtp_client_start_tls(struct smtp_client *client,
	enum error (*handshake)(void *arg, mono_us deadline), void *arg, bool *ret_started,
	struct smtp_reply *ret_reply);

/*
 * May wait. One transaction of an open session, with at least one recipient. OK: every recipient
 * has a reply. An error (as above, or that of reading the content): those without one have code 0.
 * ERROR_FORMAT and ERROR_LIMIT also for addresses and texts that can't stand in a command, before
 * anything is sent; the session is then as before (is_over is false).
 *
 * Texts of replies are kept in the arena, SMTP_CLIENT_TEXT_MAX octets of each; where the arena has
 * no room, replies lack their text.
 */
MUST_CHECK enum error
smtp_client_send(struct smtp_client *client, const struct smtp_client_message *message,
	struct smtp_client_recipient *recipients, size_t count, struct arena *arena);

/* May wait. Says goodbye, if there is anybody to say it to. */
MUST_CHECK enum error smtp_client_quit(struct smtp_client *client);

/* Gives the session's memory back. Takes a client that was never opened. */
void smtp_client_done(struct smtp_client *client);

#endif
