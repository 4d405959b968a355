/*
 * A task a client. Requests to the queue go one after the other, so an answer needs no number:
 * whoever has the line keeps it from the request to the end of the answer.
 */
#include "admin/admin.h"
#include "base/log_record.h"
#include "ipc/channel.h"

#include <errno.h>

#define ADMIN_CLIENTS_MAX 32
#define ADMIN_ANSWER_US   (30 * US_PER_S)
#define ADMIN_CLIENT_US   (60 * US_PER_S) /* for a client to take its whole answer */
#define ADMIN_IDLE_US     (300 * US_PER_S)
#define ADMIN_REST_US     (100 * US_PER_MS)

struct admin_service {
	struct env *env;
	const struct admin_root_ops *root;
	void *root_arg;
	struct channel queue;
	bool queue_busy;
	bool queue_is_slow; /* the last answer did not come in time; what comes late is told by its
			       number */
	uint32_t requests;
	struct task_event queue_free;
	int listener_fd;
	struct watch listener;
	unsigned clients;
	struct task_group tasks;
};

struct admin_client {
	struct admin_service *service;
	struct channel channel;
};

static enum error
refuse(struct admin_client *client, const char *reason)
{
	struct ipc_message message = {
		.kind = IPC_REFUSED, .refused = {.reason = slice_text(reason)}};

	return channel_send(&client->channel, &message,
		loop_deadline(client->service->env->loop, ADMIN_ANSWER_US));
}

/* Where an answer says which question it is for; NULL for what is no answer. */
static uint32_t *
answer_request(struct ipc_message *message)
{
	switch (message->kind) {
	case IPC_QUEUE_ITEM:
		return &message->queue_item.request;
	case IPC_QUEUE_RECIPIENT:
		return &message->queue_recipient.request;
	case IPC_QUEUE_BUNDLE:
		return &message->queue_bundle.request;
	case IPC_QUEUE_PAUSED:
		return &message->queue_paused.request;
	case IPC_QUEUE_END:
		return &message->queue_end.request;
	case IPC_REFUSED:
		return &message->refused.request;
	default:
		return NULL;
	}
}

/* A queue that died comes again, with a new channel; one that lives and can't be read would never
 * be asked again. */
static void
note_queue_error(struct admin_service *service, enum error error)
{
	if (error == OK || error == ERROR_TIMEOUT || error == ERROR_CLOSED ||
		error == ERROR_CANCELLED)
		return;
	log_event(service->env, LOG_ERROR, "queue_channel_broken",
		LOG_STRING("error", error_text(error)),
		LOG_STRING("effect", "this process ends, another takes its place"));
	service->root->unable(service->root_arg);
}

/*
 * May wait: hands messages from the queue to the client up to the end of the answer. A client that
 * went away, or does not read, gets no more, but the rest must still be taken off the line: the
 * others wait for it.
 */
static enum error
relay_answer(struct admin_client *client, uint32_t number, uint32_t client_number,
	bool *ret_queue_broken)
{
	struct admin_service *service = client->service;
	struct loop *loop = service->env->loop;
	mono_us client_deadline = loop_deadline(loop, ADMIN_CLIENT_US);
	struct ipc_message message;
	enum error sent = OK;

	for (;;) {
		enum error error = channel_receive(
			&service->queue, loop_deadline(loop, ADMIN_ANSWER_US), &message);
		*ret_queue_broken = error != OK;
		service->queue_is_slow = error == ERROR_TIMEOUT;
		note_queue_error(service, error);
		if (error != OK)
			return refuse(
				client, "the queue does not answer now; try again in a moment");
		uint32_t *request = answer_request(&message);
		if (!request || *request != number) {
			ipc_close_fds(service->env, &message);
			continue; /* the late answer to a question that was given up */
		}
		*request = client_number;
		bool last = message.kind == IPC_QUEUE_END || message.kind == IPC_REFUSED;
		if (sent == OK)
			sent = channel_send(&client->channel, &message, client_deadline);
		if (last)
			return sent;
	}
}

