/*
 * A content on its way from the client into the store, whole behind DATA or in chunks behind BDAT:
 * 250 is said only when the store calls it durable.
 *
 * The store is asked, and the envelope and trace header are built, before anything of it is read,
 * so that what can be refused is refused before anything is sent. Once the content is known to be
 * unacceptable nothing more of it is kept, but it is read to its real end: only there may a reply
 * stand. When the connection is lost before the end, nothing is kept.
 *
 * Codes that had to be chosen: the registry (RFC 5248) has none for bare line ends and NUL in
 * content (the 5.6.11 that one vendor sends is not in it), so they get X.6.0, "other or undefined
 * media error", and the text says which.
 */
#include "smtp/transfer_private.h"

#include "smtp/content_reader.h"
#include "smtp/first_line.h"
#include "smtp/trace.h"

#include "text/header.h"
#include "text/international.h"
#include "text/message_id.h"

#define DISCARD_BYTES                                                              \
	1024 /* what a read takes of content that is refused already; on the stack \
	      */

#define OCTETS_A_TURN (256u << 10)

/* Lies in the transaction's arena. */
struct transfer {
	struct envelope envelope;
	struct content_reader reader;
	struct header_counter hops;
	struct first_line first_line;
	struct message_id message_id;
	uint64_t chunk_left; /* octets that belong to it and were not read yet; DATA: any number */
	uint8_t *spill; /* octets that could not be unstuffed where they lay; NULL: none ever */
	size_t spill_at, spill_len;
	struct acceptance *acceptance; /* NULL once it is clear that nothing will be kept */
	enum error store_error;        /* why the store stopped taking it */
	uint64_t size;
	uint64_t received; /* octets, as they came */
	uint64_t turn_at;  /* of these, when others had their turn */
	mono_us window_at; /* start of the present window of content_timeout_us */
	uint64_t window_received;
	size_t header_line_len; /* of the present one, line ends apart */
	bool is_past_header;
	bool is_past_first_window;
	bool is_judged;
	bool is_last; /* the reply is to all of it: DATA, or the last chunk */
};

/* May wait: the store takes a message on. False: with a refusal, or the session ends. */
static bool
begin_acceptance(
	struct smtp_server *server, struct transfer *transfer, struct smtp_reply *ret_refusal)
{
	mono_us deadline = smtp_server_deadline(server, server->settings->begin_timeout_us);
	enum error error =
		server->store->ops->begin(server->store, deadline, &transfer->acceptance);

	switch (error) {
	case OK:
		return true;
	case ERROR_NO_SPACE:
		*ret_refusal = SMTP_REPLY(452, 4, 3, 1, "no space left, try later");
		return false;
	case ERROR_CANCELLED:
		smtp_server_break_off(server, error);
		return false;
	default:
		smtp_server_leave(server, SMTP_END_UNAVAILABLE,
			&SMTP_REPLY(421, 4, 3, 2, "the queue is not available, come back later"));
		return false;
	}
}

static void
give_up(struct smtp_server *server, struct transfer *transfer)
{
	if (transfer->acceptance)
		server->store->ops->abort(transfer->acceptance);
	transfer->acceptance = NULL;
}

/*
 * When the present window has failed: at its end if it has not brought its octets, else at the end
 * of the next one, which has brought none. A client that sends fast and then stalls, or an octet a
 * minute, must not hold a place in the store for hours.
 */
static mono_us
window_deadline(const struct smtp_server *server, const struct transfer *transfer)
{
	uint64_t rate = server->settings->content_rate_min;
	int64_t window_us = server->settings->content_timeout_us;
	bool is_done = !transfer->is_past_first_window ||
		       transfer->window_received >= rate * (uint64_t)(window_us / US_PER_S);

	if (rate == 0)
		return MONO_NEVER;
	return transfer->window_at + (is_done ? 2 : 1) * window_us;
}

static mono_us
block_deadline(const struct smtp_server *server, const struct transfer *transfer)
{
	mono_us deadline = smtp_server_deadline(server, server->settings->content_timeout_us);
	mono_us window = window_deadline(server, transfer);

	return deadline < window ? deadline : window;
}

