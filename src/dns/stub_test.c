#include "dns/stub.h"
#include "task/task.h"
#include "unit.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <unistd.h>

START_TEST(servers_of_resolv_conf)
{
	struct dns_stub stub = {0};
	uint8_t storage[128];
	struct buffer text;

	dns_stub_read_conf(&stub,
		SLICE("# comment\nnameserver 192.0.2.1\n\tnameserver   2001:db8::1  \nsearch x\n"
		      "nameserver not-an-address\nnameserver 192.0.2.3\nnameserver 192.0.2.4"));
	ck_assert_uint_eq(stub.server_count, 3);
	buffer_init_fixed(&text, storage, sizeof storage);
	endpoint_append(&text, &stub.servers[1]);
	ck_assert_slice_eq(buffer_slice(&text), "[2001:db8::1]:53");
}
END_TEST

/* A server in a thread of its own: to each question first an answer with another number, then one
 * cut short; by TCP a whole one. */
struct server {
	int udp, tcp;
	struct endpoint endpoint;
	pthread_t thread;
};

static size_t
make_answer(uint8_t *message, size_t question_len, bool is_cut)
{
	static const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 9};
	size_t end = question_len - 11; /* without OPT */

	message[2] = is_cut ? 0x83 : 0x81;
	message[3] = 0x80;
	message[7] = !is_cut;
	message[11] = 0;
	if (!is_cut)
		memcpy(message + end, record, sizeof record);
	return is_cut ? end : end + sizeof record;
}

static void *
server_run(void *arg)
{
	struct server *server = arg;
	uint8_t message[600];
	struct sockaddr_in peer;
	socklen_t peer_len = sizeof peer;
	ssize_t got = recvfrom(server->udp, message, 512, 0, (struct sockaddr *)&peer, &peer_len);

	ck_assert_int_gt(got, 12);
	size_t len = make_answer(message, (size_t)got, true);
	message[0] ^= 1;
	sendto(server->udp, message, len, 0, (struct sockaddr *)&peer, peer_len);
	message[0] ^= 1;
	sendto(server->udp, message, len, 0, (struct sockaddr *)&peer, peer_len);
	int fd = accept(server->tcp, NULL, NULL);
	got = recv(fd, message, 2, MSG_WAITALL);
	got = recv(fd, message, (size_t)(message[0] << 8 | message[1]), MSG_WAITALL);
	len = make_answer(message, (size_t)got, false);
	uint8_t head[2] = {(uint8_t)(len >> 8), (uint8_t)len};
	ck_assert_int_eq(send(fd, head, 1, 0), 1);
	ck_assert_int_eq(send(fd, head + 1, 1, 0), 1);
	ck_assert_int_eq(send(fd, message, len, 0), (ssize_t)len);
	close(fd);
	return NULL;
}

static void
server_start(struct server *server)
{
	struct sockaddr_in *address = (struct sockaddr_in *)&server->endpoint.address;

	*address = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	server->endpoint.len = sizeof *address;
	server->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	server->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(server->tcp, (struct sockaddr *)address, sizeof *address), 0);
	ck_assert_int_eq(listen(server->tcp, 1), 0);
	getsockname(server->tcp, (struct sockaddr *)address, &server->endpoint.len);
	ck_assert_int_eq(bind(server->udp, (struct sockaddr *)address, sizeof *address), 0);
	ck_assert_int_eq(pthread_create(&server->thread, NULL, server_run, server), 0);
}

struct asking {
	struct dns_stub stub;
	struct arena arena;
	struct dns_answer answer;
	mono_us within;
};

static void
ask_run(void *arg)
{
	struct asking *asking = arg;
	struct dns_source source = dns_stub_source(&asking->stub);

	dns_ask(&source, SLICE("a.example"), DNS_A, &asking->arena,
		loop_deadline(asking->stub.loop, asking->within), &asking->answer);
}

static void
ask(struct env *env, struct asking *asking)
{
	struct loop *loop = loop_new(env, &(struct loop_options){0});
	struct task_group tasks;

	asking->stub.loop = loop;
	arena_init(&asking->arena, env->memory, 1u << 20);
	task_group_init(&tasks, loop);
	ck_assert_ok(task_start(&tasks, "ask", ask_run, asking));
	loop_run(loop);
	loop_free(&loop);
}

START_TEST(forged_answers_are_passed_over_and_cut_ones_asked_for_by_tcp)
{
	struct env env;
	struct server server;
	struct asking asking = {.within = 10 * US_PER_S};

	env_init_linux(&env);
	server_start(&server);
	asking.stub.servers[asking.stub.server_count++] = server.endpoint;
	ask(&env, &asking);
	pthread_join(server.thread, NULL);
	ck_assert_int_eq(asking.answer.outcome, DNS_FOUND);
	ck_assert_uint_eq(asking.answer.count, 1);
	ck_assert_int_eq(memcmp(asking.answer.records[0].data.ptr, "\xc0\0\2\x09", 4), 0);
	arena_done(&asking.arena);
	env_done(&env);
}
END_TEST

START_TEST(silence_is_a_failure_with_a_reason)
{
	struct env env;
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct asking asking = {.within = 50 * US_PER_MS};
	int silent = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	env_init_linux(&env);
	ck_assert_int_eq(bind(silent, (struct sockaddr *)&address, sizeof address), 0);
	struct endpoint *server = &asking.stub.servers[asking.stub.server_count++];
	server->len = sizeof server->address;
	getsockname(silent, (struct sockaddr *)&server->address, &server->len);
	ask(&env, &asking);
	ck_assert_int_eq(asking.answer.outcome, DNS_FAILED);
	ck_assert_str_eq(asking.answer.reason, "no DNS server answered in time");
	close(silent);
	arena_done(&asking.arena);
	env_done(&env);
}
END_TEST

UNIT_MAIN("dns/stub", servers_of_resolv_conf,
	forged_answers_are_passed_over_and_cut_ones_asked_for_by_tcp,
	silence_is_a_failure_with_a_reason)
