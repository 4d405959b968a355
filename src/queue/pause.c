/*
 * Lanes that an operator has paused, by patterns of their names: what lies in one stays there, what
 * is under way ends. A lane made later is paused too if a pattern means it. Patterns lie in a file
 * of the spool's folder, a line each, and a change is durable before it is made here and
 * acknowledged: so what was paused stays so, whoever dies. When the disk fails, the change is
 * refused, and whether a restart finds it is not known.
 */
#include "base/file_replace.h"
#include "queue/control_private.h"
#include "task/offload.h"

#include <fcntl.h>

#define FILE_NAME  "pauses"
#define FILE_BYTES (PAUSES_MAX * (IPC_TEXT_MAX + 1))
#define FILE_MODE  0600

/* What a thread is to write. */
struct pauses_job {
	int folder_fd;
	struct buffer text;
	uint8_t storage[FILE_BYTES];
	enum error error;
};

static void
job_run(struct env *env, void *data)
{
	struct pauses_job *job = data;

	job->error =
		file_replace(env, job->folder_fd, FILE_NAME, buffer_slice(&job->text), FILE_MODE);
}

/* May wait: the file has all patterns but `but` (SIZE_MAX: all), and `more` unless it is empty. */
static enum error
store(struct queue_service *service, size_t but, struct slice more)
{
	struct pauses *pauses = &service->pauses;

	if (pauses->is_writing)
		return ERROR_AGAIN;
	struct offload *offload = offload_new(service->env, job_run, sizeof(struct pauses_job));
	struct pauses_job *job = offload_data(offload);
	job->folder_fd = pauses->folder_fd;
	buffer_init_fixed(&job->text, job->storage, sizeof job->storage);
	for (size_t i = 0; i < pauses->count; i++)
		if (i != but) {
			buffer_append(&job->text, pauses->patterns[i]);
			buffer_append_octet(&job->text, '\n');
		}
	if (more.len > 0) {
		buffer_append(&job->text, more);
		buffer_append_octet(&job->text, '\n');
	}
	enum error error = buffer_error(&job->text);
	pauses->is_writing = true;
	if (error == OK)
		error = offload_run(offload, MONO_NEVER);
	pauses->is_writing = false;
	if (error == OK)
		error = job->error;
	offload_free(&offload);
	return error;
}

static bool
means_lane(struct slice pattern, const struct queue_lane *lane)
{
	uint8_t storage[LANE_TEXT_MAX];
	struct buffer name;

	buffer_init_fixed(&name, storage, sizeof storage);
	buffer_append_text(&name, transport_name(lane->transport));
	buffer_append_octet(&name, ' ');
	buffer_append(&name, lane->name);
	return glob_matches(pattern, buffer_slice(&name));
}

bool
pauses_mean(const struct queue_service *service, const struct queue_lane *lane)
{
	bool mean = false;

	for (size_t i = 0; i < service->pauses.count; i++)
		mean |= means_lane(service->pauses.patterns[i], lane);
	return mean;
}

/* May wait, for nothing. After a change: carriers of lanes that go on have work. */
static void
apply(struct queue_service *service)
{
	for (uint32_t i = 0; i < LANE_BUCKETS; i++)
		for (struct queue_lane *lane = service->lane_buckets[i]; lane; lane = lane->next) {
			bool is_paused = pauses_mean(service, lane);
			if (lane->lane.is_paused == is_paused)
				continue;
			lane_set_paused(&lane->lane, &lane->carrier->pool, is_paused);
			if (!is_paused)
				carrier_has_work(lane->carrier);
		}
}

static size_t
find_pattern(const struct pauses *pauses, struct slice pattern)
{
	size_t i = 0;

	while (i < pauses->count && !slice_equal(pauses->patterns[i], pattern))
		i++;
	return i;
}

static void
log_pause(struct queue_service *service, const char *event, struct slice pattern, const char *cause)
{
	log_event(service->env, LOG_WARNING, event, LOG_SLICE("lane", pattern),
		LOG_STRING("cause", cause));
}

/* A line of the file, and of what is printed. */
static bool
is_pattern(struct slice pattern)
{
	bool is_plain = pattern.len > 0 && pattern.len <= IPC_TEXT_MAX;

	for (size_t i = 0; i < pattern.len; i++)
		is_plain &= pattern.ptr[i] >= ' ' && pattern.ptr[i] != 0x7f;
	return is_plain;
}

