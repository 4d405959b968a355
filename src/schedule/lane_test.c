/* Lanes under a virtual clock: who is next, who waits, and that neither depends on how many others
 * there are. */
#include "schedule/lane.h"

#include "unit.h"

#define LIMITS ((struct lane_limits){2, 20, 60 * US_PER_S, 3600 * US_PER_S})

struct parcel {
	struct lane_part part;
	uint32_t number;
	mono_us due_at;
};

struct fixture {
	struct memory *memory;
	struct lane_pool pool;
	struct lane *lanes;
	size_t lane_count;
	mono_us now;
};

static void
fixture_init(struct fixture *f, size_t lane_count, uint32_t window)
{
	*f = (struct fixture){.memory = memory_new(0), .lane_count = lane_count, .now = 1000};
	lane_pool_init(&f->pool, f->memory);
	lane_pool_set_window(&f->pool, window);
	f->lanes = memory_get(f->memory, lane_count * sizeof *f->lanes);
	for (size_t i = 0; i < lane_count; i++)
		ck_assert_ok(lane_init(&f->lanes[i], &f->pool, &LIMITS));
}

static void
fixture_done(struct fixture *f)
{
	for (size_t i = 0; i < f->lane_count; i++)
		lane_done(&f->lanes[i], &f->pool);
	lane_pool_done(&f->pool);
	memory_put(f->memory, f->lanes);
	ck_assert_uint_eq(memory_used(f->memory), 0);
	memory_free(&f->memory);
}

static void
add(struct fixture *f, size_t lane, struct parcel *parcel, uint32_t sender, bool was_tried)
{
	parcel->part.sender = sender;
	parcel->part.was_tried = was_tried;
	parcel->due_at = f->now;
	lane_add(&f->lanes[lane], &f->pool, &parcel->part);
}

static struct parcel *
take(struct fixture *f, size_t *ret_lane)
{
	struct lane *lane;
	struct lane_part *part;

	if (!lane_pool_take(&f->pool, f->now, &lane, &part))
		return NULL;
	*ret_lane = (size_t)(lane - f->lanes);
	return list_entry(part, struct parcel, part);
}

static void
end(struct fixture *f, size_t lane, enum lane_outcome outcome)
{
	lane_end(&f->lanes[lane], &f->pool, f->now, outcome);
}

START_TEST(ready_lanes_take_turns)
{
	static struct parcel parcels[30];
	struct fixture f;
	size_t lane;

	fixture_init(&f, 3, 100);
	for (size_t i = 0; i < 30; i++)
		add(&f, i / 10, &parcels[i], 1, false);
	for (size_t i = 0; i < 3; i++)
		ck_assert_ptr_nonnull(take(&f, &lane));
	for (size_t i = 0; i < 3; i++)
		end(&f, i, LANE_WORKED);
	for (size_t i = 3; i < 30; i++) {
		ck_assert_ptr_nonnull(take(&f, &lane));
		ck_assert_uint_eq(lane, i % 3);
		end(&f, lane, LANE_WORKED);
	}
	ck_assert_ptr_null(take(&f, &lane));
	fixture_done(&f);
}
END_TEST

START_TEST(new_parts_go_before_tried_ones_seven_to_one)
{
	static struct parcel parcels[48];
	struct fixture f;
	size_t lane;

	fixture_init(&f, 1, 100);
	for (size_t i = 0; i < 48; i++)
		add(&f, 0, &parcels[i], 1, i % 2);
	for (size_t i = 0; i < 24; i++) {
		ck_assert_int_eq(take(&f, &lane)->part.was_tried, i % 8 == 7);
		end(&f, 0, LANE_WORKED);
	}
	fixture_done(&f);
}
END_TEST

