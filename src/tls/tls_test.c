/* Handshakes over a pair of sockets between two tasks of one loop: our client, our server, whose
 * keys are asked for by a function that waits; and the peers that do not behave. */
#include "tls/authority_test.h"
#include "tls/context_private.h"
#include "tls/tls_stream.h"

#include <sys/socket.h>
#include <unistd.h>

#define HANDSHAKE_US (5 * US_PER_S)
#define KEYS_MAX     4

/* A server with its keys, a client that trusts their authority, and what became of both. */
struct world {
	struct env env;
	struct test_certificate authority, made[KEYS_MAX];
	struct tls_private_key *keys[KEYS_MAX];
	size_t key_count;
	bool keys_refuse;
	unsigned signatures;
	struct tls_certificates *certificates;
	struct tls_tickets *tickets;
	struct tls_context *server, *client;
	struct socket_stream sockets[2]; /* the server's, the client's */
	struct tls_stream tls[2];
	const char *host;
	bool verify;
	int64_t handshake_us;
	enum error handshakes[2];
	enum error ends[2]; /* what the last read said */
	char heard[2][256];
	size_t heard_len[2];
	void (*server_does)(struct world *world);
	void (*client_does)(struct world *world);
};

/* May wait: as a process that is asked does. */
static enum error
sign(void *arg, const struct tls_key_id *key, enum tls_signing how, struct slice input,
	struct buffer *signature)
{
	struct world *world = arg;

	enum error error = task_sleep(world->env.loop, loop_deadline(world->env.loop, 1000));
	if (error != OK || world->keys_refuse)
		return error != OK ? error : ERROR_DENIED;
	for (size_t i = 0; i < world->key_count; i++)
		if (slice_equal(tls_key_id_slice(tls_private_key_id(world->keys[i])),
			    tls_key_id_slice(key))) {
			world->signatures++;
			return tls_private_key_sign(world->keys[i], how, input, signature);
		}
	return ERROR_NOT_FOUND;
}

static void
world_init(struct world *world)
{
	static const struct loop_options options;
	struct tls_signer signer = {sign, world};
	struct tls_client_settings client = {0};

	*world = (struct world){
		.host = "mail.example", .verify = true, .handshake_us = HANDSHAKE_US};
	env_init_linux(&world->env);
	loop_new(&world->env, &options);
	test_certificate(&world->authority, "P-256", "Test Authority", NULL, 100, NULL);
	world->certificates = tls_certificates_new(&world->env, &signer);
	world->tickets = tls_tickets_new(&world->env);
	world->client = tls_client_new(&world->env, &client);
	ck_assert_ptr_nonnull(world->client);
	ck_assert_ok(tls_client_trust(world->client, slice_text(world->authority.chain)));
}

static void
world_serve(struct world *world, enum tls_version minimum, bool strict)
{
	struct tls_server_settings settings = {.minimum = minimum,
		.strict = strict,
		.protocol = SLICE("smtp"),
		.tickets = world->tickets};

	world->server = tls_server_new(&world->env, world->certificates, &settings);
	ck_assert_ptr_nonnull(world->server);
}

static void
world_add(struct world *world, const char *kind, const char *names, int days)
{
	size_t number = world->key_count++;
	struct test_certificate *made = &world->made[number];
	const char *why;

	test_certificate(made, kind, "mail.example", names, days, &world->authority);
	ck_assert_ok(tls_private_key_load(
		secret_of(slice_text(made->key_text)), &world->keys[number], &why));
	ck_assert_ok(
		tls_certificates_set(world->certificates, number, slice_text(made->chain), &why));
}

static void
hear(struct world *world, int side)
{
	size_t room = sizeof world->heard[side], len = 0, got;
	enum error error;

	while ((error = stream_read(&world->tls[side].stream, world->heard[side] + len, room - len,
			loop_deadline(world->env.loop, HANDSHAKE_US), &got)) == OK)
		len += got;
	world->heard_len[side] = len;
	world->ends[side] = error;
}

