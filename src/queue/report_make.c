/*
 * What stands in a report: for a sender the failures of one message (text/dsn.h), for the
 * postmaster a list of what could be told to nobody else. Both become messages of our own, with an
 * empty reverse path, and settle what they tell.
 */
#include "queue/report_private.h"

#include "text/date.h"
#include "text/dsn.h"
#include "text/header.h"

#include <stdlib.h>

#define HEADER_MAX      65536 /* of the original, returned with a report */
#define ENVELOPE_ROOM   4096
#define ADDRESS_ROOM    (ENVELOPE_ADDRESS_MAX + 32)
#define DIGEST_BYTES    (1u << 20)
#define DIGEST_MESSAGES 1000
#define DIGEST_LINES    100
#define LINE_TEXT_MAX   300 /* octets of one value in the digest */

struct told {
	const struct envelope *envelope;
	const struct outcome *list;
	uint32_t *numbers; /* in the list, of those that are told */
	uint32_t count;
	struct slice hostname;
	bool hides_targets;
	uint8_t original[DSN_ORIGINAL_MAX]; /* the last one's, decoded, or what stands for it */
};

/* What the sender called it (RFC 3461 section 4.2). */
static void
told_original(struct told *told, struct slice original, struct dsn_recipient *recipient)
{
	struct buffer address;

	if (original.len == 0)
		return;
	buffer_init_fixed(&address, told->original, sizeof told->original);
	dsn_original_append_address(&address, original);
	recipient->original_type = dsn_original_type(original);
	recipient->original_address = buffer_slice(&address);
}

/* Of an alias's target, whom the sender does not know. */
static bool
is_hidden(const struct told *told, const struct outcome *outcome)
{
	return told->hides_targets && envelope_wish(told->envelope, outcome->recipient).is_target;
}

/* It is what its sender wrote: neither its own address nor what another server said of it, which
 * may name it, is told. An address that was too long to be kept has no name. */
static void
told_hide(struct told *told, struct dsn_recipient *recipient)
{
	struct buffer unnamed;

	recipient->remote_mta = recipient->text = SLICE("");
	recipient->diagnostic = DSN_DIAGNOSTIC_NONE;
	recipient->address = recipient->original_address;
	recipient->address_type = recipient->original_type;
	if (recipient->address.len > 0)
		return;
	buffer_init_fixed(&unnamed, told->original, sizeof told->original);
	buffer_append_text(&unnamed, "undisclosed-recipient@");
	buffer_append(&unnamed, told->hostname);
	recipient->address = buffer_slice(&unnamed);
	recipient->address_type = SLICE("");
}

static enum error
told_recipient(void *context, size_t index, struct dsn_recipient *ret_recipient)
{
	struct told *told = context;
	const struct outcome *outcome = &told->list[told->numbers[index]];

	*ret_recipient = (struct dsn_recipient){.action = outcome->action,
		.status = outcome->status,
		.address = told->envelope->recipients[outcome->recipient].address,
		.remote_mta = outcome->remote,
		.diagnostic = outcome->text.len == 0    ? DSN_DIAGNOSTIC_NONE
			      : outcome->remote.len > 0 ? DSN_DIAGNOSTIC_SMTP
							: DSN_DIAGNOSTIC_LOCAL,
		.text = outcome->text,
		.attempted_at = outcome->at,
		.next_attempt_at = outcome->next_attempt_at,
		.will_retry_until = outcome->expires_at};
	told_original(
		told, envelope_wish(told->envelope, outcome->recipient).original, ret_recipient);
	if (is_hidden(told, outcome))
		told_hide(told, ret_recipient);
	return OK;
}

static int
compare_outcomes(const void *left, const void *right)
{
	const struct outcome *a = left, *b = right;

	return (a->recipient > b->recipient) - (a->recipient < b->recipient);
}

/* Hidden targets of one alias that met with the same look the same. */
static bool
looks_like(const struct told *told, const struct outcome *one, const struct outcome *other)
{
	return is_hidden(told, one) && is_hidden(told, other) && one->action == other->action &&
	       enhanced_status_equal(one->status, other->status) &&
	       slice_equal(envelope_wish(told->envelope, one->recipient).original,
		       envelope_wish(told->envelope, other->recipient).original);
}

/* Which of the first outcomes, in order of their recipients, are told: how many targets an alias
 * has is not. */
static void
told_choose(struct told *told, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (told->count == 0 ||
			!looks_like(
				told, &told->list[told->numbers[told->count - 1]], &told->list[i]))
			told->numbers[told->count++] = i;
}

