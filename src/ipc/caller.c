/*
 * A connection is one process of the other side: a channel with a task that hears answers, and,
 * while its socket is full, one that sends on. The last of the two to end closes the channel. Calls
 * lie in a table by number, those with a deadline in a heap that one task watches; both tasks come
 * when there is something to do, so that a caller at rest costs one small stack.
 *
 * Relies on: the channel's check of who may say what. Promises: each call's `done` is called once.
 */
#include "ipc/caller.h"

#define BUCKETS_FIRST 16

struct caller_connection {
	struct caller *caller;
	struct channel channel;
	struct task *hearer, *sender;
	struct list sent;
	uint32_t instance;
	unsigned users; /* its tasks */
	bool retired;
};

void
caller_init(struct caller *caller, struct env *env, enum role self, enum role peer, size_t max,
	const struct caller_ops *ops, void *arg)
{
	*caller = (struct caller){
		.env = env, .ops = ops, .arg = arg, .self = self, .peer = peer, .max = max};
	list_init(&caller->unsent);
	heap_init(&caller->due, env->memory);
	task_group_init(&caller->tasks, env->loop);
	task_event_init(&caller->due_changed);
	caller->bucket_count = BUCKETS_FIRST;
	caller->buckets = memory_get(env->memory, caller->bucket_count * sizeof(struct call *));
}

static struct call **
bucket_of(struct caller *caller, uint32_t number)
{
	return &caller->buckets[number & (caller->bucket_count - 1)];
}

static struct call *
find_call(struct caller *caller, uint32_t number)
{
	struct call *call = *bucket_of(caller, number);

	while (call && call->number != number)
		call = call->next;
	return call;
}

static void
enter_call(struct caller *caller, struct call *call)
{
	struct call **bucket = bucket_of(caller, call->number);

	call->next = *bucket;
	*bucket = call;
	caller->count++;
}

static void
take_call_out(struct caller *caller, struct call *call)
{
	struct call **place = bucket_of(caller, call->number);

	while (*place != call)
		place = &(*place)->next;
	*place = call->next;
	caller->count--;
}

/* Numbers follow each other, so a table as large as the calls are many has short chains. */
static enum error
grow_buckets(struct caller *caller)
{
	struct call **old = caller->buckets;
	size_t old_count = caller->bucket_count;

	if (caller->count < old_count)
		return OK;
	struct call **grown =
		memory_try(caller->env->memory, 2 * old_count * sizeof(struct call *));
	if (!grown)
		return ERROR_NO_MEMORY;
	caller->buckets = grown;
	caller->bucket_count = 2 * old_count;
	caller->count = 0;
	for (size_t i = 0; i < old_count; i++)
		for (struct call *call = old[i], *next; call; call = next) {
			next = call->next;
			enter_call(caller, call);
		}
	memory_put(caller->env->memory, old);
	return OK;
}

/* Off every list; nobody hears of it. */
static void
forget_call(struct call *call)
{
	struct caller *caller = call->of;

	list_remove(&call->link);
	take_call_out(caller, call);
	heap_remove(&caller->due, &call->due);
	packed_done(&call->question, caller->env);
	call->of = NULL;
}

static void
end_call(struct call *call, enum error error, struct ipc_message *answer)
{
	forget_call(call);
	call->done(call->arg, error, answer);
}

void
call_cancel(struct call *call)
{
	if (call->of)
		forget_call(call);
}

static void
end_all(struct list *calls, enum error error)
{
	while (!list_is_empty(calls))
		end_call(list_entry(calls->next, struct call, link), error, NULL);
}

/* One that can't be sent for its own sake (no memory in the kernel, too many descriptors on their
 * way) ends alone, by the task that watches deadlines: nobody hears of a call's end while he makes
 * it. The heap has had room for it. */
static void
fail_soon(struct call *call, enum error error)
{
	struct caller *caller = call->of;

	list_remove(&call->link);
	heap_remove(&caller->due, &call->due);
	call->failure = error;
	call->due = (struct heap_node){.key = 0};
	if (heap_insert(&caller->due, &call->due) != OK)
		end_call(call, error, NULL);
	task_event_signal(&caller->due_changed);
}

static enum error
send_waiting(struct caller_connection *connection)
{
	struct caller *caller = connection->caller;

	while (!connection->retired && !list_is_empty(&caller->unsent)) {
		struct call *call = list_entry(caller->unsent.next, struct call, link);
		enum error error = channel_try_send_packed(&connection->channel, &call->question);
		if (error == ERROR_AGAIN || error == ERROR_CLOSED)
			return error;
		if (error != OK) {
			fail_soon(call, error);
			continue;
		}
		list_remove(&call->link);
		list_append(&connection->sent, &call->link);
		packed_done(&call->question, caller->env);
	}
	return OK;
}

