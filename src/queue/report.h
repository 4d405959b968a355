/*
 * Reports of what became of mail. What failed, and what arrived where the sender wants to hear of
 * that (NOTIFY=SUCCESS), is noted with its message, gathered for a little while, and told in one
 * report (text/dsn.h) that goes into the queue like any other mail; adding it is what finishes
 * those recipients (docs/spool.md, "Settling"). Until then nothing on the disk knows of it: after a
 * crash they are tried again, fail or arrive again and are reported once. Hence what arrived is
 * gathered for two seconds only.
 *
 * A message that is `report_delay` old and still has recipients is told of once; that it was is
 * part of the same record as the report.
 *
 * A failure of mail without a sender (a report, ours or another's) is told to the postmaster
 * instead, at most once an hour. The sender of a stranger's mail may be forged: such reports are
 * limited to `reports_limit` an hour, the rest waits for a day and is then suppressed.
 */
#ifndef QUEUE_REPORT_H
#define QUEUE_REPORT_H

#include "queue/message.h"
#include "task/task.h"
#include "text/dsn_template.h"

/* What is known of one recipient. */
struct outcome {
	uint32_t recipient;
	enum dsn_action action;
	struct enhanced_status status;
	wall_us at;
	struct slice text;
	struct slice remote;                 /* who said it; empty: this server */
	wall_us next_attempt_at, expires_at; /* delayed */
};

enum outcome_kind { OUTCOME_FAILED, OUTCOME_ARRIVED, OUTCOME_LATE };

/* Those of one message, failed or arrived, that nobody was told of. */
struct outcomes {
	enum outcome_kind kind;
	struct due due;    /* gathered long enough, or to be tried again */
	struct list ready; /* or in the list for the postmaster */
	struct queued *message;
	struct arena arena; /* of the texts */
	struct outcome *list;
	uint32_t count, capacity;
	uint32_t under_way; /* the first of them are in a report that the writer has */
	wall_us first_at;
	bool is_for_postmaster;
};

/* In the service. */
struct reports {
	struct list ready;      /* struct outcomes */
	struct list postmaster; /* struct outcomes */
	struct list late;       /* struct queued, by `late` */
	struct list under_way;  /* struct report */
	uint32_t under_way_count;
	struct due late_due;  /* the next message may be late */
	struct list *late_at; /* the last message that was looked at for that */
	bool late_is_due;
	struct due digest_due;
	wall_us digest_at; /* the last one */
	bool digest_is_due;
	struct dsn_templates texts;
	struct arena texts_arena;
	wall_us allowance_at; /* when the untrusted have all of their allowance again */
	struct task_event event;
};

void reports_init(struct queue_service *service);
/* With the writer ended. */
void reports_done(struct queue_service *service);
/* The task that makes them. */
void reports_run(void *arg);

/* A recipient failed for good, or arrived. Without memory for it the process ends: its successor
 * tries it again. */
void
outcome_note(struct queue_service *service, struct queued *queued, const struct outcome *outcome);
/* Whether the sender hears of a recipient's arrival. */
bool outcome_is_wanted(const struct envelope *envelope, uint32_t recipient);
/* After outcomes were noted and whenever something of the message has ended. */
void outcomes_consider(struct queue_service *service, struct queued *queued);
/* They were gathered long enough. */
void outcomes_are_due(struct queue_service *service, struct outcomes *outcomes);
/* All that were noted with it. */
void outcomes_free(struct queue_service *service, struct queued *queued);
void digest_is_due(struct queue_service *service);

/* A message came: it may be late one day. */
void late_expect(struct queue_service *service);
void late_is_due(struct queue_service *service);
/* Some of its recipients were put off, or it is as old as that: its sender hears if it is late. */
void late_consider(struct queue_service *service, struct queued *queued);
/* Before it goes. */
void late_forget(struct queue_service *service, struct queued *queued);

#endif
