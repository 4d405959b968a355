/*
 * OpenSSL reads and writes the stream below through a BIO of ours, so TLS works over anything that
 * is a stream, and no descriptor is known here. When it can't go on, it says what it waits for; the
 * waiting is the stream's below.
 *
 * OpenSSL's list of errors is one a thread, and a task that waits lets others use it: it is emptied
 * before each call, and read before any wait.
 */
#include "tls/tls_stream.h"
#include "tls/context_private.h"
#include "tls/problem.h"

#include <errno.h>
#include <openssl/bio.h>

static int
below_read(BIO *bio, char *bytes, size_t len, size_t *ret_len)
{
	struct stream *below = BIO_get_data(bio);
	ssize_t got = below->ops->read(below, bytes, len);

	BIO_clear_retry_flags(bio);
	*ret_len = 0;
	if (got > 0) {
		*ret_len = (size_t)got;
		return 1;
	}
	if (got == 0)
		BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
	if (got == -EAGAIN)
		BIO_set_retry_read(bio);
	return 0;
}

static int
below_write(BIO *bio, const char *bytes, size_t len, size_t *ret_len)
{
	struct stream *below = BIO_get_data(bio);
	ssize_t written = below->ops->write(below, bytes, len);

	BIO_clear_retry_flags(bio);
	*ret_len = 0;
	if (written > 0) {
		*ret_len = (size_t)written;
		return 1;
	}
	if (written == -EAGAIN || written == 0)
		BIO_set_retry_write(bio);
	return 0;
}

static long
below_control(BIO *bio, int command, long number, void *pointer)
{
	(void)number;
	(void)pointer;
	switch (command) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
	default:
		return 0;
	}
}

BIO_METHOD *
tls_below_method_new(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stream");

	if (!method || BIO_meth_set_read_ex(method, below_read) != 1 ||
		BIO_meth_set_write_ex(method, below_write) != 1 ||
		BIO_meth_set_ctrl(method, below_control) != 1) {
		BIO_meth_free(method);
		return NULL;
	}
	return method;
}

/* What a call that failed means for the stream: -EAGAIN (and what to wait for), 0 at the end, else
 * that it is over. */
static ssize_t
judge(struct tls_stream *tls, int result)
{
	int why = SSL_get_error(tls->ssl, result);

	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
		tls->wants = why == SSL_ERROR_WANT_READ ? POLL_READABLE : POLL_WRITABLE;
		return -EAGAIN;
	}
	if (why == SSL_ERROR_ZERO_RETURN)
		return 0;
	tls->is_broken = true;
	tls->was_cut = why == SSL_ERROR_SYSCALL ||
		       ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
	return -ECONNRESET;
}

static ssize_t
tls_read(struct stream *stream, void *bytes, size_t len)
{
	struct tls_stream *tls = (struct tls_stream *)stream;
	size_t got = 0;

	ERR_clear_error();
	int result = SSL_read_ex(tls->ssl, bytes, len, &got);
	ssize_t answer = result == 1 ? (ssize_t)got : judge(tls, result);
	ERR_clear_error();
	return answer;
}

static ssize_t
tls_write(struct stream *stream, const void *bytes, size_t len)
{
	struct tls_stream *tls = (struct tls_stream *)stream;
	size_t written = 0;

	ERR_clear_error();
	int result = SSL_write_ex(tls->ssl, bytes, len, &written);
	ssize_t answer = result == 1 ? (ssize_t)written : judge(tls, result);
	ERR_clear_error();
	/* The other side says that it sends nothing more, and still reads: that is no write's end.
	 */
	return answer == 0 ? -EPIPE : answer;
}

static enum error
tls_wait(struct stream *stream, uint32_t what, mono_us deadline)
{
	struct tls_stream *tls = (struct tls_stream *)stream;

	(void)what; /* a read may have to write first, and the other way round */
	return tls->below->ops->wait(tls->below, tls->wants, deadline);
}

/* The other side learns that this is the end, if its socket takes it at once: nobody waits. */
static void
tls_close(struct stream *stream)
{
	struct tls_stream *tls = (struct tls_stream *)stream;

	ERR_clear_error();
	if (tls->is_open && !tls->is_broken)
		SSL_shutdown(tls->ssl);
	ERR_clear_error();
	SSL_free(tls->ssl);
	tls->ssl = NULL;
	stream_close(tls->below);
}

static const struct stream_ops tls_ops = {tls_read, tls_write, tls_wait, tls_close};

enum error
tls_stream_open(struct tls_stream *tls, struct tls_context *context, struct stream *below)
{
	*tls = (struct tls_stream){.below = below, .stream = {.loop = below->loop}};
	ERR_clear_error();
	SSL *ssl = SSL_new(context->ctx);
	BIO *bio = BIO_new(context->below);
	if (!ssl || !bio) {
		SSL_free(ssl);
		BIO_free(bio);
		return ERROR_NO_MEMORY;
	}
	BIO_set_data(bio, below);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	if (context->is_server)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	tls->ssl = ssl;
	tls->stream.ops = &tls_ops;
	return OK;
}

/* Names are letters, digits, hyphens and dots; an address has nothing else than digits and dots, or
 * a colon. */
