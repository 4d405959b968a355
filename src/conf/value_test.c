/* Every type of value: what is taken, what is refused and how that is said; every limit at its ends
 * and one over. */
#include "conf/conf_test.h"
#include "unit.h"

struct limit {
	const char *word;
	const char *min; /* accepted, and what stands around it */
	const char *max;
	uint64_t min_value;
	uint64_t max_value;
	const char *below; /* refused; NULL: nothing is */
	const char *above;
	const char *range; /* as the message says it */
	size_t offset;
};

#define FIELD(field) offsetof(struct conf, field)
#define US(seconds)  ((uint64_t)(seconds)*US_PER_S)

/* Independent of the schema on purpose: a range that changes must be changed here too. */
static const struct limit limits[] = {
	{"message_size_limit", "64K", "1G", 65536, 1073741824, "65535", "1073741825", "64K to 1G",
		FIELD(message_size_limit)},
	{"recipients_limit", "100", "100000", 100, 100000, "99", "100001", "100 to 100000",
		FIELD(recipients_limit)},
	{"content_line_limit", "1000", "1M", 1000, 1048576, "999", "1048577", "1000 to 1M",
		FIELD(content_line_limit)},
	{"hops_limit", "1", "1000", 1, 1000, "0", "1001", "1 to 1000", FIELD(hops_limit)},
	{"session_errors_limit", "1", "1000", 1, 1000, "0", "1001", "1 to 1000",
		FIELD(session_errors_limit)},
	{"session_refusals_limit", "1", "100000", 1, 100000, "0", "100001", "1 to 100000",
		FIELD(session_refusals_limit)},
	{"session_commands_limit", "10", "1000000", 10, 1000000, "9", "1000001", "10 to 1000000",
		FIELD(session_commands_limit)},
	{"command_line_limit", "1000", "8K", 1000, 8192, "999", "8193", "1000 to 8K",
		FIELD(command_line_limit)},
	{"sessions_limit", "1", "100000", 1, 100000, "0", "100001", "1 to 100000",
		FIELD(sessions_limit)},
	{"timeout_command", "1s", "1h", US(1), US(3600), "0s", "3601s", "1s to 1h",
		FIELD(timeout_command_us)},
	{"timeout_data", "1s", "60m", US(1), US(3600), "0s", "61m", "1s to 1h",
		FIELD(timeout_data_us)},
	{"timeout_begin", "1s", "1h", US(1), US(3600), "0s", "3601s", "1s to 1h",
		FIELD(timeout_begin_us)},
	{"timeout_commit", "1s", "1h", US(1), US(3600), "0s", "3601s", "1s to 1h",
		FIELD(timeout_commit_us)},
	{"timeout_farewell", "1s", "1h", US(1), US(3600), "0s", "3601s", "1s to 1h",
		FIELD(timeout_farewell_us)},
	{"content_rate_min", "0", "1000000", 0, 1000000, NULL, "1000001", "0 to 1000000",
		FIELD(content_rate_min)},
	{"content_excess_limit", "0", "1G", 0, 1073741824, NULL, "1025M", "0 to 1G",
		FIELD(content_excess_limit)},
	{"greeting_wait", "0s", "1m", 0, US(60), NULL, "61s", "0s to 1m", FIELD(greeting_wait_us)},
	{"reports_limit", "0", "1000000", 0, 1000000, NULL, "1000001", "0 to 1000000",
		FIELD(reports_limit)},
	{"report_delay", "0s", "30d", 0, US(30 * 86400), NULL, "31d", "0s to 30d",
		FIELD(report_delay_us)},
	{"report_original_limit", "0", "16M", 0, 16777216, NULL, "17M", "0 to 16M",
		FIELD(report_original_limit)},
	{"spool_reserve", "0", "1024G", 0, UINT64_C(1) << 40, NULL, "1025G", "0 to 1024G",
		FIELD(spool_reserve)},
	{"spool_segment", "1M\nmessage_size_limit 64K", "1G", 1048576, 1073741824, "1023K", "1025M",
		"1M to 1G", FIELD(spool_segment)},
	{"first", "1s", "1d max 2d", US(1), US(86400), "0s", "25h", "1s to 1d",
		FIELD(retry.first_us)},
	{"max", "1s first 1s", "7d expire 7d", US(1), US(7 * 86400), "0s", "8d", "1s to 7d",
		FIELD(retry.max_us)},
	{"expire", "1s first 1s max 1s", "30d", US(1), US(30 * 86400), "0s", "31d", "1s to 30d",
		FIELD(retry.expire_us)},
};

static bool
is_in_retry(const struct limit *limit)
{
	return limit->offset >= FIELD(retry) &&
	       limit->offset < FIELD(retry) + sizeof(struct conf_retry);
}

