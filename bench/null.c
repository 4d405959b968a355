/*
 * null.c: an SMTP server that accepts everything and keeps nothing.
 *
 *	null [--record FILE] [ADDR:PORT]	(127.0.0.1:0)
 *
 * It bounds what any server can reach with the load generator on this machine: the same commands
 * and replies, the same bytes through the kernel, no parsing, no disk, no other process. One
 *thread, one epoll loop; what one read brought is answered with one write. It prints `listening
 *smtp ADDR:PORT` first and ends by SIGTERM.
 *
 * With --record it is the far end of a relay: each message that it answered adds a line `TIME
 * MESSAGE-ID` to the file (seconds since 1970; `-` where no Message-ID stands in the first 2,048
 * octets), once a turn of the loop.
 *
 * Recipients at a domain that begins with `refused.` get 550: mail for them becomes reports.
 *
 * It is strict about one thing only, the end of content (CRLF.CRLF, RFC 5321 section 4.1.1.4),
 * because a wrong one would make it count something else than messages. Commands are told apart by
 * their first letter.
 */
#include "tool.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define READ_SIZE    (256 * 1024)
#define REPLIES_SIZE 4096
#define EVENTS       256
#define BACKLOG      4096
#define LINE_SIZE    512
#define HEADER_SIZE  2048 /* of a content's beginning, where its Message-ID is looked for */

#define EHLO_REPLY                                                                 \
	"250-null\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-8BITMIME\r\n250 " \
	"ENHANCEDSTATUSCODES\r\n"

/* The end of content; a match is counted in characters, and at the start of content the first CRLF
 * is there already. */
static const char content_end[] = "\r\n.\r\n";
#define CONTENT_END_LENGTH 5
#define CONTENT_START      2

struct connection {
	int fd;
	bool content;     /* between 354 and the end of content */
	bool at_start;    /* the next byte is the first of a command line */
	bool refused;     /* the last recipient */
	bool quit;        /* close once the replies are out */
	char verb;        /* first letter of the command line being read */
	unsigned matched; /* characters of content_end seen */
	size_t replies_length;
	char replies[REPLIES_SIZE];
	FILE *record; /* NULL: nothing is recorded */
	size_t line_length;
	char line[LINE_SIZE + 1]; /* the beginning of the command line, where it is RCPT */
	size_t header_length;
	char header[HEADER_SIZE + 1];
};

struct server {
	int listener;
	int epoll;
	FILE *record;
	char input[READ_SIZE];
};

static void
connection_close(struct connection *c)
{
	close(c->fd);
	free(c);
}

static void
connection_say(struct connection *c, const char *reply, size_t length)
{
	/* A client that pipelines more than this without reading loses replies; ours never has more
	 * than four out. */
	if (length > sizeof(c->replies) - c->replies_length) {
		c->quit = true;
		return;
	}
	memcpy(c->replies + c->replies_length, reply, length);
	c->replies_length += length;
}

#define SAY(c, literal) connection_say(c, literal, sizeof(literal) - 1)

/* Keeps the beginning of a content. */
static void
connection_keep_header(struct connection *c, const char *input, size_t length)
{
	size_t room = HEADER_SIZE - c->header_length;

	if (!c->record)
		return;
	if (length > room)
		length = room;
	memcpy(c->header + c->header_length, input, length);
	c->header_length += length;
}

static void
connection_record(struct connection *c)
{
	static const char field[] = "\nMessage-ID: <";

	if (!c->record)
		return;
	c->header[c->header_length] = '\0';
	const char *id = strcasestr(c->header, field);
	id = id ? id + sizeof(field) - 1 : "-";
	fprintf(c->record, "%.6f %.*s\n", tool_wall_clock(), (int)strcspn(id, ">\r\n"), id);
	c->header_length = 0;
}

static void
connection_command(struct connection *c)
{
	switch (c->verb) {
	case 'E':
	case 'e':
		SAY(c, EHLO_REPLY);
		return;
	case 'D':
	case 'd':
		if (c->refused) {
			SAY(c, "554 5.5.1 No valid recipients\r\n");
			return;
		}
		SAY(c, "354 End with a dot\r\n");
		c->content = true;
		c->matched = CONTENT_START;
		return;
	case 'Q':
	case 'q':
		SAY(c, "221 2.0.0 Bye\r\n");
		c->quit = true;
		return;
	case 'R':
	case 'r':
		c->line[c->line_length] = '\0';
		c->refused = strstr(c->line, "@refused.");
		if (c->refused) {
			SAY(c, "550 5.1.1 Nobody of that name\r\n");
			return;
		}
		/* fall through */
	default:
		SAY(c, "250 2.0.0 Ok\r\n");
	}
}

