/*
 * Who is told of what failed: once, in one report, or the postmaster in one for all, or, when
 * strangers' mail fails in great numbers, nobody. The clock is virtual.
 */
#include "queue/queue_private.h"
#include "queue/world_test.h"

#define DAY_US (24 * HOUR_US)

/* Whether the last report, whose octets are shown if not, has this. */
static bool
report_has(const struct world *world, const char *text)
{
	if (strstr(world->report, text))
		return true;
	fprintf(stderr, "no \"%s\" in:\n%s\n", text, world->report);
	return false;
}

/* May wait: virtual time is fast, and the writer is a thread of the real world. */
static void
wait_for_reports(struct world *world, uint32_t count)
{
	for (int i = 0; world->report_count < count && i < 5000; i++)
		pass_time(world, 100);
	ck_assert_uint_eq(world->report_count, count);
}

/* May wait. */
static void
wait_for_length(struct world *world, uint64_t length)
{
	for (int i = 0; queue_length(world) != length && i < 1000; i++)
		pass_time(world, 100);
	ck_assert_uint_eq(queue_length(world), length);
}

/* May wait: the next process. */
static void
start_again(struct world *world, struct deliverer **deliverer)
{
	service_stop(world);
	deliverer_end(*deliverer);
	service_start(world);
	*deliverer = deliverer_start(world, "mail");
}