static const char *
wrap(struct buffer *text, const struct limit *limit, const char *value)
{
	buffer_clear(text);
	buffer_printf(text, is_in_retry(limit) ? HOST "retry { %s %s }\n" : HOST "%s %s\n",
		limit->word, value);
	return buffer_text(text);
}

static void
check_limit(const struct limit *limit, const char *value, uint64_t expected)
{
	char storage[256];
	struct buffer text;
	uint64_t number;

	buffer_init_fixed(&text, storage, sizeof storage);
	struct fixture *f = parse_fine(wrap(&text, limit, value));
	memcpy(&number, (const uint8_t *)&f->conf + limit->offset, sizeof number);
	ck_assert_msg(number == expected, "%s is %lu", limit->word, (unsigned long)number);
	fixture_free(f);
}

static void
check_over(const struct limit *limit, const char *value)
{
	char text_storage[256], expected_storage[256];
	struct buffer text, expected;
	size_t column = strlen(limit->word) + (is_in_retry(limit) ? sizeof "retry { " + 1 : 2);

	buffer_init_fixed(&text, text_storage, sizeof text_storage);
	buffer_init_fixed(&expected, expected_storage, sizeof expected_storage);
	buffer_printf(&expected, "mail.conf:2:%zu: \"%s\" must be from %s, found \"%s\"\n", column,
		limit->word, limit->range, value);
	parse_wrong(wrap(&text, limit, value), buffer_text(&expected));
}

START_TEST(limits_at_their_ends)
{
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
		check_limit(&limits[i], limits[i].min, limits[i].min_value);
		check_limit(&limits[i], limits[i].max, limits[i].max_value);
		if (limits[i].below)
			check_over(&limits[i], limits[i].below);
		check_over(&limits[i], limits[i].above);
		check_over(&limits[i], slice_find(slice_text(limits[i].range), 0, 's') >= 0
					       ? "99999999999999999999999s"
					       : "99999999999999999999999");
	}
}
END_TEST

/* `text` holds one bad value, the last word; `expected` is what was expected and why not. */
static void
refuse(const char *start, const char *value, const char *end, const char *expected, const char *why)
{
	char text_storage[8192], message_storage[512];
	struct buffer text, message;

	buffer_init_fixed(&text, text_storage, sizeof text_storage);
	buffer_printf(&text, HOST "%s %s %s\n", start, value, end);
	buffer_init_fixed(&message, message_storage, sizeof message_storage);
	buffer_printf(
		&message, "mail.conf:2:%zu: expected %s, found ", strlen(start) + 2, expected);
	buffer_printf(&message, strlen(value) > 60 ? "\"%.60s...\"" : "\"%s\"", value);
	buffer_printf(&message, "%s%s\n", why ? ": " : "", why ? why : "");
	parse_wrong(buffer_text(&text), buffer_text(&message));
}

START_TEST(numbers)
{
	static const char *const wrong_numbers[] = {"x", "-1", "1.5", "1K", "0x10", "+5", "1s"};
	static const char *const wrong_sizes[] = {"M", "25MB", "25m", "1.5M", "-1M", "25T", "5s"};
	static const char *const wrong_times[] = {"m", "5min", "5M", "1h30m", "-5m"};

	for (size_t i = 0; i < sizeof wrong_numbers / sizeof *wrong_numbers; i++)
		refuse("hops_limit", wrong_numbers[i], "", "a number after \"hops_limit\"", NULL);
	for (size_t i = 0; i < sizeof wrong_sizes / sizeof *wrong_sizes; i++)
		refuse("message_size_limit", wrong_sizes[i], "",
			"a size like 64K, 25M or 1G after \"message_size_limit\"", NULL);
	for (size_t i = 0; i < sizeof wrong_times / sizeof *wrong_times; i++)
		refuse("timeout_data", wrong_times[i], "",
			"a time like 30s, 5m, 4h or 2d after \"timeout_data\"", NULL);
	refuse("timeout_data", "30", "", "a time like 30s, 5m, 4h or 2d after \"timeout_data\"",
		"the unit is missing");
}
END_TEST

#define LABEL_63 "a23456789012345678901234567890123456789012345678901234567890123"

