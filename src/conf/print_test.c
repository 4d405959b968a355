/* Canonical text: it parses again to the same, and each reader's holds what that reader may see. */
#include "conf/conf_test.h"
#include "unit.h"

static const char rich[] =
	"hostname Mail.Example.Org\nuser mail\nspool \"/var/spool/my mail\"\ncontrol "
	"\"/run/{x}\\\\\\\"#;\"\n"
	"listen mx {\n\taddress *:25\n\taddress [::1]:0\n\trole mx\n}\nlisten two { tls implicit "
	"tls_minimum 1.3 role mx address unix:/run/smtp bare_newlines refuse strict_paths yes }\n"
	"certificate x { key /x.key chain /x.pem }\n"
	"dkim k { key /k.pem selector S1 domain Example.Org }\n"
	"domain A.example { accounts file \"/etc/a b\" mailbox maildir /m/{domain}/{user} owner "
	"vmail }\n"
	"domain b.example { accounts system detail - mailbox maildir {home}/Maildir owner system "
	"}\n"
	"domain c.example { accounts any detail off mailbox maildir \"/x y/{user}\" }\n"
	"route d.example { to discard }\nroute e.example { to hold }\n"
	"route f.example { to maildir /f/{user} owner vmail }\nroute g.example { to maildir "
	"/g/{user} }\n"
	"route h.example { to host mx.h.example port 2525 fallback a.b 192.0.2.1 family ipv4 }\n"
	"route i.example { to lmtp unix \"/run/l m\" }\nroute j.example { to lmtp [::1] }\n"
	"route * { to mx port 26 allow private tls required }\nrelay_from 127.0.0.0/8 [::1]/128\n"
	"srs { domain a.example secrets /s rewrite off }\n"
	"dns { server 127.0.0.1:5300 [::1]:53 "
	"trust_anchor /k }\n"
	"authentication off\nsender_domain log\nclient_names off\ndmarc strict\n"
	"message_size_limit 1000001\nrecipients_limit 100\ncontent_line_limit 1024\nhops_limit "
	"7\nsession_errors_limit 3\n"
	"session_refusals_limit 4\nsession_commands_limit 10\ncommand_line_limit 1024\n"
	"sessions_limit 100000\nlimits { connections 1 network_connections 2 connection_rate 3 "
	"network_connection_rate 4 contents 5 network_contents 6 message_rate 7 "
	"network_message_rate 8 error_rate 9 network_error_rate 10 unknown_rate 11 "
	"network_unknown_rate 12 login_failures 13 network_login_failures 0 account_failures 14 "
	"login_recipients_hour 20 login_recipients_day 21 login_new_recipients_hour 22 "
	"login_new_recipients_day 23 login_messages_hour 24 login_messages_day 25 login_bytes_hour "
	"1024K login_bytes_day 0 login_sessions 28 "
	"loopback limited "
	"exempt 192.0.2.0/24 [2001:db8::]/32 scarce_timeout 60s }\ntimeout_command "
	"90s\ntimeout_data 120s\ntimeout_begin "
	"60s\ntimeout_commit 61s\ntimeout_tls 5s\ntimeout_farewell 1s\ncontent_rate_min 0\n"
	"content_excess_limit 0\nearly_talkers log\ngreeting_wait 0s\nretry { first 61s max 24h "
	"expire 30d }\n"
	"reports_limit 0\nreport_delay 0s\nreport_original_limit 1024K\nreport_targets "
	"yes\nspool_segment "
	"1024M\nspool_reserve 1024K\nhistory { keep 48h size 8192K }\nlog { format json to file "
	"/var/log/\xc3\xa9 }\n";

