#include "relay/way.h"
#include "dns/table_test.h"
#include "unit.h"

struct fixture {
	struct memory *memory;
	struct arena arena;
	struct table table;
	struct dns_source source;
	struct way_request request;
	struct way_host hosts[WAY_HOSTS_MAX];
	struct endpoint addresses[WAY_ADDRESSES_MAX];
	struct way_fault fault;
	size_t count;
};

static void
fixture_init(struct fixture *f, const struct table_record *records, size_t count)
{
	*f = (struct fixture){.table = {.records = records, .count = count}};
	f->memory = memory_new(0);
	arena_init(&f->arena, f->memory, 1u << 20);
	f->source = table_source(&f->table);
	f->request = (struct way_request){.transport = TRANSPORT_MX,
		.name = SLICE("x.example"),
		.port = 25,
		.own_name = SLICE("mail.own.example"),
		.dns = &f->source,
		.seed = 1};
}

static void
fixture_done(struct fixture *f)
{
	arena_done(&f->arena);
	memory_free(&f->memory);
}

static bool
find(struct fixture *f)
{
	return way_find_hosts(&f->request, &f->arena, f->hosts, &f->count, &f->fault);
}

/* The table gives every MX the preference 10: equals, whose order is the seed's. */
static const struct table_record two[] = {{"x.example", DNS_MX, SLICE_INIT("a.x.example")},
	{"x.example", DNS_MX, SLICE_INIT("b.x.example")}};

START_TEST(equals_share_the_load)
{
	unsigned a_first = 0;

	for (uint64_t seed = 0; seed < 64; seed++) {
		struct fixture f;
		fixture_init(&f, two, 2);
		f.request.seed = seed * UINT64_C(0x9e3779b97f4a7c15);
		ck_assert(find(&f));
		ck_assert_uint_eq(f.count, 2);
		a_first += slice_equal(f.hosts[0].name, SLICE("a.x.example"));
		fixture_done(&f);
	}
	ck_assert_uint_gt(a_first, 16);
	ck_assert_uint_lt(a_first, 48);
}
END_TEST

START_TEST(mail_never_comes_back_to_us)
{
	static const struct table_record own[] = {
		{"x.example", DNS_MX, SLICE_INIT("Mail.Own.Example")},
		{"x.example", DNS_MX, SLICE_INIT("b.x.example")}};
	struct fixture f;

	fixture_init(&f, own, 2);
	ck_assert(!find(&f));
	ck_assert_int_eq(f.fault.outcome, DELIVER_PERMANENT);
	ck_assert(enhanced_status_equal(f.fault.status, STATUS(5, 4, 6)));
	f.request.name = SLICE("mail.own.example");
	f.table.count = 0;
	fixture_done(&f);
}
END_TEST

START_TEST(what_the_dns_cannot_tell_is_for_later)
{
	struct fixture f;

	fixture_init(&f, two, 2);
	f.table.broken = 1;
	ck_assert(!find(&f));
	ck_assert_int_eq(f.fault.outcome, DELIVER_TEMPORARY);
	ck_assert(enhanced_status_equal(f.fault.status, STATUS(4, 4, 3)));
	f.request.name = SLICE("nothing.example");
	ck_assert(!find(&f));
	ck_assert_int_eq(f.fault.outcome, DELIVER_PERMANENT);
	ck_assert(enhanced_status_equal(f.fault.status, STATUS(5, 1, 2)));
	fixture_done(&f);
}
END_TEST

START_TEST(a_null_mx_takes_nothing)
{
	static const struct table_record null[] = {{"x.example", DNS_MX, SLICE_INIT("")}};
	struct fixture f;

	fixture_init(&f, null, 1);
	ck_assert(!find(&f));
	ck_assert(enhanced_status_equal(f.fault.status, STATUS(5, 1, 10)));
	fixture_done(&f);
}
END_TEST

