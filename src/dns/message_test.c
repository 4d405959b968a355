#include "dns/message.h"
#include "unit.h"

/* A message in the making: integers big-endian, names as labels. */
struct packet {
	uint8_t storage[4096];
	struct buffer octets;
};

struct fixture {
	struct memory *memory;
	struct arena arena;
	struct packet packet;
};

static void
fixture_init(struct fixture *f)
{
	f->memory = memory_new(0);
	arena_init(&f->arena, f->memory, 1u << 20);
	buffer_init_fixed(&f->packet.octets, f->packet.storage, sizeof f->packet.storage);
}

static void
fixture_done(struct fixture *f)
{
	arena_done(&f->arena);
	memory_free(&f->memory);
}

static void
put(struct packet *p, uint32_t value, unsigned octets)
{
	while (octets-- > 0)
		buffer_append_octet(&p->octets, (uint8_t)(value >> (8 * octets)));
}

static void
put_name(struct packet *p, const char *text)
{
	struct slice name = slice_text(text);

	while (name.len > 0) {
		ssize_t dot = slice_find(name, 0, '.');
		size_t len = dot < 0 ? name.len : (size_t)dot;
		put(p, (uint32_t)len, 1);
		buffer_append(&p->octets, slice_sub(name, 0, len));
		name = slice_from(name, len + 1);
	}
	put(p, 0, 1);
}

static void
put_head(struct packet *p, uint32_t flags, const char *name, enum dns_type type, unsigned answers,
	unsigned authority)
{
	put(p, 7, 2);
	put(p, flags, 2);
	put(p, 1, 2);
	put(p, answers, 2);
	put(p, authority, 2);
	put(p, 0, 2);
	put_name(p, name);
	put(p, type, 2);
	put(p, 1, 2);
}

static void
put_record(struct packet *p, const char *owner, enum dns_type type, uint32_t ttl, unsigned len)
{
	put_name(p, owner);
	put(p, type, 2);
	put(p, 1, 2);
	put(p, ttl, 4);
	put(p, len, 2);
}

static enum error
parse(struct fixture *f, const char *name, enum dns_type type, struct dns_answer *answer)
{
	return dns_answer_parse(
		buffer_slice(&f->packet.octets), 7, slice_text(name), type, &f->arena, answer);
}

START_TEST(questions_are_written)
{
	static const char expected[] = "\0\7\1\x20\0\1\0\0\0\0\0\1\1a\7example\0\0\17\0\1"
				       "\0\0\x29\4\xd0\0\0\0\0\0\0";
	uint8_t storage[512];
	struct buffer buffer;

	buffer_init_fixed(&buffer, storage, sizeof storage);
	ck_assert_ok(dns_question_append(&buffer, 7, SLICE("a.example."), DNS_MX));
	ck_assert_uint_eq(buffer.len, sizeof expected - 1);
	ck_assert_int_eq(memcmp(buffer.ptr, expected, buffer.len), 0);
}
END_TEST

START_TEST(names_that_cannot_be_are_not_asked_for)
{
	char label[65], whole[256];

	memset(label, 'a', sizeof label - 1);
	label[64] = 0;
	memset(whole, 'a', sizeof whole - 1);
	for (size_t i = 9; i < sizeof whole; i += 10)
		whole[i] = '.';
	whole[254] = 0;
	ck_assert(dns_name_is_askable(SLICE("a.b")));
	ck_assert(dns_name_is_askable(SLICE("a.b.")));
	ck_assert(dns_name_is_askable(SLICE("")));
	ck_assert(!dns_name_is_askable(SLICE("a..b")));
	ck_assert(!dns_name_is_askable(SLICE(".a")));
	ck_assert(!dns_name_is_askable(SLICE("a..")));
	ck_assert(!dns_name_is_askable(slice_text(label)));
	ck_assert(dns_name_is_askable(slice_of(label, 63)));
	ck_assert(!dns_name_is_askable(slice_of(whole, 254)));
	ck_assert(dns_name_is_askable(slice_of(whole, 253)));
	ck_assert(!dns_name_is_askable(slice_of("a\0b", 3)));
}
END_TEST

