#include "session/directory.h"

#include "descriptors.h"
#include "ipc/snapshot.h"
#include "unit.h"

#include <unistd.h>

static struct conf_domain domains[] = {
	{.name = SLICE_INIT("example.org"), .accounts = CONF_ACCOUNTS_FILE},
	{.name = SLICE_INIT("any.example"), .accounts = CONF_ACCOUNTS_ANY},
	{.name = SLICE_INIT("system.example"), .accounts = CONF_ACCOUNTS_SYSTEM},
};
static struct conf_route routes[] = {
	{.name = SLICE_INIT("discard.example"), .to = CONF_TO_DISCARD}};

struct fixture {
	struct env env;
	struct conf conf;
	struct directory *directory;
	int descriptors;
};

static void
fixture_init(struct fixture *fixture)
{
	fixture->descriptors = descriptors_open();
	env_init_linux(&fixture->env);
	fixture->conf = (struct conf){
		.domains = domains, .domain_count = 3, .routes = routes, .route_count = 1};
	fixture->directory = directory_new(&fixture->env, &fixture->conf);
}

static void
fixture_done(struct fixture *fixture)
{
	directory_free(&fixture->directory);
	ck_assert_ptr_null(fixture->directory);
	directory_free(&fixture->directory); /* takes NULL */
	ck_assert_uint_eq(memory_used(fixture->env.memory), 0);
	env_done(&fixture->env);
	ck_assert_int_eq(descriptors_open(), fixture->descriptors);
}

static enum directory_answer
ask(const struct fixture *fixture, const char *text)
{
	struct address address;

	ck_assert_int_eq(address_parse(slice_text(text), &address), ADDRESS_OK);
	return directory_ask(fixture->directory, &address, false);
}

/* Sets the table of a domain to these names; they are sorted. */
static enum error
set_table(struct fixture *fixture, const char *domain, const struct slice *names, size_t count)
{
	int fd;

	ck_assert_ok(snapshot_new(&fixture->env, names, count, &fd));
	enum error error =
		directory_set_snapshot(fixture->directory, slice_text(domain), false, fd);
	close(fd);
	return error;
}

START_TEST(domains_and_routes_are_ours_and_no_others)
{
	struct fixture f;

	fixture_init(&f);
	ck_assert_int_eq(ask(&f, "a@foreign.example"), DIRECTORY_FOREIGN);
	ck_assert_int_eq(ask(&f, "a@sub.example.org"), DIRECTORY_FOREIGN);
	ck_assert_int_eq(ask(&f, "a@xexample.org"), DIRECTORY_FOREIGN);
	ck_assert_int_eq(ask(&f, "postmaster@foreign.example"), DIRECTORY_FOREIGN);
	ck_assert_int_eq(ask(&f, "a@any.example"), DIRECTORY_KNOWN);
	ck_assert_int_eq(ask(&f, "a@Any.Example"), DIRECTORY_KNOWN);
	ck_assert_int_eq(ask(&f, "whoever@discard.example"), DIRECTORY_KNOWN);
	fixture_done(&f);
}
END_TEST

START_TEST(accounts_come_from_the_table)
{
	static const struct slice names[] = {SLICE_INIT("anna"), SLICE_INIT("bob.b")};
	struct fixture f;

	fixture_init(&f);
	ck_assert_int_eq(ask(&f, "anna@example.org"), DIRECTORY_UNAVAILABLE);
	ck_assert_int_eq(ask(&f, "postmaster@example.org"),
		DIRECTORY_KNOWN); /* RFC 5321 section 4.5.1: always */
	ck_assert_int_eq(ask(&f, "PostMaster@example.org"), DIRECTORY_KNOWN);
	ck_assert_ok(set_table(&f, "example.org", names, 2));
	ck_assert_int_eq(ask(&f, "anna@example.org"), DIRECTORY_KNOWN);
	ck_assert_int_eq(ask(&f, "ANNA@EXAMPLE.ORG"), DIRECTORY_KNOWN);
	ck_assert_int_eq(ask(&f, "\"anna\"@example.org"), DIRECTORY_KNOWN); /* the same address */
	ck_assert_int_eq(ask(&f, "bob.b@example.org"), DIRECTORY_KNOWN);
	ck_assert_int_eq(ask(&f, "bob@example.org"), DIRECTORY_UNKNOWN_USER);
	ck_assert_int_eq(ask(&f, "\"anna \"@example.org"), DIRECTORY_UNKNOWN_USER);
	ck_assert_int_eq(ask(&f, "anna@system.example"),
		DIRECTORY_UNAVAILABLE); /* a table is one domain's */
	/* A later table replaces the first; an empty one knows nobody. */
	ck_assert_ok(set_table(&f, "example.org", names + 1, 1));
	ck_assert_int_eq(ask(&f, "anna@example.org"), DIRECTORY_UNKNOWN_USER);
	ck_assert_ok(set_table(&f, "system.example", NULL, 0));
	ck_assert_int_eq(ask(&f, "anna@system.example"), DIRECTORY_UNKNOWN_USER);
	fixture_done(&f);
}
END_TEST

