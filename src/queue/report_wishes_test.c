/*
 * What senders asked to hear (RFC 3461), and that their mail is late: once, to those who may hear
 * it, also when the process ends in between. The clock is virtual.
 */
#include "queue/queue_private.h"
#include "queue/world_test.h"

#define DAY_US (24 * HOUR_US)

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

/* Each wish with each outcome: who hears what. */
static void
wishes_body(void *arg)
{
	static const struct {
		uint32_t notify;
		bool of_failure, of_success;
	} cases[] = {{0, true, false}, {DSN_NOTIFY_NEVER, false, false},
		{DSN_NOTIFY_FAILURE, true, false}, {DSN_NOTIFY_DELAY, false, false},
		{DSN_NOTIFY_SUCCESS, false, true},
		{DSN_NOTIFY_SUCCESS | DSN_NOTIFY_FAILURE, true, true}};
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");
	uint32_t reports = 0;

	world->sender = "anna@example.org";
	world->only_to = "bob@example.org";
	for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
		bool fails = i % 2;
		world->outcome = fails ? DELIVER_PERMANENT : DELIVER_DELIVERED;
		world->notify = cases[i / 2].notify;
		SEND(world, "bob@example.org");
		reports += fails ? cases[i / 2].of_failure : cases[i / 2].of_success;
		pass_time(world, 5 * US_PER_S);
		wait_for_reports(world, reports);
		wait_for_length(world, 0);
		if (fails ? cases[i / 2].of_failure : cases[i / 2].of_success)
			ck_assert(report_has(world,
				fails ? "\r\nAction: failed\r\n" : "\r\nAction: delivered\r\n"));
	}
	wait_for_log(world, "not_reported", 3);
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(only_what_was_asked_for_is_reported)
{
	run_with(wishes_body);
}
END_TEST

