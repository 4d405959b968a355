/*
 * The rules of connections (RFC 9325, RFC 8446, RFC 7301). Ciphers of TLS 1.3 are all good; those
 * of 1.2 are chosen here: ECDHE always, so that a key that is stolen opens nothing of the past;
 * with authenticated encryption where people's programs connect, CBC too between servers.
 */
#include "tls/context_private.h"
#include "tls/certificate.h"

#include <openssl/pem.h>

#define CIPHERS_STRICT "ECDHE+AESGCM:ECDHE+CHACHA20"
#define CIPHERS_PUBLIC CIPHERS_STRICT ":ECDHE+AES256:ECDHE+AES128:!aNULL:!CAMELLIA:!ARIA:!AESCCM"
/* Encryption that is taken if there is any: what a client gives up here it sends in the clear. */
#define CIPHERS_ANY CIPHERS_PUBLIC ":kRSA+AESGCM:kRSA+AES:!aNULL:!eNULL:!MD5"
/* Security level 0 lets SHA-1 sign, which TLS before 1.2 cannot do without. */
#define CIPHERS_OLD "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:kRSA+AES:!aNULL:!eNULL:@SECLEVEL=0"

static int
version_number(enum tls_version version)
{
	static const int numbers[] = {[TLS_VERSION_1_0] = TLS1_VERSION,
		[TLS_VERSION_1_1] = TLS1_1_VERSION,
		[TLS_VERSION_1_2] = TLS1_2_VERSION,
		[TLS_VERSION_1_3] = TLS1_3_VERSION};

	return numbers[version];
}

static struct tls_context *
context_new(struct env *env, const SSL_METHOD *method, bool is_server)
{
	struct tls_context *context = memory_get(env->memory, sizeof *context);

	context->env = env;
	context->is_server = is_server;
	ERR_clear_error();
	OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	context->ctx = SSL_CTX_new(method);
	context->below = tls_below_method_new();
	if (!context->ctx || !context->below) {
		tls_context_free(&context);
		return NULL;
	}
	SSL_CTX_set_options(context->ctx,
		SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	/* Buffers of 16 KiB go back while a connection is idle. */
	SSL_CTX_set_mode(context->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
					       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					       SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(context->ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_read_ahead(context->ctx, 0);
	return context;
}

static bool
set_rules(struct tls_context *context, enum tls_version minimum, const char *ciphers)
{
	return SSL_CTX_set_min_proto_version(context->ctx, version_number(minimum)) == 1 &&
	       SSL_CTX_set_cipher_list(context->ctx, ciphers) == 1;
}

/* A client that names protocols and none of ours is about to talk to somebody else (ALPACA). */
static int
choose_protocol(SSL *ssl, const unsigned char **ret_chosen, unsigned char *ret_len,
	const unsigned char *offered, unsigned int offered_len, void *arg)
{
	const struct tls_context *context = arg;
	unsigned char *chosen;

	(void)ssl;
	if (SSL_select_next_proto(&chosen, ret_len, context->protocols, context->protocols_len,
		    offered, offered_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*ret_chosen = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static void
set_protocol(struct tls_context *context, struct slice protocol)
{
	if (protocol.len == 0 || protocol.len >= sizeof context->protocols)
		return;
	context->protocols[0] = (uint8_t)protocol.len;
	memcpy(context->protocols + 1, protocol.ptr, protocol.len);
	context->protocols_len = (unsigned)protocol.len + 1;
	SSL_CTX_set_alpn_select_cb(context->ctx, choose_protocol, context);
}

struct tls_context *
tls_server_new(struct env *env, struct tls_certificates *certificates,
	const struct tls_server_settings *settings)
{
	struct tls_context *context = context_new(env, TLS_server_method(), true);
	const char *ciphers = settings->minimum < TLS_VERSION_1_2 ? CIPHERS_OLD
			      : settings->strict                  ? CIPHERS_STRICT
								  : CIPHERS_PUBLIC;

	if (!context)
		return NULL;
	uint8_t rules[] = {(uint8_t)settings->minimum, settings->strict};
	if (!set_rules(context, settings->minimum, ciphers) ||
		!tls_tickets_use(context, settings->tickets, slice_of(rules, sizeof rules))) {
		tls_context_free(&context);
		return NULL;
	}
	SSL_CTX_set_cert_cb(context->ctx, certificates_choose, certificates);
	set_protocol(context, settings->protocol);
	return context;
}

struct tls_context *
tls_client_new(struct env *env, const struct tls_client_settings *settings)
{
	struct tls_context *context = context_new(env, TLS_client_method(), false);

	if (context && !set_rules(context, TLS_VERSION_1_2,
			       settings->strict ? CIPHERS_STRICT : CIPHERS_ANY))
		tls_context_free(&context);
	return context;
}

enum error
tls_client_trust(struct tls_context *client, struct slice pem)
{
	X509_STORE *store = SSL_CTX_get_cert_store(client->ctx);
	BIO *bio = pem.len <= INT32_MAX ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
	enum error error = ERROR_FORMAT;
	X509 *certificate;

	if (!bio)
		return ERROR_NO_MEMORY;
	ERR_clear_error();
	while ((certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		error = X509_STORE_add_cert(store, certificate) == 1 ? OK : ERROR_NO_MEMORY;
		X509_free(certificate);
		if (error != OK)
			break;
	}
	BIO_free(bio);
	ERR_clear_error();
	return error;
}

void
tls_context_free(struct tls_context **pointer)
{
	struct tls_context *context = *pointer;

	*pointer = NULL;
	if (!context)
		return;
	SSL_CTX_free(context->ctx);
	BIO_meth_free(context->below);
	memory_put(context->env->memory, context);
}
