/*
 * Whoever answers questions of the DNS: the resolver process through a cache, a server asked
 * directly (dns/stub.h), a test's table. What needs the DNS gets one of these and knows nothing
 * else.
 */
#ifndef DNS_SOURCE_H
#define DNS_SOURCE_H

#include "base/clock.h"
#include "dns/message.h"

struct dns_source {
	/*
	 * May wait, not beyond `deadline`. What is in the answer lives as long as the arena. Never
	 * fails itself: what goes wrong is DNS_FAILED with a reason. A name that cannot be asked
	 * for is DNS_NO_NAME: it exists nowhere.
	 */
	void (*ask)(void *arg, struct slice name, enum dns_type type, struct arena *arena,
		mono_us deadline, struct dns_answer *ret_answer);
	void *arg;
};

static inline void
dns_ask(const struct dns_source *source, struct slice name, enum dns_type type, struct arena *arena,
	mono_us deadline, struct dns_answer *ret_answer)
{
	source->ask(source->arg, name, type, arena, deadline, ret_answer);
}

#endif
