/* Texts of the operator's: what is taken, what is refused and where, and what stands in a report.
 */
#include "text/dsn_template.h"
#include "base/memory.h"
#include "unit.h"

#define REPORT_MAX (1u << 20)

START_TEST(what_cannot_be_used_is_said_with_its_line)
{
	static const struct {
		const char *text;
		uint32_t line; /* 0: it is good */
		const char *what;
	} cases[] = {{"Sorry.\n", 0, NULL}, {"Sorry, {sender}\r\n\r\n{recipients}\r\n", 0, NULL},
		{"a\n  {recipients} \nb", 0, NULL}, {"a}\n", 0, NULL}, {"Sch\xc3\xb6n\n", 0, NULL},
		{"", 1, "no text"}, {" \n\n", 1, "no text"},
		{"a\nb {who}\n", 2, "brace starts none"}, {"a {", 1, "brace starts none"},
		{"{Sender}", 1, "brace starts none"}, {"\n\nSch\xf6n", 3, "not UTF-8"},
		{"a\x01", 1, "can't be seen"}, {"a\rb\n", 1, "can't be seen"},
		{"\xef\xbb\xbf"
		 "a\n",
			1, "can't be seen"},
		{"to {recipients}\n", 1, "alone"}, {"{recipients}\n{recipients}\n", 2, "once"},
		{"{reason}\n\n{reason}\n", 3, "once"},
		{"{id} {id} {id}\n{id} {id} {id} {id}\n", 2, "more than 3"}};
	struct dsn_template_fault fault;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		bool is_good = dsn_template_check(slice_text(cases[i].text), &fault);
		ck_assert_msg(is_good == (cases[i].line == 0), "case %zu", i);
		if (is_good)
			continue;
		ck_assert_uint_eq(fault.line, cases[i].line);
		ck_assert_msg(strstr(fault.what, cases[i].what) != NULL, "%s", fault.what);
	}
}
END_TEST

static bool
check_repeated(const char *text, size_t count, struct dsn_template_fault *ret_fault)
{
	struct memory *memory = memory_new(0);
	struct buffer all;

	buffer_init(&all, memory, REPORT_MAX);
	for (size_t i = 0; i < count; i++)
		buffer_append_text(&all, text);
	bool is_good = dsn_template_check(buffer_slice(&all), ret_fault);
	buffer_done(&all);
	memory_free(&memory);
	return is_good;
}

START_TEST(it_has_a_maximum)
{
	struct dsn_template_fault fault;

	ck_assert(check_repeated("x", 400, &fault));
	ck_assert(!check_repeated("x", 401, &fault));
	ck_assert(check_repeated("1234567\n", 2048, &fault));
	ck_assert(!check_repeated("1234567\n", 2049, &fault));
	ck_assert(check_repeated("{id}\n", 16, &fault));
	ck_assert(!check_repeated("{id}\n", 17, &fault));
	ck_assert_uint_eq(fault.line, 17);
}
END_TEST

static enum error
get_recipient(void *context, size_t index, struct dsn_recipient *ret_recipient)
{
	(void)index;
	*ret_recipient = *(struct dsn_recipient *)context;
	return OK;
}

/* The text for people, of a report with this template in English. */
static void
build(const char *template, struct dsn_recipient *recipient, struct buffer *report)
{
	struct dsn_templates templates = {0};
	struct dsn dsn = {.hostname = SLICE("mx.example.org"),
		.reverse_path = SLICE("alice@example.com"),
		.queue_id = SLICE("001j1ic5ji6bt"),
		.date = 1,
		.arrived_at = 1,
		.recipients = {1, get_recipient, recipient},
		.templates = &templates};
	struct dsn_template_fault fault;
	struct dsn_needs needs;

	ck_assert(dsn_template_check(slice_text(template), &fault));
	templates.texts[recipient->action == DSN_FAILED    ? DSN_TEMPLATE_FAILURE
			: recipient->action == DSN_DELAYED ? DSN_TEMPLATE_DELAY
							   : DSN_TEMPLATE_SUCCESS][DSN_ENGLISH] =
		slice_text(template);
	buffer_clear(report);
	ck_assert_ok(dsn_append_prologue(report, &dsn, &needs));
	buffer_append_octet(report, 0);
}

#define HAS(report, text)   ck_assert_msg(strstr((char *)(report).ptr, (text)), "%s", (report).ptr)
#define LACKS(report, text) ck_assert_msg(!strstr((char *)(report).ptr, (text)), "%s", (report).ptr)

START_TEST(it_stands_in_place_of_ours)
{
	struct dsn_recipient recipient = {.action = DSN_FAILED,
		.status = {5, 1, 1},
		.address = SLICE("bob@example.net"),
		.diagnostic = DSN_DIAGNOSTIC_SMTP,
		.text = SLICE("550 no\r\n\r\n--such user")};
	struct memory *memory = memory_new(0);
	struct buffer report;

	buffer_init(&report, memory, REPORT_MAX);
	build("Dear <{sender}>,\n\n  {hostname} ({id}) says: {reason}.\nOnce more at {next_try}.\n"
	      "{recipients}\nBye",
		&recipient, &report);
	HAS(report, "\r\n\r\nDear <alice@example.com>,\r\n\r\n"
		    "  mx.example.org (001j1ic5ji6bt) says: 550 no\r\n  --such user.\r\n\r\n"
		    "<bob@example.net>: not delivered (5.1.1)\r\n");
	HAS(report, "\r\nBye\r\n");
	LACKS(report, "Once more");
	LACKS(report, "This is the mail system");
	/* Each outcome has its own. */
	recipient.action = DSN_DELAYED;
	recipient.next_attempt_at = INT64_C(1795455235000000);
	build("Again at {next_try}.\nUntil {expires}.\n", &recipient, &report);
	HAS(report, "\r\nAgain at Mon, 23 Nov 2026 17:33:55 +0000.\r\n");
	LACKS(report, "Until");
	recipient.action = DSN_RELAYED;
	build("Sch\xc3\xb6n.\n", &recipient, &report);
	HAS(report, "charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
		    "Sch=C3=B6n.\r\n");
	buffer_done(&report);
	memory_free(&memory);
}
END_TEST

START_TEST(a_file_has_a_name)
{
	static const char *const bad[] = {"", "failure", "failure.", "failure.xx", "fail.en",
		"failure.en~", "Failure.en", "success.de.bak"};
	enum dsn_template template;
	enum dsn_language language;
	char storage[32];
	struct buffer name;

	for (unsigned i = 0; i < DSN_TEMPLATES * DSN_LANGUAGES; i++) {
		buffer_init_fixed(&name, storage, sizeof storage);
		dsn_template_append_name(
			&name, i / DSN_LANGUAGES, (enum dsn_language)(i % DSN_LANGUAGES));
		ck_assert(dsn_template_parse_name(buffer_slice(&name), &template, &language));
		ck_assert_uint_eq(template * DSN_LANGUAGES + language, i);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert(!dsn_template_parse_name(slice_text(bad[i]), &template, &language));
}
END_TEST

UNIT_MAIN("text/dsn_template", what_cannot_be_used_is_said_with_its_line, it_has_a_maximum,
	it_stands_in_place_of_ours, a_file_has_a_name)