START_TEST(domains)
{
	static const char *const ascii = "only letters, digits and hyphens are allowed";
	const char *expected = "a domain name after \"domain\"";
	const char *end = "{ accounts any mailbox maildir /m/{user} }";

	refuse("domain", "a..b", end, expected, "a part between the dots is empty");
	refuse("domain", ".b", end, expected, "a part between the dots is empty");
	refuse("domain", "b.", end, expected, "a part between the dots is empty");
	refuse("domain", "-a.b", end, expected, "a part begins or ends with a hyphen");
	refuse("domain", "a-.b", end, expected, "a part begins or ends with a hyphen");
	refuse("domain", "a_b.c", end, expected, ascii);
	refuse("domain", "a@b.c", end, expected, ascii);
	refuse("domain", "[127.0.0.1]", end, expected, ascii);
	refuse("domain", "127.0.0.1", end, expected, "the last part has digits only");
	refuse("domain", "*", end, expected,
		"each domain is named; all of them would be an open door");
	refuse("domain", LABEL_63 "x.b", end, expected, "a part of more than 63 octets");
	refuse("domain", LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_63, end, expected,
		"more than 253 octets");
	parse_wrong(HOST "domain b\xc3\xbc.example { accounts any mailbox maildir /m/{user} }",
		"mail.conf:2:8: expected a domain name after \"domain\", found "
		"\"b\\xc3\\xbc.example\": write it in its ASCII form "
		"(xn--...)\n");
	parse_wrong("hostname \"\"", "mail.conf:1:10: expected a host name after \"hostname\", "
				     "found \"\": a part between the dots "
				     "is empty\n");
	fixture_free(parse_fine("hostname localhost\ndomain " LABEL_63
				".xn--bcher-kva.example { accounts any mailbox maildir /m/{user} "
				"}\ndomain 1.2.x { accounts any mailbox maildir /m/{user} }"));
}
END_TEST

START_TEST(labels_and_accounts)
{
	const char *label = "a name of letters, digits, \"-\", \"_\" and \".\" after \"listen\"";
	const char *account = "an account name after \"user\"";

	refuse("listen", "-a", "{ address *:1 role mx }", label, NULL);
	refuse("listen", "a/b", "{ address *:1 role mx }", label, NULL);
	refuse("listen", LABEL_63 "x", "{ address *:1 role mx }", label, "more than 63 octets");
	refuse("user", "root", "", account, "it cannot be root");
	refuse("user", "-x", "", account, NULL);
	refuse("user", "a:b", "", account, NULL);
	refuse("user", LABEL_63 "xy", "", account, "more than 64 octets");
	struct fixture *f = parse_fine(HOST "user " LABEL_63 "x\nlisten A_1.b-"
					    " { address *:1 role mx }");
	ck_assert_slice_eq(f->conf.user, LABEL_63 "x");
	ck_assert_slice_eq(f->conf.listeners[0].name, "A_1.b-");
	fixture_free(f);
}
END_TEST

/* "/aaa..." of this length. */
static const char *
long_path(char *storage, size_t len)
{
	memset(storage, 'a', len);
	storage[0] = '/';
	storage[len] = 0;
	return storage;
}

START_TEST(paths)
{
	char path[2048], text[4096];
	struct buffer fine;

	refuse("spool", "x/y", "", "an absolute path after \"spool\"", "it must begin with /");
	parse_wrong(HOST "spool \"\"",
		"mail.conf:2:7: expected an absolute path after \"spool\", found \"\"\n");
	refuse("spool", long_path(path, 1024), "", "an absolute path after \"spool\"",
		"more than 1023 octets");
	/* struct sockaddr_un has room for 107 octets and a NUL. */
	refuse("control", long_path(path, 108), "", "an absolute path after \"control\"",
		"more than 107 octets");
	buffer_init_fixed(&fine, text, sizeof text);
	buffer_printf(&fine, HOST "spool %s\n", long_path(path, 1023));
	buffer_printf(&fine, "control %s\n", long_path(path, 107));
	struct fixture *f = parse_fine(buffer_text(&fine));
	ck_assert_uint_eq(f->conf.spool.len, 1023);
	ck_assert_uint_eq(f->conf.control.len, 107);
	fixture_free(f);
}
END_TEST

