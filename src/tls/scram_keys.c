/*
 * Hi() of RFC 5802 is PBKDF2 with HMAC-SHA-256 and one block. It is made here, over the digests of
 * OpenSSL, and not by PKCS5_PBKDF2_HMAC, so that it can be made in pieces: a server chooses the
 * number of iterations, and other mail shall not wait meanwhile.
 */
#include "tls/scram_keys.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#define BLOCK_BYTES 64   /* of SHA-256 */
#define PIECE       5000 /* iterations without giving the turn away: a millisecond */

bool
scram_hmac(struct slice key, struct slice text, uint8_t ret_digest[SCRAM_DIGEST_BYTES])
{
	unsigned len;

	return HMAC(EVP_sha256(), key.ptr, (int)key.len, text.ptr, text.len, ret_digest, &len) !=
	       NULL;
}

bool
scram_digest(const struct slice *texts, size_t count, uint8_t ret_digest[SCRAM_DIGEST_BYTES])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool is_made = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL);

	for (size_t i = 0; is_made && i < count; i++)
		is_made = EVP_DigestUpdate(context, texts[i].ptr, texts[i].len);
	is_made = is_made && EVP_DigestFinal_ex(context, ret_digest, NULL);
	EVP_MD_CTX_free(context);
	return is_made;
}

bool
scram_password_is_plain(struct secret password)
{
	struct slice octets = secret_reveal(password);

	for (size_t i = 0; i < octets.len; i++)
		if (octets.ptr[i] < ' ' || octets.ptr[i] > '~')
			return false;
	return octets.len > 0;
}

/* HMAC with one key again and again: the digests that have taken the key's two pads. */
struct keyed {
	EVP_MD_CTX *inner, *outer, *work;
};

static bool
take_pad(EVP_MD_CTX *context, struct slice key, uint8_t pad)
{
	uint8_t block[BLOCK_BYTES];

	memset(block, pad, sizeof block);
	for (size_t i = 0; i < key.len; i++)
		block[i] ^= key.ptr[i];
	bool is_taken = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) &&
			EVP_DigestUpdate(context, block, sizeof block);
	memory_wipe(block, sizeof block);
	return is_taken;
}

static bool
keyed_init(struct keyed *keyed, struct slice key)
{
	uint8_t digest[SCRAM_DIGEST_BYTES];
	bool is_made = true;

	*keyed = (struct keyed){EVP_MD_CTX_new(), EVP_MD_CTX_new(), EVP_MD_CTX_new()};
	/* RFC 2104: a key longer than a block counts as its digest. */
	if (key.len > BLOCK_BYTES) {
		is_made = scram_digest(&key, 1, digest);
		key = slice_of(digest, sizeof digest);
	}
	is_made = is_made && keyed->work && take_pad(keyed->inner, key, 0x36) &&
		  take_pad(keyed->outer, key, 0x5c);
	memory_wipe(digest, sizeof digest);
	return is_made;
}

/* OpenSSL wipes the contexts. */
static void
keyed_done(struct keyed *keyed)
{
	EVP_MD_CTX_free(keyed->inner);
	EVP_MD_CTX_free(keyed->outer);
	EVP_MD_CTX_free(keyed->work);
}

/* Over two texts, one behind the other; the second may be empty. */
static bool
keyed_digest(struct keyed *keyed, struct slice text, struct slice more,
	uint8_t ret_digest[SCRAM_DIGEST_BYTES])
{
	return EVP_MD_CTX_copy_ex(keyed->work, keyed->inner) &&
	       EVP_DigestUpdate(keyed->work, text.ptr, text.len) &&
	       EVP_DigestUpdate(keyed->work, more.ptr, more.len) &&
	       EVP_DigestFinal_ex(keyed->work, ret_digest, NULL) &&
	       EVP_MD_CTX_copy_ex(keyed->work, keyed->outer) &&
	       EVP_DigestUpdate(keyed->work, ret_digest, SCRAM_DIGEST_BYTES) &&
	       EVP_DigestFinal_ex(keyed->work, ret_digest, NULL);
}

/* May wait: the turn of others, and whether the task is told to end. */
static enum error
give_way(struct loop *loop)
{
	if (!loop_is_in_task(loop))
		return OK;
	task_yield(loop);
	return task_is_cancelled(loop) ? ERROR_CANCELLED : OK;
}

/* U1 := HMAC(str, salt + INT(1)), U2 := HMAC(str, U1) ...; Hi := U1 XOR U2 XOR ... */
static enum error
iterate(struct loop *loop, struct keyed *keyed, uint8_t last[SCRAM_DIGEST_BYTES],
	uint32_t iterations, uint8_t salted[SCRAM_DIGEST_BYTES])
{
	enum error error = OK;

	memcpy(salted, last, SCRAM_DIGEST_BYTES);
	for (uint32_t done = 1; error == OK && done < iterations; done++) {
		if (!keyed_digest(keyed, slice_of(last, SCRAM_DIGEST_BYTES), SLICE(""), last))
			return ERROR_NO_MEMORY;
		for (size_t i = 0; i < SCRAM_DIGEST_BYTES; i++)
			salted[i] ^= last[i];
		if (done % PIECE == 0)
			error = give_way(loop);
	}
	return error;
}

static enum error
salt_password(struct loop *loop, struct slice password, struct slice salt, uint32_t iterations,
	uint8_t salted[SCRAM_DIGEST_BYTES])
{
	uint8_t last[SCRAM_DIGEST_BYTES];
	struct keyed keyed;
	enum error error = ERROR_NO_MEMORY;

	if (keyed_init(&keyed, password) && keyed_digest(&keyed, salt, SLICE("\0\0\0\1"), last))
		error = iterate(loop, &keyed, last, iterations, salted);
	keyed_done(&keyed);
	memory_wipe(last, sizeof last);
	return error;
}

enum error
scram_keys_make(struct loop *loop, struct secret password, struct slice salt, uint32_t iterations,
	struct scram_derived *ret_keys)
{
	uint8_t salted[SCRAM_DIGEST_BYTES];
	struct slice key = slice_of(salted, sizeof salted);

	if (iterations < SCRAM_ITERATIONS_MIN || iterations > SCRAM_ITERATIONS_MAX)
		return ERROR_LIMIT;
	enum error error = salt_password(loop, secret_reveal(password), salt, iterations, salted);
	if (error == OK &&
		!(scram_hmac(key, SLICE("Client Key"), ret_keys->client) &&
			scram_hmac(key, SLICE("Server Key"), ret_keys->server) &&
			scram_digest(&(struct slice){ret_keys->client, SCRAM_DIGEST_BYTES}, 1,
				ret_keys->stored)))
		error = ERROR_NO_MEMORY;
	memory_wipe(salted, sizeof salted);
	return error;
}
