/*
 * A table for each domain with accounts in a file or in the system. A look at the files' time, size
 * and inode every LOOKUP_POLL_US finds changes; a file that can't be read keeps its last good
 * table, and says so once. System users are read again every minute.
 *
 * A file that is rewritten in place is read half as likely as whole: the last table stays until the
 * file has been left alone for LOOKUP_SETTLED_US. One that was renamed into place counts at once. A
 * list that has become empty is more likely somebody's mistake than his wish: the last one stays
 * for LOOKUP_EMPTY_US.
 */
#include "lookup/lookup.h"
#include "base/file_replace.h"
#include "base/hash.h"
#include "base/log_record.h"
#include "ipc/channel.h"
#include "ipc/snapshot.h"
#include "lookup/aliases.h"
#include "task/offload.h"

#include <fcntl.h>
#include <unistd.h>

#define LOOKUP_POLL_US (1 * US_PER_S)
#define LOOKUP_SETTLED_US                                                                        \
	(2 * US_PER_S) /* a file changed more lately may change again without a new time: clocks \
			  of files tick slowly */
#define LOOKUP_SETTLE_MAX_US \
	(30 * US_PER_S) /* one that is written all the time is read as it is after this */
#define LOOKUP_EMPTY_US       (60 * US_PER_S)
#define LOOKUP_SYSTEM_POLL_US (60 * US_PER_S)
#define LOOKUP_SEND_US        (10 * US_PER_S)
#define LOOKUP_TABLE_BYTES    (512u << 20)
#define LOOKUP_FIRST_UID      1000 /* below are the system's own users (Debian policy 9.2.2) */
#define LOOKUP_LAST_UID       59999
#define LOOKUP_BAD_LINES      20 /* reported a reading */

/* A descriptor that stays the same file as long as a task is sending it, also when the table has a
 * newer one. */
struct lookup_snapshot {
	int fd;
	unsigned users;
};

struct lookup_table {
	const struct conf_domain *domain;
	bool is_aliases;                  /* else of accounts */
	char *path;                       /* empty: the system's users */
	struct lookup_snapshot *snapshot; /* NULL: never read yet */
	uint64_t version;
	struct timespec changed_at;
	off_t size;
	ino_t inode;
	mono_us next_system_poll;
	uint64_t digest; /* of the names: sessions hear of a reading only if it found others */
	bool failed;    /* the last reading: tried again even if the file looks the same (its rights
			   may have changed, or memory is there) */
	bool unsettled; /* likewise: it had changed just before */
	bool rewritten; /* in place: the file is the one that was read before */
	mono_us settle_by;   /* while it is being rewritten; else 0 */
	mono_us empty_since; /* 0: it is not, or always was */
	size_t names;        /* of the snapshot */
	bool reported;
	uint32_t bad_lines;
};

/* A session worker, with a task of its own that sends it what it has not got yet. */
struct lookup_session {
	struct list link;
	struct lookup_service *service;
	uint32_t worker;
	uint32_t instance;
	uint64_t sent_version;
	bool replaced;
	struct channel channel;
};

struct lookup_service {
	struct env *env;
	const struct lookup_root_ops *root;
	void *root_arg;
	struct lookup_table *tables;
	size_t table_count;
	uint64_t version; /* of the table that was read last */
	struct siphash_key digest_key;
	struct list sessions;
	struct task_event changed;
	struct task_group tasks;
	struct arena arena;
};

static void
snapshot_unuse(struct lookup_service *service, struct lookup_snapshot *snapshot)
{
	if (!snapshot || --snapshot->users > 0)
		return;
	service->env->disk->close(service->env->world, snapshot->fd);
	memory_put(service->env->memory, snapshot);
}

static void
session_drop(struct lookup_session *session)
{
	channel_close(&session->channel);
	list_remove(&session->link);
	memory_put(session->service->env->memory, session);
}

/* May wait: sends the tables that are newer than the last one sent. */
static enum error
session_catch_up(struct lookup_session *session)
{
	struct lookup_service *service = session->service;
	uint64_t target = service->version;
	enum error error = OK;

	for (size_t i = 0; error == OK && i < service->table_count; i++) {
		const struct lookup_table *table = &service->tables[i];
		struct lookup_snapshot *snapshot = table->snapshot;
		if (!snapshot || table->version <= session->sent_version)
			continue;
		struct ipc_message message = {.kind = IPC_SNAPSHOT,
			.snapshot = {.domain = table->domain->name, .aliases = table->is_aliases},
			.fds = {snapshot->fd},
			.fd_count = 1};
		snapshot->users++;
		error = channel_send(&session->channel, &message,
			loop_deadline(service->env->loop, LOOKUP_SEND_US));
		snapshot_unuse(service, snapshot);
	}
	if (error == OK)
		session->sent_version = target;
	return error;
}