static enum error
keep_pattern(struct queue_service *service, struct slice pattern, struct slice *ret_kept)
{
	uint8_t *copy = memory_try(service->env->memory, pattern.len);

	if (!copy)
		return ERROR_NO_MEMORY;
	memcpy(copy, pattern.ptr, pattern.len);
	*ret_kept = slice_of(copy, pattern.len);
	return OK;
}

static void
drop_pattern(struct queue_service *service, struct slice pattern)
{
	memory_put(service->env->memory, (void *)(uintptr_t)pattern.ptr);
}

enum error
pause_add(struct queue_service *service, struct slice pattern)
{
	struct pauses *pauses = &service->pauses;
	struct slice kept;

	if (!is_pattern(pattern))
		return ERROR_FORMAT;
	if (find_pattern(pauses, pattern) < pauses->count)
		return OK;
	if (pauses->count == PAUSES_MAX)
		return ERROR_LIMIT;
	enum error error = keep_pattern(service, pattern, &kept);
	if (error != OK)
		return error;
	error = store(service, SIZE_MAX, kept);
	if (error != OK) {
		drop_pattern(service, kept);
		return error;
	}
	pauses->patterns[pauses->count++] = kept;
	log_pause(service, "lane_paused", kept, "operator");
	apply(service);
	return OK;
}

static void
remove_pattern(struct queue_service *service, size_t number)
{
	struct pauses *pauses = &service->pauses;

	log_pause(service, "lane_resumed", pauses->patterns[number], "operator");
	drop_pattern(service, pauses->patterns[number]);
	pauses->patterns[number] = pauses->patterns[--pauses->count];
}

/* May wait. */
static enum error
remove_all(struct queue_service *service)
{
	size_t count = service->pauses.count;
	enum error error = OK;

	while (error == OK && count-- > 0) {
		error = store(service, count, SLICE(""));
		if (error == OK)
			remove_pattern(service, count);
	}
	return error;
}

enum error
pause_remove(struct queue_service *service, struct slice pattern)
{
	size_t number = find_pattern(&service->pauses, pattern);
	enum error error;

	if (slice_equal(pattern, SLICE("*"))) {
		error = remove_all(service);
	} else if (number == service->pauses.count) {
		error = ERROR_NOT_FOUND;
	} else {
		error = store(service, number, SLICE(""));
		if (error == OK)
			remove_pattern(service, number);
	}
	apply(service);
	return error;
}

/* What is no pattern is left out, and said: the file was changed by somebody else. */
static enum error
take_line(struct queue_service *service, struct slice line)
{
	struct pauses *pauses = &service->pauses;

	if (!is_pattern(line) || pauses->count == PAUSES_MAX) {
		log_event(service->env, LOG_ERROR, "pauses_damaged", LOG_STRING("file", FILE_NAME),
			LOG_SLICE("line", line));
		return OK;
	}
	if (find_pattern(pauses, line) < pauses->count)
		return OK;
	enum error error = keep_pattern(service, line, &pauses->patterns[pauses->count]);
	if (error == OK)
		log_pause(service, "lane_paused", pauses->patterns[pauses->count++], "restart");
	return error;
}

static enum error
take_text(struct queue_service *service, struct slice text)
{
	enum error error = OK;

	while (error == OK && text.len > 0) {
		ssize_t end = slice_find(text, 0, '\n');
		size_t len = end < 0 ? text.len : (size_t)end;
		error = take_line(service, slice_of(text.ptr, len));
		text = slice_from(text, end < 0 ? len : len + 1);
	}
	return error;
}

enum error
pauses_load(struct queue_service *service)
{
	struct env *env = service->env;
	struct buffer text;

	/* A descriptor of its own: a flush that fails is told to each that is open, and the spool
	 * must not miss one of its folder. */
	int fd = env->disk->openat(env->world, service->spool_fd, ".", O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return error_from_errno(-fd);
	service->pauses.folder_fd = fd;
	buffer_init(&text, env->memory, FILE_BYTES);
	enum error error = file_read(env, fd, FILE_NAME, &text);
	if (error == OK)
		error = take_text(service, buffer_slice(&text));
	buffer_done(&text);
	if (error == OK || error == ERROR_NOT_FOUND)
		return OK;
	log_event(env, LOG_ERROR, "pauses_unusable", LOG_STRING("file", FILE_NAME),
		LOG_STRING("error", error_text(error)), LOG_STRING("hint", "see docs/spool.md"));
	return error;
}

void
pauses_free(struct queue_service *service)
{
	struct pauses *pauses = &service->pauses;

	while (pauses->count > 0)
		drop_pattern(service, pauses->patterns[--pauses->count]);
	if (pauses->folder_fd >= 0)
		service->env->disk->close(service->env->world, pauses->folder_fd);
}
