/*
 * Reports from hostile texts: 0x1f separates the fields of the input. First four octets of flags,
 * then reverse path, queue id, envelope id, header, then for each recipient: four octets of flags,
 * address, original address, its type, remote server, diagnostic.
 *
 * Whatever they hold, the report has sound lines, the parts it should have, no field that the
 * builder does not know, and as many recipients as were given, whose addresses read as they were.
 */
#include "text/dsn.h"
#include "text/dsn_reader_test.h"
#include "text/header.h"
#include "base/memory.h"

#include <stdlib.h>

#define RECIPIENTS_MAX 24
#define SEPARATOR      0x1f

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

struct input {
	struct slice rest;
	struct dsn_recipient recipients[RECIPIENTS_MAX];
};

static struct slice
next(struct input *input)
{
	ssize_t end = slice_find(input->rest, 0, SEPARATOR);
	struct slice field = slice_sub(input->rest, 0, end < 0 ? SIZE_MAX : (size_t)end);

	input->rest = slice_from(input->rest, end < 0 ? SIZE_MAX : (size_t)end + 1);
	return field;
}

static uint8_t
flag(struct slice flags, size_t index)
{
	return index < flags.len ? flags.ptr[index] : 0;
}

static enum error
get_recipient(void *context, size_t index, struct dsn_recipient *ret_recipient)
{
	const struct input *input = context;

	*ret_recipient = input->recipients[index];
	return OK;
}

static void
take_recipient(struct input *input, struct dsn_recipient *recipient)
{
	struct slice flags = next(input);

	recipient->action = flag(flags, 0) % DSN_ACTIONS;
	recipient->diagnostic = flag(flags, 1) % 3;
	recipient->status =
		(struct enhanced_status){flag(flags, 2) % 8, flag(flags, 3), flag(flags, 1) * 8};
	recipient->will_retry_until = flag(flags, 2) * US_PER_S;
	recipient->attempted_at = flag(flags, 3) * US_PER_S;
	recipient->address = next(input);
	if (recipient->address.len == 0)
		recipient->address = SLICE("nobody");
	recipient->original_address = next(input);
	recipient->original_type = next(input);
	recipient->remote_mta = next(input);
	recipient->text = next(input);
}

static bool
is_printable(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] < ' ' || text.ptr[i] > 126)
			return false;
	return true;
}

/* The final recipients, in their order, as far as they need no escape. */
static void
check_addresses(struct slice body, const struct input *input, size_t count)
{
	struct slice group, value = {0};

	require(reader_group(&body, &group));
	for (size_t i = 0; i < count; i++) {
		struct slice address = input->recipients[i].address;
		require(reader_group(&body, &group));
		require(reader_field(group, SLICE("Final-Recipient:"), &value) == 1);
		require(reader_field(group, SLICE("Action:"), &value) == 1);
		require(reader_field(group, SLICE("Status:"), &value) == 1);
		(void)reader_field(group, SLICE("Final-Recipient:"), &value);
		if (!is_printable(address))
			continue;
		require(slice_has_prefix(value, SLICE(" rfc822; ")));
		value = slice_from(value, 9);
		require(address.len <= DSN_ADDRESS_MAX
				? slice_equal(value, address)
				: value.len == DSN_ADDRESS_MAX + 5 &&
					  slice_has_suffix(value, SLICE("[...]")));
	}
}

static void
check_header(struct slice header)
{
	static const struct slice once[] = {SLICE_INIT("From:"), SLICE_INIT("To:"),
		SLICE_INIT("Subject:"), SLICE_INIT("Date:"), SLICE_INIT("Message-ID:"),
		SLICE_INIT("Auto-Submitted:"), SLICE_INIT("MIME-Version:"),
		SLICE_INIT("Content-Type:")};
	struct header_scanner scanner = header_scanner_of(header);
	struct header_field field;
	struct slice value;
	size_t fields = 0, optional;

	for (size_t i = 0; i < sizeof once / sizeof *once; i++)
		require(reader_field(header, once[i], &value) == 1);
	optional = reader_field(header, SLICE("In-Reply-To:"), &value) +
		   reader_field(header, SLICE("References:"), &value) +
		   reader_field(header, SLICE("Content-Transfer-Encoding:"), &value);
	while (header_next(&scanner, &field))
		fields++;
	require(scanner.at == header.len && fields == sizeof once / sizeof *once + optional);
}

static void
check_report(struct slice text, const struct dsn *dsn, const struct input *input,
	const struct dsn_needs *needs)
{
	struct reader_report report;
	bool has_original = false;
	struct header_scanner scanner = header_scanner_of(dsn->header);
	struct header_field field;

	has_original = header_next(&scanner, &field) || dsn->returns == DSN_RETURN_FULL;
	require(reader_lines_are_sound(text));
	require(reader_split(text, &report));
	check_header(report.header);
	require(report.parts == (has_original ? 3 : 2));
	require(reader_status_is_sound(report.part[1].body, dsn->recipients.count));
	check_addresses(report.part[1].body, input, dsn->recipients.count);
	if (needs->is_8bit || needs->is_smtputf8)
		return;
	for (size_t i = 0; i < text.len; i++)
		require(text.ptr[i] < 128);
}

/* A maximum that is too small is an error and leaves nothing behind. */
static void
check_small(const struct dsn *dsn, struct slice whole)
{
	static uint8_t storage[65536];
	struct dsn_needs needs;
	struct buffer small;

	buffer_init_fixed(&small, storage, whole.len / 2 < sizeof storage ? whole.len / 2 : 65536);
	require(dsn_append_prologue(&small, dsn, &needs) == ERROR_LIMIT && small.len == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.rest = slice_of(data, size)};
	struct slice flags = next(&input);
	struct dsn dsn = {.hostname = SLICE("mx.example.org"),
		.reverse_path = next(&input),
		.queue_id = next(&input),
		.envelope_id = next(&input),
		.header = next(&input),
		.returns = flag(flags, 0) & 1 ? DSN_RETURN_FULL : DSN_RETURN_HEADER,
		.is_smtputf8 = flag(flags, 0) & 2,
		.content_is_8bit = flag(flags, 0) & 4,
		.header_is_cut = flag(flags, 0) & 8,
		.arrived_at = flag(flags, 1) * US_PER_S};
	struct memory *memory = memory_new(0);
	struct dsn_needs needs;
	struct buffer report;
	size_t count = 0;

	do
		take_recipient(&input, &input.recipients[count++]);
	while (input.rest.len > 0 && count < RECIPIENTS_MAX);
	dsn.recipients =
		(struct dsn_recipients){.count = count, .get = get_recipient, .context = &input};
	buffer_init(&report, memory, DSN_OCTETS_MAX(count, dsn.header.len));
	if (dsn_append_prologue(&report, &dsn, &needs) != OK) {
		require(report.len == 0);
		dsn.reverse_path = SLICE("sender@example.com");
		require(dsn_append_prologue(&report, &dsn, &needs) == OK);
	}
	if (dsn.returns == DSN_RETURN_FULL)
		buffer_append(&report, SLICE("Subject: content\r\n\r\n--=_\r\n"));
	require(dsn_append_epilogue(&report, &dsn) == OK);
	check_report(buffer_slice(&report), &dsn, &input, &needs);
	check_small(&dsn, buffer_slice(&report));
	buffer_done(&report);
	memory_free(&memory);
	return 0;
}
