/*
 * The receiving side of SMTP (RFC 5321, 1870, 2034, 2920, 3030, 6152, 6531): one session from
 * banner to close, as straight-line code on the task that calls it. What the world looks like - who
 * is a recipient, where messages go, what is logged - comes in as functions; nothing of a
 * configuration or of a log is known here.
 *
 * While a session is idle it holds this struct and its HELO name. What a transaction needs hangs on
 * an arena that exists from MAIL to the transaction's end.
 */
#ifndef SMTP_SERVER_H
#define SMTP_SERVER_H

#include "base/hash.h"
#include "base/secret.h"
#include "ipc/accept_store.h"
#include "net/line_reader.h"
#include "smtp/reply.h"
#include "text/address.h"

#define SMTP_SERVER_OUTPUT_BYTES 1024 /* replies that are gathered before they are written */

enum smtp_extension {
	SMTP_EXTENSION_PIPELINING = 1u << 0,
	SMTP_EXTENSION_SIZE = 1u << 1,
	SMTP_EXTENSION_8BITMIME = 1u << 2,
	SMTP_EXTENSION_ENHANCEDSTATUSCODES = 1u << 3,
	SMTP_EXTENSION_HELP = 1u << 4,
	SMTP_EXTENSION_STARTTLS = 1u << 5, /* not by default: see start_tls */
	SMTP_EXTENSION_AUTH = 1u << 6,     /* not by default: see authenticate */
	SMTP_EXTENSION_DSN = 1u << 7,
	SMTP_EXTENSION_CHUNKING = 1u << 8,
	SMTP_EXTENSION_SMTPUTF8 = 1u << 9,
	SMTP_EXTENSION_LIMITS = 1u << 10, /* RFC 9422 */
};

/* What is done about a client that speaks before it is greeted. */
enum smtp_early { SMTP_EARLY_IGNORE, SMTP_EARLY_REPORT, SMTP_EARLY_REFUSE };

/* The same for all sessions of a listener; outlives them. */
struct smtp_server_settings {
	struct slice hostname; /* ours, a domain */
	struct slice
		postmaster_domain; /* where <postmaster> without a domain goes; empty: to nobody */
	struct slice listener;     /* its name in the configuration */
	uint32_t extensions;       /* enum smtp_extension: what EHLO offers */
	uint64_t max_message_bytes;
	uint64_t content_excess_max; /* octets of content beyond that are read and dropped */
	uint32_t max_recipients;     /* of a transaction */
	uint64_t envelope_bytes_max; /* of a transaction, encoded: what goes over it is put off as
					too many recipients */
	struct siphash_key hash_key; /* secret: for the table of a transaction's recipients */
	uint32_t content_line_limit;
	bool is_lmtp;              /* RFC 2033: LHLO, and a reply to the content for each
				      recipient */
	bool normalises_newlines;  /* CR and LF alone are line ends, in content and behind commands;
				      else faults */
	bool takes_odd_paths;      /* without brackets, and senders that are no addresses to us */
	uint32_t command_line_max; /* octets without CRLF; AUTH has a limit of its own */
	uint32_t hops_max;         /* Received fields that a message may bring */
	uint32_t errors_max;       /* protocol errors since the last message accepted */
	uint32_t refusals_max;     /* refused recipients likewise: a limit for trying out names */
	uint32_t commands_max;     /* commands likewise, and max_recipients more; who is told
				       to send the rest later may say up to
				       ENVELOPE_RECIPIENTS_MAX recipients more */
	int64_t command_timeout_us; /* for a command to arrive, for replies to be taken */
	int64_t content_timeout_us; /* for a block of content */
	uint32_t content_rate_min;  /* octets a second that content must bring in each window of
				       content_timeout_us but the first; 0: any */
	int64_t begin_timeout_us;  /* for the store to take a message on, or a piece of one; clients
				      wait two minutes for 354 */
	int64_t commit_timeout_us; /* for the store to make it durable; clients wait ten minutes */
	int64_t handshake_timeout_us; /* of TLS */
	int64_t farewell_timeout_us;  /* for the last reply: whoever gets it may have stopped
					 reading */
	int64_t auth_timeout_us;      /* for a password to be checked */
	int64_t auth_wait_us;         /* before the first wrong one is answered; doubles */
	bool needs_login; /* to send: RFC 6409 section 4.3; but see may_send of the server */
	enum smtp_early early;
	int64_t greeting_wait_us; /* for early talkers to show themselves; 0: no wait */
};

/* The defaults; the caller gives the hostname and what differs. */
void smtp_server_settings_init(struct smtp_server_settings *ret_settings, struct slice hostname);

