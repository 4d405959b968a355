/*
 * Keys are OpenSSL's own objects; RSA signs through the low-level call, since what comes over a
 * call is padded already (remote_key.c). One that asks may be taken over, so what it sends is
 * measured; that it gets signatures for what it likes is what it is there for.
 */
#include "tls/private_key.h"
#include "tls/openssl.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <time.h>

#define RSA_BITS_MIN 2048

struct tls_private_key {
	struct tls_key_id id;
	EVP_PKEY *key;
	RSA *rsa;
	EC_KEY *ec;
};

enum error
tls_prepare(void)
{
	uint8_t octet;

	tzset(); /* dates of certificates: libc reads its zone before the first one */
	return OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_CRYPTO_STRINGS |
					   OPENSSL_INIT_ADD_ALL_CIPHERS |
					   OPENSSL_INIT_ADD_ALL_DIGESTS,
		       NULL) == 1 &&
			       RAND_bytes(&octet, 1) == 1
		       ? OK
		       : ERROR_NO_MEMORY;
}

/* Nobody is asked on a terminal: a server starts alone. */
static int
no_passphrase(char *buffer, int size, int writing, void *arg)
{
	(void)buffer;
	(void)size;
	(void)writing;
	*(bool *)arg = true;
	return -1;
}

static EVP_PKEY *
read_key(struct secret pem, const char **ret_why)
{
	struct slice text = secret_reveal(pem);
	bool is_encrypted = false;

	if (text.len > INT32_MAX)
		return NULL;
	BIO *bio = BIO_new_mem_buf(text.ptr, (int)text.len);
	EVP_PKEY *key =
		bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &is_encrypted) : NULL;
	BIO_free(bio);
	if (!key)
		*ret_why = is_encrypted ? "the key has a passphrase, and nobody is there to type it"
					: "there is no private key in PEM in it";
	return key;
}

enum error
tls_key_id_of(EVP_PKEY *key, struct tls_key_id *ret_id)
{
	unsigned char *der = NULL;
	int len = i2d_PUBKEY(key, &der);

	if (len <= 0)
		return ERROR_FORMAT;
	int done = EVP_Digest(der, (size_t)len, ret_id->octets, NULL, EVP_sha256(), NULL);
	OPENSSL_free(der);
	return done == 1 ? OK : ERROR_NO_MEMORY;
}

/* Why it can't be used; NULL: it can. */
static const char *
take_apart(struct tls_private_key *key)
{
	if (EVP_PKEY_base_id(key->key) == EVP_PKEY_RSA) {
		if (EVP_PKEY_bits(key->key) < RSA_BITS_MIN)
			return "the RSA key has fewer than 2048 bits";
		if (EVP_PKEY_size(key->key) > TLS_SIGNATURE_MAX)
			return "the RSA key has more than 8192 bits";
		key->rsa = EVP_PKEY_get1_RSA(key->key);
	} else if (EVP_PKEY_base_id(key->key) == EVP_PKEY_EC) {
		key->ec = EVP_PKEY_get1_EC_KEY(key->key);
	} else {
		return "it is neither an RSA nor an ECDSA key";
	}
	return key->rsa || key->ec ? NULL : "the key is damaged";
}

enum error
tls_private_key_load(struct secret pem, struct tls_private_key **ret_key, const char **ret_why)
{
	struct tls_private_key *key = OPENSSL_zalloc(sizeof *key);

	*ret_why = "there is no memory for it";
	if (!key)
		return ERROR_NO_MEMORY;
	ERR_clear_error();
	key->key = read_key(pem, ret_why);
	const char *why = key->key ? take_apart(key) : *ret_why;
	if (!why && tls_key_id_of(key->key, &key->id) != OK)
		why = "the key is damaged";
	ERR_clear_error();
	if (!why) {
		*ret_key = key;
		return OK;
	}
	*ret_why = why;
	tls_private_key_free(&key);
	return ERROR_FORMAT;
}

void
tls_private_key_free(struct tls_private_key **pointer)
{
	struct tls_private_key *key = *pointer;

	*pointer = NULL;
	if (!key)
		return;
	RSA_free(key->rsa);
	EC_KEY_free(key->ec);
	EVP_PKEY_free(key->key);
	OPENSSL_free(key);
}

const struct tls_key_id *
tls_private_key_id(const struct tls_private_key *key)
{
	return &key->id;
}

static int
sign_rsa(struct tls_private_key *key, enum tls_signing how, struct slice input, uint8_t *signature)
{
	int padding = how == TLS_SIGN_RSA_BARE ? RSA_NO_PADDING : RSA_PKCS1_PADDING;

	return RSA_private_encrypt((int)input.len, input.ptr, signature, key->rsa, padding);
}

static int
sign_ecdsa(struct tls_private_key *key, struct slice input, uint8_t *signature)
{
	unsigned len = 0;

	return ECDSA_sign(0, input.ptr, (int)input.len, signature, &len, key->ec) == 1 ? (int)len
										       : -1;
}

enum error
tls_private_key_sign(struct tls_private_key *key, enum tls_signing how, struct slice input,
	struct buffer *signature)
{
	uint8_t octets[TLS_SIGNATURE_MAX];
	bool is_ecdsa = how == TLS_SIGN_ECDSA;

	if (input.len == 0 || input.len > TLS_SIGNATURE_MAX || (is_ecdsa ? !key->ec : !key->rsa) ||
		(is_ecdsa && ECDSA_size(key->ec) > (int)sizeof octets))
		return ERROR_DENIED;
	ERR_clear_error();
	int len = is_ecdsa ? sign_ecdsa(key, input, octets) : sign_rsa(key, how, input, octets);
	ERR_clear_error();
	if (len <= 0)
		return ERROR_DENIED;
	buffer_append(signature, slice_of(octets, (size_t)len));
	return buffer_error(signature);
}
