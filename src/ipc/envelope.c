/*
 * The encoded envelope: fields of u8 tag, u32 length, octets; integers little-endian inside. Tags
 * below TAG_KNOWN_END are this version's; higher ones are kept as they came (an older queue must
 * not lose what a newer session knew). Recipients repeat, in order; what came with them in a later
 * version stands behind all that was before it.
 */
#include "ipc/envelope.h"
#include "base/cursor.h"

enum tag {
	TAG_ID = 1,
	TAG_RECEIVED_AT,
	TAG_REVERSE_PATH,
	TAG_RECIPIENT,
	TAG_BODY,
	TAG_PROTOCOL,
	TAG_HELO,
	TAG_CLIENT_ADDRESS,
	TAG_CLIENT_PORT,
	TAG_LISTENER,
	TAG_CONTENT_FLAGS,
	TAG_CONTENT_SIZE,
	TAG_TRACE,
	TAG_TRACE_ID_AT,
	TAG_IS_JUNK,
	TAG_RETURNS,
	TAG_ENVELOPE_ID,
	TAG_WISH, /* of one recipient: u32 number, u8 bits, ORCPT */
	TAG_MESSAGE_ID,
	TAG_FORWARD_PATH,
	TAG_SEAL,
	TAG_FORWARDED, /* of one recipient: u32 number */
	TAG_KNOWN_END
};

#define HELO_MAX    512
#define UNKNOWN_MAX 65536
#define IS_EXPANDED 0x80u /* these two beside enum dsn_notify */
#define IS_TARGET   0x40u

static void
append_bytes(struct buffer *buffer, enum tag tag, struct slice bytes)
{
	buffer_append_octet(buffer, (uint8_t)tag);
	buffer_append_u32(buffer, (uint32_t)bytes.len);
	buffer_append(buffer, bytes);
}

static void
append_number(struct buffer *buffer, enum tag tag, uint64_t number)
{
	buffer_append_octet(buffer, (uint8_t)tag);
	buffer_append_u32(buffer, 8);
	buffer_append_u64(buffer, number);
}

static bool
is_wish(const struct envelope_wish *wish)
{
	return wish->notify != 0 || wish->original.len > 0 || wish->is_expanded || wish->is_target;
}

static void
append_wishes(struct buffer *buffer, const struct envelope *envelope)
{
	if (envelope->returns != RETURNS_UNSTATED)
		append_number(buffer, TAG_RETURNS, envelope->returns);
	if (envelope->envelope_id.len > 0)
		append_bytes(buffer, TAG_ENVELOPE_ID, envelope->envelope_id);
	for (uint32_t i = 0; envelope->wishes && i < envelope->recipient_count; i++) {
		const struct envelope_wish *wish = &envelope->wishes[i];
		if (!is_wish(wish))
			continue;
		buffer_append_octet(buffer, TAG_WISH);
		buffer_append_u32(buffer, (uint32_t)wish->original.len + 5);
		buffer_append_u32(buffer, i);
		buffer_append_octet(
			buffer, (uint8_t)(wish->notify | (wish->is_expanded ? IS_EXPANDED : 0) |
					  (wish->is_target ? IS_TARGET : 0)));
		buffer_append(buffer, wish->original);
	}
}

static void
append_forward(struct buffer *buffer, const struct envelope *envelope)
{
	if (envelope->forward_path.len > 0)
		append_bytes(buffer, TAG_FORWARD_PATH, envelope->forward_path);
	if (envelope->seal.len > 0)
		append_bytes(buffer, TAG_SEAL, envelope->seal);
	for (uint32_t i = 0; envelope->wishes && i < envelope->recipient_count; i++) {
		if (!envelope->wishes[i].is_forwarded)
			continue;
		buffer_append_octet(buffer, TAG_FORWARDED);
		buffer_append_u32(buffer, 4);
		buffer_append_u32(buffer, i);
	}
}

