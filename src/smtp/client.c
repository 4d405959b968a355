/*
 * The client's session: greeting, commands, replies (RFC 5321 sections 3 and 4.2, RFC 1869
 * section 4.5 for EHLO). What a message takes stands in client_send.c.
 *
 * The server is a stranger that may say anything at any time. Promises: every reply has one
 * deadline for all of its lines, and a bound on lines and text; a reply that nobody asked for ends
 * the session, as do a code that changes in mid-reply and what is no reply; no octet of a server's
 * text decides anything but the keywords of EHLO.
 */
#include "smtp/client_private.h"

#define LAST_WORDS_US (2 * US_PER_S) /* how long to look for a reply when writing has failed */

static const char *const stage_texts[SMTP_STAGES] = {
	[SMTP_STAGE_BANNER] = "the banner",
	[SMTP_STAGE_HELLO] = "EHLO",
	[SMTP_STAGE_TLS] = "STARTTLS",
	[SMTP_STAGE_AUTH] = "AUTH",
	[SMTP_STAGE_RESET] = "RSET",
	[SMTP_STAGE_MAIL] = "MAIL",
	[SMTP_STAGE_RCPT] = "RCPT",
	[SMTP_STAGE_DATA] = "DATA",
	[SMTP_STAGE_CONTENT] = "the content",
	[SMTP_STAGE_FINAL] = "the end of the content",
	[SMTP_STAGE_QUIT] = "QUIT",
};

const char *
smtp_client_stage_text(enum smtp_client_stage stage)
{
	return (unsigned)stage < SMTP_STAGES ? stage_texts[stage] : "an unknown stage";
}

void
smtp_client_settings_init(struct smtp_client_settings *ret_settings, struct slice hello)
{
	*ret_settings = (struct smtp_client_settings){
		.hello = hello,
		.banner_timeout_us = 300 * US_PER_S,
		.handshake_timeout_us = 60 * US_PER_S,
		.command_timeout_us = 300 * US_PER_S,
		.data_timeout_us = 120 * US_PER_S,
		.block_timeout_us = 180 * US_PER_S,
		.final_timeout_us = 600 * US_PER_S,
		.quit_timeout_us = 30 * US_PER_S,
	};
}

void
smtp_client_show(struct smtp_client *client, enum smtp_client_line kind, struct slice line)
{
	if (client->transcript)
		client->transcript(client->transcript_arg, kind, line);
}

enum error
smtp_client_break(struct smtp_client *client, enum error error)
{
	client->is_over = true;
	return error;
}

void
smtp_client_command_end(struct smtp_client *client, size_t start)
{
	smtp_client_show(client, SMTP_LINE_SENT, slice_from(buffer_slice(&client->output), start));
	buffer_append(&client->output, SLICE("\r\n"));
}

enum error
smtp_client_flush(struct smtp_client *client, int64_t timeout_us)
{
	enum error error = buffer_error(&client->output);

	if (error == OK)
		error = stream_write(client->stream, buffer_slice(&client->output),
			loop_deadline(client->stream->loop, timeout_us));
	buffer_clear(&client->output);
	if (error == OK || error == ERROR_CANCELLED || error == ERROR_NO_MEMORY ||
		error == ERROR_LIMIT)
		return error == OK ? OK : smtp_client_break(client, error);
	client->write_error = error;
	return OK;
}

/* May wait: the lines of a reply. */
static enum error
read_lines(struct smtp_client *client, mono_us deadline)
{
	bool is_last = false;
	enum error error = OK;
	struct line line;

	smtp_reply_reader_clear(&client->reply);
	while (error == OK && !is_last) {
		/* Lines that end in a bare LF are taken: such servers exist, and nothing follows
		 * from where a reply's line ends but its text. */
		error = line_read(client->reader, SMTP_CLIENT_REPLY_LINE_MAX, deadline, &line);
		if (error != OK)
			break;
		smtp_client_show(client, SMTP_LINE_RECEIVED, line.text);
		error = smtp_reply_reader_line(&client->reply, line.text, &is_last);
	}
	return error;
}

enum error
smtp_client_read(struct smtp_client *client, int64_t timeout_us)
{
	if (client->write_error != OK && timeout_us > LAST_WORDS_US)
		timeout_us = LAST_WORDS_US;
	enum error error = read_lines(client, loop_deadline(client->stream->loop, timeout_us));
	if (error != OK && client->write_error != OK && error != ERROR_CANCELLED)
		error = client->write_error;
	if (error != OK)
		return smtp_client_break(client, error);
	/* RFC 5321 section 3.8: any command may get this; the server closes behind it. */
	if (client->reply.code == 421)
		client->is_over = true;
	return OK;
}

