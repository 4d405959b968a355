/* Files as root hands them over, and questions as sessions put them: over a pair of sockets, by the
 * caller that they use. */
#include "keys/keys.h"
#include "ipc/caller.h"
#include "mailauth/crypto.h"
#include "tls/authority_test.h"
#include "tls/context.h"
#include "unit.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define ASK_US (5 * US_PER_S)

struct world {
	struct env env;
	struct conf conf;
	struct conf_certificate certificates[2];
	struct conf_dkim dkims[2];
	struct keys_service *service;
	struct caller caller;
	struct test_certificate made[2];
	void (*test)(struct world *world);
};

static void
nobody_broken(void *arg, uint32_t instance)
{
	(void)arg;
	ck_abort_msg("%u is broken", instance);
}

static const struct keys_root_ops root_ops = {nobody_broken};
static const struct caller_ops caller_ops = {NULL, NULL};

static void
give_file(struct world *world, const char *path, const char *text)
{
	int fd = memfd_create("file", 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	keys_service_set_file(world->service, slice_text(path), fd);
}

/* May wait. Its version; the chain in `ret_chain`, "" when nothing is new. */
static uint64_t
ask_chain(struct world *world, uint32_t number, uint64_t known, char ret_chain[8192])
{
	struct ipc_message question = {.kind = IPC_TLS_CHAIN_ASK,
		.tls_chain_ask = {.certificate = number, .known = known}};
	struct call_answer answer;

	ck_assert_ok(call_ask(&world->caller, &question, IPC_TLS_CHAIN,
		loop_deadline(world->env.loop, ASK_US), &answer));
	struct slice chain = answer.message.tls_chain.chain;
	memcpy(ret_chain, chain.ptr ? chain.ptr : (const uint8_t *)"", chain.len);
	ret_chain[chain.len] = 0;
	uint64_t version = answer.message.tls_chain.version;
	call_answer_done(&answer, &world->env);
	return version;
}

/* May wait. */
static enum error
ask_signature(struct world *world, EVP_PKEY *key, enum tls_signing how)
{
	struct tls_key_id id;
	static const uint8_t digest[32] = {1};
	struct call_answer answer;

	ck_assert_ok(tls_key_id_of(key, &id));
	struct ipc_message question = {.kind = IPC_TLS_SIGN,
		.tls_sign = {.key = tls_key_id_slice(&id),
			.how = how,
			.input = slice_of(digest, sizeof digest)}};
	enum error error = call_ask(&world->caller, &question, IPC_TLS_SIGNATURE,
		loop_deadline(world->env.loop, ASK_US), &answer);
	if (error == OK && how == TLS_SIGN_ECDSA) {
		struct slice signature = answer.message.tls_signature.signature;
		EC_KEY *public_key = EVP_PKEY_get1_EC_KEY(key);
		ck_assert_int_eq(ECDSA_verify(0, digest, sizeof digest, signature.ptr,
					 (int)signature.len, public_key),
			1);
		EC_KEY_free(public_key);
	}
	call_answer_done(&answer, &world->env);
	return error;
}

static void
run(void *arg)
{
	struct world *world = arg;
	int fds[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	keys_service_add(world->service, ROLE_SESSION, 0, 1, fds[0]);
	ck_assert_ok(caller_connect(&world->caller, fds[1], 2));
	world->test(world);
	caller_done(&world->caller);
	keys_service_stop(world->service);
}

static void
with_keys(void (*test)(struct world *world))
{
	static const struct loop_options options;
	static struct world world;
	struct task_group tasks;

	world = (struct world){.test = test};
	env_init_linux(&world.env);
	loop_new(&world.env, &options);
	world.certificates[0] =
		(struct conf_certificate){SLICE("ec"), SLICE("/ec.pem"), SLICE("/ec.key")};
	world.certificates[1] =
		(struct conf_certificate){SLICE("rsa"), SLICE("/both.pem"), SLICE("/both.pem")};
	world.conf.certificates = world.certificates;
	world.conf.certificate_count = 2;
	world.dkims[0] = (struct conf_dkim){.name = SLICE("r"), .key = SLICE("/rsa.pem")};
	world.dkims[1] = (struct conf_dkim){.name = SLICE("e"), .key = SLICE("/ed.pem")};
	world.conf.dkims = world.dkims;
	world.conf.dkim_count = 2;
	test_certificate(&world.made[0], "P-256", "a", "DNS:a", 1, NULL);
	test_certificate(&world.made[1], "rsa", "b", "DNS:b", 1, NULL);
	world.service = keys_service_new(&world.env, &world.conf, &root_ops, &world);
	caller_init(&world.caller, &world.env, ROLE_SESSION, ROLE_KEYS, 16, &caller_ops, &world);
	task_group_init(&tasks, world.env.loop);
	ck_assert_ok(task_start(&tasks, "test", run, &world));
	loop_run(world.env.loop);
	keys_service_free(&world.service);
	test_certificate_done(&world.made[0]);
	test_certificate_done(&world.made[1]);
	loop_free(&world.env.loop);
	env_done(&world.env);
}

static void
pairs(struct world *world)
{
	char chain[8192];
	struct test_certificate renewed;

	ck_assert_uint_eq(ask_chain(world, 0, 0, chain), 0);
	ck_assert_str_eq(chain, "");
	give_file(world, "/ec.pem", world->made[0].chain);
	ck_assert_uint_eq(ask_chain(world, 0, 0, chain), 0);
	ck_assert_int_eq(ask_signature(world, world->made[0].key, TLS_SIGN_ECDSA), ERROR_DENIED);
	give_file(world, "/ec.key", world->made[0].key_text);
	uint64_t version = ask_chain(world, 0, 0, chain);
	ck_assert_uint_ne(version, 0);
	ck_assert_str_eq(chain, world->made[0].chain);
	ck_assert_uint_eq(ask_chain(world, 0, version, chain), version);
	ck_assert_str_eq(chain, "");
	ck_assert_ok(ask_signature(world, world->made[0].key, TLS_SIGN_ECDSA));

	/* Half of a renewal changes nothing; nor does rubbish; the old key signs on. */
	test_certificate(&renewed, "P-256", "a", "DNS:a", 1, NULL);
	give_file(world, "/ec.pem", renewed.chain);
	ck_assert_uint_eq(ask_chain(world, 0, version, chain), version);
	give_file(world, "/ec.key", "rubbish");
	ck_assert_uint_eq(ask_chain(world, 0, version, chain), version);
	ck_assert_int_eq(ask_signature(world, renewed.key, TLS_SIGN_ECDSA), ERROR_DENIED);
	give_file(world, "/ec.key", renewed.key_text);
	ck_assert_uint_ne(ask_chain(world, 0, version, chain), version);
	ck_assert_str_eq(chain, renewed.chain);
	ck_assert_ok(ask_signature(world, renewed.key, TLS_SIGN_ECDSA));
	ck_assert_ok(ask_signature(world, world->made[0].key, TLS_SIGN_ECDSA));
	test_certificate_done(&renewed);
}

START_TEST(a_chain_and_its_key_count_together)
{
	with_keys(pairs);
}
END_TEST

static void
limits(struct world *world)
{
	char chain[8192], both[16384];
	struct ipc_message question = {
		.kind = IPC_TLS_CHAIN_ASK, .tls_chain_ask = {.certificate = 2}};
	struct call_answer answer;

	/* One file with both. */
	snprintf(both, sizeof both, "%s%s", world->made[1].key_text, world->made[1].chain);
	give_file(world, "/both.pem", both);
	ck_assert_uint_ne(ask_chain(world, 1, 0, chain), 0);
	ck_assert_ok(ask_signature(world, world->made[1].key, TLS_SIGN_RSA_PKCS1));
	/* What the key can't, a key that is not here, a certificate that is not there. */
	ck_assert_int_eq(ask_signature(world, world->made[1].key, TLS_SIGN_ECDSA), ERROR_DENIED);
	ck_assert_int_eq(ask_signature(world, world->made[1].key, TLS_SIGN_RSA_BARE), ERROR_DENIED);
	ck_assert_int_eq(ask_signature(world, world->made[0].key, TLS_SIGN_ECDSA), ERROR_DENIED);
	ck_assert_int_eq(call_ask(&world->caller, &question, IPC_TLS_CHAIN,
				 loop_deadline(world->env.loop, ASK_US), &answer),
		ERROR_DENIED);
	call_answer_done(&answer, &world->env);
	/* A key inside of a chain's file reaches nobody. */
	ck_assert_ptr_null(strstr(chain, "PRIVATE KEY"));
}

START_TEST(nobody_gets_more_than_signatures)
{
	with_keys(limits);
}
END_TEST

/* May wait. A signature of this many octets of a hash by the key for DKIM; checked. */
static enum error
ask_dkim(struct world *world, uint32_t number, size_t octets, const struct key *key)
{
	static const uint8_t digest[SHA256_OCTETS] = {7};
	struct ipc_message question = {.kind = IPC_DKIM_SIGN,
		.dkim_sign = {.number = number, .digest = slice_of(digest, octets)}};
	struct call_answer answer;
	enum error error = call_ask(&world->caller, &question, IPC_DKIM_SIGNATURE,
		loop_deadline(world->env.loop, ASK_US), &answer);

	if (error == OK)
		ck_assert(key_verify(key, digest, answer.message.dkim_signature.signature));
	call_answer_done(&answer, &world->env);
	return error;
}

/* May wait. */
static enum error
ask_dkim_kind(struct world *world, uint32_t number, bool *ret_is_ed25519)
{
	struct ipc_message question = {
		.kind = IPC_DKIM_KEY_ASK, .dkim_key_ask = {.number = number}};
	struct call_answer answer;
	enum error error = call_ask(&world->caller, &question, IPC_DKIM_KEY,
		loop_deadline(world->env.loop, ASK_US), &answer);

	*ret_is_ed25519 = error == OK && answer.message.dkim_key.is_ed25519;
	call_answer_done(&answer, &world->env);
	return error;
}

static struct key *
give_dkim_key(struct world *world, const char *path, enum key_type type, unsigned bits)
{
	struct buffer pem;
	struct key *key;

	ck_assert_ok(key_generate(type, bits, &key));
	buffer_init(&pem, world->env.memory, 65536);
	key_append_pem(&pem, key);
	buffer_append_octet(&pem, 0);
	give_file(world, path, (const char *)pem.ptr);
	buffer_done(&pem);
	return key;
}

static void
mail(struct world *world)
{
	bool is_ed25519;

	ck_assert_int_eq(ask_dkim_kind(world, 0, &is_ed25519), ERROR_DENIED);
	ck_assert_int_eq(ask_dkim(world, 0, SHA256_OCTETS, NULL), ERROR_DENIED);
	struct key *rsa = give_dkim_key(world, "/rsa.pem", KEY_RSA, 2048);
	struct key *ed25519 = give_dkim_key(world, "/ed.pem", KEY_ED25519, 0);
	ck_assert_ok(ask_dkim_kind(world, 0, &is_ed25519));
	ck_assert(!is_ed25519);
	ck_assert_ok(ask_dkim_kind(world, 1, &is_ed25519));
	ck_assert(is_ed25519);
	ck_assert_ok(ask_dkim(world, 0, SHA256_OCTETS, rsa));
	ck_assert_ok(ask_dkim(world, 1, SHA256_OCTETS, ed25519));
	/* No hash, no such key; and what is no key, or a weak one, changes nothing. */
	ck_assert_int_eq(ask_dkim(world, 0, SHA256_OCTETS - 1, rsa), ERROR_DENIED);
	ck_assert_int_eq(ask_dkim(world, 2, SHA256_OCTETS, rsa), ERROR_DENIED);
	give_file(world, "/rsa.pem", "no key");
	struct key *weak = give_dkim_key(world, "/rsa.pem", KEY_RSA, 1024);
	ck_assert_ok(ask_dkim(world, 0, SHA256_OCTETS, rsa));
	struct key *next = give_dkim_key(world, "/rsa.pem", KEY_RSA, 2048);
	ck_assert_ok(ask_dkim(world, 0, SHA256_OCTETS, next));
	key_free(&rsa);
	key_free(&ed25519);
	key_free(&weak);
	key_free(&next);
}

START_TEST(mail_is_signed_by_its_key)
{
	with_keys(mail);
}
END_TEST

/* May wait. */
static uint64_t
ask_tickets(struct world *world, uint64_t known, size_t *ret_len)
{
	struct ipc_message question = {
		.kind = IPC_TICKET_KEYS_ASK, .ticket_keys_ask = {.known = known}};
	struct call_answer answer;

	ck_assert_ok(call_ask(&world->caller, &question, IPC_TICKET_KEYS,
		loop_deadline(world->env.loop, ASK_US), &answer));
	uint64_t version = answer.message.ticket_keys.version;
	*ret_len = secret_reveal(answer.message.ticket_keys.keys).len;
	call_answer_done(&answer, &world->env);
	return version;
}

static void
tickets(struct world *world)
{
	size_t len;
	uint64_t version = ask_tickets(world, 0, &len);

	ck_assert_uint_ne(version, 0);
	ck_assert_uint_eq(len, TLS_TICKET_KEY_BYTES);
	ck_assert_uint_eq(ask_tickets(world, version, &len), version);
	ck_assert_uint_eq(len, 0);
}

START_TEST(all_who_ask_get_the_same_keys_of_tickets)
{
	with_keys(tickets);
}
END_TEST

UNIT_MAIN("keys/keys", a_chain_and_its_key_count_together, nobody_gets_more_than_signatures,
	mail_is_signed_by_its_key, all_who_ask_get_the_same_keys_of_tickets)
