/* MAIL (RFC 5321 section 4.1.1.2) with SIZE (RFC 1870), BODY (RFC 6152), RET and ENVID
 * (RFC 3461), SMTPUTF8 (RFC 6531): opens a transaction. */
#include "smtp/server_private.h"

/* Who sends, where somebody must log in to send; code 0: he may. */
static struct smtp_reply
judge_sender(const struct smtp_server *server, const struct smtp_command *command)
{
	if (command->has_auth && !(server->settings->extensions & SMTP_EXTENSION_AUTH))
		return SMTP_REPLY(555, 5, 5, 4, "a parameter is not known here");
	if (command->is_smtputf8 && !(server->settings->extensions & SMTP_EXTENSION_SMTPUTF8))
		return SMTP_REPLY(555, 5, 5, 4, "a parameter is not known here");
	if (command->address.is_international && !command->is_smtputf8)
		return SMTP_REPLY(553, 5, 6, 7, "an address beyond ASCII needs SMTPUTF8");
	if (!server->settings->needs_login || server->may_send)
		return (struct smtp_reply){.code = 0};
	if (server->login.len == 0)
		return SMTP_REPLY(530, 5, 7, 0, "log in first");
	/* Reports of what was read or delivered (RFC 8098) have no sender. */
	if (command->mailbox.len > 0 &&
		!server->ops->may_send_as(server->arg, server, command->mailbox))
		return SMTP_REPLY(553, 5, 7, 1, "this sender is not yours");
	return (struct smtp_reply){.code = 0};
}

/* May wait. */
static struct smtp_reply
judge_beginning(struct smtp_server *server, const struct smtp_command *command)
{
	struct smtp_reply refusal = {.code = 0};

	if (server->ops->may_begin)
		refusal = server->ops->may_begin(server->arg, server);
	if (refusal.code == 0 && command->mailbox.len > 0 && server->ops->check_sender)
		refusal = server->ops->check_sender(server->arg, server, command->mailbox,
			smtp_server_deadline(server, server->settings->begin_timeout_us));
	return refusal;
}

void
smtp_cmd_mail(struct smtp_server *server, const struct smtp_command *command)
{
	struct smtp_reply refusal = judge_sender(server, command);

	if (refusal.code != 0) {
		smtp_server_reply(server, &refusal);
		return;
	}
	refusal = judge_beginning(server, command);
	if (refusal.code != 0) {
		smtp_server_reply(server, &refusal);
		return;
	}
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
		!arena_copy(&server->arena, command->mailbox, &server->transaction->reverse_path) ||
		!arena_copy(
			&server->arena, command->envelope_id, &server->transaction->envelope_id)) {
		smtp_server_end_transaction(server);
		smtp_server_reply(server, &SMTP_REPLY(452, 4, 3, 1, "out of memory, try later"));
		return;
	}
	server->transaction->body = command->body;
	server->transaction->is_smtputf8 = command->is_smtputf8;
	server->transaction->returns = command->returns;
	smtp_server_reply(server, &SMTP_REPLY(250, 2, 1, 0, "sender ok"));
}