START_TEST(only_domains_have_accounts)
{
	static const struct {
		const char *text;
		bool is_account;
	} cases[] = {{"a@example.org", true}, {"a@Any.Example", true}, {"a@system.example", true},
		{"a@discard.example", false}, {"a@foreign.example", false}};
	struct fixture f;

	fixture_init(&f);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct address address;
		ck_assert_int_eq(address_parse(slice_text(cases[i].text), &address), ADDRESS_OK);
		ck_assert_int_eq(directory_is_account(f.directory, &address), cases[i].is_account);
	}
	fixture_done(&f);
}
END_TEST

START_TEST(bad_tables_change_nothing)
{
	static const struct slice names[] = {SLICE_INIT("anna")};
	struct fixture f;
	int pipe_fds[2];

	fixture_init(&f);
	ck_assert_ok(set_table(&f, "example.org", names, 1));
	ck_assert_int_eq(set_table(&f, "foreign.example", names, 1), ERROR_NOT_FOUND);
	ck_assert_int_eq(
		set_table(&f, "discard.example", names, 1), ERROR_NOT_FOUND); /* a route has none */
	ck_assert_int_eq(pipe(pipe_fds), 0);
	ck_assert_int_eq(
		directory_set_snapshot(f.directory, SLICE("example.org"), false, pipe_fds[0]),
		ERROR_FORMAT);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	ck_assert_int_eq(ask(&f, "anna@example.org"), DIRECTORY_KNOWN);
	fixture_done(&f);
}
END_TEST

/* What the address leads to, with spaces between; or the error. */
static const char *
expanded(const struct fixture *f, const char *text)
{
	static char joined[512];
	struct arena arena;
	struct address address;
	struct slice *targets;
	size_t count;
	struct buffer buffer;

	arena_init(&arena, f->env.memory, 1u << 20);
	ck_assert_int_eq(address_parse_international(slice_text(text), &address), ADDRESS_OK);
	enum error error = directory_expand(
		f->directory, &address, slice_text(text), &arena, &targets, &count);
	buffer_init_fixed(&buffer, joined, sizeof joined);
	for (size_t i = 0; error == OK && i < count; i++) {
		buffer_append_text(&buffer, i > 0 ? " " : "");
		buffer_append(&buffer, targets[i]);
	}
	const char *result = error == OK ? buffer_text(&buffer) : error_text(error);
	arena_done(&arena);
	return result;
}

/* Rows as lookup makes them, sorted. */
static const struct slice alias_rows[] = {
	SLICE_INIT("*\0anna"),
	SLICE_INIT("alice\0alice\nboss"),
	SLICE_INIT("away\0x@foreign.example"),
	SLICE_INIT("boss\0anna\nb@discard.example\nANNA@example.org"),
	SLICE_INIT("final\0\\boss"),
	SLICE_INIT("round\0trip"),
	SLICE_INIT("trip\0round"),
};

START_TEST(aliases_lead_to_their_ends)
{
	static const struct slice names[] = {SLICE_INIT("anna"), SLICE_INIT("bob")};
	struct fixture f;
	int fd;

	fixture_init(&f);
	ck_assert_ok(set_table(&f, "example.org", names, 2));
	ck_assert_int_eq(ask(&f, "nobody@example.org"), DIRECTORY_UNKNOWN_USER);
	ck_assert_ok(snapshot_new(&f.env, alias_rows, sizeof alias_rows / sizeof *alias_rows, &fd));
	ck_assert_ok(directory_set_snapshot(f.directory, SLICE("example.org"), true, fd));
	close(fd);
	ck_assert_int_eq(ask(&f, "boss@example.org"), DIRECTORY_KNOWN);
	ck_assert_int_eq(ask(&f, "nobody@example.org"), DIRECTORY_KNOWN);
	ck_assert_str_eq(expanded(&f, "Boss@Example.org"), "anna@Example.org b@discard.example");
	ck_assert_str_eq(expanded(&f, "bob@example.org"), "bob@example.org");
	ck_assert_str_eq(expanded(&f, "nobody@example.org"), "anna@example.org");
	ck_assert_str_eq(expanded(&f, "alice@example.org"),
		"alice@example.org anna@example.org b@discard.example");
	ck_assert_str_eq(expanded(&f, "final@example.org"), "boss@example.org");
	ck_assert_str_eq(expanded(&f, "a@any.example"), "a@any.example");
	ck_assert_str_eq(expanded(&f, "round@example.org"), error_text(ERROR_LIMIT));
	ck_assert_str_eq(expanded(&f, "away@example.org"), error_text(ERROR_NOT_FOUND));
	fixture_done(&f);
}
END_TEST

