/*
 * Octets of files and names of folders, counted, so that thousands of disks can hold the same ones:
 * whoever changes one makes a copy first if others hold it. A page of zeros is no page.
 */
#include "model_private.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t zero_sector[SECTOR_BYTES];

void *
model_alloc(size_t size)
{
	void *block = calloc(1, size);

	if (!block)
		abort();
	return block;
}

uint64_t
mix64(uint64_t value)
{
	value ^= value >> 30;
	value *= UINT64_C(0xbf58476d1ce4e5b9);
	value ^= value >> 27;
	value *= UINT64_C(0x94d049bb133111eb);
	return value ^ value >> 31;
}

/* 0 for zeros, so that what was never written needs no looking at. */
static uint64_t
sector_hash(uint64_t sector, const uint8_t *bytes)
{
	uint64_t hash = sector + 1, all = 0;

	for (size_t i = 0; i < SECTOR_BYTES; i += sizeof hash) {
		uint64_t word;
		memcpy(&word, bytes + i, sizeof word);
		all |= word;
		hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 29;
	}
	return all ? mix64(hash) : 0;
}

static void
page_unref(struct page *page)
{
	if (page && --page->refs == 0)
		free(page);
}

struct content *
content_new(void)
{
	struct content *content = model_alloc(sizeof *content);

	content->refs = 1;
	return content;
}

struct content *
content_ref(struct content *content)
{
	content->refs++;
	return content;
}

void
content_unref(struct content *content)
{
	if (!content || --content->refs > 0)
		return;
	for (uint32_t i = 0; i < content->page_count; i++)
		page_unref(content->pages[i]);
	free(content->pages);
	free(content);
}

struct content *
content_own(struct content **content)
{
	struct content *shared = *content;

	if (shared->refs == 1)
		return shared;
	struct content *own = content_new();
	own->size = shared->size;
	own->hash = shared->hash;
	own->page_count = shared->page_count;
	own->pages = model_alloc((shared->page_count + 1) * sizeof *own->pages);
	for (uint32_t i = 0; i < own->page_count; i++) {
		own->pages[i] = shared->pages[i];
		if (own->pages[i])
			own->pages[i]->refs++;
	}
	shared->refs--;
	*content = own;
	return own;
}

const uint8_t *
content_sector(const struct content *content, uint64_t sector)
{
	uint64_t page = sector / PAGE_SECTORS;

	if (page >= content->page_count || !content->pages[page])
		return zero_sector;
	return content->pages[page]->bytes + sector % PAGE_SECTORS * SECTOR_BYTES;
}

static void
content_reserve(struct content *content, uint64_t page)
{
	if (page < content->page_count)
		return;
	uint32_t count = (uint32_t)page + 1 + content->page_count;
	content->pages = realloc(content->pages, count * sizeof *content->pages);
	if (!content->pages)
		abort();
	memset(content->pages + content->page_count, 0,
		(count - content->page_count) * sizeof *content->pages);
	content->page_count = count;
}

static struct page *
page_own(struct page **place)
{
	struct page *page = *place;

	if (page && page->refs == 1)
		return page;
	struct page *own = model_alloc(sizeof *own);
	own->refs = 1;
	if (page) {
		memcpy(own->bytes, page->bytes, PAGE_BYTES);
		page->refs--;
	}
	*place = own;
	return own;
}

void
content_put_sector(struct content *content, uint64_t sector, const uint8_t *bytes)
{
	const uint8_t *old = content_sector(content, sector);

	if (memcmp(old, bytes, SECTOR_BYTES) == 0)
		return;
	content->hash ^= sector_hash(sector, old) ^ sector_hash(sector, bytes);
	content_reserve(content, sector / PAGE_SECTORS);
	struct page *page = page_own(&content->pages[sector / PAGE_SECTORS]);
	memcpy(page->bytes + sector % PAGE_SECTORS * SECTOR_BYTES, bytes, SECTOR_BYTES);
}

