/*
 * A copy of each worker's table, and one for the workers that are gone: what they had open is
 * closed, how often something happened still counts. Nothing lies on disk: a new guard is told
 * everything by the workers that live.
 */
#include "guard/guard.h"
#include "base/log_record.h"
#include "ipc/answerer.h"
#include "ipc/tally.h"

struct guard_service {
	struct env *env;
	const struct guard_root_ops *root;
	void *root_arg;
	struct answerer answerer;
	struct tally_table *workers[GUARD_WORKERS_MAX]; /* NULL: never heard */
	struct tally_table gone;
	struct siphash_key hash_key; /* of logins, for all workers the same */
	bool has_key;
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

static void
answer(void *arg, struct question *question)
{
	struct guard_service *service = arg;
	const struct ipc_guard_report *report = &question_message(question)->guard_report;
	uint32_t worker = question_worker(question);
	struct buffer others;

	if (worker >= GUARD_WORKERS_MAX) {
		question_refuse(question, SLICE("no such worker"));
		return;
	}
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
asker_broken(void *arg, uint32_t instance, enum error error)
{
	struct guard_service *service = arg;

	log_event(service->env, LOG_ERROR, "asker_broken", LOG_NUMBER("instance", instance),
		LOG_STRING("error", error_text(error)));
	service->root->broken(service->root_arg, instance);
}

static const struct answerer_ops answerer_ops = {.question = answer, .broken = asker_broken};

struct guard_service *
guard_service_new(struct env *env, const struct guard_root_ops *root, void *root_arg)
{
	struct guard_service *service = memory_get(env->memory, sizeof *service);

	service->env = env;
	service->root = root;
	service->root_arg = root_arg;
	tally_table_init(&service->gone, env);
	answerer_init(&service->answerer, env, ROLE_GUARD, 1, &answerer_ops, service);
	return service;
}

void
guard_service_add(
	struct guard_service *service, enum role role, uint32_t worker, uint32_t instance, int fd)
{
	enum error error = answerer_add(&service->answerer, role, worker, instance, fd);

	if (error != OK)
		asker_broken(service, instance, error);
}

void
guard_service_stop(struct guard_service *service)
{
	answerer_done(&service->answerer);
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
	memory_put(env->memory, service);
	*pointer = NULL;
}
