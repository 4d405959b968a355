/*
 * The `queue` role: owner of the spool and of all envelope state. Its writer thread stores what the
 * sessions hand over and answers them (writer.h); this thread keeps the schedule, hands messages to
 * the deliverers, takes their results, and answers the operator. It never touches the network.
 */
#ifndef QUEUE_QUEUE_H
#define QUEUE_QUEUE_H

#include "base/env.h"
#include "conf/conf.h"

struct queue_service;

/* What the queue asks of root; may not wait. */
struct queue_root_ops {
	void (*need_deliver)(void *arg, struct slice user);
	/* This instance of a process is of no use: it is to be ended and started again. */
	void (*broken)(void *arg, uint32_t instance);
};

/* `wake_fd` is what the sessions signal; owned from here on. */
struct queue_service *queue_service_new(struct env *env, const struct conf *conf, int wake_fd,
	const struct queue_root_ops *root, void *root_arg);

/* The spool's folder; owned from here on. */
void queue_service_set_spool(struct queue_service *service, int folder_fd);

/* A file of `report_templates`; owned from here on. Blocks. */
void queue_service_set_report_text(struct queue_service *service, struct slice path, int fd);

/* A session worker: the channel whose end tells that it died (or that we did), and the ring. All
 * descriptors are owned from here on. */
void queue_service_add_session(
	struct queue_service *service, uint32_t worker, uint32_t instance, int channel_fd);
void queue_service_add_ring(
	struct queue_service *service, uint32_t worker, int memory_fd, int session_wake_fd);

/* A deliverer by name: an owner of virtual mailboxes, or "system:LOGIN"; and: there will be none of
 * this name now. */
void queue_service_add_deliver(
	struct queue_service *service, struct slice user, uint32_t instance, int channel_fd);
void
queue_service_no_deliver(struct queue_service *service, struct slice user, struct slice reason);

/* A relay, by its number among them. */
void queue_service_add_relay(
	struct queue_service *service, uint32_t worker, uint32_t instance, int channel_fd);

void queue_service_set_admin(struct queue_service *service, uint32_t instance, int channel_fd);

/* May wait, for a predecessor to let the spool go. Opens it (recovery; blocks) and begins to work.
 */
MUST_CHECK enum error queue_service_go(struct queue_service *service);

/* May wait: starts nothing new, gives deliveries under way up to `grace_us`, writes what is
 * decided, ends. */
void queue_service_stop(struct queue_service *service, int64_t grace_us);
void queue_service_free(struct queue_service **service);

#endif
