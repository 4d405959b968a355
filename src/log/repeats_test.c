/* A dead destination with many messages takes a bounded number of lines, none is lost from the sum,
 * and other destinations have theirs. */
#include "log/repeats.h"

#include "base/list.h"
#include "virtual_env.h"

#define MINUTE REPEATS_MINUTE_US

struct world {
	struct virtual_env *v;
	struct log_sink sink; /* what is said goes to `repeats`, what that says is counted */
	struct repeats repeats;
	mono_us now;
	unsigned lines, sums;
	unsigned dead; /* sums of the lane "mx dead.test" */
	int64_t tries, recipients;
	bool is_telling;
};

static void
sink_write(struct log_sink *sink, struct slice record)
{
	struct world *w = list_entry((struct list *)(void *)sink, struct world, sink);
	int64_t number = 0;
	struct slice lane;

	if (!w->is_telling) {
		w->lines += !repeats_take(&w->repeats, record, w->now);
		return;
	}
	w->sums++;
	ck_assert_ok(log_record_number(record, "tries", &number));
	w->tries += number;
	ck_assert_ok(log_record_number(record, "recipients", &number));
	if (log_record_text(record, "lane", &lane) == OK)
		w->dead += slice_equal(lane, SLICE("mx dead.test"));
	w->recipients += number;
}

static struct world *
world_new(void)
{
	struct world *w = calloc(1, sizeof *w);

	ck_assert_ptr_nonnull(w);
	w->v = virtual_env_new(0);
	w->sink.write = sink_write;
	w->v->env.log = &w->sink;
	w->now = 1;
	return w;
}

static void
world_free(struct world *w)
{
	virtual_env_free(w->v);
	free(w);
}

static void
defer(struct world *w, const char *lane)
{
	log_event(&w->v->env, LOG_INFO, "deferred", LOG_NUMBER("recipients", 2),
		LOG_STRING("lane", lane), LOG_STRING("reply", "no route to host"));
}

static void
tell(struct world *w, bool all)
{
	w->is_telling = true;
	repeats_tell(&w->repeats, &w->v->env, w->now, all);
	w->is_telling = false;
}

START_TEST(lines_are_bounded)
{
	struct world *w = world_new();

	for (int i = 0; i < 100000; i++)
		defer(w, "mx dead.test");
	defer(w, "mx other.test");
	ck_assert_uint_eq(w->lines, REPEATS_LINES + 1);
	tell(w, false);
	ck_assert_uint_eq(w->sums, 0);
	w->now += MINUTE;
	tell(w, false);
	ck_assert_uint_eq(w->sums, 1);
	ck_assert_uint_eq(w->dead, 1);
	ck_assert_int_eq(w->tries, 100000 - REPEATS_LINES);
	ck_assert_int_eq(w->recipients, 2 * (100000 - REPEATS_LINES));
	/* The next minute has lines of its own. */
	for (int i = 0; i < 100; i++)
		defer(w, "mx dead.test");
	ck_assert_uint_eq(w->lines, 2 * REPEATS_LINES + 1);
	tell(w, true);
	ck_assert_int_eq(w->tries, 100100 - 2 * REPEATS_LINES);
	world_free(w);
}
END_TEST

/* More lanes than there is room for: nothing is lost from the sums. */
START_TEST(lanes_are_bounded)
{
	struct world *w = world_new();
	char lane[32];
	unsigned said = 0;

	for (int round = 0; round < 50; round++)
		for (int i = 0; i < 500; i++, said++) {
			snprintf(lane, sizeof lane, "mx d%d.test", i);
			defer(w, lane);
		}
	tell(w, true);
	ck_assert_uint_eq(w->lines + (unsigned)w->tries, said);
	ck_assert_uint_le(w->sums, 2 * REPEATS_LANES + 2);
	ck_assert_uint_le(w->lines, (2 * REPEATS_LANES + 2) * REPEATS_LINES);
	ck_assert_uint_eq(w->repeats.left_out, 0);
	/* Lanes with nothing to tell give their places to others. */
	w->now += MINUTE;
	w->lines = 0;
	for (int i = 0; i < 2 * REPEATS_LANES; i++) {
		snprintf(lane, sizeof lane, "mx e%d.test", i);
		defer(w, lane);
	}
	ck_assert_uint_eq(w->lines, 2 * REPEATS_LANES);
	world_free(w);
}
END_TEST

/* Ends, and what is no try, are lines always. */
START_TEST(ends_are_told)
{
	struct world *w = world_new();

	for (int i = 0; i < 100; i++) {
		log_event(&w->v->env, LOG_INFO, "relayed", LOG_STRING("destination", "d.test"),
			LOG_NUMBER("accepted", 1), LOG_NUMBER("deferred", 1),
			LOG_NUMBER("failed", 0));
		log_event(&w->v->env, LOG_INFO, "delivered", LOG_STRING("lane", "mx d.test"));
		log_event(&w->v->env, LOG_INFO, "failed", LOG_STRING("lane", "mx d.test"));
	}
	ck_assert_uint_eq(w->lines, 300);
	for (int i = 0; i < 100; i++)
		log_event(&w->v->env, LOG_INFO, "relayed", LOG_STRING("destination", "d.test"),
			LOG_NUMBER("accepted", 0), LOG_NUMBER("deferred", 3),
			LOG_NUMBER("failed", 0));
	ck_assert_uint_eq(w->lines, 300 + REPEATS_LINES);
	tell(w, true);
	ck_assert_int_eq(w->recipients, 3 * (100 - REPEATS_LINES));
	world_free(w);
}
END_TEST

UNIT_MAIN("log/repeats", lines_are_bounded, lanes_are_bounded, ends_are_told)
