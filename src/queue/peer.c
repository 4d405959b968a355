/*
 * The deliverers: one for each owner of virtual mailboxes, which root always keeps, and one a
 * system user, which root starts when it is asked. A delivery for a deliverer that is not there
 * waits until it is, or until root says that there will be none. When one dies, what it had under
 * way is a temporary failure: the next try finds files that were delivered already.
 *
 * A delivery that a channel has taken stays that channel's until it is answered or the channel
 * ends, also when another has come in the channel's place: waits lie in between, and only who took
 * a delivery may give it up.
 */
#include "queue/queue_private.h"
#include "text/address.h"

#include <errno.h>
#include <stdlib.h>

#define COPY_PIECE 65536

/* May wait. The same for all its recipients that have no result yet. */
static void
delivery_fail(struct delivery *delivery, enum deliver_outcome outcome,
	struct enhanced_status status, struct slice text)
{
	struct delivery_result result = {
		.recipient = DELIVERY_ALL, .outcome = outcome, .status = status, .text = text};

	if (!attempt_answer(delivery->attempt->service, delivery, &result))
		abort(); /* one that is settled is not there any more */
}

static struct spool_reference
content_of(const struct delivery *delivery)
{
	return delivery->attempt->queued->content;
}

/* May wait. A descriptor of its own: one of the cache may be another segment's before there is room
 * to send it. */
static enum error
send_segment(struct peer_channel *peer, const struct spool_reference *content)
{
	struct queue_service *service = peer->peer->service;
	int fd;
	enum error error =
		spool_open_segment(service->env, service->spool_fd, content->segment, &fd);

	if (error != OK)
		return error;
	struct ipc_message message = {.kind = IPC_SEGMENT,
		.segment = {.segment = content->segment, .generation = content->generation},
		.fds = {fd},
		.fd_count = 1};
	error = channel_send(&peer->channel, &message, MONO_NEVER);
	service->env->disk->close(service->env->world, fd);
	return error;
}

/* May wait. The deliverer needs the segment's descriptor once; the one it has had longest makes
 * room. */
static enum error
peer_need_segment(struct peer_channel *peer, const struct spool_reference *content)
{
	uint32_t place = peer->next_segment % PEER_SEGMENTS_MAX;
	struct ipc_message gone = {.kind = IPC_SEGMENT_GONE,
		.segment_gone = {.segment = peer->segments[place].segment,
			.generation = peer->segments[place].generation}};

	for (uint32_t i = 0; i < peer->segment_count; i++)
		if (peer->segments[i].segment == content->segment &&
			peer->segments[i].generation == content->generation)
			return OK;
	enum error error = send_segment(peer, content);
	if (error == OK && peer->segment_count == PEER_SEGMENTS_MAX)
		error = channel_send(&peer->channel, &gone, MONO_NEVER);
	if (error != OK)
		return error;
	/* Only now: one that was not sent must be sent with the next delivery. */
	peer->segments[place].segment = content->segment;
	peer->segments[place].generation = content->generation;
	peer->segment_count += peer->segment_count < PEER_SEGMENTS_MAX;
	peer->next_segment++;
	return OK;
}

static enum error
copy_content(struct queue_service *service, const struct spool_reference *content, int memfd)
{
	struct env *env = service->env;
	uint8_t *piece = memory_try(env->memory, COPY_PIECE);
	uint64_t at = 0;
	int fd = -1;
	enum error error =
		piece ? queue_segment_fd(service, content->segment, &fd) : ERROR_NO_MEMORY;

	while (error == OK && at < content->size) {
		size_t len =
			content->size - at < COPY_PIECE ? (size_t)(content->size - at) : COPY_PIECE;
		ssize_t got =
			env->disk->pread(env->world, fd, piece, len, (off_t)(content->offset + at));
		struct iovec iov = {piece, got > 0 ? (size_t)got : 0};
		if (got <= 0 || env->disk->pwritev(env->world, memfd, &iov, 1, (off_t)at) != got)
			error = ERROR_IO;
		else
			at += (uint64_t)got;
	}
	memory_put(env->memory, piece);
	return error;
}

