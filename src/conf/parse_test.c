/* The grammar, and each kind of mistake with its place and its words. */
#include "base/file_replace.h"
#include "conf/conf_test.h"
#include "unit.h"

#include <fcntl.h>
#include <unistd.h>

START_TEST(smallest_has_all_defaults)
{
	struct fixture *f = parse_fine("hostname Mail.Example.ORG");
	const struct conf *conf = &f->conf;

	ck_assert_slice_eq(conf->hostname, "mail.example.org");
	ck_assert_slice_eq(conf->user, "veredus");
	ck_assert_slice_eq(conf->spool, "/var/spool/veredus");
	ck_assert_slice_eq(conf->control, "/run/veredus/control");
	ck_assert_uint_eq(conf->listener_count + conf->domain_count + conf->route_count, 0);
	ck_assert_uint_eq(conf->message_size_limit, 26214400);
	ck_assert_uint_eq(conf->recipients_limit, 1000);
	ck_assert_uint_eq(conf->content_line_limit, 16384);
	ck_assert_uint_eq(conf->hops_limit, 100);
	ck_assert_uint_eq(conf->session_errors_limit, 10);
	ck_assert_uint_eq(conf->session_refusals_limit, 100);
	ck_assert_uint_eq(conf->session_commands_limit, 1000);
	ck_assert_uint_eq(conf->command_line_limit, 2048);
	ck_assert_uint_eq(conf->sessions_limit, 1000);
	ck_assert_int_eq(conf->timeout_command_us, 300 * US_PER_S);
	ck_assert_int_eq(conf->timeout_data_us, 180 * US_PER_S);
	ck_assert_int_eq(conf->timeout_begin_us, 60 * US_PER_S);
	ck_assert_int_eq(conf->timeout_commit_us, 300 * US_PER_S);
	ck_assert_int_eq(conf->timeout_farewell_us, 10 * US_PER_S);
	ck_assert_uint_eq(conf->content_rate_min, 64);
	ck_assert_uint_eq(conf->content_excess_limit, 32u << 20);
	ck_assert_int_eq(conf->early_talkers, CONF_EARLY_REFUSE);
	ck_assert_int_eq(conf->greeting_wait_us, 0);
	ck_assert_int_eq(conf->retry.first_us, 300 * US_PER_S);
	ck_assert_int_eq(conf->retry.max_us, 4 * 3600 * US_PER_S);
	ck_assert_int_eq(conf->retry.expire_us, 5 * 86400 * US_PER_S);
	ck_assert_uint_eq(conf->reports_limit, 60);
	ck_assert_uint_eq(conf->spool_segment, 67108864);
	ck_assert_uint_eq(conf->spool_reserve, 33554432);
	ck_assert_int_eq(conf->log.format, CONF_LOG_LINE);
	ck_assert_int_eq(conf->log.to, CONF_LOG_STDERR);
	ck_assert_uint_eq(conf->log.file.len, 0);
	fixture_free(f);
}
END_TEST

/* Where <postmaster> goes: the first domain, else the hostname if it is a route, else nowhere. */
START_TEST(postmaster_has_a_domain)
{
	static const struct {
		const char *text, *domain;
	} cases[] = {
		{"hostname mx.a\nroute mx.a { to discard }\ndomain b.c { accounts any mailbox "
		 "maildir "
		 "/m/{user} }\ndomain d.e { accounts any mailbox maildir /m/{user} }\n",
			"b.c"},
		{"hostname mx.a\nroute b.c { to hold }\nroute MX.A { to hold }\n", "mx.a"},
		{"hostname mx.a\nroute b.c { to hold }\n", ""},
		{"hostname mx.a\n", ""},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct fixture *f = parse_fine(cases[i].text);
		ck_assert_slice_eq(conf_postmaster_domain(&f->conf), cases[i].domain);
		fixture_free(f);
	}
}
END_TEST