void
content_resize(struct content *content, uint64_t size)
{
	uint64_t first = size / SECTOR_BYTES;

	content->size = size;
	if (size % SECTOR_BYTES != 0) {
		uint8_t bytes[SECTOR_BYTES] = {0};
		memcpy(bytes, content_sector(content, first), size % SECTOR_BYTES);
		content_put_sector(content, first++, bytes);
	}
	for (uint64_t sector = first; sector < (uint64_t)content->page_count * PAGE_SECTORS;) {
		uint64_t page = sector / PAGE_SECTORS;
		if (content->pages[page])
			content_put_sector(content, sector++, zero_sector);
		else
			sector = (page + 1) * PAGE_SECTORS;
	}
}

size_t
content_read(const struct content *content, void *bytes, size_t len, uint64_t offset)
{
	uint8_t *out = bytes;

	if (offset >= content->size)
		return 0;
	if (len > content->size - offset)
		len = content->size - offset;
	for (size_t at = 0; at < len;) {
		uint64_t page = (offset + at) / PAGE_BYTES, in = (offset + at) % PAGE_BYTES;
		size_t now = PAGE_BYTES - in < len - at ? PAGE_BYTES - in : len - at;
		if (page < content->page_count && content->pages[page])
			memcpy(out + at, content->pages[page]->bytes + in, now);
		else
			memset(out + at, 0, now);
		at += now;
	}
	return len;
}

struct name *
name_new(const char *text)
{
	struct name *name = model_alloc(sizeof *name);
	size_t len = strlen(text);

	if (len >= sizeof name->text)
		abort();
	name->refs = 1;
	memcpy(name->text, text, len);
	name->hash = 1;
	for (size_t i = 0; i < len; i++)
		name->hash = mix64(name->hash ^ (uint8_t)text[i]);
	return name;
}

struct name *
name_ref(struct name *name)
{
	name->refs++;
	return name;
}

void
name_unref(struct name *name)
{
	if (name && --name->refs == 0)
		free(name);
}

struct entries *
entries_new(void)
{
	struct entries *entries = model_alloc(sizeof *entries);

	entries->refs = 1;
	return entries;
}

struct entries *
entries_ref(struct entries *entries)
{
	entries->refs++;
	return entries;
}

void
entries_unref(struct entries *entries)
{
	if (!entries || --entries->refs > 0)
		return;
	for (uint32_t i = 0; i < entries->count; i++)
		name_unref(entries->list[i].name);
	free(entries->list);
	free(entries);
}

struct entries *
entries_own(struct entries **entries)
{
	struct entries *shared = *entries;

	if (shared->refs == 1)
		return shared;
	struct entries *own = entries_new();
	own->count = own->capacity = shared->count;
	own->list = model_alloc((shared->count + 1) * sizeof *own->list);
	for (uint32_t i = 0; i < own->count; i++)
		own->list[i] = (struct folder_entry){
			name_ref(shared->list[i].name), shared->list[i].inode};
	shared->refs--;
	*entries = own;
	return own;
}

uint32_t
entries_find(const struct entries *entries, const char *text)
{
	for (uint32_t i = 0; i < entries->count; i++) {
		if (strcmp(entries->list[i].name->text, text) == 0)
			return i;
	}
	return NO_INODE;
}

void
entries_put(struct entries *entries, struct name *name, uint32_t inode)
{
	uint32_t place = entries_find(entries, name->text);

	if (place != NO_INODE && inode != NO_INODE) {
		entries->list[place].inode = inode;
	} else if (place != NO_INODE) {
		name_unref(entries->list[place].name);
		entries->count--;
		memmove(entries->list + place, entries->list + place + 1,
			(entries->count - place) * sizeof *entries->list);
	} else if (inode != NO_INODE) {
		if (entries->count >= entries->capacity) {
			entries->capacity = entries->count * 2 + 4;
			entries->list =
				realloc(entries->list, entries->capacity * sizeof *entries->list);
			if (!entries->list)
				abort();
		}
		entries->list[entries->count++] = (struct folder_entry){name_ref(name), inode};
	}
}
