#include "lookup/aliases.h"
#include "unit.h"

#include <stdio.h>

struct fixture {
	struct memory *memory;
	struct accounts rows;
	char skipped[1024];
};

static void
note_skipped(void *arg, uint32_t line, struct slice text, const char *why)
{
	struct fixture *f = arg;
	size_t len = strlen(f->skipped);

	(void)why;
	snprintf(f->skipped + len, sizeof f->skipped - len, "%u:%.*s|", line, SLICE_ARGS(text));
}

static enum error
include(void *arg, struct slice path, struct buffer *ret_text)
{
	(void)arg;
	if (!slice_equal(path, SLICE("/list")))
		return ERROR_NOT_FOUND;
	buffer_append_text(ret_text, "# members\nann, ben@x.example\r\n\n:include:/list\n");
	return OK;
}

/* The rows, with "=" for the NUL, "," between targets and ";" between rows. */
static const char *
parsed_for(struct fixture *f, struct slice domain, const char *text)
{
	static char joined[2048];
	struct aliases_reader reader = {note_skipped, include, f};
	size_t at = 0;

	memset(f, 0, sizeof *f);
	f->memory = memory_new(0);
	accounts_init(&f->rows, f->memory, 1u << 20);
	ck_assert_ok(aliases_parse(&f->rows, domain, slice_text(text), &reader));
	accounts_finish(&f->rows);
	for (size_t i = 0; i < f->rows.count; i++) {
		struct slice row = f->rows.names[i];
		for (size_t j = 0; j < row.len; j++)
			joined[at++] = row.ptr[j] == 0      ? '='
				       : row.ptr[j] == '\n' ? ','
							    : (char)row.ptr[j];
		joined[at++] = ';';
	}
	joined[at] = 0;
	accounts_done(&f->rows);
	memory_free(&f->memory);
	return joined;
}

static const char *
parsed(struct fixture *f, const char *text)
{
	return parsed_for(f, SLICE("example.org"), text);
}

/* The domain is configured as the DNS knows it, and written here as people do. */
START_TEST(a_name_may_have_the_domain_in_its_own_script)
{
	struct fixture f;

	ck_assert_str_eq(parsed_for(&f, SLICE("xn--mller-kva.example"),
				 "a@m\xc3\xbcller.example: b\nc@XN--mller-kva.example: d\n"
				 "e@mueller.example: f\n"),
		"a=b;c=d;");
	ck_assert_str_eq(f.skipped, "3:e@mueller.example: f|");
}
END_TEST

START_TEST(the_classic_form)
{
	struct fixture f;

	ck_assert_str_eq(parsed(&f, "# /etc/aliases\nmailer-daemon: postmaster\npostmaster:\troot\n"
				    "Root: alice@x.example , bob\n"),
		"mailer-daemon=postmaster;postmaster=root;root=alice@x.example,bob;");
	ck_assert_str_eq(f.skipped, "");
	ck_assert_str_eq(
		parsed(&f, "team: a,\r\n  b,\r\n# between\r\n\tc\r\n\r\nx: y"), "team=a,b,c;x=y;");
	ck_assert_str_eq(parsed(&f, "\"odd name\": \"a b\"@x.example, \"c\"\n*: "
				    "all\nme@EXAMPLE.org: \\me, x\n"),
		"\"odd name\"=\"a b\"@x.example,\"c\";*=all;me=\\me,x;");
	ck_assert_str_eq(parsed(&f, "list: :include:/list, zed\n"), "list=ann,ben@x.example,zed;");
	ck_assert_str_eq(f.skipped, "1::include:/list|");
}
END_TEST

START_TEST(what_is_passed_over_is_told)
{
	struct fixture f;

	ck_assert_str_eq(parsed(&f, "a: |/bin/x, b\nno colon\nc: /var/mail/c\nd@other.example: e\n"
				    "f: \"|prog a, b\", :include:/gone\ng: h@@i\n: j\n"),
		"a=b;");
	ck_assert_str_eq(f.skipped,
		"1:|/bin/x|2:no colon|3:/var/mail/c|3:c: /var/mail/c|4:d@other.example: e|"
		"5:\"|prog a, b\"|5:/gone|5:f: \"|prog a, b\", :include:/gone|6:h@@i|6:g: h@@i|7:: "
		"j|");
}
END_TEST

UNIT_MAIN("lookup/aliases", a_name_may_have_the_domain_in_its_own_script, the_classic_form,
	what_is_passed_over_is_told)
