#include "text/international.h"

#include "unit.h"

static struct slice
ascii_of(const char *domain, struct buffer *buffer)
{
	buffer_clear(buffer);
	enum error error = domain_append_ascii(buffer, slice_text(domain));
	return error == OK ? buffer_slice(buffer) : SLICE("refused");
}

START_TEST(domains_become_ascii)
{
	static const struct {
		const char *domain, *ascii;
	} cases[] = {{"Example.TEST", "example.test"},
		{"b\xc3\xbc"
		 "cher.test",
			"xn--bcher-kva.test"},
		{"B\xc3\x9c"
		 "CHER.Test",
			"xn--bcher-kva.test"},
		{"bu\xcc\x88"
		 "cher.test",
			"xn--bcher-kva.test"},          /* u and a diaeresis */
		{"fa\xc3\x9f.test", "xn--fa-hia.test"}, /* sharp s stays, unlike in IDNA 2003 */
		{"\xe4\xbe\x8b\xe3\x81\x88.\xe3\x83\x86\xe3\x82\xb9\xe3\x83\x88",
			"xn--r8jz45g.xn--zckzah"},
		{"\xc3\xbc_x.test", "refused"}, {"-\xc3\xbc.test", "refused"},
		{"\xc3\xbc..test", "refused"}, {"\xc3.test", "refused"},
		{"\xc2\x9b.test", "refused"}, {"\xe2\x98\x83\xc3\xbc@x.test", "refused"}};
	char storage[300];
	struct buffer buffer;

	buffer_init_fixed(&buffer, storage, sizeof storage);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		ck_assert_slice_eq(ascii_of(cases[i].domain, &buffer), cases[i].ascii);
}
END_TEST

START_TEST(the_same_text_has_the_same_octets)
{
	char storage[64];
	struct buffer buffer;

	buffer_init_fixed(&buffer, storage, sizeof storage);
	ck_assert_int_eq(utf8_append_normal(&buffer, SLICE("ju\xcc\x88rgen")), OK);
	ck_assert_slice_eq(buffer_slice(&buffer), "j\xc3\xbcrgen");
	ck_assert_int_eq(utf8_append_normal(&buffer, SLICE("j\xc3")), ERROR_FORMAT);
	ck_assert_slice_eq(buffer_slice(&buffer), "j\xc3\xbcrgen");
}
END_TEST

START_TEST(controls_are_not_visible)
{
	ck_assert(utf8_is_visible(SLICE("a \xc3\xbc\xf0\x9f\x98\x80")));
	ck_assert(!utf8_is_visible(SLICE("\xc2\x9b")));
	ck_assert(!utf8_is_visible(SLICE("\x7f")));
	ck_assert(!utf8_is_visible(SLICE("a\n")));
	ck_assert(!utf8_is_visible(SLICE("\xed\xa0\x80"))); /* half of a pair of UTF-16 */
	ck_assert(text_is_ascii(SLICE("abc")) && !text_is_ascii(SLICE("\xc3\xbc")));
}
END_TEST

UNIT_MAIN("text/international", domains_become_ascii, the_same_text_has_the_same_octets,
	controls_are_not_visible)