/* A process that runs as a system user gets the one content, never a descriptor of the spool. */
static enum error
make_copy(struct queue_service *service, const struct spool_reference *content, int *ret_memfd)
{
	struct env *env = service->env;
	int memfd = env->shared->create(env->world, "veredus-content", 0);

	if (memfd < 0)
		return error_from_errno(-memfd);
	enum error error = copy_content(service, content, memfd);
	if (error == OK && env->shared->seal(env->world, memfd, SHARED_CONSTANT) < 0)
		error = ERROR_UNSUPPORTED;
	if (error != OK) {
		env->disk->close(env->world, memfd);
		return error;
	}
	*ret_memfd = memfd;
	return OK;
}

/* The content's place: its segment, which the deliverer is sent before; or a copy, whose descriptor
 * the caller closes. May wait. */
static enum error
set_source(struct peer_channel *channel, const struct spool_reference *content,
	struct ipc_message *message)
{
	struct queue_service *service = channel->peer->service;
	struct ipc_deliver *deliver = &message->deliver;
	int fd;

	/* I3: the head is checked here, the sum by who reads the content. */
	enum error error = queue_segment_fd(service, content->segment, &fd);
	if (error == OK)
		error = spool_record_sum(service->env, fd, content, &deliver->sum);
	if (error != OK)
		return error;
	deliver->size = content->size;
	if (channel->peer->transport == TRANSPORT_SYSTEM) {
		deliver->source = SOURCE_MEMORY;
		error = make_copy(service, content, &message->fds[0]);
		message->fd_count = error == OK;
		return error;
	}
	deliver->source = SOURCE_SEGMENT;
	deliver->segment = content->segment;
	deliver->generation = content->generation;
	deliver->offset = content->offset;
	return peer_need_segment(channel, content);
}

static enum error
append_recipients(const struct delivery *delivery, struct buffer *list)
{
	const struct envelope *envelope = &delivery->attempt->envelope;
	enum error error = OK;

	for (uint32_t i = 0; i < delivery->recipient_count && error == OK; i++) {
		uint32_t number = delivery->recipients[i];
		struct delivery_recipient recipient = {
			number, envelope->recipients[number].address};
		error = delivery_recipient_append(list, &recipient);
	}
	return error;
}

/* May wait. */
static enum error
send_delivery(struct peer_channel *channel, struct delivery *delivery)
{
	struct deliver_peer *peer = channel->peer;
	struct env *env = peer->service->env;
	const struct envelope *envelope = &delivery->attempt->envelope;
	struct spool_reference content = content_of(delivery);
	struct buffer list;
	struct ipc_message message = {.kind = IPC_DELIVER,
		.deliver = {
			.attempt = (uint64_t)delivery->generation << 32 | delivery->slot,
			.queue_id = delivery->attempt->queued->message.queue_id,
			.transport = peer->transport,
			.name = peer->name,
			.template = delivery->template,
			.reverse_path = envelope->reverse_path,
			.trace = envelope->trace,
			.first_attempt = delivery->is_new,
			.received_at = (uint64_t)envelope->received_at,
			.body = envelope->body,
			.content_flags = envelope->content_flags,
		}};

	buffer_init(&list, env->memory, DELIVERY_LIST_BYTES);
	enum error error = append_recipients(delivery, &list);
	message.deliver.recipients = buffer_slice(&list);
	if (error == OK)
		error = set_source(channel, &content, &message);
	if (error == OK)
		error = channel_send(&channel->channel, &message, MONO_NEVER);
	if (message.fd_count > 0)
		env->disk->close(env->world, message.fds[0]);
	buffer_done(&list);
	return error;
}

/* Room has come: the messages that were parked first are due. */
static void
peer_unpark(struct deliver_peer *peer, uint32_t count)
{
	struct queue_service *service = peer->service;
	struct list *link;

	while (count-- > 0 && (link = list_take(&peer->parked)) != NULL)
		table_schedule(
			service, list_entry(link, struct queued, parked), env_wall(service->env));
}

