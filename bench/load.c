/*
 * load.c: an SMTP load generator. Its options stand at the top of load_options.c.
 *
 * One thread and one epoll loop; loopback only. It is a closed loop: each connection sends its next
 * message as soon as the last one is answered, so the rate is what the server makes of it. Each
 * message has its own Message-ID, marker and number; the rest of the content is the same bytes for
 * all, sent from where they lie. A connection that said QUIT gives way to the next at once and is
 * closed when the server closes it (some servers take their time over QUIT, which says nothing
 * about how they accept mail); but never more of them than working connections.
 *
 * Standard output gets one JSON line: see tally.h. Exit code 0 when at least one message was
 * accepted (or is held).
 */
#include "load_options.h"
#include "tally.h"
#include "tool.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#define EVENTS        256
#define COMMANDS_SIZE 1024
#define INPUT_SIZE    2048
#define LINE_LENGTH   78 /* of the body, CRLF counted */
#define OPEN_A_TURN   64 /* new connections a turn of the loop: no flood of the server's backlog */
#define FAILURES_MAX  1000 /* more say nothing new */
#define BACK_OFF_S    0.05 /* after a failure, before the next connection */
#define GRACE_S       60.0 /* for answers, once no more messages are started */
#define GOODBYE_S     0.5  /* for the servers to answer the last QUITs */
#define TURN_MS       20

enum state {
	STATE_GREETING,
	STATE_HELLO,
	STATE_MAIL,
	STATE_RCPT,
	STATE_DATA,
	STATE_CONTENT,
	STATE_HELD,
	STATE_QUIT,
};

/* The reply code that each state waits for. */
static const unsigned expected_code[] = {
	[STATE_GREETING] = 220,
	[STATE_HELLO] = 250,
	[STATE_MAIL] = 250,
	[STATE_RCPT] = 250,
	[STATE_DATA] = 354,
	[STATE_CONTENT] = 250,
	[STATE_HELD] = 0,
	[STATE_QUIT] = 221,
};

struct load {
	struct load_options options;
	struct tally tally;
	int epoll;
	uint64_t started;   /* messages */
	uint64_t in_flight; /* started, not answered */
	uint64_t working;   /* connections that have or will get work */
	uint64_t closing;   /* connections that said QUIT */
	uint64_t held;
	struct connection *first;
	double resume_at; /* after a failure: no new connection before */
	char *body;       /* what follows the header, to the final dot */
	size_t body_length;
};

struct connection {
	struct connection *next, *previous;
	int fd;
	enum state state;
	uint64_t left; /* messages that may still be started here */
	uint64_t sequence;
	double sent_at;
	size_t head_length; /* output: head, then body, if it is content */
	size_t body_length;
	size_t sent;
	size_t input_length;
	char head[COMMANDS_SIZE];
	char input[INPUT_SIZE];
};

/* --- messages --- */

static size_t
header_format(const struct load_options *options, uint64_t sequence, char *text, size_t size)
{
	int length = snprintf(text, size,
		"From: <%s>\r\nTo: <everybody@load.test>\r\nSubject: A measured message\r\n"
		"Date: Sun, 01 Jan 2023 00:00:00 +0000\r\nMessage-ID: "
		"<%s.%010ju@load.test>\r\n\r\n",
		options->sender, options->marker, (uintmax_t)sequence);

	if (length < 0 || (size_t)length >= size || (size_t)length > LOAD_SIZE_MINIMUM)
		tool_usage("sender or marker too long");
	return (size_t)length;
}

/* Lines of letters that fill the content up to its size (no line of one byte, no dot), then the
 * final dot. */
static void
load_make_body(struct load *load)
{
	char header[COMMANDS_SIZE];
	size_t left = load->options.size - header_format(&load->options, 0, header, sizeof(header));
	size_t at = 0;

	load->body = malloc(left + 3);
	if (!load->body)
		tool_fail("malloc");
	while (left > 0) {
		size_t line = left < LINE_LENGTH ? left : LINE_LENGTH;
		if (left - line == 1)
			line--;
		for (size_t i = 0; i + 2 < line; i++)
			load->body[at + i] = (char)('a' + (at + i * 7) % 26);
		memcpy(load->body + at + line - 2, "\r\n", 2);
		at += line;
		left -= line;
	}
	memcpy(load->body + at, ".\r\n", 3);
	load->body_length = at + 3;
}

