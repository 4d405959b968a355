/* What an operator has done, over a real spool: the state afterwards, and after a restart. */
#include "base/file_replace.h"
#include "queue/queue_private.h"
#include "queue/world_test.h"

#define LANE_REFUSED UINT32_MAX

struct asked {
	uint32_t count, done, recipients;
	uint32_t state;
	uint32_t recipient_states[64];
};

/* May wait: one order to all messages that match, or to that one alone. */
static struct asked
order(struct world *world, enum queue_action action, uint64_t only, const char *recipient)
{
	struct ipc_message ask = {.kind = IPC_QUEUE_LIST,
		.queue_list = {.from_id = only,
			.only = only != 0,
			.max = 100,
			.with_recipients = 1,
			.action = action,
			.recipient = slice_text(recipient)}};
	struct asked asked = {0};
	struct channel channel;
	struct ipc_message message;
	int fds[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_ok(channel_open(&channel, world->loop, fds[1], ROLE_ADMIN, ROLE_QUEUE));
	queue_service_set_admin(world->service, 78, fds[0]);
	ck_assert_ok(channel_send(&channel, &ask, MONO_NEVER));
	while (channel_receive(&channel, MONO_NEVER, &message) == OK &&
		message.kind != IPC_QUEUE_END) {
		if (message.kind == IPC_QUEUE_RECIPIENT) {
			const struct ipc_queue_recipient *told = &message.queue_recipient;
			ck_assert_uint_lt(told->number, 64);
			asked.recipient_states[told->number] = told->state;
			asked.recipients++;
			continue;
		}
		ck_assert_int_eq(message.kind, IPC_QUEUE_ITEM);
		asked.count++;
		asked.done += message.queue_item.done;
		asked.state = message.queue_item.state;
	}
	ck_assert_int_eq(message.kind, IPC_QUEUE_END);
	channel_close(&channel);
	return asked;
}

static void
check_state(struct world *world, uint64_t id, uint32_t state)
{
	struct asked asked = order(world, QUEUE_SHOW, id, "");

	ck_assert_uint_eq(asked.count, 1);
	ck_assert_uint_eq(asked.state, state);
}

/* May wait: the process ends and starts again, with a deliverer or without. */
static void
start_again(struct world *world, struct deliverer **deliverer)
{
	service_stop(world);
	if (*deliverer)
		deliverer_end(*deliverer);
	service_start(world);
	*deliverer = deliverer_start(world, "mail");
}

static void
hold_body(void *arg)
{
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");

	world->outcome = DELIVER_TEMPORARY;
	world->only_to = "bob@example.org";
	uint64_t id = SEND(world, "anna@example.org", "bob@example.org", "x@hold.example");
	wait_for_seen(world, 2);
	pass_time(world, US_PER_S);
	struct asked asked = order(world, QUEUE_SHOW, id, "");
	ck_assert_uint_eq(asked.recipients, 3);
	ck_assert_uint_eq(asked.recipient_states[0], RECIPIENT_DONE);
	ck_assert_uint_eq(asked.recipient_states[1], RECIPIENT_WAITING);
	ck_assert_uint_eq(asked.recipient_states[2], RECIPIENT_HELD);
	ck_assert_uint_eq(order(world, QUEUE_SHOW, 0, "anna@example.org").count, 0);
	ck_assert_uint_eq(order(world, QUEUE_RELEASE, id, "").done, 0);
	ck_assert_uint_eq(order(world, QUEUE_HOLD, id, "").done, 1);
	for (int i = 0; i < 2; i++) {
		check_state(world, id, QUEUE_HELD);
		pass_time(world, 24 * HOUR_US);
		ck_assert_uint_eq(world->seen_count, 2);
		start_again(world, &deliverer);
	}
	ck_assert_uint_eq(order(world, QUEUE_RETRY, id, "").done, 0);
	world->outcome = DELIVER_DELIVERED;
	ck_assert_uint_eq(order(world, QUEUE_RELEASE, 0, "bob@*").done, 1);
	wait_for_seen(world, 3);
	ck_assert_str_eq(world->seen[2].address, "bob@example.org");
	pass_time(world, US_PER_S);
	check_state(world, id, QUEUE_HELD); /* the route still says so for the third */
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(what_is_held_stays_until_it_is_released)
{
	run_with(hold_body);
}
END_TEST

static void
retry_body(void *arg)
{
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");

	world->outcome = DELIVER_TEMPORARY;
	SEND(world, "anna@example.org", "bob@example.org");
	uint64_t gone = SEND(world, "carol@example.org");
	wait_for_seen(world, 3);
	pass_time(world, US_PER_S);
	world->outcome = DELIVER_DELIVERED;
	ck_assert_uint_eq(order(world, QUEUE_DELETE, gone, "").done, 1);
	ck_assert_uint_eq(order(world, QUEUE_DELETE, gone, "").count, 0);
	struct asked asked = order(world, QUEUE_RETRY, 0, "example.org");
	ck_assert_uint_eq(asked.count, 1);
	ck_assert_uint_eq(asked.done, 1);
	wait_for_seen(world, 5);
	ck_assert(!world->seen[4].first_attempt);
	pass_time(world, US_PER_S);
	ck_assert_uint_eq(queue_length(world), 0);
	start_again(world, &deliverer);
	pass_time(world, 24 * HOUR_US);
	ck_assert_uint_eq(world->seen_count, 5);
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(what_is_retried_goes_and_what_is_deleted_is_gone)
{
	run_with(retry_body);
}
END_TEST

static void
busy_body(void *arg)
{
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");

	world->silent = true;
	uint64_t id = SEND(world, "anna@example.org");
	wait_for_seen(world, 1);
	check_state(world, id, QUEUE_ACTIVE);
	ck_assert_uint_eq(order(world, QUEUE_HOLD, id, "").done, 0);
	ck_assert_uint_eq(order(world, QUEUE_DELETE, id, "").done, 0);
	ck_assert_uint_eq(order(world, QUEUE_SHOW, id, "").recipient_states[0], RECIPIENT_ACTIVE);
	ck_assert_ok(answer_delivery(deliverer, world->numbers[0], 0, DELIVER_DELIVERED));
	pass_time(world, US_PER_S);
	ck_assert_uint_eq(queue_length(world), 0);
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(what_is_under_way_is_left_alone)
{
	run_with(busy_body);
}
END_TEST

/* May wait: pages of `max`, in bundles; how many messages and recipients came, in their order. */
static struct asked
list_bundled(struct world *world, uint32_t max, uint32_t *ret_bundles)
{
	struct ipc_message ask = {.kind = IPC_QUEUE_LIST,
		.queue_list = {.max = max, .with_recipients = 1, .bundled = 1}};
	struct asked asked = {0};
	struct ipc_message message, inner;
	struct channel channel;
	uint64_t last_id = 0;
	int fds[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_ok(channel_open(&channel, world->loop, fds[1], ROLE_ADMIN, ROLE_QUEUE));
	queue_service_set_admin(world->service, 80, fds[0]);
	for (*ret_bundles = 0;;) {
		ck_assert_ok(channel_send(&channel, &ask, MONO_NEVER));
		while (channel_receive(&channel, MONO_NEVER, &message) == OK &&
			message.kind == IPC_QUEUE_BUNDLE) {
			struct cursor cursor = cursor_of(message.queue_bundle.messages);
			++*ret_bundles;
			while (cursor_left(&cursor) > 0) {
				struct slice bytes = cursor_take(&cursor, cursor_take_u32(&cursor));
				ck_assert_ok(ipc_decode(bytes, &inner));
				asked.recipients += inner.kind == IPC_QUEUE_RECIPIENT;
				if (inner.kind != IPC_QUEUE_ITEM)
					continue;
				ck_assert_uint_gt(inner.queue_item.queue_id, last_id);
				last_id = inner.queue_item.queue_id;
				asked.count++;
			}
		}
		ck_assert_int_eq(message.kind, IPC_QUEUE_END);
		if (message.queue_end.next_id == 0)
			break;
		ask.queue_list.from_id = message.queue_end.next_id;
	}
	channel_close(&channel);
	return asked;
}

static void
bundle_body(void *arg)
{
	struct world *world = arg;
	uint32_t bundles;

	ck_assert_uint_eq(list_bundled(world, 10, &bundles).count, 0);
	ck_assert_uint_eq(bundles, 0);
	for (int i = 0; i < 300; i++)
		SEND(world, "x@hold.example", "y@hold.example");
	struct asked asked = list_bundled(world, 10000, &bundles);
	ck_assert_uint_eq(asked.count, 300);
	ck_assert_uint_eq(asked.recipients, 600);
	ck_assert_uint_gt(bundles, 1);
	ck_assert_uint_lt(bundles, 10);
	asked = list_bundled(world, 7, &bundles);
	ck_assert_uint_eq(asked.count, 300);
	ck_assert_uint_eq(bundles, (300 + 6) / 7);
	service_stop(world);
}

START_TEST(long_lists_come_in_bundles)
{
	run_with(bundle_body);
}
END_TEST

/* May wait. */
static uint32_t
lane_order(struct world *world, enum queue_action action, const char *pattern)
{
	struct ipc_message ask = {.kind = IPC_QUEUE_LIST,
		.queue_list = {.max = 1, .action = action, .lane = slice_text(pattern)}};
	struct ipc_message message;
	struct channel channel;
	uint32_t paused = 0;
	int fds[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_ok(channel_open(&channel, world->loop, fds[1], ROLE_ADMIN, ROLE_QUEUE));
	queue_service_set_admin(world->service, 79, fds[0]);
	ck_assert_ok(channel_send(&channel, &ask, MONO_NEVER));
	while (channel_receive(&channel, MONO_NEVER, &message) == OK &&
		message.kind == IPC_QUEUE_PAUSED)
		paused++;
	channel_close(&channel);
	return message.kind == IPC_QUEUE_END ? paused : LANE_REFUSED;
}

static void
write_pauses(struct world *world, const char *text)
{
	ck_assert_ok(file_replace(world->env, world->dir_fd, "pauses", slice_text(text), 0600));
}

static void
pause_body(void *arg)
{
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");

	ck_assert_uint_eq(lane_order(world, QUEUE_PAUSE, "maildir *"), 1);
	ck_assert_uint_eq(lane_order(world, QUEUE_PAUSE, "mx *"), 2);
	ck_assert_uint_eq(lane_order(world, QUEUE_PAUSE, "mx *"), 2);
	ck_assert_uint_eq(lane_order(world, QUEUE_PAUSE, "two\nlines"), LANE_REFUSED);
	SEND(world, "anna@example.org");
	for (int i = 0; i < 2; i++) {
		pass_time(world, HOUR_US);
		ck_assert_uint_eq(world->seen_count, 0);
		ck_assert_uint_eq(lane_order(world, QUEUE_PAUSES, ""), 2);
		start_again(world, &deliverer);
	}
	ck_assert_uint_eq(lane_order(world, QUEUE_RESUME, "host *"), LANE_REFUSED);
	ck_assert_uint_eq(lane_order(world, QUEUE_RESUME, "maildir *"), 1);
	wait_for_seen(world, 1);
	start_again(world, &deliverer);
	ck_assert_uint_eq(lane_order(world, QUEUE_PAUSE, "host *"), 2);
	ck_assert_uint_eq(lane_order(world, QUEUE_RESUME, "*"), 0);
	write_pauses(world, "mx *\n\nmx *\n\x01\nhost *");
	start_again(world, &deliverer);
	ck_assert_uint_eq(lane_order(world, QUEUE_PAUSES, ""), 2);
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(what_is_paused_stays_so_over_restarts)
{
	run_with(pause_body);
}
END_TEST

/* What can't be written is not acknowledged, and changes nothing. */
static void
pause_refused_body(void *arg)
{
	struct world *world = arg;

	ck_assert_uint_eq(lane_order(world, QUEUE_PAUSE, "mx *"), 1);
	ck_assert_int_eq(mkdirat(world->dir_fd, ".pauses.new", 0700), 0);
	ck_assert_uint_eq(lane_order(world, QUEUE_PAUSE, "host *"), LANE_REFUSED);
	ck_assert_uint_eq(lane_order(world, QUEUE_RESUME, "mx *"), LANE_REFUSED);
	ck_assert_uint_eq(lane_order(world, QUEUE_RESUME, "*"), LANE_REFUSED);
	ck_assert_uint_eq(lane_order(world, QUEUE_PAUSES, ""), 1);
	ck_assert_int_eq(unlinkat(world->dir_fd, ".pauses.new", AT_REMOVEDIR), 0);
	ck_assert_uint_eq(lane_order(world, QUEUE_PAUSE, "host *"), 2);
	service_stop(world);
}

START_TEST(a_pause_that_cannot_be_written_is_refused)
{
	run_with(pause_refused_body);
}
END_TEST

UNIT_MAIN("queue/order", what_is_held_stays_until_it_is_released,
	what_is_retried_goes_and_what_is_deleted_is_gone, what_is_under_way_is_left_alone,
	what_is_paused_stays_so_over_restarts, a_pause_that_cannot_be_written_is_refused,
	long_lists_come_in_bundles)