/* Appends the first octets of the content. */
static enum error
read_content(
	struct queue_service *service, const struct queued *queued, size_t len, struct buffer *text)
{
	const struct spool_reference *content = &queued->content;
	struct env *env = service->env;
	uint32_t sum;
	int fd;

	enum error error = queue_segment_fd(service, content->segment, &fd);
	if (error == OK)
		error = spool_record_sum(env, fd, content, &sum);
	if (error != OK || len == 0)
		return error;
	uint8_t *bytes = buffer_reserve(text, len);
	if (!bytes)
		return buffer_error(text);
	ssize_t got = env->disk->pread(env->world, fd, bytes, len, (off_t)content->offset);
	return got == (ssize_t)len ? OK : ERROR_IO;
}

/* Whether the header goes on behind what was read. */
static bool
header_goes_on(struct slice header)
{
	struct header_scanner scanner = header_scanner_of(header);
	struct header_field field;

	while (header_next(&scanner, &field))
		;
	return scanner.at == header.len;
}

/* What SMTP has to know of it. */
static uint32_t
content_flags_of(struct slice content, const struct dsn_needs *needs)
{
	uint32_t flags = (needs->is_8bit ? CONTENT_8BIT : 0) |
			 (needs->is_smtputf8 ? CONTENT_SMTPUTF8 | CONTENT_8BIT_HEADER : 0);
	size_t start = 0;

	for (size_t i = 0; i < content.len; i++) {
		if (content.ptr[i] == '\n')
			start = i + 1;
		else if (content.ptr[i] == '.' && i == start)
			flags |= CONTENT_DOT_LINE;
		else if (i - start == DSN_LINE_MAX && content.ptr[i] != '\r')
			flags |= CONTENT_LONG_LINE;
	}
	return flags;
}

/* Octets that a report may take of the original. */
static size_t
original_max(const struct queue_service *service)
{
	size_t limit = (size_t)service->conf->report_original_limit;

	return limit > 2 * (size_t)HEADER_MAX ? limit : 2 * (size_t)HEADER_MAX;
}

static struct report *
report_new(struct queue_service *service, size_t content_max, uint32_t items)
{
	struct memory *memory = service->env->memory;
	struct report *report = memory_get(memory, sizeof *report);

	*report = (struct report){.items = memory_get(memory, items * sizeof *report->items)};
	list_init(&report->link);
	buffer_init(&report->content, memory, content_max);
	buffer_init(&report->envelope, memory, ENVELOPE_ROOM);
	buffer_init(&report->settles, memory, SPOOL_SETTLES_MAX);
	return report;
}

void
report_free(struct queue_service *service, struct report *report)
{
	service->reports.under_way_count -= !list_is_empty(&report->link);
	list_remove(&report->link);
	buffer_done(&report->content);
	buffer_done(&report->envelope);
	buffer_done(&report->settles);
	memory_put(service->env->memory, report->items);
	memory_put(service->env->memory, report);
}

static void
report_settle(struct queue_service *service, struct report *report, struct outcomes *outcomes,
	uint32_t count)
{
	enum spool_result_kind kind = outcomes->kind == OUTCOME_ARRIVED ? SPOOL_RECIPIENT_DELIVERED
									: SPOOL_RECIPIENT_ENDED;
	const struct spool_reference *message = &outcomes->message->message;

	if (outcomes->kind == OUTCOME_LATE) {
		spool_settle_append(&report->settles, SPOOL_DELAY_TOLD, message, NULL, 0);
		return;
	}
	uint32_t *recipients = memory_get(service->env->memory, count * sizeof *recipients);
	for (uint32_t i = 0; i < count; i++)
		recipients[i] = outcomes->list[i].recipient;
	spool_settle_append(&report->settles, kind, message, recipients, count);
	memory_put(service->env->memory, recipients);
}

static void
report_add_item(struct queue_service *service, struct report *report, struct outcomes *outcomes,
	uint32_t count)
{
	report_settle(service, report, outcomes, count);
	report->items[report->count++] =
		(struct report_item){outcomes->message->message.queue_id, count};
	outcomes->under_way = count;
}

static void
envelope_build(struct queue_service *service, struct report *report, struct slice to,
	const struct dsn_needs *needs)
{
	struct slice content = buffer_slice(&report->content);
	struct envelope_recipient recipient = {to};
	struct envelope envelope = {.received_at = env_wall(service->env),
		.recipients = &recipient,
		.recipient_count = 1,
		.body = needs->is_8bit ? BODY_8BITMIME : BODY_7BIT,
		.protocol = PROTOCOL_LOCAL,
		.content_flags = content_flags_of(content, needs),
		.content_size = content.len,
		.trace_id_at = SIZE_MAX};

	envelope_encode(&envelope, &report->envelope);
}

