/* The stub resolver: RFC 1035 section 4.2. An answer counts if it comes from the server's address
 * (the socket is connected), with our number and our question; anything else that arrives is passed
 * over until the time is up. */
#include "dns/stub.h"
#include "net/stream.h"

#include <netinet/in.h>
#include <sys/socket.h>

#define TRIES_US      (3 * US_PER_S) /* for one answer by UDP */
#define TCP_US        (5 * US_PER_S)
#define ROUNDS        2
#define QUESTION_MAX  512
#define DATAGRAMS_MAX 64 /* foreign datagrams heard out for one question */
#define RECEIVE_CHUNK 4096

struct question {
	struct dns_stub *stub;
	struct slice name;
	enum dns_type type;
	uint16_t id;
	struct slice octets;
	struct arena *arena;
	mono_us deadline;
};

static mono_us
sooner(mono_us a, mono_us b)
{
	return a < b ? a : b;
}

static enum error
parse(const struct question *question, struct slice message, struct dns_answer *ret_answer)
{
	return dns_answer_parse(
		message, question->id, question->name, question->type, question->arena, ret_answer);
}

/* May wait: the next datagrams, until one of them is the answer. */
static enum error
await_datagram(const struct question *question, struct stream *stream, mono_us deadline,
	struct dns_answer *ret_answer)
{
	uint8_t *datagram = arena_take(question->arena, DNS_UDP_MAX);
	size_t len;

	if (!datagram)
		return ERROR_NO_MEMORY;
	for (unsigned i = 0; i < DATAGRAMS_MAX; i++) {
		enum error error = stream_read(stream, datagram, DNS_UDP_MAX, deadline, &len);
		if (error == OK)
			error = parse(question, slice_of(datagram, len), ret_answer);
		if (error != ERROR_FORMAT)
			return error;
	}
	return ERROR_FORMAT;
}

/* May wait. ERROR_LIMIT: the answer does not fit, ask by TCP. */
static enum error
ask_by_udp(const struct question *question, const struct endpoint *server,
	struct dns_answer *ret_answer)
{
	struct loop *loop = question->stub->loop;
	struct env *env = loop_env(loop);
	mono_us deadline = sooner(loop_deadline(loop, TRIES_US), question->deadline);
	struct socket_stream udp;
	int fd = env->net->connect(
		env->world, (const struct sockaddr *)&server->address, server->len, SOCK_DGRAM);

	if (fd < 0)
		return error_from_errno(-fd);
	enum error error = socket_stream_open(&udp, loop, fd);
	if (error != OK)
		return error;
	error = stream_write(&udp.stream, question->octets, deadline);
	if (error == OK)
		error = await_datagram(question, &udp.stream, deadline, ret_answer);
	stream_close(&udp.stream);
	return error;
}

/* May wait: exactly so many octets. */
static enum error
read_whole(struct stream *stream, uint8_t *bytes, size_t len, mono_us deadline)
{
	while (len > 0) {
		size_t got;
		enum error error = stream_read(
			stream, bytes, len < RECEIVE_CHUNK ? len : RECEIVE_CHUNK, deadline, &got);
		if (error != OK)
			return error;
		bytes += got;
		len -= got;
	}
	return OK;
}

/* May wait. RFC 7766: two octets of length before each message. */
static enum error
exchange_by_tcp(const struct question *question, struct stream *stream, mono_us deadline,
	struct dns_answer *ret_answer)
{
	uint8_t head[2] = {(uint8_t)(question->octets.len >> 8), (uint8_t)question->octets.len};
	enum error error = stream_write(stream, slice_of(head, sizeof head), deadline);

	if (error == OK)
		error = stream_write(stream, question->octets, deadline);
	if (error == OK)
		error = read_whole(stream, head, sizeof head, deadline);
	if (error != OK)
		return error;
	size_t len = (size_t)(head[0] << 8 | head[1]);
	uint8_t *message = arena_take(question->arena, len + 1);
	if (!message)
		return ERROR_NO_MEMORY;
	error = read_whole(stream, message, len, deadline);
	return error == OK ? parse(question, slice_of(message, len), ret_answer) : error;
}

