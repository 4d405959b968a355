/*
 * The `keys` role: the only process with private keys. It signs what TLS handshakes of the sessions
 * need signed, and hashes of mail (DKIM), and tells them the certificates (which everybody may
 * know). Files come as descriptors that root has opened; nothing is opened here.
 */
#ifndef KEYS_KEYS_H
#define KEYS_KEYS_H

#include "base/env.h"
#include "conf/conf.h"
#include "ipc/role.h"

struct keys_service;

/* What keys asks of root; may not wait. */
struct keys_root_ops {
	/* This instance of an asker broke the rules: it is to be ended and started again. */
	void (*broken)(void *arg, uint32_t instance);
};

struct keys_service *keys_service_new(
	struct env *env, const struct conf *conf, const struct keys_root_ops *root, void *root_arg);

/*
 * Makes the only certificate, which is in no file, and signs itself: nobody vouches for it, but no
 * mail need travel in the clear. It is another one after each start.
 */
void keys_service_sign_itself(struct keys_service *service, struct slice hostname);

/*
 * A file of a certificate, at any time another one; read now, and closed. A chain and a key that
 * belong together take the place of the earlier two at once; until then those stay.
 */
void keys_service_set_file(struct keys_service *service, struct slice path, int fd);

/* A channel to a process that asks; owned from here on. */
void keys_service_add(
	struct keys_service *service, enum role role, uint32_t worker, uint32_t instance, int fd);

/* May wait. */
void keys_service_stop(struct keys_service *service);
void keys_service_free(struct keys_service **service);

#endif
