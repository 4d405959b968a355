/*
 * The keys of SCRAM-SHA-256 (RFC 5802 section 3, RFC 7677), for both sides: what follows from a
 * password, a salt and a number of iterations.
 */
#ifndef TLS_SCRAM_KEYS_H
#define TLS_SCRAM_KEYS_H

#include "base/secret.h"
#include "task/task.h"

#define SCRAM_DIGEST_BYTES   32
#define SCRAM_ITERATIONS_MIN 4096 /* RFC 7677 section 4 */
#define SCRAM_ITERATIONS_MAX 1000000

struct scram_derived {
	uint8_t client[SCRAM_DIGEST_BYTES]; /* as good as the password */
	uint8_t stored[SCRAM_DIGEST_BYTES];
	uint8_t server[SCRAM_DIGEST_BYTES];
};

/* False: no memory. */
bool scram_hmac(struct slice key, struct slice text, uint8_t ret_digest[SCRAM_DIGEST_BYTES]);

/* SHA-256 over some texts, one behind the other. False: no memory. */
bool scram_digest(const struct slice *texts, size_t count, uint8_t ret_digest[SCRAM_DIGEST_BYTES]);

/*
 * May wait: in a task, it gives its turn away every millisecond or so, since 100,000 iterations
 * take 14 ms, and a million 130. `loop` may be NULL where there is none. The password is as the
 * caller has prepared it. ERROR_LIMIT: the iterations; ERROR_NO_MEMORY; ERROR_CANCELLED.
 */
MUST_CHECK enum error scram_keys_make(struct loop *loop, struct secret password, struct slice salt,
	uint32_t iterations, struct scram_derived *ret_keys);

/* Whether each client prepares it alike: printable ASCII, at least an octet. */
bool scram_password_is_plain(struct secret password);

#endif