/* May wait. */
static enum error
ask_by_tcp(const struct question *question, const struct endpoint *server,
	struct dns_answer *ret_answer)
{
	struct loop *loop = question->stub->loop;
	mono_us deadline = sooner(loop_deadline(loop, TCP_US), question->deadline);
	struct socket_stream tcp;
	enum error error = socket_stream_connect(&tcp, loop, server, deadline);

	if (error != OK)
		return error;
	error = exchange_by_tcp(question, &tcp.stream, deadline, ret_answer);
	stream_close(&tcp.stream);
	return error;
}

static const char *
reason_of(enum error error)
{
	switch (error) {
	case ERROR_TIMEOUT:
		return "no DNS server answered in time";
	case ERROR_FORMAT:
	case ERROR_LIMIT:
		return "the DNS server's answer is malformed";
	case ERROR_NO_MEMORY:
		return "the DNS answer is too large";
	default:
		return "no DNS server can be reached";
	}
}

/* May wait. */
static enum error
ask_server(struct question *question, const struct endpoint *server, struct dns_answer *ret_answer)
{
	enum error error = ask_by_udp(question, server, ret_answer);

	return error == ERROR_LIMIT ? ask_by_tcp(question, server, ret_answer) : error;
}

/* May wait. A server that says that it failed is no better than one that is silent: the next one
 * may know. */
static void
ask_all(struct question *question, struct dns_answer *ret_answer)
{
	struct dns_stub *stub = question->stub;
	enum error error = ERROR_NOT_FOUND;

	*ret_answer = (struct dns_answer){.outcome = DNS_FAILED,
		.reason = "no DNS server is known: /etc/resolv.conf names none"};
	for (unsigned i = 0; i < ROUNDS * stub->server_count; i++) {
		struct dns_answer answer;
		error = ask_server(question, &stub->servers[i % stub->server_count], &answer);
		if (error == OK)
			*ret_answer = answer;
		else
			ret_answer->reason = reason_of(error);
		if (error == ERROR_CANCELLED || (error == OK && answer.outcome != DNS_FAILED) ||
			loop_now(stub->loop) >= question->deadline)
			return;
	}
}

static void
stub_ask(void *arg, struct slice name, enum dns_type type, struct arena *arena, mono_us deadline,
	struct dns_answer *ret_answer)
{
	struct dns_stub *stub = arg;
	uint8_t storage[QUESTION_MAX];
	struct buffer octets;
	struct question question = {
		.stub = stub, .name = name, .type = type, .arena = arena, .deadline = deadline};

	env_random(loop_env(stub->loop), &question.id, sizeof question.id);
	buffer_init_fixed(&octets, storage, sizeof storage);
	if (dns_question_append(&octets, question.id, name, type) != OK) {
		*ret_answer = (struct dns_answer){.outcome = DNS_NO_NAME};
		return;
	}
	question.octets = buffer_slice(&octets);
	ask_all(&question, ret_answer);
}

struct dns_source
dns_stub_source(struct dns_stub *stub)
{
	return (struct dns_source){stub_ask, stub};
}

static struct slice
take_line(struct slice *text)
{
	ssize_t end = slice_find(*text, 0, '\n');
	struct slice line = end < 0 ? *text : slice_sub(*text, 0, (size_t)end);

	*text = slice_from(*text, line.len + 1);
	return line;
}

/* The address alone, as resolv.conf has it; endpoints carry a port. */
static bool
server_parse(struct slice address, struct endpoint *ret_server)
{
	uint8_t storage[128];
	struct buffer text;
	bool is_v6 = slice_find(address, 0, ':') >= 0;

	buffer_init_fixed(&text, storage, sizeof storage);
	buffer_append_text(&text, is_v6 ? "[" : "");
	buffer_append(&text, address);
	buffer_printf(&text, "%s:%d", is_v6 ? "]" : "", DNS_PORT);
	return buffer_error(&text) == OK && endpoint_parse(buffer_slice(&text), ret_server) == OK;
}

void
dns_stub_read_conf(struct dns_stub *stub, struct slice text)
{
	while (text.len > 0 && stub->server_count < DNS_SERVERS_MAX) {
		struct slice line = slice_trim(take_line(&text));
		if (!slice_has_prefix(line, SLICE("nameserver")))
			continue;
		struct slice address = slice_trim(slice_from(line, sizeof "nameserver" - 1));
		if (server_parse(address, &stub->servers[stub->server_count]))
			stub->server_count++;
	}
}
