/*
 * The resolver: answers questions of the DNS for the other processes, with the cache and the
 * validation of libunbound behind it. It asks the servers of the configuration, else those of
 * /etc/resolv.conf, else the roots themselves.
 */
#ifndef RESOLVER_RESOLVER_H
#define RESOLVER_RESOLVER_H

#include "conf/conf.h"
#include "ipc/role.h"

#define RESOLVER_QUESTIONS_MAX 4096 /* under way at once */

struct resolver_service;

struct resolver_root_ops {
	/* This process breaks the rules: it is to be ended. */
	void (*broken)(void *arg, uint32_t instance);
};

/* May wait. `resolv_conf` is the text of that file, or empty; `trust_anchors` that of the
 * configuration's file. Both are read here. NULL: libunbound will not be set up; what is wrong is
 * in the log. */
struct resolver_service *
resolver_service_new(struct env *env, const struct conf *conf, struct slice resolv_conf,
	struct slice trust_anchors, const struct resolver_root_ops *root, void *root_arg);

/* A process that asks; the descriptor is taken over. */
void resolver_service_add(struct resolver_service *service, enum role role, uint32_t worker,
	uint32_t instance, int channel_fd);

/* Starts the work: from here on libunbound has its thread. */
MUST_CHECK enum error resolver_service_go(struct resolver_service *service);

/* May wait. */
void resolver_service_stop(struct resolver_service *service);
void resolver_service_free(struct resolver_service **service);

#endif