START_TEST(blocks_fill_their_structs)
{
	struct fixture *f = parse_fine(
		HOST "user mail\n"
		     "listen mx {\n\taddress *:25\n\taddress [::1]:2525\n\taddress "
		     "unix:/run/x\n\trole mx\n}\n"
		     "listen two { address 127.0.0.1:0 role mx address 127.0.0.1:0 }\n"
		     "domain A.Example { accounts file /a mailbox maildir /m/{user} owner vmail }\n"
		     "domain b.example { accounts system mailbox maildir {home}/M owner system }\n"
		     "domain c.example { accounts any mailbox maildir /c/{domain}-{user}/x }\n"
		     "route D.example { to discard }\n"
		     "route e.example { to hold }\n"
		     "route f.example { owner vmail to maildir /f/{user} }\n"
		     "route g.example { to maildir /g/{user} }\n"
		     "log { to file /var/log/x format json }\n");
	const struct conf *conf = &f->conf;

	ck_assert_uint_eq(conf->listener_count, 2);
	ck_assert_slice_eq(conf->listeners[0].name, "mx");
	ck_assert_uint_eq(conf->listeners[0].address_count, 3);
	ck_assert_slice_eq(conf->listeners[0].addresses[1], "[::1]:2525");
	ck_assert_slice_eq(conf->listeners[0].addresses[2], "unix:/run/x");
	ck_assert_int_eq(conf->listeners[0].role, CONF_ROLE_MX);
	ck_assert_uint_eq(conf->listeners[1].address_count, 2);
	ck_assert_uint_eq(conf->domain_count, 3);
	ck_assert_slice_eq(conf->domains[0].name, "a.example");
	ck_assert_int_eq(conf->domains[0].accounts, CONF_ACCOUNTS_FILE);
	ck_assert_slice_eq(conf->domains[0].accounts_file, "/a");
	ck_assert_int_eq(conf->domains[0].mailbox, CONF_MAILBOX_MAILDIR);
	ck_assert_slice_eq(conf->domains[0].mailbox_template, "/m/{user}");
	ck_assert_int_eq(conf->domains[0].owner, CONF_OWNER_USER);
	ck_assert_slice_eq(conf->domains[0].owner_user, "vmail");
	ck_assert_int_eq(conf->domains[1].accounts, CONF_ACCOUNTS_SYSTEM);
	ck_assert_int_eq(conf->domains[1].owner, CONF_OWNER_SYSTEM);
	ck_assert_uint_eq(conf->domains[1].owner_user.len, 0);
	ck_assert_int_eq(conf->domains[2].accounts, CONF_ACCOUNTS_ANY);
	ck_assert_int_eq(conf->domains[2].owner, CONF_OWNER_USER);
	ck_assert_slice_eq(conf->domains[2].owner_user, "mail");
	ck_assert_uint_eq(conf->route_count, 4);
	ck_assert_slice_eq(conf->routes[0].name, "d.example");
	ck_assert_int_eq(conf->routes[0].to, CONF_TO_DISCARD);
	ck_assert_uint_eq(conf->routes[0].owner_user.len, 0);
	ck_assert_int_eq(conf->routes[1].to, CONF_TO_HOLD);
	ck_assert_int_eq(conf->routes[2].to, CONF_TO_MAILDIR);
	ck_assert_slice_eq(conf->routes[2].target, "/f/{user}");
	ck_assert_slice_eq(conf->routes[2].owner_user, "vmail");
	ck_assert_slice_eq(conf->routes[3].owner_user, "mail");
	ck_assert_int_eq(conf->log.format, CONF_LOG_JSON);
	ck_assert_int_eq(conf->log.to, CONF_LOG_FILE);
	ck_assert_slice_eq(conf->log.file, "/var/log/x");
	fixture_free(f);
}
END_TEST

START_TEST(spaces_comments_and_strings)
{
	struct fixture *f =
		parse_fine("\xef\xbb\xbf# comment \x01 \"\r\n\r\n  hostname\t\"a.example\" #b\r\n"
			   "spool \"/a b/\\\"c\\\\d#\" # { \" ;\n"
			   "control /a#b\n"
			   "log{to file \"/x}\"}\n"
			   "domain x.example{accounts any mailbox maildir /x/{user}}#\n"
			   "listen \"mx\" {address *:1 role mx}\r\n");

	ck_assert_slice_eq(f->conf.hostname, "a.example");
	ck_assert_slice_eq(f->conf.spool, "/a b/\"c\\d#");
	ck_assert_slice_eq(f->conf.control, "/a#b");
	ck_assert_slice_eq(f->conf.log.file, "/x}");
	ck_assert_slice_eq(f->conf.domains[0].name, "x.example");
	ck_assert_slice_eq(f->conf.domains[0].mailbox_template, "/x/{user}");
	ck_assert_slice_eq(f->conf.listeners[0].name, "mx");
	ck_assert_slice_eq(f->conf.listeners[0].addresses[0], "*:1");
	fixture_free(f);
}
END_TEST

