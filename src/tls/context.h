/*
 * What TLS connections have in common: the certificates of a server, the rules of a listener, whom
 * a client trusts. OpenSSL 3.0 below; this folder alone includes its headers for TLS. What is
 * forbidden follows RFC 9325: no version below 1.2 unless asked for, forward secrecy always, no
 * compression, no renegotiation.
 *
 * A process that serves TLS has no private key: it has certificates, and asks for each signature
 * (`tls_signer`), which may wait, in the task that does the handshake.
 */
#ifndef TLS_CONTEXT_H
#define TLS_CONTEXT_H

#include "base/env.h"
#include "tls/key.h"

struct tls_certificates;
struct tls_context;
struct tls_tickets;

/* May wait. The signature that the key of this certificate makes, appended. */
struct tls_signer {
	enum error (*sign)(void *arg, const struct tls_key_id *key, enum tls_signing how,
		struct slice input, struct buffer *signature);
	void *arg;
};

/* The certificates of a server, by number; outlives its contexts. */
struct tls_certificates *tls_certificates_new(struct env *env, const struct tls_signer *signer);
void tls_certificates_free(struct tls_certificates **certificates);

/*
 * Puts a chain in PEM (the server's own certificate first) in its place, for handshakes from here
 * on. Those under way keep what they have. When it can't be used what was there stays, and
 * `ret_why` is what a person understands.
 */
#define TLS_CERTIFICATES_MAX 64
MUST_CHECK enum error tls_certificates_set(struct tls_certificates *certificates, size_t number,
	struct slice chain, const char **ret_why);
size_t tls_certificates_count(const struct tls_certificates *certificates);

/* In PEM, without a key: what is wrong with it as a chain for a key; NULL: nothing. `key`: NULL
 * when it is not known. */
const char *tls_chain_check(struct slice chain, const struct tls_key_id *key);

/* The public key of the first certificate, as a TLSA record "3 1 1" has it (RFC 7671 section 5.1).
 * What is wrong with the chain; NULL: nothing. */
const char *tls_chain_key_id(struct slice chain, struct tls_key_id *ret_id);

/* The certificates of a chain that was checked, appended in PEM, and nothing else that its file
 * holds: a private key may stand there too. */
MUST_CHECK enum error tls_chain_copy(struct slice chain, struct buffer *copy);

enum tls_version { TLS_VERSION_1_0 = 1, TLS_VERSION_1_1, TLS_VERSION_1_2, TLS_VERSION_1_3 };

struct tls_server_settings {
	enum tls_version minimum;
	/* People's programs are recent: ciphers with authenticated encryption alone. Servers on
	 * port 25 may have older ones too, as they would send in the clear otherwise. */
	bool strict;
	struct slice protocol;       /* "smtp": a client that names others by ALPN is refused */
	struct tls_tickets *tickets; /* outlive the context */
};

/* NULL: no memory. */
struct tls_context *tls_server_new(struct env *env, struct tls_certificates *certificates,
	const struct tls_server_settings *settings);

struct tls_client_settings {
	bool strict; /* as above; else whatever is better than no encryption, TLS 1.2 and later */
};
struct tls_context *tls_client_new(struct env *env, const struct tls_client_settings *settings);

/* Certificates in PEM of those who sign others'. ERROR_FORMAT: there is none in it. */
MUST_CHECK enum error tls_client_trust(struct tls_context *client, struct slice pem);

void tls_context_free(struct tls_context **context);

#endif
