/*
 * One task: drain all rings in the order of their records' times, write, rest LOG_REST_US while there is traffic so that a burst of records costs one wake-up, and sleep on
 * the wake-up counter when there is none. Output that can't be written is counted and told about when writing works again.
 */
#include "log/log.h"
#include "ipc/log_ring.h"
#include "task/task.h"

#include <unistd.h>

#define LOG_REST_US      (10 * US_PER_MS)
#define LOG_OUTPUT_BYTES 65536
#define LOG_DRAIN_MAX    4096 /* records before the loop looks at something else */

struct log_source {
	struct list link;
	struct log_reader reader;
	uint32_t role;
	uint32_t worker;
	bool replaced; /* drained once more, then closed */
	bool damaged;
	struct slice waiting; /* its next record, in `storage`; empty: look into the ring */
	uint8_t storage[LOG_RECORD_MAX];
};

struct log_service {
	struct env *env;
	const struct conf *conf;
	struct log_sink own; /* for records of this process itself */
	struct list sources;
	struct task_group tasks;
	struct watch wake;
	int wake_fd;
	int log_fd;
	uint64_t lost_writes;
	struct buffer log;
	struct buffer announcements;
	bool stopping;
};

/* What scripts and people wait for, without time and detail. */
static void
announce(struct log_service *service, struct slice record)
{
	static const struct {
		const char *event;
		const char *field;
	} announced[] = {{"received", "id"}, {"delivered", "path"}, {"deferred", "id"}, {"failed", "id"}, {"held", "id"}};

	for (size_t i = 0; i < sizeof announced / sizeof *announced; i++) {
		struct slice value;
		if (!log_record_is(record, announced[i].event) || log_record_text(record, announced[i].field, &value) != OK)
			continue;
		buffer_append_text(&service->announcements, announced[i].event);
		buffer_append_octet(&service->announcements, ' ');
		buffer_append(&service->announcements, value);
		buffer_append_octet(&service->announcements, '\n');
	}
}

static void
log_flush_to(struct log_service *service, int fd, struct buffer *buffer)
{
	struct env *env = service->env;
	struct slice left = buffer_slice(buffer);

	while (left.len > 0) {
		ssize_t written = env->disk->write(env->world, fd, left.ptr, left.len);
		if (written <= 0) {
			service->lost_writes++;
			break;
		}
		left = slice_from(left, (size_t)written);
	}
	buffer_clear(buffer);
}

static void
log_flush(struct log_service *service)
{
	if (service->log.len > 0)
		log_flush_to(service, service->log_fd, &service->log);
	if (service->announcements.len > 0)
		log_flush_to(service, STDOUT_FILENO, &service->announcements);
}

static void
log_take_record(struct log_service *service, struct slice record)
{
	size_t before = service->log.len;
	enum error error = service->conf->log.format == CONF_LOG_JSON ? log_record_json(record, &service->log)
								      : log_record_line(record, &service->log);

	if (error != OK) {
		/* Malformed by a broken process: the half line goes, a line that says so stays. */
		buffer_clear(&service->announcements);
		service->log.len = before;
		service->log.error = OK;
		buffer_append_text(&service->log, "log_malformed level=error");
	}
	buffer_append_octet(&service->log, '\n');
	if (error == OK)
		announce(service, record);
	if (service->log.len > LOG_OUTPUT_BYTES / 2 || service->announcements.len > LOG_OUTPUT_BYTES / 2)
		log_flush(service);
}

static void
log_own_record(struct log_sink *sink, struct slice record)
{
	log_take_record(list_entry(sink, struct log_service, own), record);
}

static void
log_report_losses(struct log_service *service, struct log_source *source)
{
	uint32_t dropped = log_reader_dropped(&source->reader);

	if (dropped > 0)
		log_event(service->env, LOG_WARNING, "log_lost", LOG_STRING("role", role_name((enum role)source->role)),
			LOG_NUMBER("worker", source->worker), LOG_NUMBER("records", dropped));
	if (service->lost_writes > 0) {
		log_event(service->env, LOG_ERROR, "log_write_failed", LOG_NUMBER("times", service->lost_writes));
		service->lost_writes = 0;
	}
}

