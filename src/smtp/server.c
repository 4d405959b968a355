/*
 * The session: banner, a line, its command, until something ends it. RFC 5321 section 3 and 4.1.4
 * (order of commands), RFC 2920 (pipelining).
 *
 * Promises: every command gets exactly one reply, in order. Replies are gathered while the next
 * command is buffered whole already, and written before any wait for the client, so that nobody
 * waits for the other. Every wait has a deadline. Whatever ends the session, the transaction and
 * its memory are gone afterwards.
 *
 * The state of the session is not a variable but what there is: a HELO name, a transaction,
 * recipients.
 */
#include "smtp/transfer_private.h"
#include "text/sasl.h"

#define COMMANDS_A_TURN 32
#define TRANSACTION_FIXED_BYTES \
	65536           /* what a transaction may take beside its recipients' addresses */
#define EARLY_BYTES 512 /* of what an early talker said are read before it is judged */

enum session_state {
	STATE_NEW = 1u << 0,        /* before HELO */
	STATE_READY = 1u << 1,      /* no transaction */
	STATE_MAIL = 1u << 2,       /* a transaction without recipients */
	STATE_RECIPIENTS = 1u << 3, /* a transaction with recipients */
	STATE_CHUNKS = 1u << 4,     /* between chunks of a content */
};
#define STATE_ANY (STATE_NEW | STATE_READY | STATE_MAIL | STATE_RECIPIENTS | STATE_CHUNKS)

enum command_flags {
	COMMAND_ENDS_GROUP =
		1u << 0, /* the client must wait for its reply (RFC 2920 section 3.1) */
	COMMAND_HAS_CONTENT = 1u << 1, /* cut short, it would have to be sent again */
	COMMAND_HAS_OCTETS = 1u << 2,  /* content follows at once: where it ends must be known, or
					  the session ends */
};

struct command_row {
	smtp_command_handler *handler;
	unsigned states; /* where it may stand */
	unsigned flags;
};

static smtp_command_handler handle_unknown, handle_not_implemented, handle_http;

static const struct command_row commands[VERB_COUNT] = {
	[VERB_UNKNOWN] = {handle_unknown, STATE_ANY, 0},
	[VERB_HELO] = {smtp_cmd_hello, STATE_ANY, COMMAND_ENDS_GROUP},
	[VERB_EHLO] = {smtp_cmd_hello, STATE_ANY, COMMAND_ENDS_GROUP},
	[VERB_LHLO] = {smtp_cmd_hello, STATE_ANY, COMMAND_ENDS_GROUP},
	[VERB_MAIL] = {smtp_cmd_mail, STATE_READY, 0},
	[VERB_RCPT] = {smtp_cmd_rcpt, STATE_MAIL | STATE_RECIPIENTS, 0},
	[VERB_DATA] = {smtp_cmd_data, STATE_RECIPIENTS, COMMAND_ENDS_GROUP | COMMAND_HAS_CONTENT},
	[VERB_BDAT] = {smtp_cmd_bdat, STATE_ANY, COMMAND_HAS_CONTENT | COMMAND_HAS_OCTETS},
	[VERB_RSET] = {smtp_cmd_rset, STATE_ANY, 0},
	[VERB_NOOP] = {smtp_cmd_noop, STATE_ANY, COMMAND_ENDS_GROUP},
	[VERB_HELP] = {smtp_cmd_help, STATE_ANY, COMMAND_ENDS_GROUP},
	[VERB_VRFY] = {smtp_cmd_vrfy, STATE_ANY, COMMAND_ENDS_GROUP},
	[VERB_QUIT] = {smtp_cmd_quit, STATE_ANY, COMMAND_ENDS_GROUP},
	[VERB_STARTTLS] = {smtp_cmd_starttls, STATE_NEW | STATE_READY, COMMAND_ENDS_GROUP},
	[VERB_AUTH] = {smtp_cmd_auth, STATE_READY, COMMAND_ENDS_GROUP},
	[VERB_XCLIENT] = {smtp_cmd_xclient, STATE_NEW | STATE_READY, COMMAND_ENDS_GROUP},
	[VERB_NOT_IMPLEMENTED] = {handle_not_implemented, STATE_ANY, 0},
	[VERB_HTTP] = {handle_http, STATE_ANY, 0},
};

