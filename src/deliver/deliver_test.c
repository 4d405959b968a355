/* The deliverer with real Maildirs in a folder of its own, and a queue of the test's at the other
 * end of its channel. */
#include "deliver/deliver.h"

#include "base/hash.h"
#include "descriptors.h"
#include "ipc/channel.h"
#include "log_memory.h"
#include "virtual_env.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_US (20 * US_PER_MS)
#define CONTENT     "Subject: x\r\n\r\nhello\r\n.dot\r\n"
#define SEGMENT     7u
#define GENERATION  2u
#define OFFSET      100

struct world {
	struct env *env;
	struct loop *loop;
	struct task_group tasks;
	struct conf conf;
	struct log_memory log;
	char folder[64];
	char template[128]; /* below the folder */
	struct deliver_service *service;
	struct channel queue;
	int segment_fd; /* with CONTENT at OFFSET */
	uint64_t number;
	struct buffer list;    /* of recipients */
	struct cursor results; /* of the last message */
};

static void
connect_queue(struct world *world)
{
	int fds[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_ok(channel_open(&world->queue, world->loop, fds[1], ROLE_QUEUE, ROLE_DELIVER));
	deliver_service_set_queue(world->service, fds[0]);
}

static int
remove_file(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	(void)stat;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void
add_folder(struct world *world, const char *name, struct slice path)
{
	char full[256];

	ck_assert_int_lt(
		snprintf(full, sizeof full, "%s/%s", world->folder, name), (int)sizeof full);
	ck_assert_int_eq(mkdir(full, 0700), 0);
	int fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	deliver_service_add_folder(world->service, path, fd);
}

static void
run_with(task_body *body)
{
	int before = descriptors_open();
	struct virtual_env *v = virtual_env_new(PATIENCE_US);
	struct world *world = memory_get(v->env.memory, sizeof *world);

	*world = (struct world){.env = &v->env, .conf = {.hostname = SLICE("mx.example.org")}};
	log_memory_init(&world->log, &v->env);
	memcpy(world->folder, "/tmp/veredus-deliver-XXXXXX", 28);
	ck_assert_ptr_nonnull(mkdtemp(world->folder));
	world->loop = loop_new(&v->env, &(struct loop_options){.watchdog_us = 0});
	task_group_init(&world->tasks, world->loop);
	world->service = deliver_service_new(&v->env, &world->conf, SLICE("/home/anna"));
	add_folder(world, "mail", SLICE("/var/mail"));
	add_folder(world, "home", SLICE("/home/anna"));
	world->segment_fd = memfd_create("segment", MFD_CLOEXEC);
	ck_assert_int_eq(
		pwrite(world->segment_fd, CONTENT, sizeof CONTENT - 1, OFFSET), sizeof CONTENT - 1);
	buffer_init(&world->list, v->env.memory, DELIVERY_LIST_BYTES);
	connect_queue(world);
	ck_assert_ok(task_start(&world->tasks, "test", body, world));
	loop_run(world->loop);
	deliver_service_free(&world->service);
	channel_close(&world->queue);
	close(world->segment_fd);
	loop_free(&world->loop);
	nftw(world->folder, remove_file, 8, FTW_DEPTH | FTW_PHYS);
	log_memory_done(&world->log);
	buffer_done(&world->list);
	memory_put(v->env.memory, world);
	ck_assert_uint_eq(memory_used(v->env.memory), 0);
	virtual_env_free(v);
	ck_assert_int_eq(descriptors_open(), before);
}

static void
tell(struct world *world, const struct ipc_message *message)
{
	ck_assert_ok(channel_send(&world->queue, message, MONO_NEVER));
}

static void
send_segment(struct world *world)
{
	tell(world, &(struct ipc_message){.kind = IPC_SEGMENT,
			    .segment = {SEGMENT, GENERATION},
			    .fds = {world->segment_fd},
			    .fd_count = 1});
}

/* The recipient's number is 3; the list holds until the next call. */
static struct slice
one_recipient(struct world *world, struct slice address)
{
	struct delivery_recipient recipient = {3, address};

	buffer_clear(&world->list);
	ck_assert_ok(
		delivery_recipient_append(&world->list, &recipient, &(struct delivery_wish){0}));
	return buffer_slice(&world->list);
}

static struct ipc_message
delivery_of(struct world *world, uint64_t queue_id, const char *address)
{
	return (struct ipc_message){.kind = IPC_DELIVER,
		.deliver = {
			.attempt = ++world->number,
			.queue_id = queue_id,
			.transport = TRANSPORT_MAILDIR,
			.name = SLICE("mail"),
			.recipients = one_recipient(world, slice_text(address)),
			.template = SLICE("/var/mail/{domain}/{user}"),
			.reverse_path = SLICE("sender@example.net"),
			.trace = SLICE("Received: by mx\r\n"),
			.first_attempt = 1,
			.received_at = 1795455235000000,
			.source = SOURCE_SEGMENT,
			.segment = SEGMENT,
			.generation = GENERATION,
			.offset = OFFSET,
			.size = sizeof CONTENT - 1,
			.sum = crc32c(0, SLICE(CONTENT)),
		}};
}

/* May wait: the next result of the channel; its slices hold until the next message. */
static struct delivery_result
next_result(struct world *world, struct channel *channel)
{
	struct ipc_message message;
	struct delivery_result result;

	if (cursor_left(&world->results) == 0) {
		ck_assert_ok(channel_receive(
			channel, loop_deadline(world->loop, 60 * US_PER_S), &message));
		ck_assert_int_eq(message.kind, IPC_RESULT);
		world->results = cursor_of(message.result.results);
	}
	ck_assert_ok(delivery_result_take(&world->results, &result));
	return result;
}

/* May wait. The answer to the delivery sent last; its slices hold until the next. */
static struct delivery_result
answer(struct world *world)
{
	struct delivery_result result = next_result(world, &world->queue);

	ck_assert_uint_eq(result.attempt, world->number);
	ck_assert_uint_eq(result.recipient, 3);
	return result;
}

static struct delivery_result
deliver(struct world *world, uint64_t queue_id, const char *address)
{
	struct ipc_message message = delivery_of(world, queue_id, address);

	tell(world, &message);
	return answer(world);
}

/* The file at a path that a result names, which is one of the roots and then below the test's
 * folder. */
static void
check_file(struct world *world, struct slice path, struct slice root, const char *folder,
	const char *expected)
{
	char full[512];
	char bytes[1024];

	ck_assert(slice_has_prefix(path, root));
	struct slice below = slice_from(path, root.len);
	ck_assert_int_lt(
		snprintf(full, sizeof full, "%s/%s%.*s", world->folder, folder, SLICE_ARGS(below)),
		(int)sizeof full);
	int fd = open(full, O_RDONLY | O_CLOEXEC);
	ck_assert_msg(fd >= 0, "%s", full);
	ssize_t len = read(fd, bytes, sizeof bytes - 1);
	close(fd);
	ck_assert_int_ge(len, 0);
	bytes[len] = 0;
	ck_assert_str_eq(bytes, expected);
}

static void
reference_body(void *arg)
{
	struct world *world = arg;

	send_segment(world);
	struct delivery_result result = deliver(world, 1000, "Anna@Example.org");
	ck_assert_uint_eq(result.outcome, DELIVER_DELIVERED);
	ck_assert(slice_has_prefix(
		result.path, SLICE("/var/mail/example.org/anna/new/1795455235.V")));
	check_file(world, result.path, SLICE("/var/mail"), "mail",
		"Return-Path: <sender@example.net>\nDelivered-To: Anna@Example.org\nReceived: by "
		"mx\n"
		"Subject: x\n\nhello\n.dot\n");
	/* The same delivery again finds its file. */
	struct slice first = result.path;
	char kept[256];
	memcpy(kept, first.ptr, first.len);
	kept[first.len] = 0;
	struct ipc_message again = delivery_of(world, 1000, "anna@example.org");
	again.deliver.first_attempt = 0;
	tell(world, &again);
	result = answer(world);
	ck_assert_uint_eq(result.outcome, DELIVER_DELIVERED);
	ck_assert_slice_eq(result.path, kept);
	deliver_service_stop(world->service);
}

static void
junk_body(void *arg)
{
	struct world *world = arg;

	send_segment(world);
	struct ipc_message message = delivery_of(world, 1000, "anna@example.org");
	message.deliver.is_junk = 1;
	tell(world, &message);
	struct delivery_result result = answer(world);
	ck_assert_uint_eq(result.outcome, DELIVER_DELIVERED);
	ck_assert(slice_has_prefix(
		result.path, SLICE("/var/mail/example.org/anna/.Junk/new/1795455235.V")));
	deliver_service_stop(world->service);
}

START_TEST(junk_has_a_folder_of_its_own)
{
	run_with(junk_body);
}
END_TEST

START_TEST(content_of_a_segment_lies_in_the_maildir)
{
	run_with(reference_body);
}
END_TEST

static int
content_copy(struct world *world)
{
	int fd = memfd_create("content", MFD_CLOEXEC);

	(void)world;
	ck_assert_int_eq(pwrite(fd, CONTENT, sizeof CONTENT - 1, 0), sizeof CONTENT - 1);
	return fd;
}

static struct ipc_message
copy_of(struct world *world, uint64_t queue_id, const char *template, int fd)
{
	struct ipc_message message = delivery_of(world, queue_id, "anna@example.org");

	message.deliver.transport = TRANSPORT_SYSTEM;
	message.deliver.name = SLICE("anna");
	message.deliver.template = slice_text(template);
	message.deliver.reverse_path = SLICE("");
	message.deliver.trace = SLICE("");
	message.deliver.source = SOURCE_MEMORY;
	message.deliver.offset = 0;
	message.fds[0] = fd;
	message.fd_count = 1;
	return message;
}

static void
copy_body(void *arg)
{
	struct world *world = arg;
	int fd = content_copy(world);
	static const char *const templates[] = {
		"{home}/Maildir", "{home}/mail/{user}", "{home}/a/b/{domain}/x"};
	static const char *const folders[] = {"/home/anna/Maildir/new/",
		"/home/anna/mail/anna/new/", "/home/anna/a/b/example.org/x/new/"};

	for (size_t i = 0; i < sizeof templates / sizeof *templates; i++) {
		struct ipc_message message = copy_of(world, 5 + i, templates[i], fd);
		tell(world, &message);
		struct delivery_result result = answer(world);
		ck_assert_uint_eq(result.outcome, DELIVER_DELIVERED);
		ck_assert_msg(slice_has_prefix(result.path, slice_text(folders[i])), "%.*s",
			SLICE_ARGS(result.path));
		check_file(world, result.path, SLICE("/home/anna"), "home",
			"Return-Path: <>\nDelivered-To: anna@example.org\nSubject: "
			"x\n\nhello\n.dot\n");
	}
	/* A copy shorter than it says is no message. */
	struct ipc_message cut = copy_of(world, 9, "{home}/Maildir", fd);
	cut.deliver.size++;
	tell(world, &cut);
	ck_assert(enhanced_status_equal(answer(world).status, STATUS(5, 3, 0)));
	/* Nor is one that is not what it was when it was stored. */
	struct ipc_message rotten = copy_of(world, 10, "{home}/Maildir", fd);
	rotten.deliver.sum++;
	tell(world, &rotten);
	struct delivery_result result = answer(world);
	ck_assert_uint_eq(result.outcome, DELIVER_PERMANENT);
	ck_assert(enhanced_status_equal(result.status, STATUS(5, 3, 0)));
	close(fd);
	deliver_service_stop(world->service);
}

START_TEST(a_copy_goes_into_the_home)
{
	run_with(copy_body);
}
END_TEST

static void
refusals_body(void *arg)
{
	struct world *world = arg;
	struct delivery_result result = deliver(world, 1, "anna@example.org");

	ck_assert_uint_eq(result.outcome, DELIVER_TEMPORARY); /* no such segment yet */
	send_segment(world);
	struct ipc_message elsewhere = delivery_of(world, 2, "anna@example.org");
	elsewhere.deliver.template = SLICE("/var/elsewhere/{user}");
	tell(world, &elsewhere);
	result = answer(world);
	ck_assert_uint_eq(result.outcome, DELIVER_TEMPORARY);
	ck_assert(enhanced_status_equal(result.status, STATUS(4, 3, 5)));
	result = deliver(world, 3, "no address");
	ck_assert_uint_eq(result.outcome, DELIVER_PERMANENT);
	ck_assert(enhanced_status_equal(result.status, STATUS(5, 1, 1)));
	struct ipc_message old = delivery_of(world, 4, "anna@example.org");
	old.deliver.generation--;
	tell(world, &old);
	ck_assert_uint_eq(answer(world).outcome, DELIVER_TEMPORARY);
	ck_assert_uint_eq(deliver(world, 5, "anna@example.org").outcome, DELIVER_DELIVERED);
	tell(world, &(struct ipc_message){
			    .kind = IPC_SEGMENT_GONE, .segment_gone = {SEGMENT, GENERATION}});
	ck_assert_uint_eq(deliver(world, 6, "anna@example.org").outcome, DELIVER_TEMPORARY);
	send_segment(world);
	ck_assert_uint_eq(deliver(world, 7, "anna@example.org").outcome, DELIVER_DELIVERED);
	deliver_service_stop(world->service);
}

START_TEST(what_cannot_be_delivered_is_told_apart)
{
	run_with(refusals_body);
}
END_TEST

static void
loop_body(void *arg)
{
#define CIRCLE                                         \
	"Received: by mx.example.org with SMTP; x\r\n" \
	"Delivered-To: anna@example.org\r\nSubject: x\r\n\r\nhello\r\n"
	struct world *world = arg;

	ck_assert_int_eq(
		pwrite(world->segment_fd, CIRCLE, sizeof CIRCLE - 1, 5000), sizeof CIRCLE - 1);
	send_segment(world);
	struct ipc_message message = delivery_of(world, 1, "Anna@example.org");
	message.deliver.offset = 5000;
	message.deliver.size = sizeof CIRCLE - 1;
	message.deliver.sum = crc32c(0, SLICE(CIRCLE));
	tell(world, &message);
	struct delivery_result result = answer(world);
	ck_assert_uint_eq(result.outcome, DELIVER_PERMANENT);
	ck_assert(enhanced_status_equal(result.status, STATUS(5, 4, 6)));
	message.deliver.attempt = ++world->number;
	message.deliver.recipients = one_recipient(world, SLICE("bob@example.org"));
	tell(world, &message);
	ck_assert_uint_eq(answer(world).outcome, DELIVER_DELIVERED);
	deliver_service_stop(world->service);
}

START_TEST(mail_that_was_here_before_goes_round_in_CIRCLEs)
{
	run_with(loop_body);
}
END_TEST

/* More than a batch, good and bad among each other: each gets its own answer, in order. */
static void
batch_body(void *arg)
{
	enum { DELIVERIES = 150 };
	struct world *world = arg;
	uint64_t first = world->number + 1;

	send_segment(world);
	for (uint64_t i = 0; i < DELIVERIES; i++) {
		struct ipc_message message = delivery_of(
			world, 100 + i, i % 10 == 3 ? "bad address" : "anna@example.org");
		tell(world, &message);
	}
	for (uint64_t i = 0; i < DELIVERIES; i++) {
		struct delivery_result result = next_result(world, &world->queue);
		ck_assert_uint_eq(result.attempt, first + i);
		ck_assert_uint_eq(
			result.outcome, i % 10 == 3 ? DELIVER_PERMANENT : DELIVER_DELIVERED);
	}
	deliver_service_stop(world->service);
}

START_TEST(batches_answer_each_delivery)
{
	run_with(batch_body);
}
END_TEST

/* Behind good deliveries comes what no queue may say: they are answered, and the channel is over.
 */
static void
broken_body(void *arg)
{
	struct world *world = arg;
	struct ipc_message message;

	send_segment(world);
	message = delivery_of(world, 1, "anna@example.org");
	tell(world, &message);
	ck_assert_int_eq(send(world->queue.fd, "\x07\x00garbage", 9, 0), 9);
	message = delivery_of(world, 2, "anna@example.org");
	tell(world, &message);
	world->number--;
	ck_assert_uint_eq(answer(world).outcome, DELIVER_DELIVERED);
	ck_assert_int_eq(
		channel_receive(&world->queue, loop_deadline(world->loop, 60 * US_PER_S), &message),
		ERROR_CLOSED);
	ck_assert_uint_eq(log_memory_count(&world->log, "deliver_channel_broken"), 1);
	channel_close(&world->queue);
	/* The next queue begins anew. */
	connect_queue(world);
	world->number += 10;
	ck_assert_uint_eq(deliver(world, 3, "anna@example.org").outcome, DELIVER_TEMPORARY);
	send_segment(world);
	ck_assert_uint_eq(deliver(world, 3, "anna@example.org").outcome, DELIVER_DELIVERED);
	deliver_service_stop(world->service);
}

START_TEST(a_broken_channel_ends_after_what_came_before)
{
	run_with(broken_body);
}
END_TEST

/* Two queues at a time, as while one replaces the other: neither's jobs touch the other's, and the
 * older one's are not tried. */
static void
two_queues_body(void *arg)
{
	struct world *world = arg;
	struct channel old = world->queue;

	send_segment(world);
	ck_assert_ok(task_sleep(world->loop, loop_deadline(world->loop, US_PER_MS)));
	watch_close(&world->queue.watch); /* the struct moves: watched again at its new place */
	ck_assert_ok(watch_open(&old.watch, world->loop, old.fd, POLL_READABLE | POLL_WRITABLE));
	task_event_init(&old.sent);
	connect_queue(world);
	send_segment(world);
	for (uint64_t i = 0; i < 20; i++) {
		struct ipc_message message = delivery_of(world, 100 + i, "anna@example.org");
		ck_assert_ok(channel_send(&old, &message, MONO_NEVER));
		ck_assert_uint_eq(
			deliver(world, 200 + i, "bob@example.org").outcome, DELIVER_DELIVERED);
		struct delivery_result result = next_result(world, &old);
		ck_assert_uint_eq(result.attempt, world->number - 1);
		/* The new queue tries again what the old one had under way: it is not done twice.
		 */
		ck_assert_uint_eq(result.outcome, DELIVER_TEMPORARY);
	}
	channel_close(&old);
	deliver_service_stop(world->service);
}

START_TEST(two_queues_do_not_share_jobs)
{
	run_with(two_queues_body);
}
END_TEST

/* All recipients of one attempt have the one content and a result each; a list that is none ends
 * the channel. */
static void
recipients_body(void *arg)
{
	struct world *world = arg;
	struct ipc_message message = delivery_of(world, 1, "anna@example.org"), end;

	send_segment(world);
	buffer_clear(&world->list);
	for (uint32_t i = 0; i < DELIVERY_RECIPIENTS_MAX; i++) {
		struct delivery_recipient one = {
			i, i == 7 ? SLICE("no address") : SLICE("bob@example.org")};
		ck_assert_ok(
			delivery_recipient_append(&world->list, &one, &(struct delivery_wish){0}));
	}
	message.deliver.recipients = buffer_slice(&world->list);
	tell(world, &message);
	message.deliver.attempt = ++world->number;
	message.deliver.queue_id = 2;
	tell(world, &message);
	for (uint32_t i = 0; i < 2 * DELIVERY_RECIPIENTS_MAX; i++) {
		struct delivery_result result = next_result(world, &world->queue);
		ck_assert_uint_eq(result.recipient, i % DELIVERY_RECIPIENTS_MAX);
		ck_assert_uint_eq(result.attempt, world->number - (i < DELIVERY_RECIPIENTS_MAX));
		ck_assert_uint_eq(result.outcome,
			result.recipient == 7 ? DELIVER_PERMANENT : DELIVER_DELIVERED);
	}
	message.deliver.recipients = SLICE("no list");
	tell(world, &message);
	ck_assert_int_eq(
		channel_receive(&world->queue, loop_deadline(world->loop, 60 * US_PER_S), &end),
		ERROR_CLOSED);
	deliver_service_stop(world->service);
}

START_TEST(recipients_of_one_attempt_have_results_of_their_own)
{
	run_with(recipients_body);
}
END_TEST

UNIT_MAIN("deliver/deliver", recipients_of_one_attempt_have_results_of_their_own,
	content_of_a_segment_lies_in_the_maildir, a_copy_goes_into_the_home,
	what_cannot_be_delivered_is_told_apart, mail_that_was_here_before_goes_round_in_CIRCLEs,
	batches_answer_each_delivery, a_broken_channel_ends_after_what_came_before,
	two_queues_do_not_share_jobs, junk_has_a_folder_of_its_own)
