/*
 * One task a channel: wait for the first delivery, take what else is there up to a batch, deliver
 * (blocking: the disk is all this process has to wait for), answer. Messages are copied into an
 * arena a batch, since their slices end with the next receive.
 */
#include "deliver/deliver.h"
#include "base/log_record.h"
#include "ipc/channel.h"
#include "mailbox/head.h"
#include "mailbox/maildir.h"
#include "mailbox/template.h"

#include <errno.h>
#include <unistd.h>

#define DELIVER_BATCH MAILDIR_BATCH_MAX
#define DELIVER_JOBS \
	(DELIVER_BATCH - 1 + DELIVERY_RECIPIENTS_MAX) /* the last DELIVER is taken whole */
#define DELIVER_ARENA_BYTES (8u << 20)
#define DELIVER_HEAD_MAX    (64u << 10)
#define DELIVER_HEADER_SCAN (64u << 10) /* octets of content searched for our own Delivered-To */
#define DELIVER_ANSWER_US   (30 * US_PER_S)
#define JUNK_FOLDER         SLICE("/.Junk") /* Maildir++: a folder beside the inbox */

struct deliver_folder {
	struct list link;
	struct slice path;
	int fd;
	struct maildir maildir;
};

struct deliver_segment {
	struct list link;
	uint32_t segment;
	uint32_t generation;
	int fd;
	bool gone; /* nothing will refer to it any more; jobs of the present batch may */
};

struct deliver_line {
	struct list link;
	struct deliver_service *service;
	struct channel channel;
	struct list segments;
	struct arena arena; /* of the present batch, as are the jobs */
	struct deliver_job *jobs;
	struct maildir_delivery *files;
	bool replaced;     /* there is a line to a later queue */
	enum error broken; /* what ended the taking of a batch, for after the batch */
};

/* One recipient of an attempt. */
struct deliver_job {
	struct deliver_folder *folder;
	struct maildir_delivery delivery_file;
	struct slice template;
	struct slice address;
	bool is_junk;
	struct buffer head;
	int memfd;   /* to close after the batch; -1: another's, or a segment's */
	bool failed; /* before the disk was reached: `answer` says how */
	struct delivery_result answer;
};

struct deliver_service {
	struct env *env;
	const struct conf *conf;
	struct slice home;
	struct list folders;
	struct list lines;
	struct task_group tasks;
};

static void
job_fail(struct deliver_job *job, enum deliver_outcome outcome, struct enhanced_status status,
	const char *text)
{
	job->failed = true;
	job->answer.outcome = outcome;
	job->answer.status = status;
	job->answer.text = slice_text(text);
}

/* Templates of system users may start with {home}: then the home folder is the root and the rest is
 * below it. */
static struct slice
template_below_home(struct slice template, bool *ret_is_below)
{
	*ret_is_below = slice_has_prefix(template, SLICE("{home}"));
	return *ret_is_below ? slice_from(template, sizeof "{home}" - 1) : template;
}

static struct deliver_folder *
find_folder(struct deliver_service *service, struct slice path)
{
	list_for_each (link, &service->folders) {
		struct deliver_folder *folder = list_entry(link, struct deliver_folder, link);
		if (slice_equal(folder->path, path))
			return folder;
	}
	return NULL;
}

static enum error
job_expand_path(struct deliver_line *line, struct deliver_job *job)
{
	struct deliver_service *service = line->service;
	bool below_home;
	struct slice template = template_below_home(job->template, &below_home);
	struct slice root = below_home ? service->home : mailbox_template_root(template);
	struct buffer path;

	job->folder = find_folder(service, root);
	if (!job->folder)
		return ERROR_NOT_FOUND;
	buffer_init(&path, service->env->memory, MAILBOX_PATH_MAX);
	if (below_home) {
		/* Below the home there is one fixed root, however the template goes on. */
		struct slice fixed = mailbox_template_root(template);
		buffer_append(&path, slice_from(fixed, 1));
		if (fixed.len > 1)
			buffer_append_octet(&path, '/');
	}
	enum error error = mailbox_template_expand_address(template, job->address, &path);
	if (job->is_junk)
		buffer_append(&path, JUNK_FOLDER);
	if (error == OK)
		error = buffer_error(&path);
	if (error == OK && !arena_copy(&line->arena, buffer_slice(&path), &job->delivery_file.path))
		error = ERROR_NO_MEMORY;
	buffer_done(&path);
	return error;
}

