/*
 * The index: linear probing over numbers of entries, at most half full, so that an entry never
 * moves while the table grows. A removed slot is closed by moving later ones back; there are no
 * markers.
 */
#include "spool/index.h"

#define INDEX_NONE    UINT32_MAX
#define CHUNK_ENTRIES 1024
#define FIRST_SLOTS   2048
#define FIRST_CHUNKS  16
#define SLOTS_MAX     (UINT32_C(1) << 31)
#define WORD_BITS     64
#define FIRST_BUCKETS 64

void
index_init(struct index *index, struct memory *memory)
{
	*index = (struct index){.memory = memory, .first_unused = INDEX_NONE};
}

void
index_done(struct index *index)
{
	if (!index->memory)
		return;
	for (uint32_t i = 0; i < index_limit(index); i++) {
		struct index_entry *entry = index_at(index, i);
		if (!entry)
			continue;
		memory_put(index->memory, entry->done_more);
		entry_set_text(index, entry, (struct slice){0});
	}
	memory_put(index->memory, index->texts);
	for (uint32_t i = 0; i < index->chunk_count; i++)
		memory_put(index->memory, index->chunks[i]);
	memory_put(index->memory, index->chunks);
	memory_put(index->memory, index->slots);
	index_init(index, index->memory);
}

uint32_t
index_limit(const struct index *index)
{
	return index->chunk_count * CHUNK_ENTRIES;
}

static struct index_entry *
entry_at(const struct index *index, uint32_t number)
{
	return &index->chunks[number / CHUNK_ENTRIES][number % CHUNK_ENTRIES];
}

struct index_entry *
index_at(const struct index *index, uint32_t number)
{
	struct index_entry *entry = entry_at(index, number);

	return entry->queue_id ? entry : NULL;
}

/* Ids are times, so their low bits alone would cluster: multiply and take the high ones. */
static uint32_t
home_slot(const struct index *index, uint64_t queue_id)
{
	return (uint32_t)((queue_id * UINT64_C(0x9e3779b97f4a7c15)) >> 32) &
	       (index->slot_count - 1);
}

static uint32_t
find_slot(const struct index *index, uint64_t queue_id)
{
	uint32_t slot = home_slot(index, queue_id);

	while (index->slots[slot] != 0 &&
		entry_at(index, index->slots[slot] - 1)->queue_id != queue_id)
		slot = (slot + 1) & (index->slot_count - 1);
	return slot;
}

struct index_entry *
index_find(const struct index *index, uint64_t queue_id)
{
	if (index->slot_count == 0 || queue_id == 0)
		return NULL;
	uint32_t number = index->slots[find_slot(index, queue_id)];
	return number ? entry_at(index, number - 1) : NULL;
}

static enum error
slots_reserve(struct index *index)
{
	struct index old = *index;

	if (index->slot_count > 0 && index->count < index->slot_count / 2)
		return OK;
	if (index->slot_count >= SLOTS_MAX)
		return ERROR_NO_MEMORY;
	uint32_t slot_count = index->slot_count ? index->slot_count * 2 : FIRST_SLOTS;
	uint32_t *slots = memory_try(index->memory, slot_count * sizeof *slots);
	if (!slots)
		return ERROR_NO_MEMORY;
	index->slots = slots;
	index->slot_count = slot_count;
	for (uint32_t i = 0; i < old.slot_count; i++) {
		if (old.slots[i] == 0)
			continue;
		uint64_t queue_id = entry_at(index, old.slots[i] - 1)->queue_id;
		index->slots[find_slot(index, queue_id)] = old.slots[i];
	}
	memory_put(index->memory, old.slots);
	return OK;
}

static enum error
chunks_reserve(struct index *index)
{
	if (index->chunk_count < index->chunk_capacity)
		return OK;
	uint32_t capacity = index->chunk_capacity ? index->chunk_capacity * 2 : FIRST_CHUNKS;
	struct index_entry **chunks =
		memory_resize(index->memory, index->chunks, capacity * sizeof *chunks);
	if (!chunks)
		return ERROR_NO_MEMORY;
	index->chunks = chunks;
	index->chunk_capacity = capacity;
	return OK;
}