/* ERROR_TIMEOUT: they came too late for their window. */
static enum error
count_octets(const struct smtp_server *server, struct transfer *transfer, size_t len)
{
	int64_t window_us = server->settings->content_timeout_us;
	mono_us now = loop_now(server->stream->loop);

	if (now > window_deadline(server, transfer))
		return ERROR_TIMEOUT;
	if (now - transfer->window_at >= window_us) {
		/* One window on: were it two, one without octets would lie between. */
		transfer->window_at += window_us;
		transfer->window_received = 0;
		transfer->is_past_first_window = true;
	}
	transfer->window_received += len;
	transfer->received += len;
	return OK;
}

/* May wait: the next octets, those first that came with the commands. */
static enum error
fetch_octets(struct smtp_server *server, struct transfer *transfer, uint8_t *block, size_t room,
	size_t *ret_len)
{
	enum error error = OK;

	if (room > transfer->chunk_left)
		room = (size_t)transfer->chunk_left;
	if (line_reader_has_input(server->reader)) {
		*ret_len = line_reader_take(server->reader, block, room);
	} else {
		/* Not more than can be put back if the end comes early in the block. */
		if (room > LINE_BUFFER_BYTES)
			room = LINE_BUFFER_BYTES;
		error = stream_read(
			server->stream, block, room, block_deadline(server, transfer), ret_len);
	}
	if (error != OK)
		return error;
	transfer->chunk_left -= *ret_len;
	return count_octets(server, transfer, *ret_len);
}

/* Octets behind the end of the content are commands: back to the reader, in front of what it still
 * has of the same read. */
static enum error
return_octets(struct smtp_server *server, struct slice rest)
{
	if (rest.len == 0)
		return OK;
	if (!line_reader_has_input(server->reader))
		return line_reader_put_back(server->reader, rest);
	struct memory *memory = loop_env(server->stream->loop)->memory;
	uint8_t *joined = memory_try(memory, LINE_BUFFER_BYTES);
	if (!joined)
		return ERROR_NO_MEMORY;
	/* Both came out of one buffer of the reader, so both fit one. */
	memcpy(joined, rest.ptr, rest.len);
	size_t len = rest.len + line_reader_take(server->reader, joined + rest.len,
					LINE_BUFFER_BYTES - rest.len);
	enum error error = line_reader_put_back(server->reader, slice_of(joined, len));
	memory_put(memory, joined);
	return error;
}

/* Whether all is read that is to be read now: up to the end behind DATA, or a chunk. */
static bool
is_here(const struct transfer *transfer)
{
	if (!transfer->reader.is_counted)
		return content_reader_is_done(&transfer->reader);
	return transfer->chunk_left == 0 && transfer->spill_at == transfer->spill_len &&
	       transfer->reader.pending_len == 0;
}

static bool
is_acceptable(const struct smtp_server *server, const struct transfer *transfer)
{
	return transfer->reader.errors == 0 &&
	       transfer->size <= server->settings->max_message_bytes &&
	       transfer->hops.count <= server->settings->hops_max;
}

/* What the reader did not take of a block, for which it needs other memory. */
static enum error
spill_octets(struct smtp_server *server, struct transfer *transfer, struct slice rest)
{
	if (!transfer->spill)
		transfer->spill =
			memory_try(loop_env(server->stream->loop)->memory, LINE_BUFFER_BYTES);
	if (!transfer->spill || rest.len > LINE_BUFFER_BYTES)
		return ERROR_NO_MEMORY;
	memcpy(transfer->spill, rest.ptr, rest.len);
	transfer->spill_at = 0;
	transfer->spill_len = rest.len;
	return OK;
}

/* From the spill into this memory. */
static enum error
unstuff_spill(struct smtp_server *server, struct transfer *transfer, uint8_t *block, size_t room,
	size_t *ret_produced)
{
	struct slice rest = slice_sub(slice_of(transfer->spill, transfer->spill_len),
		transfer->spill_at, transfer->spill_len);
	struct content_step step =
		content_reader_copy(&transfer->reader, rest.ptr, rest.len, block, room);

	transfer->spill_at += step.consumed;
	*ret_produced = step.produced;
	if (!content_reader_is_done(&transfer->reader))
		return OK;
	transfer->spill_at = transfer->spill_len;
	return return_octets(server, slice_from(rest, step.consumed));
}