void
envelope_append_some(const struct envelope *envelope, struct buffer *text)
{
	size_t start = text->len;

	for (uint32_t i = 0; i < envelope->recipient_count; i++) {
		struct slice address = envelope->recipients[i].address;
		if (text->len - start + address.len + 1 > ENVELOPE_SOME_BYTES)
			return;
		if (text->len > start)
			buffer_append_octet(text, ' ');
		buffer_append(text, address);
	}
}

void
envelope_encode(const struct envelope *envelope, struct buffer *buffer)
{
	append_number(buffer, TAG_ID, envelope->id);
	append_number(buffer, TAG_RECEIVED_AT, (uint64_t)envelope->received_at);
	append_bytes(buffer, TAG_REVERSE_PATH, envelope->reverse_path);
	for (uint32_t i = 0; i < envelope->recipient_count; i++)
		append_bytes(buffer, TAG_RECIPIENT, envelope->recipients[i].address);
	append_number(buffer, TAG_BODY, envelope->body);
	append_number(buffer, TAG_PROTOCOL, envelope->protocol);
	append_bytes(buffer, TAG_HELO, envelope->helo);
	append_bytes(buffer, TAG_CLIENT_ADDRESS, envelope->client_address);
	append_number(buffer, TAG_CLIENT_PORT, envelope->client_port);
	append_bytes(buffer, TAG_LISTENER, envelope->listener);
	append_number(buffer, TAG_CONTENT_FLAGS, envelope->content_flags);
	append_number(buffer, TAG_CONTENT_SIZE, envelope->content_size);
	append_bytes(buffer, TAG_TRACE, envelope->trace);
	if (envelope->trace_id_at != SIZE_MAX)
		append_number(buffer, TAG_TRACE_ID_AT, envelope->trace_id_at);
	if (envelope->is_junk)
		append_number(buffer, TAG_IS_JUNK, 1);
	append_wishes(buffer, envelope);
	if (envelope->message_id.len > 0)
		append_bytes(buffer, TAG_MESSAGE_ID, envelope->message_id);
	append_forward(buffer, envelope);
	buffer_append(buffer, envelope->unknown);
}

/* Nothing that could end a line or a string where it is printed again. */
static bool
is_line_text(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] == '\r' || text.ptr[i] == '\n' || text.ptr[i] == 0)
			return false;
	return true;
}

/* Whole lines, each with its CRLF, no other CR, LF or NUL. */
static bool
is_trace_text(struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '\r' && i + 1 < text.len && text.ptr[i + 1] == '\n')
			i++;
		else if (text.ptr[i] == '\r' || text.ptr[i] == '\n' || text.ptr[i] == 0)
			return false;
	}
	return text.len == 0 || text.ptr[text.len - 1] == '\n';
}

static bool
take_text(struct slice bytes, size_t max, struct slice *ret_text)
{
	*ret_text = bytes;
	return bytes.len <= max && is_line_text(bytes);
}

static bool
take_number(struct slice bytes, uint64_t max, uint64_t *ret_number)
{
	struct cursor cursor = cursor_of(bytes);

	*ret_number = cursor_take_u64(&cursor);
	return cursor.error == OK && cursor_left(&cursor) == 0 && *ret_number <= max;
}

static bool
decode_number(enum tag tag, struct slice bytes, struct envelope *envelope)
{
	uint64_t number;

	switch (tag) {
	case TAG_ID:
		return take_number(bytes, UINT64_MAX, &envelope->id);
	case TAG_CONTENT_SIZE:
		return take_number(bytes, INT64_MAX, &envelope->content_size);
	case TAG_RECEIVED_AT:
		if (!take_number(bytes, INT64_MAX, &number))
			return false;
		envelope->received_at = (wall_us)number;
		return true;
	case TAG_BODY:
		if (!take_number(bytes, BODY_8BITMIME, &number))
			return false;
		envelope->body = (enum envelope_body)number;
		return true;
	case TAG_PROTOCOL:
		if (!take_number(bytes, PROTOCOL_LMTPS, &number))
			return false;
		envelope->protocol = (enum envelope_protocol)number;
		return true;
	case TAG_RETURNS:
		if (!take_number(bytes, RETURNS_HEADERS, &number))
			return false;
		envelope->returns = (enum envelope_returns)number;
		return true;
	case TAG_CLIENT_PORT:
		if (!take_number(bytes, UINT16_MAX, &number))
			return false;
		envelope->client_port = (uint16_t)number;
		return true;
	case TAG_CONTENT_FLAGS:
		if (!take_number(bytes, UINT32_MAX, &number))
			return false;
		envelope->content_flags = (uint32_t)number;
		return true;
	case TAG_IS_JUNK:
		if (!take_number(bytes, 1, &number))
			return false;
		envelope->is_junk = number != 0;
		return true;
	default: /* TAG_TRACE_ID_AT */
		if (!take_number(bytes, ENVELOPE_TRACE_MAX, &number))
			return false;
		envelope->trace_id_at = (size_t)number;
		return true;
	}
}

