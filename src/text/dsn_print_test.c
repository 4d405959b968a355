/*
 * Prints a delivery report that is built from arguments NAME=VALUE, for tests that let programs of
 * others read it. In values %XX is an octet. `recipient=` starts a recipient, which the following
 * names describe. `content=` asks for the full content and is put between prologue and epilogue.
 * Exit code 1: no report was built; 2: wrong arguments.
 */
#include "text/dsn.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>

#define RECIPIENTS_MAX 64
#define TIME           INT64_C(1795455235) /* Mon, 23 Nov 2026 17:33:55 +0000 */

struct print {
	struct dsn dsn;
	struct slice content;
	enum dsn_language languages[DSN_LANGUAGES];
	size_t count;
	struct dsn_recipient recipients[RECIPIENTS_MAX];
};

static enum error
get_recipient(void *context, size_t index, struct dsn_recipient *ret_recipient)
{
	const struct print *print = context;

	*ret_recipient = print->recipients[index];
	return OK;
}

static int
hex_value(uint8_t octet)
{
	if (ascii_is_digit(octet))
		return octet - '0';
	return octet >= 'A' && octet <= 'F' ? octet - 'A' + 10 : -1;
}

/* In place. */
static struct slice
decoded(char *value)
{
	size_t len = strlen(value), written = 0;
	uint8_t *octets = (uint8_t *)value;

	for (size_t i = 0; i < len; i++, written++) {
		bool is_escape = octets[i] == '%' && i + 2 < len && hex_value(octets[i + 1]) >= 0 &&
				 hex_value(octets[i + 2]) >= 0;
		octets[written] = is_escape ? (uint8_t)(hex_value(octets[i + 1]) * 16 +
							hex_value(octets[i + 2]))
					    : octets[i];
		i += is_escape ? 2 : 0;
	}
	return slice_of(octets, written);
}

static bool
set_status(struct dsn_recipient *recipient, struct slice value)
{
	uint64_t subject, detail;

	if (value.len < 5 || !ascii_is_digit(value.ptr[0]) || value.ptr[1] != '.')
		return false;
	ssize_t dot = slice_find(value, 2, '.');
	if (dot < 0 || !slice_number(slice_sub(value, 2, (size_t)dot - 2), 999, &subject) ||
		!slice_number(slice_from(value, (size_t)dot + 1), 999, &detail))
		return false;
	recipient->status = (struct enhanced_status){
		(uint16_t)(value.ptr[0] - '0'), (uint16_t)subject, (uint16_t)detail};
	return true;
}

static bool
set_action(struct dsn_recipient *recipient, struct slice value)
{
	static const struct slice actions[DSN_ACTIONS] = {SLICE_INIT("failed"),
		SLICE_INIT("delayed"), SLICE_INIT("relayed"), SLICE_INIT("expanded"),
		SLICE_INIT("delivered")};

	for (size_t i = 0; i < DSN_ACTIONS; i++) {
		if (!slice_equal(actions[i], value))
			continue;
		recipient->action = (enum dsn_action)i;
		recipient->will_retry_until = i == DSN_DELAYED ? (TIME + 86400) * US_PER_S : 0;
		return true;
	}
	return false;
}

static bool
set_of_recipient(struct print *print, struct slice name, struct slice value)
{
	if (slice_equal(name, SLICE("recipient"))) {
		if (print->count == RECIPIENTS_MAX)
			return false;
		print->recipients[print->count++] = (struct dsn_recipient){
			.address = value, .attempted_at = (TIME + 60) * US_PER_S};
		return true;
	}
	if (print->count == 0)
		return false;
	struct dsn_recipient *recipient = &print->recipients[print->count - 1];
	if (slice_equal(name, SLICE("action")))
		return set_action(recipient, value);
	if (slice_equal(name, SLICE("status")))
		return set_status(recipient, value);
	if (slice_equal(name, SLICE("original")))
		recipient->original_address = value;
	else if (slice_equal(name, SLICE("original_type")))
		recipient->original_type = value;
	else if (slice_equal(name, SLICE("remote")))
		recipient->remote_mta = value;
	else if (slice_equal(name, SLICE("smtp")) || slice_equal(name, SLICE("local")))
		recipient->text = value;
	else
		return false;
	if (slice_equal(name, SLICE("smtp")))
		recipient->diagnostic = DSN_DIAGNOSTIC_SMTP;
	if (slice_equal(name, SLICE("local")))
		recipient->diagnostic = DSN_DIAGNOSTIC_LOCAL;
	return true;
}

static bool
set(struct print *print, struct slice name, struct slice value)
{
	struct dsn *dsn = &print->dsn;

	if (slice_equal(name, SLICE("to")))
		dsn->reverse_path = value;
	else if (slice_equal(name, SLICE("envelope_id")))
		dsn->envelope_id = value;
	else if (slice_equal(name, SLICE("header")))
		dsn->header = value;
	else if (slice_equal(name, SLICE("smtputf8")))
		dsn->is_smtputf8 = true;
	else if (slice_equal(name, SLICE("language")))
		return dsn->language_count < DSN_LANGUAGES &&
		       dsn_language_parse(value, &print->languages[dsn->language_count++]);
	else if (slice_equal(name, SLICE("8bit")))
		dsn->content_is_8bit = true;
	else if (slice_equal(name, SLICE("content")))
		print->content = value;
	else
		return set_of_recipient(print, name, value);
	if (slice_equal(name, SLICE("content")))
		dsn->returns = DSN_RETURN_FULL;
	return true;
}

static int
print_report(struct print *print)
{
	struct memory *memory = memory_new(0);
	struct dsn_needs needs;
	struct buffer report;

	print->dsn.languages = print->languages;
	print->dsn.recipients = (struct dsn_recipients){
		.count = print->count, .get = get_recipient, .context = print};
	buffer_init(&report, memory,
		DSN_OCTETS_MAX(print->count, print->dsn.header.len) + print->content.len);
	enum error error = dsn_append_prologue(&report, &print->dsn, &needs);
	if (error == OK) {
		buffer_append(&report, print->content);
		error = dsn_append_epilogue(&report, &print->dsn);
	}
	if (error == OK)
		fwrite(report.ptr, 1, report.len, stdout);
	else
		fprintf(stderr, "%s\n", error_text(error));
	buffer_done(&report);
	memory_free(&memory);
	return error == OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
	static struct print print; /* large, and there is one */

	print.dsn = (struct dsn){
		.hostname = SLICE("mx.example.org"),
		.queue_id = SLICE("4KXZ7Q"),
		.date = (TIME + 120) * US_PER_S,
		.arrived_at = TIME * US_PER_S,
	};
	for (uint8_t i = 0; i < DSN_RANDOM; i++)
		print.dsn.random[i] = (uint8_t)(i * 17);
	for (int i = 1; i < argc; i++) {
		char *equals = strchr(argv[i], '=');
		if (!equals || !set(&print, slice_of(argv[i], (size_t)(equals - argv[i])),
				       decoded(equals + 1))) {
			fprintf(stderr, "wrong argument: %s\n", argv[i]);
			return 2;
		}
	}
	return print_report(&print);
}