static void
source_close(struct log_service *service, struct log_source *source)
{
	log_reader_close(&source->reader);
	list_remove(&source->link);
	memory_put(service->env->memory, source);
}

static void
source_look(struct log_source *source)
{
	if (source->waiting.len > 0 || source->damaged)
		return;
	source->damaged = log_reader_take(&source->reader, source->storage, &source->waiting) == ERROR_DAMAGED;
}

/* The source with the oldest record; NULL when all are empty. */
static struct log_source *
oldest_source(struct log_service *service)
{
	struct log_source *oldest = NULL;

	list_for_each(link, &service->sources) {
		struct log_source *source = list_entry(link, struct log_source, link);
		source_look(source);
		if (source->waiting.len > 0 && (!oldest || log_record_time(source->waiting) < log_record_time(oldest->waiting)))
			oldest = source;
	}
	return oldest;
}

static void
source_settle(struct log_service *service, struct log_source *source)
{
	log_report_losses(service, source);
	if (source->damaged)
		log_event(service->env, LOG_ERROR, "log_ring_damaged", LOG_STRING("role", role_name((enum role)source->role)),
			LOG_NUMBER("worker", source->worker));
	if (source->damaged || source->replaced)
		source_close(service, source);
}

/* Writes all that waits, in the order of its times, so that cause stands before effect. Whether there was anything. */
static bool
log_drain(struct log_service *service)
{
	bool any = false;

	for (unsigned count = 0; count < LOG_DRAIN_MAX; count++, any = true) {
		struct log_source *source = oldest_source(service);
		if (!source)
			break;
		log_take_record(service, source->waiting);
		source->waiting.len = 0;
	}
	list_for_each_safe(link, next, &service->sources)
		source_settle(service, list_entry(link, struct log_source, link));
	log_flush(service);
	return any;
}

static bool
log_may_sleep(struct log_service *service)
{
	bool may_sleep = true;

	list_for_each(link, &service->sources)
		may_sleep &= log_reader_may_sleep(&list_entry(link, struct log_source, link)->reader);
	return may_sleep;
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
			error = watch_wait(&service->wake, POLL_READABLE, MONO_NEVER);
		if (error != OK)
			break;
	}
	log_drain(service);
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
	env->log = &service->own;
	return service;
}

void
log_service_set_file(struct log_service *service, int file_fd)
{
	service->log_fd = file_fd;
}

void
log_service_add_ring(struct log_service *service, uint32_t role, uint32_t worker, int memory_fd)
{
	struct env *env = service->env;
	struct log_source *source = memory_get(env->memory, sizeof *source);

	list_for_each(link, &service->sources) {
		struct log_source *old = list_entry(link, struct log_source, link);
		old->replaced |= old->role == role && old->worker == worker;
	}
	source->role = role;
	source->worker = worker;
	enum error error = log_reader_open(&source->reader, memory_fd);
	env->net->close(env->world, memory_fd);
	if (error != OK) {
		memory_put(env->memory, source);
		log_event(env, LOG_ERROR, "log_ring_unusable", LOG_STRING("error", error_text(error)));
		return;
	}
	list_append(&service->sources, &source->link);
	env->poll->wake_signal(env->world, service->wake_fd); /* what lies in it already has signalled nobody */
}

enum error
log_service_go(struct log_service *service)
{
	enum error error = watch_open(&service->wake, service->env->loop, service->wake_fd, POLL_READABLE);

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
	list_for_each_safe(link, next, &service->sources)
		source_close(service, list_entry(link, struct log_source, link));
	watch_close(&service->wake);
	env->net->close(env->world, service->wake_fd);
	if (service->log_fd != STDERR_FILENO)
		env->disk->close(env->world, service->log_fd);
	buffer_done(&service->log);
	buffer_done(&service->announcements);
	memory_put(env->memory, service);
	*service_pointer = NULL;
}
