/*
 * A task asks `keys` for each certificate that the configuration names, and every few seconds
 * whether there is a newer one: a renewed certificate counts from the next handshake on, and no
 * session ends for it. While nothing has come yet, handshakes wait for the first answers. When
 * `keys` dies, they wait for the next one, at most SIGN_US each. With the certificates come the
 * keys of session tickets, the same for all workers.
 */
#include "session/session_tls.h"
#include "base/log_record.h"
#include "ipc/caller.h"
#include "tls/tickets.h"

#define SIGN_US     (10 * US_PER_S)
#define ASK_US      (10 * US_PER_S)
#define ASK_EACH_US (10 * US_PER_S)
#define CALLS_MAX   65536

struct session_tls {
	struct env *env;
	const struct conf *conf;
	void (*unable)(void *arg, enum error error);
	void *arg;
	struct caller caller;
	struct tls_certificates *certificates;
	struct tls_tickets *tickets;
	uint64_t tickets_version;
	uint64_t versions[TLS_CERTIFICATES_MAX];
	/* By how strict the listener is, and the oldest version that it allows; made when needed.
	 */
	struct tls_context *contexts[2][TLS_VERSION_1_3 + 1];
	bool has_asked; /* for all of them, once */
	struct task_event asked;
	struct task_group tasks;
};

/* May wait: in the midst of a handshake. */
static enum error
sign(void *arg, const struct tls_key_id *key, enum tls_signing how, struct slice input,
	struct buffer *signature)
{
	struct session_tls *tls = arg;
	struct ipc_message question = {.kind = IPC_TLS_SIGN,
		.tls_sign = {.key = tls_key_id_slice(key), .how = how, .input = input}};
	struct call_answer answer;

	enum error error = call_ask(&tls->caller, &question, IPC_TLS_SIGNATURE,
		loop_deadline(tls->env->loop, SIGN_US), &answer);
	if (error == OK)
		buffer_append(signature, answer.message.tls_signature.signature);
	else if (error != ERROR_CANCELLED)
		log_event(tls->env, LOG_ERROR, "signature_failed",
			LOG_STRING("error", error_text(error)),
			LOG_SLICE("reason",
				error == ERROR_DENIED ? answer.message.refused.reason : SLICE("")));
	call_answer_done(&answer, tls->env);
	return error == OK ? buffer_error(signature) : error;
}

static void
keys_broken(void *arg, uint32_t instance, enum error error)
{
	struct session_tls *tls = arg;

	(void)instance;
	tls->unable(tls->arg, error);
}

static const struct caller_ops caller_ops = {keys_broken, NULL};

struct session_tls *
session_tls_new(
	struct env *env, const struct conf *conf, void (*unable)(void *, enum error), void *arg)
{
	struct session_tls *tls = memory_get(env->memory, sizeof *tls);
	struct tls_signer signer = {sign, tls};

	tls->env = env;
	tls->conf = conf;
	tls->unable = unable;
	tls->arg = arg;
	caller_init(&tls->caller, env, ROLE_SESSION, ROLE_KEYS, CALLS_MAX, &caller_ops, tls);
	tls->certificates = tls_certificates_new(env, &signer);
	tls->tickets = tls_tickets_new(env);
	task_event_init(&tls->asked);
	task_group_init(&tls->tasks, env->loop);
	return tls;
}

void
session_tls_connect(struct session_tls *tls, int channel_fd, uint32_t instance)
{
	enum error error = caller_connect(&tls->caller, channel_fd, instance);

	if (error != OK)
		tls->unable(tls->arg, error);
}

static void
take_chain(struct session_tls *tls, size_t number, const struct ipc_tls_chain *answer)
{
	const char *why;

	tls->versions[number] = answer->version;
	if (answer->chain.len > 0 &&
		tls_certificates_set(tls->certificates, number, answer->chain, &why) != OK)
		log_event(tls->env, LOG_ERROR, "certificate_unusable",
			LOG_SLICE("certificate", tls->conf->certificates[number].name),
			LOG_STRING("reason", why));
}

/* May wait. ERROR_CANCELLED: the worker ends. */
static enum error
ask_chain(struct session_tls *tls, size_t number)
{
	struct ipc_message question = {.kind = IPC_TLS_CHAIN_ASK,
		.tls_chain_ask = {.certificate = (uint32_t)number, .known = tls->versions[number]}};
	struct call_answer answer;
	enum error error = call_ask(&tls->caller, &question, IPC_TLS_CHAIN,
		loop_deadline(tls->env->loop, ASK_US), &answer);

	if (error == OK)
		take_chain(tls, number, &answer.message.tls_chain);
	call_answer_done(&answer, tls->env);
	return error;
}

static enum error
take_tickets(struct session_tls *tls, const struct ipc_ticket_keys *answer)
{
	enum error error = OK;

	if (answer->version != tls->tickets_version)
		error = tls_tickets_set(tls->tickets, answer->keys);
	if (error == OK)
		tls->tickets_version = answer->version;
	else
		log_event(tls->env, LOG_ERROR, "ticket_keys_unusable",
			LOG_STRING("error", error_text(error)));
	return error;
}

/* May wait. ERROR_CANCELLED: the worker ends. */
static enum error
ask_tickets(struct session_tls *tls)
{
	struct ipc_message question = {
		.kind = IPC_TICKET_KEYS_ASK, .ticket_keys_ask = {.known = tls->tickets_version}};
	struct call_answer answer;
	enum error error = call_ask(&tls->caller, &question, IPC_TICKET_KEYS,
		loop_deadline(tls->env->loop, ASK_US), &answer);

	if (error == OK)
		error = take_tickets(tls, &answer.message.ticket_keys);
	call_answer_done(&answer, tls->env);
	return error;
}

