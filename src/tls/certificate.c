/*
 * The certificates of a server. Each connection gets, when its client's hello is read, all that are
 * good for the name asked for (RFC 6066 section 3): of those OpenSSL takes the kind that both sides
 * can, so that RSA and ECDSA stand side by side. Without a name, or with one that nobody has, the
 * first certificate answers, with all that are for its names: a mail server that asks for a name we
 * do not know gets encryption rather than none.
 */
#include "tls/certificate.h"
#include "base/list.h"

#include <openssl/pem.h>

struct certificate {
	X509 *own; /* NULL: none in this place */
	STACK_OF(X509) * above;
	EVP_PKEY *key;
};

/* Of a certificate that has been replaced too: connections may still hold its key. There is one a
 * replacement, so they stay until the end. */
struct held_key {
	struct list link;
	struct remote_key key;
};

struct tls_certificates {
	struct env *env;
	struct tls_signer signer;
	struct remote_methods methods;
	struct list held;
	struct certificate items[TLS_CERTIFICATES_MAX];
};

struct tls_certificates *
tls_certificates_new(struct env *env, const struct tls_signer *signer)
{
	struct tls_certificates *certificates = memory_get(env->memory, sizeof *certificates);

	certificates->env = env;
	certificates->signer = *signer;
	list_init(&certificates->held);
	if (remote_methods_init(&certificates->methods) != OK)
		tls_certificates_free(&certificates);
	return certificates;
}

static void
certificate_done(struct certificate *certificate)
{
	X509_free(certificate->own);
	sk_X509_pop_free(certificate->above, X509_free);
	EVP_PKEY_free(certificate->key);
	*certificate = (struct certificate){0};
}

void
tls_certificates_free(struct tls_certificates **pointer)
{
	struct tls_certificates *certificates = *pointer;
	struct list *link;

	*pointer = NULL;
	if (!certificates)
		return;
	for (size_t i = 0; i < TLS_CERTIFICATES_MAX; i++)
		certificate_done(&certificates->items[i]);
	while ((link = list_take(&certificates->held)) != NULL)
		memory_put(certificates->env->memory, list_entry(link, struct held_key, link));
	remote_methods_done(&certificates->methods);
	memory_put(certificates->env->memory, certificates);
}

size_t
tls_certificates_count(const struct tls_certificates *certificates)
{
	size_t count = 0;

	for (size_t i = 0; i < TLS_CERTIFICATES_MAX; i++)
		count += certificates->items[i].own != NULL;
	return count;
}