#define CERTIFICATE "certificate c { chain /c key /k }\n"

START_TEST(unknown_words)
{
	parse_wrong("\n\n  hostnme x.example",
		"mail.conf:3:3: unknown directive \"hostnme\" (did you mean \"hostname\"?)\n");
	parse_wrong(HOST "quxxx 1", "mail.conf:2:1: unknown directive \"quxxx\"\n");
	parse_wrong(HOST "HOPS_LIMIT 1",
		"mail.conf:2:1: unknown directive \"HOPS_LIMIT\" (did you mean \"hops_limit\"?)\n");
	parse_wrong(HOST "listen a { adress *:25 role mx }",
		"mail.conf:2:12: unknown directive \"adress\" (did you mean \"address\"?)\n");
	parse_wrong(HOST "route a.example { discard }",
		"mail.conf:2:19: unknown directive \"discard\" (did you mean \"to discard\"?)\n");
	parse_wrong(HOST "address *:25", "mail.conf:2:1: \"address\" belongs into \"listen\"\n");
	parse_wrong(HOST "listen a {\n\tspool /x\n\taddress *:25\n\trole mx\n}\n",
		"mail.conf:3:2: \"spool\" does not belong into \"listen\"\n");
	/* Keys of features that do not exist yet. */
	parse_wrong(HOST "tarpit 3s\ntls starttls\n",
		"mail.conf:2:1: unknown directive \"tarpit\"\nmail.conf:3:1: \"tls\" belongs "
		"into \"listen\"\n");
	parse_wrong(HOST "listen a { address *:587 role submission }\n",
		"mail.conf:2:1: \"role submission\" needs TLS with a certificate: a password in "
		"the "
		"clear is everybody's\n");
	parse_wrong(HOST CERTIFICATE "passwords /p\n"
				     "listen a { address *:587 role submission tls off }\n",
		"mail.conf:4:1: \"role submission\" needs TLS with a certificate: a password in "
		"the "
		"clear is everybody's\n");
	parse_wrong(HOST CERTIFICATE "listen a { address *:587 role submission }\n",
		"mail.conf:3:1: \"role submission\" needs logins: passwords FILE\n");
	parse_wrong(HOST "report_languages de xx\n",
		"mail.conf:2:1: \"report_languages\" takes de, fr, es and ru, each once\n");
	parse_wrong(HOST "report_languages de de\n",
		"mail.conf:2:1: \"report_languages\" takes de, fr, es and ru, each once\n");
	parse_wrong(HOST "\x1b[31m x", "mail.conf:2:1: control character 0x1b\n");
	parse_wrong(HOST "\xc3\xa9t\xc3\xa9 x",
		"mail.conf:2:1: unknown directive \"\\xc3\\xa9t\\xc3\\xa9\"\n");
	parse_wrong(HOST "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			 "aaaaaaaaaaaa x",
		"mail.conf:2:1: unknown directive "
		"\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\"\n");
}
END_TEST