static void
certificates_run(void *arg)
{
	struct session_tls *tls = arg;
	enum error error = OK;

	while (error != ERROR_CANCELLED) {
		error = ask_tickets(tls);
		bool has_all = error == OK;
		for (size_t i = 0;
			error != ERROR_CANCELLED && i < conf_shown_certificates(tls->conf); i++) {
			error = ask_chain(tls, i);
			has_all &= error == OK;
		}
		tls->has_asked |= has_all;
		task_event_signal(&tls->asked);
		if (error != ERROR_CANCELLED)
			error = task_sleep(
				tls->env->loop, loop_deadline(tls->env->loop, ASK_EACH_US));
	}
}

enum error
session_tls_go(struct session_tls *tls)
{
	if (!tls->certificates)
		return ERROR_NO_MEMORY;
	if (!conf_has_tls(tls->conf))
		return OK;
	return task_start(&tls->tasks, "certificates", certificates_run, tls);
}

struct caller *
session_tls_keys(struct session_tls *tls)
{
	return &tls->caller;
}

bool
session_tls_is_ready(const struct session_tls *tls)
{
	return conf_has_tls(tls->conf) &&
	       (!tls->has_asked || tls_certificates_count(tls->certificates) > 0);
}

static enum tls_version
minimum_of(const struct conf_listener *listener)
{
	static const enum tls_version versions[] = {[CONF_TLS_1_0] = TLS_VERSION_1_0,
		[CONF_TLS_1_1] = TLS_VERSION_1_1,
		[CONF_TLS_1_2] = TLS_VERSION_1_2,
		[CONF_TLS_1_3] = TLS_VERSION_1_3};

	return versions[listener->tls_minimum];
}

/* Servers that connect to an mx have no other way to us but the clear; people's programs have. */
static struct tls_context *
context_of(struct session_tls *tls, const struct conf_listener *listener)
{
	struct tls_server_settings settings = {.minimum = minimum_of(listener),
		.strict = listener->tls == CONF_TLS_IMPLICIT || listener->role != CONF_ROLE_MX,
		.protocol = SLICE("smtp"),
		.tickets = tls->tickets};
	struct tls_context **context = &tls->contexts[settings.strict][settings.minimum];

	if (!*context)
		*context = tls_server_new(tls->env, tls->certificates, &settings);
	return *context;
}

/* May wait: until it is known which certificates there are. */
static enum error
await_certificates(struct session_tls *tls, mono_us deadline)
{
	enum error error = OK;

	while (error == OK && !tls->has_asked)
		error = task_event_wait(tls->env->loop, &tls->asked, deadline);
	return error;
}

static void
note_level(struct session_crypto *crypto)
{
	struct buffer text;

	buffer_init_fixed(&text, crypto->text, sizeof crypto->text);
	buffer_append_text(&text, tls_stream_version(&crypto->stream));
	buffer_append_octet(&text, ' ');
	buffer_append_text(&text, tls_stream_cipher(&crypto->stream));
	crypto->text_len = (uint8_t)text.len;
}

static void
say_why(char to[TLS_PROBLEM_BYTES], const char *why)
{
	struct buffer text;

	buffer_init_fixed(&text, to, TLS_PROBLEM_BYTES - 1);
	buffer_append(&text, slice_sub(slice_text(why), 0, TLS_PROBLEM_BYTES - 1));
	to[text.len] = 0;
}

enum error
session_tls_start(struct session_tls *tls, const struct conf_listener *listener,
	struct stream *below, mono_us deadline, struct session_crypto **ret_crypto,
	char ret_why[TLS_PROBLEM_BYTES])
{
	struct tls_context *context = context_of(tls, listener);
	struct session_crypto *crypto = memory_try(tls->env->memory, sizeof *crypto);
	enum error error = context && crypto ? await_certificates(tls, deadline) : ERROR_NO_MEMORY;

	if (error == OK)
		error = tls_stream_open(&crypto->stream, context, below);
	if (error != OK) {
		say_why(ret_why, error_text(error));
		memory_put(tls->env->memory, crypto);
		return error;
	}
	error = tls_handshake(&crypto->stream, deadline);
	if (error == OK) {
		note_level(crypto);
		*ret_crypto = crypto;
		return OK;
	}
	say_why(ret_why, *crypto->stream.problem ? crypto->stream.problem : error_text(error));
	tls_stream_detach(&crypto->stream);
	memory_put(tls->env->memory, crypto);
	return error;
}

/* Its stream is closed. */
void
session_crypto_free(struct session_tls *tls, struct session_crypto **crypto)
{
	memory_put(tls->env->memory, *crypto);
	*crypto = NULL;
}

void
session_tls_stop(struct session_tls *tls)
{
	task_group_cancel(&tls->tasks);
	task_group_wait(&tls->tasks);
	caller_done(&tls->caller);
}

void
session_tls_free(struct session_tls **pointer)
{
	struct session_tls *tls = *pointer;

	if (!tls)
		return;
	for (size_t i = 0; i < 2; i++)
		for (size_t j = 0; j <= TLS_VERSION_1_3; j++)
			tls_context_free(&tls->contexts[i][j]);
	tls_certificates_free(&tls->certificates);
	tls_tickets_free(&tls->tickets);
	memory_put(tls->env->memory, tls);
	*pointer = NULL;
}
