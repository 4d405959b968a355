#include "net/endpoint.h"
#include "net/line_reader.h"
#include "net/listener.h"
#include "descriptors.h"
#include "fault_env.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static void
check_endpoint(const char *text, const char *printed)
{
	struct endpoint endpoint;
	uint8_t storage[256];
	struct buffer buffer;

	ck_assert_ok(endpoint_parse(slice_text(text), &endpoint));
	buffer_init_fixed(&buffer, storage, sizeof storage);
	endpoint_append(&buffer, &endpoint);
	ck_assert_slice_eq(buffer_slice(&buffer), printed);
}

START_TEST(endpoints_parse_and_print)
{
	static const char *const bad[] = {"", "25", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
		"127.0.0.1:-1", "localhost:25", "[::1:25", "::1:25", "[]:25",
		"unix:", "unix:relative", "1.2.3:25", "[::1]25", "*:x"};
	struct endpoint endpoint;

	check_endpoint("127.0.0.1:25", "127.0.0.1:25");
	check_endpoint("[::1]:0", "[::1]:0");
	check_endpoint("*:2525", "[::]:2525");
	check_endpoint("[::ffff:10.0.0.1]:25", "10.0.0.1:25");
	check_endpoint("unix:/run/x", "unix:/run/x");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(endpoint_parse(slice_text(bad[i]), &endpoint) == ERROR_FORMAT,
			"%s was taken", bad[i]);
}
END_TEST

static bool
contains(const char *network_text, const char *endpoint_text)
{
	struct network network;
	struct endpoint endpoint;

	ck_assert_ok(network_parse(slice_text(network_text), &network));
	ck_assert_ok(endpoint_parse(slice_text(endpoint_text), &endpoint));
	return network_contains(&network, &endpoint);
}

START_TEST(networks_contain)
{
	struct network network;

	ck_assert(contains("127.0.0.0/8", "127.255.0.1:1"));
	ck_assert(!contains("127.0.0.0/8", "128.0.0.1:1"));
	ck_assert(contains("10.0.0.1", "[::ffff:10.0.0.1]:1"));
	ck_assert(contains("10.1.2.128/25", "10.1.2.200:1") &&
		  !contains("10.1.2.128/25", "10.1.2.100:1"));
	ck_assert(contains("[2001:db8::]/33", "[2001:db8:7fff::1]:1") &&
		  !contains("[2001:db8::]/33", "[2001:db8:8000::1]:1"));
	ck_assert(contains("0.0.0.0/0", "1.2.3.4:1") && !contains("0.0.0.0/0", "[::1]:1"));
	ck_assert_int_eq(network_parse(SLICE("10.0.0.0/33"), &network), ERROR_FORMAT);
	ck_assert_int_eq(network_parse(SLICE("::1"), &network), ERROR_FORMAT);
}
END_TEST

/* A stream that hands out a script in pieces, waiting (for nothing) between them. */
struct script {
	struct stream stream;
	struct slice bytes;
	size_t piece;
	bool pause;
};

static ssize_t
script_read(struct stream *stream, void *bytes, size_t len)
{
	struct script *script = (struct script *)stream;

	script->pause = !script->pause;
	if (script->pause)
		return -EAGAIN;
	struct slice piece = slice_sub(script->bytes, 0, script->piece < len ? script->piece : len);
	memcpy(bytes, piece.ptr, piece.len);
	script->bytes = slice_from(script->bytes, piece.len);
	return (ssize_t)piece.len;
}

static enum error
script_wait(struct stream *stream, uint32_t what, mono_us deadline)
{
	(void)stream;
	(void)deadline;
	ck_assert_uint_eq(what, POLL_READABLE);
	return OK;
}

static const struct stream_ops script_ops = {.read = script_read, .wait = script_wait};

START_TEST(lines_come_whole_from_any_pieces)
{
	struct env env;

	env_init_linux(&env);
	struct line_pool *pool = line_pool_new(&env);
	for (size_t piece = 1; piece < 80; piece++) {
		struct script script = {.stream = {&script_ops, NULL},
			.piece = piece,
			.bytes = SLICE("EHLO a\r\n\r\nbare\nlong line here it is\r\nlong line and "
				       "bare\nca\rr\r\nlast")};
		struct line_reader reader;
		struct line line;

		line_reader_init(&reader, pool, &script.stream);
		ck_assert_ok(line_read(&reader, 10, MONO_NEVER, &line));
		ck_assert_slice_eq(line.text, "EHLO a");
		ck_assert(line.ending == LINE_CRLF && !line.too_long);
		ck_assert_ok(line_read(&reader, 10, MONO_NEVER, &line));
		ck_assert_slice_eq(line.text, "");
		ck_assert_ok(line_read(&reader, 10, MONO_NEVER, &line));
		ck_assert_slice_eq(line.text, "bare");
		ck_assert_int_eq(line.ending, LINE_BARE_LF);
		ck_assert_ok(line_read(&reader, 10, MONO_NEVER, &line));
		ck_assert_slice_eq(line.text, "long line ");
		ck_assert(line.too_long && line.ending == LINE_CRLF);
		ck_assert_ok(line_read(&reader, 10, MONO_NEVER, &line));
		ck_assert(line.too_long && line.ending == LINE_BARE_LF);
		ck_assert_ok(line_read(&reader, 10, MONO_NEVER, &line));
		ck_assert_slice_eq(line.text, "ca\rr");
		ck_assert_int_eq(line_read(&reader, 10, MONO_NEVER, &line), ERROR_CLOSED);
		line_reader_done(&reader);
	}
	line_pool_free(&pool);
	ck_assert_uint_eq(memory_used(env.memory), 0);
	env_done(&env);
}
END_TEST

