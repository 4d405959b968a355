/*
 * Sending parts to the processes that carry them, and taking their results. Nobody waits for
 * somebody else: each channel has a task that sends while there is room, and what finds none stays
 * in its lane. When a process dies, what it had under way is a temporary failure: the next try
 * finds files that were delivered already.
 *
 * An attempt that a channel has taken stays that channel's until it is answered or the channel
 * ends, also when another has come in the channel's place: waits lie in between, and only who took
 * an attempt may give it up.
 */
#include "queue/queue_private.h"
#include "text/address.h"

#include <stdlib.h>

enum error
carrier_new(struct queue_service *service, struct queue_lane *lane, struct carrier **ret_carrier)
{
	struct carrier *carrier = memory_try(service->env->memory, sizeof *carrier);

	if (!carrier)
		return ERROR_NO_MEMORY;
	*carrier =
		(struct carrier){.service = service, .lane = lane, .wake = {.kind = DUE_CARRIER}};
	lane_pool_init(&carrier->pool, service->env->memory);
	list_init(&carrier->channels);
	list_init(&carrier->under_way);
	task_event_init(&carrier->changed);
	*ret_carrier = carrier;
	return OK;
}

void
carrier_free(struct carrier *carrier)
{
	struct queue_service *service = carrier->service;

	schedule_remove(&service->due, &carrier->wake.entry);
	lane_pool_done(&carrier->pool);
	memory_put(service->env->memory, carrier);
}

static bool
carrier_is_relay(const struct carrier *carrier)
{
	return carrier->lane == NULL;
}

/* For logs: what serves which destination. */
static struct log_field
transport_field(const struct carrier *carrier)
{
	return LOG_STRING("transport",
		carrier_is_relay(carrier) ? "relay" : transport_name(carrier->lane->transport));
}

static struct log_field
name_field(const struct carrier *carrier)
{
	return LOG_SLICE("name", carrier_is_relay(carrier) ? SLICE("") : carrier->lane->name);
}

static bool
carrier_is_idle(const struct carrier *carrier)
{
	const struct lane *lane = &carrier->lane->lane;

	return lane->fresh_count + lane->tried_count == 0;
}

/* Root starts deliverers of system users when it is asked, once for each time there is none. */
static void
carrier_ask(struct carrier *carrier)
{
	struct queue_service *service = carrier->service;
	uint8_t storage[sizeof DELIVERER_SYSTEM + ROUTE_LANE_NAME_MAX];
	struct buffer name;

	if (carrier_is_relay(carrier) || carrier->lane->transport != TRANSPORT_SYSTEM ||
		!list_is_empty(&carrier->channels) || carrier->asked || carrier_is_idle(carrier) ||
		service->stopping)
		return;
	mono_us opens_at = lane_pool_next_open(&carrier->pool);
	mono_us now = loop_now(service->env->loop);
	if (opens_at != MONO_NEVER && opens_at > now) {
		due_set(service, &carrier->wake, env_wall(service->env) + (opens_at - now));
		return;
	}
	buffer_init_fixed(&name, storage, sizeof storage);
	buffer_append_text(&name, DELIVERER_SYSTEM);
	buffer_append(&name, carrier->lane->name);
	carrier->asked = true;
	service->root->need_deliver(service->root_arg, buffer_slice(&name));
}

void
carrier_has_work(struct carrier *carrier)
{
	task_event_signal(&carrier->changed);
	carrier_ask(carrier);
}

void
carrier_end_attempt(struct attempt *attempt)
{
	struct queue_lane *lane = attempt->lane;
	struct carrier *carrier = lane->carrier;

	list_remove(&attempt->link);
	if (attempt->channel)
		attempt->channel->under_way--;
	carrier->copy_bytes -= attempt->copy_bytes;
	lane_end(&lane->lane, &carrier->pool, loop_now(attempt->service->env->loop),
		attempt->outcome);
	task_event_signal(&carrier->changed);
}

