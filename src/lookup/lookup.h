/*
 * The `lookup` role: reads the account files (and, where the configuration says so, the system's
 * users), and gives every session read-only snapshots of the names, again whenever a file changes.
 * May block; touches neither spool nor passwords.
 */
#ifndef LOOKUP_LOOKUP_H
#define LOOKUP_LOOKUP_H

#include "base/env.h"
#include "conf/conf.h"

struct lookup_service;

/* What lookup asks of root; may not wait. */
struct lookup_root_ops {
	/* This instance of a session worker does not take its tables: it is to be ended and started
	 * again. */
	void (*broken)(void *arg, uint32_t instance);
};

struct lookup_service *lookup_service_new(struct env *env, const struct conf *conf,
	const struct lookup_root_ops *root, void *root_arg);

/* A channel to a session worker, which gets all snapshots at once; a later one for the same worker
 * replaces it. Owned from here on. */
void lookup_service_add_session(
	struct lookup_service *service, uint32_t worker, uint32_t instance, int channel_fd);

/* Reads all tables and starts watching them. */
MUST_CHECK enum error lookup_service_go(struct lookup_service *service);

/* May wait. */
void lookup_service_stop(struct lookup_service *service);
void lookup_service_free(struct lookup_service **service);

#endif
