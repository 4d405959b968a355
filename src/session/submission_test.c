#include "session/submission.h"
#include "unit.h"

struct outcome {
	struct smtp_reply reply;
	char fields[1024];
	char content[4096]; /* with what was overwritten */
};

/* In pieces of this size. */
static void
submit(const char *content, const char *senders, size_t piece, struct outcome *outcome)
{
	struct session_login login = {SLICE("alice@example.org"), slice_text(senders)};
	struct env env;
	struct slice text = slice_text(content);
	struct smtp_verdict verdict = {.is_junk = false};

	env_init_linux(&env);
	struct submission *submission = submission_new(&env);
	ck_assert_ptr_nonnull(submission);
	for (size_t at = 0; at < text.len; at += piece)
		submission_feed(submission, slice_sub(text, at, piece));
	submission_end(submission, &login, &verdict);
	outcome->reply = verdict.refusal;
	if (verdict.added.len > 0)
		memcpy(outcome->fields, verdict.added.ptr, verdict.added.len);
	outcome->fields[verdict.added.len] = 0;
	ck_assert_uint_lt(text.len, sizeof outcome->content);
	memcpy(outcome->content, content, text.len + 1);
	for (size_t i = 0; i < verdict.overwrite_count; i++)
		memcpy(outcome->content + verdict.overwrites[i].at,
			verdict.overwrites[i].octets.ptr, verdict.overwrites[i].octets.len);
	submission_free(&submission);
	env_done(&env);
}

#define COMPLETE "Date: x\r\nMessage-ID: <y@z>\r\n"

START_TEST(from_must_be_his)
{
	static const struct {
		const char *header;
		unsigned code;
	} cases[] = {
		{"From: alice@example.org\r\n", 0},
		{"From: \"Alice, of A.\" <Alice@Example.ORG> (home)\r\n", 0},
		{"from:\r\n <alice@example.org>\r\n", 0},
		{"From: bob@example.org\r\n", 550},
		{"From: alice@example.org <bob@example.org>\r\n", 550},
		{"From: \"alice@example.org\" <bob@example.org>\r\n", 550},
		{"From: alice@example.org, bob@example.org\r\n", 550},
		{"From: alice@example.org, sales@example.org\r\n", 0},
		{"From: any@lists.test\r\n", 0},
		{"From: alice@example.org\r\nFrom: bob@example.org\r\n", 550},
		{"From: alice@example.org\r\nFrom: alice@example.org\r\n", 550},
		{"From: bob@example.org, alice@example.org\r\n", 550},
		{"From: group: alice@example.org;\r\n", 550},
		{"From: nobody\r\n", 550},
		{"From: \r\n", 550},
		{"From: \"x\"@example.org\r\n", 550},
		{"From: alice (x) @example.org\r\n", 550},
		{"From: bob@example.org\r\nResent-From: alice@example.org\r\n", 0},
		{"From: alice@example.org\r\nResent-From: bob@example.org\r\n", 550},
		{"Resent-From: bob@example.org\r\nResent-From: alice@example.org\r\n", 550},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct outcome outcome;
		char text[512];
		snprintf(text, sizeof text, "%s" COMPLETE "\r\nFrom: in the body\r\n",
			cases[i].header);
		for (size_t piece = 1; piece < 40; piece += 13) {
			submit(text, "sales@example.org,*@lists.test", piece, &outcome);
			ck_assert_msg(outcome.reply.code == cases[i].code, "%s: %u %.*s",
				cases[i].header, outcome.reply.code,
				SLICE_ARGS(outcome.reply.text));
		}
	}
}
END_TEST

START_TEST(what_is_missing_is_added)
{
	struct outcome outcome;

	submit("From: alice@example.org\r\n" COMPLETE "\r\nx\r\n", "", 7, &outcome);
	ck_assert_uint_eq(outcome.reply.code, 0);
	ck_assert_str_eq(outcome.fields, "");
	submit("Subject: x\r\n\r\n" COMPLETE, "", 7, &outcome);
	ck_assert_uint_eq(outcome.reply.code, 0);
	ck_assert_ptr_nonnull(strstr(outcome.fields, "From: <alice@example.org>\r\nDate: "));
	ck_assert_ptr_nonnull(strstr(outcome.fields, " +0000\r\nMessage-ID: <"));
	ck_assert_ptr_nonnull(strstr(outcome.fields, "@example.org>\r\n"));
	struct outcome again;
	submit("Subject: x\r\n\r\n" COMPLETE, "", 7, &again);
	ck_assert_str_ne(strstr(again.fields, "Message-ID"), strstr(outcome.fields, "Message-ID"));
	submit("From: alice@example.org\r\nDate: x\r\n\r\n", "", 7, &outcome);
	ck_assert_msg(strncmp(outcome.fields, "Message-ID: <", 13) == 0, "%s", outcome.fields);
}
END_TEST

/* Hidden in place: line ends and the white space behind them stay. */
START_TEST(nobody_reads_bcc)
{
	static const struct {
		const char *content, *left;
	} cases[] = {{"Bcc: a@b\r\nTo: c@d\r\n\r\nBcc: e@f\r\n",
			     "Bcc:(..)\r\nTo: c@d\r\n\r\nBcc: e@f\r\n"},
		{"bcc :a@b,\r\n c@d\r\n\t\r\n\r\n", "bcc :(...\r\n ..)\r\n\t\r\n\r\n"},
		{"BCC:\r\n\ta@b\r\n\r\n", "BCC:\r\n\t(.)\r\n\r\n"},
		{"Bcc:\r\nResent-Bcc:x\r\nBccx: y\r\n\r\n",
			"Bcc:\r\nResent-Bcc: \r\nBccx: y\r\n\r\n"}};
	struct outcome outcome;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (size_t piece = 1; piece < 40; piece += 13) {
			submit(cases[i].content, "", piece, &outcome);
			ck_assert_uint_eq(outcome.reply.code, 0);
			ck_assert_str_eq(outcome.content, cases[i].left);
		}
}
END_TEST

START_TEST(too_many_bcc)
{
	char content[1024];
	struct outcome outcome;
	struct buffer text;

	buffer_init_fixed(&text, content, sizeof content);
	for (int i = 0; i < 17; i++)
		buffer_append_text(&text, "Bcc: a@b\r\n");
	buffer_append(&text, slice_of("\r\n", 3)); /* with its NUL */
	ck_assert_ok(buffer_error(&text));
	submit(content, "", 100, &outcome);
	ck_assert_uint_eq(outcome.reply.code, 550);
}
END_TEST

UNIT_MAIN("session/submission", from_must_be_his, what_is_missing_is_added, nobody_reads_bcc,
	too_many_bcc)
