#include "ipc/channel.h"
#include "ipc/envelope.h"
#include "ipc/log_ring.h"
#include "ipc/ring.h"
#include "ipc/snapshot.h"
#include "descriptors.h"
#include "fault_env.h"
#include "unit.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

START_TEST(queue_ids_sort_as_numbers)
{
	char a[QUEUE_ID_DIGITS + 1], b[QUEUE_ID_DIGITS + 1];
	uint64_t back;

	queue_id_print(0, a);
	ck_assert_str_eq(a, "0000000000000");
	queue_id_print(UINT64_MAX, a);
	ck_assert_str_eq(a, "fvvvvvvvvvvvv");
	ck_assert_ok(queue_id_parse(slice_text(a), &back));
	ck_assert_uint_eq(back, UINT64_MAX);
	queue_id_print(1795455235123456, a);
	queue_id_print(1795455235123457, b);
	ck_assert_int_lt(strcmp(a, b), 0);
	ck_assert_ok(queue_id_parse(slice_text(a), &back));
	ck_assert_uint_eq(back, 1795455235123456);
	ck_assert_int_eq(queue_id_parse(SLICE("g000000000000"), &back), ERROR_FORMAT); /* 65 bits */
	ck_assert_int_eq(queue_id_parse(SLICE("000000000000w"), &back), ERROR_FORMAT);
	ck_assert_int_eq(queue_id_parse(SLICE("000"), &back), ERROR_FORMAT);
}
END_TEST

static struct envelope
sample_envelope(struct envelope_recipient *recipients)
{
	static const struct envelope_wish wishes[] = {
		{.is_target = true}, {.original = SLICE_INIT("rfc822;b+20c@example.com"),
					     .notify = DSN_NOTIFY_SUCCESS | DSN_NOTIFY_DELAY,
					     .is_expanded = true}};

	recipients[0].address = SLICE("a@example.org");
	recipients[1].address = SLICE("\"b c\"@example.org");
	return (struct envelope){
		.id = 42,
		.received_at = 1795455235123456,
		.reverse_path = SLICE("sender@example.net"),
		.recipients = recipients,
		.wishes = wishes,
		.recipient_count = 2,
		.body = BODY_8BITMIME,
		.returns = RETURNS_FULL,
		.envelope_id = SLICE("QQ+3D314159"),
		.protocol = PROTOCOL_ESMTP,
		.helo = SLICE("client.example"),
		.client_address = SLICE("192.0.2.1"),
		.client_port = 4711,
		.listener = SLICE("mx"),
		.content_flags = CONTENT_8BIT | CONTENT_DOT_LINE,
		.content_size = 123456789,
		.trace = SLICE("Received: by x id 0000000000000;\r\n\tdate\r\n"),
		.trace_id_at = 18,
		.is_junk = true,
		.unknown = SLICE("\x63\x02\x00\x00\x00hi"),
	};
}

/* What lies in a spool from before there were wishes: octets that were written then. */
START_TEST(envelopes_without_wishes_are_read)
{
	static const uint8_t old[] = "\x01\x08\0\0\0\x2a\0\0\0\0\0\0\0"
				     "\x03\x03\0\0\0s@b\x04\x03\0\0\0a@b\x04\x03\0\0\0c@d";
	struct memory *memory = memory_new(0);
	struct envelope back;
	struct arena arena;

	arena_init(&arena, memory, 65536);
	ck_assert_ok(envelope_decode(slice_of(old, sizeof old - 1), &arena, &back));
	ck_assert_uint_eq(back.recipient_count, 2);
	ck_assert_ptr_null(back.wishes);
	ck_assert_uint_eq(envelope_wish(&back, 1).notify, 0);
	ck_assert_uint_eq(back.returns, RETURNS_UNSTATED);
	ck_assert_uint_eq(back.envelope_id.len, 0);
	arena_done(&arena);
	memory_free(&memory);
}
END_TEST

