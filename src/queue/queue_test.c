/*
 * The queue as a whole over a real spool: a session puts messages into its ring, deliverers of the
 * test's answer as they are told. The clock is virtual, so that retries come as soon as nothing
 * else happens.
 */
#include "queue/queue.h"

#include "descriptors.h"
#include "ipc/channel.h"
#include "ipc/envelope.h"
#include "log_memory.h"
#include "queue/session_test.h"
#include "virtual_env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_US  (2 * US_PER_MS)
#define TRACE        "Received: by mx.example.org id 0000000000000\r\n"
#define SEEN_MAX     8192
#define SEGMENTS_MAX 32
#define FIRST_US     (60 * US_PER_S)
#define HOUR_US      (3600 * US_PER_S)

/* A delivery that a deliverer saw. */
struct seen {
	uint64_t queue_id;
	uint32_t recipient;
	char address[64];
	bool first_attempt;
	bool content_good;
	wall_us at;
};

struct deliverer {
	struct world *world;
	struct channel channel;
	struct task_group tasks;
	int segment_fds[SEGMENTS_MAX];
	uint32_t segments[SEGMENTS_MAX];
	uint32_t segment_count;
	bool ended;
};

struct world {
	struct virtual_env *v;
	struct env *env;
	struct loop *loop;
	struct task_group tasks;
	struct conf conf;
	struct log_memory log;
	char folder[64];
	int dir_fd;
	struct queue_service *service;
	struct session session;
	bool has_session;
	uint32_t next_token;
	/* What deliverers do. */
	enum deliver_outcome outcome;
	const char *only_to; /* the outcome is for this address alone, others are delivered */
	bool silent;         /* they do not answer */
	struct seen seen[SEEN_MAX];
	uint32_t seen_count;
	uint64_t numbers[SEEN_MAX]; /* of the deliveries seen */
	/* What root was asked. */
	char needed[64];
	uint32_t need_count;
};

static void
need_deliver(void *arg, struct slice user)
{
	struct world *world = arg;

	ck_assert_uint_lt(user.len, sizeof world->needed);
	memcpy(world->needed, user.ptr, user.len);
	world->needed[user.len] = 0;
	world->need_count++;
}

static void
broken(void *arg, uint32_t instance)
{
	(void)arg;
	(void)instance;
}

static const struct queue_root_ops root_ops = {need_deliver, broken};

static struct conf_domain domains[] = {
	{.name = SLICE_INIT("example.org"),
		.accounts = CONF_ACCOUNTS_ANY,
		.mailbox = CONF_MAILBOX_MAILDIR,
		.mailbox_template = SLICE_INIT("/var/mail/{domain}/{user}"),
		.owner = CONF_OWNER_USER,
		.owner_user = SLICE_INIT("mail")},
	{.name = SLICE_INIT("system.example"),
		.accounts = CONF_ACCOUNTS_SYSTEM,
		.mailbox = CONF_MAILBOX_MAILDIR,
		.mailbox_template = SLICE_INIT("{home}/Maildir"),
		.owner = CONF_OWNER_SYSTEM},
};

static struct conf_route routes[] = {
	{.name = SLICE_INIT("discard.example"), .to = CONF_TO_DISCARD},
	{.name = SLICE_INIT("hold.example"), .to = CONF_TO_HOLD},
};

static void
conf_init(struct conf *conf)
{
	*conf = (struct conf){.hostname = SLICE("mx.example.org"),
		.domains = domains,
		.domain_count = sizeof domains / sizeof *domains,
		.routes = routes,
		.route_count = sizeof routes / sizeof *routes,
		.retry = {FIRST_US, 10 * FIRST_US, 24 * HOUR_US},
		.spool_segment = 4u << 20};
}