static const char canonical[] =
	"hostname mail.example.org\nuser mail\nspool \"/var/spool/my mail\"\ncontrol "
	"\"/run/{x}\\\\\\\"#;\"\n"
	"listen mx {\n\taddress *:25\n\taddress [::1]:0\n\trole mx\n\ttls starttls\n\ttls_minimum "
	"1.2\n\tbare_newlines normalize\n\tstrict_paths no\n}\nlisten two {\n\taddress "
	"unix:/run/smtp\n\trole mx\n\ttls implicit\n\ttls_minimum "
	"1.3\n\tbare_newlines refuse\n\tstrict_paths yes\n}\n"
	"certificate x {\n\tchain /x.pem\n\tkey /x.key\n}\n"
	"dkim k {\n\tdomain example.org\n\tselector s1\n\tkey /k.pem\n}\n"
	"domain a.example {\n\taccounts file \"/etc/a b\"\n\tdetail +\n\tmailbox maildir "
	"/m/{domain}/{user}\n\towner vmail\n}\n"
	"domain b.example {\n\taccounts system\n\tdetail -\n\tmailbox maildir "
	"{home}/Maildir\n\towner "
	"system\n}\n"
	"domain c.example {\n\taccounts any\n\tdetail off\n\tmailbox maildir \"/x "
	"y/{user}\"\n\towner mail\n}\n"
	"route d.example {\n\tto discard\n}\nroute e.example {\n\tto hold\n}\n"
	"route f.example {\n\tto maildir /f/{user}\n\towner vmail\n}\nroute g.example {\n\tto "
	"maildir /g/{user}\n\towner mail\n}\n"
	"route h.example {\n\tto host mx.h.example\n\tport 2525\n\tfallback a.b\n\tfallback "
	"192.0.2.1\n\tfamily ipv4\n}\n"
	"route i.example {\n\tto lmtp unix \"/run/l m\"\n}\nroute j.example {\n\tto lmtp [::1]\n}\n"
	"route * {\n\tto mx\n\tport 26\n\tallow private\n\ttls required\n}\nrelay_from "
	"127.0.0.0/8\nrelay_from "
	"[::1]/128\n"
	"dns {\n\tserver 127.0.0.1:5300\n\tserver [::1]:53\n\ttrust_anchor /k\n}\n"
	"srs {\n\trewrite off\n\tdomain a.example\n\tsecrets /s\n}\n"
	"authentication off\nsender_domain log\nclient_names off\ndmarc strict\n"
	"message_size_limit 1000001\nrecipients_limit 100\ncontent_line_limit 1K\nhops_limit "
	"7\nsession_errors_limit 3\n"
	"session_refusals_limit 4\nsession_commands_limit 10\ncommand_line_limit 1K\n"
	"sessions_limit 100000\nlimits {\n\tconnections 1\n\tnetwork_connections "
	"2\n\tconnection_rate 3\n\tnetwork_connection_rate 4\n\tcontents "
	"5\n\tnetwork_contents 6\n\tmessage_rate 7\n\tnetwork_message_rate 8\n\terror_rate "
	"9\n\tnetwork_error_rate 10\n\tunknown_rate 11\n\tnetwork_unknown_rate "
	"12\n\tlogin_failures 13\n\tnetwork_login_failures 0\n\taccount_failures 14"
	"\n\tlogin_recipients_hour 20\n\tlogin_recipients_day 21\n\tlogin_new_recipients_hour "
	"22\n\tlogin_new_recipients_day 23\n\tlogin_messages_hour 24\n\tlogin_messages_day "
	"25\n\tlogin_bytes_hour 1M\n\tlogin_bytes_day 0\n\tlogin_sessions 28\n\tloopback "
	"limited\n\texempt "
	"192.0.2.0/24\n\texempt [2001:db8::]/32\n\tscarce_timeout 1m\n}\ntimeout_command "
	"90s\ntimeout_data 2m\ntimeout_begin "
	"1m\ntimeout_commit 61s\ntimeout_tls 5s\ntimeout_farewell 1s\ncontent_rate_min 0\n"
	"content_excess_limit 0\nearly_talkers log\ngreeting_wait 0s\nretry {\n\tfirst 61s\n\tmax "
	"1d\n\texpire 30d\n}\n"
	"reports_limit 0\nreport_delay 0s\nreport_original_limit 1M\nreport_targets "
	"yes\nspool_segment "
	"1G\nspool_reserve 1M\nhistory {\n\tkeep 2d\n\tsize 8M\n}\nlog {\n\tformat json\n\tto file "
	"\"/var/log/\xc3\xa9\"\n}\n";

static void
print(struct fixture *fixture, const struct conf *conf, unsigned readers)
{
	buffer_clear(&fixture->out);
	conf_print(conf, readers, &fixture->out);
	ck_assert_ok(buffer_error(&fixture->out));
}

START_TEST(canonical_text_parses_to_the_same)
{
	struct fixture *f = parse_fine(rich);

	print(f, &f->conf, CONF_READERS_ALL);
	ck_assert_str_eq(buffer_text(&f->out), canonical);
	fixture_free(f);
	f = parse_fine(canonical);
	ck_assert_slice_eq(f->conf.control, "/run/{x}\\\"#;");
	ck_assert_slice_eq(f->conf.log.file, "/var/log/\xc3\xa9");
	ck_assert_int_eq(f->conf.retry.max_us, 86400 * US_PER_S);
	ck_assert_uint_eq(f->conf.content_line_limit, 1024);
	print(f, &f->conf, CONF_READERS_ALL);
	ck_assert_str_eq(buffer_text(&f->out), canonical);
	fixture_free(f);
}
END_TEST

