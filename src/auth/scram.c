/* Comparisons of what is secret take as long as what is right. */
#include "auth/scram.h"
#include "task/task.h"
#include "text/base64.h"
#include "text/sasl.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define ITERATIONS_NEW 10000
#define SALT_NEW       16

#define RANDOM_BYTES 12
#define SEAL_BYTES   16
/* random, time in seconds, seal */
#define TAIL_BYTES  (RANDOM_BYTES + 8 + SEAL_BYTES)
#define TAIL_DIGITS (TAIL_BYTES / 3 * 4)

_Static_assert(TAIL_BYTES % 3 == 0, "base64 without padding");

enum error
scram_prepare(void)
{
	uint8_t digest[SCRAM_DIGEST_BYTES];
	unsigned len = 0;

	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	return HMAC(EVP_sha256(), "", 0, digest, 0, digest, &len) ? OK : ERROR_UNSUPPORTED;
}

static bool
hmac(const uint8_t key[SCRAM_DIGEST_BYTES], struct slice text, uint8_t ret[SCRAM_DIGEST_BYTES])
{
	return scram_hmac(slice_of(key, SCRAM_DIGEST_BYTES), text, ret);
}

/* -- verifiers */

static struct slice
take_field(struct slice *rest)
{
	ssize_t dollar = slice_find(*rest, 0, '$');
	struct slice field = dollar < 0 ? *rest : slice_sub(*rest, 0, (size_t)dollar);

	*rest = dollar < 0 ? slice_of(NULL, 0) : slice_from(*rest, (size_t)dollar + 1);
	return field;
}

/* False unless it is base64 of 1 to `max` octets. */
static bool
take_octets(struct slice *rest, uint8_t *octets, size_t max, size_t *ret_len)
{
	uint8_t copy[SCRAM_VERIFIER_BYTES];
	struct slice field = take_field(rest), decoded;

	if (field.len == 0 || field.len > sizeof copy)
		return false;
	memcpy(copy, field.ptr, field.len);
	if (sasl_decode(copy, field.len, &decoded) != OK || decoded.len > max)
		return false;
	memcpy(octets, decoded.ptr, decoded.len);
	*ret_len = decoded.len;
	return true;
}

static bool
take_key(struct slice *rest, uint8_t key[SCRAM_DIGEST_BYTES])
{
	size_t len = 0;

	return take_octets(rest, key, SCRAM_DIGEST_BYTES, &len) && len == SCRAM_DIGEST_BYTES;
}

enum error
scram_verifier_parse(struct slice text, struct scram_verifier *ret_verifier)
{
	struct slice rest = slice_from(text, sizeof SCRAM_PREFIX - 1);
	uint64_t iterations;

	if (!slice_has_prefix(text, SLICE(SCRAM_PREFIX)) ||
		!slice_number(take_field(&rest), SCRAM_ITERATIONS_MAX, &iterations) ||
		iterations < SCRAM_ITERATIONS_MIN ||
		!take_octets(&rest, ret_verifier->salt, SCRAM_SALT_MAX, &ret_verifier->salt_len) ||
		!take_key(&rest, ret_verifier->stored_key) ||
		!take_key(&rest, ret_verifier->server_key) || rest.ptr)
		return ERROR_FORMAT;
	ret_verifier->iterations = (uint32_t)iterations;
	return OK;
}

static enum error
print_verifier(const struct scram_verifier *verifier, char ret_text[SCRAM_VERIFIER_BYTES])
{
	struct buffer text;

	buffer_init_fixed(&text, ret_text, SCRAM_VERIFIER_BYTES);
	buffer_printf(&text, SCRAM_PREFIX "%u$", verifier->iterations);
	base64_append(&text, slice_of(verifier->salt, verifier->salt_len));
	buffer_append_octet(&text, '$');
	base64_append(&text, slice_of(verifier->stored_key, SCRAM_DIGEST_BYTES));
	buffer_append_octet(&text, '$');
	base64_append(&text, slice_of(verifier->server_key, SCRAM_DIGEST_BYTES));
	buffer_append_octet(&text, 0);
	return buffer_error(&text);
}

/* RFC 5802 section 3; for ASCII, SASLprep changes nothing. */
enum error
scram_verifier_make(struct env *env, const char *password, char ret_text[SCRAM_VERIFIER_BYTES])
{
	struct scram_verifier verifier = {.iterations = ITERATIONS_NEW, .salt_len = SALT_NEW};
	struct secret secret = secret_of(slice_text(password));
	struct scram_derived keys;

	if (!scram_password_is_plain(secret))
		return ERROR_UNSUPPORTED;
	env_random(env, verifier.salt, verifier.salt_len);
	enum error error = scram_keys_make(env->loop, secret,
		slice_of(verifier.salt, verifier.salt_len), ITERATIONS_NEW, &keys);
	if (error == OK) {
		memcpy(verifier.stored_key, keys.stored, SCRAM_DIGEST_BYTES);
		memcpy(verifier.server_key, keys.server, SCRAM_DIGEST_BYTES);
		error = print_verifier(&verifier, ret_text);
	}
	memory_wipe(&keys, sizeof keys);
	memory_wipe(&verifier, sizeof verifier);
	return error;
}

