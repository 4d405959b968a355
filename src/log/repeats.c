/* A lane's minute begins with its first line. A lane of which nothing is left to tell gives its
 * place up when its minute is over. */
#include "log/repeats.h"

static const struct {
	const char *event;
	const char *key;
	const char *told_as;
} events[] = {{"deferred", "lane", "deferred_more"}, {"relayed", "destination", "relayed_more"}};
#define EVENTS (sizeof events / sizeof *events)

/* A try that brought an end for somebody is no repetition. */
static bool
is_repetition(struct slice record, uint32_t event)
{
	int64_t number;

	if (!log_record_is(record, events[event].event))
		return false;
	return (log_record_number(record, "accepted", &number) != OK || number == 0) &&
	       (log_record_number(record, "failed", &number) != OK || number == 0);
}

static bool
is_over(const struct repeats_lane *lane, mono_us now)
{
	return now - lane->since >= REPEATS_MINUTE_US;
}

static struct repeats_lane *
lane_for(struct repeats *repeats, uint32_t event, struct slice key, mono_us now)
{
	struct repeats_lane *free_lane = NULL;

	for (size_t i = 0; i < EVENTS * REPEATS_LANES; i++) {
		struct repeats_lane *lane = &repeats->lanes[i];
		bool is_free = lane->since == 0 || (is_over(lane, now) && lane->left_out == 0);
		if (lane->since != 0 && lane->event == event &&
			slice_equal(key, slice_of(lane->key, lane->key_len)))
			return lane;
		if (!free_lane && is_free)
			free_lane = lane;
	}
	if (!free_lane) {
		repeats->others[event].event = event;
		return &repeats->others[event];
	}
	*free_lane = (struct repeats_lane){.event = event, .key_len = (uint16_t)key.len};
	if (key.len > 0)
		memcpy(free_lane->key, key.ptr, key.len);
	return free_lane;
}

static void
keep_reply(struct repeats_lane *lane, struct slice record)
{
	struct slice reply = {0};

	if (log_record_text(record, "reply", &reply) != OK)
		return;
	reply = slice_sub(reply, 0, sizeof lane->reply);
	if (reply.len > 0)
		memcpy(lane->reply, reply.ptr, reply.len);
	lane->reply_len = (uint16_t)reply.len;
}

bool
repeats_take(struct repeats *repeats, struct slice record, mono_us now)
{
	struct slice key;
	int64_t recipients;
	uint32_t event = 0;

	while (event < EVENTS && !is_repetition(record, event))
		event++;
	if (event == EVENTS || log_record_text(record, events[event].key, &key) != OK)
		return false;
	struct repeats_lane *lane =
		lane_for(repeats, event, slice_sub(key, 0, REPEATS_KEY_MAX), now);
	if (lane->since == 0 || (is_over(lane, now) && lane->left_out == 0)) {
		lane->since = now;
		lane->lines = 0;
	}
	if (lane->lines < REPEATS_LINES) {
		lane->lines++;
		return false;
	}
	if (log_record_number(record, event == 0 ? "recipients" : "deferred", &recipients) == OK &&
		recipients > 0)
		lane->recipients += (uint64_t)recipients;
	keep_reply(lane, record);
	lane->left_out++;
	repeats->left_out++;
	return true;
}

static void
tell_lane(struct repeats *repeats, struct repeats_lane *lane, struct env *env, mono_us now)
{
	struct slice key = slice_of(lane->key, lane->key_len);
	bool is_others = lane == &repeats->others[lane->event];

	log_event(env, LOG_INFO, events[lane->event].told_as,
		LOG_SLICE(events[lane->event].key, is_others ? SLICE("(others)") : key),
		LOG_NUMBER("tries", lane->left_out), LOG_NUMBER("recipients", lane->recipients),
		LOG_NUMBER("s", (now - lane->since) / US_PER_S),
		LOG_SLICE("last_reply", slice_of(lane->reply, lane->reply_len)));
	repeats->left_out -= lane->left_out;
	lane->left_out = lane->recipients = 0;
	lane->lines = 0;
	lane->since = now;
}

void
repeats_tell(struct repeats *repeats, struct env *env, mono_us now, bool all)
{
	if (repeats->left_out == 0)
		return;
	for (size_t i = 0; i < EVENTS * REPEATS_LANES; i++)
		if (repeats->lanes[i].left_out > 0 && (all || is_over(&repeats->lanes[i], now)))
			tell_lane(repeats, &repeats->lanes[i], env, now);
	for (size_t i = 0; i < EVENTS; i++)
		if (repeats->others[i].left_out > 0 && (all || is_over(&repeats->others[i], now)))
			tell_lane(repeats, &repeats->others[i], env, now);
}
