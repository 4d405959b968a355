/*
 * That somebody is who he says is `auth`'s word, and so is what he may send as. While `auth` is
 * away, questions wait for the next one until their deadline.
 */
#include "session/session_login.h"
#include "ipc/caller.h"
#include "text/address.h"
#include "text/international.h"

#define CALLS_MAX 65536

struct session_logins {
	struct env *env;
	void (*unable)(void *arg, enum error error);
	void *arg;
	struct caller caller;
};

static void
auth_broken(void *arg, uint32_t instance, enum error error)
{
	struct session_logins *logins = arg;

	(void)instance;
	logins->unable(logins->arg, error);
}

static const struct caller_ops caller_ops = {auth_broken, NULL};

struct session_logins *
session_logins_new(struct env *env, void (*unable)(void *, enum error), void *arg)
{
	struct session_logins *logins = memory_get(env->memory, sizeof *logins);

	*logins = (struct session_logins){.env = env, .unable = unable, .arg = arg};
	caller_init(&logins->caller, env, ROLE_SESSION, ROLE_AUTH, CALLS_MAX, &caller_ops, logins);
	return logins;
}

void
session_logins_connect(struct session_logins *logins, int channel_fd, uint32_t instance)
{
	enum error error = caller_connect(&logins->caller, channel_fd, instance);

	if (error != OK)
		logins->unable(logins->arg, error);
}

static struct session_login *
login_new(struct session_logins *logins, const struct ipc_auth_answer *answer)
{
	size_t len = answer->login.len + answer->senders.len;
	struct session_login *login = memory_try(logins->env->memory, sizeof *login + len);

	if (!login)
		return NULL;
	uint8_t *text = (uint8_t *)(login + 1);
	memcpy(text, answer->login.ptr, answer->login.len);
	if (answer->senders.len > 0)
		memcpy(text + answer->login.len, answer->senders.ptr, answer->senders.len);
	struct slice both = slice_of(text, len);
	login->login = slice_sub(both, 0, answer->login.len);
	login->senders = slice_from(both, answer->login.len);
	return login;
}

/* What auth said of a question; the answer is the caller's to give back. */
static enum error
take_verdict(struct session_logins *logins, enum error error, const struct call_answer *answer,
	struct session_login **ret_login)
{
	const struct ipc_auth_answer *judged = &answer->message.auth_answer;

	if (error == ERROR_DENIED)
		return ERROR_UNKNOWN; /* it refused to judge, and has logged why */
	if (error != OK)
		return error;
	if (!judged->granted)
		return ERROR_DENIED;
	*ret_login = login_new(logins, judged);
	return *ret_login ? OK : ERROR_NO_MEMORY;
}

enum error
session_logins_ask(struct session_logins *logins, struct slice login, struct secret password,
	struct slice client, mono_us deadline, struct session_login **ret_login)
{
	struct ipc_message question = {.kind = IPC_AUTH_ASK,
		.auth_ask = {.login = login, .password = password, .client = client}};
	struct call_answer answer;
	enum error error = call_ask(&logins->caller, &question, IPC_AUTH_ANSWER, deadline, &answer);

	error = take_verdict(logins, error, &answer, ret_login);
	call_answer_done(&answer, logins->env);
	return error;
}

bool
session_logins_offer_scram(struct session_logins *logins, mono_us deadline)
{
	struct ipc_message question = {.kind = IPC_AUTH_OFFERS_ASK};
	struct call_answer answer;
	enum error error = call_ask(&logins->caller, &question, IPC_AUTH_OFFERS, deadline, &answer);
	bool offers = error == OK && answer.message.auth_offers.scram;

	call_answer_done(&answer, logins->env);
	return offers;
}

enum error
session_logins_challenge(struct session_logins *logins, struct slice login, struct slice nonce,
	mono_us deadline, struct buffer *ret_text)
{
	struct ipc_message question = {
		.kind = IPC_SCRAM_ASK, .scram_ask = {.login = login, .nonce = nonce}};
	struct call_answer answer;
	enum error error =
		call_ask(&logins->caller, &question, IPC_SCRAM_CHALLENGE, deadline, &answer);

	if (error == OK)
		buffer_append(ret_text, answer.message.scram_challenge.text);
	call_answer_done(&answer, logins->env);
	if (error == ERROR_DENIED)
		return ERROR_UNKNOWN; /* it refused, and has logged why */
	return error == OK ? buffer_error(ret_text) : error;
}

enum error
session_logins_prove(struct session_logins *logins, const struct smtp_scram_proof *proof,
	struct slice client, mono_us deadline, uint8_t ret_signature[SMTP_SCRAM_SIGNATURE],
	struct session_login **ret_login)
{
	struct ipc_message question = {.kind = IPC_SCRAM_PROVE,
		.scram_prove = {.login = proof->login,
			.nonce = proof->nonce,
			.message = proof->message,
			.proof = proof->proof,
			.client = client}};
	struct call_answer answer;
	enum error error = call_ask(&logins->caller, &question, IPC_AUTH_ANSWER, deadline, &answer);
	struct slice signature = answer.message.auth_answer.signature;

	error = take_verdict(logins, error, &answer, ret_login);
	if (error == OK && signature.len == SMTP_SCRAM_SIGNATURE) {
		memcpy(ret_signature, signature.ptr, signature.len);
	} else if (error == OK) {
		session_login_free(logins, ret_login);
		error = ERROR_FORMAT;
	}
	call_answer_done(&answer, logins->env);
	return error;
}

void
session_login_free(struct session_logins *logins, struct session_login **login)
{
	memory_put(logins->env->memory, *login);
	*login = NULL;
}

/* "*@domain" stands for every address of the domain. */
static bool
sender_covers(struct slice granted, struct slice sender)
{
	if (!slice_has_prefix(granted, SLICE("*@")))
		return slice_equal_nocase(granted, sender);
	struct slice ending = slice_from(granted, 1);
	return sender.len > ending.len &&
	       slice_equal_nocase(slice_from(sender, sender.len - ending.len), ending);
}

/* Logins and what is granted are ASCII, as the DNS knows them; what people write need not be. */
static struct slice
comparable(struct slice sender, struct buffer *canonical)
{
	struct address address;

	if (text_is_ascii(sender) || address_parse_international(sender, &address) != ADDRESS_OK)
		return sender;
	address_append_canonical(canonical, &address);
	return buffer_error(canonical) == OK ? buffer_slice(canonical) : sender;
}

bool
session_login_may_send_as(const struct session_login *login, struct slice sender)
{
	struct slice rest = login->senders;
	uint8_t storage[ADDRESS_MAX];
	struct buffer canonical;

	buffer_init_fixed(&canonical, storage, sizeof storage);
	sender = comparable(sender, &canonical);
	if (slice_equal_nocase(login->login, sender))
		return true;
	while (rest.len > 0) {
		ssize_t comma = slice_find(rest, 0, ',');
		struct slice granted = comma < 0 ? rest : slice_sub(rest, 0, (size_t)comma);
		if (sender_covers(granted, sender))
			return true;
		rest = comma < 0 ? slice_of(NULL, 0) : slice_from(rest, (size_t)comma + 1);
	}
	return false;
}

void
session_logins_stop(struct session_logins *logins)
{
	caller_done(&logins->caller);
}

void
session_logins_free(struct session_logins **logins)
{
	if (*logins)
		memory_put((*logins)->env->memory, *logins);
	*logins = NULL;
}
