/*
 * One task: drain all rings in the order of their records' times, write, rest LOG_REST_US while
 * there is traffic so that a burst of records costs one wake-up, and sleep on the wake-up counter
 * when there is none. Output that can't be written is counted and told about when writing works
 * again. Announcements end when nobody reads standard output any more.
 */
#include "log/log.h"
#include "log/history_writer.h"
#include "log/repeats.h"
#include "ipc/log_ring.h"
#include "task/task.h"

#include <errno.h>
#include <unistd.h>

#define LOG_REST_US      (10 * US_PER_MS)
#define LOG_OUTPUT_BYTES 65536
#define LOG_SHARE        1024              /* records of one process in a turn */
#define LOG_LAST_TURNS   64                /* at the end: more than a full ring */
#define LOG_TIME_OFF_US  (3600 * US_PER_S) /* a record that claims a time further off is refused */
#define LOG_SUMMARY_US   US_PER_S
#define LOG_ORIGIN_BYTES 32

struct log_source {
	struct list link;
	struct log_reader reader;
	uint32_t role;
	uint32_t worker;
	bool last; /* replaced, or its process is gone: drained once more, then closed */
	bool damaged;
	unsigned taken;       /* in this turn */
	uint32_t malformed;   /* not told yet */
	uint32_t refused;     /* not told yet: not its own to say, or of another time */
	uint32_t left_out;    /* not told yet: over their number a second */
	mono_us told_at;      /* of the last summary of what was left out */
	struct slice waiting; /* its next record, in `storage`; empty: look into the ring */
	uint8_t storage[LOG_RECORD_MAX];
};

struct log_service {
	struct env *env;
	const struct conf *conf;
	struct log_sink own; /* for records of this process itself; not signal_safe */
	struct list sources;
	struct task_group tasks;
	struct watch wake;
	int wake_fd;
	int log_fd;
	uint64_t lost_writes; /* since the last one that went through */
	struct history_writer history;
	struct repeats repeats;
	bool nobody_listens; /* to announcements */
	struct buffer log;
	struct buffer announcements;
	bool summary_due; /* something was left out, and the last summary is not old enough */
	bool draining;    /* it ends with what was said meanwhile */
	bool stopping;
};

/* The value may be a stranger's or a broken process': it ends no line and reaches no terminal as a
 * command. */
static void
append_printable(struct buffer *buffer, struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		buffer_append_octet(
			buffer, text.ptr[i] < ' ' || text.ptr[i] == 0x7f ? '?' : text.ptr[i]);
}

/* What scripts and people wait for, without time and detail. */
static void
announce(struct log_service *service, struct slice record)
{
	static const struct {
		const char *event;
		const char *field;
	} announced[] = {{"received", "id"}, {"delivered", "path"}, {"deferred", "id"},
		{"failed", "id"}, {"held", "id"}};

	for (size_t i = 0; i < sizeof announced / sizeof *announced; i++) {
		struct slice value;
		if (!log_record_is(record, announced[i].event) ||
			log_record_text(record, announced[i].field, &value) != OK)
			continue;
		buffer_append_text(&service->announcements, announced[i].event);
		buffer_append_octet(&service->announcements, ' ');
		append_printable(&service->announcements, value);
		buffer_append_octet(&service->announcements, '\n');
	}
}

/* 0, or -errno of a write that failed: the rest is lost. */
static int
log_flush_to(struct log_service *service, int fd, struct buffer *buffer)
{
	struct env *env = service->env;
	struct slice left = buffer_slice(buffer);
	ssize_t written = 0;

	while (left.len > 0 && (written = env->disk->write(env->world, fd, left.ptr, left.len)) > 0)
		left = slice_from(left, (size_t)written);
	buffer_clear(buffer);
	return written < 0 ? (int)written : left.len > 0 ? -EIO : 0;
}

static void
log_flush_lines(struct log_service *service)
{
	if (service->log.len == 0)
		return;
	if (log_flush_to(service, service->log_fd, &service->log) < 0) {
		service->lost_writes++;
	} else if (service->lost_writes > 0) {
		uint64_t lost = service->lost_writes;
		service->lost_writes = 0;
		log_event(service->env, LOG_ERROR, "log_write_failed", LOG_NUMBER("times", lost));
	}
}

static void
log_flush(struct log_service *service)
{
	log_flush_lines(service);
	history_writer_flush(&service->history);
	if (service->announcements.len == 0)
		return;
	int result = service->nobody_listens
			     ? 0
			     : log_flush_to(service, STDOUT_FILENO, &service->announcements);
	buffer_clear(&service->announcements);
	if (result == -EPIPE || result == -EBADF) {
		service->nobody_listens = true;
		log_event(service->env, LOG_INFO, "announcements_end",
			LOG_STRING("reason", "standard output is closed"));
	} else if (result < 0) {
		service->lost_writes++;
	}
}

