/*
 * Rates are sliding windows: of the window before counts the share that still lies in the period.
 * Two numbers for each rate are all that has to be kept, sent and added up.
 */
#include "ipc/tally.h"

#define IPV4_BYTES  4
#define LOGIN_BYTES 254 /* no login is longer (text/sasl.h) */

void
tally_table_init(struct tally_table *table, struct env *env)
{
	*table = (struct tally_table){.env = env};
	env_random(env, &table->hash_key, sizeof table->hash_key);
	table->entries = memory_get(env->memory, TALLY_ENTRIES * sizeof *table->entries);
}

void
tally_table_done(struct tally_table *table)
{
	memory_put(table->env->memory, table->entries);
	table->entries = NULL;
}

static struct tally *
bucket_of(const struct tally_table *table, const struct tally_key *key)
{
	uint64_t sum = siphash(&table->hash_key, slice_of(key->octets, sizeof key->octets));

	return &table->entries[sum % TALLY_BUCKETS * TALLY_WAYS];
}

static struct tally *
find_in(struct tally *bucket, const struct tally_key *key)
{
	for (size_t i = 0; i < TALLY_WAYS; i++)
		if (memcmp(bucket[i].key.octets, key->octets, sizeof key->octets) == 0)
			return &bucket[i];
	return NULL;
}

struct tally *
tally_find(const struct tally_table *table, const struct tally_key *key)
{
	return find_in(bucket_of(table, key), key);
}

/* How much would be forgotten with it; what is open now weighs more than what was once. */
static uint64_t
weight_of(const struct tally *tally, mono_us now)
{
	uint64_t weight = 0;

	if (tally->key.octets[0] == 0)
		return 0;
	for (enum tally_gauge gauge = 0; gauge < TALLY_GAUGES; gauge++)
		weight += 4 * (uint64_t)tally->own.gauges[gauge];
	for (enum tally_rate rate = 0; rate < TALLY_RATES; rate++)
		weight += tally_rate(&tally->own, rate, now);
	return weight + 1;
}

struct tally *
tally_get(struct tally_table *table, const struct tally_key *key, mono_us now)
{
	struct tally *bucket = bucket_of(table, key);
	struct tally *tally = find_in(bucket, key);
	uint64_t least = UINT64_MAX;

	if (tally)
		return tally;
	for (size_t i = 0; i < TALLY_WAYS; i++) {
		uint64_t weight = weight_of(&bucket[i], now);
		if (weight < least)
			tally = &bucket[i];
		if (weight < least)
			least = weight;
	}
	/* Whoever has it in a list of changed ones keeps it there. */
	*tally = (struct tally){.key = *key, .is_changed = tally->is_changed};
	return tally;
}

static struct tally_key
key_of(enum tally_kind kind, struct slice ip, size_t len)
{
	struct tally_key key = {.octets = {(uint8_t)kind}};

	memcpy(key.octets + 1, ip.ptr, len);
	return key;
}

struct tally_key
tally_key_address(struct slice ip)
{
	return ip.len == IPV4_BYTES ? key_of(TALLY_IPV4, ip, 4) : key_of(TALLY_IPV6_64, ip, 8);
}

struct tally_key
tally_key_network(struct slice ip)
{
	return ip.len == IPV4_BYTES ? key_of(TALLY_IPV4_24, ip, 3) : key_of(TALLY_IPV6_48, ip, 6);
}

static struct tally_key
key_hashed(enum tally_kind kind, const struct siphash_key *hash_key, struct slice login,
	struct slice network)
{
	struct tally_key key = {.octets = {(uint8_t)kind}};
	uint8_t text[LOGIN_BYTES + TALLY_KEY_BYTES];
	size_t len = login.len < LOGIN_BYTES ? login.len : LOGIN_BYTES;

	for (size_t i = 0; i < len; i++)
		text[i] = ascii_lower(login.ptr[i]);
	if (network.len > 0)
		memcpy(text + len, network.ptr, network.len);
	uint64_t sum = siphash(hash_key, slice_of(text, len + network.len));
	memcpy(key.octets + 1, &sum, sizeof sum);
	return key;
}

struct tally_key
tally_key_account(const struct siphash_key *hash_key, struct slice login)
{
	return key_hashed(TALLY_ACCOUNT, hash_key, login, slice_of(NULL, 0));
}

struct tally_key
tally_key_known(
	const struct siphash_key *hash_key, struct slice login, const struct tally_key *network)
{
	return key_hashed(
		TALLY_KNOWN, hash_key, login, slice_of(network->octets, sizeof network->octets));
}