/* One that lives on with old tables would refuse mail for new accounts. */
static void
session_lost(struct lookup_session *session, enum error error)
{
	struct lookup_service *service = session->service;

	log_event(service->env, LOG_ERROR, "session_takes_no_tables",
		LOG_NUMBER("worker", session->worker), LOG_STRING("error", error_text(error)));
	service->root->broken(service->root_arg, session->instance);
}

/* A session that has closed its channel is gone, or will be started again and get everything then.
 */
static void
session_run(void *arg)
{
	struct lookup_session *session = arg;
	struct lookup_service *service = session->service;
	enum error error = OK;

	while (error == OK && !session->replaced) {
		if (session->sent_version < service->version)
			error = session_catch_up(session);
		else
			error = task_event_wait(service->env->loop, &service->changed, MONO_NEVER);
	}
	if (error != OK && error != ERROR_CLOSED && error != ERROR_CANCELLED && !session->replaced)
		session_lost(session, error);
	session_drop(session);
}

struct bad_line_context {
	struct lookup_service *service;
	struct lookup_table *table;
};

static void
report_bad_line(void *arg, uint32_t line, struct slice text)
{
	struct bad_line_context *context = arg;

	if (context->table->bad_lines++ < LOOKUP_BAD_LINES)
		log_event(context->service->env, LOG_WARNING, "account_line_skipped",
			LOG_STRING("file", context->table->path), LOG_NUMBER("line", line),
			LOG_SLICE("text", text), LOG_STRING("expected", "a login name"));
}

static void
report_alias(void *arg, uint32_t line, struct slice text, const char *why)
{
	struct bad_line_context *context = arg;

	if (context->table->bad_lines++ < LOOKUP_BAD_LINES)
		log_event(context->service->env, LOG_WARNING, "alias_skipped",
			LOG_STRING("file", context->table->path), LOG_NUMBER("line", line),
			LOG_SLICE("text", text), LOG_STRING("why", why));
}

/* As far as this process may read: that is said in docs/threat-model.md. */
static enum error
include_file(void *arg, struct slice path, struct buffer *ret_text)
{
	struct bad_line_context *context = arg;
	struct env *env = context->service->env;
	struct arena arena;

	arena_init(&arena, env->memory, 8192);
	char *name = path.len > 0 && path.ptr[0] == '/' ? arena_text(&arena, path) : NULL;
	enum error error = name ? file_read(env, AT_FDCWD, name, ret_text) : ERROR_NOT_FOUND;
	arena_done(&arena);
	return error;
}

static enum error
table_parse(struct lookup_service *service, struct lookup_table *table, struct slice text,
	struct accounts *rows)
{
	struct bad_line_context context = {service, table};
	struct aliases_reader reader = {report_alias, include_file, &context};

	return table->is_aliases
		       ? aliases_parse(rows, table->domain->name, text, &reader)
		       : accounts_parse(rows, table->domain->name, text, report_bad_line, &context);
}

static enum error
table_read_file(
	struct lookup_service *service, struct lookup_table *table, struct accounts *accounts)
{
	struct buffer text;

	buffer_init(&text, service->env->memory, LOOKUP_TABLE_BYTES);
	enum error error = file_read(service->env, AT_FDCWD, table->path, &text);
	if (error == OK)
		error = table_parse(service, table, buffer_slice(&text), accounts);
	buffer_done(&text);
	return error;
}

/* On a thread (NSS), with names in memory of its own. */
struct users_job {
	struct accounts accounts;
	enum error error;
};

static bool
add_system_user(void *arg, const char *name, uid_t uid)
{
	struct users_job *job = arg;

	if (uid < LOOKUP_FIRST_UID || uid > LOOKUP_LAST_UID)
		return true;
	enum error error = accounts_add(&job->accounts, slice_text(name));
	if (error != OK &&
		error != ERROR_FORMAT) /* a login that can be no local part gets no mail */
		job->error = error;
	return job->error == OK;
}

static void
list_users(struct env *env, void *data)
{
	struct users_job *job = data;

	accounts_init(&job->accounts, env->memory, LOOKUP_TABLE_BYTES);
	int result = env->users->list(env->world, add_system_user, job);
	if (result < 0)
		job->error = error_from_errno(-result);
	else
		accounts_finish(&job->accounts);
}

static uint64_t
names_digest(const struct lookup_service *service, const struct accounts *accounts)
{
	uint64_t digest = accounts->count;

	for (size_t i = 0; i < accounts->count; i++)
		digest = digest * UINT64_C(0x9e3779b97f4a7c15) +
			 siphash(&service->digest_key, accounts->names[i]);
	return digest;
}

