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

/* `wake_fd` is what the queue signals; owned from here on. */
struct session_worker *
session_worker_new(struct env *env, const struct conf *conf, uint32_t worker, int wake_fd);

/* A bound socket of the `listen` block of this name; owned from here on. */
void session_worker_add_listener(struct session_worker *worker, struct slice name, int listener_fd);

/* The ring to a (new) queue, and the channel whose end tells that it died; all owned from here on.
 */
void session_worker_set_ring(struct session_worker *worker, int memory_fd, int queue_wake_fd);
void session_worker_set_queue(struct session_worker *worker, int channel_fd);

/* The channel that snapshots come through; owned from here on. */
void session_worker_set_lookup(struct session_worker *worker, int channel_fd);

/* Starts accepting; `workers` of them share the listeners. */
MUST_CHECK enum error session_worker_go(struct session_worker *worker, uint32_t workers);

/* May wait: accepts nothing more, gives sessions up to `grace_us` to finish, ends the rest with
 * 421. */
void session_worker_stop(struct session_worker *worker, int64_t grace_us);
void session_worker_free(struct session_worker **worker);

#endif
