/*
 * Parts and lanes. A part is the recipients of one message that go the same way and were tried as
 * often; it lies in its lane while it is due, and on the schedule while it waits for its time. An
 * attempt is what of a part is under way: at most DELIVERY_RECIPIENTS_MAX recipients. Parts and
 * lanes are derived from envelopes and the configuration, never stored.
 */
#ifndef QUEUE_LANES_H
#define QUEUE_LANES_H

#include "queue/message.h"
#include "route/route.h"
#include "schedule/lane.h"

#define LANE_BUCKETS       4096
#define ATTEMPT_REMOTE_MAX 160 /* octets kept of who gave the last reply */

struct carrier;
struct carrier_channel;

/* A destination. */
struct queue_lane {
	struct lane lane;
	struct queue_lane *next; /* in its hash bucket */
	struct carrier *carrier;
	enum transport transport;
	struct slice name;
	struct schedule_policy policy; /* when parts are tried again */
	struct part *filling;          /* the part of the message that is being routed */
};

struct part {
	struct lane_part line;
	struct due due;
	struct list link; /* of its message */
	struct queued *message;
	struct queue_lane *lane; /* NULL: no route takes these recipients */
	struct slice template;
	bool is_forwarded;    /* all of them, or none */
	uint32_t *recipients; /* ascending */
	uint32_t count, capacity;
	uint32_t taken;    /* the first of them are under way, or settled */
	uint32_t attempts; /* so far */
	bool is_new;       /* nobody can have delivered it */
	bool keeps_open;   /* the message's envelope */
};

struct attempt {
	struct list link; /* of its carrier */
	struct queue_service *service;
	struct queued *message;
	struct queue_lane *lane;
	struct opened *opened;
	struct carrier_channel *channel;
	struct slice template;
	bool is_forwarded;
	uint64_t copy_bytes; /* that it takes of CARRIER_COPY_BYTES_MAX */
	uint64_t settled;    /* a bit for each recipient that has its result, as are the next two; a
				failure, or an arrival that is to be told, is noted with the
				message (report.h) */
	uint64_t noted;
	uint64_t deferred;
	uint32_t recipients[DELIVERY_RECIPIENTS_MAX]; /* ascending */
	uint32_t count;
	uint32_t attempts; /* with this one */
	wall_us begun_at;
	enum delivery_tls tls; /* of the last reply that was no success, as are the next two */
	uint32_t slot;
	uint32_t generation;
	enum lane_outcome outcome;
	bool is_new;
	bool sent; /* the carrier has it all: before, no answer to it can be true */
	struct enhanced_status status; /* of the last reply */
	uint8_t text_len;
	char text[SPOOL_RESULT_TEXT_MAX - 1];
	uint8_t remote_len;
	char remote[ATTEMPT_REMOTE_MAX];
};

/* A place for an attempt, by which a carrier names it. */
struct attempt_slot {
	struct attempt *attempt;
	uint32_t generation;
	uint32_t next_free;
};

struct attempt_table {
	struct attempt_slot *slots;
	uint32_t count;
	uint32_t first_free;
	uint32_t used;
};

/* lanes.c */
/* ERROR_NO_MEMORY. */
MUST_CHECK enum error lane_for(struct queue_service *service, enum transport transport,
	struct slice name, struct queue_lane **ret_lane);
void lanes_free(struct queue_service *service);
/* May wait. Its time has come: it is divided into parts, which go into their lanes. */
void message_route(struct queue_service *service, struct queued *queued);
/*
 * Takes back what routing made of it, so that it is routed anew when it is due. Nothing of it may
 * be under way. ERROR_NO_MEMORY and what reading it can say: it is as before.
 */
MUST_CHECK enum error message_unroute(struct queue_service *service, struct queued *queued);
/* Its time has come. */
void part_is_due(struct queue_service *service, struct part *part);
/* A part of these recipients, joined to one that waits for the same try; due at `at`, or now in its
 * lane when that is 0. Without memory for it the process ends: its successor reads it from the
 * spool. */
void part_add(struct queue_service *service, const struct part *like, const uint32_t *recipients,
	uint32_t count, wall_us at);
void part_free(struct queue_service *service, struct part *part);

/* attempt.c */
/* The next recipients of a part that lane_pool_take gave out; the rest of it is back in its lane.
 * NULL: not now, and the part waits. */
struct attempt *attempt_begin(struct queue_service *service, struct part *part);
/* The attempt of this number; NULL: there is none. */
struct attempt *attempt_find(const struct queue_service *service, uint64_t number);
uint64_t attempt_number(const struct attempt *attempt);
/* May wait. A result; after that of the last recipient the attempt is gone. False: it has no such
 * recipient without a result. */
MUST_CHECK bool attempt_result(struct attempt *attempt, const struct delivery_result *result);
/* May wait. What has no result was not tried. */
void attempt_give_up(struct attempt *attempt);
/* May wait. Recipients, numbered in the envelope, for whom there is no lane. */
void recipients_defer(struct queue_service *service, struct part *part);
struct outcome;
void log_failed(struct queue_service *service, const struct queued *queued, const char *event,
	struct slice to, const struct outcome *failure);
/* Whether something of the message is under way or due, so that more may be known of it soon. */
bool queued_has_work(const struct queue_service *service, const struct queued *queued);
/* May wait. When something of the message has ended: its failures are told if nothing else is
 * expected; after the last part, attempt and report it is done, or held. */
void message_check_end(struct queue_service *service, struct queued *queued);
/* May wait, for room towards the writer. */
void queue_put_result(struct queue_service *service, const struct spool_result *result);

#endif
