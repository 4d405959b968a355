/*
 * One message: MAIL, RCPT each, DATA, content (RFC 5321 section 3.3), in groups when the server
 * offers PIPELINING (RFC 2920).
 *
 * Promises: each recipient gets the first reply that decides about it; a reply stands for its own
 * command only, in order; content goes out only when a recipient was accepted; without the final
 * dot, or with a reply that came before all of the content was written, nothing counts as taken. A
 * server that says 354 although it accepted nobody gets an empty message (RFC 2920 section 3.1).
 */
#include "smtp/client_content.h"
#include "smtp/client_private.h"

#include "text/encode.h"
#include "text/international.h"

#define BLOCK_BYTES 16384 /* of content that is read at once */

struct transaction {
	struct smtp_client *client;
	const struct smtp_client_message *message;
	struct smtp_client_recipient *recipients;
	size_t count;
	struct arena *arena;
	bool is_smtputf8;
	size_t accepted;
	bool is_refused; /* as a whole: by MAIL's reply or a farewell */
	/* Commands are numbered: 0 is MAIL, 1 to count the recipients, then DATA. */
	size_t sent;
	size_t answered;
	bool may_send_content; /* DATA had 354 */
};

/* The present reply as a value that lives as long as the arena. */
static struct smtp_reply
keep_reply(struct transaction *transaction)
{
	struct smtp_reply reply = smtp_reply_reader_reply(&transaction->client->reply);

	if (!arena_copy(transaction->arena, slice_sub(reply.text, 0, SMTP_CLIENT_TEXT_MAX),
		    &reply.text))
		reply.text = (struct slice){0};
	return reply;
}

/* The reply for all that have none yet. */
static void
decide_all(struct transaction *transaction, const struct smtp_reply *reply,
	enum smtp_client_stage stage, bool is_ours)
{
	for (size_t i = 0; i < transaction->count; i++) {
		struct smtp_client_recipient *recipient = &transaction->recipients[i];
		if (recipient->reply.code != 0)
			continue;
		recipient->reply = *reply;
		recipient->stage = stage;
		recipient->is_ours = is_ours;
	}
	transaction->accepted = 0;
}

/* The present reply refuses all that are undecided. */
static void
refuse_all(struct transaction *transaction)
{
	struct smtp_reply reply = keep_reply(transaction);

	decide_all(transaction, &reply, transaction->client->stage, false);
	transaction->is_refused = true;
}

static enum smtp_client_stage
stage_of(const struct transaction *transaction, size_t command)
{
	if (command == 0)
		return SMTP_STAGE_MAIL;
	return command <= transaction->count ? SMTP_STAGE_RCPT : SMTP_STAGE_DATA;
}

static void
append_parameter(struct buffer *output, const char *name, struct slice value)
{
	if (value.len == 0)
		return;
	buffer_append_text(output, name);
	buffer_append(output, value);
}

/*
 * mail = "MAIL FROM:" Reverse-path [SP Mail-parameters] CRLF
 * RFC 1870: size-value = 1*20DIGIT; RFC 6152: body-value = "7BIT" / "8BITMIME"
 * RFC 3461: "RET=" ( "FULL" / "HDRS" ), "ENVID=" xtext; RFC 6531: "SMTPUTF8"
 */
static void
append_mail(struct transaction *transaction, struct buffer *output)
{
	uint32_t extensions = transaction->client->extensions;

	buffer_append(output, SLICE("MAIL FROM:<"));
	buffer_append(output, transaction->message->reverse_path);
	buffer_append_octet(output, '>');
	if (extensions & SMTP_OFFERS_SIZE) {
		buffer_append(output, SLICE(" SIZE="));
		buffer_append_number(output, transaction->message->size);
	}
	if ((extensions & SMTP_OFFERS_8BITMIME) && transaction->message->is_8bit)
		buffer_append(output, SLICE(" BODY=8BITMIME"));
	if (transaction->is_smtputf8)
		buffer_append(output, SLICE(" SMTPUTF8"));
	if (!(extensions & SMTP_OFFERS_DSN))
		return;
	append_parameter(output, " RET=", transaction->message->returns);
	append_parameter(output, " ENVID=", transaction->message->envelope_id);
}

