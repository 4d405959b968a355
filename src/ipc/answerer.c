/*
 * An asker is a channel with a task that hears its questions and, while its socket is full, one
 * that sends the answers on. A question keeps its place until its answer is sent: who does not take
 * answers gets no more work done.
 *
 * Relies on: the channel's check of who may say what. Promises: no more than max places and one an
 * asker are taken; a question's memory is wiped if its kind has a secret.
 */
#include "ipc/answerer.h"

#define ANSWER_SEND_US (10 * US_PER_S)

struct asker {
	struct list link;
	struct list waiting;
	struct answerer *answerer;
	struct channel channel;
	struct task *hearer, *sender;
	struct task_event turn;
	struct list questions; /* under work */
	struct list answered;  /* not sent yet */
	enum role role;
	uint32_t worker, instance;
	size_t open;
	unsigned users; /* its tasks */
	bool has_turn;
	bool dropped;
};

struct question {
	struct list link;
	struct answerer *answerer;
	struct asker *asker; /* NULL: gone */
	struct packed bytes; /* the question, later the answer */
	struct ipc_message message;
	enum role role;
	uint32_t worker;
	uint32_t number;
};

void
answerer_init(struct answerer *answerer, struct env *env, enum role self, size_t max,
	const struct answerer_ops *ops, void *arg)
{
	*answerer = (struct answerer){.env = env,
		.ops = ops,
		.arg = arg,
		.self = self,
		.max = max,
		.send_us = ANSWER_SEND_US};
	list_init(&answerer->askers);
	list_init(&answerer->waiting);
	task_group_init(&answerer->tasks, env->loop);
}

struct ipc_message *
question_message(struct question *question)
{
	return &question->message;
}

enum role
question_role(const struct question *question)
{
	return question->role;
}

uint32_t
question_worker(const struct question *question)
{
	return question->worker;
}

bool
question_is_wanted(const struct question *question)
{
	return question->asker != NULL;
}

/* One place is anybody's at any time; beyond that the others' ones stay free. */
static bool
may_open(const struct asker *asker)
{
	const struct answerer *answerer = asker->answerer;

	return asker->open == 0 ||
	       (answerer->open < answerer->max &&
		       asker->open + (answerer->asker_count - 1) < answerer->max);
}

static void
grant(struct asker *asker)
{
	list_remove(&asker->waiting);
	asker->has_turn = true;
	asker->open++;
	asker->answerer->open++;
}

static struct asker *
next_in_line(struct answerer *answerer)
{
	struct asker *best = NULL;

	list_for_each (link, &answerer->waiting) {
		struct asker *asker = list_entry(link, struct asker, waiting);
		if (may_open(asker) && (!best || asker->open < best->open))
			best = asker;
	}
	return best;
}

static void
fill_places(struct answerer *answerer)
{
	struct asker *asker;

	while ((asker = next_in_line(answerer))) {
		grant(asker);
		task_event_signal(&asker->turn);
	}
}

static void
give_place_back(struct answerer *answerer, struct asker *asker)
{
	answerer->open--;
	if (asker)
		asker->open--;
	fill_places(answerer);
}

/* Its place is free from here on. */
static void
question_free(struct question *question)
{
	struct answerer *answerer = question->answerer;
	struct asker *asker = question->asker;

	list_remove(&question->link);
	packed_done(&question->bytes, answerer->env);
	memory_put(answerer->env->memory, question);
	give_place_back(answerer, asker);
}

static void
asker_unuse(struct asker *asker)
{
	if (--asker->users > 0)
		return;
	channel_close(&asker->channel);
	memory_put(asker->answerer->env->memory, asker);
}

static void
free_answered(struct question *question)
{
	ipc_close_fds(question->answerer->env, &question->message);
	question_free(question);
}