static bool
decode_field(enum tag tag, struct slice bytes, struct envelope *envelope)
{
	switch (tag) {
	case TAG_REVERSE_PATH:
		return take_text(bytes, ENVELOPE_ADDRESS_MAX, &envelope->reverse_path);
	case TAG_HELO:
		return take_text(bytes, HELO_MAX, &envelope->helo);
	case TAG_CLIENT_ADDRESS:
		return take_text(bytes, ENVELOPE_ADDRESS_MAX, &envelope->client_address);
	case TAG_LISTENER:
		return take_text(bytes, ENVELOPE_ADDRESS_MAX, &envelope->listener);
	case TAG_ENVELOPE_ID:
		envelope->envelope_id = bytes;
		return dsn_envelope_id_is_valid(bytes);
	case TAG_MESSAGE_ID:
		envelope->message_id = bytes;
		return message_id_is_valid(bytes);
	case TAG_FORWARD_PATH:
		return take_text(bytes, ENVELOPE_ADDRESS_MAX, &envelope->forward_path);
	case TAG_SEAL:
		envelope->seal = bytes;
		return bytes.len <= ENVELOPE_TRACE_MAX && is_trace_text(bytes);
	case TAG_TRACE:
		envelope->trace = bytes;
		return bytes.len <= ENVELOPE_TRACE_MAX && is_trace_text(bytes);
	default:
		return decode_number(tag, bytes, envelope);
	}
}

struct arrays {
	struct envelope_recipient *recipients;
	struct envelope_wish *wishes; /* NULL: there are none */
};

/* They stand behind the recipients. */
static bool
decode_wish(struct slice bytes, const struct arrays *arrays, const struct envelope *envelope)
{
	struct cursor cursor = cursor_of(bytes);
	uint32_t number = cursor_take_u32(&cursor);
	uint8_t bits = cursor_take_u8(&cursor);
	struct envelope_wish wish = {.original = cursor_rest(&cursor),
		.notify = (uint8_t)(bits & ~(IS_EXPANDED | IS_TARGET)),
		.is_expanded = bits & IS_EXPANDED,
		.is_target = bits & IS_TARGET};

	if (cursor.error != OK || number >= envelope->recipient_count ||
		!dsn_notify_is_valid(wish.notify) ||
		(wish.original.len > 0 && !dsn_original_is_valid(wish.original)))
		return false;
	arrays->wishes[number] = wish;
	return true;
}

/* They stand behind the wishes. */
static bool
decode_forwarded(struct slice bytes, const struct arrays *arrays, const struct envelope *envelope)
{
	struct cursor cursor = cursor_of(bytes);
	uint32_t number = cursor_take_u32(&cursor);

	if (cursor.error != OK || cursor_left(&cursor) > 0 || number >= envelope->recipient_count)
		return false;
	arrays->wishes[number].is_forwarded = true;
	return true;
}

static bool
decode_recipient(struct slice bytes, const struct arrays *arrays, struct envelope *envelope)
{
	struct slice *address = &arrays->recipients[envelope->recipient_count++].address;

	return bytes.len > 0 && take_text(bytes, ENVELOPE_ADDRESS_MAX, address);
}