START_TEST(envelopes_survive_the_trip)
{
	struct memory *memory = memory_new(0);
	struct envelope_recipient recipients[2];
	struct envelope envelope = sample_envelope(recipients), back;
	struct buffer bytes, again;
	struct arena arena;

	buffer_init(&bytes, memory, 65536);
	buffer_init(&again, memory, 65536);
	arena_init(&arena, memory, 65536);
	envelope_encode(&envelope, &bytes);
	ck_assert_ok(buffer_error(&bytes));
	ck_assert_ok(envelope_decode(buffer_slice(&bytes), &arena, &back));
	ck_assert_uint_eq(back.id, 42);
	ck_assert_int_eq(back.received_at, 1795455235123456);
	ck_assert_slice_eq(back.reverse_path, "sender@example.net");
	ck_assert_uint_eq(back.recipient_count, 2);
	ck_assert_uint_eq(back.returns, RETURNS_FULL);
	ck_assert_slice_eq(back.envelope_id, "QQ+3D314159");
	ck_assert_uint_eq(back.wishes[0].notify | back.wishes[0].original.len, 0);
	ck_assert(!back.wishes[0].is_expanded && back.wishes[0].is_target);
	ck_assert_slice_eq(back.wishes[1].original, "rfc822;b+20c@example.com");
	ck_assert_uint_eq(back.wishes[1].notify, DSN_NOTIFY_SUCCESS | DSN_NOTIFY_DELAY);
	ck_assert(back.wishes[1].is_expanded && !back.wishes[1].is_target);
	ck_assert_slice_eq(back.recipients[1].address, "\"b c\"@example.org");
	ck_assert_uint_eq(back.content_size, 123456789);
	ck_assert_uint_eq(back.trace_id_at, 18);
	ck_assert(back.is_junk);
	ck_assert_int_eq(back.body, BODY_8BITMIME);
	envelope_encode(&back, &again);
	ck_assert(slice_equal(buffer_slice(&bytes), buffer_slice(&again)));
	/* Every cut is noticed or leaves a shorter sound envelope, never a read past the end. */
	for (size_t len = 0; len < bytes.len; len++) {
		enum error error =
			envelope_decode(slice_sub(buffer_slice(&bytes), 0, len), &arena, &back);
		ck_assert(error == OK || error == ERROR_FORMAT);
	}
	buffer_done(&bytes);
	buffer_done(&again);
	arena_done(&arena);
	memory_free(&memory);
}
END_TEST

static enum error
decode_changed(void (*change)(struct envelope *envelope))
{
	struct memory *memory = memory_new(0);
	struct envelope_recipient recipients[2];
	struct envelope envelope = sample_envelope(recipients), back;
	struct buffer bytes;
	struct arena arena;

	change(&envelope);
	buffer_init(&bytes, memory, 65536);
	arena_init(&arena, memory, 65536);
	envelope_encode(&envelope, &bytes);
	enum error error = envelope_decode(buffer_slice(&bytes), &arena, &back);
	memory_free(&memory);
	return error;
}

static void
change_nothing(struct envelope *e)
{
	(void)e;
}
static void
break_path(struct envelope *e)
{
	e->reverse_path = SLICE("a\r\nEvil: yes");
}
static void
break_trace(struct envelope *e)
{
	e->trace = SLICE("Received: x\n.\r\n");
}
static void
end_trace_early(struct envelope *e)
{
	e->trace = SLICE("Received: x\r\nhalf a line 0000000000000");
}
static void
misplace_id(struct envelope *e)
{
	e->trace_id_at = 30;
}
static void
shorten_trace(struct envelope *e)
{
	e->trace = SLICE("short\r\n");
	e->trace_id_at = 0;
}
static void
id_over_line_end(struct envelope *e)
{
	e->trace_id_at = 20;
}
static void
empty_recipient(struct envelope *e)
{
	static const struct envelope_recipient nobody = {SLICE_INIT("")};

	e->recipient_count = 1;
	e->recipients = &nobody;
}

START_TEST(envelopes_are_checked)
{
	ck_assert_ok(decode_changed(change_nothing));
	ck_assert_int_eq(decode_changed(break_path), ERROR_FORMAT);
	ck_assert_int_eq(decode_changed(break_trace), ERROR_FORMAT);
	ck_assert_int_eq(decode_changed(end_trace_early), ERROR_FORMAT);
	ck_assert_int_eq(decode_changed(misplace_id), ERROR_FORMAT);
	ck_assert_int_eq(decode_changed(shorten_trace), ERROR_FORMAT);
	ck_assert_int_eq(decode_changed(id_over_line_end), ERROR_FORMAT);
	ck_assert_int_eq(decode_changed(empty_recipient), ERROR_FORMAT);
}
END_TEST

