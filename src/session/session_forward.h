/*
 * What an alias sends abroad: its return path (mailauth/srs.h), whose secrets `keys` has, and the
 * way home of what comes back to one.
 */
#ifndef SESSION_SESSION_FORWARD_H
#define SESSION_SESSION_FORWARD_H

#include "conf/conf.h"
#include "ipc/caller.h"
#include "ipc/envelope.h"
#include "text/address.h"

#define FORWARD_ADDRESS_MAX 1024

/* An address in memory of its own. */
struct forward_address {
	uint16_t len;
	uint8_t octets[FORWARD_ADDRESS_MAX];
};

static inline struct slice
forward_address_slice(const struct forward_address *address)
{
	return slice_of(address->octets, address->len);
}

/* Whether an address has the form of such a return path, in one of our domains. */
bool forward_is_return_path(const struct conf *conf, const struct address *address);

/*
 * May wait. To whom mail for a return path goes. ERROR_DENIED: it was not made here. ERROR_TIMEOUT:
 * it was, too long ago. Any other error: nobody can tell now.
 */
MUST_CHECK enum error
forward_home(struct caller *keys, const struct address *address, struct forward_address *ret_home);

/*
 * May wait. The return path of what is forwarded, in the arena; empty: as it came, since that is
 * nobody's or ours, or since it can't be rewritten, which the log says.
 */
struct slice forward_path(struct caller *keys, const struct conf *conf,
	const struct envelope *envelope, struct arena *arena);

#endif
