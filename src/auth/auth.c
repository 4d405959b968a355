/*
 * A question is a login and a password. Whatever the login, one hash is computed: for a login that
 * does not exist or is disabled, with the setting of another, always the same one, so that neither
 * the time nor its spread tells which logins exist. What fails is said in one line of the log, with
 * the client's address and the reason; the client is told nothing but no.
 */
#include "auth/auth.h"
#include "auth/password_hash.h"
#include "auth/passwords.h"
#include "auth/scram_login.h"
#include "base/hash.h"
#include "base/log_record.h"
#include "ipc/answerer.h"
#include "task/offload.h"

#define HASH_US (20 * US_PER_S)

struct auth_service {
	struct env *env;
	const struct auth_root_ops *root;
	void *root_arg;
	struct answerer answerer;
	struct arena arena; /* of the table */
	struct passwords passwords;
	bool is_loaded;
	struct siphash_key key;             /* which setting an unknown login gets */
	char stand_in[PASSWORD_HASH_BYTES]; /* where there is no other */
	struct scram_keys scram;
};

/* The thread's, and what the answer needs: the table may be another one after the wait. */
struct check {
	char password[SASL_PASSWORD_MAX + 1];
	char setting[PASSWORD_HASH_BYTES];
	bool is_right;
	enum error error;
	const char *why_not; /* NULL: the login exists and may be used */
	uint8_t login[SASL_LOGIN_MAX];
	size_t login_len;
	uint8_t senders[PASSWORDS_SENDERS_MAX];
	size_t senders_len;
};

static void
unusable(struct auth_service *service, struct slice path, size_t line, const char *why)
{
	log_event(service->env, LOG_ERROR, "passwords_unusable", LOG_SLICE("file", path),
		LOG_NUMBER("line", line), LOG_STRING("reason", why),
		LOG_STRING("effect",
			service->is_loaded ? "the earlier ones stay in use" : "nobody can log in"));
}

static enum error
read_file(struct auth_service *service, int fd, struct buffer *text)
{
	struct env *env = service->env;
	uint8_t piece[1024];
	ssize_t got;

	while ((got = env->disk->pread(env->world, fd, piece, sizeof piece, (off_t)text->len)) >
			0 &&
		buffer_error(text) == OK)
		buffer_append(text, slice_of(piece, (size_t)got));
	return got < 0 ? error_from_errno((int)-got) : buffer_error(text);
}

static void
take_text(struct auth_service *service, struct slice path, struct slice text)
{
	struct arena arena;
	struct passwords passwords;
	struct passwords_fault fault = {0};

	arena_init(&arena, service->env->memory, 4 * PASSWORDS_FILE_MAX);
	enum error error = passwords_parse(text, &arena, &passwords, &fault);
	if (error == OK)
		error = scram_keys_take(&service->scram, &passwords);
	if (error != OK) {
		unusable(service, path, fault.line, fault.why ? fault.why : error_text(error));
		arena_done(&arena);
		return;
	}
	arena_done(&service->arena);
	service->arena = arena;
	service->passwords = passwords;
	service->is_loaded = true;
	log_event(service->env, LOG_INFO, "passwords_loaded", LOG_SLICE("file", path),
		LOG_NUMBER("logins", passwords.count));
}

void
auth_service_set_file(struct auth_service *service, struct slice path, int fd)
{
	struct env *env = service->env;
	struct buffer text;

	buffer_init(&text, env->memory, PASSWORDS_FILE_MAX);
	enum error error = read_file(service, fd, &text);
	env->disk->close(env->world, fd);
	if (error == OK)
		take_text(service, path, buffer_slice(&text));
	else
		unusable(service, path, 0, error_text(error));
	memory_wipe(text.ptr, text.capacity);
	buffer_done(&text);
}

static void
check_run(struct env *env, void *data)
{
	struct check *check = data;

	check->error =
		password_hash_check(env->memory, check->password, check->setting, &check->is_right);
	memory_wipe(check->password, sizeof check->password);
}

static void
set_text(char *to, struct slice text)
{
	memcpy(to, text.ptr, text.len);
	to[text.len] = 0;
}