START_TEST(messages_survive_the_trip)
{
	struct memory *memory = memory_new(0);
	struct buffer bytes;
	struct ipc_message message = {.kind = IPC_DELIVER,
		.deliver = {.attempt = 7,
			.transport = TRANSPORT_SYSTEM,
			.name = SLICE("anna"),
			.sum = 40202,
			.trace = SLICE("")}};
	struct ipc_message back = {.fd_count = 0};

	buffer_init(&bytes, memory, IPC_MESSAGE_MAX);
	ck_assert_ok(ipc_encode(&message, &bytes));
	ck_assert_ok(ipc_decode(buffer_slice(&bytes), &back));
	ck_assert_int_eq(back.kind, IPC_DELIVER);
	ck_assert_uint_eq(back.deliver.sum, 40202);
	ck_assert_slice_eq(back.deliver.name, "anna");
	for (size_t len = 0; len < bytes.len; len++)
		ck_assert_int_eq(
			ipc_decode(slice_sub(buffer_slice(&bytes), 0, len), &back), ERROR_FORMAT);
	buffer_append_octet(&bytes, 0);
	ck_assert_int_eq(ipc_decode(buffer_slice(&bytes), &back), ERROR_FORMAT);
	message.deliver.transport = TRANSPORT_COUNT;
	buffer_clear(&bytes);
	ck_assert_int_eq(ipc_encode(&message, &bytes), ERROR_LIMIT);
	ck_assert_int_eq(ipc_decode(buffer_slice(&bytes), &back), ERROR_FORMAT);
	buffer_done(&bytes);
	memory_free(&memory);
}
END_TEST

/* Nobody tells root what to do: it is told how its children are, and asked for a deliverer. */
static bool
may_say_to_root(enum ipc_kind kind, enum role sender)
{
	unsigned judges = ROLES_CHILDREN & ~(ROLE_BIT(ROLE_SESSION) | ROLE_BIT(ROLE_DELIVER) |
						   ROLE_BIT(ROLE_ADMIN) | ROLE_BIT(ROLE_LOG));

	switch (kind) {
	case IPC_READY:
		return sender != ROLE_TOOL;
	case IPC_UNABLE:
		return sender == ROLE_SESSION || sender == ROLE_ADMIN;
	case IPC_NEED_DELIVER:
		return sender == ROLE_QUEUE;
	case IPC_BROKEN:
		return ROLE_BIT(sender) & judges;
	default:
		return false;
	}
}

/* Who hears strangers asks (but for what it tells root), and the log listens. */
static bool
may_say_to_others(enum ipc_kind kind, enum role sender)
{
	struct ipc_message message = {.kind = kind};

	switch (sender) {
	case ROLE_SESSION:
	case ROLE_TOOL:
		return ipc_request(&message);
	case ROLE_LOG:
		return false;
	default:
		return true;
	}
}

START_TEST(each_role_says_what_it_may)
{
	for (enum ipc_kind kind = 0; kind < IPC_KINDS; kind++) {
		unsigned pairs = 0;
		for (enum role sender = 0; sender < ROLE_COUNT; sender++)
			for (enum role receiver = 0; receiver < ROLE_COUNT; receiver++) {
				if (!ipc_may_send(kind, sender, receiver))
					continue;
				bool may = receiver == ROLE_ROOT ? may_say_to_root(kind, sender)
								 : may_say_to_others(kind, sender);
				ck_assert_msg(may, "%s may say %d to %s", role_name(sender), kind,
					role_name(receiver));
				pairs += sender != receiver;
			}
		ck_assert_msg(pairs > 0, "nobody says %d", kind);
		ck_assert(!ipc_fds_fit(kind, IPC_FDS_MAX + 1));
	}
}
END_TEST

START_TEST(descriptors_come_in_the_number_of_their_kind)
{
	ck_assert(ipc_fds_fit(IPC_SEGMENT, 1) && !ipc_fds_fit(IPC_SEGMENT, 0));
	ck_assert(!ipc_fds_fit(IPC_SEGMENT, 2) && !ipc_fds_fit(IPC_RESULT, 1));
	ck_assert(ipc_fds_fit(IPC_DELIVER, 0) && ipc_fds_fit(IPC_DELIVER, 1));
	ck_assert(!ipc_fds_fit(IPC_DELIVER, 2) && ipc_fds_fit(IPC_RESULT, 0));
}
END_TEST

/* The largest DELIVER is a datagram all the same. */
START_TEST(every_list_of_recipients_fits_its_message)
{
	struct memory *memory = memory_new(0);
	uint8_t *octets = memory_get(memory, DELIVERY_RESULTS_BYTES);
	struct buffer bytes;
	struct ipc_message message = {.kind = IPC_DELIVER,
		.deliver = {.name = slice_of(octets, 320),
			.template = slice_of(octets, IPC_PATH_MAX),
			.recipients = slice_of(octets, DELIVERY_LIST_BYTES),
			.reverse_path = slice_of(octets, IPC_TEXT_MAX),
			.trace = slice_of(octets, IPC_TRACE_MAX)}};
	struct ipc_message result = {.kind = IPC_RESULT,
		.result = {.results = slice_of(octets, DELIVERY_RESULTS_BYTES)}};

	buffer_init(&bytes, memory, IPC_MESSAGE_MAX);
	ck_assert_ok(ipc_encode(&message, &bytes));
	buffer_clear(&bytes);
	ck_assert_ok(ipc_encode(&result, &bytes));
	buffer_done(&bytes);
	memory_put(memory, octets);
	memory_free(&memory);
}
END_TEST