START_TEST(what_is_missing)
{
	parse_wrong("", "mail.conf:1:1: missing required hostname\n");
	parse_wrong("\n\nspool /x\n", "mail.conf:1:1: missing required hostname\n");
	parse_wrong(HOST "\n listen a { role mx }", "mail.conf:3:2: listen needs an address\n");
	parse_wrong(HOST "listen a {\n}\n",
		"mail.conf:2:1: listen needs an address\nmail.conf:2:1: listen needs a role\n");
	parse_wrong(HOST "domain a.b {\n}\n",
		"mail.conf:2:1: domain needs accounts\nmail.conf:2:1: domain needs a mailbox\n");
	parse_wrong(HOST "route a.b { }\n", "mail.conf:2:1: route needs a destination (\"to\")\n");
	parse_wrong("hostname", "mail.conf:1:9: expected a host name after \"hostname\", found the "
				"end of the file\n");
	parse_wrong("hostname # x\n", "mail.conf:1:13: expected a host name after \"hostname\", "
				      "found the end of the line\n");
	parse_wrong(
		HOST "listen {", "mail.conf:2:8: expected a name after \"listen\", found \"{\"\n");
	parse_wrong(HOST "listen a\n{ }", "mail.conf:2:9: expected \"{\" after \"listen NAME\"\n"
					  "mail.conf:3:1: a \"{\" without a directive before it\n");
	parse_wrong(HOST "retry 5m", "mail.conf:2:7: expected \"{\" after \"retry\"\n");
	parse_wrong(HOST "log { to }",
		"mail.conf:2:10: expected \"stderr\" or \"file\" after \"to\", found \"}\"\n");
	parse_wrong(HOST "log { to file\n}", "mail.conf:2:14: expected an absolute path after \"to "
					     "file\", found the end of the line\n");
	parse_wrong(HOST "domain a.b { owner\n}",
		"mail.conf:2:19: expected \"system\" or an account "
		"name after \"owner\", found the end of the line\n");
}
END_TEST

START_TEST(braces)
{
	parse_wrong(HOST "}\n", "mail.conf:2:1: a \"}\" without its \"{\"\n");
	parse_wrong(HOST "retry {\n first 1m\n",
		"mail.conf:2:1: \"retry\" has no \"}\" before the end of the file\n");
	parse_wrong(HOST "retry {\n first 1m\nlog {\n}\nquxxx\n",
		"mail.conf:2:1: \"retry\" has no \"}\" before the next \"log\"\nmail.conf:6:1: "
		"unknown directive \"quxxx\"\n");
	parse_wrong(HOST "quxxx {\n a { b }\n c\n}\nspool x\n",
		"mail.conf:2:1: unknown directive \"quxxx\"\n"
		"mail.conf:6:7: expected an absolute path after \"spool\", found \"x\": it must "
		"begin with /\n");
	parse_wrong(HOST "{ spool /x }", "mail.conf:2:1: a \"{\" without a directive before it\n");
	parse_wrong(
		HOST "listen a { { } }", "mail.conf:2:12: a \"{\" without a directive before it\n");
}
END_TEST

START_TEST(ends_of_lines)
{
	parse_wrong("hostname a.example spool /x\n", "mail.conf:1:20: expected the end of the line "
						     "after \"hostname\", found \"spool\"\n");
	/* In a block directives may share a line; a word that is none is still wrong. */
	parse_wrong(HOST "retry {\n\tfirst 1m mx 2h max 2d\n}\n",
		"mail.conf:3:11: unknown directive \"mx\" (did you mean \"max\"?)\n");
	parse_wrong(HOST "retry { } log { }",
		"mail.conf:2:11: expected the end of the line after \"retry\", found \"log\"\n");
	parse_wrong(HOST "listen a { address *:25; role mx }",
		"mail.conf:2:24: \";\" ends nothing here: a directive ends at the end of its "
		"line\n");
}
END_TEST

