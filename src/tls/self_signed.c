/* As RFC 5280 wants it: version 3, a random serial number, the name as dNSName too. */
#include "tls/self_signed.h"
#include "tls/openssl.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <string.h>

#define DAY_S       86400L
#define VALID_DAYS  3650L
#define NAME_MAX    255
#define SERIAL_BITS 127

static bool
set_serial(X509 *certificate)
{
	BIGNUM *serial = BN_new();
	bool is_set = serial && BN_rand(serial, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) &&
		      BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(certificate));

	BN_free(serial);
	return is_set;
}

/* Names over 64 octets are no common name (RFC 5280 appendix A.1); dNSName has room for all. */
static bool
set_name(X509 *certificate, struct slice hostname)
{
	X509_NAME *name = X509_get_subject_name(certificate);
	int len = hostname.len <= 64 ? (int)hostname.len : 64;

	return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, hostname.ptr, len, -1, 0) ==
		       1 &&
	       X509_set_issuer_name(certificate, name) == 1;
}

static bool
add_dns_name(X509 *certificate, struct slice hostname)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();
	bool is_made = names && name && text &&
		       ASN1_STRING_set(text, hostname.ptr, (int)hostname.len) == 1;

	if (is_made) {
		GENERAL_NAME_set0_value(name, GEN_DNS, text);
		text = NULL;
		is_made = sk_GENERAL_NAME_push(names, name) > 0;
		name = is_made ? NULL : name;
		is_made = is_made && X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0,
					     X509V3_ADD_DEFAULT) == 1;
	}
	ASN1_IA5STRING_free(text);
	GENERAL_NAME_free(name);
	GENERAL_NAMES_free(names);
	return is_made;
}

static X509 *
make_certificate(struct slice hostname, EVP_PKEY *key)
{
	X509 *certificate = X509_new();
	bool is_made = certificate && X509_set_version(certificate, X509_VERSION_3) == 1 &&
		       set_serial(certificate) &&
		       X509_gmtime_adj(X509_getm_notBefore(certificate), -DAY_S) &&
		       X509_gmtime_adj(X509_getm_notAfter(certificate), VALID_DAYS * DAY_S) &&
		       X509_set_pubkey(certificate, key) == 1 && set_name(certificate, hostname) &&
		       add_dns_name(certificate, hostname) &&
		       X509_sign(certificate, key, EVP_sha256()) > 0;

	if (!is_made) {
		X509_free(certificate);
		return NULL;
	}
	return certificate;
}

static bool
append_pem(BIO *pem, struct buffer *text)
{
	char *octets;
	long len = BIO_get_mem_data(pem, &octets);

	if (len <= 0)
		return false;
	buffer_append(text, slice_of(octets, (size_t)len));
	return buffer_error(text) == OK;
}

/* The memory of a BIO for secrets is wiped with it. */
static bool
append_key(EVP_PKEY *key, struct buffer *text)
{
	BIO *pem = BIO_new(BIO_s_secmem());
	bool is_made = pem &&
		       PEM_write_bio_PKCS8PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL) == 1 &&
		       append_pem(pem, text);

	BIO_free(pem);
	return is_made;
}

static bool
append_certificate(X509 *certificate, struct buffer *text)
{
	BIO *pem = BIO_new(BIO_s_mem());
	bool is_made = pem && PEM_write_bio_X509(pem, certificate) == 1 && append_pem(pem, text);

	BIO_free(pem);
	return is_made;
}

enum error
tls_self_signed(struct slice hostname, struct buffer *chain_pem, struct buffer *key_pem)
{
	EVP_PKEY *key = hostname.len <= NAME_MAX ? EVP_EC_gen("P-256") : NULL;
	X509 *certificate = key ? make_certificate(hostname, key) : NULL;
	bool is_made = certificate && append_certificate(certificate, chain_pem) &&
		       append_key(key, key_pem);

	X509_free(certificate);
	EVP_PKEY_free(key);
	return is_made ? OK : ERROR_NO_MEMORY;
}