/* --- the life of a connection --- */

static bool
load_more(const struct load *load)
{
	return !load->options.hold &&
	       (load->options.messages == 0 || load->started < load->options.messages) &&
	       tool_now() - load->tally.begin < (double)load->options.seconds &&
	       load->tally.failed + load->tally.connects_failed < FAILURES_MAX;
}

static void
connection_free(struct load *load, struct connection *c)
{
	if (c->state == STATE_QUIT)
		load->closing--;
	else
		load->working--;
	if (c->state == STATE_HELD)
		load->held--;
	if (c->next)
		c->next->previous = c->previous;
	if (c->previous)
		c->previous->next = c->next;
	else
		load->first = c->next;
	close(c->fd);
	free(c);
}

/* Counts what the end of the connection costs, and frees it. */
static void
connection_fail(struct load *load, struct connection *c, const char *reply, size_t length)
{
	if (c->state >= STATE_MAIL && c->state <= STATE_CONTENT) {
		load->tally.failed++;
		load->in_flight--;
	} else if (c->state != STATE_QUIT) {
		load->tally.connects_failed++;
	}
	if (c->state != STATE_QUIT) {
		tally_remember(&load->tally, reply, length);
		load->resume_at = tool_now() + BACK_OFF_S;
	}
	connection_free(load, c);
}

#define CONNECTION_FAIL(load, c, literal) connection_fail(load, c, literal, sizeof(literal) - 1)

/* Writes what is left of the output; the edge-triggered loop calls again when the socket takes
 * more. */
static bool
connection_flush(const struct load *load, struct connection *c)
{
	while (c->sent < c->head_length + c->body_length) {
		size_t head_sent = c->sent < c->head_length ? c->sent : c->head_length;
		size_t body_sent = c->sent - head_sent;
		struct iovec pieces[] = {
			{.iov_base = c->head + head_sent, .iov_len = c->head_length - head_sent},
			{.iov_base = load->body + body_sent, .iov_len = c->body_length - body_sent},
		};
		struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
		/* Before the write: on one core the answer may be there before the call returns. */
		c->sent_at = tool_now();
		ssize_t sent = sendmsg(c->fd, &message, MSG_NOSIGNAL);
		if (sent < 0)
			return errno == EAGAIN;
		c->sent += (size_t)sent;
	}
	return true;
}

/* A failing write is not reported here: reading then fails too, and says why. */
static void
connection_send(
	const struct load *load, struct connection *c, size_t head_length, size_t body_length)
{
	c->head_length = head_length;
	c->body_length = body_length;
	c->sent = 0;
	connection_flush(load, c);
}

static void
connection_say(const struct load *load, struct connection *c, const char *command, enum state state)
{
	size_t length = strlen(command);

	memcpy(c->head, command, length);
	c->state = state;
	connection_send(load, c, length, 0);
}

/* The recipient with the mailbox number in the place of %d. */
static size_t
rcpt_format(const struct load_options *options, uint64_t sequence, char *text, size_t size)
{
	const char *mark = strstr(options->recipient, "%d");
	int length;

	if (mark)
		length = snprintf(text, size, "RCPT TO:<%.*s%ju%s>\r\n",
			(int)(mark - options->recipient), options->recipient,
			(uintmax_t)(sequence % options->mailboxes), mark + 2);
	else
		length = snprintf(text, size, "RCPT TO:<%s>\r\n", options->recipient);
	if (length < 0 || (size_t)length >= size)
		tool_usage("recipient too long");
	return (size_t)length;
}

static size_t
mail_format(const struct load_options *options, char *text, size_t size)
{
	int length = snprintf(text, size, "MAIL FROM:<%s>\r\n", options->sender);

	if (length < 0 || (size_t)length >= size)
		tool_usage("sender too long");
	return (size_t)length;
}