/* Keeps the beginning of a command line; what follows it in the input may be the next one. */
static void
connection_keep_line(struct connection *c, const char *input, size_t length)
{
	const char *end = memchr(input, '\n', length);
	size_t room = LINE_SIZE - c->line_length;

	if (end)
		length = (size_t)(end - input);
	if (length > room)
		length = room;
	memcpy(c->line + c->line_length, input, length);
	c->line_length += length;
}

/* Reads command bytes up to the end of a line; how many it took. */
static size_t
connection_take_command(struct connection *c, const char *input, size_t length)
{
	if (c->at_start) {
		c->verb = input[0];
		c->at_start = false;
		c->line_length = 0;
	}
	if (c->verb == 'R' || c->verb == 'r')
		connection_keep_line(c, input, length);
	const char *end = memchr(input, '\n', length);
	if (!end)
		return length;
	c->at_start = true;
	connection_command(c);
	return (size_t)(end - input) + 1;
}

/* Reads content bytes up to the end of content; how many it took. */
static size_t
connection_take_content(struct connection *c, const char *input, size_t length)
{
	size_t i = 0;

	while (i < length) {
		if (c->matched == 0) {
			const char *cr = memchr(input + i, '\r', length - i);
			if (!cr) {
				connection_keep_header(c, input, length);
				return length;
			}
			i = (size_t)(cr - input);
		}
		if (input[i] == content_end[c->matched])
			c->matched++;
		else
			c->matched = input[i] == '\r';
		i++;
		if (c->matched == CONTENT_END_LENGTH) {
			c->content = false;
			connection_keep_header(c, input, i);
			connection_record(c);
			SAY(c, "250 2.0.0 Ok: accepted\r\n");
			return i;
		}
	}
	connection_keep_header(c, input, length);
	return length;
}

static bool
connection_flush(struct connection *c)
{
	ssize_t written = send(c->fd, c->replies, c->replies_length, MSG_NOSIGNAL);

	if (written != (ssize_t)c->replies_length)
		return false;
	c->replies_length = 0;
	return true;
}

/* False when the connection is over. */
static bool
connection_read(struct connection *c, char *input, size_t size)
{
	ssize_t got = recv(c->fd, input, size, 0);

	if (got < 0)
		return errno == EAGAIN || errno == EINTR;
	if (got == 0)
		return false;
	for (size_t i = 0; i < (size_t)got && !c->quit;) {
		if (c->content)
			i += connection_take_content(c, input + i, (size_t)got - i);
		else
			i += connection_take_command(c, input + i, (size_t)got - i);
	}
	return (c->replies_length == 0 || connection_flush(c)) && !c->quit;
}

static void
server_watch(struct server *server, int fd, void *who)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = who};

	if (epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		tool_fail("epoll_ctl");
}

static void
server_accept(struct server *server)
{
	static const int on = 1;

	for (;;) {
		int fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		struct connection *c = calloc(1, sizeof(*c));
		if (!c)
			tool_fail("calloc");
		c->fd = fd;
		c->at_start = true;
		c->record = server->record;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		SAY(c, "220 null ESMTP\r\n");
		if (connection_flush(c))
			server_watch(server, fd, c);
		else
			connection_close(c);
	}
}

static void
server_listen(struct server *server, struct tool_address address)
{
	char text[80];

	server->listener =
		socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (server->listener < 0 ||
		bind(server->listener, (struct sockaddr *)&address.storage, address.length) < 0 ||
		listen(server->listener, BACKLOG) < 0 ||
		getsockname(
			server->listener, (struct sockaddr *)&address.storage, &address.length) < 0)
		tool_fail("listen");
	server->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (server->epoll < 0)
		tool_fail("epoll_create1");
	server_watch(server, server->listener, NULL);
	tool_address_format(&address, text, sizeof(text));
	printf("listening smtp %s\n", text);
	fflush(stdout);
}

static void
server_run(struct server *server)
{
	struct epoll_event events[EVENTS];

	for (;;) {
		int n = epoll_wait(server->epoll, events, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			struct connection *c = events[i].data.ptr;
			if (!c)
				server_accept(server);
			else if (!connection_read(c, server->input, sizeof(server->input)))
				connection_close(c);
		}
		if (server->record && fflush(server->record) != 0)
			tool_fail("the record cannot be written");
	}
}

int
main(int argc, char **argv)
{
	struct server *server = calloc(1, sizeof(*server));

	if (!server)
		tool_fail("calloc");
	if (argc > 2 && strcmp(argv[1], "--record") == 0) {
		server->record = fopen(argv[2], "ae");
		if (!server->record)
			tool_fail(argv[2]);
		argc -= 2;
		argv += 2;
	}
	if (argc > 2)
		tool_usage("usage: null [--record FILE] [ADDR:PORT]");
	tool_raise_descriptor_limit();
	server_listen(server, tool_address(argc == 2 ? argv[1] : "127.0.0.1:0"));
	server_run(server);
}
