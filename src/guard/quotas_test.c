/* What a login may send, on a clock of the test's own. */
#include "guard/quotas.h"

#include "unit.h"

#define HOUR (3600 * (wall_us)US_PER_S)
#define DAY  (24 * HOUR)
#define T0   (20788 * DAY + 100 * (wall_us)US_PER_S)

static struct env env;
static struct conf_limits limits;
static struct quotas *quotas;

static void
start(void)
{
	env_init_linux(&env);
	limits = (struct conf_limits){.login = {0}};
	quotas = quotas_new(&env, &limits);
}

static void
end(void)
{
	quotas_free(&quotas);
	ck_assert_uint_eq(memory_used(env.memory), 0);
	env_done(&env);
}

static struct quota_verdict
recipient(const char *login, unsigned number, wall_us now)
{
	char text[64];

	snprintf(text, sizeof text, "R%u@far.test", number);
	return quotas_judge(quotas, number % 3,
		&(struct ipc_quota_ask){.step = QUOTA_RECIPIENT,
			.login = slice_text(login),
			.recipient = slice_text(text)},
		now);
}

/* How many of so many recipients are granted. */
static unsigned
granted(const char *login, unsigned first, unsigned count, wall_us now)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < count; i++)
		sum += !recipient(login, first + i, now).is_refused;
	return sum;
}

static struct quota_verdict
step(enum quota_step what, uint32_t worker, uint32_t sessions, uint64_t octets, wall_us now)
{
	return quotas_judge(quotas, worker,
		&(struct ipc_quota_ask){.step = what,
			.sessions = sessions,
			.octets = octets,
			.login = SLICE("alice@a.test")},
		now);
}

START_TEST(recipients_of_an_hour_and_of_a_day)
{
	start();
	limits.login[CONF_LOGIN_RECIPIENTS_HOUR] = 300;
	limits.login[CONF_LOGIN_RECIPIENTS_DAY] = 700;
	ck_assert_uint_eq(granted("alice@a.test", 0, 1000, T0), 300);
	ck_assert_uint_eq(granted("ALICE@a.test", 0, 10, T0), 0);
	ck_assert_uint_eq(granted("bob@a.test", 0, 1000, T0), 300);
	struct quota_verdict verdict = recipient("alice@a.test", 5, T0);
	ck_assert_int_eq(verdict.limit, CONF_LOGIN_RECIPIENTS_HOUR);
	ck_assert_uint_eq(verdict.most, 300);
	ck_assert_uint_eq(verdict.figure, 301);
	/* at the beginning of the next hour the one before still counts; in its middle, half */
	ck_assert_uint_eq(granted("alice@a.test", 0, 10, T0 - 100 * US_PER_S + HOUR), 0);
	ck_assert_uint_eq(
		granted("alice@a.test", 0, 1000, T0 - 100 * US_PER_S + HOUR * 3 / 2), 150);
	ck_assert_uint_eq(granted("alice@a.test", 0, 1000, T0 + 4 * HOUR), 250);
	verdict = recipient("alice@a.test", 5, T0 + 4 * HOUR);
	ck_assert_int_eq(verdict.limit, CONF_LOGIN_RECIPIENTS_DAY);
	ck_assert_uint_eq(granted("alice@a.test", 0, 1000, T0 + 3 * DAY), 300);
	end();
}
END_TEST

START_TEST(a_clock_set_back_gives_nothing)
{
	start();
	limits.login[CONF_LOGIN_RECIPIENTS_HOUR] = 10;
	ck_assert_uint_eq(granted("alice@a.test", 0, 20, T0), 10);
	ck_assert_uint_eq(granted("alice@a.test", 0, 20, T0 - 30 * DAY), 0);
	ck_assert_uint_eq(granted("alice@a.test", 0, 20, T0 - 28 * DAY), 10);
	ck_assert_uint_eq(granted("alice@a.test", 0, 20, -5), 0);
	end();
}
END_TEST