/* May wait. The same for all its recipients that have no result yet. */
static void
attempt_fail(struct attempt *attempt, enum deliver_outcome outcome, struct enhanced_status status,
	struct slice text)
{
	struct delivery_result result = {
		.recipient = DELIVERY_ALL, .outcome = outcome, .status = status, .text = text};

	if (!attempt_result(attempt, &result))
		abort(); /* one that is settled is not there any more */
}

/* May wait. A descriptor of its own: one of the cache may be another segment's before there is room
 * to send it. */
static enum error
send_segment(struct carrier_channel *channel, const struct spool_reference *content)
{
	struct queue_service *service = channel->carrier->service;
	int fd;
	enum error error =
		spool_open_segment(service->env, service->spool_fd, content->segment, &fd);

	if (error != OK)
		return error;
	struct ipc_message message = {.kind = IPC_SEGMENT,
		.segment = {.segment = content->segment, .generation = content->generation},
		.fds = {fd},
		.fd_count = 1};
	error = channel_send(&channel->channel, &message, MONO_NEVER);
	service->env->disk->close(service->env->world, fd);
	return error;
}

/* May wait. The deliverer needs the segment's descriptor once; the one it has had longest makes
 * room. */
static enum error
need_segment(struct carrier_channel *channel, const struct spool_reference *content)
{
	uint32_t place = channel->next_segment % CARRIER_SEGMENTS_MAX;
	struct ipc_message gone = {.kind = IPC_SEGMENT_GONE,
		.segment_gone = {.segment = channel->segments[place].segment,
			.generation = channel->segments[place].generation}};

	for (uint32_t i = 0; i < channel->segment_count; i++)
		if (channel->segments[i].segment == content->segment &&
			channel->segments[i].generation == content->generation)
			return OK;
	enum error error = send_segment(channel, content);
	if (error == OK && channel->segment_count == CARRIER_SEGMENTS_MAX)
		error = channel_send(&channel->channel, &gone, MONO_NEVER);
	if (error != OK)
		return error;
	/* Only now: one that was not sent must be sent with the next delivery. */
	channel->segments[place].segment = content->segment;
	channel->segments[place].generation = content->generation;
	channel->segment_count += channel->segment_count < CARRIER_SEGMENTS_MAX;
	channel->next_segment++;
	return OK;
}

/* What a system user's deliverer gets: no segment, in which others' mail lies, but a copy; or the
 * file that holds this content alone. */
static enum error
content_for_system(struct queue_service *service, const struct queued *queued, int *ret_fd,
	uint64_t *ret_offset)
{
	const struct spool_reference *content = &queued->content;

	*ret_offset = 0;
	if (content->segment == queued->message.segment)
		return content_copy(service, content, ret_fd);
	*ret_offset = content->offset;
	return spool_open_segment(service->env, service->spool_fd, content->segment, ret_fd);
}

/* The content's place: its segment, which the deliverer is sent before; or a copy, whose descriptor
 * the caller closes. May wait. */
static enum error
set_source(
	struct carrier_channel *channel, const struct queued *queued, struct ipc_message *message)
{
	const struct spool_reference *content = &queued->content;
	struct queue_service *service = channel->carrier->service;
	struct ipc_deliver *deliver = &message->deliver;
	int fd;

	/* I3: the head is checked here, the sum by who reads the content. */
	enum error error = queue_segment_fd(service, content->segment, &fd);
	if (error == OK)
		error = spool_record_sum(service->env, fd, content, &deliver->sum);
	if (error != OK)
		return error;
	deliver->size = content->size;
	if (message->deliver.transport == TRANSPORT_SYSTEM) {
		deliver->source = SOURCE_MEMORY;
		error = content_for_system(service, queued, &message->fds[0], &deliver->offset);
		message->fd_count = error == OK;
		return error;
	}
	deliver->source = SOURCE_SEGMENT;
	deliver->segment = content->segment;
	deliver->generation = content->generation;
	deliver->offset = content->offset;
	return need_segment(channel, content);
}