/* Whether the list has just lost all its names, and the last one is to stay for now. */
static bool
table_empty_waits(
	struct lookup_service *service, struct lookup_table *table, const struct accounts *accounts)
{
	mono_us now = env_monotonic(service->env);

	if (accounts->count > 0 || !table->snapshot || table->names == 0) {
		table->empty_since = 0;
		return false;
	}
	if (table->empty_since == 0) {
		table->empty_since = now;
		log_event(service->env, LOG_WARNING, "accounts_empty",
			LOG_SLICE("domain", table->domain->name),
			LOG_NUMBER("names_before", table->names),
			LOG_NUMBER("last_table_stays_s", LOOKUP_EMPTY_US / US_PER_S));
	}
	if (now - table->empty_since < LOOKUP_EMPTY_US)
		return true;
	table->empty_since = 0;
	return false;
}

static enum error
table_publish(
	struct lookup_service *service, struct lookup_table *table, const struct accounts *accounts)
{
	struct env *env = service->env;
	uint64_t digest = names_digest(service, accounts);
	int snapshot_fd;

	if (table_empty_waits(service, table, accounts) ||
		(table->snapshot && table->digest == digest))
		return OK;
	enum error error = snapshot_new(env, accounts->names, accounts->count, &snapshot_fd);
	if (error != OK)
		return error;
	snapshot_unuse(service, table->snapshot);
	table->snapshot = memory_get(env->memory, sizeof *table->snapshot);
	*table->snapshot = (struct lookup_snapshot){.fd = snapshot_fd, .users = 1};
	table->digest = digest;
	table->names = accounts->count;
	table->version = ++service->version;
	task_event_signal(&service->changed);
	log_event(env, LOG_INFO, table->is_aliases ? "aliases_read" : "accounts_read",
		LOG_SLICE("domain", table->domain->name), LOG_NUMBER("names", accounts->count));
	return OK;
}

/* May wait. Without a deadline: libc lists users for one thread at a time, so a second list cannot
 * be begun while the first one goes on. */
static enum error
table_read_system(struct lookup_service *service, struct lookup_table *table)
{
	struct offload *job = offload_new(service->env, list_users, sizeof(struct users_job));
	struct users_job *users = offload_data(job);
	enum error error = offload_run(job, MONO_NEVER);

	if (error == OK)
		error = users->error;
	if (error == OK)
		error = table_publish(service, table, &users->accounts);
	offload_free(&job);
	return error;
}

/* May wait. Reads the table anew; the old snapshot stays when that fails. */
static enum error
table_read(struct lookup_service *service, struct lookup_table *table)
{
	struct accounts accounts;

	if (*table->path == 0)
		return table_read_system(service, table);
	accounts_init(&accounts, service->env->memory, LOOKUP_TABLE_BYTES);
	enum error error = table_read_file(service, table, &accounts);
	if (error == OK) {
		accounts_finish(&accounts);
		error = table_publish(service, table, &accounts);
	}
	accounts_done(&accounts);
	return error;
}

static bool
table_file_changed(struct lookup_service *service, struct lookup_table *table)
{
	struct env *env = service->env;
	struct stat stat = {.st_size = -1};

	int result = env->disk->fstatat(env->world, AT_FDCWD, table->path, &stat, 0);
	if (result < 0)
		stat = (struct stat){.st_size = -1};
	bool changed = stat.st_mtim.tv_sec != table->changed_at.tv_sec ||
		       stat.st_mtim.tv_nsec != table->changed_at.tv_nsec ||
		       stat.st_size != table->size || stat.st_ino != table->inode;
	int64_t age_us =
		env_wall(env) - (stat.st_mtim.tv_sec * US_PER_S + stat.st_mtim.tv_nsec / 1000);
	table->unsettled =
		stat.st_size >= 0 && age_us < LOOKUP_SETTLED_US && age_us > -LOOKUP_SETTLED_US;
	if (changed)
		table->rewritten = stat.st_ino == table->inode && stat.st_size >= 0;
	table->changed_at = stat.st_mtim;
	table->size = stat.st_size;
	table->inode = stat.st_ino;
	return changed;
}

static bool
table_changed(struct lookup_service *service, struct lookup_table *table)
{
	mono_us now = env_monotonic(service->env);

	if (*table->path != 0)
		return table_file_changed(service, table);
	if (now < table->next_system_poll)
		return false;
	table->next_system_poll = now + LOOKUP_SYSTEM_POLL_US;
	return true;
}

/* Whether the file is being rewritten under us: what stands in it now may be half of it. */
static bool
table_unsettled(struct lookup_service *service, struct lookup_table *table)
{
	mono_us now = env_monotonic(service->env);

	if (!table->unsettled || !table->rewritten || !table->snapshot) {
		table->settle_by = 0;
		return false;
	}
	if (table->settle_by == 0)
		table->settle_by = now + LOOKUP_SETTLE_MAX_US;
	return now < table->settle_by;
}

