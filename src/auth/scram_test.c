/* The exchange of RFC 7677 section 3; verifiers, nonces, logins that are none. */
#include "auth/scram.h"
#include "task/task.h"
#include "text/sasl.h"
#include "unit.h"
#include "virtual_env.h"

/* user, pencil */
#define SALT "W22ZaJ0SNY7soEsUEjb6gQ=="
#define KEYS                                            \
	"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=$" \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define VERIFIER  SCRAM_PREFIX "4096$" SALT "$" KEYS
#define NONCE     "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define MESSAGE   "n=user,r=rOprNGfwEbeRWgbNEkqO,r=" NONCE ",s=" SALT ",i=4096,c=biws,r=" NONCE
#define PROOF     "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define SIGNATURE "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static struct slice
decoded(const char *text, uint8_t octets[64])
{
	struct slice slice;

	memcpy(octets, text, strlen(text));
	ck_assert_ok(sasl_decode(octets, strlen(text), &slice));
	return slice;
}

START_TEST(exchange_of_the_rfc)
{
	struct scram_verifier verifier;
	uint8_t proof_octets[64], right_octets[64], signature[SCRAM_DIGEST_BYTES];
	uint8_t storage[256];
	struct buffer text;

	ck_assert_ok(scram_prepare());
	ck_assert_ok(scram_verifier_parse(SLICE(VERIFIER), &verifier));
	struct slice proof = decoded(PROOF, proof_octets);
	ck_assert(scram_proof_is_right(&verifier, SLICE(MESSAGE), secret_of(proof), signature));
	struct slice right = decoded(SIGNATURE, right_octets);
	ck_assert(slice_equal(slice_of(signature, sizeof signature), right));
	buffer_init_fixed(&text, storage, sizeof storage);
	scram_challenge_append(&verifier, SLICE(NONCE), &text);
	ck_assert_slice_eq(buffer_slice(&text), "r=" NONCE ",s=" SALT ",i=4096");

	struct slice shorter = slice_sub(proof, 0, 31);
	ck_assert(!scram_proof_is_right(&verifier, SLICE(MESSAGE), secret_of(shorter), signature));
	ck_assert(
		!scram_proof_is_right(&verifier, SLICE("x" MESSAGE), secret_of(proof), signature));
	proof_octets[31] ^= 1;
	ck_assert(!scram_proof_is_right(&verifier, SLICE(MESSAGE), secret_of(proof), signature));
}
END_TEST

START_TEST(verifiers)
{
	static const struct slice bad[] = {SLICE_INIT(""), SLICE_INIT(SCRAM_PREFIX),
		SLICE_INIT(SCRAM_PREFIX "4095$" SALT "$" KEYS),
		SLICE_INIT(SCRAM_PREFIX "1000001$" SALT "$" KEYS),
		SLICE_INIT(SCRAM_PREFIX "4096$$" KEYS), SLICE_INIT(VERIFIER "$"),
		SLICE_INIT(SCRAM_PREFIX "4096$" SALT "$" SALT "$" SALT),
		SLICE_INIT(SCRAM_PREFIX "4096$" SALT),
		SLICE_INIT("$scram-sha-1$4096$" SALT "$" KEYS)};
	struct scram_verifier verifier;
	struct env env;
	char text[SCRAM_VERIFIER_BYTES], other[SCRAM_VERIFIER_BYTES];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_int_eq(scram_verifier_parse(bad[i], &verifier), ERROR_FORMAT);
	env_init_linux(&env);
	ck_assert_ok(scram_verifier_make(&env, "right horse", text));
	ck_assert_ok(scram_verifier_make(&env, "right horse", other));
	ck_assert_str_ne(text, other);
	ck_assert_ok(scram_verifier_parse(slice_text(text), &verifier));
	ck_assert_uint_ge(verifier.iterations, 4096);
	ck_assert_int_eq(scram_verifier_make(&env, "caf\xc3\xa9", text), ERROR_UNSUPPORTED);
	env_done(&env);
}
END_TEST

static void
nonces(void *arg)
{
	static const uint8_t key[SCRAM_DIGEST_BYTES] = {1}, other[SCRAM_DIGEST_BYTES] = {2};
	struct env *env = arg;
	uint8_t storage[256];
	struct buffer nonce;

	buffer_init_fixed(&nonce, storage, sizeof storage);
	buffer_append_text(&nonce, "client");
	scram_nonce_append(env, key, SLICE("a@b.test"), SLICE("client"), &nonce);
	ck_assert_ok(buffer_error(&nonce));
	struct slice whole = buffer_slice(&nonce);
	ck_assert(scram_nonce_is_ours(env, key, SLICE("a@b.test"), whole));
	ck_assert(!scram_nonce_is_ours(env, other, SLICE("a@b.test"), whole));
	ck_assert(!scram_nonce_is_ours(env, key, SLICE("b@b.test"), whole));
	ck_assert(!scram_nonce_is_ours(env, key, SLICE("a@b.test"), slice_from(whole, 1)));
	ck_assert(!scram_nonce_is_ours(env, key, SLICE("a@b.test"), SLICE("")));
	for (size_t i = 0; i < whole.len; i++) {
		storage[i] ^= 2;
		ck_assert(!scram_nonce_is_ours(env, key, SLICE("a@b.test"), whole));
		storage[i] ^= 2;
	}
	ck_assert_ok(task_sleep(env->loop, loop_deadline(env->loop, SCRAM_EXCHANGE_S * US_PER_S)));
	ck_assert(scram_nonce_is_ours(env, key, SLICE("a@b.test"), whole));
	ck_assert_ok(task_sleep(env->loop, loop_deadline(env->loop, US_PER_S)));
	ck_assert(!scram_nonce_is_ours(env, key, SLICE("a@b.test"), whole));
}

START_TEST(nonces_are_ours_for_a_while)
{
	static const struct loop_options options;
	struct virtual_env *virtual = virtual_env_new(0);
	struct env *env = &virtual->env;
	struct task_group tasks;

	loop_new(env, &options);
	task_group_init(&tasks, env->loop);
	ck_assert_ok(task_start(&tasks, "nonces", nonces, env));
	loop_run(env->loop);
	loop_free(&env->loop);
	virtual_env_free(virtual);
}
END_TEST

START_TEST(logins_that_are_none)
{
	static const uint8_t key[SCRAM_DIGEST_BYTES] = {1};
	struct scram_verifier one, again, other;

	ck_assert_ok(scram_stand_in(key, SLICE("a@b.test"), &one));
	ck_assert_ok(scram_stand_in(key, SLICE("a@b.test"), &again));
	ck_assert_ok(scram_stand_in(key, SLICE("b@b.test"), &other));
	ck_assert_uint_eq(one.salt_len, 16);
	ck_assert(memcmp(one.salt, again.salt, one.salt_len) == 0);
	ck_assert(memcmp(one.salt, other.salt, one.salt_len) != 0);
}
END_TEST

UNIT_MAIN("auth/scram", exchange_of_the_rfc, verifiers, nonces_are_ours_for_a_while,
	logins_that_are_none)