static const char *const end_texts[SMTP_ENDS] = {
	[SMTP_END_NONE] = "open",
	[SMTP_END_QUIT] = "quit",
	[SMTP_END_LOST] = "connection lost",
	[SMTP_END_TIMEOUT] = "timeout",
	[SMTP_END_CANCELLED] = "shutting down",
	[SMTP_END_ERRORS] = "too many errors",
	[SMTP_END_COMMANDS] = "too many commands",
	[SMTP_END_EARLY] = "spoke before the greeting",
	[SMTP_END_HTTP] = "not SMTP",
	[SMTP_END_UNAVAILABLE] = "queue unavailable",
	[SMTP_END_NO_MEMORY] = "out of memory",
	[SMTP_END_TLS] = "no TLS came about",
};

const char *
smtp_end_text(enum smtp_end end)
{
	return (unsigned)end < SMTP_ENDS ? end_texts[end] : "unknown";
}

void
smtp_server_settings_init(struct smtp_server_settings *ret_settings, struct slice hostname)
{
	*ret_settings = (struct smtp_server_settings){
		.hostname = hostname,
		.extensions = SMTP_EXTENSION_PIPELINING | SMTP_EXTENSION_SIZE |
			      SMTP_EXTENSION_8BITMIME | SMTP_EXTENSION_ENHANCEDSTATUSCODES |
			      SMTP_EXTENSION_HELP | SMTP_EXTENSION_DSN | SMTP_EXTENSION_CHUNKING |
			      SMTP_EXTENSION_SMTPUTF8 | SMTP_EXTENSION_LIMITS,
		.max_message_bytes = UINT64_C(50) << 20,
		.max_recipients = 1000,
		.content_excess_max = UINT64_C(32) << 20,
		.envelope_bytes_max = ENVELOPE_BYTES_MAX,
		.content_line_limit = 16384,
		.command_line_max = 2048,
		.hops_max = 50,
		.errors_max = 10,
		.refusals_max = 100,
		.commands_max = 1000,
		.command_timeout_us = 300 * US_PER_S,
		.content_timeout_us = 180 * US_PER_S,
		.content_rate_min = 64,
		.begin_timeout_us = 60 * US_PER_S,
		.commit_timeout_us = 300 * US_PER_S,
		.farewell_timeout_us = 10 * US_PER_S,
		.handshake_timeout_us = 30 * US_PER_S,
		.auth_timeout_us = 30 * US_PER_S,
		.auth_wait_us = US_PER_S,
		.early = SMTP_EARLY_REFUSE,
	};
}

mono_us
smtp_server_deadline(const struct smtp_server *server, int64_t after_us)
{
	return loop_deadline(server->stream->loop, after_us);
}

static void
server_write(struct smtp_server *server, mono_us deadline)
{
	enum error error = stream_write(server->stream, buffer_slice(&server->output), deadline);

	buffer_clear(&server->output);
	if (error != OK && server->end == SMTP_END_NONE)
		server->end = error == ERROR_TIMEOUT     ? SMTP_END_TIMEOUT
			      : error == ERROR_CANCELLED ? SMTP_END_CANCELLED
							 : SMTP_END_LOST;
}

void
smtp_server_flush(struct smtp_server *server)
{
	if (server->output.len > 0)
		server_write(
			server, smtp_server_deadline(server, server->settings->command_timeout_us));
}

void
smtp_server_reply(struct smtp_server *server, const struct smtp_reply *reply)
{
	size_t before = server->output.len;
	smtp_reply_append(&server->output, reply);
	if (buffer_error(&server->output) != OK) {
		/* A long reply behind others: those first, then it alone, which always fits. */
		server->output.len = before;
		server->output.error = OK;
		smtp_server_flush(server);
		smtp_reply_append(&server->output, reply);
	}
	if (reply->code >= 400)
		server->ops->refused(server->arg, server, server->line, reply);
}

