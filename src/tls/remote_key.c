/*
 * Private keys that another process has. OpenSSL signs with a key through the key's own methods;
 * ours send what is to be signed to a function and take the signature that it brings. The function
 * may wait: then the task stands in the midst of OpenSSL's handshake while others run theirs.
 *
 * RSA needs the one operation "encrypt with the private key": padding is OpenSSL's before it for
 * RSASSA-PSS, and the key's for PKCS #1. The methods are deprecated since 3.0 in favour of
 * providers; all that is known of them is in this file. Ed25519 has no such methods: it would need
 * a provider.
 *
 * The remote key hangs on index 0 of the extra data, which OpenSSL keeps free for applications.
 */
#include "tls/certificate.h"

#define APP_DATA 0

static int
ask(const struct remote_key *remote, enum tls_signing how, struct slice input, uint8_t *to,
	int room)
{
	struct buffer signature;

	if (!remote || room <= 0)
		return -1;
	buffer_init_fixed(&signature, to, (size_t)room);
	if (remote->signer.sign(remote->signer.arg, &remote->id, how, input, &signature) == OK &&
		buffer_error(&signature) == OK)
		return (int)signature.len;
	/* Others have used the list of errors meanwhile: this one is the first. */
	ERR_clear_error();
	ERR_raise(ERR_LIB_USER, REMOTE_KEY_FAILED);
	return -1;
}

static int
rsa_private_encrypt(int len, const unsigned char *from, unsigned char *to, RSA *rsa, int padding)
{
	enum tls_signing how = padding == RSA_NO_PADDING ? TLS_SIGN_RSA_BARE : TLS_SIGN_RSA_PKCS1;

	if (len <= 0 || (padding != RSA_NO_PADDING && padding != RSA_PKCS1_PADDING))
		return -1;
	int got = ask(RSA_get_ex_data(rsa, APP_DATA), how, slice_of(from, (size_t)len), to,
		RSA_size(rsa));
	/* A signature of RSA is as long as its key. */
	return got == RSA_size(rsa) ? got : -1;
}

static int
ec_sign(int type, const unsigned char *digest, int len, unsigned char *signature,
	unsigned int *ret_len, const BIGNUM *inverse, const BIGNUM *r, EC_KEY *key)
{
	(void)type;
	(void)inverse;
	(void)r;
	if (len <= 0)
		return 0;
	int got = ask(EC_KEY_get_ex_data(key, APP_DATA), TLS_SIGN_ECDSA,
		slice_of(digest, (size_t)len), signature, ECDSA_size(key));
	if (got <= 0)
		return 0;
	*ret_len = (unsigned)got;
	return 1;
}

static ECDSA_SIG *
ec_sign_parts(
	const unsigned char *digest, int len, const BIGNUM *inverse, const BIGNUM *r, EC_KEY *key)
{
	uint8_t der[TLS_SIGNATURE_MAX];
	unsigned der_len = 0;
	const uint8_t *at = der;

	if (ECDSA_size(key) > (int)sizeof der ||
		!ec_sign(0, digest, len, der, &der_len, inverse, r, key))
		return NULL;
	return d2i_ECDSA_SIG(NULL, &at, (long)der_len);
}

enum error
remote_methods_init(struct remote_methods *methods)
{
	*methods = (struct remote_methods){
		.rsa = RSA_meth_dup(RSA_get_default_method()),
		.ec = EC_KEY_METHOD_new(EC_KEY_get_default_method()),
	};
	if (!methods->rsa || !methods->ec)
		return ERROR_NO_MEMORY;
	RSA_meth_set_priv_enc(methods->rsa, rsa_private_encrypt);
	RSA_meth_set_flags(methods->rsa,
		RSA_meth_get_flags(methods->rsa) | RSA_FLAG_EXT_PKEY | RSA_METHOD_FLAG_NO_CHECK);
	EC_KEY_METHOD_set_sign(methods->ec, ec_sign, NULL, ec_sign_parts);
	return OK;
}

void
remote_methods_done(struct remote_methods *methods)
{
	RSA_meth_free(methods->rsa);
	if (methods->ec)
		EC_KEY_METHOD_free(methods->ec);
	*methods = (struct remote_methods){0};
}

static EVP_PKEY *
remote_rsa(const struct remote_methods *methods, EVP_PKEY *public_key, struct remote_key *remote)
{
	const RSA *given = EVP_PKEY_get0_RSA(public_key);
	RSA *rsa = given ? RSAPublicKey_dup(given) : NULL;
	EVP_PKEY *key = EVP_PKEY_new();

	if (rsa && key && RSA_set_method(rsa, methods->rsa) == 1 &&
		RSA_set_ex_data(rsa, APP_DATA, remote) == 1 && EVP_PKEY_assign_RSA(key, rsa) == 1)
		return key;
	EVP_PKEY_free(key);
	RSA_free(rsa);
	return NULL;
}

static EVP_PKEY *
remote_ec(const struct remote_methods *methods, EVP_PKEY *public_key, struct remote_key *remote)
{
	const EC_KEY *given = EVP_PKEY_get0_EC_KEY(public_key);
	EC_KEY *ec = given ? EC_KEY_dup(given) : NULL;
	EVP_PKEY *key = EVP_PKEY_new();

	if (ec && key && EC_KEY_set_method(ec, methods->ec) == 1 &&
		EC_KEY_set_ex_data(ec, APP_DATA, remote) == 1 &&
		EVP_PKEY_assign_EC_KEY(key, ec) == 1)
		return key;
	EVP_PKEY_free(key);
	EC_KEY_free(ec);
	return NULL;
}

EVP_PKEY *
remote_key_new(
	const struct remote_methods *methods, EVP_PKEY *public_key, struct remote_key *remote)
{
	switch (EVP_PKEY_base_id(public_key)) {
	case EVP_PKEY_RSA:
		return remote_rsa(methods, public_key, remote);
	case EVP_PKEY_EC:
		return remote_ec(methods, public_key, remote);
	default:
		return NULL;
	}
}