/* rcpt = "RCPT TO:" Forward-path [SP "NOTIFY=" notify-value] [SP "ORCPT=" addr-type ";" xtext] */
static void
append_rcpt(const struct transaction *transaction, struct buffer *output)
{
	const struct smtp_client_recipient *recipient =
		&transaction->recipients[transaction->sent - 1];

	buffer_append(output, SLICE("RCPT TO:<"));
	buffer_append(output, recipient->address);
	buffer_append_octet(output, '>');
	if (!(transaction->client->extensions & SMTP_OFFERS_DSN))
		return;
	if (recipient->notify != 0) {
		buffer_append(output, SLICE(" NOTIFY="));
		dsn_notify_append(output, recipient->notify);
	}
	append_parameter(output, " ORCPT=", recipient->original);
}

/* Appends the next command; false, and nothing appended, when the group has no room for it. */
static bool
append_command(struct transaction *transaction)
{
	struct buffer *output = &transaction->client->output;
	size_t start = output->len;

	switch (stage_of(transaction, transaction->sent)) {
	case SMTP_STAGE_MAIL:
		append_mail(transaction, output);
		break;
	case SMTP_STAGE_RCPT:
		append_rcpt(transaction, output);
		break;
	default:
		buffer_append(output, SLICE("DATA"));
	}
	if (start > 0 && (output->error == ERROR_LIMIT || output->max - output->len < 2)) {
		output->len = start;
		output->error = OK;
		return false;
	}
	smtp_client_command_end(transaction->client, start);
	transaction->sent++;
	return true;
}

/* Whether the next command may be sent now. DATA makes no sense when nobody was accepted and
 * nobody can be any more. */
static bool
may_append(const struct transaction *transaction)
{
	bool all_answered = transaction->sent == transaction->answered;

	if (transaction->sent > transaction->count + 1)
		return false;
	if (stage_of(transaction, transaction->sent) == SMTP_STAGE_DATA && all_answered &&
		transaction->accepted == 0)
		return false;
	return all_answered || (transaction->client->extensions & SMTP_OFFERS_PIPELINING);
}

static void
handle_rcpt(struct transaction *transaction, unsigned class)
{
	struct smtp_client_recipient *recipient =
		&transaction->recipients[transaction->answered - 1];

	if (recipient->reply.code != 0)
		return; /* decided with all others, by the reply to MAIL */
	if (class == 2) {
		recipient->is_accepted = true;
		transaction->accepted++;
		return;
	}
	recipient->reply = keep_reply(transaction);
	recipient->stage = SMTP_STAGE_RCPT;
}

/* The reply to the command number `answered`. */
static enum error
handle_reply(struct transaction *transaction)
{
	struct smtp_client *client = transaction->client;
	unsigned class;
	enum error error = smtp_client_class(client, client->stage == SMTP_STAGE_DATA, &class);

	if (error != OK || (client->stage == SMTP_STAGE_DATA && class == 2))
		return smtp_client_break(client, ERROR_FORMAT);
	if (client->reply.code == 421) {
		refuse_all(transaction);
		return OK;
	}
	if (client->stage == SMTP_STAGE_RCPT)
		handle_rcpt(transaction, class);
	else if (client->stage == SMTP_STAGE_DATA && class == 3)
		transaction->may_send_content = true;
	else if (class != 2)
		refuse_all(transaction);
	return OK;
}

static mono_us
reply_timeout(const struct transaction *transaction)
{
	const struct smtp_client_settings *settings = transaction->client->settings;

	return transaction->client->stage == SMTP_STAGE_DATA ? settings->data_timeout_us
							     : settings->command_timeout_us;
}