bool
smtp_server_sender(const struct smtp_server *server, struct slice *ret_sender)
{
	if (!server->transaction)
		return false;
	*ret_sender = server->transaction->reverse_path;
	return true;
}

void
smtp_server_leave(struct smtp_server *server, enum smtp_end end, const struct smtp_reply *reply)
{
	smtp_server_reply(server, reply);
	if (server->end == SMTP_END_NONE)
		server->end = end;
}

void
smtp_server_fault(struct smtp_server *server, const struct smtp_reply *reply)
{
	smtp_server_reply(server, reply);
	if (server->ops->faulted)
		server->ops->faulted(server->arg, server);
	if (++server->errors >= server->settings->errors_max)
		smtp_server_leave(server, SMTP_END_ERRORS,
			&SMTP_REPLY(421, 4, 7, 0, "too many errors, goodbye"));
}

void
smtp_server_break_off(struct smtp_server *server, enum error error)
{
	switch (error) {
	case ERROR_TIMEOUT:
		smtp_server_leave(server, SMTP_END_TIMEOUT,
			&SMTP_REPLY(421, 4, 4, 2, "nothing came for too long, goodbye"));
		return;
	case ERROR_CANCELLED:
		if (server->is_hurried) {
			smtp_server_leave(server, SMTP_END_TIMEOUT,
				&SMTP_REPLY(421, 4, 4, 2,
					"nothing came, and others wait for this place, goodbye"));
			return;
		}
		smtp_server_leave(server, SMTP_END_CANCELLED,
			&SMTP_REPLY(421, 4, 3, 2, "shutting down, come back later"));
		return;
	case ERROR_LIMIT:
		smtp_server_leave(server, SMTP_END_ERRORS,
			&SMTP_REPLY(
				552, 5, 3, 4, "far more content than this server takes, goodbye"));
		return;
	case ERROR_NO_MEMORY:
		smtp_server_leave(server, SMTP_END_NO_MEMORY,
			&SMTP_REPLY(421, 4, 3, 0, "out of memory, come back later"));
		return;
	default:
		server->end = SMTP_END_LOST;
		return;
	}
}

enum error
smtp_server_begin_transaction(struct smtp_server *server)
{
	struct memory *memory = loop_env(server->stream->loop)->memory;

	/* Addresses and trace; the table of recipients is bounded by their number. */
	arena_init(&server->arena, memory,
		server->settings->envelope_bytes_max + TRANSACTION_FIXED_BYTES);
	server->transaction = arena_take(&server->arena, sizeof *server->transaction);
	return server->transaction ? OK : ERROR_NO_MEMORY;
}

void
smtp_server_end_transaction(struct smtp_server *server)
{
	if (server->transaction && server->transaction->transfer)
		transfer_end(server, server->transaction->transfer);
	if (server->transaction)
		smtp_recipients_done(
			&server->transaction->recipients, loop_env(server->stream->loop)->memory);
	server->transaction = NULL;
	server->forwards = false;
	arena_done(&server->arena);
}

static void
handle_unknown(struct smtp_server *server, const struct smtp_command *command)
{
	(void)command;
	smtp_server_fault(server, &SMTP_REPLY(500, 5, 5, 2, "command not recognized"));
}

static void
handle_not_implemented(struct smtp_server *server, const struct smtp_command *command)
{
	(void)command;
	smtp_server_fault(server, &SMTP_REPLY(502, 5, 5, 1, "command not implemented"));
}

/* A web page can make a browser send a form here, with commands in its body (ALPACA): not a line
 * more is read. */
static void
handle_http(struct smtp_server *server, const struct smtp_command *command)
{
	(void)command;
	smtp_server_leave(
		server, SMTP_END_HTTP, &SMTP_REPLY(554, 5, 5, 1, "this is a mail server"));
}

