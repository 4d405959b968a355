/* Which templates are taken, and that no address leads out of its component or into another's
 * mailbox. */
#include "mailbox/template.h"
#include "unit.h"

static enum error
expand(struct memory *memory, const char *template, const char *local, const char *domain,
	struct buffer *path)
{
	buffer_init(path, memory, 8192);
	return mailbox_template_expand(
		slice_text(template), slice_text(local), slice_text(domain), path);
}

START_TEST(templates_are_checked)
{
	static const char *const good[] = {"/var/mail/{domain}/{user}", "/home/{user}/Maildir",
		"/{user}", "/all", "/var/mail/{user}@{domain}", "/m/{domain}:x{user}",
		"/..a/.{user}", "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/{user}"};
	static const char *const bad[] = {"", "/", "var/mail/{user}", "/var//{user}",
		"/var/mail/{user}/", "/var/../{user}", "/var/./{user}", "/{home}", "/{user",
		"/user}", "/{}", "/{User}", "/{user}{domain}", "/m/x{user}.{domain}",
		"/{user}-{domain}", "/{user}AF{domain}", "/{user}%{domain}", "/a\n{user}", "/a\x7f",
		"/{{user}}"};
	const char *problem;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		ck_assert_msg(
			mailbox_template_check(slice_text(good[i]), &problem) == OK, "%s", good[i]);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		problem = NULL;
		ck_assert_msg(mailbox_template_check(slice_text(bad[i]), &problem) == ERROR_FORMAT,
			"%s", bad[i]);
		ck_assert_ptr_nonnull(problem);
	}
	ck_assert_int_eq(mailbox_template_check(SLICE("/a\0b"), &problem), ERROR_FORMAT);
}
END_TEST

START_TEST(templates_have_limits)
{
	static char text[MAILBOX_TEMPLATE_MAX + 2];
	const char *problem;

	memset(text, 'a', sizeof text);
	text[0] = '/';
	ck_assert_ok(mailbox_template_check(slice_of(text, 1 + MAILBOX_COMPONENT_MAX), &problem));
	ck_assert_int_eq(
		mailbox_template_check(slice_of(text, 2 + MAILBOX_COMPONENT_MAX), &problem),
		ERROR_LIMIT);
	ck_assert_int_eq(mailbox_template_check(slice_of(text, MAILBOX_TEMPLATE_MAX + 1), &problem),
		ERROR_LIMIT);
	ck_assert_int_eq(mailbox_template_check(
				 SLICE("/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17"), &problem),
		ERROR_LIMIT);
}
END_TEST

START_TEST(root_is_the_fixed_part)
{
	ck_assert_slice_eq(mailbox_template_root(SLICE("/var/mail/{domain}/{user}")), "/var/mail");
	ck_assert_slice_eq(mailbox_template_root(SLICE("/var/mail/x{domain}/{user}")), "/var/mail");
	ck_assert_slice_eq(mailbox_template_root(SLICE("/home/{user}/Maildir")), "/home");
	ck_assert_slice_eq(mailbox_template_root(SLICE("/{user}")), "/");
	ck_assert_slice_eq(mailbox_template_root(SLICE("/var/mail/all")), "/var/mail");
	ck_assert_slice_eq(mailbox_template_root(SLICE("/all")), "/");
}
END_TEST