/* Where they lie; what cannot stay there is spilt, what stands behind the end is a command. */
static enum error
unstuff_in_place(struct smtp_server *server, struct transfer *transfer, uint8_t *block, size_t len,
	size_t *ret_produced)
{
	struct content_step step = content_reader_step(&transfer->reader, block, len);
	struct slice rest = slice_sub(slice_of(block, len), step.consumed, len);

	*ret_produced = step.produced;
	if (content_reader_is_done(&transfer->reader))
		return return_octets(server, rest);
	return rest.len > 0 ? spill_octets(server, transfer, rest) : OK;
}

/* RFC 6532: what only a reader of SMTPUTF8 can be sent. */
static void
note_header_octets(struct transfer *transfer, struct slice octets)
{
	for (size_t i = 0; i < octets.len && !transfer->is_past_header; i++) {
		if (octets.ptr[i] > 127)
			transfer->reader.flags |= CONTENT_8BIT_HEADER;
		if (octets.ptr[i] == '\n') {
			transfer->is_past_header = transfer->header_line_len == 0;
			transfer->header_line_len = 0;
		} else if (octets.ptr[i] != '\r') {
			transfer->header_line_len++;
		}
	}
}

/* May wait: one block into this memory, unstuffed. */
static enum error
receive_block(struct smtp_server *server, struct transfer *transfer, uint8_t *block, size_t room,
	size_t *ret_produced)
{
	size_t len;
	enum error error = OK;

	if (transfer->spill_at < transfer->spill_len || transfer->reader.pending_len > 0) {
		error = unstuff_spill(server, transfer, block, room, ret_produced);
	} else {
		error = fetch_octets(server, transfer, block, room, &len);
		if (error == OK)
			error = unstuff_in_place(server, transfer, block, len, ret_produced);
	}
	if (error != OK)
		return error;
	header_counter_feed(&transfer->hops, slice_of(block, *ret_produced));
	note_header_octets(transfer, slice_of(block, *ret_produced));
	first_line_feed(&transfer->first_line, slice_of(block, *ret_produced));
	message_id_feed(&transfer->message_id, slice_of(block, *ret_produced));
	transfer->size += *ret_produced;
	if (transfer->received - transfer->turn_at >= OCTETS_A_TURN) {
		transfer->turn_at = transfer->received;
		task_yield(server->stream->loop);
		if (task_is_cancelled(server->stream->loop))
			return ERROR_CANCELLED;
	}
	return OK;
}

/* May wait: room in the store. The time that takes is not the client's. */
static void
make_room(struct smtp_server *server, struct transfer *transfer, uint8_t **ret_block,
	size_t *ret_room)
{
	struct loop *loop = server->stream->loop;
	mono_us before = loop_now(loop);
	mono_us deadline = smtp_server_deadline(server, server->settings->begin_timeout_us);

	transfer->store_error =
		server->store->ops->room(transfer->acceptance, deadline, ret_block, ret_room);
	transfer->window_at += loop_now(loop) - before;
}

/* May wait: what is here into the store, or until it is clear that it will not be kept. */
static enum error
receive_kept(struct smtp_server *server, struct transfer *transfer)
{
	while (!is_here(transfer)) {
		uint8_t *block;
		size_t room, produced;
		make_room(server, transfer, &block, &room);
		if (transfer->store_error != OK)
			return OK;
		enum error error = receive_block(server, transfer, block, room, &produced);
		if (error != OK)
			return error;
		if (!is_acceptable(server, transfer))
			return OK;
		if (transfer->is_judged)
			server->ops->content_piece(server->arg, slice_of(block, produced));
		server->store->ops->fill(transfer->acceptance, produced);
	}
	return OK;
}

