/* How one message of the queue is shown. Pure. */
#ifndef CMD_QUEUE_LIST_H
#define CMD_QUEUE_LIST_H

#include "base/buffer.h"
#include "base/clock.h"
#include "ipc/message.h"

/* Lines without their last end. The one above the table: */
void queue_list_append_heading(struct buffer *text);

/* A line of the table, and a second one with what was said at the last attempt, if anything was. */
void queue_list_append_row(struct buffer *text, const struct ipc_queue_item *item, wall_us now);

/* One object; addresses and replies as JSON strings, times as RFC 3339. */
void queue_list_append_json(struct buffer *text, const struct ipc_queue_item *item);

#endif