/* May wait: one group of commands and all of its replies. */
static enum error
exchange_group(struct transaction *transaction)
{
	struct smtp_client *client = transaction->client;
	bool is_over;
	enum error error = smtp_client_check_step(client, &is_over);

	client->stage = stage_of(transaction, transaction->sent);
	if (error != OK)
		return error;
	if (is_over) {
		refuse_all(transaction);
		return OK;
	}
	while (may_append(transaction) && append_command(transaction))
		continue;
	error = smtp_client_flush(client, client->settings->command_timeout_us);
	while (error == OK && transaction->answered < transaction->sent && !client->is_over) {
		client->stage = stage_of(transaction, transaction->answered);
		error = smtp_client_read(client, reply_timeout(transaction));
		if (error == OK)
			error = handle_reply(transaction);
		transaction->answered++;
		if (error == OK && client->write_error != OK && transaction->is_refused)
			break; /* its last words */
	}
	return error;
}

/* May block on the disk: fills the block, as far as there is content. */
static enum error
read_block(const struct smtp_client_message *message, uint8_t *block, size_t *ret_len)
{
	enum error error = OK;
	size_t len = 1;

	*ret_len = 0;
	while (error == OK && len > 0 && *ret_len < BLOCK_BYTES) {
		error = message->read(
			message->read_arg, block + *ret_len, BLOCK_BYTES - *ret_len, &len);
		*ret_len += error == OK ? len : 0;
	}
	return error;
}

static void
show_octets(struct smtp_client *client, uint64_t octets)
{
	char text[64];
	struct buffer note;

	buffer_init_fixed(&note, text, sizeof text);
	buffer_printf(&note, "%llu octets of content", (unsigned long long)octets);
	smtp_client_show(client, SMTP_LINE_CONTENT, buffer_slice(&note));
}

/* May wait: the blocks of content, the last one together with the end, until the server takes no
 * more. */
static enum error
write_content(struct transaction *transaction, uint8_t *block, struct buffer *written)
{
	struct smtp_client *client = transaction->client;
	struct smtp_content_writer writer = {0};
	uint64_t octets = 0;
	size_t len = BLOCK_BYTES;

	while (len == BLOCK_BYTES && client->write_error == OK) {
		enum error error = read_block(transaction->message, block, &len);
		if (error != OK)
			return error;
		buffer_clear(written);
		smtp_content_write(&writer, slice_of(block, len), written);
		if (len < BLOCK_BYTES)
			smtp_content_write_end(&writer, written);
		error = buffer_error(written);
		if (error == OK)
			client->write_error = stream_write(client->stream, buffer_slice(written),
				loop_deadline(
					client->stream->loop, client->settings->block_timeout_us));
		if (error != OK || client->write_error == ERROR_CANCELLED)
			return error != OK ? error : ERROR_CANCELLED;
		octets += len;
	}
	show_octets(client, octets);
	return OK;
}

static enum error
send_content(struct transaction *transaction)
{
	struct memory *memory = loop_env(transaction->client->stream->loop)->memory;
	uint8_t *block = memory_try(memory, BLOCK_BYTES);
	struct buffer written;
	enum error error = ERROR_NO_MEMORY;

	transaction->client->stage = SMTP_STAGE_CONTENT;
	buffer_init(&written, memory, SMTP_CONTENT_WRITTEN_MAX(BLOCK_BYTES));
	if (block)
		error = write_content(transaction, block, &written);
	buffer_done(&written);
	memory_put(memory, block);
	return error;
}

/* May wait: a reply to the content. A refusal counts even if not all of the content was taken;
 * nothing else does then. */
static enum error
read_final_reply(struct transaction *transaction, struct smtp_reply *ret_reply)
{
	struct smtp_client *client = transaction->client;
	bool is_whole = client->write_error == OK;
	unsigned class;

	if (is_whole)
		client->stage = SMTP_STAGE_FINAL;
	enum error error = smtp_client_read(client, client->settings->final_timeout_us);
	if (error == OK)
		error = smtp_client_class(client, false, &class);
	if (error == OK && class == 2 && !is_whole)
		error = client->write_error;
	if (error == OK)
		*ret_reply = keep_reply(transaction);
	return error;
}

