/* What the operator's side is made of: control.c speaks, look.c sees, order.c does. */
#ifndef QUEUE_CONTROL_PRIVATE_H
#define QUEUE_CONTROL_PRIVATE_H

#include "queue/glob.h"
#include "queue/queue_private.h"

#define LANE_TEXT_MAX (ROUTE_LANE_NAME_MAX + 16)

/* How one recipient stands. */
struct recipient_view {
	enum recipient_state state;
	uint32_t attempts;
	wall_us next_at; /* 0: it does not wait */
	struct slice reply;
};

/* A message as it is at one moment; all it refers to is its own. */
struct look {
	struct arena arena;
	enum error read; /* OK: the envelope could be read */
	struct envelope envelope;
	struct recipient_view *views; /* of each recipient; NULL: no memory, or it can't be read */
	struct buffer lane;
	uint8_t lane_text[LANE_TEXT_MAX];
};

void look_begin(
	struct queue_service *service, struct queued *queued, struct look *look, size_t arena_max);
void look_end(struct look *look);
/* The address of the first recipient that is not done, or else of the first. */
struct slice look_first_open(const struct look *look);

/*
 * May wait; the message may be gone afterwards. False: it can't be done now (it is being delivered,
 * or has not the state for it).
 */
bool
order_carry_out(struct queue_service *service, struct queued *queued, enum queue_action action);
/* May wait: what was decided so far is written. */
MUST_CHECK enum error orders_await(struct queue_service *service);

#endif
