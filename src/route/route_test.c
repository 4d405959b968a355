/* Decisions, duplicates and limits of the table of routes. */
#include "route/route.h"
#include "unit.h"

static struct route_entry
entry_of(const char *domain, enum route_kind kind)
{
	return (struct route_entry){
		slice_text(domain), kind, SLICE("/var/mail/{user}"), SLICE("vmail")};
}

START_TEST(decisions)
{
	const struct route_entry entries[] = {entry_of("Example.org", ROUTE_MAILDIR),
		entry_of("b.example", ROUTE_DISCARD), entry_of("*", ROUTE_HOLD),
		entry_of("a.example", ROUTE_MAILDIR), entry_of("example.or", ROUTE_DISCARD)};
	static const struct {
		const char *address;
		size_t index;
	} cases[] = {
		{"jo@example.org", 0},
		{"Jo@EXAMPLE.ORG", 0},
		{"jo@example.or", 4},
		{"jo@example.orgs", 2},
		{"jo@sub.example.org", 2},
		{"jo@B.example", 1},
		{"\"a@b.example\"@a.example", 3},
		{"jo@", 2},
		{"postmaster", 3},
		{"", 3},
		{"jo@*", 2},
		{"jo@[192.0.2.1]", 2},
	};
	struct memory *memory = memory_new(0);
	struct route_table table;
	size_t bad = 99;

	ck_assert_ok(route_table_init(&table, memory, entries, 5, SLICE("A.example"), &bad));
	ck_assert_uint_eq(bad, 99);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct route_decision decision = route_decide(&table, slice_text(cases[i].address));
		ck_assert_msg(decision.index == cases[i].index, "%s", cases[i].address);
		ck_assert_int_eq(decision.kind, entries[cases[i].index].kind);
		ck_assert_slice_eq(decision.template, "/var/mail/{user}");
		ck_assert_slice_eq(decision.owner, "vmail");
	}
	route_table_done(&table);
	ck_assert_uint_eq(memory_used(memory), 0);
	route_table_done(&table);
	memory_free(&memory);
}
END_TEST

START_TEST(nothing_configured)
{
	const struct route_entry entries[] = {entry_of("a.example", ROUTE_MAILDIR)};
	struct memory *memory = memory_new(0);
	struct route_table table;
	size_t bad;

	ck_assert_ok(route_table_init(&table, memory, NULL, 0, SLICE(""), &bad));
	ck_assert_int_eq(route_decide(&table, SLICE("jo@a.example")).kind, ROUTE_NONE);
	ck_assert_uint_eq(route_decide(&table, SLICE("jo@a.example")).index, SIZE_MAX);
	route_table_done(&table);
	ck_assert_ok(route_table_init(&table, memory, entries, 1, SLICE(""), &bad));
	ck_assert_int_eq(route_decide(&table, SLICE("postmaster")).kind, ROUTE_NONE);
	ck_assert_int_eq(route_decide(&table, SLICE("jo@b.example")).kind, ROUTE_NONE);
	ck_assert_int_eq(route_decide(&table, SLICE("jo@a.example")).kind, ROUTE_MAILDIR);
	route_table_done(&table);
	memory_free(&memory);
}
END_TEST

START_TEST(bad_tables)
{
	const struct route_entry twice[] = {entry_of("b.example", ROUTE_HOLD),
		entry_of("a.example", ROUTE_HOLD), entry_of("c.example", ROUTE_HOLD),
		entry_of("B.Example", ROUTE_HOLD)};
	const struct route_entry any_twice[] = {entry_of("*", ROUTE_HOLD),
		entry_of("a.example", ROUTE_HOLD), entry_of("*", ROUTE_HOLD)};
	const struct route_entry empty[] = {
		entry_of("a.example", ROUTE_HOLD), entry_of("", ROUTE_HOLD)};
	const struct route_entry with_at[] = {entry_of("jo@a.example", ROUTE_HOLD)};
	struct memory *memory = memory_new(sizeof(void *) * 8);
	struct route_table table;
	size_t bad = 0;

	ck_assert_int_eq(route_table_init(&table, memory, twice, 4, SLICE(""), &bad), ERROR_EXISTS);
	ck_assert_uint_eq(bad, 3);
	ck_assert_int_eq(
		route_table_init(&table, memory, any_twice, 3, SLICE(""), &bad), ERROR_EXISTS);
	ck_assert_uint_eq(bad, 2);
	ck_assert_int_eq(route_table_init(&table, memory, empty, 2, SLICE(""), &bad), ERROR_FORMAT);
	ck_assert_uint_eq(bad, 1);
	ck_assert_int_eq(
		route_table_init(&table, memory, with_at, 1, SLICE(""), &bad), ERROR_FORMAT);
	ck_assert_uint_eq(bad, 0);
	ck_assert_int_eq(
		route_table_init(&table, memory, NULL, ROUTE_ENTRIES_MAX + 1, SLICE(""), &bad),
		ERROR_LIMIT);
	ck_assert_int_eq(
		route_table_init(&table, memory, NULL, 8, SLICE(""), &bad), ERROR_NO_MEMORY);
	ck_assert_uint_eq(memory_used(memory), 0);
	memory_free(&memory);
}
END_TEST