static void
peer_one_waits_less(struct deliver_peer *peer)
{
	peer->waiting_count--;
	/* One for one; and who has nothing to wait for takes a good part at once, whatever became
	 * of those that came before. */
	peer_unpark(peer, peer->waiting_count == 0 ? PEER_WAITING_MAX / 2 : 1);
}

void
peer_park(struct deliver_peer *peer, struct queued *queued)
{
	list_append(&peer->parked, &queued->parked);
	if (!peer_is_full(peer))
		peer_unpark(peer, 1);
}

void
peer_forget(struct delivery *delivery)
{
	struct deliver_peer *peer = delivery->peer;

	list_remove(&delivery->link);
	if (delivery->channel)
		peer->under_way_count--;
	else
		peer_one_waits_less(peer);
	peer->copy_bytes -= delivery->copy_bytes;
	delivery->copy_bytes = 0;
	delivery->channel = NULL;
	task_event_signal(&peer->changed);
}

/* May wait. An error is the channel's; what goes wrong with one delivery is settled here. */
static enum error
channel_deliver(struct peer_channel *channel, struct delivery *delivery)
{
	struct deliver_peer *peer = channel->peer;

	list_remove(&delivery->link);
	list_append(&peer->under_way, &delivery->link);
	delivery->channel = channel;
	delivery->copy_bytes = peer->transport == TRANSPORT_SYSTEM ? content_of(delivery).size : 0;
	peer_one_waits_less(peer);
	if (peer->under_way_count++ == 0)
		channel->heard_at = loop_now(peer->service->env->loop);
	peer->copy_bytes += delivery->copy_bytes;
	/* Until it is sent nobody but this task settles it: the attempt and what it holds stay
	 * while this waits. */
	enum error error = send_delivery(channel, delivery);
	if (error == ERROR_CLOSED || error == ERROR_CANCELLED)
		return error; /* the channel ends, and peer_lost settles the delivery */
	if (error == OK)
		delivery->sent = true;
	else if (error == ERROR_DAMAGED)
		delivery_fail(delivery, DELIVER_PERMANENT, STATUS(5, 3, 0),
			SLICE("the stored message is damaged"));
	else
		delivery_fail(delivery, DELIVER_TEMPORARY, STATUS(4, 3, 0),
			slice_text(error_text(error)));
	return OK;
}

static bool
peer_has_room(const struct deliver_peer *peer)
{
	const struct delivery *next = list_entry(peer->waiting.next, struct delivery, link);

	if (peer->under_way_count >= PEER_UNDER_WAY_MAX)
		return false;
	return peer->transport != TRANSPORT_SYSTEM || peer->copy_bytes == 0 ||
	       content_of(next).size <= PEER_COPY_BYTES_MAX - peer->copy_bytes;
}

/*
 * May wait: for work, or room. A deliverer that has work and says nothing for PEER_ANSWER_US hangs,
 * on a dead network disk or by its own fault: root ends it, and the reading task sees that.
 */
static enum error
sender_wait(struct peer_channel *channel)
{
	struct deliver_peer *peer = channel->peer;
	struct queue_service *service = peer->service;
	struct loop *loop = service->env->loop;
	mono_us deadline =
		peer->under_way_count > 0 ? channel->heard_at + PEER_ANSWER_US : MONO_NEVER;
	enum error error = task_event_wait(loop, &peer->changed, deadline);

	if (error != ERROR_TIMEOUT)
		return error;
	log_event(service->env, LOG_ERROR, "deliver_hangs",
		LOG_STRING("transport", transport_name(peer->transport)),
		LOG_SLICE("deliverer", peer->name),
		LOG_NUMBER("deliveries", peer->under_way_count));
	service->root->broken(service->root_arg, channel->instance);
	channel->heard_at = loop_now(loop);
	return OK;
}

static void
sender_run(void *arg)
{
	struct peer_channel *channel = arg;
	struct deliver_peer *peer = channel->peer;
	struct loop *loop = peer->service->env->loop;
	enum error error = OK;

	/* One that was replaced takes nothing more. */
	while (error == OK && !task_is_cancelled(loop) && peer->channel == channel) {
		if (list_is_empty(&peer->waiting) || !peer_has_room(peer))
			error = sender_wait(channel);
		else
			error = channel_deliver(
				channel, list_entry(peer->waiting.next, struct delivery, link));
	}
}

