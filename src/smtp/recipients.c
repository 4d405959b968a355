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

void
smtp_recipients_done(struct smtp_recipients *recipients, struct memory *memory)
{
	memory_put(memory, recipients->items);
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
	struct slice address)
{
	if (recipients->count == recipients->capacity && !grow(recipients, memory))
		return false;
	recipients->items[recipients->count] = (struct envelope_recipient){.address = address};
	recipients->sums[recipients->count] = sum;
	slot_take(recipients, recipients->count);
	recipients->count++;
	recipients->envelope_bytes += ENVELOPE_RECIPIENT_BYTES(address.len);
	return true;
}