/* One sender has 500,000 parts there, another comes with one. */
START_TEST(a_sender_with_half_a_million_parts_delays_nobody)
{
	enum { PARTS = 500000 };
	struct fixture f;
	struct parcel late = {.number = 1};
	size_t lane, before = 0;

	fixture_init(&f, 1, 100);
	struct parcel *parcels = memory_get(f.memory, PARTS * sizeof *parcels);
	for (size_t i = 0; i < PARTS; i++)
		add(&f, 0, &parcels[i], 7, false);
	add(&f, 0, &late, 8, false);
	while (take(&f, &lane) != &late) {
		end(&f, 0, LANE_WORKED);
		before++;
	}
	end(&f, 0, LANE_WORKED);
	ck_assert_uint_le(before, 1);
	/* The others in the order in which they came. */
	for (size_t i = before; i < PARTS; i++) {
		ck_assert_ptr_eq(take(&f, &lane), &parcels[i]);
		end(&f, 0, LANE_WORKED);
	}
	ck_assert_ptr_null(f.lanes[0].lines);
	memory_put(f.memory, parcels);
	fixture_done(&f);
}
END_TEST

START_TEST(a_lane_has_a_window_that_grows_with_success)
{
	static struct parcel parcels[200];
	struct fixture f;
	size_t lane;
	uint32_t taken = 0;

	fixture_init(&f, 1, 100);
	for (size_t i = 0; i < 200; i++)
		add(&f, 0, &parcels[i], 1, false);
	ck_assert_ptr_nonnull(take(&f, &lane));
	ck_assert_ptr_nonnull(take(&f, &lane));
	ck_assert_ptr_null(take(&f, &lane));
	for (int i = 0; i < 30; i++) {
		end(&f, 0, LANE_WORKED);
		while (take(&f, &lane))
			taken++;
		ck_assert_uint_le(f.lanes[0].under_way, 20);
	}
	ck_assert_uint_eq(f.lanes[0].under_way, 20);
	end(&f, 0, LANE_DEFERS);
	ck_assert_ptr_null(take(&f, &lane)); /* half of it now */
	while (f.lanes[0].under_way > 0)
		end(&f, 0, LANE_UNTRIED);
	for (size_t i = 0; i < 200; i++)
		lane_remove(&f.lanes[0], &f.pool, &parcels[i].part);
	ck_assert(lane_is_idle(&f.lanes[0]));
	fixture_done(&f);
}
END_TEST

START_TEST(a_destination_that_fails_is_closed_and_then_probed)
{
	static struct parcel parcels[10];
	struct fixture f;
	size_t lane;
	mono_us wait_us = 60 * US_PER_S;

	fixture_init(&f, 1, 100);
	for (size_t i = 0; i < 10; i++)
		add(&f, 0, &parcels[i], 1, false);
	ck_assert_int_eq(lane_pool_next_open(&f.pool), MONO_NEVER);
	for (int round = 0; round < 9; round++) {
		ck_assert_ptr_nonnull(take(&f, &lane));
		end(&f, 0, LANE_FAILED);
		ck_assert_ptr_null(take(&f, &lane));
		ck_assert_int_eq(lane_pool_next_open(&f.pool), f.now + wait_us);
		f.now += wait_us - 1;
		ck_assert_ptr_null(take(&f, &lane));
		f.now++;
		wait_us = wait_us * 2 < 3600 * US_PER_S ? wait_us * 2 : 3600 * US_PER_S;
	}
	ck_assert_ptr_nonnull(take(&f, &lane));
	ck_assert_ptr_null(take(&f, &lane)); /* one to see, no more */
	end(&f, 0, LANE_WORKED);
	ck_assert_int_eq(lane_pool_next_open(&f.pool), MONO_NEVER);
	fixture_done(&f);
}
END_TEST