/* May wait: the rest of what is not kept. */
static enum error
receive_discarded(struct smtp_server *server, struct transfer *transfer)
{
	uint8_t block[DISCARD_BYTES];
	size_t produced;

	while (!is_here(transfer)) {
		/* Reading on serves a client that will then hear why; one that never ends is not
		 * such a client. */
		if (transfer->size >
			server->settings->max_message_bytes + server->settings->content_excess_max)
			return ERROR_LIMIT;
		enum error error = receive_block(server, transfer, block, sizeof block, &produced);
		if (error != OK)
			return error;
	}
	return OK;
}

static struct smtp_reply
content_error_reply(uint32_t errors)
{
	if (errors & CONTENT_ERROR_NUL)
		return SMTP_REPLY(550, 5, 6, 0, "the content has NUL characters in it");
	if (errors & CONTENT_ERROR_BARE_LF)
		return SMTP_REPLY(
			550, 5, 6, 0, "the content has a bare LF in it: lines must end with CR LF");
	if (errors & CONTENT_ERROR_BARE_CR)
		return SMTP_REPLY(
			550, 5, 6, 0, "the content has a bare CR in it: lines must end with CR LF");
	return SMTP_REPLY(550, 5, 6, 0, "the content has a line that is too long");
}

/* To the whole of it: in LMTP once for each recipient that was accepted, in their order (RFC 2033
 * section 4.2). All have the same fate here: the message is stored for all of them or for none. */
static void
reply_to_content(
	struct smtp_server *server, const struct transfer *transfer, const struct smtp_reply *reply)
{
	bool is_for_each = server->settings->is_lmtp && transfer->is_last;
	uint32_t count = is_for_each ? server->transaction->accepted : 1;

	for (uint32_t i = 0; i < count; i++)
		smtp_server_reply(server, reply);
}

/* Why content that came whole is not taken; the lasting reasons first. */
static void
refuse_content(struct smtp_server *server, const struct transfer *transfer)
{
	struct smtp_reply reply;

	if (transfer->reader.errors != 0) {
		reply = content_error_reply(transfer->reader.errors);
	} else if (transfer->size > server->settings->max_message_bytes) {
		reply = SMTP_REPLY(552, 5, 3, 4, "the message is larger than this server takes");
	} else if (transfer->hops.count > server->settings->hops_max) {
		reply = SMTP_REPLY(554, 5, 4, 6, "too many hops: the message runs in a loop");
	} else if (transfer->store_error == ERROR_NO_SPACE) {
		reply = SMTP_REPLY(452, 4, 3, 1, "no space left, try later");
	} else if (transfer->store_error == ERROR_CLOSED) {
		smtp_server_leave(server, SMTP_END_UNAVAILABLE,
			&SMTP_REPLY(421, 4, 3, 2, "the queue is not available, come back later"));
		return;
	} else {
		reply = SMTP_REPLY(451, 4, 3, 0, "the message could not be stored, try later");
	}
	reply_to_content(server, transfer, &reply);
}

static void
reply_received(struct smtp_server *server, struct transfer *transfer, uint64_t id)
{
	struct envelope *envelope = &transfer->envelope;
	char text[] = "queued as 0123456789abc";
	const size_t id_at = sizeof text - 1 - QUEUE_ID_DIGITS;

	envelope->id = id;
	server->messages++;
	server->errors = 0;
	server->refusals = 0;
	server->commands = 0;
	server->excess_recipients = 0;
	queue_id_print(id, text + id_at);
	reply_to_content(server, transfer,
		&(struct smtp_reply){250, {2, 0, 0}, slice_of(text, sizeof text - 1)});
	server->ops->received(server->arg, server, envelope);
}

/*
 * An empty line between the trace field and content that begins with no field of its own: else its
 * first line would stand in our header, or go on in our field.
 */
static void
end_trace(struct envelope *envelope)
{
	/* UNSAFE: build_trace left room for it behind the field. */
	memcpy((uint8_t *)(uintptr_t)envelope->trace.ptr + envelope->trace.len, "\r\n", 2);
	envelope->trace.len += 2;
}

/* Fields of a verdict, around our own. */
static bool
put_around(
	struct smtp_server *server, const struct smtp_verdict *verdict, struct envelope *envelope)
{
	struct slice fields = verdict->fields, trace = envelope->trace, added = verdict->added;
	size_t len = fields.len + trace.len + added.len;
	uint8_t *storage = arena_take(&server->arena, len + 2); /* end_trace */

