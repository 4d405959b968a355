/* RSET (RFC 5321 section 4.1.1.5): forgets the transaction, keeps the session. */
#include "smtp/server_private.h"

void
smtp_cmd_rset(struct smtp_server *server, const struct smtp_command *command)
{
	(void)command;
	smtp_server_end_transaction(server);
	smtp_server_reply(server, &SMTP_REPLY(250, 2, 0, 0, "forgotten"));
}
