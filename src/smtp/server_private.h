/* What the files of the server share: the transaction, the commands, ways to reply. */
#ifndef SMTP_SERVER_PRIVATE_H
#define SMTP_SERVER_PRIVATE_H

#include "smtp/command.h"
#include "smtp/recipients.h"
#include "smtp/server.h"

struct transfer;

/* From an accepted MAIL to the end of the content, RSET or a new HELO. Lies in the session's arena
 * with all that it points to, but for the table of recipients. */
struct smtp_transaction {
	struct slice reverse_path;
	enum envelope_body body;
	bool is_smtputf8;
	enum envelope_returns returns;
	struct slice envelope_id;
	struct smtp_recipients recipients;
	uint32_t accepted;         /* RCPTs that had a positive reply */
	struct transfer *transfer; /* the content, once it has begun; else NULL */
	bool is_chunked;           /* BDAT was said: only more of it may follow */
};

/* Gathers a reply; may wait when there is no more room. Refusals are reported. */
void smtp_server_reply(struct smtp_server *server, const struct smtp_reply *reply);

/* The same for a breach of the protocol: it counts, and too many end the session. */
void smtp_server_fault(struct smtp_server *server, const struct smtp_reply *reply);

/* The same with a last reply, after which the session ends for this reason. */
void
smtp_server_leave(struct smtp_server *server, enum smtp_end end, const struct smtp_reply *reply);

/* The session ends because a wait on its stream failed: with a farewell where the client may still
 * be listening. */
void smtp_server_break_off(struct smtp_server *server, enum error error);

/* The banner. */
void smtp_server_greet(struct smtp_server *server);

/* What the client has said, and who it proved to be: it begins anew. */
void smtp_server_forget(struct smtp_server *server);

/* May wait: until what was gathered is written. When that fails the session is at its end. */
void smtp_server_flush(struct smtp_server *server);

mono_us smtp_server_deadline(const struct smtp_server *server, int64_t after_us);

/* ERROR_NO_MEMORY, or OK with an empty transaction. */
MUST_CHECK enum error smtp_server_begin_transaction(struct smtp_server *server);

/* Forgets the transaction, if there is one, and its memory. */
void smtp_server_end_transaction(struct smtp_server *server);

/* One a command. All of them may wait. The server has checked that the command may stand here and
 * is well formed. */
typedef void smtp_command_handler(struct smtp_server *server, const struct smtp_command *command);
smtp_command_handler smtp_cmd_hello;
smtp_command_handler smtp_cmd_mail;
smtp_command_handler smtp_cmd_rcpt;
smtp_command_handler smtp_cmd_data;
smtp_command_handler smtp_cmd_bdat;
smtp_command_handler smtp_cmd_rset;
smtp_command_handler smtp_cmd_noop;
smtp_command_handler smtp_cmd_help;
smtp_command_handler smtp_cmd_vrfy;
smtp_command_handler smtp_cmd_quit;
smtp_command_handler smtp_cmd_starttls;
smtp_command_handler smtp_cmd_auth;
smtp_command_handler smtp_cmd_xclient;

#endif
