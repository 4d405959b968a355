/*
 * The little of cryptography that signatures of mail need, by OpenSSL's libcrypto: SHA-256, RSA
 * (PKCS #1 v1.5) and Ed25519 (RFC 8463: over the hash); and what SRS has, HMAC with SHA-1. No other
 * file here knows OpenSSL.
 */
#ifndef MAILAUTH_CRYPTO_H
#define MAILAUTH_CRYPTO_H

#include "base/buffer.h"
#include "base/secret.h"

#define SHA256_OCTETS    32
#define SHA1_OCTETS      20
#define RSA_BITS_MIN     1024 /* RFC 8301 section 3.2 */
#define RSA_BITS_MAX     4096 /* more costs a verifier much, and no signer needs it */
#define SIGNATURE_OCTETS (RSA_BITS_MAX / 8)

enum key_type { KEY_RSA, KEY_ED25519 };

struct sha256 {
	void *context; /* NULL: the memory was used up */
};

void sha256_init(struct sha256 *sha256);
void sha256_feed(struct sha256 *sha256, struct slice octets);
/* Ends it too. ERROR_NO_MEMORY: some of it did not take place. */
MUST_CHECK enum error sha256_finish(struct sha256 *sha256, uint8_t ret_digest[SHA256_OCTETS]);
/* Ends it without a result; after sha256_finish it does nothing. */
void sha256_done(struct sha256 *sha256);

/* False: the memory was used up. */
MUST_CHECK bool hmac_sha1(struct secret key, struct slice text, uint8_t ret_digest[SHA1_OCTETS]);

struct key;

void key_free(struct key **key);

/*
 * A public key as a key record has it: RSA as SubjectPublicKeyInfo or RSAPublicKey in DER, Ed25519
 * as its 32 octets. ERROR_FORMAT: it is none of that.
 */
MUST_CHECK enum error
key_from_public(enum key_type type, struct slice octets, struct key **ret_key);

/* A private key in PEM, without a passphrase. ERROR_FORMAT: none; ERROR_UNSUPPORTED: of another
 * type, or of a length beyond RSA_BITS_MAX or below RSA_BITS_MIN. */
MUST_CHECK enum error key_from_pem(struct secret pem, struct key **ret_key);

MUST_CHECK enum error key_generate(enum key_type type, unsigned bits, struct key **ret_key);

/* PKCS #8, in PEM. The caller wipes it. */
void key_append_pem(struct buffer *buffer, const struct key *key);

/* What a key record has: SubjectPublicKeyInfo, or the 32 octets. */
void key_append_public(struct buffer *buffer, const struct key *key);

enum key_type key_type(const struct key *key);
unsigned key_bits(const struct key *key);

bool key_verify(const struct key *key, const uint8_t digest[SHA256_OCTETS], struct slice signature);

MUST_CHECK enum error key_sign(const struct key *key, const uint8_t digest[SHA256_OCTETS],
	uint8_t signature[SIGNATURE_OCTETS], size_t *ret_len);

#endif