struct talk {
	struct env env;
	struct loop *loop;
	struct task_group group;
	struct channel queue, deliver;
	int received;
};

static void
talk_init(struct talk *talk)
{
	struct loop_options options = {0};
	int fds[2];

	memset(talk, 0, sizeof *talk);
	env_init_linux(&talk->env);
	talk->loop = loop_new(&talk->env, &options);
	task_group_init(&talk->group, talk->loop);
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_ok(channel_open(&talk->queue, talk->loop, fds[0], ROLE_QUEUE, ROLE_DELIVER));
	ck_assert_ok(channel_open(&talk->deliver, talk->loop, fds[1], ROLE_DELIVER, ROLE_QUEUE));
}

static void
talk_done(struct talk *talk)
{
	channel_close(&talk->queue);
	channel_close(&talk->deliver);
	loop_free(&talk->loop);
	ck_assert_uint_eq(memory_used(talk->env.memory), 0);
	env_done(&talk->env);
}

static void
pass_a_descriptor(void *arg)
{
	struct talk *talk = arg;
	int pipe_fds[2];
	char byte;

	ck_assert_int_eq(pipe2(pipe_fds, O_NONBLOCK), 0);
	struct ipc_message segment = {.kind = IPC_SEGMENT,
		.segment = {.segment = 5},
		.fds = {pipe_fds[1]},
		.fd_count = 1};
	ck_assert_ok(channel_send(&talk->queue, &segment, MONO_NEVER));
	close(pipe_fds[1]);
	while (read(pipe_fds[0], &byte, 1) !=
		1) /* written by the receiver through the passed descriptor */
		task_yield(talk->loop);
	ck_assert_int_eq(byte, '!');
	close(pipe_fds[0]);
	struct ipc_message wrong = {.kind = IPC_RESULT};
	ck_assert_int_eq(channel_send(&talk->queue, &wrong, MONO_NEVER), ERROR_DENIED);
}

static void
use_the_descriptor(void *arg)
{
	struct talk *talk = arg;
	struct ipc_message message;

	ck_assert_ok(channel_receive(&talk->deliver, MONO_NEVER, &message));
	ck_assert_int_eq(message.kind, IPC_SEGMENT);
	ck_assert_uint_eq(message.segment.segment, 5);
	ck_assert_uint_eq(message.fd_count, 1);
	ck_assert_int_eq(write(message.fds[0], "!", 1), 1);
	ipc_close_fds(&talk->env, &message);
	talk->received++;
}

START_TEST(channels_carry_descriptors)
{
	struct talk talk;

	talk_init(&talk);
	ck_assert_ok(task_start(&talk.group, "receive", use_the_descriptor, &talk));
	ck_assert_ok(task_start(&talk.group, "send", pass_a_descriptor, &talk));
	loop_run(talk.loop);
	ck_assert_int_eq(talk.received, 1);
	talk_done(&talk);
}
END_TEST

static void
send_until_full(void *arg)
{
	struct talk *talk = arg;

	for (int i = 0; i < 1000; i++) {
		struct ipc_message message = {
			.kind = IPC_DELIVER, .deliver = {.attempt = (uint64_t)i}};
		ck_assert_ok(channel_send(&talk->queue, &message, MONO_NEVER));
	}
}

static void
receive_slowly(void *arg)
{
	struct talk *talk = arg;
	struct ipc_message message;

	for (int i = 0; i < 2000; i++) {
		ck_assert_ok(channel_receive(&talk->deliver, MONO_NEVER, &message));
		ck_assert_int_eq(message.kind, IPC_DELIVER);
		talk->received++;
		if (i % 100 == 0)
			task_yield(talk->loop);
	}
	channel_close(&talk->deliver);
}

START_TEST(senders_wait_for_room)
{
	struct talk talk;

	talk_init(&talk);
	ck_assert_ok(task_start(&talk.group, "send a", send_until_full, &talk));
	ck_assert_ok(task_start(&talk.group, "send b", send_until_full, &talk));
	ck_assert_ok(task_start(&talk.group, "receive", receive_slowly, &talk));
	loop_run(talk.loop);
	ck_assert_int_eq(talk.received, 2000);
	talk_done(&talk);
}
END_TEST

static void
receive_bad(void *arg)
{
	struct talk *talk = arg;
	struct ipc_message message;

	ck_assert_int_eq(channel_receive(&talk->deliver, MONO_NEVER, &message), ERROR_FORMAT);
	talk->received++;
}