/* How a session ended. */
enum smtp_end {
	SMTP_END_NONE, /* it goes on */
	SMTP_END_QUIT,
	SMTP_END_LOST, /* the client closed, or the connection broke */
	SMTP_END_TIMEOUT,
	SMTP_END_CANCELLED, /* this server stops */
	SMTP_END_ERRORS,    /* too many errors */
	SMTP_END_COMMANDS,  /* too many commands without a message */
	SMTP_END_EARLY,     /* the client spoke before it was greeted */
	SMTP_END_HTTP,
	SMTP_END_UNAVAILABLE, /* the store is away */
	SMTP_END_NO_MEMORY,
	SMTP_END_TLS, /* the handshake failed, or something was in front of it */
	SMTP_ENDS
};
const char *smtp_end_text(enum smtp_end end);

struct smtp_server;

/* What is to become of a content that came whole. */
/* Octets of the content that others take the place of, as many. */
struct smtp_overwrite {
	uint64_t at;
	struct slice octets;
};

struct smtp_verdict {
	struct smtp_reply refusal; /* code 0: it is taken */
	struct slice fields;       /* to stand in front of our trace field: whole lines */
	struct slice added;        /* to stand behind it, likewise */
	const struct smtp_overwrite *overwrites;
	size_t overwrite_count;
	bool is_junk;
	struct slice forward_path; /* what is forwarded leaves under this one; empty: as it came */
	struct slice seal;         /* and with this in front: whole lines */
};

#define SMTP_SCRAM_SIGNATURE 32

/* The end of an exchange of SCRAM. */
struct smtp_scram_proof {
	struct slice login;
	struct slice nonce;   /* both parts */
	struct slice message; /* AuthMessage of RFC 5802 */
	struct secret proof;
};

struct smtp_server_ops {
	/*
	 * May wait. Whether mail for this address is taken: a positive reply (250 2.1.5) or a
	 * refusal (550 5.1.1, 550 5.7.1, 451 4.3.0), whose text must hold until the next call.
	 * <postmaster> comes with the postmaster's domain.
	 */
	struct smtp_reply (*check_recipient)(void *arg, const struct smtp_server *server,
		const struct address *address, mono_us deadline);

	/*
	 * Where mail for an address that was taken goes: it alone, or the targets of an alias. What
	 * is written lives in the arena. An error: nobody can say now. May not wait.
	 */
	enum error (*expand)(void *arg, const struct address *address, struct slice mailbox,
		struct arena *arena, struct slice **ret_targets, size_t *ret_count);

	/*
	 * Whether the local part of an address names an account of ours, whose name is the same in
	 * any case of its letters. May not wait.
	 */
	bool (*is_account)(void *arg, const struct address *address);

	/* What happened; may not wait. */
	void (*connected)(void *arg, const struct smtp_server *server);
	/* A reply of 400 and more. `line` is the command as it came (perhaps without its end), a
	 * stranger's text. */
	void (*refused)(void *arg, const struct smtp_server *server, struct slice line,
		const struct smtp_reply *reply);
	/* The client did not wait where it must, for the first time. */
	void (*talked_early)(void *arg, const struct smtp_server *server);
	/* A message is durable; the envelope carries its id. */
	void (*received)(
		void *arg, const struct smtp_server *server, const struct envelope *envelope);
	void (*closed)(void *arg, const struct smtp_server *server, enum smtp_end end);

	/* Needed with SMTP_EXTENSION_STARTTLS alone. Whether TLS could be begun now; may not wait.
	 */
	bool (*can_start_tls)(void *arg);
	/*
	 * May wait: the handshake, the client has been told to begin. On success `stream` and `tls`
	 * of the server are new ones, and the reader reads from the new stream.
	 */
	enum error (*start_tls)(void *arg, struct smtp_server *server, mono_us deadline);

	/*
	 * The content, for who judges it; content_begins NULL: nobody does. All of it comes in
	 * pieces, as it is stored, unless it is refused or lost on the way. Then content_ends,
	 * once, when it is whole and could be taken; it may wait. content_over comes always, and
	 * what the verdict points to holds until then. False from content_begins: no memory.
	 */
	bool (*content_begins)(void *arg, const struct smtp_server *server);
	void (*content_piece)(void *arg, struct slice octets);
	void (*content_ends)(void *arg, const struct smtp_server *server,
		const struct envelope *envelope, struct smtp_verdict *ret_verdict);
	void (*content_over)(void *arg);

