/* The inside of struct spool, for the files of this folder. */
#ifndef SPOOL_SPOOL_PRIVATE_H
#define SPOOL_SPOOL_PRIVATE_H

#include "base/cursor.h"
#include "spool/batch.h"
#include "spool/index.h"
#include "spool/spool.h"

#define SPOOL_SPARES_MAX     2
#define SPOOL_GENERATION     1 /* files are never used again, so their bytes are the first */
#define SPOOL_BATCH_MESSAGES (BATCH_RECORDS_MAX / 2)
#define MESSAGE_PREFIX_BYTES 32 /* before the caller's payload of a message record */
#define SETTLES_HEAD_BYTES   4  /* of a settling one: their length, between the two */
#define NO_FD                (-1)

enum segment_flags {
	SEGMENT_SEALED = 1, /* nothing is added any more */
	SEGMENT_KEEP = 2,   /* damaged: the file stays for repair */
	SEGMENT_UNREAD = 8, /* recovery could not read it; not sealed: the next one walks it */
	SEGMENT_FREEING =
		4, /* SEGMENT_FREE is on its way; the file goes when that is flushed (I6) */
};

struct segment {
	uint32_t number;
	uint32_t generation;
	uint32_t flags;
	uint32_t live;       /* references of live messages to it */
	uint64_t live_bytes; /* of the records that they name */
	bool is_left;        /* messages were copied out of it, which not all readers know */
	bool stays;          /* not all of it can be copied */
	bool is_apart;       /* one large content, no batch */
	bool is_unsaid;      /* the journal does not know it yet; only with is_apart */
	struct logfile_header header; /* as in the file; block 0: not known */
	/* Recovery: what the journal says of it. */
	uint64_t walk_offset;    /* messages before it are in the journal's state */
	uint64_t first_sequence; /* of the batch there; 0: not known */
	uint64_t end_sequence;   /* all batches with lower ones are there, none from it on counts;
				    0: not known */
	uint64_t end_offset;     /* where the last that counts ends, once end_sequence is known */
	bool end_unsaid;         /* the journal does not have the end yet */
	bool was_unread;         /* an earlier recovery could not read it */
};

/* A file that is being filled with zeros. */
struct spare {
	int fd;
	uint32_t number;
	uint64_t filled;
	uint64_t size;
	bool flushed;
	bool ready; /* a journal under JOURNAL_READY; it gets a number when it is used */
};

/* Bears this name only once it is flushed: so it may serve whoever finds it (W6). */
#define JOURNAL_READY "journal-ready"

enum active_state { ACTIVE_NONE, ACTIVE_PLANNED, ACTIVE_STARTED };

/* The segment that takes batches. Planned: number and key are chosen, no file is touched yet. */
struct active {
	enum active_state state;
	int fd; /* the only one open for writing (W5) */
	struct logfile_header header;
	uint64_t end; /* where the next batch starts */
};

struct journal {
	int fd;
	struct logfile_header header;
	uint64_t end;
	uint64_t sequence; /* of the next batch */
	bool exists;
	bool broken; /* a write or flush failed: what lies on the disk is unknown (W5) */
};

/* A message whose copy is in the present batch, or was in the last. */
struct moving {
	struct spool_move to;
	uint8_t *bytes; /* of the copy, until it is written */
};

/* Copying forward: what is left of a segment of which little lives (forward.c). */
struct forward {
	int fd; /* of the segment that is emptied; NO_FD: none is */
	uint32_t segment;
	uint32_t next_entry; /* of the index, to look at */
	uint64_t credit;     /* octets that may be copied beside new mail */
	mono_us look_at;
	mono_us retry_at;      /* after a failure */
	struct moving *moving; /* SPOOL_MOVES_MAX */
	uint32_t count;        /* in the present batch */
	uint32_t moved;        /* by the last one */
};