static void
serve(void *arg)
{
	struct world *world = arg;
	struct tls_stream *tls = &world->tls[0];

	ck_assert_ok(tls_stream_open(tls, world->server, &world->sockets[0].stream));
	world->handshakes[0] =
		tls_handshake(tls, loop_deadline(world->env.loop, world->handshake_us));
	if (world->handshakes[0] == OK && world->server_does)
		world->server_does(world);
	stream_close(&tls->stream);
}

static void
connect_to_it(void *arg)
{
	struct world *world = arg;
	struct tls_stream *tls = &world->tls[1];

	ck_assert_ok(tls_stream_open(tls, world->client, &world->sockets[1].stream));
	ck_assert_ok(tls_stream_expect(tls, slice_text(world->host), world->verify));
	world->handshakes[1] =
		tls_handshake(tls, loop_deadline(world->env.loop, world->handshake_us));
	if (world->handshakes[1] == OK && world->client_does)
		world->client_does(world);
	stream_close(&tls->stream);
}

static void
world_run(struct world *world)
{
	struct task_group tasks;
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	for (int side = 0; side < 2; side++)
		ck_assert_ok(socket_stream_open(&world->sockets[side], world->env.loop, fds[side]));
	task_group_init(&tasks, world->env.loop);
	ck_assert_ok(task_start(&tasks, "server", serve, world));
	ck_assert_ok(task_start(&tasks, "client", connect_to_it, world));
	loop_run(world->env.loop);
}

static void
world_done(struct world *world)
{
	tls_context_free(&world->server);
	tls_context_free(&world->client);
	tls_certificates_free(&world->certificates);
	tls_tickets_free(&world->tickets);
	for (size_t i = 0; i < world->key_count; i++) {
		tls_private_key_free(&world->keys[i]);
		test_certificate_done(&world->made[i]);
	}
	test_certificate_done(&world->authority);
	loop_free(&world->env.loop);
	env_done(&world->env);
}

static void
server_speaks(struct world *world)
{
	ck_assert_ok(stream_write(&world->tls[0].stream, SLICE("220 here\r\n"), MONO_NEVER));
	hear(world, 0);
}

static void
server_listens(struct world *world)
{
	hear(world, 0);
}

static void
client_answers(struct world *world)
{
	size_t got;

	ck_assert_ok(stream_read(
		&world->tls[1].stream, world->heard[1], sizeof world->heard[1], MONO_NEVER, &got));
	world->heard_len[1] = got;
	ck_assert_ok(stream_write(&world->tls[1].stream, SLICE("QUIT\r\n"), MONO_NEVER));
}

/* One conversation with a certificate of this kind, and with the client's TLS limited. */
static void
converse(const char *kind, int version, const char *version_name)
{
	struct world world;

	world_init(&world);
	world_add(&world, kind, "DNS:mail.example", 100);
	world_serve(&world, TLS_VERSION_1_2, true);
	world.server_does = server_speaks;
	world.client_does = client_answers;
	ck_assert_int_eq(SSL_CTX_set_max_proto_version(world.client->ctx, version), 1);
	world_run(&world);
	ck_assert_msg(
		world.handshakes[0] == OK, "%s %s: %s", kind, version_name, world.tls[0].problem);
	ck_assert_msg(
		world.handshakes[1] == OK, "%s %s: %s", kind, version_name, world.tls[1].problem);
	ck_assert_slice_eq(slice_of(world.heard[1], world.heard_len[1]), "220 here\r\n");
	ck_assert_slice_eq(slice_of(world.heard[0], world.heard_len[0]), "QUIT\r\n");
	/* its close_notify is an end */
	ck_assert_int_eq(world.ends[0], ERROR_CLOSED);
	ck_assert(!world.tls[0].was_cut);
	ck_assert_uint_eq(world.signatures, 1);
	world_done(&world);
}

START_TEST(all_kinds_of_keys_and_versions)
{
	static const char *const kinds[] = {"rsa", "P-256", "P-384"};

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		converse(kinds[i], TLS1_2_VERSION, "1.2");
		converse(kinds[i], TLS1_3_VERSION, "1.3");
	}
}
END_TEST

