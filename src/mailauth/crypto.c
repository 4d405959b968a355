/* OpenSSL behind values of our own. A `struct key` is an EVP_PKEY and nothing else. */
#include "mailauth/crypto.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <limits.h>

static EVP_PKEY *
pkey_of(const struct key *key)
{
	return (EVP_PKEY *)(uintptr_t)key;
}

void
sha256_init(struct sha256 *sha256)
{
	sha256->context = EVP_MD_CTX_new();
	if (sha256->context && EVP_DigestInit_ex(sha256->context, EVP_sha256(), NULL) != 1)
		sha256_done(sha256);
}

void
sha256_feed(struct sha256 *sha256, struct slice octets)
{
	if (sha256->context && EVP_DigestUpdate(sha256->context, octets.ptr, octets.len) != 1)
		sha256_done(sha256);
}

void
sha256_done(struct sha256 *sha256)
{
	EVP_MD_CTX_free(sha256->context);
	sha256->context = NULL;
}

enum error
sha256_finish(struct sha256 *sha256, uint8_t ret_digest[SHA256_OCTETS])
{
	bool is_good =
		sha256->context && EVP_DigestFinal_ex(sha256->context, ret_digest, NULL) == 1;

	sha256_done(sha256);
	return is_good ? OK : ERROR_NO_MEMORY;
}

bool
hmac_sha1(struct secret key, struct slice text, uint8_t ret_digest[SHA1_OCTETS])
{
	struct slice octets = secret_reveal(key);
	unsigned len = 0;

	return octets.len <= INT_MAX &&
	       HMAC(EVP_sha1(), octets.ptr, (int)octets.len, text.ptr, text.len, ret_digest,
		       &len) != NULL &&
	       len == SHA1_OCTETS;
}

void
key_free(struct key **key)
{
	EVP_PKEY_free(pkey_of(*key));
	*key = NULL;
}

/* Both forms are in use: section 3.6.1 names RSAPublicKey, its examples are SubjectPublicKeyInfo.
 */
static EVP_PKEY *
read_rsa(struct slice octets)
{
	const unsigned char *at = octets.ptr;
	EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)octets.len);

	if (!pkey) {
		at = octets.ptr;
		pkey = d2i_PublicKey(EVP_PKEY_RSA, NULL, &at, (long)octets.len);
	}
	bool is_whole = pkey && at == octets.ptr + octets.len;
	if (is_whole && EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA)
		return pkey;
	EVP_PKEY_free(pkey);
	return NULL;
}

enum error
key_from_public(enum key_type type, struct slice octets, struct key **ret_key)
{
	EVP_PKEY *pkey;

	if (octets.len == 0 || octets.len > INT_MAX)
		return ERROR_FORMAT;
	if (type == KEY_RSA)
		pkey = read_rsa(octets);
	else
		pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, octets.ptr, octets.len);
	*ret_key = (struct key *)pkey;
	return pkey ? OK : ERROR_FORMAT;
}

/* OpenSSL would ask the terminal for a passphrase. */
static int
no_passphrase(char *text, int size, int is_writing, void *arg)
{
	(void)text, (void)size, (void)is_writing, (void)arg;
	return -1;
}

static bool
is_usable(EVP_PKEY *pkey)
{
	int bits = EVP_PKEY_get_bits(pkey), type = EVP_PKEY_get_base_id(pkey);

	return type == EVP_PKEY_ED25519 ||
	       (type == EVP_PKEY_RSA && bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX);
}

enum error
key_from_pem(struct secret pem, struct key **ret_key)
{
	struct slice octets = secret_reveal(pem);
	BIO *bio = octets.len <= INT_MAX ? BIO_new_mem_buf(octets.ptr, (int)octets.len) : NULL;
	EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;

	BIO_free(bio);
	if (!pkey)
		return ERROR_FORMAT;
	if (!is_usable(pkey)) {
		EVP_PKEY_free(pkey);
		return ERROR_UNSUPPORTED;
	}
	*ret_key = (struct key *)pkey;
	return OK;
}

enum error
key_generate(enum key_type type, unsigned bits, struct key **ret_key)
{
	EVP_PKEY *pkey = type == KEY_RSA ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits)
					 : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	*ret_key = (struct key *)pkey;
	return pkey ? OK : ERROR_NO_MEMORY;
}