START_TEST(tokens)
{
	char text[CONF_TOKEN_MAX + 64];

	parse_wrong(
		HOST "spool \"/x\n", "mail.conf:2:7: the closing quote is missing on this line\n");
	parse_wrong(HOST "spool \"/x\\n\"\n",
		"mail.conf:2:10: in quotes a backslash stands only before \" or another \\\n");
	parse_wrong(HOST "spool \"/x\"y\n",
		"mail.conf:2:11: expected a space after the closing quote\n");
	parse_wrong(HOST "spool /x\"y\"\n",
		"mail.conf:2:9: a quote inside a word: put the whole value in quotes\n");
	parse_wrong(HOST "spool /x\x7f", "mail.conf:2:9: control character 0x7f\n");
	parse_wrong(HOST "spool \"\x1b\"", "mail.conf:2:8: control character 0x1b\n");
	parse_wrong(HOST "spool /x\ry", "mail.conf:2:9: control character 0x0d\n");
	parse_wrong_bytes(SLICE("hostname a\0b\n" HOST),
		"mail.conf:1:11: control character 0x00\n"
		"mail.conf:2:1: duplicate \"hostname\", the first is at mail.conf:1:1\n");
	/* Columns are characters. */
	parse_wrong(HOST "log { to file /\xc3\xa9\xc3\xa9 format xml }",
		"mail.conf:2:26: expected \"line\" or \"json\" after \"format\", found \"xml\"\n");

	memset(text, 'a', sizeof text);
	memcpy(text, HOST "spool /", sizeof HOST "spool /" - 1);
	size_t start = sizeof HOST "spool " - 1;
	parse_wrong_bytes(slice_of(text, start + CONF_TOKEN_MAX + 1),
		"mail.conf:2:7: a word of more than 4096 octets\n");
	text[start + CONF_TOKEN_MAX] = '\n';
	struct fixture *f = fixture_new();
	ck_assert_int_eq(fixture_parse(f, slice_of(text, start + CONF_TOKEN_MAX)), ERROR_FORMAT);
	ck_assert(slice_has_suffix(buffer_slice(&f->out), SLICE("...\": more than 1023 octets\n")));
	fixture_free(f);
	memcpy(text, HOST "spool \"/", sizeof HOST "spool \"/" - 1);
	text[start + CONF_TOKEN_MAX] = text[start + 1 + CONF_TOKEN_MAX] = 'a';
	text[start + 2 + CONF_TOKEN_MAX] = '"';
	parse_wrong_bytes(slice_of(text, start + CONF_TOKEN_MAX + 3),
		"mail.conf:2:7: a string of more than 4096 octets\n");
}
END_TEST

START_TEST(duplicates)
{
	parse_wrong(HOST HOST,
		"mail.conf:2:1: duplicate \"hostname\", the first is at mail.conf:1:1\n");
	parse_wrong(HOST "log { }\nlog {\n to stderr\n}\n",
		"mail.conf:3:1: duplicate \"log\", the first is at mail.conf:2:1\n");
	parse_wrong(HOST "retry { max 1h max 1h }",
		"mail.conf:2:16: duplicate \"max\", the first is at mail.conf:2:9\n");
	parse_wrong(HOST "listen a { address *:1 role mx }\nlisten a { address *:2 role mx }",
		"mail.conf:3:8: duplicate listen \"a\", the first is at mail.conf:2:8\n");
	parse_wrong(HOST "listen a { address *:1 role mx }\nlisten b { address *:1 role mx }",
		"mail.conf:3:20: duplicate address \"*:1\", the first is at mail.conf:2:20\n");
	parse_wrong(HOST "route a.b { to hold }\nroute A.B { to hold }",
		"mail.conf:3:7: duplicate route \"a.b\", the first is at mail.conf:2:7\n");
	parse_wrong(HOST
		"route a.b { to hold }\ndomain A.b { accounts any mailbox maildir /{user} }",
		"mail.conf:3:8: \"a.b\" is a route already, the first is at mail.conf:2:7\n");
	parse_wrong(HOST
		"domain a.b { accounts any mailbox maildir /{user} }\nroute a.B { to hold }",
		"mail.conf:3:7: \"a.b\" is a domain already, the first is at mail.conf:2:8\n");
	/* Names of different things may be equal, and ports that the kernel chooses are. */
	fixture_free(parse_fine(HOST "listen a.b { address *:0 role mx }\nlisten c { address *:0 "
				     "role mx }\nroute a.b { to hold }"));
}
END_TEST

