#include "smtp/command.h"

#include "unit.h"

static struct smtp_command
parse(const char *line)
{
	struct smtp_command command;

	smtp_command_parse(slice_text(line), false, &command);
	return command;
}

START_TEST(verbs_in_any_case)
{
	static const struct {
		const char *line;
		enum smtp_verb verb;
	} cases[] = {{"HELO a", VERB_HELO}, {"ehlo a", VERB_EHLO}, {"Data", VERB_DATA},
		{"rSeT", VERB_RSET}, {"noop x", VERB_NOOP}, {"HELP", VERB_HELP},
		{"vrfy a", VERB_VRFY}, {"QUIT", VERB_QUIT}, {"QUIT   ", VERB_QUIT},
		{"EXPN a", VERB_NOT_IMPLEMENTED}, {"BDAT 1", VERB_BDAT}, {"AUTH PLAIN", VERB_AUTH},
		{"starttls", VERB_STARTTLS}, {"ETRN", VERB_NOT_IMPLEMENTED},
		{"TURN", VERB_NOT_IMPLEMENTED}, {"SEND FROM:<a@b>", VERB_NOT_IMPLEMENTED},
		{"SOML", VERB_NOT_IMPLEMENTED}, {"SAML", VERB_NOT_IMPLEMENTED},
		{"GET / HTTP/1.1", VERB_HTTP}, {"connect x:25", VERB_HTTP}, {"", VERB_UNKNOWN},
		{" NOOP", VERB_UNKNOWN}, {"NOOPS", VERB_UNKNOWN}, {"NOO", VERB_UNKNOWN}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct smtp_command command = parse(cases[i].line);
		ck_assert_msg(command.verb == cases[i].verb, "%s", cases[i].line);
		ck_assert_msg(command.error.code == 0, "%s", cases[i].line);
	}
}
END_TEST

START_TEST(paths_and_parameters)
{
	struct smtp_command command =
		parse("MAIL FROM:<A@b.c> body=8BitMime Size=12345678901234567890");

	ck_assert_uint_eq(command.error.code, 0);
	ck_assert_slice_eq(command.mailbox, "A@b.c");
	ck_assert_slice_eq(command.address.local_part, "A");
	ck_assert_slice_eq(command.address.domain, "b.c");
	ck_assert_uint_eq(command.size, UINT64_C(12345678901234567890));
	ck_assert_int_eq(command.body, BODY_8BITMIME);
	command = parse("MAIL  FROM:  <>  SIZE=99999999999999999999  BODY=7BIT ");
	ck_assert_uint_eq(command.error.code, 0);
	ck_assert_uint_eq(command.mailbox.len, 0);
	ck_assert_uint_eq(command.size, UINT64_MAX);
	ck_assert_int_eq(command.body, BODY_7BIT);
	command = parse("RCPT TO:<@a.b,@[1.2.3.4]:c@d>");
	ck_assert_uint_eq(command.error.code, 550);
	command = parse("RCPT TO:<@a.b,@c.d:\"x y>\"@[IPv6:::1]>");
	ck_assert_uint_eq(command.error.code, 0);
	ck_assert_slice_eq(command.mailbox, "\"x y>\"@[IPv6:::1]");
	ck_assert(command.address.is_quoted && command.address.is_literal);
	command = parse("RCPT TO:<POSTMASTER>");
	ck_assert_uint_eq(command.error.code, 0);
	ck_assert_slice_eq(command.mailbox, "POSTMASTER");
	ck_assert_uint_eq(command.address.domain.len, 0);
	ck_assert_int_eq(parse("MAIL FROM:<a@b>").body, BODY_UNSTATED);
	command = parse("MAIL FROM:<a@b> ret=hdrs EnvId=QQ+20314159");
	ck_assert_uint_eq(command.error.code, 0);
	ck_assert_int_eq(command.returns, RETURNS_HEADERS);
	ck_assert_slice_eq(command.envelope_id, "QQ+20314159");
	command = parse("RCPT TO:<a@b> ORCPT=rfc822;a+2Bb@c notify=Success,delay");
	ck_assert_uint_eq(command.error.code, 0);
	ck_assert_uint_eq(command.notify, DSN_NOTIFY_SUCCESS | DSN_NOTIFY_DELAY);
	ck_assert_slice_eq(command.original, "rfc822;a+2Bb@c");
}
END_TEST

