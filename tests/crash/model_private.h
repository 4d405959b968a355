/* What the files of the model share: contents and folders that several disks hold. */
#ifndef CRASH_MODEL_PRIVATE_H
#define CRASH_MODEL_PRIVATE_H

#include "model_disk.h"

extern const struct disk_ops model_disk_ops;

void *model_alloc(size_t size);

/* model_content.c */
struct content *content_new(void);
struct content *content_ref(struct content *content);
void content_unref(struct content *content);
/* The same content, for one holder alone: may be replaced. */
struct content *content_own(struct content **content);
const uint8_t *content_sector(const struct content *content, uint64_t sector);
void content_put_sector(struct content *content, uint64_t sector, const uint8_t *bytes);
/* Zeros behind the size, so that nothing comes back when it grows. */
void content_resize(struct content *content, uint64_t size);
size_t content_read(const struct content *content, void *bytes, size_t len, uint64_t offset);

struct name *name_new(const char *text);
struct name *name_ref(struct name *name);
void name_unref(struct name *name);

struct entries *entries_new(void);
struct entries *entries_ref(struct entries *entries);
void entries_unref(struct entries *entries);
struct entries *entries_own(struct entries **entries);
uint32_t entries_find(const struct entries *entries, const char *text);
/* NO_INODE takes the name away. */
void entries_put(struct entries *entries, struct name *name, uint32_t inode);

/* model_disk.c */
void inode_drop(struct inode *inode);
void piece_drop(struct piece *piece);
/* Makes the changes of an inode durable. */
void model_flush(struct model_disk *disk, uint32_t inode);
/* Makes those of them durable that the seed says, and forgets the others. */
void model_flush_failed(struct model_disk *disk, uint32_t inode);
void
model_write_sector(struct model_disk *disk, uint32_t inode, uint64_t sector, const uint8_t *bytes);
void model_set_size(struct model_disk *disk, uint32_t inode, uint64_t size);
/* The serial of the piece; `needs` is that of another one or 0. */
uint64_t model_set_entry(struct model_disk *disk, uint32_t folder, const char *name,
	uint32_t target, uint64_t needs);
uint32_t model_add_inode(struct model_disk *disk, bool is_folder);

#endif