static void
report_body(void *arg)
{
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");
	char id[QUEUE_ID_DIGITS + 1];

	world->sender = "anna@example.org";
	world->outcome = DELIVER_PERMANENT;
	world->only_to = "gone@example.org";
	queue_id_print(SEND(world, "bob@example.org", "gone@example.org"), id);
	pass_time(world, US_PER_S);
	wait_for_reports(world, 1);
	ck_assert_uint_eq(world->seen_count, 3);
	ck_assert_str_eq(world->seen[2].address, "anna@example.org");
	ck_assert(report_has(world, "\r\nTo: <anna@example.org>\r\n"));
	ck_assert(report_has(world, "MAILER-DAEMON@mx.example.org"));
	ck_assert(report_has(world, "\r\nAuto-Submitted: auto-replied\r\n"));
	ck_assert(report_has(world, "multipart/report"));
	ck_assert(report_has(world, "\r\nFinal-Recipient: rfc822; gone@example.org\r\n"
				    "Action: failed\r\nStatus: 5.1.1\r\n"));
	ck_assert(report_has(world, "no such mailbox"));
	ck_assert(report_has(world, id));
	ck_assert_ptr_null(strstr(world->report, "bob@example.org"));
	for (int i = 0; i < 2; i++) {
		wait_for_length(world, 0);
		start_again(world, &deliverer);
		pass_time(world, DAY_US);
		ck_assert_uint_eq(world->seen_count, 3);
	}
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(a_failure_is_reported_to_its_sender)
{
	run_with(report_body);
}
END_TEST

/* In three destinations, at three times: one report, since all is known within five minutes. */
static void
gather_body(void *arg)
{
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");

	world->sender = "anna@example.org";
	world->outcome = DELIVER_PERMANENT;
	world->only_to = "gone@example.org";
	SEND(world, "gone@example.org", "a:b@system.example");
	pass_time(world, US_PER_S);
	wait_for_reports(world, 1);
	ck_assert(report_has(world, "; gone@example.org\r\n"));
	ck_assert(report_has(world, "Status: 5.1.3\r\n"));
	/* The deliverer of this user never comes: the one that failed is told without the other. */
	SEND(world, "gone@example.org", "carol@system.example");
	pass_time(world, 60 * US_PER_S);
	wait_for_reports(world, 1);
	pass_time(world, 300 * US_PER_S);
	wait_for_reports(world, 2);
	ck_assert_ptr_null(strstr(world->report, "carol"));
	wait_for_length(world, 1);
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(what_fails_together_is_told_together)
{
	run_with(gather_body);
}
END_TEST

static void
expire_body(void *arg)
{
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");

	world->sender = "anna@example.org";
	world->outcome = DELIVER_TEMPORARY;
	world->only_to = "full@example.org";
	SEND(world, "full@example.org", "x@gone.example");
	pass_time(world, 2 * DAY_US);
	wait_for_length(world, 0);
	ck_assert(report_has(world, "Status: 5.4.7\r\n"));
	wait_for_log(world, "expired", 2);
	wait_for_length(world, 0);
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(what_is_too_old_is_reported)
{
	run_with(expire_body);
}
END_TEST

/* Three reports that can't be delivered are told in one message, and that never in another. */
static void
postmaster_body(void *arg)
{
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");

	world->sender = "";
	world->outcome = DELIVER_PERMANENT;
	world->only_to = "gone@example.org";
	SEND(world, "gone@example.org");
	SEND(world, "gone@example.org", "gone@example.org");
	pass_time(world, 240 * US_PER_S);
	wait_for_length(world, 2);
	ck_assert_uint_eq(world->report_count, 0);
	pass_time(world, 120 * US_PER_S);
	wait_for_reports(world, 1);
	wait_for_length(world, 0);
	ck_assert(report_has(world, "\r\nTo: <postmaster@example.org>\r\n"));
	ck_assert(report_has(world, "from <>  to <gone@example.org>\r\n    5.1.1 no such mailbox"));
	SEND(world, "gone@example.org");
	pass_time(world, HOUR_US - 360 * US_PER_S);
	wait_for_reports(world, 1);
	world->only_to = NULL;
	pass_time(world, 720 * US_PER_S);
	wait_for_reports(world, 2);
	wait_for_log(world, "suppressed", 1);
	wait_for_length(world, 0);
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(what_nobody_sent_is_told_to_the_postmaster)
{
	run_with(postmaster_body);
}
END_TEST

static void
limit_body(void *arg)
{
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");

	static struct slice relay_from[] = {SLICE_INIT("127.0.0.0/8"), SLICE_INIT("[::1]/128")};
	world->conf.relay_from = relay_from;
	world->conf.relay_from_count = 2;
	world->sender = "forged@example.org";
	world->client = "192.0.2.1";
	world->outcome = DELIVER_PERMANENT;
	world->only_to = "gone@example.org";
	for (int i = 0; i < 100; i++)
		SEND(world, "gone@example.org");
	pass_time(world, 30 * US_PER_S);
	wait_for_reports(world, 60);
	static const char *const trusted[] = {"", "unix", "127.1.2.3", "::1"};
	for (uint32_t i = 0; i < 4; i++) {
		world->client = trusted[i];
		SEND(world, "gone@example.org");
		pass_time(world, 30 * US_PER_S);
		wait_for_reports(world, 61 + i);
	}
	world->client = "::2";
	world->protocol = PROTOCOL_ESMTPSA;
	SEND(world, "gone@example.org");
	pass_time(world, 30 * US_PER_S);
	wait_for_reports(world, 65);
	world->protocol = PROTOCOL_ESMTP;
	SEND(world, "gone@example.org");
	pass_time(world, 30 * US_PER_S);
	ck_assert_uint_le(world->report_count, 67); /* of those that wait two had their turn */
	pass_time(world, 2 * HOUR_US);
	wait_for_reports(world, 106);
	wait_for_length(world, 0);
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(reports_to_strangers_are_limited)
{
	run_with(limit_body);
}
END_TEST

/* Without any allowance: after a day it is over, and the postmaster hears of his own domain. */
static void
suppress_body(void *arg)
{
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");

	world->conf.reports_limit = 0;
	world->sender = "forged@example.org";
	world->client = "2001:db8::1";
	world->outcome = DELIVER_PERMANENT;
	world->only_to = "gone@example.org";
	SEND(world, "gone@example.org");
	SEND(world, "a@gone.example");
	pass_time(world, DAY_US - HOUR_US);
	ck_assert_uint_eq(world->report_count, 0);
	wait_for_length(world, 2);
	pass_time(world, 2 * HOUR_US);
	wait_for_reports(world, 1);
	ck_assert(report_has(world, "from <forged@example.org>  to <gone@example.org>"));
	ck_assert_uint_eq(log_memory_count(&world->log, "suppressed"), 0);
	pass_time(world, DAY_US);
	wait_for_reports(world, 1);
	wait_for_log(world, "suppressed", 1);
	wait_for_length(world, 0);
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(what_is_over_the_limit_for_a_day_is_suppressed)
{
	run_with(suppress_body);
}
END_TEST

/* The process ends while a failure waits to be told: it is found again, and told once. */
static void
restart_body(void *arg)
{
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");

	world->sender = "anna@example.org";
	world->outcome = DELIVER_PERMANENT;
	world->only_to = "gone@example.org";
	SEND(world, "gone@example.org", "carol@system.example", "bob@example.org");
	pass_time(world, US_PER_S);
	ck_assert_uint_eq(world->seen_count, 2);
	start_again(world, &deliverer);
	pass_time(world, US_PER_S);
	ck_assert_uint_eq(world->seen_count, 3); /* and not bob again */
	ck_assert_str_eq(world->seen[2].address, "gone@example.org");
	pass_time(world, HOUR_US);
	wait_for_reports(world, 1);
	start_again(world, &deliverer);
	pass_time(world, HOUR_US);
	wait_for_reports(world, 1);
	ck_assert_uint_eq(world->seen_count, 4);
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(a_failure_that_was_not_told_is_found_again)
{
	run_with(restart_body);
}
END_TEST

UNIT_MAIN("queue/report", a_failure_is_reported_to_its_sender, what_fails_together_is_told_together,
	what_is_too_old_is_reported, what_nobody_sent_is_told_to_the_postmaster,
	reports_to_strangers_are_limited, what_is_over_the_limit_for_a_day_is_suppressed,
	a_failure_that_was_not_told_is_found_again)