/* To the writer, whose line has room: no more are under way. */
static enum error
report_send(struct queue_service *service, struct report *report)
{
	struct handoff *line = &service->writer.own;
	enum error error = buffer_error(&report->content);

	if (error == OK)
		error = buffer_error(&report->envelope);
	if (error == OK)
		error = buffer_error(&report->settles);
	struct own_message **slot = error == OK ? handoff_slot(line) : NULL;
	if (!slot)
		return error == OK ? ERROR_LIMIT : error;
	report->own = (struct own_message){.envelope = buffer_slice(&report->envelope),
		.content = buffer_slice(&report->content),
		.settles = buffer_slice(&report->settles)};
	*slot = &report->own;
	list_append(&service->reports.under_way, &report->link);
	service->reports.under_way_count++;
	handoff_put(line);
	handoff_wake(line, service->env);
	return OK;
}

/* Headers only but for who asked for all of it; to strangers' senders it would be a way to send
 * anything to anybody (docs/threat-model.md). */
static bool
returns_all(const struct queue_service *service, const struct outcomes *outcomes,
	const struct envelope *envelope)
{
	uint64_t limit = service->conf->report_original_limit;
	uint64_t size = outcomes->message->content.size;

	return outcomes->kind == OUTCOME_FAILED && envelope->returns == RETURNS_FULL &&
	       size <= limit && envelope->trace.len <= limit - size &&
	       sender_is_trusted(service, envelope);
}

/*
 * The original for a report: its trace and content, or as much of them as may be its header. What
 * can't be read is left out: the outcome is told all the same.
 */
static void
read_original(struct queue_service *service, const struct queued *queued,
	const struct envelope *envelope, struct dsn *dsn, struct buffer *original)
{
	uint64_t size = queued->content.size;
	bool is_cut = dsn->returns == DSN_RETURN_HEADER && size > HEADER_MAX;

	buffer_append(original, envelope->trace);
	size_t trace = original->len;
	if (read_content(service, queued, is_cut ? HEADER_MAX : (size_t)size, original) != OK) {
		original->len = trace;
		dsn->returns = DSN_RETURN_HEADER;
	}
	dsn->header = buffer_slice(original);
	dsn->header_is_cut = is_cut && header_goes_on(dsn->header);
}

static enum error
dsn_append(const struct dsn *dsn, struct buffer *content, struct dsn_needs *ret_needs)
{
	enum error error = dsn_append_prologue(content, dsn, ret_needs);

	if (error == OK && dsn->returns == DSN_RETURN_FULL)
		buffer_append(content, dsn->header);
	return error == OK ? dsn_append_epilogue(content, dsn) : error;
}

/* The configuration has each once at most. */
static size_t
languages_of(const struct conf *conf, enum dsn_language languages[DSN_LANGUAGES])
{
	size_t count = 0;

	for (size_t i = 0; i < conf->report_language_count && count < DSN_LANGUAGES; i++)
		count += dsn_language_parse(conf->report_languages[i], &languages[count]);
	return count;
}

static enum error
dsn_build(struct queue_service *service, struct told *told, const struct outcomes *outcomes,
	struct report *report)
{
	const struct envelope *envelope = told->envelope;
	struct env *env = service->env;
	uint8_t name[DSN_ENVELOPE_ID_MAX];
	char id[QUEUE_ID_DIGITS + 1];
	struct buffer original, envelope_id;
	struct dsn_needs needs;
	enum dsn_language languages[DSN_LANGUAGES];

	queue_id_print(outcomes->message->message.queue_id, id);
	buffer_init_fixed(&envelope_id, name, sizeof name);
	xtext_append_decoded(&envelope_id, envelope->envelope_id);
	struct dsn dsn = {.hostname = service->conf->hostname,
		.reverse_path = envelope->reverse_path,
		.queue_id = slice_text(id),
		.envelope_id = buffer_slice(&envelope_id),
		.date = env_wall(env),
		.arrived_at = envelope->received_at,
		.recipients = {told->count, told_recipient, told},
		.returns = returns_all(service, outcomes, envelope) ? DSN_RETURN_FULL
								    : DSN_RETURN_HEADER,
		.content_is_8bit = envelope->content_flags & CONTENT_8BIT,
		.is_smtputf8 = envelope->content_flags & CONTENT_SMTPUTF8,
		.languages = languages,
		.language_count = languages_of(service->conf, languages),
		.templates = &service->reports.texts};
	buffer_init(&original, env->memory, original_max(service));
	read_original(service, outcomes->message, envelope, &dsn, &original);
	env_random(env, dsn.random, sizeof dsn.random);
	enum error error = dsn_append(&dsn, &report->content, &needs);
	if (error == OK)
		envelope_build(service, report, envelope->reverse_path, &needs);
	buffer_done(&original);
	return error;
}

