#include "keys/ticket_keys.h"
#include "virtual_env.h"

#define LIFE_US (TLS_TICKET_LIFE_S * US_PER_S)

struct seen {
	uint64_t version;
	uint8_t newest[TLS_TICKET_KEY_BYTES];
};

static struct seen
look(const struct ticket_keys *keys)
{
	struct seen seen = {.version = keys->version};

	memcpy(seen.newest, secret_reveal(ticket_keys_all(keys)).ptr, sizeof seen.newest);
	return seen;
}

static bool
has_second(const struct ticket_keys *keys, const struct seen *seen)
{
	struct slice all = secret_reveal(ticket_keys_all(keys));

	return all.len == 2 * TLS_TICKET_KEY_BYTES &&
	       memcmp(all.ptr + TLS_TICKET_KEY_BYTES, seen->newest, sizeof seen->newest) == 0;
}

static bool
is_wiped(const struct ticket_keys *keys)
{
	for (size_t i = keys->len; i < sizeof keys->octets; i++)
		if (keys->octets[i] != 0)
			return false;
	return true;
}

START_TEST(keys_turn_and_the_one_before_stays)
{
	struct virtual_env *v = virtual_env_new(0);
	struct ticket_keys keys = {0};

	ticket_keys_turn(&keys, &v->env);
	struct seen first = look(&keys);
	ck_assert_uint_ne(first.version, 0);
	ck_assert_uint_eq(keys.len, TLS_TICKET_KEY_BYTES);
	ck_assert(is_wiped(&keys));
	atomic_fetch_add(&v->now, LIFE_US - 1);
	ticket_keys_turn(&keys, &v->env);
	ck_assert_uint_eq(keys.version, first.version);

	atomic_fetch_add(&v->now, 1);
	ticket_keys_turn(&keys, &v->env);
	struct seen second = look(&keys);
	ck_assert_uint_ne(second.version, first.version);
	ck_assert(memcmp(second.newest, first.newest, sizeof first.newest) != 0);
	ck_assert(has_second(&keys, &first));

	atomic_fetch_add(&v->now, LIFE_US);
	ticket_keys_turn(&keys, &v->env);
	ck_assert(has_second(&keys, &second));

	/* Nobody asked while the newest went out of use: it is not kept for longer than others. */
	atomic_fetch_add(&v->now, 2 * LIFE_US);
	ticket_keys_turn(&keys, &v->env);
	ck_assert_uint_eq(keys.len, TLS_TICKET_KEY_BYTES);
	ck_assert(is_wiped(&keys));
	virtual_env_free(v);
}
END_TEST

UNIT_MAIN("keys/ticket_keys", keys_turn_and_the_one_before_stays)
