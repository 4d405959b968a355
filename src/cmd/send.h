/* What the files of `veredus send` share. */
#ifndef CMD_SEND_H
#define CMD_SEND_H

#include "cmd/compose.h"
#include "net/endpoint.h"
#include "smtp/client_auth.h"
#include "text/sasl.h"
#include "tls/tls_stream.h"

#define SEND_NAME          "send"
#define SEND_PASSWORD_ROOM (SASL_PASSWORD_MAX + 3) /* with a line's end, and an octet too many */

enum send_tls {
	SEND_TLS_IF_OFFERED, /* by STARTTLS, with whoever it is */
	SEND_TLS_OFF,
	SEND_TLS_REQUIRED, /* by STARTTLS */
	SEND_TLS_IMPLICIT, /* from the first octet on */
};

struct send {
	struct env env;
	struct arena arena; /* of the command's life: recipients, texts of replies */

	/* what was asked for */
	const char *server;
	struct endpoint endpoint;
	struct slice reverse_path;
	struct address from;
	struct smtp_client_recipient *recipients;
	struct address *to; /* the same, split */
	size_t count;
	struct slice subject;
	struct slice hello; /* empty: our address as a literal */
	const char *file;   /* NULL: the standard input */
	enum send_tls tls;
	bool is_insecure;      /* whoever it is */
	const char *tls_ca;    /* NULL: those that the system trusts */
	struct slice tls_name; /* whom the certificate must be for; empty: the server's address */
	struct tls_context *tls_context;
	struct slice user;         /* as whom to log in; empty: nobody */
	const char *password_file; /* NULL: asked for on the terminal */
	struct secret password;    /* in `password_storage`, which is wiped behind the session */
	uint8_t password_storage[SEND_PASSWORD_ROOM];
	struct slice returns;     /* "FULL", "HDRS", or empty */
	struct slice envelope_id; /* xtext */
	bool is_raw;
	bool is_verbose;
	bool is_json;
	struct buffer body;

	/* what came of it */
	enum smtp_client_stage stage;
	enum error error; /* of the session; recipients without a reply share it */
	int connect_errno;
	bool is_connected;
	bool is_our_fault; /* the error: the message could not be made */
	bool is_encrypted;
	const char *login_fault; /* why there is no login; NULL: no fault */
	const char *tls_fault;   /* why there is no TLS; NULL: no fault, or one in tls_problem */
	char tls_problem[TLS_PROBLEM_BYTES];
	char tls_level[64]; /* "TLSv1.3 TLS_AES_256_GCM_SHA384, verified" */
};

/* May wait: connects, sends, says goodbye. */
void send_run(void *arg);

/* Reads whom to trust, and makes what TLS needs; EX_OK or an exit code, with the reason said. */
int send_prepare_tls(struct send *send);

/* May wait: the handshake over this stream. `ret_tls` is given back by send_end_tls in any case,
 * which does not close its stream. */
MUST_CHECK enum error send_handshake(
	struct send *send, struct stream *below, struct tls_stream *ret_tls, mono_us deadline);

/* Gets the password of --user; EX_OK or an exit code, with the reason said. */
int send_prepare_login(struct send *send);

/*
 * May wait: logs in as --user, over TLS. ERROR_DENIED: send->login_fault says why not. OK with a
 * reply that refuses: client->is_open is false then.
 */
MUST_CHECK enum error
send_log_in(struct send *send, struct smtp_client *client, struct smtp_reply *ret_reply);

/* Prints what became of it; the exit code. */
int send_report(const struct send *send);

#endif
