/*
 * What is written, what is durable, and the pieces in between. model_ops.c is how a program sees
 * it, model_content.c what disks share.
 */
#include "model_private.h"

#include <stdlib.h>
#include <string.h>

struct model_disk *
model_disk_new(uint64_t seed, bool tracks)
{
	struct model_disk *disk = model_alloc(sizeof *disk);

	disk->tracks = tracks;
	disk->random = mix64(seed + 1) | 1;
	disk->next_id = disk->next_serial = 1;
	model_add_inode(disk, true);
	return disk;
}

void
inode_drop(struct inode *inode)
{
	content_unref(inode->now);
	content_unref(inode->durable);
	entries_unref(inode->entries);
	entries_unref(inode->durable_entries);
	*inode = (struct inode){0};
}

void
piece_drop(struct piece *piece)
{
	free(piece->bytes);
	name_unref(piece->name);
	*piece = (struct piece){0};
}

void
model_disk_free(struct model_disk **disk)
{
	struct model_disk *old = *disk;

	if (!old)
		return;
	for (uint32_t i = 0; i < old->inode_count; i++)
		inode_drop(&old->inodes[i]);
	for (uint32_t i = 0; i < old->piece_count; i++)
		piece_drop(&old->pieces[i]);
	free(old->inodes);
	free(old->pieces);
	free(old);
	*disk = NULL;
}

uint64_t
model_random(struct model_disk *disk)
{
	disk->random += UINT64_C(0x9e3779b97f4a7c15);
	return mix64(disk->random);
}

static void
mark_entries(const struct entries *entries, uint8_t *marks)
{
	for (uint32_t i = 0; i < entries->count; i++)
		marks[entries->list[i].inode] = 1;
}

/* Frees the places of inodes that nothing can reach any more. */
static void
sweep(struct model_disk *disk)
{
	uint8_t *marks = model_alloc(disk->inode_count + 1);

	marks[MODEL_ROOT] = 1;
	for (uint32_t i = 0; i < disk->inode_count; i++) {
		if (!disk->inodes[i].is_folder)
			continue;
		mark_entries(disk->inodes[i].entries, marks);
		mark_entries(disk->inodes[i].durable_entries, marks);
	}
	for (uint32_t i = 0; i < disk->piece_count; i++) {
		if (disk->pieces[i].kind == PIECE_ENTRY && disk->pieces[i].target != NO_INODE)
			marks[disk->pieces[i].target] = 1;
	}
	for (uint32_t i = 0; i < MODEL_FDS_MAX; i++) {
		if (disk->fds[i].used)
			marks[disk->fds[i].inode] = 1;
	}
	uint32_t kept = 0;
	for (uint32_t i = 0; i < disk->piece_count; i++) {
		if (marks[disk->pieces[i].inode])
			disk->pieces[kept++] = disk->pieces[i];
		else
			piece_drop(&disk->pieces[i]);
	}
	disk->piece_count = kept;
	for (uint32_t i = 0; i < disk->inode_count; i++) {
		if (!marks[i])
			inode_drop(&disk->inodes[i]);
	}
	free(marks);
}

static uint32_t
free_inode(const struct model_disk *disk)
{
	for (uint32_t i = 0; i < disk->inode_count; i++) {
		if (disk->inodes[i].id == 0)
			return i;
	}
	return disk->inode_count;
}

uint32_t
model_add_inode(struct model_disk *disk, bool is_folder)
{
	uint32_t place = free_inode(disk);

	if (place == disk->inode_capacity) {
		sweep(disk);
		place = free_inode(disk);
	}
	if (place == disk->inode_capacity) {
		disk->inode_capacity = disk->inode_capacity * 2 + 8;
		disk->inodes = realloc(disk->inodes, disk->inode_capacity * sizeof *disk->inodes);
		if (!disk->inodes)
			abort();
	}
	if (place == disk->inode_count)
		disk->inode_count++;
	struct inode *inode = &disk->inodes[place];
	*inode = (struct inode){.id = disk->next_id++, .is_folder = is_folder};
	if (is_folder) {
		inode->entries = entries_new();
		inode->durable_entries = entries_ref(inode->entries);
	} else {
		inode->now = content_new();
		inode->durable = content_ref(inode->now);
	}
	return place;
}

static struct piece *
add_piece(struct model_disk *disk, enum piece_kind kind, uint32_t inode)
{
	if (disk->piece_count == disk->piece_capacity) {
		disk->piece_capacity = disk->piece_capacity * 2 + 16;
		disk->pieces = realloc(disk->pieces, disk->piece_capacity * sizeof *disk->pieces);
		if (!disk->pieces)
			abort();
	}
	struct piece *piece = &disk->pieces[disk->piece_count++];
	*piece = (struct piece){.kind = kind, .inode = inode, .serial = disk->next_serial++};
	return piece;
}

