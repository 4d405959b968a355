/*
 * VRFY (RFC 5321 section 3.5.3): never tells whether a mailbox exists, since only those who collect
 * addresses still ask; 252 is the reply that the RFC has for that.
 */
#include "smtp/server_private.h"

void
smtp_cmd_vrfy(struct smtp_server *server, const struct smtp_command *command)
{
	(void)command;
	smtp_server_reply(server,
		&SMTP_REPLY(252, 2, 1, 5, "addresses are checked when mail is sent to them"));
}