START_TEST(new_recipients)
{
	start();
	limits.login[CONF_LOGIN_NEW_HOUR] = 5;
	limits.login[CONF_LOGIN_NEW_DAY] = 8;
	ck_assert_uint_eq(granted("alice@a.test", 0, 20, T0), 5);
	ck_assert_uint_eq(granted("alice@a.test", 0, 5, T0), 5); /* known now */
	ck_assert_uint_eq(granted("alice@a.test", 5, 1, T0), 0); /* what was refused is not */
	ck_assert_int_eq(recipient("alice@a.test", 5, T0).limit, CONF_LOGIN_NEW_HOUR);
	ck_assert_uint_eq(granted("bob@a.test", 0, 5, T0), 5); /* whom alice knows, he does not */
	ck_assert_uint_eq(granted("alice@a.test", 10, 20, T0 + 3 * HOUR), 3);
	ck_assert_int_eq(recipient("alice@a.test", 50, T0 + 3 * HOUR).limit, CONF_LOGIN_NEW_DAY);
	ck_assert_uint_eq(granted("alice@a.test", 0, 5, T0 + 30 * DAY), 5);
	end();
}
END_TEST

START_TEST(messages_and_octets_count_when_they_are_there)
{
	start();
	limits.login[CONF_LOGIN_MESSAGES_HOUR] = 3;
	limits.login[CONF_LOGIN_BYTES_HOUR] = 1000;
	for (unsigned i = 0; i < 9; i++)
		ck_assert(!step(QUOTA_MAIL, 0, 1, 0, T0).is_refused);
	ck_assert(!step(QUOTA_CONTENT, 0, 0, 900, T0).is_refused);
	ck_assert_int_eq(step(QUOTA_CONTENT, 1, 0, 101, T0).limit, CONF_LOGIN_BYTES_HOUR);
	ck_assert(!step(QUOTA_CONTENT, 1, 0, 100, T0).is_refused);
	ck_assert_int_eq(step(QUOTA_MAIL, 0, 1, 0, T0).limit, CONF_LOGIN_BYTES_HOUR);
	ck_assert(step(QUOTA_CONTENT, 0, 0, INT64_MAX, T0).is_refused);
	ck_assert(!step(QUOTA_CONTENT, 1, 0, 0, T0).is_refused);
	ck_assert_int_eq(step(QUOTA_MAIL, 0, 1, 0, T0).limit, CONF_LOGIN_MESSAGES_HOUR);
	ck_assert_int_eq(step(QUOTA_CONTENT, 0, 0, 0, T0).limit, CONF_LOGIN_MESSAGES_HOUR);
	ck_assert(!step(QUOTA_CONTENT, 0, 0, 900, T0 + 2 * HOUR).is_refused);
	end();
}
END_TEST

START_TEST(sessions_of_all_workers)
{
	start();
	limits.login[CONF_LOGIN_SESSIONS] = 5;
	ck_assert(!step(QUOTA_MAIL, 0, 3, 0, T0).is_refused);
	ck_assert(!step(QUOTA_MAIL, 1, 2, 0, T0).is_refused);
	ck_assert_int_eq(step(QUOTA_MAIL, 2, 1, 0, T0).limit, CONF_LOGIN_SESSIONS);
	ck_assert(!step(QUOTA_MAIL, 0, 3, 0, T0).is_refused); /* one of the three */
	step(QUOTA_LEAVE, 0, 2, 0, T0);
	ck_assert(!step(QUOTA_MAIL, 2, 1, 0, T0).is_refused);
	ck_assert(step(QUOTA_MAIL, 2, 2, 0, T0).is_refused);
	quotas_forget_worker(quotas, 1);
	ck_assert(!step(QUOTA_MAIL, 2, 3, 0, T0).is_refused);
	ck_assert(step(QUOTA_MAIL, 2, 4, 0, T0).is_refused);
	end();
}
END_TEST