/* May wait: a request to the queue and all of its answer. */
static enum error
ask_queue(struct admin_client *client, const struct ipc_queue_list *request)
{
	struct admin_service *service = client->service;
	struct loop *loop = service->env->loop;
	struct ipc_message message = {.kind = IPC_QUEUE_LIST, .queue_list = *request};
	enum error error = OK;
	bool queue_broken = false;

	message.queue_list.request = ++service->requests;

	while (service->queue_busy && error == OK)
		error = task_event_wait(
			loop, &service->queue_free, loop_deadline(loop, ADMIN_ANSWER_US));
	if (error != OK)
		return refuse(client, "the queue is busy; try again in a moment");
	service->queue_busy = true;
	if (channel_send(&service->queue, &message, loop_deadline(loop, ADMIN_ANSWER_US)) == OK)
		error = relay_answer(
			client, message.queue_list.request, request->request, &queue_broken);
	else
		error = refuse(client, "the queue is not running now; try again in a moment");
	if (queue_broken && !service->queue_is_slow)
		channel_close(&service->queue); /* it ended, or broke the rules */
	service->queue_busy = false;
	task_event_signal(&service->queue_free);
	return error;
}

static void
client_run(void *arg)
{
	struct admin_client *client = arg;
	struct admin_service *service = client->service;
	struct loop *loop = service->env->loop;
	struct ipc_message message;

	while (channel_receive(&client->channel, loop_deadline(loop, ADMIN_IDLE_US), &message) ==
		OK) {
		struct ipc_queue_list request = message.queue_list;
		if (message.kind != IPC_QUEUE_LIST || ask_queue(client, &request) != OK)
			break;
	}
	channel_close(&client->channel);
	memory_put(service->env->memory, client);
	service->clients--;
}

static void
admin_admit(struct admin_service *service, int fd)
{
	struct env *env = service->env;
	struct admin_client *client = memory_try(env->memory, sizeof *client);

	if (!client || service->clients == ADMIN_CLIENTS_MAX) {
		memory_put(env->memory, client);
		env->net->close(env->world, fd);
		return;
	}
	client->service = service;
	service->clients++;
	enum error error = channel_open(&client->channel, env->loop, fd, ROLE_ADMIN, ROLE_TOOL);
	if (error == OK)
		error = task_start(&service->tasks, "admin client", client_run, client);
	if (error != OK) {
		channel_close(&client->channel);
		memory_put(env->memory, client);
		service->clients--;
	}
}

static void
admin_accept(void *arg)
{
	struct admin_service *service = arg;
	struct env *env = service->env;
	struct sockaddr_storage peer;
	enum error error = OK;

	while (error == OK) {
		int fd = env->net->accept(env->world, service->listener_fd, &peer);
		if (fd >= 0)
			admin_admit(service, fd);
		else if (fd == -EAGAIN)
			error = watch_wait(&service->listener, POLL_READABLE, MONO_NEVER);
		else /* no descriptors left, or the client went away before it was served */
			error = task_sleep(env->loop, loop_deadline(env->loop, ADMIN_REST_US));
	}
}

struct admin_service *
admin_service_new(
	struct env *env, const struct conf *conf, const struct admin_root_ops *root, void *root_arg)
{
	struct admin_service *service = memory_get(env->memory, sizeof *service);

	(void)conf;
	service->env = env;
	service->root = root;
	service->root_arg = root_arg;
	service->queue.fd = -1;
	service->listener_fd = -1;
	task_event_init(&service->queue_free);
	task_group_init(&service->tasks, env->loop);
	return service;
}

enum error
admin_service_set_listener(struct admin_service *service, int listener_fd)
{
	service->listener_fd = listener_fd;
	enum error error =
		watch_open(&service->listener, service->env->loop, listener_fd, POLL_READABLE);
	return error != OK ? error
			   : task_start(&service->tasks, "admin accept", admin_accept, service);
}

void
admin_service_set_queue(struct admin_service *service, int channel_fd)
{
	struct env *env = service->env;

	/* Whoever waits on the old channel reads its end first: a channel may not be closed under a
	 * waiting task. */
	while (service->queue_busy)
		if (task_event_wait(env->loop, &service->queue_free, MONO_NEVER) != OK) {
			env->net->close(env->world, channel_fd); /* at the end of the process:
								    nobody will ask any more */
			return;
		}
	channel_close(&service->queue);
	enum error error =
		channel_open(&service->queue, env->loop, channel_fd, ROLE_ADMIN, ROLE_QUEUE);
	note_queue_error(service, error);
}

void
admin_service_stop(struct admin_service *service)
{
	task_group_cancel(&service->tasks);
	task_group_wait(&service->tasks);
}

void
admin_service_free(struct admin_service **service_pointer)
{
	struct admin_service *service = *service_pointer;

	if (!service)
		return;
	struct env *env = service->env;
	channel_close(&service->queue);
	if (service->listener_fd >= 0) {
		watch_close(&service->listener);
		env->net->close(env->world, service->listener_fd);
	}
	memory_put(env->memory, service);
	*service_pointer = NULL;
}
