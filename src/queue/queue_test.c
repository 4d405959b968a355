/*
 * The queue as a whole over a real spool: a session puts messages into its ring, deliverers of the
 * test's answer as they are told. The clock is virtual, so that retries come as soon as nothing
 * else happens.
 */
#include "queue/queue_private.h"
#include "queue/world_test.h"

static void
delivery_body(void *arg)
{
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");

	uint64_t id = SEND(world, "anna@example.org", "Bob@Example.ORG");
	wait_for_seen(world, 2);
	for (uint32_t i = 0; i < 2; i++) {
		ck_assert_uint_eq(world->seen[i].queue_id, id);
		ck_assert_uint_eq(world->seen[i].recipient, i);
		ck_assert(world->seen[i].content_good);
		ck_assert(world->seen[i].first_attempt);
	}
	ck_assert_str_eq(world->seen[1].address, "Bob@Example.ORG");
	pass_time(world, US_PER_S);
	ck_assert_uint_eq(queue_length(world), 0);
	wait_for_log(world, "delivered", 2);
	service_stop(world);
	service_start(world);
	pass_time(world, HOUR_US);
	ck_assert_uint_eq(world->seen_count, 2); /* nothing comes twice */
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(a_message_is_delivered_and_forgotten)
{
	run_with(delivery_body);
}
END_TEST

static void
temporary_body(void *arg)
{
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");
	struct listed listed;

	world->outcome = DELIVER_TEMPORARY;
	world->only_to = "bob@example.org";
	SEND(world, "anna@example.org", "bob@example.org");
	wait_for_seen(world, 2);
	pass_time(world, US_PER_S);
	list_queue(world, 10, &listed);
	ck_assert_uint_eq(listed.count, 1);
	ck_assert_uint_eq(listed.first.state, QUEUE_DEFERRED);
	ck_assert_uint_eq(listed.first.attempts, 1);
	ck_assert_uint_eq(listed.first.recipients, 2);
	ck_assert_uint_eq(listed.first.recipients_left, 1);
	ck_assert_str_eq(listed.last_reply, "mailbox full");
	wait_for_seen(world, 2);
	pass_time(world, FIRST_US * 12 / 10);
	ck_assert_uint_eq(world->seen_count, 3);
	ck_assert_str_eq(world->seen[2].address, "bob@example.org");
	ck_assert(!world->seen[2].first_attempt);
	int64_t waited = world->seen[2].at - world->seen[1].at;
	ck_assert_int_ge(waited, FIRST_US * 9 / 10 - US_PER_S);
	ck_assert_int_le(waited, FIRST_US * 11 / 10 + US_PER_S);
	/* Again after twice the time, and after a restart in between. */
	service_stop(world);
	deliverer_end(deliverer);
	service_start(world);
	deliverer = deliverer_start(world, "mail");
	world->outcome = DELIVER_DELIVERED;
	pass_time(world, FIRST_US * 24 / 10);
	ck_assert_uint_eq(world->seen_count, 4);
	ck_assert_str_eq(world->seen[3].address, "bob@example.org");
	pass_time(world, US_PER_S);
	ck_assert_uint_eq(queue_length(world), 0);
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(a_temporary_failure_is_tried_again_for_its_recipient_alone)
{
	run_with(temporary_body);
}
END_TEST

static void
permanent_body(void *arg)
{
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");
	struct listed listed;

	world->outcome = DELIVER_PERMANENT;
	uint64_t id = SEND(world, "nobody@example.org");
	wait_for_seen(world, 1);
	wait_for_log(world, "reported", 1);
	for (int round = 0; round < 2; round++) {
		pass_time(world, HOUR_US);
		ck_assert_uint_eq(world->seen_count, 1);
		list_queue(world, 10, &listed);
		/* The report, to a domain that no route takes. */
		ck_assert_uint_eq(listed.count, 1);
		ck_assert_uint_ne(listed.ids[0], id);
		ck_assert_uint_eq(listed.first.state, QUEUE_DEFERRED);
		if (round == 0) {
			service_stop(world);
			deliverer_end(deliverer);
			service_start(world);
			deliverer = deliverer_start(world, "mail");
		}
	}
	wait_for_log(world, "failed", 1);
	wait_for_log(world, "reported", 1);
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(a_permanent_failure_is_reported_and_gone)
{
	run_with(permanent_body);
}
END_TEST

static void
routes_body(void *arg)
{
	struct world *world = arg;
	struct listed listed;

	SEND(world, "a@discard.example", "b@discard.example");
	SEND(world, "a@hold.example");
	SEND(world, "a@gone.example");
	pass_time(world, US_PER_S);
	list_queue(world, 10, &listed);
	ck_assert_uint_eq(listed.count, 2);
	ck_assert_uint_eq(listed.first.state, QUEUE_HELD);
	ck_assert_uint_eq(log_memory_count(&world->log, "deferred"),
		1); /* the domain that is no longer ours */
	service_stop(world);
	service_start(world);
	list_queue(world, 10, &listed);
	ck_assert_uint_eq(listed.count, 2);
	service_stop(world);
}

static void
flip_octet(struct world *world, const struct spool_reference *message)
{
	char name[32];
	uint8_t octet;

	snprintf(name, sizeof name, "segment-%08x", message->segment);
	int fd = openat(world->dir_fd, name, O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(pread(fd, &octet, 1, (off_t)message->offset), 1);
	octet ^= 1;
	ck_assert_int_eq(pwrite(fd, &octet, 1, (off_t)message->offset), 1);
	close(fd);
}

/* May wait. Damage is seen by whoever looks into the queue, and over when it is repaired. */
static void
damaged_body(void *arg)
{
	struct world *world = arg;
	struct listed listed;

	SEND(world, "a@hold.example");
	pass_time(world, US_PER_S);
	struct spool_reference message =
		list_entry(world->service->messages.next, struct queued, link)->message;
	service_stop(world);
	service_start(world);
	service_stop(world);
	for (int round = 0; round < 2; round++) {
		flip_octet(world, &message);
		service_start(world);
		list_queue(world, 10, &listed);
		ck_assert_uint_eq(listed.count, 1);
		ck_assert_uint_eq(listed.first.state, round == 0 ? QUEUE_DAMAGED : QUEUE_HELD);
		ck_assert_uint_eq(listed.ids[0], message.queue_id);
		ck_assert_str_eq(listed.last_reply,
			round == 0 ? "damaged in the spool: see spool_damage in the log"
				   : "the route says hold");
		service_stop(world);
	}
	wait_for_log(world, "spool_damage", 1);
}

START_TEST(a_damaged_message_is_listed)
{
	run_with(damaged_body);
}
END_TEST

START_TEST(discard_ends_and_hold_holds)
{
	run_with(routes_body);
}
END_TEST

static void
deliverer_dies_body(void *arg)
{
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");

	world->silent = true;
	SEND(world, "anna@example.org");
	wait_for_seen(world, 1);
	deliverer_end(deliverer);
	SEND(world, "bob@example.org"); /* waits for the next one */
	pass_time(world, US_PER_S);
	wait_for_log(world, "deferred", 1);
	world->silent = false;
	deliverer = deliverer_start(world, "mail");
	wait_for_seen(world, 2);
	ck_assert_str_eq(world->seen[1].address, "bob@example.org");
	ck_assert(world->seen[1].first_attempt);
	pass_time(world, FIRST_US * 12 / 10);
	ck_assert_uint_eq(world->seen_count, 3);
	ck_assert_str_eq(world->seen[2].address, "anna@example.org");
	ck_assert(!world->seen[2].first_attempt);
	ck_assert_uint_eq(queue_length(world), 0);
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(what_a_dead_deliverer_had_is_tried_again)
{
	run_with(deliverer_dies_body);
}
END_TEST

/* The first one still answers for what it took; the second gets what comes now. */
static void
second_deliverer_body(void *arg)
{
	struct world *world = arg;
	struct deliverer *first = deliverer_start(world, "mail");

	world->silent = true;
	SEND(world, "anna@example.org");
	wait_for_seen(world, 1);
	struct deliverer *second = deliverer_start(world, "mail");
	world->silent = false;
	SEND(world, "bob@example.org");
	wait_for_seen(world, 2);
	ck_assert(!second->ended && second->segment_count == 1);
	ck_assert_ok(answer_delivery(first, world->numbers[0], 0, DELIVER_DELIVERED));
	pass_time(world, US_PER_S);
	ck_assert_uint_eq(queue_length(world), 0);
	ck_assert(!first->ended);
	deliverer_end(first);
	SEND(world, "carla@example.org");
	wait_for_seen(world, 3);
	pass_time(world, US_PER_S);
	ck_assert_uint_eq(queue_length(world), 0);
	ck_assert_uint_eq(log_memory_count(&world->log, "deferred"), 0);
	service_stop(world);
	deliverer_end(second);
}

START_TEST(a_second_deliverer_takes_nothing_from_the_first)
{
	run_with(second_deliverer_body);
}
END_TEST

/* Answers to what was never sent end the channel, and nothing else. */
static void
hostile_deliverer_body(void *arg)
{
	struct world *world = arg;
	static const uint64_t guesses[] = {
		0, 5, UINT64_MAX, (uint64_t)1 << 32 | 4095, (uint64_t)1 << 32 | 4096};

	for (size_t i = 0; i < sizeof guesses / sizeof *guesses; i++) {
		struct deliverer *hostile = deliverer_start(world, "mail");
		ck_assert_ok(answer_delivery(hostile, guesses[i], 0, DELIVER_DELIVERED));
		for (int k = 0; k < 1000 && !hostile->ended; k++)
			pass_time(world, 100);
		ck_assert(hostile->ended);
		deliverer_end(hostile);
	}
	/* The same delivery twice: once it counts. */
	world->silent = true;
	struct deliverer *twice = deliverer_start(world, "mail");
	SEND(world, "anna@example.org");
	wait_for_seen(world, 1);
	ck_assert_ok(answer_delivery(twice, world->numbers[0], 0, DELIVER_DELIVERED));
	ck_assert_ok(answer_delivery(twice, world->numbers[0], 0, DELIVER_PERMANENT));
	pass_time(world, US_PER_S);
	ck_assert(twice->ended);
	ck_assert_uint_eq(queue_length(world), 0);
	ck_assert_uint_eq(log_memory_count(&world->log, "carrier_broke_the_rules"),
		sizeof guesses / sizeof *guesses + 1);
	deliverer_end(twice);
	service_stop(world);
}

START_TEST(a_deliverer_that_breaks_the_rules_is_dropped)
{
	run_with(hostile_deliverer_body);
}
END_TEST

static void
system_user_body(void *arg)
{
	struct world *world = arg;

	SEND(world, "Anna@system.example");
	for (int i = 0; i < 1000 && world->need_count == 0; i++)
		pass_time(world, 100);
	ck_assert_str_eq(world->needed, "system:anna");
	SEND(world, "anna@system.example");
	pass_time(world, US_PER_S);
	ck_assert_uint_eq(world->need_count, 1); /* asked once */
	struct deliverer *deliverer = deliverer_start(world, "system:anna");
	wait_for_seen(world, 2);
	ck_assert(world->seen[0].content_good && world->seen[1].content_good);
	ck_assert_uint_eq(deliverer->segment_count, 0); /* never a descriptor of the spool */
	pass_time(world, US_PER_S);
	ck_assert_uint_eq(queue_length(world), 0);
	deliverer_end(deliverer);
	SEND(world, "anna@system.example");
	pass_time(world, US_PER_S);
	ck_assert_uint_eq(world->need_count, 2);
	queue_service_no_deliver(world->service, SLICE("system:anna"), SLICE("no such user"));
	pass_time(world, US_PER_S);
	wait_for_log(world, "deferred", 1);
	pass_time(world, FIRST_US * 12 / 10);
	ck_assert_uint_eq(world->need_count, 3); /* and asked again with the next try */
	service_stop(world);
}

START_TEST(a_system_user_gets_a_sealed_copy)
{
	run_with(system_user_body);
}
END_TEST

/* Of the three calls that make a copy: memory, its content, its seal. */
enum copy_call { COPY_CREATE, COPY_WRITE, COPY_SEAL, COPY_CALLS };

static struct {
	struct env real;
	enum copy_call fails; /* COPY_CALLS: none */
	int fd;
} copy_faults;

static int
copy_create(void *world, const char *name, size_t bytes)
{
	if (copy_faults.fails == COPY_CREATE)
		return -EMFILE;
	copy_faults.fd = copy_faults.real.shared->create(world, name, bytes);
	return copy_faults.fd;
}

static ssize_t
copy_write(void *world, int fd, const struct iovec *pieces, int count, off_t offset)
{
	if (copy_faults.fails == COPY_WRITE && fd == copy_faults.fd)
		return -ENOSPC;
	return copy_faults.real.disk->pwritev(world, fd, pieces, count, offset);
}

static int
copy_seal(void *world, int fd, unsigned seals)
{
	return copy_faults.fails == COPY_SEAL ? -EPERM
					      : copy_faults.real.shared->seal(world, fd, seals);
}

/* A copy that cannot be made is a reason to try again later, and leaves no descriptor. */
static void
copy_fails_body(void *arg)
{
	struct world *world = arg;
	struct disk_ops disk = *world->env->disk;
	struct shared_ops shared = *world->env->shared;

	copy_faults.real = *world->env;
	disk.pwritev = copy_write;
	shared.create = copy_create;
	shared.seal = copy_seal;
	struct deliverer *deliverer = deliverer_start(world, "system:anna");
	world->env->disk = &disk;
	world->env->shared = &shared;
	for (uint32_t i = 0; i < COPY_CALLS; i++) {
		copy_faults.fails = (enum copy_call)i;
		SEND(world, "anna@system.example");
		pass_time(world, US_PER_S);
		wait_for_log(world, "deferred", i + 1);
		ck_assert_uint_eq(world->seen_count, i);
		copy_faults.fails = COPY_CALLS;
		pass_time(world, FIRST_US * 12 / 10);
		wait_for_seen(world, i + 1);
		ck_assert(world->seen[i].content_good);
	}
	pass_time(world, US_PER_S);
	ck_assert_uint_eq(queue_length(world), 0);
	world->env->disk = copy_faults.real.disk;
	world->env->shared = copy_faults.real.shared;
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(a_copy_that_fails_is_tried_again)
{
	run_with(copy_fails_body);
}
END_TEST

/* Nothing under way counts as tried: the next start delivers it at once. */
static void
stop_body(void *arg)
{
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");
	struct listed listed;

	world->silent = true;
	SEND(world, "anna@example.org");
	wait_for_seen(world, 1);
	SEND(world, "bob@system.example"); /* its deliverer never comes */
	pass_time(world, US_PER_S);
	mono_us before = loop_now(world->loop);
	service_stop(world);
	ck_assert_int_le(loop_now(world->loop) - before,
		US_PER_S + US_PER_MS); /* the grace, for the one under way */
	ck_assert_uint_eq(log_memory_count(&world->log, "deferred"), 0);
	deliverer_end(deliverer);
	service_start(world);
	list_queue(world, 10, &listed);
	ck_assert_uint_eq(listed.count, 2);
	world->silent = false;
	deliverer = deliverer_start(world, "mail");
	wait_for_seen(world, 2);
	ck_assert(!world->seen[1].first_attempt);
	pass_time(world, US_PER_S);
	list_queue(world, 10, &listed);
	ck_assert_uint_eq(listed.count, 1);
	ck_assert_uint_eq(listed.first.attempts, 0); /* nobody was there to try */
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(the_end_of_the_queue_is_no_failure)
{
	run_with(stop_body);
}
END_TEST

static void
list_body(void *arg)
{
	struct world *world = arg;
	uint64_t ids[25];
	struct listed listed;

	list_queue(world, 10, &listed);
	ck_assert(listed.count == 0 && listed.total == 0 && listed.pages == 1);
	for (size_t i = 0; i < 25; i++)
		ids[i] = SEND(world, "a@hold.example");
	pass_time(world, US_PER_S);
	for (uint32_t max = 1; max <= 30; max += 4) {
		list_queue(world, max, &listed);
		ck_assert_uint_eq(listed.count, 25);
		ck_assert_uint_eq(listed.total, 25);
		ck_assert_uint_eq(listed.pages, (25 + max - 1) / max);
		for (size_t i = 0; i < 25; i++)
			ck_assert_uint_eq(listed.ids[i], ids[i]);
	}
	service_stop(world);
}

START_TEST(the_list_pages_through_the_queue)
{
	run_with(list_body);
}
END_TEST

/* More recipients than may wait for one deliverer: the rest comes soon after, none is deferred. */
static void
many_recipients_body(void *arg)
{
	enum { MESSAGES = 300, RECIPIENTS = 3 };
	struct world *world = arg;
	const char *to[RECIPIENTS];

	for (int i = 0; i < RECIPIENTS; i++)
		to[i] = "anna@example.org";
	for (int i = 0; i < MESSAGES; i++)
		send_message(world, to, RECIPIENTS);
	pass_time(world, US_PER_S);
	ck_assert_uint_eq(log_memory_count(&world->log, "deferred"), 0);
	struct listed listed;
	list_queue(world, 500, &listed);
	ck_assert_uint_eq(listed.count, MESSAGES);
	pass_time(world, 5 * US_PER_S);
	ck_assert_uint_eq(log_memory_count(&world->log, "deferred"), 0);
	service_stop(world);
}

START_TEST(what_finds_no_room_is_not_deferred)
{
	run_with(many_recipients_body);
}
END_TEST

/* A backlog for one deliverer goes through without pauses, and another's mail is not behind it. */
static void
backlog_body(void *arg)
{
	enum { MESSAGES = 300, RECIPIENTS = 10 };
	struct world *world = arg;
	const char *to[RECIPIENTS];

	for (int i = 0; i < RECIPIENTS; i++)
		to[i] = "anna@example.org";
	for (int i = 0; i < MESSAGES; i++)
		send_message(world, to, RECIPIENTS);
	struct deliverer *other = deliverer_start(world, "system:bob");
	SEND(world, "bob@system.example");
	wait_for_seen(world, 1); /* while nobody takes the backlog */
	ck_assert_str_eq(world->seen[0].address, "bob@system.example");
	struct deliverer *deliverer = deliverer_start(world, "mail");
	mono_us before = loop_now(world->loop);
	wait_for_seen(world, 1 + MESSAGES * RECIPIENTS);
	ck_assert_int_lt(loop_now(world->loop) - before, US_PER_S / 2);
	pass_time(world, US_PER_S);
	ck_assert_uint_eq(queue_length(world), 0);
	ck_assert_uint_eq(log_memory_count(&world->log, "deferred"), 0);
	pass_time(world, HOUR_US);
	ck_assert_uint_eq(world->seen_count, 1 + MESSAGES * RECIPIENTS); /* each once */
	service_stop(world);
	deliverer_end(deliverer);
	deliverer_end(other);
}

START_TEST(a_backlog_goes_through_without_pauses)
{
	run_with(backlog_body);
}
END_TEST

/* Sixty-four recipients an attempt and no more, each with its own result; a result for all is for
 * those that have none. */
static void
parts_body(void *arg)
{
	enum { RECIPIENTS = 64 };
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");
	const char *to[RECIPIENTS];
	struct listed listed;

	for (int i = 0; i < RECIPIENTS; i++)
		to[i] = i == 5 ? "bob@example.org" : "anna@example.org";
	world->silent = true;
	send_message(world, to, RECIPIENTS);
	wait_for_seen(world, RECIPIENTS);
	for (uint32_t i = 0; i < RECIPIENTS; i++) {
		ck_assert_uint_eq(world->seen[i].recipient, i);
		ck_assert_uint_eq(world->numbers[i], world->numbers[0]);
	}
	struct delivery_result results[] = {result_of(world->numbers[0], 5, DELIVER_TEMPORARY),
		result_of(world->numbers[0], DELIVERY_ALL, DELIVER_DELIVERED)};
	ck_assert_ok(send_results(deliverer, results, 2));
	pass_time(world, US_PER_S);
	wait_for_log(world, "delivered", RECIPIENTS - 1);
	list_queue(world, 10, &listed);
	ck_assert_uint_eq(listed.first.recipients_left, 1);
	world->silent = false;
	pass_time(world, FIRST_US * 12 / 10);
	ck_assert_uint_eq(world->seen_count, RECIPIENTS + 1);
	ck_assert_uint_eq(world->seen[RECIPIENTS].recipient, 5);
	ck_assert_uint_eq(queue_length(world), 0);
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(recipients_of_one_way_go_together)
{
	run_with(parts_body);
}
END_TEST

/* Three recipients, one full, one unknown, one fine: the fine one and the unknown one are settled
 * at once and for ever, also over a restart; the message ends in the hands of people. */
static void
three_ways_body(void *arg)
{
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");
	struct listed listed;

	world->silent = true;
	uint64_t id = SEND(world, "full@example.org", "unknown@example.org", "fine@example.org");
	wait_for_seen(world, 3);
	struct delivery_result results[] = {result_of(world->numbers[0], 0, DELIVER_TEMPORARY),
		result_of(world->numbers[0], 1, DELIVER_PERMANENT),
		result_of(world->numbers[0], 2, DELIVER_DELIVERED)};
	ck_assert_ok(send_results(deliverer, results, 3));
	world->silent = false;
	world->outcome = DELIVER_TEMPORARY;
	pass_time(world, FIRST_US * 12 / 10);
	wait_for_seen(world, 4);
	ck_assert_str_eq(world->seen[3].address, "full@example.org");
	service_stop(world);
	deliverer_end(deliverer);
	service_start(world);
	deliverer = deliverer_start(world, "mail");
	list_queue(world, 10, &listed);
	ck_assert_uint_eq(listed.first.recipients_left, 1);
	world->outcome = DELIVER_DELIVERED;
	pass_time(world, FIRST_US * 24 / 10);
	wait_for_seen(world, 5);
	ck_assert_str_eq(world->seen[4].address, "full@example.org");
	list_queue(world, 10, &listed);
	ck_assert_uint_eq(listed.count, 1);
	ck_assert_uint_ne(listed.ids[0], id);
	wait_for_log(world, "failed", 1);
	wait_for_log(world, "reported", 1);
	pass_time(world, HOUR_US);
	ck_assert_uint_eq(world->seen_count, 5);
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(a_failure_is_final_beside_a_deferral)
{
	run_with(three_ways_body);
}
END_TEST

/* 6,400 recipients whose 64 deliverers never come, more than there ever were slots for: whoever has
 * a deliverer gets his mail at once. */
static void
absent_owners_body(void *arg)
{
	enum { OWNERS = 64, MESSAGES = 100 };
	struct world *world = arg;
	static char names[OWNERS][32];
	const char *to[OWNERS];

	for (int i = 0; i < OWNERS; i++) {
		snprintf(names[i], sizeof names[i], "user%d@system.example", i);
		to[i] = names[i];
	}
	for (int i = 0; i < MESSAGES; i++)
		send_message(world, to, OWNERS);
	pass_time(world, US_PER_S);
	ck_assert_uint_eq(world->need_count, OWNERS);
	struct deliverer *deliverer = deliverer_start(world, "mail");
	SEND(world, "anna@example.org");
	wait_for_seen(world, 1);
	/* No deliverer is no reason to touch what waits: one of each lane has failed by it. */
	for (int i = 0; i < OWNERS; i++) {
		char user[40];
		snprintf(user, sizeof user, "system:user%d", i);
		queue_service_no_deliver(world->service, slice_text(user), SLICE("no such user"));
	}
	pass_time(world, US_PER_S);
	wait_for_log(world, "deferred", OWNERS);
	ck_assert_uint_eq(world->need_count, OWNERS);
	pass_time(world, FIRST_US * 12 / 10);
	ck_assert_uint_eq(world->need_count, 2 * OWNERS); /* asked again when the lane opens */
	struct deliverer *late = deliverer_start(world, "system:user7");
	wait_for_seen(world, 1 + MESSAGES);
	SEND(world, "anna@example.org");
	wait_for_seen(world, 2 + MESSAGES);
	service_stop(world);
	deliverer_end(deliverer);
	deliverer_end(late);
}

START_TEST(owners_that_are_not_there_delay_nobody)
{
	run_with(absent_owners_body);
}
END_TEST

/* 200 owners whose deliverers take everything and say nothing: no more than a few attempts are with
 * each, and everybody else's mail goes within a second. */
static void
hanging_owners_body(void *arg)
{
	enum { OWNERS = 200, AT_A_TIME = 50, MESSAGES = 40, EACH_HAS = 16 };
	struct world *world = arg;
	struct deliverer *hanging[OWNERS];
	static char names[AT_A_TIME][32];
	const char *to[AT_A_TIME];

	for (int i = 0; i < OWNERS; i++) {
		char user[40];
		snprintf(user, sizeof user, "system:user%d", i);
		hanging[i] = deliverer_start(world, user);
	}
	world->silent = true;
	for (int first = 0; first < OWNERS; first += AT_A_TIME) {
		for (int i = 0; i < AT_A_TIME; i++) {
			snprintf(names[i], sizeof names[i], "user%d@system.example", first + i);
			to[i] = names[i];
		}
		for (int i = 0; i < MESSAGES; i++)
			send_message(world, to, AT_A_TIME);
	}
	pass_time(world, US_PER_S);
	ck_assert_uint_eq(world->seen_count, OWNERS * EACH_HAS);
	world->silent = false;
	struct deliverer *deliverer = deliverer_start(world, "mail");
	mono_us before = loop_now(world->loop);
	SEND(world, "anna@example.org");
	wait_for_seen(world, OWNERS * EACH_HAS + 1);
	ck_assert_int_lt(loop_now(world->loop) - before, US_PER_S);
	service_stop(world);
	deliverer_end(deliverer);
	for (int i = 0; i < OWNERS; i++)
		deliverer_end(hanging[i]);
}

START_TEST(owners_that_hang_delay_nobody)
{
	run_with(hanging_owners_body);
}
END_TEST

static void
answer_late(void *arg)
{
	struct deliverer *deliverer = arg;
	struct world *world = deliverer->world;

	ck_assert_ok(task_sleep(world->loop, loop_deadline(world->loop, US_PER_S / 2)));
	ck_assert_ok(answer_delivery(deliverer, world->numbers[0], 1, DELIVER_DELIVERED));
}

/* A result that comes while the queue ends counts: nothing is delivered again. */
static void
late_result_body(void *arg)
{
	struct world *world = arg;
	struct deliverer *deliverer = deliverer_start(world, "mail");
	struct listed listed;

	world->silent = true;
	SEND(world, "anna@example.org", "bob@example.org");
	wait_for_seen(world, 2);
	ck_assert_ok(answer_delivery(deliverer, world->numbers[0], 0, DELIVER_DELIVERED));
	ck_assert_ok(task_start(&world->tasks, "late", answer_late, deliverer));
	service_stop(world);
	deliverer_end(deliverer);
	service_start(world);
	list_queue(world, 10, &listed);
	ck_assert_uint_eq(listed.count, 0);
	service_stop(world);
}

START_TEST(results_that_come_at_the_end_count)
{
	run_with(late_result_body);
}
END_TEST

UNIT_MAIN("queue/queue", owners_that_hang_delay_nobody, owners_that_are_not_there_delay_nobody,
	results_that_come_at_the_end_count, a_failure_is_final_beside_a_deferral,
	recipients_of_one_way_go_together, a_backlog_goes_through_without_pauses,
	a_message_is_delivered_and_forgotten,
	a_temporary_failure_is_tried_again_for_its_recipient_alone,
	a_permanent_failure_is_reported_and_gone, a_damaged_message_is_listed,
	discard_ends_and_hold_holds, what_a_dead_deliverer_had_is_tried_again,
	a_second_deliverer_takes_nothing_from_the_first,
	a_deliverer_that_breaks_the_rules_is_dropped, a_system_user_gets_a_sealed_copy,
	a_copy_that_fails_is_tried_again, the_end_of_the_queue_is_no_failure,
	the_list_pages_through_the_queue, what_finds_no_room_is_not_deferred)