START_TEST(records_of_each_type_are_read)
{
	struct fixture f;
	struct dns_answer answer;

	fixture_init(&f);
	put_head(&f.packet, 0x81a0, "a.example", DNS_MX, 2, 0);
	put_record(&f.packet, "A.Example", DNS_MX, 300, 2 + 5);
	put(&f.packet, 10, 2);
	put_name(&f.packet, "m.x");
	put_record(&f.packet, "a.example", DNS_MX, 60, 2 + 1);
	put(&f.packet, 0, 2);
	put_name(&f.packet, "");
	ck_assert_ok(parse(&f, "a.example", DNS_MX, &answer));
	ck_assert_int_eq(answer.outcome, DNS_FOUND);
	ck_assert(answer.is_secure);
	ck_assert_uint_eq(answer.count, 2);
	ck_assert_uint_eq(answer.ttl_s, 60);
	ck_assert_uint_eq(answer.records[0].preference, 10);
	ck_assert_slice_eq(answer.records[0].name, "m.x");
	ck_assert_slice_eq(answer.records[1].name, "");
	fixture_done(&f);
}
END_TEST

START_TEST(strings_are_joined)
{
	struct fixture f;
	struct dns_answer answer;

	fixture_init(&f);
	put_head(&f.packet, 0x8180, "t", DNS_TXT, 1, 0);
	put_record(&f.packet, "t", DNS_TXT, 1, 8);
	buffer_append(&f.packet.octets, SLICE("\3v=s\0\2pf"));
	ck_assert_ok(parse(&f, "t", DNS_TXT, &answer));
	ck_assert_slice_eq(answer.records[0].data, "v=spf");
	ck_assert(!answer.is_secure);
	fixture_done(&f);
}
END_TEST

START_TEST(services_have_ports)
{
	struct fixture f;
	struct dns_answer answer;

	fixture_init(&f);
	put_head(&f.packet, 0x8180, "t", DNS_SRV, 1, 0);
	put_record(&f.packet, "t", DNS_SRV, 1, 9);
	put(&f.packet, 0x00020003, 4);
	put(&f.packet, 587, 2);
	put_name(&f.packet, "m");
	ck_assert_ok(parse(&f, "t", DNS_SRV, &answer));
	ck_assert_uint_eq(answer.records[0].preference, 2);
	ck_assert_uint_eq(answer.records[0].weight, 3);
	ck_assert_uint_eq(answer.records[0].port, 587);
	ck_assert_slice_eq(answer.records[0].name, "m");
	fixture_done(&f);
}
END_TEST

START_TEST(aliases_are_followed)
{
	struct fixture f;
	struct dns_answer answer;

	fixture_init(&f);
	put_head(&f.packet, 0x8180, "a", DNS_A, 3, 0);
	put_record(&f.packet, "c", DNS_A, 100, 4);
	put(&f.packet, 0xc0000201, 4);
	put_record(&f.packet, "b", DNS_CNAME, 50, 3);
	put_name(&f.packet, "c");
	put_record(&f.packet, "a", DNS_CNAME, 70, 3);
	put_name(&f.packet, "b");
	ck_assert_ok(parse(&f, "a", DNS_A, &answer));
	ck_assert_slice_eq(answer.name, "c");
	ck_assert_uint_eq(answer.count, 1);
	ck_assert_uint_eq(answer.ttl_s, 50);
	fixture_done(&f);
}
END_TEST

START_TEST(circles_of_aliases_end)
{
	struct fixture f;
	struct dns_answer answer;

	fixture_init(&f);
	put_head(&f.packet, 0x8180, "a", DNS_A, 2, 0);
	put_record(&f.packet, "a", DNS_CNAME, 70, 3);
	put_name(&f.packet, "b");
	put_record(&f.packet, "b", DNS_CNAME, 70, 3);
	put_name(&f.packet, "a");
	ck_assert_int_eq(parse(&f, "a", DNS_A, &answer), ERROR_FORMAT);
	fixture_done(&f);
}
END_TEST

