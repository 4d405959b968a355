/* The keys of RFC 7677 section 3, and those that OpenSSL makes in one go. */
#include "tls/scram_keys.h"
#include "text/base64.h"
#include "unit.h"
#include "virtual_env.h"

#include <openssl/evp.h>

static void
check_base64(const uint8_t digest[SCRAM_DIGEST_BYTES], const char *expected)
{
	uint8_t storage[64];
	struct buffer text;

	buffer_init_fixed(&text, storage, sizeof storage);
	base64_append(&text, slice_of(digest, SCRAM_DIGEST_BYTES));
	ck_assert_slice_eq(buffer_slice(&text), expected);
}

START_TEST(keys_of_the_rfc)
{
	static const uint8_t salt[] = {0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0,
		0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81};
	struct slice salted = slice_of(salt, sizeof salt);
	struct secret pencil = secret_of(SLICE("pencil"));
	struct scram_derived keys;

	ck_assert_ok(scram_keys_make(NULL, pencil, salted, 4096, &keys));
	check_base64(keys.stored, "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=");
	check_base64(keys.server, "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
	ck_assert_int_eq(scram_keys_make(NULL, pencil, salted, 4095, &keys), ERROR_LIMIT);
	ck_assert_int_eq(scram_keys_make(NULL, pencil, salted, 1000001, &keys), ERROR_LIMIT);
}
END_TEST

/* Passwords around the length of a block, salts of any length. */
START_TEST(as_another_makes_them)
{
	static const size_t lengths[] = {1, 63, 64, 65, 511};
	uint8_t octets[511], salted[SCRAM_DIGEST_BYTES], stored[SCRAM_DIGEST_BYTES];

	memset(octets, 'p', sizeof octets);
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		struct slice password = slice_of(octets, lengths[i]);
		struct slice salt = slice_of(octets, 600 % (lengths[i] + 1));
		struct scram_derived keys;
		ck_assert_ok(scram_keys_make(NULL, secret_of(password), salt, 5001, &keys));
		ck_assert(PKCS5_PBKDF2_HMAC((const char *)octets, (int)password.len, octets,
			(int)salt.len, 5001, EVP_sha256(), sizeof salted, salted));
		ck_assert(scram_hmac(slice_of(salted, sizeof salted), SLICE("Client Key"), stored));
		ck_assert(memcmp(stored, keys.client, sizeof stored) == 0);
	}
}
END_TEST

struct race {
	struct loop *loop;
	enum error error;
	unsigned turns;
	bool is_made;
};

static void
make(void *arg)
{
	struct race *race = arg;
	struct scram_derived keys;

	race->error = scram_keys_make(
		race->loop, secret_of(SLICE("pencil")), SLICE("salt"), 100000, &keys);
	race->is_made = true;
}

static void
count_turns(void *arg)
{
	struct race *race = arg;

	for (; !race->is_made; race->turns++)
		task_yield(race->loop);
}

static struct race
run_race(bool is_ended)
{
	static const struct loop_options options;
	struct virtual_env *virtual = virtual_env_new(0);
	struct task_group tasks;
	struct race race = {.loop = loop_new(&virtual->env, &options)};

	task_group_init(&tasks, race.loop);
	ck_assert_ok(task_start(&tasks, "keys", make, &race));
	ck_assert_ok(task_start(&tasks, "turns", count_turns, &race));
	if (is_ended)
		task_group_cancel(&tasks);
	loop_run(race.loop);
	loop_free(&race.loop);
	virtual_env_free(virtual);
	return race;
}

START_TEST(others_have_their_turns)
{
	struct race race = run_race(false);

	ck_assert_ok(race.error);
	ck_assert_uint_ge(race.turns, 10);
	ck_assert_int_eq(run_race(true).error, ERROR_CANCELLED);
}
END_TEST

START_TEST(passwords)
{
	ck_assert(scram_password_is_plain(secret_of(SLICE("right horse ~"))));
	ck_assert(!scram_password_is_plain(secret_of(SLICE(""))));
	ck_assert(!scram_password_is_plain(secret_of(SLICE("caf\xc3\xa9"))));
	ck_assert(!scram_password_is_plain(secret_of(SLICE("a\tb"))));
}
END_TEST

UNIT_MAIN("tls/scram_keys", keys_of_the_rfc, as_another_makes_them, others_have_their_turns,
	passwords)