START_TEST(errors_have_their_codes)
{
	static const struct {
		const char *line;
		uint16_t code, subject, detail;
	} cases[] = {
		{"HELO", 501, 5, 4},
		{"EHLO a b", 501, 5, 4},
		{"EHLO a\tb", 501, 5, 4},
		{"MAIL", 501, 5, 4},
		{"MAIL FROM <a@b>", 501, 5, 4},
		{"MAIL TO:<a@b>", 501, 5, 4},
		{"MAIL FROM:", 501, 5, 4},
		{"MAIL FROM:a@b", 501, 5, 4},
		{"MAIL FROM:<a@b", 501, 5, 4},
		{"MAIL FROM:<a@b c>", 501, 5, 4},
		{"MAIL FROM:<a@b>SIZE=1", 501, 5, 4},
		{"MAIL FROM:<a@b> =1", 501, 5, 4},
		{"MAIL FROM:<a@b> S_Z=1", 501, 5, 4},
		{"MAIL FROM:<a@b> SIZE=", 501, 5, 4},
		{"MAIL FROM:<a@b> SIZE", 501, 5, 4},
		{"MAIL FROM:<a@b> SIZE=-1", 501, 5, 4},
		{"MAIL FROM:<a@b> SIZE=100000000000000000000", 501, 5, 4},
		{"MAIL FROM:<a@b> BODY=BINARYMIME", 501, 5, 4},
		{"MAIL FROM:<a@b> SIZE=1 size=1", 501, 5, 4},
		{"MAIL FROM:<a@b> SMTPUTF8=1", 501, 5, 4},
		{"MAIL FROM:<a@b> AUTH=", 501, 5, 4},
		{"MAIL FROM:<a@b> AUTH=a+2x", 501, 5, 4},
		{"MAIL FROM:<a@b> AUTH=a=b", 501, 5, 4},
		{"MAIL FROM:<a@b> RET=", 501, 5, 4},
		{"MAIL FROM:<a@b> RET=FULL,HDRS", 501, 5, 4},
		{"MAIL FROM:<a@b> ENVID", 501, 5, 4},
		{"MAIL FROM:<a@b> ENVID=+0D", 501, 5, 4},
		{"MAIL FROM:<a@b> ENVID=a ENVID=a", 501, 5, 4},
		{"MAIL FROM:<a@b> NOTIFY=NEVER", 555, 5, 4},
		{"RCPT TO:<a@b> NOTIFY=NEVER,DELAY", 501, 5, 4},
		{"RCPT TO:<a@b> NOTIFY", 501, 5, 4},
		{"RCPT TO:<a@b> ORCPT=a@b", 501, 5, 4},
		{"RCPT TO:<a@b> ORCPT=rfc822;a ORCPT=rfc822;a", 501, 5, 4},
		{"RCPT TO:<a@b> RET=FULL", 555, 5, 4},
		{"AUTH", 501, 5, 4},
		{"MAIL FROM:<a>", 501, 1, 7},
		{"MAIL FROM:<postmaster>", 501, 1, 7},
		{"MAIL FROM:<a@b_c>", 501, 1, 7},
		{"MAIL FROM:<;cmd;>", 501, 1, 7},
		{"MAIL FROM:<@a:>", 501, 1, 7},
		{"MAIL FROM:<@:a@b>", 501, 1, 7},
		{"MAIL FROM:<@a,b:a@b>", 501, 1, 7},
		{"MAIL FROM:<\xc3@b>", 501, 1, 7},
		{"RCPT TO:<>", 501, 1, 3},
		{"RCPT TO:<a>", 501, 1, 3},
		{"RCPT TO:<\xc3@b>", 501, 1, 3},
		{"RCPT TO:<a@\xc2\x9b.b>", 550, 7, 1},
		{"RCPT TO:<a@b> SIZE=1", 555, 5, 4},
		{"RCPT FROM:<a@b>", 501, 5, 4},
		{"DATA x", 501, 5, 4},
		{"RSET x", 501, 5, 4},
		{"QUIT x", 501, 5, 4},
		{"VRFY", 501, 5, 4},
		{"NOOP \x1b[2J", 500, 5, 2},
		{"NOOP \x7f", 500, 5, 2},
		{"RCPT TO:<a@b_c>", 550, 7, 1},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct smtp_reply error = parse(cases[i].line).error;
		ck_assert_msg(error.code == cases[i].code && error.enhanced[0] == 5 &&
				      error.enhanced[1] == cases[i].subject &&
				      error.enhanced[2] == cases[i].detail,
			"%s: %u %u.%u.%u", cases[i].line, error.code, error.enhanced[0],
			error.enhanced[1], error.enhanced[2]);
		ck_assert_uint_gt(error.text.len, 10);
	}
	struct smtp_command command;
	smtp_command_parse(SLICE("MAIL FROM:<a\0@b>"), false, &command);
	ck_assert_uint_eq(command.error.code, 500);
}
END_TEST

