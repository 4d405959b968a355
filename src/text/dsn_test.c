/* Delivery reports: the typical one to the octet, then each field of it in hostile hands. */
#include "text/dsn.h"
#include "text/dsn_reader_test.h"
#include "text/dsn_texts.h"
#include "text/encode.h"
#include "base/memory.h"
#include "unit.h"

#define TIME INT64_C(1795455235000000) /* Mon, 23 Nov 2026 17:33:55 +0000 */
#define B    "=_00112233445566778899aabbccddeeff"

struct list {
	size_t count;
	size_t repeat; /* the last of `recipients` stands for all further ones */
	struct dsn_recipient recipients[3];
	size_t fail_at; /* calls until get fails; 0: never */
	size_t calls;
};

static enum error
get_recipient(void *context, size_t index, struct dsn_recipient *ret_recipient)
{
	struct list *list = context;

	ck_assert_uint_lt(index, list->repeat ? list->repeat : list->count);
	if (++list->calls == list->fail_at)
		return ERROR_IO;
	*ret_recipient = list->recipients[index < list->count ? index : list->count - 1];
	return OK;
}

static struct list
one_recipient(void)
{
	return (struct list){.count = 1,
		.recipients = {{
			.action = DSN_FAILED,
			.status = {5, 1, 1},
			.address = SLICE("bob@example.net"),
			.remote_mta = SLICE("mail.example.net"),
			.diagnostic = DSN_DIAGNOSTIC_SMTP,
			.text = SLICE("550-5.1.1 <bob@example.net>: no such user here\r\n"
				      "550 5.1.1 we have looked everywhere"),
			.attempted_at = TIME + 60 * US_PER_S,
		}}};
}

static struct dsn
report_of(struct list *list)
{
	struct dsn dsn = {
		.hostname = SLICE("mx.example.org"),
		.reverse_path = SLICE("alice@example.com"),
		.queue_id = SLICE("4KXZ7Q"),
		.date = TIME + 120 * US_PER_S,
		.arrived_at = TIME,
		.recipients = {.count = list->repeat ? list->repeat : list->count,
			.get = get_recipient,
			.context = list},
		.header = SLICE("From: Alice <alice@example.com>\r\n"
				"Subject: lunch\r\n"
				"Message-ID: <1@example.com>\r\n"),
	};
	for (uint8_t i = 0; i < DSN_RANDOM; i++)
		dsn.random[i] = (uint8_t)(i * 17);
	return dsn;
}

/* The whole report; sound as far as the reader sees. */
static struct slice
built(const struct dsn *dsn, struct dsn_needs *needs)
{
	static uint8_t storage[DSN_OCTETS_MAX(40, 4096)];
	struct buffer buffer;

	buffer_init_fixed(&buffer, storage, sizeof storage);
	ck_assert_ok(dsn_append_prologue(&buffer, dsn, needs));
	if (dsn->returns == DSN_RETURN_FULL)
		buffer_append(&buffer, SLICE("Subject: lunch\r\n\r\nToday?\r\n"));
	ck_assert_ok(dsn_append_epilogue(&buffer, dsn));
	ck_assert(reader_lines_are_sound(buffer_slice(&buffer)));
	return buffer_slice(&buffer);
}

static struct reader_report
parts_of(const struct dsn *dsn)
{
	struct reader_report report;
	struct dsn_needs needs;

	ck_assert(reader_split(built(dsn, &needs), &report));
	ck_assert(reader_status_is_sound(report.part[1].body, dsn->recipients.count));
	return report;
}

/* The recipient's group in the status. */
static struct slice
group_of(const struct dsn *dsn, size_t index)
{
	struct slice body = parts_of(dsn).part[1].body, group;

	ck_assert(reader_group(&body, &group));
	for (size_t i = 0; i <= index; i++)
		ck_assert(reader_group(&body, &group));
	return group;
}

static struct slice
value_of(struct slice header, struct slice name)
{
	struct slice value = {0};

	ck_assert_uint_eq(reader_field(header, name, &value), 1);
	return value;
}

static bool
contains(struct slice text, struct slice part)
{
	for (size_t i = 0; i + part.len <= text.len; i++)
		if (slice_has_prefix(slice_from(text, i), part))
			return true;
	return false;
}