START_TEST(keys_that_do_not_go_together)
{
	parse_wrong(HOST "domain a.b { accounts any mailbox maildir /{user} owner system }",
		"mail.conf:2:51: \"owner system\" needs accounts that are users: \"accounts "
		"system\" or \"accounts file\"\n");
	parse_wrong(HOST "domain a.b { accounts any mailbox maildir {home}/M }",
		"mail.conf:2:27: {home} needs \"owner system\"\n");
	parse_wrong(HOST "route a.b { to maildir {home}/M }",
		"mail.conf:2:13: a route takes every local part: there is no {home}\n");
	parse_wrong(HOST "route a.b { to discard owner x }",
		"mail.conf:2:24: \"owner\" goes with \"to maildir\" only\n");
	parse_wrong(HOST "route a.b { to mx tls_start implicit }",
		"mail.conf:2:19: \"tls_start\" goes with \"to host\" and \"to lmtp\"\n");
	parse_wrong(HOST "route a.b { to host c.d tls off tls_start implicit }",
		"mail.conf:2:33: \"tls_start implicit\" is TLS always: it goes with \"tls "
		"required\" "
		"and \"tls verified\"\n");
	fixture_free(parse_fine(HOST "route a.b { to host c.d tls verified tls_start implicit }"));
	parse_wrong(HOST "route a.b { to host c.d tls required login x password_file /p }",
		"mail.conf:2:38: \"login\" needs \"tls verified\": else the password goes to "
		"anybody who says that he is the host\n");
	parse_wrong(HOST "route a.b { to mx tls verified login x password_file /p }",
		"mail.conf:2:32: \"login\" goes with \"to host\" and \"to lmtp\"\n");
	parse_wrong(HOST "route a.b { to host c.d tls verified login x }",
		"mail.conf:2:38: \"login\" needs \"password_file FILE\"\n");
	parse_wrong(HOST "route a.b { to host c.d tls verified password_file /p }",
		"mail.conf:2:38: \"password_file\" goes with \"login\"\n");
	fixture_free(parse_fine(
		HOST "route a.b { to host c.d tls verified login x@y.z password_file /p }"));
	parse_wrong(HOST "route a.b { to maildir /{user} owner system }",
		"mail.conf:2:32: a route takes every local part: its owner is one account, not "
		"\"system\"\n");
	parse_wrong(HOST "retry { first 2h max 1h }",
		"mail.conf:2:9: \"first\" must not be longer than \"max\"\n");
	parse_wrong(HOST "retry { max 1m }",
		"mail.conf:2:9: \"first\" must not be longer than \"max\"\n");
	parse_wrong(HOST "retry { expire 1h }",
		"mail.conf:2:9: \"max\" must not be longer than \"expire\"\n");
	fixture_free(parse_fine(HOST "spool_segment 1M\nmessage_size_limit 1G"));
	parse_wrong(HOST "spool_segment 1025K\nmessage_size_limit 64K",
		"mail.conf:2:1: \"spool_segment\" must be a multiple of 1M\n");
}
END_TEST

START_TEST(problems_are_bounded_and_in_order)
{
	struct fixture *f = fixture_new();
	struct buffer text;

	buffer_init(&text, f->env.memory, 65536);
	for (int i = 0; i < 21; i++)
		buffer_append_text(&text, "quxxx\n");
	ck_assert_int_eq(fixture_parse(f, buffer_slice(&text)), ERROR_FORMAT);
	ck_assert_uint_eq(f->problems.count, CONF_PROBLEMS_MAX);
	ck_assert(f->problems.more);
	ck_assert_uint_eq(f->problems.items[0].place.line, 1);
	ck_assert_uint_eq(f->problems.items[19].place.line, 20);
	ck_assert(slice_has_suffix(
		buffer_slice(&f->out), SLICE("mail.conf: there are more errors\n")));
	fixture_free(f);

	f = fixture_new();
	buffer_init(&text, f->env.memory, 65536);
	buffer_append_text(&text, HOST);
	for (int i = 0; i < 20; i++)
		buffer_append_text(&text, "quxxx\n");
	ck_assert_int_eq(fixture_parse(f, buffer_slice(&text)), ERROR_FORMAT);
	ck_assert_uint_eq(f->problems.count, CONF_PROBLEMS_MAX);
	ck_assert(!f->problems.more);
	fixture_free(f);
}
END_TEST

/* Words of the language and garbage between them: an answer each time, and nothing in it that could
 * steer a terminal. */
