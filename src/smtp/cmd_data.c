/*
 * DATA (RFC 5321 section 4.1.1.4): the content up to a dot alone on a line.
 */
#include "smtp/transfer_private.h"

void
smtp_cmd_data(struct smtp_server *server, const struct smtp_command *command)
{
	struct smtp_reply refusal;

	(void)command;
	if (!transfer_begin(server, false, &refusal)) {
		if (refusal.code != 0)
			smtp_server_reply(server, &refusal);
		return;
	}
	smtp_server_reply(server,
		&(struct smtp_reply){.code = 354,
			.text = SLICE("send the message, end with a single dot on a line")});
	smtp_server_flush(server);
	server->line = SLICE("DATA"); /* the line itself goes with the reader's buffer */
	if (server->end == SMTP_END_NONE)
		transfer_receive(server, server->transaction->transfer);
	smtp_server_end_transaction(server);
}