enum error
scram_stand_in(const uint8_t key[SCRAM_DIGEST_BYTES], struct slice login,
	struct scram_verifier *ret_verifier)
{
	uint8_t digest[SCRAM_DIGEST_BYTES];

	*ret_verifier = (struct scram_verifier){.iterations = ITERATIONS_NEW, .salt_len = SALT_NEW};
	if (!hmac(key, login, digest))
		return ERROR_NO_MEMORY;
	memcpy(ret_verifier->salt, digest, SALT_NEW);
	/* Nobody knows what it is the digest of. */
	return hmac(key, slice_of(digest, sizeof digest), ret_verifier->stored_key)
		       ? OK
		       : ERROR_NO_MEMORY;
}

/* -- nonces */

static uint64_t
seconds_now(struct env *env)
{
	return (uint64_t)(loop_now(env->loop) / US_PER_S);
}

static bool
seal(const uint8_t key[SCRAM_DIGEST_BYTES], struct slice login, struct slice client_nonce,
	const uint8_t tail[TAIL_BYTES], uint8_t ret_seal[SCRAM_DIGEST_BYTES])
{
	const struct slice texts[] = {slice_of(tail, TAIL_BYTES - SEAL_BYTES),
		slice_of(&(uint8_t){(uint8_t)login.len}, 1), login, client_nonce};
	uint8_t digest[SCRAM_DIGEST_BYTES];

	return scram_digest(texts, sizeof texts / sizeof *texts, digest) &&
	       hmac(key, slice_of(digest, sizeof digest), ret_seal);
}

void
scram_nonce_append(struct env *env, const uint8_t key[SCRAM_DIGEST_BYTES], struct slice login,
	struct slice client_nonce, struct buffer *nonce)
{
	uint8_t tail[TAIL_BYTES], sealed[SCRAM_DIGEST_BYTES];
	uint64_t now = seconds_now(env);

	env_random(env, tail, RANDOM_BYTES);
	memcpy(tail + RANDOM_BYTES, &now, sizeof now);
	if (!seal(key, login, client_nonce, tail, sealed)) {
		nonce->error = ERROR_NO_MEMORY;
		return;
	}
	memcpy(tail + TAIL_BYTES - SEAL_BYTES, sealed, SEAL_BYTES);
	base64_append(nonce, slice_of(tail, sizeof tail));
}

bool
scram_nonce_is_ours(struct env *env, const uint8_t key[SCRAM_DIGEST_BYTES], struct slice login,
	struct slice nonce)
{
	uint8_t text[TAIL_DIGITS], sealed[SCRAM_DIGEST_BYTES];
	uint64_t made, now = seconds_now(env);
	struct slice tail;

	if (nonce.len <= TAIL_DIGITS)
		return false;
	size_t client_len = nonce.len - TAIL_DIGITS;
	memcpy(text, nonce.ptr + client_len, TAIL_DIGITS);
	if (sasl_decode(text, sizeof text, &tail) != OK || tail.len != TAIL_BYTES ||
		!seal(key, login, slice_sub(nonce, 0, client_len), tail.ptr, sealed))
		return false;
	memcpy(&made, tail.ptr + RANDOM_BYTES, sizeof made);
	return CRYPTO_memcmp(sealed, tail.ptr + TAIL_BYTES - SEAL_BYTES, SEAL_BYTES) == 0 &&
	       now - made <= SCRAM_EXCHANGE_S;
}

/* -- exchanges */

void
scram_challenge_append(
	const struct scram_verifier *verifier, struct slice nonce, struct buffer *text)
{
	buffer_append_text(text, "r=");
	buffer_append(text, nonce);
	buffer_append_text(text, ",s=");
	base64_append(text, slice_of(verifier->salt, verifier->salt_len));
	buffer_printf(text, ",i=%u", verifier->iterations);
}

/* RFC 5802 section 3: ClientKey = ClientProof XOR HMAC(StoredKey, AuthMessage); H(ClientKey) is
 * StoredKey. */
bool
scram_proof_is_right(const struct scram_verifier *verifier, struct slice auth_message,
	struct secret proof, uint8_t ret_signature[SCRAM_DIGEST_BYTES])
{
	uint8_t key[SCRAM_DIGEST_BYTES], digest[SCRAM_DIGEST_BYTES];
	struct slice octets = secret_reveal(proof);

	bool is_right = hmac(verifier->stored_key, auth_message, key);
	for (size_t i = 0; i < SCRAM_DIGEST_BYTES; i++)
		key[i] ^= i < octets.len ? octets.ptr[i] : 0;
	is_right &= scram_digest(&(struct slice){key, sizeof key}, 1, digest) &&
		    hmac(verifier->server_key, auth_message, ret_signature) &&
		    CRYPTO_memcmp(digest, verifier->stored_key, sizeof digest) == 0;
	memory_wipe(key, sizeof key);
	return is_right && octets.len == SCRAM_DIGEST_BYTES;
}
