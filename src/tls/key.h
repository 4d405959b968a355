/* How a key is named and what it is asked for, between those that have it and those that need a
 * signature of it. */
#ifndef TLS_KEY_H
#define TLS_KEY_H

#include "base/buffer.h"

#define TLS_KEY_ID_BYTES    32    /* SHA-256 of the public key (SubjectPublicKeyInfo) */
#define TLS_SIGNATURE_MAX   1024  /* RSA of 8192 bits */
#define TLS_CHAIN_BYTES_MAX 49152 /* PEM of a certificate and those above it */

/* Keys of session tickets (tls/tickets.h): one that makes them, and the one before. */
#define TLS_TICKET_KEY_BYTES 80
#define TLS_TICKET_KEYS_MAX  2
#define TLS_TICKET_LIFE_S    14400 /* a key makes tickets so long, and a ticket counts so long */

struct tls_key_id {
	uint8_t octets[TLS_KEY_ID_BYTES];
};

enum tls_signing {
	TLS_SIGN_RSA_PKCS1 = 1, /* a DigestInfo, padded as TLS 1.2 has it */
	TLS_SIGN_RSA_BARE,      /* a whole block, padded already (RSASSA-PSS, TLS 1.3) */
	TLS_SIGN_ECDSA,         /* a digest; the signature is DER */
};
#define TLS_SIGNINGS 4

/* Before a process gives up its rights: OpenSSL looks at the machine, once, and never at its
 * configuration file. ERROR_NO_MEMORY. */
MUST_CHECK enum error tls_prepare(void);

static inline struct slice
tls_key_id_slice(const struct tls_key_id *id)
{
	return slice_of(id->octets, sizeof id->octets);
}

#endif
