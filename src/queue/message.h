/*
 * The messages in memory, and what the spool has of them. A message waits for its time, is routed
 * then (lanes.h), and from there on lives in parts until its last recipient has a result.
 */
#ifndef QUEUE_MESSAGE_H
#define QUEUE_MESSAGE_H

#include "base/list.h"
#include "ipc/envelope.h"
#include "ipc/message.h"
#include "queue/writer.h"
#include "schedule/schedule.h"

#define QUEUE_FRESH_MAX                                                                        \
	4096               /* messages whose envelope is kept from intake to the first attempt \
			    */
#define QUEUE_REPLY_MAX 96 /* octets of the last reply kept in memory */
#define QUEUE_SEGMENTS  4  /* whose descriptors are kept for reading */

struct queue_service;
struct outcomes;

/* What waits for its time: the entry, and what it is in. */
enum due_kind { DUE_MESSAGE, DUE_PART, DUE_CARRIER, DUE_REPORT, DUE_DIGEST, DUE_LATE };
struct due {
	struct schedule_entry entry;
	enum due_kind kind;
};

/* A decoded envelope, for as long as somebody needs it. */
struct opened {
	struct arena arena;
	struct envelope envelope;
	uint32_t users;
};

/* A message: about 300 octets, and its last reply. Envelopes are read again when needed. */
struct queued {
	struct list link;    /* service->messages, ascending id */
	struct queued *next; /* in its hash bucket */
	struct due due;      /* to be routed; afterwards its parts wait */
	struct spool_reference message;
	struct spool_reference content;
	wall_us next_attempt_at;
	struct list parts;
	struct opened *opened;
	uint8_t *envelope; /* encoded, from intake to the first attempt; else NULL */
	uint32_t envelope_bytes;
	uint32_t *done; /* until it is routed: recipients that an earlier process has finished */
	uint32_t done_count;
	uint32_t done_capacity;
	uint32_t recipients;       /* once it is routed, as are the next two */
	uint32_t left;             /* of them, without a final result */
	uint32_t kept_back;        /* of those: the route says hold */
	struct outcomes *failures; /* that nobody was told of yet (report.h); NULL: none */
	struct outcomes *arrivals; /* likewise; its recipients are not done before that */
	struct list late;          /* in the line of those whose sender is told that they are */
	uint32_t under_way;        /* attempts */
	uint32_t attempts;         /* of the recipients tried most often */
	uint32_t status;           /* of the reply */
	bool late_is_told;         /* or nobody is to be told */
	bool late_is_under_way;    /* the report is with the writer */
	bool is_routed;
	bool is_routing; /* this may wait: it must not end meanwhile */
	bool held;
	bool damaged;    /* held, and nobody can release it */
	bool has_failed; /* an earlier version left failures that nobody was told of */
	bool is_new;     /* came in since this process started: nobody can have delivered it */
	uint8_t reply_len;
	char *reply; /* that deferred, failed or held it */
};

/* Patterns of lanes that an operator has paused (pause.c); the same are in the spool's folder. */
#define PAUSES_MAX 64
struct pauses {
	struct slice patterns[PAUSES_MAX];
	size_t count;
	int folder_fd;   /* the spool's folder, opened for this alone; -1: not yet */
	bool is_writing; /* a change waits for the disk */
};

/* Descriptors of segments for reading, the ones used last. */
struct segment_cache {
	struct {
		uint32_t segment;
		int fd;
	} entries[QUEUE_SEGMENTS];
	uint32_t next;
};

/* table.c */
MUST_CHECK enum error
table_add(struct queue_service *service, const struct queued *queued, struct queued **ret_queued);
/* With its parts, none of which is under way. */
void table_remove(struct queue_service *service, struct queued *queued);
struct queued *table_find(const struct queue_service *service, uint64_t queue_id);
void table_free(struct queue_service *service);
/* Puts it on the schedule, or gives it another time. */
void due_set(struct queue_service *service, struct due *due, wall_us at);
enum queue_state queued_state(const struct queued *queued);
/* ERROR_NO_MEMORY. */
MUST_CHECK enum error
queued_add_done(struct queue_service *service, struct queued *queued, uint32_t recipient);
void queued_keep_reply(
	struct queue_service *service, struct queued *queued, uint32_t status, struct slice reply);
void queued_drop_envelope(struct queue_service *service, struct queued *queued);

/* content.c */
/* A borrowed descriptor; holds until the next call. */
MUST_CHECK enum error
queue_segment_fd(struct queue_service *service, uint32_t segment, int *ret_fd);
void segment_cache_close(struct queue_service *service);
/* Reads and decodes the envelope of a message into the arena. */
MUST_CHECK enum error queue_read_envelope(struct queue_service *service,
	const struct queued *queued, struct arena *arena, struct envelope *ret_envelope);
/* The same, shared by all who have it open; each closes it again. */
MUST_CHECK enum error
message_open(struct queue_service *service, struct queued *queued, struct opened **ret_opened);
void message_close(struct queue_service *service, struct queued *queued);
/* The content in sealed memory, for who may not have a descriptor of the spool. */
MUST_CHECK enum error
content_copy(struct queue_service *service, const struct spool_reference *content, int *ret_memfd);

#endif
