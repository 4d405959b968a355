/* A file as a stranger sends it: no crash; what comes out is within its limits, and sums up. */
#include "aggregate/report.h"
#include "aggregate/unpack.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
parse(struct slice xml, struct memory *memory)
{
	struct arena arena;
	struct aggregate_report report;
	const char *why = NULL;
	uint64_t line, messages = 0;
	size_t rows = 0;

	arena_init(&arena, memory, AGGREGATE_ARENA_BYTES);
	if (aggregate_parse(xml, &arena, &report, &why, &line) == OK) {
		for (const struct aggregate_row *row = report.rows; row; row = row->next, rows++)
			messages += row->count;
		require(rows == report.row_count && messages == report.messages);
		require(report.passed <= report.messages && report.domain.len > 0);
	} else {
		require(why != NULL);
	}
	arena_done(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory *memory = memory_new(0);
	struct buffer xml;
	const char *why = NULL;

	buffer_init(&xml, memory, UNPACK_XML_MAX);
	if (unpack_report(slice_of(data, size), memory, &xml, &why) == OK)
		parse(buffer_slice(&xml), memory);
	else
		require(why != NULL);
	buffer_done(&xml);
	memory_free(&memory);
	return 0;
}
