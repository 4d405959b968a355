/* A report of a stranger's texts, written and read back: well-formed always, and the same where the
 * texts are text. And his rua=, which comes to an end and gives addresses only. */
#include "aggregate/write.h"
#include "text/encode.h"

#include <stdlib.h>

#define ROWS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static struct slice
next_line(struct slice *rest)
{
	ssize_t end = slice_find(*rest, 0, '\n');
	struct slice line = slice_sub(*rest, 0, end < 0 ? rest->len : (size_t)end);

	*rest = slice_from(*rest, line.len + 1);
	return slice_sub(line, 0, 300);
}

static bool
is_text(struct slice text)
{
	bool is = utf8_find_fault(text) < 0 &&
		  (text.len == 0 || (text.ptr[0] > ' ' && text.ptr[text.len - 1] > ' '));

	for (size_t i = 0; is && i < text.len; i++)
		is = text.ptr[i] >= ' ' && text.ptr[i] != 0x7f && text.ptr[i] != 0xef;
	return is;
}

static void
require_same(struct slice written, struct slice read)
{
	require(!is_text(written) || slice_equal(written, read));
}

static void
read_back(struct slice xml, const struct aggregate_report *written, struct memory *memory)
{
	struct aggregate_report report;
	struct arena arena;
	const char *why = NULL;
	uint64_t line;

	arena_init(&arena, memory, AGGREGATE_ARENA_BYTES);
	require(aggregate_parse(xml, &arena, &report, &why, &line) == OK);
	require(report.row_count == written->row_count && report.begin == written->begin &&
		report.end == written->end);
	require_same(written->error, report.error);
	require_same(written->policy, report.policy);
	const struct aggregate_row *read = report.rows;
	for (const struct aggregate_row *row = written->rows; row; row = row->next) {
		require(read->count == row->count && read->result_count == row->result_count);
		require_same(row->header_from, read->header_from);
		require_same(row->envelope_from, read->envelope_from);
		require_same(row->results->domain, read->results->domain);
		require_same(row->results->selector, read->results->selector);
		read = read->next;
	}
	arena_done(&arena);
}

static void
write_report(struct slice texts, struct memory *memory)
{
	struct aggregate_row rows[ROWS] = {0};
	struct aggregate_result results[ROWS] = {0};
	struct aggregate_report report = {.organization = SLICE("mx.example"),
		.domain = SLICE("example.org"),
		.begin = 1764547200,
		.end = 1764633599,
		.rows = rows,
		.row_count = ROWS};
	struct buffer xml, gzip;

	report.error = next_line(&texts);
	report.policy = next_line(&texts);
	for (size_t i = 0; i < ROWS; i++) {
		results[i] = (struct aggregate_result){
			.is_dkim = i % 2 == 0, .domain = next_line(&texts)};
		results[i].selector = results[i].is_dkim ? next_line(&texts) : slice_of(NULL, 0);
		rows[i] = (struct aggregate_row){.next = i + 1 < ROWS ? &rows[i + 1] : NULL,
			.source_ip = SLICE("192.0.2.1"),
			.count = i + 1,
			.header_from = next_line(&texts),
			.envelope_from = next_line(&texts),
			.results = &results[i],
			.result_count = 1};
	}
	buffer_init(&xml, memory, 1u << 20);
	buffer_init(&gzip, memory, 1u << 20);
	aggregate_write(&xml, &report);
	require(buffer_error(&xml) == OK);
	read_back(buffer_slice(&xml), &report, memory);
	require(aggregate_compress(buffer_slice(&xml), &gzip) == OK && gzip.len > 0);
	buffer_done(&gzip);
	buffer_done(&xml);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory *memory = memory_new(0);
	struct slice uris = slice_of(data, size);
	struct aggregate_uri uri;

	while (aggregate_uri_next(&uris, &uri))
		require(uri.address.len == 0 ||
			(uri.domain.len > 0 && slice_find(uri.address, 0, '\r') < 0 &&
				slice_find(uri.address, 0, '\n') < 0));
	write_report(slice_of(data, size), memory);
	memory_free(&memory);
	return 0;
}
