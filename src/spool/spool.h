/*
 * The spool on disk: segments of batches, a journal of results. docs/spool.md defines the bytes and
 * the rules; their numbers (W1, I1, ...) are quoted in the code. This folder and mailbox/ are the
 * only ones that flush or rename files of mail.
 *
 * One `struct spool` is used by one thread at a time: by recovery first, then by the writer. Its
 * calls block on the disk. Readers (other threads, other processes) use descriptors of
 * spool_open_segment and the references that spool calls gave out.
 *
 * A message's payload is opaque here (the encoded envelope, ipc/envelope.h).
 */
#ifndef SPOOL_SPOOL_H
#define SPOOL_SPOOL_H

#include "base/buffer.h"
#include "base/env.h"
#include "base/error.h"
#include "spool/logfile.h"

#include <stdatomic.h>
#include <sys/uio.h>

struct spool;

/* Where a record lies. It is checked against the record before each use (I3). */
struct spool_reference {
	uint32_t segment;    /* number, never used twice */
	uint32_t generation; /* of the segment's bytes: a recycled segment gets the next one */
	uint64_t offset;     /* of the record's payload in the segment */
	uint64_t size;       /* octets of the payload */
	uint64_t queue_id;
};

struct spool_options {
	uint64_t segment_bytes;    /* 64 MiB; a multiple of 1 MiB */
	uint64_t journal_bytes;    /* 16 MiB: size of one journal file */
	uint64_t fill_bytes_per_s; /* how fast the next segment is zero-filled in the background; 0:
				      as fast as it goes */
	uint32_t spare_segments;   /* pre-written segments kept ready: 1 or 2 */
	uint32_t sparse_segments; /* that may be nearly empty before their mail is copied forward */
};

/* How a recipient ended, or a message as a whole stands. */
enum spool_result_kind {
	SPOOL_RECIPIENT_DELIVERED = 1,
	SPOOL_RECIPIENT_FAILED,
	SPOOL_DEFERRED, /* attempts and next_attempt_at of the message */
	SPOOL_HELD,
	SPOOL_RELEASED,
	SPOOL_DONE,            /* nothing is left to do for this message: its records are dead */
	SPOOL_RECIPIENT_ENDED, /* failed, and whoever should hear of it has: the recipient is
				  finished */
	SPOOL_DELAY_TOLD,      /* its sender has a report that it is late */
};

/* Whether it says something of single recipients. */
static inline bool
spool_kind_is_recipients(enum spool_result_kind kind)
{
	return kind == SPOOL_RECIPIENT_DELIVERED || kind == SPOOL_RECIPIENT_FAILED ||
	       kind == SPOOL_RECIPIENT_ENDED;
}

struct spool_result {
	enum spool_result_kind kind;
	struct spool_reference message;
	uint32_t recipient;      /* DELIVERED, FAILED, ENDED: its number in the envelope */
	uint32_t attempts;       /* DEFERRED */
	wall_us next_attempt_at; /* DEFERRED */
	struct slice text; /* DEFERRED, HELD: the reason, which comes back with the message; FAILED:
			      the last reply. SPOOL_RESULT_TEXT_MAX octets are kept */
};

#define SPOOL_RESULT_TEXT_MAX 256

/* A message that recovery found alive. */
struct spool_message {
	struct spool_reference message; /* its message record: payload is the encoded envelope */
	struct spool_reference content;
	uint32_t attempts;
	wall_us next_attempt_at; /* 0: at once */
	bool held;
	bool failed; /* one of the recipients below, at least, and nobody was told */
	bool delay_told;
	bool damaged; /* its records are not sound or can't be read: kept, not to be delivered */
	struct slice reason; /* of the last deferral or hold; empty: none, or not known */
	const uint32_t *done_recipients; /* numbers of recipients that are delivered or failed */
	uint32_t done_count;
};

struct spool_visitor {
	/* A live message, or a damaged one, which a later start may find sound again; pointers hold
	 * during the call. Messages come in ascending order of queue id. */
	enum error (*message)(void *arg, const struct spool_message *message);
	/* Something on the disk is not as it should be; it was kept where it is. `what` is a phrase
	 * for the log. */
	void (*damage)(void *arg, const char *file, uint64_t offset, const char *what);
	void *arg;
};

