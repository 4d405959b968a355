/* A message whose first line is what the DNS says to every question: no crash, and no pass for
 * octets that nobody signed but by a key that the input brings along. Cut anywhere it is judged the
 * same. */
#include "mailauth/dkim.h"
#include "dns/table_test.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
header_done(void *arg, struct content *content)
{
	dkim_begin(arg, content);
}

/* Fed in pieces of this size. */
static enum dkim_result
judge(struct memory *memory, struct slice record, struct slice message, size_t piece)
{
	const struct table_record records[] = {{"*", DNS_TXT, record}};
	struct table table = {.records = records, .count = 1};
	struct dns_source source = table_source(&table);
	struct dkim dkim = {0};
	struct content *content = content_new(memory, header_done, &dkim);
	struct arena arena;
	struct signature_request request = {
		.dns = &source, .arena = &arena, .now = 1700000000 * US_PER_S};

	arena_init(&arena, memory, DKIM_ARENA_BYTES);
	for (size_t at = 0; at < message.len; at += piece)
		content_feed(content, slice_sub(message, at, piece));
	content_end(content);
	dkim_check(&dkim, content, &request, memory);
	require(dkim.count <= DKIM_SIGNATURES_MAX);
	for (size_t i = 0; i < dkim.count; i++)
		require(dkim.signatures[i].result != DKIM_NONE);
	arena_done(&arena);
	content_free(&content);
	return dkim.result;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice all = slice_of(data, size);
	ssize_t end = slice_find(all, 0, '\n');
	struct slice record = end < 0 ? all : slice_sub(all, 0, (size_t)end);
	struct slice message = slice_from(all, record.len + 1);
	struct memory *memory = memory_new(0);
	enum dkim_result whole = judge(memory, record, message, SIZE_MAX / 2);

	require(judge(memory, record, message, 7) == whole);
	memory_free(&memory);
	return 0;
}