/* What a client that verifies says about a server, and whether the handshake was done. */
static void
check_client(struct world *world, enum error expected, const char *problem)
{
	world->server_does = server_speaks;
	world->client_does = client_answers;
	world_run(world);
	ck_assert_msg(
		world->handshakes[1] == expected, "%s: %s", world->host, world->tls[1].problem);
	ck_assert_msg(strstr(world->tls[1].problem, problem), "%s", world->tls[1].problem);
	world_done(world);
}

static void
check_trust(const char *names, int days, const char *host, bool trust, const char *problem)
{
	struct world world;

	world_init(&world);
	world_add(&world, "P-256", names, days);
	world_serve(&world, TLS_VERSION_1_2, true);
	world.host = host;
	if (!trust) {
		struct tls_client_settings settings = {0};
		tls_context_free(&world.client);
		world.client = tls_client_new(&world.env, &settings);
	}
	check_client(&world, *problem ? ERROR_DENIED : OK, problem);
}

START_TEST(a_client_that_verifies_is_not_fooled)
{
	check_trust("DNS:mail.example", 100, "mail.example", true, "");
	check_trust("DNS:*.host.example", 100, "mail.host.example", true, "");
	check_trust("IP:192.0.2.1", 100, "192.0.2.1", true, "");
	check_trust("IP:2001:db8::1", 100, "2001:db8::1", true, "");
	check_trust("DNS:other.example", 100, "mail.example", true, "hostname mismatch");
	check_trust("DNS:*.host.example", 100, "a.mail.host.example", true, "hostname mismatch");
	check_trust("DNS:m*.example", 100, "mail.example", true, "hostname mismatch");
	check_trust("DNS:192.0.2.1", 100, "192.0.2.1", true, "IP address mismatch");
	check_trust("DNS:mail.example", -1, "mail.example", true, "expired");
	check_trust("DNS:mail.example", 100, "mail.example", false, "unable to get local issuer");
}
END_TEST

static void
note_verification(struct world *world)
{
	const char *why;

	ck_assert(!tls_stream_is_verified(&world->tls[1], &why));
	world->heard_len[1] = (size_t)snprintf(world->heard[1], sizeof world->heard[1], "%s", why);
}

START_TEST(an_unverified_one_is_encrypted_and_known_as_such)
{
	struct world world;

	world_init(&world);
	world_add(&world, "P-256", "DNS:other.example", 100);
	world_serve(&world, TLS_VERSION_1_2, true);
	world.verify = false;
	world.client_does = note_verification;
	world_run(&world);
	ck_assert_int_eq(world.handshakes[1], OK);
	ck_assert_slice_eq(slice_of(world.heard[1], world.heard_len[1]), "hostname mismatch");
	world_done(&world);
}
END_TEST

static void
note_issuer(struct world *world)
{
	X509 *peer = SSL_get0_peer_certificate(world->tls[1].ssl);
	int len = snprintf(world->heard[1], sizeof world->heard[1], "%s",
		EVP_PKEY_base_id(X509_get0_pubkey(peer)) == EVP_PKEY_RSA ? "rsa" : "ec");

	world->heard_len[1] = (size_t)len;
}

/* Which of the kinds a client gets that takes all, or one kind of signature. */
static void
check_choice(const char *host, const char *signatures, const char *kind)
{
	struct world world;

	world_init(&world);
	world_add(&world, "P-256", "DNS:mail.example", 100);
	world_add(&world, "rsa", "DNS:mail.example", 100);
	world_add(&world, "rsa", "DNS:other.example", 100);
	ck_assert_uint_eq(tls_certificates_count(world.certificates), 3);
	world_serve(&world, TLS_VERSION_1_2, true);
	world.host = host;
	world.verify = strstr(host, "unknown") == NULL;
	if (signatures)
		ck_assert_int_eq(SSL_CTX_ctrl(world.client->ctx, SSL_CTRL_SET_SIGALGS_LIST, 0,
					 (void *)(uintptr_t)signatures),
			1);
	world.client_does = note_issuer;
	world_run(&world);
	ck_assert_msg(world.handshakes[1] == OK, "%s: %s", host, world.tls[1].problem);
	ck_assert_slice_eq(slice_of(world.heard[1], world.heard_len[1]), kind);
	world_done(&world);
}