/*
 * Opens the spool in this folder (makes a new one in an empty folder), replays journal and open
 * segments, reports every live message and all damage to the visitor, and makes ready for writing.
 * ERROR_UNSUPPORTED: a format of a later version. ERROR_EXISTS: another process has it open. The
 * spool keeps dir_fd but does not own it.
 */
MUST_CHECK enum error spool_open(struct env *env, int dir_fd, const struct spool_options *options,
	const struct spool_visitor *visitor, struct spool **ret_spool);

/*
 * The same for who only looks: nothing on the disk is changed, and nothing can be added. Damage
 * that spool_open would mend or set aside is reported all the same.
 */
MUST_CHECK enum error spool_inspect(
	struct env *env, int dir_fd, const struct spool_visitor *visitor, struct spool **ret_spool);

/* Closes without writing anything. Takes NULL. */
void spool_close(struct spool **spool);

/* The folder that it lies in. */
int spool_dir_fd(const struct spool *spool);

/* A queue id that was never given before. */
uint64_t spool_next_id(struct spool *spool);

/*
 * One batch: spool_add_message for each message that is ready, spool_add_result for each result,
 * then one spool_commit that writes, flushes, and only then returns. The memory that was added must
 * hold until spool_commit returns.
 *
 * `content` pieces may lie in memory that another process changes meanwhile: each is read once, by
 * the system call that writes it and by the pass that computes its check; a record whose bytes
 * changed in between is damaged, no other. Lengths are taken from the arguments only.
 */
MUST_CHECK enum error
spool_add_message(struct spool *spool, uint64_t queue_id, const struct iovec *content,
	int content_pieces, uint32_t content_flags, struct slice payload,
	struct spool_reference *ret_message, struct spool_reference *ret_content);

/*
 * What adding a message settles: recipients of other messages, which are finished if and only if
 * this one is durable. Appends to `settles`; the recipients ascend. kind: DELIVERED, FAILED, ENDED,
 * or, without recipients, DELAY_TOLD. The error is the buffer's.
 */
#define SPOOL_SETTLES_MAX              65536
#define SPOOL_SETTLE_BYTES(recipients) (40 + 8 * (size_t)(recipients)) /* at most */
void spool_settle_append(struct buffer *settles, enum spool_result_kind kind,
	const struct spool_reference *message, const uint32_t *recipients, uint32_t count);

/* What a message takes of a batch besides its envelope when it settles so much. */
#define SPOOL_SETTLES_BYTES(len) ((len) > 0 ? (len) + sizeof(uint32_t) : 0)

/* spool_add_message for a message that settles. ERROR_NOT_FOUND: one of the others is not live. */
MUST_CHECK enum error
spool_add_settling(struct spool *spool, uint64_t queue_id, const struct iovec *content,
	int content_pieces, uint32_t content_flags, struct slice payload, struct slice settles,
	struct spool_reference *ret_message, struct spool_reference *ret_content);

/* What a message record says of its content. */
struct message_prefix {
	struct spool_reference content;
	uint32_t content_crc;
	uint32_t content_flags;
};

/*
 * A large content in a file of its own, written as it comes in: create, write, finish, then
 * spool_add_apart. All but the first and the last of these calls are safe from any thread, one at a
 * time for each content. Any failure is for good: drop it.
 */
struct spool_apart {
	int fd; /* -1: none */
	uint32_t number;
	_Atomic uint32_t *names_lost; /* the spool's count; it outlives this */
	uint32_t names_lost_before;   /* the file was made */
	uint32_t block;
	uint64_t size; /* octets of content so far */
	uint64_t flushed;
	struct logfile_header header;
	struct message_prefix prefix; /* once it is finished */
};

/* A number for its file. */
MUST_CHECK enum error spool_apart_begin(struct spool *spool, struct spool_apart *ret_apart);
MUST_CHECK enum error spool_apart_create(struct env *env, int dir_fd, struct spool_apart *apart);
/* At this octet of the content, also over what is there; the pieces are used up. */
MUST_CHECK enum error spool_apart_write(
	struct env *env, struct spool_apart *apart, struct iovec *pieces, int count, uint64_t at);