/* Sends what no channel would. */
static void
send_raw(struct talk *talk, const void *bytes, size_t len, int fd)
{
	struct iovec piece = {(void *)(uintptr_t)bytes, len};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct msghdr header = {.msg_iov = &piece, .msg_iovlen = 1};

	if (fd >= 0) {
		header.msg_control = &control;
		header.msg_controllen = sizeof control;
		struct cmsghdr *c = CMSG_FIRSTHDR(&header);
		*c = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(sizeof(int))};
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	ck_assert_int_eq(sendmsg(talk->queue.fd, &header, 0), (ssize_t)len);
}

static void
check_refused(const void *bytes, size_t len, int fd)
{
	struct talk talk;

	talk_init(&talk);
	send_raw(&talk, bytes, len, fd);
	ck_assert_ok(task_start(&talk.group, "receive", receive_bad, &talk));
	loop_run(talk.loop);
	ck_assert_int_eq(talk.received, 1);
	talk_done(&talk);
}

static void
receive_empty(void *arg)
{
	struct talk *talk = arg;
	struct ipc_message message;

	ck_assert_int_eq(channel_receive(&talk->deliver, MONO_NEVER, &message), ERROR_CLOSED);
	talk->received++;
}

/* It reads like the end of the connection; what comes along must not stay open. */
START_TEST(an_empty_message_leaves_no_descriptor)
{
	struct talk talk;

	talk_init(&talk);
	int before = descriptors_open();
	send_raw(&talk, "", 0, STDERR_FILENO);
	ck_assert_ok(task_start(&talk.group, "receive", receive_empty, &talk));
	loop_run(talk.loop);
	ck_assert_int_eq(talk.received, 1);
	ck_assert_int_eq(descriptors_open(), before);
	talk_done(&talk);
}
END_TEST

static void
hear_last_words(void *arg)
{
	struct talk *talk = arg;
	struct ipc_message segment_gone = {.kind = IPC_SEGMENT_GONE}, result = {.kind = IPC_RESULT},
			   message;

	ck_assert_ok(channel_send(
		&talk->queue, &segment_gone, MONO_NEVER)); /* never read: the end is a reset */
	for (size_t len = 1; len <= 3; len++) {
		result.result.results = slice_sub(SLICE("abc"), 0, len);
		ck_assert_ok(channel_send(&talk->deliver, &result, MONO_NEVER));
	}
	channel_close(&talk->deliver);
	for (uint32_t i = 1; i <= 3; i++) {
		ck_assert_ok(channel_receive(&talk->queue, MONO_NEVER, &message));
		ck_assert_uint_eq(message.result.results.len, i);
	}
	ck_assert_int_eq(channel_receive(&talk->queue, MONO_NEVER, &message), ERROR_CLOSED);
}

START_TEST(what_a_dead_peer_said_before_is_heard)
{
	struct talk talk;

	talk_init(&talk);
	ck_assert_ok(task_start(&talk.group, "hear", hear_last_words, &talk));
	loop_run(talk.loop);
	talk_done(&talk);
}
END_TEST

START_TEST(bad_messages_are_refused)
{
	uint8_t ready[] = {
		IPC_READY, 0, 1, 0, 0, 0}; /* well formed, but not from queue to deliver */
	uint8_t gone[] = {IPC_SEGMENT_GONE, 0, 1, 0, 0, 0, 1, 0, 0, 0};

	check_refused("\xff\xff", 2, -1);
	check_refused("\x00", 1, -1);
	check_refused(ready, sizeof ready, -1);
	check_refused(gone, sizeof gone, 0); /* a descriptor that does not belong there */
	check_refused(gone, sizeof gone - 1, -1);
}
END_TEST

struct rings {
	struct env env;
	int memory_fd, wake_fd;
	struct ring_producer producer;
	struct ring_consumer consumer;
};

static void
rings_init(struct rings *rings, uint32_t blocks)
{
	env_init_linux(&rings->env);
	ck_assert_ok(ring_memory_new(&rings->env, blocks, &rings->memory_fd));
	rings->wake_fd = rings->env.poll->wake_create(NULL);
	ck_assert_ok(ring_producer_open(
		&rings->producer, &rings->env, rings->memory_fd, rings->wake_fd));
	ck_assert_ok(ring_consumer_open(
		&rings->consumer, &rings->env, rings->memory_fd, rings->wake_fd));
}

static void
rings_done(struct rings *rings)
{
	ring_producer_close(&rings->producer);
	ring_consumer_close(&rings->consumer);
	close(rings->memory_fd);
	close(rings->wake_fd);
	ck_assert_uint_eq(memory_used(rings->env.memory), 0);
	env_done(&rings->env);
}

