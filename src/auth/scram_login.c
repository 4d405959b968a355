/*
 * A login that does not exist, is disabled or has no verifier goes the same way to its end: the
 * challenge is the same each time, also after a restart, and the proof is computed and found wrong.
 */
#include "auth/scram_login.h"
#include "base/buffer.h"

void
scram_keys_init(struct env *env, struct scram_keys *keys)
{
	env_random(env, keys->seal, sizeof keys->seal);
	env_random(env, keys->stand_in, sizeof keys->stand_in);
}

/* The secrets of the first login change seldom, and nobody else knows them. */
enum error
scram_keys_take(struct scram_keys *keys, const struct passwords *passwords)
{
	if (passwords->count == 0)
		return OK;
	const struct password_entry *first = &passwords->entries[0];
	const struct slice texts[] = {SLICE("logins that are none"), first->hash, first->scram};
	return scram_digest(texts, sizeof texts / sizeof *texts, keys->stand_in) ? OK
										 : ERROR_NO_MEMORY;
}

/* True: the verifier is the login's own. */
static bool
find_verifier(const struct password_entry *entry, struct scram_verifier *ret_verifier)
{
	return entry && !entry->is_disabled && entry->scram.len > 0 &&
	       scram_verifier_parse(entry->scram, ret_verifier) == OK;
}

enum error
scram_login_challenge(struct env *env, const struct scram_keys *keys,
	const struct passwords *passwords, const struct ipc_scram_ask *ask, struct buffer *text)
{
	uint8_t name[SASL_LOGIN_MAX], storage[256];
	struct scram_verifier verifier;
	struct buffer nonce;
	enum error error = OK;

	struct slice login = passwords_lower(ask->login, name);
	if (!find_verifier(passwords_find(passwords, login), &verifier))
		error = scram_stand_in(keys->stand_in, login, &verifier);
	buffer_init_fixed(&nonce, storage, sizeof storage);
	buffer_append(&nonce, ask->nonce);
	scram_nonce_append(env, keys->seal, login, ask->nonce, &nonce);
	scram_challenge_append(&verifier, buffer_slice(&nonce), text);
	memory_wipe(&verifier, sizeof verifier);
	if (error == OK)
		error = buffer_error(&nonce);
	return error == OK ? buffer_error(text) : error;
}

/* What was signed is of this exchange: the nonce has a seal that nobody can have known before. */
static bool
has_nonce(struct slice message, struct slice nonce)
{
	for (size_t at = 0; at + nonce.len <= message.len; at++)
		if (slice_equal(slice_sub(message, at, nonce.len), nonce))
			return true;
	return false;
}

const char *
scram_login_prove(struct env *env, const struct scram_keys *keys,
	const struct password_entry *entry, const struct ipc_scram_prove *prove,
	uint8_t ret_signature[SCRAM_DIGEST_BYTES])
{
	uint8_t name[SASL_LOGIN_MAX];
	struct scram_verifier verifier;

	struct slice login = passwords_lower(prove->login, name);
	bool is_own = find_verifier(entry, &verifier);
	if (!is_own && scram_stand_in(keys->stand_in, login, &verifier) != OK)
		return "no memory";
	bool is_ours = scram_nonce_is_ours(env, keys->seal, login, prove->nonce) &&
		       has_nonce(prove->message, prove->nonce);
	bool is_right =
		scram_proof_is_right(&verifier, prove->message, prove->proof, ret_signature);
	memory_wipe(&verifier, sizeof verifier);
	if (!is_own)
		return !entry               ? "no such login"
		       : entry->is_disabled ? "disabled"
					    : "no verifier of SCRAM";
	return !is_ours   ? "an exchange that is not ours, or is over"
	       : is_right ? NULL
			  : "wrong password";
}
