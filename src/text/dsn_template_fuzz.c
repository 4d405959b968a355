/* A text that passes the check makes a report in every language, whatever the recipient's words
 * are: within its maximum, of sound lines, in its parts. */
#include "text/dsn_template.h"
#include "base/memory.h"
#include "text/dsn_reader_test.h"

#include <stdlib.h>

#define REPORT_MAX DSN_OCTETS_MAX(1, 0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static enum error
get_recipient(void *context, size_t index, struct dsn_recipient *ret_recipient)
{
	const struct dsn_recipient *recipient = context;

	(void)index;
	*ret_recipient = *recipient;
	return OK;
}

static void
make(const struct dsn_templates *templates, struct dsn_recipient *recipient)
{
	static const enum dsn_language languages[] = {
		DSN_GERMAN, DSN_FRENCH, DSN_SPANISH, DSN_RUSSIAN};
	struct dsn dsn = {.hostname = SLICE("mx.example.org"),
		.reverse_path = SLICE("alice@example.com"),
		.queue_id = SLICE("001j1ic5ji6bt"),
		.date = 2 * US_PER_S,
		.arrived_at = US_PER_S,
		.recipients = {1, get_recipient, recipient},
		.languages = languages,
		.language_count = 4,
		.templates = templates};
	struct reader_report report;
	struct dsn_needs needs;
	struct memory *memory = memory_new(0);
	struct buffer text;

	buffer_init(&text, memory, REPORT_MAX);
	require(dsn_append_prologue(&text, &dsn, &needs) == OK);
	require(dsn_append_epilogue(&text, &dsn) == OK);
	require(reader_lines_are_sound(buffer_slice(&text)));
	require(reader_split(buffer_slice(&text), &report) && report.parts == 2);
	require(reader_status_is_sound(report.part[1].body, 1));
	buffer_done(&text);
	memory_free(&memory);
}

/* The first octet is the outcome, the text up to an octet 0 the template, the rest was said. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice input = slice_of(data, size);
	struct dsn_template_fault fault;
	struct dsn_templates templates;

	if (size == 0)
		return 0;
	struct slice text = slice_from(input, 1);
	ssize_t end = slice_find(text, 0, 0);
	struct slice said = end < 0 ? SLICE("") : slice_from(text, (size_t)end + 1);
	text = end < 0 ? text : slice_sub(text, 0, (size_t)end);
	if (!dsn_template_check(text, &fault)) {
		require(fault.line > 0 && fault.line <= text.len + 1 && fault.what);
		return 0;
	}
	for (unsigned i = 0; i < DSN_TEMPLATES; i++)
		for (unsigned j = 0; j < DSN_LANGUAGES; j++)
			templates.texts[i][j] = text;
	make(&templates, &(struct dsn_recipient){.action = (enum dsn_action)(data[0] % DSN_ACTIONS),
				 .address = SLICE("bob@example.net"),
				 .diagnostic = DSN_DIAGNOSTIC_SMTP,
				 .text = said,
				 .next_attempt_at = 3 * US_PER_S,
				 .will_retry_until = (data[0] & 0x80) ? 0 : 4 * US_PER_S});
	return 0;
}