START_TEST(a_line_of_exactly_the_maximum_is_whole)
{
	struct env env;

	env_init_linux(&env);
	struct line_pool *pool = line_pool_new(&env);
	for (size_t piece = 1; piece < 20; piece++) {
		struct script script = {.stream = {&script_ops, NULL},
			.piece = piece,
			.bytes = SLICE("1234567890\r\n12345678901\r\nx\r\n")};
		struct line_reader reader;
		struct line line;

		line_reader_init(&reader, pool, &script.stream);
		ck_assert_ok(line_read(&reader, 10, MONO_NEVER, &line));
		ck_assert(!line.too_long && line.text.len == 10);
		ck_assert_ok(line_read(&reader, 10, MONO_NEVER, &line));
		ck_assert(line.too_long && line.text.len == 10);
		ck_assert_ok(line_read(&reader, 10, MONO_NEVER, &line));
		ck_assert_slice_eq(line.text, "x");
		line_reader_done(&reader);
	}
	line_pool_free(&pool);
	env_done(&env);
}
END_TEST

START_TEST(an_endless_line_needs_no_endless_memory)
{
	struct env env;
	size_t len = 200000;
	char *text = malloc(len + 4);

	memset(text, 'a', len);
	memcpy(text + len, "\r\nb\n", 4);
	env_init_linux(&env);
	struct line_pool *pool = line_pool_new(&env);
	struct script script = {
		.stream = {&script_ops, NULL}, .piece = 5000, .bytes = slice_of(text, len + 4)};
	struct line_reader reader;
	struct line line;
	line_reader_init(&reader, pool, &script.stream);
	ck_assert_ok(line_read(&reader, 512, MONO_NEVER, &line));
	ck_assert(line.too_long && line.ending == LINE_CRLF && line.text.len == 512);
	ck_assert_ok(line_read(&reader, 512, MONO_NEVER, &line));
	ck_assert_slice_eq(line.text, "b");
	ck_assert(memory_used(env.memory) < 3 * LINE_BUFFER_BYTES);
	line_reader_done(&reader);
	line_pool_free(&pool);
	env_done(&env);
	free(text);
}
END_TEST

START_TEST(taking_and_putting_back)
{
	struct env env;
	char bytes[8];

	env_init_linux(&env);
	struct line_pool *pool = line_pool_new(&env);
	struct script script = {
		.stream = {&script_ops, NULL}, .piece = 100, .bytes = SLICE("DATA\r\nbody")};
	struct line_reader reader;
	struct line line;
	line_reader_init(&reader, pool, &script.stream);
	ck_assert_ok(line_read(&reader, 512, MONO_NEVER, &line));
	ck_assert(line_reader_has_input(&reader));
	ck_assert_uint_eq(line_reader_take(&reader, bytes, 3), 3);
	ck_assert_uint_eq(line_reader_take(&reader, bytes, 8), 1);
	ck_assert_ptr_null(reader.buffer); /* nothing is held while nothing is buffered */
	ck_assert_ok(line_reader_put_back(&reader, SLICE("QUIT\r\n")));
	ck_assert_ok(line_read(&reader, 512, MONO_NEVER, &line));
	ck_assert_slice_eq(line.text, "QUIT");
	line_reader_done(&reader);
	line_pool_free(&pool);
	env_done(&env);
}
END_TEST

struct echo_world {
	struct env env;
	struct loop *loop;
	struct task_group group;
	int listener;
	struct endpoint endpoint;
};

static void
echo_server(void *arg)
{
	struct echo_world *w = arg;
	struct watch watch;
	struct sockaddr_storage peer;
	struct socket_stream socket;
	char bytes[100];
	size_t len;
	int fd;

	ck_assert_ok(watch_open(&watch, w->loop, w->listener, POLL_EXCLUSIVE));
	while ((fd = w->env.net->accept(w->env.world, w->listener, &peer)) == -EAGAIN)
		ck_assert_ok(
			watch_wait(&watch, POLL_READABLE, loop_deadline(w->loop, 5 * US_PER_S)));
	watch_close(&watch);
	ck_assert_ok(socket_stream_open(&socket, w->loop, fd));
	while (stream_read(&socket.stream, bytes, sizeof bytes,
		       loop_deadline(w->loop, 5 * US_PER_S), &len) == OK)
		ck_assert_ok(stream_write(&socket.stream, slice_of(bytes, len),
			loop_deadline(w->loop, 5 * US_PER_S)));
	stream_close(&socket.stream);
}