/* May wait. RFC 2033 section 4.2: one reply for each recipient that was accepted, in their order. A
 * farewell is for all that are left. */
static enum error
read_final_of_each(struct transaction *transaction)
{
	struct smtp_client *client = transaction->client;
	struct smtp_reply reply;
	enum error error = OK;

	for (size_t i = 0; error == OK && i < transaction->count; i++) {
		struct smtp_client_recipient *recipient = &transaction->recipients[i];
		if (!recipient->is_accepted)
			continue;
		error = read_final_reply(transaction, &reply);
		if (error != OK)
			break;
		if (client->is_over || client->write_error != OK) {
			decide_all(transaction, &reply, client->stage, false);
			return OK;
		}
		recipient->reply = reply;
		recipient->stage = client->stage;
	}
	return error;
}

/* May wait: what the server says to the content. */
static enum error
read_final(struct transaction *transaction)
{
	struct smtp_client *client = transaction->client;
	struct smtp_reply reply;
	enum error error = client->is_lmtp ? read_final_of_each(transaction)
					   : read_final_reply(transaction, &reply);

	if (error != OK)
		return error;
	if (!client->is_lmtp)
		decide_all(transaction, &reply, client->stage, false);
	client->needs_reset = false;
	return OK;
}

/* May wait: what follows 354. A reply to the content before there is content is a lie. */
static enum error
exchange_content(struct transaction *transaction)
{
	bool is_over;
	enum error error = smtp_client_check_step(transaction->client, &is_over);

	if (error == OK && is_over) {
		refuse_all(transaction);
		return OK;
	}
	if (error == OK)
		error = send_content(transaction);
	return error == OK ? read_final(transaction) : error;
}

/* May wait: 354 came although nobody was accepted. Whatever the server says to the empty message,
 * the recipients have their replies. */
static enum error
send_nothing(struct transaction *transaction)
{
	struct smtp_client *client = transaction->client;

	client->stage = SMTP_STAGE_FINAL;
	buffer_append_octet(&client->output, '.');
	smtp_client_command_end(client, 0);
	enum error error = smtp_client_exchange(client, client->settings->final_timeout_us);
	if (error == OK)
		client->needs_reset = false;
	return error;
}

/* May wait: forgets what an earlier message left open. */
static enum error
reset(struct transaction *transaction)
{
	struct smtp_client *client = transaction->client;
	unsigned class = 0;

	if (!client->needs_reset)
		return OK;
	client->stage = SMTP_STAGE_RESET;
	buffer_append(&client->output, SLICE("RSET"));
	smtp_client_command_end(client, 0);
	enum error error = smtp_client_exchange(client, client->settings->command_timeout_us);
	if (error == OK)
		error = smtp_client_class(client, false, &class);
	if (error == OK && class != 2)
		refuse_all(transaction);
	return error;
}

/* What may not stand in a command: an octet that ends its line would make another command of the
 * rest. */
static enum error
check_path(struct slice path)
{
	if (path.len > SMTP_CLIENT_ADDRESS_MAX)
		return ERROR_LIMIT;
	for (size_t i = 0; i < path.len; i++)
		if (path.ptr[i] < ' ' || path.ptr[i] == 127)
			return ERROR_FORMAT;
	return utf8_find_fault(path) < 0 ? OK : ERROR_FORMAT;
}

/* Nor what would make another parameter of the rest. */
static enum error
check_wishes(const struct smtp_client_recipient *recipient)
{
	bool is_sound =
		dsn_notify_is_valid(recipient->notify) &&
		(recipient->original.len == 0 || dsn_original_is_valid(recipient->original));

	return is_sound ? OK : ERROR_FORMAT;
}

