/*
 * The accept store of tests: what is committed lies in a list, what is aborted is gone, and faults
 * come where they were ordered. It keeps the interface's promises to the letter (room is at least
 * an octet and stays the same until filled, an id on ACCEPT_DURABLE only), so that a caller that
 * misuses it fails here first.
 */
#include "ipc/accept_memory.h"

#define MESSAGE_ARENA_MAX (64u << 20)

struct memory_acceptance {
	struct acceptance acceptance;
	struct accept_memory_message *message;
	uint8_t *room;
};

static struct accept_memory *
store_of(struct accept_store *store)
{
	return (struct accept_memory *)((char *)store - offsetof(struct accept_memory, store));
}

static size_t
room_bytes(const struct accept_memory *store)
{
	return store->faults.room_bytes > 0 ? store->faults.room_bytes : ACCEPT_MEMORY_ROOM_BYTES;
}

static void
message_free(struct accept_memory *store, struct accept_memory_message *message)
{
	arena_done(&message->arena);
	buffer_done(&message->content);
	memory_put(store->memory, message);
}

/* Gives back the acceptance, not its message. */
static void
acceptance_free(struct accept_memory *store, struct memory_acceptance *acceptance)
{
	memory_put(store->memory, acceptance->room);
	memory_put(store->memory, acceptance);
	store->open--;
}

static bool
memory_is_full(const struct accept_store *base)
{
	return ((const struct accept_memory *)((const char *)base -
					       offsetof(struct accept_memory, store)))
		->faults.is_full;
}

static enum error
memory_begin(struct accept_store *base, mono_us deadline, struct acceptance **ret_acceptance)
{
	struct accept_memory *store = store_of(base);

	(void)deadline;
	if (++store->begins == store->faults.begin_at)
		return store->faults.begin_error;
	if (store->faults.is_full)
		return ERROR_NO_SPACE;
	struct memory_acceptance *acceptance = memory_get(store->memory, sizeof *acceptance);
	acceptance->acceptance.store = base;
	acceptance->message = memory_get(store->memory, sizeof *acceptance->message);
	acceptance->room = memory_get(store->memory, room_bytes(store));
	arena_init(&acceptance->message->arena, store->memory, MESSAGE_ARENA_MAX);
	buffer_init(&acceptance->message->content, store->memory, store->content_max);
	store->open++;
	*ret_acceptance = &acceptance->acceptance;
	return OK;
}

static enum error
memory_room(struct acceptance *base, mono_us deadline, uint8_t **ret_ptr, size_t *ret_len)
{
	struct memory_acceptance *acceptance = (struct memory_acceptance *)base;
	struct accept_memory *store = store_of(base->store);

	(void)deadline;
	if (++store->rooms == store->faults.room_at)
		return store->faults.room_error;
	if (buffer_error(&acceptance->message->content) != OK)
		return ERROR_NO_SPACE;
	*ret_ptr = acceptance->room;
	*ret_len = room_bytes(store);
	return OK;
}

static void
memory_fill(struct acceptance *base, size_t len)
{
	struct memory_acceptance *acceptance = (struct memory_acceptance *)base;

	buffer_append(&acceptance->message->content, slice_of(acceptance->room, len));
}

static void
memory_overwrite(struct acceptance *base, uint64_t at, struct slice octets)
{
	struct buffer *content = &((struct memory_acceptance *)base)->message->content;

	if (buffer_error(content) == OK && octets.len > 0)
		memcpy(content->ptr + at, octets.ptr, octets.len);
}

static void
memory_abort(struct acceptance *base)
{
	if (!base)
		return;
	struct accept_memory *store = store_of(base->store);
	struct memory_acceptance *acceptance = (struct memory_acceptance *)base;
	message_free(store, acceptance->message);
	acceptance_free(store, acceptance);
	store->aborts++;
}

/* Copies what a slice points to into the message's arena. */
static bool
keep(struct accept_memory_message *message, struct slice *slice)
{
	return arena_copy(&message->arena, *slice, slice);
}

static bool
keep_recipients(struct accept_memory_message *message, const struct envelope *envelope)
{
	struct envelope_recipient *copies =
		arena_take(&message->arena, envelope->recipient_count * sizeof *copies);

	if (!copies)
		return false;
	for (uint32_t i = 0; i < envelope->recipient_count; i++) {
		copies[i] = envelope->recipients[i];
		if (!keep(message, &copies[i].address))
			return false;
	}
	message->envelope.recipients = copies;
	return true;
}