/* What to compute for a login that can't be right. */
static void
set_stand_in(const struct auth_service *service, struct slice login, struct check *check)
{
	const struct passwords *passwords = &service->passwords;

	if (passwords->count == 0) {
		set_text(check->setting, slice_text(service->stand_in));
		return;
	}
	uint64_t which = siphash(&service->key, login) % passwords->count;
	set_text(check->setting, passwords->entries[which].hash);
}

static void
set_check(const struct auth_service *service, const struct ipc_auth_ask *ask, struct check *check)
{
	struct slice login = passwords_lower(ask->login, check->login);
	struct slice password = secret_reveal(ask->password);
	const struct password_entry *entry = passwords_find(&service->passwords, login);

	check->login_len = login.len;
	memcpy(check->password, password.ptr, password.len);
	check->why_not = !entry ? "no such login" : entry->is_disabled ? "disabled" : NULL;
	if (check->why_not) {
		set_stand_in(service, login, check);
		return;
	}
	set_text(check->setting, entry->hash);
	memcpy(check->senders, entry->senders.ptr, entry->senders.len);
	check->senders_len = entry->senders.len;
}

/* What became of a question, in one line of the log and in the answer. */
struct verdict {
	const char *mechanism;
	const char *why_not; /* NULL: it is he */
	struct slice client, login, senders;
	struct slice signature; /* of SCRAM */
};

static void
tell(struct auth_service *service, struct question *question, const struct verdict *verdict)
{
	const char *why = verdict->why_not;
	struct ipc_message answer = {.kind = IPC_AUTH_ANSWER, .auth_answer = {.granted = !why}};

	if (why) {
		log_event(service->env, LOG_WARNING, "login_failed",
			LOG_SLICE("client", verdict->client), LOG_SLICE("login", verdict->login),
			LOG_STRING("reason", why), LOG_STRING("mechanism", verdict->mechanism));
	} else {
		log_event(service->env, LOG_INFO, "login", LOG_SLICE("client", verdict->client),
			LOG_SLICE("login", verdict->login),
			LOG_STRING("mechanism", verdict->mechanism));
		answer.auth_answer.login = verdict->login;
		answer.auth_answer.senders = verdict->senders;
		answer.auth_answer.signature = verdict->signature;
	}
	question_answer(question, &answer);
}

static void
tell_check(struct auth_service *service, struct question *question, const struct check *check)
{
	const char *why = check->why_not     ? check->why_not
			  : !check->is_right ? "wrong password"
					     : NULL;

	tell(service, question,
		&(struct verdict){"password", why, question_message(question)->auth_ask.client,
			slice_of(check->login, check->login_len),
			slice_of(check->senders, check->senders_len), slice_of(NULL, 0)});
}

static void
fail(struct auth_service *service, struct question *question, enum error error)
{
	log_event(service->env, LOG_ERROR, "login_not_checked",
		LOG_STRING("error", error_text(error)));
	question_refuse(question, slice_text(error_text(error)));
}

static bool
fits(const struct ipc_auth_ask *ask)
{
	struct slice password = secret_reveal(ask->password);

	return ask->login.len <= SASL_LOGIN_MAX && password.len <= SASL_PASSWORD_MAX &&
	       slice_find(password, 0, 0) < 0;
}

/* May wait: for a thread to have computed the hash. */
static void
answer_password(struct auth_service *service, struct question *question)
{
	const struct ipc_auth_ask *ask = &question_message(question)->auth_ask;

	if (!fits(ask)) {
		fail(service, question, ERROR_FORMAT);
		return;
	}
	struct offload *job = offload_new(service->env, check_run, sizeof(struct check));
	struct check *check = offload_data(job);
	set_check(service, ask, check);
	enum error error = offload_run(job, loop_deadline(service->env->loop, HASH_US));
	if (error == OK)
		error = check->error;
	if (error == OK)
		tell_check(service, question, check);
	else
		fail(service, question, error);
	offload_free(&job);
}