static enum error
entries_reserve(struct index *index)
{
	if (index->first_unused != INDEX_NONE)
		return OK;
	if (chunks_reserve(index) != OK)
		return ERROR_NO_MEMORY;
	struct index_entry *chunk = memory_try(index->memory, CHUNK_ENTRIES * sizeof *chunk);
	if (!chunk)
		return ERROR_NO_MEMORY;
	uint32_t first = index_limit(index);
	for (uint32_t i = 0; i < CHUNK_ENTRIES; i++)
		chunk[i].next_unused = i + 1 < CHUNK_ENTRIES ? first + i + 1 : INDEX_NONE;
	index->chunks[index->chunk_count++] = chunk;
	index->first_unused = first;
	return OK;
}

enum error
index_add(struct index *index, uint64_t queue_id, struct index_entry **ret_entry)
{
	if (queue_id == 0)
		return ERROR_LIMIT;
	if (index_find(index, queue_id))
		return ERROR_EXISTS;
	if (slots_reserve(index) != OK || entries_reserve(index) != OK)
		return ERROR_NO_MEMORY;
	uint32_t number = index->first_unused;
	struct index_entry *entry = entry_at(index, number);
	index->slots[find_slot(index, queue_id)] = number + 1;
	index->first_unused = entry->next_unused;
	index->count++;
	*entry = (struct index_entry){.queue_id = queue_id};
	*ret_entry = entry;
	return OK;
}

/* Whether `home` lies behind `hole` and not behind `slot`, on the ring: then what is in `slot` is
 * found as it is. */
static bool
slot_is_between(uint32_t hole, uint32_t home, uint32_t slot)
{
	return hole <= slot ? hole < home && home <= slot : hole < home || home <= slot;
}

static void
close_hole(struct index *index, uint32_t hole)
{
	uint32_t slot = hole;

	for (;;) {
		slot = (slot + 1) & (index->slot_count - 1);
		if (index->slots[slot] == 0)
			break;
		uint32_t home = home_slot(index, entry_at(index, index->slots[slot] - 1)->queue_id);
		if (slot_is_between(hole, home, slot))
			continue;
		index->slots[hole] = index->slots[slot];
		hole = slot;
	}
	index->slots[hole] = 0;
}

void
index_remove(struct index *index, struct index_entry *entry)
{
	uint32_t slot = find_slot(index, entry->queue_id);
	uint32_t number = index->slots[slot] - 1;

	close_hole(index, slot);
	memory_put(index->memory, entry->done_more);
	entry_set_text(index, entry, (struct slice){0});
	*entry = (struct index_entry){.next_unused = index->first_unused};
	index->first_unused = number;
	index->count--;
}

static enum error
done_reserve(struct index *index, struct index_entry *entry, uint32_t words)
{
	if (words <= entry->done_words)
		return OK;
	if (words < entry->done_words * 2)
		words = entry->done_words * 2;
	uint64_t *more =
		memory_resize(index->memory, entry->done_more, words * sizeof *entry->done_more);
	if (!more)
		return ERROR_NO_MEMORY;
	for (uint32_t i = entry->done_words; i < words; i++)
		more[i] = 0;
	entry->done_more = more;
	entry->done_words = words;
	return OK;
}

enum error
entry_reserve_done(struct index *index, struct index_entry *entry, uint32_t recipient)
{
	if (recipient >= SPOOL_RECIPIENTS_MAX)
		return ERROR_LIMIT;
	return done_reserve(index, entry, recipient / WORD_BITS);
}

enum error
entry_set_done(struct index *index, struct index_entry *entry, uint32_t recipient)
{
	uint32_t word = recipient / WORD_BITS;
	uint64_t bit = UINT64_C(1) << recipient % WORD_BITS;

	if (recipient >= SPOOL_RECIPIENTS_MAX)
		return ERROR_LIMIT;
	if (word == 0) {
		entry->done_first |= bit;
		return OK;
	}
	if (done_reserve(index, entry, word) != OK)
		return ERROR_NO_MEMORY;
	entry->done_more[word - 1] |= bit;
	return OK;
}

static struct index_text **
text_bucket(const struct index *index, uint64_t hash)
{
	return &index->texts[hash & (index->text_buckets - 1)];
}