	if (!storage)
		return false;
	/* UNSAFE: all fit. */
	if (fields.len > 0)
		memcpy(storage, fields.ptr, fields.len);
	memcpy(storage + fields.len, trace.ptr, trace.len);
	if (added.len > 0)
		memcpy(storage + fields.len + trace.len, added.ptr, added.len);
	envelope->trace = slice_of(storage, len);
	envelope->trace_id_at += fields.len;
	return true;
}

/* What its sender calls it, or what was put into its header here. */
static void
note_message_id(struct transfer *transfer, struct envelope *envelope)
{
	envelope->message_id = message_id_text(&transfer->message_id);
	if (envelope->message_id.len > 0)
		return;
	transfer->message_id = (struct message_id){.len = 0};
	message_id_feed(&transfer->message_id, envelope->trace);
	envelope->message_id = message_id_text(&transfer->message_id);
}

/* May wait. False with the reply given: it is not taken. */
static bool
judge(struct smtp_server *server, struct transfer *transfer)
{
	struct envelope *envelope = &transfer->envelope;
	struct smtp_verdict verdict = {.is_junk = false};

	note_message_id(transfer, envelope);
	envelope->content_size = transfer->size;
	server->offered = envelope;
	server->ops->content_ends(server->arg, server, envelope, &verdict);
	if (task_is_cancelled(server->stream->loop)) {
		server->offered = NULL;
		smtp_server_break_off(server, ERROR_CANCELLED);
		return false;
	}
	if (verdict.refusal.code == 0 && verdict.fields.len + verdict.added.len > 0 &&
		!put_around(server, &verdict, envelope))
		verdict.refusal = SMTP_REPLY(452, 4, 3, 1, "out of memory, try later");
	if (verdict.refusal.code != 0)
		reply_to_content(server, transfer, &verdict.refusal);
	server->offered = NULL;
	envelope->is_junk = verdict.is_junk;
	envelope->forward_path = verdict.forward_path;
	/* One that finds no room is left out: the mail is good without it. */
	if (envelope->trace.len + 2 + verdict.seal.len <= ENVELOPE_TRACE_MAX)
		envelope->seal = verdict.seal;
	for (size_t i = 0; verdict.refusal.code == 0 && i < verdict.overwrite_count; i++)
		server->store->ops->overwrite(transfer->acceptance, verdict.overwrites[i].at,
			verdict.overwrites[i].octets);
	return verdict.refusal.code == 0;
}

/* May wait: content that came whole becomes durable, or not. */
static void
commit(struct smtp_server *server, struct transfer *transfer)
{
	struct envelope *envelope = &transfer->envelope;
	mono_us deadline = smtp_server_deadline(server, server->settings->commit_timeout_us);
	struct acceptance *acceptance = transfer->acceptance;
	uint64_t id;

	note_message_id(transfer, envelope);
	if (!first_line_is_field(&transfer->first_line))
		end_trace(envelope);
	envelope->content_flags = transfer->reader.flags;
	if (server->transaction->is_smtputf8)
		envelope->content_flags |= CONTENT_SMTPUTF8;
	envelope->content_size = transfer->size;
	transfer->acceptance = NULL;
	switch (server->store->ops->commit(acceptance, envelope, deadline, &id)) {
	case ACCEPT_DURABLE:
		reply_received(server, transfer, id);
		return;
	case ACCEPT_FAILED:
		reply_to_content(server, transfer,
			&SMTP_REPLY(451, 4, 3, 0, "the message could not be stored, try later"));
		return;
	case ACCEPT_NO_SPACE:
		reply_to_content(
			server, transfer, &SMTP_REPLY(452, 4, 3, 1, "no space left, try later"));
		return;
	case ACCEPT_UNKNOWN:
		reply_to_content(server, transfer,
			&SMTP_REPLY(451, 4, 3, 0,
				"it is not known whether the message was stored, try again"));
		return;
	case ACCEPT_UNAVAILABLE:
		break;
	}
	smtp_server_leave(server, SMTP_END_UNAVAILABLE,
		&SMTP_REPLY(421, 4, 3, 2, "the queue is not available, come back later"));
}