/* Mail that has been in this mailbox before goes round in circles (RFC 9228). */
static bool
job_is_loop(struct deliver_service *service, struct deliver_job *job)
{
	struct env *env = service->env;
	struct maildir_content *content = &job->delivery_file.content;
	size_t len =
		content->size < DELIVER_HEADER_SCAN ? (size_t)content->size : DELIVER_HEADER_SCAN;
	uint8_t *bytes = memory_try(env->memory, len);
	bool loop = false;

	if (!bytes)
		return false;
	ssize_t got = env->disk->pread(env->world, content->fd, bytes, len, (off_t)content->offset);
	if (got > 0)
		loop = mailbox_head_is_loop(
			slice_of(bytes, (size_t)got), job->address, service->conf->hostname);
	memory_put(env->memory, bytes);
	return loop;
}

static void
job_prepare(struct deliver_line *line, struct deliver_job *job, struct slice reverse_path,
	struct slice trace)
{
	struct deliver_service *service = line->service;
	enum error error = job_expand_path(line, job);

	buffer_init(&job->head, service->env->memory, DELIVER_HEAD_MAX);
	if (error == ERROR_NOT_FOUND)
		job_fail(
			job, DELIVER_TEMPORARY, STATUS(4, 3, 5), "the mailbox folder is not there");
	else if (error == ERROR_FORMAT || error == ERROR_LIMIT)
		job_fail(job, DELIVER_PERMANENT, STATUS(5, 1, 1),
			"the address can have no mailbox here");
	else if (error == OK)
		error = mailbox_head_build(reverse_path, job->address, trace, &job->head);
	if (job->failed)
		return;
	if (error == ERROR_FORMAT || error == ERROR_LIMIT)
		job_fail(job, DELIVER_PERMANENT, STATUS(5, 6, 0),
			"the envelope can't stand in a message's head");
	else if (error != OK)
		job_fail(job, DELIVER_TEMPORARY, STATUS(4, 3, 0), "out of memory");
	else if (job_is_loop(service, job))
		job_fail(job, DELIVER_PERMANENT, STATUS(5, 4, 6),
			"mail loop: this mailbox had the message before");
	job->delivery_file.head = buffer_slice(&job->head);
}

static int
line_segment_fd(const struct deliver_line *line, uint32_t segment, uint32_t generation)
{
	list_for_each (link, &line->segments) {
		const struct deliver_segment *s = list_entry(link, struct deliver_segment, link);
		if (s->segment == segment && s->generation == generation && !s->gone)
			return s->fd;
	}
	return -1;
}

/* Until something better is known, the answer is that nothing was delivered. */
static void
take_job(struct deliver_line *line, struct deliver_job *job, const struct ipc_deliver *m,
	const struct delivery_recipient *recipient, const struct maildir_content *content)
{
	*job = (struct deliver_job){.memfd = -1,
		.is_junk = m->is_junk != 0,
		.delivery_file =
			{
				.queue_id = m->queue_id,
				.recipient = recipient->number,
				.received_at = (wall_us)m->received_at,
				.first_attempt = m->first_attempt != 0,
				.content = *content,
			},
		.answer = {.attempt = m->attempt,
			.recipient = recipient->number,
			.outcome = DELIVER_TEMPORARY,
			.status = STATUS(4, 3, 0),
			.text = SLICE("not tried")}};
	if (content->fd < 0)
		job_fail(job, DELIVER_TEMPORARY, STATUS(4, 3, 0), "the spool segment is not there");
	else if (!arena_copy(&line->arena, m->template, &job->template) ||
		 !arena_copy(&line->arena, recipient->address, &job->address))
		job_fail(job, DELIVER_TEMPORARY, STATUS(4, 3, 0), "out of memory");
	else
		job_prepare(line, job, m->reverse_path, m->trace);
}

