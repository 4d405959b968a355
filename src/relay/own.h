/*
 * What was made here (reports, RFC 3464) goes out signed like other mail of ours. `queue`, which
 * makes it, has neither keys nor a hash; so it is signed on its way, anew at each attempt.
 */
#ifndef RELAY_OWN_H
#define RELAY_OWN_H

#include "conf/conf.h"
#include "ipc/caller.h"
#include "relay/attempt.h"

/* May wait. The signatures come in front of the attempt's trace, in its arena. What cannot be
 * signed goes without, and the log says so. */
void own_sign(struct relay_attempt *attempt, const struct conf *conf, struct caller *keys,
	uint64_t queue_id);

#endif