/* First pass: how many recipients there are, so that their arrays are taken once. */
static enum error
count_recipients(struct slice bytes, uint32_t *ret_count, bool *ret_has_wishes)
{
	struct cursor cursor = cursor_of(bytes);
	uint32_t count = 0;
	bool has_wishes = false;

	while (cursor.error == OK && cursor_left(&cursor) > 0) {
		uint8_t tag = cursor_take_u8(&cursor);
		count += tag == TAG_RECIPIENT;
		has_wishes |= tag == TAG_WISH || tag == TAG_FORWARDED;
		cursor_take(&cursor, cursor_take_u32(&cursor));
	}
	if (cursor.error == OK && count > ENVELOPE_RECIPIENTS_MAX)
		return ERROR_LIMIT;
	*ret_count = count;
	*ret_has_wishes = has_wishes;
	return cursor.error;
}

/* Unknown fields must stand together at the end, as envelope_encode writes them. */
static enum error
decode_fields(struct slice bytes, const struct arrays *arrays, struct envelope *envelope)
{
	struct cursor cursor = cursor_of(bytes);

	while (cursor_left(&cursor) > 0) {
		size_t start = cursor.at;
		uint8_t tag = cursor_take_u8(&cursor);
		if (tag >= TAG_KNOWN_END) {
			envelope->unknown = slice_from(bytes, start);
			return envelope->unknown.len <= UNKNOWN_MAX ? OK : ERROR_LIMIT;
		}
		struct slice field = cursor_take(&cursor, cursor_take_u32(&cursor));
		bool good = tag > 0;
		if (good && tag == TAG_RECIPIENT)
			good = decode_recipient(field, arrays, envelope);
		else if (good && tag == TAG_WISH)
			good = decode_wish(field, arrays, envelope);
		else if (good && tag == TAG_FORWARDED)
			good = decode_forwarded(field, arrays, envelope);
		else if (good)
			good = decode_field((enum tag)tag, field, envelope);
		if (!good)
			return ERROR_FORMAT;
	}
	return cursor.error;
}

/* The digits take the place of octets inside one line: a line end must not be among those. */
static bool
is_id_place(struct slice trace, size_t at)
{
	return trace.len >= QUEUE_ID_DIGITS && at <= trace.len - QUEUE_ID_DIGITS &&
	       is_line_text(slice_sub(trace, at, QUEUE_ID_DIGITS));
}

/* ERROR_LIMIT: of the arena. */
static enum error
take_arrays(struct arena *arena, uint32_t count, bool has_wishes, struct arrays *ret_arrays)
{
	size_t bytes = count * sizeof *ret_arrays->wishes;
	struct arrays arrays = {
		.recipients = arena_take(arena, (size_t)count * sizeof *arrays.recipients)};

	if (has_wishes)
		arrays.wishes = arena_take(arena, bytes);
	if (!arrays.recipients || (has_wishes && !arrays.wishes))
		return ERROR_LIMIT;
	if (has_wishes)
		memset(arrays.wishes, 0, bytes);
	*ret_arrays = arrays;
	return OK;
}

enum error
envelope_decode(struct slice bytes, struct arena *arena, struct envelope *ret_envelope)
{
	struct envelope envelope = {.trace_id_at = SIZE_MAX};
	struct arrays arrays;
	bool has_wishes;
	uint32_t count;
	enum error error = count_recipients(bytes, &count, &has_wishes);

	if (error == OK)
		error = take_arrays(arena, count, has_wishes, &arrays);
	if (error != OK)
		return error;
	envelope.recipients = arrays.recipients;
	envelope.wishes = arrays.wishes;
	error = decode_fields(bytes, &arrays, &envelope);
	if (error == OK && envelope.trace.len + envelope.seal.len > ENVELOPE_TRACE_MAX)
		error = ERROR_FORMAT;
	if (error == OK && envelope.trace_id_at != SIZE_MAX &&
		!is_id_place(envelope.trace, envelope.trace_id_at))
		error = ERROR_FORMAT;
	if (error == OK)
		*ret_envelope = envelope;
	return error;
}
