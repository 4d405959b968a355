/*
 * A certificate is a chain and a key. New files come one after the other, so a pair counts when
 * both fit; the key before stays good for handshakes that began with the chain before. Keys are
 * named by the hash of their public half, so a signature is never made with another than the
 * asker's certificate has.
 *
 * Keys for DKIM are one file each, named by their place in the configuration. Secrets of SRS
 * are one file for all.
 *
 * What is asked is answered at once: an RSA signature of 2048 bits takes half a millisecond.
 */
#include "keys/keys.h"
#include "base/hash.h"
#include "base/log_record.h"
#include "ipc/answerer.h"
#include "keys/ticket_keys.h"
#include "mailauth/dkim_sign.h"
#include "mailauth/srs.h"
#include "tls/context.h"
#include "tls/private_key.h"
#include "tls/self_signed.h"

#define FILE_MAX      65536
#define QUESTIONS_MAX 256

struct certificate {
	struct slice name, chain_path, key_path;
	struct buffer chain;             /* what askers get */
	struct tls_private_key *keys[2]; /* of that chain, and of the one before */
	uint64_t version;                /* 0: there is none yet */
	/* What has come and fits nothing yet. */
	struct buffer next_chain;
	struct tls_private_key *next_key;
};

/* A key for DKIM. */
struct dkim_key {
	struct slice name, path;
	struct key *key; /* NULL: there is none yet */
};

struct keys_service {
	struct slice srs_path; /* empty: any that nobody else has */
	struct buffer srs_text;
	struct srs_secrets srs;
	struct dkim_key *dkims;
	size_t dkim_count;
	struct env *env;
	const struct keys_root_ops *root;
	void *root_arg;
	struct answerer answerer;
	struct ticket_keys tickets;
	struct certificate *certificates;
	size_t count;
};

static void
unusable(struct keys_service *service, const struct certificate *certificate, const char *why)
{
	log_event(service->env, LOG_ERROR, "certificate_unusable",
		LOG_SLICE("certificate", certificate->name), LOG_STRING("reason", why),
		LOG_STRING("effect", certificate->version > 0 ? "the earlier one stays in use"
							      : "there is no TLS with it"));
}

static enum error
read_file(struct keys_service *service, int fd, struct buffer *text)
{
	struct env *env = service->env;
	uint8_t piece[1024];
	ssize_t got;

	while ((got = env->disk->pread(env->world, fd, piece, sizeof piece, (off_t)text->len)) >
			0 &&
		buffer_error(text) == OK)
		buffer_append(text, slice_of(piece, (size_t)got));
	memory_wipe(piece, sizeof piece);
	return got < 0 ? error_from_errno((int)-got) : buffer_error(text);
}

/* A number that another chain does not have, in this process or the next. */
static uint64_t
version_of(struct slice chain)
{
	static const struct siphash_key key;

	return siphash(&key, chain) | 1;
}

/* Puts the pair that has come to use if it is one. */
static void
try_pair(struct keys_service *service, struct certificate *certificate)
{
	struct buffer chain = certificate->next_chain;

	if (!certificate->next_key || chain.len == 0)
		return;
	const char *why =
		tls_chain_check(buffer_slice(&chain), tls_private_key_id(certificate->next_key));
	if (why) {
		unusable(service, certificate, why);
		return;
	}
	tls_private_key_free(&certificate->keys[1]);
	certificate->keys[1] = certificate->keys[0];
	certificate->keys[0] = certificate->next_key;
	certificate->next_key = NULL;
	certificate->next_chain = certificate->chain;
	certificate->chain = chain;
	buffer_clear(&certificate->next_chain);
	certificate->version = version_of(buffer_slice(&chain));
	log_event(service->env, LOG_INFO, "certificate_loaded",
		LOG_SLICE("certificate", certificate->name));
}

static void
take_chain(struct keys_service *service, struct certificate *certificate, struct slice text)
{
	const char *why = tls_chain_check(text, NULL);

	if (why) {
		unusable(service, certificate, why);
		return;
	}
	buffer_clear(&certificate->next_chain);
	enum error error = tls_chain_copy(text, &certificate->next_chain);
	if (error != OK) {
		unusable(service, certificate, error_text(error));
		buffer_clear(&certificate->next_chain);
	}
}

static void
take_key(struct keys_service *service, struct certificate *certificate, struct secret text)
{
	struct tls_private_key *key;
	const char *why;

	if (tls_private_key_load(text, &key, &why) != OK) {
		unusable(service, certificate, why);
		return;
	}
	tls_private_key_free(&certificate->next_key);
	certificate->next_key = key;
}