static enum session_state
server_state(const struct smtp_server *server)
{
	if (server->helo.len == 0)
		return STATE_NEW;
	if (!server->transaction)
		return STATE_READY;
	if (server->transaction->is_chunked)
		return STATE_CHUNKS;
	return server->transaction->recipients.count == 0 ? STATE_MAIL : STATE_RECIPIENTS;
}

/* Why a command may not stand where it does. */
static struct smtp_reply
order_reply(const struct smtp_server *server, enum smtp_verb verb)
{
	enum session_state state = server_state(server);

	if (state == STATE_NEW)
		return SMTP_REPLY(503, 5, 5, 1, "say EHLO first");
	if (verb == VERB_MAIL || verb == VERB_STARTTLS || verb == VERB_AUTH || verb == VERB_XCLIENT)
		return SMTP_REPLY(503, 5, 5, 1, "a transaction is open already");
	if (state == STATE_READY)
		return SMTP_REPLY(503, 5, 5, 1, "say MAIL first");
	if (state == STATE_CHUNKS)
		return SMTP_REPLY(503, 5, 5, 1, "BDAT has begun: only more of it may follow");
	/* DATA: RFC 5321 section 3.3; RFC 2033 section 4.2 */
	struct smtp_reply reply = SMTP_REPLY(554, 5, 5, 1, "there are no recipients");
	reply.code = server->settings->is_lmtp ? 503 : 554;
	return reply;
}

/* Told once a session. */
static void
note_early_talk(struct smtp_server *server)
{
	if (!server->talked_early && server->settings->early != SMTP_EARLY_IGNORE)
		server->ops->talked_early(server->arg, server);
	server->talked_early = true;
}

/*
 * A client that does not wait where it must is a bad client (a spam engine that ignores replies) or
 * an attack that hides commands in another protocol. Behind the greeting it is put up with: old
 * clients that group commands too boldly are many, and their mail is wanted.
 */
static void
note_early_input(struct smtp_server *server)
{
	if (line_reader_has_input(server->reader))
		note_early_talk(server);
}

/*
 * A client that pipelines has sent RCPT and DATA before it could know that MAIL, or every RCPT,
 * would be refused (RFC 2920 section 3.1): they are answered, and held against nobody.
 */
static bool
is_excused(const struct smtp_server *server, enum smtp_verb verb)
{
	return server->excuses_followers && (verb == VERB_RCPT || verb == VERB_DATA);
}

static void
note_refusal(struct smtp_server *server, enum smtp_verb verb)
{
	if (verb == VERB_MAIL)
		server->excuses_followers = !server->transaction;
	else if (verb == VERB_RCPT && server_state(server) == STATE_MAIL)
		server->excuses_followers = true;
}

/*
 * Where people log in, a line may be half of an exchange, or a password that a program sends where
 * no exchange is: only a command that is known, and not AUTH, may be repeated in a log.
 */
static struct slice
loggable(const struct smtp_server *server, struct slice line, enum smtp_verb verb)
{
	if (verb == VERB_AUTH)
		return SLICE("AUTH");
	if ((server->settings->extensions & SMTP_EXTENSION_AUTH) && verb == VERB_UNKNOWN)
		return slice_of(NULL, 0);
	return line;
}

static void
handle_command(struct smtp_server *server, struct slice text)
{
	struct smtp_command command;
	enum session_state state = server_state(server);

	smtp_command_parse(text, server->settings->takes_odd_paths, &command);
	server->line = loggable(server, text, command.verb);
	const struct command_row *row = &commands[command.verb];
	if (!(row->states & state)) {
		struct smtp_reply reply = order_reply(server, command.verb);
		if (is_excused(server, command.verb))
			smtp_server_reply(server, &reply);
		else
			smtp_server_fault(server, &reply);
		return;
	}
	if (row->flags & COMMAND_ENDS_GROUP)
		note_early_input(server);
	server->in_content = row->flags & COMMAND_HAS_CONTENT;
	if (command.error.code != 0 && (row->flags & COMMAND_HAS_OCTETS))
		smtp_server_leave(server, SMTP_END_ERRORS, &command.error);
	else if (command.error.code != 0)
		smtp_server_fault(server, &command.error);
	else
		row->handler(server, &command);
	server->in_content = false;
	note_refusal(server, command.verb);
}