static struct maildir_content
content_of(const struct deliver_line *line, const struct ipc_message *message)
{
	const struct ipc_deliver *m = &message->deliver;
	bool is_memory = m->source == SOURCE_MEMORY;

	return (struct maildir_content){
		.fd = is_memory ? message->fds[0]
				: line_segment_fd(line, m->segment, m->generation),
		.offset = m->offset,
		.size = m->size,
		.has_sum = true,
		.sum = m->sum,
	};
}

/* A job for each recipient, behind those that are there. A function of its own: inlined, the list
 * would stand on the task's stack while it waits for messages, and on top of all that it does. */
__attribute__((noinline)) static enum error
take_deliver(struct deliver_line *line, struct ipc_message *message, size_t *count)
{
	const struct ipc_deliver *m = &message->deliver;
	struct delivery_recipient recipients[DELIVERY_RECIPIENTS_MAX];
	uint32_t recipient_count;
	enum error error = delivery_recipients_decode(m->recipients, recipients, &recipient_count);

	if (error == OK && message->fd_count != (m->source == SOURCE_MEMORY))
		error = ERROR_FORMAT;
	if (error != OK) {
		ipc_close_fds(line->service->env, message);
		return error;
	}
	struct maildir_content content = content_of(line, message);
	struct deliver_job *first = &line->jobs[*count];
	for (uint32_t i = 0; i < recipient_count; i++)
		take_job(line, &line->jobs[(*count)++], m, &recipients[i], &content);
	if (message->fd_count > 0)
		first->memfd = message->fds[0];
	return OK;
}

static void
line_add_segment(struct deliver_line *line, const struct ipc_message *message)
{
	struct deliver_segment *segment = memory_get(line->service->env->memory, sizeof *segment);

	segment->segment = message->segment.segment;
	segment->generation = message->segment.generation;
	segment->fd = message->fds[0];
	list_append(&line->segments, &segment->link);
}

static void
segment_close(struct deliver_line *line, struct deliver_segment *segment)
{
	struct env *env = line->service->env;

	env->disk->close(env->world, segment->fd);
	list_remove(&segment->link);
	memory_put(env->memory, segment);
}

static void
line_mark_gone(struct deliver_line *line, const struct ipc_segment_gone *gone)
{
	list_for_each (link, &line->segments) {
		struct deliver_segment *segment = list_entry(link, struct deliver_segment, link);
		segment->gone |= segment->segment == gone->segment &&
				 segment->generation == gone->generation;
	}
}

static void
line_close_gone(struct deliver_line *line)
{
	list_for_each_safe (link, next, &line->segments) {
		struct deliver_segment *segment = list_entry(link, struct deliver_segment, link);
		if (segment->gone)
			segment_close(line, segment);
	}
}

/* May wait, for the first message of a batch; the others are taken as long as there are any. */
static enum error
line_take_batch(struct deliver_line *line, size_t *ret_count)
{
	struct deliver_service *service = line->service;
	struct loop *loop = service->env->loop;
	struct ipc_message message;
	size_t count = 0;

	while (count < DELIVER_BATCH && line->broken == OK) {
		enum error error = channel_receive(
			&line->channel, count == 0 ? MONO_NEVER : loop_now(loop), &message);
		if (error == ERROR_TIMEOUT)
			break;
		if (error != OK) {
			line->broken = error;
			break;
		}
		switch (message.kind) {
		case IPC_SEGMENT:
			line_add_segment(line, &message);
			break;
		case IPC_SEGMENT_GONE:
			line_mark_gone(line, &message.segment_gone);
			break;
		case IPC_DELIVER:
			line->broken = take_deliver(line, &message, &count);
			break;
		default:
			ipc_close_fds(service->env, &message);
			line->broken = ERROR_FORMAT;
		}
	}
	*ret_count = count;
	return count > 0 ? OK : line->broken; /* what came before an error is delivered */
}