static void
take_dkim_key(struct keys_service *service, struct dkim_key *dkim, struct secret text)
{
	struct key *key;
	const char *why;

	if (dkim_key_load(text, &key, &why) != OK) {
		log_event(service->env, LOG_ERROR, "dkim_key_unusable",
			LOG_SLICE("key", dkim->name), LOG_STRING("reason", why),
			LOG_STRING("effect", dkim->key ? "the earlier one stays in use"
						       : "nothing is signed with it"));
		return;
	}
	key_free(&dkim->key);
	dkim->key = key;
}

/* The new text stays as long as views of it do. */
static void
take_srs(struct keys_service *service, struct slice text)
{
	struct env *env = service->env;
	struct srs_secrets secrets;
	struct buffer copy;

	buffer_init(&copy, env->memory, FILE_MAX);
	buffer_append(&copy, text);
	enum error error = buffer_error(&copy);
	if (error == OK)
		error = srs_secrets_read(secret_of(buffer_slice(&copy)), &secrets);
	if (error == OK) {
		struct buffer old = service->srs_text;
		service->srs_text = copy;
		service->srs = secrets;
		copy = old;
	} else {
		log_event(env, LOG_ERROR, "srs_secrets_unusable",
			LOG_STRING("reason",
				error == ERROR_NOT_FOUND ? "there is no secret in the file"
				: error == ERROR_LIMIT
					? "there are more than 8, or one is shorter than 16 octets"
					: error_text(error)),
			LOG_STRING("effect", service->srs.count > 0
						     ? "the earlier ones stay in use"
						     : "return paths are not rewritten"));
	}
	if (copy.ptr)
		memory_wipe(copy.ptr, copy.capacity);
	buffer_done(&copy);
}

static bool
is_srs_path(const struct keys_service *service, struct slice path)
{
	struct slice name = SLICE("/" CONF_SRS_SECRETS);

	if (service->srs_path.len > 0)
		return slice_equal(service->srs_path, path);
	return path.len > name.len && slice_equal(slice_from(path, path.len - name.len), name);
}

/* A certificate that nobody vouches for, so that no mail need travel in the clear. It is another
 * one after each start: it lies in no file that could be stolen. */
void
keys_service_sign_itself(struct keys_service *service, struct slice hostname)
{
	struct certificate *certificate = &service->certificates[0];
	struct buffer chain, key;

	buffer_init(&chain, service->env->memory, FILE_MAX);
	buffer_init(&key, service->env->memory, FILE_MAX);
	if (tls_self_signed(hostname, &chain, &key) == OK) {
		take_chain(service, certificate, buffer_slice(&chain));
		take_key(service, certificate, secret_of(buffer_slice(&key)));
		try_pair(service, certificate);
	} else {
		unusable(service, certificate, "libcrypto made none");
	}
	memory_wipe(key.ptr, key.capacity);
	buffer_done(&chain);
	buffer_done(&key);
}

void
keys_service_set_file(struct keys_service *service, struct slice path, int fd)
{
	struct env *env = service->env;
	struct buffer text;

	buffer_init(&text, env->memory, FILE_MAX);
	enum error error = read_file(service, fd, &text);
	env->disk->close(env->world, fd);
	for (size_t i = 0; i < service->count; i++) {
		struct certificate *certificate = &service->certificates[i];
		bool is_chain = slice_equal(certificate->chain_path, path);
		bool is_key = slice_equal(certificate->key_path, path);
		if (!is_chain && !is_key)
			continue;
		if (error != OK) {
			unusable(service, certificate, error_text(error));
			continue;
		}
		if (is_chain)
			take_chain(service, certificate, buffer_slice(&text));
		if (is_key)
			take_key(service, certificate, secret_of(buffer_slice(&text)));
		try_pair(service, certificate);
	}
	for (size_t i = 0; i < service->dkim_count; i++)
		if (error == OK && slice_equal(service->dkims[i].path, path))
			take_dkim_key(service, &service->dkims[i], secret_of(buffer_slice(&text)));
	if (error == OK && is_srs_path(service, path))
		take_srs(service, buffer_slice(&text));
	memory_wipe(text.ptr, text.capacity);
	buffer_done(&text);
}