struct deliver_peer *
peer_for(struct queue_service *service, enum transport transport, struct slice name)
{
	list_for_each (link, &service->peers) {
		struct deliver_peer *peer = list_entry(link, struct deliver_peer, link);
		if (peer->transport == transport && slice_equal(peer->name, name))
			return peer;
	}
	struct deliver_peer *peer = memory_get(service->env->memory, sizeof *peer + name.len);
	peer->service = service;
	peer->transport = transport;
	if (name.len > 0)
		memcpy(peer + 1, name.ptr, name.len);
	peer->name = slice_of(peer + 1, name.len);
	list_init(&peer->waiting);
	list_init(&peer->under_way);
	list_init(&peer->parked);
	task_event_init(&peer->changed);
	list_append(&service->peers, &peer->link);
	return peer;
}

bool
peer_is_full(const struct deliver_peer *peer)
{
	return peer->waiting_count >= PEER_WAITING_MAX;
}

/* Root knows the deliverers of system users by another name. */
static struct deliver_peer *
peer_of_root(struct queue_service *service, struct slice user)
{
	if (slice_has_prefix(user, SLICE(DELIVERER_SYSTEM)))
		return peer_for(
			service, TRANSPORT_SYSTEM, slice_from(user, sizeof DELIVERER_SYSTEM - 1));
	return peer_for(service, TRANSPORT_MAILDIR, user);
}

static void
peer_ask(struct deliver_peer *peer)
{
	struct queue_service *service = peer->service;
	uint8_t storage[sizeof DELIVERER_SYSTEM + ADDRESS_LOCAL_PART_MAX];
	struct buffer name;

	buffer_init_fixed(&name, storage, sizeof storage);
	buffer_append_text(&name, DELIVERER_SYSTEM);
	buffer_append(&name, peer->name);
	peer->asked = true;
	service->root->need_deliver(service->root_arg, buffer_slice(&name));
}

void
peer_send(struct deliver_peer *peer, struct delivery *delivery)
{
	list_append(&peer->waiting, &delivery->link);
	peer->waiting_count++;
	task_event_signal(&peer->changed);
	if (!peer->channel && peer->transport == TRANSPORT_SYSTEM && !peer->asked)
		peer_ask(peer);
}

static struct delivery *
first_of(const struct deliver_peer *peer, const struct peer_channel *channel)
{
	list_for_each (link, &peer->under_way) {
		struct delivery *delivery = list_entry(link, struct delivery, link);
		if (delivery->channel == channel)
			return delivery;
	}
	return NULL;
}

/* May wait. All that the dead deliverer had. What it never saw, or what our own end cuts short, was
 * not tried. */
static void
peer_lost(struct deliver_peer *peer, const struct peer_channel *channel)
{
	struct delivery *delivery;

	while ((delivery = first_of(peer, channel)) != NULL)
		if (peer->service->stopping || !delivery->sent)
			attempt_postpone(peer->service, delivery);
		else
			delivery_fail(delivery, DELIVER_TEMPORARY, STATUS(4, 3, 0),
				SLICE("the deliverer ended before it answered"));
}

/* What still waits is no reason to wait for ever: a deliverer of a system user comes only when
 * asked for. */
static void
peer_ask_again(struct deliver_peer *peer)
{
	if (peer->transport != TRANSPORT_SYSTEM || peer->channel || peer->asked ||
		list_is_empty(&peer->waiting) || peer->service->stopping)
		return;
	peer_ask(peer);
}

/* May wait. */
static enum error
peer_take_result(struct peer_channel *channel, const struct delivery_result *result)
{
	struct queue_service *service = channel->peer->service;
	uint32_t slot = (uint32_t)result->attempt, generation = (uint32_t)(result->attempt >> 32);

	if (slot >= QUEUE_DELIVERIES_MAX)
		return ERROR_FORMAT;
	struct delivery *delivery = &service->deliveries[slot];
	if (delivery->generation != generation || !delivery->attempt ||
		delivery->channel != channel || !delivery->sent)
		return ERROR_FORMAT;
	channel->heard_at = loop_now(service->env->loop);
	return attempt_answer(service, delivery, result) ? OK : ERROR_FORMAT;
}