struct spool {
	struct env *env;
	int dir_fd;
	int lock_fd;
	bool is_inspection; /* nothing is written */
	struct spool_options options;
	uint32_t block;
	struct index index;
	struct segment *segments; /* ascending numbers */
	size_t segment_count;
	size_t segment_capacity;
	uint32_t next_segment;
	uint32_t next_journal;
	uint64_t next_sequence; /* of batches in segments */
	uint64_t last_id;
	uint64_t unread_floor; /* ids up to it may turn up once more, where recovery could not read;
				  0: nothing is unread */
	struct active active;
	struct spare spares[SPOOL_SPARES_MAX]; /* ascending numbers */
	uint32_t spare_count;
	struct spare journal_spare; /* fd NO_FD: none */
	mono_us next_fill_at;       /* the rate's */
	mono_us retry_fill_at;      /* after a failure */
	mono_us retry_space_at;     /* for the next segment, after the disk was full */
	struct batch batch;
	struct index_entry **added;  /* entries of the present batch */
	struct slice *added_settles; /* what each of them settles; empty: nothing */
	uint32_t added_count;
	_Atomic uint32_t names_lost; /* flushes of the folder that failed, whoever did them */
	uint32_t names_lost_seen;
	bool has_apart; /* the present batch has a message whose content lies apart */
	struct forward forward;
	struct journal journal;
	struct batch_image pending; /* records for the journal's next batch */
	uint32_t pending_results;
	uint32_t flushes; /* of the present commit */
};

/* What one message is made of; its octets are the caller's. */
struct addition {
	const struct iovec *content;
	int content_pieces;
	uint32_t content_flags;
	struct slice payload;
	struct slice settles;
	bool is_copy;                       /* of one that was stored before */
	const struct message_prefix *apart; /* of a content with a file of its own; NULL: it has
					       none */
};

/* spool.c */
/* The first message decides where the batch will stand; nothing is written yet. */
MUST_CHECK enum error spool_begin_batch(struct spool *spool, uint64_t bytes);
/* On an error nothing of it is in the batch. */
MUST_CHECK enum error
spool_add_records(struct spool *spool, const struct addition *adding, uint64_t queue_id,
	struct spool_reference *ret_message, struct spool_reference *ret_content);

static inline uint64_t
spool_message_bytes(uint64_t content_bytes, uint64_t payload_bytes)
{
	return record_bytes(content_bytes) + record_bytes(MESSAGE_PREFIX_BYTES + payload_bytes);
}

/* record.c: the record's head: keyed, at its place, and the one that the reference names (I3). */
MUST_CHECK enum error record_read_head(struct env *env, int fd,
	const struct spool_reference *reference, struct record *ret_record);

/* apart.c */
/* Where the content begins in its file. */
uint64_t apart_payload(uint32_t block);
/* Its file is the spool's: it lives as long as a message that names it. */
MUST_CHECK enum error apart_adopt(struct spool *spool, const struct spool_apart *apart);
/* The journal knows all of them. */
MUST_CHECK enum error apart_say_open(struct spool *spool);

/* forward.c */
/* What became of the copies of the batch. */
void forward_settle(struct spool *spool, bool durable);
/* So much new mail was written. */
void forward_earn(struct spool *spool, uint64_t bytes);
void forward_done(struct spool *spool);

/* files.c: flushes and pre-written files */
MUST_CHECK enum error spool_flush(struct spool *spool, int fd);
MUST_CHECK enum error spool_flush_folder(struct spool *spool);
/* Drops what waits for its use and may have lost its name, before it is used. */
void spool_see_lost_names(struct spool *spool);
MUST_CHECK enum error
spare_begin(struct spool *spool, enum logfile_kind kind, uint32_t number, struct spare *ret_spare);
MUST_CHECK enum error spare_finish(struct spool *spool, struct spare *spare);
void spare_drop(struct spool *spool, enum logfile_kind kind, struct spare *spare);

/* segment.c */
struct segment *segment_find(const struct spool *spool, uint32_t number);
MUST_CHECK enum error
segment_add(struct spool *spool, uint32_t number, struct segment **ret_segment);
/* Takes one back that nothing names. */
void segment_forget(struct spool *spool, uint32_t number);
/* Chooses the segment for the next batch: the present one when these bytes fit, else a new one. */
MUST_CHECK enum error segment_plan(struct spool *spool, uint64_t batch_bytes);
/* Makes a planned segment ready for its first batch (I1). */
MUST_CHECK enum error segment_start(struct spool *spool);
void segment_seal(struct spool *spool);
/* SEGMENT_SEALED for all whose end the journal does not have. */
MUST_CHECK enum error segment_say_ends(struct spool *spool);
/* SEGMENT_FREE for all that hold nothing live. */
void segment_collect(struct spool *spool);
/* Removes the files whose SEGMENT_FREE is flushed. */
void segment_remove_freed(struct spool *spool);
/* References of an entry that lives (+1) or lives no longer (-1). */
void segment_count_entry(struct spool *spool, struct index_entry *entry, bool alive);