/* What is under work stays so, for nobody. */
static void
asker_drop(struct asker *asker, enum error error)
{
	struct answerer *answerer = asker->answerer;
	struct list *link;

	if (asker->dropped)
		return;
	asker->dropped = true;
	list_remove(&asker->link);
	list_remove(&asker->waiting);
	answerer->asker_count--;
	while ((link = list_take(&asker->questions)))
		list_entry(link, struct question, link)->asker = NULL;
	while (!list_is_empty(&asker->answered))
		free_answered(list_entry(asker->answered.next, struct question, link));
	if (asker->hearer)
		task_cancel(asker->hearer);
	if (asker->sender)
		task_cancel(asker->sender);
	if (error != ERROR_CLOSED && error != ERROR_CANCELLED && answerer->ops->broken)
		answerer->ops->broken(answerer->arg, asker->instance, error);
	fill_places(answerer); /* more may be anybody's now */
}

static enum error
send_answers(struct asker *asker)
{
	while (!asker->dropped && !list_is_empty(&asker->answered)) {
		struct question *question = list_entry(asker->answered.next, struct question, link);
		enum error error = channel_try_send_packed(&asker->channel, &question->bytes);
		if (error != OK)
			return error;
		free_answered(question);
	}
	return OK;
}

static void
asker_send_on(void *arg)
{
	struct asker *asker = arg;
	struct loop *loop = asker->answerer->env->loop;
	enum error error = OK;

	asker->sender = task_self(loop);
	while (!asker->dropped && (error = send_answers(asker)) == ERROR_AGAIN) {
		error = channel_wait_for_room(
			&asker->channel, loop_deadline(loop, asker->answerer->send_us));
		if (error != OK)
			break;
	}
	asker->sender = NULL;
	if (error != OK)
		asker_drop(asker, error);
	asker_unuse(asker);
}

static void
asker_send(struct asker *asker)
{
	if (asker->users > 1)
		return;
	enum error error = send_answers(asker);
	if (error == ERROR_AGAIN && !asker->dropped && asker->users == 1) {
		error = task_start(&asker->answerer->tasks, "answer sender", asker_send_on, asker);
		if (error == OK)
			asker->users++;
	}
	if (error != OK)
		asker_drop(asker, error);
}

void
question_answer(struct question *question, struct ipc_message *answer)
{
	struct env *env = question->answerer->env;
	struct asker *asker = question->asker;
	uint32_t *number = ipc_request(answer);
	struct packed packed;
	enum error error = number ? OK : ERROR_DENIED;

	ipc_close_fds(env, &question->message);
	if (number)
		*number = question->number;
	if (error == OK && asker)
		error = packed_init(&packed, env, answer);
	if (error != OK || !asker) {
		ipc_close_fds(env, answer);
		question_free(question);
		if (asker)
			asker_drop(asker, error);
		return;
	}
	packed_done(&question->bytes, env);
	question->bytes = packed;
	question->message = *answer; /* for its descriptors alone from here on */
	list_remove(&question->link);
	list_append(&asker->answered, &question->link);
	asker_send(asker);
}

void
question_refuse(struct question *question, struct slice reason)
{
	struct ipc_message refusal = {
		.kind = IPC_REFUSED, .refused = {.reason = slice_sub(reason, 0, IPC_TEXT_MAX)}};

	question_answer(question, &refusal);
}

static void
work_in_task(void *arg)
{
	struct question *question = arg;
	struct answerer *answerer = question->answerer;

	answerer->ops->question(answerer->arg, question);
}

static void
question_work(struct question *question)
{
	struct answerer *answerer = question->answerer;

	if (!answerer->ops->in_tasks)
		answerer->ops->question(answerer->arg, question);
	else if (task_start(&answerer->tasks, "answer", work_in_task, question) != OK)
		question_refuse(question, SLICE("no memory for a task"));
}