static void
connection_unuse(struct caller_connection *connection)
{
	if (--connection->users > 0)
		return;
	channel_close(&connection->channel);
	memory_put(connection->caller->env->memory, connection);
}

static void
connection_send_on(void *arg)
{
	struct caller_connection *connection = arg;
	struct caller *caller = connection->caller;

	connection->sender = task_self(caller->env->loop);
	while (!connection->retired && send_waiting(connection) == ERROR_AGAIN)
		if (channel_wait_for_room(&connection->channel, MONO_NEVER) != OK)
			break;
	connection->sender = NULL;
	connection_unuse(connection);
}

/* The present connection sends what it can, and on when there is room. Without memory for that task
 * the rest goes with the next question or answer. */
static void
caller_send(struct caller *caller)
{
	struct caller_connection *connection = caller->connection;

	if (!connection || connection->users > 1 || send_waiting(connection) != ERROR_AGAIN)
		return;
	/* A call's end may have led to another question in between, which came here too. */
	if (connection->users > 1)
		return;
	if (task_start(&caller->tasks, "call sender", connection_send_on, connection) == OK)
		connection->users++;
}

/* From here on no question is sent by it and no answer taken. */
static void
connection_retire(struct caller_connection *connection)
{
	struct caller *caller = connection->caller;

	if (connection->retired)
		return;
	connection->retired = true;
	if (caller->connection == connection)
		caller->connection = NULL;
	if (connection->sender)
		task_cancel(connection->sender);
	if (connection->hearer)
		task_cancel(connection->hearer);
	end_all(&connection->sent, ERROR_CLOSED);
}

/* Numbers go up: one that was given not long ago was asked, whatever became of it. */
static bool
was_asked(const struct caller *caller, uint32_t number)
{
	uint64_t window = caller->asked < INT32_MAX ? caller->asked : INT32_MAX;

	return (uint32_t)(caller->last_number - number) < window;
}

static enum error
take_answer(struct caller_connection *connection, uint32_t number, struct ipc_message *message)
{
	struct caller *caller = connection->caller;
	struct call *call = find_call(caller, number);

	if (!call && !was_asked(caller, number))
		return ERROR_FORMAT;
	if (!call) {
		caller->late++;
		ipc_close_fds(caller->env, message);
		return OK;
	}
	if (call->question.bytes) /* it is not sent yet */
		return ERROR_FORMAT;
	if (message->kind == IPC_REFUSED)
		end_call(call, ERROR_DENIED, message);
	else if (message->kind == call->answer)
		end_call(call, OK, message);
	else
		return ERROR_FORMAT;
	return OK;
}

static enum error
take_message(struct caller_connection *connection, struct ipc_message *message)
{
	struct caller *caller = connection->caller;
	uint32_t *number = ipc_request(message);
	enum error error = ERROR_FORMAT;

	if (number)
		error = take_answer(connection, *number, message);
	else if (caller->ops->message)
		return caller->ops->message(caller->arg, message);
	if (error != OK)
		ipc_close_fds(caller->env, message);
	return error;
}

static void
connection_hear(void *arg)
{
	struct caller_connection *connection = arg;
	struct caller *caller = connection->caller;
	struct ipc_message message;
	enum error error = OK;

	connection->hearer = task_self(caller->env->loop);
	while (!connection->retired && error == OK) {
		error = channel_receive(&connection->channel, MONO_NEVER, &message);
		if (error == OK)
			error = take_message(connection, &message);
		if (error == OK)
			caller_send(caller);
	}
	connection->hearer = NULL;
	if (!connection->retired && error != ERROR_CLOSED && error != ERROR_CANCELLED &&
		caller->ops->broken)
		caller->ops->broken(caller->arg, connection->instance, error);
	connection_retire(connection);
	connection_unuse(connection);
}

enum error
caller_connect(struct caller *caller, int fd, uint32_t instance)
{
	struct env *env = caller->env;
	struct caller_connection *connection = memory_get(env->memory, sizeof *connection);

	connection->caller = caller;
	connection->instance = instance;
	list_init(&connection->sent);
	enum error error =
		channel_open(&connection->channel, env->loop, fd, caller->self, caller->peer);
	connection->channel.relaxes = true;
	if (error == OK)
		error = caller->ended
				? ERROR_CANCELLED
				: task_start(&caller->tasks, "caller", connection_hear, connection);
	connection->users = 1;
	if (error != OK) {
		connection_unuse(connection);
		return error;
	}
	if (caller->connection)
		connection_retire(caller->connection);
	caller->connection = connection;
	caller_send(caller);
	return OK;
}

/* It sleeps to the deadline that was first when it went to sleep, whether or not that question has
 * its answer by then: an answer wakes nobody but who asked. */
