#include "session/session_names.h"

#include "base/env.h"
#include "dns/table_test.h"
#include "unit.h"

static const struct table_record records[] = {
	{"mail.test", DNS_MX, SLICE_INIT("mx.mail.test")},
	{"null.test", DNS_MX, SLICE_INIT("")},
	{"host.test", DNS_A, SLICE_INIT("\300\0\2\1")},
	{"xn--bcher-kva.test", DNS_MX, SLICE_INIT("mx.mail.test")},
	{"1.2.0.192.in-addr.arpa", DNS_PTR, SLICE_INIT("liar.test")},
	{"1.2.0.192.in-addr.arpa", DNS_PTR, SLICE_INIT("host.test")},
	{"2.2.0.192.in-addr.arpa", DNS_PTR, SLICE_INIT("host.test")},
	{"3.2.0.192.in-addr.arpa", DNS_PTR, SLICE_INIT("a b)\r\nX: y")},
	{"liar.test", DNS_A, SLICE_INIT("\300\0\2\11")},
};

static struct smtp_reply
reply_for(const char *domain, size_t broken)
{
	struct table table = {records, sizeof records / sizeof *records, .broken = broken};
	struct dns_source dns = {table_ask, &table};
	struct env env;
	struct arena arena;

	env_init_linux(&env);
	arena_init(&arena, env.memory, 1 << 20);
	struct smtp_reply reply = sender_domain_ask(&dns, slice_text(domain), &arena, MONO_NEVER);
	arena_done(&arena);
	env_done(&env);
	return reply;
}

START_TEST(senders_can_be_reached)
{
	static const struct {
		const char *domain;
		size_t broken;
		unsigned code, detail;
	} cases[] = {{"mail.test", 0, 0, 0}, {"host.test", 0, 0, 0}, {"null.test", 0, 550, 27},
		{"nowhere.test", 0, 550, 8},
		{"b\xc3\xbc"
		 "cher.test",
			0, 0, 0},
		{"[192.0.2.1]", 1, 0, 0}, {"", 1, 0, 0}, {"a..b", 1, 0, 0},
		{"mail.test", 1, 451, 3}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct smtp_reply reply = reply_for(cases[i].domain, cases[i].broken);
		ck_assert_msg(reply.code == cases[i].code, "%s: %u", cases[i].domain, reply.code);
		ck_assert_uint_eq(reply.enhanced[2], cases[i].detail);
	}
}
END_TEST

/* A name that does not lead back is anybody's claim; one with more than a name in it none. */
START_TEST(names_of_clients_lead_back)
{
	static const struct {
		struct slice ip;
		const char *name;
	} cases[] = {{SLICE_INIT("\300\0\2\1"), "host.test"}, {SLICE_INIT("\300\0\2\2"), ""},
		{SLICE_INIT("\300\0\2\3"), ""}, {SLICE_INIT("\300\0\2\4"), ""}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct table table = {records, sizeof records / sizeof *records};
		struct dns_source dns = {table_ask, &table};
		struct env env;
		struct arena arena;
		env_init_linux(&env);
		arena_init(&arena, env.memory, 1 << 20);
		ck_assert_slice_eq(
			client_name_ask(&dns, cases[i].ip, &arena, MONO_NEVER), cases[i].name);
		arena_done(&arena);
		env_done(&env);
	}
}
END_TEST

UNIT_MAIN("session/session_names", senders_can_be_reached, names_of_clients_lead_back)