/* The whole path of the file for the log and for people. */
static void
job_set_path(struct deliver_line *line, struct deliver_job *job)
{
	struct buffer path;

	buffer_init(&path, line->service->env->memory, IPC_PATH_MAX);
	buffer_append(&path, job->folder->path);
	if (job->folder->path.len > 1)
		buffer_append_octet(&path, '/');
	buffer_append(&path, job->delivery_file.path);
	buffer_append_octet(&path, '/');
	buffer_append_text(&path, job->delivery_file.result.path);
	if (buffer_error(&path) != OK ||
		!arena_copy(&line->arena, buffer_slice(&path), &job->answer.path))
		job->answer.path = slice_of(NULL, 0);
	buffer_done(&path);
}

static void
job_set_answer(struct deliver_line *line, struct deliver_job *job)
{
	const struct maildir_result *result = &job->delivery_file.result;
	static const enum deliver_outcome outcomes[] = {
		[MAILDIR_DELIVERED] = DELIVER_DELIVERED,
		[MAILDIR_TEMPORARY] = DELIVER_TEMPORARY,
		[MAILDIR_PERMANENT] = DELIVER_PERMANENT,
	};

	job->answer.outcome = outcomes[result->status];
	job->answer.status = result->enhanced;
	job->answer.text = slice_text(result->text);
	if (result->status == MAILDIR_DELIVERED)
		job_set_path(line, job);
	else
		log_event(line->service->env, LOG_WARNING, "maildir_failed",
			LOG_SLICE("mailbox", job->delivery_file.path),
			LOG_STRING("stage", result->stage ? result->stage : ""),
			LOG_STRING("error", error_text(result->error)));
}

/* Delivers the jobs that share a root folder, in one batch. */
static void
deliver_folder_jobs(struct deliver_line *line, struct deliver_folder *folder, size_t count)
{
	struct deliver_job *of_file[DELIVER_JOBS];
	size_t files = 0;

	for (size_t i = 0; i < count; i++) {
		struct deliver_job *job = &line->jobs[i];
		if (job->failed || job->folder != folder)
			continue;
		line->files[files] = job->delivery_file;
		of_file[files++] = job;
	}
	if (files == 0)
		return;
	loop_may_block_begin(line->service->env->loop);
	maildir_deliver_batch(&folder->maildir, line->files, files);
	loop_may_block_end(line->service->env->loop);
	for (size_t i = 0; i < files; i++) {
		of_file[i]->delivery_file.result = line->files[i].result;
		job_set_answer(line, of_file[i]);
	}
}

/* May wait. */
static enum error
line_send_results(struct deliver_line *line, struct buffer *results)
{
	struct loop *loop = line->service->env->loop;
	struct ipc_message message = {
		.kind = IPC_RESULT, .result = {.results = buffer_slice(results)}};
	enum error error = buffer_error(results);

	if (error == OK && results->len > 0)
		error = channel_send(
			&line->channel, &message, loop_deadline(loop, DELIVER_ANSWER_US));
	buffer_clear(results);
	return error;
}

/* May wait: answers every job of the batch, as many in one message as fit. */
static enum error
line_answer(struct deliver_line *line, size_t count)
{
	struct buffer results;
	enum error error = OK;

	buffer_init(&results, line->service->env->memory, DELIVERY_RESULTS_BYTES);
	for (size_t i = 0; i < count && error == OK; i++) {
		const struct delivery_result *answer = &line->jobs[i].answer;
		error = delivery_result_append(&results, answer);
		if (error != ERROR_LIMIT)
			continue;
		error = line_send_results(line, &results);
		if (error == OK)
			error = delivery_result_append(&results, answer);
	}
	if (error == OK)
		error = line_send_results(line, &results);
	buffer_done(&results);
	return error;
}

static void
line_forget_batch(struct deliver_line *line, size_t count)
{
	struct env *env = line->service->env;

	for (size_t i = 0; i < count; i++) {
		struct deliver_job *job = &line->jobs[i];
		buffer_done(&job->head);
		if (job->memfd >= 0)
			env->disk->close(env->world, job->memfd);
	}
	arena_clear(&line->arena);
	line_close_gone(line);
}