START_TEST(one_line_an_hour)
{
	struct quota_verdict verdict;

	start();
	limits.login[CONF_LOGIN_RECIPIENTS_DAY] = 1;
	ck_assert_uint_eq(granted("alice@a.test", 0, 1, T0), 1);
	verdict = recipient("alice@a.test", 0, T0);
	ck_assert(verdict.is_due && verdict.refused == 1);
	for (unsigned i = 0; i < 99; i++)
		ck_assert(!recipient("alice@a.test", 0, T0 + HOUR - 1).is_due);
	verdict = recipient("alice@a.test", 0, T0 + HOUR);
	ck_assert(verdict.is_due && verdict.refused == 100);
	end();
}
END_TEST

START_TEST(a_snapshot_holds_all)
{
	struct buffer snapshot;

	start();
	limits.login[CONF_LOGIN_RECIPIENTS_HOUR] = 10;
	limits.login[CONF_LOGIN_NEW_HOUR] = 5;
	limits.login[CONF_LOGIN_SESSIONS] = 1;
	ck_assert(!quotas_are_changed(quotas));
	ck_assert_uint_eq(granted("alice@a.test", 0, 5, T0), 5);
	step(QUOTA_MAIL, 0, 1, 0, T0);
	ck_assert(quotas_are_changed(quotas));
	buffer_init(&snapshot, env.memory, QUOTA_BYTES_MAX);
	quotas_encode(quotas, &snapshot);
	ck_assert_ok(buffer_error(&snapshot));
	ck_assert(!quotas_are_changed(quotas));
	quotas_free(&quotas);
	quotas = quotas_new(&env, &limits);
	ck_assert_uint_eq(granted("carol@a.test", 0, 5, T0), 5);
	ck_assert_ok(quotas_decode(quotas, buffer_slice(&snapshot)));
	ck_assert_int_eq(recipient("alice@a.test", 7, T0).limit, CONF_LOGIN_NEW_HOUR);
	ck_assert_uint_eq(granted("alice@a.test", 0, 5, T0), 5);
	ck_assert_int_eq(recipient("alice@a.test", 0, T0).limit, CONF_LOGIN_RECIPIENTS_HOUR);
	ck_assert(!step(QUOTA_MAIL, 1, 1, 0, T0).is_refused); /* sessions are not in it */
	for (size_t len = 0; len < snapshot.len; len++)
		ck_assert_int_eq(quotas_decode(quotas, slice_sub(buffer_slice(&snapshot), 0, len)),
			ERROR_FORMAT);
	ck_assert_uint_eq(granted("alice@a.test", 20, 5, T0), 5); /* and nothing is left of it */
	buffer_done(&snapshot);
	end();
}
END_TEST

START_TEST(full_tables_stay_bounded)
{
	struct buffer snapshot;
	char login[32];

	start();
	limits.login[CONF_LOGIN_RECIPIENTS_HOUR] = 100;
	ck_assert_uint_eq(granted("alice@a.test", 0, 200, T0), 100);
	for (unsigned i = 0; i < 200000; i++) {
		snprintf(login, sizeof login, "u%u@a.test", i);
		recipient(login, i, T0 + 60 * US_PER_S);
	}
	ck_assert_uint_eq(granted("alice@a.test", 0, 1, T0), 0); /* the heavy one stays */
	buffer_init(&snapshot, env.memory, QUOTA_BYTES_MAX);
	quotas_encode(quotas, &snapshot);
	ck_assert_ok(buffer_error(&snapshot));
	ck_assert_ok(quotas_decode(quotas, buffer_slice(&snapshot)));
	buffer_done(&snapshot);
	end();
}
END_TEST

UNIT_MAIN("guard/quotas", recipients_of_an_hour_and_of_a_day, a_clock_set_back_gives_nothing,
	new_recipients, messages_and_octets_count_when_they_are_there, sessions_of_all_workers,
	one_line_an_hour, a_snapshot_holds_all, full_tables_stay_bounded)
