/* What `veredus queue summary` and `top` count: messages by state, lane and last reply. */
#ifndef CMD_QUEUE_SUMMARY_H
#define CMD_QUEUE_SUMMARY_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "ipc/message.h"

#define SUMMARY_ROWS_MAX 1000

struct summary_row {
	struct slice name;
	uint64_t messages;
	uint64_t oldest; /* received at */
};

struct summary_table {
	struct summary_row rows[SUMMARY_ROWS_MAX];
	size_t count;
	uint64_t others; /* messages for which there was no row left */
};

struct queue_summary {
	struct arena arena;
	uint64_t messages;
	uint64_t states[QUEUE_DAMAGED + 1];
	struct summary_table lanes, replies;
};

void queue_summary_init(struct queue_summary *summary, struct memory *memory);
void queue_summary_done(struct queue_summary *summary);
void queue_summary_count(struct queue_summary *summary, const struct ipc_queue_item *item);

/* The most messages first. Lines without the last line end; `paused` is a list, or lines, of its
 * own. */
void queue_summary_append(
	struct queue_summary *summary, struct slice paused, wall_us now, struct buffer *text);
void
queue_summary_append_json(struct queue_summary *summary, struct slice paused, struct buffer *text);

#endif
