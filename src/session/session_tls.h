/*
 * TLS of a session worker: the certificates, which `keys` tells, and the signatures, which it
 * makes. This process has no private key.
 */
#ifndef SESSION_SESSION_TLS_H
#define SESSION_SESSION_TLS_H

#include "conf/conf.h"
#include "ipc/caller.h"
#include "net/stream.h"
#include "tls/tls_stream.h"

struct session_tls;

/* `unable`: what keys says can't be taken; the worker is to be replaced. */
struct session_tls *session_tls_new(struct env *env, const struct conf *conf,
	void (*unable)(void *arg, enum error error), void *arg);

/* The channel to keys; owned from here on. */
void session_tls_connect(struct session_tls *tls, int channel_fd, uint32_t instance);

MUST_CHECK enum error session_tls_go(struct session_tls *tls);

/* The way to keys, for other questions to it. */
struct caller *session_tls_keys(struct session_tls *tls);

/* Whether there is a certificate to begin with, or may be any moment. */
bool session_tls_is_ready(const struct session_tls *tls);

/* A connection with TLS. */
struct session_crypto {
	struct tls_stream stream;
	uint8_t text_len;
	char text[64]; /* "TLSv1.3 TLS_AES_256_GCM_SHA384" */
};

/*
 * May wait: the handshake over this stream, by the rules of a listener. On success the stream is
 * `ret_crypto`'s, else still the caller's; `ret_why` says why not, for the log, and holds until the
 * caller waits again.
 */
MUST_CHECK enum error session_tls_start(struct session_tls *tls,
	const struct conf_listener *listener, struct stream *below, mono_us deadline,
	struct session_crypto **ret_crypto, char ret_why[TLS_PROBLEM_BYTES]);
void session_crypto_free(struct session_tls *tls, struct session_crypto **crypto);

/* May wait. */
void session_tls_stop(struct session_tls *tls);
void session_tls_free(struct session_tls **tls);

#endif
