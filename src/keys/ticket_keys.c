#include "keys/ticket_keys.h"
#include "base/clock.h"

#define LIFE_US (TLS_TICKET_LIFE_S * US_PER_S)

void
ticket_keys_turn(struct ticket_keys *keys, struct env *env)
{
	mono_us now = env_monotonic(env);
	bool has_one = keys->len > 0;

	if (has_one && now - keys->made_at < LIFE_US)
		return;
	/* One that nobody asked for in its last hours is not the one before. */
	bool keeps_one = has_one && now - keys->made_at < 2 * LIFE_US;
	memmove(keys->octets + TLS_TICKET_KEY_BYTES, keys->octets, TLS_TICKET_KEY_BYTES);
	env_random(env, keys->octets, TLS_TICKET_KEY_BYTES);
	keys->len = keeps_one ? sizeof keys->octets : TLS_TICKET_KEY_BYTES;
	memory_wipe(keys->octets + keys->len, sizeof keys->octets - keys->len);
	keys->made_at = now;
	/* Another one than that of a process before, too. */
	env_random(env, &keys->version, sizeof keys->version);
	keys->version |= 1;
}

struct secret
ticket_keys_all(const struct ticket_keys *keys)
{
	return secret_of(slice_of(keys->octets, keys->len));
}