void
tally_key_append(struct buffer *buffer, const struct tally_key *key)
{
	const uint8_t *octets = key->octets + 1;
	bool is_network = key->octets[0] == TALLY_IPV4_24 || key->octets[0] == TALLY_IPV6_48;

	if (key->octets[0] >= TALLY_ACCOUNT) {
		buffer_append_text(buffer, key->octets[0] == TALLY_ACCOUNT ? "account" : "known");
		return;
	}
	if (key->octets[0] <= TALLY_IPV4_24) {
		buffer_printf(buffer, "%u.%u.%u.%u%s", octets[0], octets[1], octets[2], octets[3],
			is_network ? "/24" : "");
		return;
	}
	for (size_t i = 0; i < (is_network ? 6u : 8u); i += 2)
		buffer_printf(buffer, "%x:", (unsigned)octets[i] << 8 | octets[i + 1]);
	buffer_append_text(buffer, is_network ? ":/48" : ":/64");
}

int64_t
tally_period_us(enum tally_rate rate)
{
	return rate <= TALLY_MESSAGES ? 60 * US_PER_S : 600 * US_PER_S;
}

static uint32_t
window_at(enum tally_rate rate, mono_us now)
{
	return (uint32_t)(now / tally_period_us(rate));
}

/* The same events, seen from a later window. */
static struct tally_window
moved_to(struct tally_window window, uint32_t number)
{
	if (window.number == number)
		return window;
	return (struct tally_window){
		.number = number, .before = window.number + 1 == number ? window.now : 0};
}

uint32_t
tally_rate(const struct tally_counts *counts, enum tally_rate rate, mono_us now)
{
	int64_t period = tally_period_us(rate);
	struct tally_window window = moved_to(counts->rates[rate], window_at(rate, now));
	uint64_t left = (uint64_t)(period - now % period);
	uint64_t sum = window.now + window.before * left / (uint64_t)period;

	return sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
}

static void
add_to(uint32_t *sum, uint32_t more)
{
	*sum = more > UINT32_MAX - *sum ? UINT32_MAX : *sum + more;
}

void
tally_count(struct tally_counts *counts, enum tally_rate rate, mono_us now)
{
	counts->rates[rate] = moved_to(counts->rates[rate], window_at(rate, now));
	add_to(&counts->rates[rate].now, 1);
}

void
tally_add(struct tally_counts *counts, const struct tally_counts *more, mono_us now)
{
	for (enum tally_gauge gauge = 0; gauge < TALLY_GAUGES; gauge++)
		add_to(&counts->gauges[gauge], more->gauges[gauge]);
	for (enum tally_rate rate = 0; rate < TALLY_RATES; rate++) {
		uint32_t number = window_at(rate, now);
		struct tally_window other = moved_to(more->rates[rate], number);
		counts->rates[rate] = moved_to(counts->rates[rate], number);
		add_to(&counts->rates[rate].now, other.now);
		add_to(&counts->rates[rate].before, other.before);
	}
}

void
tally_encode(struct buffer *buffer, const struct tally_key *key, const struct tally_counts *counts)
{
	buffer_append(buffer, slice_of(key->octets, sizeof key->octets));
	for (enum tally_gauge gauge = 0; gauge < TALLY_GAUGES; gauge++)
		buffer_append_u32(buffer, counts->gauges[gauge]);
	for (enum tally_rate rate = 0; rate < TALLY_RATES; rate++) {
		buffer_append_u32(buffer, counts->rates[rate].number);
		buffer_append_u32(buffer, counts->rates[rate].now);
		buffer_append_u32(buffer, counts->rates[rate].before);
	}
}

bool
tally_decode(struct cursor *cursor, struct tally_key *ret_key, struct tally_counts *ret_counts)
{
	if (cursor->error != OK || cursor_left(cursor) == 0)
		return false;
	struct slice octets = cursor_take(cursor, TALLY_KEY_BYTES);
	for (enum tally_gauge gauge = 0; gauge < TALLY_GAUGES; gauge++)
		ret_counts->gauges[gauge] = cursor_take_u32(cursor);
	for (enum tally_rate rate = 0; rate < TALLY_RATES; rate++) {
		ret_counts->rates[rate].number = cursor_take_u32(cursor);
		ret_counts->rates[rate].now = cursor_take_u32(cursor);
		ret_counts->rates[rate].before = cursor_take_u32(cursor);
	}
	if (cursor->error == OK && (octets.ptr[0] == 0 || octets.ptr[0] >= TALLY_KINDS))
		cursor->error = ERROR_FORMAT;
	if (cursor->error != OK)
		return false;
	memcpy(ret_key->octets, octets.ptr, sizeof ret_key->octets);
	return true;
}
