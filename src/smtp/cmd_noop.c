/* NOOP (RFC 5321 section 4.1.1.9): nothing, whatever its argument. */
#include "smtp/server_private.h"

void
smtp_cmd_noop(struct smtp_server *server, const struct smtp_command *command)
{
	(void)command;
	smtp_server_reply(server, &SMTP_REPLY(250, 2, 0, 0, "ok"));
}