/* Commands that never lead to a message keep a place that others wait for. */
static bool
has_said_too_much(struct smtp_server *server)
{
	const struct smtp_server_settings *settings = server->settings;

	return ++server->commands > (uint64_t)settings->commands_max + settings->max_recipients;
}

/* RFC 4954 section 4.3: what stands behind AUTH may be long. */
static bool
is_long_command(struct slice line)
{
	return slice_has_prefix_nocase(line, SLICE("AUTH "));
}

static bool
is_over_limit(const struct smtp_server *server, struct slice line)
{
	return line.len > server->settings->command_line_max && !is_long_command(line);
}

static size_t
line_max(const struct smtp_server *server)
{
	size_t max = server->settings->command_line_max;

	if ((server->settings->extensions & SMTP_EXTENSION_AUTH) && max < SASL_LINE_MAX)
		return SASL_LINE_MAX;
	return max;
}

/* Where content would follow of which nobody knows the end, the session ends. */
static void
refuse_line(struct smtp_server *server, struct slice line, const struct smtp_reply *reply)
{
	if (smtp_command_has_octets(line))
		smtp_server_leave(server, SMTP_END_ERRORS, reply);
	else
		smtp_server_fault(server, reply);
}

static void
handle_line(struct smtp_server *server, const struct line *line)
{
	server->line = loggable(server, line->text, VERB_UNKNOWN);
	if (has_said_too_much(server))
		smtp_server_leave(server, SMTP_END_COMMANDS,
			&SMTP_REPLY(421, 4, 7, 0, "too many commands without a message, goodbye"));
	else if (line->too_long || is_over_limit(server, line->text))
		refuse_line(server, line->text, &SMTP_REPLY(500, 5, 5, 2, "the line is too long"));
	else if (line->ending != LINE_CRLF && !server->settings->normalises_newlines)
		refuse_line(server, line->text,
			&SMTP_REPLY(500, 5, 5, 2, "lines must end with CR LF, not with a bare LF"));
	else
		handle_command(server, line->text);
	server->line = slice_of(NULL, 0);
}

/* Whether the next command is here whole, so that reading it cannot wait. */
static bool
has_buffered_line(const struct line_reader *reader)
{
	if (!line_reader_has_input(reader))
		return false;
	/* UNSAFE: start < end <= LINE_BUFFER_BYTES, kept by the reader */
	return memchr(reader->buffer + reader->start, '\n', reader->end - reader->start) != NULL;
}

void
smtp_server_forget(struct smtp_server *server)
{
	struct memory *memory = loop_env(server->stream->loop)->memory;

	smtp_server_end_transaction(server);
	line_reader_drop(server->reader);
	memory_put(memory, (void *)(uintptr_t)server->helo.ptr);
	server->helo = slice_of(NULL, 0);
	server->is_esmtp = false;
	server->login = slice_of(NULL, 0);
}

void
smtp_server_greet(struct smtp_server *server)
{
	char text[ADDRESS_DOMAIN_MAX + 32];
	struct buffer banner;

	buffer_init_fixed(&banner, text, sizeof text);
	buffer_append(&banner, server->settings->hostname);
	buffer_append_text(&banner, server->settings->is_lmtp ? " LMTP Veredus" : " ESMTP Veredus");
	smtp_server_reply(server, &(struct smtp_reply){.code = 220, .text = buffer_slice(&banner)});
}

/*
 * May wait. What the client says before it is greeted; *ret_len 0: nothing, or the connection is
 * lost, which the first command will find out.
 */