static enum error
texts_reserve(struct index *index)
{
	struct index old = *index;

	if (index->text_count < index->text_buckets)
		return OK;
	uint32_t count = old.text_buckets ? old.text_buckets * 2 : FIRST_BUCKETS;
	struct index_text **texts =
		count < SLOTS_MAX ? memory_try(index->memory, count * sizeof *texts) : NULL;
	if (!texts)
		return ERROR_NO_MEMORY;
	index->texts = texts;
	index->text_buckets = count;
	for (uint32_t i = 0; i < old.text_buckets; i++) {
		for (struct index_text *text = old.texts[i], *next; text; text = next) {
			struct index_text **bucket = text_bucket(index, text->hash);
			next = text->next;
			text->next = *bucket;
			*bucket = text;
		}
	}
	memory_put(index->memory, old.texts);
	return OK;
}

static struct index_text *
text_find(const struct index *index, uint64_t hash, struct slice bytes)
{
	struct index_text *text = index->text_buckets ? *text_bucket(index, hash) : NULL;

	while (text &&
		!(text->hash == hash && slice_equal(slice_of(text->bytes, text->len), bytes)))
		text = text->next;
	return text;
}

/* NULL: no memory. */
static struct index_text *
text_take(struct index *index, struct slice bytes)
{
	uint64_t hash = siphash(&index->text_key, bytes);
	struct index_text *text = text_find(index, hash, bytes);

	if (text) {
		text->refs++;
		return text;
	}
	if (texts_reserve(index) != OK)
		return NULL;
	text = memory_try(index->memory, sizeof *text + bytes.len);
	if (!text)
		return NULL;
	*text = (struct index_text){.hash = hash, .refs = 1, .len = (uint32_t)bytes.len};
	memcpy(text->bytes, bytes.ptr, bytes.len);
	struct index_text **bucket = text_bucket(index, hash);
	text->next = *bucket;
	*bucket = text;
	index->text_count++;
	return text;
}

static void
text_drop(struct index *index, struct index_text *text)
{
	if (!text || --text->refs > 0)
		return;
	struct index_text **place = text_bucket(index, text->hash);
	while (*place != text)
		place = &(*place)->next;
	*place = text->next;
	index->text_count--;
	memory_put(index->memory, text);
}

void
entry_set_text(struct index *index, struct index_entry *entry, struct slice text)
{
	struct index_text *old = entry->text;

	text = slice_sub(text, 0, SPOOL_RESULT_TEXT_MAX);
	entry->text = text.len > 0 ? text_take(index, text) : NULL;
	text_drop(index, old);
}

struct slice
entry_text(const struct index_entry *entry)
{
	return entry->text ? slice_of(entry->text->bytes, entry->text->len) : (struct slice){0};
}

uint32_t
entry_done_words(const struct index_entry *entry)
{
	uint32_t words = entry->done_words + 1;

	while (words > 0 && entry_done_word(entry, words - 1) == 0)
		words--;
	return words;
}

uint64_t
entry_done_word(const struct index_entry *entry, uint32_t word)
{
	return word == 0 ? entry->done_first : entry->done_more[word - 1];
}

struct spool_reference
entry_message(const struct index_entry *entry)
{
	return (struct spool_reference){entry->message_segment, entry->message_generation,
		entry->message_offset, entry->message_size, entry->queue_id};
}

struct spool_reference
entry_content(const struct index_entry *entry)
{
	return (struct spool_reference){entry->content_segment, entry->content_generation,
		entry->content_offset, entry->content_size, entry->queue_id};
}

bool
entry_is_message(const struct index_entry *entry, const struct spool_reference *reference)
{
	return entry->message_segment == reference->segment &&
	       entry->message_generation == reference->generation &&
	       entry->message_offset == reference->offset &&
	       entry->message_size == reference->size && entry->queue_id == reference->queue_id;
}

void
entry_set_message(struct index_entry *entry, const struct spool_reference *message)
{
	entry->message_segment = message->segment;
	entry->message_generation = message->generation;
	entry->message_offset = message->offset;
	entry->message_size = message->size;
}

void
entry_set_content(struct index_entry *entry, const struct spool_reference *content)
{
	entry->content_segment = content->segment;
	entry->content_generation = content->generation;
	entry->content_offset = content->offset;
	entry->content_size = content->size;
}