START_TEST(garbage)
{
	static const char *const pieces[] = {"hostname", "listen", "domain", "route", "{", "}",
		"\n", " ", "\"", "\\", "a.b", "address", "*:25", "accounts", "any", "mailbox",
		"maildir", "/x/{user}", "#", ";", "retry", "log", "to", "1", "\r", "\t", "5m",
		"{home}"};
	uint64_t seed = 20261123;

	for (int round = 0; round < 3000; round++) {
		struct fixture *f = fixture_new();
		struct buffer text;
		buffer_init(&text, f->env.memory, 65536);
		for (int i = 0; i < 60; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			uint32_t dice = (uint32_t)(seed >> 33);
			if (round % 2 || dice % 16 == 0)
				buffer_append_octet(&text, (uint8_t)(dice >> 8));
			else
				buffer_append_text(&text,
					pieces[(dice >> 8) % (sizeof pieces / sizeof *pieces)]);
		}
		enum error error = fixture_parse(f, buffer_slice(&text));
		ck_assert(error == OK || error == ERROR_FORMAT);
		ck_assert((error == ERROR_FORMAT) == (f->out.len > 0));
		for (size_t i = 0; i < f->out.len; i++)
			ck_assert(f->out.ptr[i] == '\n' ||
				  (f->out.ptr[i] >= 0x20 && f->out.ptr[i] < 0x7f));
		fixture_free(f);
	}
}
END_TEST

static void
append_domains(struct buffer *text, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		buffer_printf(text,
			"domain d%u.example { accounts any mailbox maildir "
			"/srv/mail/{domain}/{user} }\n",
			i);
}

START_TEST(hundred_thousand_domains)
{
	struct fixture *f = fixture_new();
	struct buffer text;

	buffer_init(&text, f->env.memory, CONF_TEXT_MAX);
	buffer_append_text(&text, HOST);
	append_domains(&text, 100000);
	mono_us started = env_monotonic(&f->env);
	ck_assert_int_eq(fixture_parse(f, buffer_slice(&text)), OK);
	/* 0.4 s as shipped; this limit is for sanitizers on a busy machine, and for whoever makes
	 * it quadratic. */
	ck_assert_int_lt(env_monotonic(&f->env) - started, 20 * US_PER_S);
	ck_assert_uint_eq(f->conf.domain_count, 100000);
	ck_assert_slice_eq(f->conf.domains[0].name, "d0.example");
	ck_assert_slice_eq(f->conf.domains[65536].name, "d65536.example");
	ck_assert_slice_eq(f->conf.domains[99999].mailbox_template, "/srv/mail/{domain}/{user}");
	ck_assert_slice_eq(f->conf.domains[99999].owner_user, "veredus");
	buffer_append_text(&text, "route D77777.EXAMPLE { to hold }");
	ck_assert_int_eq(fixture_parse(f, buffer_slice(&text)), ERROR_FORMAT);
	ck_assert_slice_eq(buffer_slice(&f->out),
		"mail.conf:100002:7: \"d77777.example\" is a domain "
		"already, the first is at mail.conf:77779:8\n");
	fixture_free(f);
}
END_TEST

START_TEST(too_many_blocks_and_too_much_text)
{
	struct fixture *f = fixture_new();
	struct buffer text;

	buffer_init(&text, f->env.memory, CONF_TEXT_MAX + 1);
	buffer_append_text(&text, HOST);
	for (unsigned i = 0; i < CONF_BLOCKS_MAX + 2; i++)
		buffer_printf(&text, "route d%u.example { to hold }\n", i);
	ck_assert_int_eq(fixture_parse(f, buffer_slice(&text)), ERROR_FORMAT);
	ck_assert_slice_eq(buffer_slice(&f->out), "mail.conf:200002:1: more than 200000 blocks\n");
	fixture_free(f);

	f = fixture_new();
	buffer_init(&text, f->env.memory, CONF_TEXT_MAX + 1);
	ck_assert_ptr_nonnull(buffer_reserve(&text, CONF_TEXT_MAX + 1));
	ck_assert_int_eq(fixture_parse(f, buffer_slice(&text)), ERROR_FORMAT);
	ck_assert_slice_eq(buffer_slice(&f->out), "mail.conf: more than 16M of text\n");
	fixture_free(f);
}
END_TEST