static void
submit_pattern(struct rings *rings, uint32_t token, uint64_t content, uint32_t envelope)
{
	struct ring_submission submission = {
		.token = token, .content_bytes = content, .envelope_bytes = envelope};
	uint64_t total = ((content + 7) & ~7ull) + envelope;
	uint32_t block = 0, last = 0;

	for (uint64_t at = 0; at < total; at += RING_BLOCK_BYTES) {
		ck_assert_ok(ring_block_take(&rings->producer, &block));
		if (at == 0)
			submission.first_block = block;
		else
			ring_block_link(&rings->producer, last, block);
		for (uint64_t i = 0; i < RING_BLOCK_BYTES; i++)
			ring_block_ptr(&rings->producer, block)[i] =
				(uint8_t)((at + i) * 7 + token);
		last = block;
	}
	ring_submit(&rings->producer, &submission);
}

static void
check_gathered(struct rings *rings, uint32_t token, uint64_t content, uint32_t envelope)
{
	struct ring_submission submission;
	struct iovec pieces[8];
	int count;
	uint8_t *copy = malloc(envelope + 1);
	uint64_t at = 0;

	ck_assert_ok(ring_take_submission(&rings->consumer, &submission));
	ck_assert_uint_eq(submission.token, token);
	ck_assert_ok(ring_gather(&rings->consumer, &submission, pieces, 8, &count, copy));
	for (int i = 0; i < count; i++)
		for (size_t j = 0; j < pieces[i].iov_len; j++, at++)
			ck_assert_uint_eq(
				((uint8_t *)pieces[i].iov_base)[j], (uint8_t)(at * 7 + token));
	ck_assert_uint_eq(at, content);
	uint64_t start = (content + 7) & ~7ull;
	for (uint32_t i = 0; i < envelope; i++)
		ck_assert_uint_eq(copy[i], (uint8_t)((start + i) * 7 + token));
	free(copy);
}

START_TEST(rings_carry_content_and_envelope)
{
	static const struct {
		uint64_t content;
		uint32_t envelope;
	} cases[] = {{1, 1}, {0, 10}, {4096, 300}, {RING_BLOCK_BYTES - 4, 8}, {RING_BLOCK_BYTES, 5},
		{RING_BLOCK_BYTES * 2 + 3, RING_BLOCK_BYTES + 9}, {RING_BLOCK_BYTES - 100, 200}};
	struct rings rings;

	for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		rings_init(&rings, 6);
		struct ring_submission none;
		submit_pattern(&rings, i, cases[i].content, cases[i].envelope);
		ck_assert_int_eq(ring_take_submission(&rings.consumer, &none),
			ERROR_AGAIN); /* not published yet */
		ring_publish(&rings.producer);
		check_gathered(&rings, i, cases[i].content, cases[i].envelope);
		struct ring_completion answer;
		ring_complete(&rings.consumer,
			&(struct ring_completion){
				.token = i, .status = RING_DURABLE, .queue_id = 99});
		ck_assert_int_eq(ring_take_completion(&rings.producer, &answer), ERROR_AGAIN);
		ring_publish_completions(&rings.consumer);
		ck_assert_ok(ring_take_completion(&rings.producer, &answer));
		ck_assert_uint_eq(answer.queue_id, 99);
		rings_done(&rings);
	}
}
END_TEST

START_TEST(rings_wake_only_sleepers)
{
	struct rings rings;
	uint64_t count;

	rings_init(&rings, 4);
	submit_pattern(&rings, 0, 10, 10);
	ring_publish(&rings.producer);
	ck_assert_int_eq(read(rings.wake_fd, &count, 8), -1); /* awake: no signal */
	ck_assert(!ring_consumer_may_sleep(&rings.consumer)); /* there is work */
	ring_consumer_woke(&rings.consumer);
	check_gathered(&rings, 0, 10, 10);
	ck_assert(ring_consumer_may_sleep(&rings.consumer));
	submit_pattern(&rings, 1, 10, 10);
	submit_pattern(&rings, 2, 10, 10);
	ring_publish(&rings.producer);
	ck_assert_int_eq(read(rings.wake_fd, &count, 8), 8);
	ck_assert_uint_eq(count, 1);
	rings_done(&rings);
}
END_TEST