/* SCRAM is offered where it lets everybody in who may come in: programs take the best that is
 * offered, and ask nobody when it fails. */
static void
answer_offers(struct auth_service *service, struct question *question)
{
	const struct passwords *passwords = &service->passwords;
	bool offers = passwords->count > 0 && passwords->without_scram == 0;

	question_answer(question,
		&(struct ipc_message){.kind = IPC_AUTH_OFFERS, .auth_offers = {.scram = offers}});
}

static void
answer_challenge(struct auth_service *service, struct question *question)
{
	uint8_t storage[512];
	struct buffer text;

	buffer_init_fixed(&text, storage, sizeof storage);
	enum error error = scram_login_challenge(service->env, &service->scram, &service->passwords,
		&question_message(question)->scram_ask, &text);
	if (error == OK)
		question_answer(
			question, &(struct ipc_message){.kind = IPC_SCRAM_CHALLENGE,
					  .scram_challenge = {.text = buffer_slice(&text)}});
	else
		fail(service, question, error);
}

static void
answer_proof(struct auth_service *service, struct question *question)
{
	const struct ipc_scram_prove *prove = &question_message(question)->scram_prove;
	uint8_t name[SASL_LOGIN_MAX], signature[SCRAM_DIGEST_BYTES];
	struct slice login = passwords_lower(prove->login, name);
	const struct password_entry *entry = passwords_find(&service->passwords, login);
	const char *why_not =
		scram_login_prove(service->env, &service->scram, entry, prove, signature);

	tell(service, question,
		&(struct verdict){"SCRAM-SHA-256", why_not, prove->client, login,
			entry ? entry->senders : slice_of(NULL, 0),
			slice_of(signature, sizeof signature)});
}

/* May wait. */
static void
answer(void *arg, struct question *question)
{
	struct auth_service *service = arg;

	if (!service->is_loaded) {
		fail(service, question, ERROR_NOT_FOUND);
		return;
	}
	switch (question_message(question)->kind) {
	case IPC_AUTH_OFFERS_ASK:
		answer_offers(service, question);
		return;
	case IPC_SCRAM_ASK:
		answer_challenge(service, question);
		return;
	case IPC_SCRAM_PROVE:
		answer_proof(service, question);
		return;
	default:
		answer_password(service, question);
	}
}

static void
asker_broken(void *arg, uint32_t instance, enum error error)
{
	struct auth_service *service = arg;

	log_event(service->env, LOG_ERROR, "asker_broken", LOG_NUMBER("instance", instance),
		LOG_STRING("error", error_text(error)));
	service->root->broken(service->root_arg, instance);
}

static const struct answerer_ops answerer_ops = {
	.question = answer, .broken = asker_broken, .in_tasks = true};

struct auth_service *
auth_service_new(struct env *env, const struct auth_root_ops *root, void *root_arg)
{
	struct auth_service *service = memory_get(env->memory, sizeof *service);

	*service = (struct auth_service){.env = env, .root = root, .root_arg = root_arg};
	arena_init(&service->arena, env->memory, PASSWORDS_FILE_MAX);
	env_random(env, &service->key, sizeof service->key);
	scram_keys_init(env, &service->scram);
	if (password_hash_setting(env, service->stand_in) != OK)
		log_event(env, LOG_ERROR, "no_yescrypt",
			LOG_STRING("effect", "this libcrypt makes no hashes"));
	answerer_init(&service->answerer, env, ROLE_AUTH, AUTH_THREADS_MAX, &answerer_ops, service);
	return service;
}

void
auth_service_add(
	struct auth_service *service, enum role role, uint32_t worker, uint32_t instance, int fd)
{
	enum error error = answerer_add(&service->answerer, role, worker, instance, fd);

	if (error != OK)
		asker_broken(service, instance, error);
}

void
auth_service_stop(struct auth_service *service)
{
	answerer_done(&service->answerer);
}

void
auth_service_free(struct auth_service **pointer)
{
	struct auth_service *service = *pointer;

	if (!service)
		return;
	arena_done(&service->arena);
	memory_put(service->env->memory, service);
	*pointer = NULL;
}
