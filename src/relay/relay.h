/*
 * The relay: takes attempts from `queue` whose way leads to another server, speaks SMTP or LMTP
 * there, and says what became of each recipient. One process a core; the content is read from the
 * spool's segments through read-only descriptors, the DNS is asked through the resolver.
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "conf/conf.h"
#include "dns/source.h"
#include "ipc/caller.h"

struct relay_service;

/* The source of the DNS and the way to `keys`, which signs what was made here, must live as long as
 * the service. */
struct relay_service *relay_service_new(struct env *env, const struct conf *conf,
	const struct dns_source *dns, struct caller *keys);

/* Before anything is sent: whom to trust, certificates in PEM (for routes with "tls verified").
 * ERROR_FORMAT: there is none in it. */
MUST_CHECK enum error relay_service_trust(struct relay_service *service, struct slice pem);

/* The file of a route's password, open, anew when it has changed; the descriptor is closed. */
void relay_service_set_password(struct relay_service *service, struct slice path, int fd);

/* The channel to the queue's present process; taken over. What its predecessor had under way is cut
 * off: the new one repeats it. */
void relay_service_set_queue(struct relay_service *service, int channel_fd);

/* May wait. What is under way has `grace_us` to come to its end. */
void relay_service_stop(struct relay_service *service, int64_t grace_us);
void relay_service_free(struct relay_service **service);

#endif