START_TEST(negative_answers_are_told_apart)
{
	struct fixture f;
	struct dns_answer answer;

	fixture_init(&f);
	put_head(&f.packet, 0x8183, "a", DNS_A, 0, 1);
	put_record(&f.packet, "", DNS_SOA, 900, 22);
	put_name(&f.packet, "");
	put_name(&f.packet, "");
	for (unsigned i = 0; i < 4; i++)
		put(&f.packet, 1, 4);
	put(&f.packet, 600, 4);
	ck_assert_ok(parse(&f, "a", DNS_A, &answer));
	ck_assert_int_eq(answer.outcome, DNS_NO_NAME);
	ck_assert_uint_eq(answer.ttl_s, 600);
	f.packet.storage[3] = 0x80;
	ck_assert_ok(parse(&f, "a", DNS_A, &answer));
	ck_assert_int_eq(answer.outcome, DNS_NO_DATA);
	f.packet.storage[3] = 0x82;
	ck_assert_ok(parse(&f, "a", DNS_A, &answer));
	ck_assert_int_eq(answer.outcome, DNS_FAILED);
	ck_assert_ptr_nonnull(answer.reason);
	fixture_done(&f);
}
END_TEST

START_TEST(foreign_and_cut_answers_are_told)
{
	struct fixture f;
	struct dns_answer answer;

	fixture_init(&f);
	put_head(&f.packet, 0x8180, "a", DNS_A, 1, 0);
	put_record(&f.packet, "a", DNS_A, 1, 4);
	put(&f.packet, 0, 4);
	ck_assert_ok(parse(&f, "a", DNS_A, &answer));
	ck_assert_int_eq(parse(&f, "b", DNS_A, &answer), ERROR_FORMAT);
	ck_assert_int_eq(parse(&f, "a", DNS_AAAA, &answer), ERROR_FORMAT);
	f.packet.storage[1] = 8;
	ck_assert_int_eq(parse(&f, "a", DNS_A, &answer), ERROR_FORMAT);
	f.packet.storage[1] = 7;
	f.packet.storage[2] = 0x01; /* a question */
	ck_assert_int_eq(parse(&f, "a", DNS_A, &answer), ERROR_FORMAT);
	f.packet.storage[2] = 0x83;
	ck_assert_int_eq(parse(&f, "a", DNS_A, &answer), ERROR_LIMIT);
	f.packet.storage[2] = 0x81;
	for (size_t len = 0; len < f.packet.octets.len; len++) {
		struct slice part = slice_sub(buffer_slice(&f.packet.octets), 0, len);
		ck_assert_int_eq(dns_answer_parse(part, 7, SLICE("a"), DNS_A, &f.arena, &answer),
			ERROR_FORMAT);
	}
	fixture_done(&f);
}
END_TEST

/* A pointer to itself, one forward, a label with a dot: each would fool somebody. */
START_TEST(names_with_tricks_are_malformed)
{
	static const char *const targets[] = {"\xc0\x20", "\xc0\xff", "\3a.b", "\x40x"};
	struct dns_answer answer;

	for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
		struct fixture f;
		struct slice target = slice_text(targets[i]);
		fixture_init(&f);
		put_head(&f.packet, 0x8180, "a", DNS_PTR, 1, 0);
		put_record(&f.packet, "a", DNS_PTR, 1, (unsigned)target.len + (i == 2));
		buffer_append(&f.packet.octets, target);
		put(&f.packet, 0, 1);
		ck_assert_int_eq(parse(&f, "a", DNS_PTR, &answer), ERROR_FORMAT);
		fixture_done(&f);
	}
}
END_TEST

START_TEST(reverse_names)
{
	uint8_t storage[128];
	struct buffer buffer;
	uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};

	buffer_init_fixed(&buffer, storage, sizeof storage);
	dns_reverse_name_append(&buffer, slice_of("\xc0\0\2\7", 4));
	ck_assert_slice_eq(buffer_slice(&buffer), "7.2.0.192.in-addr.arpa");
	buffer_clear(&buffer);
	dns_reverse_name_append(&buffer, slice_of(v6, 16));
	ck_assert_slice_eq(buffer_slice(&buffer),
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
}
END_TEST

UNIT_MAIN("dns/message", questions_are_written, names_that_cannot_be_are_not_asked_for,
	records_of_each_type_are_read, strings_are_joined, services_have_ports,
	aliases_are_followed, circles_of_aliases_end, negative_answers_are_told_apart,
	foreign_and_cut_answers_are_told, names_with_tricks_are_malformed, reverse_names)
