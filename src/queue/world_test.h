/* A whole queue over a real spool with a virtual clock: sessions that put messages in, deliverers
 * that answer as they are told, a root that notes what it is asked. For the tests of the queue. */
#ifndef QUEUE_WORLD_TEST_H
#define QUEUE_WORLD_TEST_H

#include "queue/queue.h"

#include "base/hash.h"
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
	const char *sender;  /* of what is sent */
	bool has_many_senders;
	const char *client; /* and its address; empty: this machine */
	enum envelope_protocol protocol;
	uint32_t notify;      /* what it asks for, of all recipients */
	const char *original; /* their ORCPT */
	const char *envelope_id;
	enum envelope_returns returns;
	bool is_expanded;   /* the first recipient */
	bool are_targets;   /* all of them, of an alias */
	bool passes_on;     /* deliverers say that the next server reports */
	char report[32768]; /* the last content that came with an empty reverse path */
	uint32_t report_count;
	struct seen seen[SEEN_MAX];
	uint32_t seen_count;
	uint64_t numbers[SEEN_MAX]; /* of the deliveries seen */
	/* What root was asked. */
	char needed[64];
	uint32_t need_count;
};

static inline void
need_deliver(void *arg, struct slice user)
{
	struct world *world = arg;

	ck_assert_uint_lt(user.len, sizeof world->needed);
	memcpy(world->needed, user.ptr, user.len);
	world->needed[user.len] = 0;
	world->need_count++;
}

static inline void
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

static inline void
conf_init(struct conf *conf)
{
	*conf = (struct conf){.hostname = SLICE("mx.example.org"),
		.domains = domains,
		.domain_count = sizeof domains / sizeof *domains,
		.routes = routes,
		.route_count = sizeof routes / sizeof *routes,
		.retry = {FIRST_US, 10 * FIRST_US, 24 * HOUR_US},
		.reports_limit = 60,
		.spool_segment = 4u << 20};
}

static inline void
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
static inline void
service_stop(struct world *world)
{
	int writer_wake_fd = world->session.ring.queue_wake_fd;

	queue_service_stop(world->service, US_PER_S);
	queue_service_free(&world->service);
	ring_producer_close(&world->session.ring);
	close(writer_wake_fd);
	close(world->session.wake_fd);
}

static inline bool
remove_entry(void *arg, const struct disk_entry *entry)
{
	unlinkat(*(int *)arg, entry->name, 0);
	return true;
}