/* Every allocation may be the one that fails: an error each time, until there is enough. */
START_TEST(out_of_memory)
{
	struct fixture *f = fixture_new();
	struct buffer text;
	bool fine = false, failed = false;

	buffer_init(&text, f->env.memory, 65536);
	buffer_append_text(&text, HOST);
	append_domains(&text, 100);
	for (size_t limit = 1; limit < 200000 && !fine; limit += 97) {
		struct env env = f->env;
		struct arena arena;
		struct conf_problems *problems = memory_get(f->env.memory, sizeof *problems);
		struct conf conf = {.hops_limit = 7};
		env.memory = memory_new(limit);
		arena_init(&arena, env.memory, CONF_ARENA_MAX);
		conf_problems_init(problems, env.memory);
		enum error error =
			conf_parse(&env, &arena, SLICE("x"), buffer_slice(&text), &conf, problems);
		ck_assert(error == OK || error == ERROR_NO_MEMORY);
		ck_assert_uint_eq(conf.hops_limit, error == OK ? 100 : 7);
		fine |= error == OK;
		failed |= error != OK;
		memory_free(&env.memory);
	}
	ck_assert(fine && failed);
	fine = failed = false;
	for (size_t limit = 0; limit < 100000 && !fine; limit += 61) {
		struct conf conf = {.hops_limit = 7};
		struct arena arena;
		arena_init(&arena, f->env.memory, limit);
		enum error error = conf_parse(
			&f->env, &arena, SLICE("x"), buffer_slice(&text), &conf, &f->problems);
		ck_assert(error == OK || error == ERROR_NO_MEMORY);
		ck_assert_uint_eq(conf.hops_limit, error == OK ? 100 : 7);
		fine |= error == OK;
		failed |= error != OK;
		arena_done(&arena);
	}
	ck_assert(fine && failed);
	fixture_free(f);
}
END_TEST

START_TEST(load_reads_a_file)
{
	struct fixture *f = fixture_new();
	char folder[] = "/tmp/veredus-conf-XXXXXX";

	ck_assert_ptr_nonnull(mkdtemp(folder));
	int dir = open(folder, O_RDONLY | O_DIRECTORY);
	ck_assert_int_ge(dir, 0);
	ck_assert_int_eq(conf_load(&f->env, &f->arena, dir, "none.conf", &f->conf, &f->problems),
		ERROR_NOT_FOUND);
	conf_problems_format(&f->problems, &f->out);
	ck_assert_slice_eq(buffer_slice(&f->out), "none.conf: cannot be read: not found\n");
	conf_problems_done(&f->problems);
	ck_assert_uint_eq(f->problems.count, 0);
	ck_assert_ok(file_replace(&f->env, dir, "x.conf", SLICE(HOST "hops_limit 9"), 0600));
	ck_assert_int_eq(conf_load(&f->env, &f->arena, dir, "x.conf", &f->conf, &f->problems), OK);
	ck_assert_uint_eq(f->conf.hops_limit, 9);
	ck_assert_ok(file_replace(&f->env, dir, "x.conf", SLICE("hops_limit 0"), 0600));
	ck_assert_int_eq(
		conf_load(&f->env, &f->arena, dir, "x.conf", &f->conf, &f->problems), ERROR_FORMAT);
	buffer_clear(&f->out);
	conf_problems_format(&f->problems, &f->out);
	ck_assert_slice_eq(buffer_slice(&f->out),
		"x.conf:1:1: missing required hostname\n"
		"x.conf:1:12: \"hops_limit\" must be from 1 to 1000, found \"0\"\n");
	ck_assert_int_eq(unlinkat(dir, "x.conf", 0), 0);
	close(dir);
	ck_assert_int_eq(rmdir(folder), 0);
	fixture_free(f);
}
END_TEST

UNIT_MAIN("conf/parse", smallest_has_all_defaults, postmaster_has_a_domain,
	blocks_fill_their_structs, spaces_comments_and_strings, unknown_words, what_is_missing,
	braces, ends_of_lines, tokens, duplicates, keys_that_do_not_go_together,
	problems_are_bounded_and_in_order, garbage, hundred_thousand_domains,
	too_many_blocks_and_too_much_text, out_of_memory, load_reads_a_file)
