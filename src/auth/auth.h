/*
 * The `auth` role: who knows the password of which login. It alone reads the file of passwords,
 * which root opens for it. Sessions ask; the hashes are computed on a few threads.
 */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include "base/env.h"
#include "conf/conf.h"
#include "ipc/role.h"

#define AUTH_THREADS_MAX 4 /* hashes at a time, 16 MiB each; and one for every other asker */

struct auth_service;

/* What auth asks of root; may not wait. */
struct auth_root_ops {
	/* This instance of an asker broke the rules: it is to be ended and started again. */
	void (*broken)(void *arg, uint32_t instance);
};

struct auth_service *
auth_service_new(struct env *env, const struct auth_root_ops *root, void *root_arg);

/* The file, at any time another one; read now, and closed. A file with a fault changes nothing. */
void auth_service_set_file(struct auth_service *service, struct slice path, int fd);

/* A channel to a process that asks; owned from here on. */
void auth_service_add(
	struct auth_service *service, enum role role, uint32_t worker, uint32_t instance, int fd);

/* May wait. */
void auth_service_stop(struct auth_service *service);
void auth_service_free(struct auth_service **service);

#endif