/* Afterwards all of it is durable, and so is its name. */
MUST_CHECK enum error spool_apart_finish(struct env *env, int dir_fd, struct spool_apart *apart,
	uint64_t queue_id, uint32_t content_flags);
/* Closes the descriptor; the file stays. */
void spool_apart_close(struct env *env, struct spool_apart *apart);
/* Closes and removes it; only while no spool_add_apart of it was OK. */
void spool_apart_drop(struct env *env, int dir_fd, struct spool_apart *apart);

/* spool_add_message for a content that lies apart and is finished. When it is OK the file is the
 * spool's, whatever becomes of the batch. */
MUST_CHECK enum error
spool_add_apart(struct spool *spool, const struct spool_apart *apart, struct slice payload,
	struct spool_reference *ret_message, struct spool_reference *ret_content);

/*
 * The message is named by its queue id alone: its place may have become another. ERROR_NOT_FOUND:
 * none is live (it is done, or its batch is not committed). ERROR_LIMIT: the batch is full, commit
 * first; or a recipient's number is 1,048,576 or more.
 */
MUST_CHECK enum error spool_add_result(struct spool *spool, const struct spool_result *result);

/*
 * Whether the present batch still takes a message of this size; if not, commit first. A message too
 * large for any batch: spool_message_max.
 */
bool spool_has_room(const struct spool *spool, uint64_t content_bytes, uint64_t payload_bytes);
uint64_t spool_message_max(const struct spool *spool);

/* What became of the two parts of a commit: they are flushed one after the other (W4). */
struct spool_commit {
	enum error messages; /* OK: all messages added are durable; else none of them will ever be
			      * taken up (ERROR_NO_SPACE, ERROR_IO), but ERROR_UNKNOWN: they may be
			      * found by the next recovery */
	enum error results;  /* OK: all results added are durable; else they stay added and go into
				the next commit */
	uint32_t flushes;
};
struct spool_commit spool_commit(struct spool *spool);

/*
 * Copying forward (I4): while old segments hold little that lives, adds copies of at most so many
 * of their messages to the present batch, the octets bounded. `is_idle`: no new mail waits for this
 * commit, so what may be copied does not hang on how much was written. `ret_more`: there is more to
 * do.
 */
#define SPOOL_MOVES_MAX 128
uint32_t spool_forward(struct spool *spool, uint32_t messages_max, bool is_idle, bool *ret_more);

/* Where a message lies from now on. */
struct spool_move {
	struct spool_reference message;
	struct spool_reference content;
};

/* The n-th that the last commit moved; NULL: there are no more. Until the next spool_forward. */
const struct spool_move *spool_moved(const struct spool *spool, uint32_t n);

/* All who have references know of all moves so far, or have a descriptor: the old places may go
 * with the next commit. True: there is something to go. */
bool spool_moves_are_known(struct spool *spool);

/* Octets that new mail may still take of segments that are there already. */
uint64_t spool_room_bytes(const struct spool *spool);

/* Background work when nothing is waiting: zero-fills at most one slice of the next segment. True
 * while there is more to do. */
bool spool_prepare(struct spool *spool);

/* A new read-only descriptor of a segment, for readers. ERROR_NOT_FOUND when the segment is gone.
 * Safe from any thread. */
MUST_CHECK enum error
spool_open_segment(struct env *env, int dir_fd, uint32_t segment, int *ret_fd);

/*
 * Reads and checks a record through a descriptor of its segment: its keyed head, that it is the
 * record the reference names, its sum. ERROR_DAMAGED on a mismatch. The payload is appended to
 * `ret_payload`.
 */
MUST_CHECK enum error spool_read_record(struct env *env, int segment_fd,
	const struct spool_reference *reference, struct buffer *ret_payload);

/*
 * The CRC-32C of a record's payload, from its keyed head, without reading the payload: whoever
 * hands a content on from its segment compares it with what he read. ERROR_DAMAGED: the record is
 * not the one the reference names; it must not be sent.
 */
MUST_CHECK enum error spool_record_sum(struct env *env, int segment_fd,
	const struct spool_reference *reference, uint32_t *ret_sum);

#endif
