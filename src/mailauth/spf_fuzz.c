/* Whole evaluations: the first line is the sender, the second HELO, each further one a TXT record
 * for a name "0.x", "1.x", ... and at once the value of every other type. No crash, the limits
 * hold, an explanation is printable. */
#include "mailauth/spf.h"
#include "dns/table_test.h"

#include <stdio.h>
#include <stdlib.h>

#define RECORDS_MAX 8

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

static size_t
make_records(struct slice rest, struct table_record *records)
{
	static const char *const names[RECORDS_MAX] = {
		"0.x", "1.x", "2.x", "3.x", "4.x", "5.x", "6.x", "*"};
	size_t count = 0;

	for (size_t i = 0; i < RECORDS_MAX && rest.len > 0; i++) {
		struct slice line = take_line(&rest);
		records[count++] = (struct table_record){names[i], DNS_TXT, line};
		if (line.len < 4)
			continue;
		records[count++] = (struct table_record){names[i], DNS_A, slice_sub(line, 0, 4)};
		records[count++] = (struct table_record){names[i], DNS_MX, line};
		records[count++] = (struct table_record){names[i], DNS_PTR, line};
	}
	return count;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_of(data, size);
	struct table_record records[RECORDS_MAX * 4];
	struct table table = {.records = records};
	struct dns_source source = table_source(&table);
	struct memory *memory = memory_new(0);
	struct arena arena;
	struct spf_verdict verdict;
	struct spf_request request = {
		.dns = &source, .arena = &arena, .ip = slice_of("\x7f\0\0\1", 4)};

	arena_init(&arena, memory, SPF_ARENA_BYTES);
	request.sender = take_line(&rest);
	request.helo = take_line(&rest);
	table.count = make_records(rest, records);
	spf_check(&request, &verdict);
	require(verdict.lookups <= SPF_LOOKUPS_MAX + 1);
	require(verdict.explanation.len == 0 || verdict.result == SPF_FAIL);
	for (size_t i = 0; i < verdict.explanation.len; i++)
		require(verdict.explanation.ptr[i] >= 0x20 && verdict.explanation.ptr[i] <= 0x7e);
	arena_done(&arena);
	memory_free(&memory);
	return 0;
}
