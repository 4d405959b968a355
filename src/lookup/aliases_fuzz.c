/* Any text as an alias file: each row is a name, NUL, and targets that are addresses. The text
 * includes itself. */
#include "lookup/aliases.h"
#include "text/address.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
passed_over(void *arg, uint32_t line, struct slice text, const char *why)
{
	(void)arg;
	require(line > 0 && text.len <= 256 && why);
}

static enum error
include(void *arg, struct slice path, struct buffer *ret_text)
{
	(void)path;
	buffer_append(ret_text, *(const struct slice *)arg);
	return buffer_error(ret_text);
}

static void
check_target(struct slice target)
{
	struct address address;
	size_t start = target.len > 0 && target.ptr[0] == '\\';
	enum address_fault fault = address_parse_international(slice_from(target, start), &address);

	require(fault == ADDRESS_OK || fault == ADDRESS_NO_DOMAIN);
}

static void
check_row(struct slice row)
{
	ssize_t nul = slice_find(row, 0, 0);

	require(nul > 0 && slice_find(row, (size_t)nul + 1, 0) < 0);
	struct slice rest = slice_from(row, (size_t)nul + 1);
	do {
		ssize_t end = slice_find(rest, 0, '\n');
		struct slice target = end < 0 ? rest : slice_sub(rest, 0, (size_t)end);
		check_target(target);
		rest = slice_from(rest, target.len + 1);
	} while (rest.len > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of(data, size);
	struct memory *memory = memory_new(0);
	struct aliases_reader reader = {passed_over, include, &text};
	struct accounts rows;

	accounts_init(&rows, memory, 16u << 20);
	enum error error = aliases_parse(&rows, SLICE("example.org"), text, &reader);
	require(error == OK || error == ERROR_LIMIT);
	accounts_finish(&rows);
	for (size_t i = 0; i < rows.count; i++)
		check_row(rows.names[i]);
	accounts_done(&rows);
	memory_free(&memory);
	return 0;
}