/* journal.c */
MUST_CHECK enum error journal_add_result(struct spool *spool, const struct spool_result *result);
MUST_CHECK enum error
journal_add_segment(struct spool *spool, uint32_t type, const struct segment *segment);
MUST_CHECK enum error journal_add_moved(struct spool *spool, const struct spool_move *move);
/* Writes and flushes what is pending; a new journal when the present one is full or broken. */
MUST_CHECK enum error journal_flush(struct spool *spool);
/* A new journal with the whole state: nothing is pending afterwards. */
MUST_CHECK enum error journal_start(struct spool *spool);
/* The pre-written journal gets the name under which the next start finds it. */
MUST_CHECK enum error journal_spare_keep(struct spool *spool);
void journal_close(struct spool *spool);

/* The end of a journal's state. */
struct journal_end {
	uint64_t messages; /* STATE records before it */
	uint64_t next_sequence;
	uint32_t next_segment;
};

/* The records of a journal: into the batch in the making, */
MUST_CHECK enum error journal_image_segment(struct batch_image *image, const struct spool *spool,
	uint32_t type, const struct segment *segment);
MUST_CHECK enum error
journal_image_state(struct batch_image *image, struct env *env, const struct index_entry *entry);
MUST_CHECK enum error journal_image_end(struct batch_image *image, const struct journal_end *end);

/* and out of the payload. */
struct journal_segment {
	uint32_t number;
	uint32_t generation;
	uint32_t flags;
	bool is_apart;
	uint64_t offset;
	uint64_t sequence;
	uint64_t id_floor;
	uint32_t block; /* of the file's header, whose second copy this is; 0: not known */
	uint64_t size;
	struct siphash_key key;
};
MUST_CHECK enum error
journal_decode_segment(struct slice payload, struct journal_segment *ret_segment);
MUST_CHECK enum error
journal_decode_result(uint64_t queue_id, struct slice payload, struct spool_result *ret_result);
/* Fills an entry that is new but for its id. */
MUST_CHECK enum error
journal_decode_state(struct index *index, struct slice payload, struct index_entry *entry);
MUST_CHECK enum error
journal_decode_moved(uint64_t queue_id, struct slice payload, struct spool_move *ret_move);
MUST_CHECK enum error journal_decode_end(struct slice payload, struct journal_end *ret_end);

/* How a result changes what is known of its message; DONE is the caller's. */
MUST_CHECK enum error
entry_apply(struct index *index, struct index_entry *entry, const struct spool_result *result);

/* settle.c: of one other message; `ranges` are pairs of u32, first and last recipient. */
struct settle {
	enum spool_result_kind kind;
	struct spool_reference message;
	struct slice ranges;
};
/* ERROR_DAMAGED: no such bytes are ever written. */
MUST_CHECK enum error settle_next(struct cursor *cursor, struct settle *ret_settle);

/* As a result for each recipient; a place begins as all zero. False: that was the last. */
struct settle_place {
	size_t at;
	uint32_t next, last;
	bool began;
};
bool settle_next_result(
	const struct settle *settle, struct settle_place *place, struct spool_result *ret_result);

/* All are live and have room, so that settles_apply can't fail but for the journal, which a new one
 * mends. ERROR_NOT_FOUND, ERROR_DAMAGED, ERROR_NO_MEMORY. */
MUST_CHECK enum error settles_prepare(struct spool *spool, struct slice settles);
/* Once the message that settles them is durable. */
void settles_apply(struct spool *spool, struct slice settles);

void
message_prefix_encode(const struct message_prefix *prefix, uint8_t ret_bytes[MESSAGE_PREFIX_BYTES]);
void settles_head_encode(uint32_t len, uint8_t ret_bytes[SETTLES_HEAD_BYTES]);
MUST_CHECK enum error
message_prefix_decode(struct slice bytes, uint64_t queue_id, struct message_prefix *ret_prefix);

/* recover.c: fills index and segments from the disk, starts the new journal, removes what is dead.
 */
MUST_CHECK enum error spool_recover(struct spool *spool, const struct spool_visitor *visitor);

static inline void
spool_see_id(struct spool *spool, uint64_t queue_id)
{
	if (queue_id > spool->last_id)
		spool->last_id = queue_id;
}

#endif
