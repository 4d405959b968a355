/* The lines in front of a delivered message, and finding our own among a stranger's. */
#include "mailbox/head.h"
#include "unit.h"

START_TEST(lines_are_built)
{
	struct memory *memory = memory_new(0);
	struct buffer head;

	buffer_init(&head, memory, 4096);
	ck_assert_ok(mailbox_head_build(SLICE("a@b.example"), SLICE("Jo@example.org"),
		SLICE("Received: x\r\n\tby y\r\n"), &head));
	ck_assert_slice_eq(buffer_slice(&head), "Return-Path: <a@b.example>\r\nDelivered-To: "
						"Jo@example.org\r\nReceived: x\r\n\tby y\r\n");
	buffer_clear(&head);
	ck_assert_ok(
		mailbox_head_build(SLICE(""), SLICE("j\xc3\xb6@example.org"), SLICE(""), &head));
	ck_assert_slice_eq(
		buffer_slice(&head), "Return-Path: <>\r\nDelivered-To: j\xc3\xb6@example.org\r\n");
	memory_free(&memory);
}
END_TEST

START_TEST(no_address_starts_a_line)
{
	struct slice bad[] = {SLICE("a\r\nBcc: x@y"), SLICE("a\rb"), SLICE("a\nb"), SLICE("a\0b"),
		SLICE("\x1b[2J"), SLICE("a\x7f"), SLICE("a\tb")};
	struct memory *memory = memory_new(0);
	struct buffer head;

	buffer_init(&head, memory, 4096);
	buffer_append_text(&head, "before");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		ck_assert_int_eq(
			mailbox_head_build(bad[i], SLICE("jo@example.org"), SLICE(""), &head),
			ERROR_FORMAT);
		ck_assert_int_eq(
			mailbox_head_build(SLICE("a@b"), bad[i], SLICE(""), &head), ERROR_FORMAT);
	}
	ck_assert_int_eq(
		mailbox_head_build(SLICE("a@b"), SLICE(""), SLICE(""), &head), ERROR_FORMAT);
	ck_assert_int_eq(
		mailbox_head_build(SLICE("a@b"), SLICE("c@d"), SLICE("Received: x"), &head),
		ERROR_FORMAT);
	ck_assert_slice_eq(buffer_slice(&head), "before");
	memory_free(&memory);
}
END_TEST

START_TEST(lines_have_limits)
{
	struct memory *memory = memory_new(0);
	struct buffer head;
	char address[1000];
	const size_t path_max = MAILBOX_LINE_MAX - strlen("Return-Path: <>");
	const size_t recipient_max = MAILBOX_LINE_MAX - strlen("Delivered-To: ");

	memset(address, 'a', sizeof address);
	buffer_init(&head, memory, 4096);
	ck_assert_ok(mailbox_head_build(
		slice_of(address, path_max), slice_of(address, recipient_max), SLICE(""), &head));
	ck_assert_int_eq(slice_find(buffer_slice(&head), 0, '\r'), MAILBOX_LINE_MAX);
	ck_assert_uint_eq(head.len, 2 * (MAILBOX_LINE_MAX + 2));
	ck_assert_int_eq(
		mailbox_head_build(slice_of(address, path_max + 1), SLICE("c@d"), SLICE(""), &head),
		ERROR_LIMIT);
	ck_assert_int_eq(mailbox_head_build(SLICE("a@b"), slice_of(address, recipient_max + 1),
				 SLICE(""), &head),
		ERROR_LIMIT);
	ck_assert_uint_eq(head.len, 2 * (MAILBOX_LINE_MAX + 2));
	buffer_done(&head);
	buffer_init(&head, memory, 40);
	ck_assert_int_eq(
		mailbox_head_build(SLICE("a@b"), SLICE("c@d"), SLICE("Received: x\r\n"), &head),
		ERROR_LIMIT);
	ck_assert_uint_eq(head.len, 0);
	memory_free(&memory);
}
END_TEST

#define OURS "Received: from a by mx.example.org with SMTP; x\r\n"

static bool
is_loop(const char *received, const char *header)
{
	char text[1024];

	snprintf(text, sizeof text, "%s%s", received, header);
	return mailbox_head_is_loop(
		slice_text(text), SLICE("jo@example.org"), SLICE("mx.example.org"));
}

START_TEST(loops_are_found)
{
	static const char *const loops[] = {
		"Delivered-To: jo@example.org\r\n\r\n",
		"Received: x\r\n\ty\r\nDELIVERED-TO:JO@EXAMPLE.ORG",
		"Delivered-To: other@example.org\r\ndelivered-to:\t jo@example.org \r\n\r\nbody",
		"Delivered-To :\r\n jo@example.org\r\n\t\r\nSubject: x\r\n\r\n",
		"A: b\nDelivered-To: jo@example.org\n\nbody",
	};
	static const char *const none[] = {
		"",
		"\r\nDelivered-To: jo@example.org\r\n",
		"Subject: x\r\n\r\nDelivered-To: jo@example.org\r\n",
		"Delivered-To: jo@example.orgs\r\n\r\n",
		"Delivered-To: xjo@example.org\r\n\r\n",
		"Delivered-To: jo@example.org, a@b\r\n\r\n",
		"X-Delivered-To: jo@example.org\r\n\r\n",
		"Subject: x\r\n Delivered-To: jo@example.org\r\n\r\n",
		"Delivered-To:\r\n\r\n",
		"Delivered-To: jo@exam\r\n ple.org\r\n\r\n",
	};

	for (size_t i = 0; i < sizeof loops / sizeof *loops; i++)
		ck_assert_msg(is_loop(OURS, loops[i]), "%zu", i);
	for (size_t i = 0; i < sizeof none / sizeof *none; i++)
		ck_assert_msg(!is_loop(OURS, none[i]), "%zu", i);
}
END_TEST

/* A stranger can write a Delivered-To: it is no loop where nothing says that the message was here.
 */
START_TEST(who_was_not_here_makes_no_loop)
{
	static const char delivered[] = "Delivered-To: jo@example.org\r\n\r\n";
	static const char folded[] = "Received: from x (y [192.0.2.1])\r\n"
				     "\tby MX.example.org with ESMTP id 1;\r\n\tMon\r\n";
	static const char *const ours[] = {
		OURS, folded, "Received: by\r\n mx.example.org; Mon\r\n"};
	static const char *const others[] = {"",
		"Received: from mx.example.org by other.example; x\r\n",
		"Received: by mx.example.org.evil.example with SMTP; x\r\n",
		"Received: by mx.example.orgs; x\r\n", "X-Received: by mx.example.org; x\r\n"};

	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
		ck_assert_msg(is_loop(ours[i], delivered), "%zu", i);
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		ck_assert_msg(!is_loop(others[i], delivered), "%zu", i);
}
END_TEST

UNIT_MAIN("mailbox/head", lines_are_built, no_address_starts_a_line, lines_have_limits,
	loops_are_found, who_was_not_here_makes_no_loop)
