/*
 * Reports of what could not be delivered. What failed is noted with its message, gathered for a
 * little while, and told in one report (text/dsn.h) that goes into the queue like any other mail;
 * adding it is what finishes those recipients (docs/spool.md, "Settling"). Until then nothing on
 * the disk knows of the failure: after a crash they are tried again, fail again and are reported
 * once.
 *
 * A failure of mail without a sender (a report, ours or another's) is told to the postmaster
 * instead, at most once an hour. The sender of a stranger's mail may be forged: such reports are
 * limited to `reports_limit` an hour, the rest waits for a day and is then suppressed.
 */
#ifndef QUEUE_REPORT_H
#define QUEUE_REPORT_H

#include "queue/message.h"
#include "task/task.h"

/* What is known of one recipient that failed. */
struct failure {
	uint32_t recipient;
	struct enhanced_status status;
	wall_us at;
	struct slice text;
	struct slice remote; /* who said it; empty: this server */
};

/* Those of one message that nobody was told of. */
struct failures {
	struct due due;    /* gathered long enough, or to be tried again */
	struct list ready; /* or in the list for the postmaster */
	struct queued *message;
	struct arena arena; /* of the texts */
	struct failure *list;
	uint32_t count, capacity;
	uint32_t under_way; /* the first of them are in a report that the writer has */
	wall_us first_at;
	bool is_for_postmaster;
};

/* In the service. */
struct reports {
	struct list ready;      /* struct failures */
	struct list postmaster; /* struct failures */
	struct list under_way;  /* struct report */
	uint32_t under_way_count;
	struct due digest_due;
	wall_us digest_at; /* the last one */
	bool digest_is_due;
	wall_us allowance_at; /* when the untrusted have all of their allowance again */
	struct task_event event;
};

void reports_init(struct queue_service *service);
/* With the writer ended. */
void reports_done(struct queue_service *service);
/* The task that makes them. */
void reports_run(void *arg);

/* A recipient failed for good. Without memory for it the process ends: its successor tries it
 * again. */
void
failure_note(struct queue_service *service, struct queued *queued, const struct failure *failure);
/* After failures were noted and whenever something of the message has ended. */
void failures_consider(struct queue_service *service, struct queued *queued);
/* They were gathered long enough. */
void failures_are_due(struct queue_service *service, struct failures *failures);
void failures_free(struct queue_service *service, struct queued *queued);
void digest_is_due(struct queue_service *service);

#endif
