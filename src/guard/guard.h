/*
 * The `guard` role: what strangers use of all session workers together. Each worker counts for
 * itself and reports what changed (ipc/tally.h); the answer is what all others have. A worker
 * decides by the sum, without asking: this process can be slow or dead, and each worker then limits
 * alone.
 */
#ifndef GUARD_GUARD_H
#define GUARD_GUARD_H

#include "base/env.h"
#include "ipc/role.h"

#define GUARD_WORKERS_MAX 64

struct guard_service;

/* What guard asks of root; may not wait. */
struct guard_root_ops {
	/* This instance of an asker broke the rules: it is to be ended and started again. */
	void (*broken)(void *arg, uint32_t instance);
};

struct guard_service *
guard_service_new(struct env *env, const struct guard_root_ops *root, void *root_arg);

/* A channel to a process that reports; owned from here on. */
void guard_service_add(
	struct guard_service *service, enum role role, uint32_t worker, uint32_t instance, int fd);

/* May wait. */
void guard_service_stop(struct guard_service *service);
void guard_service_free(struct guard_service **service);

#endif
