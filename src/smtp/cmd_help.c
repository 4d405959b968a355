/* HELP (RFC 5321 section 4.1.1.8): for people who talk to a mail server by hand. */
#include "smtp/server_private.h"

void
smtp_cmd_help(struct smtp_server *server, const struct smtp_command *command)
{
	(void)command;
	smtp_server_reply(server,
		&SMTP_REPLY(214, 2, 0, 0,
			"This is the mail server Veredus. A message is sent like this:\n"
			"EHLO your.host.name\n"
			"MAIL FROM:<sender@domain> [SIZE=octets] [BODY=8BITMIME]\n"
			"RCPT TO:<recipient@domain>, once for each recipient\n"
			"DATA, then the message, then a line with a single dot\n"
			"QUIT\n"
			"RSET forgets a message half sent. NOOP and VRFY are understood too.\n"
			"Mail to <postmaster> reaches the people who run this server."));
}