enum error
smtp_client_check_step(struct smtp_client *client, bool *ret_over)
{
	*ret_over = false;
	if (!line_reader_has_input(client->reader))
		return OK;
	enum error error = smtp_client_read(client, LAST_WORDS_US);
	if (error == OK && client->reply.code != 421)
		error = smtp_client_break(client, ERROR_FORMAT);
	*ret_over = error == OK;
	return error;
}

enum error
smtp_client_exchange(struct smtp_client *client, int64_t timeout_us)
{
	bool is_over;
	enum error error = smtp_client_check_step(client, &is_over);

	if (error == OK && !is_over)
		error = smtp_client_flush(client, timeout_us);
	if (error == OK && !is_over)
		error = smtp_client_read(client, timeout_us);
	if (client->write_error != OK)
		client->is_over = true;
	buffer_clear(&client->output);
	return error;
}

enum error
smtp_client_class(const struct smtp_client *client, bool may_go_on, unsigned *ret_class)
{
	unsigned class = client->reply.code / 100;

	if (class == 3 && !may_go_on)
		return ERROR_FORMAT;
	*ret_class = class;
	return OK;
}

/* RFC 4954 section 3: the parameters of AUTH are names of mechanisms. */
static void
note_mechanisms(struct smtp_client *client, struct slice names)
{
	static const struct {
		struct slice name;
		enum smtp_client_mechanism mechanism;
	} known[] = {
		{SLICE_INIT("PLAIN"), SMTP_MECHANISM_PLAIN},
		{SLICE_INIT("LOGIN"), SMTP_MECHANISM_LOGIN},
		{SLICE_INIT("SCRAM-SHA-256"), SMTP_MECHANISM_SCRAM_SHA_256},
	};

	while (names.len > 0) {
		ssize_t space = slice_find(names, 0, ' ');
		struct slice name = space < 0 ? names : slice_sub(names, 0, (size_t)space);
		for (size_t i = 0; i < sizeof known / sizeof *known; i++)
			if (slice_equal_nocase(name, known[i].name))
				client->mechanisms |= known[i].mechanism;
		names = slice_from(names, space < 0 ? names.len : (size_t)space + 1);
	}
}

/* LIMITS (RFC 9422): of its parameters the one that a transaction can break. */
static void
note_limits(struct smtp_client *client, struct slice limits)
{
	static const struct slice name = SLICE_INIT("RCPTMAX=");

	while (limits.len > 0) {
		ssize_t space = slice_find(limits, 0, ' ');
		struct slice limit = space < 0 ? limits : slice_sub(limits, 0, (size_t)space);
		if (slice_has_prefix_nocase(limit, name) &&
			!slice_number(
				slice_from(limit, name.len), UINT64_MAX, &client->recipients_max))
			client->recipients_max = 0;
		limits = slice_from(limits, limit.len + 1);
	}
}

/* ehlo-line = ehlo-keyword *( SP ehlo-param ) */
static void
note_extension(struct smtp_client *client, struct slice line)
{
	static const struct {
		struct slice keyword;
		enum smtp_client_extension extension;
	} known[] = {
		{SLICE_INIT("PIPELINING"), SMTP_OFFERS_PIPELINING},
		{SLICE_INIT("SIZE"), SMTP_OFFERS_SIZE},
		{SLICE_INIT("8BITMIME"), SMTP_OFFERS_8BITMIME},
		{SLICE_INIT("DSN"), SMTP_OFFERS_DSN},
		{SLICE_INIT("SMTPUTF8"), SMTP_OFFERS_SMTPUTF8},
		{SLICE_INIT("ENHANCEDSTATUSCODES"), SMTP_OFFERS_ENHANCEDSTATUSCODES},
		{SLICE_INIT("STARTTLS"), SMTP_OFFERS_STARTTLS},
		{SLICE_INIT("AUTH"), SMTP_OFFERS_AUTH},
	};
	ssize_t space = slice_find(line, 0, ' ');
	struct slice keyword = space < 0 ? line : slice_sub(line, 0, (size_t)space);

	if (slice_equal_nocase(keyword, SLICE("LIMITS")) && space >= 0)
		note_limits(client, slice_from(line, (size_t)space + 1));
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		if (!slice_equal_nocase(keyword, known[i].keyword))
			continue;
		client->extensions |= known[i].extension;
		if (known[i].extension == SMTP_OFFERS_AUTH && space >= 0)
			note_mechanisms(client, slice_from(line, (size_t)space));
		/* A limit that is no number is no limit. */
		if (known[i].extension == SMTP_OFFERS_SIZE && space >= 0 &&
			!slice_number(slice_trim(slice_from(line, (size_t)space)), UINT64_MAX,
				&client->size_max))
			client->size_max = 0;
	}
}