START_TEST(values_are_encoded)
{
	static const struct {
		const char *template, *local, *domain, *path;
	} cases[] = {
		{"/var/mail/{domain}/{user}", "jo", "example.org", "example.org/jo"},
		{"/var/mail/{domain}/{user}", "Jo.Smith+Tag", "EXAMPLE.Org",
			"example.org/jo.smith+tag"},
		{"/v/{user}", "..", "d", "%2E."},
		{"/v/{user}", ".", "d", "%2E"},
		{"/v/{user}", "../../etc/passwd", "d", "%2E.%2F..%2Fetc%2Fpasswd"},
		{"/v/{user}", "-rf", "d", "%2Drf"},
		{"/v/{user}", "a-b_c=d", "d", "a-b_c=d"},
		{"/v/{user}", "a%2Fb", "d", "a%252fb"},
		{"/v/{user}", "a:2,S b*?|&~'\"\\`$", "d",
			"a%3A2%2Cs%20b%2A%3F%7C%26%7E%27%22%5C%60%24"},
		{"/v/{user}", "\xc3\xbc\n\x01\x7f", "d", "%C3%BC%0A%01%7F"},
		{"/v/{user}@{domain}/Maildir", "a@b", "[10.0.0.1]", "a%40b@%5B10.0.0.1%5D/Maildir"},
		{"/v/.{user}", ".", "d", ".%2E"},
		{"/v/x/all", "jo", "d", "all"},
		{"/all", "jo", "d", "all"},
		{"/{user}", "jo", "d", "jo"},
		{"/{user}/x", "jo", "d", "jo/x"},
	};
	struct memory *memory = memory_new(0);
	struct buffer path;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ck_assert_ok(
			expand(memory, cases[i].template, cases[i].local, cases[i].domain, &path));
		ck_assert_slice_eq(buffer_slice(&path), cases[i].path);
	}
	ck_assert_int_eq(expand(memory, "/v/{user}", "", "d", &path), ERROR_FORMAT);
	ck_assert_int_eq(expand(memory, "/v/{domain}/{user}", "jo", "", &path), ERROR_FORMAT);
	ck_assert_int_eq(expand(memory, "/v/../{user}", "jo", "d", &path), ERROR_FORMAT);
	buffer_init(&path, memory, 100);
	ck_assert_ok(mailbox_template_expand(SLICE("/{user}"), SLICE("a\0b"), SLICE("d"), &path));
	ck_assert_slice_eq(buffer_slice(&path), "a%00b");
	memory_free(&memory);
}
END_TEST

START_TEST(values_have_limits)
{
	struct memory *memory = memory_new(0);
	struct buffer path;
	char local[300];

	memset(local, 'a', sizeof local);
	for (size_t len = 254; len <= 256; len++) {
		buffer_init(&path, memory, 8192);
		ck_assert_int_eq(mailbox_template_expand(SLICE("/v/{user}"), slice_of(local, len),
					 SLICE("d"), &path),
			len <= MAILBOX_COMPONENT_MAX ? OK : ERROR_LIMIT);
	}
	buffer_init(&path, memory, 10);
	ck_assert_int_eq(
		mailbox_template_expand(SLICE("/v/{user}"), slice_of(local, 11), SLICE("d"), &path),
		ERROR_LIMIT);
	memory_free(&memory);
}
END_TEST

START_TEST(whole_addresses)
{
	static const struct {
		const char *address, *path;
	} cases[] = {
		{"Jo@Example.ORG", "example.org/jo"},
		{"\"jo\"@example.org", "example.org/jo"},
		{"\"j\\o\"@example.org", "example.org/jo"},
		{"\"a b@c\"@example.org", "example.org/%22a%20b%40c%22"},
		{"\"../x\"@example.org", "example.org/%22..%2Fx%22"},
		{"jo@[192.0.2.1]", "%5B192.0.2.1%5D/jo"},
	};
	struct memory *memory = memory_new(0);
	struct buffer path;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		buffer_init(&path, memory, 1000);
		ck_assert_ok(mailbox_template_expand_address(
			SLICE("/var/mail/{domain}/{user}"), slice_text(cases[i].address), &path));
		ck_assert_slice_eq(buffer_slice(&path), cases[i].path);
	}
	static const char *const bad[] = {"", "jo", "@example.org", "jo@", "a b@example.org",
		"../x@example.org", "jo@..", "jo@a/b"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		buffer_init(&path, memory, 1000);
		ck_assert_int_eq(mailbox_template_expand_address(
					 SLICE("/{domain}/{user}"), slice_text(bad[i]), &path),
			ERROR_FORMAT);
	}
	memory_free(&memory);
}
END_TEST

UNIT_MAIN("mailbox/template", templates_are_checked, templates_have_limits, root_is_the_fixed_part,
	values_are_encoded, values_have_limits, whole_addresses)
