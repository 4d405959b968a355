/* QUIT (RFC 5321 section 4.1.1.10). */
#include "smtp/server_private.h"

void
smtp_cmd_quit(struct smtp_server *server, const struct smtp_command *command)
{
	(void)command;
	smtp_server_leave(server, SMTP_END_QUIT, &SMTP_REPLY(221, 2, 0, 0, "goodbye"));
}
