/*
 * What the files of the queue share. table.c: the messages in memory. attempt.c: one try at all
 * open recipients of a message. peer.c: the deliverers. control.c: the operator. queue.c: intake,
 * dispatch, start and end.
 */
#ifndef QUEUE_QUEUE_PRIVATE_H
#define QUEUE_QUEUE_PRIVATE_H

#include "base/log_record.h"
#include "ipc/channel.h"
#include "ipc/envelope.h"
#include "queue/queue.h"
#include "queue/writer.h"
#include "route/route.h"
#include "schedule/schedule.h"

#define QUEUE_ATTEMPTS_MAX   4096 /* messages tried at the same time */
#define QUEUE_DELIVERIES_MAX 4096 /* recipients under way at the same time */
#define QUEUE_FRESH_MAX                                                          \
	4096 /* messages whose envelope is kept from intake to the first attempt \
	      */
#define QUEUE_DISPATCH_A_TURN 64
#define QUEUE_RETRY_SOON_US   US_PER_S /* after a failure of ours, not of the destination */

struct attempt;

#define QUEUE_REPLY_MAX 96 /* octets of the last reply kept in memory */

/* A message in memory: a little over 200 octets, and its last reply. Envelopes are read again when
 * needed. */
struct queued {
	struct list link;    /* service->messages, ascending id */
	struct list parked;  /* of the deliverer that has no room for it; then it is not on the
				schedule */
	struct queued *next; /* in its hash bucket */
	struct schedule_entry due;
	struct spool_reference message;
	struct spool_reference content;
	wall_us next_attempt_at;
	uint8_t *envelope;       /* encoded, from intake to the first attempt; else NULL */
	struct attempt *attempt; /* under way */
	uint32_t *done; /* numbers of finished recipients, when some are and some are not */
	uint32_t done_count;
	uint32_t envelope_bytes;
	uint32_t attempts;
	bool held;
	bool failed; /* some of the finished recipients: it ends in the hands of people */
	bool is_new; /* came in since this process started and was not tried yet: nobody can have
			delivered it */
	uint8_t reply_len; /* of the last reply that deferred or held it */
	char *reply;
};

enum recipient_state {
	RECIPIENT_OPEN,
	RECIPIENT_UNDER_WAY,
	RECIPIENT_DELIVERED,
	RECIPIENT_DEFERRED,
	RECIPIENT_FAILED,
	RECIPIENT_HELD,
	RECIPIENT_POSTPONED, /* not tried, for reasons of ours: tried soon, and this try does not
				count */
};

/* One try. Lives until its last recipient has an answer. */
struct attempt {
	struct queue_service *service;
	struct queued *queued;
	struct arena arena;
	struct envelope envelope;
	uint8_t *states; /* enum recipient_state, one a recipient */
	bool *was_done;
	struct list open; /* deliveries that are being filled */
	uint32_t open_count;
	uint32_t under_way; /* deliveries */
	bool sending;       /* recipients are still being handed out */
	uint32_t delivered, deferred, failed, held, postponed; /* in this try */
	struct deliver_peer *full_peer; /* that a recipient was postponed for */
	struct enhanced_status last_status;
	char last_text[SPOOL_RESULT_TEXT_MAX];
	size_t last_text_len;
};

/* Recipients of one message that a deliverer has, or is about to get: one DELIVER. */
struct delivery {
	struct list link; /* of its peer; before, of its attempt's `open` */
	struct attempt *attempt;
	struct deliver_peer *peer;
	struct peer_channel *channel; /* that it goes through; NULL while it waits */
	struct slice template;
	uint64_t copy_bytes; /* that it takes of PEER_COPY_BYTES_MAX */
	uint64_t settled;    /* a bit for each of the recipients that has its result */
	uint32_t recipients[DELIVERY_RECIPIENTS_MAX]; /* ascending */
	uint32_t recipient_count;
	size_t list_bytes; /* that the recipients take in DELIVER */
	uint32_t generation;
	uint32_t slot;
	bool is_new; /* no earlier try can have delivered it */
	bool sent;   /* the deliverer has it all: before, no answer to it can be true */
};

/* Deliveries of one attempt that wait for more recipients before they are sent. */
#define ATTEMPT_OPEN_MAX 16

#define DELIVERER_SYSTEM "system:" /* root's name for the deliverer of a system user */

#define PEER_SEGMENTS_MAX  4
#define PEER_UNDER_WAY_MAX 128 /* deliveries that a deliverer has; the others wait here */
#define PEER_ANSWER_US     (120 * US_PER_S) /* for some answer while there are deliveries under way */
#define PEER_WAITING_MAX                                                                          \
	256 /* beyond, recipients of this deliverer are postponed: it must not take all slots and \
	       attempts */
#define PEER_COPY_BYTES_MAX                                                                       \
	(64u << 20) /* of content in memory on its way to one system user, if it is more than one \
		       message */

