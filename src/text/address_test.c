#include "text/address.h"
#include "unit.h"

static enum address_fault
fault_of(const char *text)
{
	struct address address;

	return address_parse(slice_text(text), &address);
}

static const char *
canonical(const char *text, char *storage, size_t size)
{
	struct address address;
	struct buffer buffer;

	buffer_init_fixed(&buffer, storage, size);
	ck_assert_int_eq(address_parse(slice_text(text), &address), ADDRESS_OK);
	address_append_canonical(&buffer, &address);
	return buffer_text(&buffer);
}

START_TEST(address_is_split)
{
	struct address address;

	ck_assert_int_eq(address_parse(SLICE("John.Doe+x@Example.ORG"), &address), ADDRESS_OK);
	ck_assert_slice_eq(address.local_part, "John.Doe+x");
	ck_assert_slice_eq(address.domain, "Example.ORG");
	ck_assert(!address.is_quoted && !address.is_literal);
	ck_assert_int_eq(address_parse(SLICE("\"a@b \\\"c\"@[192.0.2.1]"), &address), ADDRESS_OK);
	ck_assert_slice_eq(address.local_part, "\"a@b \\\"c\"");
	ck_assert_slice_eq(address.domain, "[192.0.2.1]");
	ck_assert(address.is_quoted && address.is_literal);
	ck_assert_int_eq(address_parse(SLICE("postmaster"), &address), ADDRESS_NO_DOMAIN);
	ck_assert_slice_eq(address.local_part, "postmaster");
	ck_assert_uint_eq(address.domain.len, 0);
}
END_TEST