START_TEST(rings_refuse_a_hostile_session)
{
	struct rings rings;
	struct ring_submission submission = {
		.token = 0, .first_block = 77, .content_bytes = 10, .envelope_bytes = 4};
	struct iovec pieces[4];
	uint8_t envelope[64];
	int count;

	rings_init(&rings, 4);
	ring_submit(&rings.producer, &submission); /* a block that is not there */
	ring_publish(&rings.producer);
	ck_assert_ok(ring_take_submission(&rings.consumer, &submission));
	ck_assert_int_eq(ring_gather(&rings.consumer, &submission, pieces, 4, &count, envelope),
		ERROR_DAMAGED);
	submission = (struct ring_submission){.token = RING_ENTRIES, .content_bytes = 1};
	ring_submit(&rings.producer, &submission);
	ring_publish(&rings.producer);
	ck_assert_int_eq(ring_take_submission(&rings.consumer, &submission), ERROR_DAMAGED);
	rings_done(&rings);

	rings_init(&rings, 4);
	submission = (struct ring_submission){.content_bytes = UINT64_MAX - 3, .envelope_bytes = 8};
	ring_submit(&rings.producer, &submission);
	ring_publish(&rings.producer);
	ck_assert_int_eq(ring_take_submission(&rings.consumer, &submission), ERROR_DAMAGED);
	rings_done(&rings);

	rings_init(&rings, 4);
	uint32_t block;
	ck_assert_ok(ring_block_take(&rings.producer, &block));
	ring_block_link(
		&rings.producer, block, block); /* bites its own tail: bounded by the size */
	submission = (struct ring_submission){
		.first_block = block, .content_bytes = 3 * RING_BLOCK_BYTES, .envelope_bytes = 4};
	ring_submit(&rings.producer, &submission);
	ring_publish(&rings.producer);
	ck_assert_ok(ring_take_submission(&rings.consumer, &submission));
	ck_assert_int_eq(ring_gather(&rings.consumer, &submission, pieces, 2, &count, envelope),
		ERROR_LIMIT);
	ck_assert_ok(ring_gather(&rings.consumer, &submission, pieces, 4, &count, envelope));
	ck_assert_int_eq(count, 3);
	rings_done(&rings);

	rings_init(&rings, 4);
	rings.producer.submitted += RING_ENTRIES + 1; /* claims more than there is room for */
	ring_publish(&rings.producer);
	ck_assert_int_eq(ring_take_submission(&rings.consumer, &submission), ERROR_DAMAGED);
	rings_done(&rings);
}
END_TEST

START_TEST(ring_memory_is_sealed)
{
	int fd;
	struct ring_consumer consumer;
	struct env env;

	env_init_linux(&env);
	ck_assert_ok(ring_memory_new(&env, 4, &fd));
	ck_assert_int_eq(ftruncate(fd, 4096), -1);
	close(fd);
	fd = memfd_create("not a ring", 0);
	ck_assert_int_eq(ftruncate(fd, 1 << 20), 0);
	ck_assert_int_eq(ring_consumer_open(&consumer, &env, fd, -1), ERROR_FORMAT);
	close(fd);
	env_done(&env);
}
END_TEST

START_TEST(snapshots_find_their_names)
{
	struct env env;
	struct slice names[] = {SLICE_INIT("alice"), SLICE_INIT("bob"), SLICE_INIT("carol"),
		SLICE_INIT("postmaster")};
	struct snapshot snapshot;
	int fd;

	env_init_linux(&env);
	for (size_t count = 0; count <= 4; count++) {
		ck_assert_ok(snapshot_new(&env, names, count, &fd));
		ck_assert_ok(snapshot_open(&snapshot, &env, fd));
		for (size_t i = 0; i < 4; i++)
			ck_assert_int_eq(snapshot_contains(&snapshot, names[i]), i < count);
		ck_assert(!snapshot_contains(&snapshot, SLICE("ali")) &&
			  !snapshot_contains(&snapshot, SLICE("zed")) &&
			  !snapshot_contains(&snapshot, SLICE("")));
		ck_assert_int_eq(pwrite(fd, "x", 1, 20), -1); /* sealed */
		snapshot_close(&snapshot);
		close(fd);
	}
	fd = memfd_create("unsealed", MFD_ALLOW_SEALING);
	ck_assert_int_eq(write(fd, "snap\0\0\0\0\x0c\0\0\0", 12), 12);
	ck_assert_int_eq(snapshot_open(&snapshot, &env, fd), ERROR_FORMAT);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK), 0);
	ck_assert_ok(snapshot_open(&snapshot, &env, fd));
	snapshot_close(&snapshot);
	close(fd);
	fd = memfd_create("bad offsets", MFD_ALLOW_SEALING);
	ck_assert_int_eq(write(fd, "snap\x01\0\0\0\xff\0\0\0\x10\0\0\0", 16), 16);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK), 0);
	ck_assert_int_eq(snapshot_open(&snapshot, &env, fd), ERROR_FORMAT);
	close(fd);
	env_done(&env);
}
END_TEST