/* May wait. */
static void
table_refresh(struct lookup_service *service, struct lookup_table *table)
{
	bool was_unsettled = table->unsettled;
	bool changed = table_changed(service, table);

	if (!changed && !table->failed && !was_unsettled && table->empty_since == 0)
		return;
	if (table_unsettled(service, table))
		return;
	table->bad_lines = changed ? 0 : LOOKUP_BAD_LINES; /* the same lines are not told again */
	enum error error = table_read(service, table);
	table->failed =
		error != OK &&
		error != ERROR_LIMIT; /* a file that is too large stays so until it changes */
	if (error == OK || error == ERROR_CANCELLED) {
		table->reported = false;
		return;
	}
	if (!table->reported)
		log_event(service->env, LOG_ERROR, "accounts_unreadable",
			LOG_SLICE("domain", table->domain->name), LOG_STRING("file", table->path),
			LOG_STRING("error", error_text(error)),
			LOG_STRING("effect", table->snapshot ? "the last table stays"
							     : "mail for the domain gets 451"));
	table->reported = true;
}

/* May wait. */
static void
refresh_all(struct lookup_service *service)
{
	for (size_t i = 0; i < service->table_count; i++)
		table_refresh(service, &service->tables[i]);
}

static void
lookup_run(void *arg)
{
	struct lookup_service *service = arg;
	struct loop *loop = service->env->loop;

	while (service->table_count > 0 &&
		task_sleep(loop, loop_deadline(loop, LOOKUP_POLL_US)) == OK)
		refresh_all(service);
}

static void
add_table(struct lookup_service *service, const struct conf_domain *domain, bool is_aliases,
	struct slice path)
{
	struct lookup_table *table = &service->tables[service->table_count++];

	*table = (struct lookup_table){.domain = domain, .is_aliases = is_aliases};
	table->path = arena_text(&service->arena, path);
}

struct lookup_service *
lookup_service_new(struct env *env, const struct conf *conf, const struct lookup_root_ops *root,
	void *root_arg)
{
	struct lookup_service *service = memory_get(env->memory, sizeof *service);

	service->env = env;
	service->root = root;
	service->root_arg = root_arg;
	env_random(env, &service->digest_key, sizeof service->digest_key);
	list_init(&service->sessions);
	task_event_init(&service->changed);
	task_group_init(&service->tasks, env->loop);
	arena_init(&service->arena, env->memory, SIZE_MAX);
	service->tables =
		memory_get(env->memory, (2 * conf->domain_count + 1) * sizeof *service->tables);
	for (size_t i = 0; i < conf->domain_count; i++) {
		const struct conf_domain *domain = &conf->domains[i];
		if (domain->accounts != CONF_ACCOUNTS_ANY)
			add_table(service, domain, false,
				domain->accounts == CONF_ACCOUNTS_FILE ? domain->accounts_file
								       : SLICE(""));
		if (domain->aliases != 0)
			add_table(service, domain, true, domain->aliases_file);
	}
	return service;
}

void
lookup_service_add_session(
	struct lookup_service *service, uint32_t worker, uint32_t instance, int channel_fd)
{
	struct env *env = service->env;
	struct lookup_session *session = memory_get(env->memory, sizeof *session);

	list_for_each (link, &service->sessions) {
		struct lookup_session *old = list_entry(link, struct lookup_session, link);
		old->replaced |= old->worker == worker;
	}
	task_event_signal(&service->changed);
	session->service = service;
	session->worker = worker;
	session->instance = instance;
	list_append(&service->sessions, &session->link);
	enum error error =
		channel_open(&session->channel, env->loop, channel_fd, ROLE_LOOKUP, ROLE_SESSION);
	if (error == OK)
		error = task_start(&service->tasks, "lookup session", session_run, session);
	if (error == OK)
		return;
	session_lost(session, error);
	session_drop(session);
}

enum error
lookup_service_go(struct lookup_service *service)
{
	refresh_all(service); /* before anybody is told that this process is ready */
	return task_start(&service->tasks, "lookup", lookup_run, service);
}

void
lookup_service_stop(struct lookup_service *service)
{
	task_group_cancel(&service->tasks);
	task_group_wait(&service->tasks);
}

void
lookup_service_free(struct lookup_service **service_pointer)
{
	struct lookup_service *service = *service_pointer;

	if (!service)
		return;
	struct env *env = service->env;
	for (size_t i = 0; i < service->table_count; i++)
		snapshot_unuse(service, service->tables[i].snapshot);
	arena_done(&service->arena);
	memory_put(env->memory, service->tables);
	memory_put(env->memory, service);
	*service_pointer = NULL;
}