/* One beyond ASCII would make a header so that had been none; where an alias leads is not for all
 * who may read the message, or a report of it. */
static struct slice
only_recipient(const struct envelope *envelope)
{
	bool is_named = envelope->recipient_count == 1 && !envelope_wish(envelope, 0).is_target &&
			text_is_ascii(envelope->recipients[0].address);

	return is_named ? envelope->recipients[0].address : slice_of(NULL, 0);
}

static bool
build_trace(struct smtp_server *server, struct envelope *envelope)
{
	struct smtp_trace trace = {
		/* Where somebody logs in from is nobody else's matter. */
		.helo = server->login.len > 0 ? slice_of(NULL, 0) : envelope->helo,
		.client_name = server->login.len > 0 ? slice_of(NULL, 0) : server->client_name,
		.client_address =
			server->login.len > 0 ? slice_of(NULL, 0) : envelope->client_address,
		.hostname = server->settings->hostname,
		.protocol = envelope->protocol,
		.is_smtputf8 = server->transaction->is_smtputf8,
		.tls = server->tls,
		.recipient = only_recipient(envelope),
		.time = envelope->received_at,
	};
	struct buffer field;
	uint8_t *storage = arena_take(&server->arena, SMTP_TRACE_MAX + 2); /* end_trace */

	if (!storage)
		return false;
	buffer_init_fixed(&field, storage, SMTP_TRACE_MAX);
	envelope->trace_id_at = smtp_trace_append(&field, &trace);
	envelope->trace = buffer_slice(&field);
	return buffer_error(&field) == OK;
}

/* RFC 3848 has no word for HELO under TLS. */
static enum envelope_protocol
protocol_of(const struct smtp_server *server)
{
	if (server->settings->is_lmtp)
		return server->tls.len > 0 ? PROTOCOL_LMTPS : PROTOCOL_LMTP;
	if (server->login.len > 0) /* RFC 3848 has no word for HELO with it */
		return server->tls.len > 0 ? PROTOCOL_ESMTPSA : PROTOCOL_ESMTPA;
	if (!server->is_esmtp)
		return PROTOCOL_SMTP;
	return server->tls.len > 0 ? PROTOCOL_ESMTPS : PROTOCOL_ESMTP;
}

static bool
build_envelope(struct smtp_server *server, struct envelope *ret_envelope)
{
	const struct smtp_transaction *transaction = server->transaction;

	*ret_envelope = (struct envelope){
		.received_at = env_wall(loop_env(server->stream->loop)),
		.reverse_path = transaction->reverse_path,
		.recipients = transaction->recipients.items,
		.wishes = transaction->recipients.wishes,
		.recipient_count = transaction->recipients.count,
		.body = transaction->body,
		.returns = transaction->returns,
		.envelope_id = transaction->envelope_id,
		.protocol = protocol_of(server),
		.helo = server->helo,
		.client_address = server->client_address,
		.client_port = server->client_port,
		.listener = server->settings->listener,
	};
	return build_trace(server, ret_envelope);
}

/* May wait: what is to be read now, kept or not. */
static enum error
receive(struct smtp_server *server, struct transfer *transfer)
{
	enum error error = transfer->acceptance ? receive_kept(server, transfer) : OK;

	if (error != OK || is_here(transfer))
		return error;
	give_up(server, transfer);
	return receive_discarded(server, transfer);
}

mono_us
transfer_deadline(const struct smtp_server *server, const struct transfer *transfer)
{
	return transfer->acceptance ? window_deadline(server, transfer) : MONO_NEVER;
}

bool
transfer_is_kept(const struct smtp_server *server, const struct transfer *transfer)
{
	return transfer->acceptance && is_acceptable(server, transfer);
}

/* May wait: the reply to content that came whole. */
static void
conclude(struct smtp_server *server, struct transfer *transfer)
{
	if (!transfer_is_kept(server, transfer))
		refuse_content(server, transfer);
	else if (!transfer->is_judged || judge(server, transfer))
		commit(server, transfer);
}