/*
 * What people and programs rely on may be said only by the role that knows it; a process that was
 * taken over can tell lies about itself, but none in another's place. What stands here for no role
 * may be said by all.
 */
static bool
may_say(enum role role, struct slice record)
{
	static const struct {
		const char *event;
		enum role role;
	} owned[] = {{"received", ROLE_SESSION}, {"dmarc_seen", ROLE_SESSION},
		{"delivered", ROLE_QUEUE}, {"deferred", ROLE_QUEUE}, {"failed", ROLE_QUEUE},
		{"held", ROLE_QUEUE}, {"discarded", ROLE_QUEUE}, {"expired", ROLE_QUEUE},
		{"released", ROLE_QUEUE}, {"retried", ROLE_QUEUE}, {"deleted", ROLE_QUEUE},
		{"reported", ROLE_QUEUE}, {"suppressed", ROLE_QUEUE}, {"not_reported", ROLE_QUEUE},
		{"relayed", ROLE_RELAY}, {"refused", ROLE_SESSION}, {"spool_damage", ROLE_QUEUE},
		{"accounts_read", ROLE_LOOKUP}, {"starting", ROLE_ROOT}, {"stopped", ROLE_ROOT},
		{"sandbox", ROLE_ROOT}, {"listening", ROLE_ROOT}, {"listener_ended", ROLE_ROOT},
		{"process_died", ROLE_ROOT}, {"process_ended", ROLE_ROOT},
		{"process_killed", ROLE_ROOT}, {"process_broke_the_rules", ROLE_ROOT},
		{"deferred_more", ROLE_LOG}, {"relayed_more", ROLE_LOG}, {"log_lost", ROLE_LOG},
		{"log_left_out", ROLE_LOG}, {"log_malformed", ROLE_LOG}, {"log_refused", ROLE_LOG},
		{"log_ring_damaged", ROLE_LOG}, {"log_write_failed", ROLE_LOG}};
	struct slice event = log_record_event(record);
	bool may = true;

	for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
		may &= owned[i].role == role || !slice_equal(event, slice_text(owned[i].event));
	return may;
}

static bool
is_of_now(const struct log_service *service, struct slice record)
{
	wall_us time = log_record_time(record), now = env_wall(service->env);

	return time < now + LOG_TIME_OFF_US && time > now - LOG_TIME_OFF_US;
}

/* The half line of a record that is none, or for which there is no memory, goes. */
static enum error
log_take_record(struct log_service *service, enum role role, uint32_t worker, struct slice record)
{
	uint8_t storage[LOG_ORIGIN_BYTES];
	struct buffer origin;
	size_t before = service->log.len;

	buffer_init_fixed(&origin, storage, sizeof storage);
	buffer_printf(&origin, "%s/%u", role_name(role), worker);
	enum error error = service->conf->log.format == CONF_LOG_JSON
				   ? log_record_json(record, buffer_slice(&origin), &service->log)
				   : log_record_line(record, buffer_slice(&origin), &service->log);

	buffer_append_octet(&service->log, '\n');
	if (error == OK)
		error = buffer_error(&service->log);
	if (error != OK) {
		service->log.len = before;
		service->log.error = OK;
		return error;
	}
	/* Only now it is known to be a whole record. */
	if (repeats_take(&service->repeats, record, loop_now(service->env->loop)) ||
		log_record_is(record, "dmarc_seen")) /* `received` and `refused` say it shorter */
		service->log.len = before;
	announce(service, record);
	history_writer_take(&service->history, record);
	if (service->log.len > LOG_OUTPUT_BYTES / 2 ||
		service->announcements.len > LOG_OUTPUT_BYTES / 2)
		log_flush(service);
	return OK;
}

static void
log_own_record(struct log_sink *sink, struct slice record)
{
	struct log_service *service = list_entry(sink, struct log_service, own);

	if (log_take_record(service, ROLE_LOG, 0, record) != OK)
		service->lost_writes++;
	if (!service->draining)
		service->env->poll->wake_signal(service->env->world, service->wake_fd);
}