static bool
find_addresses(struct fixture *f, const char *host, bool is_public_only)
{
	struct way_host h = {
		.name = slice_text(host), .port = 25, .is_public_only = is_public_only};

	return way_find_addresses(&f->request, &h, &f->arena, f->addresses, &f->count, &f->fault);
}

START_TEST(addresses_of_both_families_by_turns)
{
	static const struct table_record records[] = {
		{"h.example", DNS_A, SLICE_INIT("\xc6\x33\x64\1")},
		{"h.example", DNS_A, SLICE_INIT("\xc6\x33\x64\2")},
		{"h.example", DNS_AAAA, SLICE_INIT("\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1")}};
	struct fixture f;
	uint8_t storage[64];
	struct buffer text;

	fixture_init(&f, records, 3);
	ck_assert(find_addresses(&f, "h.example", true));
	ck_assert_uint_eq(f.count, 3);
	buffer_init_fixed(&text, storage, sizeof storage);
	endpoint_append(&text, &f.addresses[0]);
	ck_assert_slice_eq(buffer_slice(&text), "[2001:db8::1]:25");
	buffer_clear(&text);
	endpoint_append(&text, &f.addresses[1]);
	ck_assert_slice_eq(buffer_slice(&text), "198.51.100.1:25");
	f.request.family = WAY_IPV6;
	ck_assert(find_addresses(&f, "h.example", true));
	ck_assert_uint_eq(f.count, 1);
	fixture_done(&f);
}
END_TEST

static bool
is_public(const char *text)
{
	struct endpoint endpoint;

	ck_assert_ok(endpoint_parse(slice_text(text), &endpoint));
	return way_is_public(&endpoint);
}

START_TEST(only_public_addresses_are_public)
{
	static const char *const others[] = {"127.0.0.1:25", "10.1.2.3:25", "172.16.0.1:25",
		"172.31.255.255:25", "192.168.0.1:25", "169.254.1.1:25", "0.0.0.0:25",
		"224.0.0.1:25", "255.255.255.255:25", "100.64.0.1:25", "[::1]:25", "[::]:25",
		"[fe80::1]:25", "[fd00::1]:25", "[ff02::1]:25", "[::ffff:127.0.0.1]:25",
		"[::ffff:10.0.0.1]:25"};
	static const char *const ours[] = {"8.8.8.8:25", "172.32.0.1:25", "198.51.100.1:25",
		"[2001:db8::1]:25", "[2a00::1]:25"};

	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		ck_assert_msg(!is_public(others[i]), "%s", others[i]);
	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
		ck_assert_msg(is_public(ours[i]), "%s", ours[i]);
}
END_TEST

START_TEST(literals_and_names_of_the_configuration)
{
	struct fixture f;

	fixture_init(&f, NULL, 0);
	f.request.transport = TRANSPORT_HOST;
	f.request.name = SLICE("a.example 25 192.0.2.7 2525 [::1] 26");
	ck_assert(find(&f));
	ck_assert_uint_eq(f.count, 3);
	ck_assert_slice_eq(f.hosts[1].name, "192.0.2.7");
	ck_assert_uint_eq(f.hosts[1].port, 2525);
	ck_assert(find_addresses(&f, "192.0.2.7", false));
	ck_assert(find_addresses(&f, "[::1]", false));
	ck_assert(!find_addresses(&f, "[::1]", true));
	ck_assert(find_addresses(&f, "[IPv6:2001:db8::1]", true));
	ck_assert(find_addresses(&f, "/run/lmtp", false));
	ck_assert(find_addresses(&f, "localhost", false));
	ck_assert_uint_eq(f.count, 2);
	ck_assert_uint_eq(f.table.asked, 0);
	f.request.name = SLICE("a.example twenty");
	ck_assert(!find(&f));
	fixture_done(&f);
}
END_TEST

UNIT_MAIN("relay/way", equals_share_the_load, mail_never_comes_back_to_us,
	what_the_dns_cannot_tell_is_for_later, a_null_mx_takes_nothing,
	addresses_of_both_families_by_turns, only_public_addresses_are_public,
	literals_and_names_of_the_configuration)