/* A copy of the bytes, since the asker's next message comes into the same memory. */
static enum error
question_new(struct asker *asker, struct ipc_message *message, struct question **ret_question)
{
	struct env *env = asker->answerer->env;
	struct question *question = memory_try(env->memory, sizeof *question);

	if (!question)
		return ERROR_NO_MEMORY;
	*question = (struct question){.answerer = asker->answerer,
		.asker = asker,
		.role = asker->role,
		.worker = asker->worker,
		.number = *ipc_request(message)};
	enum error error = packed_init(&question->bytes, env, message);
	question->message = *message;
	if (error == OK)
		error = ipc_decode(
			slice_of(question->bytes.bytes, question->bytes.len), &question->message);
	if (error != OK) {
		packed_done(&question->bytes, env);
		memory_put(env->memory, question);
		return error;
	}
	list_append(&asker->questions, &question->link);
	*ret_question = question;
	return OK;
}

/* May wait: for a place. */
static enum error
await_turn(struct asker *asker)
{
	struct answerer *answerer = asker->answerer;
	enum error error = OK;

	asker->has_turn = false;
	list_append(&answerer->waiting, &asker->waiting);
	fill_places(answerer);
	while (!asker->has_turn && error == OK)
		error = task_event_wait(answerer->env->loop, &asker->turn, MONO_NEVER);
	list_remove(&asker->waiting);
	if (asker->has_turn && (error != OK || asker->dropped)) {
		give_place_back(answerer, asker);
		return ERROR_CANCELLED;
	}
	return error;
}

/* May wait. */
static enum error
take_question(struct asker *asker, struct ipc_message *message)
{
	struct question *question;
	enum error error = ipc_request(message) ? await_turn(asker) : ERROR_FORMAT;

	if (error == OK) {
		error = question_new(asker, message, &question);
		if (error != OK)
			give_place_back(asker->answerer, asker);
	}
	if (error != OK) {
		ipc_close_fds(asker->answerer->env, message);
		return error;
	}
	question_work(question);
	return OK;
}

static void
asker_hear(void *arg)
{
	struct asker *asker = arg;
	struct ipc_message message;
	enum error error = OK;

	asker->hearer = task_self(asker->answerer->env->loop);
	while (!asker->dropped && error == OK) {
		error = channel_receive(&asker->channel, MONO_NEVER, &message);
		if (error == OK)
			error = take_question(asker, &message);
	}
	asker->hearer = NULL;
	asker_drop(asker, error);
	asker_unuse(asker);
}

/* A process that comes again: its predecessor may have died while it waited for a place, which
 * nobody has noticed yet, and what it left in its socket would be worked on for nobody. */
static void
drop_predecessor(struct answerer *answerer, const struct asker *of)
{
	list_for_each_safe (link, next, &answerer->askers) {
		struct asker *asker = list_entry(link, struct asker, link);
		if (asker->role == of->role && asker->worker == of->worker)
			asker_drop(asker, ERROR_CLOSED);
	}
}

enum error
answerer_add(struct answerer *answerer, enum role peer, uint32_t worker, uint32_t instance, int fd)
{
	struct env *env = answerer->env;
	struct asker *asker = memory_get(env->memory, sizeof *asker);

	asker->answerer = answerer;
	asker->role = peer;
	asker->worker = worker;
	asker->instance = instance;
	asker->users = 1;
	list_init(&asker->waiting);
	list_init(&asker->questions);
	list_init(&asker->answered);
	task_event_init(&asker->turn);
	enum error error = channel_open(&asker->channel, env->loop, fd, answerer->self, peer);
	asker->channel.relaxes = true;
	if (error == OK)
		error = answerer->ended
				? ERROR_CANCELLED
				: task_start(&answerer->tasks, "answerer", asker_hear, asker);
	if (error != OK) {
		asker_unuse(asker);
		return error;
	}
	drop_predecessor(answerer, asker);
	list_append(&answerer->askers, &asker->link);
	answerer->asker_count++;
	return OK;
}

void
answerer_done(struct answerer *answerer)
{
	answerer->ended = true;
	while (!list_is_empty(&answerer->askers))
		asker_drop(list_entry(answerer->askers.next, struct asker, link), ERROR_CANCELLED);
	task_group_cancel(&answerer->tasks);
	task_group_wait(&answerer->tasks);
}
