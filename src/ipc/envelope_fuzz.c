/* Envelopes from any bytes: what decodes encodes again, to something that decodes to the same. */
#include "ipc/envelope.h"

#include <stdlib.h>

#define ARENA_MAX (8u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
require_line(struct slice text)
{
	require(slice_find(text, 0, '\r') < 0 && slice_find(text, 0, '\n') < 0 &&
		slice_find(text, 0, 0) < 0);
}

static void
require_equal(const struct envelope *a, const struct envelope *b)
{
	require(a->id == b->id && a->received_at == b->received_at && a->body == b->body &&
		a->protocol == b->protocol && a->client_port == b->client_port &&
		a->content_flags == b->content_flags && a->content_size == b->content_size &&
		a->trace_id_at == b->trace_id_at && a->is_junk == b->is_junk &&
		a->recipient_count == b->recipient_count);
	require(slice_equal(a->reverse_path, b->reverse_path) && slice_equal(a->helo, b->helo) &&
		slice_equal(a->client_address, b->client_address) &&
		slice_equal(a->listener, b->listener) && slice_equal(a->trace, b->trace) &&
		slice_equal(a->message_id, b->message_id) && slice_equal(a->unknown, b->unknown));
	require(slice_equal(a->forward_path, b->forward_path) && slice_equal(a->seal, b->seal));
	require(a->returns == b->returns && slice_equal(a->envelope_id, b->envelope_id));
	for (uint32_t i = 0; i < a->recipient_count; i++) {
		struct envelope_wish one = envelope_wish(a, i), other = envelope_wish(b, i);
		require(slice_equal(a->recipients[i].address, b->recipients[i].address));
		require(one.notify == other.notify && one.is_expanded == other.is_expanded &&
			one.is_forwarded == other.is_forwarded &&
			one.is_target == other.is_target &&
			slice_equal(one.original, other.original));
	}
}

/* What the rest of the program relies on without looking again. */
static void
require_sound(const struct envelope *envelope)
{
	require(envelope->received_at >= 0 && envelope->content_size <= INT64_MAX);
	require(envelope->recipient_count <= ENVELOPE_RECIPIENTS_MAX);
	require_line(envelope->reverse_path);
	require_line(envelope->helo);
	require_line(envelope->client_address);
	require_line(envelope->listener);
	require(envelope->message_id.len == 0 || message_id_is_valid(envelope->message_id));
	for (uint32_t i = 0; i < envelope->recipient_count; i++) {
		require(envelope->recipients[i].address.len > 0);
		require_line(envelope->recipients[i].address);
		struct envelope_wish wish = envelope_wish(envelope, i);
		require(dsn_notify_is_valid(wish.notify));
		require(wish.original.len == 0 || dsn_original_is_valid(wish.original));
	}
	require(envelope->envelope_id.len == 0 || dsn_envelope_id_is_valid(envelope->envelope_id));
	if (envelope->trace_id_at != SIZE_MAX) {
		struct slice id =
			slice_sub(envelope->trace, envelope->trace_id_at, QUEUE_ID_DIGITS);
		require(id.len == QUEUE_ID_DIGITS);
		require_line(id); /* else writing the digits would unmake the lines */
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory *memory = memory_new(0);
	struct envelope envelope, back;
	struct arena arena;
	struct buffer bytes;

	arena_init(&arena, memory, ARENA_MAX);
	buffer_init(&bytes, memory, size + 256);
	if (envelope_decode(slice_of(data, size), &arena, &envelope) == OK) {
		require_sound(&envelope);
		envelope_encode(&envelope, &bytes);
		require(buffer_error(&bytes) == OK);
		require(envelope_decode(buffer_slice(&bytes), &arena, &back) == OK);
		require_equal(&envelope, &back);
	}
	memory_free(&memory);
	return 0;
}
