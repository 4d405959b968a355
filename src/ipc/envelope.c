/*
 * The encoded envelope: fields of u8 tag, u32 length, octets; integers little-endian inside. Tags
 * below TAG_KNOWN_END are this version's; higher ones are kept as they came (an older queue must
 * not lose what a newer session knew). Recipients repeat, in order.
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
	TAG_KNOWN_END
};

#define TRACE_MAX   16384
#define HELO_MAX    512
#define UNKNOWN_MAX 65536

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
		if (!take_number(bytes, PROTOCOL_ESMTPSA, &number))
			return false;
		envelope->protocol = (enum envelope_protocol)number;
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
		if (!take_number(bytes, TRACE_MAX, &number))
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
	case TAG_TRACE:
		envelope->trace = bytes;
		return bytes.len <= TRACE_MAX && is_trace_text(bytes);
	default:
		return decode_number(tag, bytes, envelope);
	}
}

/* First pass: how many recipients there are, so that their array is taken once. */
static enum error
count_recipients(struct slice bytes, uint32_t *ret_count)
{
	struct cursor cursor = cursor_of(bytes);
	uint32_t count = 0;

	while (cursor.error == OK && cursor_left(&cursor) > 0) {
		count += cursor_take_u8(&cursor) == TAG_RECIPIENT;
		cursor_take(&cursor, cursor_take_u32(&cursor));
	}
	if (cursor.error == OK && count > ENVELOPE_RECIPIENTS_MAX)
		return ERROR_LIMIT;
	*ret_count = count;
	return cursor.error;
}

/* Unknown fields must stand together at the end, as envelope_encode writes them. */
static enum error
decode_fields(struct slice bytes, struct envelope_recipient *recipients, struct envelope *envelope)
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
			good = field.len > 0 &&
			       take_text(field, ENVELOPE_ADDRESS_MAX,
				       &recipients[envelope->recipient_count++].address);
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

enum error
envelope_decode(struct slice bytes, struct arena *arena, struct envelope *ret_envelope)
{
	struct envelope envelope = {.trace_id_at = SIZE_MAX};
	uint32_t count;
	enum error error = count_recipients(bytes, &count);

	if (error != OK)
		return error;
	struct envelope_recipient *recipients =
		arena_take(arena, (size_t)count * sizeof *recipients);
	if (!recipients)
		return ERROR_LIMIT;
	envelope.recipients = recipients;
	error = decode_fields(bytes, recipients, &envelope);
	if (error == OK && envelope.trace_id_at != SIZE_MAX &&
		!is_id_place(envelope.trace, envelope.trace_id_at))
		error = ERROR_FORMAT;
	if (error == OK)
		*ret_envelope = envelope;
	return error;
}