/* Once a second at most: under a flood each turn leaves something out. */
static void
log_summarize(struct log_service *service, struct log_source *source)
{
	mono_us now = loop_now(service->env->loop);

	source->left_out += log_reader_left_out(&source->reader);
	if (source->left_out == 0)
		return;
	if (!source->last && now - source->told_at < LOG_SUMMARY_US) {
		service->summary_due = true;
		return;
	}
	log_event(service->env, LOG_WARNING, "log_left_out",
		LOG_STRING("role", role_name((enum role)source->role)),
		LOG_NUMBER("worker", source->worker), LOG_NUMBER("records", source->left_out));
	source->left_out = 0;
	source->told_at = now;
}

static void
log_report_losses(struct log_service *service, struct log_source *source)
{
	uint32_t dropped = log_reader_dropped(&source->reader);

	if (dropped > 0)
		log_event(service->env, LOG_WARNING, "log_lost",
			LOG_STRING("role", role_name((enum role)source->role)),
			LOG_NUMBER("worker", source->worker), LOG_NUMBER("records", dropped));
	if (source->malformed > 0)
		log_event(service->env, LOG_ERROR, "log_malformed",
			LOG_STRING("role", role_name((enum role)source->role)),
			LOG_NUMBER("worker", source->worker),
			LOG_NUMBER("records", source->malformed));
	if (source->refused > 0)
		log_event(service->env, LOG_ERROR, "log_refused",
			LOG_STRING("role", role_name((enum role)source->role)),
			LOG_NUMBER("worker", source->worker),
			LOG_NUMBER("records", source->refused),
			LOG_STRING("why", "not its to say, or of another time"));
	source->malformed = source->refused = 0;
	log_summarize(service, source);
}

static void
source_close(struct log_service *service, struct log_source *source)
{
	log_reader_close(&source->reader);
	list_remove(&source->link);
	memory_put(service->env->memory, source);
}

/* Whether the source has a record for this turn. One whose records all claim to be old, or that
 * writes all the time, has its share too. */
static bool
source_look(struct log_source *source)
{
	enum error error = OK;

	while (error == OK && source->waiting.len == 0 && !source->damaged &&
		source->taken < LOG_SHARE) {
		error = log_reader_take(&source->reader, source->storage, &source->waiting);
		source->damaged = error == ERROR_DAMAGED;
		if (error == OK && source->waiting.len == 0) {
			source->malformed++;
			source->taken++;
		}
	}
	return source->waiting.len > 0 && source->taken < LOG_SHARE;
}

/* The source with the oldest record; NULL when all are empty or have had their share. */
static struct log_source *
oldest_source(struct log_service *service)
{
	struct log_source *oldest = NULL;

	list_for_each (link, &service->sources) {
		struct log_source *source = list_entry(link, struct log_source, link);
		if (source_look(source) && (!oldest || log_record_time(source->waiting) <
							       log_record_time(oldest->waiting)))
			oldest = source;
	}
	return oldest;
}

/* Whether it had anything in this turn. */
static bool
source_settle(struct log_service *service, struct log_source *source)
{
	bool any = source->taken > 0;

	log_report_losses(service, source);
	if (source->damaged)
		log_event(service->env, LOG_ERROR, "log_ring_damaged",
			LOG_STRING("role", role_name((enum role)source->role)),
			LOG_NUMBER("worker", source->worker));
	source->taken = 0;
	if (source->damaged || (source->last && !any))
		source_close(service, source);
	return any;
}

static void
source_say(struct log_service *service, struct log_source *source)
{
	enum role role = (enum role)source->role;

	/* What can't be parsed has no time, and is told as what it is. */
	if (log_record_time(source->waiting) != 0 &&
		(!may_say(role, source->waiting) || !is_of_now(service, source->waiting)))
		source->refused++;
	else if (log_take_record(service, role, source->worker, source->waiting) != OK)
		source->malformed++;
}

/* Writes all that waits, in the order of its times, so that cause stands before effect. Whether
 * there was anything. */
static bool
log_drain(struct log_service *service)
{
	struct log_source *source;
	bool any = false;

	service->draining = true;
	service->summary_due = false;
	while ((source = oldest_source(service)) != NULL) {
		source_say(service, source);
		source->waiting.len = 0;
		source->taken++;
	}
	list_for_each_safe (link, next, &service->sources)
		any |= source_settle(service, list_entry(link, struct log_source, link));
	repeats_tell(&service->repeats, service->env, loop_now(service->env->loop), false);
	log_flush(service);
	log_flush(service); /* what the first one had to say about itself */
	service->draining = false;
	return any;
}

static bool
log_may_sleep(struct log_service *service)
{
	bool may_sleep = true;

	list_for_each (link, &service->sources)
		may_sleep &=
			log_reader_may_sleep(&list_entry(link, struct log_source, link)->reader);
	return may_sleep;
}

