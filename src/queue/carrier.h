/*
 * Carriers: who takes parts, and the channels to its processes. A deliverer serves one lane: one
 * for each owner of virtual mailboxes, which root always keeps, and one for each system user, which
 * root starts when it is asked. The relays together are one carrier of all lanes that lead to other
 * servers.
 */
#ifndef QUEUE_CARRIER_H
#define QUEUE_CARRIER_H

#include "ipc/channel.h"
#include "queue/lanes.h"

#define CARRIER_SEGMENTS_MAX 4
#define CARRIER_WINDOW       128 /* attempts that a deliverer has */
#define CARRIER_RELAY_WINDOW 500 /* attempts that a relay has: each waits for another server */
/* For some answer while there are attempts under way. A relay may wait for another server at each
 * step of a dialogue. */
#define CARRIER_ANSWER_US       (120 * US_PER_S)
#define CARRIER_RELAY_ANSWER_US (3600 * US_PER_S)
#define CARRIER_EXPIRE_A_TIME   64 /* parts that end with one failure of their lane */
/* Of content in memory on its way to one system user, if it is more than one message. */
#define CARRIER_COPY_BYTES_MAX (64u << 20)

#define DELIVERER_SYSTEM "system:" /* root's name for the deliverer of a system user */

struct carrier {
	struct queue_service *service;
	struct queue_lane *lane; /* of a deliverer; NULL for the relays */
	struct lane_pool pool;
	struct due wake;      /* when its closed lane opens and there is nobody to see */
	bool asked;           /* root was asked for it */
	struct list channels; /* to its living processes; without those that were replaced */
	struct list under_way;
	uint64_t copy_bytes;       /* of those under way */
	struct task_event changed; /* something to send, or room to send it */
};

/* A connection to a process, with the task that reads it and owns it, and the one that writes. */
struct carrier_channel {
	struct list link; /* of its carrier; alone once it was replaced */
	struct carrier *carrier;
	uint32_t worker;
	uint32_t instance; /* of the process, for root */
	bool is_replaced;
	mono_us heard_at; /* the last answer, or the first attempt after a rest */
	uint32_t under_way;
	struct channel channel;
	struct task_group sender;
	struct {
		uint32_t segment, generation;
	} segments[CARRIER_SEGMENTS_MAX]; /* that it has; a ring */
	uint32_t segment_count;
	uint32_t next_segment;
};

/* `lane`: the one that it serves alone; NULL for the relays. */
MUST_CHECK enum error
carrier_new(struct queue_service *service, struct queue_lane *lane, struct carrier **ret_carrier);
void carrier_free(struct carrier *carrier);
/* A part came into its lane, or the lane opened: whoever sends looks, and root is asked for a
 * deliverer that is not there. */
void carrier_has_work(struct carrier *carrier);
/* The attempt is over: it is off the carrier's list, and its lane knows. */
void carrier_end_attempt(struct attempt *attempt);

#endif