START_TEST(endpoints)
{
	static const char *const fine[] = {"*:25", "127.0.0.1:0", "0.0.0.0:65535", "[::1]:25",
		"[2001:db8::1]:2525", "[::ffff:10.0.0.1]:25", "unix:/run/x:y"};
	static const char *const wrong[][2] = {
		{"*", "the port is missing"},
		{"25", "the port is missing"},
		{"[::1]", "the port is missing"},
		{"::1", "an IPv6 address stands in brackets, a port behind them"},
		{"::1:25", "an IPv6 address stands in brackets, a port behind them"},
		{"*:", "a port is a number from 0 to 65535"},
		{"*:smtp", "a port is a number from 0 to 65535"},
		{"*:65536", "a port is a number from 0 to 65535"},
		{"*:025", "a port is a number from 0 to 65535"},
		{"*:-1", "a port is a number from 0 to 65535"},
		{"*:4294967321", "a port is a number from 0 to 65535"},
		{"localhost:25", "this is no IPv4 address, and names are not looked up"},
		{"127.0.0.256:25", "this is no IPv4 address, and names are not looked up"},
		{"127.1:25", "this is no IPv4 address, and names are not looked up"},
		{":25", "this is no IPv4 address, and names are not looked up"},
		{"[127.0.0.1]:25", "this is no IPv6 address"},
		{"[::g]:25", "this is no IPv6 address"},
		{"[]:25", "this is no IPv6 address"},
		{"[:25", "this is no IPv4 address, and names are not looked up"},
		{"[fe80::1%lo]:25", "this is no IPv6 address"},
		{"unix:x", "it must begin with /"},
		{"unix:", NULL},
	};
	char storage[128];
	struct buffer text;

	for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
		buffer_init_fixed(&text, storage, sizeof storage);
		buffer_printf(&text, HOST "listen a { address %s role mx }", fine[i]);
		struct fixture *f = parse_fine(buffer_text(&text));
		ck_assert_slice_eq(f->conf.listeners[0].addresses[0], fine[i]);
		fixture_free(f);
	}
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		refuse("listen a { address", wrong[i][0], "role mx }",
			"an address like *:25, 127.0.0.1:25, [::1]:25 or unix:/path after "
			"\"address\"",
			wrong[i][1]);
}
END_TEST

START_TEST(templates)
{
	static const char *const fine[] = {"/{user}", "/srv/mail/{domain}/{user}",
		"/a/x-{user}.d/{user}", "{home}/Maildir", "{home}/m/{user}", "/{domain}{user}"};
	static const char *const wrong[][2] = {
		{"var/{user}", "it must begin with / or {home}/"},
		{"{home}", "it must begin with / or {home}/"},
		{"{home}x/{user}", "it must begin with / or {home}/"},
		{"/mail", "without {user} all users would share one mailbox"},
		{"/mail/{domain}", "without {user} all users would share one mailbox"},
		{"/", "a part between the slashes is empty"},
		{"/{user}/", "a part between the slashes is empty"},
		{"//{user}", "a part between the slashes is empty"},
		{"{home}/", "a part between the slashes is empty"},
		{"/../{user}", "\".\" and \"..\" are not allowed"},
		{"/{user}/.", "\".\" and \"..\" are not allowed"},
		{"{home}/../x", "\".\" and \"..\" are not allowed"},
		{"/{usr}", "an unknown placeholder (did you mean {user}?)"},
		{"/{User}", "an unknown placeholder (did you mean {user}?)"},
		{"/{local}", "the placeholders are {user}, {domain} and {home}"},
		{"/{}", "the placeholders are {user}, {domain} and {home}"},
		{"/x/{home}/{user}", "{home} stands at the beginning, before a /"},
		{"/{user", "a \"{\" without its \"}\""},
		{"/{a/{user}", "a \"{\" without its \"}\""},
	};
	char storage[128];
	struct buffer text;

	for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
		buffer_init_fixed(&text, storage, sizeof storage);
		buffer_printf(&text,
			HOST "domain a.b { accounts system owner system mailbox maildir %s }",
			fine[i]);
		struct fixture *f = parse_fine(buffer_text(&text));
		ck_assert_slice_eq(f->conf.domains[0].mailbox_template, fine[i]);
		fixture_free(f);
	}
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		refuse("domain a.b { accounts system owner system mailbox maildir", wrong[i][0],
			"}",
			"a path like /srv/mail/{domain}/{user} or {home}/Maildir after \"mailbox "
			"maildir\"",
			wrong[i][1]);
	parse_wrong(HOST "route a.b { to maildir \"/{user}}\" }",
		"mail.conf:2:24: expected a path like /srv/mail/{domain}/{user} or {home}/Maildir "
		"after \"to maildir\", found "
		"\"/{user}}\": a \"}\" without its \"{\"\n");
}
END_TEST

START_TEST(choices)
{
	refuse("listen a { address *:1 role", "relay", "}",
		"\"mx\", \"submission\" or \"lmtp\" after \"role\"", NULL);
	parse_wrong(HOST "domain a.b { mailbox maildir /{user} accounts File }",
		"mail.conf:2:47: expected \"file\", \"system\" or \"any\" after \"accounts\", "
		"found \"File\" "
		"(did you mean \"file\"?)\n");
	parse_wrong(HOST "log { to stder }",
		"mail.conf:2:10: expected \"stderr\" or \"file\" after \"to\", found \"stder\" "
		"(did you mean \"stderr\"?)\n");
	refuse("log { format", "xml", "}", "\"line\" or \"json\" after \"format\"", NULL);
}
END_TEST

UNIT_MAIN("conf/value", limits_at_their_ends, numbers, domains, labels_and_accounts, paths,
	endpoints, templates, choices)
