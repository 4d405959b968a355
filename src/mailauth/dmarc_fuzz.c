/* The first line is a From field's value, each further one a record for all names: no crash; who is
 * found as author lies in the field as one domain; the walk ends. */
#include "dns/table_test.h"
#include "mailauth/author.h"
#include "mailauth/dmarc.h"
#include "text/international.h"

#define RECORDS_MAX 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static struct slice
take_line(struct slice *rest)
{
	ssize_t end = slice_find(*rest, 0, '\n');
	struct slice line = end < 0 ? *rest : slice_sub(*rest, 0, (size_t)end);

	*rest = slice_from(*rest, line.len + 1);
	return line;
}

static void
judge(struct slice author, struct slice rest, struct arena *arena)
{
	struct table_record records[RECORDS_MAX];
	struct table table = {.records = records};
	struct dns_source source = table_source(&table);
	struct spf_verdict spf = {.result = SPF_PASS, .domain = SLICE("a.example.org")};
	struct dmarc_request request = {
		.dns = &source, .arena = arena, .author = author, .spf = &spf};
	struct dmarc_verdict verdict;

	while (table.count < RECORDS_MAX && rest.len > 0)
		records[table.count++] = (struct table_record){"*", DNS_TXT, take_line(&rest)};
	dmarc_check(&request, &verdict);
	require(table.asked <= 2 * DMARC_WALK_MAX + 1);
	require(verdict.result != DMARC_PASS || verdict.is_spf_aligned);
	require(!verdict.is_spf_aligned || domain_is_within(spf.domain, verdict.organization));
	require(domain_to_ascii(arena, author, &author) == OK);
	require(domain_is_within(author, verdict.organization));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_of(data, size), field = take_line(&rest), author;
	struct memory *memory = memory_new(0);
	struct arena arena;

	arena_init(&arena, memory, DMARC_ARENA_BYTES);
	if (author_of_field(field, &author) == AUTHOR_OK) {
		require(domain_is_signable(author) || !text_is_ascii(author));
		require(author.ptr > field.ptr && author.ptr + author.len <= field.ptr + field.len);
		judge(author, rest, &arena);
	}
	judge(SLICE("b.example.org"), rest, &arena);
	arena_done(&arena);
	memory_free(&memory);
	return 0;
}
