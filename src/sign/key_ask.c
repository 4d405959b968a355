/* A question that was answered is over; one whose process died is put again, until its time is. */
#include "sign/key_ask.h"

#define ASK_US (10 * US_PER_S) /* as long as `keys` may take to come back */

enum error
key_ask(struct caller *keys, struct ipc_message *question, enum ipc_kind kind,
	struct call_answer *ret_answer)
{
	struct loop *loop = keys->env->loop;
	mono_us deadline = loop_deadline(loop, ASK_US);
	enum error error;

	while ((error = call_ask(keys, question, kind, deadline, ret_answer)) == ERROR_CLOSED &&
		loop_now(loop) < deadline)
		call_answer_done(ret_answer, keys->env);
	return error;
}

/* May wait. */
static enum error
sign(void *arg, const uint8_t digest[SHA256_OCTETS], uint8_t signature[SIGNATURE_OCTETS],
	size_t *ret_len)
{
	struct key_of_keys *key = arg;
	struct ipc_message question = {.kind = IPC_DKIM_SIGN,
		.dkim_sign = {.number = key->number, .digest = slice_of(digest, SHA256_OCTETS)}};
	struct call_answer answer;
	enum error error = key_ask(key->keys, &question, IPC_DKIM_SIGNATURE, &answer);

	if (error == OK) {
		struct slice made = answer.message.dkim_signature.signature;
		*ret_len = made.len < SIGNATURE_OCTETS ? made.len : SIGNATURE_OCTETS;
		memcpy(signature, made.ptr, *ret_len);
	}
	call_answer_done(&answer, key->keys->env);
	return error;
}

enum error
key_signer(struct key_of_keys *key, struct dkim_signer *ret_signer)
{
	struct ipc_message question = {
		.kind = IPC_DKIM_KEY_ASK, .dkim_key_ask = {.number = key->number}};
	struct call_answer answer;
	enum error error = key_ask(key->keys, &question, IPC_DKIM_KEY, &answer);

	if (error == OK)
		*ret_signer = (struct dkim_signer){
			answer.message.dkim_key.is_ed25519 ? KEY_ED25519 : KEY_RSA, sign, key};
	call_answer_done(&answer, key->keys->env);
	return error == ERROR_DENIED ? ERROR_NOT_FOUND : error;
}