static void
answer_chain(struct keys_service *service, struct question *question)
{
	const struct ipc_tls_chain_ask *ask = &question_message(question)->tls_chain_ask;
	struct ipc_message answer = {.kind = IPC_TLS_CHAIN};

	if (ask->certificate >= service->count) {
		question_refuse(question, SLICE("there is no such certificate"));
		return;
	}
	const struct certificate *certificate = &service->certificates[ask->certificate];
	answer.tls_chain.version = certificate->version;
	if (ask->known != certificate->version)
		answer.tls_chain.chain = buffer_slice(&certificate->chain);
	question_answer(question, &answer);
}

static struct tls_private_key *
find_key(struct keys_service *service, struct slice id)
{
	for (size_t i = 0; i < service->count; i++)
		for (size_t j = 0; j < 2; j++) {
			struct tls_private_key *key = service->certificates[i].keys[j];
			if (key && slice_equal(tls_key_id_slice(tls_private_key_id(key)), id))
				return key;
		}
	return NULL;
}

static void
answer_signature(struct keys_service *service, struct question *question)
{
	const struct ipc_tls_sign *ask = &question_message(question)->tls_sign;
	struct tls_private_key *key = find_key(service, ask->key);
	struct ipc_message answer = {.kind = IPC_TLS_SIGNATURE};
	uint8_t storage[TLS_SIGNATURE_MAX];
	struct buffer signature;

	buffer_init_fixed(&signature, storage, sizeof storage);
	if (!key) {
		question_refuse(question, SLICE("there is no such key"));
		return;
	}
	if (tls_private_key_sign(key, (enum tls_signing)ask->how, ask->input, &signature) != OK) {
		question_refuse(question, SLICE("the key does not sign so"));
		return;
	}
	answer.tls_signature.signature = buffer_slice(&signature);
	question_answer(question, &answer);
}

static void
answer_tickets(struct keys_service *service, struct question *question)
{
	struct ticket_keys *tickets = &service->tickets;
	struct ipc_message answer = {.kind = IPC_TICKET_KEYS};

	ticket_keys_turn(tickets, service->env);
	answer.ticket_keys.version = tickets->version;
	if (question_message(question)->ticket_keys_ask.known != tickets->version)
		answer.ticket_keys.keys = ticket_keys_all(tickets);
	question_answer(question, &answer);
}

static struct key *
find_dkim_key(struct keys_service *service, uint32_t number)
{
	return number < service->dkim_count ? service->dkims[number].key : NULL;
}

static void
answer_dkim_key(struct keys_service *service, struct question *question)
{
	struct key *key = find_dkim_key(service, question_message(question)->dkim_key_ask.number);
	struct ipc_message answer = {.kind = IPC_DKIM_KEY};

	if (!key) {
		question_refuse(question, SLICE("there is no such key"));
		return;
	}
	answer.dkim_key.is_ed25519 = key_type(key) == KEY_ED25519;
	question_answer(question, &answer);
}

static void
answer_dkim_signature(struct keys_service *service, struct question *question)
{
	const struct ipc_dkim_sign *ask = &question_message(question)->dkim_sign;
	struct key *key = find_dkim_key(service, ask->number);
	struct ipc_message answer = {.kind = IPC_DKIM_SIGNATURE};
	uint8_t signature[SIGNATURE_OCTETS];
	size_t len;

	if (!key || ask->digest.len != SHA256_OCTETS ||
		key_sign(key, ask->digest.ptr, signature, &len) != OK) {
		question_refuse(question, SLICE("there is no such key, or it does not sign"));
		return;
	}
	answer.dkim_signature.signature = slice_of(signature, len);
	question_answer(question, &answer);
}

static enum srs_outcome
outcome_of(enum error error)
{
	switch (error) {
	case OK:
		return SRS_OUTCOME_MADE;
	case ERROR_TIMEOUT:
		return SRS_OUTCOME_EXPIRED;
	case ERROR_DENIED:
	case ERROR_FORMAT:
		return SRS_OUTCOME_FORGED;
	default:
		return SRS_OUTCOME_UNFIT;
	}
}

static void
answer_srs(struct keys_service *service, struct question *question)
{
	const struct ipc_srs_ask *ask = &question_message(question)->srs_ask;
	struct ipc_message answer = {.kind = IPC_SRS_ANSWER};
	wall_us now = env_wall(service->env);
	uint8_t storage[IPC_TEXT_MAX];
	struct buffer text;

	buffer_init_fixed(&text, storage, sizeof storage);
	if (service->srs.count == 0)
		answer.srs_answer.outcome = SRS_OUTCOME_NO_SECRET;
	else if (ask->is_back)
		answer.srs_answer.outcome =
			outcome_of(srs_append_reverse(&service->srs, ask->text, now, &text));
	else
		answer.srs_answer.outcome =
			outcome_of(srs_append_forward(&service->srs, ask->text, now, &text));
	if (answer.srs_answer.outcome == SRS_OUTCOME_MADE)
		answer.srs_answer.text = buffer_slice(&text);
	question_answer(question, &answer);
}