static enum error
append_recipients(const struct attempt *attempt, struct buffer *list)
{
	const struct envelope *envelope = &attempt->opened->envelope;
	enum error error = OK;

	for (uint32_t i = 0; i < attempt->count && error == OK; i++) {
		uint32_t number = attempt->recipients[i];
		struct envelope_wish wish = envelope_wish(envelope, number);
		error = delivery_recipient_append(list,
			&(struct delivery_recipient){number, envelope->recipients[number].address},
			&(struct delivery_wish){wish.notify, wish.original});
	}
	return error;
}

/* What an alias sends abroad. */
static enum error
set_forward(const struct envelope *envelope, struct buffer *trace, struct ipc_deliver *deliver)
{
	if (envelope->forward_path.len > 0)
		deliver->reverse_path = envelope->forward_path;
	if (envelope->seal.len == 0)
		return OK;
	buffer_append(trace, envelope->seal);
	buffer_append(trace, envelope->trace);
	deliver->trace = buffer_slice(trace);
	return buffer_error(trace);
}

/* May wait. */
static enum error
send_attempt(struct carrier_channel *channel, struct attempt *attempt)
{
	const struct queue_lane *lane = attempt->lane;
	struct env *env = attempt->service->env;
	const struct envelope *envelope = &attempt->opened->envelope;
	struct buffer list, trace;
	struct ipc_message message = {.kind = IPC_DELIVER,
		.deliver = {
			.attempt = attempt_number(attempt),
			.queue_id = attempt->message->message.queue_id,
			.transport = lane->transport,
			.name = lane->name,
			.template = attempt->template,
			.reverse_path = envelope->reverse_path,
			.trace = envelope->trace,
			.first_attempt = attempt->is_new,
			.received_at = (uint64_t)envelope->received_at,
			.body = envelope->body,
			.content_flags = envelope->content_flags,
			.is_junk = envelope->is_junk,
			.is_own = envelope->protocol == PROTOCOL_LOCAL,
			.returns = envelope->returns,
			.envelope_id = envelope->envelope_id,
		}};

	buffer_init(&list, env->memory, DELIVERY_LIST_BYTES);
	buffer_init(&trace, env->memory, ENVELOPE_TRACE_MAX);
	enum error error = append_recipients(attempt, &list);
	if (error == OK && attempt->is_forwarded)
		error = set_forward(envelope, &trace, &message.deliver);
	message.deliver.recipients = buffer_slice(&list);
	if (error == OK)
		error = set_source(channel, attempt->message, &message);
	if (error == OK)
		error = channel_send(&channel->channel, &message, MONO_NEVER);
	if (message.fd_count > 0)
		env->disk->close(env->world, message.fds[0]);
	buffer_done(&trace);
	buffer_done(&list);
	return error;
}

/* May wait. An error is the channel's; what goes wrong with one attempt is settled here. */
static enum error
carry(struct carrier_channel *channel, struct attempt *attempt)
{
	struct carrier *carrier = channel->carrier;

	if (channel->under_way++ == 0)
		channel->heard_at = loop_now(carrier->service->env->loop);
	list_append(&carrier->under_way, &attempt->link);
	attempt->channel = channel;
	if (attempt->lane->transport == TRANSPORT_SYSTEM)
		attempt->copy_bytes = attempt->message->content.size;
	carrier->copy_bytes += attempt->copy_bytes;
	/* Until it is sent nobody but this task settles it. */
	enum error error = send_attempt(channel, attempt);
	if (error == ERROR_CLOSED || error == ERROR_CANCELLED)
		return error; /* the channel ends, and channel_lost settles the attempt */
	if (error == OK)
		attempt->sent = true;
	attempt->outcome = error == OK ? LANE_WORKED : LANE_UNTRIED;
	if (error == ERROR_DAMAGED)
		attempt_fail(attempt, DELIVER_PERMANENT, STATUS(5, 3, 0),
			SLICE("the stored message is damaged"));
	else if (error != OK)
		attempt_fail(
			attempt, DELIVER_TEMPORARY, STATUS(4, 3, 0), slice_text(error_text(error)));
	return OK;
}

