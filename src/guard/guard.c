/*
 * A copy of each worker's table, and one for the workers that are gone: what they had open is
 * closed, how often something happened still counts. Nothing of it lies on disk: a new guard is
 * told everything by the workers that live. What logins have sent does (quota_file.h): written once
 * a minute, if something was counted, and at the end.
 */
#include "guard/guard.h"
#include "base/log_record.h"
#include "ipc/answerer.h"
#include "ipc/tally.h"
#include "guard/quota_file.h"

#define SNAPSHOT_EVERY_US (60 * US_PER_S)

_Static_assert(QUOTA_WORKERS == GUARD_WORKERS_MAX, "quotas know each worker");

struct guard_service {
	struct env *env;
	const struct guard_root_ops *root;
	void *root_arg;
	struct answerer answerer;
	struct tally_table *workers[GUARD_WORKERS_MAX]; /* NULL: never heard */
	struct tally_table gone;
	struct siphash_key hash_key; /* of logins, for all workers the same */
	bool has_key;
	struct quotas *quotas;
	struct quota_file file; /* of quotas */
	struct task_group tasks;
};

static struct tally_table *
table_of(struct guard_service *service, uint32_t worker)
{
	struct tally_table **table = &service->workers[worker];

	if (!*table) {
		*table = memory_get(service->env->memory, sizeof **table);
		tally_table_init(*table, service->env);
	}
	return *table;
}

/* A worker begins: what is known of its number is its predecessor's. */
static void
forget_predecessor(struct guard_service *service, uint32_t worker, mono_us now)
{
	struct tally_table *table = service->workers[worker];

	for (size_t i = 0; table && i < TALLY_ENTRIES; i++) {
		struct tally *tally = &table->entries[i];
		if (tally->key.octets[0] == 0)
			continue;
		/* Where a login is known is not open, but true. */
		if (tally->key.octets[0] != TALLY_KNOWN)
			memset(tally->own.gauges, 0, sizeof tally->own.gauges);
		tally_add(&tally_get(&service->gone, &tally->key, now)->own, &tally->own, now);
		*tally = (struct tally){0};
	}
}

static struct tally_counts
others_of(const struct guard_service *service, uint32_t worker, const struct tally_key *key,
	mono_us now)
{
	struct tally_counts sum = {0};
	const struct tally *tally = tally_find(&service->gone, key);

	if (tally)
		tally_add(&sum, &tally->own, now);
	for (uint32_t other = 0; other < GUARD_WORKERS_MAX; other++) {
		if (other == worker || !service->workers[other])
			continue;
		tally = tally_find(service->workers[other], key);
		if (tally)
			tally_add(&sum, &tally->own, now);
	}
	return sum;
}

static enum error
take_report(
	struct guard_service *service, uint32_t worker, struct slice records, struct buffer *others)
{
	mono_us now = loop_now(service->env->loop);
	struct cursor cursor = cursor_of(records);
	struct tally_key key;
	struct tally_counts counts;

	while (tally_decode(&cursor, &key, &counts)) {
		tally_get(table_of(service, worker), &key, now)->own = counts;
		counts = others_of(service, worker, &key, now);
		tally_encode(others, &key, &counts);
	}
	return cursor.error == OK ? buffer_error(others) : cursor.error;
}

/* A new guard goes on with the key that the workers have. */
static void
settle_key(struct guard_service *service, struct slice known)
{
	if (!service->has_key && known.len == sizeof service->hash_key.bytes)
		memcpy(service->hash_key.bytes, known.ptr, known.len);
	else if (!service->has_key)
		env_random(service->env, &service->hash_key, sizeof service->hash_key);
	service->has_key = true;
}

/* How the log and the configuration call it. */
static const char *const limit_names[CONF_LOGIN_LIMITS] = {
	[CONF_LOGIN_RECIPIENTS_HOUR] = "login_recipients_hour",
	[CONF_LOGIN_RECIPIENTS_DAY] = "login_recipients_day",
	[CONF_LOGIN_NEW_HOUR] = "login_new_recipients_hour",
	[CONF_LOGIN_NEW_DAY] = "login_new_recipients_day",
	[CONF_LOGIN_MESSAGES_HOUR] = "login_messages_hour",
	[CONF_LOGIN_MESSAGES_DAY] = "login_messages_day",
	[CONF_LOGIN_BYTES_HOUR] = "login_bytes_hour",
	[CONF_LOGIN_BYTES_DAY] = "login_bytes_day",
	[CONF_LOGIN_SESSIONS] = "login_sessions",
};

static void
answer_quota(struct guard_service *service, struct question *question)
{
	const struct ipc_quota_ask *ask = &question_message(question)->quota_ask;
	struct quota_verdict verdict = quotas_judge(
		service->quotas, question_worker(question), ask, env_wall(service->env));
	struct ipc_message word = {.kind = IPC_QUOTA_ANSWER};

	if (verdict.is_refused && verdict.is_due)
		log_event(service->env, LOG_WARNING, "login_over_quota",
			LOG_SLICE("login", ask->login),
			LOG_STRING("limit", limit_names[verdict.limit]),
			LOG_NUMBER("most", verdict.most), LOG_NUMBER("figure", verdict.figure),
			LOG_NUMBER("refused", verdict.refused));
	if (verdict.is_refused)
		word.quota_answer = (struct ipc_quota_answer){
			.limit = (uint32_t)verdict.limit + 1, .most = verdict.most};
	question_answer(question, &word);
}

