/* What the files of `veredus why` share: a word, what matches it, how it is shown. */
#ifndef CMD_WHY_H
#define CMD_WHY_H

#include "base/history.h"
#include "cmd/control.h"

#define WHY_NAME       "why"
#define WHY_LIMIT      10 /* messages that are told of, unless more are asked for */
#define WHY_LIMIT_MAX  1000
#define WHY_EVENTS_MAX (64u << 20) /* octets of records that are kept */

/* What people ask for. */
struct why_word {
	struct slice text;
	uint64_t id; /* 0: it is none */
	bool is_domain;
};

struct why_event {
	struct slice record;
	wall_us at;
	size_t order; /* in which it was read, for those of one time */
};

struct why_message {
	uint64_t id; /* 0: it was refused, and is one event */
	wall_us at;  /* of the refusal; else the id, which is a time */
	struct why_event *events;
	size_t event_count, event_capacity;
	const char *state;  /* in the queue; NULL: it is not there */
	struct buffer json; /* as `queue list --json` has it; for those that are queued */
	struct buffer text; /* lines on how it stands */
};

/* The newest that match, ascending. */
struct why_messages {
	struct env *env;
	struct arena arena; /* of records */
	struct why_message list[WHY_LIMIT_MAX];
	size_t count, limit;
	bool has_more; /* older ones were left out */
	bool is_cut;   /* events found no memory */
};

/* why_history.c */

void why_messages_init(struct why_messages *messages, struct env *env, size_t limit);
void why_messages_done(struct why_messages *messages);

/* The message of this id (or the refusal of this time), added if it belongs to the newest; NULL if
 * not. */
struct why_message *why_add(struct why_messages *messages, uint64_t id, wall_us at);

/* Adds the messages and refusals of the history that match. An exit code; what is wrong has been
 * said. EX_NOPERM: not said, it may not be read. */
int why_find(struct why_messages *messages, struct slice spool, const struct why_word *word);

/* Gathers all that the history has of the messages, in the order of time. Likewise. */
int why_gather(struct why_messages *messages, struct slice spool);

/* why_print.c */

/* `knows_queue`: somebody has told what is in it now. */
void why_print_text(const struct why_message *message, bool knows_queue, struct buffer *text);
void why_print_json(const struct why_message *message, bool knows_queue, struct buffer *text);

#endif