START_TEST(a_closed_lane_opens_when_its_reason_is_over)
{
	static struct parcel parcels[2];
	struct fixture f;
	size_t lane;

	fixture_init(&f, 1, 100);
	add(&f, 0, &parcels[0], 1, false);
	add(&f, 0, &parcels[1], 1, false);
	ck_assert_ptr_nonnull(take(&f, &lane));
	end(&f, 0, LANE_FAILED);
	ck_assert_ptr_null(take(&f, &lane));
	lane_open(&f.lanes[0], &f.pool);
	ck_assert_int_eq(lane_pool_next_open(&f.pool), MONO_NEVER);
	ck_assert_ptr_eq(take(&f, &lane), &parcels[1]);
	end(&f, 0, LANE_WORKED);
	fixture_done(&f);
}
END_TEST

/* What was under way together fails together: that is one reason to close, not twenty. */
START_TEST(a_paused_lane_keeps_its_parts)
{
	struct parcel parcels[3] = {0};
	struct fixture f;
	size_t lane;

	fixture_init(&f, 2, 10);
	add(&f, 0, &parcels[0], 1, false);
	add(&f, 0, &parcels[1], 1, false);
	ck_assert_ptr_nonnull(take(&f, &lane)); /* this one is under way */
	lane_set_paused(&f.lanes[0], &f.pool, true);
	ck_assert_ptr_null(take(&f, &lane));
	end(&f, 0, LANE_WORKED);
	lane_open(&f.lanes[0], &f.pool);
	ck_assert_ptr_null(take(&f, &lane));
	add(&f, 1, &parcels[2], 1, false);
	ck_assert_ptr_eq(take(&f, &lane), &parcels[2]); /* others go on */
	end(&f, 1, LANE_WORKED);
	lane_set_paused(&f.lanes[0], &f.pool, false);
	ck_assert_ptr_eq(take(&f, &lane), &parcels[1]);
	end(&f, 0, LANE_WORKED);
	fixture_done(&f);
}
END_TEST

START_TEST(failures_of_one_time_close_once)
{
	static struct parcel parcels[10];
	struct fixture f;
	size_t lane;

	fixture_init(&f, 1, 100);
	for (size_t i = 0; i < 4; i++)
		add(&f, 0, &parcels[i], 1, false);
	while (take(&f, &lane))
		;
	while (f.lanes[0].under_way > 0)
		end(&f, 0, LANE_FAILED);
	ck_assert_int_eq(lane_pool_next_open(&f.pool), f.now + 60 * US_PER_S);
	ck_assert_uint_eq(f.lanes[0].closings, 1);
	fixture_done(&f);
}
END_TEST

/* 50,000 destinations of which all but one hang: that one has every other part at once, and with a
 * thousand parts under way for ever half of the window is left. */
START_TEST(lanes_that_hang_leave_half_of_the_window)
{
	enum { LANES = 50000, GOOD = 777, WINDOW = 1000 };
	struct fixture f;
	size_t lane;
	uint32_t hanging = 0, good = 0;

	fixture_init(&f, LANES, WINDOW);
	struct parcel *parcels = memory_get(f.memory, LANES * sizeof *parcels);
	static struct parcel more[5000];
	for (size_t i = 0; i < LANES; i++)
		add(&f, i, &parcels[i], 1, false);
	/* It has worked before. */
	f.lanes[GOOD].is_proven = true;
	list_remove(&f.lanes[GOOD].ready);
	for (size_t i = 0; i < 5000; i++)
		add(&f, GOOD, &more[i], 1, false);
	for (struct parcel *parcel; good < 5001 && (parcel = take(&f, &lane)) != NULL;) {
		f.now += 50; /* a dispatch and a result */
		if (lane == GOOD) {
			end(&f, lane, LANE_WORKED);
			ck_assert_int_le(f.now - parcel->due_at, 2 * 5001 * 50);
			good++;
		} else
			hanging++;
	}
	ck_assert_uint_eq(good, 5001);
	ck_assert_uint_le(hanging, WINDOW / 2);
	ck_assert_uint_eq(f.pool.unproven_under_way, hanging);
	memory_put(f.memory, parcels);
	fixture_done(&f);
}
END_TEST