START_TEST(typical)
{
	static const char expected[] =
		"From: \"Mail Delivery System\" <MAILER-DAEMON@mx.example.org>\r\n"
		"To: <alice@example.com>\r\n"
		"Subject: Undelivered mail: bob@example.net\r\n"
		"Date: Mon, 23 Nov 2026 17:35:55 +0000\r\n"
		"Message-ID: <4KXZ7Q.0011223344556677@mx.example.org>\r\n"
		"In-Reply-To: <1@example.com>\r\n"
		"References: <1@example.com>\r\n"
		"Auto-Submitted: auto-replied\r\n"
		"MIME-Version: 1.0\r\n"
		"Content-Type: multipart/report; report-type=delivery-status;\r\n"
		" boundary=\"" B "\"\r\n"
		"\r\n"
		"This is a delivery report in MIME form (RFC 3464, RFC 6522).\r\n"
		"\r\n--" B "\r\n"
		"Content-Description: Notification\r\n"
		"Content-Type: text/plain; charset=us-ascii\r\n"
		"\r\n"
		"This is the mail system at mx.example.org with news of a message that came\r\n"
		"from your address on Mon, 23 Nov 2026 17:33:55 +0000 and has the queue id\r\n"
		"4KXZ7Q.\r\n"
		"\r\n"
		"It could not be delivered as shown below, and will not be tried again.\r\n"
		"\r\n"
		"<bob@example.net>: not delivered (5.1.1)\r\n"
		"    mail.example.net answered:\r\n"
		"        550-5.1.1 <bob@example.net>: no such user here\r\n"
		"        550 5.1.1 we have looked everywhere\r\n"
		"    Please check the address for mistakes, or ask the person for the present\r\n"
		"    address.\r\n"
		"\r\n"
		"The next part of this report is for programs. Behind it is the header of\r\n"
		"your message.\r\n"
		"\r\n--" B "\r\n"
		"Content-Description: Delivery report\r\n"
		"Content-Type: message/delivery-status\r\n"
		"\r\n"
		"Original-Envelope-Id: QQ314159\r\n"
		"Reporting-MTA: dns; mx.example.org\r\n"
		"Arrival-Date: Mon, 23 Nov 2026 17:33:55 +0000\r\n"
		"X-Veredus-Queue-Id: 4KXZ7Q\r\n"
		"\r\n"
		"Original-Recipient: rfc822; bob@example.net\r\n"
		"Final-Recipient: rfc822; bob@example.net\r\n"
		"Action: failed\r\n"
		"Status: 5.1.1\r\n"
		"Remote-MTA: dns; mail.example.net\r\n"
		"Diagnostic-Code: smtp; 550-5.1.1 <bob@example.net>: no such user here\r\n"
		" 550 5.1.1 we have looked everywhere\r\n"
		"Last-Attempt-Date: Mon, 23 Nov 2026 17:34:55 +0000\r\n"
		"\r\n--" B "\r\n"
		"Content-Description: Header of the original message\r\n"
		"Content-Type: text/rfc822-headers\r\n"
		"\r\n"
		"From: Alice <alice@example.com>\r\n"
		"Subject: lunch\r\n"
		"Message-ID: <1@example.com>\r\n"
		"\r\n--" B "--\r\n";
	struct list list = one_recipient();
	struct dsn dsn = report_of(&list);
	struct dsn_needs needs = {true, true};

	dsn.envelope_id = SLICE("QQ314159");
	list.recipients[0].original_address = SLICE("bob@example.net");
	ck_assert_slice_eq(built(&dsn, &needs), expected);
	ck_assert(!needs.is_8bit && !needs.is_smtputf8);
}
END_TEST