void
model_write_sector(struct model_disk *disk, uint32_t number, uint64_t sector, const uint8_t *bytes)
{
	struct inode *inode = &disk->inodes[number];

	if (memcmp(content_sector(inode->now, sector), bytes, SECTOR_BYTES) == 0)
		return;
	content_put_sector(content_own(&inode->now), sector, bytes);
	disk->changes++;
	if (!disk->tracks)
		return;
	struct piece *piece = add_piece(disk, PIECE_SECTOR, number);
	piece->value = sector;
	piece->bytes = model_alloc(SECTOR_BYTES);
	memcpy(piece->bytes, bytes, SECTOR_BYTES);
}

void
model_set_size(struct model_disk *disk, uint32_t number, uint64_t size)
{
	struct inode *inode = &disk->inodes[number];

	if (inode->now->size == size)
		return;
	content_own(&inode->now)->size = size;
	disk->changes++;
	if (disk->tracks)
		add_piece(disk, PIECE_SIZE, number)->value = size;
}

uint64_t
model_set_entry(
	struct model_disk *disk, uint32_t folder, const char *text, uint32_t target, uint64_t needs)
{
	struct inode *inode = &disk->inodes[folder];
	struct name *name = name_new(text);
	uint64_t serial = 0;

	entries_put(entries_own(&inode->entries), name, target);
	disk->changes++;
	if (disk->tracks) {
		struct piece *piece = add_piece(disk, PIECE_ENTRY, folder);
		piece->name = name_ref(name);
		piece->target = target;
		piece->needs = needs;
		serial = piece->serial;
	}
	name_unref(name);
	return serial;
}

static void
apply(struct inode *inode, const struct piece *piece)
{
	switch (piece->kind) {
	case PIECE_SECTOR:
		content_put_sector(content_own(&inode->durable), piece->value, piece->bytes);
		break;
	case PIECE_SIZE:
		content_own(&inode->durable)->size = piece->value;
		break;
	case PIECE_ENTRY:
		entries_put(entries_own(&inode->durable_entries), piece->name, piece->target);
		break;
	}
}

/* A rename's new name becomes durable with, or before, the end of the old one. */
static void
apply_needed(struct model_disk *disk, uint64_t serial)
{
	for (uint32_t i = 0; i < disk->piece_count && serial; i++) {
		struct piece *piece = &disk->pieces[i];
		if (piece->serial == serial)
			apply(&disk->inodes[piece->inode], piece);
	}
}

static void
settle_pieces(struct model_disk *disk, uint32_t number, bool failed)
{
	struct inode *inode = &disk->inodes[number];
	/* Three in four failed flushes leave nothing behind, the others a part. */
	bool part = failed && model_random(disk) % 4 == 0;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < disk->piece_count; i++) {
		struct piece *piece = &disk->pieces[i];
		if (piece->inode != number)
			continue;
		if (failed && !(part && model_random(disk) % 2)) {
			inode->diverged = true;
			continue;
		}
		apply_needed(disk, piece->needs);
		apply(inode, piece);
	}
	for (uint32_t i = 0; i < disk->piece_count; i++) {
		if (disk->pieces[i].inode == number)
			piece_drop(&disk->pieces[i]);
		else
			disk->pieces[kept++] = disk->pieces[i];
	}
	disk->changes += disk->piece_count != kept;
	disk->piece_count = kept;
}

void
model_flush(struct model_disk *disk, uint32_t number)
{
	struct inode *inode = &disk->inodes[number];

	if (!disk->tracks)
		return;
	settle_pieces(disk, number, false);
	if (inode->diverged || inode->is_folder)
		return;
	/* They are equal now: one is enough. */
	content_unref(inode->durable);
	inode->durable = content_ref(inode->now);
}

void
model_flush_failed(struct model_disk *disk, uint32_t number)
{
	uint32_t before = disk->piece_count;

	settle_pieces(disk, number, true);
	if (disk->piece_count == before)
		return;
	disk->inodes[number].error++;
	disk->inodes[number].error_reported = false;
}

bool
model_diverged(const struct model_disk *disk)
{
	for (uint32_t i = 0; i < disk->inode_count; i++) {
		if (disk->inodes[i].id != 0 && disk->inodes[i].diverged)
			return true;
	}
	return false;
}

uint32_t
model_find(const struct model_disk *disk, uint32_t folder, const char *name)
{
	const struct entries *entries = disk->inodes[folder].entries;
	uint32_t place = entries_find(entries, name);

	return place == NO_INODE ? NO_INODE : entries->list[place].inode;
}

void
model_move(
	struct model_disk *disk, uint32_t from, const char *name, uint32_t to, const char *new_name)
{
	char old_name[sizeof((struct name *)0)->text];
	size_t len = strlen(name);

	/* The caller's may be the one that goes. */
	memcpy(old_name, name, len + 1);
	uint64_t made = model_set_entry(disk, to, new_name, model_find(disk, from, old_name), 0);
	model_set_entry(disk, from, old_name, NO_INODE, made);
}

size_t
model_read(const struct model_disk *disk, uint32_t inode, void *bytes, size_t len, uint64_t offset)
{
	return content_read(disk->inodes[inode].now, bytes, len, offset);
}