/* May wait. */
static enum error
peer_take_results(struct peer_channel *channel, struct slice results)
{
	struct cursor cursor = cursor_of(results);
	struct delivery_result result;
	enum error error = OK;

	while (error == OK && cursor_left(&cursor) > 0) {
		error = delivery_result_take(&cursor, &result);
		if (error == OK)
			error = peer_take_result(channel, &result);
	}
	return error;
}

static void
peer_run(void *arg)
{
	struct peer_channel *channel = arg;
	struct deliver_peer *peer = channel->peer;
	struct queue_service *service = peer->service;
	struct ipc_message message;
	enum error error = OK;

	error = task_start(&channel->sender, "deliver sender", sender_run, channel);
	while (error == OK &&
		(error = channel_receive(&channel->channel, MONO_NEVER, &message)) == OK)
		error = peer_take_results(channel, message.result.results);
	if (error != OK && error != ERROR_CLOSED && error != ERROR_CANCELLED)
		log_event(service->env, LOG_ERROR,
			error == ERROR_FORMAT ? "deliver_broke_the_rules" : "deliver_broken",
			LOG_STRING("transport", transport_name(peer->transport)),
			LOG_SLICE("deliverer", peer->name), LOG_STRING("error", error_text(error)));
	/* Dead, as a rule; one that has only closed its channel must be ended. */
	if (error != ERROR_CANCELLED && peer->channel == channel)
		service->root->broken(service->root_arg, channel->instance);
	task_group_cancel(&channel->sender);
	task_group_wait(&channel->sender);
	if (peer->channel == channel) {
		peer->channel = NULL;
		peer->asked = false;
	}
	peer_lost(peer, channel);
	peer_ask_again(peer);
	channel_close(&channel->channel);
	memory_put(service->env->memory, channel);
}

void
queue_service_add_deliver(
	struct queue_service *service, struct slice user, uint32_t instance, int channel_fd)
{
	struct env *env = service->env;
	struct deliver_peer *peer = peer_of_root(service, user);
	struct peer_channel *channel = memory_get(env->memory, sizeof *channel);

	channel->peer = peer;
	channel->instance = instance;
	task_group_init(&channel->sender, env->loop);
	enum error error =
		channel_open(&channel->channel, env->loop, channel_fd, ROLE_QUEUE, ROLE_DELIVER);
	if (error == OK)
		error = task_start(&service->tasks, "deliver peer", peer_run, channel);
	if (error != OK) {
		log_event(env, LOG_ERROR, "channel_broken", LOG_STRING("peer", "deliver"),
			LOG_STRING("error", error_text(error)));
		channel_close(&channel->channel);
		memory_put(env->memory, channel);
		service->root->broken(service->root_arg, instance);
		return;
	}
	peer->channel = channel;
	task_event_signal(&peer->changed); /* the sender of an earlier one ends */
}

void
queue_service_no_deliver(struct queue_service *service, struct slice user, struct slice reason)
{
	struct deliver_peer *peer = peer_of_root(service, user);

	peer->asked = false;
	while (!list_is_empty(&peer->waiting))
		delivery_fail(list_entry(peer->waiting.next, struct delivery, link),
			DELIVER_TEMPORARY, STATUS(4, 3, 0), reason);
}

void
peers_postpone_waiting(struct queue_service *service)
{
	/* The list of peers only grows, at its end. */
	list_for_each (link, &service->peers) {
		struct deliver_peer *peer = list_entry(link, struct deliver_peer, link);
		while (!list_is_empty(&peer->waiting))
			attempt_postpone(
				service, list_entry(peer->waiting.next, struct delivery, link));
	}
}

void
peers_free(struct queue_service *service)
{
	list_for_each_safe (link, next, &service->peers) {
		list_remove(link);
		memory_put(service->env->memory, list_entry(link, struct deliver_peer, link));
	}
}