static void
watch_deadlines(void *arg)
{
	struct caller *caller = arg;
	struct loop *loop = caller->env->loop;
	struct heap_node *first;
	enum error error = OK;

	while (error != ERROR_CANCELLED && (first = heap_first(&caller->due))) {
		caller->timer_until = first->key;
		error = task_event_wait(loop, &caller->due_changed, first->key);
		while (error != ERROR_CANCELLED && (first = heap_first(&caller->due)) &&
			first->key <= loop_now(loop)) {
			struct call *call = heap_entry(first, struct call, due);
			end_call(call, call->failure, NULL);
		}
	}
	caller->timer_runs = false;
}

static enum error
set_deadline(struct caller *caller, struct call *call, mono_us deadline)
{
	call->due = (struct heap_node){.key = deadline};
	call->failure = ERROR_TIMEOUT;
	enum error error = heap_insert(&caller->due, &call->due);
	if (error == OK && !caller->timer_runs) {
		error = task_start(&caller->tasks, "call deadlines", watch_deadlines, caller);
		caller->timer_runs = error == OK;
		caller->timer_until = MONO_NEVER;
	}
	if (error != OK)
		heap_remove(&caller->due, &call->due);
	else if (deadline < caller->timer_until)
		task_event_signal(&caller->due_changed);
	return error;
}

static void
give_number(struct caller *caller, struct call *call)
{
	do
		caller->last_number++;
	while (find_call(caller, caller->last_number));
	caller->asked++;
	call->number = caller->last_number;
}

enum error
call_start(struct caller *caller, struct call *call, struct ipc_message *question,
	enum ipc_kind answer, mono_us deadline, call_done *done, void *arg)
{
	uint32_t *number = ipc_request(question);

	if (caller->ended)
		return ERROR_CANCELLED;
	if (!number || !ipc_fds_fit(question->kind, question->fd_count) ||
		!ipc_may_send(question->kind, caller->self, caller->peer))
		return ERROR_DENIED;
	if (caller->count >= caller->max)
		return ERROR_LIMIT;
	enum error error = grow_buckets(caller);
	if (error != OK)
		return error;
	give_number(caller, call);
	*number = call->number;
	error = packed_init(&call->question, caller->env, question);
	if (error == OK)
		error = set_deadline(caller, call, deadline);
	if (error != OK) {
		packed_done(&call->question, caller->env);
		return error;
	}
	call->of = caller;
	call->answer = answer;
	call->done = done;
	call->arg = arg;
	enter_call(caller, call);
	list_append(&caller->unsent, &call->link);
	caller_send(caller);
	return OK;
}

void
caller_done(struct caller *caller)
{
	caller->ended = true;
	if (caller->connection) {
		end_all(&caller->connection->sent, ERROR_CANCELLED);
		connection_retire(caller->connection);
	}
	end_all(&caller->unsent, ERROR_CANCELLED);
	task_group_cancel(&caller->tasks);
	task_group_wait(&caller->tasks);
	heap_done(&caller->due);
	memory_put(caller->env->memory, caller->buckets);
	caller->buckets = NULL;
}

struct asking {
	struct env *env;
	struct task_event event;
	struct call_answer *answer;
	enum error error;
	bool done;
};

static void
keep_answer(void *arg, enum error error, struct ipc_message *answer)
{
	struct asking *asking = arg;

	if (answer) {
		enum error kept = packed_init(&asking->answer->bytes, asking->env, answer);
		if (kept != OK) {
			ipc_close_fds(asking->env, answer);
			error = kept;
		} else {
			struct ipc_message *copy = &asking->answer->message;
			*copy = *answer;
			struct slice bytes =
				slice_of(asking->answer->bytes.bytes, asking->answer->bytes.len);
			enum error same = ipc_decode(bytes, copy);
			error = same == OK ? error : same;
		}
	}
	asking->error = error;
	asking->done = true;
	task_event_signal(&asking->event);
}

enum error
call_ask(struct caller *caller, struct ipc_message *question, enum ipc_kind answer,
	mono_us deadline, struct call_answer *ret_answer)
{
	struct asking asking = {.env = caller->env, .answer = ret_answer};
	struct call call = {.of = NULL};

	*ret_answer = (struct call_answer){.bytes = {.bytes = NULL}};
	task_event_init(&asking.event);
	enum error error =
		call_start(caller, &call, question, answer, deadline, keep_answer, &asking);
	if (error != OK)
		return error;
	while (!asking.done) {
		error = task_event_wait(asking.env->loop, &asking.event, MONO_NEVER);
		if (error == OK || asking.done)
			continue;
		call_cancel(&call);
		return error;
	}
	return asking.error;
}

void
call_answer_done(struct call_answer *answer, struct env *env)
{
	packed_done(&answer->bytes, env);
}