void
key_append_pem(struct buffer *buffer, const struct key *key)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	char *text = NULL;

	if (bio &&
		PEM_write_bio_PKCS8PrivateKey(bio, pkey_of(key), NULL, NULL, 0, NULL, NULL) == 1) {
		long len = BIO_get_mem_data(bio, &text);
		buffer_append(buffer, slice_of(text, (size_t)len));
	}
	BIO_free(bio);
	if (!text && buffer->error == OK)
		buffer->error = ERROR_NO_MEMORY;
}

void
key_append_public(struct buffer *buffer, const struct key *key)
{
	unsigned char raw[SHA256_OCTETS], *der = NULL;
	size_t len = sizeof raw;
	int der_len;

	if (key_type(key) == KEY_ED25519 &&
		EVP_PKEY_get_raw_public_key(pkey_of(key), raw, &len) == 1) {
		buffer_append(buffer, slice_of(raw, len));
		return;
	}
	der_len = i2d_PUBKEY(pkey_of(key), &der);
	if (der_len > 0)
		buffer_append(buffer, slice_of(der, (size_t)der_len));
	else if (buffer->error == OK)
		buffer->error = ERROR_NO_MEMORY;
	OPENSSL_free(der);
}

enum key_type
key_type(const struct key *key)
{
	return EVP_PKEY_get_base_id(pkey_of(key)) == EVP_PKEY_ED25519 ? KEY_ED25519 : KEY_RSA;
}

unsigned
key_bits(const struct key *key)
{
	return key_type(key) == KEY_ED25519 ? 256 : (unsigned)EVP_PKEY_get_bits(pkey_of(key));
}

static bool
rsa_prepare(EVP_PKEY_CTX *context)
{
	return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) > 0 &&
	       EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) > 0;
}

static bool
rsa_verify(EVP_PKEY *pkey, const uint8_t *digest, struct slice signature)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(pkey, NULL);
	bool is_good =
		context && EVP_PKEY_verify_init(context) > 0 && rsa_prepare(context) &&
		EVP_PKEY_verify(context, signature.ptr, signature.len, digest, SHA256_OCTETS) == 1;

	EVP_PKEY_CTX_free(context);
	return is_good;
}

static bool
ed25519_verify(EVP_PKEY *pkey, const uint8_t *digest, struct slice signature)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool is_good =
		context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, pkey) == 1 &&
		EVP_DigestVerify(context, signature.ptr, signature.len, digest, SHA256_OCTETS) == 1;

	EVP_MD_CTX_free(context);
	return is_good;
}

bool
key_verify(const struct key *key, const uint8_t digest[SHA256_OCTETS], struct slice signature)
{
	return key_type(key) == KEY_RSA ? rsa_verify(pkey_of(key), digest, signature)
					: ed25519_verify(pkey_of(key), digest, signature);
}

static bool
rsa_sign(EVP_PKEY *pkey, const uint8_t *digest, uint8_t *signature, size_t *len)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(pkey, NULL);
	bool is_good = context && EVP_PKEY_sign_init(context) > 0 && rsa_prepare(context) &&
		       EVP_PKEY_sign(context, signature, len, digest, SHA256_OCTETS) > 0;

	EVP_PKEY_CTX_free(context);
	return is_good;
}

static bool
ed25519_sign(EVP_PKEY *pkey, const uint8_t *digest, uint8_t *signature, size_t *len)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool is_good = context && EVP_DigestSignInit(context, NULL, NULL, NULL, pkey) == 1 &&
		       EVP_DigestSign(context, signature, len, digest, SHA256_OCTETS) == 1;

	EVP_MD_CTX_free(context);
	return is_good;
}

enum error
key_sign(const struct key *key, const uint8_t digest[SHA256_OCTETS],
	uint8_t signature[SIGNATURE_OCTETS], size_t *ret_len)
{
	size_t len = SIGNATURE_OCTETS;
	bool is_good = key_type(key) == KEY_RSA
			       ? rsa_sign(pkey_of(key), digest, signature, &len)
			       : ed25519_sign(pkey_of(key), digest, signature, &len);

	if (!is_good)
		return ERROR_NO_MEMORY;
	*ret_len = len;
	return OK;
}