static void
names_body(void *arg)
{
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");

	world->sender = "anna@example.org";
	world->outcome = DELIVER_PERMANENT;
	world->only_to = "bob@example.org";
	world->envelope_id = "QQ+20+2B1";
	world->original = "rfc822;robert+2Blist@example.com";
	world->notify = DSN_NOTIFY_FAILURE;
	SEND(world, "bob@example.org");
	pass_time(world, 5 * US_PER_S);
	wait_for_reports(world, 1);
	ck_assert(report_has(world, "\r\nOriginal-Envelope-Id: QQ +1\r\n"));
	ck_assert(report_has(world, "\r\nOriginal-Recipient: rfc822; robert+list@example.com\r\n"
				    "Final-Recipient: rfc822; bob@example.org\r\n"));
	ck_assert(report_has(world, "\r\nContent-Type: text/rfc822-headers"));
	/* A stranger could have it sent to anybody. */
	world->returns = RETURNS_FULL;
	world->conf.report_original_limit = 65536;
	world->client = "192.0.2.1";
	SEND(world, "bob@example.org");
	pass_time(world, 5 * US_PER_S);
	wait_for_reports(world, 2);
	ck_assert(report_has(world, "\r\nContent-Type: text/rfc822-headers"));
	/* The trace belongs to it. */
	world->client = "";
	world->conf.report_original_limit = 3000;
	SEND(world, "bob@example.org");
	pass_time(world, 5 * US_PER_S);
	wait_for_reports(world, 3);
	ck_assert(report_has(world, "\r\nContent-Type: text/rfc822-headers"));
	wait_for_length(world, 0);
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(names_come_back)
{
	run_with(names_body);
}
END_TEST

static bool
report_lacks(const struct world *world, const char *text)
{
	return !strstr(world->report, text) ||
	       !fprintf(stderr, "\"%s\" in:\n%s\n", text, world->report);
}

static uint32_t
report_times(const struct world *world, const char *text)
{
	uint32_t times = 0;

	for (const char *at = world->report; (at = strstr(at, text)) != NULL; at++)
		times++;
	return times;
}

/* May wait. Two targets of an alias, which both fail. */
static void
send_to_targets(struct world *world, const char *original)
{
	uint32_t reports = world->report_count;

	world->original = original;
	SEND(world, "bob@example.org", "bob@example.org");
	pass_time(world, 5 * US_PER_S);
	wait_for_reports(world, reports + 1);
	wait_for_length(world, 0);
}

/* Whom an alias leads to is nobody's business, but for whom the configuration says so. */
static void
targets_body(void *arg)
{
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");

	world->sender = "anna@example.org";
	world->are_targets = true;
	world->only_to = "bob@example.org";
	world->outcome = DELIVER_PERMANENT;
	send_to_targets(world, "rfc822;team+2Bx@example.org");
	ck_assert(report_has(world, "\r\nOriginal-Recipient: rfc822; team+x@example.org\r\n"
				    "Final-Recipient: rfc822; team+x@example.org\r\n"
				    "Action: failed\r\n"));
	ck_assert(report_lacks(world, "bob@"));
	ck_assert(report_lacks(world, "Diagnostic-Code"));
	/* How many there are isn't either. */
	ck_assert_uint_eq(report_times(world, "Final-Recipient"), 1);
	/* A name of another kind stays one, and what had no room for one has none. */
	send_to_targets(world, "x400;c+3Dde");
	ck_assert(report_has(world, "\r\nFinal-Recipient: x400; c=de\r\n"));
	send_to_targets(world, "");
	ck_assert(report_has(world, "\r\nFinal-Recipient: rfc822; undisclosed-recipient@"));
	ck_assert(report_lacks(world, "bob@"));
	world->conf.report_targets = CONF_YES;
	send_to_targets(world, "rfc822;team@example.org");
	ck_assert(report_has(world, "\r\nOriginal-Recipient: rfc822; team@example.org\r\n"
				    "Final-Recipient: rfc822; bob@example.org\r\n"));
	ck_assert_uint_eq(report_times(world, "Final-Recipient"), 2);
	ck_assert(report_has(world, "\r\nDiagnostic-Code"));
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(targets_are_hidden)
{
	run_with(targets_body);
}
END_TEST

/* Three in two destinations, and an address that was expanded: one report. */
static void
together_body(void *arg)
{
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");

	world->sender = "anna@example.org";
	world->notify = DSN_NOTIFY_SUCCESS;
	world->is_expanded = true;
	SEND(world, "team@example.org", "bob@example.org", "x@discard.example",
		"carol@example.org");
	pass_time(world, 5 * US_PER_S);
	wait_for_reports(world, 1);
	ck_assert_uint_eq(world->seen_count, 3); /* bob, carol, the report */
	ck_assert(report_has(world, "; team@example.org\r\nAction: expanded\r\n"));
	ck_assert(report_has(world, "; bob@example.org\r\nAction: delivered\r\n"));
	ck_assert(report_has(world, "; carol@example.org\r\nAction: delivered\r\n"));
	ck_assert(report_has(world, "; x@discard.example\r\nAction: delivered\r\n"));
	wait_for_length(world, 0);
	world->is_expanded = false;
	world->passes_on = true;
	SEND(world, "bob@example.org");
	pass_time(world, 5 * US_PER_S);
	world->passes_on = false;
	world->sender = "";
	SEND(world, "bob@example.org");
	pass_time(world, 5 * US_PER_S);
	world->sender = "anna@example.org";
	world->conf.reports_limit = 0;
	world->client = "192.0.2.1";
	SEND(world, "bob@example.org");
	pass_time(world, HOUR_US);
	wait_for_reports(world, 1);
	wait_for_length(world, 0);
	wait_for_log(world, "suppressed", 1);
	start_again(world, &deliverer);
	pass_time(world, DAY_US);
	ck_assert_uint_eq(world->seen_count, 6);
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(what_arrives_together_is_told_together)
{
	run_with(together_body);
}
END_TEST

/* Of what was delivered but not told nothing is on the disk: it arrives again, and is told once. */
static void
arrival_restart_body(void *arg)
{
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");

	world->sender = "anna@example.org";
	world->notify = DSN_NOTIFY_SUCCESS;
	SEND(world, "bob@example.org", "carol@system.example");
	pass_time(world, US_PER_S);
	ck_assert_uint_eq(world->seen_count, 1);
	start_again(world, &deliverer);
	pass_time(world, 10 * US_PER_S);
	wait_for_reports(world, 1);
	ck_assert_uint_eq(world->seen_count, 3);
	start_again(world, &deliverer);
	pass_time(world, HOUR_US);
	wait_for_reports(world, 1);
	ck_assert_uint_eq(world->seen_count, 3);
	wait_for_length(world, 1);
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(an_arrival_that_was_not_told_is_found_again)
{
	run_with(arrival_restart_body);
}
END_TEST

static void
late_body(void *arg)
{
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");

	world->sender = "anna@example.org";
	world->outcome = DELIVER_TEMPORARY;
	world->only_to = "full@example.org";
	world->conf.report_delay_us = 4 * HOUR_US;
	SEND(world, "full@example.org", "bob@example.org");
	pass_time(world, 4 * HOUR_US - US_PER_S);
	wait_for_reports(world, 0);
	pass_time(world, 2 * US_PER_S);
	wait_for_reports(world, 1);
	ck_assert(report_has(world, "; full@example.org\r\nAction: delayed\r\nStatus: 4.2.2\r\n"));
	ck_assert(report_has(world, "\r\nWill-Retry-Until: "));
	ck_assert(report_has(world, "The next try is at "));
	ck_assert(report_has(world, "mailbox full"));
	ck_assert_ptr_null(strstr(world->report, "bob@example.org"));
	pass_time(world, 8 * HOUR_US);
	wait_for_reports(world, 1);
	start_again(world, &deliverer);
	pass_time(world, 8 * HOUR_US);
	wait_for_reports(world, 1);
	pass_time(world, DAY_US); /* and now it failed */
	wait_for_reports(world, 2);
	wait_for_length(world, 0);
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(a_late_message_is_told_of_once)
{
	run_with(late_body);
}
END_TEST

/* Who does not hear of it, and a process that ends just before it would have told. */
static void
late_wishes_body(void *arg)
{
	static const struct {
		const char *sender, *client;
		uint32_t notify;
		bool told;
	} cases[] = {{"", "", 0, false}, {"anna@example.org", "192.0.2.1", 0, false},
		{"anna@example.org", "192.0.2.1", DSN_NOTIFY_DELAY, true},
		{"anna@example.org", "", DSN_NOTIFY_FAILURE, false},
		{"anna@example.org", "", DSN_NOTIFY_NEVER, false},
		{"anna@example.org", "", DSN_NOTIFY_DELAY | DSN_NOTIFY_SUCCESS, true}};
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");
	uint32_t reports = 0;

	world->outcome = DELIVER_TEMPORARY;
	world->only_to = "full@example.org";
	world->has_many_senders = true;
	world->conf.report_delay_us = 4 * HOUR_US;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		world->sender = cases[i].sender;
		world->client = cases[i].client;
		world->notify = cases[i].notify;
		SEND(world, "full@example.org");
		reports += cases[i].told;
	}
	pass_time(world, 4 * HOUR_US - 2 * US_PER_S);
	wait_for_reports(world, 0);
	start_again(world, &deliverer);
	pass_time(world, HOUR_US);
	wait_for_reports(world, reports);
	start_again(world, &deliverer);
	pass_time(world, 4 * HOUR_US);
	wait_for_reports(world, reports);
	world->conf.report_delay_us = 0;
	world->sender = "anna@example.org";
	world->client = "";
	world->notify = DSN_NOTIFY_DELAY;
	start_again(world, &deliverer);
	SEND(world, "full@example.org");
	pass_time(world, 8 * HOUR_US);
	wait_for_reports(world, reports);
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(who_asked_not_to_hear_of_delay_does_not)
{
	run_with(late_wishes_body);
}
END_TEST

UNIT_MAIN("queue/report_wishes", only_what_was_asked_for_is_reported, names_come_back,
	targets_are_hidden, what_arrives_together_is_told_together,
	an_arrival_that_was_not_told_is_found_again, a_late_message_is_told_of_once,
	who_asked_not_to_hear_of_delay_does_not)
