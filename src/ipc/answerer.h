/*
 * The answering side of a call: questions from any number of askers, at most `max` under work at a
 * time. Each goes to a function, in a task of its own if it may wait, else by callback, which may
 * answer at once or later.
 *
 * Fair between askers: the next place goes to the asker with the fewest questions under work that
 * waits longest, and for every other asker one place stays free, so that one who asks much or
 * slowly keeps nobody waiting. What has no place waits in its asker's socket. An asker who says
 * what it may not, or does not take its answers, is dropped; its questions are worked on and nobody
 * hears.
 */
#ifndef IPC_ANSWERER_H
#define IPC_ANSWERER_H

#include "ipc/channel.h"

struct question;

struct answerer_ops {
	/* To be answered once, now or later, by question_answer or question_refuse. */
	void (*question)(void *arg, struct question *question);
	/* This asker broke the rules, takes no answers, or can't be served; it is dropped. May be
	 * NULL. */
	void (*broken)(void *arg, uint32_t instance, enum error error);
	bool in_tasks; /* `question` may wait */
};

struct answerer {
	struct env *env;
	const struct answerer_ops *ops;
	void *arg;
	enum role self;
	struct list askers;
	struct list waiting; /* askers with a message and no place for it, in order */
	size_t asker_count;
	size_t open, max; /* questions; max and one an asker at most */
	int64_t send_us;  /* an asker that takes no answer for so long is dropped */
	struct task_group tasks;
	bool ended;
};

void answerer_init(struct answerer *answerer, struct env *env, enum role self, size_t max,
	const struct answerer_ops *ops, void *arg);

/* May wait: for the functions that run in tasks, which are cancelled. Questions that a callback put
 * off have been answered before. */
void answerer_done(struct answerer *answerer);

/* Another process that asks; takes the descriptor over. One of the same role and number was its
 * predecessor, and is dropped. */
MUST_CHECK enum error
answerer_add(struct answerer *answerer, enum role peer, uint32_t worker, uint32_t instance, int fd);

/* The message and its slices hold until it is answered; its descriptors are the answerer's, who
 * takes them out (fd_count = 0) or has them closed with the answer. */
struct ipc_message *question_message(struct question *question);

/* Who asks: by root's word, not by the message's. */
enum role question_role(const struct question *question);
uint32_t question_worker(const struct question *question);

/* False when the asker is gone: the answer would reach nobody. */
bool question_is_wanted(const struct question *question);

/* The number is filled in; descriptors are taken over. An answer that can't be sent ends the
 * connection, so that its asker does not wait for it. The question is gone. */
void question_answer(struct question *question, struct ipc_message *answer);
void question_refuse(struct question *question, struct slice reason);

#endif
