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

/* One object; addresses and replies as JSON strings, times as RFC 3339. `recipients`: what
 * queue_recipient_append_json made of each. */
void queue_list_append_json(
	struct buffer *text, const struct ipc_queue_item *item, struct slice recipients);
void queue_recipient_append_json(struct buffer *text, const struct ipc_queue_recipient *recipient);

/* A message by itself: all that is known of it, then a line or two for each recipient. */
void queue_show_append(struct buffer *text, const struct ipc_queue_item *item, wall_us now);
void queue_recipient_append_row(
	struct buffer *text, const struct ipc_queue_recipient *recipient, wall_us now);

/* "59s", "3m", "4h", "2d" */
void queue_append_duration(struct buffer *buffer, int64_t us);

/* "waiting" and so on. */
bool queue_state_parse(struct slice word, uint32_t *ret_state);
const char *queue_state_word(uint32_t state);

#endif