static void
service_start(struct world *world)
{
	int wake_fd = world->env->poll->wake_create(NULL), memory_fd;
	int writer_wake_fd = dup(wake_fd);

	world->service = queue_service_new(world->env, &world->conf, wake_fd, &root_ops, world);
	queue_service_set_spool(world->service, dup(world->dir_fd));
	world->session.wake_fd = world->env->poll->wake_create(NULL);
	ck_assert_ok(ring_memory_new(world->env, SESSION_BLOCKS, &memory_fd));
	ck_assert_ok(
		ring_producer_open(&world->session.ring, world->env, memory_fd, writer_wake_fd));
	queue_service_add_ring(world->service, 0, memory_fd, dup(world->session.wake_fd));
	ck_assert_ok(queue_service_go(world->service));
}

/* May wait. */
static void
service_stop(struct world *world)
{
	int writer_wake_fd = world->session.ring.queue_wake_fd;

	queue_service_stop(world->service, US_PER_S);
	queue_service_free(&world->service);
	ring_producer_close(&world->session.ring);
	close(writer_wake_fd);
	close(world->session.wake_fd);
}

static bool
remove_entry(void *arg, const struct disk_entry *entry)
{
	unlinkat(*(int *)arg, entry->name, 0);
	return true;
}

static void
run_with(task_body *body)
{
	int before = descriptors_open();
	struct virtual_env *v = virtual_env_new(PATIENCE_US);
	struct world *world = memory_get(v->env.memory, sizeof *world);

	*world = (struct world){.v = v, .env = &v->env};
	log_memory_init(&world->log, &v->env);
	conf_init(&world->conf);
	memcpy(world->folder, "/tmp/veredus-queue-XXXXXX", 26);
	ck_assert_ptr_nonnull(mkdtemp(world->folder));
	world->dir_fd = open(world->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	world->loop = loop_new(&v->env, &(struct loop_options){.watchdog_us = 0});
	task_group_init(&world->tasks, world->loop);
	service_start(world);
	ck_assert_ok(task_start(&world->tasks, "test", body, world));
	loop_run(world->loop);
	ck_assert_ptr_null(world->service); /* the test has stopped it */
	loop_free(&world->loop);
	v->env.disk->list(NULL, world->dir_fd, remove_entry, &world->dir_fd);
	close(world->dir_fd);
	ck_assert_int_eq(rmdir(world->folder), 0);
	log_memory_done(&world->log);
	memory_put(v->env.memory, world);
	ck_assert_uint_eq(memory_used(v->env.memory), 0);
	virtual_env_free(v);
	ck_assert_int_eq(descriptors_open(), before);
}

/* May wait. Its id. */
static uint64_t
send_message(struct world *world, const char *const *to, uint32_t count)
{
	struct envelope_recipient recipients[64];
	struct envelope envelope = {.received_at = env_wall(world->env),
		.reverse_path = SLICE("sender@example.net"),
		.recipients = recipients,
		.recipient_count = count,
		.content_size = 3000,
		.trace = SLICE(TRACE),
		.trace_id_at = sizeof TRACE - 1 - 2 - QUEUE_ID_DIGITS};
	struct ring_completion answer;
	struct buffer bytes;

	for (uint32_t i = 0; i < count; i++)
		recipients[i].address = slice_text(to[i]);
	buffer_init(&bytes, world->env->memory, 65536);
	envelope_encode(&envelope, &bytes);
	submit_raw(&world->session, world->next_token, 3000, buffer_slice(&bytes));
	ring_publish(&world->session.ring);
	buffer_done(&bytes);
	for (int i = 0; ring_take_completion(&world->session.ring, &answer) != OK; i++) {
		ck_assert_int_lt(i, 5000);
		ck_assert_ok(task_sleep(world->loop, loop_deadline(world->loop, 100)));
	}
	ck_assert_uint_eq(answer.status, RING_DURABLE);
	ck_assert_uint_eq(answer.token, world->next_token++);
	/* Its only block is free again. */
	while (world->session.ring.free_count < SESSION_BLOCKS)
		ring_block_put(
			&world->session.ring, SESSION_BLOCKS - 1 - world->session.ring.free_count);
	return answer.queue_id;
}

#define SEND(world, ...)                                          \
	send_message((world), (const char *const[]){__VA_ARGS__}, \
		sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static bool
content_is_good(int fd, uint64_t offset, uint64_t size)
{
	uint8_t bytes[3000];

	if (size != sizeof bytes || pread(fd, bytes, sizeof bytes, (off_t)offset) != sizeof bytes)
		return false;
	/* The seed is the token of the submission; the first octet tells it. */
	for (size_t at = 0; at < sizeof bytes; at++)
		if (bytes[at] != octet(bytes[0], at))
			return false;
	return true;
}

static struct seen *
see(struct deliverer *deliverer, uint64_t number, uint64_t queue_id, uint32_t recipient,
	struct slice address)
{
	struct world *world = deliverer->world;
	struct seen *seen = &world->seen[world->seen_count];

	ck_assert_uint_lt(world->seen_count, SEEN_MAX);
	*seen = (struct seen){
		.queue_id = queue_id, .recipient = recipient, .at = env_wall(world->env)};
	ck_assert_uint_lt(address.len, sizeof seen->address);
	memcpy(seen->address, address.ptr, address.len);
	world->numbers[world->seen_count++] = number;
	return seen;
}

static enum error
answer_delivery(struct deliverer *deliverer, uint64_t number, enum deliver_outcome outcome)
{
	static const uint32_t statuses[] = {20000, 40202, 50101};
	static const char *const texts[] = {"", "mailbox full", "no such mailbox"};
	struct ipc_message message = {.kind = IPC_RESULT,
		.result = {.delivery = number,
			.outcome = outcome,
			.status = statuses[outcome],
			.text = slice_text(texts[outcome]),
			.path = outcome == DELIVER_DELIVERED ? SLICE("/var/mail/x/new/1")
							     : SLICE("")}};

	return channel_send(&deliverer->channel, &message, MONO_NEVER);
}

static enum error
take_delivery(struct deliverer *deliverer, const struct seen *seen, uint64_t number)
{
	struct world *world = deliverer->world;

	if (world->silent)
		return OK;
	bool concerned = !world->only_to || strcmp(world->only_to, seen->address) == 0;
	return answer_delivery(deliverer, number, concerned ? world->outcome : DELIVER_DELIVERED);
}

static enum error
deliverer_take(struct deliverer *deliverer, struct ipc_message *message)
{
	struct seen *seen;

	switch (message->kind) {
	case IPC_SEGMENT:
		ck_assert_uint_lt(deliverer->segment_count, SEGMENTS_MAX);
		deliverer->segments[deliverer->segment_count] = message->segment.segment;
		deliverer->segment_fds[deliverer->segment_count++] = message->fds[0];
		ck_assert_int_eq(fcntl(message->fds[0], F_GETFL) & O_ACCMODE, O_RDONLY);
		return OK;
	case IPC_DELIVER:
		seen = see(deliverer, message->deliver.delivery, message->deliver.queue_id,
			message->deliver.recipient, message->deliver.address);
		seen->first_attempt = message->deliver.first_attempt;
		ck_assert_slice_eq(message->deliver.template, "/var/mail/{domain}/{user}");
		ck_assert_slice_eq(message->deliver.reverse_path, "sender@example.net");
		for (uint32_t i = 0; i < deliverer->segment_count; i++)
			if (deliverer->segments[i] == message->deliver.segment)
				seen->content_good = content_is_good(deliverer->segment_fds[i],
					message->deliver.offset, message->deliver.size);
		return take_delivery(deliverer, seen, message->deliver.delivery);
	case IPC_DELIVER_COPY:
		seen = see(deliverer, message->deliver_copy.delivery,
			message->deliver_copy.queue_id, message->deliver_copy.recipient,
			message->deliver_copy.address);
		seen->first_attempt = message->deliver_copy.first_attempt;
		ck_assert_slice_eq(message->deliver_copy.template, "{home}/Maildir");
		ck_assert_int_eq(fcntl(message->fds[0], F_GET_SEALS),
			F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
		seen->content_good =
			content_is_good(message->fds[0], 0, message->deliver_copy.size);
		close(message->fds[0]);
		return take_delivery(deliverer, seen, message->deliver_copy.delivery);
	default:
		return OK;
	}
}

static void
deliverer_run(void *arg)
{
	struct deliverer *deliverer = arg;
	struct ipc_message message;

	while (channel_receive(&deliverer->channel, MONO_NEVER, &message) == OK)
		if (deliverer_take(deliverer, &message) != OK)
			break;
	deliverer->ended = true;
}

static struct deliverer *
deliverer_start(struct world *world, const char *user)
{
	struct deliverer *deliverer = memory_get(world->env->memory, sizeof *deliverer);
	int fds[2];

	deliverer->world = world;
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_ok(
		channel_open(&deliverer->channel, world->loop, fds[1], ROLE_DELIVER, ROLE_QUEUE));
	task_group_init(&deliverer->tasks, world->loop);
	ck_assert_ok(task_start(&deliverer->tasks, "deliverer", deliverer_run, deliverer));
	queue_service_add_deliver(world->service, slice_text(user), 1, fds[0]);
	return deliverer;
}

/* May wait. */
static void
deliverer_end(struct deliverer *deliverer)
{
	task_group_cancel(&deliverer->tasks);
	task_group_wait(&deliverer->tasks);
	for (uint32_t i = 0; i < deliverer->segment_count; i++)
		close(deliverer->segment_fds[i]);
	channel_close(&deliverer->channel);
	memory_put(deliverer->world->env->memory, deliverer);
}

/* May wait: a while of virtual time, in which everything that is due happens. */
static void
pass_time(struct world *world, int64_t us)
{
	ck_assert_ok(task_sleep(world->loop, loop_deadline(world->loop, us)));
}

/* May wait: until the deliverers have seen so many. */
static void
wait_for_seen(struct world *world, uint32_t count)
{
	for (int i = 0; world->seen_count < count && i < 5000; i++)
		pass_time(world, 100);
	ck_assert_uint_eq(world->seen_count, count);
}

struct listed {
	uint32_t count, pages;
	uint64_t total;
	struct ipc_queue_item first; /* slices are not kept */
	char last_reply[64];
	uint64_t ids[64];
};

/* May wait: the whole queue through `admin`'s channel, in pages. */
static void
list_queue(struct world *world, uint32_t max, struct listed *listed)
{
	struct channel channel;
	struct ipc_message message;
	uint64_t from_id = 0;
	int fds[2];

	*listed = (struct listed){.count = 0};
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_ok(channel_open(&channel, world->loop, fds[1], ROLE_ADMIN, ROLE_QUEUE));
	queue_service_set_admin(world->service, 77, fds[0]);
	do {
		struct ipc_message ask = {
			.kind = IPC_QUEUE_LIST, .queue_list = {.from_id = from_id, .max = max}};
		uint32_t of_page = 0;
		ck_assert_ok(channel_send(&channel, &ask, MONO_NEVER));
		while (channel_receive(&channel, MONO_NEVER, &message) == OK &&
			message.kind == IPC_QUEUE_ITEM) {
			const struct ipc_queue_item *item = &message.queue_item;
			if (listed->count == 0) {
				listed->first = *item;
				memcpy(listed->last_reply, item->last_reply.ptr,
					item->last_reply.len);
			}
			ck_assert(listed->count == 0 ||
				  listed->ids[listed->count - 1] < item->queue_id);
			listed->ids[listed->count++] = item->queue_id;
			of_page++;
		}
		ck_assert_int_eq(message.kind, IPC_QUEUE_END);
		ck_assert_uint_le(of_page, max);
		listed->total = message.queue_end.total;
		from_id = message.queue_end.next_id;
		listed->pages++;
	} while (from_id != 0);
	channel_close(&channel);
}

static uint64_t
queue_length(struct world *world)
{
	struct listed listed;

	list_queue(world, 100, &listed);
	ck_assert_uint_eq(listed.total, listed.count);
	return listed.total;
}

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
	ck_assert_uint_eq(log_memory_count(&world->log, "delivered"), 2);
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
	ck_assert_uint_eq(listed.first.state, QUEUE_WAITING);
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
	SEND(world, "nobody@example.org");
	wait_for_seen(world, 1);
	for (int round = 0; round < 2; round++) {
		pass_time(world, HOUR_US);
		ck_assert_uint_eq(world->seen_count, 1);
		list_queue(world, 10, &listed);
		ck_assert_uint_eq(listed.count, 1);
		ck_assert_uint_eq(listed.first.state, QUEUE_HELD);
		if (round == 0)
			ck_assert_str_eq(listed.last_reply, "no such mailbox");
		if (round == 0) {
			service_stop(world);
			deliverer_end(deliverer);
			service_start(world);
			deliverer = deliverer_start(world, "mail");
		}
	}
	ck_assert_uint_eq(log_memory_count(&world->log, "failed"), 1);
	service_stop(world);
	deliverer_end(deliverer);
}

START_TEST(a_permanent_failure_is_held)
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
	ck_assert_uint_eq(log_memory_count(&world->log, "deferred"), 1);
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
	ck_assert_ok(answer_delivery(first, world->numbers[0], DELIVER_DELIVERED));
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
		ck_assert_ok(answer_delivery(hostile, guesses[i], DELIVER_DELIVERED));
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
	ck_assert_ok(answer_delivery(twice, world->numbers[0], DELIVER_DELIVERED));
	ck_assert_ok(answer_delivery(twice, world->numbers[0], DELIVER_PERMANENT));
	pass_time(world, US_PER_S);
	ck_assert(twice->ended);
	ck_assert_uint_eq(queue_length(world), 0);
	ck_assert_uint_eq(log_memory_count(&world->log, "deliver_broke_the_rules"),
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
	ck_assert_uint_eq(log_memory_count(&world->log, "deferred"), 1);
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
		ck_assert_uint_eq(log_memory_count(&world->log, "deferred"), i + 1);
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
	ck_assert_uint_eq(listed.first.attempts, 1);
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
	enum { MESSAGES = 45, RECIPIENTS = 60 };
	struct world *world = arg;
	const char *to[RECIPIENTS];

	for (int i = 0; i < RECIPIENTS; i++)
		to[i] = "anna@example.org";
	for (int i = 0; i < MESSAGES; i++)
		send_message(world, to, RECIPIENTS);
	pass_time(world, US_PER_S);
	ck_assert_uint_eq(log_memory_count(&world->log, "deferred"), 0);
	struct listed listed;
	list_queue(world, 100, &listed);
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
	enum { MESSAGES = 60, RECIPIENTS = 50 };
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

UNIT_MAIN("queue/queue", a_backlog_goes_through_without_pauses,
	a_message_is_delivered_and_forgotten,
	a_temporary_failure_is_tried_again_for_its_recipient_alone, a_permanent_failure_is_held,
	discard_ends_and_hold_holds, what_a_dead_deliverer_had_is_tried_again,
	a_second_deliverer_takes_nothing_from_the_first,
	a_deliverer_that_breaks_the_rules_is_dropped, a_system_user_gets_a_sealed_copy,
	a_copy_that_fails_is_tried_again, the_end_of_the_queue_is_no_failure,
	the_list_pages_through_the_queue, what_finds_no_room_is_not_deferred)