/* Inodes alone, each as `now` or as what is durable. */
static struct model_disk *
copy_inodes(const struct model_disk *disk, bool durable)
{
	struct model_disk *copy = model_alloc(sizeof *copy);

	copy->random = disk->random;
	copy->ticks = disk->ticks;
	copy->wall_offset = disk->wall_offset;
	copy->next_id = disk->next_id;
	copy->traces = disk->traces;
	copy->next_serial = disk->next_serial;
	copy->inode_count = copy->inode_capacity = disk->inode_count;
	copy->inodes = model_alloc((disk->inode_count + 1) * sizeof *copy->inodes);
	for (uint32_t i = 0; i < disk->inode_count; i++) {
		const struct inode *from = &disk->inodes[i];
		struct inode *to = &copy->inodes[i];
		if (from->id == 0)
			continue;
		*to = (struct inode){.id = from->id, .is_folder = from->is_folder};
		to->diverged = from->diverged && !durable;
		to->error = durable ? 0 : from->error;
		to->error_reported = from->error_reported;
		if (from->is_folder) {
			to->durable_entries = entries_ref(from->durable_entries);
			to->entries = entries_ref(durable ? from->durable_entries : from->entries);
		} else {
			to->durable = content_ref(from->durable);
			to->now = content_ref(durable ? from->durable : from->now);
		}
	}
	return copy;
}

struct model_disk *
model_disk_copy(const struct model_disk *disk)
{
	struct model_disk *copy = copy_inodes(disk, false);

	copy->tracks = true;
	copy->piece_count = copy->piece_capacity = disk->piece_count;
	copy->pieces = model_alloc((disk->piece_count + 1) * sizeof *copy->pieces);
	for (uint32_t i = 0; i < disk->piece_count; i++) {
		struct piece *piece = &copy->pieces[i];
		*piece = disk->pieces[i];
		if (piece->name)
			name_ref(piece->name);
		if (piece->bytes) {
			piece->bytes = model_alloc(SECTOR_BYTES);
			memcpy(piece->bytes, disk->pieces[i].bytes, SECTOR_BYTES);
		}
	}
	return copy;
}

static bool
is_needed(const struct model_disk *disk, const uint8_t *kept, uint64_t serial)
{
	for (uint32_t i = 0; i < disk->piece_count; i++) {
		if (kept[i] && disk->pieces[i].needs == serial)
			return true;
	}
	return false;
}

static void
garble_page(struct model_disk *disk, const struct crash_choice *choice)
{
	struct inode *inode = &disk->inodes[choice->garble_inode];
	uint8_t bytes[SECTOR_BYTES] = {0};

	for (uint64_t i = 0; i < PAGE_SECTORS; i++) {
		uint64_t sector = choice->garble_page * PAGE_SECTORS + i;
		for (size_t k = 0; k < sizeof bytes && choice->garble == GARBLE_NOISE; k += 8) {
			uint64_t word = mix64(sector * 64 + k + inode->id);
			memcpy(bytes + k, &word, sizeof word);
		}
		content_put_sector(content_own(&inode->durable), sector, bytes);
	}
}

struct model_disk *
model_disk_crash(const struct model_disk *disk, const struct crash_choice *choice, bool tracks)
{
	struct model_disk *cut = copy_inodes(disk, true);

	for (uint32_t i = 0; i < disk->piece_count; i++) {
		const struct piece *piece = &disk->pieces[i];
		if (choice->kept[i] || (piece->kind == PIECE_ENTRY && piece->target != NO_INODE &&
					       is_needed(disk, choice->kept, piece->serial)))
			apply(&cut->inodes[piece->inode], piece);
	}
	if (choice->garble != GARBLE_NONE)
		garble_page(cut, choice);
	cut->tracks = tracks;
	for (uint32_t i = 0; i < cut->inode_count; i++) {
		struct inode *inode = &cut->inodes[i];
		if (inode->id == 0)
			continue;
		if (inode->is_folder) {
			entries_unref(inode->entries);
			inode->entries = entries_ref(inode->durable_entries);
			continue;
		}
		/* What lies behind the end of the file is not seen again. */
		if (inode->durable != disk->inodes[i].durable)
			content_resize(content_own(&inode->durable), inode->durable->size);
		content_unref(inode->now);
		inode->now = content_ref(inode->durable);
	}
	return cut;
}

static uint64_t
inode_hash(const struct model_disk *disk, uint32_t number)
{
	const struct inode *inode = &disk->inodes[number];
	uint64_t hash = 3;

	if (!inode->is_folder)
		return mix64(inode->now->hash ^ mix64(inode->now->size + 1));
	for (uint32_t i = 0; i < inode->entries->count; i++) {
		const struct folder_entry *entry = &inode->entries->list[i];
		hash += mix64(entry->name->hash ^ inode_hash(disk, entry->inode));
	}
	return mix64(hash);
}

uint64_t
model_disk_hash(const struct model_disk *disk)
{
	return inode_hash(disk, MODEL_ROOT);
}