static void
answer(void *arg, struct question *question)
{
	if (question_message(question)->kind == IPC_DKIM_KEY_ASK)
		answer_dkim_key(arg, question);
	else if (question_message(question)->kind == IPC_DKIM_SIGN)
		answer_dkim_signature(arg, question);
	else if (question_message(question)->kind == IPC_SRS_ASK)
		answer_srs(arg, question);
	else if (question_message(question)->kind == IPC_TLS_SIGN)
		answer_signature(arg, question);
	else if (question_message(question)->kind == IPC_TICKET_KEYS_ASK)
		answer_tickets(arg, question);
	else
		answer_chain(arg, question);
}

static void
asker_broken(void *arg, uint32_t instance, enum error error)
{
	struct keys_service *service = arg;

	log_event(service->env, LOG_ERROR, "asker_broken", LOG_NUMBER("instance", instance),
		LOG_STRING("error", error_text(error)));
	service->root->broken(service->root_arg, instance);
}

static const struct answerer_ops answerer_ops = {.question = answer, .broken = asker_broken};

struct keys_service *
keys_service_new(
	struct env *env, const struct conf *conf, const struct keys_root_ops *root, void *root_arg)
{
	struct keys_service *service = memory_get(env->memory, sizeof *service);

	*service = (struct keys_service){.env = env,
		.root = root,
		.root_arg = root_arg,
		.count = conf_shown_certificates(conf)};
	service->certificates =
		memory_get(env->memory, (service->count + 1) * sizeof *service->certificates);
	for (size_t i = 0; i < service->count; i++) {
		struct certificate *certificate = &service->certificates[i];
		certificate->name = SLICE(CONF_SELF_SIGNED);
		buffer_init(&certificate->chain, env->memory, TLS_CHAIN_BYTES_MAX);
		buffer_init(&certificate->next_chain, env->memory, TLS_CHAIN_BYTES_MAX);
	}
	for (size_t i = 0; i < conf->certificate_count; i++) {
		service->certificates[i].name = conf->certificates[i].name;
		service->certificates[i].chain_path = conf->certificates[i].chain;
		service->certificates[i].key_path = conf->certificates[i].key;
	}
	service->srs_path = conf->srs.secrets;
	buffer_init(&service->srs_text, env->memory, FILE_MAX);
	service->dkim_count = conf->dkim_count;
	service->dkims =
		memory_get(env->memory, (service->dkim_count + 1) * sizeof *service->dkims);
	for (size_t i = 0; i < service->dkim_count; i++)
		service->dkims[i] =
			(struct dkim_key){.name = conf->dkims[i].name, .path = conf->dkims[i].key};
	answerer_init(&service->answerer, env, ROLE_KEYS, QUESTIONS_MAX, &answerer_ops, service);
	return service;
}

void
keys_service_add(
	struct keys_service *service, enum role role, uint32_t worker, uint32_t instance, int fd)
{
	enum error error = answerer_add(&service->answerer, role, worker, instance, fd);

	if (error != OK)
		asker_broken(service, instance, error);
}

void
keys_service_stop(struct keys_service *service)
{
	answerer_done(&service->answerer);
}

void
keys_service_free(struct keys_service **pointer)
{
	struct keys_service *service = *pointer;

	if (!service)
		return;
	for (size_t i = 0; i < service->count; i++) {
		struct certificate *certificate = &service->certificates[i];
		buffer_done(&certificate->chain);
		buffer_done(&certificate->next_chain);
		tls_private_key_free(&certificate->keys[0]);
		tls_private_key_free(&certificate->keys[1]);
		tls_private_key_free(&certificate->next_key);
	}
	for (size_t i = 0; i < service->dkim_count; i++)
		key_free(&service->dkims[i].key);
	if (service->srs_text.ptr)
		memory_wipe(service->srs_text.ptr, service->srs_text.capacity);
	buffer_done(&service->srs_text);
	memory_wipe(&service->tickets, sizeof service->tickets);
	memory_put(service->env->memory, service->dkims);
	memory_put(service->env->memory, service->certificates);
	memory_put(service->env->memory, service);
	*pointer = NULL;
}