/*
 * May wait: for work, or room. A process that has work and says nothing for CARRIER_ANSWER_US (a
 * relay: CARRIER_RELAY_ANSWER_US) hangs, on a dead network disk or by its own fault: root ends it,
 * and the reading task sees that.
 */
static enum error
sender_wait(struct carrier_channel *channel)
{
	struct carrier *carrier = channel->carrier;
	struct queue_service *service = carrier->service;
	struct loop *loop = service->env->loop;
	bool has_work = channel->under_way > 0;
	int64_t patience = carrier_is_relay(carrier) ? CARRIER_RELAY_ANSWER_US : CARRIER_ANSWER_US;
	mono_us hangs_at = has_work ? channel->heard_at + patience : MONO_NEVER;
	mono_us opens_at = lane_pool_next_open(&carrier->pool);
	enum error error =
		task_event_wait(loop, &carrier->changed, hangs_at < opens_at ? hangs_at : opens_at);

	if (error != ERROR_TIMEOUT)
		return error;
	if (!has_work || loop_now(loop) < hangs_at)
		return OK;
	log_event(service->env, LOG_ERROR, "carrier_hangs", transport_field(carrier),
		name_field(carrier), LOG_NUMBER("attempts", channel->under_way));
	service->root->broken(service->root_arg, channel->instance);
	channel->heard_at = loop_now(loop);
	return OK;
}

static uint32_t
channel_window(const struct carrier *carrier)
{
	return carrier_is_relay(carrier) ? CARRIER_RELAY_WINDOW : CARRIER_WINDOW;
}

/* The next attempt, if there is one and room for it. */
static struct attempt *
next_attempt(struct carrier_channel *channel)
{
	struct carrier *carrier = channel->carrier;
	struct queue_service *service = carrier->service;
	struct lane_part *line;
	struct lane *lane;

	if (carrier->copy_bytes >= CARRIER_COPY_BYTES_MAX || service->stopping ||
		channel->under_way >= channel_window(carrier) ||
		!lane_pool_take(&carrier->pool, loop_now(service->env->loop), &lane, &line))
		return NULL;
	return attempt_begin(service, list_entry(line, struct part, line));
}

static void
sender_run(void *arg)
{
	struct carrier_channel *channel = arg;
	struct loop *loop = channel->carrier->service->env->loop;
	enum error error = OK;

	/* One that was replaced takes nothing more. */
	while (error == OK && !task_is_cancelled(loop) && !channel->is_replaced) {
		struct attempt *attempt = next_attempt(channel);
		error = attempt ? carry(channel, attempt) : sender_wait(channel);
	}
}

static struct attempt *
first_of(const struct carrier *carrier, const struct carrier_channel *channel)
{
	list_for_each (link, &carrier->under_way) {
		struct attempt *attempt = list_entry(link, struct attempt, link);
		if (attempt->channel == channel)
			return attempt;
	}
	return NULL;
}

/* May wait. All that the dead process had. What it never saw, or what our own end cuts short, was
 * not tried. */
static void
channel_lost(struct carrier *carrier, const struct carrier_channel *channel)
{
	struct attempt *attempt;

	while ((attempt = first_of(carrier, channel)) != NULL) {
		attempt->outcome = LANE_UNTRIED;
		if (carrier->service->stopping || !attempt->sent)
			attempt_give_up(attempt);
		else
			attempt_fail(attempt, DELIVER_TEMPORARY, STATUS(4, 3, 0),
				SLICE("the process that had it ended before it answered"));
	}
}

/*
 * Whether a result says something of the destination as a whole: a mailbox never does, another
 * server by what is wrong with the network or with it (RFC 3463: 4.4.x), or when it does not accept
 * our login (4.7.8): to say a wrong password for each message would have it locked. One recipient
 * about whom it said something is enough: it works.
 */