static void
connection_quit(struct load *load, struct connection *c)
{
	load->working--;
	load->closing++;
	connection_say(load, c, "QUIT\r\n", STATE_QUIT);
}

/* Starts the next message, or says goodbye. */
static void
connection_next(struct load *load, struct connection *c)
{
	if (c->left == 0 || !load_more(load)) {
		connection_quit(load, c);
		return;
	}
	c->left--;
	c->sequence = load->started++;
	load->in_flight++;
	c->state = STATE_MAIL;
	size_t length = mail_format(&load->options, c->head, sizeof(c->head));
	if (load->options.pipelined) {
		length += rcpt_format(
			&load->options, c->sequence, c->head + length, sizeof(c->head) - length);
		length += (size_t)snprintf(c->head + length, sizeof(c->head) - length, "DATA\r\n");
	}
	connection_send(load, c, length, 0);
}

static void
connection_after_mail(struct load *load, struct connection *c)
{
	c->state = STATE_RCPT;
	if (!load->options.pipelined)
		connection_send(load, c,
			rcpt_format(&load->options, c->sequence, c->head, sizeof(c->head)), 0);
}

static void
connection_after_rcpt(struct load *load, struct connection *c)
{
	if (load->options.pipelined)
		c->state = STATE_DATA;
	else
		connection_say(load, c, "DATA\r\n", STATE_DATA);
}

static void
connection_after_data(struct load *load, struct connection *c)
{
	c->state = STATE_CONTENT;
	connection_send(load, c,
		header_format(&load->options, c->sequence, c->head, sizeof(c->head)),
		load->body_length);
}

static void
connection_after_content(struct load *load, struct connection *c)
{
	load->in_flight--;
	tally_add_ok(&load->tally, c->sent_at);
	connection_next(load, c);
}

static void
connection_after_hello(struct load *load, struct connection *c)
{
	if (!load->options.hold) {
		connection_next(load, c);
		return;
	}
	c->state = STATE_HELD;
	load->held++;
}

/* Handles the last line of a reply. False when the connection is gone. */
static bool
connection_reply(
	struct load *load, struct connection *c, unsigned code, const char *line, size_t length)
{
	if (code != expected_code[c->state]) {
		connection_fail(load, c, line, length);
		return false;
	}
	switch (c->state) {
	case STATE_GREETING:
		connection_say(load, c, "EHLO load.test\r\n", STATE_HELLO);
		break;
	case STATE_HELLO:
		connection_after_hello(load, c);
		break;
	case STATE_MAIL:
		connection_after_mail(load, c);
		break;
	case STATE_RCPT:
		connection_after_rcpt(load, c);
		break;
	case STATE_DATA:
		connection_after_data(load, c);
		break;
	case STATE_CONTENT:
		connection_after_content(load, c);
		break;
	case STATE_HELD:
		break;
	case STATE_QUIT:
		connection_free(load, c);
		return false;
	}
	return true;
}

/* Three digits at the start of a reply line; 0 if they are not there. */
static unsigned
reply_code(const char *line, size_t length)
{
	unsigned code = 0;

	if (length < 3)
		return 0;
	for (size_t i = 0; i < 3; i++) {
		if (line[i] < '0' || line[i] > '9')
			return 0;
		code = code * 10 + (unsigned)(line[i] - '0');
	}
	return code;
}

/* Takes every whole line out of the input. False when the connection is gone. */
static bool
connection_parse(struct load *load, struct connection *c)
{
	size_t at = 0;

	for (;;) {
		const char *line = c->input + at;
		const char *end = memchr(line, '\n', c->input_length - at);
		if (!end)
			break;
		size_t length = (size_t)(end - line);
		at += length + 1;
		if (length > 0 && line[length - 1] == '\r')
			length--;
		bool last = length < 4 || line[3] != '-';
		if (last && !connection_reply(load, c, reply_code(line, length), line, length))
			return false;
	}
	c->input_length -= at;
	memmove(c->input, c->input + at, c->input_length);
	return true;
}