static bool
is_address(struct slice host)
{
	bool digits = true;

	for (size_t i = 0; i < host.len; i++) {
		if (host.ptr[i] == ':')
			return true;
		digits &= ascii_is_digit(host.ptr[i]) || host.ptr[i] == '.';
	}
	return digits;
}

enum error
tls_stream_expect(struct tls_stream *tls, struct slice host, bool verify)
{
	char name[256];

	if (host.len == 0 || host.len >= sizeof name || memchr(host.ptr, 0, host.len))
		return ERROR_FORMAT;
	memcpy(name, host.ptr, host.len);
	name[host.len] = 0;
	bool done = is_address(host) ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls->ssl), name)
				     : SSL_set_tlsext_host_name(tls->ssl, name) == 1 &&
					       SSL_set1_host(tls->ssl, name) == 1;
	SSL_set_hostflags(tls->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	SSL_set_verify(tls->ssl, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	return done ? OK : ERROR_FORMAT;
}

enum error
tls_stream_expect_domain(struct tls_stream *tls, struct slice host, struct slice domain)
{
	char name[258] = ".";
	enum error error = tls_stream_expect(tls, host, true);

	if (error != OK)
		return error;
	if (domain.len == 0 || domain.len > 255 || memchr(domain.ptr, 0, domain.len))
		return ERROR_FORMAT;
	memcpy(name + 1, domain.ptr, domain.len);
	name[1 + domain.len] = 0;
	bool done = SSL_set1_host(tls->ssl, name + 1) == 1 && SSL_add1_host(tls->ssl, name) == 1;
	return done ? OK : ERROR_FORMAT;
}

static enum error
handshake_failed(struct tls_stream *tls)
{
	struct buffer text;

	buffer_init_fixed(&text, tls->problem, sizeof tls->problem - 1);
	if (tls->was_cut)
		buffer_append_text(&text, "the other side closed the connection");
	else
		tls_problem_append(&text, tls->ssl);
	ERR_clear_error();
	return tls->was_cut ? ERROR_CLOSED : ERROR_DENIED;
}

enum error
tls_handshake(struct tls_stream *tls, mono_us deadline)
{
	for (;;) {
		ERR_clear_error();
		int result = SSL_do_handshake(tls->ssl);
		if (result == 1) {
			tls->is_open = true;
			return OK;
		}
		if (judge(tls, result) != -EAGAIN)
			return handshake_failed(tls);
		enum error error = tls->below->ops->wait(tls->below, tls->wants, deadline);
		if (error != OK) {
			tls->is_broken = true;
			return error;
		}
	}
}

void
tls_stream_detach(struct tls_stream *tls)
{
	SSL_free(tls->ssl);
	tls->ssl = NULL;
	tls->stream.ops = NULL;
}

const char *
tls_stream_version(const struct tls_stream *tls)
{
	return SSL_get_version(tls->ssl);
}

const char *
tls_stream_cipher(const struct tls_stream *tls)
{
	return SSL_get_cipher_name(tls->ssl);
}

bool
tls_stream_is_verified(const struct tls_stream *tls, const char **ret_why)
{
	long result = SSL_get_verify_result(tls->ssl);
	X509 *peer = SSL_get0_peer_certificate(tls->ssl);

	*ret_why = !peer ? "it has no certificate" : X509_verify_cert_error_string(result);
	return peer && result == X509_V_OK;
}

bool
tls_stream_is_resumed(const struct tls_stream *tls)
{
	return SSL_session_reused(tls->ssl) == 1;
}

static enum error
binding_exporter(const struct tls_stream *tls, uint8_t *octets, size_t *ret_len)
{
	static const char label[] = "EXPORTER-Channel-Binding";

	*ret_len = 32;
	return SSL_version(tls->ssl) >= TLS1_3_VERSION &&
			       SSL_export_keying_material(tls->ssl, octets, *ret_len, label,
				       sizeof label - 1, NULL, 0, 1) == 1
		       ? OK
		       : ERROR_UNSUPPORTED;
}

/* The certificate under the hash of its signature, but SHA-256 for the broken ones. */
static enum error
binding_end_point(const struct tls_stream *tls, uint8_t *octets, size_t *ret_len)
{
	X509 *certificate = SSL_get_certificate(tls->ssl);
	int hash;
	unsigned len;

	if (!certificate || !X509_get_signature_info(certificate, &hash, NULL, NULL, NULL))
		return ERROR_UNSUPPORTED;
	const EVP_MD *digest =
		hash == NID_md5 || hash == NID_sha1 ? EVP_sha256() : EVP_get_digestbynid(hash);
	if (!digest || EVP_MD_get_size(digest) > TLS_BINDING_BYTES_MAX ||
		!X509_digest(certificate, digest, octets, &len))
		return ERROR_UNSUPPORTED;
	*ret_len = len;
	return OK;
}

enum error
tls_stream_binding(const struct tls_stream *tls, struct slice name,
	uint8_t ret_octets[TLS_BINDING_BYTES_MAX], size_t *ret_len)
{
	if (slice_equal(name, SLICE("tls-exporter")))
		return binding_exporter(tls, ret_octets, ret_len);
	if (slice_equal(name, SLICE("tls-server-end-point")))
		return binding_end_point(tls, ret_octets, ret_len);
	return ERROR_UNSUPPORTED;
}