static enum error
check_recipient(const struct smtp_client_recipient *recipient)
{
	enum error error =
		recipient->address.len > 0 ? check_path(recipient->address) : ERROR_FORMAT;

	return error == OK ? check_wishes(recipient) : error;
}

static enum error
check_words(const struct transaction *transaction)
{
	const struct smtp_client_message *message = transaction->message;
	enum error error = check_path(message->reverse_path);

	if (!xtext_is_valid(message->returns) || !xtext_is_valid(message->envelope_id))
		error = ERROR_FORMAT;
	for (size_t i = 0; error == OK && i < transaction->count; i++)
		error = check_recipient(&transaction->recipients[i]);
	return error;
}

static bool
needs_smtputf8(const struct transaction *transaction)
{
	bool needs = transaction->message->is_smtputf8 ||
		     !text_is_ascii(transaction->message->reverse_path);

	for (size_t i = 0; !needs && i < transaction->count; i++)
		needs = !text_is_ascii(transaction->recipients[i].address);
	return needs;
}

/* Whether EHLO said already that the message will not be taken (RFC 1870 section 6.1, RFC 6152
 * section 3, RFC 6531 section 3.5). */
static bool
is_refused_by_hello(struct transaction *transaction)
{
	static const struct smtp_reply too_large = {
		552, {5, 3, 4}, SLICE_INIT("the message is larger than the server takes")};
	static const struct smtp_reply not_8bit = {554, {5, 6, 3},
		SLICE_INIT("the message has 8-bit octets, which the server does not take")};
	static const struct smtp_reply not_international = {550, {5, 6, 7},
		SLICE_INIT("the message has addresses or header fields beyond ASCII, which the "
			   "server does not take")};
	struct smtp_client *client = transaction->client;
	const struct smtp_reply *refusal = NULL;

	if (client->size_max > 0 && transaction->message->size > client->size_max)
		refusal = &too_large;
	else if (transaction->message->is_8bit && !(client->extensions & SMTP_OFFERS_8BITMIME))
		refusal = &not_8bit;
	else if (transaction->is_smtputf8 && !(client->extensions & SMTP_OFFERS_SMTPUTF8))
		refusal = &not_international;
	if (refusal)
		decide_all(transaction, refusal, SMTP_STAGE_MAIL, true);
	return refusal != NULL;
}

/* May wait: all commands up to DATA. */
static enum error
exchange_commands(struct transaction *transaction)
{
	struct smtp_client *client = transaction->client;
	enum error error = reset(transaction);

	client->needs_reset = true; /* from MAIL on */
	while (error == OK && client->write_error == OK && !transaction->is_refused &&
		!client->is_over && may_append(transaction))
		error = exchange_group(transaction);
	if (error == OK && client->write_error != OK && !transaction->is_refused)
		error = client->write_error;
	return error;
}

enum error
smtp_client_send(struct smtp_client *client, const struct smtp_client_message *message,
	struct smtp_client_recipient *recipients, size_t count, struct arena *arena)
{
	struct transaction transaction = {.client = client,
		.message = message,
		.recipients = recipients,
		.count = count,
		.arena = arena};

	for (size_t i = 0; i < count; i++)
		recipients[i] = (struct smtp_client_recipient){.address = recipients[i].address,
			.notify = recipients[i].notify,
			.original = recipients[i].original};
	transaction.is_smtputf8 = needs_smtputf8(&transaction);
	enum error error = check_words(&transaction);
	if (error != OK || is_refused_by_hello(&transaction))
		return error;
	if (!client->is_open || client->is_over)
		return smtp_client_break(client, ERROR_CLOSED);
	error = exchange_commands(&transaction);
	if (error == OK && transaction.may_send_content && !client->is_over)
		error = transaction.accepted > 0 ? exchange_content(&transaction)
						 : send_nothing(&transaction);
	if (error != OK || client->write_error != OK)
		client->is_over = true;
	return error;
}
