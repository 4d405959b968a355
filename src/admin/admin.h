/*
 * The `admin` role: the control socket on which the commands of people ask (`veredus queue list`),
 * and the go-between to `queue`. Reads no mail content.
 */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include "base/env.h"
#include "conf/conf.h"

struct admin_service;

/* What admin asks of root; may not wait. */
struct admin_root_ops {
	/* The channel to the queue can't be used: this process is to be stopped, and another
	 * started. */
	void (*unable)(void *arg);
};

struct admin_service *admin_service_new(struct env *env, const struct conf *conf,
	const struct admin_root_ops *root, void *root_arg);

/* The bound control socket (SOCK_SEQPACKET); owned from here on. */
MUST_CHECK enum error admin_service_set_listener(struct admin_service *service, int listener_fd);

/* May wait, for a request that is under way. The channel to `queue`; a later one replaces it. Owned
 * from here on. */
void admin_service_set_queue(struct admin_service *service, int channel_fd);

/* May wait. */
void admin_service_stop(struct admin_service *service);
void admin_service_free(struct admin_service **service);

#endif
