/* MAIL (RFC 5321 section 4.1.1.2) with SIZE (RFC 1870) and BODY (RFC 6152): opens a transaction. */
#include "smtp/server_private.h"

void
smtp_cmd_mail(struct smtp_server *server, const struct smtp_command *command)
{
	if (command->size > server->settings->max_message_bytes) {
		smtp_server_reply(server,
			&SMTP_REPLY(552, 5, 3, 4, "the message is larger than this server takes"));
		return;
	}
	/* Before the client has sent all of it in vain; with or without SIZE (RFC 1870 section
	 * 6.1). */
	if (server->store->ops->is_full(server->store)) {
		smtp_server_reply(server, &SMTP_REPLY(452, 4, 3, 1, "no space left, try later"));
		return;
	}
	if (smtp_server_begin_transaction(server) != OK ||
		!arena_copy(&server->arena, command->mailbox, &server->transaction->reverse_path)) {
		smtp_server_end_transaction(server);
		smtp_server_reply(server, &SMTP_REPLY(452, 4, 3, 1, "out of memory, try later"));
		return;
	}
	server->transaction->body = command->body;
	smtp_server_reply(server, &SMTP_REPLY(250, 2, 1, 0, "sender ok"));
}