/* `ended`: no more will come, and no further event will say so, so everything is read now. */
static void
connection_read(struct load *load, struct connection *c, bool ended)
{
	for (;;) {
		size_t space = sizeof(c->input) - c->input_length;
		if (space == 0) {
			CONNECTION_FAIL(load, c, "(a reply line without end)");
			return;
		}
		ssize_t got = recv(c->fd, c->input + c->input_length, space, 0);
		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0) {
			const char *why = got == 0 ? "(connection closed)" : strerror(errno);
			connection_fail(load, c, why, strlen(why));
			return;
		}
		c->input_length += (size_t)got;
		if (!connection_parse(load, c))
			return;
		if ((size_t)got < space && !ended)
			return;
	}
}

static void
connection_open(struct load *load)
{
	static const int on = 1;
	struct connection *c = calloc(1, sizeof(*c));
	if (!c)
		tool_fail("calloc");
	c->fd = socket(load->options.address.storage.ss_family,
		SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		tool_fail("socket");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c->left = load->options.per_connection;
	c->next = load->first;
	if (c->next)
		c->next->previous = c;
	load->first = c;
	load->working++;
	load->tally.connects++;
	const struct sockaddr *address = (const struct sockaddr *)&load->options.address.storage;
	if (connect(c->fd, address, load->options.address.length) < 0 && errno != EINPROGRESS) {
		connection_fail(load, c, strerror(errno), strlen(strerror(errno)));
		return;
	}
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
	if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, c->fd, &event) < 0)
		tool_fail("epoll_ctl");
}

/* --- the loop --- */

/* Opens what is missing. A held connection that fails is not replaced. */
static void
load_fill(struct load *load)
{
	const struct load_options *options = &load->options;

	for (unsigned i = 0; i < OPEN_A_TURN; i++) {
		if (load->working >= options->connections || load->closing > options->connections ||
			tool_now() < load->resume_at)
			return;
		if (options->hold ? load->tally.connects >= options->connections : !load_more(load))
			return;
		connection_open(load);
	}
}

static void
load_turn(struct load *load)
{
	struct epoll_event events[EVENTS];

	load_fill(load);
	int n = epoll_wait(load->epoll, events, EVENTS, TURN_MS);
	for (int i = 0; i < n; i++) {
		struct connection *c = events[i].data.ptr;
		if (events[i].events & EPOLLOUT && c->sent < c->head_length + c->body_length)
			connection_flush(load, c);
		if (events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			connection_read(
				load, c, events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
	}
}

static void
load_run(struct load *load)
{
	tally_begin(&load->tally);
	double give_up_at = load->tally.begin + (double)load->options.seconds + GRACE_S;

	while ((load->working > 0 || load_more(load)) && tool_now() < give_up_at)
		load_turn(load);
	double goodbye_until = tool_now() + GOODBYE_S;
	while (load->closing > 0 && tool_now() < goodbye_until)
		load_turn(load);
	load->tally.unfinished = load->in_flight;
	tally_print(&load->tally);
}

static bool
load_all_held(const struct load *load)
{
	return load->tally.connects >= load->options.connections &&
	       load->held + load->tally.connects_failed >= load->options.connections;
}

static void
load_hold(struct load *load)
{
	char ignored[64];

	tally_begin(&load->tally);
	while (!load_all_held(load) &&
		tool_now() - load->tally.begin < (double)load->options.seconds)
		load_turn(load);
	printf("{\"ready\": %ju, \"failed\": %ju}\n", (uintmax_t)load->held,
		(uintmax_t)load->tally.connects_failed);
	fflush(stdout);
	while (read(STDIN_FILENO, ignored, sizeof(ignored)) > 0)
		;
}

int
main(int argc, char **argv)
{
	struct load load = {0};

	load_options_parse(&load.options, argc, argv);
	tool_raise_descriptor_limit();
	load_make_body(&load);
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (load.epoll < 0)
		tool_fail("epoll_create1");
	if (load.options.hold)
		load_hold(&load);
	else
		load_run(&load);
	bool useful = load.tally.ok > 0 || load.held > 0;
	while (load.first)
		connection_free(&load, load.first);
	tally_done(&load.tally);
	free(load.body);
	return useful ? 0 : 1;
}