static struct slice
only_target(const struct fixture *fixture, const char *text, struct arena *arena)
{
	struct address address;
	struct slice *targets;
	size_t count;

	ck_assert_int_eq(address_parse(slice_text(text), &address), ADDRESS_OK);
	ck_assert_ok(directory_expand(
		fixture->directory, &address, slice_text(text), arena, &targets, &count));
	ck_assert_uint_eq(count, 1);
	return targets[0];
}

/* A target that names its alias is the mailbox of that name, however it is written: composed or
 * decomposed, in quotes, with the domain. */
START_TEST(an_alias_may_name_itself_in_any_form)
{
	static const struct slice rows[] = {
		SLICE_INIT("anna\0\"Anna\"\nbob"),
		SLICE_INIT("carl\0Carl@EXAMPLE.org\nbob"),
		SLICE_INIT("j\xc3\xbcrg\0ju\xcc\x88rg\nbob"),
	};
	struct fixture f;
	int fd;

	fixture_init(&f);
	ck_assert_ok(snapshot_new(&f.env, rows, sizeof rows / sizeof *rows, &fd));
	ck_assert_ok(directory_set_snapshot(f.directory, SLICE("example.org"), true, fd));
	close(fd);
	ck_assert_str_eq(expanded(&f, "anna@example.org"), "\"Anna\"@example.org bob@example.org");
	ck_assert_str_eq(expanded(&f, "carl@example.org"), "Carl@EXAMPLE.org bob@example.org");
	ck_assert_str_eq(expanded(&f, "j\xc3\xbcrg@example.org"),
		"ju\xcc\x88rg@example.org bob@example.org");
	fixture_done(&f);
}
END_TEST

/* RFC 5233: what stands behind the separator is the owner's business, unless somebody is called
 * so. */
START_TEST(a_detail_is_not_part_of_the_name)
{
	static const struct slice names[] = {SLICE_INIT("anna"), SLICE_INIT("anna+work")};
	struct fixture f;
	struct arena arena;

	fixture_init(&f);
	arena_init(&arena, f.env.memory, 65536);
	domains[0].detail = CONF_DETAIL_PLUS;
	ck_assert_ok(set_table(&f, "example.org", names, 2));
	ck_assert_int_eq(ask(&f, "Anna+x+y@example.org"), DIRECTORY_KNOWN);
	ck_assert_int_eq(ask(&f, "anna+@example.org"), DIRECTORY_KNOWN);
	ck_assert_int_eq(ask(&f, "bob+x@example.org"), DIRECTORY_UNKNOWN_USER);
	ck_assert_int_eq(ask(&f, "+x@example.org"), DIRECTORY_UNKNOWN_USER);
	ck_assert_int_eq(ask(&f, "anna-x@example.org"), DIRECTORY_UNKNOWN_USER);
	ck_assert_int_eq(ask(&f, "\"anna+ x\"@example.org"), DIRECTORY_UNKNOWN_USER);
	ck_assert_slice_eq(only_target(&f, "anna+x@example.org", &arena), "anna@example.org");
	ck_assert_slice_eq(
		only_target(&f, "anna+work@example.org", &arena), "anna+work@example.org");
	ck_assert_slice_eq(only_target(&f, "a+b@any.example", &arena), "a+b@any.example");
	domains[0].detail = CONF_DETAIL_OFF;
	ck_assert_int_eq(ask(&f, "anna+x@example.org"), DIRECTORY_UNKNOWN_USER);
	domains[0].detail = CONF_DETAIL_HYPHEN;
	ck_assert_int_eq(ask(&f, "anna-x@example.org"), DIRECTORY_KNOWN);
	domains[0].detail = 0;
	arena_done(&arena);
	fixture_done(&f);
}
END_TEST

UNIT_MAIN("session/directory", an_alias_may_name_itself_in_any_form,
	a_detail_is_not_part_of_the_name, domains_and_routes_are_ours_and_no_others,
	accounts_come_from_the_table, only_domains_have_accounts, bad_tables_change_nothing,
	aliases_lead_to_their_ends)