void
transfer_receive(struct smtp_server *server, struct transfer *transfer)
{
	transfer->chunk_left = UINT64_MAX;
	transfer->is_last = true;
	transfer->window_at = loop_now(server->stream->loop);
	enum error error = receive(server, transfer);
	if (error != OK)
		smtp_server_break_off(server, error);
	else
		conclude(server, transfer);
}

static void
reply_to_chunk(struct smtp_server *server, uint64_t octets)
{
	char storage[48];
	struct buffer text;

	buffer_init_fixed(&text, storage, sizeof storage);
	buffer_append_number(&text, octets);
	buffer_append_text(&text, " octets received");
	smtp_server_reply(server, &(struct smtp_reply){250, {2, 0, 0}, buffer_slice(&text)});
}

void
transfer_receive_chunk(
	struct smtp_server *server, struct transfer *transfer, uint64_t octets, bool is_last)
{
	transfer->chunk_left = octets;
	transfer->is_last = is_last;
	enum error error = receive(server, transfer);
	if (error == OK && is_last) {
		content_reader_end(&transfer->reader);
		error = receive(server, transfer);
	}
	if (error != OK) {
		smtp_server_break_off(server, error);
	} else if (is_last) {
		conclude(server, transfer);
	} else if (!transfer_is_kept(server, transfer)) {
		give_up(server, transfer);
		refuse_content(server, transfer);
	} else {
		reply_to_chunk(server, octets);
	}
}

void
transfer_discard_chunk(struct smtp_server *server, uint64_t octets)
{
	struct transfer transfer = {
		.chunk_left = octets, .window_at = loop_now(server->stream->loop)};

	content_reader_init_counted(&transfer.reader, server->settings->content_line_limit, false);
	enum error error = receive_discarded(server, &transfer);
	if (error != OK)
		smtp_server_break_off(server, error);
}

/* False: no memory. */
static bool
begin_judgement(struct smtp_server *server, struct transfer *transfer)
{
	if (!server->ops->content_begins)
		return true;
	transfer->is_judged = server->ops->content_begins(server->arg, server);
	return transfer->is_judged;
}

static void
begin_reading(const struct smtp_server *server, struct transfer *transfer, bool is_chunked)
{
	const struct smtp_server_settings *settings = server->settings;

	if (is_chunked)
		content_reader_init_counted(&transfer->reader, settings->content_line_limit,
			settings->normalises_newlines);
	else
		content_reader_init(&transfer->reader, settings->content_line_limit,
			settings->normalises_newlines);
	header_counter_init(&transfer->hops, SLICE("Received"));
	transfer->window_at = loop_now(server->stream->loop);
}

bool
transfer_begin(struct smtp_server *server, bool is_chunked, struct smtp_reply *ret_refusal)
{
	const struct smtp_reply no_memory = SMTP_REPLY(452, 4, 3, 1, "out of memory, try later");

	*ret_refusal = (struct smtp_reply){.code = 0};
	if (server->ops->may_bring)
		*ret_refusal = server->ops->may_bring(server->arg, server);
	if (ret_refusal->code != 0) {
		/* Of chunks more may be on their way, which are the transaction's to refuse. */
		if (!is_chunked)
			smtp_server_end_transaction(server);
		return false;
	}
	struct transfer *transfer = arena_take(&server->arena, sizeof *transfer);
	if (!transfer || !build_envelope(server, &transfer->envelope)) {
		*ret_refusal = no_memory;
		return false;
	}
	begin_reading(server, transfer, is_chunked);
	if (!begin_acceptance(server, transfer, ret_refusal))
		return false;
	server->transaction->transfer = transfer;
	if (begin_judgement(server, transfer))
		return true;
	smtp_server_end_transaction(server);
	*ret_refusal = no_memory;
	return false;
}

void
transfer_end(struct smtp_server *server, struct transfer *transfer)
{
	if (transfer->is_judged)
		server->ops->content_over(server->arg);
	memory_put(loop_env(server->stream->loop)->memory, transfer->spill);
	give_up(server, transfer);
}
