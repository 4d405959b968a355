/* Certificates for tests, made as they run: an authority of their own, and whom it signs. */
#ifndef TLS_AUTHORITY_TEST_H
#define TLS_AUTHORITY_TEST_H

#include "tls/openssl.h"
#include "tls/private_key.h"
#include "unit.h"

#include <openssl/pem.h>

struct test_certificate {
	EVP_PKEY *key;
	X509 *certificate;
	char chain[8192]; /* PEM */
	char key_text[8192];
};

static inline EVP_PKEY *
test_key(const char *kind)
{
	EVP_PKEY *key = strcmp(kind, "rsa") == 0       ? EVP_RSA_gen(2048)
			: strcmp(kind, "rsa1024") == 0 ? EVP_RSA_gen(1024)
			: strcmp(kind, "ed25519") == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
						       : EVP_PKEY_Q_keygen(NULL, NULL, "EC", kind);

	ck_assert_ptr_nonnull(key);
	return key;
}

static inline void
test_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;

	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	ck_assert_ptr_nonnull(extension);
	ck_assert_int_eq(X509_add_ext(certificate, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

static inline void
test_bio_text(BIO *bio, char *to, size_t room)
{
	char *text;
	long len = BIO_get_mem_data(bio, &text);

	ck_assert_int_gt(len, 0);
	ck_assert_int_lt(len, (long)room);
	memcpy(to, text, (size_t)len);
	to[len] = 0;
	BIO_free(bio);
}

/* `names`: as "DNS:a.example,DNS:b.example", NULL for an authority; signed by itself without an
 * issuer. Valid from yesterday on for so many days. */
static inline void
test_certificate(struct test_certificate *made, const char *kind, const char *subject,
	const char *names, int days, const struct test_certificate *issuer)
{
	X509 *certificate = X509_new();
	X509 *by = issuer ? issuer->certificate : certificate;
	X509_NAME *name = X509_get_subject_name(certificate);

	made->key = test_key(kind);
	made->certificate = certificate;
	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1 + rand() % 1000000);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -86400L * 10);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 86400L * days);
	X509_NAME_add_entry_by_txt(
		name, "CN", MBSTRING_ASC, (const unsigned char *)subject, -1, -1, 0);
	X509_set_issuer_name(certificate, X509_get_subject_name(by));
	X509_set_pubkey(certificate, made->key);
	test_extension(
		certificate, by, NID_basic_constraints, names ? "CA:FALSE" : "critical,CA:TRUE");
	if (names)
		test_extension(certificate, by, NID_subject_alt_name, names);
	EVP_PKEY *signer = issuer ? issuer->key : made->key;
	const EVP_MD *digest = EVP_PKEY_base_id(signer) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
	ck_assert_int_gt(X509_sign(certificate, signer, digest), 0);
	BIO *bio = BIO_new(BIO_s_mem());
	PEM_write_bio_X509(bio, certificate);
	test_bio_text(bio, made->chain, sizeof made->chain);
	bio = BIO_new(BIO_s_mem());
	PEM_write_bio_PrivateKey(bio, made->key, NULL, NULL, 0, NULL, NULL);
	test_bio_text(bio, made->key_text, sizeof made->key_text);
}

static inline void
test_certificate_done(struct test_certificate *made)
{
	X509_free(made->certificate);
	EVP_PKEY_free(made->key);
}

#endif
