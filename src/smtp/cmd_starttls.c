/*
 * STARTTLS (RFC 3207). After the handshake nothing from before it counts: not what was buffered,
 * not the name that the client gave, not a transaction.
 *
 * Octets behind the command, in the clear, are somebody's who wants them run as if they had come
 * encrypted (CVE-2011-0411): they end the session. No honest client sends any, since STARTTLS ends
 * a group of pipelined commands (RFC 3207 section 4).
 */
#include "smtp/server_private.h"

static void
end_without_tls(struct smtp_server *server, enum error error)
{
	/* Half of a handshake is no place for a reply. */
	server->end = error == ERROR_TIMEOUT     ? SMTP_END_TIMEOUT
		      : error == ERROR_CANCELLED ? SMTP_END_CANCELLED
						 : SMTP_END_TLS;
}

void
smtp_cmd_starttls(struct smtp_server *server, const struct smtp_command *command)
{
	(void)command;
	if (server->tls.len > 0) {
		smtp_server_fault(server, &SMTP_REPLY(503, 5, 5, 1, "TLS is active already"));
		return;
	}
	if (!(server->settings->extensions & SMTP_EXTENSION_STARTTLS)) {
		smtp_server_fault(server, &SMTP_REPLY(502, 5, 5, 1, "command not implemented"));
		return;
	}
	if (!server->ops->can_start_tls(server->arg)) {
		smtp_server_reply(
			server, &SMTP_REPLY(454, 4, 7, 0, "TLS is not available at the moment"));
		return;
	}
	if (line_reader_has_input(server->reader)) {
		smtp_server_leave(server, SMTP_END_TLS,
			&SMTP_REPLY(
				501, 5, 5, 1, "nothing may follow STARTTLS in the clear, goodbye"));
		return;
	}
	smtp_server_reply(server, &SMTP_REPLY(220, 2, 0, 0, "begin TLS"));
	smtp_server_flush(server);
	if (server->end != SMTP_END_NONE)
		return;
	smtp_server_forget(server);
	enum error error = server->ops->start_tls(server->arg, server,
		smtp_server_deadline(server, server->settings->handshake_timeout_us));
	if (error != OK)
		end_without_tls(server, error);
}
