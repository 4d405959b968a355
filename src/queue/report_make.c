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
	const struct failure *list;
};

static enum error
told_recipient(void *context, size_t index, struct dsn_recipient *ret_recipient)
{
	const struct told *told = context;
	const struct failure *failure = &told->list[index];

	*ret_recipient = (struct dsn_recipient){.action = DSN_FAILED,
		.status = failure->status,
		.address = told->envelope->recipients[failure->recipient].address,
		.remote_mta = failure->remote,
		.diagnostic = failure->text.len == 0    ? DSN_DIAGNOSTIC_NONE
			      : failure->remote.len > 0 ? DSN_DIAGNOSTIC_SMTP
							: DSN_DIAGNOSTIC_LOCAL,
		.text = failure->text,
		.attempted_at = failure->at};
	return OK;
}

static int
compare_failures(const void *left, const void *right)
{
	const struct failure *a = left, *b = right;

	return (a->recipient > b->recipient) - (a->recipient < b->recipient);
}

/*
 * The trace and the beginning of the content. A header that can't be read is left out of the
 * report: the failure is told all the same.
 */
static enum error
read_header(struct queue_service *service, const struct queued *queued, struct buffer *header)
{
	const struct spool_reference *content = &queued->content;
	size_t len = content->size < HEADER_MAX ? (size_t)content->size : HEADER_MAX;
	struct env *env = service->env;
	uint32_t sum;
	int fd;

	enum error error = queue_segment_fd(service, content->segment, &fd);
	if (error == OK)
		error = spool_record_sum(env, fd, content, &sum);
	if (error != OK || len == 0)
		return error;
	uint8_t *bytes = buffer_reserve(header, len);
	if (!bytes)
		return buffer_error(header);
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
content_flags_of(struct slice content, bool is_8bit)
{
	uint32_t flags = is_8bit ? CONTENT_8BIT : 0;

	for (size_t i = 0; i < content.len; i++)
		if (content.ptr[i] == '.' && (i == 0 || content.ptr[i - 1] == '\n'))
			return flags | CONTENT_DOT_LINE;
	return flags;
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
report_add_item(struct queue_service *service, struct report *report, struct failures *failures,
	uint32_t count)
{
	uint32_t *recipients = memory_get(service->env->memory, count * sizeof *recipients);

	for (uint32_t i = 0; i < count; i++)
		recipients[i] = failures->list[i].recipient;
	spool_settle_append(&report->settles, SPOOL_RECIPIENT_ENDED, &failures->message->message,
		recipients, count);
	memory_put(service->env->memory, recipients);
	report->items[report->count++] =
		(struct report_item){failures->message->message.queue_id, count};
	failures->under_way = count;
}

static void
envelope_build(struct queue_service *service, struct report *report, struct slice to, bool is_8bit)
{
	struct slice content = buffer_slice(&report->content);
	struct envelope_recipient recipient = {to};
	struct envelope envelope = {.received_at = env_wall(service->env),
		.recipients = &recipient,
		.recipient_count = 1,
		.body = is_8bit ? BODY_8BITMIME : BODY_7BIT,
		.protocol = PROTOCOL_LOCAL,
		.content_flags = content_flags_of(content, is_8bit),
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

static enum error
dsn_build(struct queue_service *service, struct told *told, const struct queued *queued,
	uint32_t count, struct report *report)
{
	struct env *env = service->env;
	char id[QUEUE_ID_DIGITS + 1];
	struct dsn_needs needs;
	struct buffer header;

	queue_id_print(queued->message.queue_id, id);
	buffer_init(&header, env->memory, 2 * HEADER_MAX);
	buffer_append(&header, told->envelope->trace);
	size_t trace = header.len;
	if (read_header(service, queued, &header) != OK)
		header.len = trace;
	struct dsn dsn = {.hostname = service->conf->hostname,
		.reverse_path = told->envelope->reverse_path,
		.queue_id = slice_text(id),
		.date = env_wall(env),
		.arrived_at = told->envelope->received_at,
		.recipients = {count, told_recipient, told},
		.returns = DSN_RETURN_HEADER,
		.header = buffer_slice(&header),
		.header_is_cut =
			queued->content.size > HEADER_MAX && header_goes_on(buffer_slice(&header))};
	env_random(env, dsn.random, sizeof dsn.random);
	enum error error = dsn_append_prologue(&report->content, &dsn, &needs);
	if (error == OK)
		error = dsn_append_epilogue(&report->content, &dsn);
	if (error == OK)
		envelope_build(service, report, told->envelope->reverse_path, needs.is_8bit);
	buffer_done(&header);
	return error;
}

enum error
report_make(
	struct queue_service *service, struct failures *failures, const struct envelope *envelope)
{
	uint32_t count =
		failures->count < REPORT_RECIPIENTS_MAX ? failures->count : REPORT_RECIPIENTS_MAX;
	struct told told = {envelope, failures->list};

	qsort(failures->list, failures->count, sizeof *failures->list, compare_failures);
	struct report *report =
		report_new(service, DSN_OCTETS_MAX(count, 2 * (size_t)HEADER_MAX), 1);
	enum error error = dsn_build(service, &told, failures->message, count, report);
	if (error == OK) {
		report_add_item(service, report, failures, count);
		error = report_send(service, report);
	}
	if (error != OK) {
		failures->under_way = 0;
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
digest_lines(const struct failures *failures, uint32_t count, const struct envelope *envelope,
	struct buffer *text, uint32_t *lines)
{
	char id[QUEUE_ID_DIGITS + 1], printed[ENHANCED_STATUS_BYTES];

	queue_id_print(failures->message->message.queue_id, id);
	for (uint32_t i = 0; i < count && *lines < DIGEST_LINES; i++, ++*lines) {
		const struct failure *failure = &failures->list[i];
		buffer_printf(text, "%s  from <", id);
		append_clean(text, envelope->reverse_path);
		buffer_append_text(text, ">  to <");
		append_clean(text, envelope->recipients[failure->recipient].address);
		buffer_append_text(text, ">\r\n    ");
		buffer_append(text, enhanced_status_print(failure->status, printed));
		buffer_append_octet(text, ' ');
		append_clean(text, failure->text);
		buffer_append_text(text, "\r\n");
	}
}

/* False: the digest is full, or this message can't be read now. */
static bool
digest_add(struct queue_service *service, struct report *report, struct failures *failures,
	uint32_t *lines)
{
	uint32_t count =
		failures->count < REPORT_RECIPIENTS_MAX ? failures->count : REPORT_RECIPIENTS_MAX;
	struct opened *opened;

	if (SPOOL_SETTLES_MAX - report->settles.len < SPOOL_SETTLE_BYTES(count) ||
		message_open(service, failures->message, &opened) != OK)
		return false;
	qsort(failures->list, failures->count, sizeof *failures->list, compare_failures);
	digest_lines(failures, count, &opened->envelope, &report->content, lines);
	message_close(service, failures->message);
	report_add_item(service, report, failures, count);
	return true;
}

static uint32_t
digest_fill(struct queue_service *service, struct report *report)
{
	uint32_t lines = 0, recipients = 0;

	list_for_each (link, &service->reports.postmaster) {
		struct failures *failures = list_entry(link, struct failures, ready);
		if (failures->under_way > 0)
			continue;
		if (report->count == DIGEST_MESSAGES ||
			!digest_add(service, report, failures, &lines))
			break;
		recipients += failures->under_way;
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
		if (list_entry(link, struct failures, ready)->under_way > 0)
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
		envelope_build(service, report, to, false);
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
			LOG_NUMBER("messages", report->count),
			LOG_NUMBER("recipients", recipients));
	else
		log_event(service->env, LOG_ERROR, "report_not_stored", LOG_STRING("id", id),
			LOG_STRING("error", error_text(report->own.error)));
}