static enum lane_outcome
outcome_of(const struct attempt *attempt, const struct delivery_result *result)
{
	bool is_mailbox = attempt->lane->transport == TRANSPORT_MAILDIR ||
			  attempt->lane->transport == TRANSPORT_SYSTEM;
	bool is_login = result->status.subject == 7 && result->status.detail == 8;
	bool is_network =
		result->outcome == DELIVER_TEMPORARY && (result->status.subject == 4 || is_login);

	if (attempt->settled != 0 && attempt->outcome == LANE_WORKED)
		return LANE_WORKED;
	return is_mailbox || !is_network ? LANE_WORKED : LANE_FAILED;
}

/* May wait. */
static enum error
take_result(struct carrier_channel *channel, const struct delivery_result *result)
{
	struct queue_service *service = channel->carrier->service;
	struct attempt *attempt = attempt_find(service, result->attempt);

	if (!attempt || attempt->channel != channel || !attempt->sent)
		return ERROR_FORMAT;
	channel->heard_at = loop_now(service->env->loop);
	attempt->outcome = outcome_of(attempt, result);
	return attempt_result(attempt, result) ? OK : ERROR_FORMAT;
}

/* May wait. */
static enum error
take_results(struct carrier_channel *channel, struct slice results)
{
	struct cursor cursor = cursor_of(results);
	struct delivery_result result;
	enum error error = OK;

	while (error == OK && cursor_left(&cursor) > 0) {
		error = delivery_result_take(&cursor, &result);
		if (error == OK)
			error = take_result(channel, &result);
	}
	return error;
}

/* The pool's window is what its processes take together. */
static void
count_window(struct carrier *carrier)
{
	uint32_t window = 0;

	list_for_each (link, &carrier->channels)
		window += channel_window(carrier);
	lane_pool_set_window(&carrier->pool, window);
}

/* It takes nothing more. */
static void
channel_drop(struct carrier_channel *channel)
{
	if (channel->is_replaced)
		return;
	channel->is_replaced = true;
	list_remove(&channel->link);
	channel->carrier->asked = false;
	count_window(channel->carrier);
}

/* May wait. Its channel is closed. */
static void
channel_end(struct carrier_channel *channel)
{
	struct carrier *carrier = channel->carrier;

	task_group_cancel(&channel->sender);
	task_group_wait(&channel->sender);
	channel_drop(channel);
	channel_lost(carrier, channel);
	carrier_ask(carrier);
	channel_close(&channel->channel);
	memory_put(carrier->service->env->memory, channel);
}

static void
channel_run(void *arg)
{
	struct carrier_channel *channel = arg;
	struct carrier *carrier = channel->carrier;
	struct queue_service *service = carrier->service;
	struct ipc_message message;

	enum error error = task_start(&channel->sender, "carrier sender", sender_run, channel);
	while (error == OK &&
		(error = channel_receive(&channel->channel, MONO_NEVER, &message)) == OK)
		error = take_results(channel, message.result.results);
	if (error != OK && error != ERROR_CLOSED && error != ERROR_CANCELLED)
		log_event(service->env, LOG_ERROR,
			error == ERROR_FORMAT ? "carrier_broke_the_rules" : "carrier_broken",
			transport_field(carrier), name_field(carrier),
			LOG_STRING("error", error_text(error)));
	/* Dead, as a rule; one that has only closed its channel must be ended. */
	if (error != ERROR_CANCELLED && !channel->is_replaced)
		service->root->broken(service->root_arg, channel->instance);
	channel_end(channel);
}

/* Root knows the deliverers of system users by another name. */
static enum error
carrier_of_root(struct queue_service *service, struct slice user, struct carrier **ret_carrier)
{
	struct queue_lane *lane;
	enum error error;

	if (slice_has_prefix(user, SLICE(DELIVERER_SYSTEM)))
		error = lane_for(service, TRANSPORT_SYSTEM,
			slice_from(user, sizeof DELIVERER_SYSTEM - 1), &lane);
	else
		error = lane_for(service, TRANSPORT_MAILDIR, user, &lane);
	if (error == OK)
		*ret_carrier = lane->carrier;
	return error;
}