/* The first line is the server's name, each further one an extension. */
static void
note_extensions(struct smtp_client *client)
{
	struct slice text = buffer_slice(&client->reply.text);
	ssize_t end = slice_find(text, 0, '\n');

	while (end >= 0) {
		size_t start = (size_t)end + 1;
		end = slice_find(text, start, '\n');
		note_extension(
			client, slice_sub(text, start, end < 0 ? SIZE_MAX : (size_t)end - start));
	}
}

/* May wait: EHLO or HELO and its reply. */
static enum error
say_hello(struct smtp_client *client, struct slice verb, unsigned *ret_class)
{
	buffer_append(&client->output, verb);
	buffer_append_octet(&client->output, ' ');
	buffer_append(&client->output, client->settings->hello);
	smtp_client_command_end(client, 0);
	enum error error = smtp_client_exchange(client, client->settings->command_timeout_us);
	return error == OK ? smtp_client_class(client, false, ret_class) : error;
}

/*
 * Whether a refusal of EHLO may mean that the server does not know it. 521 and 554 say that it
 * takes no mail at all (RFC 7504), and LMTP has no older form.
 */
static bool
may_try_helo(const struct smtp_client *client, unsigned class)
{
	uint16_t code = client->reply.code;

	return class == 5 && code != 521 && code != 554 && !client->is_over && !client->is_lmtp;
}

/* May wait. A server that does not know EHLO refuses it for good; one that cannot serve now would
 * refuse HELO too. */
static enum error
greet(struct smtp_client *client)
{
	unsigned class;
	enum error error =
		say_hello(client, client->is_lmtp ? SLICE("LHLO") : SLICE("EHLO"), &class);

	if (error == OK && class == 2)
		note_extensions(client);
	else if (error == OK && may_try_helo(client, class))
		error = say_hello(client, SLICE("HELO"), &class);
	if (error == OK)
		client->is_open = class == 2 && !client->is_over;
	return error;
}

enum error
smtp_client_open(struct smtp_client *client, struct smtp_reply *ret_reply)
{
	struct memory *memory = loop_env(client->stream->loop)->memory;
	unsigned class;

	smtp_reply_reader_init(&client->reply, memory);
	buffer_init(&client->output, memory, SMTP_CLIENT_GROUP_MAX);
	client->stage = SMTP_STAGE_BANNER;
	enum error error = smtp_client_read(client, client->settings->banner_timeout_us);
	if (error == OK)
		error = smtp_client_class(client, false, &class);
	if (error == OK && class == 2) {
		client->stage = SMTP_STAGE_HELLO;
		error = greet(client);
	}
	if (error != OK)
		return smtp_client_break(client, error);
	*ret_reply = smtp_reply_reader_reply(&client->reply);
	return OK;
}

/*
 * May wait: behind the 220. What came with it in the clear is somebody's who wants it taken for the
 * server's reply under TLS (CVE-2021-38371).
 */
static enum error
encrypt(struct smtp_client *client, enum error (*handshake)(void *arg, mono_us deadline), void *arg)
{
	if (line_reader_has_input(client->reader))
		return ERROR_FORMAT;
	line_reader_drop(client->reader);
	enum error error = handshake(
		arg, loop_deadline(client->stream->loop, client->settings->handshake_timeout_us));
	if (error != OK)
		return error;
	client->extensions = 0;
	client->mechanisms = 0;
	client->size_max = 0;
	client->recipients_max = 0;
	client->is_open = false;
	client->stage = SMTP_STAGE_HELLO;
	return greet(client);
}

enum error
smtp_client_start_tls(struct smtp_client *client,
	enum error (*handshake)(void *arg, mono_us deadline), void *arg, bool *ret_started,
	struct smtp_reply *ret_reply)
{
	unsigned class;

	client->stage = SMTP_STAGE_TLS;
	buffer_append(&client->output, SLICE("STARTTLS"));
	smtp_client_command_end(client, 0);
	enum error error = smtp_client_exchange(client, client->settings->command_timeout_us);
	if (error == OK)
		error = smtp_client_class(client, false, &class);
	bool started = error == OK && class == 2 && !client->is_over;
	if (started)
		error = encrypt(client, handshake, arg);
	if (error != OK)
		return smtp_client_break(client, error);
	*ret_started = started;
	*ret_reply = smtp_reply_reader_reply(&client->reply);
	return OK;
}

enum error
smtp_client_quit(struct smtp_client *client)
{
	if (client->is_over)
		return OK;
	client->stage = SMTP_STAGE_QUIT;
	client->is_open = false;
	buffer_append(&client->output, SLICE("QUIT"));
	smtp_client_command_end(client, 0);
	enum error error = smtp_client_exchange(client, client->settings->quit_timeout_us);
	client->is_over = true;
	return error;
}

void
smtp_client_done(struct smtp_client *client)
{
	smtp_reply_reader_done(&client->reply);
	buffer_done(&client->output);
	client->is_open = false;
	client->is_over = true;
}
