/*
 * HELO and EHLO (RFC 5321 section 4.1.1.1): who the client says it is, and what this server can do.
 * Either also ends a transaction that is open (section 4.1.4).
 *
 *   ehlo-ok-rsp = ( "250" SP Domain [ SP ehlo-greet ] CRLF )
 *               / ( "250-" Domain [ SP ehlo-greet ] CRLF *( "250-" ehlo-line CRLF ) "250" SP
 * ehlo-line CRLF )
 *
 * These replies carry no enhanced codes (RFC 2034 section 3).
 */
#include "smtp/server_private.h"

/* A client that is offered what then fails may not send at all. */
#define OFFERS_US (2 * US_PER_S) /* without an answer the old ways are offered alone */

static bool
can_start_tls(const struct smtp_server *server)
{
	return (server->settings->extensions & SMTP_EXTENSION_STARTTLS) &&
	       server->ops->can_start_tls(server->arg);
}

/* May wait. The strongest first: some programs take the first that they know. */
static void
append_mechanisms(struct buffer *text, const struct smtp_server *server)
{
	const struct smtp_server_ops *ops = server->ops;

	if (ops->offers_scram &&
		ops->offers_scram(server->arg, smtp_server_deadline(server, OFFERS_US)))
		buffer_append_text(text, "SCRAM-SHA-256-PLUS SCRAM-SHA-256 ");
	buffer_append_text(text, "PLAIN LOGIN");
}

/* May wait. */
static void
append_extensions(struct buffer *text, const struct smtp_server *server)
{
	static const struct {
		enum smtp_extension extension;
		struct slice line;
	} lines[] = {
		{SMTP_EXTENSION_PIPELINING, SLICE_INIT("\nPIPELINING")},
		{SMTP_EXTENSION_SIZE, SLICE_INIT("\nSIZE ")},
		{SMTP_EXTENSION_8BITMIME, SLICE_INIT("\n8BITMIME")},
		{SMTP_EXTENSION_ENHANCEDSTATUSCODES, SLICE_INIT("\nENHANCEDSTATUSCODES")},
		{SMTP_EXTENSION_SMTPUTF8, SLICE_INIT("\nSMTPUTF8")},
		{SMTP_EXTENSION_CHUNKING, SLICE_INIT("\nCHUNKING")},
		{SMTP_EXTENSION_DSN, SLICE_INIT("\nDSN")},
		{SMTP_EXTENSION_LIMITS, SLICE_INIT("\nLIMITS RCPTMAX=")},
		{SMTP_EXTENSION_STARTTLS, SLICE_INIT("\nSTARTTLS")},
		{SMTP_EXTENSION_AUTH, SLICE_INIT("\nAUTH ")},
		{SMTP_EXTENSION_HELP, SLICE_INIT("\nHELP")},
	};

	const struct smtp_server_settings *settings = server->settings;
	uint32_t offered = settings->extensions;

	/* RFC 3207 section 4.2: not again under TLS. */
	if (server->tls.len > 0 || !can_start_tls(server))
		offered &= ~(uint32_t)SMTP_EXTENSION_STARTTLS;
	/* Nobody shall be led to say a password in the clear, or twice. */
	if (server->tls.len == 0 || server->login.len > 0)
		offered &= ~(uint32_t)SMTP_EXTENSION_AUTH;
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		if (!(offered & lines[i].extension))
			continue;
		buffer_append(text, lines[i].line);
		if (lines[i].extension == SMTP_EXTENSION_SIZE)
			buffer_append_number(text, settings->max_message_bytes);
		if (lines[i].extension == SMTP_EXTENSION_LIMITS)
			buffer_append_number(text, settings->max_recipients);
		if (lines[i].extension == SMTP_EXTENSION_AUTH)
			append_mechanisms(text, server);
	}
	if (server->takes_xclient)
		buffer_append_text(text, "\nXCLIENT NAME ADDR PORT");
}

/* The name in memory of its own, in place of an earlier one. */
static bool
keep_name(struct smtp_server *server, struct slice name)
{
	struct memory *memory = loop_env(server->stream->loop)->memory;
	uint8_t *copy = memory_try(memory, name.len);

	if (!copy)
		return false;
	memcpy(copy, name.ptr, name.len);
	memory_put(memory, (void *)(uintptr_t)server->helo.ptr);
	server->helo = slice_of(copy, name.len);
	return true;
}

void
smtp_cmd_hello(struct smtp_server *server, const struct smtp_command *command)
{
	char storage[SMTP_REPLY_TEXT_MAX];
	struct buffer text;

	if ((command->verb == VERB_LHLO) != server->settings->is_lmtp) {
		smtp_server_fault(
			server, server->settings->is_lmtp
					? &SMTP_REPLY(500, 5, 5, 1, "this is LMTP: say LHLO")
					: &SMTP_REPLY(502, 5, 5, 1, "this is SMTP: say EHLO"));
		return;
	}
	if (!keep_name(server, command->argument)) {
		smtp_server_reply(server, &SMTP_REPLY(451, 4, 3, 0, "out of memory"));
		return;
	}
	smtp_server_end_transaction(server);
	server->is_esmtp = command->verb != VERB_HELO;
	buffer_init_fixed(&text, storage, sizeof storage);
	buffer_append(&text, server->settings->hostname);
	if (server->is_esmtp)
		append_extensions(&text, server);
	smtp_server_reply(server, &(struct smtp_reply){.code = 250, .text = buffer_slice(&text)});
}
