/* What report.c (when, and to whom) and report_make.c (what) share. */
#ifndef QUEUE_REPORT_PRIVATE_H
#define QUEUE_REPORT_PRIVATE_H

#include "queue/queue_private.h"
#include "queue/report.h"

#define DIGEST_EVERY_US       (3600 * US_PER_S)
#define REPORT_RECIPIENTS_MAX 1000 /* of one report; the rest is told in another */

/* A message that it tells of, and how many of its failures, from the first on. */
struct report_item {
	uint64_t queue_id;
	uint32_t count;
};

/* One that the writer has. */
struct report {
	struct own_message own;
	struct list link;
	struct buffer content, envelope, settles;
	struct report_item *items;
	uint32_t count;
	enum outcome_kind kind;
	bool is_digest;
};

/* report.c */
/* Whether somebody answers for the sender of this message. */
bool sender_is_trusted(const struct queue_service *service, const struct envelope *envelope);
/* One of the reports that go to senders who may be forged. */
bool allowance_take(struct queue_service *service);
void log_suppressed(struct queue_service *service, const struct queued *queued,
	const struct envelope *envelope, uint32_t recipients);

/* report_texts.c */
void report_texts_init(struct queue_service *service);
void report_texts_done(struct queue_service *service);

/* report_late.c */
void late_init(struct queue_service *service);
void late_done(struct queue_service *service);
/* Looks at messages that have got old enough, and tells of one that is late. Whether there was
 * something to do. */
bool late_work(struct queue_service *service);
/* The report was stored, or not. */
void late_settled(struct queue_service *service, struct queued *queued, bool is_stored);

/* report_make.c */
/*
 * Makes the report of the first outcomes, and hands it to the writer. ERROR_FORMAT: the sender's
 * address is not fit to be a report's.
 */
MUST_CHECK enum error report_make(
	struct queue_service *service, struct outcomes *outcomes, const struct envelope *envelope);
/* One message to the postmaster about all that waits for it, as far as it goes into one. Without a
 * postmaster they wait on. */
void digest_make(struct queue_service *service);
/* Whether this is such a message. */
bool report_is_digest(const struct queue_service *service, const struct envelope *envelope);
/* That it was stored, or was not. */
void report_log(struct queue_service *service, const struct report *report);
void report_free(struct queue_service *service, struct report *report);

#endif