START_TEST(certificates_are_chosen_by_name_and_kind)
{
	check_choice("mail.example", NULL, "ec");
	check_choice("mail.example", "RSA-PSS+SHA256:RSA+SHA256", "rsa");
	check_choice("other.example", NULL, "rsa");
	check_choice("unknown.example", NULL, "ec");
	check_choice("unknown.example", "RSA-PSS+SHA256:RSA+SHA256", "rsa");
}
END_TEST

START_TEST(a_key_that_is_not_to_be_had_fails_the_handshake_alone)
{
	struct world world;

	world_init(&world);
	world_add(&world, "rsa", "DNS:mail.example", 100);
	world_serve(&world, TLS_VERSION_1_2, true);
	world.keys_refuse = true;
	world_run(&world);
	ck_assert_int_eq(world.handshakes[0], ERROR_DENIED);
	ck_assert_str_eq(world.tls[0].problem, "no signature was to be had of our key");
	ck_assert_int_ne(world.handshakes[1], OK);
	world_done(&world);
}
END_TEST

START_TEST(versions_and_protocols_have_to_fit)
{
	static const uint8_t imap[] = "\x04imap", smtp[] = "\x04imap\x04smtp";
	struct world world;

	world_init(&world);
	world_add(&world, "rsa", "DNS:mail.example", 100);
	world_serve(&world, TLS_VERSION_1_2, false);
	SSL_CTX_set_min_proto_version(world.client->ctx, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(world.client->ctx, TLS1_1_VERSION);
	SSL_CTX_set_cipher_list(world.client->ctx, "ALL:@SECLEVEL=0");
	world_run(&world);
	ck_assert_str_eq(world.tls[0].problem, "there is no version of TLS that both sides allow");
	world_done(&world);

	world_init(&world);
	world_add(&world, "rsa", "DNS:mail.example", 100);
	world_serve(&world, TLS_VERSION_1_0, false);
	SSL_CTX_set_min_proto_version(world.client->ctx, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(world.client->ctx, TLS1_VERSION);
	SSL_CTX_set_cipher_list(world.client->ctx, "ALL:@SECLEVEL=0");
	check_client(&world, OK, "");

	world_init(&world);
	world_add(&world, "rsa", "DNS:mail.example", 100);
	world_serve(&world, TLS_VERSION_1_2, true);
	SSL_CTX_set_alpn_protos(world.client->ctx, imap, sizeof imap - 1);
	check_client(&world, ERROR_DENIED, "ALPN");

	world_init(&world);
	world_add(&world, "rsa", "DNS:mail.example", 100);
	world_serve(&world, TLS_VERSION_1_2, true);
	SSL_CTX_set_alpn_protos(world.client->ctx, smtp, sizeof smtp - 1);
	check_client(&world, OK, "");

	/* CBC between servers, not where people connect. */
	for (int strict = 0; strict < 2; strict++) {
		world_init(&world);
		world_add(&world, "rsa", "DNS:mail.example", 100);
		world_serve(&world, TLS_VERSION_1_2, strict);
		SSL_CTX_set_max_proto_version(world.client->ctx, TLS1_2_VERSION);
		SSL_CTX_set_cipher_list(world.client->ctx, "ECDHE-RSA-AES128-SHA256");
		check_client(&world, strict ? ERROR_DENIED : OK, "");
	}
	/* A key that is stolen later must not open what was recorded. */
	world_init(&world);
	world_add(&world, "rsa", "DNS:mail.example", 100);
	world_serve(&world, TLS_VERSION_1_2, false);
	SSL_CTX_set_max_proto_version(world.client->ctx, TLS1_2_VERSION);
	SSL_CTX_set_cipher_list(world.client->ctx, "kRSA");
	check_client(&world, ERROR_DENIED, "no cipher or certificate");
}
END_TEST

/* A peer without TLS: what it sends, and whether it then closes or stays silent. */
struct stranger {
	struct slice says;
	bool closes;
};

static enum error
meet(const struct stranger *stranger, int64_t deadline_us, char problem[TLS_PROBLEM_BYTES])
{
	struct world world;
	struct task_group tasks;
	int fds[2];

	world_init(&world);
	world_add(&world, "P-256", "DNS:mail.example", 100);
	world_serve(&world, TLS_VERSION_1_2, true);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	ck_assert_ok(socket_stream_open(&world.sockets[0], world.env.loop, fds[0]));
	if (stranger->says.len > 0)
		ck_assert_int_eq(write(fds[1], stranger->says.ptr, stranger->says.len),
			(ssize_t)stranger->says.len);
	if (stranger->closes)
		close(fds[1]);
	world.handshake_us = deadline_us;
	task_group_init(&tasks, world.env.loop);
	ck_assert_ok(task_start(&tasks, "server", serve, &world));
	loop_run(world.env.loop);
	if (!stranger->closes)
		close(fds[1]);
	memcpy(problem, world.tls[0].problem, TLS_PROBLEM_BYTES);
	enum error error = world.handshakes[0];
	world_done(&world);
	return error;
}

START_TEST(what_is_no_tls_ends_the_handshake)
{
	char problem[TLS_PROBLEM_BYTES];
	struct stranger stranger = {.says = SLICE("EHLO client.example\r\nMAIL FROM:<>\r\n")};

	ck_assert_int_eq(meet(&stranger, HANDSHAKE_US, problem), ERROR_DENIED);
	ck_assert_str_eq(problem, "what came is not TLS");
	stranger.says = SLICE("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	ck_assert_int_eq(meet(&stranger, HANDSHAKE_US, problem), ERROR_DENIED);
	ck_assert_str_eq(problem, "what came is HTTP, not TLS");
	stranger = (struct stranger){.closes = true};
	ck_assert_int_eq(meet(&stranger, HANDSHAKE_US, problem), ERROR_CLOSED);
	ck_assert_str_eq(problem, "the other side closed the connection");
	stranger = (struct stranger){.says = SLICE("\x16\x03\x01\x02"), .closes = true};
	ck_assert_int_eq(meet(&stranger, HANDSHAKE_US, problem), ERROR_CLOSED);
	stranger.closes = false;
	ck_assert_int_eq(meet(&stranger, 20 * US_PER_MS, problem), ERROR_TIMEOUT);
}
END_TEST

/* The client's end, without close_notify. */
static void
client_cuts(struct world *world)
{
	ck_assert_ok(stream_write(&world->tls[1].stream, SLICE("MAIL FROM:<"), MONO_NEVER));
	world->tls[1].is_broken = true; /* says no farewell */
}

START_TEST(a_cut_is_no_end)
{
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct world world;

		world_init(&world);
		world_add(&world, "P-256", "DNS:mail.example", 100);
		world_serve(&world, TLS_VERSION_1_2, true);
		SSL_CTX_set_max_proto_version(world.client->ctx, version);
		world.server_does = server_listens;
		world.client_does = client_cuts;
		world_run(&world);
		ck_assert_slice_eq(slice_of(world.heard[0], world.heard_len[0]), "MAIL FROM:<");
		ck_assert_int_eq(world.ends[0], ERROR_CLOSED);
		ck_assert(world.tls[0].was_cut);
		world_done(&world);
	}
}
END_TEST

START_TEST(broken_keys_and_chains_are_named)
{
	struct test_certificate small, other, modern;
	struct tls_private_key *key = NULL;
	struct tls_key_id id;
	const char *why;

	test_certificate(&small, "rsa1024", "a", "DNS:a", 1, NULL);
	test_certificate(&other, "P-256", "a", "DNS:a", 1, NULL);
	test_certificate(&modern, "ed25519", "a", "DNS:a", 1, NULL);
	ck_assert_int_eq(tls_private_key_load(secret_of(slice_text(small.key_text)), &key, &why),
		ERROR_FORMAT);
	ck_assert_str_eq(why, "the RSA key has fewer than 2048 bits");
	ck_assert_int_eq(tls_private_key_load(secret_of(slice_text(modern.key_text)), &key, &why),
		ERROR_FORMAT);
	ck_assert_str_eq(why, "it is neither an RSA nor an ECDSA key");
	ck_assert_int_eq(
		tls_private_key_load(secret_of(slice_text(small.chain)), &key, &why), ERROR_FORMAT);
	ck_assert_str_eq(why, "there is no private key in PEM in it");
	ck_assert_ok(tls_key_id_of(other.key, &id));
	ck_assert_ptr_null(tls_chain_check(slice_text(other.chain), &id));
	ck_assert_str_eq(tls_chain_check(slice_text(small.chain), &id),
		"it is for another key: the first certificate must be the server's own");
	ck_assert_str_eq(tls_chain_check(SLICE(""), NULL), "there is no certificate in PEM in it");
	ck_assert_str_eq(tls_chain_check(slice_text(modern.chain), NULL),
		"its key is neither RSA nor ECDSA");
	char *end = strstr(other.chain, "-----END");
	size_t half = (size_t)(end - other.chain) / 2;
	char twice[sizeof other.chain * 2];
	int len = snprintf(twice, sizeof twice, "%s%.*s-----END CERTIFICATE-----\n", other.chain,
		(int)half, other.chain);
	ck_assert_str_eq(tls_chain_check(slice_of(twice, (size_t)len), NULL),
		"a certificate of the chain is damaged");
	test_certificate_done(&small);
	test_certificate_done(&other);
	test_certificate_done(&modern);
}
END_TEST

/* Whoever asks gets only what this kind of key makes. */
START_TEST(a_key_signs_as_it_can)
{
	struct test_certificate made;
	struct tls_private_key *key;
	uint8_t room[TLS_SIGNATURE_MAX], input[TLS_SIGNATURE_MAX + 1] = {0};
	struct buffer signature;
	const char *why;

	test_certificate(&made, "P-256", "a", "DNS:a", 1, NULL);
	ck_assert_ok(tls_private_key_load(secret_of(slice_text(made.key_text)), &key, &why));
	buffer_init_fixed(&signature, room, sizeof room);
	ck_assert_ok(tls_private_key_sign(key, TLS_SIGN_ECDSA, slice_of(input, 32), &signature));
	EC_KEY *public_key = EVP_PKEY_get1_EC_KEY(made.key);
	ck_assert_int_eq(ECDSA_verify(0, input, 32, room, (int)signature.len, public_key), 1);
	EC_KEY_free(public_key);
	ck_assert_int_eq(
		tls_private_key_sign(key, TLS_SIGN_RSA_BARE, slice_of(input, 32), &signature),
		ERROR_DENIED);
	ck_assert_int_eq(tls_private_key_sign(
				 key, TLS_SIGN_ECDSA, slice_of(input, sizeof input), &signature),
		ERROR_DENIED);
	ck_assert_int_eq(tls_private_key_sign(key, TLS_SIGN_ECDSA, slice_of(input, 0), &signature),
		ERROR_DENIED);
	tls_private_key_free(&key);
	test_certificate_done(&made);

	test_certificate(&made, "rsa", "a", "DNS:a", 1, NULL);
	ck_assert_ok(tls_private_key_load(secret_of(slice_text(made.key_text)), &key, &why));
	ck_assert_int_eq(tls_private_key_sign(key, TLS_SIGN_ECDSA, slice_of(input, 32), &signature),
		ERROR_DENIED);
	/* longer than the key */
	ck_assert_int_eq(
		tls_private_key_sign(key, TLS_SIGN_RSA_BARE, slice_of(input, 257), &signature),
		ERROR_DENIED);
	tls_private_key_free(&key);
	test_certificate_done(&made);
}
END_TEST

/* A client that brings a session, and takes the one that it ends with. */
static SSL_SESSION *brought, *taken;

static void
client_takes_session(struct world *world)
{
	client_answers(world);
	SSL_SESSION_free(taken);
	taken = SSL_get1_session(world->tls[1].ssl);
	ck_assert(SSL_SESSION_is_resumable(taken));
}

static void
bring_session(const SSL *ssl, int where, int result)
{
	(void)result;
	if (where == SSL_CB_HANDSHAKE_START && brought)
		SSL_set_session((SSL *)(uintptr_t)ssl, brought);
}

/* Whether it goes on with the session that was brought, at a server of its own with these keys. */
static bool
resumes(int version, bool strict, const uint8_t *keys, size_t count, SSL_SESSION *session)
{
	struct world world;

	brought = session;
	world_init(&world);
	world_add(&world, "P-256", "DNS:mail.example", 100);
	ck_assert_ok(tls_tickets_set(
		world.tickets, secret_of(slice_of(keys, count * TLS_TICKET_KEY_BYTES))));
	world_serve(&world, TLS_VERSION_1_2, strict);
	world.verify = false;
	SSL_CTX_set_max_proto_version(world.client->ctx, version);
	SSL_CTX_set_info_callback(world.client->ctx, bring_session);
	world.server_does = server_speaks;
	world.client_does = client_takes_session;
	world_run(&world);
	ck_assert_int_eq(world.handshakes[0], OK);
	ck_assert_int_eq(world.handshakes[1], OK);
	bool is_resumed = world.signatures == 0;
	world_done(&world);
	return is_resumed;
}

START_TEST(tickets_open_where_the_keys_are_the_same)
{
	uint8_t keys[3 * TLS_TICKET_KEY_BYTES];

	for (size_t i = 0; i < sizeof keys; i++)
		keys[i] = (uint8_t)(i * 7 + i / TLS_TICKET_KEY_BYTES);
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		uint8_t turned[2 * TLS_TICKET_KEY_BYTES];

		memcpy(turned, keys + TLS_TICKET_KEY_BYTES, TLS_TICKET_KEY_BYTES);
		memcpy(turned + TLS_TICKET_KEY_BYTES, keys, TLS_TICKET_KEY_BYTES);
		ck_assert(!resumes(version, true, keys, 1, NULL));
		ck_assert_ptr_nonnull(taken);
		SSL_SESSION *session = taken;
		taken = NULL;
		ck_assert_int_le(SSL_SESSION_get_ticket_lifetime_hint(session), TLS_TICKET_LIFE_S);
		ck_assert(resumes(version, true, keys, 1, session));
		/* The keys have turned: the ticket still counts, and a newer one comes. */
		ck_assert(resumes(version, true, turned, 2, session));
		ck_assert_ptr_nonnull(taken);
		SSL_SESSION *newer = taken;
		taken = NULL;
		ck_assert(resumes(version, true, turned, 1, newer));
		/* Another key; a listener with other rules. */
		ck_assert(!resumes(version, true, turned, 1, session));
		ck_assert(!resumes(version, false, keys, 1, session));
		SSL_SESSION_free(session);
		SSL_SESSION_free(newer);
	}
	SSL_SESSION_free(taken);
	taken = brought = NULL;
}
END_TEST

START_TEST(only_whole_keys_are_taken)
{
	static const uint8_t octets[3 * TLS_TICKET_KEY_BYTES];
	struct world world;

	world_init(&world);
	for (size_t len = 0; len <= sizeof octets; len++) {
		bool fits = len == TLS_TICKET_KEY_BYTES || len == 2 * TLS_TICKET_KEY_BYTES;
		enum error error = tls_tickets_set(world.tickets, secret_of(slice_of(octets, len)));
		ck_assert_int_eq(error, fits ? OK : ERROR_FORMAT);
	}
	world_done(&world);
}
END_TEST

UNIT_MAIN("tls/tls", all_kinds_of_keys_and_versions, a_client_that_verifies_is_not_fooled,
	an_unverified_one_is_encrypted_and_known_as_such, certificates_are_chosen_by_name_and_kind,
	a_key_that_is_not_to_be_had_fails_the_handshake_alone, versions_and_protocols_have_to_fit,
	what_is_no_tls_ends_the_handshake, a_cut_is_no_end, broken_keys_and_chains_are_named,
	a_key_signs_as_it_can, tickets_open_where_the_keys_are_the_same, only_whole_keys_are_taken)