struct deliver_peer {
	struct list link;
	struct queue_service *service;
	enum transport transport; /* SYSTEM gets copies, never a descriptor of the spool, and root
				     starts it when asked; MAILDIR is always there */
	struct slice name;        /* an owner of virtual mailboxes, or a login */
	bool asked;               /* root was asked for it */
	struct peer_channel *channel; /* NULL: not there now */
	struct list waiting;          /* deliveries that it has not got yet */
	struct list under_way;
	struct list parked; /* messages that found no room here */
	uint32_t waiting_count;
	uint32_t under_way_count;
	uint64_t copy_bytes;       /* of those under way */
	struct task_event changed; /* something to send, or room to send it */
};

/* A connection to a deliverer, with the task that reads it and owns it, and the one that writes. */
struct peer_channel {
	struct deliver_peer *peer;
	uint32_t instance; /* of the process, for root */
	mono_us heard_at;  /* the last answer, or the first delivery after a rest */
	struct channel channel;
	struct task_group sender;
	struct {
		uint32_t segment, generation;
	} segments[PEER_SEGMENTS_MAX]; /* that it has; a ring */
	uint32_t segment_count;
	uint32_t next_segment;
};

/* Descriptors of segments for reading, the ones used last. */
struct segment_cache {
	struct {
		uint32_t segment;
		int fd;
	} entries[PEER_SEGMENTS_MAX];
	uint32_t next;
};

struct session_link {
	struct queue_service *service;
	uint32_t worker;
	uint32_t instance; /* of the process, for root */
	struct channel channel;
};

struct admin_link {
	struct queue_service *service;
	uint32_t instance;
	struct channel channel;
};

struct queue_service {
	struct env *env;
	const struct conf *conf;
	const struct queue_root_ops *root;
	void *root_arg;
	struct schedule_policy policy;
	struct route_entry *route_entries;
	struct route_table routes;
	struct slice *owners; /* of each route entry; empty: virtual */

	int spool_fd;
	struct env spool_env; /* the writer thread's account */
	struct spool *spool;
	struct writer writer;
	int wake_fd; /* ours: the writer signals it */
	struct watch wake;
	struct loop_hook hook;
	struct task_event intake; /* the writer has put something */

	struct list messages;
	struct queued **buckets;
	size_t bucket_count;
	size_t message_count;
	size_t fresh_count;
	struct schedule_queue due;
	struct task_event due_changed;
	uint32_t attempts;
	struct task_event attempt_ended;

	struct delivery *deliveries; /* slots */
	uint32_t *free_slots;
	uint32_t free_slot_count;
	struct list peers;
	struct segment_cache segments;
	struct task_event result_put;

	struct task_group tasks;
	struct session_link *sessions[WRITER_WORKERS_MAX];
	bool stopping;
};

/* table.c */
MUST_CHECK enum error
table_add(struct queue_service *service, const struct queued *queued, struct queued **ret_queued);
void table_remove(struct queue_service *service, struct queued *queued);
struct queued *table_find(const struct queue_service *service, uint64_t queue_id);
void table_free(struct queue_service *service);
/* Puts it on the schedule; harmless when it is there already. */
void table_schedule(struct queue_service *service, struct queued *queued, wall_us at);
enum queue_state queued_state(const struct queued *queued);
/* Adds one; ERROR_NO_MEMORY. */
MUST_CHECK enum error
queued_add_done(struct queue_service *service, struct queued *queued, uint32_t recipient);

/* attempt.c */
/* May wait, for room towards the deliverers. */
void attempt_start(struct queue_service *service, struct queued *queued);
/* May wait. An answer for the delivery: frees its slot after the last recipient's, and ends the
 * attempt after the last one's. False: it has no such recipient without a result. */
MUST_CHECK bool attempt_answer(struct queue_service *service, struct delivery *delivery,
	const struct delivery_result *result);
/* May wait. The rest of a delivery was not tried. */
void attempt_postpone(struct queue_service *service, struct delivery *delivery);
void queued_keep_reply(struct queue_service *service, struct queued *queued, struct slice reply);
/* Reads and decodes the envelope of a message into the arena. */
MUST_CHECK enum error queue_read_envelope(struct queue_service *service,
	const struct queued *queued, struct arena *arena, struct envelope *ret_envelope);
/* A borrowed descriptor; holds until the next call. */
MUST_CHECK enum error
queue_segment_fd(struct queue_service *service, uint32_t segment, int *ret_fd);
/* May wait, for room towards the writer. */
void queue_put_result(struct queue_service *service, const struct spool_result *result);

/* peer.c */
struct deliver_peer *
peer_for(struct queue_service *service, enum transport transport, struct slice name);
/* Whether what it would be given now should wait elsewhere (peer_park). */
bool peer_is_full(const struct deliver_peer *peer);
/* Hands the delivery over as soon as the peer is there and has room. */
void peer_send(struct deliver_peer *peer, struct delivery *delivery);
/* The message, whose try is about to end, is due again as soon as the peer has room. */
void peer_park(struct deliver_peer *peer, struct queued *queued);
/* Takes it off the peer's lists. */
void peer_forget(struct delivery *delivery);
/* May wait. At the end: what no deliverer has yet is left for the next start. */
void peers_postpone_waiting(struct queue_service *service);
void peers_free(struct queue_service *service);

/* control.c: the task of a struct admin_link, which it owns */
void control_run(void *arg);

#endif