static struct conf
parse_view(struct fixture *f, unsigned readers, struct slice text)
{
	struct conf view = {0};
	enum error error = conf_parse_view(&f->env, &f->arena, readers, text, &view, &f->problems);

	if (error != OK) {
		buffer_clear(&f->out);
		conf_problems_format(&f->problems, &f->out);
		ck_abort_msg("%s", buffer_text(&f->out));
	}
	return view;
}

/* For each reader and each set of them: the view parses, and prints the same. */
START_TEST(views_parse_to_the_same)
{
	struct fixture *f = parse_fine(rich);
	struct slice text;

	for (unsigned readers = 0; readers <= CONF_READERS_ALL; readers++) {
		print(f, &f->conf, readers);
		ck_assert(arena_copy(&f->arena, buffer_slice(&f->out), &text));
		struct conf view = parse_view(f, readers, text);
		print(f, &view, readers);
		ck_assert(slice_equal(buffer_slice(&f->out), text));
		/* What is not seen is not there, neither as a default. */
		print(f, &view, CONF_READERS_ALL);
		if (!(readers & (CONF_READER_ROOT | CONF_READER_TOOL)))
			ck_assert_uint_eq(view.user.len, 0);
		if (!(readers & (CONF_READER_ROOT | CONF_READER_TOOL | CONF_READER_QUEUE)))
			ck_assert(view.spool.len == 0 && view.retry.first_us == 0);
	}
	fixture_free(f);
}
END_TEST

static void
check_view(struct fixture *f, unsigned readers, const char *expected)
{
	print(f, &f->conf, readers);
	ck_assert_str_eq(buffer_text(&f->out), expected);
}

/* Who sees what, spelled out: to see more is a decision. */
START_TEST(readers_see_their_part)
{
	struct fixture *f =
		parse_fine("hostname a.example\nlisten mx { address *:25 role mx }\n"
			   "domain b.example { accounts file /a mailbox maildir /m/{user} }\n"
			   "route c.example { to discard }\n");

	check_view(f, 0, "");
	check_view(f, CONF_READER_KEYS, "hostname a.example\nsrs {\n}\n");
	check_view(f, CONF_READER_LOG,
		"spool_reserve 32M\nhistory {\n\tkeep 7d\n\tsize 256M\n}\n"
		"log {\n\tformat line\n\tto stderr\n}\n");
	check_view(f, CONF_READER_ADMIN,
		"hostname a.example\ncontrol /run/veredus/control\nlisten mx {\n\taddress "
		"*:25\n}\n");
	check_view(f, CONF_READER_LOOKUP,
		"hostname a.example\n"
		"domain b.example {\n\taccounts file /a\n\tmailbox maildir /m/{user}\n\towner "
		"veredus\n}\n"
		"route c.example {\n\tto discard\n}\n");
	check_view(f, CONF_READER_DELIVER,
		"hostname a.example\n"
		"domain b.example {\n\tmailbox maildir /m/{user}\n\towner veredus\n}\nroute "
		"c.example {\n\tto discard\n}\n");
	check_view(f, CONF_READER_QUEUE,
		"hostname a.example\nspool /var/spool/veredus\n"
		"domain b.example {\n\tmailbox maildir /m/{user}\n\towner veredus\n}\nroute "
		"c.example {\n\tto discard\n}\n"
		"message_size_limit 25M\nrecipients_limit 1000\nretry {\n\tfirst 5m\n\tmax "
		"4h\n\texpire 5d\n}\nreports_limit 60\nreport_delay 4h\nreport_original_limit "
		"64K\nreport_targets no\nspool_segment 64M\nspool_reserve 32M\n");
	check_view(f, CONF_READER_SESSION,
		"hostname a.example\nlisten mx {\n\taddress *:25\n\trole mx\n\ttls "
		"starttls\n\ttls_minimum 1.2\n\tbare_newlines "
		"normalize\n\tstrict_paths no\n}\ndomain b.example "
		"{\n\taccounts file /a\n\tdetail +\n}\n"
		"route c.example {\n\tto discard\n}\nsrs {\n\trewrite on\n}\nauthentication "
		"off\nsender_domain off\nclient_names off\ndmarc evident\n"
		"message_size_limit 25M\nrecipients_limit "
		"1000\ncontent_line_limit 16K\nhops_limit 100\n"
		"session_errors_limit 10\nsession_refusals_limit 100\nsession_commands_limit 1000\n"
		"command_line_limit 2K\nsessions_limit 1000\nlimits {\n\tconnections "
		"50\n\tnetwork_connections 200\n\tconnection_rate "
		"60\n\tnetwork_connection_rate 600\n\tcontents 30\n\tnetwork_contents "
		"100\n\tmessage_rate 3000\n\tnetwork_message_rate 12000\n\terror_rate "
		"100\n\tnetwork_error_rate 400\n\tunknown_rate 100\n\tnetwork_unknown_rate "
		"400\n\tlogin_failures 20\n\tnetwork_login_failures 100\n\taccount_failures "
		"50\n\tloopback "
		"exempt\n\tscarce_timeout 20s\n}\n"
		"timeout_command 5m\ntimeout_data 3m\n"
		"timeout_begin 1m\ntimeout_commit 5m\ntimeout_tls 30s\ntimeout_farewell "
		"10s\ncontent_rate_min 64\n"
		"content_excess_limit 32M\nearly_talkers refuse\ngreeting_wait 0s\n"
		"spool_segment 64M\n");
	print(f, &f->conf, CONF_READERS_ALL);
	ck_assert(arena_copy(&f->arena, buffer_slice(&f->out), &f->conf.hostname));
	buffer_clear(&f->out);
	fixture_free(f);
}
END_TEST

