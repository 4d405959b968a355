/*
 * The `guard` role: what strangers use of all session workers together. Each worker counts for
 * itself and reports what changed (ipc/tally.h); the answer is what all others have. A worker
 * decides by the sum, without asking: this process can be slow or dead, and each worker then limits
 * alone.
 *
 * Of those who have logged in it counts what they send (quotas.h), and there workers ask before
 * each recipient and wait: a quota is exact, however many workers are asked at once.
 */
#ifndef GUARD_GUARD_H
#define GUARD_GUARD_H

#include "base/env.h"
#include "conf/conf.h"
#include "ipc/role.h"

#define GUARD_WORKERS_MAX 64

struct guard_service;

/* What guard asks of root; may not wait. */
struct guard_root_ops {
	/* This instance of an asker broke the rules: it is to be ended and started again. */
	void (*broken)(void *arg, uint32_t instance);
};

struct guard_service *guard_service_new(struct env *env, const struct conf_limits *limits,
	const struct guard_root_ops *root, void *root_arg);

/* The file that quotas survive in; owned from here on. */
void guard_service_set_file(struct guard_service *service, int fd);

/* Begins to write it once a minute. */
MUST_CHECK enum error guard_service_go(struct guard_service *service);

/* A channel to a process that reports; owned from here on. */
void guard_service_add(
	struct guard_service *service, enum role role, uint32_t worker, uint32_t instance, int fd);

/* May wait. */
void guard_service_stop(struct guard_service *service);
void guard_service_free(struct guard_service **service);

#endif
