/*
 * The keeper's side of SCRAM-SHA-256 (RFC 5802, RFC 7677): what is stored instead of a password,
 * and whether somebody has proved that he knows it. A stolen verifier does not log in by itself
 * here, but lets its thief guess the password, or pretend to be this server.
 *
 *   verifier = "$scram-sha-256$" iterations "$" salt "$" stored-key "$" server-key   ; base64 each
 *
 * An exchange keeps no state: the server's part of the nonce carries its time and a seal over login
 * and client nonce, so that it can be told at the end that this server made it, for this exchange,
 * a short while ago.
 */
#ifndef AUTH_SCRAM_H
#define AUTH_SCRAM_H

#include "base/buffer.h"
#include "base/env.h"
#include "base/secret.h"
#include "tls/scram_keys.h"

#define SCRAM_SALT_MAX       64
#define SCRAM_VERIFIER_BYTES 256 /* with its NUL */
#define SCRAM_PREFIX         "$scram-sha-256$"
#define SCRAM_EXCHANGE_S     120 /* from challenge to proof */

struct scram_verifier {
	uint32_t iterations;
	uint8_t salt[SCRAM_SALT_MAX];
	size_t salt_len;
	uint8_t stored_key[SCRAM_DIGEST_BYTES];
	uint8_t server_key[SCRAM_DIGEST_BYTES];
};

/* Makes libcrypto ready, while files may be opened. ERROR_UNSUPPORTED: it has no SHA-256. */
MUST_CHECK enum error scram_prepare(void);

/* ERROR_FORMAT */
MUST_CHECK enum error scram_verifier_parse(struct slice text, struct scram_verifier *ret_verifier);

/* With a salt of its own. Takes some milliseconds. ERROR_UNSUPPORTED: the password has other octets
 * than printable ASCII, which each client would prepare in its way. */
MUST_CHECK enum error
scram_verifier_make(struct env *env, const char *password, char ret_text[SCRAM_VERIFIER_BYTES]);

/* What a login without verifier is challenged with: the same each time for the same key and login,
 * and no proof is right for it. */
MUST_CHECK enum error scram_stand_in(const uint8_t key[SCRAM_DIGEST_BYTES], struct slice login,
	struct scram_verifier *ret_verifier);

/* Appends the server's part of a nonce. */
void scram_nonce_append(struct env *env, const uint8_t key[SCRAM_DIGEST_BYTES], struct slice login,
	struct slice client_nonce, struct buffer *nonce);

/* Whether the whole nonce ends in what scram_nonce_append made for this login, not long ago. */
bool scram_nonce_is_ours(struct env *env, const uint8_t key[SCRAM_DIGEST_BYTES], struct slice login,
	struct slice nonce);

/* server-first-message */
void scram_challenge_append(
	const struct scram_verifier *verifier, struct slice nonce, struct buffer *text);

/* Whether the proof is right for this AuthMessage; then the server's signature too. */
bool scram_proof_is_right(const struct scram_verifier *verifier, struct slice auth_message,
	struct secret proof, uint8_t ret_signature[SCRAM_DIGEST_BYTES]);

#endif