/* A pool without carriers gives nothing out, and all of it when one is there. */
START_TEST(a_pool_without_carriers_keeps_its_parts)
{
	static struct parcel parcels[3];
	struct fixture f;
	size_t lane;

	fixture_init(&f, 3, 0);
	for (size_t i = 0; i < 3; i++)
		add(&f, i, &parcels[i], 1, false);
	ck_assert_ptr_null(take(&f, &lane));
	lane_pool_set_window(&f.pool, 4);
	ck_assert_ptr_nonnull(take(&f, &lane));
	ck_assert_ptr_nonnull(take(&f, &lane));
	ck_assert_ptr_null(take(&f, &lane)); /* two that are not proven are half of it */
	end(&f, 0, LANE_WORKED);
	ck_assert_ptr_nonnull(take(&f, &lane));
	ck_assert_uint_eq(lane, 2);
	fixture_done(&f);
}
END_TEST

/* Random histories against a count of what is where. */
START_TEST(random_histories_lose_nothing)
{
	enum { LANES = 5, PARTS = 300 };
	static struct parcel parcels[PARTS];
	static int place[PARTS]; /* -1: nowhere; -2 - lane: under way; else its lane */
	uint64_t state = 12345;
	struct fixture f;

	fixture_init(&f, LANES, 16);
	for (int i = 0; i < PARTS; i++)
		place[i] = -1;
	for (int step = 0; step < 200000; step++) {
		state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
		uint32_t random = (uint32_t)(state >> 33);
		int i = (int)(random / 16 % PARTS);
		size_t lane = random / 16 / PARTS % LANES;
		struct parcel *got;
		f.now += US_PER_S;
		switch (random % 8) {
		case 0:
		case 1:
		case 2:
			if (place[i] == -1) {
				add(&f, lane, &parcels[i], random >> 8, random >> 20 & 1);
				place[i] = (int)lane;
			}
			break;
		case 3:
			if (place[i] >= 0) {
				lane_remove(&f.lanes[place[i]], &f.pool, &parcels[i].part);
				place[i] = -1;
			}
			break;
		case 4:
		case 5:
			got = take(&f, &lane);
			if (got) {
				i = (int)(got - parcels);
				ck_assert_int_eq(place[i], (int)lane);
				place[i] = -2 - (int)lane;
			}
			break;
		default:
			if (place[i] <= -2) {
				end(&f, (size_t)(-2 - place[i]),
					(enum lane_outcome)(random >> 9 & 3));
				place[i] = -1;
			}
		}
		uint32_t under_way = 0, waiting = 0, here = 0;
		for (int k = 0; k < LANES; k++) {
			under_way += f.lanes[k].under_way;
			waiting += f.lanes[k].fresh_count + f.lanes[k].tried_count;
			ck_assert_uint_le(f.lanes[k].under_way, 20);
		}
		ck_assert_uint_eq(under_way, f.pool.under_way);
		ck_assert_uint_le(under_way, 16);
		for (int k = 0; k < PARTS && step % 100 == 0; k++)
			here += place[k] >= 0;
		ck_assert(step % 100 != 0 || here == waiting);
	}
	for (int i = 0; i < PARTS; i++)
		if (place[i] >= 0)
			lane_remove(&f.lanes[place[i]], &f.pool, &parcels[i].part);
	fixture_done(&f);
}
END_TEST

UNIT_MAIN("schedule/lane", ready_lanes_take_turns, new_parts_go_before_tried_ones_seven_to_one,
	a_sender_with_half_a_million_parts_delays_nobody,
	a_lane_has_a_window_that_grows_with_success,
	a_destination_that_fails_is_closed_and_then_probed,
	a_closed_lane_opens_when_its_reason_is_over, a_paused_lane_keeps_its_parts,
	failures_of_one_time_close_once, lanes_that_hang_leave_half_of_the_window,
	a_pool_without_carriers_keeps_its_parts, random_histories_lose_nothing)