/* What honest clients get wrong, and where it must end nevertheless. */
START_TEST(odd_paths_and_names)
{
	static const struct {
		const char *line, *mailbox;
		uint16_t code; /* where odd paths are taken */
		uint16_t strict_code;
	} cases[] = {
		{"MAIL FROM:a@b", "a@b", 0, 501},
		{"MAIL FROM: a@b SIZE=5", "a@b", 0, 501},
		{"RCPT TO:a@b", "a@b", 0, 501},
		{"MAIL FROM:<a..b@c_d.example->", "a..b@c_d.example-", 0, 501},
		{"MAIL FROM:<.a.@b>", ".a.@b", 0, 501},
		{"MAIL FROM:<a>", "a", 0, 501},
		{"MAIL\tFROM:\t<a@b>\tSIZE=1\t", "a@b", 0, 0},
		{"MAIL FROM:<a b@c>", "", 501, 501},
		{"MAIL FROM:<a@b", "", 501, 501},
		{"MAIL FROM:<a\"b@c>", "", 501, 501},
		{"MAIL FROM:", "", 501, 501},
		{"MAIL FROM:<\xc3\xa4@b>", "\xc3\xa4@b", 0, 0},
		{"MAIL FROM:<\xc3@b>", "", 501, 501},
		{"RCPT TO:<a..b@c>", "", 501, 501},
		{"EHLO [300.1.1.1]", "", 0, 0},
		{"EHLO -a.b.", "", 0, 0},
		{"EHLO \xc3\xa4", "", 0, 0},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct smtp_command command;
		smtp_command_parse(slice_text(cases[i].line), true, &command);
		ck_assert_msg(command.error.code == cases[i].code, "%s: %u", cases[i].line,
			command.error.code);
		if (command.error.code == 0)
			ck_assert_slice_eq(command.mailbox, cases[i].mailbox);
		ck_assert_msg(parse(cases[i].line).error.code == cases[i].strict_code, "%s",
			cases[i].line);
	}
}
END_TEST

START_TEST(chunks_are_counted)
{
	static const struct {
		const char *line;
		uint64_t octets;
		bool is_last, is_good;
	} cases[] = {{"BDAT 0", 0, false, true}, {"bdat 12 last", 12, true, true},
		{"BDAT\t7\tLAST ", 7, true, true},
		{"BDAT 18446744073709551616", UINT64_MAX, false, true}, {"BDAT", 0, false, false},
		{"BDAT LAST", 0, false, false}, {"BDAT -1", 0, false, false},
		{"BDAT 1x", 0, false, false}, {"BDAT 1 LAST x", 0, false, false},
		{"BDAT 1 LASTLY", 0, false, false}, {"BDAT 000000000000000000001", 0, false, false},
		{"BDAT 1\001", 0, false, false}};
	struct smtp_command command;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		smtp_command_parse(slice_text(cases[i].line), true, &command);
		ck_assert_int_eq(command.verb, VERB_BDAT);
		ck_assert_int_eq(command.error.code == 0, cases[i].is_good);
		if (!cases[i].is_good)
			continue;
		ck_assert_uint_eq(command.size, cases[i].octets);
		ck_assert_int_eq(command.is_last, cases[i].is_last);
	}
}
END_TEST

UNIT_MAIN("smtp/command", chunks_are_counted, verbs_in_any_case, paths_and_parameters,
	errors_have_their_codes, odd_paths_and_names)