START_TEST(actions)
{
	static const struct {
		enum dsn_action action;
		const char *word, *status, *subject, *people;
	} cases[] = {
		{DSN_FAILED, " failed", " 5.0.0", " Undelivered mail: bob@example.net",
			"not delivered (5.0.0)"},
		{DSN_DELAYED, " delayed", " 4.0.0", " Delayed mail: bob@example.net",
			"until Tue, 24 Nov 2026 17:33:55 +0000."},
		{DSN_RELAYED, " relayed", " 2.0.0", " Relayed mail: bob@example.net",
			"passed on (2.0.0)"},
		{DSN_EXPANDED, " expanded", " 2.0.0", " Mail sent to a list: bob@example.net",
			"a list of addresses (2.0.0)"},
		{DSN_DELIVERED, " delivered", " 2.0.0", " Delivered mail: bob@example.net",
			": delivered (2.0.0)"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct list list = one_recipient();
		struct dsn dsn = report_of(&list);
		list.recipients[0].action = cases[i].action;
		list.recipients[0].status = (struct enhanced_status){9, 1000, 1};
		list.recipients[0].will_retry_until = TIME + 86400 * US_PER_S;
		struct slice group = group_of(&dsn, 0), value;
		ck_assert_slice_eq(value_of(group, SLICE("Action:")), cases[i].word);
		ck_assert_slice_eq(value_of(group, SLICE("Status:")), cases[i].status);
		ck_assert_uint_eq(reader_field(group, SLICE("Will-Retry-Until:"), &value),
			cases[i].action == DSN_DELAYED);
		struct reader_report report = parts_of(&dsn);
		ck_assert_slice_eq(value_of(report.header, SLICE("Subject:")), cases[i].subject);
		ck_assert(contains(report.part[0].body, slice_text(cases[i].people)));
	}
}
END_TEST

START_TEST(many_recipients)
{
	struct list list = one_recipient();

	list.count = 2;
	list.recipients[1] = list.recipients[0];
	list.recipients[0].action = DSN_DELIVERED;
	list.repeat = 40;
	struct dsn dsn = report_of(&list);
	struct reader_report report = parts_of(&dsn);
	ck_assert_slice_eq(value_of(report.header, SLICE("Subject:")),
		" Undelivered mail: bob@example.net and 38 more");
	ck_assert(contains(report.part[0].body, SLICE("This is what became of it.")));
	ck_assert(contains(report.part[0].body, SLICE("and 30 more recipients.")));
	ck_assert_slice_eq(value_of(group_of(&dsn, 39), SLICE("Final-Recipient:")),
		" rfc822; bob@example.net");
	list.repeat = dsn.recipients.count = DSN_SPELLED_OUT_MAX + 1;
	ck_assert(contains(parts_of(&dsn).part[0].body, SLICE("and 1 more recipient.")));
	list.repeat = dsn.recipients.count = DSN_SPELLED_OUT_MAX;
	ck_assert(!contains(parts_of(&dsn).part[0].body, SLICE("more recipient")));
}
END_TEST

START_TEST(hostile_texts)
{
	struct list list = one_recipient();
	struct dsn dsn = report_of(&list);
	struct dsn_recipient *recipient = &list.recipients[0];

	recipient->text =
		SLICE("\r\n550 a\tb\r\rX-Evil: 1\n\n\r\n--" B "--\r\n\0\x1b[31m\x7f\xff end \r\n");
	recipient->remote_mta = SLICE("mx\r\nStatus: 2.0.0\r\n\r\nAction: delivered");
	recipient->address = SLICE("a\r\nb\0@c");
	recipient->original_type = SLICE("x;y\r\nz");
	recipient->original_address = SLICE("o\n@p");
	dsn.queue_id = SLICE("4K\r\n\r\n>");
	dsn.envelope_id = SLICE("e\r\n\r\nFinal-Recipient: rfc822; x");
	struct slice group = group_of(&dsn, 0);
	ck_assert_slice_eq(value_of(group, SLICE("Diagnostic-Code:")),
		" smtp; 550 a b\r\n X-Evil: 1\r\n --" B "--\r\n ??[31m?? end");
	ck_assert_slice_eq(value_of(group, SLICE("Remote-MTA:")),
		" dns; mx\r\n Status: 2.0.0\r\n Action: delivered");
	ck_assert_slice_eq(value_of(group, SLICE("Final-Recipient:")), " rfc822; a??b?@c");
	ck_assert_slice_eq(value_of(group, SLICE("Original-Recipient:")), " x-y--z; o?@p");
	struct reader_report report = parts_of(&dsn);
	ck_assert_slice_eq(value_of(report.header, SLICE("Message-ID:")),
		" <4K-----.0011223344556677@mx.example.org>");
	ck_assert_slice_eq(
		value_of(report.header, SLICE("Subject:")), " Undelivered mail: a??b?@c");
}
END_TEST

START_TEST(long_texts)
{
	static uint8_t octets[4000];
	struct list list = one_recipient();
	struct dsn dsn = report_of(&list);
	struct slice value;

	memset(octets, 'w', sizeof octets);
	list.recipients[0].text = slice_of(octets, sizeof octets);
	list.recipients[0].address = slice_of(octets, sizeof octets);
	struct slice group = group_of(&dsn, 0);
	value = value_of(group, SLICE("Diagnostic-Code:"));
	ck_assert_uint_eq(value.len, 6 + DSN_DIAGNOSTIC_MAX + 10 * 3 + 3 + 5);
	ck_assert(slice_has_suffix(value, SLICE("w\r\n [...]")));
	value = value_of(group, SLICE("Final-Recipient:"));
	ck_assert_uint_eq(value.len, 9 + DSN_ADDRESS_MAX + 5);
	ck_assert(slice_has_suffix(value, SLICE("w[...]")));
	list.recipients[0].address = slice_of(octets, DSN_ADDRESS_MAX);
	value = value_of(group_of(&dsn, 0), SLICE("Final-Recipient:"));
	ck_assert_uint_eq(value.len, 9 + DSN_ADDRESS_MAX);
}
END_TEST

START_TEST(utf8_in_seven_bits)
{
	struct list list = one_recipient();
	struct dsn dsn = report_of(&list);
	struct dsn_needs needs = {true, true};

	list.recipients[0].address = SLICE("j\xc3\xbcrgen+a=\\b@x.test");
	list.recipients[0].text = SLICE("550 ung\xc3\xbcltig \xe2\x80\xae \xf0\x9f\x90\x8e");
	struct slice text = built(&dsn, &needs);
	ck_assert(!needs.is_8bit && !needs.is_smtputf8);
	for (size_t i = 0; i < text.len; i++)
		ck_assert_uint_lt(text.ptr[i], 128);
	struct slice group = group_of(&dsn, 0);
	ck_assert_slice_eq(value_of(group, SLICE("Final-Recipient:")),
		" utf-8; j\\x{FC}rgen\\x{2B}a\\x{3D}\\x{5C}b@x.test");
	ck_assert_slice_eq(value_of(group, SLICE("Diagnostic-Code:")),
		" smtp; 550 ung\\x{FC}ltig ? \\x{1F40E}");
	struct reader_report report = parts_of(&dsn);
	ck_assert_slice_eq(value_of(report.part[1].header, SLICE("Content-Type:")),
		" message/delivery-status");
	ck_assert_slice_eq(value_of(report.part[0].header, SLICE("Content-Transfer-Encoding:")),
		" quoted-printable");
	ck_assert(contains(
		report.part[0].body, SLICE("        550 ung=C3=BCltig ? =F0=9F=90=8E\r\n")));
}
END_TEST

START_TEST(utf8_as_it_is)
{
	struct list list = one_recipient();
	struct dsn dsn = report_of(&list);
	struct dsn_needs needs = {false, false};

	dsn.is_smtputf8 = true;
	dsn.reverse_path = SLICE("k\xc3\xb6ln@x.test");
	dsn.header = SLICE("Subject: \xc3\xbc\r\n");
	list.recipients[0].address = SLICE("j\xc3\xbcrgen+a@x.test");
	(void)built(&dsn, &needs);
	ck_assert(needs.is_8bit && needs.is_smtputf8);
	ck_assert_slice_eq(value_of(group_of(&dsn, 0), SLICE("Final-Recipient:")),
		" utf-8; j\xc3\xbcrgen+a@x.test");
	struct reader_report report = parts_of(&dsn);
	ck_assert_slice_eq(value_of(report.header, SLICE("To:")), " <k\xc3\xb6ln@x.test>");
	ck_assert_slice_eq(value_of(report.header, SLICE("Content-Transfer-Encoding:")), " 8bit");
	ck_assert_slice_eq(value_of(report.part[1].header, SLICE("Content-Type:")),
		" message/global-delivery-status");
	ck_assert_slice_eq(
		value_of(report.part[2].header, SLICE("Content-Type:")), " message/global-headers");
	ck_assert_slice_eq(report.part[2].body, "Subject: \xc3\xbc\r\n");
	dsn.reverse_path = SLICE("a@x.test");
	list.recipients[0].address = SLICE("b@x.test");
	dsn.header = SLICE("Subject: u\r\n");
	(void)built(&dsn, &needs);
	ck_assert(!needs.is_8bit && !needs.is_smtputf8);
}
END_TEST

START_TEST(original_header)
{
	static const struct {
		struct slice header;
		const char *type, *body;
	} cases[] = {
		{SLICE_INIT("A: 1\r\nB: 2\r\n\r\nsecret\r\n"), " text/rfc822-headers",
			"A: 1\r\nB: 2\r\n"},
		{SLICE_INIT("A: 1\r\n\t2"), " text/rfc822-headers", "A: 1\r\n\t2\r\n"},
		{SLICE_INIT("A: 1\nB: 2\n"), " text/rfc822-headers", "A: 1\r\nB: 2\r\n"},
		{SLICE_INIT("A: \xc3\xbc=\r\n"), " text/rfc822-headers; charset=utf-8",
			"A: =C3=BC=3D\r\n"},
		{SLICE_INIT("A: \xfc\0\rB: x\r\n"), " text/rfc822-headers; charset=unknown-8bit",
			"A: =FC=00=0DB: x\r\n"},
		{SLICE_INIT("A: \r\n --" B "--\r\n"), " text/rfc822-headers",
			"A:=20\r\n --=3D_00112233445566778899aabbccddeeff--\r\n"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct list list = one_recipient();
		struct dsn dsn = report_of(&list);
		dsn.header = cases[i].header;
		struct reader_report report = parts_of(&dsn);
		ck_assert_uint_eq(report.parts, 3);
		ck_assert_slice_eq(
			value_of(report.part[2].header, SLICE("Content-Type:")), cases[i].type);
		ck_assert_slice_eq(report.part[2].body, cases[i].body);
	}
}
END_TEST

START_TEST(long_header_line)
{
	static uint8_t octets[1002];
	struct list list = one_recipient();
	struct dsn dsn = report_of(&list);
	struct slice value;

	memset(octets, 'l', sizeof octets);
	octets[1] = ':';
	for (size_t len = DSN_LINE_MAX; len <= DSN_LINE_MAX + 1; len++) {
		octets[len] = '\r';
		octets[len + 1] = '\n';
		dsn.header = slice_of(octets, len + 2);
		struct reader_report report = parts_of(&dsn);
		ck_assert_uint_eq(reader_field(report.part[2].header,
					  SLICE("Content-Transfer-Encoding:"), &value),
			len > DSN_LINE_MAX);
		octets[len] = octets[len + 1] = 'l';
	}
}
END_TEST

START_TEST(no_header)
{
	struct list list = one_recipient();
	struct dsn dsn = report_of(&list);

	dsn.header = SLICE("");
	ck_assert_uint_eq(parts_of(&dsn).parts, 2);
	dsn.header = SLICE("no field here\r\n");
	ck_assert_uint_eq(parts_of(&dsn).parts, 2);
}
END_TEST

START_TEST(references)
{
	static const struct {
		struct slice header;
		size_t count;
	} cases[] = {
		{SLICE_INIT("message-id:\r\n <a@b>\r\n"), 1},
		{SLICE_INIT("Message-ID: <a@b\r\n c>\r\n"), 0},
		{SLICE_INIT("Message-ID: <a b@c>\r\n"), 0},
		{SLICE_INIT("Message-ID: <ab>\r\n"), 0},
		{SLICE_INIT("Message-ID: >a@b<\r\n"), 0},
		{SLICE_INIT("Message-ID: <<a@b>>\r\n"), 0},
		{SLICE_INIT("Message-ID: <a\xc3\xbc@b>\r\n"), 0},
		{SLICE_INIT("Subject: x\r\n"), 0},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct list list = one_recipient();
		struct dsn dsn = report_of(&list);
		struct slice value;
		dsn.header = cases[i].header;
		struct reader_report report = parts_of(&dsn);
		ck_assert_msg(reader_field(report.header, SLICE("In-Reply-To:"), &value) ==
				      cases[i].count,
			"case %zu", i);
		ck_assert_msg(
			reader_field(report.header, SLICE("References:"), &value) == cases[i].count,
			"case %zu", i);
	}
}
END_TEST

START_TEST(full_content)
{
	struct list list = one_recipient();
	struct dsn dsn = report_of(&list);
	struct dsn_needs needs;

	dsn.returns = DSN_RETURN_FULL;
	struct reader_report report = parts_of(&dsn);
	ck_assert_slice_eq(
		value_of(report.part[2].header, SLICE("Content-Type:")), " message/rfc822");
	ck_assert_slice_eq(report.part[2].body, "Subject: lunch\r\n\r\nToday?\r\n");
	dsn.content_is_8bit = true;
	(void)built(&dsn, &needs);
	ck_assert(needs.is_8bit && !needs.is_smtputf8);
	dsn.is_smtputf8 = dsn.header_is_cut = true;
	ck_assert_slice_eq(
		value_of(parts_of(&dsn).part[2].header, SLICE("Content-Type:")), " message/global");
	(void)built(&dsn, &needs);
	ck_assert(needs.is_8bit && needs.is_smtputf8);
}
END_TEST

static enum error
attempt(const struct dsn *dsn)
{
	static uint8_t storage[DSN_OCTETS_MAX(1, 4096)];
	struct dsn_needs needs;
	struct buffer buffer;

	buffer_init_fixed(&buffer, storage, sizeof storage);
	buffer_append(&buffer, SLICE("before"));
	enum error error = dsn_append_prologue(&buffer, dsn, &needs);
	ck_assert(error == OK || buffer.len == 6);
	return error;
}

START_TEST(refused)
{
	static const struct slice paths[] = {SLICE_INIT(""), SLICE_INIT("a@b\r\nBcc: c@d"),
		SLICE_INIT("a@b>, <c@d"), SLICE_INIT("a b@c"), SLICE_INIT("a@b\0"),
		SLICE_INIT("\xff@b"), SLICE_INIT("\xe2\x80\xae@b"), SLICE_INIT("\xc2\x85@b")};
	struct list list = one_recipient();
	struct dsn dsn = report_of(&list);

	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		dsn.reverse_path = paths[i];
		ck_assert_msg(attempt(&dsn) == ERROR_FORMAT, "case %zu", i);
	}
	dsn.reverse_path = SLICE("\"a b\"@[192.0.2.1]");
	ck_assert_ok(attempt(&dsn));
	dsn.hostname = SLICE("mx\r\nX: y");
	ck_assert_int_eq(attempt(&dsn), ERROR_FORMAT);
	dsn.hostname = SLICE("[192.0.2.7]");
	ck_assert_ok(attempt(&dsn));
	dsn.mailer_domain = SLICE("a b");
	ck_assert_int_eq(attempt(&dsn), ERROR_FORMAT);
	dsn.mailer_domain = SLICE("example.org");
	ck_assert_slice_eq(value_of(parts_of(&dsn).header, SLICE("From:")),
		" \"Mail Delivery System\" <MAILER-DAEMON@example.org>");
	list.recipients[0].address = SLICE("");
	ck_assert_int_eq(attempt(&dsn), ERROR_FORMAT);
	list.recipients[0].address = SLICE("b@c");
	list.recipients[0].action = DSN_ACTIONS;
	ck_assert_int_eq(attempt(&dsn), ERROR_FORMAT);
	dsn.recipients.count = 0;
	ck_assert_int_eq(attempt(&dsn), ERROR_FORMAT);
}
END_TEST

/* Every maximum that is too small is an error, and so is every failure of the list. */
START_TEST(failures)
{
	static uint8_t storage[8192];
	struct list list = one_recipient();
	struct dsn dsn = report_of(&list);
	struct dsn_needs needs = {true, true};
	struct buffer buffer;
	enum error error;
	size_t max = 0;

	for (;; max++) {
		buffer_init_fixed(&buffer, storage, max);
		error = dsn_append_prologue(&buffer, &dsn, &needs);
		if (error == OK)
			break;
		ck_assert_int_eq(error, ERROR_LIMIT);
		ck_assert_uint_eq(buffer.len, 0);
		ck_assert(needs.is_8bit);
	}
	ck_assert_uint_eq(buffer.len, max);
	ck_assert_int_eq(dsn_append_epilogue(&buffer, &dsn), ERROR_LIMIT);
	for (list.fail_at = 1; list.fail_at < 10; list.fail_at++) {
		list.calls = 0;
		error = attempt(&dsn);
		if (error == OK)
			break;
		ck_assert_int_eq(error, ERROR_IO);
	}
	ck_assert_uint_eq(list.fail_at, 5); /* it is called four times */
}
END_TEST

/* The worst that the rules let through fits into the documented maximum, whatever its kind. */
START_TEST(largest)
{
	static const struct slice worst[] = {SLICE_INIT("a\n"), SLICE_INIT("\xc3\xbc\n"),
		SLICE_INIT("\xc3\xbc"), SLICE_INIT("\xf4\x8f\xbf\xbf\n"), SLICE_INIT("\\"),
		SLICE_INIT("="), SLICE_INIT("\xc3\xbc="), SLICE_INIT("\x01")};
	static uint8_t octets[4096];

	for (size_t i = 0; i < sizeof worst / sizeof *worst; i++) {
		for (size_t at = 0; at < sizeof octets; at++)
			octets[at] = worst[i].ptr[at % worst[i].len];
		struct slice text = slice_of(octets, sizeof octets);
		struct list list = {.count = 1,
			.repeat = 40,
			.recipients = {{.action = DSN_DELAYED,
				.address = text,
				.original_address = text,
				.original_type = SLICE("utf-8"),
				.remote_mta = text,
				.diagnostic = DSN_DIAGNOSTIC_LOCAL,
				.text = text,
				.attempted_at = TIME,
				.will_retry_until = TIME}}};
		struct dsn dsn = report_of(&list);
		dsn.envelope_id = dsn.queue_id = text;
		uint8_t header[4096];
		memset(header, 1, sizeof header);
		header[0] = 'A';
		header[1] = ':';
		dsn.header = slice_of(header, sizeof header);
		(void)parts_of(&dsn);
		dsn.is_smtputf8 = true;
		(void)parts_of(&dsn);
	}
}
END_TEST

/* Each sentence is there in each language, is UTF-8, and has the placeholders that the English one
 * has. */
START_TEST(languages_are_whole)
{
	static const char *const names[] = {"{host}", "{date}", "{id}", "{count}"};
	const char *const *english = (const char *const *)dsn_texts_of(DSN_ENGLISH);

	for (int language = 0; language < DSN_LANGUAGES; language++) {
		const char *const *texts =
			(const char *const *)dsn_texts_of((enum dsn_language)language);
		for (size_t i = 0; i < sizeof(struct dsn_texts) / sizeof *texts; i++) {
			ck_assert_msg(texts[i] && texts[i][0], "%d: %s", language, english[i]);
			ck_assert_int_eq(utf8_find_fault(slice_text(texts[i])), -1);
			ck_assert_uint_lt(strlen(texts[i]), 1000);
			for (size_t j = 0; j < sizeof names / sizeof *names; j++)
				ck_assert_msg(!strstr(texts[i], names[j]) ==
						      !strstr(english[i], names[j]),
					"%d: %s", language, texts[i]);
		}
	}
}
END_TEST

START_TEST(languages_in_order)
{
	static const enum dsn_language languages[] = {DSN_RUSSIAN, DSN_GERMAN};
	static const char *const parts[] = {"=D0=AD=D1=82=D0=BE", "* * *",
		"Dies ist das Mailsystem mx.example.org", "am Mon, 23 Nov 2026 17:33:55 +0000 von",
		"* * *", "This is the mail system at mx.example.org with"};
	struct list list = one_recipient();
	struct dsn dsn = report_of(&list);
	struct memory *memory = memory_new(0);
	struct dsn_needs needs;
	struct buffer report;

	dsn.languages = languages;
	dsn.language_count = 2;
	buffer_init(&report, memory, DSN_OCTETS_MAX(1, dsn.header.len));
	ck_assert_ok(dsn_append_prologue(&report, &dsn, &needs));
	buffer_append_octet(&report, 0);
	const char *at = (const char *)report.ptr;
	ck_assert_ptr_nonnull(strstr(at, "text/plain; charset=utf-8"));
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		at = strstr(at, parts[i]);
		ck_assert_msg(at != NULL, "%s is not there", parts[i]);
	}
	buffer_done(&report);
	memory_free(&memory);
}
END_TEST

UNIT_MAIN("text/dsn", languages_are_whole, languages_in_order, typical, actions, many_recipients,
	hostile_texts, long_texts, utf8_in_seven_bits, utf8_as_it_is, original_header,
	long_header_line, no_header, references, full_content, refused, failures, largest)