/* The descriptor is owned from here on. */
static enum error
channel_start(struct carrier_channel *channel, int fd)
{
	struct queue_service *service = channel->carrier->service;
	struct env *env = service->env;
	enum role peer = carrier_is_relay(channel->carrier) ? ROLE_RELAY : ROLE_DELIVER;

	list_init(&channel->link);
	task_group_init(&channel->sender, env->loop);
	enum error error = channel_open(&channel->channel, env->loop, fd, ROLE_QUEUE, peer);
	if (error != OK)
		return error;
	error = task_start(&service->tasks, "carrier channel", channel_run, channel);
	if (error != OK)
		channel_close(&channel->channel);
	return error;
}

/* In place of an earlier one to the process of the same number. */
static void
channel_join(struct carrier_channel *channel)
{
	struct carrier *carrier = channel->carrier;

	list_for_each_safe (link, next, &carrier->channels) {
		struct carrier_channel *other = list_entry(link, struct carrier_channel, link);
		if (other->worker == channel->worker)
			channel_drop(other);
	}
	list_append(&carrier->channels, &channel->link);
	count_window(carrier);
	/* That there was none was the reason to close it. */
	if (!carrier_is_relay(carrier))
		lane_open(&carrier->lane->lane, &carrier->pool);
	task_event_signal(&carrier->changed);
}

static void
add_channel(struct queue_service *service, struct carrier *carrier, uint32_t worker,
	uint32_t instance, int channel_fd)
{
	struct env *env = service->env;
	struct carrier_channel *channel = memory_get(env->memory, sizeof *channel);
	enum error error = ERROR_NO_MEMORY;

	channel->carrier = carrier;
	channel->worker = worker;
	channel->instance = instance;
	if (!carrier)
		env->net->close(env->world, channel_fd);
	else
		error = channel_start(channel, channel_fd);
	if (error == OK) {
		channel_join(channel);
		return;
	}
	log_event(env, LOG_ERROR, "channel_broken", LOG_STRING("peer", "carrier"),
		LOG_STRING("error", error_text(error)));
	memory_put(env->memory, channel);
	service->root->broken(service->root_arg, instance);
}

void
queue_service_add_deliver(
	struct queue_service *service, struct slice user, uint32_t instance, int channel_fd)
{
	struct carrier *carrier = NULL;

	if (carrier_of_root(service, user, &carrier) != OK)
		carrier = NULL;
	add_channel(service, carrier, 0, instance, channel_fd);
}

void
queue_service_add_relay(
	struct queue_service *service, uint32_t worker, uint32_t instance, int channel_fd)
{
	add_channel(service, service->relays, worker, instance, channel_fd);
}

/* Whether the part is older than any try of it may be. An id is the time at which it was given. */
static bool
part_is_expired(const struct part *part, wall_us now)
{
	return now - (wall_us)part->message->message.queue_id >= part->lane->policy.expire_us;
}

/*
 * There will be no deliverer now: one part has failed by that, and the lane is closed for a while.
 * The others are not touched, but for those that have waited as long as mail may.
 */
void
queue_service_no_deliver(struct queue_service *service, struct slice user, struct slice reason)
{
	struct carrier *carrier;

	if (carrier_of_root(service, user, &carrier) != OK)
		return; /* no memory for what is not there: it is asked for again with the next */
	carrier->asked = false;
	for (int i = 0; i < CARRIER_EXPIRE_A_TIME && list_is_empty(&carrier->channels); i++) {
		struct lane_part *line;
		struct lane *lane;
		lane_pool_set_window(&carrier->pool, 1);
		bool taken =
			lane_pool_take(&carrier->pool, loop_now(service->env->loop), &lane, &line);
		count_window(carrier);
		if (!taken)
			break;
		struct part *part = list_entry(line, struct part, line);
		bool is_expired = part_is_expired(part, env_wall(service->env));
		struct attempt *attempt = attempt_begin(service, part);
		if (!attempt)
			break;
		attempt->outcome = is_expired ? LANE_UNTRIED : LANE_FAILED;
		attempt_fail(attempt, DELIVER_TEMPORARY, STATUS(4, 3, 0), reason);
	}
	carrier_ask(carrier);
}
