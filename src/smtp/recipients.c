/*
 * The recipients of a transaction, in the order in which they came, with a table of hashes beside
 * them: whether an address is among 100,000 others costs one probe. The hash is keyed, since
 * strangers choose the addresses: without the key they could make all of them meet in one place.
 *
 * Items, sums and slots lie in one block of memory that doubles, so that a transaction takes what
 * its recipients need and gives back what it has outgrown. At most half of the slots are taken.
 */
#include "smtp/recipients.h"

#include <string.h>

#define FIRST_CAPACITY 8
#define SLOTS_PER_ITEM 2
#define BYTES_PER_CAPACITY \
	(sizeof(struct envelope_recipient) + sizeof(uint64_t) + SLOTS_PER_ITEM * sizeof(uint32_t))

/* UNSAFE: the mask is the number of slots less one, a power of two. */
static uint32_t
slot_mask(const struct smtp_recipients *recipients)
{
	return recipients->capacity * SLOTS_PER_ITEM - 1;
}

static void
slot_take(struct smtp_recipients *recipients, uint32_t item)
{
	uint32_t slot = (uint32_t)recipients->sums[item] & slot_mask(recipients);

	while (recipients->slots[slot] != 0)
		slot = (slot + 1) & slot_mask(recipients);
	recipients->slots[slot] = item + 1;
}

static bool
grow(struct smtp_recipients *recipients, struct memory *memory)
{
	struct smtp_recipients larger = *recipients;

	larger.capacity = recipients->capacity ? recipients->capacity * 2 : FIRST_CAPACITY;
	larger.items = memory_try(memory, larger.capacity * BYTES_PER_CAPACITY);
	if (!larger.items)
		return false;
	/* UNSAFE: the parts of the block, the strictest alignment first. */
	larger.sums = (uint64_t *)(void *)(larger.items + larger.capacity);
	larger.slots = (uint32_t *)(void *)(larger.sums + larger.capacity);
	if (recipients->count > 0) {
		memcpy(larger.items, recipients->items, recipients->count * sizeof *larger.items);
		memcpy(larger.sums, recipients->sums, recipients->count * sizeof *larger.sums);
	}
	for (uint32_t item = 0; item < larger.count; item++)
		slot_take(&larger, item);
	memory_put(memory, recipients->items);
	*recipients = larger;
	return true;
}

static bool
is_empty(const struct envelope_wish *wish)
{
	return !wish || (wish->notify == 0 && wish->original.len == 0 && !wish->is_expanded &&
				!wish->is_forwarded && !wish->is_target);
}

/* Few transactions have wishes at all: they get an array of their own, as long as the other one. */
static bool
wishes_grow(struct smtp_recipients *recipients, struct memory *memory, uint32_t capacity)
{
	size_t bytes = capacity * sizeof *recipients->wishes;
	struct envelope_wish *larger = memory_try(memory, bytes);

	if (!larger)
		return false;
	memset(larger, 0, bytes);
	if (recipients->wishes)
		memcpy(larger, recipients->wishes, recipients->count * sizeof *larger);
	memory_put(memory, recipients->wishes);
	recipients->wishes = larger;
	return true;
}

/* Room for one more. */
static bool
make_room(struct smtp_recipients *recipients, struct memory *memory)
{
	uint32_t capacity = recipients->capacity ? recipients->capacity * 2 : FIRST_CAPACITY;

	if (recipients->count < recipients->capacity)
		return true;
	return (!recipients->wishes || wishes_grow(recipients, memory, capacity)) &&
	       grow(recipients, memory);
}

static bool
wish_set(struct smtp_recipients *recipients, struct memory *memory, uint32_t item,
	const struct envelope_wish *wish)
{
	if (is_empty(wish))
		return true;
	if (!recipients->wishes && !wishes_grow(recipients, memory, recipients->capacity))
		return false;
	if (is_empty(&recipients->wishes[item]))
		recipients->envelope_bytes += ENVELOPE_WISH_BYTES(wish->original.len) +
					      (wish->is_forwarded ? ENVELOPE_FORWARD_BYTES : 0);
	recipients->wishes[item] = *wish;
	return true;
}

void
smtp_recipients_done(struct smtp_recipients *recipients, struct memory *memory)
{
	memory_put(memory, recipients->items);
	memory_put(memory, recipients->wishes);
	*recipients = (struct smtp_recipients){0};
}

const struct envelope_recipient *
smtp_recipients_next(const struct smtp_recipients *recipients, uint64_t sum, uint32_t *probes)
{
	if (recipients->count == 0)
		return NULL;
	for (;;) {
		uint32_t slot = ((uint32_t)sum + (*probes)++) & slot_mask(recipients);
		uint32_t item = recipients->slots[slot];
		if (item == 0)
			return NULL;
		if (recipients->sums[item - 1] == sum)
			return &recipients->items[item - 1];
	}
}

bool
smtp_recipients_add(struct smtp_recipients *recipients, struct memory *memory, uint64_t sum,
	struct slice address, const struct envelope_wish *wish)
{
	if (!make_room(recipients, memory) ||
		!wish_set(recipients, memory, recipients->count, wish))
		return false;
	recipients->items[recipients->count] = (struct envelope_recipient){.address = address};
	recipients->sums[recipients->count] = sum;
	slot_take(recipients, recipients->count);
	recipients->count++;
	recipients->envelope_bytes += ENVELOPE_RECIPIENT_BYTES(address.len);
	return true;
}

struct envelope_wish
smtp_recipients_wish(
	const struct smtp_recipients *recipients, const struct envelope_recipient *item)
{
	return recipients->wishes ? recipients->wishes[item - recipients->items]
				  : (struct envelope_wish){0};
}

bool
smtp_recipients_join(struct smtp_recipients *recipients, struct memory *memory,
	const struct envelope_recipient *item, uint32_t notify)
{
	struct envelope_wish wish = smtp_recipients_wish(recipients, item);
	uint32_t joined = dsn_notify_join(wish.notify, notify);

	if (joined == wish.notify)
		return true;
	wish.notify = (uint8_t)joined;
	return wish_set(recipients, memory, (uint32_t)(item - recipients->items), &wish);
}