START_TEST(large_tables)
{
	enum { COUNT = 1000 };
	static struct route_entry entries[COUNT];
	static char names[COUNT][32];
	struct memory *memory = memory_new(0);
	struct route_table table;
	size_t bad;

	for (size_t count = 1; count <= COUNT; count = count * 3 + 1) {
		for (size_t i = 0; i < count; i++) {
			snprintf(names[i], sizeof names[i], "D%zu.example", i * 7919 % COUNT);
			entries[i] = entry_of(names[i], ROUTE_DISCARD);
		}
		ck_assert_ok(route_table_init(&table, memory, entries, count, SLICE(""), &bad));
		for (size_t i = 0; i < count; i++) {
			char address[64];
			snprintf(address, sizeof address, "jo@d%zu.eXample", i * 7919 % COUNT);
			ck_assert_uint_eq(route_decide(&table, slice_text(address)).index, i);
		}
		ck_assert_int_eq(route_decide(&table, SLICE("jo@d.example")).kind, ROUTE_NONE);
		ck_assert_int_eq(route_decide(&table, SLICE("jo@e.example")).kind, ROUTE_NONE);
		ck_assert_int_eq(route_decide(&table, SLICE("jo@a.example")).kind, ROUTE_NONE);
		route_table_done(&table);
	}
	memory_free(&memory);
}
END_TEST

/* What a decision's destination is called. */
static void
check_lane(struct route_entry entry, const char *address, enum error error,
	enum transport transport, const char *name)
{
	struct memory *memory = memory_new(0);
	struct route_table table;
	uint8_t storage[ROUTE_LANE_NAME_MAX];
	struct buffer buffer;
	enum transport got = TRANSPORT_COUNT;
	size_t bad;

	buffer_init_fixed(&buffer, storage, sizeof storage);
	entry.domain = SLICE("*");
	ck_assert_ok(route_table_init(&table, memory, &entry, 1, SLICE("example.org"), &bad));
	struct route_decision decision = route_decide(&table, slice_text(address));
	ck_assert_int_eq(route_lane(&decision, slice_text(address), &got, &buffer), error);
	if (error == OK) {
		ck_assert_int_eq(got, transport);
		ck_assert_slice_eq(buffer_slice(&buffer), name);
	}
	route_table_done(&table);
	memory_free(&memory);
}

START_TEST(destinations_have_names)
{
	check_lane((struct route_entry){.kind = ROUTE_MAILDIR, .owner = SLICE("vmail")}, "a@b.c",
		OK, TRANSPORT_MAILDIR, "vmail");
	check_lane((struct route_entry){.kind = ROUTE_MAILDIR}, "Anna@b.c", OK, TRANSPORT_SYSTEM,
		"anna");
	check_lane((struct route_entry){.kind = ROUTE_MAILDIR}, "no address", ERROR_FORMAT,
		TRANSPORT_SYSTEM, "");
	check_lane((struct route_entry){.kind = ROUTE_MX}, "a@Example.ORG", OK, TRANSPORT_MX,
		"example.org");
	check_lane((struct route_entry){.kind = ROUTE_MX}, "postmaster", ERROR_FORMAT, TRANSPORT_MX,
		"");
	check_lane((struct route_entry){.kind = ROUTE_HOST, .to = SLICE("mx.b.c 25")}, "a@b.c", OK,
		TRANSPORT_HOST, "mx.b.c 25");
	check_lane((struct route_entry){.kind = ROUTE_LMTP, .to = SLICE("/run/lmtp")}, "a@b.c", OK,
		TRANSPORT_LMTP, "/run/lmtp");
	check_lane((struct route_entry){.kind = ROUTE_PIPE, .to = SLICE("/bin/x y")}, "a@b.c", OK,
		TRANSPORT_PIPE, "/bin/x y");
	check_lane((struct route_entry){.kind = ROUTE_REJECT}, "a@b.c", ERROR_NOT_FOUND,
		TRANSPORT_PIPE, "");
	check_lane((struct route_entry){.kind = ROUTE_DISCARD}, "a@b.c", ERROR_NOT_FOUND,
		TRANSPORT_PIPE, "");
}
END_TEST

UNIT_MAIN("route/route", destinations_have_names, decisions, nothing_configured, bad_tables,
	large_tables)