enum error
report_make(
	struct queue_service *service, struct outcomes *outcomes, const struct envelope *envelope)
{
	uint32_t count =
		outcomes->count < REPORT_RECIPIENTS_MAX ? outcomes->count : REPORT_RECIPIENTS_MAX;
	struct memory *memory = service->env->memory;
	struct told told = {.envelope = envelope,
		.list = outcomes->list,
		.numbers = memory_get(memory, count * sizeof *told.numbers),
		.hostname = service->conf->hostname,
		.hides_targets = service->conf->report_targets != CONF_YES};

	qsort(outcomes->list, outcomes->count, sizeof *outcomes->list, compare_outcomes);
	told_choose(&told, count);
	struct report *report =
		report_new(service, DSN_OCTETS_MAX(count, original_max(service)), 1);
	report->kind = outcomes->kind;
	enum error error = dsn_build(service, &told, outcomes, report);
	memory_put(memory, told.numbers);
	if (error == OK) {
		report_add_item(service, report, outcomes, count);
		error = report_send(service, report);
	}
	if (error != OK) {
		outcomes->under_way = 0;
		report_free(service, report);
	}
	return error;
}

/* Printable ASCII, so that no server's words can be a line, or a control, of the digest. */
static void
append_clean(struct buffer *text, struct slice bytes)
{
	size_t len = bytes.len < LINE_TEXT_MAX ? bytes.len : LINE_TEXT_MAX;

	for (size_t i = 0; i < len; i++) {
		uint8_t octet = bytes.ptr[i];
		buffer_append_octet(text, octet >= ' ' && octet < 0x7f ? octet : '?');
	}
	if (len < bytes.len)
		buffer_append_text(text, "[...]");
}

static struct slice
postmaster_address(const struct queue_service *service, struct buffer *address)
{
	struct slice domain = conf_postmaster_domain(service->conf);

	if (domain.len == 0)
		return SLICE("");
	buffer_append_text(address, "postmaster@");
	buffer_append(address, domain);
	return buffer_error(address) == OK ? buffer_slice(address) : SLICE("");
}

bool
report_is_digest(const struct queue_service *service, const struct envelope *envelope)
{
	uint8_t storage[ADDRESS_ROOM];
	struct buffer address;

	buffer_init_fixed(&address, storage, sizeof storage);
	return envelope->protocol == PROTOCOL_LOCAL && envelope->recipient_count == 1 &&
	       slice_equal(envelope->recipients[0].address, postmaster_address(service, &address));
}

static void
digest_head(struct queue_service *service, struct buffer *text, struct slice to)
{
	struct slice hostname = service->conf->hostname;
	uint64_t random[2];

	env_random(service->env, random, sizeof random);
	buffer_printf(text, "From: Mail Delivery System <MAILER-DAEMON@%.*s>\r\nTo: <%.*s>\r\n",
		SLICE_ARGS(hostname), SLICE_ARGS(to));
	buffer_append_text(text, "Subject: Mail that could be returned to nobody\r\nDate: ");
	date_append(text, env_wall(service->env));
	buffer_printf(text, "\r\nMessage-ID: <%016llx%016llx@%.*s>\r\n",
		(unsigned long long)random[0], (unsigned long long)random[1], SLICE_ARGS(hostname));
	buffer_append_text(text,
		"Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
		"Content-Type: text/plain; charset=us-ascii\r\n\r\n"
		"The following messages could not be delivered, and there is no sender who\r\n"
		"could be told: they are reports themselves, or their senders may be forged.\r\n"
		"They are gone from the queue with this message.\r\n\r\n");
}

static void
digest_lines(const struct outcomes *outcomes, uint32_t count, const struct envelope *envelope,
	struct buffer *text, uint32_t *lines)
{
	char id[QUEUE_ID_DIGITS + 1], printed[ENHANCED_STATUS_BYTES];