static mono_us
log_wakes_at(const struct log_service *service)
{
	struct loop *loop = service->env->loop;

	if (service->summary_due || service->repeats.left_out > 0)
		return loop_deadline(loop, LOG_SUMMARY_US);
	return service->conf->history.size > 0 ? loop_deadline(loop, HISTORY_LOOK_US) : MONO_NEVER;
}

static void
log_run(void *arg)
{
	struct log_service *service = arg;
	struct loop *loop = service->env->loop;

	while (!service->stopping) {
		enum error error = OK;
		if (log_drain(service))
			error = task_sleep(loop, loop_deadline(loop, LOG_REST_US));
		else if (log_may_sleep(service))
			error = watch_wait(&service->wake, POLL_READABLE, log_wakes_at(service));
		if (error == ERROR_TIMEOUT) /* for a summary, or an end of a file of history */
			error = OK;
		if (error != OK)
			break;
	}
	for (int turn = 0; turn < LOG_LAST_TURNS && log_drain(service); turn++)
		continue;
	repeats_tell(&service->repeats, service->env, loop_now(loop), true);
	log_flush(service);
}

struct log_service *
log_service_new(struct env *env, const struct conf *conf, int wake_fd)
{
	struct log_service *service = memory_get(env->memory, sizeof *service);

	service->env = env;
	service->conf = conf;
	service->wake_fd = wake_fd;
	service->log_fd = STDERR_FILENO;
	service->own.write = log_own_record;
	list_init(&service->sources);
	task_group_init(&service->tasks, env->loop);
	buffer_init(&service->log, env->memory, 2 * LOG_OUTPUT_BYTES);
	buffer_init(&service->announcements, env->memory, 2 * LOG_OUTPUT_BYTES);
	history_writer_init(&service->history, env, conf);
	env->log = &service->own;
	return service;
}

bool
log_service_add_history(struct log_service *service, struct slice name, int file_fd)
{
	return history_writer_add(&service->history, name, file_fd);
}

void
log_service_set_file(struct log_service *service, int file_fd)
{
	struct env *env = service->env;

	log_flush_lines(service);
	if (service->log_fd != STDERR_FILENO)
		env->disk->close(env->world, service->log_fd);
	service->log_fd = file_fd;
}

/* Whether there are any. */
static bool
sources_end(struct log_service *service, uint32_t role, uint32_t worker)
{
	bool any = false;

	list_for_each (link, &service->sources) {
		struct log_source *source = list_entry(link, struct log_source, link);
		if (source->role != role || source->worker != worker)
			continue;
		source->last = true;
		any = true;
	}
	return any;
}

void
log_service_drop_ring(struct log_service *service, uint32_t role, uint32_t worker)
{
	if (sources_end(service, role, worker))
		service->env->poll->wake_signal(service->env->world, service->wake_fd);
}

void
log_service_add_ring(struct log_service *service, uint32_t role, uint32_t worker, int memory_fd)
{
	struct env *env = service->env;
	struct log_source *source = memory_get(env->memory, sizeof *source);

	sources_end(service, role, worker);
	source->role = role;
	source->worker = worker;
	enum error error = log_reader_open(&source->reader, env, memory_fd);
	env->net->close(env->world, memory_fd);
	if (error != OK) {
		memory_put(env->memory, source);
		log_event(env, LOG_ERROR, "log_ring_unusable",
			LOG_STRING("error", error_text(error)));
		return;
	}
	list_append(&service->sources, &source->link);
	env->poll->wake_signal(
		env->world, service->wake_fd); /* what lies in it already has signalled nobody */
}

enum error
log_service_go(struct log_service *service)
{
	enum error error =
		watch_open(&service->wake, service->env->loop, service->wake_fd, POLL_READABLE);

	return error != OK ? error : task_start(&service->tasks, "log", log_run, service);
}

void
log_service_stop(struct log_service *service)
{
	service->stopping = true;
	task_group_cancel(&service->tasks);
	task_group_wait(&service->tasks);
}

void
log_service_free(struct log_service **service_pointer)
{
	struct log_service *service = *service_pointer;

	if (!service)
		return;
	struct env *env = service->env;
	env->log = NULL;
	list_for_each_safe (link, next, &service->sources)
		source_close(service, list_entry(link, struct log_source, link));
	watch_close(&service->wake);
	env->net->close(env->world, service->wake_fd);
	if (service->log_fd != STDERR_FILENO)
		env->disk->close(env->world, service->log_fd);
	history_writer_done(&service->history);
	buffer_done(&service->log);
	buffer_done(&service->announcements);
	memory_put(env->memory, service);
	*service_pointer = NULL;
}