static inline void
run_with(task_body *body)
{
	int before = descriptors_open();
	struct virtual_env *v = virtual_env_new(PATIENCE_US);
	struct world *world = memory_get(v->env.memory, sizeof *world);

	*world = (struct world){
		.v = v, .env = &v->env, .sender = "sender@example.net", .client = ""};
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
static inline uint64_t
send_message(struct world *world, const char *const *to, uint32_t count)
{
	struct envelope_recipient recipients[64];
	struct envelope_wish wishes[64];
	struct envelope envelope = {.received_at = env_wall(world->env),
		.reverse_path = slice_text(world->sender),
		.client_address = slice_text(world->client),
		.protocol = world->protocol,
		.returns = world->returns,
		.envelope_id = slice_text(world->envelope_id),
		.recipients = recipients,
		.wishes = wishes,
		.recipient_count = count,
		.content_size = 3000,
		.trace = SLICE(TRACE),
		.trace_id_at = sizeof TRACE - 1 - 2 - QUEUE_ID_DIGITS};
	struct ring_completion answer;
	struct buffer bytes;

	for (uint32_t i = 0; i < count; i++)
		recipients[i].address = slice_text(to[i]);
	for (uint32_t i = 0; i < count; i++)
		wishes[i] = (struct envelope_wish){.original = slice_text(world->original),
			.notify = (uint8_t)world->notify,
			.is_expanded = world->is_expanded && i == 0,
			.is_target = world->are_targets};
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

static inline bool
content_is_good(int fd, uint64_t offset, uint64_t size, uint32_t sum)
{
	uint8_t bytes[3000];

	if (size != sizeof bytes || pread(fd, bytes, sizeof bytes, (off_t)offset) != sizeof bytes)
		return false;
	/* The seed is the token of the submission; the first octet tells it. */
	for (size_t at = 0; at < sizeof bytes; at++)
		if (bytes[at] != octet(bytes[0], at))
			return false;
	return crc32c(0, slice_of(bytes, sizeof bytes)) == sum;
}

static inline struct seen *
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

static inline enum error
send_results(struct deliverer *deliverer, const struct delivery_result *results, size_t count)
{
	struct buffer list;

	buffer_init(&list, deliverer->world->env->memory, DELIVERY_RESULTS_BYTES);
	for (size_t i = 0; i < count; i++)
		ck_assert_ok(delivery_result_append(&list, &results[i]));
	struct ipc_message message = {
		.kind = IPC_RESULT, .result = {.results = buffer_slice(&list)}};
	enum error error = channel_send(&deliverer->channel, &message, MONO_NEVER);
	buffer_done(&list);
	return error;
}

static inline struct delivery_result
result_of(uint64_t attempt, uint32_t recipient, enum deliver_outcome outcome)
{
	static const struct enhanced_status statuses[] = {{2, 0, 0}, {4, 2, 2}, {5, 1, 1}};
	static const char *const texts[] = {"", "mailbox full", "no such mailbox"};

	return (struct delivery_result){.attempt = attempt,
		.recipient = recipient,
		.outcome = outcome,
		.status = statuses[outcome],
		.text = slice_text(texts[outcome]),
		.path = outcome == DELIVER_DELIVERED ? SLICE("/var/mail/x/new/1") : SLICE("")};
}

static inline enum error
answer_delivery(struct deliverer *deliverer, uint64_t attempt, uint32_t recipient,
	enum deliver_outcome outcome)
{
	struct delivery_result result = result_of(attempt, recipient, outcome);

	return send_results(deliverer, &result, 1);
}

static inline bool
source_is_good(const struct deliverer *deliverer, const struct ipc_message *message)
{
	const struct ipc_deliver *deliver = &message->deliver;

	if (deliver->source == SOURCE_MEMORY) {
		ck_assert_slice_eq(deliver->template, "{home}/Maildir");
		ck_assert_uint_eq(deliver->transport, TRANSPORT_SYSTEM);
		ck_assert_uint_eq(message->fd_count, 1);
		ck_assert_int_eq(fcntl(message->fds[0], F_GET_SEALS),
			F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
		return content_is_good(message->fds[0], 0, deliver->size, deliver->sum);
	}
	ck_assert_slice_eq(deliver->template, "/var/mail/{domain}/{user}");
	ck_assert_uint_eq(deliver->transport, TRANSPORT_MAILDIR);
	ck_assert_uint_eq(message->fd_count, 0);
	for (uint32_t i = 0; i < deliverer->segment_count; i++)
		if (deliverer->segments[i] == deliver->segment)
			return content_is_good(deliverer->segment_fds[i], deliver->offset,
				deliver->size, deliver->sum);
	return false;
}

/* What the queue itself has to say. */
static inline void
keep_report(struct deliverer *deliverer, const struct ipc_deliver *deliver)
{
	struct world *world = deliverer->world;

	ck_assert_uint_lt(deliver->size, sizeof world->report);
	for (uint32_t i = 0; i < deliverer->segment_count; i++)
		if (deliverer->segments[i] == deliver->segment)
			ck_assert_int_eq(pread(deliverer->segment_fds[i], world->report,
						 deliver->size, (off_t)deliver->offset),
				(ssize_t)deliver->size);
	world->report[deliver->size] = 0;
	ck_assert_uint_eq(strlen(world->report), deliver->size);
	ck_assert_uint_eq(crc32c(0, slice_text(world->report)), deliver->sum);
	world->report_count++;
}

/* All its recipients, each with a result of its own in one message. */
static inline enum error
take_deliver(struct deliverer *deliverer, struct ipc_message *message)
{
	struct world *world = deliverer->world;
	const struct ipc_deliver *deliver = &message->deliver;
	struct delivery_recipient recipients[DELIVERY_RECIPIENTS_MAX];
	struct delivery_result results[DELIVERY_RECIPIENTS_MAX];
	bool is_report = deliver->reverse_path.len == 0 && deliver->size != 3000;
	bool is_good = !is_report && source_is_good(deliverer, message);
	uint32_t count;

	if (is_report)
		keep_report(deliverer, deliver);
	else if (!world->has_many_senders)
		ck_assert_slice_eq(deliver->reverse_path, world->sender);
	ck_assert_ok(delivery_recipients_decode(deliver->recipients, recipients, &count));
	for (uint32_t i = 0; i < count; i++) {
		struct seen *seen = see(deliverer, deliver->attempt, deliver->queue_id,
			recipients[i].number, recipients[i].address);
		seen->first_attempt = deliver->first_attempt;
		seen->content_good = is_good;
		bool concerned = !world->only_to || strcmp(world->only_to, seen->address) == 0;
		results[i] = result_of(deliver->attempt, recipients[i].number,
			concerned ? world->outcome : DELIVER_DELIVERED);
		results[i].is_passed_on = world->passes_on;
	}
	ipc_close_fds(world->env, message);
	return world->silent ? OK : send_results(deliverer, results, count);
}

static inline enum error
deliverer_take(struct deliverer *deliverer, struct ipc_message *message)
{
	switch (message->kind) {
	case IPC_SEGMENT:
		ck_assert_uint_lt(deliverer->segment_count, SEGMENTS_MAX);
		deliverer->segments[deliverer->segment_count] = message->segment.segment;
		deliverer->segment_fds[deliverer->segment_count++] = message->fds[0];
		ck_assert_int_eq(fcntl(message->fds[0], F_GETFL) & O_ACCMODE, O_RDONLY);
		return OK;
	case IPC_DELIVER:
		return take_deliver(deliverer, message);
	default:
		return OK;
	}
}

static inline void
deliverer_run(void *arg)
{
	struct deliverer *deliverer = arg;
	struct ipc_message message;

	while (channel_receive(&deliverer->channel, MONO_NEVER, &message) == OK)
		if (deliverer_take(deliverer, &message) != OK)
			break;
	deliverer->ended = true;
}

static inline struct deliverer *
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
static inline void
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
static inline void
pass_time(struct world *world, int64_t us)
{
	ck_assert_ok(task_sleep(world->loop, loop_deadline(world->loop, us)));
}

/* May wait: until the deliverers have seen so many. */
static inline void
wait_for_seen(struct world *world, uint32_t count)
{
	for (int i = 0; world->seen_count < count && i < 5000; i++)
		pass_time(world, 100);
	ck_assert_uint_eq(world->seen_count, count);
}

/* May wait: until so many records of this name are there. What the writer's thread makes durable is
 * told a moment later. */
static inline void
wait_for_log(struct world *world, const char *name, unsigned count)
{
	for (int i = 0; log_memory_count(&world->log, name) < count && i < 5000; i++)
		pass_time(world, 100);
	ck_assert_uint_eq(log_memory_count(&world->log, name), count);
}

struct listed {
	uint32_t count, pages;
	uint64_t total;
	struct ipc_queue_item first; /* slices are not kept */
	char last_reply[64];
	uint64_t ids[512];
};

/* May wait: the whole queue through `admin`'s channel, in pages. */
static inline void
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

static inline uint64_t
queue_length(struct world *world)
{
	struct listed listed;

	list_queue(world, 100, &listed);
	ck_assert_uint_eq(listed.total, listed.count);
	return listed.total;
}

#endif