START_TEST(address_faults_are_named)
{
	static const struct {
		const char *text;
		enum address_fault fault;
	} cases[] = {
		{"", ADDRESS_NO_LOCAL_PART},
		{"@a", ADDRESS_NO_LOCAL_PART},
		{".a@b", ADDRESS_BAD_LOCAL_PART},
		{"a.@b", ADDRESS_BAD_LOCAL_PART},
		{"a..b@c", ADDRESS_BAD_LOCAL_PART},
		{"a b@c", ADDRESS_BAD_LOCAL_PART},
		{"a\tb@c", ADDRESS_BAD_LOCAL_PART},
		{"a>", ADDRESS_BAD_LOCAL_PART},
		{"a@b@c", ADDRESS_BAD_DOMAIN},
		{"a@", ADDRESS_BAD_DOMAIN},
		{"a@b,c", ADDRESS_BAD_DOMAIN},
		{"a@b>", ADDRESS_BAD_DOMAIN},
		{"a@b..c", ADDRESS_BAD_DOMAIN},
		{"a@b.", ADDRESS_BAD_DOMAIN},
		{"a@-b", ADDRESS_BAD_DOMAIN},
		{"a@b-", ADDRESS_BAD_DOMAIN},
		{"a@b_c", ADDRESS_BAD_DOMAIN},
		{"a@b\x7f", ADDRESS_BAD_DOMAIN},
		{"a@b;c", ADDRESS_BAD_DOMAIN},
		{"\"a\"b@c", ADDRESS_BAD_QUOTING},
		{"\"a@c", ADDRESS_BAD_QUOTING},
		{"\"a\\", ADDRESS_BAD_QUOTING},
		{"\"a\x01\"@c", ADDRESS_BAD_QUOTING},
		{"\"a\\\x7f\"@c", ADDRESS_BAD_QUOTING},
		{"\"a\"", ADDRESS_NO_DOMAIN},
		{"\xc3\xa4@b", ADDRESS_NOT_ASCII},
		{"\"\xc3\xa4\"@b", ADDRESS_NOT_ASCII},
		{"a@\xc3\xa4", ADDRESS_NOT_ASCII},
		{"a@[1.2.3]", ADDRESS_BAD_LITERAL},
		{"a@[1.2.3.4", ADDRESS_BAD_LITERAL},
		{"a@[1.2.3.4]x", ADDRESS_BAD_DOMAIN},
		{"\"\"@b", ADDRESS_OK},
		{"a@1.2.3.4", ADDRESS_OK},
		{"!#$%&'*+-/=?^_`{|}~@b", ADDRESS_OK},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		ck_assert_msg(fault_of(cases[i].text) == cases[i].fault, "\"%s\" gives %d",
			cases[i].text, fault_of(cases[i].text));
	ck_assert_str_eq(address_fault_text(ADDRESS_BAD_DOMAIN), "the domain is malformed");
	for (int i = 0; i <= ADDRESS_FAULTS; i++)
		ck_assert_ptr_nonnull(address_fault_text((enum address_fault)i));
}
END_TEST

START_TEST(address_nul_is_no_end)
{
	struct address address;

	ck_assert_int_eq(address_parse(SLICE("a\0b@c"), &address), ADDRESS_BAD_LOCAL_PART);
	ck_assert_int_eq(address_parse(SLICE("a@b\0c"), &address), ADDRESS_BAD_DOMAIN);
	ck_assert_int_eq(address_parse(SLICE("\"a\0\"@c"), &address), ADDRESS_BAD_QUOTING);
}
END_TEST

/* The longest that is taken, and one octet more. */
START_TEST(address_maxima)
{
	char text[ADDRESS_MAX + 2], domain[ADDRESS_DOMAIN_MAX + 2];
	struct address address;

	memset(text, 'a', sizeof text);
	memcpy(text + ADDRESS_LOCAL_PART_MAX, "@b", 2);
	ck_assert_int_eq(
		address_parse(slice_of(text, ADDRESS_LOCAL_PART_MAX + 2), &address), ADDRESS_OK);
	memcpy(text + ADDRESS_LOCAL_PART_MAX, "a@b", 3);
	ck_assert_int_eq(address_parse(slice_of(text, ADDRESS_LOCAL_PART_MAX + 3), &address),
		ADDRESS_TOO_LONG);

	memset(domain, 'd', sizeof domain);
	for (size_t i = ADDRESS_LABEL_MAX; i < sizeof domain; i += ADDRESS_LABEL_MAX + 1)
		domain[i] = '.';
	domain[255] = 'd';
	ck_assert(domain_is_valid(slice_of(domain, 255)));
	ck_assert(!domain_is_valid(slice_of(domain, 257)));
	ck_assert(domain_is_valid(slice_of(domain, ADDRESS_LABEL_MAX)));
	memset(domain, 'd', sizeof domain);
	ck_assert(!domain_is_valid(slice_of(domain, ADDRESS_LABEL_MAX + 1)));
	text[0] = 'a';
	text[1] = '@';
	memset(text + 2, 'd', 256);
	ck_assert_int_eq(address_parse(slice_of(text, 258), &address), ADDRESS_TOO_LONG);
}
END_TEST

START_TEST(address_canonical_form)
{
	char text[ADDRESS_MAX + 1];

	ck_assert_str_eq(
		canonical("John.Doe@Example.ORG", text, sizeof text), "John.Doe@example.org");
	ck_assert_str_eq(
		canonical("\"John.Doe\"@Example.ORG", text, sizeof text), "John.Doe@example.org");
	ck_assert_str_eq(canonical("\"J\\o\\h\\n\"@x", text, sizeof text), "John@x");
	ck_assert_str_eq(canonical("\"a b\"@x", text, sizeof text), "\"a b\"@x");
	ck_assert_str_eq(canonical("\"a\\ b\\\"\\\\\"@x", text, sizeof text), "\"a b\\\"\\\\\"@x");
	ck_assert_str_eq(canonical("\".a\"@x", text, sizeof text), "\".a\"@x");
	ck_assert_str_eq(canonical("\"a..b\"@x", text, sizeof text), "\"a..b\"@x");
	ck_assert_str_eq(canonical("\"a.\"@x", text, sizeof text), "\"a.\"@x");
	ck_assert_str_eq(canonical("\"\"@x", text, sizeof text), "\"\"@x");
	ck_assert_str_eq(canonical("\"a@b\"@x", text, sizeof text), "\"a@b\"@x");
	ck_assert_str_eq(
		canonical("a@[IPv6:2001:DB8::1]", text, sizeof text), "a@[ipv6:2001:db8::1]");
}
END_TEST

START_TEST(domains_of_helo)
{
	ck_assert(
		domain_is_valid(SLICE("mail.example.org")) && domain_is_valid(SLICE("localhost")));
	ck_assert(domain_is_valid(SLICE("3com.example")) && domain_is_valid(SLICE("a--b.example")));
	ck_assert(!domain_is_valid(SLICE("MY_PC")) && domain_is_valid_helo(SLICE("MY_PC")) &&
		  domain_is_valid_helo(SLICE("_x.y_")));
	ck_assert(!domain_is_valid_helo(SLICE("")) && !domain_is_valid_helo(SLICE(".")) &&
		  !domain_is_valid_helo(SLICE("a b")));
	ck_assert(!domain_is_valid_helo(SLICE("a.")) && !domain_is_valid_helo(SLICE("a(b)")) &&
		  !domain_is_valid_helo(SLICE("a\r\nb")));
}
END_TEST

START_TEST(literals)
{
	static const char *const good[] = {"[0.0.0.0]", "[192.0.2.255]", "[IPv6:::]", "[IPv6:::1]",
		"[ipv6:1::]", "[IPv6:1:2:3:4:5:6:7:8]", "[IPv6:1:2:3:4:5:6:7::]",
		"[IPv6:::2:3:4:5:6:7:8]", "[IPv6:2001:DB8::FF00:42:8329]",
		"[IPv6:::ffff:192.0.2.1]", "[IPv6:1:2:3:4:5:6:192.0.2.1]", "[tag:any!thing(here)]",
		"[x-1:a]"};
	static const char *const bad[] = {"[]", "[", "]", "[1.2.3.256]", "[1.2.3.4.5]", "[1.2.3]",
		"[1..2.3]", "[1.2.3.]", "[1.2.3.1234]", "[-1.2.3.4]", "[IPv6:]", "[IPv6::]",
		"[IPv6:1:2:3:4:5:6:7]", "[IPv6:1:2:3:4:5:6:7:8:9]", "[IPv6:1::2::3]", "[IPv6::::]",
		"[IPv6:1:::2]", "[IPv6:12345::]", "[IPv6:g::]", "[IPv6:1:2:3:4:5:6:7:8::]",
		"[IPv6:1:2:3:4:5:6:7:]", "[IPv6::1]", "[IPv6:1:2:3:4:5:6:7:192.0.2.1]",
		"[IPv6:192.0.2.1]", "[IPv6:192.0.2.1::]", "[2001:db8::]x", "[-a:b]", "[a:]",
		"[a:b c]", "[a:b[c]", "[a:\\]", "[abc]"};

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		ck_assert_msg(address_literal_is_valid(slice_text(good[i])), "%s", good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(!address_literal_is_valid(slice_text(bad[i])), "%s", bad[i]);
}
END_TEST

START_TEST(address_leaves_what_follows)
{
	struct cursor cursor = cursor_of(SLICE("a@b.c> SIZE=1"));
	struct address address;
	struct slice domain;

	ck_assert_int_eq(address_take(&cursor, &address), ADDRESS_OK);
	ck_assert_slice_eq(cursor_rest(&cursor), "> SIZE=1");
	cursor = cursor_of(SLICE("one.example,@two"));
	ck_assert_int_eq(address_take_domain(&cursor, &domain), ADDRESS_OK);
	ck_assert_slice_eq(domain, "one.example");
	ck_assert_slice_eq(cursor_rest(&cursor), ",@two");
}
END_TEST

UNIT_MAIN("text/address", address_is_split, address_faults_are_named, address_nul_is_no_end,
	address_maxima, address_canonical_form, domains_of_helo, literals,
	address_leaves_what_follows)