static void
line_free(struct deliver_line *line)
{
	struct env *env = line->service->env;

	list_for_each_safe (link, next, &line->segments)
		segment_close(line, list_entry(link, struct deliver_segment, link));
	channel_close(&line->channel);
	arena_done(&line->arena);
	memory_put(env->memory, line->jobs);
	memory_put(env->memory, line->files);
	list_remove(&line->link);
	memory_put(env->memory, line);
}

static void
line_run(void *arg)
{
	struct deliver_line *line = arg;
	struct deliver_service *service = line->service;
	enum error error = OK;
	size_t count;

	/* What a dead queue still had under way is repeated by the next one: not delivered beside
	 * it. */
	while (error == OK && (error = line_take_batch(line, &count)) == OK) {
		list_for_each (link, &service->folders)
			if (!line->replaced)
				deliver_folder_jobs(
					line, list_entry(link, struct deliver_folder, link), count);
		error = line_answer(line, count);
		line_forget_batch(line, count);
	}
	if (error != ERROR_CLOSED && error != ERROR_CANCELLED)
		log_event(service->env, LOG_ERROR, "deliver_channel_broken",
			LOG_STRING("error", error_text(error)));
	line_free(line);
}

struct deliver_service *
deliver_service_new(struct env *env, const struct conf *conf, struct slice home)
{
	struct deliver_service *service = memory_get(env->memory, sizeof *service);

	service->env = env;
	service->conf = conf;
	service->home = home;
	list_init(&service->folders);
	list_init(&service->lines);
	task_group_init(&service->tasks, env->loop);
	return service;
}

void
deliver_service_add_folder(struct deliver_service *service, struct slice path, int folder_fd)
{
	struct env *env = service->env;
	struct deliver_folder *folder = memory_get(env->memory, sizeof *folder + path.len);
	uint8_t *kept = (uint8_t *)(folder + 1);

	memcpy(kept, path.ptr, path.len);
	folder->path = slice_of(kept, path.len);
	folder->fd = folder_fd;
	maildir_init(&folder->maildir, env, folder_fd, service->conf->hostname);
	list_append(&service->folders, &folder->link);
}

void
deliver_service_set_queue(struct deliver_service *service, int channel_fd)
{
	struct env *env = service->env;
	struct deliver_line *line = memory_get(env->memory, sizeof *line);

	list_for_each (link, &service->lines)
		list_entry(link, struct deliver_line, link)->replaced = true;
	line->service = service;
	list_init(&line->segments);
	arena_init(&line->arena, env->memory, DELIVER_ARENA_BYTES);
	line->jobs = memory_get(env->memory, DELIVER_JOBS * sizeof *line->jobs);
	line->files = memory_get(env->memory, DELIVER_JOBS * sizeof *line->files);
	list_append(&service->lines, &line->link);
	enum error error =
		channel_open(&line->channel, env->loop, channel_fd, ROLE_DELIVER, ROLE_QUEUE);
	if (error == OK)
		error = task_start(&service->tasks, "deliver", line_run, line);
	if (error != OK) {
		log_event(env, LOG_ERROR, "deliver_channel_broken",
			LOG_STRING("error", error_text(error)));
		line_free(line);
	}
}

void
deliver_service_stop(struct deliver_service *service)
{
	task_group_cancel(&service->tasks);
	task_group_wait(&service->tasks);
}

void
deliver_service_free(struct deliver_service **service_pointer)
{
	struct deliver_service *service = *service_pointer;

	if (!service)
		return;
	struct env *env = service->env;
	list_for_each_safe (link, next, &service->folders) {
		struct deliver_folder *folder = list_entry(link, struct deliver_folder, link);
		env->disk->close(env->world, folder->fd);
		list_remove(link);
		memory_put(env->memory, folder);
	}
	memory_put(env->memory, service);
	*service_pointer = NULL;
}
