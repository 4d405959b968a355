/*
 * BDAT (RFC 3030 section 2): the content in chunks, whose octets are counted.
 *
 *   bdat-cmd = "BDAT" SP chunk-size [ SP end-marker ] CR LF
 *
 * The octets follow without waiting, so they are read also where the command may not stand, before
 * the reply: nothing of a content may ever be taken for a command. Where their number cannot be
 * known the session ends. A content of which a chunk was refused stays refused, whatever follows,
 * up to its last chunk or RSET: else its rest would be a message.
 */
#include "smtp/transfer_private.h"

/* Why there is no content here. */
static struct smtp_reply
order_reply(const struct smtp_server *server)
{
	const struct smtp_transaction *transaction = server->transaction;

	if (server->helo.len == 0)
		return SMTP_REPLY(503, 5, 5, 1, "say EHLO first");
	if (!transaction)
		return SMTP_REPLY(503, 5, 5, 1, "say MAIL first");
	if (transaction->is_chunked &&
		(!transaction->transfer || !transfer_is_kept(server, transaction->transfer)))
		return SMTP_REPLY(503, 5, 5, 1, "a chunk before was refused: say RSET");
	struct smtp_reply reply = SMTP_REPLY(554, 5, 5, 1, "there are no recipients");
	reply.code = server->settings->is_lmtp ? 503 : 554;
	if (transaction->recipients.count == 0)
		return reply;
	return (struct smtp_reply){.code = 0};
}

/* In LMTP the last chunk is answered once for each recipient that was accepted, come what may: who
 * pipelines waits for as many replies. */
static void
reply_refusal(struct smtp_server *server, const struct smtp_command *command, uint32_t accepted,
	const struct smtp_reply *refusal)
{
	bool is_for_each = server->settings->is_lmtp && command->is_last && accepted > 0;
	uint32_t count = is_for_each ? accepted : 1;

	for (uint32_t i = 0; i < count; i++)
		smtp_server_reply(server, refusal);
}

/* May wait. A client that pipelines cannot know yet what became of MAIL, RCPT or a chunk before. */
static void
refuse_chunk(struct smtp_server *server, const struct smtp_command *command,
	const struct smtp_reply *refusal)
{
	uint32_t accepted = server->transaction ? server->transaction->accepted : 0;
	bool is_excused = server->excuses_followers ||
			  (server->transaction && server->transaction->is_chunked);

	transfer_discard_chunk(server, command->size);
	if (server->end != SMTP_END_NONE)
		return;
	if (is_excused)
		reply_refusal(server, command, accepted, refusal);
	else
		smtp_server_fault(server, refusal);
}

/* May wait. */
static void
take_chunk(struct smtp_server *server, const struct smtp_command *command)
{
	uint32_t accepted = server->transaction->accepted;
	struct smtp_reply refusal;

	if (server->transaction->is_chunked || transfer_begin(server, true, &refusal)) {
		server->transaction->is_chunked = true;
		transfer_receive_chunk(
			server, server->transaction->transfer, command->size, command->is_last);
		return;
	}
	if (refusal.code == 0)
		return;
	transfer_discard_chunk(server, command->size);
	if (server->end == SMTP_END_NONE)
		reply_refusal(server, command, accepted, &refusal);
}

void
smtp_cmd_bdat(struct smtp_server *server, const struct smtp_command *command)
{
	struct smtp_reply refusal = order_reply(server);

	server->line = SLICE("BDAT"); /* the line itself goes with the reader's buffer */
	if (refusal.code == 0)
		take_chunk(server, command);
	else
		refuse_chunk(server, command, &refusal);
	if (server->transaction)
		server->transaction->is_chunked = true;
	if (command->is_last)
		smtp_server_end_transaction(server);
	else if (refusal.code == 0 && command->size > 0)
		server->commands--; /* content is not idle talk */
}