static void
echo_client(void *arg)
{
	struct echo_world *w = arg;
	struct socket_stream socket;
	char bytes[100];
	size_t len;

	ck_assert_ok(socket_stream_connect(
		&socket, w->loop, &w->endpoint, loop_deadline(w->loop, 5 * US_PER_S)));
	ck_assert_ok(stream_write(&socket.stream, SLICE("hello"), MONO_NEVER));
	ck_assert_ok(stream_read(
		&socket.stream, bytes, sizeof bytes, loop_deadline(w->loop, 5 * US_PER_S), &len));
	ck_assert_slice_eq(slice_of(bytes, len), "hello");
	ck_assert_int_eq(stream_read(&socket.stream, bytes, sizeof bytes,
				 loop_deadline(w->loop, 10000), &len),
		ERROR_TIMEOUT);
	stream_close(&socket.stream);
}

START_TEST(streams_over_loopback)
{
	struct echo_world w;
	struct loop_options options = {0};
	struct endpoint wanted;
	int why;

	env_init_linux(&w.env);
	w.loop = loop_new(&w.env, &options);
	task_group_init(&w.group, w.loop);
	ck_assert_ok(endpoint_parse(SLICE("127.0.0.1:0"), &wanted));
	ck_assert_ok(listener_bind(&w.env, &wanted, SOCK_STREAM, &w.listener, &why));
	ck_assert_ok(listener_endpoint(&w.env, w.listener, &w.endpoint));
	ck_assert_uint_ne(endpoint_port(&w.endpoint), 0);
	uint8_t ip[16];
	ck_assert_uint_eq(endpoint_ip(&w.endpoint, ip), 4);
	ck_assert_mem_eq(ip, "\x7f\0\0\1", 4);
	ck_assert_int_eq(listener_bind(&w.env, &w.endpoint, SOCK_STREAM, &why, &why), ERROR_IO);
	ck_assert_int_eq(why, EADDRINUSE);
	ck_assert_ok(task_start(&w.group, "server", echo_server, &w));
	ck_assert_ok(task_start(&w.group, "client", echo_client, &w));
	loop_run(w.loop);
	close(w.listener);
	loop_free(&w.loop);
	ck_assert_uint_eq(memory_used(w.env.memory), 0);
	env_done(&w.env);
}
END_TEST

static void
leave_dead_socket(struct env *env, const struct endpoint *endpoint)
{
	int fd = env->net->listen(NULL, (const struct sockaddr *)&endpoint->address, endpoint->len,
		SOCK_SEQPACKET, 1);

	ck_assert_int_ge(fd, 0);
	close(fd); /* the file stays */
}

/* A dead socket's file is replaced, a living one's and what is no socket are not. When the n-th
 * call fails there is no listener, no descriptor is left, and nothing that lives was removed. */
START_TEST(a_unix_listener_replaces_the_dead_alone)
{
	struct fault_env faults;
	struct endpoint endpoint;
	char path[128], text[160];
	int fd = -1, other = -1, why = 0;

	fault_env_init(&faults);
	snprintf(path, sizeof path, "/tmp/veredus-listener-%d", getpid());
	snprintf(text, sizeof text, "unix:%s", path);
	unlink(path);
	ck_assert_ok(endpoint_parse(slice_text(text), &endpoint));
	int open = descriptors_open();
	leave_dead_socket(&faults.real, &endpoint);
	ck_assert_ok(listener_bind(&faults.env, &endpoint, SOCK_SEQPACKET, &fd, &why));
	struct stat stat;
	ck_assert_int_eq(lstat(path, &stat), 0);
	ck_assert_int_eq(stat.st_mode & 0777, 0660);
	unsigned calls = faults.calls;
	ck_assert_uint_ge(calls, 4); /* look, try, remove, listen */
	ck_assert_int_ne(listener_bind(&faults.env, &endpoint, SOCK_SEQPACKET, &other, &why), OK);
	ck_assert_int_eq(why, EADDRINUSE);
	close(fd);
	for (unsigned n = 1; n <= calls; n++) {
		fault_env_arm(&faults, n);
		ck_assert_int_ne(
			listener_bind(&faults.env, &endpoint, SOCK_SEQPACKET, &fd, &why), OK);
		ck_assert_int_eq(why, n == calls ? EMFILE : EADDRINUSE);
		ck_assert_int_eq(descriptors_open(), open);
		if (n == calls)
			leave_dead_socket(&faults.real, &endpoint);
	}
	unlink(path);
	fd = creat(path, 0600);
	close(fd);
	fault_env_arm(&faults, 0);
	ck_assert_int_ne(listener_bind(&faults.env, &endpoint, SOCK_SEQPACKET, &fd, &why), OK);
	ck_assert_int_eq(unlink(path), 0); /* still there */
	fault_env_done(&faults);
}
END_TEST

UNIT_MAIN("net", endpoints_parse_and_print, networks_contain, lines_come_whole_from_any_pieces,
	a_line_of_exactly_the_maximum_is_whole, an_endless_line_needs_no_endless_memory,
	taking_and_putting_back, streams_over_loopback, a_unix_listener_replaces_the_dead_alone)
