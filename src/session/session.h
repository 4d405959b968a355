/*
 * The `session` role: one of the workers that speak SMTP with strangers. It accepts connections of
 * the shared listeners, runs each session as a task (smtp/server.h), knows recipients from
 * snapshots, and hands messages to the queue through a ring. It opens no file and holds no spool
 * descriptor.
 */
#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H

#include "base/env.h"
#include "conf/conf.h"

struct session_worker;

/* What a worker asks of root; may not wait. */
struct session_root_ops {
	/* This worker has lost something that it needs: it is to be stopped, and another started.
	 */
	void (*unable)(void *arg);
};

/* `wake_fd` is what the queue signals; owned from here on. */
struct session_worker *session_worker_new(struct env *env, const struct conf *conf, uint32_t worker,
	int wake_fd, const struct session_root_ops *root, void *root_arg);

/* Before go: how many descriptors the process may have open. It takes fewer sessions, so that
 * messages from the other processes always fit. */
void session_worker_set_descriptors(struct session_worker *worker, uint64_t max);

/* A bound socket of the `listen` block of this name; owned from here on. */
void session_worker_add_listener(struct session_worker *worker, struct slice name, int listener_fd);

/* The ring to a (new) queue, and the channel whose end tells that it died; all owned from here on.
 */
void session_worker_set_ring(struct session_worker *worker, int memory_fd, int queue_wake_fd);
void session_worker_set_queue(struct session_worker *worker, int channel_fd);

/* The channel for questions to keys; owned from here on. */
void session_worker_set_keys(struct session_worker *worker, int channel_fd, uint32_t instance);

/* The channel to the resolver. */
void session_worker_set_resolver(struct session_worker *worker, int channel_fd, uint32_t instance);

/* The channel for questions to auth; owned from here on. */
void session_worker_set_auth(struct session_worker *worker, int channel_fd, uint32_t instance);

/* The channel to guard. */
void session_worker_set_guard(struct session_worker *worker, int channel_fd, uint32_t instance);

/* The channel that snapshots come through; owned from here on. */
void session_worker_set_lookup(struct session_worker *worker, int channel_fd);

/* Starts accepting; `workers` of them share the listeners. */
MUST_CHECK enum error session_worker_go(struct session_worker *worker, uint32_t workers);

/* May wait: accepts nothing more, ends sessions with 421: idle ones at once, those with content
 * under way after the reply to it, at the latest after `grace_us`. */
void session_worker_stop(struct session_worker *worker, int64_t grace_us);
void session_worker_free(struct session_worker **worker);

#endif