static bool
keep_wishes(struct accept_memory_message *message, const struct envelope *envelope)
{
	uint32_t count = envelope->wishes ? envelope->recipient_count : 0;
	struct envelope_wish *copies = arena_take(&message->arena, count * sizeof *copies);

	if (!copies)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		copies[i] = envelope->wishes[i];
		if (!keep(message, &copies[i].original))
			return false;
	}
	message->envelope.wishes = count > 0 ? copies : NULL;
	return true;
}

/* The id goes where the trace has a place for it, as `queue` does it. */
static bool
keep_trace(struct accept_memory_message *message, uint64_t id)
{
	char digits[QUEUE_ID_DIGITS + 1];
	struct slice trace = message->envelope.trace;
	size_t at = message->envelope.trace_id_at;
	uint8_t *copy = arena_take(&message->arena, trace.len);

	if (!copy)
		return false;
	if (trace.len > 0)
		memcpy(copy, trace.ptr, trace.len);
	if (at < trace.len && trace.len - at >= QUEUE_ID_DIGITS) {
		queue_id_print(id, digits);
		memcpy(copy + at, digits, QUEUE_ID_DIGITS);
	}
	message->envelope.trace = slice_of(copy, trace.len);
	return true;
}

static bool
keep_envelope(struct accept_memory_message *message, const struct envelope *envelope, uint64_t id)
{
	struct envelope *copy = &message->envelope;

	*copy = *envelope;
	copy->id = id;
	return keep(message, &copy->reverse_path) && keep(message, &copy->helo) &&
	       keep(message, &copy->client_address) && keep(message, &copy->listener) &&
	       keep(message, &copy->forward_path) && keep(message, &copy->seal) &&
	       keep(message, &copy->unknown) && keep(message, &copy->envelope_id) &&
	       keep_recipients(message, envelope) && keep_wishes(message, envelope) &&
	       keep_trace(message, id);
}

static enum accept_outcome
memory_commit(struct acceptance *base, const struct envelope *envelope, mono_us deadline,
	uint64_t *ret_id)
{
	struct accept_memory *store = store_of(base->store);
	struct memory_acceptance *acceptance = (struct memory_acceptance *)base;
	struct accept_memory_message *message = acceptance->message;
	enum accept_outcome outcome = ACCEPT_DURABLE;

	(void)deadline;
	if (++store->commits == store->faults.commit_at)
		outcome = store->faults.commit_outcome;
	acceptance_free(store, acceptance);
	if (outcome == ACCEPT_DURABLE && buffer_error(&message->content) != OK)
		outcome = ACCEPT_NO_SPACE;
	bool is_kept = outcome == ACCEPT_DURABLE || outcome == ACCEPT_UNKNOWN;
	if (is_kept && !keep_envelope(message, envelope, store->next_id))
		is_kept = false;
	if (!is_kept) {
		message_free(store, message);
		return outcome == ACCEPT_DURABLE ? ACCEPT_FAILED : outcome;
	}
	list_append(&store->messages, &message->link);
	if (outcome == ACCEPT_DURABLE)
		*ret_id = store->next_id;
	store->next_id++;
	return outcome;
}

static const struct accept_store_ops memory_ops = {
	.is_full = memory_is_full,
	.begin = memory_begin,
	.room = memory_room,
	.fill = memory_fill,
	.overwrite = memory_overwrite,
	.commit = memory_commit,
	.abort = memory_abort,
};

void
accept_memory_init(struct accept_memory *memory_store, struct memory *memory, size_t content_max)
{
	*memory_store = (struct accept_memory){
		.store = {&memory_ops},
		.memory = memory,
		.content_max = content_max,
		.next_id = 1,
	};
	list_init(&memory_store->messages);
}

void
accept_memory_done(struct accept_memory *memory_store)
{
	struct list *link;

	while ((link = list_take(&memory_store->messages)) != NULL)
		message_free(memory_store, list_entry(link, struct accept_memory_message, link));
}

const struct accept_memory_message *
accept_memory_message(const struct accept_memory *memory_store, uint32_t number)
{
	list_for_each (link, &memory_store->messages)
		if (number-- == 0)
			return list_entry(link, struct accept_memory_message, link);
	return NULL;
}