/* Why not; NULL: read. */
static const char *
read_chain(struct slice pem, struct certificate *certificate)
{
	BIO *bio = pem.len <= TLS_CHAIN_BYTES_MAX ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
	const char *why = NULL;
	X509 *next;

	if (!bio)
		return pem.len > TLS_CHAIN_BYTES_MAX ? "the chain is longer than 48 KiB"
						     : "there is no memory for it";
	ERR_clear_error();
	certificate->own = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	certificate->above = sk_X509_new_null();
	while (certificate->own && certificate->above &&
		(next = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
		if (sk_X509_push(certificate->above, next) == 0) {
			X509_free(next);
			why = "there is no memory for it";
		}
	if (!certificate->own)
		why = "there is no certificate in PEM in it";
	else if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		why = "a certificate of the chain is damaged";
	BIO_free(bio);
	ERR_clear_error();
	return why;
}

static const char *
take_public_key(X509 *own, struct tls_key_id *ret_id)
{
	EVP_PKEY *key = X509_get0_pubkey(own);
	int kind = key ? EVP_PKEY_base_id(key) : EVP_PKEY_NONE;

	if (kind != EVP_PKEY_RSA && kind != EVP_PKEY_EC)
		return "its key is neither RSA nor ECDSA";
	return tls_key_id_of(key, ret_id) == OK ? NULL : "its key is damaged";
}

const char *
tls_chain_key_id(struct slice chain, struct tls_key_id *ret_id)
{
	struct certificate certificate = {0};
	const char *why = read_chain(chain, &certificate);

	if (!why)
		why = take_public_key(certificate.own, ret_id);
	certificate_done(&certificate);
	return why;
}

const char *
tls_chain_check(struct slice chain, const struct tls_key_id *key)
{
	struct tls_key_id id;
	const char *why = tls_chain_key_id(chain, &id);

	if (!why && key && !slice_equal(tls_key_id_slice(&id), tls_key_id_slice(key)))
		why = "it is for another key: the first certificate must be the server's own";
	return why;
}

static enum error
append_certificate(X509 *certificate, struct buffer *copy)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;

	if (!bio || PEM_write_bio_X509(bio, certificate) != 1) {
		BIO_free(bio);
		return ERROR_NO_MEMORY;
	}
	long len = BIO_get_mem_data(bio, &text);
	buffer_append(copy, slice_of(text, (size_t)len));
	BIO_free(bio);
	return buffer_error(copy);
}

enum error
tls_chain_copy(struct slice chain, struct buffer *copy)
{
	struct certificate certificate = {0};
	enum error error = read_chain(chain, &certificate) ? ERROR_FORMAT : OK;

	if (error == OK)
		error = append_certificate(certificate.own, copy);
	for (int i = 0; error == OK && i < sk_X509_num(certificate.above); i++)
		error = append_certificate(sk_X509_value(certificate.above, i), copy);
	certificate_done(&certificate);
	ERR_clear_error();
	return error;
}

static const char *
attach_key(struct tls_certificates *certificates, struct certificate *certificate)
{
	struct held_key *held = memory_try(certificates->env->memory, sizeof *held);

	if (!held)
		return "there is no memory for it";
	held->key.signer = certificates->signer;
	const char *why = take_public_key(certificate->own, &held->key.id);
	if (!why) {
		certificate->key = remote_key_new(
			&certificates->methods, X509_get0_pubkey(certificate->own), &held->key);
		why = certificate->key ? NULL : "its key can't be used";
	}
	if (why)
		memory_put(certificates->env->memory, held);
	else
		list_append(&certificates->held, &held->link);
	return why;
}

enum error
tls_certificates_set(struct tls_certificates *certificates, size_t number, struct slice chain,
	const char **ret_why)
{
	struct certificate certificate = {0};

	if (number >= TLS_CERTIFICATES_MAX) {
		*ret_why = "there are too many certificates";
		return ERROR_LIMIT;
	}
	const char *why = read_chain(chain, &certificate);
	if (!why)
		why = attach_key(certificates, &certificate);
	if (why) {
		certificate_done(&certificate);
		*ret_why = why;
		return ERROR_FORMAT;
	}
	certificate_done(&certificates->items[number]);
	certificates->items[number] = certificate;
	return OK;
}

static bool
is_for(const struct certificate *certificate, const char *name)
{
	return certificate->own && X509_check_host(certificate->own, name, 0, 0, NULL) == 1;
}

static bool
give(SSL *ssl, const struct certificate *certificate)
{
	return SSL_use_cert_and_key(
		       ssl, certificate->own, certificate->key, certificate->above, 1) == 1;
}

/* Of two that are for the same names: the subject of one is a name of the other. */
static bool
is_twin(const struct certificate *certificate, const struct certificate *first)
{
	char name[256];
	X509_NAME *subject = X509_get_subject_name(first->own);

	return certificate == first ||
	       (X509_NAME_get_text_by_NID(subject, NID_commonName, name, sizeof name) > 0 &&
		       is_for(certificate, name));
}

int
certificates_choose(SSL *ssl, void *arg)
{
	struct tls_certificates *certificates = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	const struct certificate *first = NULL;
	size_t given = 0;

	for (size_t i = 0; i < TLS_CERTIFICATES_MAX; i++) {
		const struct certificate *certificate = &certificates->items[i];
		first = first ? first : certificate->own ? certificate : NULL;
		if (name && *name && is_for(certificate, name))
			given += give(ssl, certificate);
	}
	for (size_t i = 0; given == 0 && first && i < TLS_CERTIFICATES_MAX; i++) {
		const struct certificate *certificate = &certificates->items[i];
		if (certificate->own && is_twin(certificate, first) && !give(ssl, certificate))
			return 0;
	}
	return 1;
}
