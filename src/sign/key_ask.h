/* Questions to `keys` by a task: what it signs, and of which kind its keys are. */
#ifndef SIGN_KEY_ASK_H
#define SIGN_KEY_ASK_H

#include "ipc/caller.h"
#include "mailauth/dkim_sign.h"

/*
 * May wait, ten seconds at most: as call_ask. A process that dies with the question leaves it to
 * the next one: nothing is done twice by signing twice.
 */
MUST_CHECK enum error key_ask(struct caller *keys, struct ipc_message *question, enum ipc_kind kind,
	struct call_answer *ret_answer);

/* A key for DKIM, by its place in the configuration. */
struct key_of_keys {
	struct caller *keys;
	uint32_t number;
};

/* May wait. A signer by this key, which must live as long; ERROR_NOT_FOUND: `keys` has none. */
MUST_CHECK enum error key_signer(struct key_of_keys *key, struct dkim_signer *ret_signer);

#endif