	/*
	 * Needed with SMTP_EXTENSION_AUTH alone. May wait: whether it is the password of this
	 * login, a stranger's text. On success `login` of the server is set, to text that holds as
	 * long as the session or until the next success. ERROR_DENIED: it is not. ERROR_LIMIT: this
	 * client has tried too often. Any other error: nobody can tell now.
	 */
	enum error (*authenticate)(void *arg, struct smtp_server *server, struct slice login,
		struct secret password, mono_us deadline);
	/*
	 * SCRAM-SHA-256 (RFC 7677); all of these or none. Which of them are offered is asked for
	 * each EHLO. They may wait.
	 */
	bool (*offers_scram)(void *arg, mono_us deadline);
	/* server-first-message for this login, a stranger's text; also for one that is none. */
	enum error (*scram_challenge)(void *arg, struct slice login, struct slice nonce,
		mono_us deadline, struct buffer *ret_text);
	/* As authenticate. */
	enum error (*scram_prove)(void *arg, struct smtp_server *server,
		const struct smtp_scram_proof *proof, mono_us deadline,
		uint8_t ret_signature[SMTP_SCRAM_SIGNATURE]);
	/* Appends the octets that a channel binding of this name has here. ERROR_UNSUPPORTED:
	 * none. May not wait. */
	enum error (*channel_binding)(void *arg, struct slice name, struct buffer *ret_octets);
	/* Whether the present login may send as this sender, who is not <>. May not wait. */
	bool (*may_send_as)(void *arg, const struct smtp_server *server, struct slice sender);

	/*
	 * Limits of the client, NULL where there are none: why it may not open a transaction (450
	 * 4.7.1), or send content, now; code 0: it may. And that it broke the protocol. May not
	 * wait.
	 */
	struct smtp_reply (*may_begin)(void *arg, const struct smtp_server *server);
	struct smtp_reply (*may_bring)(void *arg, const struct smtp_server *server);
	void (*faulted)(void *arg, const struct smtp_server *server);

	/* Whether this target of an alias is another server's, for whom the mail is forwarded.
	 * NULL: none is. May not wait. */
	bool (*leads_abroad)(void *arg, const struct address *address);

	/*
	 * May wait. Why a sender, who is not <>, is refused (550 5.1.8, 451 4.4.3); code 0: he is
	 * not. The text must hold until the next call. NULL: nobody asks.
	 */
	struct smtp_reply (*check_sender)(
		void *arg, const struct smtp_server *server, struct slice sender, mono_us deadline);

	/*
	 * Needed with takes_xclient alone: from here on the client is this one, and `client_*`,
	 * `may_send` and `takes_xclient` of the server are about it. Empty: not known. 501: there
	 * is no such address; another code: the client may not come in. May not wait.
	 */
	struct smtp_reply (*set_client)(
		void *arg, struct slice address, uint16_t port, struct slice name);
};

struct smtp_transaction;

struct smtp_server {
	/* Given by the caller, who owns all of it: */
	struct stream *stream;
	struct line_reader *reader; /* on that stream */
	struct accept_store *store;
	const struct smtp_server_settings *settings;
	const struct smtp_server_ops *ops;
	void *arg;
	struct slice client_address; /* textual */
	uint16_t client_port;
	struct slice client_name; /* as the DNS has it, both ways; empty: none, or not yet known.
				     Set at any time */
	struct slice tls;         /* version and cipher; empty: in the clear */
	bool may_send;            /* without a login, where one is needed */
	bool takes_xclient;       /* it is a proxy that may say who its client is */
	struct slice login;       /* who has proved who he is; empty: nobody */

	/* Set by the caller at any time: this server stops. A session that waits for content, or
	 * for the store, ends with 421 after the reply to it; any other when its task is cancelled,
	 * which is the caller's to do (`in_content` tells which is which). */
	bool stopping;
	/* Likewise: its task is cancelled only since it said nothing for long and others need the
	 * place. */
	bool is_hurried;
	mono_us waits_since; /* for a command; 0: it does not. To be read only. */

	/* The session's own, zero at the start; callbacks may read it. */
	bool forwards;   /* a recipient of the transaction is forwarded */
	bool in_content; /* from DATA to the reply after the content */
	bool is_esmtp;
	bool excuses_followers; /* MAIL or all RCPT were refused: what was pipelined behind them is
				   no fault */
	bool talked_early; /* input came where the client had to wait for the greeting (RFC 5321
			      section 3.1) or a reply (RFC 2920 section 3.1) */
	enum smtp_end end;
	uint32_t errors;
	uint32_t auth_failures;
	uint32_t refusals;
	uint32_t commands;
	uint32_t excess_recipients;     /* of them, put off for being too many: not counted above */
	uint32_t messages;              /* accepted */
	struct slice helo;              /* empty before HELO; in memory of the loop's account */
	struct slice line;              /* the present command */
	const struct envelope *offered; /* what content came with, while it is judged; else NULL */
	struct arena arena;             /* of the transaction */
	struct smtp_transaction *transaction;
	struct buffer output;
	uint8_t output_bytes[SMTP_SERVER_OUTPUT_BYTES];
};

/* Who the present message is from; false: there is none. For logs. */
bool smtp_server_sender(const struct smtp_server *server, struct slice *ret_sender);

/* May wait: a whole session. At the end the stream is closed and all memory of the session given
 * back; the reader stays the caller's. */
void smtp_server_run(struct smtp_server *server);

#endif
