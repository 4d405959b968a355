/*
 * What the files of the queue share: the service. table.c: the messages in memory. content.c:
 * reading the spool. lanes.c: recipients into parts, parts into lanes. attempt.c: what becomes of
 * them. report.c, report_late.c, report_make.c: who is told
 * of what. carrier.c: the processes that take parts.
 * control.c, look.c,
 * order.c, pause.c: the operator. queue.c: intake, dispatch, start and end.
 */
#ifndef QUEUE_QUEUE_PRIVATE_H
#define QUEUE_QUEUE_PRIVATE_H

#include "base/hash.h"
#include "base/log_record.h"
#include "queue/carrier.h"
#include "queue/lanes.h"
#include "queue/message.h"
#include "queue/queue.h"
#include "queue/report.h"
#include "queue/writer.h"

#define QUEUE_DISPATCH_A_TURN 64

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
	struct buffer bundle; /* what waits for its QUEUE_BUNDLE */
};

struct queue_service {
	struct env *env;
	const struct conf *conf;
	const struct queue_root_ops *root;
	void *root_arg;
	struct schedule_policy policy;
	struct route_entry *route_entries;
	struct route_table routes;
	struct arena arena; /* names of lanes of the configuration */

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
	struct attempt_table attempts;
	struct task_event attempt_ended;
	struct queue_lane *lane_buckets[LANE_BUCKETS];
	struct carrier *relays;      /* of all lanes that lead to other servers */
	struct siphash_key hash_key; /* of lanes and senders */
	uint32_t opened_parts;       /* that keep their envelope decoded */
	struct segment_cache segments;
	struct task_event result_put;
	struct reports reports;
	struct pauses pauses;

	struct task_group tasks;
	struct session_link *sessions[WRITER_WORKERS_MAX];
	bool stopping;
};

/* pause.c */
bool pauses_mean(const struct queue_service *service, const struct queue_lane *lane);
/* Blocks: what was paused before the start. Not OK: it can't be known, and nothing may go. */
MUST_CHECK enum error pauses_load(struct queue_service *service);
/*
 * May wait: OK when it is durable. ERROR_LIMIT: there are too many; ERROR_FORMAT: no pattern;
 * ERROR_AGAIN: another change is being written; what the disk or memory says.
 */
MUST_CHECK enum error pause_add(struct queue_service *service, struct slice pattern);
/* May wait, likewise. "*": all of them. ERROR_NOT_FOUND: that pattern was not paused. */
MUST_CHECK enum error pause_remove(struct queue_service *service, struct slice pattern);
void pauses_free(struct queue_service *service);

/* control.c: the task of a struct admin_link, which it owns */
void control_run(void *arg);

#endif
