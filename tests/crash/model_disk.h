/*
 * A disk in memory that knows what is flushed: struct disk_ops as a program sees them (`now`), and
 * beside it what a power cut would leave (`durable`) with the list of changes in between. POSIX
 * promises no more than this:
 *
 * - A write is pieces of 512 octets, a longer file is a change of its size, a name in a folder is a
 *   change of that folder. Until the file, or the folder, is flushed each of them may be on the
 * disk or not, in any order. Of two changes of one place the later wins if both are there.
 * - A flush of a file makes its octets and its size durable, not its name. A rename never loses the
 *   file: if the old name is gone, the new one is there.
 * - A flush that fails leaves some of the changes on the disk (seeded) and forgets the others:
 * reads go on showing them, and no later flush writes them. Each descriptor that was open hears of
 * it once; a new one does only if nobody has.
 *
 * Disks share what they have in common, so that a copy costs little.
 */
#ifndef CRASH_MODEL_DISK_H
#define CRASH_MODEL_DISK_H

#include "base/env.h"

#define SECTOR_BYTES  512
#define PAGE_BYTES    4096
#define PAGE_SECTORS  8
#define MODEL_FDS_MAX 192
#define MODEL_ROOT    0 /* the inode of the root folder */

struct page {
	uint32_t refs;
	uint8_t bytes[PAGE_BYTES];
};

/* The octets of a file. Pages that are not there are zeros. */
struct content {
	uint32_t refs;
	uint64_t size;
	uint64_t hash; /* of the octets */
	uint32_t page_count;
	struct page **pages;
};

struct name {
	uint32_t refs;
	uint64_t hash;
	char text[256];
};

struct folder_entry {
	struct name *name;
	uint32_t inode;
};

struct entries {
	uint32_t refs;
	uint32_t count;
	uint32_t capacity;
	struct folder_entry *list;
};

struct inode {
	uint64_t id; /* never used twice; 0: this place is free */
	bool is_folder;
	bool diverged;       /* `now` shows what a failed flush lost */
	uint32_t error;      /* counts failed flushes */
	bool error_reported; /* to somebody: who opens the file later does not hear of it */
	struct content *now;
	struct content *durable;
	struct entries *entries;
	struct entries *durable_entries;
};

#define NO_INODE UINT32_MAX

enum piece_kind { PIECE_SECTOR, PIECE_SIZE, PIECE_ENTRY };

/* One change that is not flushed. */
struct piece {
	enum piece_kind kind;
	uint32_t inode;
	uint64_t serial;
	uint64_t value;    /* number of the sector; the size */
	uint8_t *bytes;    /* of the sector */
	struct name *name; /* of the entry; */
	uint32_t target;   /* NO_INODE: it is gone */
	uint64_t needs;    /* serial of the piece without which this one is not there; 0: none */
};

enum fault_kind {
	FAULT_NONE,
	FAULT_EIO,
	FAULT_ENOSPC,
	FAULT_EINTR,
	FAULT_EMFILE,
	FAULT_SHORT,
	FAULT_FLUSH,    /* a flush fails and what it should have written is lost, or part of it */
	FAULT_DEAD_EIO, /* this call and the next ones of the given number */
	FAULT_DEAD_ENOSPC,
	FAULT_KINDS
};

enum model_op {
	OP_NONE,
	OP_OPEN,
	OP_CREATE,
	OP_READ,
	OP_WRITE,
	OP_FLUSH,
	OP_FLUSH_FOLDER,
	OP_NAME,
	OP_OTHER
};

struct model_fd {
	bool used;
	bool locked;
	uint32_t inode;
	uint32_t error_seen;
};

struct model_disk {
	struct inode *inodes;
	uint32_t inode_count;
	uint32_t inode_capacity;
	struct piece *pieces; /* in the order of the calls; none unless `tracks` */
	uint32_t piece_count;
	uint32_t piece_capacity;
	struct model_fd fds[MODEL_FDS_MAX];
	bool tracks; /* else it is durable at once: for recoveries whose own crash is not looked at
		      */
	uint64_t next_id;
	uint64_t next_serial;
	uint64_t random; /* state of the generator */
	uint64_t changes;
	int64_t ticks;       /* the clock's */
	int64_t wall_offset; /* between the two clocks */
	uint64_t calls;
	enum fault_kind fault;
	uint64_t fault_at; /* number of the call */
	uint64_t fault_count;
	bool fault_hit;
	enum model_op fault_op; /* what failed */
	uint8_t *op_log;        /* when not NULL: the kind of each call, */
	uint64_t op_log_size;   /* as long as there is room */
	bool traces;            /* prints each call */
	/* Comes before each call. */
	void (*before_call)(void *arg, struct model_disk *disk);
	void *before_arg;
};

struct model_disk *model_disk_new(uint64_t seed, bool tracks);
void model_disk_free(struct model_disk **disk);

/* An env on this disk with its clock and random numbers, and a memory account of its own. */
void model_env_init(struct env *env, struct model_disk *disk);
void model_env_done(struct env *env);
int model_root_open(struct model_disk *disk);

/* A copy with everything: what another process finds when the first one is killed. */
struct model_disk *model_disk_copy(const struct model_disk *disk);

/* What is left of one page that was being written. */
enum garble { GARBLE_NONE, GARBLE_ZEROS, GARBLE_NOISE };

struct crash_choice {
	const uint8_t *kept; /* a flag for each piece */
	enum garble garble;
	uint32_t garble_inode;
	uint64_t garble_page;
};

/* The disk after a power cut. */
struct model_disk *
model_disk_crash(const struct model_disk *disk, const struct crash_choice *choice, bool tracks);
/* Of all that can be reached from the root. */
uint64_t model_disk_hash(const struct model_disk *disk);

/* Whether reads show something that a failed flush lost. */
bool model_diverged(const struct model_disk *disk);
/* The inode of a name; NO_INODE. */
uint32_t model_find(const struct model_disk *disk, uint32_t folder, const char *name);
/* A rename by somebody else: no call of the program. */
void model_move(struct model_disk *disk, uint32_t from, const char *name, uint32_t to,
	const char *new_name);
/* Octets of a file as a program sees them; the number that there are. */
size_t
model_read(const struct model_disk *disk, uint32_t inode, void *bytes, size_t len, uint64_t offset);

/* Whether a call of this kind can fail like that. */
bool model_op_may(enum model_op op, enum fault_kind kind);

uint64_t mix64(uint64_t value);
uint64_t model_random(struct model_disk *disk);

#endif