static void
listen_early(struct smtp_server *server, uint8_t *block, size_t room, size_t *ret_len)
{
	struct stream *stream = server->stream;
	int64_t wait_us = server->settings->greeting_wait_us;

	*ret_len = 0;
	if (wait_us == 0) {
		ssize_t got = stream->ops->read(stream, block, room);
		*ret_len = got > 0 ? (size_t)got : 0;
		return;
	}
	enum error error =
		stream_read(stream, block, room, smtp_server_deadline(server, wait_us), ret_len);
	if (error == ERROR_CANCELLED)
		smtp_server_break_off(server, error);
}

/*
 * May wait. A mail server waits for the greeting (RFC 5321 section 4.3.1); engines that write all
 * of their dialogue at once do not, nor does a browser that was made to post here.
 */
static void
judge_early_talk(struct smtp_server *server)
{
	uint8_t block[EARLY_BYTES];
	size_t len;

	if (server->settings->early == SMTP_EARLY_IGNORE && server->settings->greeting_wait_us == 0)
		return;
	listen_early(server, block, sizeof block, &len);
	if (len == 0)
		return;
	note_early_talk(server);
	if (server->settings->early == SMTP_EARLY_REFUSE) {
		server->line = slice_of(block, len); /* for the log */
		smtp_server_leave(server, SMTP_END_EARLY,
			&SMTP_REPLY(554, 5, 5, 0, "you spoke before you were greeted, goodbye"));
		server->line = slice_of(NULL, 0);
		return;
	}
	enum error error = line_reader_put_back(server->reader, slice_of(block, len));
	if (error != OK)
		smtp_server_break_off(server, error);
}

/* When the next command must be here. */
static mono_us
command_deadline(const struct smtp_server *server)
{
	mono_us deadline = smtp_server_deadline(server, server->settings->command_timeout_us);
	mono_us content = MONO_NEVER;

	if (server->transaction && server->transaction->transfer)
		content = transfer_deadline(server, server->transaction->transfer);
	return deadline < content ? deadline : content;
}

/* One command and its reply. */
static void
serve_command(struct smtp_server *server)
{
	struct line line;

	if (server->stopping) {
		smtp_server_break_off(server, ERROR_CANCELLED);
		return;
	}
	if (!has_buffered_line(server->reader)) {
		smtp_server_flush(server);
		if (server->end != SMTP_END_NONE)
			return;
	}
	mono_us deadline = command_deadline(server);
	server->waits_since = loop_now(server->stream->loop);
	enum error error = line_read(server->reader, line_max(server), deadline, &line);
	server->waits_since = 0;
	if (error != OK)
		smtp_server_break_off(server, error);
	else
		handle_line(server, &line);
}

/* May wait: a client whose commands never stop coming must not keep the others from theirs, nor
 * this server from its end. */
static void
take_turns(struct smtp_server *server)
{
	task_yield(server->stream->loop);
	if (task_is_cancelled(server->stream->loop))
		smtp_server_break_off(server, ERROR_CANCELLED);
}

void
smtp_server_run(struct smtp_server *server)
{
	buffer_init_fixed(&server->output, server->output_bytes, sizeof server->output_bytes);
	server->ops->connected(server->arg, server);
	judge_early_talk(server);
	if (server->end == SMTP_END_NONE)
		smtp_server_greet(server);
	for (unsigned served = 1; server->end == SMTP_END_NONE; served++) {
		serve_command(server);
		if (served % COMMANDS_A_TURN == 0 && server->end == SMTP_END_NONE)
			take_turns(server);
	}
	if (server->end != SMTP_END_LOST && server->output.len > 0)
		server_write(server,
			smtp_server_deadline(server, server->settings->farewell_timeout_us));
	smtp_server_end_transaction(server);
	server->ops->closed(server->arg, server, server->end);
	memory_put(loop_env(server->stream->loop)->memory, (void *)(uintptr_t)server->helo.ptr);
	server->helo = slice_of(NULL, 0);
	stream_close(server->stream);
}
