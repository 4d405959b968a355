/*
 * TLS as a filter over any stream (net/stream.h). The end of the stream (a read of 0 octets) is the
 * other side's close_notify and nothing else: a connection that is cut is an error, since what came
 * may have been shortened by somebody on the way.
 */
#ifndef TLS_TLS_STREAM_H
#define TLS_TLS_STREAM_H

#include "net/stream.h"
#include "tls/context.h"

#define TLS_PROBLEM_BYTES 200

struct tls_stream {
	struct stream stream;
	struct stream *below; /* ended with this one */
	struct ssl_st *ssl;
	uint32_t wants; /* POLL_*: what the last call that could not go on waits for */
	bool is_open;   /* the handshake is done */
	bool is_broken; /* a fatal error: no close_notify is owed */
	bool was_cut;   /* it ended without close_notify */
	char problem[TLS_PROBLEM_BYTES]; /* why the handshake failed, for people; "" */
};

/* Nothing is sent yet. The stream below is this one's from here on; on an error it stays the
 * caller's. ERROR_NO_MEMORY. */
MUST_CHECK enum error
tls_stream_open(struct tls_stream *tls, struct tls_context *context, struct stream *below);

/* Of a client, before the handshake: the name that is asked for (SNI), and whether the other side
 * must prove to be it. A literal address is never sent, but may be proved. */
MUST_CHECK enum error tls_stream_expect(struct tls_stream *tls, struct slice host, bool verify);

/* The same, but whom the certificate must be for is another than the name asked for: this domain,
 * or any name below it. */
MUST_CHECK enum error
tls_stream_expect_domain(struct tls_stream *tls, struct slice host, struct slice domain);

/*
 * May wait. ERROR_TIMEOUT, ERROR_CANCELLED, ERROR_CLOSED when the other side went away, else
 * ERROR_DENIED; `problem` says more of the last two.
 */
MUST_CHECK enum error tls_handshake(struct tls_stream *tls, mono_us deadline);

/* Forgets a stream whose handshake failed, and leaves the one below to the caller: nothing that is
 * said on it can be understood any more. */
void tls_stream_detach(struct tls_stream *tls);

/* "TLSv1.3" and "TLS_AES_256_GCM_SHA384"; hold as long as the stream. */
const char *tls_stream_version(const struct tls_stream *tls);
const char *tls_stream_cipher(const struct tls_stream *tls);

/* Of a client: whether the other side's certificate is signed by somebody trusted and for the name
 * that was expected; else why not, for people (also where `verify` did not ask). */
bool tls_stream_is_verified(const struct tls_stream *tls, const char **ret_why);

#define TLS_BINDING_BYTES_MAX 64

/*
 * What ties an authentication to this connection, so that nobody in the middle can pass it on: by
 * its registered name, "tls-exporter" (RFC 9266; TLS 1.3 only) or "tls-server-end-point" (RFC 5929;
 * of a server). ERROR_UNSUPPORTED: there is none of this name here.
 */
MUST_CHECK enum error tls_stream_binding(const struct tls_stream *tls, struct slice name,
	uint8_t ret_octets[TLS_BINDING_BYTES_MAX], size_t *ret_len);

/* Whether the handshake went on from an earlier connection's. */
bool tls_stream_is_resumed(const struct tls_stream *tls);

#endif
