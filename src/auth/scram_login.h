/* The two questions of an exchange of SCRAM, answered from the table of logins. */
#ifndef AUTH_SCRAM_LOGIN_H
#define AUTH_SCRAM_LOGIN_H

#include "auth/passwords.h"
#include "auth/scram.h"
#include "ipc/message.h"

struct scram_keys {
	uint8_t seal[SCRAM_DIGEST_BYTES];     /* of nonces; this process's own */
	uint8_t stand_in[SCRAM_DIGEST_BYTES]; /* of logins that are none: as lasting as the file */
};

void scram_keys_init(struct env *env, struct scram_keys *keys);

/* For another table. ERROR_NO_MEMORY */
MUST_CHECK enum error scram_keys_take(struct scram_keys *keys, const struct passwords *passwords);

/* Appends the challenge. A login that is none gets one too. */
MUST_CHECK enum error scram_login_challenge(struct env *env, const struct scram_keys *keys,
	const struct passwords *passwords, const struct ipc_scram_ask *ask, struct buffer *text);

/* Why the proof is not taken, for the log; NULL: it is, and the signature proves that to the
 * client. `entry` is the login's, NULL if there is none. */
const char *scram_login_prove(struct env *env, const struct scram_keys *keys,
	const struct password_entry *entry, const struct ipc_scram_prove *prove,
	uint8_t ret_signature[SCRAM_DIGEST_BYTES]);

#endif