	queue_id_print(outcomes->message->message.queue_id, id);
	for (uint32_t i = 0; i < count && *lines < DIGEST_LINES; i++, ++*lines) {
		const struct outcome *outcome = &outcomes->list[i];
		buffer_printf(text, "%s  from <", id);
		append_clean(text, envelope->reverse_path);
		buffer_append_text(text, ">  to <");
		append_clean(text, envelope->recipients[outcome->recipient].address);
		buffer_append_text(text, ">\r\n    ");
		buffer_append(text, enhanced_status_print(outcome->status, printed));
		buffer_append_octet(text, ' ');
		append_clean(text, outcome->text);
		buffer_append_text(text, "\r\n");
	}
}

/* False: the digest is full, or this message can't be read now. */
static bool
digest_add(struct queue_service *service, struct report *report, struct outcomes *outcomes,
	uint32_t *lines)
{
	uint32_t count =
		outcomes->count < REPORT_RECIPIENTS_MAX ? outcomes->count : REPORT_RECIPIENTS_MAX;
	struct opened *opened;

	if (SPOOL_SETTLES_MAX - report->settles.len < SPOOL_SETTLE_BYTES(count) ||
		message_open(service, outcomes->message, &opened) != OK)
		return false;
	qsort(outcomes->list, outcomes->count, sizeof *outcomes->list, compare_outcomes);
	digest_lines(outcomes, count, &opened->envelope, &report->content, lines);
	message_close(service, outcomes->message);
	report_add_item(service, report, outcomes, count);
	return true;
}

static uint32_t
digest_fill(struct queue_service *service, struct report *report)
{
	uint32_t lines = 0, recipients = 0;

	list_for_each (link, &service->reports.postmaster) {
		struct outcomes *outcomes = list_entry(link, struct outcomes, ready);
		if (outcomes->under_way > 0)
			continue;
		if (report->count == DIGEST_MESSAGES ||
			!digest_add(service, report, outcomes, &lines))
			break;
		recipients += outcomes->under_way;
	}
	if (recipients > lines)
		buffer_printf(&report->content, "\r\nand %u more recipients, see the log.\r\n",
			recipients - lines);
	return recipients;
}

/* Those that are in no digest wait for the next one. */
static void
digest_again(struct queue_service *service)
{
	list_for_each (link, &service->reports.postmaster) {
		if (list_entry(link, struct outcomes, ready)->under_way > 0)
			continue;
		due_set(service, &service->reports.digest_due,
			env_wall(service->env) + DIGEST_EVERY_US);
		return;
	}
}

static void
items_release(struct queue_service *service, const struct report *report)
{
	for (uint32_t i = 0; i < report->count; i++)
		table_find(service, report->items[i].queue_id)->failures->under_way = 0;
}

void
digest_make(struct queue_service *service)
{
	uint8_t storage[ADDRESS_ROOM];
	struct buffer address;

	buffer_init_fixed(&address, storage, sizeof storage);
	struct slice to = postmaster_address(service, &address);
	struct report *report = report_new(service, DIGEST_BYTES, DIGEST_MESSAGES);
	report->is_digest = true;
	digest_head(service, &report->content, to);
	enum error error = to.len == 0 || digest_fill(service, report) == 0 ? ERROR_NOT_FOUND : OK;
	if (error == OK) {
		envelope_build(service, report, to, &(struct dsn_needs){.is_8bit = false});
		error = report_send(service, report);
	}
	if (error != OK) {
		log_event(service->env, LOG_WARNING, "postmaster_not_told",
			LOG_STRING("error", error_text(error)));
		items_release(service, report);
		report_free(service, report);
	}
	digest_again(service);
}

void
report_log(struct queue_service *service, const struct report *report)
{
	static const char *const kinds[] = {[OUTCOME_FAILED] = "failure",
		[OUTCOME_ARRIVED] = "success",
		[OUTCOME_LATE] = "delay"};
	char id[QUEUE_ID_DIGITS + 1], own_id[QUEUE_ID_DIGITS + 1];
	uint32_t recipients = 0;

	for (uint32_t i = 0; i < report->count; i++)
		recipients += report->items[i].count;
	queue_id_print(report->items[0].queue_id, id);
	queue_id_print(report->own.queue_id, own_id);
	if (report->own.error == OK)
		log_event(service->env, LOG_INFO, "reported", LOG_STRING("id", id),
			LOG_STRING("report", own_id),
			LOG_STRING("to", report->is_digest ? "postmaster" : "sender"),
			LOG_STRING("what", kinds[report->kind]),
			LOG_NUMBER("messages", report->count),
			LOG_NUMBER("recipients", recipients));
	else
		log_event(service->env, LOG_ERROR, "report_not_stored", LOG_STRING("id", id),
			LOG_STRING("error", error_text(report->own.error)));
}
