/*
 * The asking side of a call: a task or a callback puts a question to another process and gets its
 * answer, or an error, before a deadline. Question and answer are messages of the schema with a
 * first field `request`, whose number is given here; many are under way at once.
 *
 * A question ends exactly once: with the answer; with ERROR_DENIED when the other side refused
 * (REFUSED says why); with ERROR_TIMEOUT; with ERROR_CLOSED when the process that had it died, so
 * that nobody knows what it did; with ERROR_CANCELLED when the caller ends. One that was not sent
 * yet when its process died, or asked while there is none, waits for the next. An answer that comes
 * late or twice is counted and dropped. One to a question that was never asked, or of another kind
 * than was asked for, breaks the rules: that connection ends.
 */
#ifndef IPC_CALLER_H
#define IPC_CALLER_H

#include "base/heap.h"
#include "ipc/channel.h"

struct caller_connection;
struct call;

struct caller_ops {
	/* The other side broke the rules, or what it sent can't be taken; its channel is closed.
	 * Whoever has the channel to root asks for its end. May be NULL. */
	void (*broken)(void *arg, uint32_t instance, enum error error);
	/* A message that is no answer; its descriptors are the receiver's. NULL: none may come. */
	enum error (*message)(void *arg, struct ipc_message *message);
};

struct caller {
	struct env *env;
	const struct caller_ops *ops;
	void *arg;
	enum role self, peer;
	struct caller_connection *connection; /* the present one; NULL while there is none */
	struct list unsent;                   /* calls in order */
	struct call **buckets;                /* by number */
	size_t bucket_count;                  /* a power of two */
	size_t count, max;
	struct heap due;
	struct task_group tasks;
	struct task_event due_changed;
	mono_us timer_until;
	bool timer_runs;
	bool ended;
	uint32_t last_number;
	uint64_t asked; /* in all */
	uint64_t late;  /* answers to questions that had ended */
};

/* `answer`: what was asked for (OK), REFUSED (ERROR_DENIED), else NULL. Its slices hold during the
 * call; its descriptors are the asker's. May ask again, may not wait. */
typedef void call_done(void *arg, enum error error, struct ipc_message *answer);

/* One question under way, in the asker's memory. Zeroed before its first use. */
struct call {
	struct list link; /* unsent, or sent on a connection */
	struct call *next;
	struct caller *of; /* NULL: not under way */
	struct heap_node due;
	struct packed question;
	uint32_t number;
	enum ipc_kind answer;
	enum error failure; /* what it ends with when it is due */
	call_done *done;
	void *arg;
};

/* At most `max` questions are under way at once. */
void caller_init(struct caller *caller, struct env *env, enum role self, enum role peer, size_t max,
	const struct caller_ops *ops, void *arg);

/* May wait. Ends all questions with ERROR_CANCELLED; none can be asked any more. */
void caller_done(struct caller *caller);

/* A channel to the other side's present process; takes the descriptor over. What was sent to its
 * predecessor ends. */
MUST_CHECK enum error caller_connect(struct caller *caller, int fd, uint32_t instance);

/*
 * Asks; `done` is called later, unless an error is returned (ERROR_LIMIT, ERROR_NO_MEMORY,
 * ERROR_CANCELLED, ERROR_DENIED for what the schema does not allow). Descriptors of the question
 * stay the asker's and open until then.
 */
MUST_CHECK enum error
call_start(struct caller *caller, struct call *call, struct ipc_message *question,
	enum ipc_kind answer, mono_us deadline, call_done *done, void *arg);

/* The asker wants no answer any more; `done` is not called. Harmless when it is not under way. */
void call_cancel(struct call *call);

/* A copy of an answer's message. */
struct call_answer {
	struct ipc_message message;
	struct packed bytes;
};

/* May wait: as call_start, for a task. The answer (also REFUSED, with ERROR_DENIED) is to be given
 * back by call_answer_done in any case. */
MUST_CHECK enum error call_ask(struct caller *caller, struct ipc_message *question,
	enum ipc_kind answer, mono_us deadline, struct call_answer *ret_answer);

/* Wiped if it held a secret. Descriptors that came with it are the asker's. */
void call_answer_done(struct call_answer *answer, struct env *env);

#endif