START_TEST(root_and_tools_see_all)
{
	struct fixture *f = parse_fine(rich);

	check_view(f, CONF_READER_ROOT, canonical);
	check_view(f, CONF_READER_TOOL, canonical);
	fixture_free(f);
}
END_TEST

/* Who has a resolver uses it. */
START_TEST(authentication_is_on_with_a_resolver)
{
	static const char *const with[] = {"route c.example { to mx }\n",
		"route c.example { to host d.example }\n", "dns { server 127.0.0.1:53 }\n"};
	static const char start[] = "hostname a.example\nlisten mx { address *:25 role mx }\n"
				    "route b.example { to discard }\n";
	char text[256];

	for (size_t i = 0; i < 3; i++) {
		snprintf(text, sizeof text, "%s%s", start, with[i]);
		struct fixture *f = parse_fine(text);
		ck_assert_int_eq(f->conf.authentication, CONF_AUTHENTICATION_ON);
		ck_assert_int_eq(f->conf.dmarc, CONF_DMARC_EVIDENT);
		fixture_free(f);
	}
	struct fixture *f = parse_fine(start);
	ck_assert_int_eq(f->conf.authentication, CONF_AUTHENTICATION_OFF);
	fixture_free(f);
}
END_TEST

/* A view is checked like a file: types, ranges, names. */
START_TEST(views_are_not_trusted)
{
	struct fixture *f = fixture_new();
	struct conf view = {.hops_limit = 7};

	ck_assert_int_eq(conf_parse_view(&f->env, &f->arena, CONF_READER_SESSION,
				 SLICE("hops_limit 0\n"), &view, &f->problems),
		ERROR_FORMAT);
	ck_assert_uint_eq(view.hops_limit, 7);
	conf_problems_format(&f->problems, &f->out);
	ck_assert_slice_eq(buffer_slice(&f->out),
		"configuration:1:1: missing required hostname\n"
		"configuration:1:12: \"hops_limit\" must be from 1 to 1000, found \"0\"\n");
	fixture_free(f);
}
END_TEST

START_TEST(printing_keeps_the_maximum)
{
	struct fixture *f = parse_fine(rich);
	struct buffer small;

	for (size_t max = 0; max < sizeof canonical - 1; max += 13) {
		buffer_init(&small, f->env.memory, max);
		conf_print(&f->conf, CONF_READERS_ALL, &small);
		ck_assert_int_eq(buffer_error(&small), ERROR_LIMIT);
		ck_assert_uint_le(small.len, max);
		buffer_done(&small);
	}
	fixture_free(f);
}
END_TEST

UNIT_MAIN("conf/print", authentication_is_on_with_a_resolver, canonical_text_parses_to_the_same,
	views_parse_to_the_same, readers_see_their_part, root_and_tools_see_all,
	views_are_not_trusted, printing_keeps_the_maximum)