START_TEST(log_rings_wrap_and_count_losses)
{
	struct env env;
	struct log_writer writer;
	struct log_reader reader;
	uint8_t storage[LOG_RECORD_MAX];
	struct slice record;
	struct buffer line;
	int fd, written = 0, taken = 0;
	char expected[32];

	env_init_linux(&env);
	int wake_fd = env.poll->wake_create(NULL);
	ck_assert_ok(log_ring_memory_new(&env, &fd));
	ck_assert_ok(log_writer_open(&writer, &env, fd, wake_fd));
	ck_assert_ok(log_reader_open(&reader, &env, fd));
	env.log = &writer.sink;
	buffer_init(&line, env.memory, 4096);
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 200; i++)
			log_event(&env, LOG_INFO, "held", LOG_NUMBER("n", written++));
		while (log_reader_take(&reader, storage, &record) == OK) {
			buffer_clear(&line);
			ck_assert_ok(log_record_short(record, &line));
			snprintf(expected, sizeof expected, "held n=%d", taken++);
			ck_assert_slice_eq(buffer_slice(&line), expected);
		}
	}
	ck_assert_int_eq(taken, 10000);
	ck_assert_uint_eq(log_reader_dropped(&reader), 0);
	for (int i = 0; i < 20000; i++)
		log_event(&env, LOG_INFO, "held", LOG_NUMBER("n", i));
	uint32_t dropped = log_reader_dropped(&reader);
	for (taken = 0; log_reader_take(&reader, storage, &record) == OK;)
		taken++;
	ck_assert_uint_gt(dropped, 0);
	ck_assert_int_eq((int)dropped + taken, 20000);
	buffer_done(&line);
	log_writer_close(&writer);
	log_reader_close(&reader);
	close(fd);
	close(wake_fd);
	env_done(&env);
}
END_TEST

static enum error
ring_attempt(struct env *env)
{
	struct ring_producer producer;
	struct ring_consumer consumer;
	int fd;
	enum error error = ring_memory_new(env, 4, &fd);

	if (error != OK)
		return error;
	error = ring_producer_open(&producer, env, fd, -1);
	if (error == OK) {
		error = ring_consumer_open(&consumer, env, fd, -1);
		if (error == OK)
			ring_consumer_close(&consumer);
		ring_producer_close(&producer);
	}
	close(fd);
	return error;
}

static enum error
log_ring_attempt(struct env *env)
{
	struct log_writer writer;
	struct log_reader reader;
	int fd;
	enum error error = log_ring_memory_new(env, &fd);

	if (error != OK)
		return error;
	error = log_writer_open(&writer, env, fd, -1);
	if (error == OK) {
		error = log_reader_open(&reader, env, fd);
		if (error == OK)
			log_reader_close(&reader);
		log_writer_close(&writer);
	}
	close(fd);
	return error;
}

static enum error
snapshot_attempt(struct env *env)
{
	struct slice names[] = {SLICE_INIT("alice"), SLICE_INIT("bob")};
	struct snapshot snapshot;
	int fd;
	enum error error = snapshot_new(env, names, 2, &fd);

	if (error != OK)
		return error;
	error = snapshot_open(&snapshot, env, fd);
	if (error == OK)
		snapshot_close(&snapshot);
	close(fd);
	return error;
}

/* Every call fails once: each time an error, and nothing is left behind. */
static void
fail_every_call(enum error (*attempt)(struct env *env), unsigned calls, bool cut)
{
	struct fault_env faults;
	int open = descriptors_open();

	fault_env_init(&faults);
	faults.cut = cut;
	ck_assert_ok(attempt(&faults.env));
	ck_assert_uint_eq(faults.calls, calls);
	for (unsigned n = 1; n <= calls; n++) {
		fault_env_arm(&faults, n);
		ck_assert_msg(attempt(&faults.env) != OK, "call %u of %u", n, calls);
		ck_assert_int_eq(faults.mappings, 0);
		ck_assert_int_eq(descriptors_open(), open);
	}
	fault_env_done(&faults);
}

START_TEST(shared_memory_fails_clean)
{
	fail_every_call(ring_attempt, 7, false);
	fail_every_call(log_ring_attempt, 6, false);
	fail_every_call(snapshot_attempt, 6, false);
	fail_every_call(ring_attempt, 7, true);
	fail_every_call(snapshot_attempt, 6, true);
}
END_TEST

UNIT_MAIN("ipc", queue_ids_sort_as_numbers, envelopes_without_wishes_are_read,
	envelopes_survive_the_trip, envelopes_are_checked, messages_survive_the_trip,
	each_role_says_what_it_may, descriptors_come_in_the_number_of_their_kind,
	every_list_of_recipients_fits_its_message, channels_carry_descriptors,
	senders_wait_for_room, bad_messages_are_refused, an_empty_message_leaves_no_descriptor,
	what_a_dead_peer_said_before_is_heard, rings_carry_content_and_envelope,
	rings_wake_only_sleepers, rings_refuse_a_hostile_session, ring_memory_is_sealed,
	snapshots_find_their_names, log_rings_wrap_and_count_losses, shared_memory_fails_clean)