static void
answer_report(struct guard_service *service, struct question *question)
{
	const struct ipc_guard_report *report = &question_message(question)->guard_report;
	uint32_t worker = question_worker(question);
	struct buffer others;

	settle_key(service, report->hash_key);
	if (report->is_first)
		forget_predecessor(service, worker, loop_now(service->env->loop));
	buffer_init(&others, service->env->memory, TALLY_BYTES_MAX);
	enum error error = take_report(service, worker, report->records, &others);
	if (error != OK) {
		log_event(service->env, LOG_ERROR, "report_refused", LOG_NUMBER("worker", worker),
			LOG_STRING("error", error_text(error)));
		question_refuse(question, slice_text(error_text(error)));
	} else {
		struct ipc_message word = {.kind = IPC_GUARD_WORD,
			.guard_word = {.hash_key = slice_of(service->hash_key.bytes,
					       sizeof service->hash_key.bytes),
				.records = buffer_slice(&others)}};
		question_answer(question, &word);
	}
	buffer_done(&others);
}

static void
answer(void *arg, struct question *question)
{
	struct guard_service *service = arg;

	if (question_worker(question) >= GUARD_WORKERS_MAX)
		question_refuse(question, SLICE("no such worker"));
	else if (question_message(question)->kind == IPC_QUOTA_ASK)
		answer_quota(service, question);
	else
		answer_report(service, question);
}

static void
asker_broken(void *arg, uint32_t instance, enum error error)
{
	struct guard_service *service = arg;

	log_event(service->env, LOG_ERROR, "asker_broken", LOG_NUMBER("instance", instance),
		LOG_STRING("error", error_text(error)));
	service->root->broken(service->root_arg, instance);
}

static const struct answerer_ops answerer_ops = {.question = answer, .broken = asker_broken};

struct guard_service *
guard_service_new(struct env *env, const struct conf_limits *limits,
	const struct guard_root_ops *root, void *root_arg)
{
	struct guard_service *service = memory_get(env->memory, sizeof *service);

	service->env = env;
	service->root = root;
	service->root_arg = root_arg;
	tally_table_init(&service->gone, env);
	service->quotas = quotas_new(env, limits);
	service->file.fd = -1;
	task_group_init(&service->tasks, env->loop);
	answerer_init(&service->answerer, env, ROLE_GUARD, 1, &answerer_ops, service);
	return service;
}

void
guard_service_add(
	struct guard_service *service, enum role role, uint32_t worker, uint32_t instance, int fd)
{
	enum error error = answerer_add(&service->answerer, role, worker, instance, fd);

	if (worker < GUARD_WORKERS_MAX)
		quotas_forget_worker(service->quotas, worker);
	if (error != OK)
		asker_broken(service, instance, error);
}

void
guard_service_set_file(struct guard_service *service, int fd)
{
	quota_file_close(&service->file);
	enum error error = quota_file_open(&service->file, service->env, fd, service->quotas);
	if (error != OK)
		log_event(service->env, LOG_WARNING, "quotas_forgotten",
			LOG_STRING("error", error_text(error)),
			LOG_STRING("effect", "what logins have sent is counted anew"));
}

static void
write_file(struct guard_service *service)
{
	if (service->file.fd < 0 || !quotas_are_changed(service->quotas))
		return;
	enum error error = quota_file_write(&service->file, service->quotas);
	if (error != OK)
		log_event(service->env, LOG_ERROR, "quotas_not_written",
			LOG_STRING("error", error_text(error)),
			LOG_STRING("effect", "a restart would forget what logins have sent since "
					     "the last time"));
}

static void
file_run(void *arg)
{
	struct guard_service *service = arg;
	struct loop *loop = service->env->loop;

	while (task_sleep(loop, loop_deadline(loop, SNAPSHOT_EVERY_US)) == OK)
		write_file(service);
}

enum error
guard_service_go(struct guard_service *service)
{
	return task_start(&service->tasks, "quota file", file_run, service);
}

void
guard_service_stop(struct guard_service *service)
{
	task_group_cancel(&service->tasks);
	task_group_wait(&service->tasks);
	answerer_done(&service->answerer);
	write_file(service);
	quota_file_close(&service->file);
}

void
guard_service_free(struct guard_service **pointer)
{
	struct guard_service *service = *pointer;

	if (!service)
		return;
	struct env *env = service->env;
	for (size_t i = 0; i < GUARD_WORKERS_MAX; i++) {
		if (service->workers[i])
			tally_table_done(service->workers[i]);
		memory_put(env->memory, service->workers[i]);
	}
	tally_table_done(&service->gone);
	quota_file_close(&service->file);
	quotas_free(&service->quotas);
	memory_put(env->memory, service);
	*pointer = NULL;
}
